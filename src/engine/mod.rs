//! The only room that talks to Docker. Everything else speaks to an [`Engine`].
//!
//! The bodies of requests are the Engine API's own types, re-exported from here as [`api`], so
//! that what `deploy` decides is exactly what the engine receives.

mod build;
mod containers;
mod images;
mod networks;
mod passing;
mod runs;
mod stream;
mod system;
mod tcp;
mod transport;
mod unix;
mod volumes;

use std::{path::PathBuf, sync::Arc};

use bollard::Docker;
use tokio::sync::OnceCell;

use self::{system::Agreement, transport::Transport};
use crate::error::{Error, Result, chain};

pub use self::{
    build::{Build, Builder, Built, Content, Context, Entry, Failure, Outcome, Seen, Step},
    containers::Grace,
    images::{LABEL_REF_NAME, Login, split_reference},
    runs::{Ended, Output, Stream},
};

/// The Engine API's own data types (`ContainerCreateBody`, `HostConfig`, ...).
pub use bollard::models as api;

/// Where an engine listens, and how it is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// `unix:///path`, or `tcp://host`, `http://host` or `https://host`, with `:port` or with
    /// Docker's port for what is spoken there: 2375, with TLS 2376.
    pub url: String,
    /// Present: mutual TLS, also for `tcp://` and `http://` (as CloudOpting-Crane 0.5 meant it).
    pub tls: Option<ClientCertificate>,
}

/// Files in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    pub cert: PathBuf,
    pub key: PathBuf,
    pub ca: PathBuf,
}

/// One Docker engine. Cloning is cheap, and clones share what was agreed with the engine.
#[derive(Clone)]
pub struct Engine {
    transport: Transport,
    /// Settled by the first call that reaches the engine, so an engine may come up after Crane.
    agreement: Arc<OnceCell<Agreement>>,
    builder: Builder,
    endpoint: Arc<str>,
}

/// No byte is sent yet, so an engine that is down is no error here.
///
/// Fails with [`Error::Invalid`] for an endpoint of another form, or certificates that cannot be
/// used.
pub fn connect(endpoint: &Endpoint) -> Result<Engine> {
    let url = endpoint.url.as_str();
    let transport = match (url.split_once("://"), &endpoint.tls) {
        (Some(("unix", path)), _) if path.starts_with('/') => Transport::unix(path),
        (Some(("tcp" | "http" | "https", address)), Some(tls)) => Transport::tls(address, tls)?,
        (Some(("tcp" | "http", address)), None) => Transport::tcp(address)?,
        (Some(("https", _)), None) => {
            return Err(Error::invalid(format!(
                "the endpoint '{}' needs client certificates: give cert, key and ca",
                url.escape_debug()
            )));
        }
        _ => {
            return Err(Error::invalid(format!(
                "the endpoint '{}' is none of unix:///path, tcp://host:port, http://host:port, \
                 https://host:port",
                url.escape_debug()
            )));
        }
    };
    Ok(Engine {
        transport,
        agreement: Arc::default(),
        builder: Builder::default(),
        endpoint: url.into(),
    })
}

impl Engine {
    /// The URL this engine was connected with.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The same engine, told which of its builders to use.
    #[must_use]
    pub fn with_builder(mut self, builder: Builder) -> Self {
        self.builder = builder;
        self
    }

    /// The typed client, in the version of the API that was agreed with the engine.
    async fn docker(&self) -> Result<&Docker> {
        Ok(&self.agreement().await?.docker)
    }
}

/// What went wrong with the engine itself; calls that know more (404, 409) look before this.
fn failure(error: &bollard::errors::Error) -> Error {
    use bollard::errors::Error as Cause;
    match error {
        Cause::DockerResponseServerError { message, .. } => passing::failed(message),
        Cause::DockerStreamError { error } => passing::failed(error),
        Cause::RequestTimeoutError => {
            Error::passing("engine", "no answer in time; look into its log", None)
        }
        // Both are transparent: as causes of the error they would not be found.
        Cause::IOError { err } => passing::unreachable(err),
        Cause::HyperResponseError { err } => Error::passing("engine", chain(err), None),
        error => Error::unavailable("engine", chain(error)),
    }
}
