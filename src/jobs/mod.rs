//! The only room that spawns. A job is thin: read the record, call the trade, write the record.
//!
//! What is to be done is in the store before the caller gets an answer (`queue.rs`). Every process
//! on the store follows its feed (`follow.rs`), knows all unfinished jobs from it (`board.rs`), and
//! takes those it has room for (`work.rs`), each under a lease (`lease.rs`). A job of a process
//! that is gone is done by another one, or by the next. Every job may run twice with the same
//! outcome.

pub mod bases;
mod board;
mod cancel;
pub mod checks;
mod clear;
pub mod clusters;
pub mod compositions;
pub mod contexts;
pub mod events;
mod follow;
mod housekeeping;
pub mod images;
mod lease;
pub mod log;
mod mask;
mod migrate;
mod names;
pub mod purge;
mod queue;
pub mod records;
mod removal;
mod retry;
mod sweep;
mod token;
mod trees;
mod work;

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use secrecy::SecretString;
use serde::Serialize;
use tokio::{
    sync::{Notify, Semaphore, watch},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::info;

use crate::{
    build::Upload,
    engine::Engine,
    error::{Error, Result},
    model::Name,
    puppet,
    registry::Registry,
    store::{Batch, Expected, Store},
};
use board::Board;
use lease::Times;
use mask::Mask;
use queue::{Id, Job};
use records::{Record, Resource};

pub use housekeeping::Retention;
pub use queue::Task;

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
    /// Id of this Crane on the labels of what it makes. All processes on one store have the same.
    pub instance: String,
}

impl Parts {
    /// Where a context's modules are.
    fn context_dir(&self, token: &str) -> PathBuf {
        self.data_dir.join("contexts").join(token)
    }

    /// The labels of everything made for a resource.
    fn labels(&self, resource: &Resource) -> BTreeMap<String, String> {
        [
            (crate::model::LABEL_INSTANCE, self.instance.clone()),
            (crate::model::LABEL_RESOURCE, resource.id.clone()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
    }
}

/// What jobs are allowed.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How many of a sort run at the same time; the others wait in the order they came.
    pub installs: usize,
    pub builds: usize,
    pub deployments: usize,
    /// How long one may take.
    pub install_time: Duration,
    pub build_time: Duration,
    pub deployment_time: Duration,
    /// How often a job is tried again whose failure may pass by itself.
    pub retries: u32,
    /// How long a job stays with a process that gives no sign of life.
    pub lease: Duration,
    pub retention: Retention,
}

pub struct Jobs {
    pub parts: Parts,
    limits: Limits,
    /// Tells this process from others on the same store.
    owner: String,
    mask: Mask,
    times: Times,
    /// One installation or download at a time into a context's directory.
    trees: names::Names,
    installs: Arc<Semaphore>,
    builds: Arc<Semaphore>,
    deployments: Arc<Semaphore>,
    board: Mutex<Board>,
    /// The commit up to which the board knows everything; changes wake who waits for the board.
    seen: watch::Sender<u64>,
    /// When the store's feed was last heard.
    heard: Mutex<Instant>,
    /// Who waits for changes below a prefix of keys.
    followed: Mutex<HashMap<String, watch::Sender<u64>>>,
    /// Jobs that this process does, with what cancels them.
    working: Mutex<HashMap<Id, CancellationToken>>,
    /// Told when this process has room for another job.
    room: Notify,
    tracker: TaskTracker,
    stopping: CancellationToken,
}

/// A board that lags behind its store for so long does not follow it any more.
const SILENCE: Duration = Duration::from_secs(10);

/// Held for one short operation, never across an await. A panic in another holder cannot leave
/// what is behind these locks half changed, so poisoning is ignored.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Jobs {
    /// `secrets` are covered in logs.
    pub fn new(
        parts: Parts,
        limits: Limits,
        secrets: impl IntoIterator<Item = SecretString>,
    ) -> Arc<Self> {
        Arc::new(Self {
            parts,
            limits,
            owner: uuid::Uuid::new_v4().simple().to_string(),
            mask: Mask::new(secrets),
            times: Times::of(limits.lease),
            trees: names::Names::default(),
            installs: Arc::new(Semaphore::new(limits.installs)),
            builds: Arc::new(Semaphore::new(limits.builds)),
            deployments: Arc::new(Semaphore::new(limits.deployments)),
            board: Mutex::default(),
            seen: watch::Sender::new(0),
            heard: Mutex::new(Instant::now()),
            followed: Mutex::default(),
            working: Mutex::default(),
            room: Notify::new(),
            tracker: TaskTracker::new(),
            stopping: CancellationToken::new(),
        })
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        lock(&self.board)
    }

    /// Takes up what earlier processes left, and begins to do jobs. Called once, before the first
    /// request.
    pub async fn start(self: &Arc<Self>) -> Result<()> {
        migrate::migrate(&*self.parts.store).await?;
        let board = Board::load(&*self.parts.store).await?;
        self.seen.send_replace(board.revision);
        *self.board() = board;
        if self.parts.store.exclusive() {
            // Nobody else can be alive, so nobody is waited for.
            let held = self.board().held();
            for (job, beat) in held {
                self.take_over(&job, beat).await?;
            }
        }
        let jobs = Arc::clone(self);
        self.tracker.spawn(async move { jobs.follow().await });
        let jobs = Arc::clone(self);
        self.tracker.spawn(async move {
            let stopping = jobs.stopping.clone();
            let work = async {
                jobs.sweep().await;
                jobs.keep_house().await;
            };
            stopping.run_until_cancelled(work).await;
        });
        Ok(())
    }

    /// Ends all work within `grace`, then at once. Jobs go back into the queue.
    pub async fn shut_down(&self, grace: Duration) {
        let done = async {
            while !lock(&self.working).is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        // Jobs that end in time may be followed by others; those are for the next process.
        self.installs.close();
        self.builds.close();
        self.deployments.close();
        let _ = tokio::time::timeout(grace, done).await;
        self.stopping.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// Stores a new resource with what was posted for it, and the job that makes it: all in one
    /// commit, or nothing. [`Error::Conflict`] when the resource exists.
    async fn begin<T: Serialize + Send + Sync>(
        &self,
        resource: &Resource,
        record: Record<T>,
        files: Vec<(&'static str, Upload)>,
        job: Option<Job>,
    ) -> Result<Record<T>> {
        let mut batch = Batch::new()
            .check(resource.key(), Expected::Absent)
            .put_record(resource.key(), &record)?;
        for (field, file) in &files {
            batch = batch.put_record(resource.file_key(field), file)?;
        }
        batch = events::append(batch, resource, &record, job.as_ref().map(Job::news_of_new))?;
        if let Some(job) = &job {
            batch = queue::enqueue(batch, job)?;
        }
        match self.parts.store.commit(batch).await? {
            Some(_) => Ok(record),
            None => Err(Error::Conflict(format!(
                "the {} '{}' exists already",
                resource.kind, resource.id
            ))),
        }
    }

    /// Waits until the board knows what was committed before this call.
    async fn catch_up(&self) -> Result<()> {
        let now = self.parts.store.revision().await?;
        let mut seen = self.seen.subscribe();
        tokio::select! {
            // An error is the end of this process's jobs.
            _ = seen.wait_for(|seen| *seen >= now) => Ok(()),
            () = self.stopping.cancelled() => Err(being_stopped()),
            () = tokio::time::sleep(SILENCE) => {
                let reason = "it takes commits, but its feed of changes is silent";
                Err(Error::passing("store", reason, None))
            }
        }
    }

    /// Waits until the resource has no job, whoever does them.
    async fn wait(&self, resource: &Resource) -> Result<()> {
        self.catch_up().await?;
        let mut seen = self.seen.subscribe();
        loop {
            seen.mark_unchanged();
            if !self.board().has(resource) {
                return Ok(());
            }
            tokio::select! {
                _ = seen.changed() => {}
                () = self.stopping.cancelled() => return Err(being_stopped()),
            }
        }
    }

    /// The job that is being done for a resource, or is the next to be: `None` when there is none.
    pub fn job_of(&self, resource: &Resource) -> Option<events::JobNews> {
        let board = self.board();
        let first = board.of(resource).next()?;
        Some(first.job.news(first.id))
    }

    /// How long ago the store's feed was last heard.
    fn silence(&self) -> Duration {
        lock(&self.heard).elapsed()
    }

    /// How many jobs there are that have not ended.
    pub fn unfinished(&self) -> usize {
        self.board().len()
    }

    /// Wakes whenever something is committed below one of the store's prefixes. The value is the
    /// revision of the last such commit that was seen.
    fn watch(&self, prefix: &str) -> watch::Receiver<u64> {
        let mut followed = lock(&self.followed);
        // Prefixes that nobody watches any more.
        followed.retain(|_, sender| sender.receiver_count() > 0);
        followed.entry(prefix.to_owned()).or_insert_with(|| watch::Sender::new(0)).subscribe()
    }

    /// Wakes when the record of a resource changes.
    pub fn watch_record(&self, resource: &Resource) -> watch::Receiver<u64> {
        self.watch(&resource.key())
    }

    /// Wakes when an event is stored.
    pub fn watch_events(&self) -> watch::Receiver<u64> {
        self.watch(events::EVENTS)
    }
}

fn being_stopped() -> Error {
    info!("a request ends because Crane is being stopped");
    Error::Busy("Crane is being stopped; what was asked for goes on after".into())
}
