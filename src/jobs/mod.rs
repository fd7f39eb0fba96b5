//! The only room that spawns. A job is thin: read the record, call the trade, write the record.
//!
//! The record of a resource says what is to be done with it (its status), so it is the queue as
//! well: it is stored before the caller gets an answer, and what a process left pending is taken
//! up by [`Jobs::resume`] of the next one. Every job may run twice with the same outcome.

pub mod bases;
pub mod checks;
pub mod clusters;
pub mod compositions;
pub mod contexts;
pub mod images;
pub mod log;
mod names;
pub mod purge;
pub mod records;
mod removal;
mod token;

use std::{
    collections::{HashMap, hash_map::Entry},
    panic::AssertUnwindSafe,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::FutureExt;
use serde::Serialize;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument, error, info, info_span, warn};

use crate::{
    build::Upload,
    engine::Engine,
    error::{Error, Result},
    model::{Log, Name},
    puppet,
    registry::Registry,
    store::Store,
};
use records::{Kind, Record, Resource, Status};

/// What the jobs work with. Opened once, by [`crate::crane::Crane::open`].
pub struct Parts {
    pub store: Arc<dyn Store>,
    /// The engine that builds, and runs compositions that name no cluster.
    pub engine: Engine,
    /// `None`: images stay on the engine.
    pub registry: Option<Registry>,
    pub puppet: puppet::Settings,
    /// Holds `contexts/<token>`, the trees that Puppetfiles are installed into.
    pub data_dir: PathBuf,
    pub client_certs: Option<PathBuf>,
    pub base_provider: Name,
    /// Id of this Crane on the labels of what it makes.
    pub instance: String,
}

impl Parts {
    /// Where a context's modules are.
    fn context_dir(&self, token: &str) -> PathBuf {
        self.data_dir.join("contexts").join(token)
    }

    /// The labels of everything made for a resource.
    fn labels(&self, resource: &Resource) -> std::collections::BTreeMap<String, String> {
        [
            (crate::model::LABEL_INSTANCE, self.instance.clone()),
            (crate::model::LABEL_RESOURCE, resource.id.clone()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
    }
}

/// How many jobs of a sort run at the same time; the others wait in the order they came.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub installs: usize,
    pub builds: usize,
    pub deployments: usize,
}

/// Something to do with a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    /// Install, build, join or deploy: what the resource's kind calls for.
    Make,
    /// Take away all that belongs to it, then the record.
    Remove,
}

/// The one job that a resource may have at a time.
struct Running {
    task: Task,
    cancel: CancellationToken,
    /// Cancelled when the job has ended, however.
    ended: CancellationToken,
}

pub struct Jobs {
    pub parts: Parts,
    /// One build at a time for each name that images are pushed under.
    names: names::Names,
    installs: Semaphore,
    builds: Semaphore,
    deployments: Semaphore,
    running: Mutex<HashMap<Resource, Running>>,
    tracker: TaskTracker,
    stopping: CancellationToken,
}

impl Jobs {
    pub fn new(parts: Parts, limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            parts,
            names: names::Names::default(),
            installs: Semaphore::new(limits.installs),
            builds: Semaphore::new(limits.builds),
            deployments: Semaphore::new(limits.deployments),
            running: Mutex::default(),
            tracker: TaskTracker::new(),
            stopping: CancellationToken::new(),
        })
    }

    /// Takes up what an earlier process left pending. Called once, before the first request.
    pub async fn resume(self: &Arc<Self>) -> Result<()> {
        for kind in Kind::ALL {
            let records: Vec<Record<serde_json::Value>> =
                self.parts.store.read_all(&kind.prefix()).await?;
            for record in records.iter().filter(|record| record.status.is_pending()) {
                let id = match kind {
                    Kind::Base => &record.detail["name"],
                    _ => &record.detail["token"],
                };
                let resource = Resource::new(kind, id.as_str().unwrap_or_default());
                info!(%resource, status = ?record.status, "taking up what was left");
                let task = match record.status {
                    Status::Removing => Task::Remove,
                    _ => Task::Make,
                };
                self.start(resource, task);
            }
        }
        Ok(())
    }

    /// Ends all work within `grace`, then at once. Records stay pending, for the next process.
    pub async fn shut_down(&self, grace: Duration) {
        self.tracker.close();
        if tokio::time::timeout(grace, self.tracker.wait()).await.is_err() {
            self.stopping.cancel();
            self.tracker.wait().await;
        }
    }

    /// A short operation on one entry, never across an await. A panic in another holder cannot
    /// leave the map half changed, so poisoning is ignored.
    fn running(&self) -> MutexGuard<'_, HashMap<Resource, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores a new resource with what was posted for it and begins its work; not interrupted by
    /// a caller that goes away. [`Error::Conflict`] when the resource exists.
    async fn begin<T: Serialize + Send + Sync + 'static>(
        self: &Arc<Self>,
        resource: Resource,
        record: Record<T>,
        files: Vec<(&'static str, Upload)>,
    ) -> Result<Record<T>> {
        let jobs = Arc::clone(self);
        let beginning = self.tracker.spawn(async move {
            let store = &*jobs.parts.store;
            // The record comes first, as only one caller can create it.
            store.create(&resource.key(), &record).await?;
            for (field, file) in &files {
                if let Err(error) = records::keep_file(store, &resource, field, file).await {
                    records::forget(store, &resource).await?;
                    return Err(error);
                }
            }
            if record.status.is_pending() {
                jobs.start(resource, Task::Make);
            }
            Ok(record)
        });
        beginning.await.map_err(Error::internal)?
    }

    /// Starts a job behind the one that the resource may still have. A removal that is under way
    /// already is the one that was asked for.
    fn start(self: &Arc<Self>, resource: Resource, task: Task) {
        let cancel = self.stopping.child_token();
        let ended = CancellationToken::new();
        let job = Running { task, cancel: cancel.clone(), ended: ended.clone() };
        let before = match self.running().entry(resource.clone()) {
            Entry::Occupied(running)
                if (task, running.get().task) == (Task::Remove, Task::Remove) =>
            {
                return;
            }
            Entry::Occupied(mut running) => Some(running.insert(job)),
            Entry::Vacant(free) => {
                free.insert(job);
                None
            }
        };
        let jobs = Arc::clone(self);
        let span = info_span!("job", %resource, ?task);
        let work = async move {
            // Told last, after the entry below is gone, and also when this task is dropped: else
            // those who wait for it would wait for ever.
            let _ended = ended.drop_guard_ref();
            if let Some(before) = before {
                before.ended.cancelled().await;
            }
            jobs.execute(&resource, task, &cancel).await;
            let mut running = jobs.running();
            if running.get(&resource).is_some_and(|entry| entry.ended == ended) {
                running.remove(&resource);
            }
        };
        self.tracker.spawn(work.instrument(span));
    }

    /// Waits until the resource has no job.
    async fn wait(&self, resource: &Resource) {
        loop {
            let ended = self.running().get(resource).map(|running| running.ended.clone());
            let Some(ended) = ended else { return };
            ended.cancelled().await;
        }
    }

    /// Cancels what the resource is being made by; a removal waits until that has let go of
    /// everything, as every job waits for the one before it.
    fn stop(&self, resource: &Resource) {
        if let Some(running) = self.running().get(resource)
            && running.task == Task::Make
        {
            running.cancel.cancel();
        }
    }

    async fn execute(
        self: &Arc<Self>,
        resource: &Resource,
        task: Task,
        cancel: &CancellationToken,
    ) {
        let (sender, lines) = mpsc::channel(log::BACKLOG);
        let log = Log::new(sender);
        let work = async {
            let attempt = AssertUnwindSafe(self.attempt(resource, task, &log)).catch_unwind();
            let outcome = tokio::select! {
                biased;
                () = cancel.cancelled() => None,
                outcome = attempt => Some(outcome),
            };
            // Ends the reader of the log.
            drop(log);
            outcome
        };
        let (outcome, kept) = tokio::join!(work, log::keep(&*self.parts.store, resource, lines));
        if let Err(error) = kept {
            warn!(error = crate::error::chain(&error), "a part of the log is lost");
        }
        // The record changes after its log is complete, so whoever sees `finished` sees all of it.
        let recorded = match outcome {
            None => {
                info!("stopped");
                Ok(())
            }
            Some(Ok(Ok(description))) => self.finish(resource, task, description).await,
            Some(Ok(Err(error))) => self.fail(resource, task, &error).await,
            Some(Err(_panic)) => {
                self.fail(resource, task, &Error::internal("the job panicked")).await
            }
        };
        if let Err(error) = recorded {
            error!(error = crate::error::chain(&error), "the outcome could not be stored");
        }
    }

    /// One run of the trade; gives the description of its success.
    async fn attempt(
        self: &Arc<Self>,
        resource: &Resource,
        task: Task,
        log: &Log,
    ) -> Result<String> {
        info!("started");
        let id = resource.id.as_str();
        match (task, resource.kind) {
            (Task::Remove, _) => removal::run(self, resource, log).await,
            (Task::Make, Kind::Context) => {
                let _permit = permit(&self.installs).await?;
                contexts::install(&self.parts, id, log).await
            }
            (Task::Make, Kind::Base) => bases::build(self, id, log).await,
            (Task::Make, Kind::Image) => {
                // Before the permit, or waiting images could keep out the builds they wait for.
                images::wait_for_context(self, id).await?;
                images::build(self, id, log).await
            }
            (Task::Make, Kind::Cluster) => clusters::join(&self.parts, id).await,
            (Task::Make, Kind::Composition) => {
                let _permit = permit(&self.deployments).await?;
                compositions::deploy(&self.parts, id, log).await
            }
        }
    }

    async fn finish(&self, resource: &Resource, task: Task, description: String) -> Result<()> {
        info!(description, "finished");
        if task == Task::Remove {
            return records::forget(&*self.parts.store, resource).await;
        }
        let status = match resource.kind {
            Kind::Cluster => Status::Ready,
            _ => Status::Finished,
        };
        self.set(resource, task, status, description, Vec::new()).await
    }

    async fn fail(&self, resource: &Resource, task: Task, error: &Error) -> Result<()> {
        let mut description = match error {
            Error::Internal(_) => {
                error!(error = crate::error::chain(error), "failed");
                "an internal error, which is in Crane's own log".to_owned()
            }
            _ => {
                info!(error = %error, "failed");
                error.to_string()
            }
        };
        if task == Task::Remove {
            description = format!("not all could be removed: {description}. DELETE it again");
        }
        self.set(resource, task, Status::Error, description, error.problems().to_vec()).await
    }

    async fn set(
        &self,
        resource: &Resource,
        task: Task,
        status: Status,
        description: String,
        problems: Vec<crate::error::Problem>,
    ) -> Result<()> {
        self.parts
            .store
            .update(&resource.key(), |record: &mut Record<serde_json::Value>| {
                // Whoever asked for the removal is waiting for the work to end; it goes on to
                // remove, and so does the next process, if this one ends in between.
                if task == Task::Make && record.status == Status::Removing {
                    return;
                }
                record.status = status;
                record.description.clone_from(&description);
                record.problems.clone_from(&problems);
            })
            .await?;
        Ok(())
    }
}

async fn permit(semaphore: &Semaphore) -> Result<tokio::sync::SemaphorePermit<'_>> {
    semaphore.acquire().await.map_err(Error::internal)
}
