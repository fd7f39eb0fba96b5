//! What hosts that modules come from are shown, in a file of its own: secrets of many hosts fit into
//! no variable.

use std::{collections::BTreeMap, fs, path::Path};

use secrecy::SecretString;
use serde::Deserialize;

use super::{ConfigError, refuse};

/// What one host is shown.
#[derive(Debug, Clone)]
pub struct HostCredential {
    /// `host` or `host:port`.
    pub host: String,
    /// None: `secret` is a bearer token.
    pub username: Option<String>,
    pub secret: SecretString,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    username: Option<String>,
    password: Option<SecretString>,
    token: Option<SecretString>,
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
/// ```
pub(super) fn read(file: &Path) -> Result<Vec<HostCredential>, ConfigError> {
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
            match (given.username, given.password, given.token) {
                (Some(username), Some(secret), None) => {
                    Ok(HostCredential { host, username: Some(username), secret })
                }
                (None, None, Some(secret)) => Ok(HostCredential { host, username: None, secret }),
                _ => refuse(origin, format!("'{host}' needs username and password, or token")),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use secrecy::ExposeSecret;

    use super::*;

    fn of(text: &str) -> Result<Vec<HostCredential>, ConfigError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        read(file.path())
    }

    #[test]
    fn hosts_have_a_user_and_a_password_or_a_token() {
        let hosts = of("[\"b.example:8443\"]\ntoken = \"t\"\n\n\
             [\"a.example\"]\nusername = \"u\"\npassword = \"p4ss\"\n")
        .unwrap();
        let shown: Vec<_> = hosts
            .iter()
            .map(|host| (&*host.host, host.username.as_deref(), host.secret.expose_secret()))
            .collect();
        assert_eq!(shown, [("a.example", Some("u"), "p4ss"), ("b.example:8443", None, "t")]);
        assert!(!format!("{hosts:?}").contains("p4ss"));
    }

    #[test]
    fn a_mistake_is_told_with_its_line_and_without_the_secret() {
        for (text, line) in [
            ("[a]\nusername = \"u\"\n", 1),
            ("\n[a]\nusername = \"u\"\ntoken = \"s3cret\"\n", 2),
            ("[a]\npasword = \"s3cret\"\n", 2),
            ("[a]\ntoken = s3cret\n", 2),
        ] {
            let error = of(text).unwrap_err();
            assert!(error.origin.ends_with(&format!(":{line}")), "{error}");
            assert!(!error.to_string().contains("s3cret"), "{error}");
        }
    }
}
