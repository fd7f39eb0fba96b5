//! Taking down: containers, then networks, then volumes.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::time::{Instant, sleep_until};

use super::present::{Container, Network, Present};
use crate::{
    engine::Engine,
    error::{Error, Problem, Result},
    model::{Channel, Log},
};

/// More requests at a time make no engine faster.
pub(super) const PARALLEL: usize = 8;

/// A deployment that was dropped may have left a request that the engine is still working on. Such
/// requests end within milliseconds, so after this time a look shows what has come of them.
const LATE: Duration = Duration::from_millis(300);

/// Removes all containers and networks with a label, given as `key=value`, and the volumes: all of
/// them, or only those that nobody named.
///
/// Fails with a problem for each thing that is left. May be repeated.
pub(in crate::deploy) async fn remove_labelled(
    engine: &Engine,
    label: &str,
    volumes: bool,
    log: &Log,
) -> Result<()> {
    let last_look = Instant::now() + LATE;
    let mut kept = Vec::new();
    loop {
        let late = Instant::now() >= last_look;
        let mut present = Present::labelled(engine, label).await?;
        if !volumes {
            let (anonymous, named) =
                present.volumes.into_iter().partition(|volume| volume.anonymous);
            present.volumes = anonymous;
            kept = named;
        }
        let left = remove(engine, &present, log).await;
        if !left.is_empty() {
            return Err(left_behind(&left));
        }
        if present.is_empty() && late {
            break;
        }
        sleep_until(last_look).await;
    }
    for volume in kept {
        log.write(Channel::Up, format!("volume {}: kept", volume.name)).await;
    }
    Ok(())
}

/// Removes all that is given, and goes on where something cannot be removed; gives what is left.
pub(super) async fn remove(engine: &Engine, present: &Present, log: &Log) -> Vec<Problem> {
    let mut left = remove_containers(engine, present.containers.clone(), log).await;
    let networks = present.networks.iter().map(|network| remove_network(engine, network, log));
    left.extend(side_by_side(networks.collect()).await);
    let volumes = present.volumes.iter().map(|volume| async move {
        let outcome = engine.remove_volume(&volume.name).await;
        report("volume", &volume.name, outcome, log).await
    });
    left.extend(side_by_side(volumes.collect()).await);
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

/// Runs removals, some at a time; gives what they leave. They come as a list, as a stream that
/// makes them from borrowed things is not known to be `Send` (rust-lang/rust#102211).
async fn side_by_side(removals: Vec<impl Future<Output = Option<Problem>>>) -> Vec<Problem> {
    let outcomes: Vec<_> = stream::iter(removals).buffer_unordered(PARALLEL).collect().await;
    outcomes.into_iter().flatten().collect()
}

/// Removes containers, those first that no other one needs; gives what is left.
pub(super) async fn remove_containers(
    engine: &Engine,
    mut containers: Vec<Container>,
    log: &Log,
) -> Vec<Problem> {
    let mut left = Vec::new();
    while !containers.is_empty() {
        let needed = |container: &Container| {
            containers.iter().any(|other| other.after.contains(&container.service))
        };
        let (last, mut next): (Vec<_>, Vec<_>) = containers.iter().cloned().partition(needed);
        containers = last;
        if next.is_empty() {
            // Labels of several versions of a composition may contradict each other.
            next = std::mem::take(&mut containers);
        }
        let removals = next.iter().map(|container| async move {
            let outcome = engine.remove_container(&container.id).await;
            report("container", &container.name, outcome, log).await
        });
        left.extend(side_by_side(removals.collect()).await);
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
    Error::Failed {
        description: format!("not removed: {}", names.join(", ")),
        problems: left.to_vec(),
    }
}
