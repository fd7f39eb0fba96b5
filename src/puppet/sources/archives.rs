//! `.tar.gz` files of others: fetched into the cache by their SHA-256, and unpacked as r10k's
//! `minitar` does. Nothing in them is believed.
//!
//! Other than r10k, on purpose: a path that is absolute or has `..`, a device or a pipe is an error
//! (r10k writes below the module, or an empty file); of a hard link the content is copied and in a
//! tarball a symbolic link that stays inside is made (r10k writes empty files); names of more than
//! 100 bytes in PAX archives are whole (r10k cuts them); set-user-id bits are not set.

mod extract;

pub(in super::super) use self::extract::unpack_made;

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use sha2::{Digest, Sha256};
use url::Url;

use super::{Cancelled, Fault, Order, Result, Scratch};
use crate::puppet::{
    native::{Held, Native},
    net::retried,
    puppetfile::without_credentials,
};

/// Bytes of an archive. The largest on the Forge have some 20 MB.
const BYTES: u64 = 512 * 1024 * 1024;

/// Who made the archive, which decides what is done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The module is the directory with the `metadata.json`; symbolic links are dropped
    /// (`PuppetForge::Unpacker`, `PuppetForge::Tar::Mini`).
    Forge,
    /// The archive is the module (`R10K::Tarball#unpack`).
    Plain,
    /// A program made it that Crane runs: as a tarball, and Crane can read and remove all of it.
    Made,
}

/// One in the cache.
pub(super) struct Archive {
    pub(super) path: PathBuf,
    pub(super) sha256: String,
    held: Arc<Held>,
}

impl Archive {
    fn place(native: &Native, sha256: &str) -> PathBuf {
        native.cache.join("archives").join(format!("{sha256}.tar.gz"))
    }

    /// The archive with this checksum, if it is in the cache. It is read once more, as a file may
    /// have been damaged since.
    pub(super) async fn cached(native: &Native, sha256: &str) -> Result<Option<Self>> {
        let well_formed = sha256.len() == 64 && sha256.bytes().all(|b| b.is_ascii_hexdigit());
        if !well_formed {
            return Err(Fault::refused(format!("'{sha256}' is no SHA-256")));
        }
        let (path, expected) = (Self::place(native, sha256), sha256.to_owned());
        let held = Arc::new(native.hold(path.clone()).await?);
        native
            .blocking(move || {
                let Ok(mut file) = fs::File::open(&path) else { return Ok(None) };
                let mut hash = Hashing(Sha256::new());
                io::copy(&mut file, &mut hash)?;
                if hex(hash.0) != expected {
                    fs::remove_file(&path)?;
                    return Ok(None);
                }
                Ok(Some(Self { path, sha256: expected, held }))
            })
            .await
    }
}

struct Hashing(Sha256);

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A file that is written, and is gone if it does not come to be whole.
struct Part(PathBuf);

impl Part {
    fn beside(place: &Path) -> io::Result<Self> {
        let directory = place.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(directory)?;
        Ok(Self(directory.join(format!(".{}", uuid::Uuid::new_v4().simple()))))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Writes a small file of the cache, whole or not at all. Blocks.
pub(in super::super) fn put(place: &Path, text: &[u8]) -> io::Result<()> {
    let part = Part::beside(place)?;
    fs::write(&part.0, text)?;
    fs::rename(&part.0, place)
}

/// Fetches an archive into the cache; an error if it is not the expected one.
pub(super) async fn download(
    native: &Native,
    url: &Url,
    expected: Option<&str>,
) -> Result<Archive> {
    let _alone = native.once.of(format!("archive {url}")).await;
    if let Some(sum) = expected
        && let Some(archive) = Archive::cached(native, sum).await?
    {
        return Ok(archive);
    }
    retried(async || {
        let _permit = native.requests.acquire().await.map_err(io::Error::other)?;
        let mut body = native.http.get(url, &[], BYTES).await?.ok("archive")?.body;
        let part = Part::beside(&Archive::place(native, "any"))?;
        let mut file = tokio::io::BufWriter::with_capacity(
            256 * 1024,
            tokio::fs::File::create_new(&part.0).await?,
        );
        let mut hash = Sha256::new();
        while let Some(bytes) = body.next().await? {
            hash.update(&bytes);
            tokio::io::AsyncWriteExt::write_all(&mut file, &bytes).await?;
        }
        tokio::io::AsyncWriteExt::flush(&mut file).await?;
        let sha256 = hex(hash);
        if let Some(expected) = expected
            && expected != sha256
        {
            let url = without_credentials(url.as_str());
            return Err(Fault::refused(format!(
                "the archive {url} has the SHA-256 {sha256}, not {expected}"
            )));
        }
        let place = Archive::place(native, &sha256);
        let held = Arc::new(native.hold(place.clone()).await?);
        fs::rename(&part.0, &place)?;
        Ok(Archive { path: place, sha256, held })
    })
    .await
}

/// Unpacks an archive to where the module is in the run's tree. Returns warnings.
pub(super) async fn unpack(
    order: &Order<'_>,
    archive: &Archive,
    kind: Kind,
    run: &Arc<Scratch>,
    cancelled: &Cancelled,
) -> Result<Vec<String>> {
    let (path, module, run) = (archive.path.clone(), order.module.path(), run.clone());
    let (cancelled, without_spec) = (cancelled.clone(), order.without_spec());
    let held = archive.held.clone();
    order
        .native
        .blocking(move || {
            let _held = held;
            let target = run.path().join("tree").join(module);
            let place = match kind {
                Kind::Plain | Kind::Made => target.clone(),
                Kind::Forge => {
                    run.path().join("unpacked").join(uuid::Uuid::new_v4().simple().to_string())
                }
            };
            fs::create_dir(&place)?;
            let found = extract::extract(&path, &place, kind, &cancelled)?;
            if kind == Kind::Forge {
                let root = found.root.ok_or_else(|| {
                    Fault::refused("no metadata.json is in the archive of the release")
                })?;
                fs::rename(place.join(root), &target)?;
            }
            if without_spec {
                remove_spec(&target)?;
            }
            Ok(match &found.links[..] {
                [] => Vec::new(),
                links => vec![format!(
                    "symbolic links in the release are left out, as r10k does: {}",
                    links.join(", ")
                )],
            })
        })
        .await
}

/// Removes the directory `spec` of a module, also where it is a link to a directory of the module
/// (`Module::Base#delete_spec_dir`). r10k follows such a link wherever it leads. Blocks.
pub(super) fn remove_spec(module: &Path) -> io::Result<()> {
    let spec = module.join("spec");
    let Ok(there) = fs::symlink_metadata(&spec) else { return Ok(()) };
    if there.is_dir() {
        return fs::remove_dir_all(spec);
    }
    let Ok(real) = spec.canonicalize() else { return Ok(()) };
    let inside = real.starts_with(module.canonicalize()?) && real != module.canonicalize()?;
    match there.is_symlink() && inside && real.is_dir() {
        true => fs::remove_dir_all(real),
        false => Ok(()),
    }
}
