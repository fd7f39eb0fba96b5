//! Versions of releases, and ranges of them as Puppet defines these (`SemanticPuppet::VersionRange`,
//! version 1, which follows npm's): comparisons with spaces between them hold together, `||` is
//! between alternatives, and a pre-release is in a range only if the range names one of the same
//! three numbers.

use std::{cmp::Ordering, fmt};

use pubgrub::Ranges;

/// A version (Semantic Versioning 2.0.0); what stands after a `+` does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Version {
    numbers: [u64; 3],
    /// Empty for a release that is none.
    prerelease: Vec<Word>,
}

/// Numbers come before texts (section 11.4.3).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Word {
    Number(u64),
    Text(String),
}

impl Version {
    pub(super) fn parse(text: &str) -> Option<Self> {
        match Partial::parse(text)? {
            Partial { numbers: [Some(major), Some(minor), Some(patch)], prerelease } => {
                Some(Self { numbers: [major, minor, patch], prerelease })
            }
            _ => None,
        }
    }

    /// The first that there is.
    pub(super) fn zero() -> Self {
        Self { numbers: [0; 3], prerelease: Vec::new() }
    }

    pub(super) fn is_prerelease(&self) -> bool {
        !self.prerelease.is_empty()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.numbers;
        write!(f, "{major}.{minor}.{patch}")?;
        for (number, word) in self.prerelease.iter().enumerate() {
            let mark = if number == 0 { '-' } else { '.' };
            match word {
                Word::Number(value) => write!(f, "{mark}{value}")?,
                Word::Text(text) => write!(f, "{mark}{text}")?,
            }
        }
        Ok(())
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.numbers.cmp(&other.numbers).then_with(|| {
            match (self.prerelease.is_empty(), other.prerelease.is_empty()) {
                (true, true) => Ordering::Equal,
                (true, false) => Ordering::Greater,
                (false, true) => Ordering::Less,
                (false, false) => self.prerelease.cmp(&other.prerelease),
            }
        })
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A version of which the end may be missing: `1`, `1.2`, `1.x`, `*`.
struct Partial {
    numbers: [Option<u64>; 3],
    prerelease: Vec<Word>,
}

impl Partial {
    fn parse(text: &str) -> Option<Self> {
        let text = text.split('+').next()?;
        let (numbers, prerelease) = match text.split_once('-') {
            Some((numbers, prerelease)) => (numbers, Some(prerelease)),
            None => (text, None),
        };
        let mut parsed = [None; 3];
        let mut open = false;
        let mut parts = numbers.split('.');
        for place in &mut parsed {
            match parts.next() {
                None => open = true,
                Some("x" | "X" | "*") => open = true,
                // After an x there are only more of them.
                Some(_) if open => return None,
                Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                    *place = Some(digits.parse().ok()?);
                }
                Some(_) => return None,
            }
        }
        if parts.next().is_some() {
            return None;
        }
        let word = |word: &str| match word.bytes().all(|b| b.is_ascii_digit()) {
            true => Some(Word::Number(word.parse().ok()?)),
            false => Some(Word::Text(word.to_owned())),
        };
        let prerelease = match prerelease {
            Some("") => return None,
            Some(words) => words.split('.').map(word).collect::<Option<_>>()?,
            None => Vec::new(),
        };
        Some(Self { numbers: parsed, prerelease })
    }

    /// The first version that it may be.
    fn first(&self) -> Version {
        Version {
            numbers: self.numbers.map(Option::unwrap_or_default),
            prerelease: self.prerelease.clone(),
        }
    }

    /// The first version after all that it may be, if its last number is the one in `place` or
    /// before; none: there is no such version.
    fn after(&self, place: usize) -> Option<Version> {
        let given = self.numbers.iter().take_while(|number| number.is_some()).count();
        let place = place.min(given.checked_sub(1)?);
        let mut numbers = [0; 3];
        for (at, number) in numbers.iter_mut().enumerate().take(place + 1) {
            *number = self.numbers[at].unwrap_or_default();
        }
        numbers[place] = numbers[place].checked_add(1)?;
        Some(Version { numbers, prerelease: Vec::new() })
    }

    fn is_whole(&self) -> bool {
        self.numbers.iter().all(Option::is_some)
    }
}

/// A comparison with a version.
#[derive(Debug, Clone)]
enum Bound {
    AtLeast(Version),
    Above(Version),
    AtMost(Version),
    Below(Version),
    Nothing,
}

impl Bound {
    fn holds(&self, version: &Version) -> bool {
        match self {
            Self::AtLeast(bound) => version >= bound,
            Self::Above(bound) => version > bound,
            Self::AtMost(bound) => version <= bound,
            Self::Below(bound) => version < bound,
            Self::Nothing => false,
        }
    }

    fn set(&self) -> Ranges<Version> {
        match self {
            Self::AtLeast(bound) => Ranges::higher_than(bound.clone()),
            Self::Above(bound) => Ranges::strictly_higher_than(bound.clone()),
            Self::AtMost(bound) => Ranges::lower_than(bound.clone()),
            Self::Below(bound) => Ranges::strictly_lower_than(bound.clone()),
            Self::Nothing => Ranges::empty(),
        }
    }

    fn names_prerelease_of(&self, version: &Version) -> bool {
        match self {
            Self::AtLeast(bound)
            | Self::Above(bound)
            | Self::AtMost(bound)
            | Self::Below(bound) => {
                !bound.prerelease.is_empty() && bound.numbers == version.numbers
            }
            Self::Nothing => false,
        }
    }
}

/// Alternatives, each of bounds that hold together.
#[derive(Debug, Clone)]
pub(super) struct Range(Vec<Vec<Bound>>);

impl Range {
    pub(super) fn parse(text: &str) -> Option<Self> {
        text.split("||").map(alternative).collect::<Option<Vec<_>>>().map(Self)
    }

    /// All versions between its bounds, pre-releases among them also where it does not mean them.
    pub(super) fn set(&self) -> Ranges<Version> {
        let all = |bounds: &Vec<Bound>| {
            bounds.iter().fold(Ranges::full(), |set, bound| set.intersection(&bound.set()))
        };
        self.0.iter().map(all).fold(Ranges::empty(), |one, other| one.union(&other))
    }

    pub(super) fn contains(&self, version: &Version) -> bool {
        self.0.iter().any(|bounds| {
            bounds.iter().all(|bound| bound.holds(version))
                && (version.prerelease.is_empty()
                    || bounds.iter().any(|bound| bound.names_prerelease_of(version)))
        })
    }
}

fn alternative(text: &str) -> Option<Vec<Bound>> {
    let words: Vec<&str> = text.split_whitespace().collect();
    if let [from, "-", to] = words[..] {
        let (from, to) = (Partial::parse(from)?, Partial::parse(to)?);
        let mut bounds = vec![Bound::AtLeast(from.first())];
        match to.is_whole() {
            true => bounds.push(Bound::AtMost(to.first())),
            false => bounds.extend(to.after(2).map(Bound::Below)),
        }
        return Some(bounds);
    }
    let mut bounds = Vec::new();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let end = word.find(|c| !matches!(c, '<' | '>' | '=' | '~' | '^')).unwrap_or(word.len());
        let (operator, version) = word.split_at(end);
        // The operator may stand alone, with a space after it.
        let version = if version.is_empty() { words.next()? } else { version };
        comparison(operator, &Partial::parse(version)?, &mut bounds)?;
    }
    (!bounds.is_empty()).then_some(bounds)
}

fn comparison(operator: &str, partial: &Partial, bounds: &mut Vec<Bound>) -> Option<()> {
    let first = partial.first();
    match operator {
        "" | "=" | "==" if partial.is_whole() => {
            bounds.extend([Bound::AtLeast(first.clone()), Bound::AtMost(first)]);
        }
        "" | "=" | "==" => between(first, partial.after(2), bounds),
        ">=" => bounds.push(Bound::AtLeast(first)),
        ">" => bounds.push(match (partial.is_whole(), partial.after(2)) {
            (true, _) => Bound::Above(first),
            (false, Some(after)) => Bound::AtLeast(after),
            (false, None) => Bound::Nothing,
        }),
        "<" => bounds.push(match partial.numbers[0] {
            Some(_) => Bound::Below(first),
            None => Bound::Nothing,
        }),
        "<=" if partial.is_whole() => bounds.push(Bound::AtMost(first)),
        "<=" => bounds.extend(
            partial
                .after(2)
                .map(Bound::Below)
                .or(Some(Bound::AtLeast(Version { numbers: [0; 3], prerelease: Vec::new() }))),
        ),
        "~" | "~>" => between(first, partial.after(1), bounds),
        "^" => {
            let leading = partial.numbers.iter().take(2).take_while(|n| **n == Some(0)).count();
            between(first, partial.after(leading), bounds);
        }
        _ => return None,
    }
    Some(())
}

fn between(first: Version, after: Option<Version>, bounds: &mut Vec<Bound>) {
    bounds.push(Bound::AtLeast(first));
    bounds.extend(after.map(Bound::Below));
}

/// The newest of the versions that is in a range.
pub(super) fn newest<'a>(range: &str, versions: &[&'a str]) -> Option<&'a str> {
    let range = Range::parse(range)?;
    versions
        .iter()
        .filter_map(|text| Version::parse(text).map(|version| (version, *text)))
        .filter(|(version, _)| range.contains(version))
        .max_by(|(one, _), (other, _)| one.cmp(other))
        .map(|(_, text)| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_in_order() {
        // The example of Semantic Versioning, section 11.4.
        let order = [
            "0.9.10",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "1.0.1",
            "1.10.0",
            "2.0.0",
        ];
        let versions: Vec<Version> =
            order.iter().map(|text| Version::parse(text).unwrap()).collect();
        assert!(versions.windows(2).all(|pair| pair[0] < pair[1]));
        let shown: Vec<String> = versions.iter().map(ToString::to_string).collect();
        assert_eq!(shown, order);
        assert_eq!(Version::parse("1.0.0+a"), Version::parse("1.0.0+b"));
        for none in ["1.0", "1.x.0", "", "1.0.0.0", "a", "1.0.0-", "99999999999999999999.0.0"] {
            assert_eq!(Version::parse(none), None, "{none}");
        }
    }

    #[test]
    fn ranges_are_puppets() {
        let there = [
            "0.0.3",
            "0.0.4",
            "0.2.3",
            "0.3.0",
            "1.0.0-rc1",
            "1.0.0",
            "1.2.0",
            "1.2.3",
            "1.9.9",
            "2.0.0-a",
            "2.0.0",
            "2.3.0",
            "3.0.0",
        ];
        for (range, expected) in [
            (">= 1.0.0 < 2.0.0", Some("1.9.9")),
            (">=1.0.0 <2.0.0", Some("1.9.9")),
            ("1.x", Some("1.9.9")),
            ("1", Some("1.9.9")),
            ("1.2", Some("1.2.3")),
            ("1.2.x", Some("1.2.3")),
            ("*", Some("3.0.0")),
            ("> 1.2", Some("3.0.0")),
            (">1.2 <2", Some("1.9.9")),
            ("<= 1.2", Some("1.2.3")),
            ("<1", Some("0.3.0")),
            ("=1.2.0", Some("1.2.0")),
            ("~1.2.1", Some("1.2.3")),
            ("~> 1.2", Some("1.2.3")),
            ("~1", Some("1.9.9")),
            ("^1.2.0", Some("1.9.9")),
            ("^0.2.0", Some("0.2.3")),
            ("^0.0.3", Some("0.0.3")),
            ("^0.0", Some("0.0.4")),
            ("1.0.0 - 1.2.0", Some("1.2.0")),
            ("1.0 - 2", Some("2.3.0")),
            ("0.2.x || 2.0.x", Some("2.0.0")),
            (">= 2.0.0-a < 2.0.0", Some("2.0.0-a")),
            (">= 1.9.10 < 2.0.0", None),
            (">= 4.0.0", None),
            ("<0.0.3", None),
            ("nonsense", None),
            ("", None),
        ] {
            assert_eq!(newest(range, &there), expected, "{range}");
            let Some(range) = Range::parse(range) else { continue };
            for version in there.iter().filter_map(|text| Version::parse(text)) {
                let (exactly, between) = (range.contains(&version), range.set().contains(&version));
                assert!(exactly == between || version.is_prerelease(), "{range:?} {version}");
            }
        }
    }
}
