//! Patterns of paths as git has them (`wildmatch.c` with `WM_PATHNAME`): `*`, `?`, `[...]`, `\`,
//! and `**` for any number of directories.

/// Whether a pattern matches a whole path. The time it takes is at most that of the pattern's
/// length times the path's, whatever stands in them.
pub(super) fn matches(pattern: &[u8], path: &[u8]) -> bool {
    // `reached[n]`: the pattern up to here matches the first n bytes.
    let mut reached = vec![false; path.len() + 1];
    reached[0] = true;
    let mut at = 0;
    while at < pattern.len() {
        let mut next = vec![false; path.len() + 1];
        match pattern[at] {
            b'*' => {
                let stars = pattern[at..].iter().take_while(|byte| **byte == b'*').count();
                let (before, after) = (at == 0 || pattern[at - 1] == b'/', pattern.get(at + stars));
                let deep = stars == 2 && before && matches!(after, None | Some(b'/'));
                at += stars;
                if deep && after.is_some() {
                    // `**/` also matches no directory at all.
                    at += 1;
                    let mut open = false;
                    for n in 0..=path.len() {
                        open |= reached[n];
                        next[n] = reached[n] || (open && n > 0 && path[n - 1] == b'/');
                    }
                } else {
                    let mut open = false;
                    for n in 0..=path.len() {
                        if !deep && n > 0 && path[n - 1] == b'/' {
                            open = false;
                        }
                        open |= reached[n];
                        next[n] = open;
                    }
                }
            }
            _ => {
                let (one, length) = single(&pattern[at..]);
                at += length;
                for n in 0..path.len() {
                    next[n + 1] = reached[n] && one.is(path[n]);
                }
            }
        }
        reached = next;
    }
    reached[path.len()]
}

/// What matches one byte.
enum One<'a> {
    Byte(u8),
    Any,
    Class(&'a [u8]),
    Nothing,
}

fn single(pattern: &[u8]) -> (One<'_>, usize) {
    match pattern {
        [b'\\', byte, ..] => (One::Byte(*byte), 2),
        // A backslash at the end escapes nothing, and nothing matches it.
        [b'\\'] => (One::Nothing, 1),
        [b'?', ..] => (One::Any, 1),
        [b'[', rest @ ..] => {
            // A `]` that is the first in a class belongs to it.
            let mut end = usize::from(matches!(rest.first(), Some(b'!' | b'^')));
            end += usize::from(rest.get(end) == Some(&b']'));
            while end < rest.len() && rest[end] != b']' {
                end += match (rest[end], rest.get(end + 1)) {
                    (b'\\', _) => 2,
                    (b'[', Some(b':')) => {
                        let close = rest[end..].windows(2).position(|pair| pair == b":]");
                        close.map_or(1, |close| close + 2)
                    }
                    _ => 1,
                };
            }
            match end < rest.len() {
                true => (One::Class(&rest[..end]), end + 2),
                false => (One::Nothing, pattern.len()),
            }
        }
        [byte, ..] => (One::Byte(*byte), 1),
        [] => (One::Nothing, 0),
    }
}

impl One<'_> {
    fn is(&self, byte: u8) -> bool {
        match self {
            Self::Byte(expected) => *expected == byte,
            Self::Any => byte != b'/',
            Self::Class(class) => byte != b'/' && in_class(class, byte),
            Self::Nothing => false,
        }
    }
}

fn in_class(class: &[u8], byte: u8) -> bool {
    let (negated, mut rest) = match class {
        [b'!' | b'^', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let mut found = false;
    while let Some(first) = rest.first() {
        if rest.starts_with(b"[:")
            && let Some(end) = rest.windows(2).position(|pair| pair == b":]")
        {
            found |= named(&rest[2..end], byte);
            rest = &rest[end + 2..];
            continue;
        }
        let (low, length) = match (first, rest.get(1)) {
            (b'\\', Some(escaped)) => (*escaped, 2),
            _ => (*first, 1),
        };
        rest = &rest[length..];
        let high = match rest {
            [b'-', b'\\', high, tail @ ..] | [b'-', high, tail @ ..] => {
                rest = tail;
                *high
            }
            _ => low,
        };
        found |= (low..=high).contains(&byte);
    }
    found != negated
}

fn named(name: &[u8], byte: u8) -> bool {
    match name {
        b"alnum" => byte.is_ascii_alphanumeric(),
        b"alpha" => byte.is_ascii_alphabetic(),
        b"blank" => matches!(byte, b' ' | b'\t'),
        b"cntrl" => byte.is_ascii_control(),
        b"digit" => byte.is_ascii_digit(),
        b"graph" => byte.is_ascii_graphic(),
        b"lower" => byte.is_ascii_lowercase(),
        b"print" => byte.is_ascii_graphic() || byte == b' ',
        b"punct" => byte.is_ascii_punctuation(),
        b"space" => byte.is_ascii_whitespace() || byte == 0x0b,
        b"upper" => byte.is_ascii_uppercase(),
        b"xdigit" => byte.is_ascii_hexdigit(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_are_gits() {
        for (pattern, path, expected) in [
            ("*.rb", "a.rb", true),
            ("*.rb", "a/b.rb", false),
            ("a*c", "abbbc", true),
            ("a*c", "a/c", false),
            ("**/x", "x", true),
            ("**/x", "a/b/x", true),
            ("**/x", "ax", false),
            ("a/**", "a/b/c", true),
            ("a/**", "a", false),
            ("a/**/b", "a/b", true),
            ("a/**/b", "a/x/y/b", true),
            ("a/**/b", "axb", false),
            ("a**b", "a/b", false),
            ("a**b", "axxb", true),
            ("?", "a", true),
            ("?", "/", false),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[]]", "]", true),
            ("[[:digit:]]", "7", true),
            ("[[:digit:]_]", "_", true),
            ("[", "[", false),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("", "", true),
        ] {
            let found = matches(pattern.as_bytes(), path.as_bytes());
            assert_eq!(found, expected, "{pattern} {path}");
        }
        let long = "*a".repeat(1_000);
        assert!(!matches(long.as_bytes(), "a".repeat(900).as_bytes()));
    }
}
