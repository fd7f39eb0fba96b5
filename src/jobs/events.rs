//! What happened to every resource, in the order in which it happened.
//!
//! An event is committed together with the change it tells of, under `event:` and the revision of
//! that commit, so the list has no gap and its order is the store's.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{
    queue::Task,
    records::{Kind, Record, Resource, Status},
};
use crate::{
    error::Result,
    store::{Batch, Expected, Store},
};

pub(super) const EVENTS: &str = "event:";

/// Key of the revision up to which events were forgotten.
const FORGOTTEN: &str = "crane:forgotten-events";

/// How many events are kept, roughly: a platform that was away for a night catches up.
const KEPT: usize = 10_000;

/// What an unfinished job came to, or how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobNews {
    /// Tells jobs apart, and grows: the revision at which the job was stored. In the store `0` means
    /// the event's own.
    pub number: u64,
    pub task: Task,
    /// `queued`, `leased`, `running`, or an outcome.
    pub state: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// How often the job was begun.
    pub attempt: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    #[serde(with = "time::serde::rfc3339")]
    pub time: OffsetDateTime,
    pub kind: Kind,
    /// The token; the name of a base.
    pub token: String,
    /// Of the resource, where it changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The resource is no more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobNews>,
}

impl Event {
    fn of(resource: &Resource) -> Self {
        Self {
            time: OffsetDateTime::now_utc(),
            kind: resource.kind,
            token: resource.id.clone(),
            status: None,
            description: None,
            deleted: false,
            job: None,
        }
    }
}

/// Tells of a record as it is from this commit on.
pub(super) fn append<T>(
    batch: Batch,
    resource: &Resource,
    record: &Record<T>,
    job: Option<JobNews>,
) -> Result<Batch> {
    let event = Event {
        status: Some(record.status),
        description: Some(record.description.clone()),
        job,
        ..Event::of(resource)
    };
    batch.append_record(EVENTS, &event)
}

/// Tells of a job of the resource.
pub(super) fn append_job(batch: Batch, resource: &Resource, job: JobNews) -> Result<Batch> {
    batch.append_record(EVENTS, &Event { job: Some(job), ..Event::of(resource) })
}

/// Tells that the resource is no more.
pub(super) fn append_deleted(batch: Batch, resource: &Resource) -> Result<Batch> {
    batch.append_record(EVENTS, &Event { deleted: true, ..Event::of(resource) })
}

/// At most `limit` events behind the revision `after`, oldest first, each with its revision.
pub async fn list(store: &dyn Store, after: u64, limit: usize) -> Result<Vec<(u64, Event)>> {
    let after = format!("{EVENTS}{after:020}");
    let page = store.list(EVENTS, Some(&after), limit).await?;
    let events = page.into_iter().filter_map(|(key, entry)| {
        let revision = key.strip_prefix(EVENTS)?.parse().ok()?;
        // What cannot be read was written by a newer Crane, and is no reason to tell nothing.
        let mut event: Event = serde_json::from_slice(&entry.value).ok()?;
        if let Some(job) = event.job.as_mut().filter(|job| job.number == 0) {
            job.number = revision;
        }
        Some((revision, event))
    });
    Ok(events.collect())
}

/// The revision up to which events were forgotten.
pub async fn forgotten(store: &dyn Store) -> Result<u64> {
    Ok(store.read::<u64>(FORGOTTEN).await?.map_or(0, |stored| stored.value))
}

/// Forgets the oldest events above the number that is kept.
pub(super) async fn trim(store: &dyn Store) -> Result<()> {
    let names = store.names(EVENTS).await?;
    let surplus = names.len().saturating_sub(KEPT);
    for names in names[..surplus].chunks(500) {
        let last: u64 = names.last().and_then(|name| name.parse().ok()).unwrap_or_default();
        let before = store.read::<u64>(FORGOTTEN).await?;
        let expected = before.as_ref().map_or(Expected::Absent, |b| Expected::Revision(b.revision));
        let last = before.map_or(last, |before| before.value.max(last));
        let batch = Batch::new().check(FORGOTTEN, expected).put_record(FORGOTTEN, &last)?;
        let delete = |batch: Batch, name: &String| batch.delete(format!("{EVENTS}{name}"));
        if store.commit(names.iter().fold(batch, delete)).await?.is_none() {
            // Another process is at the same, and ahead.
            break;
        }
    }
    Ok(())
}
