//! What is committed together: conditions first, then writes.

use serde::Serialize;

use crate::error::{Error, Result};

/// What a key must be for a batch to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    Absent,
    Present,
    /// Present, and not written since the commit with this revision.
    Revision(u64),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Judged by what there was before the batch, wherever it stands in it.
    Check {
        key: String,
        expected: Expected,
    },
    Put {
        key: String,
        value: Vec<u8>,
    },
    /// Puts the value under `prefix` and the revision of the batch in 20 digits, so that what is
    /// appended under a prefix is listed in the order of its commits.
    Append {
        prefix: String,
        value: Vec<u8>,
    },
    /// Of a key that may be absent.
    Delete {
        key: String,
    },
}

/// Operations that are done all together or not at all. Among writes to one key the last counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct Batch(pub(super) Vec<Op>);

impl Batch {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn check(mut self, key: impl Into<String>, expected: Expected) -> Self {
        self.0.push(Op::Check { key: key.into(), expected });
        self
    }

    pub fn put(mut self, key: impl Into<String>, value: Vec<u8>) -> Self {
        self.0.push(Op::Put { key: key.into(), value });
        self
    }

    pub fn append(mut self, prefix: impl Into<String>, value: Vec<u8>) -> Self {
        self.0.push(Op::Append { prefix: prefix.into(), value });
        self
    }

    pub fn delete(mut self, key: impl Into<String>) -> Self {
        self.0.push(Op::Delete { key: key.into() });
        self
    }

    /// As [`Self::put`], of a record.
    pub fn put_record<T: Serialize>(self, key: impl Into<String>, value: &T) -> Result<Self> {
        Ok(self.put(key, encode(value)?))
    }

    /// As [`Self::append`], of a record.
    pub fn append_record<T: Serialize>(self, prefix: impl Into<String>, value: &T) -> Result<Self> {
        Ok(self.append(prefix, encode(value)?))
    }

    /// Whether every check holds, given the revision of each record that there is.
    pub(super) fn allowed(
        &self,
        mut revision_of: impl FnMut(&str) -> Result<Option<u64>>,
    ) -> Result<bool> {
        for op in &self.0 {
            let Op::Check { key, expected } = op else { continue };
            let found = revision_of(key)?;
            let holds = match expected {
                Expected::Absent => found.is_none(),
                Expected::Present => found.is_some(),
                Expected::Revision(revision) => found == Some(*revision),
            };
            if !holds {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What it puts, and where it deletes (`None`), in its order.
    pub(super) fn writes(self, revision: u64) -> impl Iterator<Item = (String, Option<Vec<u8>>)> {
        self.0.into_iter().filter_map(move |op| match op {
            Op::Check { .. } => None,
            Op::Put { key, value } => Some((key, Some(value))),
            Op::Append { prefix, value } => Some((appended_key(&prefix, revision), Some(value))),
            Op::Delete { key } => Some((key, None)),
        })
    }

    /// All of another batch behind this one.
    pub fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }
}

/// The key of what a commit appended.
pub(super) fn appended_key(prefix: &str, revision: u64) -> String {
    format!("{prefix}{revision:020}")
}

pub(super) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(Error::internal)
}
