//! Where modules come from, one file each.

mod archives;
pub(super) mod forge;
mod git;
mod local;
mod tarball;

use std::sync::Arc;

use async_trait::async_trait;

pub(super) use self::archives::{put, unpack_made};

use super::{
    bounds::Cancelled,
    fault::{Fault, Result},
    lock::{Locked, Pin},
    native::{Compat, Native},
    puppetfile::Module,
    scratch::Scratch,
};

/// The first that claims a module has it. No two claim the same, so the order means nothing but
/// which is looked at first.
const SOURCES: &[&dyn Source] = &[&forge::Forge, &git::Git, &tarball::Tarball, &local::Local];

/// One module that is wanted.
pub(super) struct Order<'a> {
    pub(super) native: &'a Native,
    pub(super) module: &'a Module,
    pub(super) compat: Compat,
    /// Base URL of the Forge that this Puppetfile's modules come from.
    pub(super) forge: &'a str,
    /// What a lock says of it.
    pub(super) locked: Option<&'a Locked>,
}

impl Order<'_> {
    /// Whether `spec/` is left out. r10k looks at the option only where the module is in a
    /// `moduledir` (`Module::Base#maybe_delete_spec_dir`, `spec_deletable`).
    pub(super) fn without_spec(&self) -> bool {
        let default = self.compat == Compat::R10k5;
        self.module.install_path.is_none() && self.module.exclude_spec.unwrap_or(default)
    }
}

#[async_trait]
pub(super) trait Source: Sync {
    fn claims(&self, module: &Module) -> bool;

    /// What the module is now: asks the server, if what is wanted can change.
    async fn resolve(&self, order: &Order<'_>) -> Result<Pin>;

    /// Puts it into the tree of the run, from the cache if it is there.
    async fn fetch(
        &self,
        order: &Order<'_>,
        pin: &Pin,
        run: &Arc<Scratch>,
        cancelled: &Cancelled,
    ) -> Result<Fetched>;
}

/// What came of fetching a module.
#[derive(Debug, Default)]
pub(super) struct Fetched {
    pub(super) warnings: Vec<String>,
    /// `sha256:...` of its directory, where that is known without reading it again.
    pub(super) digest: Option<String>,
}

impl From<Vec<String>> for Fetched {
    fn from(warnings: Vec<String>) -> Self {
        Self { warnings, digest: None }
    }
}

/// Where this module comes from.
pub(super) fn of(module: &Module) -> Result<&'static dyn Source> {
    SOURCES
        .iter()
        .find(|source| source.claims(module))
        .copied()
        .ok_or_else(|| Fault::refused("nothing here fetches modules of this kind"))
}
