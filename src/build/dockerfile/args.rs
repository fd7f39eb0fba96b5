//! Variables in names of images: `ARG`s before the first `FROM` (Dockerfile reference, "Understand
//! how ARG and FROM interact", "Environment replacement").

use std::collections::HashMap;

/// BuildKit sets these itself (Dockerfile reference, "Automatic platform ARGs in the global
/// scope"), so Crane cannot know their values.
const PLATFORM: [&str; 2] = ["BUILD", "TARGET"];

#[derive(Debug, Default)]
pub(super) struct Args(HashMap<String, String>);

impl Args {
    /// Reads `name=value` or a name without a default.
    pub(super) fn declare(&mut self, argument: &str) {
        let (name, value) = argument.split_once('=').unwrap_or((argument, ""));
        // What cannot be told is not declared, so what uses it cannot be told either.
        if let Some(value) = self.expand(value) {
            self.0.insert(name.to_owned(), value);
        }
    }

    /// The text with the values of its variables and without quotes; `None` where a value depends
    /// on the builder, or has a form that only the builder understands.
    pub(super) fn expand(&self, text: &str) -> Option<String> {
        let mut expanded = String::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            rest = &rest[c.len_utf8()..];
            match c {
                '"' | '\'' => {}
                '\\' => {
                    let next = rest.chars().next()?;
                    expanded.push(next);
                    rest = &rest[next.len_utf8()..];
                }
                '$' => {
                    let (value, after) = self.variable(rest)?;
                    expanded.push_str(&value);
                    rest = after;
                }
                c => expanded.push(c),
            }
        }
        Some(expanded)
    }

    /// The value of the variable whose name comes after a `$`, and what comes after that.
    fn variable<'a>(&self, text: &'a str) -> Option<(String, &'a str)> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if let Some(braced) = text.strip_prefix('{') {
            let (inner, after) = braced.split_once('}')?;
            let (name, rest) = inner.split_at(inner.find(|c| !is_name(c)).unwrap_or(inner.len()));
            let value = self.value(name)?;
            let value = match rest.get(..2) {
                None if rest.is_empty() => value,
                Some(":-") if value.is_empty() => self.expand(&rest[2..])?,
                Some(":+") if !value.is_empty() => self.expand(&rest[2..])?,
                Some(":-" | ":+") => value,
                _ => return None,
            };
            return Some((value, after));
        }
        let (name, after) = text.split_at(text.find(|c| !is_name(c)).unwrap_or(text.len()));
        Some((self.value(name)?, after))
    }

    /// Empty for what nobody declared.
    fn value(&self, name: &str) -> Option<String> {
        if name.is_empty() || PLATFORM.iter().any(|prefix| name.starts_with(prefix)) {
            return None;
        }
        Some(self.0.get(name).cloned().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::Args;

    #[test]
    fn variables_are_replaced() {
        let mut args = Args::default();
        for argument in ["a=x", "b=\"${a}y\"", "c"] {
            args.declare(argument);
        }
        for (text, expected) in [
            ("$a/$b", Some("x/xy")),
            ("${b}:${c:-${a}}", None),
            ("${c:-1}${a:-2}${a:+3}${c:+4}", Some("1x3")),
            ("$none", Some("")),
            ("\\$a", Some("$a")),
            ("$TARGETARCH", None),
            ("${a#x}", None),
            ("${a", None),
            ("$", None),
            ("\\", None),
        ] {
            assert_eq!(args.expand(text).as_deref(), expected, "{text}");
        }
    }
}
