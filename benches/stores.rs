//! What a record costs: created by many writers at a time, each of whom waits until it is durable,
//! and read by one reader; and what opening a large store and listing a page of it costs. The
//! directory is on the disk that holds temporary files (`TMPDIR`).
#![allow(clippy::unwrap_used)]

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crane::store::{self, Batch, Store};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tokio::{runtime::Runtime, task::JoinSet};

/// As many requests as Crane's load test has under way at a time.
const WRITERS: u64 = 64;

/// More than a server collects in years.
const MANY: u32 = 100_000;

/// A finished context, as `jobs` stores it.
const RECORD: &[u8] = br#"{"status":"finished","description":"an empty context","created":"2026-01-01T00:00:00.000000000Z","detail":{"token":"CT2Q6aB0r9xK3mT7vWqLzE","group":"default","modules":[]}}"#;

const BACKENDS: [&str; 2] = ["memory:", "filesystem:"];

fn stores(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let opened: Vec<_> =
        BACKENDS.iter().map(|url| (url, runtime.block_on(open(url, directory.path())))).collect();

    let mut group = criterion.benchmark_group("create with 64 writers");
    group.throughput(Throughput::Elements(WRITERS));
    let names = Arc::new(AtomicU64::new(0));
    for (url, store) in &opened {
        group.bench_function(BenchmarkId::from_parameter(url), |bencher| {
            bencher.iter_custom(|rounds| runtime.block_on(create(store, &names, rounds)));
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("get");
    group.throughput(Throughput::Elements(1));
    for (url, store) in &opened {
        group.bench_function(BenchmarkId::from_parameter(url), |bencher| {
            bencher.iter_custom(|rounds| runtime.block_on(get(store, rounds)));
        });
    }
    group.finish();

    let large = tempfile::tempdir().unwrap();
    runtime.block_on(fill(large.path()));
    let mut group = criterion.benchmark_group(format!("of {MANY} records"));
    group.sample_size(10);
    group.bench_function("open", |bencher| {
        bencher.iter_custom(|rounds| {
            let mut spent = Duration::ZERO;
            for _ in 0..rounds {
                let began = Instant::now();
                let store = runtime.block_on(store::open("filesystem:", large.path())).unwrap();
                spent += began.elapsed();
                drop(store);
            }
            spent
        });
    });
    let store = runtime.block_on(store::open("filesystem:", large.path())).unwrap();
    let mut page = 0;
    group.bench_function("list a page of 100", |bencher| {
        bencher.iter(|| {
            page = (page + 100) % (MANY - 100);
            let after = format!("context:CT{page:06}");
            let found = runtime.block_on(store.list("context:", Some(&after), 100)).unwrap();
            assert!(found.len() >= 99);
        });
    });
    group.finish();
}

async fn fill(directory: &Path) {
    let store = store::open("filesystem:", directory).await.unwrap();
    for first in (0..MANY).step_by(500) {
        let batch = (first..first + 500).fold(Batch::new(), |batch, number| {
            batch.put(format!("context:CT{number:06}"), RECORD.to_vec())
        });
        store.commit(batch).await.unwrap();
    }
}

async fn open(url: &str, directory: &Path) -> Arc<dyn Store> {
    let store = store::open(url, directory).await.unwrap();
    assert!(store.put_if_absent("context:CT0", RECORD.to_vec()).await.unwrap());
    store
}

/// Each writer creates one record a round, and the next as soon as that is durable.
async fn create(store: &Arc<dyn Store>, names: &Arc<AtomicU64>, rounds: u64) -> Duration {
    let mut writers = JoinSet::new();
    let began = Instant::now();
    for _ in 0..WRITERS {
        let (store, names) = (Arc::clone(store), Arc::clone(names));
        writers.spawn(async move {
            for _ in 0..rounds {
                let name = names.fetch_add(1, Ordering::Relaxed) + 1;
                let key = format!("context:CT{name}");
                assert!(store.put_if_absent(&key, RECORD.to_vec()).await.unwrap());
            }
        });
    }
    writers.join_all().await;
    began.elapsed()
}

async fn get(store: &Arc<dyn Store>, rounds: u64) -> Duration {
    let began = Instant::now();
    for _ in 0..rounds {
        let entry = store.get(std::hint::black_box("context:CT0")).await.unwrap();
        assert_eq!(entry.unwrap().value.len(), RECORD.len());
    }
    began.elapsed()
}

criterion_group!(benches, stores);
criterion_main!(benches);
