//! Which hosts and addresses modules may be fetched from.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use ipnet::IpNet;

use crate::error::{Error, Problem, Result};

/// Addresses that hand out a machine's own credentials and are not link-local: Alibaba Cloud,
/// Azure's wire server, and EC2 over IPv6. The common 169.254.169.254 is link-local.
const METADATA: [IpAddr; 3] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254)),
];

/// The policy. By default everything may be fetched from but link-local addresses, those of cloud
/// metadata, and those that are no host's.
///
/// Loopback and private networks are allowed by default, because that is where the git servers of
/// those who run Crane are; whoever serves strangers denies them (`127.0.0.0/8`, `10.0.0.0/8`, ...).
#[derive(Debug, Clone, Default)]
pub struct Egress {
    allowed: Vec<Pattern>,
    denied: Vec<Pattern>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    /// A name in lower case.
    Host(String),
    /// `*.example.com`: kept as `.example.com`.
    Below(String),
    Network(IpNet),
}

impl Egress {
    /// Each entry is a host name, `*.example.com`, an address or a network. Without allowed entries
    /// everything is allowed that is not denied; what is denied is denied also when it is allowed.
    pub fn new<'a>(
        allowed: impl IntoIterator<Item = &'a str>,
        denied: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self> {
        let read = |entry: &str| {
            Pattern::read(entry).ok_or_else(|| {
                Error::problem(Problem::new(
                    "egress",
                    format!(
                        "'{entry}' is none of a host name, '*.example.com', an address or a network"
                    ),
                ))
            })
        };
        Ok(Self {
            allowed: allowed.into_iter().map(read).collect::<Result<_>>()?,
            denied: denied.into_iter().map(read).collect::<Result<_>>()?,
        })
    }

    /// Whether a host may be asked for at all, before its name is looked up.
    pub(super) fn check_host(&self, host: &str) -> Result<(), String> {
        if self.denied.iter().any(|pattern| pattern.is_host(host)) {
            return Err(format!("the host '{host}' is denied by this server's configuration"));
        }
        let only_hosts = self.allowed.iter().all(|pattern| !matches!(pattern, Pattern::Network(_)));
        if !self.allowed.is_empty() && only_hosts && !self.allows_host(host) {
            return Err(not_allowed(host));
        }
        Ok(())
    }

    /// Whether a host may be asked for through somebody who looks up its name, so that nothing is
    /// known of its addresses: allowed networks allow no name then, and denied ones deny none.
    pub(super) fn check_unresolved(&self, host: &str) -> Result<(), String> {
        let literal = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = literal.parse() {
            return self.check(literal, address);
        }
        self.check_host(host)?;
        match self.allowed.is_empty() || self.allows_host(host) {
            true => Ok(()),
            false => Err(not_allowed(host)),
        }
    }

    /// Whether this address of the host may be connected to.
    pub(super) fn check(&self, host: &str, address: IpAddr) -> Result<(), String> {
        self.check_host(host)?;
        let address = plain(address);
        let within = |pattern: &Pattern| pattern.contains(address);
        if self.denied.iter().any(within) {
            return Err(format!(
                "'{host}' is at {address}, which is denied by this server's configuration"
            ));
        }
        if self.allows_host(host) {
            return Ok(());
        }
        if let Some(kind) = special(address) {
            let exactly = |pattern: &Pattern| match pattern {
                Pattern::Network(network) => IpNet::from(address) == *network,
                _ => false,
            };
            if !self.allowed.iter().any(exactly) {
                return Err(format!(
                    "'{host}' is at {address}, {kind}, which nothing is fetched from"
                ));
            }
        }
        match self.allowed.is_empty() || self.allowed.iter().any(within) {
            true => Ok(()),
            false => Err(not_allowed(host)),
        }
    }

    /// Whether the host is allowed by its name, not only because nothing is said of it.
    pub(in super::super) fn allows_host(&self, host: &str) -> bool {
        self.allowed.iter().any(|pattern| pattern.is_host(host))
    }
}

fn not_allowed(host: &str) -> String {
    format!("the host '{host}' is not among those that this server's configuration allows")
}

impl Pattern {
    fn read(entry: &str) -> Option<Self> {
        if let Ok(network) = IpNet::from_str(entry) {
            return Some(Self::Network(network.trunc()));
        }
        let bare = entry.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = IpAddr::from_str(bare) {
            return Some(Self::Network(plain(address).into()));
        }
        let entry = entry.to_ascii_lowercase();
        let name = entry.strip_prefix("*.").unwrap_or(&entry);
        let is_name = !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
        match (is_name, entry.starts_with("*.")) {
            (true, true) => Some(Self::Below(format!(".{name}"))),
            (true, false) => Some(Self::Host(entry)),
            (false, _) => None,
        }
    }

    fn is_host(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        match self {
            Self::Host(name) => *name == host,
            Self::Below(end) => host.ends_with(end.as_str()),
            // An address that is written as the host is a name of itself.
            Self::Network(network) => {
                network.prefix_len() == network.max_prefix_len()
                    && host.parse().is_ok_and(|address: IpAddr| plain(address) == network.addr())
            }
        }
    }

    fn contains(&self, address: IpAddr) -> bool {
        matches!(self, Self::Network(network) if network.contains(&address))
    }
}

/// The IPv4 address that an IPv6 one stands for (RFC 4291, section 2.5.5; NAT64, RFC 6052), so that
/// writing it differently does not get around a rule.
fn plain(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    if let Some(v4) = v6.to_ipv4_mapped() {
        return v4.into();
    }
    let [a, b, c, d, e, f, high, low] = v6.segments();
    let carries = matches!([a, b, c, d, e, f], [0x64, 0xff9b, 0, 0, 0, 0] | [0, 0, 0, 0, 0, 0]);
    if carries && (high, low) != (0, 0) && (high, low) != (0, 1) {
        return Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)).into();
    }
    address
}

/// What an address is that no module is ever at.
fn special(address: IpAddr) -> Option<&'static str> {
    if METADATA.contains(&address) {
        return Some("where clouds hand out a machine's credentials");
    }
    let (link_local, nobodys) = match address {
        IpAddr::V4(v4) => {
            (v4.is_link_local(), v4.octets()[0] == 0 || v4.is_broadcast() || v4.is_multicast())
        }
        IpAddr::V6(v6) => (v6.is_unicast_link_local(), v6.is_unspecified() || v6.is_multicast()),
    };
    match (link_local, nobodys) {
        (true, _) => Some("a link-local address"),
        (_, true) => Some("no host's own address"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(policy: &Egress, host: &str, address: &str) -> bool {
        policy.check(host, address.parse().unwrap()).is_ok()
    }

    #[test]
    fn metadata_and_link_local_addresses_are_denied_however_they_are_written() {
        let policy = Egress::default();
        for address in [
            "169.254.169.254",
            "169.254.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "::a9fe:a9fe",
            "fe80::1",
            "100.100.100.200",
            "168.63.129.16",
            "fd00:ec2::254",
            "0.0.0.0",
            "0.1.2.3",
            "::",
            "255.255.255.255",
            "224.0.0.1",
            "ff02::1",
        ] {
            assert!(!verdict(&policy, "h", address), "{address}");
        }
        for address in ["127.0.0.1", "::1", "10.0.0.1", "192.0.2.1", "2001:db8::1", "fd00::1"] {
            assert!(verdict(&policy, "h", address), "{address}");
        }
    }

    #[test]
    fn a_name_allows_what_is_denied_for_all() {
        let policy =
            Egress::new(["metadata.internal", "10.0.0.0/8", "169.254.7.7"], ["10.1.0.0/16"])
                .unwrap();
        assert!(verdict(&policy, "metadata.internal", "169.254.169.254"));
        assert!(!verdict(&policy, "other", "169.254.169.254"));
        assert!(verdict(&policy, "other", "169.254.7.7"));
        assert!(verdict(&policy, "other", "10.2.0.1"));
        assert!(!verdict(&policy, "metadata.internal", "10.1.0.1"), "denied is denied");
        assert!(!verdict(&policy, "other", "192.0.2.1"));
        // A whole network of link-local addresses is no name.
        let policy = Egress::new(["169.254.0.0/16"], []).unwrap();
        assert!(!verdict(&policy, "h", "169.254.169.254"));
    }

    #[test]
    fn names_that_are_not_looked_up_here_are_allowed_by_name_only() {
        let check = |allowed: &[&'static str], denied: &[&'static str], host: &str| {
            let policy = Egress::new(allowed.iter().copied(), denied.iter().copied()).unwrap();
            policy.check_unresolved(host).is_ok()
        };
        assert!(check(&[], &["10.0.0.0/8"], "git.example.com"));
        assert!(!check(&[], &["git.example.com"], "git.example.com"));
        assert!(!check(&["192.0.2.0/24"], &[], "git.example.com"));
        assert!(check(&["192.0.2.0/24", "*.example.com"], &[], "git.example.com"));
        assert!(check(&["192.0.2.0/24"], &[], "192.0.2.1"));
        for literal in ["169.254.169.254", "[::ffff:169.254.169.254]", "10.0.0.1"] {
            assert!(!check(&[], &["10.0.0.0/8"], literal), "{literal}");
        }
    }

    #[test]
    fn hosts_are_told_before_their_names_are_looked_up() {
        let policy = Egress::new(["git.example.com", "*.forge.example"], ["bad.forge.example"]);
        let policy = policy.unwrap();
        assert!(policy.check_host("GIT.example.com.").is_ok());
        assert!(policy.check_host("a.b.forge.example").is_ok());
        assert!(policy.check_host("bad.forge.example").is_err());
        assert!(policy.check_host("forge.example").is_err());
        assert!(policy.check_host("evil-forge.example").is_err());
        let policy = Egress::new([], ["127.0.0.1", "[::1]"]).unwrap();
        assert!(policy.check_host("127.0.0.1").is_err());
        assert!(!verdict(&policy, "localhost", "::1"));
        assert!(Egress::new(["a b"], []).is_err() && Egress::new([], ["10.0.0.0/99"]).is_err());
    }
}
