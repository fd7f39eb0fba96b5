//! One service as a container.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Image, LABEL_AFTER, LABEL_ANONYMOUS, LABEL_CONFIG, Owner, digest, hex};
use crate::{
    deploy::compose::{Composition, Mount, Port, Restart, Service},
    engine::api,
    error::Result,
    model::LABEL_SERVICE,
};

#[derive(Debug)]
pub(in crate::deploy) struct Container {
    pub(in crate::deploy) name: String,
    pub(in crate::deploy) body: api::ContainerCreateBody,
    /// The networks besides the first, which is in the body: engines before API 1.44 take the
    /// others one by one.
    pub(in crate::deploy) more_networks: BTreeMap<String, api::EndpointSettings>,
}

impl Container {
    /// The names of its networks on the engine.
    pub(in crate::deploy) fn networks(&self) -> impl Iterator<Item = &String> {
        let first = self.body.host_config.iter().filter_map(|host| host.network_mode.as_ref());
        first.chain(self.more_networks.keys())
    }
}

pub(super) struct Maker<'a> {
    pub(super) owner: Owner<'a>,
    pub(super) composition: &'a Composition,
    /// The labels of the composition's own volumes, by their names on the engine.
    pub(super) volumes: HashMap<String, HashMap<String, String>>,
}

impl Maker<'_> {
    pub(super) fn container(
        &self,
        name: &str,
        service: &Service,
        image: &Image,
    ) -> Result<Container> {
        let mut endpoints = self.endpoints(name, service);
        let first = endpoints.pop_first();
        let mut body = api::ContainerCreateBody {
            image: Some(image.reference.clone()),
            cmd: service.command.clone(),
            entrypoint: service.entrypoint.clone().map(entrypoint),
            env: list(&service.environment),
            hostname: service.hostname.clone(),
            user: service.user.clone(),
            working_dir: service.working_dir.clone(),
            exposed_ports: exposed_ports(service),
            host_config: Some(api::HostConfig {
                network_mode: first.as_ref().map(|(network, _)| network.clone()),
                port_bindings: port_bindings(&service.ports),
                restart_policy: restart_policy(service.restart),
                mounts: Some(self.mounts(name, service, image)),
                ..Default::default()
            }),
            networking_config: first.map(|first| api::NetworkingConfig {
                endpoints_config: Some(HashMap::from([first])),
            }),
            ..Default::default()
        };
        let config = digest(&(&body, &endpoints, &service.labels, &image.id))?;
        let mut labels = self.owner.labels(&service.labels);
        labels.insert(LABEL_SERVICE.to_owned(), name.to_owned());
        labels.insert(LABEL_CONFIG.to_owned(), config);
        let after: Vec<_> = service.waits_for().into_keys().collect();
        labels.insert(LABEL_AFTER.to_owned(), after.join(","));
        body.labels = Some(labels);
        Ok(Container { name: self.container_name(name, service), body, more_networks: endpoints })
    }

    fn container_name(&self, name: &str, service: &Service) -> String {
        match &service.container_name {
            Some(container_name) => container_name.clone(),
            None => format!("{}-{name}-1", self.owner.project()),
        }
    }

    /// How the container is on its networks, by their names on the engine: others find it there by
    /// the service's name and its aliases, and it finds linked ones by theirs.
    fn endpoints(&self, name: &str, service: &Service) -> BTreeMap<String, api::EndpointSettings> {
        let mut endpoints = BTreeMap::new();
        for (key, attachment) in &service.networks {
            let Some(network) = self.composition.networks.get(key) else { continue };
            let mut aliases = vec![name.to_owned()];
            aliases.extend(attachment.aliases.iter().cloned());
            let links: Vec<_> = service
                .links
                .iter()
                .filter_map(|link| Some((link, self.composition.services.get(&link.service)?)))
                .filter(|(_, linked)| linked.networks.contains_key(key))
                .map(|(link, linked)| {
                    format!("{}:{}", self.container_name(&link.service, linked), link.alias)
                })
                .collect();
            let endpoint = api::EndpointSettings {
                aliases: Some(aliases),
                links: (!links.is_empty()).then_some(links),
                ..Default::default()
            };
            endpoints.insert(self.owner.network(key, network), endpoint);
        }
        endpoints
    }

    fn mounts(&self, name: &str, service: &Service, image: &Image) -> Vec<api::Mount> {
        let named = service.volumes.iter().filter_map(|mount| {
            let key = mount.volume.as_ref()?;
            let volume = self.composition.volumes.get(key)?;
            Some(self.mount(self.owner.volume(key, volume), mount))
        });
        let anonymous = anonymous_mounts(service, image)
            .into_iter()
            .map(|mount| self.mount(anonymous_name(self.owner, name, &mount.target), &mount));
        named.chain(anonymous).collect()
    }

    /// The labels go along because the engine makes a volume that is not there when it makes the
    /// container, and nothing of Crane's is without them.
    fn mount(&self, source: String, mount: &Mount) -> api::Mount {
        let options = api::MountVolumeOptions {
            no_copy: mount.no_copy.then_some(true),
            labels: self.volumes.get(&source).cloned(),
            ..Default::default()
        };
        api::Mount {
            typ: Some(api::MountType::VOLUME),
            source: Some(source),
            target: Some(mount.target.clone()),
            read_only: mount.read_only.then_some(true),
            volume_options: Some(options),
            ..Default::default()
        }
    }
}

/// The volumes that neither file gives a name: those of the service, and those that its image
/// wants. They get names made from their paths, so that their data stays when the container is
/// made anew, and labels, so that they go with the composition.
pub(super) fn anonymous_volumes(
    owner: Owner<'_>,
    name: &str,
    service: &Service,
    image: &Image,
) -> Vec<api::VolumeCreateRequest> {
    let body = |mount: Mount| {
        let mut labels = owner.labels(&BTreeMap::new());
        labels.insert(LABEL_ANONYMOUS.to_owned(), mount.target.clone());
        api::VolumeCreateRequest {
            name: Some(anonymous_name(owner, name, &mount.target)),
            labels: Some(labels),
            ..Default::default()
        }
    };
    anonymous_mounts(service, image).into_iter().map(body).collect()
}

fn anonymous_mounts(service: &Service, image: &Image) -> Vec<Mount> {
    let mut mounts: Vec<_> =
        service.volumes.iter().filter(|mount| mount.volume.is_none()).cloned().collect();
    for path in &image.volumes {
        let target = format!("/{}", path.trim_matches('/'));
        let taken = |mount: &Mount| mount.target == target;
        if !service.volumes.iter().any(taken) && !mounts.iter().any(taken) {
            mounts.push(Mount { volume: None, target, read_only: false, no_copy: false });
        }
    }
    mounts
}

/// The hyphens keep these names apart from those of named volumes.
fn anonymous_name(owner: Owner<'_>, service: &str, target: &str) -> String {
    let digest = hex(target.as_bytes());
    format!("{}-{service}-{}", owner.project(), &digest[..12])
}

/// The engine takes an empty list for "the image's", and one empty word for none.
fn entrypoint(words: Vec<String>) -> Vec<String> {
    if words.is_empty() { vec![String::new()] } else { words }
}

fn list(environment: &BTreeMap<String, String>) -> Option<Vec<String>> {
    let list = environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
    (!environment.is_empty()).then_some(list)
}

fn exposed_ports(service: &Service) -> Option<Vec<String>> {
    let published = service.ports.iter().map(|port| port.target);
    let ports: BTreeSet<_> = published.chain(service.expose.iter().copied()).collect();
    (!ports.is_empty()).then(|| ports.iter().map(ToString::to_string).collect())
}

fn port_bindings(ports: &[Port]) -> Option<api::PortMap> {
    let mut bindings = api::PortMap::new();
    for port in ports {
        let host_port = match port.published {
            None => String::new(),
            Some((first, last)) if first == last => first.to_string(),
            Some((first, last)) => format!("{first}-{last}"),
        };
        let binding =
            api::PortBinding { host_ip: port.host_ip.clone(), host_port: Some(host_port) };
        bindings.entry(port.target.to_string()).or_default().get_or_insert_default().push(binding);
    }
    (!bindings.is_empty()).then_some(bindings)
}

fn restart_policy(restart: Restart) -> Option<api::RestartPolicy> {
    use api::RestartPolicyNameEnum as Name;
    let (name, retries) = match restart {
        Restart::No => return None,
        Restart::Always => (Name::ALWAYS, None),
        Restart::UnlessStopped => (Name::UNLESS_STOPPED, None),
        Restart::OnFailure(retries) => (Name::ON_FAILURE, retries),
    };
    Some(api::RestartPolicy { name: Some(name), maximum_retry_count: retries.map(i64::from) })
}
