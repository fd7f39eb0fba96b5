//! Contexts: the modules of a Puppetfile, installed, for images to be built from.

use std::{path::Path, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    Job, Jobs, Parts, Task, records,
    records::{Context, Installation, Kind, Record, Resource, Status},
    token, trees,
    work::Done,
};
use crate::{
    build::Upload,
    error::{Error, Problem, Result},
    model::{Log, Name},
    puppet,
};

pub use crate::puppet::{Compat, Dependency, Described, State};

/// Group of contexts that name none.
pub const DEFAULT_GROUP: &str = "default";

/// The fields of the form, and of the stored files.
const PUPPETFILE: &str = "puppetfile";
const LOCK: &str = "lock";

/// Beside them: [`Installed`].
const INSTALLED: &str = "installed";

pub fn resource(token: &str) -> Resource {
    Resource::new(Kind::Context, token)
}

/// What a context is made of.
pub struct Recipe {
    pub group: Name,
    pub puppetfile: Option<Upload>,
    pub installation: Installation,
    /// Must hold: modules are what it says, or the installation fails.
    pub lock: Option<Upload>,
}

impl Recipe {
    pub fn of(group: Name, puppetfile: Option<Upload>) -> Self {
        Self { group, puppetfile, installation: Installation::default(), lock: None }
    }

    /// All that can be known of it before anything is installed.
    async fn check(&self, settings: &puppet::Settings) -> Result<()> {
        let Some(puppetfile) = &self.puppetfile else {
            return match &self.lock {
                None => Ok(()),
                Some(_) => Err(Error::problem(Problem::new(LOCK, "there is no Puppetfile to it"))),
            };
        };
        let compat = self.installation.compat;
        let parsed = puppet::check_for(&settings.engine, compat, &puppetfile.content)?;
        if let Some(lock) = &self.lock {
            puppet::check_lock(&settings.engine, compat, &parsed, &lock.content)?;
        }
        puppet::check_with_r10k(settings, &parsed).await
    }
}

/// Checks the Puppetfile, stores the context, and begins to install. Without a Puppetfile the
/// context is finished at once.
pub async fn create(jobs: &Arc<Jobs>, recipe: Recipe) -> Result<Record<Context>> {
    recipe.check(&jobs.parts.puppet).await?;
    let Recipe { group, puppetfile, installation, lock } = recipe;
    let token = token::generate("CT")?;
    let resource = resource(&token);
    let context =
        Context { token, group, modules: Vec::new(), installation, tree: None, used: None };
    let record = match &puppetfile {
        Some(_) => {
            Record::new(Status::Building, "installing the modules of the Puppetfile", context)
        }
        None => Record::new(Status::Finished, "an empty context", context),
    };
    let job = puppetfile.is_some().then(|| Job::new(resource.clone(), Task::Make));
    let files = [(PUPPETFILE, puppetfile), (LOCK, lock)];
    let files = files.into_iter().filter_map(|(field, file)| Some((field, file?))).collect();
    jobs.begin(&resource, record, files, job).await
}

pub async fn get(parts: &Parts, token: &str) -> Result<Record<Context>> {
    records::find(&*parts.store, &resource(token)).await
}

/// Tokens of all contexts, oldest first.
pub async fn tokens(parts: &Parts) -> Result<Vec<String>> {
    records::tokens(&*parts.store, Kind::Context).await
}

/// Tokens of the images that are built from a context. They begin with the context's, so no image's
/// record needs to be read.
pub async fn images(parts: &Parts, token: &str) -> Result<Vec<String>> {
    let images = super::images::token(token, "");
    let names = parts.store.names(&super::images::resource(&images).key()).await?;
    Ok(names.into_iter().map(|name| format!("{images}{name}")).collect())
}

pub(super) async fn install(jobs: &Jobs, token: &str, log: &Log) -> Result<Done> {
    let parts = &jobs.parts;
    let _tree = jobs.trees.claim(token).await;
    trees::begin(parts, token).await?;
    let directory = parts.context_dir(token);
    let outcome = install_into(parts, token, &directory, log).await?;
    let tree = trees::complete(parts, token, log).await?;
    let files = match outcome.lock {
        None => Vec::new(),
        Some(lock) => {
            let modules = puppet::describe(&directory, &lock).await?;
            vec![(INSTALLED, json!(Installed { lock, modules }))]
        }
    };
    let modules: Vec<_> =
        outcome.modules.into_iter().map(|module| (module.name, module.version)).collect();
    let description = match modules.len() {
        1 => "1 module is installed".to_owned(),
        count => format!("{count} modules are installed"),
    };
    let detail = Some(json!({ "modules": modules, "tree": tree }));
    Ok(Done { description, detail, files })
}

/// Installs what a context's Puppetfile names: what its first installation brought, if there was
/// one, else what the lock says that came with it, if one came.
pub(super) async fn install_into(
    parts: &Parts,
    token: &str,
    directory: &Path,
    log: &Log,
) -> Result<puppet::Outcome> {
    let (store, resource) = (&*parts.store, resource(token));
    let Installation { compat, resolve } = get(parts, token).await?.detail.installation;
    let Some(file) = records::file(store, &resource, PUPPETFILE).await? else {
        return Err(Error::internal(format!("{resource} has lost its Puppetfile")));
    };
    let puppetfile = puppet::check_for(&parts.puppet.engine, compat, &file.content)?;
    let lock = match installed(parts, token).await? {
        Some(installed) => Some(installed.lock),
        None => match records::file(store, &resource, LOCK).await? {
            Some(lock) => Some(puppet::Lock::parse(&lock.content)?),
            None => None,
        },
    };
    let options = puppet::Options { compat, lock, resolve };
    puppet::install_with(&parts.puppet, &puppetfile, directory, &options, log).await
}

/// What an installation brought, exactly.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Installed {
    pub lock: puppet::Lock,
    pub modules: Vec<puppet::Described>,
}

async fn installed(parts: &Parts, token: &str) -> Result<Option<Installed>> {
    let key = resource(token).file_key(INSTALLED);
    Ok(parts.store.read(&key).await?.map(|stored| stored.value))
}

/// What stands in a context. [`Error::Conflict`] when there is nothing, or nobody kept what it is.
pub async fn what_is_installed(parts: &Parts, token: &str) -> Result<Installed> {
    let record = get(parts, token).await?;
    if let Some(installed) = installed(parts, token).await? {
        return Ok(installed);
    }
    Err(Error::Conflict(match record.status {
        Status::Finished if record.detail.tree.is_none() => {
            format!("the context '{token}' has no modules: it was made without a Puppetfile")
        }
        Status::Finished => format!(
            "the modules of the context '{token}' were installed by r10k, which does not say what \
             exactly it installs: POST the Puppetfile as a new context"
        ),
        _ => format!("the context '{token}' has no modules: {}", record.description),
    }))
}
