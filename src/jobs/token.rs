//! Tokens of resources: what the CloudOpting platform keeps and comes back with.

use time::OffsetDateTime;

use crate::error::{Error, Result};

/// In the order of their bytes, so that tokens sort as the numbers they begin with.
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Milliseconds since 1970 in base 62 take seven digits until the year 2081.
const TIME_DIGITS: usize = 7;

/// 62^12 is more than 2^71: nobody guesses one, and no two of a millisecond are the same.
const RANDOM_DIGITS: usize = 12;

/// A new token: the prefix, the time (so that tokens sort by creation and none comes twice), and
/// random characters from the operating system.
pub(super) fn generate(prefix: &str) -> Result<String> {
    let mut token = prefix.to_owned();
    let mut millis = OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000;
    let mut digits = [0_u8; TIME_DIGITS];
    for digit in digits.iter_mut().rev() {
        *digit = ALPHABET[usize::try_from(millis.rem_euclid(62)).map_err(Error::internal)?];
        millis /= 62;
    }
    token.extend(digits.map(char::from));
    let mut left = RANDOM_DIGITS;
    while left > 0 {
        let mut bytes = [0_u8; 2 * RANDOM_DIGITS];
        getrandom::fill(&mut bytes).map_err(|error| Error::internal(error.to_string()))?;
        // Only values below the largest multiple of 62 count, or some characters came more often.
        for byte in bytes.into_iter().filter(|byte| *byte < 248).take(left) {
            token.push(char::from(ALPHABET[usize::from(byte % 62)]));
            left -= 1;
        }
    }
    Ok(token)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, thread::sleep, time::Duration};

    use super::generate;

    #[test]
    fn tokens_are_distinct_and_sort_by_creation() {
        let first = generate("CT").unwrap();
        let many: BTreeSet<_> = (0..1000).map(|_| generate("CT").unwrap()).collect();
        assert_eq!(many.len(), 1000);
        sleep(Duration::from_millis(2));
        let last = generate("CT").unwrap();
        assert!(first < last && many.iter().all(|token| *token < last));
        assert!(last.strip_prefix("CT").unwrap().chars().all(|c| c.is_ascii_alphanumeric()));
    }
}
