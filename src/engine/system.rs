//! What is agreed with an engine before anything else, and what it says of itself.

use bollard::{ClientVersion, Docker};
use http::HeaderMap;

use super::{Engine, api, failure};
use crate::error::{Error, Result};

/// The oldest Engine API that is accepted: that of Docker 20.10, the oldest engine in a supported
/// Debian and the one that the tests run against. Older ones would fail somewhere later, with
/// less to say about it.
const API_MIN: Version = Version { major: 1, minor: 41 };

/// The last version of the API in which the disk usage comes in its old form (Engine API, version
/// history, 1.52).
const API_USAGE: Version = Version { major: 1, minor: 51 };

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Version {
    major: usize,
    minor: usize,
}

impl Version {
    fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.split_once('.')?;
        Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? })
    }
}

/// What holds for every later call.
pub(super) struct Agreement {
    pub(super) docker: Docker,
    version: Version,
    /// `/v1.41`
    pub(super) prefix: String,
    pub(super) buildkit: bool,
}

impl Agreement {
    /// Where the disk usage is told in the form that has `BuildCache`.
    pub(super) fn usage_path(&self) -> String {
        let Version { major, minor } = self.version.min(API_USAGE);
        format!("/v{major}.{minor}/system/df")
    }
}

impl Engine {
    /// Whether the engine answers and is new enough. Asked anew each time.
    ///
    /// Fails with [`Error::Unavailable`] and the remedy.
    pub async fn check(&self) -> Result<()> {
        self.ping().await.map(drop)
    }

    /// The engine's info document, as it is (Engine API: `GET /info`).
    pub async fn info(&self) -> Result<serde_json::Value> {
        let path = format!("{}/info", self.agreement().await?.prefix);
        let (_, body) = self.transport.get(&path).await?;
        serde_json::from_slice(&body).map_err(Error::internal)
    }

    /// The engine's version and that of its parts.
    pub async fn version(&self) -> Result<api::SystemVersion> {
        self.docker().await?.version().await.map_err(|error| failure(&error))
    }

    pub(super) async fn agreement(&self) -> Result<&Agreement> {
        let agree = || async {
            let (version, headers) = self.ping().await?;
            let newest = bollard::API_DEFAULT_VERSION;
            let newest = Version { major: newest.major_version, minor: newest.minor_version };
            let version = version.min(newest);
            let Version { major, minor } = version;
            let client = ClientVersion { major_version: major, minor_version: minor };
            Ok(Agreement {
                docker: self.transport.docker(&client)?,
                version,
                prefix: format!("/v{major}.{minor}"),
                buildkit: has_buildkit(&headers),
            })
        };
        self.agreement.get_or_try_init(agree).await
    }

    /// The newest version of the API that the engine speaks, from the one call that every engine
    /// answers whatever version it is asked in (Engine API: `GET /_ping`).
    async fn ping(&self) -> Result<(Version, HeaderMap)> {
        let stranger = || {
            let reason = format!("{} answers, but it is no Docker engine", self.endpoint);
            Error::unavailable("engine", reason)
        };
        let headers = match self.transport.get("/_ping").await {
            Ok((headers, _)) => headers,
            Err(Error::NotFound(_)) => return Err(stranger()),
            Err(error) => return Err(error),
        };
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let Some(version) = text("api-version").and_then(Version::parse) else {
            return Err(stranger());
        };
        if version < API_MIN {
            return Err(Error::unavailable(
                "engine",
                format!(
                    "{} ({}) speaks the API {}.{}, and Crane needs {}.{} (Docker 20.10) or newer: \
                     upgrade that engine",
                    self.endpoint,
                    text("server").unwrap_or("a Docker engine"),
                    version.major,
                    version.minor,
                    API_MIN.major,
                    API_MIN.minor,
                ),
            ));
        }
        Ok((version, headers))
    }
}

/// Engines on Linux have BuildKit in every version that is accepted; `Builder-Version` is what an
/// engine recommends, and absent in 20.10 unless configured (Engine API: `GET /_ping`).
fn has_buildkit(headers: &HeaderMap) -> bool {
    let is = |name, value: &str| headers.get(name).is_some_and(|found| found == value);
    is("ostype", "linux") && !is("builder-version", "1")
}
