//! `.gitattributes`: what git changes in a file's text when it writes it (gitattributes(5), and
//! `convert.c` of git for what that page leaves open). r10k's modules are what git wrote.
//!
//! No configuration is looked at, as r10k runs git for Crane without any: no filter program is
//! known, and lines end as they do in the repository unless the attributes say `eol=crlf`.

use std::borrow::Cow;

use git2::Oid;

use super::super::wildcard;
use crate::puppet::fault::{Fault, Result};

/// Larger files are no list of attributes that people wrote.
const BYTES: usize = 256 * 1024;
/// Every file of a module is compared with every rule.
const RULES: usize = 2_000;

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Set,
    Unset,
    Unspecified,
    Value(String),
}

#[derive(Debug, Clone)]
struct Rule {
    /// The directory of the file that has the rule, with a `/` at its end; empty for the root.
    directory: String,
    pattern: String,
    /// Compared with the name alone, as the pattern has no `/` in it.
    by_name: bool,
    attributes: Vec<(String, State)>,
}

/// The rules in force in a directory; the later ones count.
#[derive(Debug, Clone, Default)]
pub(super) struct Attributes {
    rules: Vec<Rule>,
    /// `[attr]NAME ...`, which only the root's file may have.
    macros: Vec<(String, Vec<(String, State)>)>,
}

/// What is done to the text of one file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Conversion {
    ident: bool,
    crlf: Crlf,
}

#[derive(Debug, Default, PartialEq, Eq, Clone, Copy)]
enum Crlf {
    #[default]
    No,
    Always,
    /// Unless it looks binary or has a carriage return in it already.
    Auto,
}

impl Attributes {
    /// Whether there is any rule.
    pub(super) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// These with the rules of a `.gitattributes` in `directory` (empty, or with `/` at its end).
    pub(super) fn with(&self, directory: &str, text: &[u8]) -> Result<Self> {
        let mut all = self.clone();
        if text.len() > BYTES {
            return Err(Fault::refused(format!(
                "{directory}.gitattributes has more than {BYTES} bytes"
            )));
        }
        for line in String::from_utf8_lossy(text).lines() {
            all.read(directory, line.trim_start_matches([' ', '\t', '\r']));
        }
        if all.rules.len() > RULES {
            return Err(Fault::refused(format!("there are more than {RULES} rules of attributes")));
        }
        Ok(all)
    }

    fn read(&mut self, directory: &str, line: &str) {
        if line.is_empty() || line.starts_with('#') {
            return;
        }
        let (pattern, rest) = match quoted(line) {
            Some(found) => found,
            None => {
                let end = line.find([' ', '\t', '\r']).unwrap_or(line.len());
                (line[..end].to_owned(), &line[end..])
            }
        };
        let attributes: Vec<_> = rest.split_whitespace().map(attribute).collect();
        if let Some(name) = pattern.strip_prefix("[attr]") {
            if directory.is_empty() {
                self.macros.push((name.to_owned(), attributes));
            }
            return;
        }
        // Negative patterns are forbidden, and those of directories match no file.
        if pattern.starts_with('!') || pattern.ends_with('/') {
            return;
        }
        let by_name = !pattern.contains('/');
        let pattern = pattern.strip_prefix('/').unwrap_or(&pattern).to_owned();
        self.rules.push(Rule { directory: directory.to_owned(), pattern, by_name, attributes });
    }

    /// The state of an attribute for a file.
    fn state(&self, path: &str, name: &str) -> State {
        let base = path.rsplit('/').next().unwrap_or(path);
        for rule in self.rules.iter().rev() {
            let Some(state) = rule
                .attributes
                .iter()
                .rev()
                .find_map(|(given, state)| self.expanded(given, state, name))
            else {
                continue;
            };
            let Some(below) = path.strip_prefix(&rule.directory) else { continue };
            let subject = if rule.by_name { base } else { below };
            if wildcard::matches(rule.pattern.as_bytes(), subject.as_bytes()) {
                return state;
            }
        }
        State::Unspecified
    }

    /// What `given` says of `name`: it is it, or a macro that has it.
    fn expanded(&self, given: &str, state: &State, name: &str) -> Option<State> {
        if given == name {
            return Some(state.clone());
        }
        if *state != State::Set {
            return None;
        }
        if let Some((_, parts)) = self.macros.iter().rev().find(|(made, _)| made == given) {
            return parts
                .iter()
                .rev()
                .find(|(part, _)| part == name)
                .map(|(_, state)| state.clone());
        }
        // Built into git.
        (given == "binary" && name == "text").then_some(State::Unset)
    }

    /// What is done to a file. The path is from the root of the repository.
    pub(super) fn conversion(&self, path: &str) -> Result<Conversion> {
        if self.is_empty() {
            return Ok(Conversion::default());
        }
        if let State::Value(encoding) = self.state(path, "working-tree-encoding")
            && !encoding.eq_ignore_ascii_case("utf-8")
        {
            return Err(Fault::refused(format!(
                "{path}: `working-tree-encoding={encoding}` is not supported by this engine"
            )));
        }
        let text = match self.state(path, "text") {
            State::Unspecified => self.state(path, "crlf"),
            state => state,
        };
        let eol = self.state(path, "eol");
        let crlf = match (text, eol) {
            (State::Unset, _) => Crlf::No,
            (State::Value(text), State::Value(eol)) if text == "auto" && eol == "crlf" => {
                Crlf::Auto
            }
            (_, State::Value(eol)) if eol == "crlf" => Crlf::Always,
            _ => Crlf::No,
        };
        Ok(Conversion { ident: self.state(path, "ident") == State::Set, crlf })
    }
}

fn attribute(word: &str) -> (String, State) {
    match word.split_once('=') {
        Some((name, value)) => (name.to_owned(), State::Value(value.to_owned())),
        None => match (word.strip_prefix('-'), word.strip_prefix('!')) {
            (Some(name), _) => (name.to_owned(), State::Unset),
            (_, Some(name)) => (name.to_owned(), State::Unspecified),
            _ => (word.to_owned(), State::Set),
        },
    }
}

/// A pattern in double quotes, and what comes after it.
fn quoted(line: &str) -> Option<(String, &str)> {
    let inner = line.strip_prefix('"')?;
    let mut pattern = String::new();
    let mut characters = inner.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return Some((pattern, &inner[at + 1..])),
            '\\' => match characters.next()?.1 {
                't' => pattern.push('\t'),
                escaped @ ('"' | '\\') => pattern.push(escaped),
                other => pattern.extend(['\\', other]),
            },
            other => pattern.push(other),
        }
    }
    None
}

impl Conversion {
    /// The file as it is written.
    pub(super) fn apply<'a>(&self, blob: &'a [u8], oid: Oid) -> Cow<'a, [u8]> {
        let text = if self.ident { with_ident(blob, oid) } else { Cow::Borrowed(blob) };
        let converts = match self.crlf {
            Crlf::No => false,
            Crlf::Always => true,
            Crlf::Auto => !text.contains(&b'\r') && !looks_binary(&text),
        };
        if !converts {
            return text;
        }
        let mut converted = Vec::with_capacity(text.len() + text.len() / 16);
        let mut before = 0;
        for &byte in text.iter() {
            if byte == b'\n' && before != b'\r' {
                converted.push(b'\r');
            }
            converted.push(byte);
            before = byte;
        }
        Cow::Owned(converted)
    }
}

/// `convert_is_binary` of git for a text without carriage returns.
fn looks_binary(text: &[u8]) -> bool {
    let (mut printable, mut other) = (0_usize, 0_usize);
    for byte in text {
        match byte {
            0 => return true,
            b'\n' => {}
            0x08 | b'\t' | 0x1b | 0x0c => printable += 1,
            0..0x20 | 0x7f => other += 1,
            _ => printable += 1,
        }
    }
    // The end-of-file mark of DOS.
    if text.last() == Some(&0x1a) {
        other -= 1;
    }
    printable >> 7 < other
}

/// `$Id$` with the object's name in it (`ident_to_worktree` of git).
fn with_ident(blob: &[u8], oid: Oid) -> Cow<'_, [u8]> {
    let mut text = Vec::new();
    let mut rest = blob;
    while let Some(dollar) = rest.iter().position(|byte| *byte == b'$') {
        let (before, after) = rest.split_at(dollar + 1);
        text.extend_from_slice(before);
        rest = after;
        let end = match after {
            [b'I', b'd', b'$', ..] => Some(3),
            [b'I', b'd', b':', long @ ..] => {
                let Some(end) = long.iter().position(|byte| *byte == b'$') else { break };
                let inside = &long[..end];
                // Another system's words, or no keyword at all.
                let foreign = inside.iter().skip(1).position(|byte| *byte == b' ');
                let foreign = foreign.is_some_and(|space| space + 2 < inside.len());
                (!inside.contains(&b'\n') && !foreign).then_some(end + 4)
            }
            _ => None,
        };
        if let Some(end) = end {
            text.extend_from_slice(format!("Id: {oid} $").as_bytes());
            rest = &after[end..];
        }
    }
    if text.is_empty() {
        return Cow::Borrowed(blob);
    }
    text.extend_from_slice(rest);
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oid() -> Oid {
        Oid::from_bytes(&[0xab; 20]).unwrap()
    }

    fn written(attributes: &str, path: &str, text: &str) -> String {
        let attributes = Attributes::default().with("", attributes.as_bytes()).unwrap();
        let conversion = attributes.conversion(path).unwrap();
        String::from_utf8(conversion.apply(text.as_bytes(), oid()).into_owned()).unwrap()
    }

    #[test]
    fn line_ends_are_changed_only_where_the_attributes_say_so() {
        for (attributes, path, crlf) in [
            ("", "a.txt", false),
            ("* text=auto", "a.txt", false),
            ("* text", "a.txt", false),
            ("*.txt eol=crlf", "d/a.txt", true),
            ("*.txt eol=crlf", "a.txt2", false),
            ("*.txt text eol=crlf", "a.txt", true),
            ("* text=auto eol=crlf", "a", true),
            ("* eol=crlf\n*.sh eol=lf", "x.sh", false),
            ("*.txt -text eol=crlf", "a.txt", false),
            ("* eol=crlf\n*.png binary", "a.png", false),
            ("[attr]win text eol=crlf\nd/*.x win", "d/a.x", true),
            ("[attr]win text eol=crlf\nd/*.x win", "e/d/a.x", false),
            ("/a.txt eol=crlf", "d/a.txt", false),
            ("d/** eol=crlf", "d/e/f", true),
            ("\"a b\" eol=crlf", "a b", true),
            ("!a eol=crlf", "a", false),
            ("# * eol=crlf", "a", false),
        ] {
            let expected = if crlf { "1\r\n2\r\n" } else { "1\n2\n" };
            assert_eq!(written(attributes, path, "1\n2\n"), expected, "{attributes:?} {path}");
        }
        let auto = "* text=auto eol=crlf";
        assert_eq!(written(auto, "a", "1\r\n2\n"), "1\r\n2\n");
        assert_eq!(written(auto, "a", "\0\n"), "\0\n");
        assert_eq!(written("* eol=crlf", "a", "1\r\n2\n"), "1\r\n2\r\n");
    }

    #[test]
    fn deeper_files_come_later() {
        let root = Attributes::default().with("", b"* eol=crlf").unwrap();
        let deep = root.with("d/", b"*.x -text\n/y eol=lf").unwrap();
        let crlf = |path: &str| deep.conversion(path).unwrap().crlf;
        assert_eq!(crlf("d/a.x"), Crlf::No);
        assert_eq!(crlf("a.x"), Crlf::Always);
        assert_eq!(crlf("d/y"), Crlf::No);
        assert_eq!(crlf("d/e/y"), Crlf::Always);
        let utf16 = root.with("", b"*.reg working-tree-encoding=UTF-16").unwrap();
        assert!(utf16.conversion("a.reg").is_err() && utf16.conversion("a").is_ok());
    }

    #[test]
    fn idents_are_filled_in() {
        let id = format!("$Id: {} $", oid());
        for (text, expected) in [
            ("x $Id$ y", format!("x {id} y")),
            ("$Id: old $ $", format!("{id} $")),
            ("$Id: of another $", "$Id: of another $".into()),
            ("$Id:\n$", "$Id:\n$".into()),
            ("$ $Idx$ $Id", "$ $Idx$ $Id".into()),
            ("none", "none".into()),
        ] {
            assert_eq!(written("* ident", "a", text), expected, "{text}");
        }
        assert_eq!(written("* -ident", "a", "$Id$"), "$Id$");
    }
}
