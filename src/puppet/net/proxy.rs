//! Ways to HTTP servers that go through a proxy.

use std::{
    io,
    net::IpAddr,
    pin::Pin,
    task::{Context, Poll},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use hyper_util::client::legacy::connect::{Connected, Connection};
use ipnet::IpNet;
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
};
use url::Url;

use crate::{
    error::{Error, Problem, Result},
    puppet::{
        fault::{Fault, Result as Fetched},
        puppetfile::without_credentials,
    },
};

/// What curl takes for a proxy that names no port.
const PORT: u16 = 1080;
/// A proxy has a page of HTML for each refusal; only its head is read here.
const HEAD: usize = 16 * 1024;

/// The proxies that HTTP requests go through. git over SSH and `git://` go through none.
///
/// What is asked for through a proxy is resolved by the proxy, so that no address of it is known
/// here. [`super::Egress`] then holds for names, and for addresses that are written as such; a name
/// is let through only if the policy allows it by name, or allows all that it does not deny. Whoever
/// must keep networks apart by address has the proxy do so as well. The proxy itself is connected to
/// wherever it is, because it was configured.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    http: Option<Proxy>,
    https: Option<Proxy>,
    except: Vec<Except>,
}

/// One proxy, which is spoken to in plain HTTP.
#[derive(Debug, Clone)]
pub(super) struct Proxy {
    pub(super) host: String,
    pub(super) port: u16,
    /// The value of `Proxy-Authorization`.
    authorization: Option<SecretString>,
}

/// What is asked for directly.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Except {
    All,
    /// A host and those below it.
    Host(String),
    Network(IpNet),
}

impl Proxies {
    /// Proxies for `http://` and `https://`, as URLs (`http://user:password@host:port`, or `host:port`
    /// alone), and a list of what is asked for without them: as curl has it, names with commas or
    /// spaces between them, each for all names below it as well, addresses, networks, or `*` alone.
    pub fn new(http: Option<&str>, https: Option<&str>, no_proxy: &str) -> Result<Self> {
        let except = match no_proxy.trim() {
            "*" => vec![Except::All],
            list => list.split([',', ' ', '\t']).filter_map(Except::read).collect(),
        };
        Ok(Self {
            http: http.map(Proxy::read).transpose()?,
            https: https.map(Proxy::read).transpose()?,
            except,
        })
    }

    /// The proxy that a request goes through.
    pub(super) fn of(&self, scheme: &str, host: &str) -> Option<&Proxy> {
        let proxy = match scheme {
            "https" => self.https.as_ref(),
            _ => self.http.as_ref(),
        };
        proxy.filter(|_| !self.except.iter().any(|except| except.is(host)))
    }
}

impl Except {
    fn read(entry: &str) -> Option<Self> {
        if let Ok(network) = entry.parse::<IpNet>() {
            return Some(Self::Network(network));
        }
        let bare = entry.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Some(Self::Network(address.into()));
        }
        let name = entry.trim_start_matches('.').trim_end_matches('.').to_ascii_lowercase();
        (!name.is_empty()).then_some(Self::Host(name))
    }

    fn is(&self, host: &str) -> bool {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        match (self, host.parse::<IpAddr>()) {
            (Self::All, _) => true,
            (Self::Network(network), Ok(address)) => network.contains(&address),
            (Self::Host(name), Err(_)) => host
                .strip_suffix(name.as_str())
                .is_some_and(|before| before.is_empty() || before.ends_with('.')),
            _ => false,
        }
    }
}

impl Proxy {
    fn read(written: &str) -> Result<Self> {
        let refuse = |why: &str| {
            let shown = without_credentials(written);
            // Without a scheme, what stands before the `@` is not seen as a user.
            let shown = shown.rsplit_once('@').map_or(&*shown, |(_, host)| host);
            Error::problem(Problem::new("proxy", format!("the proxy '{shown}' {why}")))
        };
        let whole = match written.contains("://") {
            true => written.to_owned(),
            false => format!("http://{written}"),
        };
        let url = Url::parse(&whole).map_err(|error| refuse(&format!("is no URL: {error}")))?;
        if url.scheme() != "http" {
            return Err(refuse("is none that is spoken to over http://, which only is supported"));
        }
        let host = url.host_str().ok_or_else(|| refuse("has no host"))?.to_owned();
        // `Url` leaves out 80, which is the scheme's own.
        let own = whole.split("://").nth(1).unwrap_or_default();
        let authority = own.split(['/', '?', '#']).next().unwrap_or_default();
        let port = if authority.ends_with(":80") { 80 } else { url.port().unwrap_or(PORT) };
        let has_user = !url.username().is_empty() || url.password().is_some();
        let authorization = has_user.then(|| {
            let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
            let pair = (decoded(url.username()), decoded(url.password().unwrap_or_default()));
            format!("Basic {}", STANDARD.encode(format!("{}:{}", pair.0, pair.1))).into()
        });
        Ok(Self { host, port, authorization })
    }

    /// For the head of a request.
    pub(super) fn authorization(&self) -> Option<&str> {
        self.authorization.as_ref().map(ExposeSecret::expose_secret)
    }

    /// Has the proxy connect the stream to a server (RFC 9110, section 9.3.6).
    pub(super) async fn tunnel(
        &self,
        mut stream: TcpStream,
        host: &str,
        port: u16,
    ) -> Fetched<TcpStream> {
        let to = format!("{host}:{port}");
        let mut request = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n");
        if let Some(authorization) = self.authorization() {
            request.push_str(&format!("Proxy-Authorization: {authorization}\r\n"));
        }
        request.push_str("\r\n");
        let broken = |error| Fault::away(format!("the proxy {self} broke off: {error}"));
        stream.write_all(request.as_bytes()).await.map_err(broken)?;
        let mut head = Vec::new();
        // Byte by byte: what follows the head is the server's.
        while !head.ends_with(b"\r\n\r\n") {
            if head.len() == HEAD {
                return Err(Fault::refused(format!("the proxy {self} does not speak HTTP")));
            }
            head.push(stream.read_u8().await.map_err(broken)?);
        }
        let head = String::from_utf8_lossy(&head);
        let status = head.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5));
        match status.and_then(|digits| digits.parse().ok()) {
            Some(200..=299) => Ok(stream),
            Some(status) => Err(self.refusal(status, &to)),
            None => Err(Fault::refused(format!("the proxy {self} does not speak HTTP"))),
        }
    }

    /// What a status stands for that is the proxy's own.
    fn refusal(&self, status: u16, to: &str) -> Fault {
        match status {
            // Some say 401 to credentials that are wrong, as if they were the server.
            401 | 407 => self.locked(),
            408 | 429 | 500.. => {
                Fault::away(format!("the proxy {self} does not reach {to} (HTTP {status})"))
            }
            _ => Fault::refused(format!("the proxy {self} does not allow {to} (HTTP {status})")),
        }
    }

    /// What 407 stands for.
    pub(super) fn locked(&self) -> Fault {
        Fault::refused(match self.authorization {
            Some(_) => format!("the proxy {self} does not accept the credentials it is shown"),
            None => format!("the proxy {self} wants credentials, and none are configured"),
        })
    }
}

/// Without its credentials.
impl std::fmt::Display for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// A connection to a server, or to a proxy that is asked for whole URLs.
pub(super) struct Way {
    pub(super) stream: TcpStream,
    pub(super) whole_urls: bool,
}

impl Connection for Way {
    fn connected(&self) -> Connected {
        Connected::new().proxy(self.whole_urls)
    }
}

impl AsyncRead for Way {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Way {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_through_no_proxy_is_as_curl_has_it() {
        for (list, through, direct) in [
            ("", &["a.example", "127.0.0.1"][..], &[][..]),
            ("*", &[], &["a.example", "127.0.0.1", "[::1]"]),
            ("a.example", &["b.example", "ba.example", "example"], &["a.example", "x.A.example."]),
            (".a.example, b.example.", &["c.example"], &["a.example", "x.a.example", "b.example"]),
            ("a.example b.example", &["c.example"], &["a.example", "b.example"]),
            ("127.0.0.1,[::1]", &["127.0.0.2", "[::2]", "localhost"], &["127.0.0.1", "[::1]"]),
            ("10.0.0.0/8,fd00::/8", &["11.0.0.1", "fe00::1"], &["10.1.2.3", "[fd00::1]"]),
            ("0.1", &["10.0.0.1"], &[]),
        ] {
            let proxies = Proxies::new(Some("p:1"), Some("q"), list).unwrap();
            for host in through {
                assert_eq!(proxies.of("http", host).unwrap().host, "p", "{list}: {host}");
                let https = proxies.of("https", host).unwrap();
                assert_eq!((&*https.host, https.port), ("q", 1080), "{list}: {host}");
            }
            for host in direct {
                assert!(proxies.of("http", host).is_none(), "{list}: {host}");
            }
        }
        assert!(Proxies::default().of("https", "a.example").is_none());
    }

    #[test]
    fn proxies_are_read_and_their_credentials_are_not_shown() {
        let proxy = Proxy::read("http://me:s%40cret@proxy.example:80/").unwrap();
        assert_eq!(proxy.authorization(), Some("Basic bWU6c0BjcmV0"));
        assert_eq!((proxy.to_string(), proxy.port), ("proxy.example:80".to_owned(), 80));
        assert!(!format!("{proxy:?}").contains("bWU6"));
        for written in ["https://me:secret@proxy", "socks5://me:secret@proxy", "me:secret@", "::"] {
            let error = Proxy::read(written).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
