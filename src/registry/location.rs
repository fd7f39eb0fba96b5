//! What a registry is called, and the grammar of what it holds. No I/O.

use std::net::IpAddr;

use http::uri::Authority;

use crate::{
    error::{Error, Problem, Result},
    model::Name,
};

/// The setting that a wrong location comes from.
const SETTING: &str = "CRANE_REGISTRY";

/// `host[:port][/prefix]`, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Location {
    /// `host[:port]`, as image references and Docker's credentials name it.
    pub(super) host: String,
    /// The path that every repository is under, if there is one.
    pub(super) prefix: Option<Name>,
    /// The host is this machine: `localhost`, 127.0.0.0/8 or `::1`.
    pub(super) loopback: bool,
}

impl Location {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let refuse = |reason: &str| {
            Err(Error::problem(Problem::new(
                SETTING,
                format!(
                    "'{text}' {reason}; a registry is written host[:port][/prefix], for example \
                     127.0.0.1:5000 or registry.example.org/team"
                ),
            )))
        };
        if text.contains("://") {
            return refuse("has a scheme");
        }
        if text.contains('@') {
            // Not repeated in the message: what stands before the '@' may be a password.
            return Err(Error::problem(Problem::new(
                SETTING,
                "has an '@'; the user name and the password have settings of their own, \
                 CRANE_REGISTRY_USERNAME and CRANE_REGISTRY_PASSWORD",
            )));
        }
        let (host, prefix) = match text.split_once('/') {
            Some((host, prefix)) => (host, Some(Name::parse(SETTING, prefix)?)),
            None => (text, None),
        };
        let Ok(authority) = host.parse::<Authority>() else {
            return refuse("does not begin with a host");
        };
        // `Authority` takes "host:" and "host:99999" as well.
        let bare = authority.host();
        if host.len() > bare.len() && authority.port_u16().is_none_or(|port| port == 0) {
            return refuse("has no port from 1 to 65535 after the ':'");
        }
        // Docker reads a first component without any of these as a user of Docker Hub.
        if !host.contains(['.', ':']) && bare != "localhost" {
            return refuse(
                "has a host without a dot and without a port, which Docker takes for \
                           a part of an image name (add the port)",
            );
        }
        Ok(Self { host: host.to_owned(), prefix, loopback: is_loopback(bare) })
    }

    /// The repository's path at the registry, below the prefix.
    pub(super) fn path(&self, repository: &str) -> String {
        match &self.prefix {
            Some(prefix) => format!("{prefix}/{repository}"),
            None => repository.to_owned(),
        }
    }
}

/// `localhost`, 127.0.0.0/8 or `::1`, without a port.
pub(super) fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// An address as it may be told: what stands behind the `?` lets whoever knows it in.
pub(super) fn shown(address: &str) -> String {
    let address = address.split_once('?').map_or(address, |(address, _)| address);
    address.escape_debug().to_string()
}

/// Whether a text can stand for `<name>` in a path below `/v2/`. Stricter than a URL, so that
/// nothing of it can climb out of its place (OCI Distribution Specification, "Pulling manifests").
pub(super) fn is_repository(text: &str) -> bool {
    text.split('/').all(|part| {
        part.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && part.bytes().all(|b| {
                b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-')
            })
    })
}

/// `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}` (OCI Distribution Specification, "Pulling manifests").
pub(super) fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (1..=128).contains(&text.len())
        && text.bytes().enumerate().all(|(at, b)| word(b) || at > 0 && matches!(b, b'.' | b'-'))
}

/// `sha256:` or `sha512:` and its hexadecimal digits in lower case: the two algorithms that the
/// OCI Image Specification registers ("Digests").
pub(super) fn is_digest(text: &str) -> bool {
    let Some((algorithm, hex)) = text.split_once(':') else { return false };
    matches!((algorithm, hex.len()), ("sha256", 64) | ("sha512", 128))
        && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_a_host_a_port_and_a_prefix() {
        for (text, host, prefix, loopback) in [
            ("127.0.0.1:5000", "127.0.0.1:5000", None, true),
            ("127.8.0.1:5000/team", "127.8.0.1:5000", Some("team"), true),
            ("localhost", "localhost", None, true),
            ("[::1]:5000", "[::1]:5000", None, true),
            ("registry.example.org", "registry.example.org", None, false),
            ("registry:443/a/b", "registry:443", Some("a/b"), false),
            ("10.0.0.1:5000", "10.0.0.1:5000", None, false),
            ("localhost.example.org", "localhost.example.org", None, false),
        ] {
            let location = Location::parse(text).unwrap();
            assert_eq!(location.host, host, "{text}");
            assert_eq!(location.prefix.as_ref().map(Name::as_str), prefix, "{text}");
            assert_eq!(location.loopback, loopback, "{text}");
        }
    }

    #[test]
    fn another_form_is_refused_with_the_setting_and_the_right_form() {
        for text in [
            "",
            "registry",
            "http://127.0.0.1:5000",
            "127.0.0.1:",
            "127.0.0.1:0",
            "127.0.0.1:65536",
            "127.0.0.1:5000/",
            "127.0.0.1:5000/../x",
            "a b.example.org",
            "a.example.org?x",
        ] {
            let error = Location::parse(text).unwrap_err();
            assert_eq!(error.problems()[0].path, "CRANE_REGISTRY", "{text}: {error}");
        }
        let error = Location::parse("crane:hidden@registry.example.org").unwrap_err().to_string();
        assert!(error.contains("CRANE_REGISTRY_PASSWORD") && !error.contains("hidden"), "{error}");
    }

    #[test]
    fn nothing_climbs_out_of_its_place_in_a_path() {
        assert!(is_repository("team/web-server") && is_repository("a__b/c.d"));
        for bad in ["", "/a", "a/", "a//b", "../a", "a/..", "A", "a?b", "a%2fb", "a b", "ü"] {
            assert!(!is_repository(bad), "{bad:?}");
        }
        assert!(is_tag("latest") && is_tag("_a.B-1") && !is_tag(".a") && !is_tag("a/b"));
        assert!(!is_tag("") && !is_tag(&"x".repeat(129)));
        assert!(is_digest(&format!("sha256:{}", "0a".repeat(32))));
        for bad in ["sha256:", "sha256:0A", "md5:00", "latest"] {
            assert!(!is_digest(bad), "{bad:?}");
        }
    }
}
