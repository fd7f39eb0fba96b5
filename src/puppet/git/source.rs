//! Objects of a commit: those that have just arrived, or else those in the cache.

use git2::{ObjectType, Odb, OdbObject, Oid};

use super::{
    objects::{Objects, own},
    small::Small,
};
use crate::puppet::fault::Result;

/// Git's modes of entries (gitformat-index(5)).
pub(super) const TREE: u32 = 0o040_000;
pub(super) const LINK: u32 = 0o120_000;
pub(super) const SUBMODULE: u32 = 0o160_000;
const KIND: u32 = 0o170_000;
const EXECUTABLE: u32 = 0o100;

pub(super) struct Source<'s> {
    fresh: Option<&'s Small>,
    odb: Odb<'static>,
}

/// The bytes of an object.
pub(super) enum Content<'s> {
    Fresh(&'s [u8]),
    Cached(OdbObject<'s>),
}

impl std::ops::Deref for Content<'_> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match self {
            Self::Fresh(bytes) => bytes,
            Self::Cached(object) => object.data(),
        }
    }
}

/// An entry of a tree.
pub(super) struct Entry<'t> {
    pub(super) kind: Kind,
    pub(super) name: &'t [u8],
    pub(super) oid: Oid,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Tree,
    Link,
    Submodule,
    File { executable: bool },
}

impl<'s> Source<'s> {
    pub(super) fn new(objects: &Objects, fresh: Option<&'s Small>) -> Result<Self> {
        Ok(Self { fresh, odb: objects.odb().map_err(own)? })
    }

    /// An object of this type; none when there is none, or it is damaged.
    pub(super) fn get(&self, oid: Oid, kind: ObjectType) -> Option<Content<'_>> {
        if let Some((found, bytes)) = self.fresh.and_then(|fresh| fresh.get(oid)) {
            return (found == kind).then_some(Content::Fresh(bytes));
        }
        let object = self.odb.read(oid).ok()?;
        (object.kind() == kind).then_some(Content::Cached(object))
    }

    /// The tree of a commit, which its first line names.
    pub(super) fn tree_of(&self, commit: Oid) -> Option<Oid> {
        let commit = self.get(commit, ObjectType::Commit)?;
        let name = commit.strip_prefix(b"tree ")?.get(..40)?;
        Oid::from_str(std::str::from_utf8(name).ok()?).ok()
    }
}

/// The entries of a tree, each with the kind that libgit2 takes it for (`tree.c`,
/// `normalize_filemode`); none when it is damaged.
pub(super) fn entries(tree: &[u8]) -> Option<Vec<Entry<'_>>> {
    let mut entries = Vec::new();
    let mut rest = tree;
    while !rest.is_empty() {
        let space = rest.iter().position(|byte| *byte == b' ').filter(|space| *space <= 7)?;
        let mode = u32::from_str_radix(std::str::from_utf8(&rest[..space]).ok()?, 8).ok()?;
        rest = &rest[space + 1..];
        let end = rest.iter().position(|byte| *byte == 0)?;
        let (name, after) = (&rest[..end], &rest[end + 1..]);
        let (oid, after) = after.split_at_checked(20)?;
        let kind = match mode & KIND {
            TREE => Kind::Tree,
            _ if mode & EXECUTABLE != 0 => Kind::File { executable: true },
            SUBMODULE => Kind::Submodule,
            LINK => Kind::Link,
            _ => Kind::File { executable: false },
        };
        entries.push(Entry { kind, name, oid: Oid::from_bytes(oid).ok()? });
        rest = after;
    }
    Some(entries)
}
