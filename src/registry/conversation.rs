//! A few requests to the registry that belong together: how it is spoken to is found out once, and
//! the authorization that it asked for is given again with each.

use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, header, uri::Scheme};
use hyper::body::Incoming;

use super::{Registry, auth, auth::Challenge, client::Failure, location, payload::Payload};
use crate::error::Result;

pub(super) struct Conversation<'a> {
    registry: &'a Registry,
    scheme: Scheme,
    authorization: Option<HeaderValue>,
}

impl<'a> Conversation<'a> {
    pub(super) async fn begin(registry: &'a Registry) -> Result<Self> {
        Ok(Self { registry, scheme: registry.scheme().await?, authorization: None })
    }

    /// A path below `/v2/`.
    pub(super) fn uri(&self, path: &str) -> Result<Uri> {
        self.registry.uri(self.scheme.clone(), path)
    }

    /// The answer as soon as it begins. To the registry the request goes without credentials first
    /// and again with them if it asks for them, and to any other host without.
    pub(super) async fn send(
        &mut self,
        method: &Method,
        uri: &Uri,
        mut headers: HeaderMap,
        payload: &Payload<'_>,
    ) -> Result<Response<Incoming>> {
        let parts = &*self.registry.0;
        let (client, host) = (&parts.client, self.registry.host());
        let own = uri.scheme() == Some(&self.scheme)
            && uri.authority().is_some_and(|authority| authority.as_str() == host);
        let name = uri.authority().map_or(host, |authority| authority.as_str());
        let explain = |failure: Failure| client.explain(name, &failure);
        if let (true, Some(authorization)) = (own, &self.authorization) {
            headers.insert(header::AUTHORIZATION, authorization.clone());
        }
        let send = async |headers| client.begin(method, uri, headers, payload).await;
        let answer = send(headers.clone()).await.map_err(explain)?;
        if !own || answer.status() != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        // The first time, or a token that has run out meanwhile, or one for something else.
        let authorization = Challenge::of(answer.headers())
            .answer(client, host, &self.scheme, parts.credentials.as_ref())
            .await?;
        headers.insert(header::AUTHORIZATION, authorization.clone());
        let answer = send(headers).await.map_err(explain)?;
        if answer.status() == StatusCode::UNAUTHORIZED {
            return Err(auth::refused(host, parts.credentials.as_ref()));
        }
        self.authorization = Some(authorization);
        Ok(answer)
    }

    /// Where the `Location` of an answer to `asked` leads.
    ///
    /// Fails where images would travel less protected there than to the registry itself.
    pub(super) fn target(&self, asked: &Uri, headers: &HeaderMap) -> Result<Uri> {
        let text = headers.get(header::LOCATION).and_then(|value| value.to_str().ok());
        let text = text.unwrap_or_default();
        resolve(asked, text).filter(|target| self.is_protected(target)).ok_or_else(|| {
            super::unavailable(
                self.registry.host(),
                format!(
                    "sends clients to '{}', where images would travel unprotected or not at all: \
                     let it name an https address (docker-registry: http.host in its \
                     configuration, or X-Forwarded-Proto from what stands before it)",
                    location::shown(text)
                ),
            )
        })
    }

    /// See the rule in the description of [`Registry`].
    fn is_protected(&self, target: &Uri) -> bool {
        match target.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => target.host().is_some(),
            Some(scheme) if *scheme == Scheme::HTTP => {
                self.scheme == Scheme::HTTP && target.host().is_some_and(location::is_loopback)
            }
            _ => false,
        }
    }
}

/// A reference against the address that was asked (RFC 3986, section 5.2), without taking dots out
/// of paths, which servers do themselves.
fn resolve(asked: &Uri, reference: &str) -> Option<Uri> {
    let (scheme, authority) = (asked.scheme_str()?, asked.authority()?);
    let absolute = reference.split_once("://").is_some_and(|(scheme, _)| {
        !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric())
    });
    let text = if reference.is_empty() {
        return None;
    } else if absolute {
        reference.to_owned()
    } else if reference.starts_with("//") {
        format!("{scheme}:{reference}")
    } else if reference.starts_with('/') {
        format!("{scheme}://{authority}{reference}")
    } else {
        let directory = asked.path().rsplit_once('/').map_or("", |(directory, _)| directory);
        format!("{scheme}://{authority}{directory}/{reference}")
    };
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_goes_where_it_would_be_less_protected() {
        let registry = Registry::open("127.0.0.1:5000", None, None).unwrap();
        let asked = Uri::from_static("https://r:5000/v2/a/blobs/1");
        let ask = |scheme: &Scheme, location: &'static str| {
            let talk =
                Conversation { registry: &registry, scheme: scheme.clone(), authorization: None };
            let location = HeaderValue::from_static(location);
            talk.target(&asked, &HeaderMap::from_iter([(header::LOCATION, location)]))
        };
        for (location, from_tls, from_plain) in [
            ("https://storage.example.org/x", true, true),
            ("http://127.0.0.1:9000/x", false, true),
            ("http://storage.example.org/x?signature=s", false, false),
            ("http://169.254.169.254/latest", false, false),
            ("ftp://storage.example.org/x", false, false),
        ] {
            let (tls, plain) = (ask(&Scheme::HTTPS, location), ask(&Scheme::HTTP, location));
            assert_eq!((tls.is_ok(), plain.is_ok()), (from_tls, from_plain), "{location}");
            if let Err(error) = plain {
                assert!(error.to_string().contains("unprotected"), "{error}");
                assert!(!error.to_string().contains("signature"), "{error}");
            }
        }
    }

    #[test]
    fn references_are_resolved_as_uris_are() {
        let asked = Uri::from_static("https://r:5000/v2/a/blobs/uploads/");
        for (reference, expected) in [
            ("/v2/a/1?_state=x", Some("https://r:5000/v2/a/1?_state=x")),
            ("1?x=y", Some("https://r:5000/v2/a/blobs/uploads/1?x=y")),
            ("http://s/1", Some("http://s/1")),
            ("//s/1", Some("https://s/1")),
            ("/1?to=http://s/", Some("https://r:5000/1?to=http://s/")),
            ("", None),
            ("https://", None),
        ] {
            let found = resolve(&asked, reference).map(|uri| uri.to_string());
            assert_eq!(found.as_deref(), expected, "{reference}");
        }
    }
}
