//! Containers started as their services depend on each other, and watched until they run.

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::try_join_all;
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use super::{about, reconcile::Containers};
use crate::{
    deploy::compose::{Composition, Condition},
    engine::{
        Engine,
        api::{ContainerInspectResponse, ContainerStateStatusEnum as State, HealthStatusEnum},
    },
    error::{Error, Problem, Result},
    model::{Channel, Log},
};

/// A program that cannot run with what it was given mostly ends within this time. What ends later
/// shows in the composition's status.
const SETTLE: Duration = Duration::from_millis(500);
const POLL: Duration = Duration::from_millis(100);

/// The engine waits 0.1 s before it restarts a container and twice as long each further time, so
/// that a program may wait in this way some 13 s for another one that it needs.
const RESTARTS_MAX: i64 = 7;

/// How much of what a container printed goes into an error.
const TAIL_LINES: usize = 10;

/// Starts every container that does not run, after those that its service waits for. Returns when
/// all of them run, or have done their work; an error ends the rest at once.
pub(super) async fn start(
    engine: &Engine,
    composition: &Composition,
    containers: &Containers,
    log: &Log,
) -> Result<()> {
    let started: BTreeMap<&str, watch::Sender<bool>> =
        containers.keys().map(|service| (service.as_str(), watch::Sender::new(false))).collect();
    let services = containers.iter().map(|(name, id)| {
        let started = &started;
        async move {
            let waits_for = composition.services.get(name).map(|service| service.waits_for());
            for (needed, condition) in waits_for.unwrap_or_default() {
                let (Some(started), Some(id)) = (started.get(needed), containers.get(needed))
                else {
                    continue;
                };
                // The sender lives as long as all of these futures.
                let _ = started.subscribe().wait_for(|started| *started).await;
                Watched { engine, service: needed, id, log }.meets(condition, name).await?;
            }
            let container = Watched { engine, service: name, id, log };
            let runs = container.start().await?;
            if let Some(started) = started.get(name.as_str()) {
                started.send_replace(true);
            }
            if runs { Ok(()) } else { container.settles().await }
        }
    });
    try_join_all(services).await.map(drop)
}

struct Watched<'a> {
    engine: &'a Engine,
    service: &'a str,
    id: &'a str,
    log: &'a Log,
}

impl Watched<'_> {
    /// Gives whether it ran already.
    async fn start(&self) -> Result<bool> {
        let named = |error| about(&format!("service '{}' cannot start", self.service), error);
        if self.look().await?.runs() {
            return Ok(true);
        }
        self.engine.start_container(self.id).await.map_err(named)?;
        self.log.write(Channel::Up, format!("service {}: started", self.service)).await;
        Ok(false)
    }

    /// Waits until the container has run for a while, or has ended well.
    async fn settles(&self) -> Result<()> {
        let (mut begun, mut since) = (String::new(), Instant::now());
        loop {
            let look = self.look().await?;
            if look.restarts >= RESTARTS_MAX {
                let how = format!("restarts again and again, with code {}", look.exit_code);
                return Err(self.failed(&how).await);
            }
            if look.has_ended() {
                return match look.exit_code {
                    0 => Ok(()),
                    code => Err(self.failed(&format!("ended at once with code {code}")).await),
                };
            }
            if look.started_at != begun {
                (begun, since) = (look.started_at.clone(), Instant::now());
            } else if look.runs() && since.elapsed() >= SETTLE {
                return Ok(());
            }
            sleep(POLL).await;
        }
    }

    /// Waits, for the service `waiting`, until the container is as that one needs it.
    async fn meets(&self, condition: Condition, waiting: &str) -> Result<()> {
        loop {
            let look = self.look().await?;
            let reason = match (condition, look.health) {
                (Condition::Started, _) => return Ok(()),
                (Condition::CompletedSuccessfully, _) => match (look.has_ended(), look.exit_code) {
                    (true, 0) => return Ok(()),
                    (true, code) => format!("ended with code {code}"),
                    (false, _) => String::new(),
                },
                (Condition::Healthy, Some(HealthStatusEnum::HEALTHY)) => return Ok(()),
                (Condition::Healthy, Some(HealthStatusEnum::UNHEALTHY)) => "is unhealthy".into(),
                (Condition::Healthy, Some(HealthStatusEnum::STARTING)) if !look.has_ended() => {
                    String::new()
                }
                (Condition::Healthy, Some(_)) => "has ended".into(),
                (Condition::Healthy, None) => "has no health check in its image".into(),
            };
            if !reason.is_empty() {
                let how = format!("{reason}, and the service '{waiting}' waits for it");
                return Err(self.failed(&how).await);
            }
            sleep(POLL).await;
        }
    }

    async fn look(&self) -> Result<Look> {
        let named = |error| about(&format!("service '{}'", self.service), error);
        match self.engine.container(self.id).await.map_err(named)? {
            Some(container) => Ok(Look::from(container)),
            None => Err(Error::failed(format!(
                "service '{}': its container was removed by somebody else",
                self.service
            ))),
        }
    }

    /// The error that shows the end of what the container printed.
    async fn failed(&self, how: &str) -> Error {
        let service = self.service;
        // Without its log the error is still the error.
        let tail = self.engine.container_tail(self.id, TAIL_LINES).await.unwrap_or_default();
        for line in &tail {
            self.log.write(Channel::Up, format!("service {service}: {line}")).await;
        }
        let path = format!("services.{service}");
        let last = tail.last().map(|line| format!(": {line}")).unwrap_or_default();
        Error::failed_with(
            format!("service '{service}' {how}{last}"),
            tail.into_iter().map(|line| Problem::new(&path, line)).collect(),
        )
    }
}

/// A container at one moment.
struct Look {
    state: State,
    /// None: it has no health check.
    health: Option<HealthStatusEnum>,
    exit_code: i64,
    restarts: i64,
    started_at: String,
}

impl Look {
    fn runs(&self) -> bool {
        matches!(self.state, State::RUNNING | State::PAUSED)
    }

    fn has_ended(&self) -> bool {
        matches!(self.state, State::EXITED | State::DEAD | State::REMOVING)
    }
}

impl From<ContainerInspectResponse> for Look {
    fn from(container: ContainerInspectResponse) -> Self {
        let state = container.state.unwrap_or_default();
        let health = state.health.and_then(|health| health.status);
        Self {
            state: state.status.unwrap_or(State::EMPTY),
            health: health.filter(|health| {
                !matches!(health, HealthStatusEnum::NONE | HealthStatusEnum::EMPTY)
            }),
            exit_code: state.exit_code.unwrap_or_default(),
            restarts: container.restart_count.unwrap_or_default(),
            started_at: state.started_at.unwrap_or_default(),
        }
    }
}
