//! Records in Redis 6 or newer.
//!
//! A record is a hash (`v` value, `r` revision); a sorted set holds all keys, for ordered listing;
//! a stream holds the last changes under their revisions. Every commit is one Lua script, so all
//! of these change together. All names share the hash tag `{crane}`, so they stay on one node of a
//! Redis Cluster.
//!
//! A commit whose answer got lost is sent again. So each has an id of its own, under which Redis
//! remembers what came of it: a batch is never done twice, and not refused because of itself.

mod link;

use std::time::Duration;

use async_trait::async_trait;
use redis::Script;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::{Batch, Change, Changes, Entry, Expected, Op, Store, after_prefix};
use crate::error::{Error, Result};
use link::{Link, Waited};

const KEYS: &str = "{crane}:keys";
const REVISION: &str = "{crane}:revision";
const CHANGES: &str = "{crane}:changes";
const RECORD: &str = "{crane}:record:";
const COMMIT: &str = "{crane}:commit:";

/// For how long a commit is remembered: longer than a packet that was held up on its way lives.
const REMEMBERED_SECONDS: u64 = 600;

/// Changes kept in the stream, about.
const CHANGES_KEPT: usize = 20_000;

/// Changes in one answer. Whoever follows asks for the next after the last of these.
const CHANGES_AT_ONCE: usize = 2_000;

/// Records, and about how many bytes of them, that one script reads: Redis does nothing else in
/// the meantime.
const LISTED_AT_ONCE: usize = 1_000;
const BYTES_AT_ONCE: usize = 1024 * 1024;

/// How long Redis is asked to wait for a change before the connection is tried anew: one that was
/// cut off in silence is noticed by then.
const BLOCK: Duration = Duration::from_secs(5);

/// KEYS: result, keys, revision, changes, then the record of each operation.
/// ARGV: seconds, length of the stream, then of each operation its kind, key and value.
/// The record of what is appended has the revision behind its KEYS name, on the same node.
const COMMIT_SCRIPT: &str = r"
local told = redis.call('GET', KEYS[1])
if told then return tonumber(told) end
local function settle(result)
  redis.call('SET', KEYS[1], string.format('%.0f', result), 'EX', ARGV[1])
  return result
end
local operations = #KEYS - 4
for op = 1, operations do
  if ARGV[3 * op] == 'check' then
    local expected, found = ARGV[3 * op + 2], redis.call('HGET', KEYS[4 + op], 'r')
    local holds = found == expected
    if expected == 'absent' then holds = not found
    elseif expected == 'present' then holds = found end
    if not holds then return settle(0) end
  end
end
local number = redis.call('INCR', KEYS[3])
local revision, suffix = string.format('%.0f', number), string.format('%020.0f', number)
local changed = {}
for op = 1, operations do
  local kind = ARGV[3 * op]
  if kind == 'append' then changed[#changed + 1] = ARGV[3 * op + 1] .. suffix
  elseif kind ~= 'check' then changed[#changed + 1] = ARGV[3 * op + 1] end
end
local text = #changed > 0 and cjson.encode(changed) or '[]'
redis.call('XADD', KEYS[4], 'MAXLEN', '~', ARGV[2], revision .. '-0', 'keys', text)
for op = 1, operations do
  local kind, key, record = ARGV[3 * op], ARGV[3 * op + 1], KEYS[4 + op]
  if kind == 'append' then key, record = key .. suffix, record .. suffix end
  if kind == 'delete' then
    redis.call('DEL', record)
    redis.call('ZREM', KEYS[2], key)
  elseif kind ~= 'check' then
    redis.call('HSET', record, 'v', ARGV[3 * op + 2], 'r', revision)
    redis.call('ZADD', KEYS[2], 0, key)
  end
end
return settle(number)";

/// KEYS: keys. ARGV: least key, greatest key, limit, prefix of the records' names, bytes.
/// The records' names are made from the listing, which one hash tag makes safe in a cluster.
/// Gives the last key that was looked at (none: the end was reached), and the records.
const LIST_SCRIPT: &str = r"
local keys = redis.call('ZRANGEBYLEX', KEYS[1], ARGV[1], ARGV[2], 'LIMIT', 0, ARGV[3])
local found, bytes = {}, 0
for at, key in ipairs(keys) do
  local record = redis.call('HMGET', ARGV[4] .. key, 'r', 'v')
  if record[1] then
    found[#found + 1] = {key, record[1], record[2]}
    bytes = bytes + #record[2]
  end
  if bytes >= tonumber(ARGV[5]) and at < #keys then return {key, found} end
end
return {#keys == tonumber(ARGV[3]) and keys[#keys] or false, found}";

/// Its id, and its one field with its value.
type StreamEntry = (String, (String, String));

pub(super) struct Redis {
    link: Link,
    commit: Script,
    list: Script,
}

pub(super) async fn open(url: &str) -> Result<Redis> {
    let link = Link::new(url)?;
    refuse_eviction(&link).await?;
    warn_if_volatile(&link).await?;
    Ok(Redis { link, commit: Script::new(COMMIT_SCRIPT), list: Script::new(LIST_SCRIPT) })
}

/// A Redis that may evict keys loses records in silence.
async fn refuse_eviction(link: &Link) -> Result<()> {
    let info: String = link
        .call_once(|mut connection| async move {
            redis::cmd("INFO").arg("memory").query_async(&mut connection).await
        })
        .await?;
    match info.lines().find_map(|line| line.strip_prefix("maxmemory_policy:")).map(str::trim) {
        None | Some("noeviction") => Ok(()),
        Some(other) => Err(Error::unavailable(
            "store",
            format!(
                "Redis at {} has maxmemory-policy '{other}' and would drop records; set \
                 'noeviction'",
                link.address()
            ),
        )),
    }
}

/// Somebody may want that, for a trial; it should not be found out by a power cut.
async fn warn_if_volatile(link: &Link) -> Result<()> {
    let info: String = link
        .call_once(|mut connection| async move {
            redis::cmd("INFO").arg("persistence").query_async(&mut connection).await
        })
        .await?;
    if info.lines().any(|line| line.trim() == "aof_enabled:1") {
        return Ok(());
    }
    // Managed ones hide their configuration; they are not suspected.
    let saves = link
        .call_once(|mut connection| async move {
            redis::cmd("CONFIG").arg("GET").arg("save").query_async(&mut connection).await
        })
        .await
        .ok()
        .and_then(|found: Vec<String>| found.into_iter().nth(1));
    if saves.is_some_and(|saves| saves.is_empty()) {
        tracing::warn!(
            "Redis at {} keeps its data in memory only (neither AOF nor RDB is on): when it \
             restarts, everything is lost; set 'appendonly yes'",
            link.address()
        );
    }
    Ok(())
}

#[async_trait]
impl Store for Redis {
    async fn get(&self, key: &str) -> Result<Option<Entry>> {
        let command = redis::cmd("HMGET").arg(format!("{RECORD}{key}")).arg(&["r", "v"]).take();
        let record: (Option<u64>, Option<Vec<u8>>) = self
            .link
            .call(|mut connection| {
                let command = &command;
                async move { command.query_async(&mut connection).await }
            })
            .await?;
        Ok(match record {
            (Some(revision), Some(value)) => Some(Entry { revision, value }),
            _ => None,
        })
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Entry)>> {
        let mut start = match after {
            Some(after) if after >= prefix => format!("({after}"),
            _ => format!("[{prefix}"),
        };
        let end = match after_prefix(prefix) {
            Some(end) => [b"(", end.as_slice()].concat(),
            None => b"+".to_vec(),
        };
        let mut all = Vec::new();
        while all.len() < limit {
            let mut script = self.list.key(KEYS);
            script
                .arg(&start)
                .arg(&end)
                .arg((limit - all.len()).min(LISTED_AT_ONCE))
                .arg(RECORD)
                .arg(BYTES_AT_ONCE);
            let (last, found): (Option<String>, Vec<(String, u64, Vec<u8>)>) = self
                .link
                .call(|mut connection| {
                    let script = &script;
                    async move { script.invoke_async(&mut connection).await }
                })
                .await?;
            let entries =
                found.into_iter().map(|(key, revision, value)| (key, Entry { revision, value }));
            all.extend(entries);
            match last {
                Some(last) => start = format!("({last}"),
                None => break,
            }
        }
        Ok(all)
    }

    async fn commit(&self, batch: Batch) -> Result<Option<u64>> {
        let mut script = self.commit.key(format!("{COMMIT}{}", Uuid::new_v4()));
        script.key(KEYS).key(REVISION).key(CHANGES).arg(REMEMBERED_SECONDS).arg(CHANGES_KEPT);
        for op in batch.0 {
            let (kind, key, value) = match op {
                Op::Check { key, expected } => ("check", key, words(expected).into_bytes()),
                Op::Put { key, value } => ("put", key, value),
                Op::Append { prefix, value } => ("append", prefix, value),
                Op::Delete { key } => ("delete", key, Vec::new()),
            };
            script.key(format!("{RECORD}{key}")).arg(kind).arg(key).arg(value);
        }
        let revision: u64 = self
            .link
            .call(|mut connection| {
                let script = &script;
                async move { script.invoke_async(&mut connection).await }
            })
            .await?;
        Ok((revision != 0).then_some(revision))
    }

    async fn changes(&self, after: u64, wait: Duration) -> Result<Changes> {
        let end = Instant::now() + wait;
        loop {
            let known = self.known_after(after).await?;
            let left = end.saturating_duration_since(Instant::now());
            if !known.changes.is_empty() || !known.complete || left.is_zero() {
                return Ok(known);
            }
            // Zero would be for ever.
            let block = left.min(BLOCK).max(Duration::from_millis(1));
            let command = redis::cmd("XREAD")
                .arg("BLOCK")
                .arg(u64::try_from(block.as_millis()).map_err(Error::internal)?)
                .arg("COUNT")
                .arg(1)
                .arg("STREAMS")
                .arg(CHANGES)
                .arg(format!("{after}-0"))
                .take();
            let wait = |mut connection| {
                let command = &command;
                async move { command.query_async(&mut connection).await }
            };
            // What it gives only wakes: the next round reads it together with the revision.
            if let Waited::Interrupted::<redis::Value> =
                self.link.call_blocking(block, wait).await?
            {
                sleep(Duration::from_millis(100).min(left)).await;
            }
        }
    }

    async fn revision(&self) -> Result<u64> {
        let command = redis::cmd("GET").arg(REVISION).take();
        let revision: Option<u64> = self
            .link
            .call(|mut connection| {
                let command = &command;
                async move { command.query_async(&mut connection).await }
            })
            .await?;
        Ok(revision.unwrap_or_default())
    }

    fn exclusive(&self) -> bool {
        false
    }
}

impl Redis {
    /// What the stream holds now. Revisions have no gaps, so what is missing shows: changes that
    /// were trimmed, and a Redis that lost its data or has older ones (a revision ahead of it).
    async fn known_after(&self, after: u64) -> Result<Changes> {
        let mut pipe = redis::pipe();
        pipe.atomic().cmd("GET").arg(REVISION).cmd("XRANGE").arg(CHANGES);
        pipe.arg(format!("{}-0", after.saturating_add(1)))
            .arg("+")
            .arg("COUNT")
            .arg(CHANGES_AT_ONCE);
        let (newest, entries): (Option<u64>, Vec<StreamEntry>) = self
            .link
            .call(|mut connection| {
                let pipe = &pipe;
                async move { pipe.query_async(&mut connection).await }
            })
            .await?;
        let changes: Vec<Change> = entries
            .into_iter()
            .map(|(id, (_, keys))| {
                let revision = id.split('-').next().unwrap_or_default();
                Ok(Change {
                    revision: revision.parse().map_err(Error::internal)?,
                    keys: serde_json::from_str(&keys).map_err(Error::internal)?,
                })
            })
            .collect::<Result<_>>()?;
        let complete = match changes.last() {
            Some(last) => last.revision == after + changes.len() as u64,
            None => newest.unwrap_or_default() == after,
        };
        Ok(Changes { changes, complete })
    }
}

fn words(expected: Expected) -> String {
    match expected {
        Expected::Absent => "absent".to_owned(),
        Expected::Present => "present".to_owned(),
        Expected::Revision(revision) => revision.to_string(),
    }
}
