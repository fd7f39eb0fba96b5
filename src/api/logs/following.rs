//! Somebody who follows a log.

use std::sync::Arc;

use serde::Serialize;
use tokio::sync::watch;
use tokio_util::bytes::Bytes;

use super::{
    find,
    rendered::{Rendered, render},
};
use crate::{
    api::live,
    error::{Error, Result},
    jobs::{
        Jobs,
        log::{self, Place},
        records::{Record, Resource},
    },
};

/// What followers get last.
#[derive(Serialize)]
struct End<'a> {
    status: &'a str,
    description: &'a str,
}

pub(super) struct Following {
    jobs: Arc<Jobs>,
    rendered: Rendered,
    resource: Resource,
    /// Behind the last line that was sent.
    place: Place,
    log: watch::Receiver<u64>,
    changes: watch::Receiver<u64>,
    /// As it was when it last changed.
    record: Option<Result<Record<serde_json::Value>>>,
    ended: bool,
}

impl Following {
    /// From a place on.
    pub(super) fn new(
        jobs: &Arc<Jobs>,
        rendered: Rendered,
        resource: Resource,
        place: Place,
    ) -> Self {
        Self {
            // Before the first look at the log, or what comes in between would wake nobody.
            log: log::watch(jobs, &resource),
            changes: jobs.watch_record(&resource),
            jobs: Arc::clone(jobs),
            rendered,
            resource,
            place,
            record: None,
            ended: false,
        }
    }

    /// The next events; none when there will be no more.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        match self.try_next().await {
            Ok(events) => Some(events),
            Err(error) => {
                // The client comes back by itself, with the id of the last line it has.
                tracing::warn!(error = crate::error::chain(&error), "a log cannot be followed");
                None
            }
        }
    }

    async fn try_next(&mut self) -> Result<Bytes> {
        loop {
            self.log.mark_unchanged();
            // The record is read first: its end is written after the last line.
            if self.record.is_none() || self.changes.has_changed().unwrap_or(true) {
                self.changes.mark_unchanged();
                self.record = Some(find(&self.jobs, &self.resource).await);
            }
            if let Some(events) = self.lines().await? {
                return Ok(events);
            }
            match self.record.take() {
                Some(Err(Error::NotFound(_))) => return Ok(self.end("deleted", "removed")),
                Some(Ok(record)) if !record.status.is_pending() => {
                    let status = serde_json::to_value(record.status).unwrap_or_default();
                    return Ok(self.end(status.as_str().unwrap_or_default(), &record.description));
                }
                Some(Err(error)) => return Err(error),
                pending => self.record = pending,
            }
            // A copy, so that this one still has to see what wakes it.
            let mut changes = self.changes.clone();
            let log = async { self.log.changed().await.unwrap_or_default() };
            let record = async { changes.changed().await.unwrap_or_default() };
            if !live::either(log, record).await {
                return Ok(live::comment());
            }
        }
    }

    /// The next lines there are; one part at a time is what a client that does not read holds.
    async fn lines(&mut self) -> Result<Option<Bytes>> {
        let store = &*self.jobs.parts.store;
        loop {
            let (events, end) = if self.place.line == usize::MAX || self.place == Place::default() {
                match self.rendered.next(store, &self.resource, self.place.part).await? {
                    Some(page) => (page.events, page.end),
                    None => return Ok(None),
                }
            } else {
                match log::next(store, &self.resource, self.place).await? {
                    Some(part) => {
                        (Bytes::from(render(&part, self.behind(part.number))?), part.end())
                    }
                    None => return Ok(None),
                }
            };
            self.place = end;
            if !events.is_empty() {
                return Ok(Some(events));
            }
        }
    }

    /// The lines of a part that the client has.
    fn behind(&self, part: u64) -> usize {
        if part == self.place.part { self.place.line } else { 0 }
    }

    /// Whether there is nothing that the client does not have, and never will be.
    pub(super) async fn is_at_the_end(&self) -> Result<bool> {
        let record = find(&self.jobs, &self.resource).await?;
        if record.status.is_pending() {
            return Ok(false);
        }
        let parts = log::after(&*self.jobs.parts.store, &self.resource, self.place).await?;
        let mut more = false;
        for part in &parts {
            more |= !render(part, self.behind(part.number))?.is_empty();
        }
        Ok(!more)
    }

    /// An `EventSource` comes back when the answer ends, with the id of the last event that had
    /// one: after a log without lines only this one has.
    fn end(&mut self, status: &str, description: &str) -> Bytes {
        self.ended = true;
        let id = (self.place == Place::default()).then(|| self.place.to_string());
        live::event(id.as_deref(), "end", &End { status, description }).into()
    }
}
