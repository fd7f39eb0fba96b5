//! Writes a commit's tree into a directory as `git checkout` does, without a `.git`: modes by the
//! process's umask, symbolic links as they are, submodules as empty directories.

use std::{fs, os::unix::ffi::OsStrExt, path::Path};

use git2::{ObjectType, Oid};

use super::{
    attributes::Attributes,
    kept::{BYTES, make},
    objects::Objects,
    small::Small,
    source::{Content, Entry, Kind, Source, entries},
};
use crate::puppet::{
    archive::{self, Tar},
    bounds::{Cancelled, Room},
    fault::{Fault, Result},
};

/// What of which commit is written where.
pub(in super::super) struct Checkout<'a> {
    pub(in super::super) commit: Oid,
    /// What of it has just arrived and is still in memory.
    pub(in super::super) fresh: Option<&'a Small>,
    /// The directory of the repository that is the module; none: all of it.
    pub(in super::super) below: Option<&'a str>,
    /// Whether the directory `spec` at the top is left out.
    pub(in super::super) without_spec: bool,
    /// Made here.
    pub(in super::super) target: &'a Path,
    pub(in super::super) cancelled: &'a Cancelled,
}

/// Writes it, and says its digest if that is known without reading it again. Blocks.
pub(in super::super) fn checkout(
    objects: &Objects,
    checkout: &Checkout<'_>,
) -> Result<Option<String>> {
    let kept = objects.kept(checkout.commit, checkout.without_spec);
    if checkout.below.is_none()
        && let Some(digest) = kept.write(checkout.target, checkout.cancelled)?
    {
        return Ok(Some(digest));
    }
    let source = Source::new(objects, checkout.fresh)?;
    let missing = || Fault::refused(format!("the commit {} is not whole", checkout.commit));
    let mut tree = source.tree_of(checkout.commit).ok_or_else(missing)?;
    let mut writer = Writer {
        source: &source,
        room: Room::new(checkout.cancelled),
        path: String::new(),
        tar: Tar::new(BYTES),
    };
    let mut attributes = Attributes::default();
    for name in checkout.below.unwrap_or_default().split('/').filter(|name| !name.is_empty()) {
        let object = source.get(tree, ObjectType::Tree).ok_or_else(missing)?;
        let entries = entries(&object).ok_or_else(missing)?;
        attributes = writer.attributes(&entries, attributes)?;
        let found = entries
            .iter()
            .find(|entry| entry.name == name.as_bytes() && entry.kind == Kind::Tree)
            .ok_or_else(|| {
                let below = checkout.below.unwrap_or_default();
                Fault::refused(format!("there is no directory '{below}' in the repository"))
            })?;
        writer.path.push_str(name);
        writer.path.push('/');
        tree = found.oid;
    }
    // Counted before anything is written: a tree of trees can be larger than any disk.
    measure(&source, tree, &mut Room::new(checkout.cancelled))?.ok_or_else(missing)?;
    fs::create_dir(checkout.target)?;
    let left_out = checkout.without_spec.then_some("spec");
    writer.tree(tree, checkout.target, &mut Vec::new(), attributes, left_out)?;
    let made = writer.tar.finish()?;
    if let (Some(made), None) = (&made, checkout.below) {
        kept.put(made)?;
    }
    Ok(made.map(|made| made.digest))
}

/// Whether a tree has more in it than a module may. None when some of it is missing.
fn measure(source: &Source<'_>, tree: Oid, room: &mut Room<'_>) -> Result<Option<()>> {
    room.enter()?;
    let Some(object) = source.get(tree, ObjectType::Tree) else { return Ok(None) };
    let Some(entries) = entries(&object) else { return Ok(None) };
    for entry in entries {
        room.entry()?;
        if entry.kind == Kind::Tree && measure(source, entry.oid, room)?.is_none() {
            return Ok(None);
        }
    }
    room.leave();
    Ok(Some(()))
}

struct Writer<'r> {
    source: &'r Source<'r>,
    room: Room<'r>,
    /// Where it is, from the repository's root, with a `/` at its end.
    path: String,
    tar: Tar,
}

impl<'r> Writer<'r> {
    /// `inside` is where it is from the module's directory, with a `/` at its end.
    fn tree(
        &mut self,
        tree: Oid,
        target: &Path,
        inside: &mut Vec<u8>,
        attributes: Attributes,
        left_out: Option<&str>,
    ) -> Result<()> {
        let source = self.source;
        let object =
            source.get(tree, ObjectType::Tree).ok_or_else(|| self.missing(b"this directory"))?;
        let entries = entries(&object).ok_or_else(|| self.missing(b"this directory"))?;
        let attributes = self.attributes(&entries, attributes)?;
        self.room.enter()?;
        for Entry { kind, name, oid } in entries {
            self.check(name)?;
            self.room.entry()?;
            if left_out.is_some_and(|left_out| left_out.as_bytes() == name) {
                if kind == Kind::Tree {
                    continue;
                }
                // Whatever else it is, what it leads to may still be taken away.
                self.tar.spoil();
            }
            let place = target.join(std::ffi::OsStr::from_bytes(name));
            let length = inside.len();
            inside.extend_from_slice(name);
            // Whatever the modes say, what is made here is new: a repository that has a name twice
            // gains nothing by it.
            match kind {
                Kind::Tree => {
                    inside.push(b'/');
                    self.make(&place, inside, &archive::Entry::Directory)?;
                    let path = self.path.len();
                    self.path.push_str(&String::from_utf8_lossy(name));
                    self.path.push('/');
                    self.tree(oid, &place, inside, attributes.clone(), None)?;
                    self.path.truncate(path);
                }
                Kind::Submodule => {
                    inside.push(b'/');
                    self.make(&place, inside, &archive::Entry::Directory)?;
                }
                Kind::Link => {
                    let target = self.blob(oid, name)?;
                    self.make(&place, inside, &archive::Entry::Link { target: &target })?;
                }
                Kind::File { executable } => {
                    let blob = self.blob(oid, name)?;
                    let path = format!("{}{}", self.path, String::from_utf8_lossy(name));
                    let content = attributes.conversion(&path)?.apply(&blob, oid);
                    self.room.bytes(content.len() as u64)?;
                    let content = content.as_ref();
                    self.make(&place, inside, &archive::Entry::File { executable, content })?;
                }
            }
            inside.truncate(length);
        }
        self.room.leave();
        Ok(())
    }

    fn make(&mut self, place: &Path, inside: &[u8], entry: &archive::Entry<'_>) -> Result<()> {
        make(place, entry).map_err(twice)?;
        Ok(self.tar.add(inside, entry)?)
    }

    /// The attributes in this directory.
    fn attributes(&self, entries: &[Entry<'_>], outer: Attributes) -> Result<Attributes> {
        const NAME: &[u8] = b".gitattributes";
        let is_file = |kind: Kind| matches!(kind, Kind::File { .. });
        match entries.iter().find(|entry| entry.name == NAME) {
            Some(entry) if is_file(entry.kind) => {
                let blob = self.blob(entry.oid, NAME)?;
                outer.with(&self.path, &blob)
            }
            _ => Ok(outer),
        }
    }

    fn blob(&self, oid: Oid, name: &[u8]) -> Result<Content<'r>> {
        self.source.get(oid, ObjectType::Blob).ok_or_else(|| self.missing(name))
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
