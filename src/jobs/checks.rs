//! Whether the parts that Crane needs answer.

use super::{Parts, clusters::within_limit};
use crate::{error::Result, puppet};

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
    let puppet = async { verdict(puppet::version().await.map(drop)) };
    let (docker, registry, store, puppet) = tokio::join!(docker, registry, store, puppet);
    Checks { docker, registry, store, puppet }
}

fn verdict(outcome: Result<()>) -> String {
    match outcome {
        Ok(()) => CORRECT.to_owned(),
        Err(error) => error.to_string(),
    }
}
