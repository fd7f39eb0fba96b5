//! The only room that persists. Records are bytes under keys, behind one trait.
//!
//! A backend is a file here, a line in [`open`], and a line in the conformance list of
//! `tests/store.rs`.

mod filesystem;
mod memory;
mod records;
mod redis;

use std::{path::Path, sync::Arc};

use async_trait::async_trait;

use crate::error::{Error, Result};

pub use records::Stored;

/// The value under a key, and which write made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Grows with every write to the store and is never used twice, so a record that was deleted
    /// and made again has another one.
    pub revision: u64,
    pub value: Vec<u8>,
}

/// What every backend promises; `tests/store.rs` holds each to it.
///
/// A call that returned `Ok` has been made durable as far as the backend can. Keys are UTF-8 and
/// ordered by their bytes.
#[async_trait]
pub trait Store: Send + Sync {
    async fn get(&self, key: &str) -> Result<Option<Entry>>;

    /// Creates a record; `false` (and nothing changed) when the key exists.
    async fn put_if_absent(&self, key: &str, value: Vec<u8>) -> Result<bool>;

    /// Replaces a record that still has this revision; `false` (and nothing changed) otherwise.
    async fn compare_and_set(&self, key: &str, revision: u64, value: Vec<u8>) -> Result<bool>;

    /// Removes a record; `false` when there was none.
    async fn delete(&self, key: &str) -> Result<bool>;

    /// At most `limit` records whose keys begin with `prefix`, in key order, beginning behind
    /// the key `after`.
    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Entry)>>;
}

/// Opens the backend that the URL names: `memory:`, `filesystem:` (in the data directory),
/// `filesystem:/path`, `redis://...` or `rediss://...`.
pub async fn open(url: &str, data_dir: &Path) -> Result<Arc<dyn Store>> {
    Ok(match url.split_once(':') {
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
    })
}

/// The least key that is greater than every key with this prefix; `None` when there is no such
/// key (an empty prefix, or one of 0xFF bytes only, which UTF-8 does not have).
fn after_prefix(prefix: &str) -> Option<Vec<u8>> {
    let mut end = prefix.as_bytes().to_vec();
    *end.last_mut()? += 1;
    Some(end)
}
