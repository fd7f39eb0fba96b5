//! Follows the store's feed: keeps the board, wakes who waits, begins what can begin, and takes
//! over what nobody does any more.

use std::{sync::Arc, time::Duration};

use tokio::{sync::OwnedSemaphorePermit, time::Instant};
use tracing::{error, info, warn};

use super::{
    Jobs,
    board::{self, Board, Class},
    events, lock,
    queue::{self, CANCELS, Ending, Id, Versioned},
    records::{Kind, Outcome},
};
use crate::{
    error::{Result, chain},
    store::Change,
};

/// How long one question to the feed waits for an answer.
const WAIT: Duration = Duration::from_secs(5);

/// Between two tries to reach a store that does not answer.
const PAUSE: Duration = Duration::from_millis(500);

/// A job whose process died so often with it is not begun again.
const CRASHES: u32 = 3;

/// What has to be cleared away after that may crash so often more.
const CRASHES_OF_CLEARING: u32 = CRASHES + 2;

/// Events between two looks at how many there are.
const EVENTS_BETWEEN_TRIMS: usize = 1_000;

impl Jobs {
    /// Until this process is stopped.
    pub(super) async fn follow(self: &Arc<Self>) {
        let mut told = 0;
        let mut answers = true;
        loop {
            let wake = self.dispatch();
            let step = async {
                let now = Instant::now();
                let wait = wake.map_or(WAIT, |wake| WAIT.min(wake.saturating_duration_since(now)));
                self.learn(wait, &mut told).await?;
                self.take_over_quiet().await
            };
            let mut step = std::pin::pin!(step);
            let step = loop {
                tokio::select! {
                    step = &mut step => break step,
                    // The step goes on: jobs that end one after the other would begin it anew each
                    // time, and what others do would never be heard.
                    () = self.room.notified() => drop(self.dispatch()),
                    () = self.stopping.cancelled() => return,
                }
            };
            match step {
                Ok(()) => answers = true,
                Err(error) => {
                    // Said once, as the store may be away for long.
                    if std::mem::take(&mut answers) {
                        error!(error = chain(&error), "the store cannot be followed; trying again");
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Reads what was committed since the last time, waiting for it as long as `wait`.
    async fn learn(self: &Arc<Self>, wait: Duration, told: &mut usize) -> Result<()> {
        let store = &*self.parts.store;
        let after = self.board().revision;
        let changes = store.changes(after, wait).await?;
        *lock(&self.heard) = Instant::now();
        if !changes.complete {
            let newer = Board::load(store).await?;
            info!(revision = newer.revision, "the store's feed has a gap; all jobs are read again");
            let revision = newer.revision;
            self.board().replace(newer);
            self.wake_all(revision);
            self.heed_cancels().await?;
            return Ok(());
        }
        for Change { revision, keys } in changes.changes {
            for key in &keys {
                self.hear_of(key).await?;
                *told += usize::from(key.starts_with(events::EVENTS));
            }
            self.board().revision = revision;
            for key in &keys {
                self.wake(key, revision);
            }
            self.seen.send_replace(revision);
        }
        if *told >= EVENTS_BETWEEN_TRIMS {
            *told = 0;
            events::trim(store).await?;
        }
        Ok(())
    }

    async fn hear_of(&self, key: &str) -> Result<()> {
        let store = &*self.parts.store;
        if key.starts_with(queue::JOBS) || key.starts_with(queue::BEATS) {
            let entry = store.get(key).await?;
            if let Some(news) = board::news(key, entry.as_ref()) {
                self.board().apply(news);
            }
        } else if let Some(id) = Id::of(key, CANCELS) {
            if let Some(cancel) = lock(&self.working).get(&id) {
                cancel.cancel();
            }
        } else if let Some(token) = key.strip_prefix(&Kind::Context.prefix())
            && !super::trees::is_wanted(&self.parts, token).await?
        {
            // Whichever process removed the context, or gave it up: its tree may be on this one's
            // disk, too.
            if let Err(error) = super::trees::forget(&self.parts, token).await {
                // A disk that does not obey must not end all jobs.
                warn!(token, error = chain(&error), "the directory of a context stays");
            }
        }
        Ok(())
    }

    /// Cancels what somebody asked to be cancelled while the feed was not heard.
    async fn heed_cancels(&self) -> Result<()> {
        let working: Vec<Id> = lock(&self.working).keys().copied().collect();
        for id in working {
            if self.parts.store.get(&id.cancel()).await?.is_some()
                && let Some(cancel) = lock(&self.working).get(&id)
            {
                cancel.cancel();
            }
        }
        Ok(())
    }

    fn wake(&self, key: &str, revision: u64) {
        let followed = lock(&self.followed);
        // Keys of logs and events are a prefix and a number.
        let prefix = key.rfind(':').map_or(key, |end| &key[..=end]);
        for prefix in [prefix, key] {
            if let Some(sender) = followed.get(prefix) {
                sender.send_replace(revision);
            }
        }
    }

    fn wake_all(&self, revision: u64) {
        for sender in lock(&self.followed).values() {
            sender.send_replace(revision);
        }
        self.seen.send_replace(revision);
    }

    /// Begins the jobs that this process has room for. Gives when to look again.
    fn dispatch(self: &Arc<Self>) -> Option<Instant> {
        let mut permits = Vec::new();
        let (ready, due) = self.board().ready(|class| {
            let semaphore = match class {
                Class::Install => &self.installs,
                Class::Build => &self.builds,
                Class::Deploy => &self.deployments,
                Class::Unlimited => {
                    permits.push(None);
                    return !self.stopping.is_cancelled();
                }
            };
            match Arc::clone(semaphore).try_acquire_owned() {
                Ok(permit) => {
                    permits.push(Some(permit));
                    true
                }
                Err(_) => false,
            }
        });
        for (job, permit) in ready.into_iter().zip(permits) {
            let id = job.id;
            let cancel = self.stopping.child_token();
            if lock(&self.working).contains_key(&id) {
                continue;
            }
            lock(&self.working).insert(id, cancel.clone());
            let jobs = Arc::clone(self);
            self.tracker.spawn(async move {
                let working = Working { jobs: &jobs, id, permit };
                jobs.work(job, &cancel).await;
                drop(working);
            });
        }
        let (_, quiet) = self.board().quiet(self.times.lease);
        [due, quiet].into_iter().flatten().min()
    }

    async fn take_over_quiet(&self) -> Result<()> {
        let (quiet, _) = self.board().quiet(self.times.lease);
        for (job, beat) in quiet {
            // This process does it, or its end is about to be committed.
            if !lock(&self.working).contains_key(&job.id) {
                self.take_over(&job, beat).await?;
            }
        }
        Ok(())
    }

    /// Puts a job back into the queue whose holder is gone; for the third time, it is only to be
    /// cleared away.
    pub(super) async fn take_over(&self, current: &Versioned, beat: u64) -> Result<()> {
        let store = &*self.parts.store;
        let (owner, fence) = queue::holder(store, current.id).await?.unzip();
        let mut job = current.job.clone();
        // A process that lost its lease, as the store did not answer, has not died.
        job.crashes += u32::from(owner.as_ref().is_some_and(|owner| *owner != self.owner));
        job.delay = 0;
        if job.crashes >= CRASHES && job.ending.is_none() {
            job.ending = Some(Ending {
                outcome: Outcome::Dead,
                description: format!(
                    "begun {CRASHES} times, and each time Crane ended in the middle of it; it is \
                     not begun again"
                ),
            });
        }
        // The board may not have heard the last beat; what the store says counts.
        let heard = store.get(&current.id.beat()).await?.map_or(0, |entry| entry.revision);
        if heard != beat && beat != 0 {
            return Ok(());
        }
        if queue::take_over(store, current, fence, heard, job).await? {
            warn!(resource = %current.job.resource, owner, "a job is taken over");
        }
        Ok(())
    }
}

/// Whether clearing away is tried once more, after so many crashes.
pub(super) fn may_clear(crashes: u32) -> bool {
    crashes < CRASHES_OF_CLEARING
}

/// A job that this process does, until this is dropped.
struct Working<'a> {
    jobs: &'a Jobs,
    id: Id,
    permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        lock(&self.jobs.working).remove(&self.id);
        // Before whoever waits for the room is woken.
        self.permit.take();
        self.jobs.room.notify_one();
    }
}
