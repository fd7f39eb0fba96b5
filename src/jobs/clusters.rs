//! Clusters: engines that compositions run on.

use std::{path::Path, sync::Arc, time::Duration};

use super::{
    Job, Jobs, Parts, Task, compositions, events,
    records::{self, Cluster, Kind, Record, Resource, Status},
    token,
    work::Done,
};
use crate::{
    engine::{self, Engine},
    error::{Error, Problem, Result},
    store::{Batch, Expected},
};

/// An engine that has not answered by then is not there, as far as the caller can wait.
const CHECK_LIMIT: Duration = Duration::from_secs(5);

pub fn resource(token: &str) -> Resource {
    Resource::new(Kind::Cluster, token)
}

/// Registers one machine with an engine, and begins to see whether it answers.
pub async fn create(
    jobs: &Arc<Jobs>,
    endpoint: &str,
    api_version: Option<String>,
) -> Result<Record<Cluster>> {
    if endpoint.chars().any(|c| c.is_control() || c.is_whitespace()) {
        let message = "an endpoint has no spaces and no control characters";
        return Err(Error::problem(Problem::new("endpoint", message)));
    }
    let certs = jobs.parts.client_certs.as_deref();
    // Only for what it says of the endpoint.
    engine::connect(&endpoint_of(endpoint, certs))
        .map_err(|error| Error::problem(Problem::new("endpoint", error.to_string())))?;
    if api_version.as_deref().is_some_and(|version| numbers(version).is_none()) {
        return Err(Error::problem(Problem::new(
            "apiVersion",
            "an Engine API version is two numbers such as 1.41",
        )));
    }
    let token = token::generate("CL")?;
    let resource = resource(&token);
    let detail = Cluster { token, endpoint: endpoint.to_owned(), api_version };
    let record = Record::new(Status::Joining, "asking the engine", detail);
    let job = Job::new(resource.clone(), Task::Make);
    jobs.begin(&resource, record, Vec::new(), Some(job)).await
}

/// `1.41` as numbers, to be compared.
fn numbers(version: &str) -> Option<(u16, u16)> {
    let (major, minor) = version.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// A cluster, its engine asked now: what answers is `ready`, what does not is `error`.
pub async fn get(parts: &Parts, token: &str) -> Result<Record<Cluster>> {
    let resource = resource(token);
    let mut record: Record<Cluster> = records::find(&*parts.store, &resource).await?;
    if record.status == Status::Removing {
        return Ok(record);
    }
    let (status, description) = match ask(parts, &record.detail).await {
        Ok(description) => (Status::Ready, description),
        Err(error) => (Status::Error, error.to_string()),
    };
    if (record.status, &record.description) == (status, &description) {
        return Ok(record);
    }
    let store = &*parts.store;
    loop {
        let Some(stored) = store.read::<Record<Cluster>>(&resource.key()).await? else {
            return Err(resource.not_found());
        };
        record = stored.value;
        if record.status == Status::Removing {
            return Ok(record);
        }
        record.status = status;
        record.description.clone_from(&description);
        let batch = Batch::new()
            .check(resource.key(), Expected::Revision(stored.revision))
            .put_record(resource.key(), &record)?;
        let batch = events::append(batch, &resource, &record, None)?;
        if store.commit(batch).await?.is_some() {
            return Ok(record);
        }
    }
}

/// Tokens of all clusters, oldest first.
pub async fn tokens(parts: &Parts) -> Result<Vec<String>> {
    records::tokens(&*parts.store, Kind::Cluster).await
}

pub(super) async fn list(parts: &Parts) -> Result<Vec<Record<Cluster>>> {
    records::all(&*parts.store, Kind::Cluster).await
}

/// What the cluster's engine says of itself.
pub async fn info(parts: &Parts, token: &str) -> Result<serde_json::Value> {
    let engine = engine(parts, Some(token)).await?;
    within_limit(engine.info()).await
}

/// What the engine at an endpoint says of itself.
pub async fn endpoint_info(parts: &Parts, endpoint: &str) -> Result<serde_json::Value> {
    let endpoint = endpoint_of(endpoint, parts.client_certs.as_deref());
    let engine = engine::connect(&endpoint)
        .map_err(|error| Error::problem(Problem::new("endpoint", error.to_string())))?;
    within_limit(engine.info()).await
}

/// The engine of a cluster; none: the one that builds.
pub(super) async fn engine(parts: &Parts, cluster: Option<&str>) -> Result<Engine> {
    let Some(token) = cluster else { return Ok(parts.engine.clone()) };
    let record: Record<Cluster> = records::find(&*parts.store, &resource(token)).await?;
    engine::connect(&endpoint_of(&record.detail.endpoint, parts.client_certs.as_deref()))
}

pub(super) async fn join(parts: &Parts, token: &str) -> Result<Done> {
    let record: Record<Cluster> = records::find(&*parts.store, &resource(token)).await?;
    ask(parts, &record.detail).await.map(Done::new)
}

/// Whether the engine answers, and speaks the version of the API that was asked for.
async fn ask(parts: &Parts, cluster: &Cluster) -> Result<String> {
    let engine = engine::connect(&endpoint_of(&cluster.endpoint, parts.client_certs.as_deref()))?;
    within_limit(engine.check()).await?;
    if let Some(wanted) = &cluster.api_version {
        let version = within_limit(engine.version()).await?;
        let (least, most) = (version.min_api_version, version.api_version);
        let known = |version: &Option<String>| version.as_deref().and_then(numbers);
        if known(&least) > numbers(wanted) || numbers(wanted) > known(&most) {
            let (least, most) = (least.unwrap_or_default(), most.unwrap_or_default());
            return Err(Error::failed(format!(
                "the engine speaks the API's versions {least} to {most}, not {wanted}"
            )));
        }
    }
    Ok("the engine answers".into())
}

pub(super) async fn within_limit<T>(call: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(CHECK_LIMIT, call).await.unwrap_or_else(|_| {
        let seconds = CHECK_LIMIT.as_secs();
        Err(Error::passing("engine", format!("no answer within {seconds} s"), None))
    })
}

/// How an engine is reached; with certificates configured, over TLS.
pub fn endpoint_of(url: &str, client_certs: Option<&Path>) -> engine::Endpoint {
    let tls = client_certs.map(|directory| engine::ClientCertificate {
        cert: directory.join("cert.pem"),
        key: directory.join("key.pem"),
        ca: directory.join("ca.pem"),
    });
    engine::Endpoint { url: url.to_owned(), tls }
}

/// Refuses to forget a cluster while compositions run on it.
pub async fn remove(jobs: &Arc<Jobs>, token: &str, force: bool) -> Result<()> {
    let running = compositions::on_cluster(&jobs.parts, token).await?;
    if !running.is_empty() && !force {
        return Err(Error::Conflict(format!(
            "compositions run on the cluster '{token}': {}. DELETE them first, or give \
             force=true to forget the cluster and leave them running",
            running.join(", ")
        )));
    }
    jobs.remove(resource(token)).await
}
