//! The tar of a tree whose files are in memory: made while they are written to a directory, so that
//! they need not be read again for their digest, and read again to write the same directory.

use std::io::{self, Write};

use tar::EntryType;

use super::{Hashing, write};
use crate::puppet::puppetfile::STAGING_PREFIX;

const BLOCK: usize = 512;

/// A tar that grows with its tree. It counts only if its entries come in the order that the digest
/// is defined with; who gives them in another one gets none.
pub(in super::super) struct Tar {
    out: Hashing<AtMost>,
    before: Vec<u8>,
    is_exact: bool,
}

/// What a tree became.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct Made {
    /// As [`super::digest`] would say of the directory.
    pub(in super::super) digest: String,
    /// None when there is more of it than was to be kept.
    pub(in super::super) tar: Option<Vec<u8>>,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Entry<'a> {
    Directory,
    File { executable: bool, content: &'a [u8] },
    Link { target: &'a [u8] },
}

impl Tar {
    /// Keeps at most so many bytes of it.
    pub(in super::super) fn new(most: usize) -> Self {
        let out = Hashing::new(AtMost { most, kept: Some(Vec::new()) });
        Self { out, before: Vec::new(), is_exact: true }
    }

    /// The next entry; a directory's path ends with a slash.
    pub(in super::super) fn add(&mut self, path: &[u8], entry: &Entry<'_>) -> io::Result<()> {
        self.is_exact &= path > self.before.as_slice();
        // The digest of a directory leaves these out.
        self.is_exact &= !path.starts_with(STAGING_PREFIX.as_bytes());
        if !self.is_exact {
            return Ok(());
        }
        self.before.clear();
        self.before.extend_from_slice(path);
        let (kind, target, executable, content) = match entry {
            Entry::Directory => (EntryType::Directory, &b""[..], false, &b""[..]),
            Entry::File { executable, content } => {
                (EntryType::Regular, &b""[..], *executable, *content)
            }
            Entry::Link { target } => (EntryType::Symlink, *target, false, &b""[..]),
        };
        write::entry(&mut self.out, kind, path, target, executable, content)
    }

    /// The directory is not what was added.
    pub(in super::super) fn spoil(&mut self) {
        self.is_exact = false;
    }

    pub(in super::super) fn finish(mut self) -> io::Result<Option<Made>> {
        write::end(&mut self.out)?;
        let (digest, _, out) = self.out.finish();
        Ok(self.is_exact.then_some(Made { digest, tar: out.kept }))
    }
}

/// Bytes, as long as there are not too many.
struct AtMost {
    most: usize,
    kept: Option<Vec<u8>>,
}

impl Write for AtMost {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(kept) = &mut self.kept {
            kept.extend_from_slice(bytes);
            if kept.len() > self.most {
                self.kept = None;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether these bytes have that digest.
pub(in super::super) fn is_whole(tar: &[u8], digest: &str) -> bool {
    let mut hash = Hashing::new(());
    hash.seen(tar);
    hash.finish().0 == digest
}

/// The entries of a tar that [`Tar`] made, in their order. An error in it is the caller's, who was to
/// look at its digest first.
pub(in super::super) fn entries(tar: &[u8]) -> Entries<'_> {
    Entries { rest: tar }
}

pub(in super::super) struct Entries<'a> {
    rest: &'a [u8],
}

impl<'a> Entries<'a> {
    /// A header and what belongs to it.
    fn block(&mut self) -> io::Result<Option<(&'a tar::Header, &'a [u8])>> {
        let cut_off = || io::Error::new(io::ErrorKind::UnexpectedEof, "the kept tree is cut off");
        let (head, rest) = self.rest.split_at_checked(BLOCK).ok_or_else(cut_off)?;
        if head.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let header = tar::Header::from_byte_slice(head);
        let size = usize::try_from(header.size()?).map_err(io::Error::other)?;
        let content = rest.get(..size).ok_or_else(cut_off)?;
        self.rest = rest.get(size.next_multiple_of(BLOCK)..).ok_or_else(cut_off)?;
        Ok(Some((header, content)))
    }

    /// The path of the next entry, and what it is; none at the end.
    pub(in super::super) fn next(&mut self) -> io::Result<Option<(&'a [u8], Entry<'a>)>> {
        let (mut name, mut target) = (None, None);
        loop {
            let Some((header, content)) = self.block()? else { return Ok(None) };
            let old = header.as_old();
            match header.entry_type() {
                EntryType::GNULongName => name = content.strip_suffix(b"\0"),
                EntryType::GNULongLink => target = content.strip_suffix(b"\0"),
                kind => {
                    let name = name.unwrap_or_else(|| field(&old.name));
                    let entry = match kind {
                        EntryType::Directory => Entry::Directory,
                        EntryType::Symlink => {
                            Entry::Link { target: target.unwrap_or_else(|| field(&old.linkname)) }
                        }
                        _ => Entry::File { executable: header.mode()? & 0o100 != 0, content },
                    };
                    return Ok(Some((name, entry)));
                }
            }
        }
    }
}

/// A field of a header, up to its first NUL.
fn field(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn the_digest_is_that_of_the_directory_and_the_entries_come_back() {
        let home = tempfile::tempdir().unwrap();
        let long = format!("d/{}", "n".repeat(120));
        let to = "../".repeat(40);
        fs::create_dir_all(home.path().join("d/e")).unwrap();
        fs::write(home.path().join("a"), "text").unwrap();
        fs::write(home.path().join(&long), vec![b'x'; 1024]).unwrap();
        symlink(&to, home.path().join("d/link")).unwrap();
        let all = [
            ("a", Entry::File { executable: false, content: b"text" }),
            ("d/", Entry::Directory),
            ("d/e/", Entry::Directory),
            ("d/link", Entry::Link { target: to.as_bytes() }),
            (&long, Entry::File { executable: false, content: &[b'x'; 1024] }),
        ];
        let mut tar = Tar::new(1 << 20);
        for (path, entry) in &all {
            tar.add(path.as_bytes(), entry).unwrap();
        }
        let made = tar.finish().unwrap().unwrap();
        assert_eq!(made.digest, super::super::digest(home.path()).unwrap());
        let bytes = made.tar.unwrap();
        assert!(is_whole(&bytes, &made.digest) && !is_whole(&bytes[1..], &made.digest));
        let mut entries = entries(&bytes);
        for (path, entry) in &all {
            assert_eq!(entries.next().unwrap(), Some((path.as_bytes(), entry.clone())));
        }
        assert_eq!(entries.next().unwrap(), None);
    }

    #[test]
    fn entries_out_of_order_have_no_digest_and_much_is_not_kept() {
        let text = Entry::File { executable: false, content: b"text" };
        for paths in [["b", "a"], ["a", "a"], ["a0", "a/"]] {
            let mut tar = Tar::new(1 << 20);
            paths.iter().for_each(|path| tar.add(path.as_bytes(), &text).unwrap());
            assert_eq!(tar.finish().unwrap(), None, "{paths:?}");
        }
        let mut tar = Tar::new(1000);
        tar.add(b"a", &text).unwrap();
        assert_eq!(tar.finish().unwrap().unwrap().tar, None);
    }
}
