//! What a compose file says, in Crane's own types.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

/// One compose file, checked: every name that is used is defined, and nothing depends on itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Composition {
    /// The file's own `name`. It names nothing on the engine: names there begin with the
    /// composition's token, so that one file can be deployed twice.
    pub name: Option<String>,
    pub services: BTreeMap<String, Service>,
    /// By the names that services use; `default` is here when a service is on it.
    pub networks: BTreeMap<String, Network>,
    pub volumes: BTreeMap<String, Volume>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    pub image: String,
    /// None: the image's.
    pub command: Option<Vec<String>>,
    /// None: the image's. Empty: none at all, also if the image has one.
    pub entrypoint: Option<Vec<String>>,
    pub environment: BTreeMap<String, String>,
    pub ports: Vec<Port>,
    pub expose: Vec<ContainerPort>,
    pub links: Vec<Link>,
    pub depends_on: BTreeMap<String, Condition>,
    pub volumes: Vec<Mount>,
    /// By the name of the network; never empty.
    pub networks: BTreeMap<String, Attachment>,
    pub restart: Restart,
    pub labels: BTreeMap<String, String>,
    pub container_name: Option<String>,
    pub hostname: Option<String>,
    pub user: Option<String>,
    pub working_dir: Option<String>,
}

impl Service {
    /// The services that have to be started before this one, and until when it waits for each.
    pub fn waits_for(&self) -> BTreeMap<&str, Condition> {
        let links = self.links.iter().map(|link| (link.service.as_str(), Condition::Started));
        let depends = self.depends_on.iter().map(|(name, condition)| (name.as_str(), *condition));
        links.chain(depends).collect()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

/// A port inside a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ContainerPort {
    pub port: u16,
    pub protocol: Protocol,
}

impl fmt::Display for ContainerPort {
    /// As the Engine API writes it, `80/tcp`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = match self.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        };
        write!(f, "{}/{protocol}", self.port)
    }
}

/// A container's port that is reachable on the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    pub target: ContainerPort,
    /// None: every address of the host.
    pub host_ip: Option<String>,
    /// First and last port of the host that may be taken, mostly the same. None: any free one.
    pub published: Option<(u16, u16)>,
}

/// A name under which a service sees another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    pub service: String,
    pub alias: String,
}

/// Until when a service waits for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    Started,
    Healthy,
    CompletedSuccessfully,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// None: an anonymous volume, which lives as long as the composition.
    pub volume: Option<String>,
    /// An absolute path in the container.
    pub target: String,
    pub read_only: bool,
    /// An empty volume is not filled with what the image has at that path.
    pub no_copy: bool,
}

/// How a service is on a network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Names besides the service's own.
    pub aliases: Vec<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Restart {
    #[default]
    No,
    Always,
    UnlessStopped,
    /// At most so many times; None: without end.
    OnFailure(Option<u32>),
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Its name on the engine; None: made from the composition's token.
    pub name: Option<String>,
    /// It is there already, and stays.
    pub external: bool,
    pub driver: Option<String>,
    pub driver_opts: BTreeMap<String, String>,
    /// Without a way to the outside.
    pub internal: bool,
    pub labels: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Its name on the engine; None: made from the composition's token.
    pub name: Option<String>,
    /// It is there already, and stays.
    pub external: bool,
    pub driver: Option<String>,
    pub driver_opts: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
}
