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
