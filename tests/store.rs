//! One list of promises, stamped on every backend.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use crane::{
    error::Error,
    store::{self, Store},
};
use tempfile::TempDir;

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

async fn values_are_any_bytes(scope: Scope) {
    let value: Vec<u8> = (0..=255).cycle().take(1_000_000).collect();
    scope.store.put_if_absent(&scope.key("a"), value.clone()).await.unwrap();
    assert_eq!(scope.store.get(&scope.key("a")).await.unwrap().unwrap().value, value);
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
        use super::Scope;
        promises!(@each $url,
            creation_happens_once,
            only_the_revision_that_was_read_is_replaced,
            a_record_made_again_has_another_revision,
            lists_are_ordered_and_paged,
            values_are_any_bytes,
            no_update_is_lost_among_many_writers,
            typed_records_are_created_once_and_walked_whole,
        );
    })* };
    (@each $url:expr, $($promise:ident,)*) => { $(
        #[tokio::test(flavor = "multi_thread")]
        async fn $promise() {
            super::$promise(Scope::open(&$url).await).await;
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
    drop(store);
    let store = store::open("filesystem:", directory.path()).await.unwrap();
    assert_eq!(store.get("a").await.unwrap().unwrap().value, b"one");
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
