//! Compositions: from a compose file to containers, networks and volumes on an engine.
//!
//! Everything that is made carries the composition's token and Crane's id as labels. All that is
//! removed is found by these labels, so nothing else ever is.

mod compose;
mod convert;
mod targets;

use std::collections::BTreeSet;

use self::targets::host;
use crate::{
    engine::{Engine, Grace},
    error::{Error, Result},
    model::Log,
    registry::Registry,
};

pub use compose::{
    Attachment, Composition, Condition, ContainerPort, Link, Mount, Network, Port, Protocol,
    Restart, Service, Volume,
};

/// A composition and whose it is.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// Letters and digits; in lower case it is what all names on the engine begin with.
    pub token: String,
    /// The id of this Crane.
    pub instance: String,
    pub composition: Composition,
    /// Repositories of images that Crane built, such as `default/web`. A service that names one of
    /// them, without a registry, gets it from Crane's registry.
    pub known: BTreeSet<String>,
}

/// A service as it runs now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceStatus {
    pub name: String,
    /// The name of its container; none: there is no container.
    pub container: Option<String>,
    /// As the engine says it (`running`, `exited`, `restarting`, ...), or `absent`.
    pub state: String,
    /// `starting`, `healthy` or `unhealthy`; none: it has no health check.
    pub health: Option<String>,
    /// Of a container that does not run.
    pub exit_code: Option<i64>,
    pub image: Option<String>,
    /// `127.0.0.1:8080->80/tcp` for a published port, `9000/tcp` for another one.
    pub ports: Vec<String>,
    /// It runs and is not unhealthy, or it has ended well and is not one to be restarted.
    pub runs_as_wanted: bool,
}

/// Reads a compose file. [`Error::Invalid`] carries all that is wrong with it.
pub fn check(file_name: &str, text: &str) -> Result<Composition> {
    compose::parse(file_name, text).map_err(|problems| {
        let description = match problems.as_slice() {
            [problem] => format!("{file_name} cannot be deployed: {problem}"),
            problems => format!("{file_name} cannot be deployed: {} problems", problems.len()),
        };
        Error::Invalid { description, problems }
    })
}

/// Brings a composition up, or brings what there is of it in line with what it says now: only what
/// has changed is made anew, and what it does not have any more is removed. Returns when every
/// service runs, or has ended well.
///
/// Fails with [`Error::Failed`], which names the service and has the last lines of its container's
/// log as problems; what this call has made is then removed. A call that is dropped leaves that to
/// [`down`].
pub async fn up(
    engine: &Engine,
    registry: Option<&Registry>,
    deployment: &Deployment,
    log: &Log,
) -> Result<()> {
    host::up(engine, registry, deployment, log).await
}

/// Removes a composition's containers and networks, and the volumes that no one named; with
/// `volumes` all of them. May be repeated; there may be nothing to remove.
///
/// Fails with [`Error::Failed`] and a problem for each thing that is left.
pub async fn down(engine: &Engine, token: &str, volumes: bool, log: &Log) -> Result<()> {
    host::down(engine, token, volumes, log).await
}

/// Removes a composition that was never up, with its volumes: nothing that its containers do is
/// anybody's, so they are not asked to come to an end.
///
/// Fails as [`down`].
pub async fn discard(engine: &Engine, token: &str, log: &Log) -> Result<()> {
    host::discard(engine, token, log).await
}

/// The services as they run now, in the order of their names.
pub async fn status(
    engine: &Engine,
    token: &str,
    composition: &Composition,
) -> Result<Vec<ServiceStatus>> {
    host::status(engine, token, composition).await
}

/// Tokens of the compositions that have something on an engine which carries a label, given as
/// `key=value`.
pub async fn tokens(engine: &Engine, label: &str) -> Result<BTreeSet<String>> {
    host::tokens(engine, label).await
}

/// Removes all containers, networks and volumes with a label, given as `key=value`.
///
/// Fails with [`Error::Failed`] and a problem for each thing that is left.
pub async fn remove_labelled(engine: &Engine, label: &str) -> Result<()> {
    // Nobody reads this log, and a log without a reader drops its lines.
    let log = Log::new(tokio::sync::mpsc::channel(1).0);
    host::remove_labelled(engine, label, true, Grace::AsItAsks, &log).await
}
