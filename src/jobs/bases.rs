//! Base images: built from a Dockerfile alone, for others to be built on.

use std::sync::Arc;

use super::{
    Job, Jobs, Parts, Task, images, records,
    records::{Base, Kind, Record, Resource, Status},
    work::Done,
};
use crate::{
    build::{self, Source, Upload},
    error::{Error, Result},
    model::{Log, Name},
};

const DOCKERFILE: &str = "dockerfile";

pub fn resource(name: &str) -> Resource {
    Resource::new(Kind::Base, name)
}

pub async fn create(jobs: &Arc<Jobs>, name: Name, dockerfile: Upload) -> Result<Record<Base>> {
    let parts = &jobs.parts;
    images::check(&Source::Dockerfile { dockerfile: dockerfile.content.clone(), manifest: None })?;
    let resource = resource(name.as_str());
    if parts.store.get(&resource.key()).await?.is_some() {
        return Err(Error::Conflict(format!(
            "there is a base '{name}' already; DELETE it first to build it anew"
        )));
    }
    let tag = format!("{}/{name}", parts.base_provider);
    let images = images::list(parts).await?;
    if let Some(image) = images.iter().find(|image| image.detail.tag == tag) {
        let token = &image.detail.token;
        return Err(Error::Conflict(format!("'{tag}' is the name of the image '{token}'")));
    }
    let mut job = Job::new(resource.clone(), Task::Make);
    job.claims = vec![images::claim(&tag)];
    let detail = Base { name, tag, pushed: None };
    let record = Record::new(Status::Building, "building the base image", detail);
    jobs.begin(&resource, record, vec![(DOCKERFILE, dockerfile)], Some(job)).await
}

pub async fn get(parts: &Parts, name: &str) -> Result<Record<Base>> {
    records::find(&*parts.store, &resource(name)).await
}

pub async fn list(parts: &Parts) -> Result<Vec<Record<Base>>> {
    records::all(&*parts.store, Kind::Base).await
}

pub(super) async fn build(jobs: &Jobs, name: &str, log: &Log) -> Result<Done> {
    let parts = &jobs.parts;
    let resource = resource(name);
    let record = get(parts, name).await?;
    let Some(dockerfile) = records::file(&*parts.store, &resource, DOCKERFILE).await? else {
        return Err(Error::internal(format!("{resource} has lost its Dockerfile")));
    };
    let request = build::Request {
        root: None,
        name: record.detail.name,
        tag: record.detail.tag,
        source: Source::Dockerfile { dockerfile: dockerfile.content, manifest: None },
        known: images::known(parts).await?,
        labels: parts.labels(&resource),
        context_token: None,
    };
    let built = build::image(&parts.engine, parts.registry.as_ref(), &request, log).await?;
    Ok(images::done(built))
}
