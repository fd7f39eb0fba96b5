//! Typed records on top of the bytes: what the rooms above use.

use serde::{Serialize, de::DeserializeOwned};

use super::{Batch, Entry, Expected, Store, batch::encode};
use crate::error::{Error, Result};

/// How many records one page of an internal walk holds: large enough to walk 100,000 records in
/// 200 calls, small enough not to hold up a shared Redis.
const PAGE: usize = 500;

/// A record with the revision it was read at.
#[derive(Debug, Clone)]
pub struct Stored<T> {
    pub revision: u64,
    pub value: T,
}

impl dyn Store + '_ {
    pub async fn read<T: DeserializeOwned>(&self, key: &str) -> Result<Option<Stored<T>>> {
        self.get(key).await?.map(|entry| decode(key, &entry)).transpose()
    }

    /// Creates a record; `false` (and nothing changed) when the key exists.
    pub async fn put_if_absent(&self, key: &str, value: Vec<u8>) -> Result<bool> {
        let batch = Batch::new().check(key, Expected::Absent).put(key, value);
        Ok(self.commit(batch).await?.is_some())
    }

    /// Replaces a record that still has this revision; `false` (and nothing changed) otherwise.
    pub async fn compare_and_set(&self, key: &str, revision: u64, value: Vec<u8>) -> Result<bool> {
        let batch = Batch::new().check(key, Expected::Revision(revision)).put(key, value);
        Ok(self.commit(batch).await?.is_some())
    }

    /// Removes a record; `false` when there was none.
    pub async fn delete(&self, key: &str) -> Result<bool> {
        let batch = Batch::new().check(key, Expected::Present).delete(key);
        Ok(self.commit(batch).await?.is_some())
    }

    /// Creates a record; [`Error::Conflict`] when the key exists.
    pub async fn create<T: Serialize>(&self, key: &str, value: &T) -> Result<()> {
        match self.put_if_absent(key, encode(value)?).await? {
            true => Ok(()),
            false => Err(Error::Conflict(format!("{key} exists already"))),
        }
    }

    /// Reads a record, lets `change` work on it, and writes it if nobody wrote in between; else
    /// again from the start. `None` when there is no such record.
    pub async fn update<T: Serialize + DeserializeOwned + Send>(
        &self,
        key: &str,
        mut change: impl FnMut(&mut T) + Send,
    ) -> Result<Option<T>> {
        loop {
            let Some(Stored { revision, mut value }) = self.read::<T>(key).await? else {
                return Ok(None);
            };
            change(&mut value);
            if self.compare_and_set(key, revision, encode(&value)?).await? {
                return Ok(Some(value));
            }
        }
    }

    /// Every record whose key begins with `prefix`, in key order.
    pub async fn read_all<T: DeserializeOwned>(&self, prefix: &str) -> Result<Vec<T>> {
        let mut all = Vec::new();
        self.walk(prefix, |key, entry| {
            all.push(decode(key, entry)?.value);
            Ok(())
        })
        .await?;
        Ok(all)
    }

    /// Every key that begins with `prefix`, in order, without the prefix.
    pub async fn names(&self, prefix: &str) -> Result<Vec<String>> {
        let mut names = Vec::new();
        self.walk(prefix, |key, _| {
            names.extend(key.strip_prefix(prefix).map(str::to_owned));
            Ok(())
        })
        .await?;
        Ok(names)
    }

    async fn walk(
        &self,
        prefix: &str,
        mut visit: impl FnMut(&str, &Entry) -> Result<()>,
    ) -> Result<()> {
        let mut after: Option<String> = None;
        loop {
            let page = self.list(prefix, after.as_deref(), PAGE).await?;
            for (key, entry) in &page {
                visit(key, entry)?;
            }
            match page.into_iter().nth(PAGE - 1) {
                Some((last, _)) => after = Some(last),
                None => return Ok(()),
            }
        }
    }

    /// Removes every record whose key begins with `prefix`.
    pub async fn delete_all(&self, prefix: &str) -> Result<()> {
        loop {
            let page = self.list(prefix, None, PAGE).await?;
            if !page.is_empty() {
                let batch = Batch::new();
                let batch = page.iter().fold(batch, |batch, (key, _)| batch.delete(key.as_str()));
                self.commit(batch).await?;
            }
            if page.len() < PAGE {
                return Ok(());
            }
        }
    }
}

fn decode<T: DeserializeOwned>(key: &str, entry: &Entry) -> Result<Stored<T>> {
    let value = serde_json::from_slice(&entry.value).map_err(|error| {
        Error::internal(format!("the record {key} in the store cannot be read: {error}"))
    })?;
    Ok(Stored { revision: entry.revision, value })
}
