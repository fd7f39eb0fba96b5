//! HTTP and TLS: one request, its whole answer, and what can go wrong on the way in words that
//! tell what to do.

use std::{
    error::Error as StdError,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, pem::PemObject};

use crate::error::{Error, Result, chain};

/// A registry further away than this is unusable for pushes as well.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// From the first byte sent to the last one read. Registries that keep manifests in an object
/// store take seconds for one; none of the requests made here moves a layer.
const EXCHANGE_LIMIT: Duration = Duration::from_secs(30);
/// Servers commonly close idle connections after 60 seconds or more: let go before they do.
const IDLE_LIMIT: Duration = Duration::from_secs(30);
/// The size of manifest that every registry must accept (OCI Distribution Specification, "Pushing
/// manifests"), and many accept no more. Tokens and error messages are far smaller.
const BODY_LIMIT: usize = 4 * 1024 * 1024;

pub(super) struct Client {
    http: legacy::Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    ca: Option<PathBuf>,
}

pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn header(&self, name: impl Into<HeaderName>) -> Option<&str> {
        self.headers.get(name.into())?.to_str().ok()
    }
}

impl Client {
    /// `ca` is a PEM file; with it only the certificates in it are trusted, without it the
    /// system's are.
    pub(super) fn new(ca: Option<&Path>) -> Result<Self> {
        // The provider is named here because the program has no default one.
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = || {
            ClientConfig::builder_with_provider(provider.clone())
                .with_safe_default_protocol_versions()
                .map_err(Error::internal)
        };
        let tls = match ca {
            Some(path) => builder()?.with_root_certificates(read_ca(path)?),
            None => match builder()?.with_native_roots() {
                Ok(builder) => builder,
                // A machine without CA certificates can still use a plain registry on loopback;
                // any other one fails with a message that says what to set.
                Err(_) => builder()?.with_root_certificates(RootCertStore::empty()),
            },
        }
        .with_no_client_auth();

        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT_LIMIT));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let http = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_LIMIT)
            .build(connector);
        Ok(Self { http, ca: ca.map(Path::to_owned) })
    }

    /// Sends one request and reads its answer to the end. Redirects are not followed: no request
    /// made here has a reason to be redirected, and credentials stay with the host they are for.
    pub(super) async fn send(
        &self,
        method: Method,
        uri: Uri,
        headers: HeaderMap,
    ) -> Result<Answer, Failure> {
        let mut request = Request::new(Empty::new());
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        request.headers_mut().insert(
            header::USER_AGENT,
            HeaderValue::from_static(concat!("crane/", env!("CARGO_PKG_VERSION"))),
        );
        let exchange = async {
            let answer = self.http.request(request).await.map_err(|error| Failure::of(&error))?;
            let (parts, body) = answer.into_parts();
            let body = Limited::new(body, BODY_LIMIT).collect().await.map_err(|error| {
                if error.is::<LengthLimitError>() {
                    return Failure::TooLong;
                }
                Failure::Cut(chain(&*error))
            })?;
            Ok(Answer { status: parts.status, headers: parts.headers, body: body.to_bytes() })
        };
        tokio::time::timeout(EXCHANGE_LIMIT, exchange).await.unwrap_or(Err(Failure::TimedOut))
    }

    /// The error for a failure of a request to `host`.
    pub(super) fn explain(&self, host: &str, failure: &Failure) -> Error {
        let reason = match failure {
            Failure::NoConnection(why) => {
                format!("cannot be connected to ({why}): start it, or correct CRANE_REGISTRY")
            }
            Failure::Certificate { why, wrong_name: true } => format!(
                "shows a certificate for another name ({why}): use the name that the certificate \
                 is for, or give the registry one for this name"
            ),
            Failure::Certificate { why, wrong_name: false } => match &self.ca {
                Some(ca) => format!(
                    "shows a certificate that the CA in {} does not vouch for ({why}): put the \
                     CA that signed it into the file that CRANE_REGISTRY_CA names",
                    ca.display()
                ),
                None => format!(
                    "shows a certificate that this system does not trust ({why}): name the PEM \
                     file of the CA that signed it in CRANE_REGISTRY_CA"
                ),
            },
            Failure::Tls(why) => format!(
                "does not speak TLS ({why}): give it a certificate; only a registry on a loopback \
                 address, with CRANE_REGISTRY_CA not set, is spoken to in plain HTTP"
            ),
            Failure::NoAnswer(why) => {
                format!("does not answer as an HTTP server ({why}): correct CRANE_REGISTRY")
            }
            Failure::Cut(why) => {
                format!("hung up in the middle of an exchange ({why}): look into its log")
            }
            Failure::TimedOut => format!(
                "has not answered within {} seconds: look into its log",
                EXCHANGE_LIMIT.as_secs()
            ),
            Failure::TooLong => {
                format!("sends more than {BODY_LIMIT} bytes where a short answer belongs")
            }
        };
        let error = super::unavailable(host, reason);
        match failure {
            Failure::NoConnection(_) | Failure::Cut(_) | Failure::TimedOut => error.may_pass(None),
            _ => error,
        }
    }
}

fn read_ca(path: &Path) -> Result<RootCertStore> {
    let refuse = |reason: String| {
        Error::invalid(format!("CRANE_REGISTRY_CA: the file {} {reason}", path.display()))
    };
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| refuse(format!("cannot be read as PEM: {}", chain(&error))))?;
    if certificates.is_empty() {
        return Err(refuse("holds no PEM certificate".into()));
    }
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots
            .add(certificate)
            .map_err(|error| refuse(format!("holds an unusable certificate: {error}")))?;
    }
    Ok(roots)
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// The name does not resolve, or nobody listens there.
    NoConnection(String),
    Certificate {
        why: String,
        wrong_name: bool,
    },
    /// Somebody listens, and does not speak TLS.
    Tls(String),
    /// Somebody listens, and does not speak HTTP.
    NoAnswer(String),
    /// The connection was lost in the middle of a request or an answer.
    Cut(String),
    TimedOut,
    TooLong,
}

impl Failure {
    fn of(error: &legacy::Error) -> Self {
        match tls_error(error) {
            Some(rustls::Error::InvalidCertificate(reason)) => Self::Certificate {
                why: reason.to_string(),
                wrong_name: matches!(
                    reason,
                    CertificateError::NotValidForName
                        | CertificateError::NotValidForNameContext { .. }
                ),
            },
            Some(reason) => Self::Tls(reason.to_string()),
            None if error.is_connect() => Self::NoConnection(chain(error)),
            None if is_nonsense(error) => Self::NoAnswer(chain(error)),
            None => Self::Cut(chain(error)),
        }
    }
}

/// Whether what was answered is no HTTP.
fn is_nonsense(error: &(dyn StdError + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse) {
            return true;
        }
        next = error.source();
    }
    false
}

/// What rustls said, which `tokio-rustls` hands on inside an [`io::Error`].
fn tls_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(found) = inner.and_then(|inner| inner.downcast_ref()) {
            return Some(found);
        }
        // An `io::Error` names as its source the source of what it holds, and skips that itself.
        next = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}
