//! Records in a directory, through sled.
//!
//! A commit is durable once a flush that began after it has ended, and a kill can leave a
//! half-written `snap.*.generating` that keeps sled from opening although nothing is lost; so these
//! files are deleted first (measured over thousands of SIGKILLs). `opening.rs` does that, and
//! `committer.rs` writes.
//!
//! Never `flush_async`: it waits inside sled's own small thread pool for writes that need a thread
//! of the same pool, so eight of them at a time wait for ever (seen with eight writers).

mod committer;
mod opening;

use std::{io, ops::Bound, path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;

use super::{Batch, Changes, Entry, Store, after_prefix};
use crate::error::{Error, Result};
use committer::Committer;

pub(super) struct Filesystem(Arc<Committer>);

pub(super) async fn open(directory: &Path) -> Result<Filesystem> {
    let directory = directory.to_owned();
    let open = move || {
        let (lock, db) = opening::open(&directory)?;
        Ok(Filesystem(Arc::new(Committer::new(directory, db, lock)?)))
    };
    tokio::task::spawn_blocking(open).await.map_err(Error::internal)?
}

fn unusable(path: &Path, error: &io::Error) -> Error {
    Error::unavailable("store", format!("{}: {error}", path.display()))
}

fn failure(error: sled::Error) -> Error {
    match error {
        sled::Error::Io(error) => Error::unavailable("store", error),
        other => Error::internal(other),
    }
}

/// On disk a value stands behind its revision, eight bytes in big-endian order.
fn pack(revision: u64, value: &[u8]) -> Vec<u8> {
    [&revision.to_be_bytes(), value].concat()
}

fn unpack(bytes: &[u8]) -> Result<Entry> {
    let (revision, value) = split(bytes)?;
    Ok(Entry { revision, value: value.to_vec() })
}

fn split(bytes: &[u8]) -> Result<(u64, &[u8])> {
    let (revision, value) = bytes
        .split_first_chunk()
        .ok_or_else(|| Error::internal("a record in the store is shorter than its revision"))?;
    Ok((u64::from_be_bytes(*revision), value))
}

// Reads are done in place: they are answered from sled's cache or by one small `pread`, and a
// hop to a blocking thread costs several times as much as either (see `benches/`).
#[async_trait]
impl Store for Filesystem {
    async fn get(&self, key: &str) -> Result<Option<Entry>> {
        self.0.db.get(key).map_err(failure)?.map(|bytes| unpack(&bytes)).transpose()
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Entry)>> {
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after.as_bytes().to_vec()),
            _ => Bound::Included(prefix.as_bytes().to_vec()),
        };
        let end = after_prefix(prefix).map_or(Bound::Unbounded, Bound::Excluded);
        let _whole = self.0.no_batch_half_done();
        self.0
            .db
            .range((start, end))
            .take(limit)
            .map(|item| {
                let (key, bytes) = item.map_err(failure)?;
                let key = String::from_utf8(key.to_vec()).map_err(Error::internal)?;
                Ok((key, unpack(&bytes)?))
            })
            .collect()
    }

    async fn commit(&self, batch: Batch) -> Result<Option<u64>> {
        self.0.commit(batch).await
    }

    async fn changes(&self, after: u64, wait: Duration) -> Result<Changes> {
        Ok(self.0.feed.after(after, wait).await)
    }

    async fn revision(&self) -> Result<u64> {
        Ok(self.0.feed.newest())
    }

    fn exclusive(&self) -> bool {
        true
    }
}
