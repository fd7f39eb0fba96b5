//! The client for an image registry, and the only room that talks to one: the OCI Distribution
//! API, version 1.1, of which `docker-registry` 2 and later speak all that is used here.
//!
//! Images are pushed and pulled by the engine, not from here; this room says whether the registry
//! is usable, what a tag points to, and takes tags away.

mod auth;
mod client;
mod location;
mod manifests;
mod passing;

use std::{path::Path, sync::Arc};

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header,
    uri::{PathAndQuery, Scheme},
};
use secrecy::SecretString;
use serde::Deserialize;

use self::{
    auth::Challenge,
    client::{Answer, Client, Failure},
    location::Location,
};
use crate::error::{Error, Result};

pub use self::manifests::Deletion;

/// A server that has this header is a registry even if the rest of its answer does not look so.
const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");

/// More of what a registry says is not worth a line.
const REASON_MAX: usize = 200;

/// What the registry is told about who asks. Printing it shows no password.
#[derive(Debug, Clone)]
pub struct Credentials {
    pub username: String,
    pub password: SecretString,
}

/// One registry, and the pool of connections to it. Cloning is cheap.
///
/// Whether TLS is spoken follows from the location and the CA, so that passwords and images leave
/// this machine encrypted or not at all. The Docker engine that pushes to the same place does the
/// same, except that it believes any certificate of a loopback host.
///
/// - A CA is given: HTTPS, and only certificates that this CA vouches for. Never plain HTTP.
/// - The host is a loopback one (`localhost`, 127.0.0.0/8, `::1`) and no CA is given: plain HTTP,
///   or HTTPS with the system's CAs where a `GET /v2/` in plain HTTP is answered with 400, as
///   servers do on a port that speaks TLS. That question carries no credentials.
/// - Any other host: HTTPS with the system's CAs.
///
/// Every request goes out without credentials first and again with them if the registry asks for
/// them, so that they only go where they are wanted, and in the form that is wanted: HTTP Basic,
/// or a token from the server that the registry names.
#[derive(Clone)]
pub struct Registry(Arc<Parts>);

struct Parts {
    location: Location,
    credentials: Option<Credentials>,
    client: Client,
    /// A CA was given.
    private_ca: bool,
}

impl Registry {
    /// No byte is sent yet, so a registry that is down is no error here.
    ///
    /// `location` is `host[:port][/prefix]`. `ca` is a PEM file; if it is given, only the
    /// certificates in it are trusted, otherwise the system's are.
    ///
    /// Fails with [`Error::Invalid`] for a location of another form, a CA file that cannot be
    /// used, or a user name that HTTP Basic cannot carry.
    pub fn open(
        location: &str,
        credentials: Option<Credentials>,
        ca: Option<&Path>,
    ) -> Result<Self> {
        let location = Location::parse(location)?;
        if credentials.as_ref().is_some_and(|credentials| credentials.username.contains(':')) {
            return Err(Error::invalid(
                "CRANE_REGISTRY_USERNAME: a user name has no ':' in it (RFC 7617)",
            ));
        }
        let client = Client::new(ca)?;
        Ok(Self(Arc::new(Parts { location, credentials, client, private_ca: ca.is_some() })))
    }

    /// `host[:port]`, without the prefix.
    pub fn host(&self) -> &str {
        &self.0.location.host
    }

    pub fn credentials(&self) -> Option<&Credentials> {
        self.0.credentials.as_ref()
    }

    /// `host[:port][/prefix]/repository`: the name to push to and to pull from, without a tag.
    pub fn reference(&self, repository: &str) -> String {
        format!("{}/{}", self.host(), self.0.location.path(repository))
    }

    /// Whether the registry is up, trusts and is trusted (OCI Distribution Specification,
    /// "Determining Support").
    ///
    /// Fails with [`Error::Unavailable`], whose reason names the host, what is wrong and what to
    /// do about it.
    pub async fn ping(&self) -> Result<()> {
        let answer = self.request(Method::GET, "", None).await?;
        let html = answer
            .header(header::CONTENT_TYPE)
            .is_some_and(|content_type| content_type.starts_with("text/html"));
        match answer.status {
            StatusCode::OK if answer.header(API_VERSION).is_some() || !html => Ok(()),
            StatusCode::OK | StatusCode::NOT_FOUND => Err(unavailable(
                self.host(),
                format!(
                    "answers {} to GET /v2/ as no registry does: correct CRANE_REGISTRY",
                    answer.status
                ),
            )),
            _ => Err(self.unexpected("/v2/", &answer)),
        }
    }

    /// The error for an answer that a registry in order does not give.
    fn unexpected(&self, path: &str, answer: &Answer) -> Error {
        let error = unavailable(
            self.host(),
            format!("answers {} for {path}{}: look into its log", answer.status, reason_in(answer)),
        );
        passing::mark(error, passing::retry(answer.status, &answer.headers))
    }

    /// Sends a request for a path below `/v2/`, with the authorization that the registry asks for.
    async fn request(&self, method: Method, path: &str, accept: Option<&str>) -> Result<Answer> {
        let scheme = self.scheme().await?;
        let uri = self.uri(scheme.clone(), path)?;
        let mut headers = HeaderMap::new();
        if let Some(accept) = accept {
            headers.insert(header::ACCEPT, HeaderValue::from_str(accept).map_err(Error::internal)?);
        }
        let Parts { client, credentials, .. } = &*self.0;
        let explain = |failure: Failure| client.explain(self.host(), &failure);
        let mut answer =
            client.send(method.clone(), uri.clone(), headers.clone()).await.map_err(explain)?;
        if answer.status == StatusCode::UNAUTHORIZED {
            let authorization = Challenge::of(&answer.headers)
                .answer(client, self.host(), &scheme, credentials.as_ref())
                .await?;
            headers.insert(header::AUTHORIZATION, authorization);
            answer = client.send(method, uri, headers).await.map_err(explain)?;
            if answer.status == StatusCode::UNAUTHORIZED {
                return Err(auth::refused(self.host(), credentials.as_ref()));
            }
        }
        if answer.status.is_redirection() {
            let target = answer.header(header::LOCATION).unwrap_or("nowhere");
            return Err(unavailable(
                self.host(),
                format!(
                    "redirects to '{}', where no credentials are sent: name the host that answers \
                     in CRANE_REGISTRY",
                    target.escape_debug()
                ),
            ));
        }
        Ok(answer)
    }

    /// The rule is in the description of [`Registry`]. It is asked for anew each time, because
    /// what listens on a loopback port may be another thing after a restart.
    async fn scheme(&self) -> Result<Scheme> {
        let Parts { client, location, private_ca, .. } = &*self.0;
        if *private_ca || !location.loopback {
            return Ok(Scheme::HTTPS);
        }
        let uri = self.uri(Scheme::HTTP, "")?;
        match client.send(Method::GET, uri, HeaderMap::new()).await {
            Ok(Answer { status: StatusCode::BAD_REQUEST, .. }) => Ok(Scheme::HTTPS),
            Ok(_) => Ok(Scheme::HTTP),
            Err(failure) => Err(client.explain(self.host(), &failure)),
        }
    }

    fn uri(&self, scheme: Scheme, path: &str) -> Result<Uri> {
        let path = format!("/v2/{path}").parse::<PathAndQuery>().map_err(Error::internal)?;
        Uri::builder()
            .scheme(scheme)
            .authority(self.host())
            .path_and_query(path)
            .build()
            .map_err(Error::internal)
    }
}

fn unavailable(host: &str, reason: impl std::fmt::Display) -> Error {
    Error::unavailable("registry", format!("{host} {reason}"))
}

/// What a registry says about its refusal, in brackets, or nothing (OCI Distribution
/// Specification, "Error Codes").
fn reason_in(answer: &Answer) -> String {
    #[derive(Deserialize)]
    struct Errors {
        errors: Vec<Reason>,
    }
    #[derive(Deserialize)]
    struct Reason {
        code: String,
        #[serde(default)]
        message: String,
    }
    let first = serde_json::from_slice::<Errors>(&answer.body)
        .ok()
        .and_then(|body| body.errors.into_iter().next());
    match first {
        Some(Reason { code, message }) => {
            let words = format!("{code}: {message}");
            let words = words.chars().filter(|c| !c.is_control()).take(REASON_MAX);
            format!(" ({})", words.collect::<String>())
        }
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_carry_the_host_and_the_prefix() {
        let open = |location| Registry::open(location, None, None).unwrap();
        assert_eq!(open("127.0.0.1:5000").reference("team/web"), "127.0.0.1:5000/team/web");
        assert_eq!(open("[::1]:5000/a/b").reference("web"), "[::1]:5000/a/b/web");
    }

    #[test]
    fn credentials_print_no_password() {
        let credentials =
            Credentials { username: "crane".into(), password: "hidden".to_owned().into() };
        assert!(!format!("{credentials:?}").contains("hidden"));
        let odd = Credentials { username: "a:b".into(), ..credentials };
        assert!(Registry::open("127.0.0.1:5000", Some(odd), None).is_err());
    }

    #[test]
    fn a_ca_file_must_hold_a_certificate() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ca.pem");
        let open = || Registry::open("127.0.0.1:5000", None, Some(&file)).map(|_| ()).unwrap_err();
        assert!(open().to_string().contains("cannot be read"), "{}", open());
        std::fs::write(&file, "no certificate").unwrap();
        assert!(open().to_string().contains("holds no PEM certificate"), "{}", open());
    }
}
