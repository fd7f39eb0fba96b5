//! Which keys servers have, in the format of `known_hosts` (sshd(8)). Nothing is learnt: a server
//! whose key is not written down is not spoken to.

use hmac::{Hmac, KeyInit, Mac};
use russh::keys::{
    Algorithm, HashAlg, PublicKey,
    ssh_key::known_hosts::{Entry, HostPatterns, Marker},
};
use sha1::Sha1;

use crate::{error::Problem, puppet::wildcard};

/// The port that a line without one is for.
pub(super) const PORT: u16 = 22;

/// The keys of hosts.
#[derive(Debug, Clone, Default)]
pub struct KnownHosts(Vec<Entry>);

/// What is known of a key that a server shows.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Known,
    /// Nothing is known of the host.
    Unknown,
    /// The host has other keys of the same kind: fingerprints of them.
    Other(Vec<String>),
    /// Only keys of other kinds are known of the host: these.
    OtherKind(Vec<String>),
    Revoked,
}

impl KnownHosts {
    /// Reads the text of such a file; `name` is its, for problems. Lines that are not understood are
    /// problems and count for nothing, so that who reads a user's own file may go on.
    pub fn read(name: &str, text: &str) -> (Self, Vec<Problem>) {
        let (mut entries, mut problems) = (Vec::new(), Vec::new());
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = match line.parse::<Entry>() {
                Ok(entry) if entry.marker() == Some(&Marker::CertAuthority) => {
                    "certificates of hosts are not supported: write the host's own key"
                }
                Ok(entry) => {
                    entries.push(entry);
                    continue;
                }
                Err(_) => "this is no line of known hosts: write 'host ssh-ed25519 AAAA...'",
            };
            let mut problem = Problem::new(name, wrong);
            problem.line = u32::try_from(number + 1).ok();
            problems.push(problem);
        }
        (Self(entries), problems)
    }

    /// These and those.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Kinds of keys that are known of the host, which it is asked to show first: a server with
    /// several would else show one that is not written down.
    pub(super) fn algorithms(&self, host: &str, port: u16) -> Vec<Algorithm> {
        self.of(host, port).map(|entry| entry.public_key().algorithm()).collect()
    }

    pub(super) fn verdict(&self, host: &str, port: u16, key: &PublicKey) -> Verdict {
        let same = |entry: &&Entry| entry.public_key().key_data() == key.key_data();
        let mut there = self.all(host, port).filter(same).peekable();
        if there.peek().is_some() {
            return match there.any(|entry| entry.marker() == Some(&Marker::Revoked)) {
                true => Verdict::Revoked,
                false => Verdict::Known,
            };
        }
        let others: Vec<&PublicKey> = self.of(host, port).map(Entry::public_key).collect();
        let alike = others.iter().filter(|other| other.algorithm() == key.algorithm());
        match alike.map(|other| fingerprint(other)).collect::<Vec<String>>() {
            none if others.is_empty() && none.is_empty() => Verdict::Unknown,
            none if none.is_empty() => Verdict::OtherKind(
                others.iter().map(|other| other.algorithm().as_str().to_owned()).collect(),
            ),
            alike => Verdict::Other(alike),
        }
    }

    /// The lines of the host that allow.
    fn of(&self, host: &str, port: u16) -> impl Iterator<Item = &Entry> {
        self.all(host, port).filter(|entry| entry.marker().is_none())
    }

    /// As OpenSSH does, a key that is known of the host's name is its key on any port.
    fn all(&self, host: &str, port: u16) -> impl Iterator<Item = &Entry> {
        let names = [name(host, port), name(host, PORT)];
        self.0.iter().filter(move |entry| names.iter().any(|name| is_of(entry, name)))
    }
}

/// A host as such files have it: `host`, or `[host]:port`.
pub(super) fn name(host: &str, port: u16) -> String {
    let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    match port {
        PORT => host,
        port => format!("[{host}]:{port}"),
    }
}

/// `SHA256:...`, as ssh-keygen(1) prints it.
pub(super) fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

fn is_of(entry: &Entry, name: &str) -> bool {
    match entry.host_patterns() {
        HostPatterns::HashedName { salt, hash } => {
            // SHA-1 hides the name and proves nothing; the key does.
            let Ok(hmac) = Hmac::<Sha1>::new_from_slice(salt) else { return false };
            hmac.chain_update(name).verify_slice(hash).is_ok()
        }
        HostPatterns::Patterns(patterns) => {
            let denied = |pattern: &String| {
                pattern.strip_prefix('!').is_some_and(|pattern| matches(pattern, name))
            };
            !patterns.iter().any(denied) && patterns.iter().any(|pattern| matches(pattern, name))
        }
    }
}

/// `*` is for any characters and `?` for one; brackets are themselves.
fn matches(pattern: &str, name: &str) -> bool {
    let pattern = pattern.to_ascii_lowercase().replace('[', "\\[");
    wildcard::matches(pattern.as_bytes(), name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
    const TWO: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILIG2T/B0l0gaqj3puu510tu9N1OkQ4znY3LYuEm5zCF";

    fn verdict(lines: &str, host: &str, port: u16, key: &str) -> Verdict {
        let (known, problems) = KnownHosts::read("known_hosts", lines);
        assert_eq!(problems, []);
        known.verdict(host, port, &PublicKey::from_openssh(key).unwrap())
    }

    #[test]
    fn keys_are_known_by_name_port_pattern_and_hash() {
        // Of example.com, by ssh-keygen -H.
        let hashed = format!("|1|O33ESRMWPVkMYIwJ1Uw+n877jTo=|nuuC5vEqXlEZ/8BXQR7m619W6Ak= {TWO}");
        for (lines, host, port, key, expected) in [
            (format!("a.example {ONE}"), "a.example", 22, ONE, Verdict::Known),
            (format!("a.example {ONE} a comment"), "A.Example", 22, ONE, Verdict::Known),
            (format!("b.example,a.example {ONE}"), "a.example", 22, ONE, Verdict::Known),
            (format!("[a.example]:2222 {ONE}"), "a.example", 2222, ONE, Verdict::Known),
            (format!("[a.example]:2222 {ONE}"), "a.example", 22, ONE, Verdict::Unknown),
            (format!("a.example {ONE}"), "a.example", 2222, ONE, Verdict::Known),
            (format!("*.example {ONE}"), "a.example", 22, ONE, Verdict::Known),
            (format!("?.exam*le {ONE}"), "a.example", 22, ONE, Verdict::Known),
            (format!("*.example,!a.example {ONE}"), "a.example", 22, ONE, Verdict::Unknown),
            (format!("*.example {ONE}"), "example", 22, ONE, Verdict::Unknown),
            (hashed.clone(), "example.com", 22, TWO, Verdict::Known),
            (hashed, "example.org", 22, TWO, Verdict::Unknown),
            (format!("::1 {ONE}"), "[::1]", 22, ONE, Verdict::Known),
            (format!("h {ONE}\n@revoked h {ONE}"), "h", 22, ONE, Verdict::Revoked),
            (format!("h {ONE}\n@revoked * {TWO}"), "h", 22, ONE, Verdict::Known),
            ("# none\n\n".into(), "h", 22, ONE, Verdict::Unknown),
        ] {
            assert_eq!(verdict(&lines, host, port, key), expected, "{lines} for {host}:{port}");
        }
        let Verdict::Other(known) = verdict(&format!("h {ONE}"), "h", 22, TWO) else {
            panic!("another key");
        };
        assert!(known[0].starts_with("SHA256:"), "{known:?}");
        let ecdsa = "h ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEmKSENjQEezOmxkZMy7opKgwFB9nkt5YRrYMjNuG5N87uRgg6CLrbo5wAdT/y6v0mKV0U2w0WZ2YB/++Tpockg=";
        let kinds = vec!["ecdsa-sha2-nistp256".to_owned()];
        assert_eq!(verdict(ecdsa, "h", 22, ONE), Verdict::OtherKind(kinds));
    }

    #[test]
    fn what_is_not_understood_is_told_and_counts_for_nothing() {
        let lines =
            format!("# so\nh {ONE}\nnonsense\n@cert-authority * {TWO}\nh ssh-ed25519 AAAA\n");
        let (known, problems) = KnownHosts::read("known_hosts", &lines);
        assert_eq!(known.0.len(), 1);
        let places: Vec<_> = problems.iter().map(|problem| problem.line).collect();
        assert_eq!(places, [Some(3), Some(4), Some(5)]);
    }
}
