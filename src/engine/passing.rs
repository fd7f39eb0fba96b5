//! Which errors of an engine may pass by themselves: it is not there for a moment, or the registry
//! that it speaks to is not.

use std::{error::Error as StdError, io};

use crate::error::{Error, Retry, chain};

/// How Docker's engine and BuildKit tell of a network that fails, in the words of Go's `net` and
/// `net/http`, and of a registry that asks for patience (OCI Distribution Specification, "Error
/// Codes").
const PASSING: [&str; 17] = [
    "connection refused",
    "connection reset by peer",
    "broken pipe",
    "use of closed network connection",
    "unexpected EOF",
    "i/o timeout",
    "TLS handshake timeout",
    "Client.Timeout",
    "request canceled while waiting",
    "context deadline exceeded",
    "no such host",
    "server misbehaving",
    "emporary failure in name resolution",
    "no route to host",
    "network is unreachable",
    "http2: server sent GOAWAY",
    "toomanyrequests",
];

/// What stands somewhere before the status that a registry answered.
const BEFORE_STATUS: [&str; 4] = [
    "unexpected HTTP status",
    "unexpected status",
    "failed with status code",
    "error parsing HTTP ",
];

/// What the engine says of work that it could not do.
pub(super) fn failed(message: impl Into<String>) -> Error {
    let message = message.into();
    let passes = says_passing(&message);
    let error = Error::failed(message);
    if passes { error.may_pass(None) } else { error }
}

/// No answer came. That passes when the engine is started, not when it may not be spoken to.
pub(super) fn unreachable(error: &(dyn StdError + 'static)) -> Error {
    let unavailable = Error::unavailable("engine", chain(error));
    match kind(error) {
        // TLS that does not fit together is invalid data.
        None | Some(io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidData) => unavailable,
        Some(_) => unavailable.may_pass(None),
    }
}

/// The kind of the first I/O error among the causes.
pub(super) fn kind(error: &(dyn StdError + 'static)) -> Option<io::ErrorKind> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        cause = error.source();
    }
    None
}

/// Whether the engine says that a network or a registry failed it for now.
pub(super) fn says_passing(message: &str) -> bool {
    // A certificate stays what it is, also where a time limit is told beside it.
    if message.contains("x509: ") {
        return false;
    }
    let status = BEFORE_STATUS.iter().any(|before| {
        let rest = message.split_once(before).map_or("", |(_, rest)| rest);
        let status =
            |word: &str| word.trim_end_matches(':').parse().is_ok_and(Retry::may_help_after);
        rest.split_whitespace().any(status)
    });
    status || message.trim_end().ends_with(": EOF") || PASSING.iter().any(|p| message.contains(p))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_told_from_what_does_not() {
        for passing in [
            "received unexpected HTTP status: 503 Service Unavailable",
            "failed to do request: unexpected status from HEAD request to \
             https://r/v2/a/b/manifests/1: 502 Bad Gateway",
            "pulling from host 127.0.0.1:1 failed with status code [manifests 1]: 503 Service \
             Unavailable",
            "error parsing HTTP 429 response body: invalid character 'T'",
            "toomanyrequests: You have reached your pull rate limit",
            "Get \"http://127.0.0.1:1/v2/\": dial tcp 127.0.0.1:1: connect: connection refused",
            "Put \"http://127.0.0.1:1/v2/a/blobs/uploads/x\": EOF",
            "net/http: TLS handshake timeout",
            "write tcp 127.0.0.1:2->127.0.0.1:1: use of closed network connection",
        ] {
            assert!(says_passing(passing), "{passing}");
            assert!(failed(passing).retry().is_some());
        }
        for lasting in [
            "manifest for 127.0.0.1:503/a:1 not found: manifest unknown",
            "unauthorized: authentication required",
            "received unexpected HTTP status: 501 Not Implemented",
            "pulling from host 127.0.0.1:503 failed with status code [manifests 503]: 403 Forbidden",
            "unexpected status from HEAD request to https://r/v2/a/manifests/503: 403 Forbidden",
            "tls: failed to verify certificate: x509: certificate signed by unknown authority",
            "dockerfile parse error line 3: unknown instruction: RUNN",
        ] {
            assert!(!says_passing(lasting), "{lasting}");
            assert!(failed(lasting).retry().is_none());
        }
    }
}
