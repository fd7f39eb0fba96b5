//! One list of promises, stamped on every backend; and what only one of them has to keep.

mod export;
mod feed;
mod kills;
mod outages;

use std::{collections::BTreeSet, path::Path, sync::Arc, time::Duration};

use crane::{
    error::Error,
    store::{self, Batch, Expected, Store},
};
use tempfile::TempDir;

use self::feed::{
    the_feed_says_when_it_is_not_complete, the_feed_tells_every_commit_in_order,
    the_feed_waits_and_wakes,
};
use crate::support::rig;

/// Keys of a test begin with this, so that tests may share one Redis.
struct Scope {
    store: Arc<dyn Store>,
    prefix: String,
    _directory: TempDir,
}

impl Scope {
    async fn open(url: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = store::open(url, directory.path()).await.unwrap();
        Self { store, prefix: format!("test-{}:", uuid::Uuid::new_v4()), _directory: directory }
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

async fn creation_happens_once(scope: Scope) {
    let key = scope.key("a");
    assert!(scope.store.get(&key).await.unwrap().is_none());
    assert!(scope.store.put_if_absent(&key, b"one".to_vec()).await.unwrap());
    assert!(!scope.store.put_if_absent(&key, b"two".to_vec()).await.unwrap());
    assert_eq!(scope.store.get(&key).await.unwrap().unwrap().value, b"one");
    assert!(scope.store.delete(&key).await.unwrap());
    assert!(!scope.store.delete(&key).await.unwrap());
    assert!(scope.store.get(&key).await.unwrap().is_none());
}

async fn only_the_revision_that_was_read_is_replaced(scope: Scope) {
    let key = scope.key("a");
    assert!(!scope.store.compare_and_set(&key, 1, b"x".to_vec()).await.unwrap());
    scope.store.put_if_absent(&key, b"one".to_vec()).await.unwrap();
    let first = scope.store.get(&key).await.unwrap().unwrap().revision;
    assert!(scope.store.compare_and_set(&key, first, b"two".to_vec()).await.unwrap());
    assert!(!scope.store.compare_and_set(&key, first, b"three".to_vec()).await.unwrap());
    assert_eq!(scope.store.get(&key).await.unwrap().unwrap().value, b"two");
}

async fn a_record_made_again_has_another_revision(scope: Scope) {
    let key = scope.key("a");
    scope.store.put_if_absent(&key, b"one".to_vec()).await.unwrap();
    let first = scope.store.get(&key).await.unwrap().unwrap().revision;
    scope.store.delete(&key).await.unwrap();
    scope.store.put_if_absent(&key, b"one".to_vec()).await.unwrap();
    assert!(!scope.store.compare_and_set(&key, first, b"stale".to_vec()).await.unwrap());
}

async fn lists_are_ordered_and_paged(scope: Scope) {
    for name in ["b", "a", "c", "aa", "é", "a:1"] {
        scope.store.put_if_absent(&scope.key(name), name.into()).await.unwrap();
    }
    let outside = scope.prefix.replace(':', ";");
    scope.store.put_if_absent(&outside, vec![1]).await.unwrap();
    let names = |page: Vec<(String, store::Entry)>| -> Vec<String> {
        page.into_iter().map(|(_, entry)| String::from_utf8(entry.value).unwrap()).collect()
    };
    let all = scope.store.list(&scope.prefix, None, 100).await.unwrap();
    assert_eq!(names(all), ["a", "a:1", "aa", "b", "c", "é"]);
    scope.store.delete(&outside).await.unwrap();
    let a = scope.key("a");
    assert_eq!(names(scope.store.list(&a, None, 100).await.unwrap()), ["a", "a:1", "aa"]);
    assert_eq!(names(scope.store.list(&a, None, 2).await.unwrap()), ["a", "a:1"]);
    let after = scope.key("a:1");
    assert_eq!(names(scope.store.list(&a, Some(&after), 2).await.unwrap()), ["aa"]);
    assert!(scope.store.list(&scope.key("zz"), None, 2).await.unwrap().is_empty());
}

async fn a_batch_is_done_whole_or_not_at_all(scope: Scope) {
    let store = &scope.store;
    let (there, gone, a, b) =
        (scope.key("there"), scope.key("gone"), scope.key("a"), scope.key("b"));
    let first = store.commit(Batch::new().put(&there, vec![1])).await.unwrap().unwrap();
    let writes = || Batch::new().put(&a, vec![1]).append(scope.key("log:"), vec![2]).delete(&there);
    let refused = [
        (&there, Expected::Absent),
        (&gone, Expected::Present),
        (&gone, Expected::Revision(first)),
        (&there, Expected::Revision(first - 1)),
        (&there, Expected::Revision(first + 1)),
    ];
    for (key, expected) in refused {
        // Wherever the check stands, and although the others hold.
        let before = Batch::new().check(&there, Expected::Present).check(key, expected);
        for batch in [before.and(writes()), writes().check(key, expected)] {
            assert_eq!(store.commit(batch).await.unwrap(), None, "{key} {expected:?}");
        }
        let left = store.list(&scope.prefix, None, 10).await.unwrap();
        assert_eq!(left.len(), 1, "{left:?}");
        assert_eq!((left[0].0.as_str(), left[0].1.revision), (there.as_str(), first));
    }
    let allowed = Batch::new()
        .check(&there, Expected::Revision(first))
        .check(&there, Expected::Present)
        .check(&gone, Expected::Absent);
    let second = store.commit(allowed.and(writes()).put(&b, vec![3])).await.unwrap().unwrap();
    assert!(second > first);
    let found = store.list(&scope.prefix, None, 10).await.unwrap();
    let appended = scope.key(&format!("log:{second:020}"));
    let keys: Vec<_> = found.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, [&a, &b, &appended]);
    assert!(found.iter().all(|(_, entry)| entry.revision == second), "{found:?}");
    assert_eq!(store.get(&appended).await.unwrap().unwrap().value, [2]);
}

async fn checks_are_judged_by_what_was_before_the_batch(scope: Scope) {
    let key = scope.key("a");
    let made = Batch::new().put(&key, vec![1]).check(&key, Expected::Absent).put(&key, vec![2]);
    let first = scope.store.commit(made.clone()).await.unwrap().unwrap();
    assert_eq!(scope.store.commit(made).await.unwrap(), None);
    // The last write to a key counts.
    assert_eq!(scope.store.get(&key).await.unwrap().unwrap().value, [2]);
    let moved = Batch::new().delete(&key).check(&key, Expected::Revision(first));
    let second = scope.store.commit(moved.put(&key, vec![3])).await.unwrap().unwrap();
    let entry = scope.store.get(&key).await.unwrap().unwrap();
    assert_eq!((entry.revision, entry.value), (second, vec![3]));
    let gone = Batch::new().put(&key, vec![4]).delete(&key).check(&key, Expected::Present);
    assert!(scope.store.commit(gone).await.unwrap().unwrap() > second);
    assert_eq!(scope.store.get(&key).await.unwrap(), None);
    // Without writes: what the checks say, nothing else.
    let check = |expected| Batch::new().check(&key, expected);
    assert!(scope.store.commit(check(Expected::Absent)).await.unwrap().is_some());
    assert!(scope.store.commit(check(Expected::Present)).await.unwrap().is_none());
}

async fn of_many_creators_one_wins(scope: Scope) {
    let creators = (0..16_u8).map(|number| {
        let (store, key) = (Arc::clone(&scope.store), scope.key("a"));
        tokio::spawn(async move { store.put_if_absent(&key, vec![number]).await.unwrap() })
    });
    let mut won = Vec::new();
    for (number, creator) in creators.collect::<Vec<_>>().into_iter().enumerate() {
        won.extend(creator.await.unwrap().then_some(number));
    }
    let value = scope.store.get(&scope.key("a")).await.unwrap().unwrap().value;
    assert_eq!(won, [usize::from(value[0])]);
}

async fn appends_are_listed_in_the_order_of_their_commits(scope: Scope) {
    let log = scope.key("log:");
    let appenders = (0..8_u32).map(|appender| {
        let (store, log) = (Arc::clone(&scope.store), log.clone());
        tokio::spawn(async move {
            let mut done = Vec::new();
            for number in 0..25_u32 {
                let batch = Batch::new().append_record(&log, &(appender, number)).unwrap();
                done.push((store.commit(batch).await.unwrap().unwrap(), (appender, number)));
            }
            done
        })
    });
    let mut all = Vec::new();
    for appender in appenders.collect::<Vec<_>>() {
        let done = appender.await.unwrap();
        assert!(done.is_sorted(), "a later commit has a greater revision: {done:?}");
        all.extend(done);
    }
    all.sort_unstable();
    assert!(all.windows(2).all(|pair| pair[0].0 < pair[1].0), "one revision a commit");
    let listed: Vec<(u32, u32)> = scope.store.read_all(&log).await.unwrap();
    assert_eq!(listed, all.into_iter().map(|(_, value)| value).collect::<Vec<_>>());
}

/// Batches keep two records equal, at the two ends of a listing.
async fn whoever_lists_sees_batches_whole(scope: Scope) {
    let (first, last) = (scope.key("a"), scope.key("z"));
    let both = |n: u8| Batch::new().put(&last, vec![n]).put(&first, vec![n]);
    let between = (0..60).fold(both(0), |batch, n| batch.put(scope.key(&format!("m{n}")), vec![]));
    scope.store.commit(between).await.unwrap().unwrap();
    let writer = {
        let (store, batches) = (Arc::clone(&scope.store), (1..100).map(both).collect::<Vec<_>>());
        tokio::spawn(async move {
            for batch in batches {
                store.commit(batch).await.unwrap().unwrap();
            }
        })
    };
    while !writer.is_finished() {
        let page = scope.store.list(&scope.prefix, None, 100).await.unwrap();
        assert_eq!(page.len(), 62);
        assert_eq!(page[0].1, page[61].1);
    }
    writer.await.unwrap();
}

async fn values_are_any_bytes(scope: Scope) {
    let value: Vec<u8> = (0..=255).cycle().take(1_000_000).collect();
    scope.store.put_if_absent(&scope.key("a"), value.clone()).await.unwrap();
    assert_eq!(scope.store.get(&scope.key("a")).await.unwrap().unwrap().value, value);
}

async fn lists_of_large_values_and_of_many_records_are_whole(scope: Scope) {
    let value = |number: u32| vec![u8::try_from(number % 256).unwrap(); 700_000];
    let key = |number: u32| scope.key(&format!("large:{number:02}"));
    for number in 0..12 {
        scope.store.put_if_absent(&key(number), value(number)).await.unwrap();
    }
    for (after, limit, expected) in [(None, 100, 0..12), (Some(key(2)), 7, 3..10)] {
        let found = scope.store.list(&scope.key("large:"), after.as_deref(), limit).await.unwrap();
        let found = found.into_iter().map(|(key, entry)| (key, entry.value));
        assert!(found.eq(expected.map(|number| (key(number), value(number)))));
    }
    for hundred in 0..25 {
        let batch = (0..100).fold(Batch::new(), |batch, number| {
            batch.put(scope.key(&format!("many:{:05}", hundred * 100 + number)), vec![])
        });
        scope.store.commit(batch).await.unwrap().unwrap();
    }
    for (limit, expected) in [(10_000, 2_500), (2_500, 2_500), (2_001, 2_001)] {
        let found = scope.store.list(&scope.key("many:"), None, limit).await.unwrap();
        assert_eq!(found.len(), expected);
        assert_eq!(found[expected - 1].0, scope.key(&format!("many:{:05}", expected - 1)));
    }
    scope.store.delete_all(&scope.prefix).await.unwrap();
}

async fn no_update_is_lost_among_many_writers(scope: Scope) {
    let key = scope.key("numbers");
    scope.store.create(&key, &BTreeSet::<u32>::new()).await.unwrap();
    let writers = (0..8).map(|writer| {
        let (store, key) = (Arc::clone(&scope.store), key.clone());
        tokio::spawn(async move {
            for number in 0..10 {
                store
                    .update(&key, |numbers: &mut BTreeSet<u32>| {
                        numbers.insert(writer * 100 + number);
                    })
                    .await
                    .unwrap()
                    .unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let numbers: BTreeSet<u32> = scope.store.read(&key).await.unwrap().unwrap().value;
    assert_eq!(numbers.len(), 80);
}

async fn typed_records_are_created_once_and_walked_whole(scope: Scope) {
    for number in 0..1100_u32 {
        scope.store.create(&scope.key(&format!("{number:05}")), &number).await.unwrap();
    }
    let error = scope.store.create(&scope.key("00000"), &0_u32).await.unwrap_err();
    assert!(matches!(error, Error::Conflict(_)), "{error:?}");
    let all: Vec<u32> = scope.store.read_all(&scope.prefix).await.unwrap();
    assert_eq!(all, (0..1100).collect::<Vec<_>>());
    scope.store.delete_all(&scope.prefix).await.unwrap();
    assert!(scope.store.list(&scope.prefix, None, 1).await.unwrap().is_empty());
}

macro_rules! promises {
    ($($backend:ident: $url:expr;)*) => { $(mod $backend {
        promises!(@each $url,
            creation_happens_once,
            only_the_revision_that_was_read_is_replaced,
            a_record_made_again_has_another_revision,
            lists_are_ordered_and_paged,
            a_batch_is_done_whole_or_not_at_all,
            checks_are_judged_by_what_was_before_the_batch,
            of_many_creators_one_wins,
            appends_are_listed_in_the_order_of_their_commits,
            whoever_lists_sees_batches_whole,
            values_are_any_bytes,
            lists_of_large_values_and_of_many_records_are_whole,
            no_update_is_lost_among_many_writers,
            typed_records_are_created_once_and_walked_whole,
            the_feed_tells_every_commit_in_order,
            the_feed_waits_and_wakes,
            the_feed_says_when_it_is_not_complete,
        );
    })* };
    (@each $url:expr, $($promise:ident,)*) => { $(
        #[tokio::test(flavor = "multi_thread")]
        async fn $promise() {
            $crate::store::$promise(super::Scope::open(&$url).await).await;
        }
    )* };
}

promises! {
    memory: "memory:";
    filesystem: "filesystem:";
    redis: crate::support::rig("RIG_REDIS");
}

#[tokio::test]
async fn a_filesystem_store_keeps_its_records_and_is_used_by_one_process() {
    let directory = tempfile::tempdir().unwrap();
    let store = store::open("filesystem:", directory.path()).await.unwrap();
    store.put_if_absent("a", b"one".to_vec()).await.unwrap();
    let second = store::open("filesystem:", directory.path()).await.err().unwrap().to_string();
    let pid = std::process::id();
    assert!(second.ends_with(&format!("is in use by the process {pid}")), "{second}");
    let revision = store.revision().await.unwrap();
    drop(store);
    let store = store::open("filesystem:", directory.path()).await.unwrap();
    assert_eq!(store.get("a").await.unwrap().unwrap().value, b"one");
    // What was committed by other processes in between is not remembered, so it does not say that
    // there was nothing.
    assert!(!store.changes(revision, Duration::ZERO).await.unwrap().complete);
    let opened = store.revision().await.unwrap();
    assert!(opened > revision);
    assert!(store.changes(opened, Duration::ZERO).await.unwrap().complete);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_stops_waiting_leaves_nothing_half_done_or_untold() {
    let directory = tempfile::tempdir().unwrap();
    let store = store::open("filesystem:", directory.path()).await.unwrap();
    let opened = store.revision().await.unwrap();
    let mut left = 0;
    for number in 0..200 {
        let commit = store.commit(Batch::new().put(format!("a{number}"), vec![0; 1000]));
        // The commit is polled, which hands it over.
        left += u32::from(tokio::time::timeout(Duration::ZERO, commit).await.is_err());
    }
    assert!(left > 0);
    store.put_if_absent("last", vec![]).await.unwrap();
    let told: Vec<String> = store
        .changes(opened, Duration::ZERO)
        .await
        .unwrap()
        .changes
        .into_iter()
        .flat_map(|change| change.keys)
        .collect();
    let mut made = store.names("").await.unwrap();
    made.sort_unstable_by_key(|key| told.iter().position(|one| one == key));
    assert_eq!(told, made);
    assert_eq!(told.len(), 201);
}

#[tokio::test]
async fn a_half_written_snapshot_of_a_killed_process_is_no_obstacle() {
    let directory = tempfile::tempdir().unwrap();
    let store = store::open("filesystem:", directory.path()).await.unwrap();
    store.put_if_absent("a", b"one".to_vec()).await.unwrap();
    drop(store);
    let sled = directory.path().join("store/sled");
    std::fs::write(sled.join("snap.00000000000000FF.generating"), b"half").unwrap();
    let store = store::open("filesystem:", directory.path()).await.unwrap();
    assert_eq!(store.get("a").await.unwrap().unwrap().value, b"one");
}

#[tokio::test]
async fn a_redis_that_does_not_answer_is_named_without_its_password() {
    let open = store::open("redis://me:hidden@127.0.0.1:1/0", Path::new("/nonexistent"));
    let error = open.await.err().unwrap().to_string();
    assert!(error.contains("Redis at 127.0.0.1:1") && !error.contains("hidden"), "{error}");
}

#[tokio::test]
async fn an_unknown_store_is_refused_with_what_there_is() {
    let error = store::open("mysql://x", Path::new("/nonexistent")).await.err().unwrap();
    assert!(error.to_string().contains("memory:"), "{error}");
    // The rig has a Redis, so the list above is what `open` really takes.
    assert!(store::open(&rig("RIG_REDIS"), Path::new("/nonexistent")).await.is_ok());
}
