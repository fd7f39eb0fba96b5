//! What a Puppetfile says, as data.

use std::fmt;

use super::position::{Located, Position};
use crate::error::Problem;

/// A Puppetfile without a mistake in it.
#[derive(Debug, Clone, Default)]
pub struct Puppetfile {
    /// `forge '...'`: the registry the file asks for. r10k 3 ignores it.
    pub forge: Option<Located<String>>,
    /// In the order of the file.
    pub modules: Vec<Module>,
    /// `metadata` and `exclusion` of librarian-puppet, by name.
    pub librarian: Vec<Located<String>>,
    /// What is accepted and probably not meant.
    pub warnings: Vec<Problem>,
}

impl Puppetfile {
    /// A problem for each call that only librarian-puppet knows; `who` does not, in words such as
    /// "r10k does not know it".
    pub(in super::super) fn librarian_calls(&self, who: &str) -> Vec<Problem> {
        let problem = |call: &Located<String>| {
            let name = &call.value;
            call.at.problem(format!(
                "`{name}` is librarian-puppet's, and {who}: remove it, and list all modules with \
                 `mod`"
            ))
        };
        self.librarian.iter().map(problem).collect()
    }

    /// Modules that would go into `modules`, which is where they go when the file does not say, go
    /// into this directory. [`crate::error::Error::Invalid`] when it is none.
    pub fn with_moduledir(&mut self, name: &str) -> crate::error::Result<()> {
        let directory =
            super::checks::directory("moduledir", name).map_err(crate::error::Error::invalid)?;
        for module in &mut self.modules {
            if module.moduledir == Directory::modules() {
                module.moduledir.clone_from(&directory);
            }
        }
        Ok(())
    }
}

/// One `mod`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// Where its name is written.
    pub at: Position,
    /// `puppetlabs` of `puppetlabs/stdlib`; a module from the Forge always has one.
    pub owner: Option<String>,
    /// `stdlib` of `puppetlabs/stdlib`, the name of its directory.
    pub name: String,
    /// The `moduledir` in force where it is declared.
    pub moduledir: Directory,
    /// Overrides `moduledir` for this module.
    pub install_path: Option<Located<Directory>>,
    /// Whether `spec/` is left out; none: as the engine does by default.
    pub exclude_spec: Option<bool>,
    pub source: Source,
}

impl Module {
    /// The directory that this module's own directory is in.
    pub fn parent(&self) -> &Directory {
        self.install_path.as_ref().map_or(&self.moduledir, |path| &path.value)
    }

    /// Its own directory, relative to the context.
    pub fn path(&self) -> String {
        self.parent().join(&self.name)
    }

    /// `puppetlabs/stdlib` or `stdlib`.
    pub fn full_name(&self) -> String {
        match &self.owner {
            Some(owner) => format!("{owner}/{}", self.name),
            None => self.name.clone(),
        }
    }
}

/// A directory inside the context: components without `.` and `..`, joined by `/`; empty for the
/// context itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Directory(pub(super) String);

impl Directory {
    /// Where modules go unless the file says otherwise.
    pub fn modules() -> Self {
        Self("modules".into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn join(&self, name: &str) -> String {
        if self.0.is_empty() { name.to_owned() } else { format!("{}/{name}", self.0) }
    }
}

/// Where a module comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    Forge(Forge),
    Git(Git),
    Tarball(Tarball),
    /// No engine fetches it yet, so that nothing more is known of it.
    Svn,
    /// It is in the context already, and nobody touches it.
    Local,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forge {
    pub version: Located<Version>,
    /// g10k's pin of the release's archive.
    pub sha256sum: Option<Located<String>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Version {
    /// The newest release: none is named, or `:latest`.
    Latest,
    /// A release, `1.2.3` or `1.2.3-rc1`.
    Exact(String),
    /// `>= 1.0.0 < 2.0.0`, `4.x` and what else `SemanticPuppet` has.
    Range(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Git {
    pub url: Located<Url>,
    /// None: the engine's default (`master` for r10k 3).
    pub reference: Option<Located<Reference>>,
    /// `default_branch`: taken when `reference` does not exist.
    pub default_branch: Option<String>,
    /// `default_branch_override`: taken before `default_branch`.
    pub default_branch_override: Option<String>,
    /// librarian-puppet's directory of the module inside the repository.
    pub path: Option<Located<String>>,
    /// g10k's further branches to try, joined by `|`.
    pub fallback: Option<Located<String>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    pub kind: ReferenceKind,
    pub name: ReferenceName,
}

/// The option a reference is given by. r10k resolves all of them alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReferenceKind {
    Ref,
    Tag,
    Branch,
    Commit,
    Version,
}

impl ReferenceKind {
    /// The option's name.
    pub fn option(self) -> &'static str {
        match self {
            Self::Ref => "ref",
            Self::Tag => "tag",
            Self::Branch => "branch",
            Self::Commit => "commit",
            Self::Version => "version",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReferenceName {
    Named(String),
    /// `:control_branch`: the branch of the repository that the Puppetfile is in. A context has
    /// none, so that `default_branch` is taken.
    ControlBranch,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tarball {
    pub url: Located<Url>,
    /// SHA-256 of the archive, 64 hexadecimal digits.
    pub sha256: Option<String>,
}

/// A URL that was checked. `Debug` leaves out a user name and password in it.
#[derive(Clone, PartialEq, Eq)]
pub struct Url(pub(super) String);

impl Url {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&without_credentials(&self.0), f)
    }
}

/// The text with `***` for what may be a secret in each URL in it: what stands before the `@`, and
/// the query, which some servers take tokens in.
pub(crate) fn without_credentials(text: &str) -> String {
    let ends = |c: char| c.is_whitespace() || matches!(c, '\'' | '"');
    without_users(text)
        .split_inclusive(ends)
        .map(|word| match (word.contains("://"), word.split_once('?')) {
            (true, Some((url, query))) => {
                format!("{url}?***{}", query.trim_start_matches(|c| !ends(c)))
            }
            _ => word.to_owned(),
        })
        .collect()
}

fn without_users(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("://") {
        let (before, after) = rest.split_at(start + 3);
        safe.push_str(before);
        let authority = after
            .find(|c: char| c == '/' || c.is_whitespace() || matches!(c, '\'' | '"'))
            .unwrap_or(after.len());
        rest = match after[..authority].rfind('@') {
            Some(at) => {
                safe.push_str("***");
                &after[at..]
            }
            None => after,
        };
    }
    safe.push_str(rest);
    safe
}

#[cfg(test)]
mod tests {
    use super::without_credentials;

    #[test]
    fn credentials_in_urls_are_left_out() {
        for (text, safe) in [
            ("https://me:secret@host/x.git", "https://***@host/x.git"),
            ("clone 'http://t@h' and 'http://h/@x'", "clone 'http://***@h' and 'http://h/@x'"),
            (
                "ssh://git@host:22/x https://a:b@c:d@host/y",
                "ssh://***@host:22/x https://***@host/y",
            ),
            ("'http://h/x?token=a#b' failed? yes", "'http://h/x?***' failed? yes"),
            ("no url: a@b", "no url: a@b"),
            ("://@://@", "://***@://***@"),
        ] {
            assert_eq!(without_credentials(text), safe);
        }
    }
}
