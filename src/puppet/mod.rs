//! From a Puppetfile to modules in a context's directory.
//!
//! [`check`] reads the file and says everything that is wrong with it; nothing else in Crane looks
//! at the text of a Puppetfile. [`install`] takes the parsed file. It is r10k that installs, and
//! this page is the seam at which another engine can stand beside it.
//!
//! Futures of this room are cancelled by being dropped: the processes of a run are ended and its
//! half-made directories are removed. What a Crane that was killed left behind is removed by the
//! next run in the same directory.

mod archive;
mod command;
mod lines;
mod puppetfile;
mod r10k;
mod scratch;
mod tree;

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

pub use self::archive::{Packed, digest, pack, unpack};
pub use self::puppetfile::{
    Directory, Forge, Git, Located, Module, Position, Puppetfile, Reference, ReferenceKind,
    ReferenceName, Source, Tarball, Url, Version,
};
pub use self::scratch::Scratch;
use crate::{
    error::{Error, Result},
    model::Log,
};

/// The time limit of an installation unless one is configured: r10k takes some seconds for a
/// module with a long history, and the largest Puppetfiles in public use have 300 modules.
pub const TIME_LIMIT: Duration = Duration::from_secs(30 * 60);

/// How modules are fetched.
#[derive(Debug, Clone)]
pub struct Settings {
    /// A directory for checks to work in; made when it does not exist. Installations work beside
    /// their target, so that the result is moved into place and not copied.
    pub work: PathBuf,
    /// Base URL of the Forge; none: the public one.
    pub forge: Option<String>,
    /// How long an installation may take.
    pub time_limit: Duration,
}

/// A module that stands in the context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// `puppetlabs/stdlib`, or `stdlib` where the Puppetfile names no owner.
    pub name: String,
    /// Its directory, relative to the context.
    pub path: String,
    /// As its `metadata.json` has it.
    pub version: Option<String>,
}

/// Reads a Puppetfile without running anything: what is wrong with it, or what it says.
///
/// [`Error::Invalid`] with all problems of the file, each with path `puppetfile`, line and column;
/// [`Error::TooLarge`] above 256 KiB.
pub fn check(text: &str) -> Result<Puppetfile> {
    let (puppetfile, mut problems) = puppetfile::parse(text)?;
    problems.extend(r10k::unsupported(&puppetfile));
    puppetfile::in_order(&mut problems);
    let description = match &problems[..] {
        [] => return Ok(puppetfile),
        [only] => only.to_string(),
        [first, rest @ ..] => format!("{first} (and {} more)", rest.len()),
    };
    Err(Error::Invalid { description, problems })
}

/// Lets r10k read the file as well. [`Error::Invalid`] with r10k's words when it refuses,
/// [`Error::Unavailable`] when there is no r10k. A Puppetfile without modules needs none.
pub async fn check_with_r10k(settings: &Settings, puppetfile: &Puppetfile) -> Result<()> {
    r10k::check(settings, puppetfile).await
}

/// Installs the modules into `<dir>/modules`, or where the file says inside of `dir`: all of them,
/// or nothing changes there. What else is in those directories is removed, as r10k does.
///
/// What r10k prints goes to the log. [`Error::Failed`] with a problem for each module that r10k
/// could not install; [`Error::Unavailable`] when there is no r10k. May run again at any time, with
/// the same outcome.
pub async fn install(
    settings: &Settings,
    puppetfile: &Puppetfile,
    dir: &Path,
    log: &Log,
) -> Result<Vec<Installed>> {
    r10k::install(settings, puppetfile, dir, log).await
}

/// The name and version of the program that installs, as `r10k 3.15.4`.
pub async fn version() -> Result<String> {
    r10k::version().await
}

/// Removes what runs left in a directory that were killed, with the processes that still write to
/// it. Blocks.
pub fn remove_left_behind(parent: &Path) -> io::Result<()> {
    // Making one removes those beside it that nobody holds.
    Scratch::make(parent, puppetfile::STAGING_PREFIX).map(drop)
}
