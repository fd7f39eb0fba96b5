//! From a `.tar.gz` of others to a directory.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Read},
    os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use flate2::read::GzDecoder;
use tar::EntryType;

use super::Kind;
use crate::puppet::{
    bounds::{Cancelled, Room},
    fault::{Fault, Result},
};

/// How much larger than the archive its content may be, beyond a first 64 MiB: text becomes a
/// tenth, and only zeros a thousandth.
const RATIO: u64 = 100;
const ANYHOW: u64 = 64 * 1024 * 1024;
/// A path, or a header that holds one (Linux: `PATH_MAX`).
const PATH: u64 = 4096;
const HEADER: u64 = 64 * 1024;

/// What was found in an archive.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The directory of the metadata.json with the shortest path; empty for the top.
    pub(super) root: Option<String>,
    /// Symbolic links that were left out.
    pub(super) links: Vec<String>,
}

/// What comes before an entry and is about it.
#[derive(Default)]
struct Ahead {
    name: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
}

/// Unpacks into an empty directory that nobody else writes to. Blocks.
pub(super) fn extract(
    archive: &Path,
    into: &Path,
    kind: Kind,
    cancelled: &Cancelled,
) -> Result<Found> {
    let file = File::open(archive)?;
    let bound = file.metadata()?.len().saturating_mul(RATIO).saturating_add(ANYHOW);
    let reader = Bounded { inner: GzDecoder::new(io::BufReader::new(file)), left: bound };
    unpack(reader, into, kind, Room::new(cancelled), &|path| Some(path.to_vec()))
}

/// Unpacks a tar that a program made which Crane runs; `place` says where an entry goes, or that it is
/// left out. Blocks.
pub(in crate::puppet) fn unpack_made(
    tar: impl Read,
    into: &Path,
    room: Room<'_>,
    place: impl Fn(&[String]) -> Option<Vec<String>>,
) -> Result<()> {
    unpack(tar, into, Kind::Made, room, &place).map(drop)
}

type Place<'a> = &'a dyn Fn(&[String]) -> Option<Vec<String>>;

fn unpack(
    tar: impl Read,
    into: &Path,
    kind: Kind,
    room: Room<'_>,
    place: Place<'_>,
) -> Result<Found> {
    let mut writer = Writer {
        into,
        kind,
        room,
        place,
        found: Found::default(),
        links: Vec::new(),
        modes: BTreeMap::new(),
    };
    let mut ahead = Ahead::default();
    // Raw, because a name that is given in an entry of its own would be read without a limit.
    for entry in tar::Archive::new(tar).entries().map_err(damaged)?.raw(true) {
        let mut entry = entry.map_err(damaged)?;
        match entry.header().entry_type() {
            EntryType::GNULongName => ahead.name = Some(long(&mut entry, PATH)?),
            EntryType::GNULongLink => ahead.target = Some(long(&mut entry, PATH)?),
            EntryType::XHeader => extended(&long(&mut entry, HEADER)?, &mut ahead),
            EntryType::XGlobalHeader => {}
            _ => {
                let ahead = std::mem::take(&mut ahead);
                let name = ahead.name.unwrap_or_else(|| entry.path_bytes().into_owned());
                let target = ahead
                    .target
                    .or_else(|| entry.link_name_bytes().map(std::borrow::Cow::into_owned));
                writer.entry(&name, target, &mut entry)?;
            }
        }
    }
    writer.finish()
}

struct Writer<'a> {
    into: &'a Path,
    kind: Kind,
    room: Room<'a>,
    place: Place<'a>,
    found: Found,
    /// Made when all else is: nothing is ever written through one.
    links: Vec<(Vec<String>, String)>,
    /// Of directories, set when nothing more is written into them.
    modes: BTreeMap<PathBuf, u32>,
}

impl Writer<'_> {
    fn entry<R: Read>(
        &mut self,
        name: &[u8],
        target: Option<Vec<u8>>,
        entry: &mut tar::Entry<'_, R>,
    ) -> Result<()> {
        self.room.entry()?;
        let (path, is_directory) = components(name)?;
        let Some(path) = (self.place)(&path) else { return Ok(()) };
        let place = self.into.join(path.iter().collect::<PathBuf>());
        let mode = entry.header().mode().map_err(damaged)?;
        let target = target.map(|target| String::from_utf8_lossy(&target).into_owned());
        match entry.header().entry_type() {
            EntryType::Directory => self.directory(place, mode),
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse if is_directory => {
                self.directory(place, mode)
            }
            EntryType::Regular | EntryType::Continuous => {
                self.note_metadata(&path);
                self.file(&place, mode, entry)
            }
            EntryType::Symlink => {
                let target = target.unwrap_or_default();
                match self.kind {
                    Kind::Forge => self.found.links.push(path.join("/")),
                    Kind::Plain | Kind::Made => {
                        stays_inside(&path, &target)?;
                        self.links.push((path, target));
                    }
                }
                Ok(())
            }
            EntryType::Link => {
                let (from, _) = components(target.unwrap_or_default().as_bytes())?;
                let from = (self.place)(&from)
                    .map(|from| self.into.join(from.iter().collect::<PathBuf>()))
                    .filter(|from| fs::symlink_metadata(from).is_ok_and(|there| there.is_file()));
                let Some(from) = from else {
                    let path = path.join("/");
                    return Err(Fault::refused(format!(
                        "the archive has no file for the link {path}"
                    )));
                };
                let mut file = File::open(from)?;
                self.note_metadata(&path);
                self.file(&place, mode, &mut file)
            }
            other => Err(Fault::refused(format!(
                "the archive has an entry that is no file, directory or link ({other:?}): {}",
                path.join("/")
            ))),
        }
    }

    fn directory(&mut self, place: PathBuf, mode: u32) -> Result<()> {
        fs::create_dir_all(&place).map_err(|error| in_the_way(error, &place))?;
        let mode = match self.kind {
            Kind::Forge => 0o755,
            Kind::Plain => mode & 0o777,
            Kind::Made => mode & 0o777 | 0o700,
        };
        self.modes.insert(place, mode);
        Ok(())
    }

    fn file(&mut self, place: &Path, mode: u32, content: &mut impl Read) -> Result<()> {
        let parent = place.parent().unwrap_or(self.into);
        fs::create_dir_all(parent).map_err(|error| in_the_way(error, place))?;
        match fs::remove_file(place) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(in_the_way(error, place));
            }
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(place)?;
        let size = io::copy(content, &mut file).map_err(|error| match error.kind() {
            io::ErrorKind::StorageFull => Fault::Own(error),
            _ => damaged(error),
        })?;
        self.room.bytes(size)?;
        let mode = match self.kind {
            // `u+rw,g+r,a-st`, as `PuppetForge::Tar::Mini#unpack` has it.
            Kind::Forge => (mode | 0o640) & 0o777,
            Kind::Plain => mode & 0o777,
            Kind::Made => mode & 0o777 | 0o600,
        };
        Ok(file.set_permissions(Permissions::from_mode(mode))?)
    }

    /// The shortest path counts (`PuppetForge::Unpacker#root_dir`), and hidden directories do not.
    fn note_metadata(&mut self, path: &[String]) {
        let Some((last, above)) = path.split_last() else { return };
        if last != "metadata.json" || above.iter().any(|name| name.starts_with('.')) {
            return;
        }
        let above = above.join("/");
        if self.found.root.as_ref().is_none_or(|root| above.len() < root.len()) {
            self.found.root = Some(above);
        }
    }

    fn finish(self) -> Result<Found> {
        for (path, target) in self.links {
            let place = self.into.join(path.iter().collect::<PathBuf>());
            if let Some(parent) = place.parent() {
                fs::create_dir_all(parent).map_err(|error| in_the_way(error, &place))?;
                // Another link that was made before this one may be above it now.
                let real = parent.canonicalize()?;
                if real != self.into.canonicalize()?.join(path[..path.len() - 1].join("/")) {
                    return Err(Fault::refused(format!(
                        "the archive has a link inside of a link: {}",
                        path.join("/")
                    )));
                }
            }
            symlink(target, &place).map_err(|error| in_the_way(error, &place))?;
        }
        // The deepest first: a directory that cannot be entered hides what is in it.
        for (place, mode) in self.modes.iter().rev() {
            fs::set_permissions(place, Permissions::from_mode(*mode))?;
        }
        Ok(self.found)
    }
}

/// The components of a path, and whether it says that it is a directory's.
fn components(name: &[u8]) -> Result<(Vec<String>, bool)> {
    let name = std::str::from_utf8(name).map_err(|_| {
        Fault::refused(format!("the archive has a path that is not UTF-8: {}", name.escape_ascii()))
    })?;
    let refuse = |why: &str| {
        Err(Fault::refused(format!("the archive has a path that {why}: {}", name.escape_debug())))
    };
    if name.starts_with('/') {
        return refuse("is absolute");
    }
    if name.contains('\0') || name.len() as u64 > PATH {
        return refuse("is none");
    }
    let parts: Vec<String> = name
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .map(str::to_owned)
        .collect();
    if parts.iter().any(|part| part == "..") {
        return refuse("leads out of it");
    }
    // As deep as a module may be.
    if parts.len() > 64 {
        return refuse("is too deep");
    }
    Ok((parts, name.ends_with('/')))
}

/// A symbolic link may only lead up at its beginning, through directories that are real: after a
/// name, `..` could lead anywhere, as the name may be a link itself.
fn stays_inside(path: &[String], target: &str) -> Result<()> {
    let parts: Vec<&str> =
        target.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    let up = parts.iter().take_while(|part| **part == "..").count();
    let stays = !target.starts_with('/')
        && !target.is_empty()
        && up < path.len()
        && !parts[up..].contains(&"..");
    match stays {
        true => Ok(()),
        false => Err(Fault::refused(format!(
            "the archive has a symbolic link that may lead out of it: {} -> {}",
            path.join("/"),
            target.escape_debug()
        ))),
    }
}

/// The content of an entry that is about the next one.
fn long<R: Read>(entry: &mut tar::Entry<'_, R>, most: u64) -> Result<Vec<u8>> {
    if entry.size() > most {
        return Err(Fault::refused("the archive has a path that is too long"));
    }
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).map_err(damaged)?;
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    Ok(bytes)
}

/// `path` and `linkpath` of a PAX header (POSIX.1-2017, `pax`, "pax Extended Header").
fn extended(header: &[u8], ahead: &mut Ahead) {
    for extension in tar::PaxExtensions::new(header).flatten() {
        match extension.key_bytes() {
            b"path" => ahead.name = Some(extension.value_bytes().to_vec()),
            b"linkpath" => ahead.target = Some(extension.value_bytes().to_vec()),
            _ => {}
        }
    }
}

/// What the archive itself has at a path already, in a way that does not fit.
fn in_the_way(error: io::Error, place: &Path) -> Fault {
    use io::ErrorKind::{AlreadyExists, InvalidFilename, IsADirectory, NotADirectory};
    match error.kind() {
        AlreadyExists | InvalidFilename | IsADirectory | NotADirectory => {
            let name = place.file_name().unwrap_or_default().to_string_lossy();
            Fault::refused(format!("the archive has '{name}' twice, or its name is too long"))
        }
        _ => Fault::Own(error),
    }
}

// By value, as it is given to `map_err`.
#[allow(clippy::needless_pass_by_value)]
fn damaged(error: io::Error) -> Fault {
    Fault::refused(format!("the archive cannot be unpacked: {error}"))
}

/// A reader that ends with an error when more comes than may.
struct Bounded<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.left = self
            .left
            .checked_sub(count as u64)
            .ok_or_else(|| io::Error::other("it holds more than an archive of its size may"))?;
        Ok(count)
    }
}
