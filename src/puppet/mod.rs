//! From a Puppetfile to modules in a context's directory.
//!
//! [`check`] reads the file and says everything that is wrong with it; nothing else in Crane looks
//! at the text of a Puppetfile. [`install`] takes the parsed file. Two engines can install it
//! ([`Engine`]): Crane's own ([`Native`]), and r10k.
//!
//! Futures of this room are cancelled by being dropped: the processes, connections and threads of a
//! run are ended and its half-made directories are removed. What a Crane that was killed left behind is removed by the
//! next run in the same directory.

mod archive;
mod bounds;
mod command;
mod describe;
mod fault;
mod git;
mod lines;
mod lock;
mod native;
mod net;
mod puppetfile;
mod r10k;
mod scratch;
mod solve;
mod sources;
mod tree;
mod versions;
mod wildcard;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

pub use self::{
    archive::{Packed, digest, pack, unpack},
    describe::{Dependency, Described, State, describe},
    lock::{Lock, Locked, Pin},
    native::{Compat, Native, NativeSettings, Options, Outcome, PUBLIC_FORGE},
    net::{Credential, Egress, KnownHosts, Proxies, SshKey, SshSettings},
    puppetfile::{
        Directory, Forge, Git, Located, Module, Position, Puppetfile, Reference, ReferenceKind,
        ReferenceName, Source, Tarball, Url, Version,
    },
    scratch::Scratch,
};
use crate::{
    error::{Error, Problem, Result},
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
    pub engine: Engine,
}

/// Who installs.
#[derive(Debug, Clone, Default)]
pub enum Engine {
    /// r10k, as a child process.
    #[default]
    R10k,
    /// Crane's own.
    Native(Arc<Native>),
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

/// Reads a Puppetfile for r10k without running anything: what is wrong with it, or what it says.
///
/// [`Error::Invalid`] with all problems of the file, each with path `puppetfile`, line and column;
/// [`Error::TooLarge`] above 256 KiB.
pub fn check(text: &str) -> Result<Puppetfile> {
    check_for(&Engine::R10k, Compat::R10k3, text)
}

/// The same for the engine that will install it: Crane's own knows version ranges, `path`,
/// `fallback` and `sha256sum`, which r10k does not.
pub fn check_for(engine: &Engine, compat: Compat, text: &str) -> Result<Puppetfile> {
    let (puppetfile, mut problems) = puppetfile::parse(text)?;
    problems.extend(match engine {
        Engine::R10k => r10k::unsupported(&puppetfile),
        Engine::Native(_) => native::unsupported(&puppetfile, compat),
    });
    puppetfile::in_order(&mut problems);
    match refused(problems) {
        None => Ok(puppetfile),
        Some(error) => Err(error),
    }
}

/// Reads a lock that a user sent with a Puppetfile, and sees that it is of this one. [`Error::Invalid`]
/// with what does not fit.
pub fn check_lock(
    engine: &Engine,
    compat: Compat,
    puppetfile: &Puppetfile,
    text: &str,
) -> Result<Lock> {
    if matches!(engine, Engine::R10k) {
        return Err(Error::problem(Problem::new("lock", "r10k installs by no lock: leave it out")));
    }
    let lock = Lock::parse(text)?;
    lock.must_fit(puppetfile, compat)?;
    Ok(lock)
}

/// One error of several problems; none of none.
fn refused(problems: Vec<Problem>) -> Option<Error> {
    let description = match &problems[..] {
        [] => return None,
        [only] => only.to_string(),
        [first, rest @ ..] => format!("{first} (and {} more)", rest.len()),
    };
    Some(Error::Invalid { description, problems })
}

/// Lets r10k read the file as well, if it is r10k that will install it. [`Error::Invalid`] with
/// r10k's words when it refuses, [`Error::Unavailable`] when there is no r10k. A Puppetfile without
/// modules needs none.
pub async fn check_with_r10k(settings: &Settings, puppetfile: &Puppetfile) -> Result<()> {
    match settings.engine {
        Engine::R10k => r10k::check(settings, puppetfile).await,
        Engine::Native(_) => Ok(()),
    }
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
    let options = Options::default();
    install_with(settings, puppetfile, dir, &options, log).await.map(|outcome| outcome.modules)
}

/// The same with what a caller wants beyond the Puppetfile. Crane's own engine also says exactly
/// what it installed; r10k cannot, and takes no options ([`Error::Invalid`] with a lock).
pub async fn install_with(
    settings: &Settings,
    puppetfile: &Puppetfile,
    dir: &Path,
    options: &Options,
    log: &Log,
) -> Result<Outcome> {
    match &settings.engine {
        Engine::Native(native) => {
            native::install(native, settings, puppetfile, dir, options, log).await
        }
        Engine::R10k if options.resolve => {
            Err(Error::invalid("r10k resolves no dependencies: use the native engine"))
        }
        Engine::R10k if options.lock.is_some() => {
            Err(Error::invalid("r10k installs by no lock: use the native engine"))
        }
        Engine::R10k => {
            let modules = r10k::install(settings, puppetfile, dir, log).await?;
            Ok(Outcome { modules, lock: None })
        }
    }
}

/// The same, unless what is wanted stands there already, as the engine's last installation into this
/// directory left it. [`Error::Conflict`] when somebody changed it since; [`forget`] first to write
/// over that.
pub async fn bring(
    settings: &Settings,
    puppetfile: &Puppetfile,
    dir: &Path,
    options: &Options,
    log: &Log,
) -> Result<Outcome> {
    match &settings.engine {
        Engine::Native(native) => {
            native::bring(native, settings, puppetfile, dir, options, log).await
        }
        Engine::R10k => install_with(settings, puppetfile, dir, options, log).await,
    }
}

/// Forgets what [`bring`] knows of a directory. Blocks.
pub fn forget(settings: &Settings, dir: &Path) -> Result<()> {
    match &settings.engine {
        Engine::Native(native) => native::forget(native, dir).map_err(Error::internal),
        Engine::R10k => Ok(()),
    }
}

/// What every module is now, in the order of the file, without installing any.
pub async fn resolve(
    settings: &Settings,
    puppetfile: &Puppetfile,
    options: &Options,
    log: &Log,
) -> Result<Vec<Pin>> {
    match &settings.engine {
        Engine::Native(native) => native::resolve(native, settings, puppetfile, options, log).await,
        Engine::R10k => Err(Error::invalid("r10k resolves nothing without installing it")),
    }
}

/// Whether modules can be installed: Crane's own engine needs nothing, r10k has to be there.
pub async fn ready(settings: &Settings) -> Result<()> {
    match settings.engine {
        Engine::Native(_) => Ok(()),
        Engine::R10k => r10k::version().await.map(drop),
    }
}

/// The name and version of r10k, as `r10k 3.15.4`.
pub async fn version() -> Result<String> {
    r10k::version().await
}

/// Removes what runs left in a directory that were killed, with the processes that still write to
/// it. Blocks.
pub fn remove_left_behind(parent: &Path) -> io::Result<()> {
    // Making one removes those beside it that nobody holds.
    Scratch::make(parent, puppetfile::STAGING_PREFIX).map(drop)
}
