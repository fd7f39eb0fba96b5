//! Records in Redis 6 or newer.
//!
//! A record is a hash (`v` value, `r` revision); a sorted set holds all keys, for ordered
//! listing. Every write is one Lua script, so a record and its place in the listing change
//! together. All names share the hash tag `{crane}`, so they stay on one node of a Redis Cluster.

use async_trait::async_trait;
use redis::{
    AsyncCommands, Client, IntoConnectionInfo, RedisError, Script,
    aio::{ConnectionManager, ConnectionManagerConfig},
};

use super::{Entry, Store};
use crate::error::{Error, Result, chain};

const KEYS: &str = "{crane}:keys";
const REVISION: &str = "{crane}:revision";

/// A Redis that has not answered by then is taken for gone: its work takes microseconds.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);

/// KEYS: record, keys, revision. ARGV: key, value.
const PUT_IF_ABSENT: &str = r"
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], 'v', ARGV[2], 'r', redis.call('INCR', KEYS[3]))
redis.call('ZADD', KEYS[2], 0, ARGV[1])
return 1";

/// KEYS: record, keys, revision. ARGV: key, value, expected revision.
const COMPARE_AND_SET: &str = r"
if redis.call('HGET', KEYS[1], 'r') ~= ARGV[3] then return 0 end
redis.call('HSET', KEYS[1], 'v', ARGV[2], 'r', redis.call('INCR', KEYS[3]))
return 1";

/// KEYS: record, keys. ARGV: key.
const DELETE: &str = r"
redis.call('ZREM', KEYS[2], ARGV[1])
return redis.call('DEL', KEYS[1])";

/// KEYS: keys. ARGV: least key, greatest key, limit, prefix of the records' names.
/// The records' names are made from the listing, which one hash tag makes safe in a cluster.
const LIST: &str = r"
local found = {}
for _, key in ipairs(redis.call('ZRANGEBYLEX', KEYS[1], ARGV[1], ARGV[2], 'LIMIT', 0, ARGV[3])) do
  local record = redis.call('HMGET', ARGV[4] .. key, 'r', 'v')
  if record[1] then found[#found + 1] = {key, record[1], record[2]} end
end
return found";

const RECORD: &str = "{crane}:record:";

pub(super) struct Redis {
    connection: ConnectionManager,
    put_if_absent: Script,
    compare_and_set: Script,
    delete: Script,
    list: Script,
}

pub(super) async fn open(url: &str) -> Result<Redis> {
    // The URL may carry a password, so it is never part of an error.
    let info = url
        .into_connection_info()
        .map_err(|_| Error::invalid("the store's redis:// URL is malformed"))?;
    let address = info.addr().to_string();
    let client = Client::open(info).map_err(|error| failure(&error))?;
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(TIMEOUT))
        .set_response_timeout(Some(TIMEOUT))
        .set_number_of_retries(1);
    let mut connection =
        ConnectionManager::new_with_config(client, config).await.map_err(|error| {
            Error::unavailable("store", format!("Redis at {address}: {}", chain(&error)))
        })?;
    refuse_eviction(&mut connection).await?;
    Ok(Redis {
        connection,
        put_if_absent: Script::new(PUT_IF_ABSENT),
        compare_and_set: Script::new(COMPARE_AND_SET),
        delete: Script::new(DELETE),
        list: Script::new(LIST),
    })
}

/// A Redis that may evict keys loses records in silence.
async fn refuse_eviction(connection: &mut ConnectionManager) -> Result<()> {
    let memory: std::result::Result<String, _> =
        redis::cmd("INFO").arg("memory").query_async(connection).await;
    let policy = memory.map_err(|error| failure(&error))?;
    let policy = policy.lines().find_map(|line| line.strip_prefix("maxmemory_policy:"));
    match policy.map(str::trim) {
        None | Some("noeviction") => Ok(()),
        Some(other) => Err(Error::unavailable(
            "store",
            format!(
                "Redis has maxmemory-policy '{other}' and would drop records; set 'noeviction'"
            ),
        )),
    }
}

fn failure(error: &RedisError) -> Error {
    Error::unavailable("store", format!("Redis: {}", chain(error)))
}

#[async_trait]
impl Store for Redis {
    async fn get(&self, key: &str) -> Result<Option<Entry>> {
        let record: (Option<u64>, Option<Vec<u8>>) = self
            .connection
            .clone()
            .hmget(format!("{RECORD}{key}"), &["r", "v"])
            .await
            .map_err(|error| failure(&error))?;
        Ok(match record {
            (Some(revision), Some(value)) => Some(Entry { revision, value }),
            _ => None,
        })
    }

    async fn put_if_absent(&self, key: &str, value: Vec<u8>) -> Result<bool> {
        self.put_if_absent
            .key(format!("{RECORD}{key}"))
            .key(KEYS)
            .key(REVISION)
            .arg(key)
            .arg(value)
            .invoke_async(&mut self.connection.clone())
            .await
            .map_err(|error| failure(&error))
    }

    async fn compare_and_set(&self, key: &str, revision: u64, value: Vec<u8>) -> Result<bool> {
        self.compare_and_set
            .key(format!("{RECORD}{key}"))
            .key(KEYS)
            .key(REVISION)
            .arg(key)
            .arg(value)
            .arg(revision)
            .invoke_async(&mut self.connection.clone())
            .await
            .map_err(|error| failure(&error))
    }

    async fn delete(&self, key: &str) -> Result<bool> {
        self.delete
            .key(format!("{RECORD}{key}"))
            .key(KEYS)
            .arg(key)
            .invoke_async(&mut self.connection.clone())
            .await
            .map_err(|error| failure(&error))
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Entry)>> {
        let start = match after {
            Some(after) if after >= prefix => format!("({after}"),
            _ => format!("[{prefix}"),
        };
        let end = match super::after_prefix(prefix) {
            Some(end) => [b"(", end.as_slice()].concat(),
            None => b"+".to_vec(),
        };
        let found: Vec<(String, u64, Vec<u8>)> = self
            .list
            .key(KEYS)
            .arg(start)
            .arg(end)
            .arg(limit)
            .arg(RECORD)
            .invoke_async(&mut self.connection.clone())
            .await
            .map_err(|error| failure(&error))?;
        Ok(found
            .into_iter()
            .map(|(key, revision, value)| (key, Entry { revision, value }))
            .collect())
    }
}
