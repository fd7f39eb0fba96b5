//! Removing what a job made that will not be finished.

use super::{
    Parts, clusters,
    records::{self, Kind, Record, Resource},
    removal, trees,
};
use crate::{deploy, error::Result, model::Log};

/// The record stays, to say what became of it.
pub(super) async fn clear(parts: &Parts, resource: &Resource, log: &Log) -> Result<()> {
    match resource.kind {
        Kind::Context => trees::forget(parts, &resource.id).await,
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
