//! Records in this process: for trying Crane out, and for tests. Nothing survives a restart.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;

use super::{Batch, Change, Changes, Entry, Store, feed::Feed};
use crate::error::Result;

pub(super) struct Memory {
    records: Mutex<Records>,
    feed: Feed,
}

#[derive(Default)]
struct Records {
    revision: u64,
    entries: BTreeMap<String, Entry>,
}

impl Default for Memory {
    fn default() -> Self {
        Self { records: Mutex::default(), feed: Feed::behind(0) }
    }
}

impl Memory {
    /// Held for one batch only. A panic in another holder cannot leave the map half changed, so
    /// poisoning is ignored.
    fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Records {
    fn apply(&mut self, batch: Batch) -> Change {
        self.revision += 1;
        let revision = self.revision;
        let mut keys = Vec::new();
        for (key, value) in batch.writes(revision) {
            match value {
                Some(value) => self.entries.insert(key.clone(), Entry { revision, value }),
                None => self.entries.remove(&key),
            };
            keys.push(key);
        }
        Change { revision, keys }
    }
}

#[async_trait]
impl Store for Memory {
    async fn get(&self, key: &str) -> Result<Option<Entry>> {
        Ok(self.records().entries.get(key).cloned())
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Entry)>> {
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        Ok(self
            .records()
            .entries
            .range::<str, _>((start, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .take(limit)
            .map(|(key, entry)| (key.clone(), entry.clone()))
            .collect())
    }

    async fn commit(&self, batch: Batch) -> Result<Option<u64>> {
        let mut records = self.records();
        if !batch.allowed(|key| Ok(records.entries.get(key).map(|entry| entry.revision)))? {
            return Ok(None);
        }
        let change = records.apply(batch);
        let revision = change.revision;
        // Under the lock, so that changes are told in their order.
        self.feed.publish([change]);
        Ok(Some(revision))
    }

    async fn changes(&self, after: u64, wait: Duration) -> Result<Changes> {
        Ok(self.feed.after(after, wait).await)
    }

    async fn revision(&self) -> Result<u64> {
        Ok(self.feed.newest())
    }

    fn exclusive(&self) -> bool {
        true
    }
}
