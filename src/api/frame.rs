//! What surrounds every request: its id, its line in the log, the checks that come before any
//! handler, and the rendering of errors.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use poem::{
    Endpoint, Request, Response, Result,
    error::ReadBodyError,
    http::{HeaderValue, Method, StatusCode, header},
};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use tracing::{Instrument, info, info_span};

use super::{
    error::{Refused, render},
    methods::Methods,
    sites, slashes,
};

const REQUEST_ID: &str = "x-request-id";

/// A form holds at most four text files of 1 MiB each, and what goes around them.
const BODY_LIMIT: usize = 5 * 1024 * 1024;

/// A form of that size takes a slow line some seconds; one that does not come holds its buffer.
const BODY_TIME: Duration = Duration::from_secs(60);

/// Wraps all routes.
pub(super) struct Frame<E> {
    pub(super) inner: E,
    pub(super) api_token: Option<SecretString>,
    /// Answers only what is addressed to this machine by its own name.
    pub(super) local_only: bool,
    pub(super) methods: Arc<Methods>,
}

impl<E: Endpoint<Output = Response>> Endpoint for Frame<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        let id = request_id(&request);
        let method = request.method().clone();
        let path = request.uri().path().to_owned();
        let span = info_span!("request", request_id = %id);
        let began = Instant::now();
        let mut response = async {
            let outcome = match self.admit(request).await {
                Ok(mut request) => {
                    slashes::encode(&mut request);
                    self.inner.call(request).await
                }
                Err(refused) => Err(refused),
            };
            outcome.unwrap_or_else(|error| {
                let mut response = render(&error, &id);
                if response.status() == StatusCode::METHOD_NOT_ALLOWED {
                    self.methods.allow(&path, &mut response);
                }
                response
            })
        }
        .instrument(span)
        .await;
        let status = response.status().as_u16();
        let millis = began.elapsed().as_secs_f64() * 1e3;
        // Outside of the span, whose fields would be parsed and written once more for every request.
        info!(request_id = id, %method, path, status, millis, "answered");
        let headers = response.headers_mut();
        if let Ok(id) = HeaderValue::from_str(&id) {
            headers.insert(REQUEST_ID, id);
        }
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        Ok(response)
    }
}

impl<E> Frame<E> {
    /// Refuses what must not reach a handler, and reads the body whole, so that a client which
    /// hangs up in the middle of an upload has changed nothing.
    async fn admit(&self, mut request: Request) -> Result<Request> {
        self.authorize(&request)?;
        sites::refuse_others(&request)?;
        if self.local_only {
            sites::refuse_other_hosts(&request)?;
        }
        if matches!(*request.method(), Method::GET | Method::HEAD | Method::DELETE) {
            request.headers_mut().remove(header::CONTENT_TYPE);
            request.take_body();
            return Ok(request);
        }
        let body = request.take_body().into_bytes_limit(BODY_LIMIT);
        let body = match tokio::time::timeout(BODY_TIME, body).await {
            Ok(Ok(body)) => body,
            Ok(Err(ReadBodyError::PayloadTooLarge)) => {
                let status = StatusCode::PAYLOAD_TOO_LARGE;
                let description = format!("the request is larger than {BODY_LIMIT} bytes");
                return Err(Refused { status, description }.into());
            }
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => {
                let status = StatusCode::REQUEST_TIMEOUT;
                let description =
                    format!("the request did not come within {} s", BODY_TIME.as_secs());
                return Err(Refused { status, description }.into());
            }
        };
        request.set_body(body);
        Ok(request)
    }

    fn authorize(&self, request: &Request) -> Result<()> {
        let Some(token) = &self.api_token else { return Ok(()) };
        if is_public(request.uri().path()) {
            return Ok(());
        }
        let shown = request
            .header(header::AUTHORIZATION)
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim());
        // Digests are compared, so that the time taken says nothing of the token.
        let matches = shown
            .is_some_and(|shown| Sha256::digest(shown) == Sha256::digest(token.expose_secret()));
        if matches {
            return Ok(());
        }
        Err(Refused {
            status: StatusCode::UNAUTHORIZED,
            description: "send the header 'Authorization: Bearer <token>' with Crane's API token"
                .into(),
        }
        .into())
    }
}

/// Swagger UI's files and the document hold nothing of this Crane's, and a browser cannot show a
/// token before the page is there.
fn is_public(path: &str) -> bool {
    matches!(path, "/extra/alive" | "/livez" | "/readyz") || super::pages::is_page(path)
}

/// The caller's id, if it is a sane one: it goes into headers and logs.
fn request_id(request: &Request) -> String {
    let sane = |id: &&str| {
        (1..=128).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
    };
    match request.header(REQUEST_ID).filter(sane) {
        Some(id) => id.to_owned(),
        None => uuid::Uuid::new_v4().simple().to_string(),
    }
}
