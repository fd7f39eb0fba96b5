//! What stands in a context, module by module: where it comes from, its licence, and which of the
//! modules that it needs are missing.

use std::{fs, path::Path};

use serde::{Deserialize, Serialize};

use super::{
    lock::{Lock, Locked},
    tree::METADATA_BYTES,
    versions::{Range, Version},
};
use crate::error::{Error, Result};

/// Longer texts are no name, range or licence.
const CHARACTERS: usize = 200;
/// A module with more of them is none; the longest on the Forge have some 40.
const DEPENDENCIES: usize = 500;

/// One module that is installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Described {
    /// `puppetlabs/stdlib`, or `stdlib` where the Puppetfile names no owner.
    pub name: String,
    /// Its directory, relative to the context.
    pub path: String,
    /// `git`, `forge`, `tarball` or `local`; `r10k` where r10k knows and does not say.
    pub source: String,
    /// As its `metadata.json` has it.
    pub version: Option<String>,
    /// Of a git module.
    pub commit: Option<String>,
    /// `sha256:...` of its directory.
    pub digest: String,
    /// As its `metadata.json` has it.
    pub licence: Option<String>,
    /// What its `metadata.json` says it needs.
    pub dependencies: Vec<Dependency>,
    /// Names of those that it was added for; none of what the Puppetfile names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needed_by: Vec<String>,
}

/// A module that another one needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// `puppetlabs/stdlib`.
    pub name: String,
    /// `>= 4.13.1 < 9.0.0`; none: any version.
    pub range: Option<String>,
    pub state: State,
}

/// Whether what is needed is there. Puppet loads modules by their name without the owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "state", content = "found")]
pub enum State {
    Met,
    Missing,
    /// Another version than is needed; none where its version is not known.
    Unmet(Option<String>),
}

/// What is read of a `metadata.json`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Metadata {
    pub(super) version: Option<String>,
    license: Option<String>,
    dependencies: Vec<Needed>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Needed {
    name: String,
    #[serde(default)]
    version_requirement: Option<String>,
}

/// A module that another one needs.
#[derive(Debug, Clone)]
pub(super) struct Need {
    /// `puppetlabs/stdlib`.
    pub(super) name: String,
    /// None: any version.
    pub(super) range: Option<Range>,
}

impl Metadata {
    pub(super) fn needs(self) -> Vec<Need> {
        let named = self.named().map(|(name, range)| {
            let range = range.as_deref().and_then(Range::parse);
            Need { name, range }
        });
        named.collect()
    }

    /// Names as the Puppetfile has them, and ranges.
    fn named(self) -> impl Iterator<Item = (String, Option<String>)> {
        self.dependencies.into_iter().take(DEPENDENCIES).filter_map(|needed| {
            let name = plain(needed.name)?.replacen('-', "/", 1);
            Some((name, needed.version_requirement.and_then(plain)))
        })
    }
}

/// The text, if it is one that can be shown.
fn plain(text: String) -> Option<String> {
    let plain = text.chars().count() <= CHARACTERS && !text.contains(char::is_control);
    plain.then_some(text)
}

/// Reads the `metadata.json` of what a lock says stands in the directory.
pub async fn describe(dir: &Path, lock: &Lock) -> Result<Vec<Described>> {
    let (dir, lock) = (dir.to_owned(), lock.clone());
    let read = move || lock.modules.iter().map(|locked| one(&dir, locked, &lock)).collect();
    tokio::task::spawn_blocking(read).await.map_err(Error::internal)
}

pub(super) fn one(dir: &Path, locked: &Locked, lock: &Lock) -> Described {
    let metadata = metadata(&dir.join(&locked.path).join("metadata.json"));
    let licence = metadata.license.clone().and_then(plain);
    let dependencies = metadata.named().map(|(name, range)| {
        let state = state(&name, range.as_deref(), lock);
        Dependency { name, range, state }
    });
    Described {
        name: locked.name.clone(),
        path: locked.path.clone(),
        source: locked.pin.source().to_owned(),
        version: locked.version.clone(),
        commit: locked.pin.commit().map(str::to_owned),
        digest: locked.digest.clone(),
        licence,
        dependencies: dependencies.collect(),
        needed_by: locked.needed_by.clone(),
    }
}

/// None of it where the file is missing, or is no metadata: Puppet needs none. Blocks.
pub(super) fn metadata(path: &Path) -> Metadata {
    // A link could name any file of the server.
    let there = fs::symlink_metadata(path);
    if !there.is_ok_and(|there| there.is_file() && there.len() <= METADATA_BYTES) {
        return Metadata::default();
    }
    let text = fs::read(path).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

fn state(name: &str, range: Option<&str>, lock: &Lock) -> State {
    let short = |name: &str| name.rsplit('/').next().unwrap_or(name).to_owned();
    let there = lock.modules.iter().find(|locked| short(&locked.name) == short(name));
    let Some(there) = there else { return State::Missing };
    let Some(range) = range.and_then(Range::parse) else { return State::Met };
    match there.version.as_deref().and_then(Version::parse) {
        Some(version) if range.contains(&version) => State::Met,
        _ => State::Unmet(there.version.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::puppet::{Compat, Pin};

    fn locked(name: &str, version: Option<&str>) -> Locked {
        Locked {
            name: name.into(),
            path: format!("modules/{}", name.rsplit('/').next().unwrap()),
            declared: String::new(),
            pin: Pin::Local,
            digest: "none".into(),
            needed_by: Vec::new(),
            version: version.map(Into::into),
        }
    }

    #[tokio::test]
    async fn dependencies_are_met_missing_or_unmet() {
        let home = tempfile::tempdir().unwrap();
        let place = home.path().join("modules/web");
        fs::create_dir_all(&place).unwrap();
        let metadata = r#"{"name": "a-web", "license": "Apache-2.0", "dependencies": [
            {"name": "puppetlabs/stdlib", "version_requirement": ">= 4.13.1 < 9.0.0"},
            {"name": "puppetlabs-concat", "version_requirement": ">= 8.0.0 < 9.0.0"},
            {"name": "puppet/archive"}, {"name": "other/unversioned", "version_requirement": "1.x"},
            {"name": "none/atall", "version_requirement": "1.x"}]}"#;
        fs::write(place.join("metadata.json"), metadata).unwrap();
        let lock = Lock::new(
            Compat::R10k5,
            vec![
                locked("a/web", Some("1.0.0")),
                locked("stdlib", Some("8.5.0")),
                locked("puppetlabs/concat", Some("7.3.1")),
                locked("archive", None),
                locked("unversioned", None),
            ],
        );
        let all = describe(home.path(), &lock).await.unwrap();
        assert_eq!(all[0].licence.as_deref(), Some("Apache-2.0"));
        let states: Vec<&State> = all[0].dependencies.iter().map(|needed| &needed.state).collect();
        let unmet = State::Unmet(Some("7.3.1".into()));
        let expected = [&State::Met, &unmet, &State::Met, &State::Unmet(None), &State::Missing];
        assert_eq!(states, expected);
        assert_eq!(all[0].dependencies[1].name, "puppetlabs/concat");
        assert!(all[1..].iter().all(|module| module.dependencies.is_empty()));
    }
}
