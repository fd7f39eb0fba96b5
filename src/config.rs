//! What `crane` is told by its configuration file, the environment and its flags, in this order;
//! the later wins. This is the only file that reads the environment, once, called from `main`.
//!
//! `table.rs` says what there is, `sources.rs` collects what was given, and this file makes a
//! [`Config`] of it, checked.

mod hosts;
mod r10k;
mod sources;
mod table;
mod user;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use secrecy::SecretString;

pub use self::{
    hosts::{HostCredentials, SshKey},
    r10k::{PuppetfileEngine, R10kConfig},
    sources::{DEFAULT_FILE, Sources},
    table::{SETTINGS, Setting},
    user::UserEnvironment,
};
use crate::model::Name;

/// Where modules may come from.
#[derive(Debug, Clone, Default)]
pub struct ModuleSources {
    /// Hosts and networks; none: whatever is not denied.
    pub allowed: Vec<String>,
    pub denied: Vec<String>,
    pub ca: Option<PathBuf>,
    pub credentials: Vec<HostCredentials>,
    pub known_hosts: Option<PathBuf>,
    /// May carry a password.
    pub proxy: Option<SecretString>,
    pub no_proxy: String,
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
    /// None: r10k is not to be had.
    pub r10k: Option<R10kConfig>,
    pub forge: Option<String>,
    pub sources: ModuleSources,
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

impl Sources {
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
            puppetfile_engine: self.puppetfile_engine()?,
            r10k: self.r10k()?,
            forge: self.optional("forge"),
            sources: self.module_sources()?,
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
        self.given(key).map_or_else(default, |(text, _)| text.to_owned())
    }

    /// An empty text switches a setting off.
    fn optional(&self, key: &str) -> Option<String> {
        Some(self.text(key)).filter(|text| !text.is_empty())
    }

    fn origin(&self, key: &str) -> String {
        self.given(key).map_or(key, |(_, origin)| origin).to_owned()
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

    fn module_sources(&self) -> Result<ModuleSources, ConfigError> {
        let list = |key| {
            let text = self.text(key);
            let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
            entries.map(str::to_owned).collect()
        };
        let file = self.optional("sources_credentials").map(PathBuf::from);
        Ok(ModuleSources {
            allowed: list("sources_allowed"),
            denied: list("sources_denied"),
            ca: self.optional("sources_ca").map(PathBuf::from),
            credentials: file.map_or(Ok(Vec::new()), |file| hosts::read(&file))?,
            known_hosts: self.optional("sources_known_hosts").map(PathBuf::from),
            proxy: self.optional("sources_proxy").map(SecretString::from),
            no_proxy: self.text("sources_no_proxy"),
        })
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

    pub(super) fn from(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
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
