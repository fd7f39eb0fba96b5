//! A registry that fails for a while: the image is pushed when it is well again. One that refuses
//! is not asked again.

use serde_json::Value;
use tempfile::TempDir;

use super::{
    bad_registry::{BadRegistry, Fault},
    unique,
};
use crate::support::{Form, Program, Served, docker};

/// An image with a layer of some hundred kilobytes that no registry has yet, and nothing else.
fn image(name: &str) -> Form {
    let line = |_| format!("# {}\n", uuid::Uuid::new_v4());
    let manifest: String = (0..20_000).map(line).collect();
    Form::default()
        .text("imageName", &unique(name))
        .file("dockerfile", "Dockerfile", "FROM scratch\nADD m.pp /m.pp\n")
        .file("puppetmanifest", "m.pp", manifest)
}

struct Trial {
    registry: BadRegistry,
    served: Served,
    body: Value,
    _data: TempDir,
}

impl Trial {
    /// Builds an image against a registry that fails so many times.
    async fn run(name: &str, fault: Fault, times: usize) -> Self {
        let registry = BadRegistry::start(fault, times).await;
        let data = TempDir::new().unwrap();
        let location = format!("{}/fault-{}", registry.address, uuid::Uuid::new_v4().simple());
        let served = Program::new(data.path()).with("CRANE_REGISTRY", location).start();
        let body = served.http.post("/builder/images", image(name)).await.ok();
        let token = body["token"].as_str().unwrap();
        let body = served.ends(&format!("/builder/images/{token}")).await;
        let trial = Self { registry, served, body, _data: data };
        eprintln!("{name}: {} faults, {} retries", trial.registry.made(), trial.retries());
        trial
    }

    fn retries(&self) -> usize {
        self.served.log().matches("to be tried again").count()
    }

    async fn passed(self) {
        let Self { registry, served, body, .. } = self;
        assert_eq!(body["status"], "finished", "{body:#}\n{}", served.log());
        assert!(registry.made() > 0);
        let token = body["token"].as_str().unwrap();
        let label = format!("label=eu.cloudopting.crane.resource={token}");
        let images = docker::docker(&["images", "--quiet", "--all", "--filter", &label]);
        let images: std::collections::BTreeSet<&str> = images.lines().collect();
        assert_eq!(images.len(), 1, "{images:?}");
        served.purge().await;
    }
}

/// What Crane asks first, and what the engine asks in a push.
const QUESTIONS: [&str; 2] = ["GET /v2/ ", "POST /v2/"];

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_asks_for_patience_gets_it() {
    for question in QUESTIONS {
        let fault = Fault::Answer(question, "429 Too Many Requests\r\nRetry-After: 2");
        let trial = Trial::run("registry-429", fault, 2).await;
        assert!(trial.retries() > 0, "{}", trial.served.log());
        trial.passed().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_with_a_fault_of_its_own_is_tried_again() {
    let [own, of_engine] = QUESTIONS;
    // The engine itself asks again, five times; after that it is Crane who does.
    for (question, times) in [(own, 2), (of_engine, if super::long() { 7 } else { 1 })] {
        let fault = Fault::Answer(question, "500 Internal Server Error");
        let trial = Trial::run("registry-500", fault, times).await;
        assert!(trial.retries() > 0 || times == 1, "{}", trial.served.log());
        trial.passed().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_hangs_is_tried_again() {
    Trial::run("registry-hangs", Fault::Hang, 1).await.passed().await;
}

/// The engine itself sends a blob again; when that does not help, Crane begins anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_cuts_blobs_is_tried_again() {
    let times = if super::long() { 12 } else { 2 };
    Trial::run("registry-cuts", Fault::CutBlob(50_000), times).await.passed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_refuses_is_not_tried_again() {
    for question in QUESTIONS {
        let answer = "401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"closed\"";
        let trial = Trial::run("registry-401", Fault::Answer(question, answer), usize::MAX).await;
        assert_eq!(trial.body["status"], "error", "{:#}", trial.body);
        let described = trial.body["description"].to_string();
        assert!(
            described.contains("password") || described.contains("unauthorized"),
            "{described}"
        );
        assert_eq!(trial.retries(), 0, "{}", trial.served.log());
        trial.served.purge().await;
    }
}
