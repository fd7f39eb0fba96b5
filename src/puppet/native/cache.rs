//! The bound of the cache: what was not used for the longest time goes first, and what anybody uses
//! at the moment stays, be it this process or another one on the same cache.
//!
//! One repository, and one archive, is what goes or stays. When it was used is the time of its
//! directory or file. Who uses it holds a lock, shared with others; who removes it needs the lock
//! alone. The locks are files of their own, which are never removed, so that nobody holds one of
//! something that is gone.

use std::{
    fs::{self, File},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rustix::fs::{FlockOperation, flock};

/// How large it may be unless something else is configured: some thousand repositories.
pub(super) const BYTES: u64 = 10 * 1024 * 1024 * 1024;

/// Going through all of it takes longer than most installations.
const EVERY: Duration = Duration::from_secs(10 * 60);

/// What is being written has a name that begins with a dot, until a writer that was killed has left it.
const LEFT_BEHIND: Duration = Duration::from_secs(24 * 60 * 60);

/// Something of the cache that stays as long as this is there.
#[derive(Debug)]
pub(in super::super) struct Held {
    _lock: File,
}

impl Held {
    /// Waits for whoever removes it. Blocks.
    pub(super) fn of(cache: &Path, place: &Path) -> io::Result<Self> {
        let lock = lock_of(cache, place)?;
        flock(&lock, FlockOperation::LockShared)?;
        match File::open(place) {
            Ok(there) => there.set_modified(SystemTime::now())?,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(Self { _lock: lock })
    }
}

/// One lock for each two digits that a name may begin with: names are digests.
fn lock_of(cache: &Path, place: &Path) -> io::Result<File> {
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    let digits = name.get(..2).filter(|two| two.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let locks = cache.join("locks");
    let open = || {
        let mut options = File::options();
        options.create(true).truncate(false).write(true).open(locks.join(digits.unwrap_or("other")))
    };
    match open() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            fs::create_dir_all(&locks)?;
            open()
        }
        opened => opened,
    }
}

/// What goes or stays as a whole.
struct Unit {
    place: PathBuf,
    bytes: u64,
    used: SystemTime,
}

/// The same as [`bound`], but not more often than that is worth. Blocks.
pub(super) fn bound_at_times(cache: &Path, most: u64) -> io::Result<()> {
    let mark = cache.join("measured");
    match fs::metadata(&mark).and_then(|there| there.modified()) {
        Ok(before) if before.elapsed().is_ok_and(|since| since < EVERY) => return Ok(()),
        Ok(_) => File::create(&mark)?.set_modified(SystemTime::now())?,
        // A new cache is small.
        Err(_) => {
            return match File::create(&mark) {
                // Local modules need none.
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
                made => made.map(drop),
            };
        }
    }
    bound(cache, most)
}

/// Removes what was used the longest ago until a tenth less than `most` is left. Blocks.
fn bound(cache: &Path, most: u64) -> io::Result<()> {
    let mut units = units(cache)?;
    let mut bytes: u64 = units.iter().map(|unit| unit.bytes).sum();
    if bytes <= most {
        return Ok(());
    }
    units.sort_by_key(|unit| unit.used);
    for unit in units {
        if bytes <= most - most / 10 {
            break;
        }
        let lock = lock_of(cache, &unit.place)?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            remove(&unit.place)?;
            bytes -= unit.bytes;
        }
    }
    Ok(())
}

fn units(cache: &Path) -> io::Result<Vec<Unit>> {
    let mut units = Vec::new();
    for kind in ["git", "archives"] {
        let entries = match fs::read_dir(cache.join(kind)) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            // It may be gone since.
            let Ok(there) = entry.metadata() else { continue };
            let used = there.modified()?;
            let is_written = entry.file_name().as_encoded_bytes().starts_with(b".")
                && used.elapsed().is_ok_and(|since| since < LEFT_BEHIND);
            if !is_written {
                units.push(Unit { bytes: size(&entry.path()), place: entry.path(), used });
            }
        }
    }
    Ok(units)
}

/// Of a file, or of all files in a directory. What cannot be read counts nothing.
fn size(place: &Path) -> u64 {
    match fs::symlink_metadata(place) {
        Ok(there) if there.is_dir() => {
            let entries = fs::read_dir(place).into_iter().flatten().flatten();
            entries.map(|entry| size(&entry.path())).sum()
        }
        Ok(there) => there.len(),
        Err(_) => 0,
    }
}

fn remove(place: &Path) -> io::Result<()> {
    let removed = match place.is_dir() {
        // Aside first, so that nobody finds half of it.
        true => {
            let name = format!(".{}", uuid::Uuid::new_v4().simple());
            let aside = place.with_file_name(name);
            fs::rename(place, &aside).and_then(|()| fs::remove_dir_all(aside))
        }
        false => fs::remove_file(place),
    };
    match removed {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cache of four repositories and archives of 1,000 bytes, the first the least used.
    fn cache() -> (tempfile::TempDir, [PathBuf; 4]) {
        let home = tempfile::tempdir().unwrap();
        let places = ["git/aa01", "archives/bb01", "git/cc01", "archives/dd01"];
        let places = places.map(|place| home.path().join(place));
        for (hours, place) in (1_u64..).zip(places.iter().rev()) {
            let file = match place.starts_with(home.path().join("git")) {
                true => place.join("objects/pack/x.pack"),
                false => place.clone(),
            };
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, [0; 1000]).unwrap();
            let used = SystemTime::now() - Duration::from_secs(hours * 3600);
            File::open(place).unwrap().set_modified(used).unwrap();
        }
        (home, places)
    }

    fn there(places: &[PathBuf]) -> Vec<bool> {
        places.iter().map(|place| place.exists()).collect()
    }

    #[test]
    fn what_was_not_used_for_the_longest_time_goes_first() {
        let (home, places) = cache();
        bound(home.path(), 4000).unwrap();
        assert_eq!(there(&places), [true; 4]);
        bound(home.path(), 3999).unwrap();
        assert_eq!(there(&places), [false, true, true, true]);
        drop(Held::of(home.path(), &places[1]).unwrap());
        bound(home.path(), 2500).unwrap();
        assert_eq!(there(&places), [false, true, false, true], "the second was used just now");
        bound(home.path(), 0).unwrap();
        assert_eq!(there(&places), [false; 4]);
        assert_eq!(fs::read_dir(home.path().join("git")).unwrap().count(), 0);
    }

    #[test]
    fn what_is_used_stays_whoever_uses_it() {
        let (home, places) = cache();
        let held = Held::of(home.path(), &places[0]).unwrap();
        // Another process, which util-linux has a program for.
        let mut other = std::process::Command::new("flock")
            .args(["--shared", "--no-fork"])
            .arg(home.path().join("locks/cc"))
            .args(["sleep", "60"])
            .spawn()
            .unwrap();
        let lock = lock_of(home.path(), &places[2]).unwrap();
        while flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            flock(&lock, FlockOperation::Unlock).unwrap();
            std::thread::sleep(Duration::from_millis(10));
        }
        bound(home.path(), 0).unwrap();
        assert_eq!(there(&places), [true, false, true, false]);
        other.kill().unwrap();
        other.wait().unwrap();
        drop(held);
        bound(home.path(), 0).unwrap();
        assert_eq!(there(&places), [false; 4]);
    }

    #[test]
    fn it_is_not_measured_each_time() {
        let (home, places) = cache();
        bound_at_times(&home.path().join("none"), 0).unwrap();
        bound_at_times(home.path(), 0).unwrap();
        bound_at_times(home.path(), 0).unwrap();
        assert_eq!(there(&places), [true; 4]);
        let mark = File::open(home.path().join("measured")).unwrap();
        mark.set_modified(SystemTime::now() - EVERY).unwrap();
        bound_at_times(home.path(), 0).unwrap();
        assert_eq!(there(&places), [false; 4]);
    }
}
