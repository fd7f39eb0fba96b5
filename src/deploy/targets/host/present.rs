//! What there is of a composition on the engine.

use std::collections::{HashMap, HashSet};

use futures_util::try_join;

use crate::{
    deploy::convert::{LABEL_AFTER, LABEL_ANONYMOUS, LABEL_CONFIG},
    engine::{Engine, api},
    error::Result,
    model::LABEL_SERVICE,
};

#[derive(Debug, Default)]
pub(super) struct Present {
    pub(super) containers: Vec<Container>,
    pub(super) networks: Vec<Network>,
    pub(super) volumes: Vec<Volume>,
}

#[derive(Debug, Clone)]
pub(super) struct Container {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) service: String,
    /// Services that have to be removed after this one.
    pub(super) after: Vec<String>,
    /// Names of the networks it is on.
    pub(super) networks: Vec<String>,
    pub(super) config: String,
}

#[derive(Debug)]
pub(super) struct Network {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) config: String,
}

#[derive(Debug)]
pub(super) struct Volume {
    pub(super) name: String,
    pub(super) config: String,
    pub(super) anonymous: bool,
}

impl Present {
    /// What carries a label, given as `key=value`.
    pub(super) async fn labelled(engine: &Engine, label: &str) -> Result<Self> {
        let (containers, networks, volumes) = try_join!(
            engine.containers_labelled(label),
            engine.networks_labelled(label),
            engine.volumes_labelled(label),
        )?;
        Ok(Self {
            containers: containers.into_iter().map(Container::from).collect(),
            networks: networks.into_iter().map(Network::from).collect(),
            volumes: volumes.into_iter().map(Volume::from).collect(),
        })
    }

    /// What is here and not in `other`.
    pub(super) fn without(mut self, other: &Self) -> Self {
        let ids: HashSet<_> = other.containers.iter().map(|container| &container.id).collect();
        self.containers.retain(|container| !ids.contains(&container.id));
        let ids: HashSet<_> = other.networks.iter().map(|network| &network.id).collect();
        self.networks.retain(|network| !ids.contains(&network.id));
        let names: HashSet<_> = other.volumes.iter().map(|volume| &volume.name).collect();
        self.volumes.retain(|volume| !names.contains(&volume.name));
        self
    }
}

impl From<api::ContainerSummary> for Container {
    fn from(summary: api::ContainerSummary) -> Self {
        let mut labels = summary.labels.unwrap_or_default();
        let names = summary.names.unwrap_or_default();
        let after = text(&mut labels, LABEL_AFTER);
        Self {
            id: summary.id.unwrap_or_default(),
            name: names.first().map(|name| name.trim_start_matches('/')).unwrap_or_default().into(),
            service: text(&mut labels, LABEL_SERVICE),
            after: after.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
            networks: summary
                .network_settings
                .and_then(|settings| settings.networks)
                .map(|networks| networks.into_keys().collect())
                .unwrap_or_default(),
            config: text(&mut labels, LABEL_CONFIG),
        }
    }
}

impl From<api::Network> for Network {
    fn from(network: api::Network) -> Self {
        Self {
            id: network.id.unwrap_or_default(),
            name: network.name.unwrap_or_default(),
            config: text(&mut network.labels.unwrap_or_default(), LABEL_CONFIG),
        }
    }
}

impl From<api::Volume> for Volume {
    fn from(mut volume: api::Volume) -> Self {
        Self {
            name: volume.name,
            config: text(&mut volume.labels, LABEL_CONFIG),
            anonymous: volume.labels.contains_key(LABEL_ANONYMOUS),
        }
    }
}

fn text(labels: &mut HashMap<String, String>, name: &str) -> String {
    labels.remove(name).unwrap_or_default()
}
