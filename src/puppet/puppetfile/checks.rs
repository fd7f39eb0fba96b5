//! Names, versions, references, URLs and paths: what of them is let through, and why not.

use super::model::{Directory, Url, Version, without_credentials};
use super::refusal::shown;

/// Where an engine makes a module tree before it stands in place; no module may be put there.
pub(crate) const STAGING_PREFIX: &str = "modules.staging-";

/// `name`, `owner/name` or `owner-name`, of letters, digits and `_` (r10k, `Module::Base`).
pub(crate) fn module_name(written: &str) -> Result<(Option<&str>, &str), String> {
    let is_word = |word: &str| {
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    let parts: Vec<&str> = written.split(['/', '-']).collect();
    match parts[..] {
        [name] if is_word(name) => Ok((None, name)),
        [owner, name] if is_word(owner) && is_word(name) => Ok((Some(owner), name)),
        _ => Err(format!(
            "'{}' is no name of a module: write 'name', 'owner/name' or 'owner-name', of letters, \
             digits and '_'",
            shown(written)
        )),
    }
}

/// A release (Semantic Versioning 2.0.0, as `SemanticPuppet::Version` reads it) or a range.
pub(super) fn version(written: &str) -> Result<Version, String> {
    if is_version(written) {
        Ok(Version::Exact(written.to_owned()))
    } else if is_range(written) {
        Ok(Version::Range(written.to_owned()))
    } else {
        Err(format!(
            "'{}' is no version: write a release such as '1.2.3', or :latest",
            shown(written)
        ))
    }
}

fn is_version(written: &str) -> bool {
    let (rest, build) = split_off(written, '+');
    let (numbers, prerelease) = split_off(rest, '-');
    let leading_zero = prerelease.is_some_and(|text| {
        text.split('.').any(|word| {
            word.len() > 1 && word.starts_with('0') && word.bytes().all(|b| b.is_ascii_digit())
        })
    });
    numbers.split('.').count() == 3
        && numbers.split('.').all(is_number)
        && are_words(prerelease)
        && are_words(build)
        && !leading_zero
}

/// `SemanticPuppet::VersionRange`: comparisons with spaces or `||` between them.
fn is_range(written: &str) -> bool {
    let comparison = |word: &str| {
        let word = word.trim_start_matches(['<', '>', '=', '~', '^']);
        let (rest, build) = split_off(word, '+');
        let (numbers, prerelease) = split_off(rest, '-');
        let wildcard = |part: &str| matches!(part, "x" | "X" | "*");
        are_words(prerelease)
            && are_words(build)
            && matches!(numbers.split('.').count(), 1..=3)
            && numbers.split('.').all(|part| is_number(part) || wildcard(part))
    };
    let mut words = written
        .split_whitespace()
        .filter(|word| {
            !matches!(*word, "||" | "-" | "<" | ">" | "<=" | ">=" | "=" | "~" | "^" | "~>")
        })
        .peekable();
    words.peek().is_some() && words.all(comparison)
}

/// The identifiers of a pre-release or a build, with dots between them.
fn are_words(text: Option<&str>) -> bool {
    text.is_none_or(|text| {
        text.split('.').all(|word| {
            !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        })
    })
}

fn is_number(part: &str) -> bool {
    !part.is_empty()
        && part.bytes().all(|b| b.is_ascii_digit())
        && (part == "0" || !part.starts_with('0'))
}

fn split_off(text: &str, mark: char) -> (&str, Option<&str>) {
    text.split_once(mark).map_or((text, None), |(before, after)| (before, Some(after)))
}

/// A name that git resolves to a commit. Which ones exist, git knows.
pub(super) fn reference(written: &str) -> Result<(), String> {
    let why = if written.is_empty() {
        "is empty"
    } else if written.starts_with('-') {
        "begins with '-', and git would take it for an option"
    } else if written.contains(|c: char| c.is_control() || c.is_whitespace()) {
        "has a space or a control character in it"
    } else {
        return Ok(());
    };
    Err(format!("the reference '{}' {why}: name a branch, a tag or a commit", shown(written)))
}

/// `https`, `http`, `ssh`, `git`, and `user@host:path` as ssh has it.
pub(super) fn git_url(written: &str) -> Result<Url, String> {
    let way_out = "use https://, http://, ssh://, git:// or user@host:path";
    let refuse = |why: &str| Err(format!("the URL '{}' {why}: {way_out}", safe(written)));
    if written.split_once(':').is_some_and(|(_, rest)| rest.starts_with(':')) {
        return refuse("would make git run a program (`ext::` and its kin)");
    }
    plain(written)?;
    if let Some((scheme, rest)) = written.split_once("://")
        && !scheme.contains([':', '/'])
    {
        return match scheme {
            "https" | "http" | "ssh" | "git" => {
                host(rest, written)?;
                Ok(Url(written.to_owned()))
            }
            "file" => refuse("names a file of the server"),
            _ => refuse("has a scheme that is not allowed"),
        };
    }
    match written.split_once(':') {
        Some((before, path))
            if !before.contains('/')
                && before.len() > 1
                && !path.is_empty()
                && !path.starts_with('-') =>
        {
            let name = before.rsplit_once('@').map_or(before, |(_, name)| name);
            if !is_host(name) || before.starts_with('-') {
                return refuse("has no host name before the ':'");
            }
            Ok(Url(written.to_owned()))
        }
        _ => refuse("is a path on the server"),
    }
}

/// `https` and `http`.
pub(super) fn http_url(written: &str) -> Result<Url, String> {
    plain(written)?;
    match written.split_once("://") {
        Some(("https" | "http", rest)) => {
            host(rest, written)?;
            Ok(Url(written.to_owned()))
        }
        _ => Err(format!("the URL '{}' begins with neither https:// nor http://", safe(written))),
    }
}

/// What no URL has, whatever its scheme.
fn plain(written: &str) -> Result<(), String> {
    let why = if written.is_empty() {
        "is empty"
    } else if written.starts_with('-') {
        "begins with '-', and would be taken for an option"
    } else if written.contains(|c: char| c.is_control() || c.is_whitespace()) {
        "has a space or a control character in it"
    } else {
        return Ok(());
    };
    Err(format!("the URL '{}' {why}: write it in full, as https://host/path", safe(written)))
}

/// The host of a URL, by what follows its `://`.
fn host(rest: &str, written: &str) -> Result<(), String> {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let is_address = address
        .is_some_and(|a| a.bytes().all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.')));
    if is_address || is_host(name) {
        return Ok(());
    }
    Err(format!("the URL '{}' has no host name: write https://host/path", safe(written)))
}

/// A host that begins with `-` would be an option to `ssh`.
fn is_host(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('-')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}

fn safe(url: &str) -> String {
    shown(&without_credentials(url))
}

pub(super) fn sha256(written: &str) -> Result<String, String> {
    if written.len() == 64 && written.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(written.to_ascii_lowercase());
    }
    Err(format!("'{}' is no SHA-256: write 64 hexadecimal digits", shown(written)))
}

/// A directory inside the context, for `moduledir` and `install_path`.
pub(super) fn directory(option: &str, written: &str) -> Result<Directory, String> {
    let refuse = |why: &str| {
        let path = shown(written);
        Err(format!(
            "`{option}` '{path}' {why}: name a directory such as 'modules' or 'site/local'"
        ))
    };
    if written.starts_with('/') {
        return refuse("is an absolute path, and modules stay inside the context");
    }
    if written.contains(|c: char| c.is_control() || c == '\\') {
        return refuse("has a control character or a backslash in it");
    }
    let mut components: Vec<&str> = Vec::new();
    for component in written.split('/') {
        match component {
            "" | "." => {}
            ".." => {
                if components.pop().is_none() {
                    return refuse("leads out of the context");
                }
            }
            other => components.push(other),
        }
    }
    if components.first().is_some_and(|first| first.starts_with(STAGING_PREFIX)) {
        return refuse("is a name that Crane uses itself");
    }
    Ok(Directory(components.join("/")))
}
