//! What may be called how.

use super::item::Item;
use crate::error::Problem;

/// A DNS label has 63 characters (RFC 1035, 2.3.4), and services find each other by DNS.
pub(super) const NAME_MAX: usize = 63;

/// A key that names a service, network or volume: `[a-zA-Z0-9._-]+` in the Compose Specification.
/// Names on the engine are made from it, so it begins as those have to.
pub(super) fn check_key(item: &Item<'_>, what: &str) -> Result<(), Problem> {
    check(item.key)
        .map_err(|rule| item.key_problem(format!("'{}' cannot name a {what}: {rule}", item.key)))
}

/// A value that names something on the engine or in its DNS.
pub(super) fn name(item: &Item<'_>) -> Result<String, Problem> {
    let name = item.word()?;
    match check(&name) {
        Ok(()) => Ok(name),
        Err(rule) => Err(item.problem(format!("'{name}' cannot be a name: {rule}"))),
    }
}

/// `[a-zA-Z0-9][a-zA-Z0-9_.-]*`, as the engine has it for containers and volumes.
pub(super) fn check(name: &str) -> Result<(), String> {
    let well_formed = name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
    if well_formed && name.len() <= NAME_MAX {
        return Ok(());
    }
    Err(format!(
        "a name has at most {NAME_MAX} characters of [a-zA-Z0-9_.-] and begins with a letter or \
         digit"
    ))
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn names_follow_the_engines_grammar() {
        for good in ["web", "1", "Web_1.x-y", &"x".repeat(63)] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in ["", "-web", ".web", "a b", "a/b", "a:b", "ü", "a\0", &"x".repeat(64)] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
