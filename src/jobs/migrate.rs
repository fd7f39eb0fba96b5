//! Stores of earlier versions, made what this version expects. Twice is as once.
//!
//! | format | version | what is different |
//! |---|---|---|
//! | 1 | 0.6 | the record of a resource is the queue as well; parts of a log have ten digits |
//! | 2 | 0.7 | jobs are records of their own; parts of a log are numbered by their commits |

use std::collections::BTreeSet;

use serde_json::Value;
use tracing::info;

use super::{
    Task, contexts, images,
    queue::{self, JOBS, Job},
    records::{Base, Image, Kind, Record, Resource, Status},
};
use crate::{
    error::{Error, Result},
    store::{Batch, Expected, Store},
};

/// Key of the store's format.
const FORMAT: &str = "crane:format";

/// What this version writes.
const CURRENT: u32 = 2;

/// Digits of the number of a log's part in format 1.
const DIGITS_OF_1: usize = 10;

/// Refuses a store of a later version.
pub(super) async fn migrate(store: &dyn Store) -> Result<()> {
    match store.read::<u32>(FORMAT).await?.map(|stored| stored.value) {
        Some(CURRENT) => return Ok(()),
        Some(found) if found > CURRENT => {
            return Err(Error::unavailable(
                "store",
                format!(
                    "it was written by a later Crane (format {found}, this one knows {CURRENT}): \
                     use that version, or export the store with it and import it here"
                ),
            ));
        }
        _ => {}
    }
    rename_log_parts(store).await?;
    queue_what_is_pending(store).await?;
    store.commit(Batch::new().put_record(FORMAT, &CURRENT)?).await?;
    Ok(())
}

async fn rename_log_parts(store: &dyn Store) -> Result<()> {
    const LOGS: &str = "log:";
    for name in store.names(LOGS).await? {
        let Some((resource, digits)) = name.rsplit_once(':') else { continue };
        let Ok(number) = digits.parse::<u64>() else { continue };
        if digits.len() != DIGITS_OF_1 {
            continue;
        }
        let old = format!("{LOGS}{name}");
        let Some(part) = store.get(&old).await? else { continue };
        // Each part was a commit, so there were more commits than this number says: what is
        // appended from now on comes behind.
        let new = format!("{LOGS}{resource}:{:020}", number + 1);
        store.commit(Batch::new().put(new, part.value).delete(old)).await?;
    }
    Ok(())
}

async fn queue_what_is_pending(store: &dyn Store) -> Result<()> {
    let queued: Vec<Job> = store.read_all(JOBS).await?;
    let queued: BTreeSet<Resource> = queued.into_iter().map(|job| job.resource).collect();
    for kind in Kind::ALL {
        for id in store.names(&kind.prefix()).await? {
            let resource = Resource::new(kind, id);
            let Some(stored) = store.read::<Record<Value>>(&resource.key()).await? else {
                continue;
            };
            if !stored.value.status.is_pending() || queued.contains(&resource) {
                continue;
            }
            info!(%resource, "left by an earlier version; its job is queued");
            let job = job_of(&resource, &stored.value)?;
            let batch = Batch::new().check(resource.key(), Expected::Revision(stored.revision));
            store.commit(queue::enqueue(batch, &job)?).await?;
        }
    }
    Ok(())
}

fn job_of(resource: &Resource, record: &Record<Value>) -> Result<Job> {
    if record.status == Status::Removing {
        return Ok(Job::new(resource.clone(), Task::Remove));
    }
    let mut job = Job::new(resource.clone(), Task::Make);
    let detail = record.detail.clone();
    match resource.kind {
        Kind::Base => {
            let base: Base = serde_json::from_value(detail).map_err(Error::internal)?;
            job.claims = vec![images::claim(&base.tag)];
        }
        Kind::Image => {
            let image: Image = serde_json::from_value(detail).map_err(Error::internal)?;
            job.claims = vec![images::claim(&image.tag)];
            job.after = Some(contexts::resource(&image.context));
        }
        Kind::Context | Kind::Cluster | Kind::Composition => {}
    }
    Ok(job)
}
