//! The parts of a running Crane, opened once and shared.

use std::{path::Path, sync::Arc};

use secrecy::{ExposeSecret, SecretString};
use tokio::fs;

use crate::{
    config::{self, Config, PuppetfileEngine},
    engine::{self, Engine, Login},
    error::{Error, Problem, Result},
    jobs::{Jobs, Limits, Parts, Retention, clusters::endpoint_of},
    puppet::{self, Egress, KnownHosts, Native, NativeSettings, Proxies, Sandbox, SshSettings},
    registry::{Credentials, Registry},
    store::{self, Store},
};

/// Key of the record that holds this Crane's id.
const INSTANCE: &str = "crane:instance";

pub struct Crane {
    /// The work, and through `jobs.parts` the store, the engine and the registry.
    pub jobs: Arc<Jobs>,
    /// Bearer token that callers show; `None`: nobody has to.
    pub api_token: Option<SecretString>,
    /// Neither a token nor the network keeps others out: only this machine's own programs are meant
    /// to be served.
    pub local_only: bool,
}

impl Crane {
    /// Opens the store, which must answer; the engine and the registry may be down for now.
    pub async fn open(config: &Config) -> Result<Arc<Self>> {
        let data_dir = prepare(&config.data_dir).await?;
        let store = store::open(&config.store, &data_dir).await?;
        let registry = config.registry.as_ref().map(|registry| {
            let credentials = registry.username.clone().zip(registry.password.clone());
            let credentials =
                credentials.map(|(username, password)| Credentials { username, password });
            Registry::open(&registry.location, credentials, registry.ca.as_deref())
        });
        let registry = registry.transpose()?;
        let engine = engine::connect(&endpoint_of(&config.engine, config.client_certs.as_deref()))?;
        let parts = Parts {
            instance: instance(&*store).await?,
            store,
            puppet: puppet::Settings {
                work: data_dir.join("work"),
                forge: config.forge.clone(),
                time_limit: config.install_limit,
                engine: match config.puppetfile_engine {
                    PuppetfileEngine::Native => puppet::Engine::Native,
                    PuppetfileEngine::R10k => puppet::Engine::R10k,
                },
                native: native(config, &data_dir)?,
                r10k: config.r10k.as_ref().map(|r10k| sandbox(r10k, &engine, registry.as_ref())),
            },
            engine,
            registry,
            data_dir,
            client_certs: config.client_certs.clone(),
            base_provider: config.base_provider.clone(),
        };
        let limits = Limits {
            installs: config.parallel_installs,
            builds: config.parallel_builds,
            deployments: config.parallel_deployments,
            install_time: config.install_limit,
            build_time: config.build_limit,
            deployment_time: config.deployment_limit,
            retries: config.retries,
            lease: config.lease,
            retention: Retention { logs: config.keep_logs, contexts: config.keep_contexts },
        };
        let password = config.registry.as_ref().and_then(|registry| registry.password.clone());
        let jobs = Jobs::new(parts, limits, password.into_iter().chain(config.api_token.clone()));
        Ok(Arc::new(Self {
            jobs,
            api_token: config.api_token.clone(),
            local_only: config.api_token.is_none() && config.bind.ip().is_loopback(),
        }))
    }
}

/// Crane's own engine of Puppetfiles, with one cache for all contexts.
fn native(config: &Config, data_dir: &Path) -> Result<Arc<Native>> {
    let sources = &config.sources;
    let credentials = sources.credentials.iter().filter_map(|host| {
        let (username, secret) = host.http.clone()?;
        Some(puppet::Credential { host: host.host.clone(), username, secret })
    });
    let keys = sources.credentials.iter().filter_map(|host| {
        let config::SshKey { file, passphrase } = host.ssh.clone()?;
        Some(puppet::SshKey { host: Some(host.host.clone()), file, passphrase })
    });
    let keys: Vec<_> = keys.collect();
    for key in &keys {
        key.check()?;
    }
    let proxy = sources.proxy.as_ref().map(ExposeSecret::expose_secret);
    Native::open(NativeSettings {
        cache: data_dir.join("cache"),
        cache_bytes: None,
        egress: Egress::new(
            sources.allowed.iter().map(String::as_str),
            sources.denied.iter().map(String::as_str),
        )?,
        credentials: credentials.collect(),
        proxies: Proxies::new(proxy, proxy, &sources.no_proxy)?,
        ssh: SshSettings { known_hosts: known_hosts(sources)?, keys, agent: None },
        authorities: sources.ca.clone().into_iter().collect(),
        // Tags move, and a server's cache is everybody's.
        keep_tags: false,
    })
}

/// Where r10k runs: on the engine that builds.
fn sandbox(r10k: &config::R10kConfig, engine: &Engine, registry: Option<&Registry>) -> Sandbox {
    // The credentials of Crane's registry are for no other one.
    let registry = registry.filter(|registry| {
        r10k.image.strip_prefix(registry.host()).is_some_and(|path| path.starts_with('/'))
    });
    let login = registry.and_then(|registry| {
        let Credentials { username, password } = registry.credentials()?.clone();
        Some(Login { host: registry.host().to_owned(), username, password })
    });
    Sandbox {
        engine: engine.clone(),
        image: r10k.image.clone(),
        login,
        network: r10k.network.clone(),
        memory: r10k.memory,
    }
}

/// The keys of SSH hosts. A line that says nothing to Crane is a mistake in a file of its own.
fn known_hosts(sources: &config::ModuleSources) -> Result<KnownHosts> {
    let Some(file) = &sources.known_hosts else { return Ok(KnownHosts::default()) };
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file)
        .map_err(|error| Error::problem(Problem::new(&name, error.to_string())))?;
    let (known, problems) = KnownHosts::read(&name, &text);
    match problems.into_iter().next() {
        Some(problem) => Err(Error::problem(problem)),
        None => Ok(known),
    }
}

/// The data directory, absolute. What Crane makes in it is readable by nobody else, as it holds
/// what users sent; a directory that was there keeps its mode.
async fn prepare(data_dir: &Path) -> Result<std::path::PathBuf> {
    let unusable = |error: std::io::Error| {
        Error::unavailable(
            "store",
            format!(
                "the data directory {}: {error}; set CRANE_DATA_DIR to one that can be written",
                data_dir.display()
            ),
        )
    };
    for directory in ["contexts", "store", "work", "cache"] {
        let mut private = fs::DirBuilder::new();
        private.recursive(true).mode(0o700);
        private.create(data_dir.join(directory)).await.map_err(unusable)?;
    }
    fs::canonicalize(data_dir).await.map_err(unusable)
}

/// The id on the labels of what this Crane makes. All processes on one store have the same.
async fn instance(store: &dyn Store) -> Result<String> {
    let id = uuid::Uuid::new_v4().simple().to_string();
    store.put_if_absent(INSTANCE, id.into_bytes()).await?;
    match store.get(INSTANCE).await? {
        Some(entry) => String::from_utf8(entry.value).map_err(Error::internal),
        None => Err(Error::internal("the store lost the id of this Crane")),
    }
}
