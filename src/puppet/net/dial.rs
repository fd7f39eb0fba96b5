//! Connecting: the names are looked up here, and the address that was checked is the one connected
//! to, so that a name that answers differently the next time gains nothing.

use std::{
    future::Future,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use super::{
    Egress,
    proxy::{Proxies, Way},
};
use crate::puppet::fault::{Fault, Result};

/// A server further away than this is unusable for modules as well.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// A proxy looks up a name and connects in this time.
const TUNNEL_LIMIT: Duration = Duration::from_secs(20);

/// A connection to the first address of the host that answers, of those that the policy allows.
/// One that it does not allow is an error even when others would do: a name that has such an
/// address among its own is not one to trust.
pub(in super::super) async fn dial(egress: &Egress, host: &str, port: u16) -> Result<TcpStream> {
    egress.check_host(host).map_err(Fault::Refused)?;
    connect(Some(egress), host, port).await
}

/// The same of a host that no policy is about: one that is configured, as a proxy is.
async fn connect(egress: Option<&Egress>, host: &str, port: u16) -> Result<TcpStream> {
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    let addresses: Vec<SocketAddr> = match literal.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, port)],
        Err(_) => tokio::time::timeout(CONNECT_LIMIT, tokio::net::lookup_host((host, port)))
            .await
            .map_err(|_| Fault::away(format!("the name '{host}' was not resolved in time")))?
            .map_err(|error| Fault::away(format!("the name '{host}' is not resolved: {error}")))?
            .collect(),
    };
    for address in &addresses {
        if let Some(egress) = egress {
            egress.check(literal, address.ip()).map_err(Fault::Refused)?;
        }
    }
    let mut last = Fault::away(format!("the name '{host}' has no address"));
    for address in addresses {
        match tokio::time::timeout(CONNECT_LIMIT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Requests are small and wait for their answers.
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Ok(Err(error)) => last = Fault::away(format!("{host}:{port} does not answer: {error}")),
            Err(_) => last = Fault::away(format!("{host}:{port} does not answer")),
        }
    }
    Err(last)
}

/// Dials for hyper, through the proxies that there are.
#[derive(Clone)]
pub(super) struct Dialler {
    pub(super) egress: Arc<Egress>,
    pub(super) proxies: Arc<Proxies>,
}

impl Dialler {
    async fn way(&self, scheme: &str, host: &str, port: u16) -> Result<Way> {
        let Some(proxy) = self.proxies.of(scheme, host) else {
            let stream = dial(&self.egress, host, port).await?;
            return Ok(Way { stream, whole_urls: false });
        };
        self.egress.check_unresolved(host).map_err(Fault::Refused)?;
        let stream = connect(None, &proxy.host, proxy.port).await.map_err(|fault| match fault {
            Fault::Refused(words) | Fault::Away(words) => {
                Fault::Away(format!("the proxy: {words}"))
            }
            own => own,
        })?;
        if scheme != "https" {
            return Ok(Way { stream, whole_urls: true });
        }
        let tunnel = tokio::time::timeout(TUNNEL_LIMIT, proxy.tunnel(stream, host, port)).await;
        let stream = tunnel.map_err(|_| {
            Fault::away(format!("the proxy {proxy} does not reach {host}:{port}"))
        })??;
        Ok(Way { stream, whole_urls: false })
    }
}

/// What dialling said, carried through hyper's errors to be found again.
#[derive(Debug)]
pub(super) struct Undialled(pub(super) Fault);

impl std::fmt::Display for Undialled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Undialled {}

impl Service<Uri> for Dialler {
    type Response = TokioIo<Way>;
    type Error = Undialled;
    type Future =
        Pin<Box<dyn Future<Output = std::result::Result<Self::Response, Undialled>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::result::Result<(), Undialled>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let dialler = self.clone();
        Box::pin(async move {
            let host = uri.host().unwrap_or_default();
            let scheme = uri.scheme_str().unwrap_or_default();
            let port = match (uri.port_u16(), scheme) {
                (Some(port), _) => port,
                (None, "https") => 443,
                (None, _) => 80,
            };
            let way = dialler.way(scheme, host, port).await;
            way.map(TokioIo::new).map_err(Undialled)
        })
    }
}
