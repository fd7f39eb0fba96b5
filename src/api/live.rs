//! Answers that go on: server-sent events (WHATWG HTML, section 9.2 "Server-sent events"), and long
//! texts. They end when Crane is being stopped, so that nobody who listens holds that up.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{Stream, StreamExt, future::Either, stream};
use poem::{
    Body, FromRequest, IntoResponse, Request, RequestBody, Response,
    http::{HeaderValue, StatusCode, header},
    web::Data,
};
use poem_openapi::{
    ApiResponse,
    registry::{MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry},
};
use serde::Serialize;
use tokio_util::{bytes::Bytes, sync::CancellationToken};

use super::connections::{Connections, Flow};
use crate::error::{Error, Result};

/// Proxies commonly close what has been quiet for 30 s or 60 s.
pub(super) const QUIET: Duration = Duration::from_secs(15);

/// Each holds a connection and what has not been read of it; more than this are no readers.
const FOLLOWERS: usize = 4_096;

/// What is shared by all who follow something.
#[derive(Clone)]
pub(super) struct Live {
    followers: Arc<AtomicUsize>,
    closing: CancellationToken,
    connections: Connections,
    /// Of the client that is answered.
    flow: Option<Arc<Flow>>,
}

/// One who follows, until this is dropped.
pub(super) struct Follower(Arc<AtomicUsize>);

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Live {
    /// `closing` ends all answers.
    pub(super) fn new(closing: CancellationToken, connections: Connections) -> Self {
        Self { followers: Arc::default(), closing, connections, flow: None }
    }

    /// What is made for a client, a part at a time as it takes them, until Crane is stopped.
    fn paced(
        &self,
        parts: impl Stream<Item = Bytes> + Send + 'static,
    ) -> impl Stream<Item = std::io::Result<Bytes>> + Send + 'static {
        let state = (Box::pin(parts), self.flow.clone());
        let paced = stream::unfold(state, async |(mut parts, flow)| {
            if let Some(flow) = &flow {
                flow.taken().await;
            }
            Some((Ok(parts.next().await?), (parts, flow)))
        });
        paced.take_until(self.closing.clone().cancelled_owned())
    }

    pub(super) fn admit(&self) -> Result<Follower> {
        let follower = Follower(Arc::clone(&self.followers));
        if self.followers.fetch_add(1, Ordering::Relaxed) >= FOLLOWERS {
            return Err(Error::Busy(format!(
                "{FOLLOWERS} clients follow something already; close some"
            )));
        }
        Ok(follower)
    }

    /// A stream of events as an answer.
    pub(super) fn events(
        &self,
        follower: Follower,
        events: impl Stream<Item = Bytes> + Send + 'static,
    ) -> Answer {
        // The first bytes tell the client at once that it is heard.
        let first = stream::iter([Bytes::from_static(b": here\n\n")]);
        let events = first.chain(events).map(move |event| {
            let _follower = &follower;
            event
        });
        let mut response = Response::builder()
            .content_type("text/event-stream")
            .header(header::CACHE_CONTROL, "no-store")
            .body(Body::from_bytes_stream(self.paced(events)));
        // Without this, nginx keeps events until it has 4 KiB of them.
        response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
        Answer(response)
    }

    pub(super) fn text(&self, parts: impl Stream<Item = Bytes> + Send + 'static) -> Answer {
        let response = Response::builder()
            .content_type("text/plain; charset=utf-8")
            .body(Body::from_bytes_stream(self.paced(parts)));
        Answer(response)
    }
}

impl<'a> FromRequest<'a> for Live {
    async fn from_request(request: &'a Request, body: &mut RequestBody) -> poem::Result<Self> {
        let live = Data::<&Self>::from_request(request, body).await?.0;
        Ok(Self { flow: live.connections.flow(request), ..live.clone() })
    }
}

/// One event; `data` is one line of JSON.
pub(super) fn event(id: Option<&str>, name: &str, data: &impl Serialize) -> String {
    let data = serde_json::to_string(data).unwrap_or_default();
    match id {
        Some(id) => format!("id: {id}\nevent: {name}\ndata: {data}\n\n"),
        None => format!("event: {name}\ndata: {data}\n\n"),
    }
}

pub(super) fn comment() -> Bytes {
    Bytes::from_static(b": nothing new\n\n")
}

/// Whether the client says that it takes events, as a browser's `EventSource` does.
pub(super) fn accepts_events(request: &Request) -> bool {
    request
        .header(header::ACCEPT)
        .is_some_and(|accept| accept.to_ascii_lowercase().contains("text/event-stream"))
}

/// The id of the last event that the client has, which it sends when it comes back.
pub(super) fn last_event_id(request: &Request) -> Option<&str> {
    request.header("last-event-id").map(str::trim).filter(|id| !id.is_empty())
}

/// Waits for whichever comes first; `false`: neither did for a while.
pub(super) async fn either(one: impl Future<Output = ()>, other: impl Future<Output = ()>) -> bool {
    let (one, other) = (std::pin::pin!(one), std::pin::pin!(other));
    let both = futures_util::future::select(one, other);
    match tokio::time::timeout(QUIET, both).await {
        Ok(Either::Left(_) | Either::Right(_)) => true,
        Err(_) => false,
    }
}

/// A text or a stream of events.
pub(super) struct Answer(Response);

impl Answer {
    /// Tells an `EventSource` not to come back (section 9.2.3: any other status than 200 ends it).
    pub(super) fn nothing_more() -> Self {
        Self(Response::builder().status(StatusCode::NO_CONTENT).finish())
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        self.0
    }
}

impl ApiResponse for Answer {
    fn meta() -> MetaResponses {
        let media = |content_type| MetaMediaType {
            content_type,
            schema: MetaSchemaRef::Inline(Box::new(MetaSchema::new("string"))),
        };
        MetaResponses {
            responses: vec![MetaResponse {
                description: "Success.",
                status: Some(200),
                status_range: None,
                content: vec![media("text/plain"), media("text/event-stream")],
                headers: Vec::new(),
            }],
        }
    }

    fn register(_: &mut Registry) {}
}

/// For what only has events.
pub(super) struct Events(pub(super) Answer);

impl IntoResponse for Events {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

impl ApiResponse for Events {
    fn meta() -> MetaResponses {
        let mut meta = Answer::meta();
        for response in &mut meta.responses {
            response.content.retain(|media| media.content_type == "text/event-stream");
        }
        meta
    }

    fn register(_: &mut Registry) {}
}
