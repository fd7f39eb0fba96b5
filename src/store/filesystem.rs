//! Records in a directory, through sled.
//!
//! A commit is durable once a flush that began after it has ended, and a kill can leave a
//! half-written `snap.*.generating` that keeps sled from opening although nothing is lost; so these
//! files are deleted first (measured over thousands of SIGKILLs).
//!
//! Never `flush_async`: it waits inside sled's own small thread pool for writes that need a thread
//! of the same pool, so eight of them at a time wait for ever (seen with eight writers).

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use tokio::sync::Mutex;

use super::{Entry, Store, after_prefix};
use crate::error::{Error, Result};

/// What sled may keep in memory. Records are small; this holds some 50,000 of them.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;

/// New records are refused while the disk has less room than this. An error inside sled would end
/// all use of it until the next start, so its files must never be what fills the disk.
const ROOM_FOR_NEW: u64 = 16 * 1024 * 1024;

/// Changes and removals, which finish work or make room, go on until less than this is left.
const ROOM_FOR_OLD: u64 = 4 * 1024 * 1024;

pub(super) struct Filesystem {
    directory: PathBuf,
    db: sled::Db,
    /// Writes so far.
    written: AtomicU64,
    /// How many of them the disk has for certain. One flush at a time: whoever holds this flushes
    /// for all who wait for it.
    flushed: Mutex<u64>,
    /// Held as long as the database is open; the kernel lets go of it however the process ends.
    _lock: File,
}

pub(super) async fn open(directory: &Path) -> Result<Filesystem> {
    let directory = directory.to_owned();
    blocking(move || {
        fs::create_dir_all(&directory).map_err(|error| unusable(&directory, &error))?;
        let lock = lock(&directory)?;
        let db = open_or_mend(&directory)?;
        Ok(Filesystem {
            directory,
            db,
            written: AtomicU64::new(0),
            flushed: Mutex::new(0),
            _lock: lock,
        })
    })
    .await
}

/// One process has the store; a second one is told which.
fn lock(directory: &Path) -> Result<File> {
    let path = directory.join("crane.lock");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(|error| unusable(&path, &error))?;
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0).map_err(|error| unusable(&path, &error))?;
            write!(file, "{}", std::process::id()).map_err(|error| unusable(&path, &error))?;
            Ok(file)
        }
        Err(fs::TryLockError::WouldBlock) => {
            let mut pid = String::new();
            let _ = file.read_to_string(&mut pid);
            Err(Error::unavailable(
                "store",
                format!("{} is in use by the process {pid}", directory.display()),
            ))
        }
        Err(fs::TryLockError::Error(error)) => Err(unusable(&path, &error)),
    }
}

/// Never starts empty in the place of a database that cannot be read: a copy is kept, one more
/// try is made without sled's snapshots (it can rebuild them from its log), and then it is an error.
fn open_or_mend(directory: &Path) -> Result<sled::Db> {
    let path = directory.join("sled");
    remove_matching(&path, |name| name.starts_with("snap.") && name.ends_with(".generating"))?;
    let first = match open_database(&path) {
        Ok(db) => return Ok(db),
        Err(error @ sled::Error::Corruption { .. }) => error,
        Err(error) => {
            return Err(Error::unavailable("store", format!("{}: {error}", path.display())));
        }
    };
    let aside = copy_aside(&path)?;
    remove_matching(&path, |name| name.starts_with("snap."))?;
    open_database(&path).map_err(|_| {
        Error::unavailable(
            "store",
            format!(
                "{} is damaged ({first}) and was left as it is; a copy is in {}. Restore it from \
                 a backup, or move it away to begin anew",
                path.display(),
                aside.display()
            ),
        )
    })
}

fn open_database(path: &Path) -> sled::Result<sled::Db> {
    sled::Config::new().path(path).cache_capacity(CACHE_BYTES).open()
}

fn remove_matching(directory: &Path, matches: impl Fn(&str) -> bool) -> Result<()> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(unusable(directory, &error)),
    };
    for entry in entries {
        let entry = entry.map_err(|error| unusable(directory, &error))?;
        if entry.file_name().to_str().is_some_and(&matches) {
            fs::remove_file(entry.path()).map_err(|error| unusable(&entry.path(), &error))?;
        }
    }
    Ok(())
}

fn copy_aside(path: &Path) -> Result<PathBuf> {
    let aside = path.with_extension(format!("damaged-{}", std::process::id()));
    let copy = || -> io::Result<()> {
        fs::create_dir_all(&aside)?;
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                fs::copy(entry.path(), aside.join(entry.file_name()))?;
            }
        }
        Ok(())
    };
    copy().map_err(|error| unusable(&aside, &error))?;
    Ok(aside)
}

fn unusable(path: &Path, error: &io::Error) -> Error {
    Error::unavailable("store", format!("{}: {error}", path.display()))
}

fn failure(error: sled::Error) -> Error {
    match error {
        sled::Error::Io(error) => Error::unavailable("store", error),
        other => Error::internal(other),
    }
}

fn demand_room(directory: &Path, room: u64) -> Result<()> {
    let disk =
        rustix::fs::statvfs(directory).map_err(|error| unusable(directory, &error.into()))?;
    if disk.f_bavail * disk.f_frsize >= room {
        return Ok(());
    }
    let directory = directory.display();
    Err(Error::unavailable("store", format!("the disk of {directory} is full; make room on it")))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(Error::internal)?
}

/// On disk a value stands behind its revision, eight bytes in big-endian order.
fn pack(revision: u64, value: &[u8]) -> Vec<u8> {
    [&revision.to_be_bytes(), value].concat()
}

fn unpack(bytes: &[u8]) -> Result<Entry> {
    let (revision, value) = bytes
        .split_first_chunk()
        .ok_or_else(|| Error::internal("a record in the store is shorter than its revision"))?;
    Ok(Entry { revision: u64::from_be_bytes(*revision), value: value.to_vec() })
}

impl Filesystem {
    /// Runs a write, if the disk has so much room, and waits until the disk has it.
    async fn commit(
        &self,
        room: u64,
        write: impl FnOnce(&sled::Db) -> Result<bool> + Send + 'static,
    ) -> Result<bool> {
        let (directory, db) = (self.directory.clone(), self.db.clone());
        let changed = blocking(move || {
            demand_room(&directory, room)?;
            write(&db)
        })
        .await?;
        if changed {
            let ticket = self.written.fetch_add(1, Ordering::SeqCst) + 1;
            self.flush(ticket).await?;
        }
        Ok(changed)
    }

    /// Returns once the disk has the write with this number.
    async fn flush(&self, ticket: u64) -> Result<()> {
        let mut flushed = self.flushed.lock().await;
        if *flushed < ticket {
            let covered = self.written.load(Ordering::SeqCst);
            let db = self.db.clone();
            blocking(move || db.flush().map_err(failure)).await?;
            *flushed = covered;
        }
        Ok(())
    }
}

// Reads are done in place: they are answered from sled's cache or by one small `pread`, and a
// hop to a blocking thread costs several times as much as either (see `benches/`).
#[async_trait]
impl Store for Filesystem {
    async fn get(&self, key: &str) -> Result<Option<Entry>> {
        self.db.get(key).map_err(failure)?.map(|bytes| unpack(&bytes)).transpose()
    }

    async fn put_if_absent(&self, key: &str, value: Vec<u8>) -> Result<bool> {
        let key = key.to_owned();
        self.commit(ROOM_FOR_NEW, move |db| {
            let packed = pack(db.generate_id().map_err(failure)?, &value);
            let swapped = db.compare_and_swap(key, None::<&[u8]>, Some(packed)).map_err(failure)?;
            Ok(swapped.is_ok())
        })
        .await
    }

    async fn compare_and_set(&self, key: &str, revision: u64, value: Vec<u8>) -> Result<bool> {
        let key = key.to_owned();
        self.commit(ROOM_FOR_OLD, move |db| {
            let Some(old) = db.get(&key).map_err(failure)? else { return Ok(false) };
            if unpack(&old)?.revision != revision {
                return Ok(false);
            }
            let packed = pack(db.generate_id().map_err(failure)?, &value);
            let swapped = db.compare_and_swap(key, Some(old), Some(packed)).map_err(failure)?;
            Ok(swapped.is_ok())
        })
        .await
    }

    async fn delete(&self, key: &str) -> Result<bool> {
        let key = key.to_owned();
        self.commit(ROOM_FOR_OLD, move |db| Ok(db.remove(key).map_err(failure)?.is_some())).await
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Entry)>> {
        use std::ops::Bound;
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after.as_bytes().to_vec()),
            _ => Bound::Included(prefix.as_bytes().to_vec()),
        };
        let end = after_prefix(prefix).map_or(Bound::Unbounded, Bound::Excluded);
        self.db
            .range((start, end))
            .take(limit)
            .map(|item| {
                let (key, bytes) = item.map_err(failure)?;
                let key = String::from_utf8(key.to_vec()).map_err(Error::internal)?;
                Ok((key, unpack(&bytes)?))
            })
            .collect()
    }
}
