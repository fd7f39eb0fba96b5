//! Contexts: the modules of a Puppetfile, installed, for images to be built from.

use std::sync::Arc;

use serde_json::json;

use super::{
    Job, Jobs, Parts, Task, records,
    records::{Context, Kind, Record, Resource, Status},
    token, trees,
    work::Done,
};
use crate::{
    build::Upload,
    error::{Error, Result},
    model::{Log, Name},
    puppet,
    store::Store,
};

/// Group of contexts that name none.
pub const DEFAULT_GROUP: &str = "default";

/// The field of the form, and of the stored file.
const PUPPETFILE: &str = "puppetfile";

pub fn resource(token: &str) -> Resource {
    Resource::new(Kind::Context, token)
}

/// Checks the Puppetfile, stores the context, and begins to install. Without a Puppetfile the
/// context is finished at once.
pub async fn create(
    jobs: &Arc<Jobs>,
    group: Name,
    puppetfile: Option<Upload>,
) -> Result<Record<Context>> {
    if let Some(file) = &puppetfile {
        let parsed = puppet::check(&file.content)?;
        puppet::check_with_r10k(&jobs.parts.puppet, &parsed).await?;
    }
    let token = token::generate("CT")?;
    let resource = resource(&token);
    let context = Context { token, group, modules: Vec::new(), tree: None, used: None };
    let record = match &puppetfile {
        Some(_) => {
            Record::new(Status::Building, "installing the modules of the Puppetfile", context)
        }
        None => Record::new(Status::Finished, "an empty context", context),
    };
    let puppetfile_given = puppetfile.is_some();
    let files = puppetfile.map(|file| (PUPPETFILE, file)).into_iter().collect();
    let job = puppetfile_given.then(|| Job::new(resource.clone(), Task::Make));
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

/// The Puppetfile that a context was made with.
pub(super) async fn puppetfile(store: &dyn Store, token: &str) -> Result<puppet::Puppetfile> {
    let resource = resource(token);
    match records::file(store, &resource, PUPPETFILE).await? {
        Some(file) => puppet::check(&file.content),
        None => Err(Error::internal(format!("{resource} has lost its Puppetfile"))),
    }
}

pub(super) async fn install(jobs: &Jobs, token: &str, log: &Log) -> Result<Done> {
    let parts = &jobs.parts;
    let puppetfile = puppetfile(&*parts.store, token).await?;
    let _tree = jobs.trees.claim(token).await;
    trees::begin(parts, token).await?;
    let directory = parts.context_dir(token);
    let installed = puppet::install(&parts.puppet, &puppetfile, &directory, log).await?;
    let tree = trees::complete(parts, token, log).await?;
    let modules: Vec<_> =
        installed.into_iter().map(|module| (module.name, module.version)).collect();
    let description = match modules.len() {
        1 => "1 module is installed".to_owned(),
        count => format!("{count} modules are installed"),
    };
    Ok(Done { description, detail: Some(json!({ "modules": modules, "tree": tree })) })
}
