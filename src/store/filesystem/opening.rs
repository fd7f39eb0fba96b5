//! One process has the directory, and the database in it opens after every kill.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use super::unusable;
use crate::error::{Error, Result};

/// What sled may keep in memory. Records are small; this holds some 50,000 of them.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;

/// For how long sled may go on with a database that was closed.
const LETS_GO_WITHIN: Duration = Duration::from_secs(5);

/// The lock is to be held as long as the database is open; the kernel lets go of it however the
/// process ends.
pub(super) fn open(directory: &Path) -> Result<(File, sled::Db)> {
    fs::create_dir_all(directory).map_err(|error| unusable(directory, &error))?;
    let lock = lock(directory)?;
    let db = open_or_mend(directory)?;
    Ok((lock, db))
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

/// Whoever gets here has Crane's lock. So if sled's own is taken, that is by a thread of sled in
/// this process that has not yet let go of a database that was closed a moment ago.
fn open_database(path: &Path) -> sled::Result<sled::Db> {
    let patience = Instant::now() + LETS_GO_WITHIN;
    loop {
        match sled::Config::new().path(path).cache_capacity(CACHE_BYTES).open() {
            Err(sled::Error::Io(error))
                if error.to_string().starts_with("could not acquire lock")
                    && Instant::now() < patience =>
            {
                thread::sleep(Duration::from_millis(5));
            }
            outcome => return outcome,
        }
    }
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
