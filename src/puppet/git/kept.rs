//! Trees of modules as they were written, kept beside the packs: one file that is read from its
//! beginning to its end, instead of objects that are looked for, inflated and put together.
//!
//! A file is the tar that the digest of the tree is of ([`archive`]), and after it the digest. It is
//! compared whenever the file is read, so that one that was damaged is as good as none.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{OpenOptionsExt, symlink},
    },
    path::{Path, PathBuf},
};

use crate::puppet::{
    archive::{self, Entry, Made},
    bounds::{Cancelled, Room},
    fault::Result,
};

/// Larger trees are not kept: they are held in memory, several at a time.
pub(super) const BYTES: usize = 12 * 1024 * 1024;

/// `sha256:` and 64 digits.
const DIGEST: usize = 71;

/// Where one is, or will be.
pub(super) struct Kept(pub(super) PathBuf);

impl Kept {
    /// Keeps a tree, if it is small enough. Blocks.
    pub(super) fn put(&self, made: &Made) -> io::Result<()> {
        let (Some(tar), Some(parent)) = (&made.tar, self.0.parent()) else { return Ok(()) };
        fs::create_dir_all(parent)?;
        let part = parent.join(format!(".{}", uuid::Uuid::new_v4().simple()));
        let write = || {
            let mut file = fs::File::create_new(&part)?;
            file.write_all(tar)?;
            file.write_all(made.digest.as_bytes())?;
            fs::rename(&part, &self.0)
        };
        write().inspect_err(|_| {
            let _ = fs::remove_file(&part);
        })
    }

    /// Writes the tree to a directory that is made here, and says its digest. None, and nothing is
    /// written, when it is not here. Blocks.
    pub(super) fn write(&self, target: &Path, cancelled: &Cancelled) -> Result<Option<String>> {
        let Ok(file) = fs::read(&self.0) else { return Ok(None) };
        let whole =
            file.split_at_checked(file.len().saturating_sub(DIGEST)).and_then(|(tar, end)| {
                let digest = std::str::from_utf8(end).ok()?;
                archive::is_whole(tar, digest).then_some((tar, digest))
            });
        let Some((tar, digest)) = whole else {
            fs::remove_file(&self.0)?;
            return Ok(None);
        };
        fs::create_dir(target)?;
        // As many entries as fitted when it was kept; it only ends when nobody waits for it.
        let mut room = Room::new(cancelled);
        let mut entries = archive::entries(tar);
        while let Some((path, entry)) = entries.next()? {
            room.entry()?;
            let path = path.strip_suffix(b"/").unwrap_or(path);
            make(&target.join(std::ffi::OsStr::from_bytes(path)), &entry)?;
        }
        Ok(Some(digest.to_owned()))
    }
}

/// Makes what was not there before: whatever a repository has twice is an error. Modes are by the
/// process's umask, as git's are.
pub(super) fn make(place: &Path, entry: &Entry<'_>) -> io::Result<()> {
    match entry {
        Entry::Directory => fs::create_dir(place),
        Entry::Link { target } => symlink(std::ffi::OsStr::from_bytes(target), place),
        Entry::File { executable, content } => {
            let mode = if *executable { 0o777 } else { 0o666 };
            let mut file =
                OpenOptions::new().write(true).create_new(true).mode(mode).open(place)?;
            file.write_all(content)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::puppet::archive::Tar;

    #[test]
    fn a_damaged_tree_is_as_good_as_none() {
        let home = tempfile::tempdir().unwrap();
        let kept = Kept(home.path().join("kept/tree"));
        let mut tar = Tar::new(BYTES);
        tar.add(b"a", &Entry::File { executable: true, content: b"text" }).unwrap();
        tar.add(b"d/", &Entry::Directory).unwrap();
        tar.add(b"d/link", &Entry::Link { target: b"../a" }).unwrap();
        let made = tar.finish().unwrap().unwrap();
        let (cancelled, target) = (Cancelled::default(), home.path().join("target"));
        assert_eq!(kept.write(&target, &cancelled).unwrap(), None);
        kept.put(&made).unwrap();
        assert_eq!(kept.write(&target, &cancelled).unwrap().as_deref(), Some(&*made.digest));
        assert_eq!(archive::digest(&target).unwrap(), made.digest);
        assert_eq!(fs::read_to_string(target.join("d/link")).unwrap(), "text");
        let other = home.path().join("other");
        let whole = fs::read(&kept.0).unwrap();
        for cut in [0, 70, 71, 600, whole.len() - 1] {
            fs::write(&kept.0, &whole[..cut]).unwrap();
            assert_eq!(kept.write(&other, &cancelled).unwrap(), None);
            assert!(!kept.0.exists() && !other.exists());
        }
    }
}
