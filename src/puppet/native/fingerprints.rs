//! What directories look like without reading a file in them: by their files' metadata, which
//! writing to one changes.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use sha2::{Digest, Sha256};

/// Fewer modules than this are looked at before another thread would have begun.
const MODULES_OF_A_THREAD: usize = 6;

/// By the path of each directory, relative to the context.
type Directories = BTreeMap<PathBuf, [u8; 32]>;

pub(super) struct Fingerprints {
    /// Of all that is managed; none when one of the directories is not there.
    pub(super) whole: Option<String>,
    directories: Directories,
}

impl Fingerprints {
    /// Of the managed directories of a context. Blocks.
    pub(super) fn take(root: &Path, managed: &[String]) -> io::Result<Self> {
        let there = |path: &&String| {
            fs::symlink_metadata(root.join(path)).is_ok_and(|there| there.is_dir())
        };
        let places: Vec<&Path> = managed.iter().filter(there).map(Path::new).collect();
        let mut directories = inner(root, &places)?;
        let mut whole = Sha256::new();
        for place in &places {
            let mut outer = Directories::new();
            whole.update(walk(root, place, &directories, &mut outer)?);
            directories.extend(outer);
        }
        let whole = (places.len() == managed.len()).then(|| hex(whole.finalize().as_slice()));
        Ok(Self { whole, directories })
    }

    /// Of one directory; none when it is not there.
    pub(super) fn of(&self, path: &str) -> Option<String> {
        self.directories.get(Path::new(path)).map(|bytes| hex(bytes))
    }
}

/// Of the directories in these, which the processors share.
fn inner(root: &Path, places: &[&Path]) -> io::Result<Directories> {
    let mut inner = Vec::new();
    for place in places {
        for entry in fs::read_dir(root.join(place))? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                inner.push(place.join(entry.file_name()));
            }
        }
    }
    let next = AtomicUsize::new(0);
    let work = || -> io::Result<Directories> {
        let mut noted = Directories::new();
        while let Some(path) = inner.get(next.fetch_add(1, Ordering::Relaxed)) {
            walk(root, path, &Directories::new(), &mut noted)?;
        }
        Ok(noted)
    };
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let others = processors.min(inner.len() / MODULES_OF_A_THREAD).saturating_sub(1);
    std::thread::scope(|scope| {
        let others: Vec<_> = (0..others).map(|_| scope.spawn(work)).collect();
        let mut all = work()?;
        for other in others {
            let noted = other.join().map_err(|_| io::Error::other("a thread has panicked"))?;
            all.extend(noted?);
        }
        Ok(all)
    })
}

/// The fingerprint of a directory, which is noted with those of all in it. What is `known` is not
/// looked at again.
fn walk(
    root: &Path,
    path: &Path,
    known: &Directories,
    noted: &mut Directories,
) -> io::Result<[u8; 32]> {
    if let Some(found) = known.get(path) {
        return Ok(*found);
    }
    let mut entries = fs::read_dir(root.join(path))?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    let mut hash = Sha256::new();
    for entry in entries {
        let (name, there) = (entry.file_name(), entry.metadata()?);
        hash.update(name.as_encoded_bytes());
        hash.update([0]);
        for number in [there.mode().into(), there.size(), there.ino()] {
            let number: u64 = number;
            hash.update(number.to_le_bytes());
        }
        // A directory's time changes with what is in it, which is looked at anyway.
        hash.update(there.mtime().to_le_bytes());
        hash.update(there.mtime_nsec().to_le_bytes());
        if there.is_dir() {
            hash.update(walk(root, &path.join(name), known, noted)?);
        }
    }
    let found = hash.finalize().into();
    noted.insert(path.to_owned(), found);
    Ok(found)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
