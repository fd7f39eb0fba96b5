//! What the holder of a job does with the store: everything on condition that it still holds it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde::{Serialize, de::DeserializeOwned};
use tokio::{sync::Mutex, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::queue::{self, Fence, Job, State, Versioned};
use crate::{
    error::{Error, Result, chain},
    store::{Batch, Expected, Store, Stored},
};

/// Between two tries to reach a store that does not answer.
const PAUSE: Duration = Duration::from_millis(500);

/// How long a lease lives without a beat, and how often its holder gives one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) lease: Duration,
    pub(super) beat: Duration,
}

impl Times {
    /// A holder whose first two beats go astray still has its job at the third.
    pub(super) fn of(lease: Duration) -> Self {
        Self { lease, beat: lease / 3 }
    }
}

/// What became of a commit of the holder's.
pub(super) enum Committed {
    Yes,
    /// Somebody has written what the batch was made from; make it anew.
    Again,
    /// The job is somebody else's.
    Lost,
}

/// A job that this process holds.
pub(super) struct Lease {
    store: Arc<dyn Store>,
    pub(super) fence: Fence,
    /// The job as it was last written; only the holder writes it.
    pub(super) current: Mutex<Versioned>,
    /// Cancelled when the job is somebody else's, or may be by now.
    pub(super) lost: CancellationToken,
    told: AtomicBool,
}

impl Lease {
    pub(super) fn new(store: Arc<dyn Store>, fence: Fence, current: Versioned) -> Self {
        Self {
            store,
            fence,
            current: Mutex::new(current),
            lost: CancellationToken::new(),
            told: AtomicBool::new(false),
        }
    }

    fn lose(&self) {
        if !self.told.swap(true, Ordering::Relaxed) {
            warn!(job = %self.fence.id, "the lease is lost; what this process does of the job ends");
        }
        self.lost.cancel();
    }

    /// Gives signs of life until the future is dropped or the lease is lost.
    pub(super) async fn keep(&self, times: Times) {
        // Before the question is sent, as its answer may be late.
        let mut alive = Instant::now();
        loop {
            tokio::time::sleep_until(alive + times.beat).await;
            loop {
                let asked = Instant::now();
                // A store that answers after the lease is over is no proof of holding it.
                let left = (alive + times.lease).saturating_duration_since(asked);
                match tokio::time::timeout(left, queue::beat(&*self.store, self.fence)).await {
                    Ok(Ok(true)) => {
                        alive = asked;
                        break;
                    }
                    Ok(Ok(false)) => return self.lose(),
                    Ok(Err(error)) if alive.elapsed() < times.lease => {
                        warn!(error = chain(&error), "the store does not take a sign of life");
                        tokio::time::sleep(PAUSE).await;
                    }
                    Ok(Err(_)) | Err(_) => return self.lose(),
                }
            }
        }
    }

    /// Commits a batch that carries the fence ([`Fence::batch`]). A store that is away is waited
    /// for as long as the job may be ours.
    pub(super) async fn commit(&self, batch: Batch) -> Result<Committed> {
        loop {
            match self.store.commit(batch.clone()).await {
                Ok(Some(_)) => return Ok(Committed::Yes),
                Ok(None) => match self.fence.holds(&*self.store).await {
                    Ok(true) => return Ok(Committed::Again),
                    Ok(false) => {
                        self.lose();
                        return Ok(Committed::Lost);
                    }
                    Err(error) => self.forgive(error).await?,
                },
                Err(error) => self.forgive(error).await?,
            }
        }
    }

    /// Reads a record. A store that is away is waited for as long as the job may be ours.
    pub(super) async fn read<T: DeserializeOwned>(&self, key: &str) -> Result<Option<Stored<T>>> {
        loop {
            match self.store.read(key).await {
                Err(error) => self.forgive(error).await?,
                found => return found,
            }
        }
    }

    /// Waits a moment when it is the store that does not answer, and the job may still be ours.
    async fn forgive(&self, error: Error) -> Result<()> {
        if !matches!(error, Error::Unavailable { .. }) || self.lost.is_cancelled() {
            return Err(error);
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => Ok(()),
            () = self.lost.cancelled() => Err(error),
        }
    }

    /// Changes a record as its holder. `None`: there is no such record, or the job is somebody
    /// else's.
    pub(super) async fn update<T: Serialize + DeserializeOwned + Send>(
        &self,
        key: &str,
        mut change: impl FnMut(&mut T) + Send,
    ) -> Result<Option<T>> {
        loop {
            let Some(mut stored) = self.read::<T>(key).await? else { return Ok(None) };
            change(&mut stored.value);
            let batch = self
                .fence
                .batch()
                .check(key, Expected::Revision(stored.revision))
                .put_record(key, &stored.value)?;
            match self.commit(batch).await? {
                Committed::Yes => return Ok(Some(stored.value)),
                Committed::Again => {}
                Committed::Lost => return Ok(None),
            }
        }
    }

    /// Changes the job as its holder, in a commit of its own that tells of it.
    pub(super) async fn change_job(&self, change: impl Fn(&mut Job)) -> Result<()> {
        let mut current = self.current.lock().await;
        loop {
            match queue::change(&*self.store, self.fence, &mut current, &change).await {
                Ok(true) => return Ok(()),
                Ok(false) => {
                    self.lose();
                    return Ok(());
                }
                Err(error) => self.forgive(error).await?,
            }
        }
    }

    /// Says which step the work has come to.
    pub(super) async fn begin_step(&self, step: &str) -> Result<()> {
        self.change_job(|job| {
            job.state = State::Running;
            job.step = Some(step.to_owned());
        })
        .await
    }
}
