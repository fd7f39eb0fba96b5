//! The one HTTP client of the native engine.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy,
    rt::{TokioExecutor, TokioTimer},
};
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::OnceCell;
use url::Url;

use super::{
    Body, Egress, Proxies,
    dial::{Dialler, Undialled},
    proxy::Proxy,
    tls,
};
use crate::{
    error::{Retry, chain},
    puppet::{
        fault::{Fault, Result},
        puppetfile::without_credentials,
    },
};

/// From the request to the head of the answer. A git server may count objects in this time.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// Servers commonly close idle connections after 60 seconds or more: let go before they do.
const IDLE_LIMIT: Duration = Duration::from_secs(30);
/// Forges redirect to where their archives are; more steps than this are a circle.
const REDIRECTS: usize = 5;

/// What a host is shown. The secret is sent to that host only, not to where it redirects.
#[derive(Debug, Clone)]
pub struct Credential {
    /// `host` or `host:port`.
    pub host: String,
    /// None: `secret` is a bearer token.
    pub username: Option<String>,
    pub secret: SecretString,
}

pub(in super::super) struct Http {
    plain: legacy::Client<Dialler, Full<Bytes>>,
    /// Made when it is first needed: reading the system's CAs takes longer than an installation from
    /// a cache.
    secure: OnceCell<legacy::Client<HttpsConnector<Dialler>, Full<Bytes>>>,
    dialler: Dialler,
    authorities: Vec<PathBuf>,
    credentials: Vec<Credential>,
    proxies: Arc<Proxies>,
}

/// One request.
pub(in super::super) struct Ask<'a> {
    pub(in super::super) method: Method,
    pub(in super::super) url: &'a Url,
    pub(in super::super) headers: &'a [(HeaderName, &'static str)],
    pub(in super::super) body: Vec<u8>,
    /// Bytes of the answer.
    pub(in super::super) bound: u64,
}

pub(in super::super) struct Answer {
    pub(in super::super) status: u16,
    pub(in super::super) headers: HeaderMap,
    /// Where it came from in the end.
    pub(in super::super) url: Url,
    /// The proxy that has read it, and may have said it.
    proxy: Option<String>,
    pub(in super::super) body: Body,
}

impl Answer {
    pub(in super::super) fn header(&self, name: HeaderName) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The answer if it is 200; otherwise what the status means for `what` was asked for.
    pub(in super::super) fn ok(self, what: &str) -> Result<Self> {
        let url = without_credentials(self.url.as_str());
        match self.status {
            200 => Ok(self),
            401 | 403 => {
                let through = self.proxy.map(|proxy| format!(" through the proxy {proxy}"));
                Err(Fault::refused(format!(
                    "{what} at {url} is not shown{} without credentials that it accepts (HTTP {})",
                    through.unwrap_or_default(),
                    self.status
                )))
            }
            404 | 410 => Err(Fault::refused(format!("there is no {what} at {url}"))),
            status if Retry::may_help_after(status) => {
                Err(Fault::away(format!("{what} at {url}: the server answers HTTP {status}")))
            }
            status => {
                Err(Fault::refused(format!("{what} at {url}: the server answers HTTP {status}")))
            }
        }
    }
}

impl Http {
    /// `authorities` are PEM files of CAs that are trusted besides the system's.
    pub(in super::super) fn new(
        egress: &Arc<Egress>,
        proxies: &Arc<Proxies>,
        authorities: Vec<PathBuf>,
        credentials: Vec<Credential>,
    ) -> Self {
        let dialler = Dialler { egress: egress.clone(), proxies: proxies.clone() };
        let plain = builder().build(dialler.clone());
        let secure = OnceCell::new();
        Self { plain, secure, dialler, authorities, credentials, proxies: proxies.clone() }
    }

    async fn secure(&self) -> Result<&legacy::Client<HttpsConnector<Dialler>, Full<Bytes>>> {
        let make = async || {
            let authorities = self.authorities.clone();
            let tls = tokio::task::spawn_blocking(move || tls::configuration(&authorities));
            let tls = tls.await.map_err(io::Error::other)?.map_err(io::Error::other)?;
            let connector = HttpsConnectorBuilder::new()
                .with_tls_config(tls)
                .https_only()
                .enable_http1()
                .wrap_connector(self.dialler.clone());
            Ok::<_, Fault>(builder().build(connector))
        };
        self.secure.get_or_try_init(make).await
    }

    /// One request and its answer, whatever its status.
    pub(in super::super) async fn send(&self, ask: Ask<'_>) -> Result<Answer> {
        let shown = without_credentials(ask.url.as_str());
        let request = self
            .request(&ask)
            .map_err(|error| Fault::refused(format!("{shown} cannot be asked for: {error}")))?;
        let answer = match ask.url.scheme() {
            "https" => self.secure().await?.request(request),
            _ => self.plain.request(request),
        };
        let answer = tokio::time::timeout(ANSWER_LIMIT, answer)
            .await
            .map_err(|_| Fault::away(format!("{shown} does not answer")))?
            .map_err(|error| undone(&shown, &error))?;
        let proxy = self.proxy(ask.url).filter(|_| ask.url.scheme() == "http");
        if answer.status() == 407
            && let Some(proxy) = proxy
        {
            return Err(proxy.locked());
        }
        let (head, body) = answer.into_parts();
        Ok(Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            url: ask.url.clone(),
            proxy: proxy.map(ToString::to_string),
            body: Body::new(body, ask.bound),
        })
    }

    /// A GET that goes where it is redirected.
    pub(in super::super) async fn get(
        &self,
        url: &Url,
        headers: &[(HeaderName, &'static str)],
        bound: u64,
    ) -> Result<Answer> {
        let mut url = url.clone();
        for _ in 0..=REDIRECTS {
            let ask = Ask { method: Method::GET, url: &url, headers, body: Vec::new(), bound };
            let answer = self.send(ask).await?;
            if !matches!(answer.status, 301 | 302 | 303 | 307 | 308) {
                return Ok(answer);
            }
            url = redirected(&url, answer.header(header::LOCATION))?;
        }
        let shown = without_credentials(url.as_str());
        Err(Fault::refused(format!("{shown} redirects more than {REDIRECTS} times")))
    }

    fn request(&self, ask: &Ask<'_>) -> std::result::Result<Request<Full<Bytes>>, http::Error> {
        let mut bare = ask.url.clone();
        // Only URLs without a host refuse, and they are refused before.
        let _ = bare.set_username("").and_then(|()| bare.set_password(None));
        bare.set_fragment(None);
        let mut request = Request::builder()
            .method(ask.method.clone())
            .uri(bare.as_str())
            .header(header::USER_AGENT, concat!("git/crane-", env!("CARGO_PKG_VERSION")));
        for (name, value) in ask.headers {
            request = request.header(name, *value);
        }
        if let Some(authorization) = self.authorization(ask.url) {
            let mut value = HeaderValue::try_from(authorization)?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        if ask.url.scheme() == "http"
            && let Some(authorization) = self.proxy(ask.url).and_then(Proxy::authorization)
        {
            let mut value = HeaderValue::try_from(authorization)?;
            value.set_sensitive(true);
            request = request.header(header::PROXY_AUTHORIZATION, value);
        }
        request.body(Full::from(ask.body.clone()))
    }

    /// The proxy that a URL is asked for through.
    fn proxy(&self, url: &Url) -> Option<&Proxy> {
        self.proxies.of(url.scheme(), url.host_str().unwrap_or_default())
    }

    /// What the URL itself says comes before what is configured for its host.
    fn authorization(&self, url: &Url) -> Option<String> {
        let basic = |user: &str, password: &str| {
            format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
        };
        if !url.username().is_empty() || url.password().is_some() {
            let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
            return Some(basic(
                &decoded(url.username()),
                &decoded(url.password().unwrap_or_default()),
            ));
        }
        let host = url.host_str()?;
        let with_port = format!("{host}:{}", url.port_or_known_default()?);
        let credential = self.credentials.iter().find(|credential| {
            credential.host.eq_ignore_ascii_case(&with_port)
                || credential.host.eq_ignore_ascii_case(host)
        })?;
        let secret = credential.secret.expose_secret();
        Some(match &credential.username {
            Some(username) => basic(username, secret),
            None => format!("Bearer {secret}"),
        })
    }
}

fn builder() -> legacy::Builder {
    let mut builder = legacy::Client::builder(TokioExecutor::new());
    builder.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE_LIMIT);
    builder
}

/// Where a redirect leads, if it may be followed.
fn redirected(from: &Url, location: &str) -> Result<Url> {
    let shown = without_credentials(from.as_str());
    let refuse = |why: &str| Err(Fault::refused(format!("{shown} redirects {why}")));
    let Ok(mut to) = from.join(location) else { return refuse("to no URL") };
    match (from.scheme(), to.scheme()) {
        (_, "https") | ("http", "http") => {}
        ("https", "http") => return refuse("from https:// to http://, which anybody can read"),
        _ => return refuse("to a URL that is neither https:// nor http://"),
    }
    if !to.username().is_empty() || to.password().is_some() {
        return refuse("to a URL with credentials");
    }
    // Credentials go with their host and no further.
    if to.origin() == from.origin() {
        let _ = to.set_username(from.username()).and_then(|()| to.set_password(from.password()));
    }
    Ok(to)
}

/// Why there is no answer.
fn undone(shown: &str, error: &legacy::Error) -> Fault {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(Undialled(fault)) = error.downcast_ref() {
            return match fault {
                Fault::Refused(words) => Fault::refused(format!("{shown}: {words}")),
                other => Fault::away(format!("{shown}: {other}")),
            };
        }
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let tls = inner.and_then(|inner| inner.downcast_ref()).or_else(|| error.downcast_ref());
        if let Some(rustls::Error::InvalidCertificate(why)) = tls {
            return Fault::refused(format!("{shown}: the server's certificate: {why}"));
        }
        cause = error.source();
    }
    Fault::away(format!("{shown} does not answer: {}", chain(error)))
}
