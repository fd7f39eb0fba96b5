//! What stands in a context, as `/builder/contexts/{token}/modules` and `/lock` tell it.

use poem_openapi::{ApiResponse, Enum, Object, payload::PlainText, types::Example};

use crate::jobs::contexts::{Dependency, Described, Installed, Lock, State};

/// All modules of a context.
#[derive(Debug, Object)]
#[oai(example)]
pub(super) struct Modules {
    token: String,
    /// Of all modules: the same Puppetfile with the same lock gives the same on any machine.
    digest: String,
    modules: Vec<InstalledModule>,
}

/// A module that stands in a context.
#[derive(Debug, Object)]
struct InstalledModule {
    /// `puppetlabs/stdlib`, or `stdlib` where the Puppetfile names no owner.
    name: String,
    /// Its directory in the build context.
    path: String,
    /// `git`, `forge`, `tarball` or `local`; `r10k` where r10k installed it.
    source: String,
    /// What its `metadata.json` states.
    #[oai(skip_serializing_if_is_none)]
    version: Option<String>,
    /// Of a git module.
    #[oai(skip_serializing_if_is_none)]
    commit: Option<String>,
    /// Of its directory.
    digest: String,
    /// What its `metadata.json` states.
    #[oai(skip_serializing_if_is_none)]
    licence: Option<String>,
    /// What its `metadata.json` says it needs.
    dependencies: Vec<NeededModule>,
    /// It was added (`resolve=true`) because these need it.
    #[oai(skip_serializing_if_is_empty)]
    needed_by: Vec<String>,
}

/// A module that another one needs.
#[derive(Debug, Object)]
struct NeededModule {
    name: String,
    /// None: any version.
    #[oai(skip_serializing_if_is_none)]
    range: Option<String>,
    state: NeededState,
    /// The version that is there instead, where it has one.
    #[oai(skip_serializing_if_is_none)]
    found: Option<String>,
}

#[derive(Debug, Clone, Copy, Enum)]
#[oai(rename_all = "lowercase")]
enum NeededState {
    Met,
    Missing,
    Unmet,
}

impl Modules {
    pub(super) fn of(token: String, installed: Installed) -> Self {
        let modules = installed.modules.into_iter().map(InstalledModule::of).collect();
        Self { token, digest: installed.digest, modules }
    }
}

impl InstalledModule {
    fn of(module: Described) -> Self {
        Self {
            name: module.name,
            path: module.path,
            source: module.source,
            version: module.version,
            commit: module.commit,
            digest: module.digest,
            licence: module.licence,
            dependencies: module.dependencies.into_iter().map(NeededModule::of).collect(),
            needed_by: module.needed_by,
        }
    }
}

impl NeededModule {
    fn of(dependency: Dependency) -> Self {
        let (state, found) = match dependency.state {
            State::Met => (NeededState::Met, None),
            State::Missing => (NeededState::Missing, None),
            State::Unmet(found) => (NeededState::Unmet, found),
        };
        Self { name: dependency.name, range: dependency.range, state, found }
    }
}

impl Example for Modules {
    fn example() -> Self {
        let digest = |digit: &str| format!("sha256:{}", digit.repeat(64));
        Self {
            token: "CT2Q6aB0r9xK3mT7vWqLzE".into(),
            digest: digest("7"),
            modules: vec![InstalledModule {
                name: "puppetlabs/concat".into(),
                path: "modules/concat".into(),
                source: "git".into(),
                version: Some("7.3.1".into()),
                commit: Some("0c9b1ac3b1e5e3f6a4d2c7b8a9f0e1d2c3b4a596".into()),
                digest: digest("3"),
                licence: Some("Apache-2.0".into()),
                dependencies: vec![NeededModule {
                    name: "puppetlabs/stdlib".into(),
                    range: Some(">= 4.13.1 < 9.0.0".into()),
                    state: NeededState::Missing,
                    found: None,
                }],
                needed_by: Vec::new(),
            }],
        }
    }
}

/// The lock as a file to keep beside the Puppetfile.
#[derive(ApiResponse)]
pub(super) enum LockFile {
    #[oai(status = 200)]
    Lock(
        PlainText<String>,
        /// The name to keep it under.
        #[oai(header = "Content-Disposition")]
        String,
    ),
}

impl LockFile {
    pub(super) fn of(lock: &Lock) -> Self {
        let name = "attachment; filename=\"Puppetfile.lock\"";
        Self::Lock(PlainText(lock.text()), name.to_owned())
    }
}
