//! What is asked for, and what can be said of it before any work.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use serde::{Deserialize, Serialize};

use super::{context::MODULES, dockerfile};
use crate::{error::Problem, model::Name};

/// A file as it was uploaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    pub file_name: String,
    pub content: String,
}

/// What an image is made from.
#[derive(Debug)]
pub enum Source {
    /// From `base`, the full repository path of an image that Crane knows, with the manifest
    /// applied; Crane writes the Dockerfile.
    Base { base: String, manifest: Upload },
    /// A Dockerfile, which may use the manifest.
    Dockerfile { dockerfile: String, manifest: Option<Upload> },
}

impl Source {
    pub(super) fn manifest(&self) -> Option<&Upload> {
        match self {
            Self::Base { manifest, .. } => Some(manifest),
            Self::Dockerfile { manifest, .. } => manifest.as_ref(),
        }
    }
}

#[derive(Debug)]
pub struct Request {
    /// The directory of the context whose `modules/` are taken; none: there are no modules.
    pub root: Option<PathBuf>,
    pub name: Name,
    /// The repository path of the image, `<group>/<name>` or `<provider>/<base>`.
    pub tag: String,
    pub source: Source,
    /// Repository paths of images that Crane built: where a Dockerfile names one of these, it
    /// means the image in Crane's registry.
    pub known: BTreeSet<String>,
    /// Of the instance and the resource; the image carries them.
    pub labels: BTreeMap<String, String>,
    pub context_token: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    pub image_id: String,
    /// The name in the registry, with the tag; none where there is no registry.
    pub reference: Option<String>,
    pub digest: Option<String>,
}

/// Names in the build context that are not free for a manifest.
const TAKEN: [&str; 4] = [MODULES, "images", "Puppetfile", "Dockerfile"];

/// The form fields, for problems.
const DOCKERFILE: &str = "dockerfile";
const MANIFEST: &str = "puppetmanifest";

/// What is wrong with the files, as far as it can be told before anything is built.
pub fn check(source: &Source) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let Source::Dockerfile { dockerfile, .. } = source {
        match nul(DOCKERFILE, dockerfile) {
            Some(problem) => problems.push(problem),
            None => problems.extend(dockerfile::parse(dockerfile).problems),
        }
    }
    if let Some(Upload { file_name, content }) = source.manifest() {
        if content.trim().is_empty() {
            problems.push(Problem::new(MANIFEST, "the manifest is empty"));
        }
        problems.extend(nul(MANIFEST, content));
        if !is_plain(file_name) || TAKEN.contains(&file_name.as_str()) {
            problems.push(Problem::new(
                MANIFEST,
                format!(
                    "'{}' cannot be the file name of a manifest: it is made of letters, digits, \
                     '.', '_' and '-', begins with a letter or digit, and is none of {}",
                    file_name.escape_debug(),
                    TAKEN.join(", ")
                ),
            ));
        }
    }
    problems
}

fn is_plain(name: &str) -> bool {
    // File systems take names of at most 255 bytes.
    name.len() <= 255
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

/// A text file has no such character, and neither builders nor Puppet say so well.
fn nul(path: &str, text: &str) -> Option<Problem> {
    let before = &text[..text.find('\0')?];
    let line = u32::try_from(before.matches('\n').count() + 1).unwrap_or(u32::MAX);
    let start = before.rfind('\n').map_or(0, |end| end + 1);
    let column = u32::try_from(before[start..].chars().count() + 1).unwrap_or(u32::MAX);
    Some(Problem::new(path, "a NUL character, which a text file does not have").at(line, column))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(dockerfile: &str, name: &str, content: &str) -> Vec<String> {
        let manifest = Upload { file_name: name.into(), content: content.into() };
        let dockerfile = dockerfile.to_owned();
        let source = Source::Dockerfile { dockerfile, manifest: Some(manifest) };
        check(&source).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn files_are_checked_before_any_work() {
        assert_eq!(problems("FROM a", "site-1.0_x.pp", "notice(1)"), [""; 0]);
        for (dockerfile, name, content, expected) in [
            ("FROM a\nRUN \0", "a.pp", "x", "dockerfile:2:5: a NUL"),
            ("RUN a", "a.pp", "x", "dockerfile:1:1: RUN comes before FROM"),
            ("FROM a", "a.pp", " \n", "puppetmanifest: the manifest is empty"),
            ("FROM a", "a.pp", "a\0", "puppetmanifest:1:2: a NUL"),
        ] {
            assert!(problems(dockerfile, name, content)[0].starts_with(expected), "{expected}");
        }
        for name in ["", ".pp", "../a.pp", "a b.pp", "ä.pp", "modules", "Dockerfile", "-x", "a\n"]
        {
            assert!(problems("FROM a", name, "x")[0].starts_with("puppetmanifest: '"), "{name}");
        }
    }
}
