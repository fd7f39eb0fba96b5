//! What `crane` is told by its configuration file, the environment and its flags, in this order;
//! the later wins. This is the only file that reads the environment, once, called from `main`.
//!
//! This is one file because the table and what is made of each entry are read, and change, together.
//! One table, [`SETTINGS`], is the source of all three spellings, of `--help` and of what
//! `crane check` prints, so none of them can lag behind.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use secrecy::SecretString;

use crate::model::Name;

/// Read when no `--config` is given and it exists.
pub const DEFAULT_FILE: &str = "/etc/crane/crane.toml";

/// One thing that can be configured.
#[derive(Debug)]
pub struct Setting {
    /// The key in the TOML file; `CRANE_` and the same in capitals in the environment; `--` and
    /// the same with dashes as a flag.
    pub key: &'static str,
    pub meaning: &'static str,
    pub default: Option<&'static str>,
    /// Never printed and never a flag (flags show in process lists). Every secret `x` can be given
    /// as `x_file`, the path of a file that holds it.
    pub secret: bool,
}

const fn setting(
    key: &'static str,
    default: Option<&'static str>,
    meaning: &'static str,
) -> Setting {
    Setting { key, meaning, default, secret: false }
}

const fn secret(key: &'static str, meaning: &'static str) -> Setting {
    Setting { key, meaning, default: None, secret: true }
}

pub const SETTINGS: &[Setting] = &[
    setting("bind", Some("127.0.0.1:8888"), "address and port to listen on"),
    secret("api_token", "bearer token that every API route but /extra/alive asks for"),
    setting("insecure_no_auth", Some("false"), "allow a bind beyond loopback without api_token"),
    setting("data_dir", Some("/var/lib/crane"), "contexts and caches"),
    setting(
        "store",
        Some("filesystem:"),
        "memory:, filesystem: (in the data directory), filesystem:/path, redis://..., rediss://...",
    ),
    setting("engine", Some("unix:///var/run/docker.sock"), "the Docker engine that builds"),
    setting(
        "registry",
        Some("127.0.0.1:5000"),
        "host[:port][/prefix] that images are pushed to; empty switches pushing off",
    ),
    setting("registry_username", None, "user name at the registry"),
    secret("registry_password", "password at the registry"),
    setting("registry_ca", None, "PEM file; given, only this CA is trusted for the registry"),
    setting(
        "client_certs",
        None,
        "directory with cert.pem, key.pem and ca.pem; http:// and tcp:// endpoints then mean TLS",
    ),
    setting("base_provider", Some("cloudopting"), "first component of base images' names"),
    setting("puppetfile_engine", Some("r10k"), "what installs modules: r10k"),
    setting("forge", None, "base URL of the Puppet Forge; none: r10k's own default"),
    setting("install_minutes", Some("30"), "time limit for installing one Puppetfile"),
    setting("build_minutes", Some("120"), "time limit for building one image"),
    setting("deployment_minutes", Some("60"), "time limit for bringing up one composition"),
    setting("parallel_installs", Some("auto"), "Puppetfiles installed at a time; auto: 2 per core"),
    setting("parallel_builds", Some("auto"), "images built at a time; auto: 1 per core"),
    setting(
        "parallel_deployments",
        Some("auto"),
        "compositions brought up at a time; auto: 4 per core",
    ),
    setting("retries", Some("5"), "tries more for what fails and may pass, as a registry's 503"),
    setting(
        "lease_seconds",
        Some("30"),
        "after so long without a sign of life a process's jobs go to others",
    ),
    setting(
        "keep_logs",
        Some("off"),
        "logs are removed so long after their work: 90d, 12h, or off",
    ),
    setting(
        "keep_contexts",
        Some("off"),
        "contexts without images are removed when unused so long",
    ),
    setting("log", Some("info"), "log filter, for example 'debug' or 'crane=debug,warn'"),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PuppetfileEngine {
    R10k,
}

#[derive(Debug, Clone)]
pub struct RegistryConfig {
    pub location: String,
    pub username: Option<String>,
    pub password: Option<SecretString>,
    pub ca: Option<PathBuf>,
}

/// All settings, checked. Secrets do not print.
#[derive(Debug, Clone)]
pub struct Config {
    pub bind: SocketAddr,
    pub api_token: Option<SecretString>,
    pub data_dir: PathBuf,
    /// May carry a password, so it is printed through [`without_password`] only.
    pub store: String,
    pub engine: String,
    pub registry: Option<RegistryConfig>,
    pub client_certs: Option<PathBuf>,
    pub base_provider: Name,
    pub puppetfile_engine: PuppetfileEngine,
    pub forge: Option<String>,
    pub install_limit: Duration,
    pub build_limit: Duration,
    pub deployment_limit: Duration,
    pub retries: u32,
    pub lease: Duration,
    pub keep_logs: Option<Duration>,
    pub keep_contexts: Option<Duration>,
    pub parallel_installs: usize,
    pub parallel_builds: usize,
    pub parallel_deployments: usize,
    pub log: String,
}

/// No machine does more at the same time, and no installation takes longer (in minutes, a week).
const NUMBER_MAX: u64 = 10_080;

/// A setting that cannot be used: where it was given, and why not.
#[derive(Debug, thiserror::Error)]
#[error("{origin}: {reason}")]
pub struct ConfigError {
    pub origin: String,
    pub reason: String,
}

fn refuse<T>(origin: impl Into<String>, reason: impl Into<String>) -> Result<T, ConfigError> {
    Err(ConfigError { origin: origin.into(), reason: reason.into() })
}

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

    fn add_file(&mut self, file: &Path) -> Result<(), ConfigError> {
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

    fn add_environment(&mut self, variables: impl Iterator<Item = (String, String)>) {
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

    fn read_secret_files(&mut self) -> Result<(), ConfigError> {
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

    pub fn check(&self) -> Result<Config, ConfigError> {
        let bind: SocketAddr = self.parse("bind", "an address and port such as 127.0.0.1:8888")?;
        let api_token = self.optional("api_token").map(SecretString::from);
        let no_auth: bool = self.parse("insecure_no_auth", "true or false")?;
        if api_token.is_none() && !bind.ip().is_loopback() && !no_auth {
            return refuse(
                self.origin("bind"),
                format!(
                    "{bind} is reachable from other machines: set CRANE_API_TOKEN (or \
                     CRANE_API_TOKEN_FILE), or give --insecure-no-auth if something else guards it"
                ),
            );
        }
        let registry = self.optional("registry").map(|location| RegistryConfig {
            location,
            username: self.optional("registry_username"),
            password: self.optional("registry_password").map(SecretString::from),
            ca: self.optional("registry_ca").map(PathBuf::from),
        });
        if let Some(RegistryConfig { username, password, .. }) = &registry
            && username.is_some() != password.is_some()
        {
            return refuse(
                self.origin(if username.is_some() {
                    "registry_username"
                } else {
                    "registry_password"
                }),
                "a registry needs both a user name and a password, or neither",
            );
        }
        self.refuse_what_no_part_could_use()?;
        Ok(Config {
            bind,
            api_token,
            data_dir: self.text("data_dir").into(),
            store: self.text("store"),
            engine: self.text("engine"),
            registry,
            client_certs: self.optional("client_certs").map(PathBuf::from),
            base_provider: self.parse("base_provider", "a lower-case name such as cloudopting")?,
            puppetfile_engine: match self.text("puppetfile_engine").as_str() {
                "r10k" => PuppetfileEngine::R10k,
                other => {
                    return refuse(
                        self.origin("puppetfile_engine"),
                        format!("'{other}' is not an engine; there is 'r10k'"),
                    );
                }
            },
            forge: self.optional("forge"),
            install_limit: Duration::from_secs(self.number("install_minutes")? * 60),
            build_limit: Duration::from_secs(self.number("build_minutes")? * 60),
            deployment_limit: Duration::from_secs(self.number("deployment_minutes")? * 60),
            retries: self.parse("retries", "a number from 0 on")?,
            lease: Duration::from_secs(self.number("lease_seconds")?),
            keep_logs: self.age("keep_logs")?,
            keep_contexts: self.age("keep_contexts")?,
            parallel_installs: self.parallel("parallel_installs", 2)?,
            parallel_builds: self.parallel("parallel_builds", 1)?,
            parallel_deployments: self.parallel("parallel_deployments", 4)?,
            log: self.text("log"),
        })
    }

    fn text(&self, key: &str) -> String {
        let default = || {
            let setting = SETTINGS.iter().find(|setting| setting.key == key);
            setting.and_then(|setting| setting.default).unwrap_or_default().to_owned()
        };
        self.given.get(key).map_or_else(default, |given| given.text.clone())
    }

    /// An empty text switches a setting off.
    fn optional(&self, key: &str) -> Option<String> {
        Some(self.text(key)).filter(|text| !text.is_empty())
    }

    fn origin(&self, key: &str) -> String {
        self.given.get(key).map_or_else(|| key.to_owned(), |given| given.origin.clone())
    }

    fn parse<T: std::str::FromStr>(&self, key: &str, expected: &str) -> Result<T, ConfigError> {
        let text = self.text(key);
        text.parse().or_else(|_| refuse(self.origin(key), format!("'{text}' is not {expected}")))
    }

    fn number(&self, key: &str) -> Result<u64, ConfigError> {
        match self.parse(key, "a number")? {
            number @ 1..=NUMBER_MAX => Ok(number),
            _ => refuse(self.origin(key), format!("must be from 1 to {NUMBER_MAX}")),
        }
    }

    /// A number and its unit, or `off`.
    fn age(&self, key: &str) -> Result<Option<Duration>, ConfigError> {
        let text = self.text(key);
        if matches!(text.as_str(), "" | "off") {
            return Ok(None);
        }
        let units = [('d', 24 * 60 * 60), ('h', 60 * 60), ('m', 60), ('s', 1)];
        let age = units.iter().find_map(|(unit, seconds)| {
            let number: u32 = text.strip_suffix(*unit)?.parse().ok()?;
            Some(Duration::from_secs(u64::from(number) * seconds))
        });
        match age.filter(|age| !age.is_zero()) {
            Some(age) => Ok(Some(age)),
            None => refuse(
                self.origin(key),
                format!("'{text}' is no time: a number and d, h, m or s, such as 90d, or off"),
            ),
        }
    }

    /// `auto`: so many for each core of the machine.
    fn parallel(&self, key: &str, per_core: usize) -> Result<usize, ConfigError> {
        if self.text(key) == "auto" {
            let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
            return Ok(cores * per_core);
        }
        Ok(usize::try_from(self.number(key)?).unwrap_or(usize::MAX))
    }

    /// Mistakes that would otherwise show when the first image is pushed or the first module is
    /// fetched. Values that may hold a password are not repeated.
    fn refuse_what_no_part_could_use(&self) -> Result<(), ConfigError> {
        if let Some(location) = self.optional("registry") {
            if location.contains('@') || location.contains("://") {
                let reason = "host[:port][/prefix] only; user name and password have settings of \
                              their own, registry_username and registry_password";
                return refuse(self.origin("registry"), reason);
            }
            if location.chars().any(char::is_uppercase) {
                return refuse(self.origin("registry"), "image names are lower case");
            }
        }
        if let Some(forge) = self.optional("forge")
            && !forge.starts_with("https://")
            && !forge.starts_with("http://")
        {
            return refuse(
                self.origin("forge"),
                "the Forge's address begins with https:// or http://",
            );
        }
        for file in ["cert.pem", "key.pem", "ca.pem"] {
            let path =
                self.optional("client_certs").map(|directory| Path::new(&directory).join(file));
            if let Some(path) = path.filter(|path| !path.is_file()) {
                return refuse(
                    self.origin("client_certs"),
                    format!("there is no {}", path.display()),
                );
            }
        }
        if let Some(token) = self.optional("api_token")
            && (token.trim() != token || token.chars().any(char::is_control))
        {
            return refuse(self.origin("api_token"), "a token has no spaces around it");
        }
        Ok(())
    }
}

fn is_known(key: &str) -> bool {
    SETTINGS.iter().any(|setting| {
        setting.key == key || (setting.secret && key.strip_suffix("_file") == Some(setting.key))
    })
}

fn unknown(key: &str) -> String {
    let known: Vec<_> = SETTINGS.iter().map(|setting| setting.key).collect();
    format!("there is no setting '{key}'; there are {}", known.join(", "))
}

/// A URL with its password covered: `redis://user:***@host`.
pub fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..authority_end].rfind('@') {
        Some(at) => {
            let user = rest[..at].split(':').next().unwrap_or_default();
            format!("{scheme}://{user}:***{}", &rest[at..])
        }
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use secrecy::ExposeSecret;

    use super::*;

    fn from(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let mut sources = Sources::default();
        let variables = variables.iter().map(|(key, text)| ((*key).into(), (*text).into()));
        sources.add_environment(variables);
        sources.read_secret_files()?;
        sources.check()
    }

    #[test]
    fn defaults_are_those_of_the_contract() {
        let config = from(&[]).unwrap();
        assert_eq!(config.bind.to_string(), "127.0.0.1:8888");
        assert_eq!(config.store, "filesystem:");
        assert_eq!(config.registry.unwrap().location, "127.0.0.1:5000");
        assert_eq!(config.base_provider.as_str(), "cloudopting");
    }

    #[test]
    fn an_empty_registry_switches_pushing_off() {
        assert!(from(&[("CRANE_REGISTRY", "")]).unwrap().registry.is_none());
    }

    #[test]
    fn only_a_loopback_bind_goes_without_a_token() {
        let error = from(&[("CRANE_BIND", "0.0.0.0:80")]).unwrap_err();
        assert_eq!(error.origin, "CRANE_BIND");
        assert!(from(&[("CRANE_BIND", "0.0.0.0:80"), ("CRANE_API_TOKEN", "x")]).is_ok());
        assert!(from(&[("CRANE_BIND", "0.0.0.0:80"), ("CRANE_INSECURE_NO_AUTH", "true")]).is_ok());
    }

    #[test]
    fn errors_name_the_variable() {
        let error = from(&[("CRANE_PARALLEL_BUILDS", "many")]).unwrap_err();
        assert_eq!(error.to_string(), "CRANE_PARALLEL_BUILDS: 'many' is not a number");
        let mut sources = Sources::default();
        sources.add_environment([("CRANE_REGISTY".into(), "x".into())].into_iter());
        assert_eq!(sources.ignored_variables, ["CRANE_REGISTY"]);
    }

    #[test]
    fn a_file_names_the_line_of_an_unknown_key_and_the_environment_wins() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "# comment\nbind = \"127.0.0.1:1\"\nparallel_builds = 7\n").unwrap();
        let mut sources = Sources::default();
        sources.add_file(file.path()).unwrap();
        sources.add_environment([("CRANE_BIND".into(), "127.0.0.1:2".into())].into_iter());
        let config = sources.check().unwrap();
        assert_eq!((config.bind.port(), config.parallel_builds), (2, 7));
        writeln!(file, "bund = 1").unwrap();
        let error = Sources::default().add_file(file.path()).unwrap_err();
        assert!(error.origin.ends_with(":5"), "{error}");
        writeln!(file, "x = = 1").unwrap();
        let error = Sources::default().add_file(file.path()).unwrap_err();
        assert!(error.origin.ends_with(":6"), "{error}");
    }

    #[test]
    fn secrets_come_from_files_and_are_not_printed() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "s3cret").unwrap();
        let path = file.path().to_str().unwrap();
        let config = from(&[("CRANE_API_TOKEN_FILE", path)]).unwrap();
        assert_eq!(config.api_token.as_ref().unwrap().expose_secret(), "s3cret");
        assert!(!format!("{config:?}").contains("s3cret"));
        assert_eq!(without_password("redis://me:pw@h:1/0"), "redis://me:***@h:1/0");
        assert_eq!(without_password("filesystem:/a@b"), "filesystem:/a@b");
    }
}
