//! What the environment of a user says to any program on their command line. The server reads none
//! of it.

use std::{env, path::PathBuf};

/// Variables that other programs read as well.
#[derive(Debug, Clone, Default)]
pub struct UserEnvironment {
    /// `http_proxy`. In capitals it is not read, as curl does: a web server's `Proxy:` header
    /// becomes that variable of a script (CVE-2016-5385).
    pub http_proxy: Option<String>,
    /// `https_proxy`.
    pub https_proxy: Option<String>,
    /// `no_proxy`.
    pub no_proxy: Option<String>,
    /// `SSH_AUTH_SOCK`, the socket of ssh-agent(1).
    pub ssh_agent: Option<PathBuf>,
    /// The directory that `.ssh` is in.
    pub home: Option<PathBuf>,
}

impl UserEnvironment {
    pub fn read() -> Self {
        // An empty one is as good as none.
        let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        let either = |name: &str| variable(name).or_else(|| variable(&name.to_ascii_uppercase()));
        Self {
            http_proxy: variable("http_proxy").or_else(|| either("all_proxy")),
            https_proxy: either("https_proxy").or_else(|| either("all_proxy")),
            no_proxy: either("no_proxy"),
            ssh_agent: variable("SSH_AUTH_SOCK").map(Into::into),
            home: env::home_dir(),
        }
    }
}
