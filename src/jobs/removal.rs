//! Taking resources away: what belongs to them first, the record last.

use std::sync::Arc;

use super::{
    Job, Jobs, Parts, Task, clusters, events, queue,
    records::{self, Base, Image, Kind, Record, Resource, Status},
    trees,
    work::Done,
};
use crate::{
    build, deploy,
    error::{Error, Result},
    model::Log,
    store::{Batch, Expected},
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
            jobs.order_removal(&resource).await?;
            jobs.catch_up().await?;
            jobs.stop(&resource, false).await?;
            jobs.wait(&resource).await?;
            match jobs.parts.store.read::<Record<serde_json::Value>>(&resource.key()).await? {
                None => Ok(()),
                Some(left) => Err(Error::Failed {
                    description: left.value.description,
                    problems: left.value.problems,
                    retry: None,
                }),
            }
        });
        removal.await.map_err(Error::internal)?
    }

    /// Stores the job, unless there is one already.
    async fn order_removal(&self, resource: &Resource) -> Result<()> {
        let store = &*self.parts.store;
        loop {
            let Some(mut stored) = store.read::<Record<serde_json::Value>>(&resource.key()).await?
            else {
                return Err(resource.not_found());
            };
            let record = &mut stored.value;
            // Its job was stored in the same commit, and when that ends it is something else.
            if record.status == Status::Removing {
                return Ok(());
            }
            record.status = Status::Removing;
            "being removed".clone_into(&mut record.description);
            let batch = Batch::new()
                .check(resource.key(), Expected::Revision(stored.revision))
                .put_record(resource.key(), record)?;
            let job = Job::new(resource.clone(), Task::Remove);
            let batch = events::append(batch, resource, record, Some(job.news_of_new()))?;
            let batch = queue::enqueue(batch, &job)?;
            if store.commit(batch).await?.is_some() {
                return Ok(());
            }
        }
    }
}

pub(super) async fn run(jobs: &Arc<Jobs>, resource: &Resource, log: &Log) -> Result<Done> {
    let parts = &jobs.parts;
    match resource.kind {
        Kind::Context => {
            for image in super::contexts::images(parts, &resource.id).await? {
                // Boxed, as removing a context is, through this call, part of itself.
                Box::pin(jobs.remove(Resource::new(Kind::Image, image))).await.or_else(gone)?;
            }
            super::contexts::end_container(parts, &resource.id).await?;
            trees::forget(parts, &resource.id).await?;
            if let Some(left) = trees::remove_artifact(parts, &resource.id).await? {
                return Err(Error::failed(left));
            }
        }
        Kind::Base | Kind::Image => unbuild(parts, resource).await?,
        Kind::Cluster => {}
        Kind::Composition => {
            let record: Record<records::Composition> =
                records::find(&*parts.store, resource).await?;
            let engine = clusters::engine(parts, record.detail.cluster.as_deref()).await?;
            deploy::down(&engine, &resource.id, record.detail.remove_volumes, log).await?;
        }
    }
    Ok(Done::new("removed"))
}

/// Somebody else was faster.
fn gone(error: Error) -> Result<()> {
    match error {
        Error::NotFound(_) => Ok(()),
        error => Err(error),
    }
}

/// Removes what was built for a base or an image, from the engine and from the registry.
pub(super) async fn unbuild(parts: &Parts, resource: &Resource) -> Result<()> {
    let store = &*parts.store;
    let (tag, pushed) = if resource.kind == Kind::Base {
        let Base { tag, pushed, .. } = records::find::<Base>(store, resource).await?.detail;
        (tag, pushed)
    } else {
        let Image { tag, pushed, .. } = records::find::<Image>(store, resource).await?.detail;
        (tag, pushed)
    };
    let digest = pushed.map(|pushed| pushed.digest);
    let labels = parts.labels(resource);
    let registry = parts.registry.as_ref();
    let left = build::remove(&parts.engine, registry, &labels, &tag, digest.as_deref()).await?;
    match left.is_empty() {
        true => Ok(()),
        false => Err(Error::failed(left.join("; "))),
    }
}
