//! How requests reach an engine, whatever lies in between.
//!
//! Every request has a connection of its own. So a request that is dropped closes its connection,
//! which is how the engine learns that a build or a pull is not wanted any more.

use std::{io, pin::Pin, sync::Arc, time::Duration};

use bollard::{ClientVersion, Docker};
use futures_util::Stream;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Either, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::Deserialize;

use super::{ClientCertificate, failure, passing, tcp, unix::UnixConnector};
use crate::error::{Error, Result, chain};

/// A call that transfers no image and waits for no container is answered within this time, or the
/// engine is taken for gone.
const TIMEOUT: Duration = Duration::from_secs(120);

/// The pieces of a body that is not in memory as a whole.
type Pieces = dyn Stream<Item = io::Result<Frame<Bytes>>> + Send;

/// The body of every request: the type that bollard's requests have.
pub(super) type Body = Either<Full<Bytes>, StreamBody<Pin<Box<Pieces>>>>;

/// The way to one engine. Cloning is cheap.
#[derive(Clone)]
pub(super) struct Transport {
    pool: Pool,
    /// `scheme://host:port` of every request's URI.
    base: Arc<str>,
    /// For people.
    endpoint: Arc<str>,
}

#[derive(Clone)]
enum Pool {
    Unix(Client<UnixConnector, Body>),
    Tcp(Client<HttpsConnector<HttpConnector>, Body>),
}

impl Transport {
    pub(super) fn unix(path: &str) -> Self {
        let pool = Pool::Unix(builder().build(UnixConnector::new(path)));
        Self { pool, base: "http://localhost".into(), endpoint: format!("unix://{path}").into() }
    }

    pub(super) fn tcp(address: &str) -> Result<Self> {
        Self::network(&tcp::base(address, false)?, None)
    }

    pub(super) fn tls(address: &str, tls: &ClientCertificate) -> Result<Self> {
        Self::network(&tcp::base(address, true)?, Some(tls))
    }

    fn network(base: &str, tls: Option<&ClientCertificate>) -> Result<Self> {
        let pool = Pool::Tcp(builder().build(tcp::connector(tls)?));
        Ok(Self { pool, base: base.into(), endpoint: base.into() })
    }

    /// The typed client over this transport.
    pub(super) fn docker(&self, version: &ClientVersion) -> Result<Docker> {
        let transport = self.clone();
        let send = move |request| {
            let transport = transport.clone();
            async move { transport.send(request).await.map_err(Into::into) }
        };
        Docker::connect_with_custom_transport(send, Some(&*self.base), TIMEOUT.as_secs(), version)
            .map_err(|error| failure(&error))
    }

    /// The body of a successful GET, and its headers.
    pub(super) async fn get(&self, path: &str) -> Result<(HeaderMap, Bytes)> {
        let answer = async {
            let none = Either::Left(Full::default());
            let answer = self.request(Method::GET, path, HeaderMap::new(), none).await?;
            let (head, body) = answer.into_parts();
            let body = body.collect().await.map_err(|error| self.lost(&error))?;
            Ok((head.headers, body.to_bytes()))
        };
        tokio::time::timeout(TIMEOUT, answer).await.unwrap_or_else(|_| {
            let seconds = TIMEOUT.as_secs();
            Err(Error::passing(
                "engine",
                format!("{} has not answered within {seconds} s; look into its log", self.endpoint),
                None,
            ))
        })
    }

    /// The answer to a request, as soon as it begins; no time limit. `path` has the version of the
    /// API in front and the query behind.
    ///
    /// A status that is no success is [`Error::NotFound`], [`Error::Conflict`] or
    /// [`Error::Failed`] with the engine's words.
    pub(super) async fn request(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Body,
    ) -> Result<Response<Incoming>> {
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = format!("{}{path}", self.base).parse().map_err(Error::internal)?;
        *request.headers_mut() = headers;
        let answer = self.send(request).await.map_err(|error| passing::unreachable(&error))?;
        if answer.status().is_success() || answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(answer);
        }
        let status = answer.status();
        let body = answer.into_body().collect().await.map_err(|error| self.lost(&error))?;
        let message = words(&body.to_bytes());
        Err(match status {
            StatusCode::NOT_FOUND => Error::NotFound(message),
            StatusCode::CONFLICT => Error::Conflict(message),
            _ => passing::failed(message),
        })
    }

    /// What a connection that broke in the middle of an answer means.
    pub(super) fn lost(&self, error: &hyper::Error) -> Error {
        Error::passing(
            "engine",
            format!(
                "the connection to {} was lost ({}); is it still running?",
                self.endpoint,
                chain(error)
            ),
            None,
        )
    }

    async fn send(&self, request: Request<Body>) -> io::Result<Response<Incoming>> {
        let answer = match &self.pool {
            Pool::Unix(client) => client.request(request).await,
            Pool::Tcp(client) => client.request(request).await,
        };
        answer.map_err(|error| {
            let kind = passing::kind(&error).unwrap_or(io::ErrorKind::Other);
            io::Error::new(
                kind,
                format!("{} does not answer ({}); {}", self.endpoint, chain(&error), remedy(kind)),
            )
        })
    }
}

fn builder() -> hyper_util::client::legacy::Builder {
    let mut builder = Client::builder(TokioExecutor::new());
    builder.pool_max_idle_per_host(0);
    builder
}

fn remedy(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::PermissionDenied => {
            "let Crane's user open it, for example by making it a member of the group 'docker'"
        }
        io::ErrorKind::InvalidData => {
            "look whether TLS is spoken there, and whether the certificates belong together"
        }
        _ => "is the engine running, and does it listen there?",
    }
}

/// What the engine says in an error's body.
fn words(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Message {
        message: String,
    }
    match serde_json::from_slice(body) {
        Ok(Message { message }) => message,
        Err(_) => String::from_utf8_lossy(body).trim().to_owned(),
    }
}
