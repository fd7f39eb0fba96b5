//! The keys that Crane shows to servers.

use std::{fs, path::PathBuf, sync::Arc};

use russh::keys::{PrivateKey, decode_secret_key};
use secrecy::{ExposeSecret, SecretString};

use super::known_hosts;
use crate::error::{Error, Result};

/// A private key in OpenSSH's or in PKCS#8 format. RSA is not supported: no implementation in Rust
/// signs with it in constant time.
#[derive(Debug, Clone)]
pub struct SshKey {
    /// `host` or `host:port`; none: shown to every host.
    pub host: Option<String>,
    pub file: PathBuf,
    pub passphrase: Option<SecretString>,
}

impl SshKey {
    /// Reads the key, so that what is wrong with it is known. Blocks.
    pub fn check(&self) -> Result<()> {
        self.read().map(drop)
    }

    pub(super) fn read(&self) -> Result<Identity> {
        // The library's words may have parts of the file in them.
        let refuse = |why: &str| {
            let file = self.file.display();
            Err(Error::unavailable("puppet", format!("the SSH key {file} {why}")))
        };
        let text = match fs::read_to_string(&self.file) {
            Ok(text) => SecretString::from(text),
            Err(error) => return refuse(&format!("cannot be read: {error}")),
        };
        let text = text.expose_secret();
        let passphrase = self.passphrase.as_ref().map(ExposeSecret::expose_secret);
        let key = match decode_secret_key(text, passphrase) {
            Ok(key) if key.algorithm().is_rsa() => return refuse("is RSA's: use Ed25519 or ECDSA"),
            Ok(key) if !key.is_encrypted() => key,
            Err(_) if text.contains("BEGIN RSA ") => {
                return refuse("is RSA's: use Ed25519 or ECDSA");
            }
            _ if passphrase.is_none() && is_encrypted(text) => {
                return refuse("has a passphrase, and none is configured");
            }
            _ if passphrase.is_some() => {
                return refuse("cannot be read: is the passphrase right, and is it a private key?");
            }
            _ => return refuse("is no private key in OpenSSH's or in PKCS#8 format"),
        };
        Ok(Identity { host: self.host.clone(), key: Arc::new(key) })
    }
}

fn is_encrypted(text: &str) -> bool {
    text.contains("BEGIN ENCRYPTED PRIVATE KEY")
        || PrivateKey::from_openssh(text).is_ok_and(|key| key.is_encrypted())
}

/// A key that was read.
pub(super) struct Identity {
    host: Option<String>,
    pub(super) key: Arc<PrivateKey>,
}

impl Identity {
    pub(super) fn is_for(&self, host: &str, port: u16) -> bool {
        let Some(own) = &self.host else { return true };
        let own = own.to_ascii_lowercase();
        let host = known_hosts::name(host, known_hosts::PORT);
        own == host || own == format!("{host}:{port}") || own == format!("[{host}]:{port}")
    }

    /// For an error: nothing of it is secret.
    pub(super) fn shown(&self) -> String {
        let key = self.key.public_key();
        format!("{} {}", key.algorithm().as_str(), known_hosts::fingerprint(key))
    }
}
