//! Taking down: containers, then networks, then volumes.

use std::time::Duration;

use tokio::time::sleep;

use super::{
    in_parallel,
    present::{Container, Network, Present},
};
use crate::{
    engine::{Engine, Grace},
    error::{Error, Problem, Result},
    model::{Channel, Log},
};

/// A deployment that was dropped may have left the engine at work on a container. A look this much
/// later shows it.
const LATE: Duration = Duration::from_secs(1);

/// Removes all containers and networks with a label, given as `key=value`, and the volumes: all of
/// them, or only those that nobody named.
///
/// Fails with a problem for each thing that is left. May be repeated.
pub(in crate::deploy) async fn remove_labelled(
    engine: &Engine,
    label: &str,
    volumes: bool,
    grace: Grace,
    log: &Log,
) -> Result<()> {
    let (mut left, mut late) = (Vec::new(), false);
    loop {
        let containers = engine.containers_labelled(label).await?;
        let last_look = containers.is_empty() && late;
        let containers = containers.into_iter().map(Container::from).collect();
        left.extend(remove_containers(engine, containers, grace, log).await);
        if last_look || !left.is_empty() {
            break;
        }
        late = true;
        sleep(LATE).await;
    }
    let mut present = Present::labelled(engine, label).await?;
    present.containers.clear();
    let (going, kept): (Vec<_>, Vec<_>) =
        present.volumes.into_iter().partition(|volume| volumes || volume.anonymous);
    present.volumes = going;
    left.extend(remove(engine, &present, log).await);
    for volume in kept {
        log.write(Channel::Up, format!("volume {}: kept", volume.name)).await;
    }
    if left.is_empty() { Ok(()) } else { Err(left_behind(&left)) }
}

/// Removes all that is given, and goes on where something cannot be removed; gives what is left.
pub(super) async fn remove(engine: &Engine, present: &Present, log: &Log) -> Vec<Problem> {
    let containers = present.containers.clone();
    let mut left = remove_containers(engine, containers, Grace::AsItAsks, log).await;
    let networks = present.networks.iter().map(|network| remove_network(engine, network, log));
    left.extend(in_parallel(networks).await.into_iter().flatten());
    let volumes = present.volumes.iter().map(|volume| async move {
        let outcome = engine.remove_volume(&volume.name).await;
        report("volume", &volume.name, outcome, log).await
    });
    left.extend(in_parallel(volumes).await.into_iter().flatten());
    left
}

pub(super) async fn remove_network(
    engine: &Engine,
    network: &Network,
    log: &Log,
) -> Option<Problem> {
    let outcome = engine.remove_network(&network.id).await;
    report("network", &network.name, outcome, log).await
}

/// Removes containers, those first that no other one needs; gives what is left.
pub(super) async fn remove_containers(
    engine: &Engine,
    mut containers: Vec<Container>,
    grace: Grace,
    log: &Log,
) -> Vec<Problem> {
    let mut left = Vec::new();
    while !containers.is_empty() {
        let needed = |container: &Container| {
            containers.iter().any(|other| other.after.contains(&container.service))
        };
        let (later, mut now): (Vec<_>, Vec<_>) = containers.iter().cloned().partition(needed);
        containers = later;
        if now.is_empty() {
            // Labels of several versions of a composition may contradict each other.
            now = std::mem::take(&mut containers);
        }
        let removals = now.iter().map(|container| async move {
            let outcome = engine.remove_container(&container.id, grace).await;
            report("container", &container.name, outcome, log).await
        });
        left.extend(in_parallel(removals).await.into_iter().flatten());
    }
    left
}

async fn report(kind: &str, name: &str, outcome: Result<()>, log: &Log) -> Option<Problem> {
    match outcome {
        Ok(()) => {
            log.write(Channel::Up, format!("{kind} {name}: removed")).await;
            None
        }
        Err(error) => {
            log.write(Channel::Up, format!("{kind} {name}: {error}")).await;
            Some(Problem::new(format!("{kind} {name}"), error.to_string()))
        }
    }
}

pub(super) fn left_behind(left: &[Problem]) -> Error {
    let names: Vec<_> = left.iter().map(|problem| problem.path.as_str()).collect();
    Error::failed_with(format!("not removed: {}", names.join(", ")), left.to_vec())
}
