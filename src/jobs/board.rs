//! All unfinished jobs as this process knows them, from the store's feed of changes.
//!
//! The board says which job is next and whose holder has gone quiet. It may lag behind the store
//! by a moment, never tell something else: whatever follows from it is committed on condition that
//! the store still says the same.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    queue::{BEATS, Id, JOBS, Job, State, Task, Versioned},
    records::{Kind, Resource},
};
use crate::{
    error::Result,
    store::{Entry, Store},
};

/// Jobs of one class share a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Install,
    Build,
    Deploy,
    /// A question to an engine, or a removal: as many as there are.
    Unlimited,
}

impl Class {
    pub(super) fn of(job: &Job) -> Self {
        // To clear away is not what the limits are for.
        if job.ending.is_some() {
            return Self::Unlimited;
        }
        match (job.task, job.resource.kind) {
            (Task::Make, Kind::Context) => Self::Install,
            (Task::Make, Kind::Base | Kind::Image) => Self::Build,
            (Task::Make, Kind::Composition) => Self::Deploy,
            (Task::Make, Kind::Cluster) | (Task::Remove, _) => Self::Unlimited,
        }
    }
}

struct Seen {
    current: Versioned,
    /// When this version was first seen: a delay counts from here.
    since: Instant,
    /// The last sign of life of its holder: which, and when it was first seen.
    beat: (u64, Instant),
}

#[derive(Default)]
pub(super) struct Board {
    jobs: BTreeMap<Id, Seen>,
    by_resource: HashMap<Resource, BTreeSet<Id>>,
    /// The commit up to which the board knows everything.
    pub(super) revision: u64,
}

/// What is read from the store for one change, before the board is locked.
pub(super) enum News {
    Job(Id, Option<(u64, Job)>),
    Beat(Id, u64),
}

impl Board {
    /// Every unfinished job there is, with the beats of those that are held.
    pub(super) async fn load(store: &dyn Store) -> Result<Self> {
        // First, so that what is committed meanwhile is seen again in the feed.
        let revision = store.revision().await?;
        let mut board = Self { revision, ..Self::default() };
        for prefix in [JOBS, BEATS] {
            let mut after: Option<String> = None;
            loop {
                let page = store.list(prefix, after.as_deref(), 500).await?;
                for (key, entry) in &page {
                    if let Some(news) = news(key, Some(entry)) {
                        board.apply(news);
                    }
                }
                match page.into_iter().last() {
                    Some((last, _)) => after = Some(last),
                    None => break,
                }
            }
        }
        Ok(board)
    }

    /// Takes over a newer board, but for when things were first seen.
    pub(super) fn replace(&mut self, mut newer: Self) {
        for (id, seen) in &mut newer.jobs {
            let Some(known) = self.jobs.get(id) else { continue };
            if known.current.revision == seen.current.revision {
                seen.since = known.since;
            }
            if known.beat.0 == seen.beat.0 {
                seen.beat = known.beat;
            }
        }
        *self = newer;
    }

    pub(super) fn apply(&mut self, news: News) {
        let now = Instant::now();
        match news {
            News::Job(id, Some((revision, job))) => {
                let known = self.jobs.get(&id);
                if known.is_some_and(|known| known.current.revision >= revision) {
                    return;
                }
                // Whoever writes the job is alive at that moment.
                let beat = (known.map_or(0, |known| known.beat.0), now);
                self.by_resource.entry(job.resource.clone()).or_default().insert(id);
                let current = Versioned { id, revision, job };
                self.jobs.insert(id, Seen { current, since: now, beat });
            }
            News::Job(id, None) => {
                let Some(seen) = self.jobs.remove(&id) else { return };
                if let Some(ids) = self.by_resource.get_mut(&seen.current.job.resource) {
                    ids.remove(&id);
                    if ids.is_empty() {
                        self.by_resource.remove(&seen.current.job.resource);
                    }
                }
            }
            News::Beat(id, revision) => {
                if let Some(seen) = self.jobs.get_mut(&id)
                    && seen.beat.0 < revision
                {
                    seen.beat = (revision, now);
                }
            }
        }
    }

    /// The unfinished jobs of a resource, in their order.
    pub(super) fn of(&self, resource: &Resource) -> impl Iterator<Item = &Versioned> {
        let ids = self.by_resource.get(resource).into_iter().flatten();
        ids.filter_map(|id| Some(&self.jobs.get(id)?.current))
    }

    pub(super) fn has(&self, resource: &Resource) -> bool {
        self.by_resource.contains_key(resource)
    }

    /// How many jobs are not finished.
    pub(super) fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Jobs that could begin now, oldest first; and when the next of those that wait for their
    /// time is due. `free` says whether a class has room, and is asked for each job.
    pub(super) fn ready(
        &self,
        mut free: impl FnMut(Class) -> bool,
    ) -> (Vec<Versioned>, Option<Instant>) {
        let mut due: Option<Instant> = None;
        let mut ready = Vec::new();
        let held = self.jobs.values().filter(|seen| seen.current.job.state != State::Queued);
        let mut locks: BTreeSet<String> = held.flat_map(|seen| seen.current.job.locks()).collect();
        let mut full: Vec<Class> = Vec::new();
        for (id, seen) in &self.jobs {
            let job = &seen.current.job;
            let first = self.by_resource.get(&job.resource).and_then(BTreeSet::first) == Some(id);
            let waits = job.after.as_ref().is_some_and(|resource| self.has(resource));
            if job.state != State::Queued || !first || waits {
                continue;
            }
            let when = seen.since + Duration::from_millis(job.delay);
            if when > Instant::now() {
                due = Some(due.map_or(when, |due| due.min(when)));
                continue;
            }
            // Thousands may wait for a class that is full; its locks are not looked at.
            let class = Class::of(job);
            if full.contains(&class) || job.locks().any(|lock| locks.contains(&lock)) {
                continue;
            }
            if !free(class) {
                full.push(class);
                continue;
            }
            locks.extend(job.locks());
            ready.push(seen.current.clone());
        }
        (ready, due)
    }

    /// Held jobs whose holders have given no sign of life for `lease`, each with the revision of
    /// the last; and when the next could be one.
    pub(super) fn quiet(&self, lease: Duration) -> (Vec<(Versioned, u64)>, Option<Instant>) {
        let now = Instant::now();
        let mut next: Option<Instant> = None;
        let mut quiet = Vec::new();
        for seen in self.jobs.values().filter(|seen| seen.current.job.state != State::Queued) {
            let over = seen.beat.1 + lease;
            if over <= now {
                quiet.push((seen.current.clone(), seen.beat.0));
            } else {
                next = Some(next.map_or(over, |next| next.min(over)));
            }
        }
        (quiet, next)
    }

    /// All jobs that somebody holds, each with the revision of the last sign of life.
    pub(super) fn held(&self) -> Vec<(Versioned, u64)> {
        let held = self.jobs.values().filter(|seen| seen.current.job.state != State::Queued);
        held.map(|seen| (seen.current.clone(), seen.beat.0)).collect()
    }
}

/// What a key of the feed means for the board, with what the store has under it now.
pub(super) fn news(key: &str, entry: Option<&Entry>) -> Option<News> {
    if let Some(id) = Id::of(key, JOBS) {
        let Some(entry) = entry else { return Some(News::Job(id, None)) };
        return match serde_json::from_slice(&entry.value) {
            Ok(job) => Some(News::Job(id, Some((entry.revision, job)))),
            // One that a newer Crane wrote, or that is damaged, must not hold up all others.
            Err(error) => {
                tracing::error!(key, %error, "a job cannot be read, and is left alone");
                None
            }
        };
    }
    let (id, entry) = Id::of(key, BEATS).zip(entry)?;
    Some(News::Beat(id, entry.revision))
}
