//! The files that a build may use, wherever they are.

use std::{
    cmp::Ordering,
    fs::File,
    io::{self, Cursor, Read},
    path::PathBuf,
    time::SystemTime,
};

use hyper::body::Bytes;

/// The build context: files on disk below one directory, and files in memory.
///
/// Only names and sizes are held here; what is in the files on disk is read when the engine wants
/// it.
#[derive(Debug)]
pub struct Context {
    root: PathBuf,
    /// In the order of a walk: a directory before what is in it, siblings by name.
    entries: Vec<Entry>,
}

#[derive(Debug, Clone)]
pub struct Entry {
    /// Relative, with `/`, of normal components only.
    pub path: String,
    /// Permissions; the owner is always root.
    pub mode: u32,
    pub modified: SystemTime,
    pub content: Content,
}

#[derive(Debug, Clone)]
pub enum Content {
    Directory,
    /// Where the link points to, which may be nowhere.
    Symlink(String),
    /// A file below the context's directory, of so many bytes.
    Disk(u64),
    Memory(Bytes),
}

impl Context {
    /// Each path must be there once, and each directory must have an entry of its own.
    pub fn new(root: impl Into<PathBuf>, mut entries: Vec<Entry>) -> Self {
        entries.sort_by(|a, b| in_walk_order(&a.path, &b.path));
        Self { root: root.into(), entries }
    }

    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(super) fn entry(&self, path: &str) -> Option<&Entry> {
        let index = self.entries.binary_search_by(|entry| in_walk_order(&entry.path, path)).ok()?;
        self.entries.get(index)
    }

    /// The bytes of a file.
    pub(super) fn open(&self, entry: &Entry) -> io::Result<Box<dyn Read + Send>> {
        match &entry.content {
            Content::Disk(_) => Ok(Box::new(File::open(self.root.join(&entry.path))?)),
            Content::Memory(bytes) => Ok(Box::new(Cursor::new(bytes.clone()))),
            Content::Directory | Content::Symlink(_) => Ok(Box::new(io::empty())),
        }
    }
}

fn in_walk_order(a: &str, b: &str) -> Ordering {
    a.split('/').cmp(b.split('/'))
}

impl Entry {
    /// Bytes of the file; nothing else has any.
    pub(super) fn size(&self) -> u64 {
        match &self.content {
            Content::Disk(size) => *size,
            Content::Memory(bytes) => bytes.len() as u64,
            Content::Directory | Content::Symlink(_) => 0,
        }
    }

    /// Since 1970.
    pub(super) fn age(&self) -> std::time::Duration {
        self.modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_in_the_order_of_a_walk() {
        let entry = |path: &str| Entry {
            path: path.into(),
            mode: 0o644,
            modified: SystemTime::UNIX_EPOCH,
            content: Content::Directory,
        };
        let walk = ["a", "a/b", "a/b/c", "a/b.d", "a-b", "ab"];
        let mut shuffled: Vec<_> = walk.iter().rev().map(|path| entry(path)).collect();
        shuffled.swap(1, 3);
        let context = Context::new("/", shuffled);
        let order: Vec<_> = context.entries().iter().map(|entry| entry.path.as_str()).collect();
        assert_eq!(order, walk);
        assert!(walk.iter().all(|path| context.entry(path).is_some_and(|e| e.path == *path)));
        assert!(context.entry("a/b/").is_none());
    }
}
