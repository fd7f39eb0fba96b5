//! Batches of all writers, written by whoever came first: many for one flush of the disk.
//!
//! One blocking thread at a time takes all that wait, applies them one after another, flushes
//! once, tells the feed and answers. So commits have their order from one place, a flush covers
//! whole batches only, and the feed shows nothing that a kill could take back. A writer that
//! stops waiting has no influence: what it handed over is done and told like everything else.

use std::{
    fs::File,
    io, mem,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard},
};

use tokio::sync::oneshot;

use super::{failure, pack, split, unusable};
use crate::{
    error::{Error, Result},
    store::{Batch, Change, Expected, Op, feed::Feed},
};

/// What begins something new is refused while the disk has less room than this. An error inside
/// sled would end all use of it until the next start, so its files must never be what fills the
/// disk.
const ROOM_FOR_NEW: u64 = 16 * 1024 * 1024;

/// What finishes work or makes room goes on until less than this is left.
const ROOM_FOR_OLD: u64 = 4 * 1024 * 1024;

pub(super) struct Committer {
    pub(super) db: sled::Db,
    pub(super) feed: Feed,
    directory: PathBuf,
    queue: Mutex<Queue>,
    /// Written while a batch of several records is applied; sled makes it one for a kill, not
    /// for whoever walks over the records.
    applying: RwLock<()>,
    _lock: File,
}

#[derive(Default)]
struct Queue {
    waiting: Vec<Waiting>,
    /// Whether a thread is at work that will look at the queue again.
    led: bool,
}

struct Waiting {
    batch: Batch,
    answer: oneshot::Sender<Outcome>,
}

type Outcome = Result<Option<u64>>;

impl Committer {
    pub(super) fn new(directory: PathBuf, db: sled::Db, lock: File) -> Result<Self> {
        // A new number for this run, made durable: sled persists numbers in large steps, and one
        // that nobody has seen on disk could be given again after a kill.
        let opened = db.generate_id().map_err(failure)?;
        db.flush().map_err(failure)?;
        Ok(Self {
            db,
            feed: Feed::behind(opened),
            directory,
            queue: Mutex::default(),
            applying: RwLock::default(),
            _lock: lock,
        })
    }

    /// Held for short operations only. A panic in another holder cannot leave it half changed, so
    /// poisoning is ignored.
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As long as this is held, reads that belong together see batches whole.
    pub(super) fn no_batch_half_done(&self) -> RwLockReadGuard<'_, ()> {
        self.applying.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn commit(self: &Arc<Self>, batch: Batch) -> Outcome {
        let (answer, answered) = oneshot::channel();
        let leads = {
            let mut queue = self.queue();
            queue.waiting.push(Waiting { batch, answer });
            !mem::replace(&mut queue.led, true)
        };
        if leads {
            let lead = Lead(Some(Arc::clone(self)));
            drop(tokio::task::spawn_blocking(move || lead.run()));
        }
        answered.await.unwrap_or_else(|_| {
            Err(Error::unavailable("store", "a commit was cut off; whether it was made is unknown"))
        })
    }

    /// Gives what the batches come to, to be told once nothing of them can be lost.
    fn write(&self, round: Vec<Waiting>) -> Vec<(oneshot::Sender<Outcome>, Outcome)> {
        let mut room = self.room();
        let mut changes = Vec::new();
        let mut outcomes = Vec::with_capacity(round.len());
        for Waiting { batch, answer } in round {
            let outcome = self.demand(&mut room, &batch).and_then(|()| self.apply(batch));
            outcomes.push((
                answer,
                outcome.map(|change| {
                    change.map(|change| {
                        let revision = change.revision;
                        changes.push(change);
                        revision
                    })
                }),
            ));
        }
        // A batch that was refused is answered by what an earlier one of this round wrote, so it
        // waits for the flush too.
        if !changes.is_empty() {
            match self.db.flush() {
                Ok(_) => self.feed.publish(changes),
                Err(error) => {
                    for (_, outcome) in &mut outcomes {
                        *outcome = Err(Error::unavailable("store", &error));
                    }
                }
            }
        }
        outcomes
    }

    fn apply(&self, batch: Batch) -> Result<Option<Change>> {
        let revision_of = |key: &str| match self.db.get(key).map_err(failure)? {
            Some(bytes) => Ok(Some(split(&bytes)?.0)),
            None => Ok(None),
        };
        if !batch.allowed(revision_of)? {
            return Ok(None);
        }
        let revision = self.db.generate_id().map_err(failure)?;
        let mut keys = Vec::new();
        let mut writes = sled::Batch::default();
        for (key, value) in batch.writes(revision) {
            match value {
                Some(value) => writes.insert(key.as_str(), pack(revision, &value)),
                None => writes.remove(key.as_str()),
            }
            keys.push(key);
        }
        let _applying = self.applying.write().unwrap_or_else(PoisonError::into_inner);
        self.db.apply_batch(writes).map_err(failure)?;
        Ok(Some(Change { revision, keys }))
    }

    /// How many bytes the disk has free.
    fn room(&self) -> io::Result<u64> {
        let disk = rustix::fs::statvfs(&self.directory)?;
        Ok(disk.f_bavail * disk.f_frsize)
    }

    /// Takes what the batch needs from the room that this round has.
    fn demand(&self, room: &mut io::Result<u64>, batch: &Batch) -> Result<()> {
        let left = match room {
            Ok(left) => left,
            Err(error) => return Err(unusable(&self.directory, error)),
        };
        let (reserve, size) = (reserve(batch), size(batch));
        if *left < reserve.saturating_add(size) {
            let directory = self.directory.display();
            let reason = format!("the disk of {directory} is full; make room on it");
            return Err(Error::unavailable("store", reason));
        }
        *left -= size;
        Ok(())
    }
}

/// A batch that expects a key to be absent, or that expects nothing and writes, begins something
/// new. One that only expects things to be there goes on with what was begun, and one that only
/// deletes makes room.
fn reserve(batch: &Batch) -> u64 {
    let checks = || {
        batch.0.iter().filter_map(|op| match op {
            Op::Check { expected, .. } => Some(*expected),
            _ => None,
        })
    };
    let begins = checks().any(|expected| expected == Expected::Absent);
    let goes_on = checks().next().is_some() && !begins;
    match goes_on || size(batch) == 0 {
        true => ROOM_FOR_OLD,
        false => ROOM_FOR_NEW,
    }
}

/// Of what it puts.
fn size(batch: &Batch) -> u64 {
    batch
        .0
        .iter()
        .map(|op| match op {
            Op::Put { key, value } => key.len() + value.len(),
            Op::Append { prefix, value } => prefix.len() + value.len(),
            Op::Check { .. } | Op::Delete { .. } => 0,
        } as u64)
        .sum()
}

/// The duty to work the queue off; `None` once it is done.
struct Lead(Option<Arc<Committer>>);

impl Lead {
    fn run(mut self) {
        loop {
            let Some(committer) = &self.0 else { return };
            let round = mem::take(&mut committer.queue().waiting);
            let outcomes = committer.write(round);
            {
                let mut queue = committer.queue();
                queue.led = !queue.waiting.is_empty();
                if !queue.led {
                    drop(queue);
                    // Before the answers: whoever has the last one may close the store and open
                    // it again at once, which takes this thread to have let go of it.
                    self.0 = None;
                }
            }
            for (answer, outcome) in outcomes {
                // An error means that nobody waits for it any more.
                let _ = answer.send(outcome);
            }
        }
    }
}

/// After a panic, or when the runtime ends before the thread began: those who wait are told by
/// their ends of the channels, and the next one leads again.
impl Drop for Lead {
    fn drop(&mut self) {
        if let Some(committer) = &self.0 {
            *committer.queue() = Queue::default();
        }
    }
}
