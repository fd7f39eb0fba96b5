//! From a tar to a directory. The tar comes from elsewhere, so nothing in it is believed.

use std::{
    ffi::OsStr,
    fs::{self, OpenOptions},
    io::{self, Read},
    os::unix::{
        ffi::OsStrExt,
        fs::{OpenOptionsExt, symlink},
    },
    path::Path,
};

use tar::{Archive, EntryType, Header};

use super::{Limits, refused, stays_inside, write::set_mode};

/// The path of an entry, of the one form that `write` gives them.
struct Name(Vec<u8>);

/// Unpacks the tar into an empty directory that nobody else writes to.
///
/// Each entry has to come after the one before in the order of their paths, and its directory has
/// to be one that this archive made. So no path is written twice, and none leads through a symbolic
/// link.
pub(super) fn tar(tar: impl Read, into: &Path, limits: Limits) -> io::Result<()> {
    let mut archive = Archive::new(tar);
    let (mut name, mut target) = (None, None);
    let mut before = Name(Vec::new());
    // The directories above the entry before, each with a slash at its end.
    let mut above: Vec<Vec<u8>> = Vec::new();
    let mut entries = 0;
    // Raw, because a name that is given in an entry of its own would be read without a limit.
    for entry in archive.entries()?.raw(true) {
        let mut entry = entry?;
        let kind = entry.header().entry_type();
        let long = match kind {
            EntryType::GNULongName => &mut name,
            EntryType::GNULongLink => &mut target,
            _ => {
                entries += 1;
                if entries > limits.entries {
                    return Err(refused(format!("it has more than {} entries", limits.entries)));
                }
                let path = name.take().unwrap_or_else(|| field(&entry.header().as_old().name));
                let link =
                    target.take().unwrap_or_else(|| field(&entry.header().as_old().linkname));
                let path = Name::check(path, kind)?;
                if path.0 <= before.0 {
                    return Err(path.refused("is there twice or out of order"));
                }
                while above.last().is_some_and(|directory| !path.0.starts_with(directory)) {
                    above.pop();
                }
                let parent = above.last().map_or(0, Vec::len);
                let last = path.0[parent..].strip_suffix(b"/").unwrap_or(&path.0[parent..]);
                if last.contains(&b'/') {
                    return Err(path.refused("is in no directory of the archive's"));
                }
                if kind == EntryType::Symlink && !stays_inside(above.len(), &link) {
                    return Err(path.refused(&format!(
                        "is a symbolic link that may lead out of the tree, to '{}'",
                        link.escape_ascii()
                    )));
                }
                let place = into.join(OsStr::from_bytes(&path.0));
                let header = entry.header().clone();
                make(&place, &header, &link, &mut entry).map_err(|error| match error.kind() {
                    io::ErrorKind::AlreadyExists | io::ErrorKind::InvalidFilename => {
                        path.refused(&error)
                    }
                    kind => io::Error::new(kind, path.refused(&error)),
                })?;
                if kind == EntryType::Directory {
                    above.push(path.0.clone());
                }
                before = path;
                continue;
            }
        };
        let mut text = Vec::new();
        (&mut entry).take(limits.path + 2).read_to_end(&mut text)?;
        if text.pop() != Some(0) || text.len() as u64 > limits.path || long.is_some() {
            return Err(refused(format!(
                "it has a path of more than {} bytes, or none where one belongs",
                limits.path
            )));
        }
        *long = Some(text);
    }
    if name.is_some() || target.is_some() {
        return Err(refused("it ends after the name of an entry"));
    }
    Ok(())
}

impl Name {
    /// A relative path that goes nowhere but down; a directory's ends with a slash.
    fn check(path: Vec<u8>, kind: EntryType) -> io::Result<Self> {
        let name = Self(path);
        match kind {
            EntryType::Regular | EntryType::Directory | EntryType::Symlink => {}
            EntryType::Link => return Err(name.refused("is a hard link")),
            EntryType::Char | EntryType::Block => return Err(name.refused("is a device")),
            other => {
                return Err(name.refused(&format!(
                    "is no file, directory or symbolic link (type {:?})",
                    char::from(other.as_byte())
                )));
            }
        }
        let bare = name.0.strip_suffix(b"/");
        if bare.is_some() != (kind == EntryType::Directory) {
            return Err(name.refused("ends as another kind of entry does"));
        }
        if name.0.starts_with(b"/") {
            return Err(name.refused("is an absolute path"));
        }
        let bad = |part: &[u8]| matches!(part, b"" | b"." | b"..") || part.contains(&0);
        if bare.unwrap_or(&name.0).split(|byte| *byte == b'/').any(bad) {
            return Err(name.refused("is no path inside of the tree"));
        }
        Ok(name)
    }

    fn refused(&self, what: &(impl std::fmt::Display + ?Sized)) -> io::Error {
        refused(format!("the entry '{}' {what}", self.0.escape_ascii()))
    }
}

fn make(place: &Path, header: &Header, link: &[u8], data: &mut impl Read) -> io::Result<()> {
    match header.entry_type() {
        EntryType::Directory => {
            fs::create_dir(place)?;
            set_mode(place, 0o755)
        }
        EntryType::Symlink => symlink(OsStr::from_bytes(link), place),
        _ => {
            // Fails for whatever is there already, a link among it.
            let mut file =
                OpenOptions::new().write(true).create_new(true).mode(0o600).open(place)?;
            if io::copy(data, &mut file)? != header.size()? {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "is cut off"));
            }
            set_mode(place, if header.mode()? & 0o100 == 0 { 0o644 } else { 0o755 })
        }
    }
}

/// A field of a header, up to its first NUL.
fn field(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().copied().take_while(|byte| *byte != 0).collect()
}
