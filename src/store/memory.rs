//! Records in this process: for trying Crane out, and for tests. Nothing survives a restart.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;

use super::{Entry, Store};
use crate::error::Result;

#[derive(Default)]
pub(super) struct Memory(Mutex<Records>);

#[derive(Default)]
struct Records {
    revision: u64,
    entries: BTreeMap<String, Entry>,
}

impl Records {
    fn set(&mut self, key: &str, value: Vec<u8>) {
        self.revision += 1;
        self.entries.insert(key.to_owned(), Entry { revision: self.revision, value });
    }
}

impl Memory {
    /// Held for one map operation only. A panic in another holder cannot leave the map half
    /// changed, so poisoning is ignored.
    fn records(&self) -> MutexGuard<'_, Records> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Store for Memory {
    async fn get(&self, key: &str) -> Result<Option<Entry>> {
        Ok(self.records().entries.get(key).cloned())
    }

    async fn put_if_absent(&self, key: &str, value: Vec<u8>) -> Result<bool> {
        let mut records = self.records();
        let absent = !records.entries.contains_key(key);
        if absent {
            records.set(key, value);
        }
        Ok(absent)
    }

    async fn compare_and_set(&self, key: &str, revision: u64, value: Vec<u8>) -> Result<bool> {
        let mut records = self.records();
        let current = records.entries.get(key).is_some_and(|entry| entry.revision == revision);
        if current {
            records.set(key, value);
        }
        Ok(current)
    }

    async fn delete(&self, key: &str) -> Result<bool> {
        Ok(self.records().entries.remove(key).is_some())
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
}
