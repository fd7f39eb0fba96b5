//! A Redis that restarts, is cut off, answers late, or lost what it had: nothing acknowledged is
//! lost, nothing is done twice, nothing is refused because of itself, and the feed has no gap.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crane::{
    error::Error,
    store::{self, Batch, Expected, Store},
};
use tokio::task::JoinHandle;

use crate::support::redis_server::{Mode, RedisServer, Way};

async fn open(url: &str) -> Arc<dyn Store> {
    store::open(url, Path::new("/nonexistent")).await.unwrap()
}

fn unavailable(error: &Error) -> bool {
    matches!(error, Error::Unavailable { .. })
}

/// Eight writers and a follower, busy until they are stopped.
struct Busy {
    stop: Arc<AtomicBool>,
    writers: Vec<JoinHandle<Written>>,
    follower: JoinHandle<Vec<(u64, Vec<String>)>>,
}

#[derive(Default)]
struct Written {
    acknowledged: BTreeMap<String, u64>,
    unknown: Vec<String>,
}

impl Busy {
    fn start(store: &Arc<dyn Store>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let writers = (0..8)
            .map(|writer| tokio::spawn(write(Arc::clone(store), Arc::clone(&stop), writer)))
            .collect();
        let follower = tokio::spawn(follow(Arc::clone(store), Arc::clone(&stop)));
        Self { stop, writers, follower }
    }

    /// Gives how many commits were acknowledged, and of how many that is not known.
    async fn judge(self, store: &dyn Store) -> (usize, usize) {
        self.stop.store(true, Ordering::SeqCst);
        let mut all = Written::default();
        for writer in self.writers {
            let written = writer.await.unwrap();
            all.acknowledged.extend(written.acknowledged);
            all.unknown.extend(written.unknown);
        }
        let told = self.follower.await.unwrap();
        let mut times: BTreeMap<String, u64> = BTreeMap::new();
        for key in store.read_all::<String>("log:").await.unwrap() {
            *times.entry(key).or_default() += 1;
        }
        for (key, revision) in &all.acknowledged {
            assert_eq!(times.get(key), Some(&1), "{key} is done once");
            assert_eq!(store.get(key).await.unwrap().unwrap().revision, *revision);
        }
        for key in &all.unknown {
            let done = store.get(key).await.unwrap().is_some();
            assert_eq!(times.get(key).copied().unwrap_or_default(), u64::from(done), "{key}");
        }
        assert!(
            times.keys().all(|key| all.acknowledged.contains_key(key) || all.unknown.contains(key))
        );
        // Every commit of this store is one of these, so its revisions are 1, 2, 3, ...
        let revisions: Vec<u64> = told.iter().map(|(revision, _)| *revision).collect();
        let newest = store.revision().await.unwrap();
        assert_eq!(revisions, (1..=newest).collect::<Vec<_>>());
        assert_eq!(newest, times.len() as u64);
        for (revision, keys) in told {
            assert!(all.acknowledged.get(&keys[0]).is_none_or(|one| *one == revision));
        }
        (all.acknowledged.len(), all.unknown.len())
    }
}

async fn write(store: Arc<dyn Store>, stop: Arc<AtomicBool>, writer: u32) -> Written {
    let mut written = Written::default();
    for number in 0.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let key = format!("record:{writer}:{number}");
        // As a creation is: done twice, the second time would be refused.
        let batch = Batch::new()
            .check(&key, Expected::Absent)
            .put(&key, vec![])
            .append_record("log:", &key)
            .unwrap();
        match store.commit(batch).await {
            Ok(Some(revision)) => drop(written.acknowledged.insert(key, revision)),
            Ok(None) => panic!("{key} was refused, although nobody else made it"),
            Err(error) if unavailable(&error) => written.unknown.push(key),
            Err(error) => panic!("{error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    written
}

async fn follow(store: Arc<dyn Store>, stop: Arc<AtomicBool>) -> Vec<(u64, Vec<String>)> {
    let mut told: Vec<(u64, Vec<String>)> = Vec::new();
    loop {
        let stopped = stop.load(Ordering::SeqCst);
        let after = told.last().map_or(0, |(revision, _)| *revision);
        match store.changes(after, Duration::from_secs(2)).await {
            Ok(changes) => {
                assert!(changes.complete, "after {after}");
                if stopped && changes.changes.is_empty() {
                    return told;
                }
                told.extend(changes.changes.into_iter().map(|one| (one.revision, one.keys)));
            }
            Err(error) => assert!(unavailable(&error), "{error:?}"),
        }
    }
}

async fn seconds(seconds: f64) {
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_restarts_has_all_that_was_acknowledged() {
    let mut server = RedisServer::start();
    let store = open(&server.url()).await;
    let busy = Busy::start(&store);
    for _ in 0..3 {
        seconds(0.7).await;
        server.kill();
        seconds(0.3).await;
        server.restart();
    }
    seconds(1.0).await;
    let (acknowledged, unknown) = busy.judge(&*store).await;
    eprintln!("restarts: {acknowledged} acknowledged, {unknown} unknown");
    assert!(acknowledged > 100);
    assert_eq!(unknown, 0, "it was back in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_cut_off_for_seconds_does_nothing_twice() {
    let server = RedisServer::start();
    let way = Way::to(server.address()).await;
    let store = open(&format!("redis://{}", way.address)).await;
    let busy = Busy::start(&store);
    seconds(0.7).await;
    way.set(Mode::Silent);
    seconds(5.0).await;
    way.set(Mode::Forward);
    seconds(1.0).await;
    for _ in 0..10 {
        way.cut();
        seconds(0.2).await;
    }
    let (acknowledged, unknown) = busy.judge(&*store).await;
    eprintln!("cut off: {acknowledged} acknowledged, {unknown} unknown");
    assert!(acknowledged > 100);
    assert_eq!(unknown, 0, "it was back in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_answers_late_does_nothing_twice() {
    let server = RedisServer::start();
    let way = Way::to(server.address()).await;
    let store = open(&format!("redis://{}", way.address)).await;
    let busy = Busy::start(&store);
    seconds(0.5).await;
    // Longer than an answer is waited for: every such commit is sent again.
    way.set(Mode::Late(Duration::from_millis(3500)));
    seconds(8.0).await;
    way.set(Mode::Forward);
    seconds(0.5).await;
    let (acknowledged, unknown) = busy.judge(&*store).await;
    eprintln!("late: {acknowledged} acknowledged, {unknown} unknown");
    assert!(acknowledged > 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_stays_silent_is_told_and_taken_up_again() {
    let server = RedisServer::start();
    let way = Way::to(server.address()).await;
    server.command("ACL SETUSER me on >hidden ~{crane}:* +@all");
    let store = open(&format!("redis://me:hidden@{}", way.address)).await;
    assert!(store.put_if_absent("a", vec![]).await.unwrap());
    way.set(Mode::Silent);
    let began = Instant::now();
    let (read, written, told) = tokio::join!(
        store.get("a"),
        store.put_if_absent("b", vec![]),
        store.changes(1, Duration::from_secs(1)),
    );
    let within = began.elapsed();
    assert!((8..15).contains(&within.as_secs()), "{within:?}");
    for error in [read.unwrap_err(), written.unwrap_err(), told.unwrap_err()] {
        let expected = format!("store: Redis at {}: no answer", way.address);
        assert_eq!(error.to_string(), expected);
    }
    way.set(Mode::Forward);
    assert!(store.get("a").await.unwrap().is_some());
    // Whatever came of the first, a second one knows.
    let made = store.get("b").await.unwrap().is_some();
    assert_eq!(store.put_if_absent("b", vec![]).await.unwrap(), !made);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_forgot_changes_does_not_say_that_there_were_none() {
    let server = RedisServer::start();
    let store = open(&server.url()).await;
    for number in 0..1000_u32 {
        assert!(store.put_if_absent(&number.to_string(), vec![]).await.unwrap());
    }
    server.command("XTRIM {crane}:changes MAXLEN 300");
    let changes = async |after| store.changes(after, Duration::ZERO).await.unwrap();
    assert!(!changes(0).await.complete && !changes(699).await.complete);
    let rest = changes(700).await;
    assert!(rest.complete && rest.changes.len() == 300);
    server.command("DEL {crane}:changes");
    assert!(!changes(999).await.complete && changes(1000).await.complete);
    // Somebody waits while all of it is thrown away.
    let waiting = {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.changes(1000, Duration::from_secs(30)).await.unwrap() })
    };
    seconds(0.3).await;
    server.command("FLUSHALL");
    let began = Instant::now();
    assert!(store.put_if_absent("a", vec![]).await.unwrap());
    assert!(!waiting.await.unwrap().complete);
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    assert_eq!(store.revision().await.unwrap(), 1);
}

#[tokio::test]
async fn a_redis_that_would_drop_records_is_refused() {
    let server = RedisServer::start();
    server.command("CONFIG SET maxmemory-policy allkeys-lru");
    let refused = store::open(&server.url(), Path::new("/nonexistent")).await.err().unwrap();
    assert!(refused.to_string().contains("'allkeys-lru'"), "{refused}");
}
