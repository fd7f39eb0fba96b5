//! Which answers of a registry may be others the next time, and how long it wants to be left alone.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode, header};

use crate::error::{Error, Retry};

/// Longer waits are a mistake of the server's, or a clock that is wrong.
const AFTER_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// `None` for an answer that will stay the same.
pub(super) fn retry(status: StatusCode, headers: &HeaderMap) -> Option<Retry> {
    Retry::may_help_after(status.as_u16())
        .then(|| Retry { after: after(headers, SystemTime::now()) })
}

/// The error, marked as one that may pass if the answer was one.
pub(super) fn mark(error: Error, retry: Option<Retry>) -> Error {
    match retry {
        Some(Retry { after }) => error.may_pass(after),
        None => error,
    }
}

/// `Retry-After`: seconds, or a date in any of HTTP's three forms (RFC 9110, sections 10.2.3 and
/// 5.6.7).
fn after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let after = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or(Duration::ZERO)
        }
    };
    Some(after.min(AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn patience_is_read_in_seconds_and_as_a_date() {
        // 1994-11-06T08:49:37Z, the example of RFC 9110, section 5.6.7.
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (text, expected) in [
            ("120", Some(120)),
            ("0", Some(0)),
            ("Sun, 06 Nov 1994 08:49:47 GMT", Some(10)),
            ("Sunday, 06-Nov-94 08:49:47 GMT", Some(10)),
            ("Sun Nov  6 08:49:47 1994", Some(10)),
            ("Sun, 06 Nov 1994 08:49:27 GMT", Some(0)),
            ("18446744073709551615", Some(86_400)),
            ("-1", None),
            ("soon", None),
        ] {
            let headers =
                HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_str(text).unwrap())]);
            assert_eq!(after(&headers, now), expected.map(Duration::from_secs), "{text}");
        }
        assert_eq!(after(&HeaderMap::new(), now), None);
    }

    #[test]
    fn answers_that_stay_are_not_asked_for_again() {
        for (code, passes) in
            [(429, true), (500, true), (503, true), (501, false), (403, false), (404, false)]
        {
            let status = StatusCode::from_u16(code).unwrap();
            assert_eq!(retry(status, &HeaderMap::new()).is_some(), passes, "{code}");
        }
    }
}
