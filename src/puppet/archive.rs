//! A directory tree as one archive whose digest says what is in it, so that a tree can be named,
//! compared and fetched by content.
//!
//! The archive is a tar in the GNU format, of which there is exactly one for each tree: entries in
//! the order of their paths' bytes (a directory's path ends with a slash), no times, owners or
//! names of owners, and of the modes what git and images keep: whether the owner may execute a
//! file. It is written here byte by byte, and not by a library's idea of a tar, because the digests
//! are kept in locks: the same content has the same digest on any machine and in any version.
//!
//! Everything in here blocks.

mod memory;
mod read;
mod write;

use std::{
    fs,
    io::{self, Read, Write},
    path::Path,
};

use flate2::{Compression, GzBuilder, read::GzDecoder};
use sha2::{Digest as _, Sha256};

pub(super) use self::memory::{Entry, Made, Tar, entries, is_whole};
use super::{
    puppetfile::STAGING_PREFIX,
    scratch::Scratch,
    tree::{not_a_directory, replace},
};
use crate::error::{Error, Result};

/// What an archive may hold. The largest trees in public use have some 100,000 files and 500 MB;
/// what is beyond this was made to fill a disk.
#[derive(Debug, Clone, Copy)]
struct Limits {
    entries: u64,
    /// Of the tar, in bytes.
    size: u64,
    /// Of one path, or of one link's target, in bytes (Linux: `PATH_MAX`, without its NUL).
    path: u64,
}

const LIMITS: Limits = Limits { entries: 1_000_000, size: 8 << 30, path: 4095 };

/// What [`pack`] wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// Of the tree: of the tar before it was compressed, as [`digest`] gives it.
    pub digest: String,
    /// Of what was written.
    pub blob_digest: String,
    /// Of what was written, in bytes.
    pub size: u64,
}

/// `sha256:...` of everything in the directory. The same for the same content, on any machine.
///
/// Fails naming the path for what is no file, directory or symbolic link.
pub fn digest(dir: &Path) -> io::Result<String> {
    let mut tar = Hashing::new(io::sink());
    write::tar(dir, &mut tar, LIMITS, write::Links::Any)?;
    Ok(tar.finish().0)
}

/// Writes everything in the directory as a tar, compressed with gzip.
///
/// Fails as [`digest`] does, and for what [`unpack`] would refuse: links that leave the tree, and
/// trees beyond the limits. What was written until then is to be thrown away.
pub fn pack(dir: &Path, out: impl Write) -> io::Result<Packed> {
    let blob = Hashing::new(out);
    // No time and no name in the header, so that a tree also has one blob (with one zlib).
    let gzip = GzBuilder::new().write(blob, Compression::default());
    let mut tar = Hashing::new(gzip);
    write::tar(dir, &mut tar, LIMITS, write::Links::Inside)?;
    let (digest, _, gzip) = tar.finish();
    let mut blob = gzip.finish()?;
    blob.flush()?;
    let (blob_digest, size, _) = blob.finish();
    Ok(Packed { digest, blob_digest, size })
}

/// Puts the tree of a blob that [`pack`] wrote into the place `into`, whole or not at all: what
/// stands there stays until the new tree is complete and has the digest, and is then removed.
///
/// Fails with [`Error::Failed`] for a blob that is damaged, is not the expected tree, or holds what
/// no tree of modules has, and leaves nothing behind.
pub fn unpack(blob: impl Read, expected_digest: &str, into: &Path) -> Result<()> {
    unpack_within(blob, expected_digest, into, LIMITS).map_err(|error| match error.kind() {
        // From the gzip decoder, the tar reader and the rules in `read`.
        io::ErrorKind::InvalidData
        | io::ErrorKind::InvalidInput
        | io::ErrorKind::UnexpectedEof
        | io::ErrorKind::Other => {
            Error::failed(format!("the archive of the modules is refused: {error}"))
        }
        _ => Error::internal(error),
    })
}

fn unpack_within(
    blob: impl Read,
    expected_digest: &str,
    into: &Path,
    limits: Limits,
) -> io::Result<()> {
    let parent = into.parent().ok_or_else(|| not_a_directory(into))?;
    let scratch = Scratch::make(parent, STAGING_PREFIX)?;
    let tree = scratch.path().join("tree");
    fs::create_dir(&tree)?;
    write::set_mode(&tree, 0o755)?;
    let mut tar = Hashing::new(GzDecoder::new(blob).take(limits.size.saturating_add(1)));
    read::tar(&mut tar, &tree, limits)?;
    // What lies behind the end of the tar is part of the digest, and the end of the compressed
    // stream has its check sum.
    io::copy(&mut tar, &mut io::sink())?;
    let (found, size, _) = tar.finish();
    if size > limits.size {
        return Err(refused(format!("it holds more than {} bytes", limits.size)));
    }
    if found != expected_digest {
        return Err(refused(format!(
            "its content is {found}, and {} is expected",
            expected_digest.escape_debug()
        )));
    }
    replace(&tree, into, &scratch.path().join("retired"))
}

fn refused(reason: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.into())
}

/// Whether a symbolic link can only lead to a place inside the tree. `depth` is the number of
/// directories above the link.
///
/// A target that goes up first and then down by names ends inside: going up begins at the link's
/// real place, and each link that it goes through further down was looked at like this one. One
/// that goes up again after a name cannot be judged by its text, as the name may be a link.
fn stays_inside(depth: usize, target: &[u8]) -> bool {
    if target.is_empty() || target.starts_with(b"/") || target.contains(&0) {
        return false;
    }
    let (mut up, mut down) = (0, false);
    for part in target.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if down => return false,
            b".." => up += 1,
            _ => down = true,
        }
    }
    up <= depth
}

/// Passes bytes on and takes their digest on the way.
struct Hashing<T> {
    inner: T,
    hash: Sha256,
    bytes: u64,
}

impl<T> Hashing<T> {
    fn new(inner: T) -> Self {
        Self { inner, hash: Sha256::new(), bytes: 0 }
    }

    fn seen(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    /// The digest, the number of bytes, and where they went or came from.
    fn finish(self) -> (String, u64, T) {
        let hex: String = self.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        (format!("sha256:{hex}"), self.bytes, self.inner)
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.seen(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.seen(&buffer[..read]);
        Ok(read)
    }
}

#[cfg(test)]
mod tests;
