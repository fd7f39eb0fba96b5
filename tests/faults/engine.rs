//! An engine that goes away in a build, and comes back or does not.

use std::path::PathBuf;

use tempfile::TempDir;
use tokio::{
    net::{UnixListener, UnixStream},
    task::{JoinHandle, JoinSet},
};

use super::{long, long_build, unique};
use crate::support::{Program, own_engine::OwnEngine, rig, within};

/// A socket that leads to the rig's engine while it is up.
struct Relay {
    socket: PathBuf,
    task: Option<JoinHandle<()>>,
}

impl Relay {
    fn to_engine(directory: &TempDir) -> Self {
        let mut relay = Self { socket: directory.path().join("engine.sock"), task: None };
        relay.up();
        relay
    }

    fn up(&mut self) {
        let _ = std::fs::remove_file(&self.socket);
        let listener = UnixListener::bind(&self.socket).unwrap();
        let engine = rig("RIG_ENGINE").strip_prefix("unix://").unwrap().to_owned();
        self.task = Some(tokio::spawn(async move {
            // Dropped with this task, so its connections end with it.
            let mut connections = JoinSet::new();
            while let Ok((mut outside, _)) = listener.accept().await {
                let mut inside = UnixStream::connect(&engine).await.unwrap();
                connections.spawn(async move {
                    let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
                });
            }
        }));
    }

    /// Every connection ends, and new ones are refused.
    async fn down(&mut self) {
        let task = self.task.take().unwrap();
        task.abort();
        let _ = task.await;
    }

    fn url(&self) -> String {
        format!("unix://{}", self.socket.display())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_comes_back_builds_what_it_was_building() {
    let data = TempDir::new().unwrap();
    let mut relay = Relay::to_engine(&data);
    let served = Program::new(data.path()).with("CRANE_ENGINE", relay.url()).start();
    let body =
        served.http.post("/builder/images", long_build(&unique("engine-back"), 4)).await.ok();
    let path = format!("/builder/images/{}", body["token"].as_str().unwrap());
    for time in 1..=if long() { 4 } else { 1 } {
        served.prints(&path, "began", time).await;
        relay.down().await;
        within(60, "the build waits to be tried again", async || {
            let body = served.http.get(&path).await.ok();
            body["description"].as_str().unwrap().starts_with("waiting ")
        })
        .await;
        relay.up();
    }
    let body = served.ends(&path).await;
    assert_eq!(body["status"], "finished", "{body:#}\n{}", served.log());
    served.purge().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_restarted_in_a_build_builds_it_again() {
    let data = TempDir::new().unwrap();
    let mut engine = OwnEngine::start();
    let settings = Program::new(data.path()).with("CRANE_ENGINE", engine.url());
    let served = settings.with("CRANE_REGISTRY", "").start();
    let body = served.http.post("/builder/images", long_build("restarted", 4)).await.ok();
    let path = format!("/builder/images/{}", body["token"].as_str().unwrap());
    let signals = if long() { ["KILL", "TERM", "KILL", "TERM"].as_slice() } else { &["KILL"] };
    for (time, signal) in signals.iter().enumerate() {
        served.prints(&path, "began", time + 1).await;
        engine.restart(signal);
    }
    let body = served.ends(&path).await;
    assert_eq!(body["status"], "finished", "{body:#}\n{}", served.log());
    assert_eq!(engine.says(&["images", "--quiet", "default/restarted"]).lines().count(), 1);
    // Containers of builds that were cut off are the engine's to remove; Crane left none.
    assert_eq!(engine.says(&["ps", "--all", "--quiet"]), "");
    served.purge().await;
    assert_eq!(engine.says(&["images", "--quiet", "default/restarted"]), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_stays_away_is_the_error_after_the_tries() {
    let data = TempDir::new().unwrap();
    let mut relay = Relay::to_engine(&data);
    let retries = if long() { 5 } else { 2 };
    let served = Program::new(data.path())
        .with("CRANE_ENGINE", relay.url())
        .with("CRANE_RETRIES", retries.to_string())
        .start();
    let body =
        served.http.post("/builder/images", long_build(&unique("engine-gone"), 60)).await.ok();
    let path = format!("/builder/images/{}", body["token"].as_str().unwrap());
    served.prints(&path, "began", 1).await;
    relay.down().await;
    let body = served.ends(&path).await;
    assert_eq!(body["status"], "error", "{body:#}");
    assert!(body["description"].as_str().unwrap().starts_with("engine: "), "{body:#}");
    assert_eq!(served.log().matches("to be tried again").count(), retries, "{}", served.log());
    relay.up();
    served.purge().await;
}
