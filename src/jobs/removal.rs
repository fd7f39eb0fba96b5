//! Taking resources away: what belongs to them first, the record last.

use std::{io, sync::Arc};

use super::{
    Jobs, Task, clusters,
    records::{self, Base, Image, Kind, Record, Resource, Status},
};
use crate::{
    build, deploy,
    error::{Error, Result},
    model::Log,
};

impl Jobs {
    /// Stops what the resource is doing and removes it with all that belongs to it. The removal
    /// goes on when the caller does not wait for it, and after a restart.
    ///
    /// What could not be removed is an error that names it; the resource stays, to be removed
    /// again.
    pub async fn remove(self: &Arc<Self>, resource: Resource) -> Result<()> {
        let jobs = Arc::clone(self);
        let removal = self.tracker.spawn(async move {
            let mark = |record: &mut Record<serde_json::Value>| {
                record.status = Status::Removing;
                "being removed".clone_into(&mut record.description);
            };
            if jobs.parts.store.update(&resource.key(), mark).await?.is_none() {
                return Err(resource.not_found());
            }
            jobs.stop(&resource);
            jobs.start(resource.clone(), Task::Remove);
            jobs.wait(&resource).await;
            match jobs.parts.store.read::<Record<serde_json::Value>>(&resource.key()).await? {
                None => Ok(()),
                Some(left) if left.value.status == Status::Removing => {
                    Err(Error::Busy("Crane is being stopped; the removal goes on after".into()))
                }
                Some(left) => Err(Error::failed_with(left.value.description, left.value.problems)),
            }
        });
        removal.await.map_err(Error::internal)?
    }
}

pub(super) async fn run(jobs: &Arc<Jobs>, resource: &Resource, log: &Log) -> Result<String> {
    let parts = &jobs.parts;
    match resource.kind {
        Kind::Context => {
            for image in super::contexts::images(parts, &resource.id).await? {
                // Boxed, as removing a context is, through this call, part of itself.
                Box::pin(jobs.remove(Resource::new(Kind::Image, image))).await.or_else(gone)?;
            }
            match tokio::fs::remove_dir_all(parts.context_dir(&resource.id)).await {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::internal(error));
                }
                _ => {}
            }
        }
        Kind::Base => {
            let record: Record<Base> = records::find(&*parts.store, resource).await?;
            let Base { tag, pushed, .. } = record.detail;
            unbuild(jobs, resource, &tag, pushed).await?;
        }
        Kind::Image => {
            let record: Record<Image> = records::find(&*parts.store, resource).await?;
            let Image { tag, pushed, .. } = record.detail;
            unbuild(jobs, resource, &tag, pushed).await?;
        }
        Kind::Cluster => {}
        Kind::Composition => {
            let record: Record<records::Composition> =
                records::find(&*parts.store, resource).await?;
            let engine = clusters::engine(parts, record.detail.cluster.as_deref()).await?;
            deploy::down(&engine, &resource.id, record.detail.remove_volumes, log).await?;
        }
    }
    Ok("removed".into())
}

/// Somebody else was faster.
fn gone(error: Error) -> Result<()> {
    match error {
        Error::NotFound(_) => Ok(()),
        error => Err(error),
    }
}

async fn unbuild(
    jobs: &Jobs,
    resource: &Resource,
    tag: &str,
    pushed: Option<records::Pushed>,
) -> Result<()> {
    let parts = &jobs.parts;
    let digest = pushed.map(|pushed| pushed.digest);
    let left = build::remove(
        &parts.engine,
        parts.registry.as_ref(),
        &parts.labels(resource),
        tag,
        digest.as_deref(),
    )
    .await?;
    match left.is_empty() {
        true => Ok(()),
        false => Err(Error::failed(left.join("; "))),
    }
}
