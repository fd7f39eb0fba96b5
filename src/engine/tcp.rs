//! The transport to an engine on another machine: TCP, with or without mutual TLS.

use std::{path::Path, time::Duration};

use http::uri::Authority;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use super::ClientCertificate;
use crate::error::{Error, Result};

/// Docker's ports (IANA: `docker`, `docker-s`).
const PORT: u16 = 2375;
const PORT_TLS: u16 = 2376;

/// A machine that does not take the connection in this time is down or behind a firewall.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A build may print nothing for long; only these probes tell that from a machine that is gone.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// `http://host:port`, the port being Docker's where the address has none.
pub(super) fn base(address: &str, tls: bool) -> Result<String> {
    let refuse = || {
        Error::invalid(format!(
            "the endpoint's address '{}' is not host or host:port",
            address.escape_debug()
        ))
    };
    // Not repeated: what is before the sign may be a password.
    if address.contains('@') {
        return Err(Error::invalid(
            "the endpoint's address has a user name; give host or host:port",
        ));
    }
    let address = address.strip_suffix('/').unwrap_or(address);
    let authority: Authority = address.parse().map_err(|_| refuse())?;
    if authority.host().is_empty() {
        return Err(refuse());
    }
    let (scheme, default) = if tls { ("https", PORT_TLS) } else { ("http", PORT) };
    let port = match authority.port() {
        Some(port) => port.as_str().parse().map_err(|_| refuse())?,
        // What is after the host can only be a colon without a port.
        None if authority.host().len() != authority.as_str().len() => return Err(refuse()),
        None => default,
    };
    Ok(format!("{scheme}://{}:{port}", authority.host()))
}

/// Speaks TLS to `https` only. The engine is believed if `tls.ca` vouches for it, and by no other
/// CA: the ones that this machine trusts for the web have no business here.
pub(super) fn connector(tls: Option<&ClientCertificate>) -> Result<HttpsConnector<HttpConnector>> {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(CONNECT_TIMEOUT));
    http.set_keepalive(Some(KEEPALIVE));
    let config = config(tls)?;
    Ok(HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_or_http()
        .enable_http1()
        .wrap_connector(http))
}

fn config(tls: Option<&ClientCertificate>) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    if let Some(files) = tls {
        for certificate in certificates(&files.ca)? {
            roots.add(certificate).map_err(|error| unusable(&files.ca, &error))?;
        }
    }
    let config = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .map_err(Error::internal)?
        .with_root_certificates(roots);
    match tls {
        None => Ok(config.with_no_client_auth()),
        Some(files) => {
            let key = PrivateKeyDer::from_pem_file(&files.key)
                .map_err(|error| unusable(&files.key, &error))?;
            config
                .with_client_auth_cert(certificates(&files.cert)?, key)
                .map_err(|error| unusable(&files.cert, &error))
        }
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unusable(path, &error))?;
    if certificates.is_empty() {
        return Err(unusable(path, &"it holds no PEM certificate"));
    }
    Ok(certificates)
}

fn unusable(path: &Path, reason: &dyn std::fmt::Display) -> Error {
    Error::invalid(format!("the certificate file {} cannot be used: {reason}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::base;

    #[test]
    fn addresses_get_dockers_ports() {
        for (address, tls, expected) in [
            ("node1", false, "http://node1:2375"),
            ("node1", true, "https://node1:2376"),
            ("node1:8080/", false, "http://node1:8080"),
            ("[::1]", false, "http://[::1]:2375"),
            ("[::1]:1", true, "https://[::1]:1"),
        ] {
            assert_eq!(base(address, tls).unwrap(), expected);
        }
        for bad in ["", "node1:", "node1:x", "node1:99999", "user@node1", "node1/path", "a b"] {
            assert!(base(bad, false).is_err(), "{bad}");
        }
    }
}
