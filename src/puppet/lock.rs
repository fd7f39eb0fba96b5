//! What an installation installed, so that it can be installed again exactly so.
//!
//! The same Puppetfile and the same servers give the same lock, byte for byte, on any machine.

use std::{collections::BTreeMap, fs, io, path::Path};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    archive,
    native::Compat,
    puppetfile::{
        Module, PATH, Puppetfile, ReferenceName, Source as Declared, Version, without_credentials,
    },
    tree,
};
use crate::error::{Error, Problem, Result};

/// The only version of the format that there is.
const FORMAT: u32 = 1;
/// A lock of a thousand modules has 700 kB.
const BYTES: usize = 4 * 1024 * 1024;

/// What every module of a Puppetfile is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    pub format: u32,
    pub compat: Compat,
    /// `sha256:...` over the paths and digests of all modules.
    pub digest: String,
    /// In the order of the Puppetfile.
    pub modules: Vec<Locked>,
}

/// One module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Locked {
    /// `puppetlabs/stdlib`, or `stdlib` where the Puppetfile names no owner.
    pub name: String,
    /// Its directory, relative to the context.
    pub path: String,
    /// What the Puppetfile says of it, in one line.
    pub declared: String,
    /// What that is.
    #[serde(flatten)]
    pub pin: Pin,
    /// `sha256:...` of its directory.
    pub digest: String,
    /// The modules that need it, if it is there because of them and not in the Puppetfile.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needed_by: Vec<String>,
    /// As its `metadata.json` has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// Where exactly a module comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "source", rename_all = "lowercase")]
pub enum Pin {
    Git {
        /// Without credentials.
        url: String,
        /// As the Puppetfile names it; several with `|` between them.
        reference: String,
        commit: String,
    },
    Forge {
        forge: String,
        #[serde(rename = "release")]
        version: String,
        file: String,
        /// Of the archive; none where the Forge gives none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sha256: Option<String>,
    },
    Tarball {
        url: String,
        sha256: String,
    },
    Local,
}

impl Pin {
    /// For a log.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Git { url, reference, commit } => {
                let short = commit.get(..12).unwrap_or(commit);
                format!("{reference} ({short}) of {url}")
            }
            Self::Forge { forge, version, .. } => format!("release {version} from {forge}"),
            Self::Tarball { url, .. } => url.clone(),
            Self::Local => "as it was".to_owned(),
        }
    }

    /// The word for where it comes from.
    pub fn source(&self) -> &'static str {
        match self {
            Self::Git { .. } => "git",
            Self::Forge { .. } => "forge",
            Self::Tarball { .. } => "tarball",
            Self::Local => "local",
        }
    }

    /// The commit of a git module.
    pub fn commit(&self) -> Option<&str> {
        match self {
            Self::Git { commit, .. } => Some(commit),
            _ => None,
        }
    }
}

impl Locked {
    /// What stands in the tree, of which the digest may be known. Blocks.
    pub(super) fn read(
        module: &Module,
        pin: Pin,
        digest: Option<String>,
        tree: &Path,
    ) -> io::Result<Self> {
        let path = module.path();
        let place = tree.join(&path);
        // A local module may be missing; that is its owner's decision.
        let digest = match (digest, fs::symlink_metadata(&place)) {
            (Some(digest), _) => digest,
            (None, Err(error)) if error.kind() == io::ErrorKind::NotFound => "none".to_owned(),
            (None, _) => archive::digest(&place)?,
        };
        let version = tree::version(tree, module);
        Ok(Self {
            name: module.full_name(),
            path,
            declared: declared(module),
            pin,
            digest,
            needed_by: Vec::new(),
            version,
        })
    }
}

impl Lock {
    pub(super) fn new(compat: Compat, modules: Vec<Locked>) -> Self {
        Self { format: FORMAT, compat, digest: whole(&modules), modules }
    }

    /// Reads a lock that a user sent. [`Error::Invalid`] with what is wrong with it.
    pub fn parse(text: &str) -> Result<Self> {
        let refuse = |message: String| Err(Error::problem(Problem::new("lock", message)));
        if text.len() > BYTES {
            return Err(Error::TooLarge(format!("the lock has more than {BYTES} bytes")));
        }
        let lock: Self = match serde_json::from_str(text) {
            Ok(lock) => lock,
            Err(error) => return refuse(format!("it is no lock: {error}")),
        };
        if lock.format != FORMAT {
            return refuse(format!("format {} is not known, only {FORMAT} is", lock.format));
        }
        if lock.digest != whole(&lock.modules) {
            return refuse("its digest is not that of its modules: it was changed".into());
        }
        Ok(lock)
    }

    /// The lock as it is kept and downloaded.
    pub fn text(&self) -> String {
        // Only maps with keys that are no strings fail, and there is none.
        serde_json::to_string_pretty(self).map(|text| text + "\n").unwrap_or_default()
    }

    /// Whether the Puppetfile still says what it said when the lock was made.
    pub(super) fn must_fit(&self, puppetfile: &Puppetfile, compat: Compat) -> Result<()> {
        let mut problems = Vec::new();
        let locked: BTreeMap<&str, &Locked> =
            self.modules.iter().map(|module| (module.path.as_str(), module)).collect();
        if compat != self.compat {
            problems.push(Problem::new("lock", "it was made with another `compat`"));
        }
        for module in &puppetfile.modules {
            let message = match locked.get(module.path().as_str()) {
                None => "is not in the lock",
                Some(locked) if locked.declared != declared(module) => {
                    "is not declared as it was when the lock was made"
                }
                Some(_) => continue,
            };
            problems.push(module.at.problem(format!(
                "'{}' {message}: install without the lock to make it anew",
                module.name
            )));
        }
        let there: Vec<String> = puppetfile.modules.iter().map(Module::path).collect();
        for module in self.modules.iter().filter(|module| !there.contains(&module.path)) {
            let message = format!("'{}' of the lock is not in the Puppetfile", module.name);
            problems.push(Problem::new(PATH, message));
        }
        refused(problems)
    }

    /// Whether what was installed is what this lock says.
    pub(super) fn must_hold(&self, installed: &Self) -> Result<()> {
        let problems = self.modules.iter().flat_map(|locked| {
            let other = installed.modules.iter().find(|other| other.path == locked.path);
            let digest = other.map_or("none", |other| other.digest.as_str());
            (digest != locked.digest).then(|| {
                Problem::new(
                    "lock",
                    format!(
                        "'{}' has the digest {digest}, and the lock says {}",
                        locked.name, locked.digest
                    ),
                )
            })
        });
        refused(problems.collect())
    }
}

fn refused(problems: Vec<Problem>) -> Result<()> {
    let description = match &problems[..] {
        [] => return Ok(()),
        [only] => format!("the lock does not hold: {only}"),
        [first, rest @ ..] => {
            format!("the lock does not hold: {first} (and {} more)", rest.len())
        }
    };
    Err(Error::Invalid { description, problems })
}

fn whole(modules: &[Locked]) -> String {
    let mut lines: Vec<String> =
        modules.iter().map(|module| format!("{}  {}\n", module.digest, module.path)).collect();
    lines.sort();
    let hash = Sha256::digest(lines.concat());
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// What a Puppetfile says of a module, without places and credentials: the lock holds as long as it
/// is the same.
pub(super) fn declared(module: &Module) -> String {
    let mut words = Vec::new();
    let mut option = |name: &str, value: Option<&str>| {
        words.extend(value.map(|value| format!("{name}={value:?}")));
    };
    let source = match &module.source {
        Declared::Forge(forge) => {
            option(
                "version",
                Some(match &forge.version.value {
                    Version::Latest => ":latest",
                    Version::Exact(version) | Version::Range(version) => version,
                }),
            );
            option("sha256sum", forge.sha256sum.as_ref().map(|sum| sum.value.as_str()));
            "forge".to_owned()
        }
        Declared::Git(git) => {
            let reference = git.reference.as_ref().map(|reference| match &reference.value.name {
                ReferenceName::Named(name) => name.as_str(),
                ReferenceName::ControlBranch => ":control_branch",
            });
            option("ref", reference);
            option("default_branch_override", git.default_branch_override.as_deref());
            option("default_branch", git.default_branch.as_deref());
            option("path", git.path.as_ref().map(|path| path.value.as_str()));
            option("fallback", git.fallback.as_ref().map(|names| names.value.as_str()));
            format!("git {}", without_credentials(git.url.value.as_str()))
        }
        Declared::Tarball(tarball) => {
            option("sha256", tarball.sha256.as_deref());
            format!("tarball {}", without_credentials(tarball.url.value.as_str()))
        }
        Declared::Svn => "svn".to_owned(),
        Declared::Local => "local".to_owned(),
    };
    words.insert(0, source);
    words.extend(module.exclude_spec.map(|exclude| format!("exclude_spec={exclude}")));
    words.join(" ")
}
