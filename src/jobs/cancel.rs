//! Stopping what is being done.

use std::time::Duration;

use super::{
    Jobs, Task, events,
    queue::{self, Ending, State, Versioned},
    records::{Outcome, Record, Resource, Status},
};
use crate::{
    error::{Error, Result},
    store::Batch,
};

/// How long a caller who cancels is kept waiting for the end of it.
const PATIENCE: Duration = Duration::from_secs(10);

impl Jobs {
    /// Ends what is being done to make a resource, and removes what that has made. Returns when
    /// it is over, or after some seconds, when it soon will be.
    ///
    /// [`Error::Conflict`] when nothing is being done.
    pub async fn cancel(&self, resource: &Resource) -> Result<()> {
        let store = &*self.parts.store;
        let Some(record) = store.read::<Record<serde_json::Value>>(&resource.key()).await? else {
            return Err(resource.not_found());
        };
        self.catch_up().await?;
        if !self.stop(resource, true).await? {
            let description = record.value.description;
            return Err(Error::Conflict(format!(
                "nothing is being made of the {} '{}' that could be cancelled: {description}",
                resource.kind, resource.id
            )));
        }
        // Late is as good as in time: the status says which.
        match tokio::time::timeout(PATIENCE, self.wait(resource)).await {
            Ok(ended) => ended,
            Err(_) => Ok(()),
        }
    }

    /// Takes the waiting job that makes a resource out of the queue, or asks its holder to stop.
    /// `record`: say in the record that it is cancelled. `false`: there is no such job.
    pub(super) async fn stop(&self, resource: &Resource, record: bool) -> Result<bool> {
        let store = &*self.parts.store;
        loop {
            let job = self.board().of(resource).find(|job| job.job.task == Task::Make).cloned();
            let Some(job) = job else { return Ok(false) };
            let stopped = match job.job.state {
                State::Queued if job.job.attempt == 0 => self.withdraw(&job, record).await?,
                // It was begun before, so something may have to be cleared away.
                State::Queued => queue::hurry_to_end(store, &job, Ending::cancelled()).await?,
                State::Leased | State::Running => queue::ask_to_stop(store, job.id).await?,
            };
            if stopped {
                return Ok(true);
            }
            // It has moved on since.
            self.catch_up().await?;
        }
    }

    /// Takes a job out of the queue that was never begun. `false`: it was, meanwhile.
    async fn withdraw(&self, job: &Versioned, record: bool) -> Result<bool> {
        let store = &*self.parts.store;
        let resource = &job.job.resource;
        let batch = queue::dequeue(Batch::new(), job);
        let stored = store.read::<Record<serde_json::Value>>(&resource.key()).await?;
        let batch = match stored {
            Some(mut stored) if record && stored.value.status != Status::Removing => {
                stored.value.status = Status::Cancelled;
                stored.value.outcome = Some(Outcome::Cancelled);
                stored.value.ended = Some(time::OffsetDateTime::now_utc());
                "cancelled".clone_into(&mut stored.value.description);
                let (value, revision) = (&stored.value, stored.revision);
                queue::record_end(batch, job, value, revision, Outcome::Cancelled)?
            }
            _ => {
                let news = job.job.news(job.id);
                let news = events::JobNews { state: Outcome::Cancelled.as_str().into(), ..news };
                events::append_job(batch, resource, news)?
            }
        };
        Ok(store.commit(batch).await?.is_some())
    }
}
