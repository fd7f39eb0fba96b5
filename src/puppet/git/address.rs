//! Where a repository is, read from what a Puppetfile says (gitremote-helpers(7) are not among it).

use percent_encoding::percent_decode_str;
use url::Url;

use crate::puppet::{
    fault::{Fault, Result},
    net::Login,
    puppetfile::without_credentials,
};

const SSH_PORT: u16 = 22;
/// As every host of git repositories has it; `ssh` itself would take the name of the process's user.
const SSH_USER: &str = "git";

/// How a repository is reached.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Address {
    Http(Url),
    /// git-daemon(1).
    Git(Url),
    Ssh(Login, String),
}

impl Address {
    pub(super) fn read(written: &str) -> Result<Self> {
        let refuse = |why: &str| {
            let written = without_credentials(written);
            Fault::refused(format!("'{written}' {why}"))
        };
        if !written.contains("://") {
            // `user@host:path`. That the host is one is checked when the Puppetfile is read.
            let Some((login, path)) = split(written) else { return Err(refuse("is no URL")) };
            let (user, host) = login.rsplit_once('@').unwrap_or((SSH_USER, login));
            return ssh(user, host, SSH_PORT, path).map_err(|why| refuse(&why));
        }
        let url = Url::parse(written).map_err(|error| refuse(&format!("is no URL: {error}")))?;
        match url.scheme() {
            "http" | "https" => Ok(Self::Http(url)),
            "git" => Ok(Self::Git(url)),
            "ssh" => {
                if url.password().is_some() {
                    return Err(refuse("has a password, and SSH hosts are shown keys only"));
                }
                let user = percent_decode_str(url.username()).decode_utf8_lossy();
                let user = if user.is_empty() { SSH_USER.into() } else { user };
                let path = percent_decode_str(url.path()).decode_utf8_lossy();
                let host = url.host_str().unwrap_or_default();
                let port = url.port().unwrap_or(SSH_PORT);
                ssh(&user, host, port, &path).map_err(|why| refuse(&why))
            }
            other => Err(refuse(&format!("has the scheme `{other}`, which is not supported"))),
        }
    }
}

/// The login and the path of `user@host:path` and `user@[::1]:path`.
fn split(written: &str) -> Option<(&str, &str)> {
    match written.split_once("]:") {
        Some((login, path)) if login.contains('[') => Some((&written[..=login.len()], path)),
        _ => written.split_once(':'),
    }
}

fn ssh(user: &str, host: &str, port: u16, path: &str) -> std::result::Result<Address, String> {
    let harmless = |text: &str| !text.is_empty() && !text.contains(char::is_control);
    if !harmless(user) || !harmless(host) {
        return Err("names no user or no host".into());
    }
    // As git does: `/~user/x` is below that user's home.
    let path = if path.starts_with("/~") { &path[1..] } else { path };
    if !harmless(path) || path == "/" || path.starts_with('-') {
        return Err("names no repository".into());
    }
    let login = Login { user: user.to_owned(), host: host.to_owned(), port };
    Ok(Address::Ssh(login, path.to_owned()))
}

/// A word as shells and git-shell(1) read it: the only command line that Crane ever writes, and it
/// is the server's shell that reads it.
pub(super) fn quoted(word: &str) -> String {
    // A `!` is for shells that expand it also within quotes.
    format!("'{}'", word.replace('\'', "'\\''").replace('!', "'\\!'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(written: &str) -> String {
        match Address::read(written) {
            Ok(Address::Ssh(Login { user, host, port }, path)) => {
                format!("{user} {host} {port} {path}")
            }
            Ok(Address::Http(url) | Address::Git(url)) => url.to_string(),
            Err(fault) => fault.to_string(),
        }
    }

    #[test]
    fn addresses_are_read_as_git_reads_them() {
        for (written, expected) in [
            ("ssh://git@host:2222/a/b.git", "git host 2222 /a/b.git"),
            ("ssh://host/a", "git host 22 /a"),
            ("ssh://me%40x@host/a%20b", "me@x host 22 /a b"),
            ("ssh://host/~me/a", "git host 22 ~me/a"),
            ("ssh://[::1]:22/a", "git [::1] 22 /a"),
            ("git@host:a/b.git", "git host 22 a/b.git"),
            ("host:/srv/a b", "git host 22 /srv/a b"),
            ("me@host:~you/a", "me host 22 ~you/a"),
            ("me@host:/~you/a", "me host 22 ~you/a"),
            ("me@[::1]:a", "me [::1] 22 a"),
            ("https://host/a", "https://host/a"),
            ("git://host/a", "git://host/a"),
            ("svn://host/a", "'svn://host/a' has the scheme `svn`, which is not supported"),
            ("ssh://host/", "'ssh://host/' names no repository"),
            ("git@host:-x", "'git@host:-x' names no repository"),
            ("ssh://host/a%0ab", "'ssh://host/a%0ab' names no repository"),
            (
                "ssh://me:secret@host/a",
                "'ssh://***@host/a' has a password, and SSH hosts are shown keys only",
            ),
            ("nothing", "'nothing' is no URL"),
        ] {
            assert_eq!(read(written), expected, "{written}");
        }
    }

    #[test]
    fn paths_reach_no_shell() {
        assert_eq!(quoted("/a b"), "'/a b'");
        assert_eq!(quoted("a'; id; '!"), r"'a'\''; id; '\'''\!''");
        for path in ["/x", "a'b", "!!", "$(id) `id` \"\\", "'\\''"] {
            let said = std::process::Command::new("sh")
                .args(["-c", &format!("printf %s {}", quoted(path))])
                .output()
                .unwrap();
            assert_eq!(String::from_utf8_lossy(&said.stdout), path);
        }
    }
}
