//! The log of a resource: whole, or followed line by line.

mod following;
mod rendered;

use std::sync::Arc;

use futures_util::{Stream, stream};
use poem::{FromRequest, Request, RequestBody, web::Data};
use tokio_util::bytes::Bytes;

pub(super) use self::rendered::Rendered;
use self::{following::Following, rendered::time};
use super::{
    error::Failure,
    live::{self, Live},
};
use crate::{
    error::{Error, Result},
    jobs::{
        Jobs,
        log::{self, Part, Place},
        records::{Record, Resource},
    },
};

/// Answers a request for a log.
pub(super) struct Logs {
    jobs: Arc<Jobs>,
    live: Live,
    rendered: Rendered,
    /// Whether the client prefers events.
    accepts_events: bool,
    last_event_id: Option<String>,
}

impl<'a> FromRequest<'a> for Logs {
    async fn from_request(request: &'a Request, body: &mut RequestBody) -> poem::Result<Self> {
        Ok(Self {
            jobs: Data::<&Arc<Jobs>>::from_request(request, body).await?.0.clone(),
            live: Live::from_request(request, body).await?,
            rendered: Data::<&Rendered>::from_request(request, body).await?.0.clone(),
            accepts_events: live::accepts_events(request),
            last_event_id: live::last_event_id(request).map(str::to_owned),
        })
    }
}

impl Logs {
    /// `follow`: as the client asked for it in words.
    pub(super) async fn answer(
        self,
        resource: Resource,
        follow: Option<bool>,
    ) -> Result<live::Answer, Failure> {
        find(&self.jobs, &resource).await?;
        if !follow.unwrap_or(self.accepts_events) {
            return Ok(self.live.text(whole(self.jobs, resource)));
        }
        let follower = self.live.admit()?;
        let place = match &self.last_event_id {
            Some(id) => id.parse()?,
            None => Place::default(),
        };
        if place.part > self.jobs.parts.store.revision().await? {
            return Err(
                Error::invalid(format!("the line {place} is of no log of this Crane")).into()
            );
        }
        let following = Following::new(&self.jobs, self.rendered, resource, place);
        if self.last_event_id.is_some() && following.is_at_the_end().await? {
            return Ok(live::Answer::nothing_more());
        }
        let events = stream::unfold(following, async |mut following| {
            Some((following.next().await?, following))
        });
        Ok(self.live.events(follower, Box::pin(events)))
    }
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
