//! Compositions on a real engine: brought up, changed, watched, taken down, and what goes wrong.

mod changing;
mod compare;
mod failing;
mod image;
mod images;
mod interrupted;
mod problems;
mod running;
mod services;

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, resume_unwind},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use crane::{
    deploy::{self, Deployment, ServiceStatus},
    engine::Engine,
    error::{Error, Result},
    model::{Channel, LABEL_RESOURCE, Line, Log},
    registry::Registry,
};
use futures_util::FutureExt;
use tokio::{sync::mpsc, task::JoinHandle};

use crate::support::{self, docker::docker, rig};

const INSTANCE: &str = "crane-test-deploy";

/// One composition of a test, which is taken down at its end, whatever that is.
struct Trial {
    engine: Engine,
    token: String,
    lines: Arc<Mutex<Vec<Line>>>,
    log: Log,
    reader: JoinHandle<()>,
}

impl Trial {
    /// Runs a test with a composition of its own, and asserts that it leaves nothing behind.
    async fn run(test: impl AsyncFnOnce(&Self)) {
        let trial = Self::new();
        let outcome = AssertUnwindSafe(test(&trial)).catch_unwind().await;
        let down = deploy::down(&trial.engine, &trial.token, true, &trial.log).await;
        if let Err(panic) = outcome {
            resume_unwind(panic);
        }
        down.unwrap();
        assert_eq!(trial.things(), "", "left behind");
        trial.reader.abort();
    }

    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (sender, mut receiver) = mpsc::channel(64);
        let kept = Arc::clone(&lines);
        let reader = tokio::spawn(async move {
            while let Some(line) = receiver.recv().await {
                kept.lock().unwrap().push(line);
            }
        });
        Self {
            engine: support::engine(),
            token: format!("CPtest{}x{count}", std::process::id()),
            lines,
            log: Log::new(sender),
            reader,
        }
    }

    /// What all names begin with.
    fn project(&self) -> String {
        self.token.to_lowercase()
    }

    fn container(&self, service: &str) -> String {
        format!("{}-{service}-1", self.project())
    }

    fn deployment(&self, compose: &str) -> Deployment {
        let compose = compose.replace("BASE", &rig("RIG_BASE"));
        let composition = deploy::check("compose.yml", &compose).unwrap();
        Deployment {
            token: self.token.clone(),
            instance: INSTANCE.to_owned(),
            composition,
            known: BTreeSet::new(),
        }
    }

    async fn up(&self, compose: &str) -> Result<()> {
        self.deploy(None, &self.deployment(compose)).await
    }

    async fn deploy(&self, registry: Option<&Registry>, deployment: &Deployment) -> Result<()> {
        deploy::up(&self.engine, registry, deployment, &self.log).await
    }

    /// Why the composition cannot be brought up. Nothing of it is there after that.
    async fn refusal(&self, compose: &str) -> Error {
        let error = self.up(compose).await.unwrap_err();
        assert_eq!(self.things(), "", "left behind after: {error}");
        error
    }

    async fn status(&self, compose: &str) -> Vec<ServiceStatus> {
        let composition = self.deployment(compose).composition;
        deploy::status(&self.engine, &self.token, &composition).await.unwrap()
    }

    /// Names of everything on the engine that carries this composition's label, one per line.
    fn things(&self) -> String {
        let filter = format!("label={LABEL_RESOURCE}={}", self.token);
        let names = |what: &[&str], format: &str| {
            docker(&[what, &["--filter", &filter, "--format", format]].concat())
        };
        let mut things: Vec<_> = [
            names(&["ps", "--all"], "{{.Names}}"),
            names(&["network", "ls"], "{{.Name}}"),
            names(&["volume", "ls"], "{{.Name}}"),
        ]
        .iter()
        .flat_map(|lines| lines.lines().map(|line| line.replace(&self.project(), "P")))
        .collect();
        things.sort();
        things.join("\n")
    }

    async fn log_of(&self, channel: Channel) -> String {
        // The reader runs between the points where this task waits.
        tokio::task::yield_now().await;
        let lines = self.lines.lock().unwrap();
        let texts = lines.iter().filter(|line| line.channel == channel).map(|line| &line.text);
        texts.map(|text| text.replace(&self.project(), "P") + "\n").collect()
    }
}

fn inspect(container: &str, format: &str) -> String {
    docker(&["inspect", "--type", "container", "--format", format, container])
}
