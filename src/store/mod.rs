//! The only room that persists. Records are bytes under keys, behind one trait.
//!
//! A backend is a file here, a line in [`open`], and a line in the conformance list of
//! `tests/store.rs`. It gives reads, atomic batches and a feed of what changed; typed records
//! (`records.rs`) are made of these, once for all backends.

mod batch;
mod export;
mod feed;
mod filesystem;
mod memory;
mod records;
mod redis;

use std::{path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::error::{Error, Result};

pub use batch::{Batch, Expected, Op};
pub use export::{Exported, export, import};
pub use records::Stored;

/// The value under a key, and which commit made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Of the commit that wrote it. Grows with every commit to the store and is never used twice,
    /// so a record that was deleted and made again has another one.
    pub revision: u64,
    pub value: Vec<u8>,
}

/// One commit: its revision, and the keys it wrote or deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub revision: u64,
    pub keys: Vec<String>,
}

/// What was committed after a revision, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    pub changes: Vec<Change>,
    /// `false`: older changes after the revision are forgotten by now, so whoever follows reads
    /// what it follows anew.
    pub complete: bool,
}

/// What every backend promises; `tests/store.rs` holds each to it.
///
/// A call that returned `Ok` has been made durable as far as the backend can. Keys are UTF-8 and
/// ordered by their bytes.
#[async_trait]
pub trait Store: Send + Sync {
    async fn get(&self, key: &str) -> Result<Option<Entry>>;

    /// At most `limit` records whose keys begin with `prefix`, in key order, beginning behind
    /// the key `after`.
    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Entry)>>;

    /// Does all of the batch, or nothing: `None` when one of its checks does not hold. Whoever
    /// reads sees all of it or nothing, also after a kill. Gives the revision that all of its
    /// records have from now on.
    async fn commit(&self, batch: Batch) -> Result<Option<u64>>;

    /// Commits after the revision `after`, in their order; none of them is left out, unless the
    /// answer says that it is not complete: then whoever follows reads what it follows anew, and
    /// goes on from the `revision` that it asked for before. Waits for one as long as `wait` when
    /// there is none. An answer may hold only the first of many; the next one goes on behind them.
    /// At least the last 10,000 commits of the running process, or of Redis, are remembered.
    async fn changes(&self, after: u64, wait: Duration) -> Result<Changes>;

    /// The revision of the last commit.
    async fn revision(&self) -> Result<u64>;

    /// Whether no other process can have this store open at the same time.
    fn exclusive(&self) -> bool;
}

/// Opens the backend that the URL names: `memory:`, `filesystem:` (in the data directory),
/// `filesystem:/path`, `redis://...` or `rediss://...`.
///
/// A store that an import left half filled is refused.
pub async fn open(url: &str, data_dir: &Path) -> Result<Arc<dyn Store>> {
    let store: Arc<dyn Store> = match url.split_once(':') {
        Some(("memory", "")) => Arc::new(memory::Memory::default()),
        Some(("filesystem", "")) => Arc::new(filesystem::open(&data_dir.join("store")).await?),
        Some(("filesystem", path)) => Arc::new(filesystem::open(Path::new(path)).await?),
        Some(("redis" | "rediss", _)) => Arc::new(redis::open(url).await?),
        _ => {
            return Err(Error::invalid(
                "the store is none of 'memory:', 'filesystem:', 'filesystem:/path', \
                 'redis://host:port/db', 'rediss://host:port/db'",
            ));
        }
    };
    export::refuse_half_imported(&*store).await?;
    Ok(store)
}

/// The least key that is greater than every key with this prefix; `None` when there is no such
/// key (an empty prefix, or one of 0xFF bytes only, which UTF-8 does not have).
fn after_prefix(prefix: &str) -> Option<Vec<u8>> {
    let mut end = prefix.as_bytes().to_vec();
    *end.last_mut()? += 1;
    Some(end)
}
