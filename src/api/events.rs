//! `/events`: what happens to everything, as it happens.

use std::sync::Arc;

use futures_util::stream;
use poem::{Request, web::Data};
use poem_openapi::{OpenApi, param::Query};
use serde::Serialize;
use tokio_util::bytes::Bytes;

use super::{
    Tags,
    error::Failure,
    live::{self, Live},
};
use crate::{
    error::{Error, Problem, Result},
    jobs::{
        Jobs,
        events::{self, Event},
        records::Kind,
    },
};

/// Events that are read and sent at a time.
const PAGE: usize = 64;

/// Which events a client wants; none given: all.
struct Filter {
    kinds: Vec<String>,
    tokens: Vec<String>,
    statuses: Vec<String>,
}

impl Filter {
    fn takes(&self, event: &View) -> bool {
        let among = |wanted: &[String], found: &str| {
            wanted.is_empty() || wanted.iter().any(|wanted| wanted == found)
        };
        among(&self.kinds, &event.kind)
            && among(&self.tokens, &event.token)
            && among(&self.statuses, event.status.as_deref().unwrap_or_default())
    }
}

/// An event as clients get it.
#[derive(Debug, Serialize)]
struct View {
    time: String,
    kind: String,
    token: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<events::JobNews>,
}

impl From<Event> for View {
    fn from(event: Event) -> Self {
        use time::format_description::well_known::Rfc3339;
        let status = match (event.deleted, event.status) {
            (true, _) => Some("deleted".to_owned()),
            (false, status) => status.map(super::views::status),
        };
        Self {
            time: event.time.format(&Rfc3339).unwrap_or_default(),
            kind: event.kind.to_string(),
            token: event.token,
            status,
            description: event.description,
            job: event.job,
        }
    }
}

/// Some events are no more.
#[derive(Serialize)]
struct Gap {
    description: &'static str,
}

struct Following {
    jobs: Arc<Jobs>,
    filter: Filter,
    after: u64,
    /// `true`: tell first that events are missing.
    gap: bool,
    /// The revision up to which events are known to be forgotten.
    forgotten: u64,
    news: tokio::sync::watch::Receiver<u64>,
}

impl Following {
    async fn next(&mut self) -> Result<Bytes> {
        loop {
            if std::mem::take(&mut self.gap) {
                let description = "older events are forgotten by now; read the resources anew";
                return Ok(live::event(None, "gap", &Gap { description }).into());
            }
            self.news.mark_unchanged();
            let store = &*self.jobs.parts.store;
            let page = events::list(store, self.after, PAGE).await?;
            let full = page.len() == PAGE;
            if full {
                // Asked after the page was read, so that none is missed which went in between.
                let forgotten = events::forgotten(store).await?;
                let more = forgotten > std::mem::replace(&mut self.forgotten, forgotten);
                if more && forgotten > self.after {
                    // This client reads so slowly that what comes next is gone.
                    self.gap = true;
                    self.after = forgotten;
                    continue;
                }
            }
            let mut text = String::new();
            for (revision, event) in page {
                self.after = revision;
                let view = View::from(event);
                if self.filter.takes(&view) {
                    text.push_str(&live::event(Some(&revision.to_string()), "state", &view));
                }
            }
            if !text.is_empty() {
                return Ok(text.into());
            }
            let news = async { self.news.changed().await.unwrap_or_default() };
            if !full && !live::either(news, std::future::pending()).await {
                return Ok(live::comment());
            }
        }
    }
}

pub(super) struct EventsApi;

#[OpenApi]
impl EventsApi {
    /// Follow what happens to everything
    ///
    /// Server-sent events, in the order in which things happened and without a gap: `state`, with
    /// the resource's new status, or the job's (`queued`, `leased`, `running` with its step,
    /// `succeeded`, `failed`, `cancelled`, `timed_out`, `dead`). A client that comes back with
    /// `Last-Event-ID` gets what it missed; `gap` says that some of that is forgotten (the last
    /// 10,000 are kept).
    ///
    /// Each filter takes several values with commas between.
    ///
    /// ```sh
    /// curl -N 'http://127.0.0.1:8888/events?kind=image&status=finished,error'
    /// ```
    #[allow(clippy::too_many_arguments, reason = "each is a parameter of the operation")]
    #[oai(path = "/events", method = "get", operation_id = "followEvents", tag = "Tags::Extra")]
    async fn follow(
        &self,
        request: &Request,
        jobs: Data<&Arc<Jobs>>,
        live: Live,
        /// `context`, `base`, `image`, `cluster` or `composition`.
        kind: Query<Option<String>>,
        /// Tokens; for bases, names.
        token: Query<Option<String>>,
        /// States that resources come to, `deleted` among them.
        status: Query<Option<String>>,
        /// Begin behind the event with this id (`0`: with the oldest that is kept) and not now.
        after: Query<Option<u64>>,
    ) -> Result<live::Events, Failure> {
        let filter = filter(kind.0, token.0, status.0)?;
        let follower = live.admit()?;
        let store = &*jobs.0.parts.store;
        let news = jobs.0.watch_events();
        let last = live::last_event_id(request).map(|id| {
            id.parse().map_err(|_| Error::invalid(format!("'{id}' is the id of no event")))
        });
        let given = match last.transpose()? {
            Some(last) => Some(last),
            None => after.0,
        };
        let (forgotten, now) = (events::forgotten(store).await?, store.revision().await?);
        let (after, gap) = match given {
            // A place in another store, or in one that is an older copy by now.
            Some(after) if after > now => (now, true),
            Some(after) => (after.max(forgotten), after > 0 && after < forgotten),
            None => (now, false),
        };
        let jobs = Arc::clone(jobs.0);
        let following = Following { jobs, filter, after, gap, forgotten, news };
        let events =
            stream::unfold(following, async |mut following| match following.next().await {
                Ok(events) => Some((events, following)),
                Err(error) => {
                    // The client comes back by itself, with the id of the last event it has.
                    tracing::warn!(
                        error = crate::error::chain(&error),
                        "events cannot be followed"
                    );
                    None
                }
            });
        Ok(live::Events(live.events(follower, Box::pin(events))))
    }
}

fn filter(
    kinds: Option<String>,
    tokens: Option<String>,
    statuses: Option<String>,
) -> Result<Filter> {
    let split = |list: Option<String>| -> Vec<String> {
        let list = list.unwrap_or_default();
        let words = list.split(',').map(str::trim).filter(|word| !word.is_empty());
        words.map(str::to_owned).collect()
    };
    let filter = Filter { kinds: split(kinds), tokens: split(tokens), statuses: split(statuses) };
    let known: Vec<String> = Kind::ALL.iter().map(ToString::to_string).collect();
    if let Some(kind) = filter.kinds.iter().find(|kind| !known.contains(*kind)) {
        let message = format!("'{kind}' is none of {}", known.join(", "));
        return Err(Error::problem(Problem::new("kind", message)));
    }
    if let Some(status) = filter.statuses.iter().find(|status| !super::views::is_status(status)) {
        let message = format!("'{status}' is none of {}", super::views::STATUSES.join(", "));
        return Err(Error::problem(Problem::new("status", message)));
    }
    Ok(filter)
}
