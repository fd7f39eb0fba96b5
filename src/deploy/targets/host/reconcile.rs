//! From what there is to what there is to be, up to containers that can be started.

use std::collections::{BTreeMap, HashMap};

use super::{
    about, in_parallel,
    present::{self, Network, Present},
    remove,
};
use crate::{
    deploy::convert::{self, Desired, LABEL_CONFIG},
    engine::{Engine, Grace, api},
    error::{Error, Result},
    model::{Channel, Log},
};

/// Ids of the services' containers, all of them made.
pub(super) type Containers = BTreeMap<String, String>;

/// What is as it is to be stays. Containers and networks that differ, and those of services that
/// are no more, are removed; what is missing is made.
pub(super) async fn reconcile(
    engine: &Engine,
    desired: &Desired,
    before: &Present,
    log: &Log,
) -> Result<Containers> {
    external(engine, desired).await?;
    let kept = outdated(engine, desired, before, log).await?;
    networks(engine, desired, before, log).await?;
    volumes(engine, desired, before, log).await?;
    containers(engine, desired, kept, log).await
}

async fn external(engine: &Engine, desired: &Desired) -> Result<()> {
    let missing = |kind, name: &str| {
        Err(Error::failed(format!("{kind} '{name}': it is external and not on the engine")))
    };
    for name in &desired.external_networks {
        if engine.network(name).await?.is_none() {
            return missing("network", name);
        }
    }
    for name in &desired.external_volumes {
        if engine.volume(name).await?.is_none() {
            return missing("volume", name);
        }
    }
    Ok(())
}

/// Removes containers and networks that are not to be, or not like this; gives the containers that
/// stay.
async fn outdated(
    engine: &Engine,
    desired: &Desired,
    before: &Present,
    log: &Log,
) -> Result<Containers> {
    let same_network = |wanted: &api::NetworkCreateRequest, present: &Network| {
        wanted.name == present.name && config(wanted.labels.as_ref()) == present.config
    };
    // A container goes with its network, also where that was removed by somebody else.
    let stays = |name: &String| {
        desired
            .networks
            .iter()
            .filter(|wanted| wanted.name == *name)
            .all(|wanted| before.networks.iter().any(|present| same_network(wanted, present)))
    };
    let is_wanted = |container: &present::Container| {
        desired.containers.get(&container.service).is_some_and(|wanted| {
            wanted.name == container.name
                && config(wanted.body.labels.as_ref()) == container.config
                && wanted.networks().all(|name| stays(name) && container.networks.contains(name))
        })
    };
    let (kept, outdated): (Vec<_>, Vec<_>) = before.containers.iter().cloned().partition(is_wanted);
    let mut left = remove::remove_containers(engine, outdated, Grace::AsItAsks, log).await;
    for present in &before.networks {
        if !desired.networks.iter().any(|wanted| same_network(wanted, present)) {
            left.extend(remove::remove_network(engine, present, log).await);
        }
    }
    if !left.is_empty() {
        return Err(remove::left_behind(&left));
    }
    for container in &kept {
        log.write(Channel::Up, format!("container {}: unchanged", container.name)).await;
    }
    Ok(kept.into_iter().map(|container| (container.service, container.id)).collect())
}

async fn networks(engine: &Engine, desired: &Desired, before: &Present, log: &Log) -> Result<()> {
    for body in &desired.networks {
        let what = format!("network {}", body.name);
        // One that was to be otherwise is removed by now.
        let same = |present: &&Network| {
            present.name == body.name && present.config == config(body.labels.as_ref())
        };
        if before.networks.iter().find(same).is_some() {
            continue;
        }
        if engine.network(&body.name).await?.is_some() {
            return Err(foreign(&what));
        }
        engine.create_network(body.clone()).await.map_err(|error| about(&what, error))?;
        log.write(Channel::Up, format!("{what}: created")).await;
    }
    Ok(())
}

async fn volumes(engine: &Engine, desired: &Desired, before: &Present, log: &Log) -> Result<()> {
    for body in &desired.volumes {
        let name = body.name.as_deref().unwrap_or_default();
        let what = format!("volume {name}");
        match before.volumes.iter().find(|present| present.name == name) {
            Some(present) if present.config == config(body.labels.as_ref()) => continue,
            // What is in it cannot be kept on the way from one driver to another.
            Some(_) => {
                return Err(Error::failed(format!(
                    "{what}: it was made with other settings, and making it anew would lose what \
                     is in it; remove the volume, or give it another name"
                )));
            }
            None => {}
        }
        if engine.volume(name).await?.is_some() {
            return Err(foreign(&what));
        }
        engine.create_volume(body.clone()).await.map_err(|error| about(&what, error))?;
        log.write(Channel::Up, format!("{what}: created")).await;
    }
    Ok(())
}

fn foreign(what: &str) -> Error {
    Error::failed(format!(
        "{what}: there is one already that this composition did not make; declare it as \
         `external: true`, or choose another name"
    ))
}

/// Makes the containers that are missing. Each request is waited for, also after one has failed:
/// what it makes has to be there when what was made is taken down.
async fn containers(
    engine: &Engine,
    desired: &Desired,
    mut containers: Containers,
    log: &Log,
) -> Result<Containers> {
    let missing: Vec<_> =
        desired.containers.iter().filter(|(name, _)| !containers.contains_key(*name)).collect();
    let requests = missing.into_iter().map(|(service, wanted)| async move {
        match container(engine, wanted, log).await {
            Ok(id) => Ok((service.clone(), id)),
            Err(error) => Err(about(&format!("service '{service}'"), error)),
        }
    });
    for made in in_parallel(requests).await {
        let (service, id) = made?;
        containers.insert(service, id);
    }
    Ok(containers)
}

async fn container(engine: &Engine, wanted: &convert::Container, log: &Log) -> Result<String> {
    let id = engine.create_container(&wanted.name, wanted.body.clone()).await?;
    for (network, endpoint) in &wanted.more_networks {
        engine.connect_network(network, &id, endpoint.clone()).await?;
    }
    log.write(Channel::Up, format!("container {}: created", wanted.name)).await;
    Ok(id)
}

fn config(labels: Option<&HashMap<String, String>>) -> &str {
    labels.and_then(|labels| labels.get(LABEL_CONFIG)).map_or("", String::as_str)
}
