//! Compositions: compose files brought up on a cluster.

use std::sync::Arc;

use super::{
    Job, Jobs, Parts, Task, clusters, images,
    records::{self, Composition, Kind, Record, Resource, Status},
    token,
    work::Done,
};
use crate::{
    build::Upload,
    deploy::{self, ServiceStatus},
    error::{Error, Result},
    model::Log,
};

const COMPOSEFILE: &str = "composefile";

pub fn resource(token: &str) -> Resource {
    Resource::new(Kind::Composition, token)
}

/// Checks the compose file, stores the composition, and begins to deploy.
pub async fn create(
    jobs: &Arc<Jobs>,
    composefile: Upload,
    cluster: Option<String>,
) -> Result<Record<Composition>> {
    deploy::check(COMPOSEFILE, &composefile.content)?;
    if let Some(token) = &cluster {
        let record: Record<records::Cluster> =
            records::find(&*jobs.parts.store, &clusters::resource(token)).await?;
        if record.status == Status::Removing {
            return Err(clusters::resource(token).not_found());
        }
    }
    let token = token::generate("CP")?;
    let resource = resource(&token);
    let detail = Composition { token, cluster, remove_volumes: false };
    let record = Record::new(Status::Providing, "bringing the services up", detail);
    let job = Job::new(resource.clone(), Task::Make);
    jobs.begin(&resource, record, vec![(COMPOSEFILE, composefile)], Some(job)).await
}

/// A composition and its services as they run now. What was brought up and no longer runs makes
/// it an `error`.
pub async fn get(parts: &Parts, token: &str) -> Result<(Record<Composition>, Vec<ServiceStatus>)> {
    let resource = resource(token);
    let mut record: Record<Composition> = records::find(&*parts.store, &resource).await?;
    if record.status != Status::Finished {
        return Ok((record, Vec::new()));
    }
    match observe(parts, &resource, &record).await {
        Ok(services) => {
            let down: Vec<_> = services
                .iter()
                .filter(|service| !service.runs_as_wanted)
                .map(|service| format!("{} is {}", service.name, service.state))
                .collect();
            if !down.is_empty() {
                record.status = Status::Error;
                record.description = down.join(", ");
            }
            Ok((record, services))
        }
        Err(error) => {
            record.status = Status::Error;
            record.description = format!("cannot be seen now: {error}");
            Ok((record, Vec::new()))
        }
    }
}

async fn observe(
    parts: &Parts,
    resource: &Resource,
    record: &Record<Composition>,
) -> Result<Vec<ServiceStatus>> {
    let composition = composition(parts, resource).await?;
    let engine = clusters::engine(parts, record.detail.cluster.as_deref()).await?;
    clusters::within_limit(deploy::status(&engine, &resource.id, &composition)).await
}

/// Tokens of all compositions, oldest first.
pub async fn tokens(parts: &Parts) -> Result<Vec<String>> {
    records::tokens(&*parts.store, Kind::Composition).await
}

pub(super) async fn list(parts: &Parts) -> Result<Vec<Record<Composition>>> {
    records::all(&*parts.store, Kind::Composition).await
}

/// Takes a composition down, with its volumes if asked, and forgets it.
pub async fn remove(jobs: &Arc<Jobs>, token: &str, volumes: bool) -> Result<()> {
    let resource = resource(token);
    jobs.parts
        .store
        .update(&resource.key(), |record: &mut Record<Composition>| {
            record.detail.remove_volumes = volumes;
        })
        .await?;
    jobs.remove(resource).await
}

/// Tokens of the compositions on a cluster.
pub(super) async fn on_cluster(parts: &Parts, cluster: &str) -> Result<Vec<String>> {
    let compositions = list(parts).await?.into_iter().map(|record| record.detail);
    Ok(compositions
        .filter(|composition| composition.cluster.as_deref() == Some(cluster))
        .map(|composition| composition.token)
        .collect())
}

async fn composition(parts: &Parts, resource: &Resource) -> Result<deploy::Composition> {
    match records::file(&*parts.store, resource, COMPOSEFILE).await? {
        Some(file) => deploy::check(COMPOSEFILE, &file.content),
        None => Err(Error::internal(format!("{resource} has lost its compose file"))),
    }
}

pub(super) async fn deploy(parts: &Parts, token: &str, log: &Log) -> Result<Done> {
    let resource = resource(token);
    let record: Record<Composition> = records::find(&*parts.store, &resource).await?;
    let deployment = deploy::Deployment {
        token: token.to_owned(),
        instance: parts.instance.clone(),
        composition: composition(parts, &resource).await?,
        known: images::known(parts).await?,
    };
    let engine = clusters::engine(parts, record.detail.cluster.as_deref()).await?;
    engine.check().await?;
    deploy::up(&engine, parts.registry.as_ref(), &deployment, log).await?;
    Ok(Done::new("all services are up"))
}
