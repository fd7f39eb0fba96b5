//! The ways to a git server: HTTP (gitprotocol-http(5)) and a stream that is a `git-upload-pack`
//! on the other side (gitprotocol-pack(5)), of git-daemon(1) or through SSH.

use std::{pin::Pin, time::Duration};

use http::{Method, header};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use tokio_util::io::StreamReader;
use url::Url;

use super::{
    address::quoted,
    pkt::{Reader, put},
};
use crate::puppet::{
    fault::{Fault, Result},
    net::{Answer, Ask, Egress, Http, Login, Ssh, dial},
};

/// Bytes that a server may send in one answer. The largest module with all of its history has some
/// 100 MB; whole histories are fetched only where a server has no other way.
pub(super) const ANSWER: u64 = 1024 * 1024 * 1024;

const GIT_PORT: u16 = 9418;
const VERSION_2: &str = "version=2";
/// A server that reads nothing of a request for so long never will.
const UNREAD: Duration = Duration::from_secs(30);

pub(super) enum Wire<'a> {
    Http {
        http: &'a Http,
        /// The repository, after redirects.
        base: Url,
    },
    Stream {
        reader: Reader,
        writer: Pin<Box<dyn AsyncWrite + Send>>,
    },
}

impl<'a> Wire<'a> {
    pub(super) fn http(http: &'a Http, base: Url) -> Self {
        Self::Http { http, base }
    }

    /// `git://` (git-daemon(1)): no encryption and no authentication, and in use inside companies.
    pub(super) async fn git(egress: &Egress, url: &Url) -> Result<Self> {
        let host = url.host_str().unwrap_or_default();
        let port = url.port().unwrap_or(GIT_PORT);
        let stream = dial(egress, host, port).await?;
        let (reader, writer) = TcpStream::into_split(stream);
        let mut wire = Self::stream(reader, writer);
        let path = percent_encoding::percent_decode_str(url.path()).decode_utf8_lossy();
        let mut request = Vec::new();
        put(&mut request, &format!("git-upload-pack {path}\0host={host}\0\0{VERSION_2}\0"));
        wire.write(&request).await?;
        Ok(wire)
    }

    /// A server that takes no variables answers in version 0, which its first line shows.
    pub(super) async fn ssh(ssh: &Ssh, egress: &Egress, login: &Login, path: &str) -> Result<Self> {
        let command = format!("git-upload-pack {}", quoted(path));
        let running = ssh.run(egress, login, &command, &[("GIT_PROTOCOL", VERSION_2)]).await?;
        Ok(Self::stream(running.reader, running.writer))
    }

    fn stream(
        reader: impl AsyncRead + Send + 'static,
        writer: impl AsyncWrite + Send + 'static,
    ) -> Self {
        Self::Stream { reader: Reader::new(reader, ANSWER), writer: Box::pin(writer) }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if let Self::Stream { writer, .. } = self {
            let written = async {
                writer.write_all(bytes).await?;
                writer.flush().await
            };
            let written = tokio::time::timeout(UNREAD, written).await;
            let written =
                written.map_err(|_| Fault::away("the server does not read the request"))?;
            written.map_err(|error| Fault::away(format!("the connection broke off: {error}")))?;
        }
        Ok(())
    }

    /// What the server says of itself: capabilities in version 2, all references before it. The
    /// first line is read.
    pub(super) async fn advertisement(&mut self) -> Result<(Option<String>, Lines<'_>)> {
        match self {
            Self::Stream { reader, .. } => {
                let first = reader.text().await?;
                Ok((first, Lines::Borrowed(reader)))
            }
            Self::Http { http, base } => {
                let url = below(base, "info/refs", Some("service=git-upload-pack"))?;
                let version = ("git-protocol".parse().map_err(own)?, VERSION_2);
                let answer = http.get(&url, &[version], ANSWER).await?.ok("git repository")?;
                if answer.header(header::CONTENT_TYPE)
                    != "application/x-git-upload-pack-advertisement"
                {
                    return Err(Fault::refused(format!(
                        "{} is not served by git (a server of plain files is not supported)",
                        crate::puppet::puppetfile::without_credentials(base.as_str())
                    )));
                }
                // As git does: what the first request is redirected to is asked from then on.
                let mut redirected = answer.url.clone();
                redirected.set_query(None);
                let path = redirected.path().strip_suffix("/info/refs").map(str::to_owned);
                if let Some(path) = path {
                    redirected.set_path(&path);
                    *base = redirected;
                }
                let mut reader = body(answer);
                // Servers of version 2 leave out the line that names the service.
                let mut first = reader.text().await?;
                if first.as_ref().is_some_and(|line| line.starts_with("# service=")) {
                    reader.next().await?;
                    first = reader.text().await?;
                }
                Ok((first, Lines::Own(reader)))
            }
        }
    }

    /// A request and its answer.
    pub(super) async fn exchange(
        &mut self,
        request: Vec<u8>,
        version_2: bool,
    ) -> Result<Lines<'_>> {
        if matches!(self, Self::Stream { .. }) {
            self.write(&request).await?;
        }
        match self {
            Self::Stream { reader, .. } => Ok(Lines::Borrowed(reader)),
            Self::Http { http, base } => {
                let url = below(base, "git-upload-pack", None)?;
                let version = "git-protocol".parse().map_err(own)?;
                let headers = [
                    (header::CONTENT_TYPE, "application/x-git-upload-pack-request"),
                    (header::ACCEPT, "application/x-git-upload-pack-result"),
                    (version, VERSION_2),
                ];
                let headers = if version_2 { &headers[..] } else { &headers[..2] };
                let ask =
                    Ask { method: Method::POST, url: &url, headers, body: request, bound: ANSWER };
                let answer = http.send(ask).await?.ok("git repository")?;
                if answer.header(header::CONTENT_TYPE) != "application/x-git-upload-pack-result" {
                    return Err(Fault::refused("the answer is not git's protocol"));
                }
                Ok(Lines::Own(body(answer)))
            }
        }
    }
}

/// The lines of an answer: a body of its own, or what comes next on the one connection.
pub(super) enum Lines<'a> {
    Own(Reader),
    Borrowed(&'a mut Reader),
}

impl std::ops::Deref for Lines<'_> {
    type Target = Reader;
    fn deref(&self) -> &Reader {
        match self {
            Self::Own(reader) => reader,
            Self::Borrowed(reader) => reader,
        }
    }
}

impl std::ops::DerefMut for Lines<'_> {
    fn deref_mut(&mut self) -> &mut Reader {
        match self {
            Self::Own(reader) => reader,
            Self::Borrowed(reader) => reader,
        }
    }
}

fn body(answer: Answer) -> Reader {
    Reader::new(StreamReader::new(answer.body), ANSWER)
}

/// A URL below the repository's.
fn below(base: &Url, path: &str, query: Option<&str>) -> Result<Url> {
    let mut url = base.clone();
    url.path_segments_mut()
        .map_err(|()| Fault::refused("the URL has no path"))?
        .pop_if_empty()
        .extend(path.split('/'));
    if query.is_some() {
        url.set_query(query);
    }
    Ok(url)
}

fn own(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Fault {
    Fault::Own(std::io::Error::other(error))
}
