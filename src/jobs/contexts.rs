//! Contexts: the modules of a Puppetfile, installed, for images to be built from.

use std::{path::Path, sync::Arc, time::Duration};

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

pub use crate::puppet::{Compat, Dependency, Described, Engine, Lock, State};

/// Group of contexts that name none.
pub const DEFAULT_GROUP: &str = "default";

/// The fields of the form, and of the stored files.
const PUPPETFILE: &str = "puppetfile";
const LOCK: &str = "lock";

/// How long an engine may work on a container whose maker is gone.
const LATE: Duration = Duration::from_secs(1);

/// Beside them: [`Installed`].
const INSTALLED: &str = "installed";

pub fn resource(token: &str) -> Resource {
    Resource::new(Kind::Context, token)
}

/// What a context is made of.
pub struct Recipe {
    pub group: Name,
    pub puppetfile: Option<Upload>,
    pub compat: Compat,
    /// None: as configured.
    pub engine: Option<Engine>,
    /// Modules that others need are added.
    pub resolve: bool,
    /// Must hold: modules are what it says, or the installation fails.
    pub lock: Option<Upload>,
}

impl Recipe {
    pub fn of(group: Name, puppetfile: Option<Upload>) -> Self {
        Self {
            group,
            puppetfile,
            compat: Compat::default(),
            engine: None,
            resolve: false,
            lock: None,
        }
    }

    /// All that can be known of it before anything is installed.
    fn check(&self, settings: &puppet::Settings, engine: Engine) -> Result<()> {
        let native_only = [
            (self.lock.is_some(), LOCK, "r10k installs by no lock"),
            (self.resolve, "resolve", "r10k installs what is listed and nothing else"),
        ];
        for (is_asked, field, why) in native_only {
            if is_asked && engine == Engine::R10k {
                let message = format!("{why}: leave it out, or choose engine=native");
                return Err(Error::problem(Problem::new(field, message)));
            }
        }
        let Some(puppetfile) = &self.puppetfile else {
            return match &self.lock {
                None => Ok(()),
                Some(_) => Err(Error::problem(Problem::new(LOCK, "there is no Puppetfile to it"))),
            };
        };
        if engine == Engine::R10k {
            return settings.check_for_r10k(&puppetfile.content);
        }
        let parsed = settings.check_for(self.compat, &puppetfile.content)?;
        match &self.lock {
            Some(lock) => puppet::check_lock(self.compat, &parsed, &lock.content).map(drop),
            None => Ok(()),
        }
    }
}

/// Checks the Puppetfile, stores the context, and begins to install. Without a Puppetfile the
/// context is finished at once.
pub async fn create(jobs: &Arc<Jobs>, recipe: Recipe) -> Result<Record<Context>> {
    let settings = &jobs.parts.puppet;
    let engine = recipe.engine.unwrap_or(settings.engine);
    recipe.check(settings, engine)?;
    let Recipe { group, puppetfile, compat, resolve, lock, .. } = recipe;
    let installation = Installation { compat, engine, resolve };
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
    let installed = install_into(parts, token, &directory, log).await?;
    let tree = trees::complete(parts, token, log).await?;
    let modules: Vec<_> =
        installed.modules.iter().map(|module| (&module.name, &module.version)).collect();
    let description = match modules.len() {
        1 => "1 module is installed".to_owned(),
        count => format!("{count} modules are installed"),
    };
    let detail = Some(json!({ "modules": modules, "tree": tree }));
    Ok(Done { description, detail, files: vec![(INSTALLED, json!(installed))] })
}

/// Installs what a context's Puppetfile names: what its first installation brought, if there was
/// one, else what the lock says that came with it, if one came.
pub(super) async fn install_into(
    parts: &Parts,
    token: &str,
    directory: &Path,
    log: &Log,
) -> Result<Installed> {
    let (store, resource) = (&*parts.store, resource(token));
    let Installation { compat, engine, resolve } = get(parts, token).await?.detail.installation;
    let Some(file) = records::file(store, &resource, PUPPETFILE).await? else {
        return Err(Error::internal(format!("{resource} has lost its Puppetfile")));
    };
    if engine == Engine::R10k {
        let labels = parts.labels(&resource);
        let brought =
            puppet::install_by_r10k(&parts.puppet, &file.content, directory, &labels, log).await?;
        return Ok(Installed { digest: brought.digest, lock: None, modules: brought.modules });
    }
    let puppetfile = parts.puppet.check_for(compat, &file.content)?;
    let lock = match installed(parts, token).await? {
        Some(installed) => installed.lock,
        None => match records::file(store, &resource, LOCK).await? {
            Some(lock) => Some(puppet::Lock::parse(&lock.content)?),
            None => None,
        },
    };
    let options = puppet::Options { compat, lock, resolve };
    let outcome =
        puppet::install_with(&parts.puppet, &puppetfile, directory, &options, log).await?;
    let lock = outcome.lock.ok_or_else(|| Error::internal("an installation without a lock"))?;
    let modules = puppet::describe(directory, &lock).await?;
    Ok(Installed { digest: lock.digest.clone(), lock: Some(lock), modules })
}

/// Removes the container that a context is installed in, if it is in one. Whoever waited for it is
/// gone, and what was dropped ends nothing on an engine.
pub(super) async fn end_container(parts: &Parts, token: &str) -> Result<()> {
    let resource = resource(token);
    let context: Record<Context> = records::find(&*parts.store, &resource).await?;
    if context.detail.installation.engine != Engine::R10k {
        return Ok(());
    }
    let labels = parts.labels(&resource);
    parts.engine.remove_containers_labelled(&labels).await?;
    // The engine may still have been at work on making it.
    tokio::time::sleep(LATE).await;
    parts.engine.remove_containers_labelled(&labels).await
}

/// What an installation brought, exactly.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Installed {
    /// Of all modules.
    pub digest: String,
    /// None from r10k.
    pub lock: Option<puppet::Lock>,
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
            "the modules of the context '{token}' were installed by an earlier version of Crane, \
             which did not keep what they are: POST the Puppetfile as a new context"
        ),
        _ => format!("the context '{token}' has no modules: {}", record.description),
    }))
}

/// The lock of what stands in a context. [`Error::Conflict`] when there is none.
pub async fn lock(parts: &Parts, token: &str) -> Result<puppet::Lock> {
    what_is_installed(parts, token).await?.lock.ok_or_else(|| {
        Error::Conflict(format!(
            "the modules of the context '{token}' were installed by r10k, which makes no lock: \
             POST the Puppetfile with engine=native"
        ))
    })
}
