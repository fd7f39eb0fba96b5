//! From a directory to the one tar that stands for it.

use std::{
    ffi::OsStr,
    fs::{self, OpenOptions, Permissions},
    io::{self, Read, Write},
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::{OpenOptionsExt, PermissionsExt},
    },
    path::Path,
};

use rustix::fs::OFlags;
use tar::{EntryType, Header};

use super::{Hashing, Limits, refused, stays_inside};
use crate::puppet::puppetfile::STAGING_PREFIX;

/// The unit of a tar (POSIX, `pax`, "ustar Interchange Format").
const BLOCK: u64 = 512;

/// The name of the entries that hold a name of the next one (GNU tar manual, "GNU tar and POSIX
/// tar").
const LONG_NAME: &[u8] = b"././@LongLink";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Links {
    Any,
    /// Those that leave the tree are an error.
    Inside,
}

/// Writes the tar. In memory are the names in the directories above the one that is written.
pub(super) fn tar(
    dir: &Path,
    out: &mut Hashing<impl Write>,
    limits: Limits,
    links: Links,
) -> io::Result<()> {
    let mut waiting = children(dir, b"")?;
    let mut entries = 0;
    while let Some(name) = waiting.pop() {
        let path = dir.join(OsStr::from_bytes(&name));
        let named =
            |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        entries += 1;
        if entries > limits.entries {
            return Err(refused(format!("there are more than {} files", limits.entries)));
        }
        if name.len() as u64 > limits.path {
            return Err(named(refused(format!("a path of more than {} bytes", limits.path))));
        }
        match name.last() {
            Some(b'/') => {
                header(out, EntryType::Directory, &name, b"", 0o755, 0)?;
                waiting.extend(children(dir, &name)?);
            }
            _ if fs::symlink_metadata(&path).map_err(named)?.is_symlink() => {
                let target = fs::read_link(&path).map_err(named)?.into_os_string().into_vec();
                let depth = name.iter().filter(|byte| **byte == b'/').count();
                if links == Links::Inside && !stays_inside(depth, &target) {
                    let target = target.escape_ascii();
                    return Err(named(refused(format!(
                        "this symbolic link to '{target}' may lead out of the tree"
                    ))));
                }
                header(out, EntryType::Symlink, &name, &target, 0o777, 0)?;
            }
            _ => file(out, &path, &name).map_err(named)?,
        }
        if out.bytes > limits.size {
            return Err(refused(format!("there are more than {} bytes", limits.size)));
        }
    }
    end(out)
}

/// The paths of what is in a directory of the tree, the last one first; a directory's with a slash
/// at its end, which is part of the order: `a-b` is before `a/`.
fn children(root: &Path, parent: &[u8]) -> io::Result<Vec<Vec<u8>>> {
    let directory = root.join(OsStr::from_bytes(parent));
    let named = |path: &Path, error: io::Error| {
        io::Error::new(error.kind(), format!("{}: {error}", path.display()))
    };
    let mut children = Vec::new();
    for entry in fs::read_dir(&directory).map_err(|error| named(&directory, error))? {
        let entry = entry.map_err(|error| named(&directory, error))?;
        let kind = entry.file_type()?;
        let file_name = entry.file_name();
        // What a run of r10k or an unpacking works in, and what a killed one left.
        if parent.is_empty() && file_name.as_bytes().starts_with(STAGING_PREFIX.as_bytes()) {
            continue;
        }
        let mut name = [parent, file_name.as_bytes()].concat();
        if kind.is_dir() {
            name.push(b'/');
        } else if !kind.is_file() && !kind.is_symlink() {
            let other = refused("this is no file, directory or symbolic link");
            return Err(named(&entry.path(), other));
        }
        children.push(name);
    }
    children.sort_unstable_by(|a, b| b.cmp(a));
    Ok(children)
}

fn file(out: &mut Hashing<impl Write>, path: &Path, name: &[u8]) -> io::Result<()> {
    // What has taken the file's place since the directory was read is not followed or waited for.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let file = OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path)?;
    let there = file.metadata()?;
    if !there.is_file() {
        return Err(refused("this is no file any more"));
    }
    let mode = if there.permissions().mode() & 0o100 == 0 { 0o644 } else { 0o755 };
    header(out, EntryType::Regular, name, b"", mode, there.len())?;
    content(out, file, there.len())
}

fn content(out: &mut Hashing<impl Write>, data: impl Read, size: u64) -> io::Result<()> {
    if io::copy(&mut data.take(size), out)? != size {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it became shorter meanwhile"));
    }
    padding(out, size)
}

fn padding(out: &mut Hashing<impl Write>, size: u64) -> io::Result<()> {
    // Less than a block.
    let padding = (size.next_multiple_of(BLOCK) - size) as usize;
    out.write_all(&[0; BLOCK as usize][..padding])
}

/// An entry of a tar that is written from memory. A directory's name ends with a slash.
pub(super) fn entry(
    out: &mut Hashing<impl Write>,
    kind: EntryType,
    name: &[u8],
    target: &[u8],
    executable: bool,
    data: &[u8],
) -> io::Result<()> {
    let mode = match kind {
        EntryType::Symlink => 0o777,
        EntryType::Directory => 0o755,
        _ if executable => 0o755,
        _ => 0o644,
    };
    header(out, kind, name, target, mode, data.len() as u64)?;
    out.write_all(data)?;
    padding(out, data.len() as u64)
}

/// What comes after the last entry.
pub(super) fn end(out: &mut Hashing<impl Write>) -> io::Result<()> {
    out.write_all(&[0; 2 * BLOCK as usize])
}

/// Writes the header of an entry, and before it those names that have no room in it.
fn header(
    out: &mut Hashing<impl Write>,
    kind: EntryType,
    name: &[u8],
    target: &[u8],
    mode: u32,
    size: u64,
) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    for (text, kind) in [(target, EntryType::GNULongLink), (name, EntryType::GNULongName)] {
        if text.len() > header.as_old().name.len() {
            long(out, kind, text)?;
        }
    }
    let old = header.as_old_mut();
    fill(&mut old.name, name);
    fill(&mut old.linkname, target);
    header.set_cksum();
    out.write_all(header.as_bytes())
}

fn long(out: &mut Hashing<impl Write>, kind: EntryType, text: &[u8]) -> io::Result<()> {
    let text = [text, b"\0"].concat();
    header(out, kind, LONG_NAME, b"", 0o644, text.len() as u64)?;
    content(out, text.as_slice(), text.len() as u64)
}

/// As much of the text as there is room for.
fn fill(field: &mut [u8], text: &[u8]) {
    let length = text.len().min(field.len());
    field[..length].copy_from_slice(&text[..length]);
}

pub(super) fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode))
}
