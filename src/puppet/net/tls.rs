//! Which servers are believed over TLS.

use std::{path::PathBuf, sync::Arc};

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, pem::PemObject};

use crate::error::{Error, Result};

/// Those with a certificate from a CA of the system's or of one of these PEM files. Reads some
/// hundred files, so it blocks.
pub(in super::super) fn configuration(authorities: &[PathBuf]) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    // A machine without CA certificates can still use servers whose CA is among the files.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    for file in authorities {
        let unreadable = |error: &dyn std::error::Error| {
            Error::unavailable("puppet", format!("the CA file {}: {error}", file.display()))
        };
        let certificates =
            CertificateDer::pem_file_iter(file).map_err(|error| unreadable(&error))?;
        for certificate in certificates {
            let certificate = certificate.map_err(|error| unreadable(&error))?;
            roots.add(certificate).map_err(|error| unreadable(&error))?;
        }
    }
    // The provider is named here because the program has no default one.
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let configuration = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(Error::internal)?;
    Ok(configuration.with_root_certificates(roots).with_no_client_auth())
}
