//! What every backend promises of its feed of changes.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use crane::store::{Batch, Change, Store};

use super::Scope;

/// Follows the feed until it told of `count` commits to keys with the prefix. Other tests may
/// write to the same store.
async fn follow(store: &dyn Store, mut after: u64, prefix: &str, count: usize) -> Vec<Change> {
    let mut told: Vec<Change> = Vec::new();
    let began = Instant::now();
    while told.len() < count {
        assert!(began.elapsed() < Duration::from_secs(60), "{} of {count}", told.len());
        let changes = store.changes(after, Duration::from_secs(1)).await.unwrap();
        assert!(changes.complete);
        for change in changes.changes {
            assert!(change.revision > after, "{after} before {}", change.revision);
            after = change.revision;
            if change.keys.iter().any(|key| key.starts_with(prefix)) {
                told.push(change);
            }
        }
    }
    told
}

pub(super) async fn the_feed_tells_every_commit_in_order(scope: Scope) {
    let began = scope.store.revision().await.unwrap();
    let writers = (0..8).map(|writer| {
        let (store, prefix) = (Arc::clone(&scope.store), scope.key(&format!("{writer}:")));
        tokio::spawn(async move {
            let mut made = Vec::new();
            for number in 0..50 {
                let key = format!("{prefix}{}", number / 2);
                // What is deleted, also in vain, is told too.
                let batch = match number % 2 {
                    0 => Batch::new().put(&key, vec![]).append(format!("{prefix}log:"), vec![]),
                    _ => Batch::new().delete(&key).delete(format!("{prefix}none")),
                };
                let revision = store.commit(batch).await.unwrap().unwrap();
                let second = match number % 2 {
                    0 => format!("{prefix}log:{revision:020}"),
                    _ => format!("{prefix}none"),
                };
                made.push((revision, vec![key, second]));
            }
            made
        })
    });
    let writers: Vec<_> = writers.collect();
    let told = follow(&*scope.store, began, &scope.prefix, 400).await;
    let mut made = BTreeMap::new();
    for writer in writers {
        made.extend(writer.await.unwrap());
    }
    let told: Vec<_> = told.into_iter().map(|change| (change.revision, change.keys)).collect();
    assert_eq!(told, made.into_iter().collect::<Vec<_>>());
    assert!(scope.store.revision().await.unwrap() >= told[399].0);
    // Anew, from the middle.
    let again = follow(&*scope.store, told[199].0, &scope.prefix, 200).await;
    assert!(again.iter().map(|change| change.revision).eq(told[200..].iter().map(|(r, _)| *r)));
}

pub(super) async fn the_feed_waits_and_wakes(scope: Scope) {
    let store = &scope.store;
    // Nothing is told of a batch that was refused.
    assert!(store.put_if_absent(&scope.key("a"), vec![]).await.unwrap());
    let began = store.revision().await.unwrap();
    assert!(!store.put_if_absent(&scope.key("a"), vec![]).await.unwrap());
    let waited = Instant::now();
    let none = store.changes(began, Duration::from_millis(300)).await.unwrap();
    assert!(none.complete);
    assert!(!none.changes.is_empty() || waited.elapsed() >= Duration::from_millis(300));
    // Many wait at a time, and hold up nobody.
    let followers = (0..8).map(|_| {
        let (store, prefix) = (Arc::clone(store), scope.prefix.clone());
        tokio::spawn(async move {
            follow(&*store, began, &prefix, 1).await;
            Instant::now()
        })
    });
    let followers: Vec<_> = followers.collect();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(followers.iter().all(|follower| !follower.is_finished()));
    assert!(store.put_if_absent(&scope.key("b"), vec![]).await.unwrap());
    let committed = Instant::now();
    for follower in followers {
        let woken = follower.await.unwrap().saturating_duration_since(committed);
        assert!(woken < Duration::from_millis(500), "{woken:?}");
    }
}

pub(super) async fn the_feed_says_when_it_is_not_complete(scope: Scope) {
    let store = &scope.store;
    let ahead = store.revision().await.unwrap() + 1_000_000;
    let asked = Instant::now();
    assert!(!store.changes(ahead, Duration::from_secs(10)).await.unwrap().complete);
    assert!(asked.elapsed() < Duration::from_secs(5));
    if !store.exclusive() {
        return; // `outages.rs` trims and empties a Redis of its own.
    }
    let began = store.revision().await.unwrap();
    let writers = (0..100).map(|_| {
        let (store, key) = (Arc::clone(store), scope.key("a"));
        tokio::spawn(async move {
            for _ in 0..180 {
                store.commit(Batch::new().delete(&key)).await.unwrap().unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let changes = store.changes(began, Duration::ZERO).await.unwrap();
    assert!(!changes.complete && changes.changes.len() >= 10_000, "{}", changes.changes.len());
    let nth_last = changes.changes[changes.changes.len() - 10_001].revision;
    let changes = store.changes(nth_last, Duration::ZERO).await.unwrap();
    assert!(changes.complete && changes.changes.len() == 10_000);
}
