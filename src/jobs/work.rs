//! One job, from taking it to writing what came of it.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt;
use serde_json::Value;
use time::OffsetDateTime;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, info, info_span, warn};

use super::{
    Jobs, Task, bases, clear, clusters, compositions, contexts, events,
    follow::may_clear,
    images,
    lease::{Committed, Lease},
    log,
    queue::{self, Ending, Job, Versioned},
    records::{self, Kind, Outcome, Record, Resource, Status},
    removal, retry,
};
use crate::{
    error::{Error, Problem, Result, chain},
    model::{Channel, Log},
    store::Expected,
};

/// A job that somebody else takes is in the feed after this; before that it still looks free.
const PAUSE: Duration = Duration::from_millis(100);

/// What a job that went well gives to the record.
pub(super) struct Done {
    pub(super) description: String,
    /// Fields of the record's detail that have a new value.
    pub(super) detail: Option<Value>,
    /// What is stored beside the record, by the names that it has there.
    pub(super) files: Vec<(&'static str, Value)>,
}

impl Done {
    pub(super) fn new(description: impl Into<String>) -> Self {
        Self { description: description.into(), detail: None, files: Vec::new() }
    }
}

/// How a run of a job came to its end.
enum Ran {
    Done(Done),
    Failed(Error),
    /// Only what it made is to be cleared away.
    Cleared(Ending),
    /// This process is being stopped.
    Stopped,
    /// The job is somebody else's.
    Lost,
}

impl Jobs {
    /// Takes the job, unless somebody else was faster, and does it.
    pub(super) async fn work(self: &Arc<Self>, queued: Versioned, cancel: &CancellationToken) {
        let span = info_span!("job", resource = %queued.job.resource, task = ?queued.job.task);
        async {
            let acquired = queue::acquire(&*self.parts.store, &queued, &self.owner).await;
            let (fence, current) = match acquired {
                Ok(Some(acquired)) => acquired,
                Ok(None) => return tokio::time::sleep(PAUSE).await,
                Err(error) => {
                    warn!(error = chain(&error), "a job cannot be taken now");
                    return tokio::time::sleep(PAUSE).await;
                }
            };
            let job = current.job.clone();
            let lease = Lease::new(Arc::clone(&self.parts.store), fence, current);
            let done = CancellationToken::new();
            let beat = async {
                tokio::select! {
                    () = lease.keep(self.times) => {}
                    () = done.cancelled() => {}
                }
            };
            let work = async {
                // Also when the work panics, or the beat would go on for ever.
                let _done = done.drop_guard_ref();
                self.work_under(&lease, &job, cancel).await;
            };
            tokio::join!(beat, work);
        }
        .instrument(span)
        .await;
    }

    async fn work_under(self: &Arc<Self>, lease: &Lease, job: &Job, cancel: &CancellationToken) {
        info!(attempt = job.attempt, "begun");
        // Asked for before this process had the job.
        if let Ok(Some(_)) = self.parts.store.get(&lease.fence.id.cancel()).await {
            cancel.cancel();
        }
        let (sender, lines) = mpsc::channel(log::BACKLOG);
        let log = Log::new(sender);
        let run = async {
            let ran = self.run(lease, job, cancel, &log).await;
            // Ends the reader of the log.
            drop(log);
            ran
        };
        let keep = log::keep(&*self.parts.store, lease, &self.mask, &job.resource, lines);
        let (ran, kept) = tokio::join!(run, keep);
        if let Err(error) = kept {
            warn!(error = chain(&error), "a part of the log is lost");
        }
        // The record changes after its log is complete, so whoever sees `finished` sees all of it.
        let recorded = match ran {
            Ran::Done(done) => self.succeed(lease, job, done).await,
            Ran::Failed(error) => self.fail(lease, job, &error).await,
            Ran::Cleared(ending) => {
                let status = match ending.outcome {
                    Outcome::Cancelled => Status::Cancelled,
                    _ => Status::Error,
                };
                self.end(lease, job, status, ending.outcome, ending.description, &[]).await
            }
            Ran::Stopped => {
                info!("stopped; the job goes back into the queue");
                clear::stop(&self.parts, &job.resource).await;
                self.give_back(lease, Duration::ZERO, None).await
            }
            Ran::Lost => return info!("somebody else has the job"),
        };
        if let Err(error) = recorded {
            error!(error = chain(&error), "the outcome could not be stored");
        }
    }

    async fn run(
        self: &Arc<Self>,
        lease: &Lease,
        job: &Job,
        cancel: &CancellationToken,
        log: &Log,
    ) -> Ran {
        if let Some(ending) = &job.ending {
            return self.clear(lease, job, ending.clone(), log).await;
        }
        let attempt = AssertUnwindSafe(self.attempt(lease, job, log)).catch_unwind();
        let outcome = tokio::select! {
            biased;
            () = lease.lost.cancelled() => return Ran::Lost,
            () = self.stopping.cancelled() => return Ran::Stopped,
            () = cancel.cancelled() => None,
            outcome = tokio::time::timeout(self.time_limit(job), attempt) => Some(outcome),
        };
        let ending = match outcome {
            Some(Ok(Ok(Ok(done)))) => return Ran::Done(done),
            Some(Ok(Ok(Err(error)))) => return Ran::Failed(error),
            Some(Ok(Err(_panic))) => return Ran::Failed(Error::internal("the job panicked")),
            Some(Err(_elapsed)) => Ending {
                outcome: Outcome::TimedOut,
                description: format!(
                    "stopped after {} min, which is the limit for it (crane serve --help)",
                    self.time_limit(job).as_secs() / 60
                ),
            },
            None => Ending::cancelled(),
        };
        // What is cleared away is so also by the next process, if this one ends in between.
        if let Err(error) = lease.change_job(|job| job.ending = Some(ending.clone())).await {
            warn!(error = chain(&error), "that the job is to end could not be stored");
        }
        self.clear(lease, job, ending, log).await
    }

    /// Removes what a job made that will not go on.
    async fn clear(&self, lease: &Lease, job: &Job, mut ending: Ending, log: &Log) -> Ran {
        let log = log.at("clear");
        let line = format!("{}: removing what was made", ending.description);
        log.write(channel(&job.resource), line).await;
        if job.task == Task::Make {
            let work = async {
                match may_clear(job.crashes) {
                    true => clear::clear(&self.parts, &job.resource, &log).await,
                    false => Err(Error::failed("Crane ended in the middle of that, too")),
                }
            };
            let cleared = tokio::select! {
                biased;
                () = lease.lost.cancelled() => return Ran::Lost,
                () = self.stopping.cancelled() => return Ran::Stopped,
                cleared = work => cleared,
            };
            if let Err(error) = cleared {
                ending.description = format!(
                    "{}; what it made may not all be removed, so DELETE it: {}",
                    ending.description,
                    self.mask.text(&chain(&error))
                );
            }
        }
        Ran::Cleared(ending)
    }

    fn time_limit(&self, job: &Job) -> Duration {
        match (job.task, job.resource.kind) {
            (Task::Make, Kind::Context) => self.limits.install_time,
            (Task::Make, Kind::Base | Kind::Image) => self.limits.build_time,
            // What is removed once is removed the next time, too.
            (Task::Make, Kind::Composition | Kind::Cluster) | (Task::Remove, _) => {
                self.limits.deployment_time
            }
        }
    }

    /// One run of the trade.
    async fn attempt(self: &Arc<Self>, lease: &Lease, job: &Job, log: &Log) -> Result<Done> {
        let id = job.resource.id.as_str();
        match (job.task, job.resource.kind) {
            (Task::Remove, _) => removal::run(self, &job.resource, &log.at("remove")).await,
            (Task::Make, Kind::Context) => contexts::install(self, id, &log.at("install")).await,
            (Task::Make, Kind::Base) => bases::build(self, id, &log.at("build")).await,
            (Task::Make, Kind::Image) => images::build(self, lease, id, &log.at("build")).await,
            (Task::Make, Kind::Cluster) => clusters::join(&self.parts, id).await,
            (Task::Make, Kind::Composition) => {
                compositions::deploy(&self.parts, id, &log.at("pull")).await
            }
        }
    }

    async fn succeed(&self, lease: &Lease, job: &Job, done: Done) -> Result<()> {
        info!(description = done.description, "succeeded");
        let resource = &job.resource;
        if job.task == Task::Remove {
            let store = &*self.parts.store;
            // The record goes last, so that a removal which is cut short is taken up again.
            records::forget_belongings(store, resource).await?;
            let current = lease.current.lock().await;
            let batch = queue::dequeue(lease.fence.batch(), &current).delete(resource.key());
            lease.commit(events::append_deleted(batch, resource)?).await?;
            return Ok(());
        }
        let status = match resource.kind {
            Kind::Cluster => Status::Ready,
            _ => Status::Finished,
        };
        self.end_with(lease, status, Outcome::Succeeded, &done.files, |record| {
            record.description.clone_from(&done.description);
            record.problems.clear();
            let fields = done.detail.as_ref().and_then(Value::as_object).into_iter().flatten();
            for (field, value) in fields {
                record.detail[field] = value.clone();
            }
        })
        .await
    }

    async fn fail(&self, lease: &Lease, job: &Job, error: &Error) -> Result<()> {
        let passes = error.retry().filter(|_| {
            job.task == Task::Make
                && job.resource.kind != Kind::Cluster
                && job.failures < self.limits.retries
        });
        if let Some(passes) = passes {
            // Neither a restart nor a take-over is a failure of the work's own.
            let failures = job.failures + 1;
            let delay = retry::delay(failures, passes);
            info!(error = chain(error), ?delay, "failed; to be tried again");
            let description = format!(
                "waiting {} s to try again ({failures} of {} times): {}",
                delay.as_secs_f64().ceil(),
                self.limits.retries,
                self.mask.text(&error.to_string())
            );
            return self.give_back(lease, delay, Some(description)).await;
        }
        let mut description = match error {
            Error::Internal(_) => {
                error!(error = chain(error), "failed");
                "an internal error, which is in Crane's own log".to_owned()
            }
            _ => {
                info!(error = %error, "failed");
                // What fails is told with the command or the URL that failed.
                self.mask.text(&error.to_string())
            }
        };
        if job.task == Task::Remove {
            description = format!("not all could be removed: {description}. DELETE it again");
        }
        let problem = |problem: &Problem| Problem {
            message: self.mask.text(&problem.message),
            ..problem.clone()
        };
        let problems: Vec<_> = error.problems().iter().map(problem).collect();
        self.end(lease, job, Status::Error, Outcome::Failed, description, &problems).await
    }

    async fn end(
        &self,
        lease: &Lease,
        job: &Job,
        status: Status,
        outcome: Outcome,
        description: String,
        problems: &[Problem],
    ) -> Result<()> {
        info!(resource = %job.resource, outcome = outcome.as_str(), "ended");
        self.end_with(lease, status, outcome, &[], |record| {
            record.description.clone_from(&description);
            record.problems = problems.to_vec();
        })
        .await
    }

    /// Writes the outcome into the record and takes the job out of the queue, in one commit.
    async fn end_with(
        &self,
        lease: &Lease,
        status: Status,
        outcome: Outcome,
        files: &[(&'static str, Value)],
        change: impl Fn(&mut Record<Value>),
    ) -> Result<()> {
        let current = lease.current.lock().await;
        let key = current.job.resource.key();
        loop {
            let batch = queue::dequeue(lease.fence.batch(), &current);
            let Some(mut stored) = lease.read::<Record<Value>>(&key).await? else {
                return lease.commit(batch).await.map(drop);
            };
            let record = &mut stored.value;
            // Whoever asked for the removal is waiting for the work to end; it goes on to remove.
            if current.job.task == Task::Remove || record.status != Status::Removing {
                record.status = status;
                record.outcome = Some(outcome);
                record.ended = Some(OffsetDateTime::now_utc());
                change(record);
            }
            let mut batch = queue::record_end(batch, &current, record, stored.revision, outcome)?;
            for (name, value) in files {
                batch = batch.put_record(current.job.resource.file_key(name), value)?;
            }
            match lease.commit(batch).await? {
                Committed::Yes | Committed::Lost => return Ok(()),
                Committed::Again => {}
            }
        }
    }

    /// Puts the job back into the queue, to be done again after a while. `failed`: what of, for the
    /// record, if it failed.
    async fn give_back(
        &self,
        lease: &Lease,
        delay: Duration,
        failed: Option<String>,
    ) -> Result<()> {
        let current = lease.current.lock().await;
        let mut job = current.job.clone();
        job.failures += u32::from(failed.is_some());
        job.delay = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        let key = job.resource.key();
        loop {
            let mut batch = queue::requeue(lease.fence.batch(), &current, job.clone())?;
            if let Some(description) = &failed
                && let Some(mut stored) = lease.read::<Record<Value>>(&key).await?
                && stored.value.status != Status::Removing
            {
                stored.value.description.clone_from(description);
                batch = batch
                    .check(&key, Expected::Revision(stored.revision))
                    .put_record(&key, &stored.value)?;
            }
            match lease.commit(batch).await? {
                Committed::Yes | Committed::Lost => return Ok(()),
                Committed::Again => {}
            }
        }
    }
}

/// Where lines about a resource of this kind belong.
fn channel(resource: &Resource) -> Channel {
    match resource.kind {
        Kind::Composition | Kind::Cluster => Channel::Up,
        Kind::Context | Kind::Base | Kind::Image => Channel::Log,
    }
}
