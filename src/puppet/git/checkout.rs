//! Writes a commit's tree into a directory as `git checkout` does, without a `.git`: modes by the
//! process's umask, symbolic links as they are, submodules as empty directories.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::{
        ffi::OsStrExt,
        fs::{OpenOptionsExt, symlink},
    },
    path::Path,
};

use git2::{ObjectType, Odb, Oid, Repository, Tree};

use super::{
    attributes::Attributes,
    objects::{Objects, own},
};
use crate::puppet::{
    bounds::{Cancelled, Room},
    fault::{Fault, Result},
};

/// What of which commit is written where.
pub(in super::super) struct Checkout<'a> {
    pub(in super::super) commit: Oid,
    /// The directory of the repository that is the module; none: all of it.
    pub(in super::super) below: Option<&'a str>,
    /// Whether the directory `spec` at the top is left out.
    pub(in super::super) without_spec: bool,
    /// Made here.
    pub(in super::super) target: &'a Path,
    pub(in super::super) cancelled: &'a Cancelled,
}

/// Git's modes of entries (gitformat-index(5)).
const TREE: i32 = 0o040_000;
const LINK: i32 = 0o120_000;
const SUBMODULE: i32 = 0o160_000;
const EXECUTABLE: i32 = 0o100;

/// Blocks.
pub(in super::super) fn checkout(objects: &Objects, checkout: &Checkout<'_>) -> Result<()> {
    let repository = objects.repository().map_err(own)?;
    let missing = |_| Fault::refused(format!("the commit {} is not whole", checkout.commit));
    let commit = repository.find_commit(checkout.commit).map_err(missing)?;
    let mut tree = commit.tree().map_err(missing)?;
    let odb = repository.odb().map_err(own)?;
    let mut writer = Writer {
        odb: &odb,
        repository: &repository,
        room: Room::new(checkout.cancelled),
        path: String::new(),
    };
    let mut attributes = Attributes::default();
    for name in checkout.below.unwrap_or_default().split('/').filter(|name| !name.is_empty()) {
        attributes = writer.attributes(&tree, attributes)?;
        let id = tree.get_name(name).filter(|entry| entry.filemode() == TREE).map(|e| e.id());
        let id = id.ok_or_else(|| {
            let below = checkout.below.unwrap_or_default();
            Fault::refused(format!("there is no directory '{below}' in the repository"))
        })?;
        writer.path.push_str(name);
        writer.path.push('/');
        tree = repository.find_tree(id).map_err(missing)?;
    }
    // Counted before anything is written: a tree of trees can be larger than any disk.
    measure(&repository, &tree, &mut Room::new(checkout.cancelled)).map_err(
        |fault| match fault {
            Fault::Own(_) => Fault::refused(format!("the commit {} is not whole", checkout.commit)),
            fault => fault,
        },
    )?;
    fs::create_dir(checkout.target)?;
    let left_out = checkout.without_spec.then_some("spec");
    writer.tree(&tree, checkout.target, attributes, left_out)
}

/// Whether a tree has more in it than a module may.
fn measure(repository: &Repository, tree: &Tree<'_>, room: &mut Room<'_>) -> Result<()> {
    room.enter()?;
    for entry in tree {
        room.entry()?;
        if entry.filemode() == TREE {
            let subtree = repository.find_tree(entry.id()).map_err(own)?;
            measure(repository, &subtree, room)?;
        }
    }
    room.leave();
    Ok(())
}

struct Writer<'r> {
    repository: &'r Repository,
    odb: &'r Odb<'r>,
    room: Room<'r>,
    /// Where it is, from the repository's root, with a `/` at its end.
    path: String,
}

impl<'r> Writer<'r> {
    fn tree(
        &mut self,
        tree: &Tree<'_>,
        target: &Path,
        attributes: Attributes,
        left_out: Option<&str>,
    ) -> Result<()> {
        let attributes = self.attributes(tree, attributes)?;
        self.room.enter()?;
        for entry in tree {
            let name = entry.name_bytes();
            self.check(name)?;
            self.room.entry()?;
            let mode = entry.filemode();
            if mode == TREE && left_out.is_some_and(|left_out| left_out.as_bytes() == name) {
                continue;
            }
            let place = target.join(std::ffi::OsStr::from_bytes(name));
            // Whatever the modes say, what is made here is new: a repository that has a name twice
            // gains nothing by it.
            match mode {
                TREE => {
                    let subtree =
                        self.repository.find_tree(entry.id()).map_err(|_| self.missing(name))?;
                    fs::create_dir(&place).map_err(twice)?;
                    let length = self.path.len();
                    self.path.push_str(&String::from_utf8_lossy(name));
                    self.path.push('/');
                    self.tree(&subtree, &place, attributes.clone(), None)?;
                    self.path.truncate(length);
                }
                SUBMODULE => fs::create_dir(&place).map_err(twice)?,
                LINK => {
                    let blob = self.blob(entry.id(), name)?;
                    let to = std::ffi::OsStr::from_bytes(blob.data());
                    symlink(to, &place).map_err(twice)?;
                }
                mode => {
                    let blob = self.blob(entry.id(), name)?;
                    let path = format!("{}{}", self.path, String::from_utf8_lossy(name));
                    let text = attributes.conversion(&path)?.apply(blob.data(), entry.id());
                    self.room.bytes(text.len() as u64)?;
                    let mode = if mode & EXECUTABLE == 0 { 0o666 } else { 0o777 };
                    let mut file = OpenOptions::new()
                        .write(true)
                        .create_new(true)
                        .mode(mode)
                        .open(&place)
                        .map_err(twice)?;
                    file.write_all(&text)?;
                }
            }
        }
        self.room.leave();
        Ok(())
    }

    /// The attributes in this directory.
    fn attributes(&self, tree: &Tree<'_>, outer: Attributes) -> Result<Attributes> {
        const NAME: &str = ".gitattributes";
        match tree.get_name(NAME) {
            Some(entry) if entry.kind() == Some(ObjectType::Blob) && entry.filemode() != LINK => {
                let blob = self.blob(entry.id(), NAME.as_bytes())?;
                outer.with(&self.path, blob.data())
            }
            _ => Ok(outer),
        }
    }

    fn blob(&self, oid: Oid, name: &[u8]) -> Result<git2::OdbObject<'r>> {
        let object = self.odb.read(oid).map_err(|_| self.missing(name))?;
        match object.kind() {
            ObjectType::Blob => Ok(object),
            _ => Err(self.missing(name)),
        }
    }

    fn missing(&self, name: &[u8]) -> Fault {
        let name = String::from_utf8_lossy(name);
        Fault::refused(format!("{}{name} is not in the repository as it should be", self.path))
    }

    /// Names that git itself refuses to write (`verify_path` in `read-cache.c`).
    fn check(&self, name: &[u8]) -> Result<()> {
        let bad = name.is_empty()
            || name == b"."
            || name == b".."
            || name.eq_ignore_ascii_case(b".git")
            || name.contains(&b'/')
            || name.contains(&0);
        if bad {
            let name = String::from_utf8_lossy(name).escape_debug().to_string();
            return Err(Fault::refused(format!(
                "'{}{name}' is no path git would write",
                self.path
            )));
        }
        Ok(())
    }
}

/// A name that is there already is the repository's fault, not the disk's.
fn twice(error: std::io::Error) -> Fault {
    match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            Fault::refused("the repository has one name twice in a directory")
        }
        _ => Fault::Own(error),
    }
}
