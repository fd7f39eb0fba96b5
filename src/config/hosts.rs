//! What hosts that modules come from are shown, in a file of its own: secrets of many hosts fit into
//! no variable.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use secrecy::SecretString;
use serde::Deserialize;

use super::{ConfigError, refuse};

/// What one host is shown.
#[derive(Debug, Clone)]
pub struct HostCredentials {
    /// `host` or `host:port`.
    pub host: String,
    /// Over HTTP: a user name, unless the secret is a bearer token.
    pub http: Option<(Option<String>, SecretString)>,
    pub ssh: Option<SshKey>,
}

/// A private key.
#[derive(Debug, Clone)]
pub struct SshKey {
    pub file: PathBuf,
    pub passphrase: Option<SecretString>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    username: Option<String>,
    password: Option<SecretString>,
    token: Option<SecretString>,
    ssh_key: Option<PathBuf>,
    ssh_passphrase: Option<SecretString>,
}

/// The hosts of a file, each a table under its name:
///
/// ```toml
/// ["git.example.com"]
/// username = "deploy"
/// password = "..."
///
/// ["forge.example.com:8443"]
/// token = "..."
///
/// ["git.example.com:22"]
/// ssh_key = "/etc/crane/id_ed25519"
/// ssh_passphrase = "..."
/// ```
pub(super) fn read(file: &Path) -> Result<Vec<HostCredentials>, ConfigError> {
    let name = file.display().to_string();
    let text = fs::read_to_string(file).or_else(|error| refuse(&name, error.to_string()))?;
    let line_of = |offset: usize| text[..offset.min(text.len())].matches('\n').count() + 1;
    let hosts: BTreeMap<toml::Spanned<String>, Given> = toml::from_str(&text).or_else(|error| {
        let line = error.span().map_or(1, |span| line_of(span.start));
        // The message names keys; it does not repeat values.
        refuse(format!("{name}:{line}"), error.message())
    })?;
    hosts
        .into_iter()
        .map(|(host, given)| {
            let origin = format!("{name}:{}", line_of(host.span().start));
            let host = host.into_inner();
            let http = match (given.username, given.password, given.token) {
                (Some(username), Some(password), None) => Ok(Some((Some(username), password))),
                (None, None, Some(token)) => Ok(Some((None, token))),
                (None, None, None) if given.ssh_key.is_some() => Ok(None),
                _ => Err("username and password, or token, or ssh_key"),
            };
            let ssh = match (given.ssh_key, given.ssh_passphrase) {
                (None, Some(_)) => Err("ssh_key beside ssh_passphrase"),
                (file, passphrase) => Ok(file.map(|file| SshKey { file, passphrase })),
            };
            match (http, ssh) {
                (Ok(http), Ok(ssh)) => Ok(HostCredentials { host, http, ssh }),
                (Err(needed), _) | (_, Err(needed)) => {
                    refuse(origin, format!("'{host}' needs {needed}"))
                }
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use secrecy::ExposeSecret;

    use super::*;

    fn of(text: &str) -> Result<Vec<HostCredentials>, ConfigError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        read(file.path())
    }

    #[test]
    fn hosts_have_a_user_and_a_password_or_a_token() {
        let hosts = of("[\"b.example:8443\"]\ntoken = \"t\"\n\n\
             [\"a.example\"]\nusername = \"u\"\npassword = \"p4ss\"\nssh_key = \"/k\"\n")
        .unwrap();
        let shown = |index: usize| {
            let (username, secret) = hosts[index].http.as_ref().unwrap();
            (&*hosts[index].host, username.as_deref(), secret.expose_secret())
        };
        assert_eq!(shown(0), ("a.example", Some("u"), "p4ss"));
        assert_eq!(shown(1), ("b.example:8443", None, "t"));
        let key = hosts[0].ssh.as_ref().unwrap();
        assert!(key.file.ends_with("k") && key.passphrase.is_none() && hosts[1].ssh.is_none());
        assert!(!format!("{hosts:?}").contains("p4ss"));
    }

    #[test]
    fn a_mistake_is_told_with_its_line_and_without_the_secret() {
        for (text, line) in [
            ("[a]\nusername = \"u\"\n", 1),
            ("\n[a]\nusername = \"u\"\ntoken = \"s3cret\"\n", 2),
            ("[a]\nssh_passphrase = \"s3cret\"\ntoken = \"s3cret\"\n", 1),
            ("[a]\npasword = \"s3cret\"\n", 2),
            ("[a]\ntoken = s3cret\n", 2),
        ] {
            let error = of(text).unwrap_err();
            assert!(error.origin.ends_with(&format!(":{line}")), "{error}");
            assert!(!error.to_string().contains("s3cret"), "{error}");
        }
    }
}
