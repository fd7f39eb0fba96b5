//! What is being made and is not wanted any more: it ends within seconds and leaves nothing.

use std::{
    fs,
    net::TcpListener,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::support::{
    Crane, Form, assert_closed,
    docker::{assert_nothing_labelled, labelled},
    http::Answer,
    image, puppetfile, rig, within,
};

/// How long the end of something may take that was cancelled or deleted.
const SOON: Duration = Duration::from_secs(5);

/// A git server that takes connections and never says a word.
fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/silent.git", listener.local_addr().unwrap());
    (listener, url)
}

/// A context whose installation hangs, once it does.
async fn hanging(crane: &Crane) -> (String, std::net::TcpStream) {
    let (listener, url) = silent();
    let body = crane.post("/builder/contexts", puppetfile("silent", &url, "v1")).await.ok();
    let accept = tokio::task::spawn_blocking(move || listener.accept().unwrap().0);
    (path("/builder/contexts", &body), accept.await.unwrap())
}

fn path(prefix: &str, body: &Value) -> String {
    format!("{prefix}/{}", body["token"].as_str().unwrap())
}

async fn build(crane: &Crane, form: Form) -> String {
    path("/builder/images", &crane.post("/builder/images", form).await.ok())
}

async fn cancel(crane: &Crane, path: &str) -> Answer {
    crane.send("POST", &format!("{path}/cancel"), &[], vec![]).await
}

async fn soon(what: impl Future<Output = Answer>) -> Value {
    let began = Instant::now();
    let body = what.await.ok();
    assert!(began.elapsed() < SOON, "took {:?}: {body:#}", began.elapsed());
    body
}

#[track_caller]
fn assert_conflict(answer: &Answer) {
    let (status, code, description) = answer.error();
    assert_eq!((status, &*code), (409, "conflict"), "{description}");
}

/// Nothing is in Crane's directories.
fn assert_idle(crane: &Crane) {
    let data = crane.data_dir.path();
    for directory in ["contexts", "work"] {
        let left: Vec<_> = fs::read_dir(data.join(directory)).unwrap().flatten().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

fn resource(path: &str) -> String {
    format!("eu.cloudopting.crane.resource={}", path.rsplit('/').next().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installation_that_hangs() {
    let crane = Crane::start().await;
    let (path, connection) = hanging(&crane).await;
    let body = soon(cancel(&crane, &path)).await;
    assert_closed(connection);
    assert_eq!((&body["status"], &body["description"]), (&json!("cancelled"), &json!("cancelled")));
    assert_idle(&crane);
    assert_conflict(&cancel(&crane, &path).await);
    let log = crane.get(&format!("{path}/log")).await.text;
    assert!(log.trim_end().ends_with("[clear] cancelled: removing what was made"), "{log}");
    // No image can be made of it, and it can be deleted.
    let form = image("x", "true").text("contextReference", body["token"].as_str().unwrap());
    assert_conflict(&crane.post("/builder/images", form).await);
    assert_eq!(crane.delete(&path).await.ok()["status"], "deleted");
    crane.close().await;
}

/// Processes of a build are the engine's, so they are known by their arguments.
fn runs(arguments: &str) -> bool {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let mut lines = entries.map(|entry| fs::read(entry.path().join("cmdline")).unwrap_or_default());
    lines.any(|line| line.split(|byte| *byte == 0).any(|word| word == arguments.as_bytes()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build() {
    let crane = Crane::start().await;
    for how in ["cancel", "delete"] {
        let seconds = format!("600.{}", uuid::Uuid::new_v4().as_u128());
        let path = build(&crane, image("cancelled", &format!("sleep {seconds}"))).await;
        within(60, "the build has begun", async || runs(&seconds)).await;
        if how == "cancel" {
            assert_eq!(soon(cancel(&crane, &path)).await["status"], "cancelled");
            assert_conflict(&cancel(&crane, &path).await);
        } else {
            assert_eq!(soon(crane.delete(&path)).await["status"], "deleted");
            assert_eq!(crane.get(&path).await.error().0, 404);
        }
        within(5, "the build's process has ended", async || !runs(&seconds)).await;
        assert_nothing_labelled(&resource(&path));
        // The name is free for the next one.
        let next = build(&crane, image("cancelled", "true")).await;
        crane.finished(&next).await;
    }
    crane.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_that_is_built() {
    let crane = Crane::start().await;
    let form = || image("cancelled/base", "echo began; sleep 600");
    crane.post("/builder/images/bases", form()).await.ok();
    let path = "/builder/images/bases/cancelled/base";
    crane.prints(path, "began").await;
    assert_eq!(soon(cancel(&crane, path)).await["status"], "cancelled");
    assert_conflict(&crane.post("/builder/images/bases", form()).await);
    soon(crane.delete(path)).await;
    let again = image("cancelled/base", "true");
    crane.post("/builder/images/bases", again).await.ok();
    crane.finished(path).await;
    crane.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_waits_for_its_context() {
    let crane = Crane::start().await;
    let (context, _connection) = hanging(&crane).await;
    let token = context.rsplit('/').next().unwrap();
    let waiting = |name: &str| image(name, "true").text("contextReference", token);
    let (one, other) = (build(&crane, waiting("one")).await, build(&crane, waiting("other")).await);
    assert_eq!(crane.get(&one).await.ok()["description"], "waiting for the context");
    assert_eq!(soon(cancel(&crane, &one)).await["status"], "cancelled");
    assert_conflict(&cancel(&crane, &one).await);
    for path in [&context, &other] {
        assert_eq!(crane.get(path).await.ok()["status"], "building", "{path}");
    }
    // What waits for a context that will not be is told so.
    soon(cancel(&crane, &context)).await;
    let failed = crane.failed(&other).await;
    let expected = format!("the context '{token}': cancelled");
    assert_eq!(failed["description"], expected.as_str());
    assert_idle(&crane);
    crane.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_composition_that_is_brought_up() {
    let crane = Crane::start().await;
    // The second one waits for the end of the first, which does not come.
    let compose = format!(
        "services:\n  first:\n    image: {0}\n    command: [sleep, '600']\n    volumes: ['data:/data']\n\
         \u{20} second:\n    image: {0}\n    depends_on: {{first: {{condition: \
         service_completed_successfully}}}}\nvolumes:\n  data:\n",
        rig("RIG_BASE")
    );
    for how in ["cancel", "delete"] {
        let form = Form::default().file("composefile", "compose.yml", &compose);
        let path = path("/composer", &crane.post("/composer", form).await.ok());
        let label = resource(&path);
        let all_there = || {
            let things = labelled(&label);
            ["container ", "network ", "volume "].iter().all(|thing| things.contains(thing))
        };
        within(60, "the first service is up", async || all_there()).await;
        if how == "cancel" {
            // What was never up has no data that is anybody's.
            assert_eq!(soon(cancel(&crane, &path)).await["status"], "cancelled");
            assert_nothing_labelled(&label);
            assert_conflict(&cancel(&crane, &path).await);
        } else {
            let query = format!("{path}?volumes=true");
            assert_eq!(soon(crane.delete(&query)).await["status"], "deleted");
            assert_nothing_labelled(&label);
        }
    }
    crane.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_finished_or_unknown() {
    let crane = Crane::start().await;
    let context = crane.post("/builder/contexts", Form::default()).await.ok();
    let context = path("/builder/contexts", &context);
    assert_conflict(&cancel(&crane, &context).await);
    let image = build(&crane, image("finished", "true")).await;
    let finished = crane.finished(&image).await;
    assert_conflict(&cancel(&crane, &image).await);
    assert_eq!(crane.get(&image).await.ok(), finished);
    for unknown in [
        "/builder/contexts/CTx",
        "/builder/images/CTx-IMx",
        "/builder/images/bases/x",
        "/composer/CPx",
    ] {
        assert_eq!(cancel(&crane, unknown).await.error().0, 404, "{unknown}");
    }
    crane.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_to_be_tried_again() {
    // With room for one installation, which something else takes.
    let crane = Crane::with(&[("parallel_installs", "1")]).await;
    let refusing = "http://127.0.0.1:1/x.git";
    let body = crane.post("/builder/contexts", puppetfile("x", refusing, "v1")).await.ok();
    let waiting = path("/builder/contexts", &body);
    within(60, "it has failed once", async || {
        let body = crane.get(&waiting).await.ok();
        body["description"].as_str().unwrap().starts_with("waiting ")
    })
    .await;
    let (hanging, _connection) = hanging(&crane).await;
    let body = soon(cancel(&crane, &waiting)).await;
    assert_eq!((&body["status"], &body["description"]), (&json!("cancelled"), &json!("cancelled")));
    assert_eq!(crane.get(&hanging).await.ok()["status"], "building");
    soon(crane.delete(&hanging)).await;
    assert_idle(&crane);
    crane.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_times_at_once() {
    let crane = Crane::start().await;
    let (path, _connection) = hanging(&crane).await;
    let cancels = futures_util::future::join_all((0..50).map(|_| cancel(&crane, &path)));
    let deletes = futures_util::future::join_all((0..50).map(|_| crane.delete(&path)));
    let (cancels, deletes) = tokio::join!(cancels, deletes);
    for answer in &cancels {
        assert!([200, 404, 409].contains(&answer.status), "{}", answer.text);
    }
    for answer in &deletes {
        assert!([200, 404].contains(&answer.status), "{}", answer.text);
    }
    assert!(deletes.iter().any(|answer| answer.status == 200));
    assert_eq!(crane.get(&path).await.error().0, 404);
    let ready = crane.get("/readyz").await;
    assert!(ready.text.contains("queue: correct, 0 unfinished jobs\n"), "{}", ready.text);
    assert_idle(&crane);
    crane.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_takes_longer_than_it_may_is_stopped() {
    // The shortest limit that can be configured.
    let crane = Crane::with(&[("build_minutes", "1")]).await;
    let dockerfile = format!("FROM {}\nRUN echo began; sleep 600\n", rig("RIG_BASE"));
    let form = Form::default().text("imageName", "slow");
    let path = build(&crane, form.file("dockerfile", "Dockerfile", dockerfile)).await;
    let body = crane.reaches(&path, &["error", "finished"]).await;
    assert_eq!(
        body["description"].as_str().unwrap().split(',').next(),
        Some("stopped after 1 min")
    );
    let ended = crane.get(&format!("{path}/log")).await.text;
    assert!(ended.contains("[clear] stopped after 1 min"), "{ended}");
    assert_eq!(labelled(&resource(&path)), "");
    crane.close().await;
}
