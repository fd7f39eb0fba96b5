//! The log of a resource: whole, or followed line by line.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use futures_util::{Stream, stream};
use poem::{FromRequest, Request, RequestBody, web::Data};
use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339, macros::format_description};
use tokio_util::bytes::Bytes;

use super::{
    error::Failure,
    live::{self, Live},
};
use crate::{
    error::{Error, Result},
    jobs::{
        Jobs,
        log::{self, Part, Place, StoredLine},
        records::{Record, Resource},
    },
    model::Channel,
};

/// Parts kept as they were sent, although nobody needs them at the moment: 100 followers of a log
/// come for the same one within milliseconds.
const RECENT: usize = 64;

/// Parts of logs as they are sent to followers, one for all who are sent it.
#[derive(Clone, Default)]
pub(super) struct Rendered(Arc<Mutex<Cache>>);

#[derive(Default)]
struct Cache {
    parts: HashMap<(Resource, u64), Weak<[u8]>>,
    recent: VecDeque<Arc<[u8]>>,
}

impl Rendered {
    /// All lines of a part as events.
    fn events(&self, resource: &Resource, part: &Part) -> Result<Bytes> {
        let key = (resource.clone(), part.number);
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().parts.get(&key).and_then(Weak::upgrade) {
            return Ok(Bytes::from_owner(known));
        }
        // Two who render at the same time render the same.
        let rendered: Arc<[u8]> = render(part, 0)?.into_bytes().into();
        let mut cache = lock();
        cache.recent.push_back(Arc::clone(&rendered));
        if cache.recent.len() > RECENT {
            cache.recent.pop_front();
            cache.parts.retain(|_, part| part.strong_count() > 0);
        }
        cache.parts.insert(key, Arc::downgrade(&rendered));
        Ok(Bytes::from_owner(rendered))
    }
}

impl<'a> FromRequest<'a> for Rendered {
    async fn from_request(request: &'a Request, body: &mut RequestBody) -> poem::Result<Self> {
        Ok(Data::<&Self>::from_request(request, body).await?.0.clone())
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

/// What followers get last.
#[derive(Serialize)]
struct End<'a> {
    status: &'a str,
    description: &'a str,
}

/// The lines of a part behind a line as events.
fn render(part: &Part, behind: usize) -> Result<String> {
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

fn time(time: OffsetDateTime) -> String {
    let format =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    time.format(format).or_else(|_| time.format(&Rfc3339)).unwrap_or_default()
}

/// The answer to a request for a log.
pub(super) async fn answer(
    jobs: &Arc<Jobs>,
    live: &Live,
    rendered: &Rendered,
    resource: Resource,
    follow: Option<bool>,
    request: &Request,
) -> Result<live::Answer, Failure> {
    find(jobs, &resource).await?;
    if !live::wants_events(follow, request) {
        return Ok(live.text(whole(Arc::clone(jobs), resource)));
    }
    let follower = live.admit()?;
    let place = match live::last_event_id(request) {
        Some(id) => id.parse()?,
        None => Place::default(),
    };
    let mut following = Following {
        // Before the first look at the log, or what comes in between would wake nobody.
        log: log::watch(jobs, &resource),
        record: jobs.watch_record(&resource),
        jobs: Arc::clone(jobs),
        rendered: rendered.clone(),
        resource,
        place,
        ended: false,
    };
    if place != Place::default() && following.is_at_the_end().await? {
        return Ok(live::Answer::nothing_more());
    }
    let events =
        stream::unfold(following, async |mut following| Some((following.next().await?, following)));
    Ok(live.events(follower, Box::pin(events)))
}

async fn find(jobs: &Jobs, resource: &Resource) -> Result<Record<serde_json::Value>> {
    let stored = jobs.parts.store.read(&resource.key()).await?;
    stored.map(|stored| stored.value).ok_or_else(|| resource.not_found())
}

/// The log as far as it has come, a line for each: time, step, text.
fn whole(jobs: Arc<Jobs>, resource: Resource) -> impl Stream<Item = Bytes> + Send {
    let pages = stream::unfold(Some(Place::default()), move |place| {
        let (jobs, resource) = (Arc::clone(&jobs), resource.clone());
        async move {
            let (text, next) = page(&jobs, &resource, place?).await;
            Some((Bytes::from(text), next))
        }
    });
    Box::pin(pages)
}

/// A page of the text, and where the next one begins.
async fn page(jobs: &Jobs, resource: &Resource, place: Place) -> (String, Option<Place>) {
    let read = async {
        let mut text = String::new();
        let parts = log::after(&*jobs.parts.store, resource, place).await?;
        for part in &parts {
            for line in part.lines()?.iter().filter(|line| !line.is_repeated()) {
                text.push_str(&time(line.time()));
                text.push_str(&format!(" [{}] {}\n", line.step, line.text));
            }
        }
        Ok::<_, Error>((text, parts.last().map(Part::end)))
    };
    // The answer has begun, so all that can be done is to say it there.
    read.await.unwrap_or_else(|error| (format!("[the rest cannot be read: {error}]\n"), None))
}

/// Somebody who follows a log.
struct Following {
    log: tokio::sync::watch::Receiver<u64>,
    record: tokio::sync::watch::Receiver<u64>,
    jobs: Arc<Jobs>,
    rendered: Rendered,
    resource: Resource,
    place: Place,
    ended: bool,
}

impl Following {
    /// The next events; none when there will be no more.
    async fn next(&mut self) -> Option<Bytes> {
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
            self.record.mark_unchanged();
            // The record is read first: its end is written after the last line.
            let record = find(&self.jobs, &self.resource).await;
            if let Some(events) = self.lines().await? {
                return Ok(events);
            }
            match record {
                Err(Error::NotFound(_)) => return Ok(self.end("deleted", "removed")),
                Ok(record) if !record.status.is_pending() => {
                    let status = serde_json::to_value(record.status).unwrap_or_default();
                    return Ok(self.end(status.as_str().unwrap_or_default(), &record.description));
                }
                Ok(_) => {}
                Err(error) => return Err(error),
            }
            let log = async { self.log.changed().await.unwrap_or_default() };
            let record = async { self.record.changed().await.unwrap_or_default() };
            if !live::either(log, record).await {
                return Ok(live::comment());
            }
        }
    }

    /// The next lines there are; one part at a time is what a client that does not read holds.
    async fn lines(&mut self) -> Result<Option<Bytes>> {
        loop {
            let parts = log::after(&*self.jobs.parts.store, &self.resource, self.place).await?;
            let Some(part) = parts.first() else { return Ok(None) };
            let events = if part.number == self.place.part {
                Bytes::from(render(part, self.place.line)?)
            } else {
                self.rendered.events(&self.resource, part)?
            };
            self.place = part.end();
            if !events.is_empty() {
                return Ok(Some(events));
            }
        }
    }

    async fn is_at_the_end(&mut self) -> Result<bool> {
        let record = find(&self.jobs, &self.resource).await?;
        if record.status.is_pending() {
            return Ok(false);
        }
        let parts = log::after(&*self.jobs.parts.store, &self.resource, self.place).await?;
        let mut more = false;
        for part in &parts {
            let behind = if part.number == self.place.part { self.place.line } else { 0 };
            more |= !render(part, behind)?.is_empty();
        }
        Ok(!more)
    }

    fn end(&mut self, status: &str, description: &str) -> Bytes {
        self.ended = true;
        live::event(None, "end", &End { status, description }).into()
    }
}
