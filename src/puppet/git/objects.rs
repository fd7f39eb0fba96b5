//! The objects of one repository in the cache, shared by all contexts.
//!
//! Below `<cache>/git/<key>/` are the packs (`objects/pack`), an empty file in `commits/` for each
//! commit whose whole tree is in them, and in `trees-1/` the trees that were written ([`super::kept`]).
//! All appear under their names only when they are whole, and are named after what is in them, so
//! that several processes may work on one cache.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use git2::{Indexer, Odb, Oid, Repository};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::{
    kept::Kept,
    pack::Scanner,
    remote::Pack,
    small::{PACK, Small},
};
use crate::puppet::{
    fault::{Fault, Result},
    native::Native,
};

/// Pieces of a pack that wait for the disk, of 64 KiB each.
const PIECES: usize = 16;

#[derive(Debug, Clone)]
pub(in super::super) struct Objects {
    root: PathBuf,
}

/// What the reader of a connection hands to the writer of the pack.
enum Piece {
    Bytes(Vec<u8>),
    /// The pack came to its end. Without it, it broke off.
    End,
}

/// Tells the thread that writes that nobody waits for it any more.
struct Wanted(Arc<AtomicBool>);

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl Objects {
    /// Those below this directory.
    pub(in super::super) fn at(root: PathBuf) -> Self {
        Self { root }
    }

    pub(in super::super) fn root(&self) -> &Path {
        &self.root
    }

    /// Makes the directories that are missing. Blocks.
    pub(in super::super) fn prepare(&self) -> io::Result<()> {
        fs::create_dir_all(self.root.join("objects/pack"))?;
        fs::create_dir_all(self.root.join("commits"))
    }

    /// The commit that a tag was of when it was fetched, if that is whole. Blocks.
    pub(in super::super) fn tagged(&self, name: &str) -> Option<Oid> {
        let commit = fs::read_to_string(self.tag(name)).ok()?;
        Oid::from_str(&commit).ok().filter(|commit| self.has(*commit))
    }

    /// Notes that it is. Blocks.
    pub(in super::super) fn note_tag(&self, name: &str, commit: Oid) -> io::Result<()> {
        fs::create_dir_all(self.root.join("tags"))?;
        let part = self.root.join("tags").join(uuid::Uuid::new_v4().simple().to_string());
        fs::write(&part, commit.to_string())?;
        fs::rename(part, self.tag(name))
    }

    /// A tag's name may have slashes in it, and be longer than a file's.
    fn tag(&self, name: &str) -> PathBuf {
        let hash: String = Sha256::digest(name).iter().map(|byte| format!("{byte:02x}")).collect();
        self.root.join("tags").join(hash)
    }

    /// Throws all of it away, because something in it is damaged. Blocks.
    pub(in super::super) fn discard(&self) -> io::Result<()> {
        let aside = self.root.with_extension(uuid::Uuid::new_v4().simple().to_string());
        match fs::rename(&self.root, &aside) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            renamed => renamed.and_then(|()| fs::remove_dir_all(aside)),
        }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Whether the commit is here with its whole tree. Blocks.
    pub(in super::super) fn has(&self, commit: Oid) -> bool {
        self.root.join("commits").join(commit.to_string()).exists()
    }

    /// Notes that it is. Blocks.
    pub(in super::super) fn note(&self, commit: Oid) -> io::Result<()> {
        fs::File::create(self.root.join("commits").join(commit.to_string())).map(drop)
    }

    /// The commits that are whole, at most so many. Blocks.
    pub(in super::super) fn commits(&self, most: usize) -> Vec<Oid> {
        let entries = fs::read_dir(self.root.join("commits")).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter_map(|name| Oid::from_str(&name).ok()).take(most).collect()
    }

    /// The objects as libgit2 reads them, without references or configuration. Blocks.
    pub(in super::super) fn repository(&self) -> std::result::Result<Repository, git2::Error> {
        Repository::from_odb(odb(&self.root.join("objects"))?)
    }

    /// The same without a repository around them. Blocks.
    pub(super) fn odb(&self) -> std::result::Result<Odb<'static>, git2::Error> {
        odb(&self.root.join("objects"))
    }

    /// The commit that an object is, seen through tags. None when it is not here or is none. Blocks.
    pub(in super::super) fn commit(&self, oid: Oid) -> Option<Oid> {
        let repository = self.repository().ok()?;
        let object = repository.find_object(oid, None).ok()?;
        object.peel_to_commit().ok().map(|commit| commit.id())
    }

    /// The tree of a commit as it was written.
    pub(super) fn kept(&self, commit: Oid, without_spec: bool) -> Kept {
        // The number is to be another one when a checkout leaves other files.
        let what = if without_spec { "trees-1/without-spec" } else { "trees-1/whole" };
        Kept(self.root.join(what).join(commit.to_string()))
    }

    /// Takes in a pack as it arrives; all of it or nothing. What is in a small one is given back.
    pub(in super::super) async fn receive(
        &self,
        native: &Native,
        mut pack: Pack<'_>,
    ) -> Result<Option<Arc<Small>>> {
        let mut begin = Vec::new();
        let mut is_whole = false;
        while begin.len() < PACK && !is_whole {
            match pack.next().await? {
                Some(bytes) => begin.extend_from_slice(&bytes),
                None => is_whole = true,
            }
        }
        if is_whole {
            let directory = self.root.join("objects/pack");
            let (read, bytes) = native
                .blocking(move || {
                    let small = Small::read(&begin);
                    if let Some(small) = &small {
                        small.store(&begin, &directory)?;
                    }
                    Ok((small, begin))
                })
                .await?;
            if let Some(small) = read {
                return Ok(Some(Arc::new(small)));
            }
            begin = bytes;
        }
        self.stream(begin, pack, is_whole).await.map(|()| None)
    }

    /// The same through libgit2, with as much memory whatever its size.
    async fn stream(&self, begin: Vec<u8>, mut pack: Pack<'_>, is_whole: bool) -> Result<()> {
        let (sender, receiver) = mpsc::channel(PIECES);
        let wanted = Wanted(Arc::new(AtomicBool::new(true)));
        let (objects, flag) = (self.root.join("objects"), wanted.0.clone());
        let write = tokio::task::spawn_blocking(move || index(&objects, receiver, &flag));
        let read = async move {
            let mut next = Some(begin);
            while let Some(bytes) = next {
                // The writer has given up, and says why.
                if sender.send(Piece::Bytes(bytes)).await.is_err() {
                    return Ok(());
                }
                next = if is_whole { None } else { pack.next().await? };
            }
            let _ = sender.send(Piece::End).await;
            Ok(())
        };
        let (read, written) = tokio::join!(read, write);
        drop(wanted);
        // What the writer refuses came first; what it only missed is told by the reader.
        match written.map_err(io::Error::other)? {
            Err(fault @ Fault::Refused(_)) => Err(fault),
            written => read.and(written),
        }
    }
}

pub(super) fn odb(objects: &Path) -> std::result::Result<Odb<'static>, git2::Error> {
    let odb = Odb::new()?;
    let path = objects.to_str().ok_or_else(|| git2::Error::from_str("a path that is not UTF-8"))?;
    odb.add_disk_alternate(path)?;
    Ok(odb)
}

/// Writes a pack and its index into the directory of objects.
fn index(
    objects: &Path,
    mut pieces: mpsc::Receiver<Piece>,
    wanted: &Arc<AtomicBool>,
) -> Result<()> {
    use std::io::Write;
    let odb = odb(objects).map_err(own)?;
    let mut scanner = Scanner::new();
    let mut indexer = Indexer::new(Some(&odb), &objects.join("pack"), 0o444, false).map_err(own)?;
    let flag = wanted.clone();
    indexer.progress(move |_| flag.load(Ordering::Relaxed));
    loop {
        match pieces.blocking_recv() {
            Some(Piece::Bytes(bytes)) => {
                scanner.feed(&bytes)?;
                indexer.write_all(&bytes).map_err(|error| damaged(&error))?;
            }
            Some(Piece::End) => break,
            None => return Err(Fault::away("the pack broke off")),
        }
    }
    if !scanner.is_whole() {
        return Err(Fault::away("the pack broke off"));
    }
    // A server that has nothing new sends an empty one, and libgit2 has no name for it.
    if scanner.objects() > 0 {
        indexer.commit().map_err(|error| damaged(&error))?;
    }
    Ok(())
}

fn damaged(error: &dyn std::error::Error) -> Fault {
    Fault::refused(format!("the pack is damaged: {error}"))
}

pub(super) fn own(error: git2::Error) -> Fault {
    Fault::Own(io::Error::other(error))
}
