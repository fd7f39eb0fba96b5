//! `ports` and `expose`, in both syntaxes.

use std::{net::IpAddr, ops::RangeInclusive, str::FromStr};

use super::{
    item::Item,
    keys,
    model::{ContainerPort, Port, Protocol},
    notes::Notes,
};
use crate::error::Problem;

const SHORT_SYNTAX: &str = "a port is written [[address:]host-port[-last]:]port[-last][/protocol], \
    for example 127.0.0.1:8080:80/tcp";

/// Every port is an entry in what the engine is sent and a process on its host; there are not
/// more of them on one address.
const PORTS_MAX: usize = 65_535;

/// The ports that a service publishes; ranges become single ports.
pub(super) fn ports(item: &Item<'_>, notes: &mut Notes) -> Vec<Port> {
    let mut all = Vec::new();
    for item in notes.take(item.items()) {
        let ports = if item.is_mapping() {
            long(&item, notes)
        } else {
            item.word().and_then(|text| short(&text).map_err(|message| item.problem(message)))
        };
        let ports = notes.take(ports);
        if !has_room(&item, ports.len(), notes) {
            break;
        }
        for port in ports {
            notes.published.push((port.clone(), item.place()));
            all.push(port);
        }
    }
    all
}

/// The ports that a service has without publishing them.
pub(super) fn expose(item: &Item<'_>, notes: &mut Notes) -> Vec<ContainerPort> {
    let mut all = Vec::new();
    for item in notes.take(item.items()) {
        let exposed =
            item.word().and_then(|text| exposed(&text).map_err(|message| item.problem(message)));
        let exposed = notes.take(exposed);
        if !has_room(&item, exposed.len(), notes) {
            break;
        }
        all.extend(exposed);
    }
    all
}

/// Counts ports; too many are a problem, once.
fn has_room(item: &Item<'_>, more: usize, notes: &mut Notes) -> bool {
    let before = notes.ports;
    notes.ports = before + more;
    if before <= PORTS_MAX && notes.ports > PORTS_MAX {
        notes.problem(item.problem(format!("the file names more than {PORTS_MAX} ports")));
    }
    notes.ports <= PORTS_MAX
}

fn exposed(text: &str) -> Result<Vec<ContainerPort>, String> {
    let (range, protocol) = with_protocol(text)?;
    let ports = range_of(range)?;
    Ok(ports.map(|port| ContainerPort { port, protocol }).collect())
}

fn short(text: &str) -> Result<Vec<Port>, String> {
    let (numbers, protocol) = with_protocol(text)?;
    let (host, target) = match numbers.rsplit_once(':') {
        Some((host, target)) => (Some(host), target),
        None => (None, numbers),
    };
    let (address, published) = match host {
        None => (None, None),
        Some(host) => match host.rsplit_once(':') {
            None => (None, Some(host)),
            Some((address, published)) => (Some(address), Some(published)),
        },
    };
    let host_ip = address.map(address_of).transpose()?;
    let published = published.filter(|published| !published.is_empty() || host_ip.is_none());
    pair(range_of(target)?, published.map(range_of).transpose()?, host_ip.as_deref(), protocol)
}

/// Ports of the container beside ports of the host: one to one, or any of several for one.
fn pair(
    targets: RangeInclusive<u16>,
    published: Option<RangeInclusive<u16>>,
    host_ip: Option<&str>,
    protocol: Protocol,
) -> Result<Vec<Port>, String> {
    let port = |port, published| Port {
        target: ContainerPort { port, protocol },
        host_ip: host_ip.map(str::to_owned),
        published,
    };
    match published {
        None => Ok(targets.map(|target| port(target, None)).collect()),
        Some(published) if targets.len() == 1 => {
            Ok(vec![port(*targets.start(), Some((*published.start(), *published.end())))])
        }
        Some(published) if targets.len() == published.len() => Ok(targets
            .zip(published)
            .map(|(target, published)| port(target, Some((published, published))))
            .collect()),
        Some(published) => Err(format!(
            "{} ports of the host cannot stand for {} of the container",
            published.len(),
            targets.len()
        )),
    }
}

fn long(item: &Item<'_>, notes: &mut Notes) -> Result<Vec<Port>, Problem> {
    let (mut target, mut published, mut host_ip) = (None, None, None);
    let mut protocol = Protocol::Tcp;
    for entry in item.entries()? {
        let refuse = |message: String| entry.problem(message);
        match entry.key {
            "target" => target = Some(number(&entry.word()?).map_err(refuse)?),
            "published" => published = Some(range_of(&entry.word()?).map_err(refuse)?),
            "host_ip" => host_ip = Some(address_of(&entry.word()?).map_err(refuse)?),
            "protocol" => protocol = entry.word()?.parse().map_err(refuse)?,
            // On one engine both mean the same: a port of the host.
            "mode" => match entry.word()?.as_str() {
                "host" | "ingress" => {}
                other => {
                    let message = format!("a port's mode is host or ingress, not '{other}'");
                    return Err(entry.problem(message));
                }
            },
            _ => notes.refuse(&keys::PORT, &entry),
        }
    }
    let target: u16 = target.ok_or_else(|| item.problem("a port needs a `target`"))?;
    pair(target..=target, published, host_ip.as_deref(), protocol)
        .map_err(|message| item.problem(message))
}

fn with_protocol(text: &str) -> Result<(&str, Protocol), String> {
    match text.split_once('/') {
        Some((numbers, protocol)) => Ok((numbers, protocol.parse()?)),
        None => Ok((text, Protocol::Tcp)),
    }
}

/// `80` or `80-90`.
fn range_of(text: &str) -> Result<RangeInclusive<u16>, String> {
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(text)?, number(text)?),
    };
    if first > last {
        return Err(format!("the range {text} ends before it begins"));
    }
    Ok(first..=last)
}

fn number(text: &str) -> Result<u16, String> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(SHORT_SYNTAX.to_owned());
    }
    match text.parse() {
        Ok(0) | Err(_) => Err(format!("a port is a number from 1 to 65535, not {text}")),
        Ok(number) => Ok(number),
    }
}

/// An address of the host, an IPv6 one with or without its brackets.
fn address_of(text: &str) -> Result<String, String> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    match bare.parse::<IpAddr>() {
        Ok(address) => Ok(address.to_string()),
        Err(_) => Err(format!("'{text}' is no address of the host, such as 127.0.0.1 or [::1]")),
    }
}

impl FromStr for Protocol {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "tcp" => Ok(Self::Tcp),
            "udp" => Ok(Self::Udp),
            "sctp" => Ok(Self::Sctp),
            _ => Err(format!("a protocol is tcp, udp or sctp, not '{text}'")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Port, short};

    /// `address|first-last|port/protocol` for each port.
    fn read(text: &str) -> Vec<String> {
        let show = |port: Port| {
            let published = port.published.map(|(first, last)| format!("{first}-{last}"));
            format!(
                "{}|{}|{}",
                port.host_ip.unwrap_or_default(),
                published.unwrap_or_default(),
                port.target
            )
        };
        short(text).unwrap().into_iter().map(show).collect()
    }

    #[test]
    fn the_short_syntax_of_the_specification() {
        for (text, ports) in [
            ("3000", vec!["||3000/tcp"]),
            ("3000-3001", vec!["||3000/tcp", "||3001/tcp"]),
            ("8000:80", vec!["|8000-8000|80/tcp"]),
            ("9090-9091:8080-8081", vec!["|9090-9090|8080/tcp", "|9091-9091|8081/tcp"]),
            ("9090-9099:80", vec!["|9090-9099|80/tcp"]),
            ("127.0.0.1:8001:80", vec!["127.0.0.1|8001-8001|80/tcp"]),
            ("127.0.0.1::80", vec!["127.0.0.1||80/tcp"]),
            ("127.0.0.1:50-51:50-51/udp", vec!["127.0.0.1|50-50|50/udp", "127.0.0.1|51-51|51/udp"]),
            ("[::1]:80:80", vec!["::1|80-80|80/tcp"]),
            ("6060:6060/udp", vec!["|6060-6060|6060/udp"]),
        ] {
            assert_eq!(read(text), ports, "{text}");
        }
    }

    #[test]
    fn what_is_no_port_is_refused() {
        for text in [
            "",
            ":",
            ":80",
            "80:",
            "a:80",
            "80/",
            "80/icmp",
            "0",
            "65536",
            "90-80",
            "1-2:1-3",
            "host:80:80",
            "1:2:3:4",
            "80 ",
            "-1",
        ] {
            assert!(short(text).is_err(), "{text}");
        }
    }
}
