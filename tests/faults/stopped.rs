//! A process that is stopped for longer than its leases live, and wakes up.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use crane::store::{self, Store};
use tempfile::TempDir;

use super::{long, long_build, unique};
use crate::support::{Program, docker, redis_server::RedisServer};

/// All that the store has, with the commits that made it.
async fn everything(store: &dyn Store) -> BTreeMap<String, u64> {
    let all = store.list("", None, 100_000).await.unwrap();
    all.into_iter().map(|(key, entry)| (key, entry.revision)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_holder_of_a_lease_writes_nothing_when_it_wakes_up() {
    let (lease, stop, build) = if long() { (30, 60, 45) } else { (3, 6, 8) };
    let redis = RedisServer::start();
    let (data, other_data) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let program = |data: &TempDir| {
        Program::new(data.path())
            .with("CRANE_STORE", redis.url())
            .with("CRANE_LEASE_SECONDS", lease.to_string())
    };
    let stale = program(&data).start();
    let body = stale.http.post("/builder/images", long_build(&unique("stopped"), build)).await.ok();
    let token = body["token"].as_str().unwrap();
    let path = format!("/builder/images/{token}");
    stale.prints(&path, "began", 1).await;
    let other = program(&other_data).start();
    stale.signal("STOP");
    let stopped = tokio::time::Instant::now();
    let body = other.reaches(&path, "finished").await;
    let log = other.http.get(&format!("{path}/log")).await.text;
    assert!(other.log().contains("a job is taken over"), "{}", other.log());
    tokio::time::sleep_until(stopped + Duration::from_secs(stop)).await;

    let store = store::open(&redis.url(), Path::new("/nonexistent")).await.unwrap();
    let before = everything(&*store).await;
    assert!(!before.keys().any(|key| key.starts_with("job:")), "{before:?}");
    stale.signal("CONT");
    // It answers again, and has heard what became of its job.
    crate::support::within(60, "the stopped process gives its job up", async || {
        stale.log().contains("somebody else has the job")
    })
    .await;
    // What it still had to send would be there by now.
    tokio::time::sleep(Duration::from_secs(lease)).await;
    assert_eq!(everything(&*store).await, before, "the stale owner has written");
    assert_eq!(stale.http.get(&path).await.ok(), body);
    assert_eq!(stale.http.get(&format!("{path}/log")).await.text, log);
    let label = format!("label=eu.cloudopting.crane.resource={token}");
    let images = docker::docker(&["images", "--quiet", "--all", "--filter", &label]);
    let images: BTreeSet<&str> = images.lines().collect();
    assert_eq!(images.len(), 1, "{images:?}");
    other.purge().await;
    docker::assert_nothing_labelled(&format!("eu.cloudopting.crane.resource={token}"));
}
