//! Whether the parts that Crane needs answer.

use std::time::Duration;

use super::{Jobs, Parts, clusters::within_limit};
use crate::{error::Result, puppet};

/// The feed of a store that answers is heard at least so often.
const SILENCE: Duration = Duration::from_secs(20);

/// What each part says: `correct`, or the reason why not.
#[derive(Debug)]
pub struct Checks {
    pub docker: String,
    pub registry: String,
    pub store: String,
    pub puppet: String,
}

impl Checks {
    /// All parts by name, in the order of the contract.
    pub fn each(&self) -> [(&'static str, &str); 4] {
        [
            ("docker", &self.docker),
            ("registry", &self.registry),
            ("store", &self.store),
            ("puppet", &self.puppet),
        ]
    }

    /// Switched off on purpose is no failure.
    pub fn is_failure(verdict: &str) -> bool {
        !matches!(verdict, CORRECT | SWITCHED_OFF)
    }
}

const CORRECT: &str = "correct";
const SWITCHED_OFF: &str = "switched off";

/// Asks all parts, side by side.
pub async fn all(parts: &Parts) -> Checks {
    let registry = async {
        match &parts.registry {
            Some(registry) => verdict(registry.ping().await),
            None => SWITCHED_OFF.to_owned(),
        }
    };
    let store = async { verdict(parts.store.get("check").await.map(drop)) };
    let docker = async { verdict(within_limit(parts.engine.check()).await) };
    let puppet = async { verdict(within_limit(puppet::ready(&parts.puppet)).await) };
    let (docker, registry, store, puppet) = tokio::join!(docker, registry, store, puppet);
    Checks { docker, registry, store, puppet }
}

/// Whether this process can do its part, and how the parts are.
pub struct Readiness {
    pub ready: bool,
    pub lines: Vec<(&'static str, String)>,
}

/// Asks for what this process cannot do without, and for the rest of the parts.
pub async fn readiness(jobs: &Jobs) -> Readiness {
    let checks = all(&jobs.parts).await;
    let silence = jobs.silence();
    let queue = match silence < SILENCE {
        true => format!("{CORRECT}, {} unfinished jobs", jobs.unfinished()),
        false => format!("the store's feed was last heard {} s ago", silence.as_secs()),
    };
    let ready = checks.store == CORRECT && silence < SILENCE;
    let mut lines = vec![("store", checks.store), ("queue", queue)];
    lines.extend([
        ("docker", checks.docker),
        ("registry", checks.registry),
        ("puppet", checks.puppet),
    ]);
    lines.push(("ready", if ready { "yes" } else { "no" }.to_owned()));
    Readiness { ready, lines }
}

fn verdict(outcome: Result<()>) -> String {
    match outcome {
        Ok(()) => CORRECT.to_owned(),
        Err(error) => error.to_string(),
    }
}
