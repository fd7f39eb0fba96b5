//! Jobs in the store: what is to be done, who does it, and every change of that as one commit.
//!
//! | key | value |
//! |---|---|
//! | `job:<number>` | [`Job`]; the number is the revision it was stored at, so jobs are in order |
//! | `lease:<number>` | who does it; its revision is the fence of all that the holder writes |
//! | `beat:<number>` | written again every few seconds by the holder |
//! | `cancel:<number>` | somebody wants the holder to stop |
//! | `lock:<name>` | the number of the job that has the name for itself |
//!
//! No clock is compared with another machine's, nor with its own past: a lease is over when its
//! beat has been seen not to change for the lease's time. A job that has ended is gone from the
//! store, in the same commit that writes its outcome into the record of its resource.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    events::{self, JobNews},
    records::{Outcome, Record, Resource},
};
use crate::{
    error::Result,
    store::{Batch, Expected, Store},
};

pub(super) const JOBS: &str = "job:";
pub(super) const BEATS: &str = "beat:";
pub(super) const CANCELS: &str = "cancel:";

/// Something to do with a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Install, build, join or deploy: what the resource's kind calls for.
    Make,
    /// Take away all that belongs to it, then the record.
    Remove,
}

/// Where an unfinished job stands; how jobs end is [`Outcome`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    Queued,
    /// Somebody has it and has not begun yet.
    Leased,
    Running,
}

/// How a job ends once what it made is cleared away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ending {
    pub(super) outcome: Outcome,
    pub(super) description: String,
}

impl Ending {
    pub(super) fn cancelled() -> Self {
        Self { outcome: Outcome::Cancelled, description: "cancelled".into() }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Job {
    pub(super) resource: Resource,
    pub(super) task: Task,
    /// Begins when this resource has no jobs any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) after: Option<Resource>,
    /// Names besides its resource that no other job may have at the same time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) claims: Vec<String>,
    pub(super) state: State,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) step: Option<String>,
    /// How often it was begun.
    #[serde(default)]
    pub(super) attempt: u32,
    /// How often it failed of what may pass, and was tried again for that.
    #[serde(default)]
    pub(super) failures: u32,
    /// How often whoever did it died of it, or with it.
    #[serde(default)]
    pub(super) crashes: u32,
    /// Milliseconds to wait before it is begun (again), from when it is seen to be queued.
    #[serde(default)]
    pub(super) delay: u64,
    /// All that is left to do is to clear away what it made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ending: Option<Ending>,
}

impl Job {
    pub(super) fn new(resource: Resource, task: Task) -> Self {
        Self {
            resource,
            task,
            after: None,
            claims: Vec::new(),
            state: State::Queued,
            step: None,
            attempt: 0,
            failures: 0,
            crashes: 0,
            delay: 0,
            ending: None,
        }
    }

    /// What it has for itself while it is leased.
    pub(super) fn locks(&self) -> impl Iterator<Item = String> {
        let resource = format!("lock:resource:{}", self.resource);
        let claims = self.claims.iter().map(|claim| format!("lock:{claim}"));
        std::iter::once(resource).chain(claims)
    }

    /// That it is queued, in the commit that stores it.
    pub(super) fn news_of_new(&self) -> JobNews {
        self.news(Id(0))
    }

    pub(super) fn news(&self, id: Id) -> JobNews {
        let state = match self.state {
            State::Queued => "queued",
            State::Leased => "leased",
            State::Running => "running",
        };
        JobNews {
            number: id.0,
            task: self.task,
            state: state.into(),
            step: self.step.clone(),
            attempt: self.attempt,
        }
    }
}

/// Which job: the revision it was stored at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Id(pub(super) u64);

impl Id {
    /// Of a key below `prefix`; `None`: it is none.
    pub(super) fn of(key: &str, prefix: &str) -> Option<Self> {
        key.strip_prefix(prefix)?.parse().ok().map(Self)
    }

    pub(super) fn key(self) -> String {
        format!("{JOBS}{self}")
    }

    fn lease(self) -> String {
        format!("lease:{self}")
    }

    pub(super) fn beat(self) -> String {
        format!("{BEATS}{self}")
    }

    pub(super) fn cancel(self) -> String {
        format!("{CANCELS}{self}")
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:020}", self.0)
    }
}

/// A job at a revision.
#[derive(Debug, Clone)]
pub(super) struct Versioned {
    pub(super) id: Id,
    pub(super) revision: u64,
    pub(super) job: Job,
}

/// Adds a new job to what is committed with it.
pub(super) fn enqueue(batch: Batch, job: &Job) -> Result<Batch> {
    batch.append_record(JOBS, job)
}

/// Proof that a job is ours: all that its holder writes is on condition of the fence.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fence {
    pub(super) id: Id,
    revision: u64,
}

impl Fence {
    pub(super) fn batch(self) -> Batch {
        Batch::new().check(self.id.lease(), Expected::Revision(self.revision))
    }

    /// Whether nobody has taken the job over.
    pub(super) async fn holds(self, store: &dyn Store) -> Result<bool> {
        Ok(store.get(&self.id.lease()).await?.map(|lease| lease.revision) == Some(self.revision))
    }
}

/// Takes a queued job, with all its locks. `None`: it, or a lock, is somebody else's.
pub(super) async fn acquire(
    store: &dyn Store,
    queued: &Versioned,
    owner: &str,
) -> Result<Option<(Fence, Versioned)>> {
    let Versioned { id, revision, job } = queued;
    let mut job = job.clone();
    job.state = State::Leased;
    job.attempt += 1;
    let mut batch = Batch::new()
        .check(id.key(), Expected::Revision(*revision))
        .put_record(id.key(), &job)?
        .put(id.lease(), owner.into())
        .put(id.beat(), Vec::new());
    for lock in job.locks() {
        batch = batch.check(&lock, Expected::Absent).put(lock, id.to_string().into_bytes());
    }
    let batch = events::append_job(batch, &job.resource, job.news(*id))?;
    let Some(revision) = store.commit(batch).await? else { return Ok(None) };
    Ok(Some((Fence { id: *id, revision }, Versioned { id: *id, revision, job })))
}

/// Who has a job, and the fence of that.
pub(super) async fn holder(store: &dyn Store, id: Id) -> Result<Option<(String, Fence)>> {
    let Some(lease) = store.get(&id.lease()).await? else { return Ok(None) };
    let owner = String::from_utf8_lossy(&lease.value).into_owned();
    Ok(Some((owner, Fence { id, revision: lease.revision })))
}

/// Says that the holder is there. `false`: it is not the holder any more.
pub(super) async fn beat(store: &dyn Store, fence: Fence) -> Result<bool> {
    let batch = fence.batch().put(fence.id.beat(), Vec::new());
    Ok(store.commit(batch).await?.is_some())
}

/// Writes what the holder has changed of its job. `false`: it is not the holder any more.
pub(super) async fn change(
    store: &dyn Store,
    fence: Fence,
    current: &mut Versioned,
    change: impl Fn(&mut Job),
) -> Result<bool> {
    let mut job = current.job.clone();
    change(&mut job);
    let batch = fence
        .batch()
        .check(current.id.key(), Expected::Revision(current.revision))
        .put_record(current.id.key(), &job)?;
    let batch = events::append_job(batch, &job.resource, job.news(current.id))?;
    Ok(match store.commit(batch).await? {
        Some(revision) => {
            *current = Versioned { id: current.id, revision, job };
            true
        }
        None => false,
    })
}

/// What gives the lease and the locks of a job back.
fn let_go(batch: Batch, id: Id, job: &Job) -> Batch {
    let batch = batch.delete(id.lease()).delete(id.beat());
    job.locks().fold(batch, Batch::delete)
}

/// Puts a leased job back into the queue, as `job` says.
pub(super) fn requeue(batch: Batch, current: &Versioned, mut job: Job) -> Result<Batch> {
    job.state = State::Queued;
    job.step = None;
    let id = current.id;
    let batch =
        batch.check(id.key(), Expected::Revision(current.revision)).put_record(id.key(), &job)?;
    let batch = events::append_job(batch, &job.resource, job.news(id))?;
    Ok(let_go(batch, id, &current.job))
}

/// Takes a job from a holder that is gone: `beat` is the revision of its last sign of life. Without
/// a fence there is no holder at all, as in a store that was imported. `false`: it has given one
/// since, or somebody else was faster.
pub(super) async fn take_over(
    store: &dyn Store,
    current: &Versioned,
    fence: Option<Fence>,
    beat: u64,
    job: Job,
) -> Result<bool> {
    let id = current.id;
    let batch = match fence {
        Some(fence) => fence.batch().check(id.beat(), Expected::Revision(beat)),
        None => Batch::new().check(id.lease(), Expected::Absent),
    };
    Ok(store.commit(requeue(batch, current, job)?).await?.is_some())
}

/// Takes a job out of the store, whether it is leased or not.
pub(super) fn dequeue(batch: Batch, current: &Versioned) -> Batch {
    let Versioned { id, revision, job } = current;
    let batch =
        batch.check(id.key(), Expected::Revision(*revision)).delete(id.key()).delete(id.cancel());
    match job.state {
        State::Queued => batch,
        State::Leased | State::Running => let_go(batch, *id, job),
    }
}

/// Lets a waiting job begin at once, only to clear away what it made. `false`: it waits no more.
pub(super) async fn hurry_to_end(
    store: &dyn Store,
    current: &Versioned,
    ending: Ending,
) -> Result<bool> {
    let id = current.id;
    let job = Job { delay: 0, ending: Some(ending), ..current.job.clone() };
    let batch = Batch::new()
        .check(id.key(), Expected::Revision(current.revision))
        .put_record(id.key(), &job)?;
    Ok(store.commit(batch).await?.is_some())
}

/// Asks the holder of a job to stop. `false`: the job has ended.
pub(super) async fn ask_to_stop(store: &dyn Store, id: Id) -> Result<bool> {
    let batch = Batch::new().check(id.key(), Expected::Present).put(id.cancel(), Vec::new());
    Ok(store.commit(batch).await?.is_some())
}

/// The record as it is after a job has ended, with the event that tells of it.
pub(super) fn record_end(
    batch: Batch,
    current: &Versioned,
    record: &Record<serde_json::Value>,
    revision: u64,
    outcome: Outcome,
) -> Result<Batch> {
    let resource = &current.job.resource;
    let batch = batch
        .check(resource.key(), Expected::Revision(revision))
        .put_record(resource.key(), record)?;
    let news = JobNews { state: outcome.as_str().into(), ..current.job.news(current.id) };
    events::append(batch, resource, record, Some(news))
}
