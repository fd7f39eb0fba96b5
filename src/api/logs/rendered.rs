//! Parts of logs as followers get them: read and rendered once for all who follow.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339, macros::format_description};
use tokio_util::bytes::Bytes;

use crate::{
    api::live,
    error::Result,
    jobs::{
        log::{self, Part, Place, StoredLine},
        records::Resource,
    },
    model::Channel,
    store::Store,
};

/// Parts kept although nobody needs them at the moment: 100 followers of a log come for the same
/// one within milliseconds.
const RECENT: usize = 64;

/// What is shared by all followers of logs.
#[derive(Clone, Default)]
pub(in crate::api) struct Rendered(Arc<Mutex<Cache>>);

#[derive(Default)]
struct Cache {
    parts: HashMap<(Resource, u64), Known>,
    recent: VecDeque<Arc<[u8]>>,
}

/// A part that somebody was sent lately.
struct Known {
    events: Weak<[u8]>,
    /// The part behind it. It stays that one: parts are only added at the end, and removed from the
    /// beginning.
    next: Option<u64>,
}

/// All lines of a part as events, and the place behind them.
pub(super) struct Page {
    pub events: Bytes,
    pub end: Place,
}

impl Rendered {
    /// Held for some looks into the map. A panic in another holder cannot leave it half changed, so
    /// poisoning is ignored.
    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The part that comes next behind all of part `before`; none: there is none by now.
    pub(super) async fn next(
        &self,
        store: &dyn Store,
        resource: &Resource,
        before: u64,
    ) -> Result<Option<Page>> {
        if let Some(page) = self.cache().behind(resource, before) {
            return Ok(Some(page));
        }
        let place = Place { part: before, line: usize::MAX };
        let Some(part) = log::next(store, resource, place).await? else { return Ok(None) };
        let known = self.cache().events(resource, part.number);
        // Two who render at the same time render the same.
        let events = match known {
            Some(events) => events,
            None => render(&part, 0)?.into_bytes().into(),
        };
        self.cache().keep(resource, before, part.number, &events);
        Ok(Some(Page { events: Bytes::from_owner(events), end: part.end() }))
    }
}

impl Cache {
    fn behind(&self, resource: &Resource, before: u64) -> Option<Page> {
        let number = self.parts.get(&(resource.clone(), before))?.next?;
        let events = self.events(resource, number)?;
        let end = Place { part: number, line: usize::MAX };
        Some(Page { events: Bytes::from_owner(events), end })
    }

    fn events(&self, resource: &Resource, number: u64) -> Option<Arc<[u8]>> {
        self.parts.get(&(resource.clone(), number))?.events.upgrade()
    }

    fn keep(&mut self, resource: &Resource, before: u64, number: u64, events: &Arc<[u8]>) {
        if let Some(known) = self.parts.get_mut(&(resource.clone(), before)) {
            known.next = Some(number);
        }
        let key = (resource.clone(), number);
        if self.parts.get(&key).is_some_and(|known| known.events.strong_count() > 0) {
            return;
        }
        self.parts.insert(key, Known { events: Arc::downgrade(events), next: None });
        self.recent.push_back(Arc::clone(events));
        if self.recent.len() > RECENT {
            self.recent.pop_front();
            self.parts.retain(|_, part| part.events.strong_count() > 0);
        }
    }
}

/// A line as followers get it.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    step: &'a str,
    channel: Channel,
    text: &'a str,
}

/// The lines of a part behind a line as events.
pub(super) fn render(part: &Part, behind: usize) -> Result<String> {
    let mut events = String::new();
    for (number, line) in part.lines()?.iter().enumerate() {
        let place = Place { part: part.number, line: number + 1 };
        if place.line > behind && !line.is_repeated() {
            let StoredLine { channel, step, text, .. } = line;
            let data = Line { time: time(line.time()), step, channel: *channel, text };
            events.push_str(&live::event(Some(&place.to_string()), "line", &data));
        }
    }
    Ok(events)
}

pub(super) fn time(time: OffsetDateTime) -> String {
    let format =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    time.format(format).or_else(|_| time.format(&Rfc3339)).unwrap_or_default()
}
