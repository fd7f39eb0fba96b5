//! Everything that can be configured, in one table: the source of all three spellings, of `--help` and
//! of what `crane check` prints, so none of them can lag behind.

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
    setting(
        "puppetfile_engine",
        Some("native"),
        "what installs modules where a context does not say: native or r10k",
    ),
    setting(
        "r10k_image",
        None,
        "image with r10k and git that engine=r10k runs in; none: there is no engine=r10k",
    ),
    setting("r10k_network", Some("bridge"), "Docker network that it reaches modules through"),
    setting("r10k_memory", Some("1g"), "its memory, such as 512m or 2g"),
    setting("forge", None, "base URL of the Puppet Forge; none: https://forgeapi.puppet.com"),
    setting(
        "sources_allowed",
        None,
        "hosts and networks that modules may come from, with commas between them; none: all but \
         link-local addresses and those of clouds' metadata",
    ),
    setting("sources_denied", None, "hosts and networks that modules may not come from"),
    setting(
        "sources_ca",
        None,
        "PEM file of CAs that are trusted for modules besides the system's",
    ),
    setting(
        "sources_credentials",
        None,
        "TOML file: a table [\"HOST\"] or [\"HOST:PORT\"] with username and password, or token, or \
         ssh_key (a file) and ssh_passphrase",
    ),
    setting(
        "sources_known_hosts",
        None,
        "keys of SSH hosts in OpenSSH's format; others are not spoken to",
    ),
    setting("sources_proxy", None, "http://[USER:PASSWORD@]HOST:PORT that modules come through"),
    setting(
        "sources_no_proxy",
        None,
        "hosts and networks that are asked without it, as curl has it",
    ),
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

pub(super) fn is_known(key: &str) -> bool {
    SETTINGS.iter().any(|setting| {
        setting.key == key || (setting.secret && key.strip_suffix("_file") == Some(setting.key))
    })
}

pub(super) fn unknown(key: &str) -> String {
    let known: Vec<_> = SETTINGS.iter().map(|setting| setting.key).collect();
    format!("there is no setting '{key}'; there are {}", known.join(", "))
}
