//! From a Puppetfile to modules in a context's directory.
//!
//! Two engines can install one ([`Engine`]). Crane's own ([`Native`]) evaluates nothing: [`check`]
//! reads the file and says everything that is wrong with it, [`install_with`] takes the parsed file.
//! r10k runs the file as the Ruby that it is, in a container ([`Sandbox`], [`install_by_r10k`]).
//!
//! Futures of this room are cancelled by being dropped: the connections and threads of a run are
//! ended and its half-made directories are removed; only the container of r10k is left, to be
//! removed by its labels. What a Crane that was killed left behind is removed by the next run in the
//! same directory.

mod archive;
mod bounds;
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
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};

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
    r10k::Sandbox,
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
    /// Who installs where nobody says.
    pub engine: Engine,
    pub native: Arc<Native>,
    /// None: r10k is not to be had.
    pub r10k: Option<Sandbox>,
}

/// Who installs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// Crane's own.
    #[default]
    Native,
    /// r10k, in a container.
    R10k,
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

/// What r10k installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brought {
    pub modules: Vec<Described>,
    /// Of all of them.
    pub digest: String,
}

/// Reads a Puppetfile without running anything: what is wrong with it, or what it says. For r10k's
/// third generation, which takes a module without a reference.
///
/// [`Error::Invalid`] with all problems of the file, each with path `puppetfile`, line and column;
/// [`Error::TooLarge`] above 256 KiB.
pub fn check(text: &str) -> Result<Puppetfile> {
    check_for(Compat::R10k3, text)
}

/// The same for the generation of r10k that is to be followed.
pub fn check_for(compat: Compat, text: &str) -> Result<Puppetfile> {
    let (puppetfile, problems) = read(compat, text)?;
    match refused(problems) {
        None => Ok(puppetfile),
        Some(error) => Err(error),
    }
}

fn read(compat: Compat, text: &str) -> Result<(Puppetfile, Vec<Problem>)> {
    let (puppetfile, mut problems) = puppetfile::parse(text)?;
    problems.extend(native::unsupported(&puppetfile, compat));
    puppetfile::in_order(&mut problems);
    Ok((puppetfile, problems))
}

impl Settings {
    /// As [`check_for`], and what only r10k can do names that way out.
    pub fn check_for(&self, compat: Compat, text: &str) -> Result<Puppetfile> {
        let (puppetfile, mut problems) = read(compat, text)?;
        let way_out = match self.r10k {
            Some(_) => "; or choose engine=r10k, which runs it in a sandbox",
            None => "; engine=r10k would run it in a sandbox, if CRANE_R10K_IMAGE was set",
        };
        for problem in problems.iter_mut().filter(|problem| puppetfile::is_for_r10k(problem)) {
            problem.message.push_str(way_out);
        }
        match refused(problems) {
            None => Ok(puppetfile),
            Some(error) => Err(error),
        }
    }

    /// Sees that r10k can be asked to install a Puppetfile. What is in it is r10k's to say.
    pub fn check_for_r10k(&self, text: &str) -> Result<()> {
        self.sandbox()?;
        // Only too large.
        puppetfile::parse(text).map(drop)
    }

    fn sandbox(&self) -> Result<&Sandbox> {
        self.r10k.as_ref().ok_or_else(|| {
            let message = "there is no r10k here: set CRANE_R10K_IMAGE to an image with r10k and \
                           git in it, or choose engine=native";
            Error::problem(Problem::new("engine", message))
        })
    }
}

/// Reads a lock that a user sent with a Puppetfile, and sees that it is of this one. [`Error::Invalid`]
/// with what does not fit.
pub fn check_lock(compat: Compat, puppetfile: &Puppetfile, text: &str) -> Result<Lock> {
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

/// Installs the modules into `<dir>/modules`, or where the file says inside of `dir`: all of them,
/// or nothing changes there. What else is in those directories is removed, as r10k does. Says exactly
/// what it installed.
///
/// [`Error::Failed`] with a problem for each module that could not be installed. May run again at any
/// time, with the same outcome.
pub async fn install_with(
    settings: &Settings,
    puppetfile: &Puppetfile,
    dir: &Path,
    options: &Options,
    log: &Log,
) -> Result<Outcome> {
    native::install(&settings.native, settings, puppetfile, dir, options, log).await
}

/// Lets r10k install a Puppetfile, whatever Ruby it is, as [`install_with`] does: the directories
/// that it makes take the places of those in `dir` when it has ended well. All that it prints goes
/// to the log.
///
/// Its container has the labels; when this is dropped, it is to be removed by them. [`Error::Invalid`]
/// when no r10k is configured, [`Error::Failed`] with its words, at the modules' places where they
/// are plainly declared.
pub async fn install_by_r10k(
    settings: &Settings,
    text: &str,
    dir: &Path,
    labels: &BTreeMap<String, String>,
    log: &Log,
) -> Result<Brought> {
    r10k::install(settings.sandbox()?, settings, text, dir, labels, log).await
}

/// As [`install_with`], unless what is wanted stands there already, as the last installation into
/// this directory left it. [`Error::Conflict`] when somebody changed it since; [`forget`] first to
/// write over that.
pub async fn bring(
    settings: &Settings,
    puppetfile: &Puppetfile,
    dir: &Path,
    options: &Options,
    log: &Log,
) -> Result<Outcome> {
    native::bring(&settings.native, settings, puppetfile, dir, options, log).await
}

/// Forgets what [`bring`] knows of a directory. Blocks.
pub fn forget(settings: &Settings, dir: &Path) -> Result<()> {
    native::forget(&settings.native, dir).map_err(Error::internal)
}

/// What every module is now, in the order of the file, without installing any.
pub async fn resolve(
    settings: &Settings,
    puppetfile: &Puppetfile,
    options: &Options,
    log: &Log,
) -> Result<Vec<Pin>> {
    native::resolve(&settings.native, settings, puppetfile, options, log).await
}

/// Whether modules can be installed: Crane's own engine needs nothing; where r10k is configured, its
/// image has to be there.
pub async fn ready(settings: &Settings) -> Result<()> {
    match &settings.r10k {
        Some(sandbox) => r10k::ready(sandbox).await,
        None => Ok(()),
    }
}

/// Removes what runs left in a directory that were killed. Blocks.
pub fn remove_left_behind(parent: &Path) -> io::Result<()> {
    // Making one removes those beside it that nobody holds.
    Scratch::make(parent, puppetfile::STAGING_PREFIX).map(drop)
}
