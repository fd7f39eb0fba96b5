//! Removing what a job made that will not be finished.

use std::time::Duration;

use tracing::warn;

use super::{
    Parts, clusters, contexts,
    records::{self, Kind, Record, Resource},
    removal, trees,
};
use crate::{
    deploy,
    error::{Result, chain},
    model::Log,
};

/// A process that is being stopped waits for an engine no longer.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// Ends what goes on although nobody waits for it any more. The next process would do it, too, and
/// there may be none for long.
pub(super) async fn stop(parts: &Parts, resource: &Resource) {
    if resource.kind != Kind::Context {
        return;
    }
    let end = contexts::end_container(parts, &resource.id);
    if let Ok(Err(error)) = tokio::time::timeout(STOP_LIMIT, end).await {
        warn!(%resource, error = chain(&error), "its container may still run");
    }
}

/// The record stays, to say what became of it.
pub(super) async fn clear(parts: &Parts, resource: &Resource, log: &Log) -> Result<()> {
    match resource.kind {
        Kind::Context => {
            // First what is on the disk, as the engine may be away.
            trees::forget(parts, &resource.id).await?;
            contexts::end_container(parts, &resource.id).await
        }
        Kind::Base | Kind::Image => removal::unbuild(parts, resource).await,
        Kind::Cluster => Ok(()),
        Kind::Composition => {
            let record: Record<records::Composition> =
                records::find(&*parts.store, resource).await?;
            let engine = clusters::engine(parts, record.detail.cluster.as_deref()).await?;
            deploy::discard(&engine, &resource.id, log).await
        }
    }
}
