//! Directories that belong to one run, and are gone with it.

use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};

/// A directory that is removed when this is dropped. While it is held, it is locked; one that is
/// not locked was left behind by a Crane that was killed.
pub struct Scratch {
    path: PathBuf,
    _lock: File,
}

impl Scratch {
    /// Makes `<parent>/<prefix><random>`, and removes what was left behind beside it. Blocks.
    pub fn make(parent: &Path, prefix: &str) -> io::Result<Self> {
        fs::create_dir_all(parent)?;
        let parent = &parent.canonicalize()?;
        // Between making a directory and locking it, it looks like one left behind.
        let parent_lock = File::open(parent)?;
        flock(&parent_lock, FlockOperation::LockExclusive)?;
        for entry in fs::read_dir(parent)? {
            let entry = entry?;
            let ours = entry.file_name().to_string_lossy().starts_with(prefix);
            if ours && entry.file_type()?.is_dir() {
                remove_if_left_behind(&entry.path())?;
            }
        }
        let path = parent.join(format!("{prefix}{}", uuid::Uuid::new_v4().simple()));
        // Nobody else on the machine reads the URLs in it, which may hold passwords.
        DirBuilder::new().mode(0o700).create(&path)?;
        let lock = File::open(&path)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Self { path, _lock: lock })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            // The next run beside it tries again.
            tracing::warn!(path = %self.path.display(), %error, "a directory could not be removed");
        }
    }
}

fn remove_if_left_behind(path: &Path) -> io::Result<()> {
    let lock = match File::open(path) {
        // Its run has just ended.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        lock => lock?,
    };
    if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(());
    }
    fs::remove_dir_all(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_stays_and_what_was_left_behind_goes() {
        let parent = tempfile::tempdir().unwrap();
        let names = || fs::read_dir(parent.path()).unwrap().count();
        fs::create_dir_all(parent.path().join("x-left/behind")).unwrap();
        fs::create_dir(parent.path().join("other")).unwrap();
        fs::write(parent.path().join("x-file"), "").unwrap();
        let first = Scratch::make(parent.path(), "x-").unwrap();
        assert_eq!(names(), 3, "the first, other, x-file");
        let second = Scratch::make(parent.path(), "x-").unwrap();
        assert!(first.path().is_dir() && second.path().is_dir());
        fs::write(first.path().join("file"), "").unwrap();
        drop((first, second));
        assert_eq!(names(), 2);
    }
}
