//! What a registry asks for before it lets a request through, and the answer to it.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{
    HeaderMap, HeaderValue, Method, StatusCode, Uri, header,
    uri::{Authority, Scheme},
};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::{Credentials, client::Client, passing, reason_in, unavailable};
use crate::error::{Error, Result};

/// One challenge of a `WWW-Authenticate` header (RFC 9110, section 11.6.1).
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    /// A token from the server at `realm` (Distribution's "Token Authentication Specification").
    Bearer {
        realm: String,
        service: Option<String>,
        scope: Option<String>,
    },
    /// Schemes that are not spoken here, as the server names them.
    Other(String),
}

impl Challenge {
    /// The challenge to answer: where a server leaves the choice, the token, because the password
    /// then goes to one place only.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut offered = headers
            .get_all(header::WWW_AUTHENTICATE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(parse)
            .collect::<Vec<_>>();
        offered.sort_by_key(|challenge| match challenge {
            Self::Bearer { .. } => 0,
            Self::Basic => 1,
            Self::Other(_) => 2,
        });
        offered.into_iter().next().unwrap_or_else(|| Self::Other("none that it names".into()))
    }

    /// The `Authorization` header for `host`, which was spoken to over `scheme`.
    pub(super) async fn answer(
        self,
        client: &Client,
        host: &str,
        scheme: &Scheme,
        credentials: Option<&Credentials>,
    ) -> Result<HeaderValue> {
        match self {
            Self::Basic => match credentials {
                Some(credentials) => basic(credentials),
                None => Err(unavailable(
                    host,
                    "asks for a user name and a password: set CRANE_REGISTRY_USERNAME and \
                     CRANE_REGISTRY_PASSWORD",
                )),
            },
            Self::Bearer { realm, service, scope } => {
                let server = realm_uri(&realm, service.as_deref(), scope.as_deref())
                    .filter(|uri| is_trustworthy(uri, host, scheme))
                    .ok_or_else(|| {
                        unavailable(
                            host,
                            format!(
                                "sends clients to '{}' for a token, where credentials would travel \
                                 unprotected: give its token server an https address",
                                realm.escape_debug()
                            ),
                        )
                    })?;
                token(client, host, server, credentials).await
            }
            Self::Other(name) => Err(unavailable(
                host,
                format!(
                    "asks for authorization of the kind '{}'; Basic and Bearer are spoken here",
                    name.escape_debug()
                ),
            )),
        }
    }
}

/// The error for credentials that are not accepted.
pub(super) fn refused(host: &str, credentials: Option<&Credentials>) -> Error {
    let reason = match credentials {
        Some(Credentials { username, .. }) => format!(
            "refuses the user name '{username}' or its password: correct CRANE_REGISTRY_USERNAME \
             and CRANE_REGISTRY_PASSWORD"
        ),
        None => "lets no one in without a user name and a password: set CRANE_REGISTRY_USERNAME \
                 and CRANE_REGISTRY_PASSWORD"
            .into(),
    };
    unavailable(host, reason)
}

/// RFC 7617.
fn basic(credentials: &Credentials) -> Result<HeaderValue> {
    let Credentials { username, password } = credentials;
    let pair = format!("{username}:{}", password.expose_secret());
    secret_header(&format!("Basic {}", BASE64_STANDARD.encode(pair)))
}

/// A header that hyper neither indexes nor prints.
fn secret_header(text: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(text).map_err(Error::internal)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Asks the token server, with the credentials if there are any: servers also give tokens to
/// anonymous clients, for what is public.
async fn token(
    client: &Client,
    host: &str,
    server: Uri,
    credentials: Option<&Credentials>,
) -> Result<HeaderValue> {
    #[derive(Deserialize)]
    struct Token {
        token: Option<SecretString>,
        /// The name in OAuth 2.0, which servers may use instead.
        access_token: Option<SecretString>,
    }
    let name = format!("{host} (its token server {})", server.host().unwrap_or_default());
    let mut headers = HeaderMap::new();
    if let Some(credentials) = credentials {
        headers.insert(header::AUTHORIZATION, basic(credentials)?);
    }
    let answer = client
        .send(Method::GET, server, headers)
        .await
        .map_err(|failure| client.explain(&name, &failure))?;
    match answer.status {
        StatusCode::OK => {}
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            return Err(refused(&name, credentials));
        }
        status => {
            let error = unavailable(&name, format!("answers {status}{}", reason_in(&answer)));
            return Err(passing::mark(error, passing::retry(status, &answer.headers)));
        }
    }
    let token = serde_json::from_slice::<Token>(&answer.body)
        .ok()
        .and_then(|body| body.token.or(body.access_token))
        .ok_or_else(|| unavailable(&name, "answers 200 without a token in it"))?;
    secret_header(&format!("Bearer {}", token.expose_secret()))
}

/// Whether a password may go there: it travels encrypted, or no less protected than to the
/// registry itself, which is only spoken to in plain HTTP on this machine.
fn is_trustworthy(server: &Uri, host: &str, scheme: &Scheme) -> bool {
    let same_host =
        host.parse::<Authority>().is_ok_and(|registry| Some(registry.host()) == server.host());
    match server.scheme() {
        Some(found) if *found == Scheme::HTTPS => true,
        Some(found) if *found == Scheme::HTTP => same_host && *scheme == Scheme::HTTP,
        _ => false,
    }
}

fn realm_uri(realm: &str, service: Option<&str>, scope: Option<&str>) -> Option<Uri> {
    let mut text = realm.to_owned();
    let mut separator = if realm.contains('?') { '&' } else { '?' };
    let service = service.map(|service| ("service", service));
    // Several scopes come in one challenge with spaces between, and go as a parameter each.
    let scopes = scope.into_iter().flat_map(str::split_whitespace).map(|scope| ("scope", scope));
    for (key, value) in service.into_iter().chain(scopes) {
        text.push(separator);
        text.push_str(key);
        text.push('=');
        push_encoded(&mut text, value);
        separator = '&';
    }
    text.parse().ok()
}

/// Percent-encoding of everything that is not an "unreserved" character (RFC 3986, section 2.3).
fn push_encoded(text: &mut String, value: &str) {
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                text.push(char::from(byte));
            }
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
}

/// The challenges in one header value. What does not follow the grammar is passed over.
fn parse(text: &str) -> Vec<Challenge> {
    let mut challenges = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',', '=']);
        let Some((word, tail)) = take_token(rest) else { return challenges };
        rest = tail.trim_start_matches([' ', '\t']);
        // A word with '=' behind it is a parameter of the last challenge, any other one begins a
        // challenge.
        let Some(tail) = rest.strip_prefix('=') else {
            challenges.push(match word.to_ascii_lowercase().as_str() {
                "basic" => Challenge::Basic,
                "bearer" => Challenge::Bearer { realm: String::new(), service: None, scope: None },
                _ => Challenge::Other(word.to_owned()),
            });
            continue;
        };
        let (value, tail) = take_value(tail.trim_start_matches([' ', '\t']));
        rest = tail;
        if let Some(Challenge::Bearer { realm, service, scope }) = challenges.last_mut() {
            match word.to_ascii_lowercase().as_str() {
                "realm" => *realm = value,
                "service" => *service = Some(value),
                "scope" => *scope = Some(value),
                _ => {}
            }
        }
    }
}

/// A `token` of RFC 9110, section 5.6.2, generously: up to the next separator.
fn take_token(text: &str) -> Option<(&str, &str)> {
    let end = text.find([' ', '\t', ',', '=', '"']).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// A token or a quoted string, with its backslashes taken out.
fn take_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let (token, rest) = take_token(text).unwrap_or(("", text));
        return (token.to_owned(), rest);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            _ => value.push(character),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        Challenge::Bearer {
            realm: realm.into(),
            service: service.map(Into::into),
            scope: scope.map(Into::into),
        }
    }

    #[test]
    fn challenges_are_taken_apart() {
        assert_eq!(parse(r#"Basic realm="a, b""#), [Challenge::Basic]);
        assert_eq!(
            parse(
                r#"Bearer realm="https://auth.example.org/token",service="r",scope="repository:a/b:pull,push""#
            ),
            [bearer("https://auth.example.org/token", Some("r"), Some("repository:a/b:pull,push"))]
        );
        assert_eq!(
            parse(r#"Negotiate, basic realm=x, BEARER realm="h\"i" , service = s"#),
            [
                Challenge::Other("Negotiate".into()),
                Challenge::Basic,
                bearer("h\"i", Some("s"), None)
            ]
        );
    }

    #[test]
    fn what_is_no_challenge_is_passed_over() {
        for text in ["", " ,, ", "=", "\"", "Bearer realm=\"open", "Negotiate a=="] {
            parse(text);
        }
        assert_eq!(parse("\"x\" Basic"), []);
    }

    #[test]
    fn the_token_is_preferred() {
        let mut headers = HeaderMap::new();
        headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=x"));
        headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=y"));
        assert_eq!(Challenge::of(&headers), bearer("y", None, None));
        assert!(matches!(Challenge::of(&HeaderMap::new()), Challenge::Other(_)));
    }

    #[test]
    fn the_token_request_is_encoded() {
        let uri = realm_uri("https://a/token?x=1", Some("r & s"), Some("repository:a/b:pull c:d"));
        assert_eq!(
            uri.unwrap().to_string(),
            "https://a/token?x=1&service=r%20%26%20s&scope=repository%3Aa%2Fb%3Apull&scope=c%3Ad"
        );
    }

    #[test]
    fn a_password_is_only_sent_where_it_is_protected() {
        let ask = |realm: &str, host, scheme| {
            realm_uri(realm, None, None).is_some_and(|uri| is_trustworthy(&uri, host, &scheme))
        };
        assert!(ask("https://auth.example.org/", "registry.example.org", Scheme::HTTPS));
        assert!(ask("http://127.0.0.1:9/t", "127.0.0.1:5000", Scheme::HTTP));
        assert!(!ask("http://registry.example.org/t", "registry.example.org", Scheme::HTTPS));
        assert!(!ask("http://10.0.0.1/t", "127.0.0.1:5000", Scheme::HTTP));
        assert!(!ask("/token", "127.0.0.1:5000", Scheme::HTTP));
        assert!(!ask("", "127.0.0.1:5000", Scheme::HTTP));
    }
}
