//! How `crane puppetfile` reaches servers: as git and curl would for the same user.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use crane::{
    config::UserEnvironment,
    error::{Error, Problem, Result},
    puppet::{KnownHosts, NativeSettings, Proxies, SshKey, SshSettings},
};

/// What `ssh` reads for all users.
const SYSTEM_KNOWN_HOSTS: &str = "/etc/ssh/ssh_known_hosts";
/// Kinds that `ssh` looks for and Crane can use.
const IDENTITIES: [&str; 2] = ["id_ed25519", "id_ecdsa"];

pub(super) const HELP: &str = "Environment: http_proxy, https_proxy, all_proxy and no_proxy as curl \
    reads them; SSH_AUTH_SOCK, the agent whose keys are shown to SSH hosts after the files.";

pub(super) fn arguments(command: Command) -> Command {
    let files = |name: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
            .action(ArgAction::Append)
            .help(help)
    };
    command
        .arg(files(
            "known-hosts",
            "keys of SSH hosts; others are not spoken to [default: ~/.ssh/known_hosts and \
             /etc/ssh/ssh_known_hosts]",
        ))
        .arg(files(
            "identity",
            "a key without a passphrase that is shown to SSH hosts, Ed25519 or ECDSA [default: \
             ~/.ssh/id_ed25519, ~/.ssh/id_ecdsa]; after it, those of the agent",
        ))
}

/// The part of the settings that is about servers.
pub(super) fn settings(matches: &ArgMatches) -> Result<NativeSettings> {
    let given = |name: &str| -> Vec<PathBuf> {
        let files = matches.try_get_many::<PathBuf>(name).ok().flatten();
        files.into_iter().flatten().cloned().collect()
    };
    let user = UserEnvironment::read();
    let home = user.home.map(|home| home.join(".ssh")).unwrap_or_default();
    let proxies = Proxies::new(
        user.http_proxy.as_deref(),
        user.https_proxy.as_deref(),
        user.no_proxy.as_deref().unwrap_or_default(),
    )?;
    let mut known_hosts = KnownHosts::default();
    for file in given("known-hosts") {
        let (known, problems) = read(&file).map_err(|error| unreadable(&file, &error))?;
        if let Some(problem) = problems.into_iter().next() {
            return Err(Error::problem(problem));
        }
        known_hosts.extend(known);
    }
    if given("known-hosts").is_empty() {
        // The user's own files have what `ssh` can use and Crane cannot.
        for file in [home.join("known_hosts"), SYSTEM_KNOWN_HOSTS.into()] {
            if let Ok((known, _)) = read(&file) {
                known_hosts.extend(known);
            }
        }
    }
    let key = |file: PathBuf| SshKey { host: None, file, passphrase: None };
    let mut keys: Vec<SshKey> = given("identity").into_iter().map(key).collect();
    if keys.is_empty() {
        let files = IDENTITIES.iter().map(|name| key(home.join(name)));
        // One with a passphrase may be in the agent.
        keys.extend(files.filter(|key| key.check().is_ok()));
    }
    let ssh = SshSettings { known_hosts, keys, agent: user.ssh_agent };
    Ok(NativeSettings { proxies, ssh, ..NativeSettings::default() })
}

fn read(file: &Path) -> io::Result<(KnownHosts, Vec<Problem>)> {
    Ok(KnownHosts::read(&file.display().to_string(), &fs::read_to_string(file)?))
}

fn unreadable(file: &Path, error: &io::Error) -> Error {
    Error::problem(Problem::new(file.display().to_string(), error.to_string()))
}
