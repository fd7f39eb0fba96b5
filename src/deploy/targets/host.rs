//! One Docker engine, as a host for containers.

mod images;
mod present;
mod reconcile;
mod remove;
mod start;
mod status;

use std::collections::BTreeSet;

use futures_util::{StreamExt, stream, try_join};

use crate::{
    deploy::{
        Deployment,
        convert::{self, Owner},
    },
    engine::{Engine, Grace},
    error::{Error, Result},
    model::{Channel, LABEL_RESOURCE, Log},
    registry::Registry,
};
use present::Present;

pub(in crate::deploy) use {remove::remove_labelled, status::status};

/// See [`crate::deploy::up`].
pub(in crate::deploy) async fn up(
    engine: &Engine,
    registry: Option<&Registry>,
    deployment: &Deployment,
    log: &Log,
) -> Result<()> {
    let Deployment { token, instance, composition, .. } = deployment;
    let images = images::ready(engine, registry, deployment, &log.at("pull")).await?;
    let log = &log.at("up");
    let desired = convert::desired(Owner { token, instance }, composition, &images)?;
    let before = Present::labelled(engine, &label(token)).await?;
    let work = async {
        let containers = reconcile::reconcile(engine, &desired, &before, log).await?;
        start::start(engine, composition, &containers, log).await
    };
    let outcome = work.await;
    if let Err(error) = &outcome {
        log.write(Channel::Up, format!("{error}; taking down what was made")).await;
        if let Err(left) = undo(engine, token, &before, log).await {
            log.write(Channel::Up, left.to_string()).await;
        }
    }
    outcome
}

/// Removes what there is now and was not there before.
async fn undo(engine: &Engine, token: &str, before: &Present, log: &Log) -> Result<()> {
    let made = Present::labelled(engine, &label(token)).await?.without(before);
    let left = remove::remove(engine, &made, log).await;
    if left.is_empty() { Ok(()) } else { Err(remove::left_behind(&left)) }
}

/// See [`crate::deploy::down`].
pub(in crate::deploy) async fn down(
    engine: &Engine,
    token: &str,
    volumes: bool,
    log: &Log,
) -> Result<()> {
    remove_labelled(engine, &label(token), volumes, Grace::AsItAsks, log).await
}

/// See [`crate::deploy::discard`].
pub(in crate::deploy) async fn discard(engine: &Engine, token: &str, log: &Log) -> Result<()> {
    remove_labelled(engine, &label(token), true, Grace::None, log).await
}

/// See [`crate::deploy::tokens`].
pub(in crate::deploy) async fn tokens(engine: &Engine, label: &str) -> Result<BTreeSet<String>> {
    let (containers, networks, volumes) = try_join!(
        engine.containers_labelled(label),
        engine.networks_labelled(label),
        engine.volumes_labelled(label),
    )?;
    let containers = containers.into_iter().filter_map(|container| container.labels);
    let networks = networks.into_iter().filter_map(|network| network.labels);
    let volumes = volumes.into_iter().map(|volume| volume.labels);
    let labels = containers.chain(networks).chain(volumes);
    Ok(labels.filter_map(|mut labels| labels.remove(LABEL_RESOURCE)).collect())
}

/// What the engine's lists of a composition's things are filtered by.
fn label(token: &str) -> String {
    format!("{LABEL_RESOURCE}={token}")
}

/// More requests at a time make no engine faster.
const PARALLEL: usize = 8;

/// Waits for all of them, some at a time, in any order; none is dropped because another one fails.
async fn in_parallel<F: Future>(requests: impl Iterator<Item = F>) -> Vec<F::Output> {
    // Collected first: a stream that still borrows its closure cannot be sent between threads.
    let requests: Vec<_> = requests.collect();
    stream::iter(requests).buffer_unordered(PARALLEL).collect().await
}

/// The same error, said about a service, network or volume.
fn about(what: &str, error: Error) -> Error {
    match error {
        Error::Failed { description, problems, retry } => {
            Error::Failed { description: format!("{what}: {description}"), problems, retry }
        }
        Error::NotFound(reason) | Error::Conflict(reason) => {
            Error::failed(format!("{what}: {reason}"))
        }
        Error::Unavailable { what: part, reason, retry } => {
            Error::Unavailable { what: part, reason: format!("{reason} ({what})"), retry }
        }
        error => error,
    }
}
