//! Where settings come from: the file, the environment and the flags, the later before the earlier.

use std::{collections::BTreeMap, fs, path::Path};

use super::{
    ConfigError, SETTINGS, refuse,
    table::{is_known, unknown},
    without_password,
};

/// Read when no `--config` is given and it exists.
pub const DEFAULT_FILE: &str = "/etc/crane/crane.toml";

/// The text of a setting, and where it comes from.
#[derive(Debug, Clone)]
struct Given {
    text: String,
    origin: String,
}

/// What was given for each setting, before it is checked.
#[derive(Debug, Default)]
pub struct Sources {
    given: BTreeMap<String, Given>,
    /// Variables that begin with `CRANE_` and mean nothing. No error: orchestrators put such
    /// variables (`CRANE_PORT`, for a service named crane) into every container.
    pub ignored_variables: Vec<String>,
}

impl Sources {
    /// Reads the file (`None`: [`DEFAULT_FILE`], if it exists), then the environment, then `flags`.
    pub fn read(
        file: Option<&Path>,
        flags: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Result<Self, ConfigError> {
        let mut sources = Self::default();
        match file {
            Some(file) => sources.add_file(file)?,
            None if Path::new(DEFAULT_FILE).exists() => {
                sources.add_file(Path::new(DEFAULT_FILE))?;
            }
            None => {}
        }
        sources.add_environment(std::env::vars());
        sources.add_flags(flags);
        sources.read_secret_files()?;
        Ok(sources)
    }

    /// Settings from a program instead of the machine: neither a file nor the environment counts.
    pub fn from_flags(flags: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        let mut sources = Self::default();
        sources.add_flags(flags);
        sources
    }

    fn add_flags(&mut self, flags: impl IntoIterator<Item = (&'static str, String)>) {
        for (key, text) in flags {
            self.add(key, text, format!("--{}", key.replace('_', "-")));
        }
    }

    fn add(&mut self, key: &str, text: String, origin: String) {
        // A secret and its `_file` are one setting, so the later of the two wins.
        match key.strip_suffix("_file") {
            Some(plain) => self.given.remove(plain),
            None => self.given.remove(&format!("{key}_file")),
        };
        self.given.insert(key.to_owned(), Given { text, origin });
    }

    pub(super) fn add_file(&mut self, file: &Path) -> Result<(), ConfigError> {
        let name = file.display().to_string();
        let text = fs::read_to_string(file).or_else(|error| refuse(&name, error.to_string()))?;
        let line_of = |offset: usize| text[..offset.min(text.len())].matches('\n').count() + 1;
        type Table = BTreeMap<toml::Spanned<String>, toml::Spanned<toml::Value>>;
        let table: Table = toml::from_str(&text).or_else(|error| {
            let line = error.span().map_or(1, |span| line_of(span.start));
            refuse(format!("{name}:{line}"), error.message())
        })?;
        for (key, value) in table {
            let origin = format!("{name}:{}", line_of(key.span().start));
            let key = key.into_inner();
            if !is_known(&key) {
                return refuse(origin, unknown(&key));
            }
            let text = match value.into_inner() {
                toml::Value::String(text) => text,
                toml::Value::Integer(number) => number.to_string(),
                toml::Value::Boolean(flag) => flag.to_string(),
                other => {
                    return refuse(origin, format!("'{key}' cannot be a {}", other.type_str()));
                }
            };
            self.add(&key, text, origin);
        }
        Ok(())
    }

    pub(super) fn add_environment(&mut self, variables: impl Iterator<Item = (String, String)>) {
        for (variable, text) in variables {
            let Some(key) = variable.strip_prefix("CRANE_") else { continue };
            let key = key.to_ascii_lowercase();
            if is_known(&key) {
                self.add(&key, text, variable);
            } else {
                self.ignored_variables.push(variable);
            }
        }
    }

    pub(super) fn read_secret_files(&mut self) -> Result<(), ConfigError> {
        for setting in SETTINGS.iter().filter(|setting| setting.secret) {
            if let Some(given) = self.given.remove(&format!("{}_file", setting.key)) {
                let text = fs::read_to_string(&given.text)
                    .or_else(|error| refuse(&given.origin, format!("{}: {error}", given.text)))?;
                let text = text.trim_end_matches(['\r', '\n']).to_owned();
                self.given.insert(setting.key.to_owned(), Given { text, origin: given.origin });
            }
        }
        Ok(())
    }

    /// Every setting with what is in force and where it comes from, for `crane check`. Secrets
    /// are covered.
    pub fn in_force(&self) -> Vec<(&'static str, String, String)> {
        SETTINGS
            .iter()
            .map(|setting| {
                let given = self.given.get(setting.key);
                let text = match given {
                    Some(given) if given.text.is_empty() => "(none)".to_owned(),
                    Some(_) if setting.secret => "(set)".to_owned(),
                    Some(given) => without_password(&given.text),
                    None => setting.default.unwrap_or("(none)").to_owned(),
                };
                let origin = given.map_or("default".to_owned(), |given| given.origin.clone());
                (setting.key, text, origin)
            })
            .collect()
    }

    /// What was given for a setting: the text, and where it stands.
    pub(super) fn given(&self, key: &str) -> Option<(&str, &str)> {
        self.given.get(key).map(|given| (given.text.as_str(), given.origin.as_str()))
    }
}
