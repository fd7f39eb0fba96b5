//! What is removed when it has been kept long enough, and what says whether a process is ready.

use std::time::Duration;

use crane::config::Sources;
use serde_json::Value;

use crate::{
    support::redis_server::RedisServer,
    support::{Crane, Form, image, puppetfile, rig, within},
};

fn path(prefix: &str, body: &Value) -> String {
    format!("{prefix}/{}", body["token"].as_str().unwrap())
}

#[test]
fn nothing_is_removed_unless_somebody_wants_it() {
    let config = Sources::from_flags([]).check().unwrap();
    assert_eq!((config.keep_logs, config.keep_contexts), (None, None));
    for (text, seconds) in [("90d", 90 * 86_400), ("12h", 43_200), ("5m", 300), ("2s", 2)] {
        let config = Sources::from_flags([("keep_logs", text.to_owned())]).check().unwrap();
        assert_eq!(config.keep_logs, Some(Duration::from_secs(seconds)));
    }
    for bad in ["0s", "-1d", "1", "1w", "d", "1.5h", "99999999999d", "never"] {
        let error = Sources::from_flags([("keep_contexts", bad.to_owned())]).check().unwrap_err();
        assert!(error.to_string().starts_with("--keep-contexts: "), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_goes_when_it_has_been_kept_long_enough() {
    let crane = Crane::with(&[("registry", ""), ("keep_logs", "2s")]).await;
    let running = crane.post("/builder/images", image("running", "echo began; sleep 600")).await;
    let running = path("/builder/images", &running.ok());
    let ended = crane.post("/builder/images", image("ended", "echo printed")).await;
    let ended = path("/builder/images", &ended.ok());
    let mut follow = crane.http.follow(&format!("{ended}/log"), None).await;
    let mut last = None;
    while let Some(event) = follow.next().await {
        last = event.id.or(last);
    }
    let record = crane.finished(&ended).await;
    let text = async |path: &str| crane.get(&format!("{path}/log")).await.text;
    within(60, "its log is gone", async || !text(&ended).await.contains("printed")).await;
    let left = text(&ended).await;
    assert_eq!(left.lines().count(), 1, "{left}");
    assert!(left.ends_with("[the log was removed when it had been kept long enough]\n"), "{left}");
    assert_eq!(crane.get(&ended).await.ok(), record, "what was made stays as it is");
    // Whoever had all of it is told this one line more, and then that there is nothing.
    let again = crane.http.follow(&format!("{ended}/log"), last.as_deref()).await.all().await;
    assert_eq!(again.len(), 2, "{again:?}");
    let after = crane.http.follow(&format!("{ended}/log"), again[0].id.as_deref()).await;
    assert_eq!(after.status, 204);
    // It was printed before the other one's, but its work goes on.
    assert!(text(&running).await.contains(" began\n"));
    crane.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_context_that_nobody_uses_goes() {
    let crane = Crane::with(&[("registry", ""), ("keep_contexts", "3s")]).await;
    let url = format!("{}/puppetlabs-stdlib.git", rig("RIG_GIT"));
    let used = crane.post("/builder/contexts", puppetfile("stdlib", &url, "v8.5.0")).await.ok();
    let form = image("user", "true").text("contextReference", used["token"].as_str().unwrap());
    let user = path("/builder/images", &crane.post("/builder/images", form).await.ok());
    let unused = crane.post("/builder/contexts", puppetfile("stdlib", &url, "v8.5.0")).await.ok();
    let directory = crane.data_dir.path().join("contexts").join(unused["token"].as_str().unwrap());
    let (used, unused) = (path("/builder/contexts", &used), path("/builder/contexts", &unused));
    within(120, "it is removed", async || crane.get(&unused).await.status == 404).await;
    assert!(!directory.exists());
    crane.finished(&user).await;
    assert_eq!(crane.get(&used).await.ok()["status"], "finished");
    // Without its image it is one of those.
    crane.delete(&user).await.ok();
    within(60, "it is removed", async || crane.get(&used).await.status == 404).await;
    crane.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_without_its_store_is_alive_and_not_ready() {
    let mut redis = RedisServer::start();
    let token = ("api_token", "secret-token");
    let crane = Crane::with(&[("store", &redis.url()), token]).await;
    let ready = crane.get("/readyz").await;
    assert_eq!(ready.status, 200, "{}", ready.text);
    assert_eq!(ready.headers["content-type"], "text/plain; charset=utf-8");
    let parts: Vec<_> = ready.text.lines().map(|line| line.split_once(": ").unwrap()).collect();
    let names: Vec<_> = parts.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["store", "queue", "docker", "registry", "puppet", "ready"]);
    assert_eq!((parts[0].1, parts[5].1), ("correct", "yes"));

    redis.kill();
    let (status, code, away) = crane.get("/readyz").await.error();
    assert_eq!((status, &*code), (503, "unavailable"));
    for line in ["store: store: Redis at ", "\ndocker: correct\n", "\nready: no"] {
        assert!(away.contains(line), "{line} is not in {away}");
    }
    let alive = crane.get("/livez").await;
    assert_eq!((alive.status, &*alive.text), (200, "alive\n"));

    redis.restart();
    within(60, "it is ready again", async || crane.get("/readyz").await.status == 200).await;
    let header = [("authorization", "Bearer secret-token")];
    let made = crane.send("POST", "/builder/contexts", &header, vec![]).await;
    assert_ne!(made.status, 503, "{}", made.text);
    drop(crane);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_is_away_is_told_and_makes_nobody_unready() {
    let crane = Crane::with(&[("registry", "127.0.0.1:1"), ("engine", "tcp://127.0.0.1:1")]).await;
    let ready = crane.get("/readyz").await;
    assert_eq!(ready.status, 200, "{}", ready.text);
    for part in ["docker: engine: ", "registry: "] {
        let line = ready.text.lines().find(|line| line.starts_with(part));
        assert!(line.is_some_and(|line| !line.ends_with("correct")), "{}", ready.text);
    }
    let context = crane.post("/builder/contexts", Form::default()).await.ok();
    assert_eq!(context["status"], "finished");
    crane.stop().await;
}
