//! A composition in the words of the Engine API. Pure: what is decided here is what the engine
//! receives, and what the engine has is compared with it.

mod container;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::compose::{Composition, Network, Volume};
use crate::{
    engine::api,
    error::{Error, Result},
    model::{LABEL_INSTANCE, LABEL_RESOURCE},
};

pub(super) use container::Container;

/// Label with a digest of all that a thing was made from. Where it is the same, a second run has
/// nothing to do.
pub(super) const LABEL_CONFIG: &str = "eu.cloudopting.crane.config";
/// Label with the services that a container's service waits for, joined by commas; removal goes
/// the other way.
pub(super) const LABEL_AFTER: &str = "eu.cloudopting.crane.after";
/// Label on volumes that the compose file gives no name. They go with the composition; the others
/// hold what a user may want to keep.
pub(super) const LABEL_ANONYMOUS: &str = "eu.cloudopting.crane.anonymous";

/// Whose things are made: names and labels follow from it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner<'a> {
    /// The composition's token.
    pub(super) token: &'a str,
    /// The id of this Crane.
    pub(super) instance: &'a str,
}

/// What matters of a service's image to its container.
#[derive(Debug, Clone)]
pub(super) struct Image {
    /// The name by which the engine has it.
    pub(super) reference: String,
    pub(super) id: String,
    /// Paths that the image wants volumes at.
    pub(super) volumes: Vec<String>,
}

/// Everything that there is to be.
#[derive(Debug, Default)]
pub(super) struct Desired {
    pub(super) networks: Vec<api::NetworkCreateRequest>,
    pub(super) volumes: Vec<api::VolumeCreateRequest>,
    /// By service.
    pub(super) containers: BTreeMap<String, Container>,
    /// Names of what is not the composition's own and has to be there already.
    pub(super) external_networks: BTreeSet<String>,
    pub(super) external_volumes: BTreeSet<String>,
}

impl Owner<'_> {
    /// What all names begin with. Tokens are letters and digits.
    fn project(&self) -> String {
        self.token.to_lowercase()
    }

    fn network(&self, key: &str, network: &Network) -> String {
        network.name.clone().unwrap_or_else(|| format!("{}_{key}", self.project()))
    }

    fn volume(&self, key: &str, volume: &Volume) -> String {
        volume.name.clone().unwrap_or_else(|| format!("{}_{key}", self.project()))
    }

    /// The user's labels and Crane's own.
    fn labels(&self, own: &BTreeMap<String, String>) -> HashMap<String, String> {
        let mut labels: HashMap<_, _> = own.clone().into_iter().collect();
        labels.insert(LABEL_INSTANCE.to_owned(), self.instance.to_owned());
        labels.insert(LABEL_RESOURCE.to_owned(), self.token.to_owned());
        labels
    }
}

/// Networks and volumes that no service uses are not made. `images` are by service; a service
/// without one is left out.
pub(super) fn desired(
    owner: Owner<'_>,
    composition: &Composition,
    images: &BTreeMap<String, Image>,
) -> Result<Desired> {
    let mut desired = Desired::default();
    let services = composition.services.values();
    let on: BTreeSet<_> = services.clone().flat_map(|service| service.networks.keys()).collect();
    for (key, network) in composition.networks.iter().filter(|(key, _)| on.contains(key)) {
        if network.external {
            desired.external_networks.insert(owner.network(key, network));
        } else {
            desired.networks.push(network_body(owner, key, network)?);
        }
    }
    let mounts = services.flat_map(|service| &service.volumes);
    let mounted: BTreeSet<_> = mounts.filter_map(|mount| mount.volume.as_ref()).collect();
    for (key, volume) in composition.volumes.iter().filter(|(key, _)| mounted.contains(key)) {
        if volume.external {
            desired.external_volumes.insert(owner.volume(key, volume));
        } else {
            desired.volumes.push(volume_body(owner, key, volume)?);
        }
    }
    let with_images = || {
        let services = composition.services.iter();
        services.filter_map(|(name, service)| Some((name, service, images.get(name)?)))
    };
    for (name, service, image) in with_images() {
        desired.volumes.extend(container::anonymous_volumes(owner, name, service, image));
    }
    let labels = |body: &api::VolumeCreateRequest| Some((body.name.clone()?, body.labels.clone()?));
    let volumes = desired.volumes.iter().filter_map(labels).collect();
    let maker = container::Maker { owner, composition, volumes };
    for (name, service, image) in with_images() {
        desired.containers.insert(name.clone(), maker.container(name, service, image)?);
    }
    Ok(desired)
}

fn network_body(
    owner: Owner<'_>,
    key: &str,
    network: &Network,
) -> Result<api::NetworkCreateRequest> {
    let mut body = api::NetworkCreateRequest {
        name: owner.network(key, network),
        driver: network.driver.clone(),
        internal: network.internal.then_some(true),
        options: filled(&network.driver_opts),
        labels: None,
        ..Default::default()
    };
    let mut labels = owner.labels(&network.labels);
    labels.insert(LABEL_CONFIG.to_owned(), digest(&(&body, &network.labels))?);
    body.labels = Some(labels);
    Ok(body)
}

fn volume_body(owner: Owner<'_>, key: &str, volume: &Volume) -> Result<api::VolumeCreateRequest> {
    let mut body = api::VolumeCreateRequest {
        name: Some(owner.volume(key, volume)),
        driver: volume.driver.clone(),
        driver_opts: filled(&volume.driver_opts),
        ..Default::default()
    };
    let mut labels = owner.labels(&volume.labels);
    labels.insert(LABEL_CONFIG.to_owned(), digest(&(&body, &volume.labels))?);
    body.labels = Some(labels);
    Ok(body)
}

fn filled(pairs: &BTreeMap<String, String>) -> Option<HashMap<String, String>> {
    (!pairs.is_empty()).then(|| pairs.clone().into_iter().collect())
}

/// SHA-256, in hexadecimal, of a value's JSON with its keys in order.
fn digest(value: &impl Serialize) -> Result<String> {
    let mut value = serde_json::to_value(value).map_err(Error::internal)?;
    value.sort_all_objects();
    Ok(hex(value.to_string().as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::{Desired, Image, Owner, desired};
    use crate::deploy::compose;

    const FULL: &str = include_str!("../../tests/fixtures/compose/good/full.yml");

    fn convert(file: &str) -> Desired {
        let composition = compose::parse("compose.yml", file).unwrap();
        let image = |name: &String| Image {
            reference: format!("registry/{name}"),
            id: "sha256:0".to_owned(),
            volumes: vec!["/data/".to_owned(), "/var/lib".to_owned()],
        };
        let images = composition.services.keys().map(|name| (name.clone(), image(name))).collect();
        let owner = Owner { token: "CPx1", instance: "here" };
        desired(owner, &composition, &images).unwrap()
    }

    /// The JSON that the engine receives, without null and empty values, and without Crane's
    /// labels, which the tests on the engine look at.
    fn sent(body: &impl serde::Serialize) -> Value {
        fn prune(value: &mut Value) {
            if let Value::Object(fields) = value {
                fields.retain(|name, _| !name.starts_with("eu.cloudopting.crane."));
                fields.values_mut().for_each(prune);
                let is_empty = |value: &Value| match value {
                    Value::Null => true,
                    Value::Array(items) => items.is_empty(),
                    _ => false,
                };
                fields.retain(|_, value| !is_empty(value));
            } else if let Value::Array(items) = value {
                items.iter_mut().for_each(prune);
            }
        }
        let mut json = serde_json::to_value(body).unwrap();
        prune(&mut json);
        json
    }

    #[test]
    fn a_service_becomes_this_container() {
        let desired = convert(FULL);
        let web = &desired.containers["web"];
        assert_eq!(web.name, "shop-web");
        let expected = json!({
            "Image": "registry/web",
            "Cmd": ["sh", "-c", "echo \"$HOME\" && exec web"],
            "Entrypoint": ["/entry", "--flag"],
            "Env": ["EMPTY=", "MODE=production", "TEXT=a=b"],
            "ExposedPorts": {
                "80/udp": {}, "81/udp": {}, "3000/tcp": {}, "443/tcp": {}, "9000/tcp": {}, "9001/udp": {},
            },
            "Hostname": "web.example",
            "User": "1000:1000",
            "WorkingDir": "/srv",
            "Labels": {"tier": "backend"},
            "HostConfig": {
                "NetworkMode": "cpx1_default",
                "RestartPolicy": {"Name": "unless-stopped"},
                "PortBindings": {
                    "80/udp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}],
                    "81/udp": [{"HostIp": "127.0.0.1", "HostPort": "8081"}],
                    "3000/tcp": [{"HostPort": ""}],
                    "443/tcp": [{"HostIp": "::1", "HostPort": "8443"}],
                },
                "Mounts": [
                    {"Type": "volume", "Source": "cpx1_data", "Target": "/data", "ReadOnly": true,
                     "VolumeOptions": {"Labels": {}}},
                    {"Type": "volume", "Source": "cpx1_data", "Target": "/more",
                     "VolumeOptions": {"Labels": {}, "NoCopy": true}},
                    {"Type": "volume", "Source": "cpx1-web-4f7cfe6fcd42", "Target": "/cache",
                     "VolumeOptions": {"Labels": {}}},
                    {"Type": "volume", "Source": "cpx1-web-018076f20178", "Target": "/var/lib",
                     "VolumeOptions": {"Labels": {}}},
                ],
            },
            "NetworkingConfig": {"EndpointsConfig": {
                "cpx1_default": {"Aliases": ["web"], "Links": ["cpx1-cache-1:redis"]},
            }},
        });
        assert_eq!(sent(&web.body), expected);
        let more = web.more_networks.iter().map(|(name, endpoint)| (name.as_str(), sent(endpoint)));
        let expected = [("cpx1_front", json!({"Aliases": ["web", "www"]}))];
        assert_eq!(more.collect::<BTreeMap<_, _>>(), expected.into());
    }

    #[test]
    fn networks_and_volumes_that_are_used_are_made() {
        let desired = convert(FULL);
        let networks: Vec<_> = desired.networks.iter().map(sent).collect();
        let front = json!({
            "Name": "cpx1_front",
            "Driver": "bridge",
            "Internal": true,
            "Options": {"com.docker.network.driver.mtu": "1400"},
            "Labels": {"a": "", "b": "c"},
        });
        assert_eq!(networks, [json!({"Name": "cpx1_default", "Labels": {}}), front]);
        let mut volumes: Vec<_> =
            desired.volumes.iter().filter_map(|volume| volume.name.as_deref()).collect();
        volumes.retain(|name| !name.starts_with("cpx1-"));
        assert_eq!(volumes, ["cpx1_data"]);
        // Declared in the file, and used by no service.
        assert!(desired.external_networks.is_empty() && desired.external_volumes.is_empty());
    }

    #[test]
    fn a_digest_changes_with_what_the_engine_gets_and_with_nothing_else() {
        let digests = |file: &str| {
            let digest = |container: &super::Container| {
                container.body.labels.as_ref().unwrap()[super::LABEL_CONFIG].clone()
            };
            let containers = convert(file).containers;
            (digest(&containers["web"]), digest(&containers["db"]))
        };
        let file =
            "services: {web: {image: a, labels: {x: '1'}, depends_on: [db]}, db: {image: a}}";
        let (web, db) = digests(file);
        for same in [file.replace(", depends_on: [db]", ""), file.replace("{x: '1'}", "[x=1]")] {
            assert_eq!(digests(&same), (web.clone(), db.clone()), "{same}");
        }
        for other in [file.replace("'1'", "'2'"), file.replace("labels", "user: x, labels")] {
            let (other_web, other_db) = digests(&other);
            assert_ne!(other_web, web, "{other}");
            assert_eq!(other_db, db, "{other}");
        }
    }
}
