//! A writer on the filesystem store that is killed at random instants, time after time. What it
//! acknowledged is there, its batches are whole, and no revision is given twice.
//!
//! `CRANE_TEST_KILLS=1000` makes it a long run.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use crane::store::{self, Batch, Store};
use serde::{Deserialize, Serialize};

const WRITERS: usize = 8;

/// Under both keys of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Numbered {
    number: u64,
    /// The batch before, both keys of which this one deletes.
    deletes: Option<u64>,
    filler: String,
}

fn keys(number: u64) -> [String; 2] {
    [format!("a:{number:020}"), format!("b:{number:020}")]
}

async fn write(store: Arc<dyn Store>, numbers: Arc<AtomicU64>) {
    let mut kept = VecDeque::new();
    loop {
        let number = numbers.fetch_add(1, Ordering::SeqCst);
        let deletes = (kept.len() == 20).then(|| kept.pop_front().unwrap());
        // Some do not fit into one of sled's buffers or even segments.
        let size = match number % 50 {
            0 => 700_000,
            1..5 => 20_000,
            _ => 200,
        };
        let record = Numbered { number, deletes, filler: "x".repeat(size) };
        let mut batch = Batch::new();
        for key in keys(number) {
            batch = batch.put_record(key, &record).unwrap();
        }
        for key in deletes.into_iter().flat_map(keys) {
            batch = batch.delete(key);
        }
        let revision = store.commit(batch).await.unwrap().unwrap();
        // One write, so a line is told whole or not at all; libtest has standard output.
        let line = format!("acknowledged {number} {revision} {}\n", deletes.unwrap_or(u64::MAX));
        std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes()).unwrap();
        kept.push_back(number);
    }
}

/// Not a test: what the test below starts, and kills.
#[tokio::test(flavor = "multi_thread")]
async fn writer() {
    let Ok(directory) = std::env::var("CRANE_TEST_WRITER") else {
        assert!(std::env::var_os("CRANE_TEST_FIRST").is_none(), "a writer without a directory");
        return;
    };
    let first = std::env::var("CRANE_TEST_FIRST").unwrap().parse().unwrap();
    let store = store::open("filesystem:", Path::new(&directory)).await.unwrap();
    let numbers = Arc::new(AtomicU64::new(first));
    let writers =
        (0..WRITERS).map(|_| tokio::spawn(write(Arc::clone(&store), Arc::clone(&numbers))));
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
}

#[derive(Default)]
struct Acknowledged {
    /// Revisions by numbers, of this run.
    batches: BTreeMap<u64, u64>,
    /// Which batch deleted a number.
    deleted_by: BTreeMap<u64, u64>,
}

/// Runs a writer, and kills it so long after its start, or after its first commit: on a busy
/// machine hardly one would get so far otherwise.
fn run_and_kill(directory: &Path, first: u64, life: Duration, writes: bool) -> Acknowledged {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::kills::writer", "--nocapture"])
        .env("CRANE_TEST_WRITER", directory)
        .env("CRANE_TEST_FIRST", first.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = child.stderr.take().unwrap();
    let (began, begins) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut acknowledged = Acknowledged::default();
        for line in BufReader::new(stderr).lines() {
            let line = line.unwrap();
            let words: Vec<&str> = line.split(' ').collect();
            let ["acknowledged", number, revision, deletes] = words[..] else {
                panic!("the writer says: {line}");
            };
            let [number, revision, deletes]: [u64; 3] =
                [number, revision, deletes].map(|word| word.parse().unwrap());
            assert_eq!(acknowledged.batches.insert(number, revision), None);
            let _ = began.send(());
            acknowledged.deleted_by.insert(deletes, number);
        }
        acknowledged
    });
    if writes {
        begins.recv_timeout(Duration::from_secs(60)).expect("the writer writes");
    }
    std::thread::sleep(life);
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), None, "it ended by itself");
    reader.join().unwrap()
}

/// Returns the greatest revision and the greatest number that were ever seen.
async fn judge(store: &dyn Store, run: &mut Acknowledged, newest_before: u64) -> (u64, u64) {
    let mut found: [BTreeMap<u64, Numbered>; 2] = Default::default();
    for (records, prefix) in found.iter_mut().zip(["a:", "b:"]) {
        for record in store.read_all::<Numbered>(prefix).await.unwrap() {
            records.insert(record.number, record);
        }
    }
    let [a, b] = found;
    assert!(a == b, "half a batch: {:?} {:?}", a.keys(), b.keys());
    for (number, record) in &a {
        if let Some(deleted) = record.deletes {
            assert!(!a.contains_key(&deleted), "{number} has not deleted {deleted}");
            run.deleted_by.insert(deleted, *number);
        }
        // Never acknowledged, but done.
        if !run.batches.contains_key(number) {
            let revision = store.get(&keys(*number)[0]).await.unwrap().unwrap().revision;
            run.batches.insert(*number, revision);
        }
    }
    let mut revisions = BTreeSet::new();
    for (number, revision) in &run.batches {
        assert!(revisions.insert(*revision), "the revision {revision} was given twice");
        match a.contains_key(number) {
            true => {
                for key in keys(*number) {
                    assert_eq!(store.get(&key).await.unwrap().unwrap().revision, *revision);
                }
            }
            false => {
                assert!(run.deleted_by.contains_key(number), "the acknowledged {number} is lost");
            }
        }
    }
    let opened = store.revision().await.unwrap();
    let fresh: Vec<u64> =
        revisions.into_iter().filter(|revision| *revision > newest_before).collect();
    assert!(fresh.last().is_none_or(|newest| *newest < opened));
    (opened, run.batches.keys().last().copied().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_writer_loses_nothing_that_it_acknowledged() {
    let kills: u32 = std::env::var("CRANE_TEST_KILLS").map_or(50, |kills| kills.parse().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let (mut run, mut newest, mut first, mut total) = (Acknowledged::default(), 0, 0, 0);
    let (mut idle, mut slowest) = (0, Duration::ZERO);
    for kill in 1..=kills {
        // One in four is killed in its start.
        let (writes, longest) = if kill % 4 == 0 { (false, 300) } else { (true, 150) };
        let life = Duration::from_micros(u64::from(rand() % (longest * 1000)));
        let path = directory.path().to_owned();
        let last = tokio::task::spawn_blocking(move || run_and_kill(&path, first, life, writes));
        let last = last.await.unwrap();
        for revision in last.batches.values() {
            assert!(*revision > newest, "the revision {revision} was given before {newest}");
        }
        total += last.batches.len();
        idle += u32::from(last.batches.is_empty());
        run.batches.extend(last.batches);
        run.deleted_by.extend(last.deleted_by);
        let began = Instant::now();
        let store = store::open("filesystem:", directory.path()).await.unwrap();
        slowest = slowest.max(began.elapsed());
        let (opened, greatest) = judge(&*store, &mut run, newest).await;
        assert!(!store.changes(newest, Duration::ZERO).await.unwrap().complete);
        (newest, first) = (opened, greatest.max(first) + 1000);
        if kill % 25 == 0 {
            store.delete_all("a:").await.unwrap();
            store.delete_all("b:").await.unwrap();
            run = Acknowledged::default();
            newest = store.revision().await.unwrap();
        }
    }
    eprintln!(
        "{kills} kills, {idle} before the first commit: {total} commits acknowledged, none lost, \
         no error at opening, the slowest took {slowest:?}"
    );
    assert!(total > kills as usize);
}

fn rand() -> u32 {
    uuid::Uuid::new_v4().as_fields().0
}
