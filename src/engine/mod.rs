//! The only room that talks to Docker. Everything else speaks to an [`Engine`].
//!
//! The bodies of requests are the Engine API's own types, re-exported from here as [`api`], so
//! that what `deploy` decides is exactly what the engine receives.

mod containers;
mod images;
mod networks;
mod volumes;

use std::{path::PathBuf, sync::Arc};

use bollard::Docker;

use crate::error::{Error, Result, chain};

/// The Engine API's own data types (`ContainerCreateBody`, `HostConfig`, ...).
pub use bollard::models as api;
pub use images::Login;

/// A call that transfers no image and waits for no container is answered within this time, or the
/// engine is taken for gone.
const TIMEOUT_SECONDS: u64 = 120;

/// Where an engine listens, and how it is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// `unix:///path`, `tcp://host:port`, `http://host:port` or `https://host:port`.
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

/// A connection pool to one Docker engine. Cloning is cheap.
#[derive(Clone)]
pub struct Engine {
    docker: Docker,
    endpoint: Arc<str>,
}

/// Makes a connection pool; no byte is sent yet, so an engine that is down is no error here.
pub fn connect(endpoint: &Endpoint) -> Result<Engine> {
    let url = endpoint.url.as_str();
    let version = bollard::API_DEFAULT_VERSION;
    let docker = match (url.split_once("://"), &endpoint.tls) {
        (Some(("unix", path)), _) => Docker::connect_with_unix(path, TIMEOUT_SECONDS, version),
        (Some(("tcp" | "http" | "https", _)), Some(tls)) => {
            Docker::connect_with_ssl(url, &tls.key, &tls.cert, &tls.ca, TIMEOUT_SECONDS, version)
        }
        (Some(("tcp" | "http", _)), None) => {
            Docker::connect_with_http(url, TIMEOUT_SECONDS, version)
        }
        _ => {
            return Err(Error::invalid(format!(
                "the endpoint '{url}' is none of unix:///path, tcp://host:port, http://host:port, \
                 https://host:port (https needs client certificates)"
            )));
        }
    };
    let docker = docker.map_err(|error| failure(&error))?;
    Ok(Engine { docker, endpoint: url.into() })
}

impl Engine {
    /// The URL this engine was connected with.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    #[expect(clippy::unused_async, reason = "until the engine branch is merged")]
    async fn docker(&self) -> Result<&Docker> {
        Ok(&self.docker)
    }
}

/// What went wrong with the engine itself; calls that know more (404, 409) look before this.
fn failure(error: &bollard::errors::Error) -> Error {
    match error {
        bollard::errors::Error::DockerResponseServerError { message, .. } => Error::failed(message),
        error => Error::unavailable("engine", chain(error)),
    }
}
