//! Removing everything that this Crane made, and nothing else.

use std::sync::Arc;

use super::{
    Jobs, bases, clusters, compositions, contexts, images,
    records::{Kind, Record, Resource},
};
use crate::{
    deploy,
    error::{Error, Result, chain},
    model::LABEL_INSTANCE,
};

/// Removes every resource by its record, then by its label what may be on the engine without a
/// record. Gives what is left, in sentences; none: all is gone.
pub async fn purge(jobs: &Arc<Jobs>) -> Result<Vec<String>> {
    let mut left = Vec::new();
    // Compositions use images and clusters, images use contexts and bases.
    for kind in [Kind::Composition, Kind::Cluster, Kind::Image, Kind::Context, Kind::Base] {
        for id in ids(jobs, kind).await? {
            match jobs.remove(Resource::new(kind, &id)).await {
                Ok(()) | Err(Error::NotFound(_)) => {}
                Err(error) => left.push(format!("{kind} {id}: {}", chain(&error))),
            }
        }
    }
    let parts = &jobs.parts;
    let label = format!("{LABEL_INSTANCE}={}", parts.instance);
    if let Err(error) = deploy::remove_labelled(&parts.engine, &label).await {
        left.push(chain(&error));
    }
    match parts.engine.remove_images_labelled(&[label]).await {
        Ok(images) => left.extend(images),
        Err(error) => left.push(chain(&error)),
    }
    Ok(left)
}

async fn ids(jobs: &Jobs, kind: Kind) -> Result<Vec<String>> {
    fn each<T>(records: Vec<Record<T>>, id: impl Fn(T) -> String) -> Vec<String> {
        records.into_iter().map(|record| id(record.detail)).collect()
    }
    let parts = &jobs.parts;
    Ok(match kind {
        Kind::Context => contexts::tokens(parts).await?,
        Kind::Base => each(bases::list(parts).await?, |base| base.name.to_string()),
        Kind::Image => each(images::list(parts).await?, |image| image.token),
        Kind::Cluster => clusters::tokens(parts).await?,
        Kind::Composition => compositions::tokens(parts).await?,
    })
}
