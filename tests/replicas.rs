//! Two Cranes over one Redis, each with a data directory of its own: whatever one has, the other
//! answers for.

use std::{collections::BTreeMap, path::PathBuf};

use serde_json::Value;

use crate::{
    support::redis_server::{Mode, RedisServer, Way},
    support::{Crane, Form, docker::assert_nothing_labelled, image, puppetfile, rig, within},
};

/// What two Cranes share.
struct Shared {
    redis: RedisServer,
    registry: String,
}

impl Shared {
    fn start() -> Self {
        let prefix = format!("crane-test-{}", uuid::Uuid::new_v4().simple());
        Self { redis: RedisServer::start(), registry: format!("{}/{prefix}", rig("RIG_REGISTRY")) }
    }

    async fn crane(&self, settings: &[(&'static str, &str)]) -> Crane {
        let url = self.redis.url();
        let own = [("store", url.as_str()), ("registry", self.registry.as_str())];
        Crane::with(&[&own, settings].concat()).await
    }

    async fn two(&self) -> [Crane; 2] {
        [self.crane(&[]).await, self.crane(&[]).await]
    }
}

fn context(body: &Value) -> String {
    format!("/builder/contexts/{}", body["token"].as_str().unwrap())
}

fn built(body: &Value) -> String {
    format!("/builder/images/{}", body["token"].as_str().unwrap())
}

fn directory(crane: &Crane, path: &str) -> PathBuf {
    crane.data_dir.path().join("contexts").join(path.rsplit('/').next().unwrap())
}

fn stdlib(git: &str) -> Form {
    puppetfile("stdlib", &format!("{git}/puppetlabs-stdlib.git"), "v8.5.0")
}

/// An image that is made only where the context's modules are.
fn of_modules(path: &str) -> Form {
    let dockerfile = format!(
        "FROM {}\nADD modules /modules\nRUN : {}; grep -q '\"8.5.0\"' /modules/stdlib/metadata.json\n",
        rig("RIG_BASE"),
        uuid::Uuid::new_v4()
    );
    Form::default()
        .text("imageName", "of-modules")
        .text("contextReference", path.rsplit('/').next().unwrap())
        .file("dockerfile", "Dockerfile", dockerfile)
}

/// Ends one, then the other with all that is left of both.
async fn close(one: Crane, other: Crane) {
    one.stop().await;
    other.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_job_runs_once_and_each_answers_for_all() {
    let shared = Shared::start();
    let cranes = shared.two().await;
    let any = || &cranes[usize::from(uuid::Uuid::new_v4().as_bytes()[0] % 2)];
    let posts = (0..100).map(|number| {
        let crane = any();
        async move {
            let form = Form::default().file("puppetfile", "Puppetfile", format!("# {number}\n"));
            context(&crane.post("/builder/contexts", form).await.ok())
        }
    });
    let paths = futures_util::future::join_all(posts).await;
    for path in &paths {
        let body = any().finished(path).await;
        for crane in &cranes {
            assert_eq!(crane.get(path).await.ok(), body);
        }
        let detail = format!("{path}/detail");
        let log = format!("{path}/log");
        for path in [detail, log] {
            let [one, other] = [cranes[0].get(&path).await, cranes[1].get(&path).await];
            assert_eq!((one.status, one.text), (200, other.text));
        }
    }
    // Both were told the same, in the same order, and each job was taken once.
    let mut told = Vec::new();
    for crane in &cranes {
        let mut events = crane.http.follow("/events?after=0&kind=context", None).await;
        let (mut all, mut ended) = (Vec::new(), 0);
        while ended < paths.len() {
            let event = events.next().await.unwrap();
            ended += usize::from(event.data["job"]["state"] == "succeeded");
            all.push(event);
        }
        told.push(all);
    }
    assert!(told[0] == told[1]);
    let mut begun = BTreeMap::new();
    for event in told[0].iter().filter(|event| event.data["job"]["state"] == "leased") {
        let attempt = (event.data["token"].to_string(), event.data["job"]["attempt"].to_string());
        *begun.entry(attempt).or_insert(0) += 1;
    }
    // More of them are only those that the registry asked to be tried again.
    assert!((100..110).contains(&begun.len()), "{begun:?}");
    assert_eq!(begun.into_values().max(), Some(1), "each was begun by one of them");
    let [one, other] = cranes;
    let deletes = paths.iter().enumerate().map(|(at, path)| {
        let crane = if at % 2 == 0 { &one } else { &other };
        async move { crane.delete(path).await.ok() }
    });
    futures_util::future::join_all(deletes).await;
    for crane in [&one, &other] {
        let path = crane.data_dir.path().join("contexts");
        let empty = async || std::fs::read_dir(&path).unwrap().next().is_none();
        within(30, "directories are gone from both", empty).await;
    }
    close(one, other).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_does_the_other_shows_and_cancels() {
    let shared = Shared::start();
    let one = shared.crane(&[]).await;
    let body = one.post("/builder/images", image("shown", "echo began; sleep 600")).await.ok();
    let path = built(&body);
    one.prints(&path, "began").await;
    // So it is the first one's.
    let other = shared.crane(&[]).await;
    let mut follow = other.http.follow(&format!("{path}/log"), None).await;
    while !follow.next().await.unwrap().data["text"].to_string().ends_with(" began\"") {}
    assert_eq!(other.get(&path).await.ok()["status"], "building");
    let began = std::time::Instant::now();
    let cancelled = other.send("POST", &format!("{path}/cancel"), &[], vec![]).await.ok();
    assert_eq!(cancelled["status"], "cancelled");
    assert!(began.elapsed().as_secs() < 5, "took {:?}", began.elapsed());
    let rest = follow.all().await;
    assert_eq!(rest.last().unwrap().data["status"], "cancelled", "{rest:?}");
    let token = body["token"].as_str().unwrap();
    assert_nothing_labelled(&format!("eu.cloudopting.crane.resource={token}"));
    assert_eq!(one.get(&path).await.ok(), cancelled);

    // And a removal on the other one ends it as well.
    let body = one.post("/builder/images", image("removed", "echo began; sleep 600")).await.ok();
    one.prints(&built(&body), "began").await;
    other.delete(&built(&body)).await.ok();
    assert_eq!(one.get(&built(&body)).await.error().0, 404);
    close(one, other).await;
}

/// The other one has to have the files from the registry, or to make them again.
async fn a_context_is_built_from_elsewhere(settings: &[(&'static str, &str)], words: &str) {
    let shared = Shared::start();
    let one = shared.crane(settings).await;
    let path = context(&one.post("/builder/contexts", stdlib(&rig("RIG_GIT"))).await.ok());
    one.finished(&path).await;
    let first = one.stop().await;
    let other = shared.crane(settings).await;
    assert!(!directory(&other, &path).exists());
    let image = built(&other.post("/builder/images", of_modules(&path)).await.ok());
    other.finished(&image).await;
    let log = other.get(&format!("{image}/log")).await.text;
    assert!(log.contains("[fetch] Fetching the modules of ") && log.contains(words), "{log}");
    assert!(directory(&other, &path).join("modules/stdlib/metadata.json").is_file());

    // Removed by the second one, it goes from the first one's disk, which was away meanwhile.
    other.delete(&path).await.ok();
    assert!(!directory(&other, &path).exists());
    let left = first.path().join("contexts").join(path.rsplit('/').next().unwrap());
    assert!(left.exists());
    let store = shared.redis.url();
    let own = [("store", store.as_str()), ("registry", shared.registry.as_str())];
    let one = Crane::on(first, &[&own, settings].concat()).await;
    within(30, "what is nobody's is removed at the start", async || !left.exists()).await;
    close(one, other).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_context_of_one_is_fetched_by_the_other() {
    a_context_is_built_from_elsewhere(&[], "sha256:").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_registry_a_context_is_installed_again() {
    a_context_is_built_from_elsewhere(&[("registry", "")], "stdlib").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_by_one_reaches_the_disk_of_the_other() {
    let shared = Shared::start();
    let one = shared.crane(&[]).await;
    let path = context(&one.post("/builder/contexts", stdlib(&rig("RIG_GIT"))).await.ok());
    one.finished(&path).await;
    assert!(directory(&one, &path).exists());
    let other = shared.crane(&[]).await;
    other.delete(&path).await.ok();
    within(30, "the directory is gone", async || !directory(&one, &path).exists()).await;
    let registry = one.parts.jobs.parts.registry.as_ref().unwrap();
    let token = path.rsplit('/').next().unwrap();
    assert_eq!(registry.digest("crane-contexts", token).await.unwrap(), None);
    close(one, other).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_one_is_stopped_the_other_goes_on() {
    let git = rig("RIG_GIT").strip_prefix("http://").unwrap().parse().unwrap();
    let way = Way::to(git).await;
    way.set(Mode::Silent);
    let shared = Shared::start();
    let one = shared.crane(&[]).await;
    let url = format!("http://{}", way.address);
    let path = context(&one.post("/builder/contexts", stdlib(&url)).await.ok());
    let image = built(&one.post("/builder/images", of_modules(&path)).await.ok());
    within(60, "it is installed by the first", async || {
        std::fs::read_dir(directory(&one, &path)).is_ok_and(|mut entries| entries.next().is_some())
    })
    .await;
    let other = shared.crane(&[]).await;
    let mut follow = other.http.follow(&format!("{path}/log"), None).await;
    let tree = directory(&one, &path);
    let _first = one.stop().await;
    let left = std::fs::read_dir(tree).into_iter().flatten().count();
    assert_eq!(left, 0, "what it had begun is removed");
    way.set(Mode::Forward);
    other.finished(&image).await;
    let mut end = None;
    while let Some(event) = follow.next().await {
        end = Some(event);
    }
    assert_eq!(end.unwrap().data["status"], "finished");
    assert!(directory(&other, &path).join("modules/stdlib/metadata.json").is_file());
    other.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_keep_house() {
    let shared = Shared::start();
    let settings = [("keep_logs", "1s"), ("keep_contexts", "2s")];
    let (one, other) = (shared.crane(&settings).await, shared.crane(&settings).await);
    let mut paths = Vec::new();
    for crane in [&one, &other, &one, &other] {
        let form = Form::default().file("puppetfile", "Puppetfile", "# none\n");
        paths.push(context(&crane.post("/builder/contexts", form).await.ok()));
    }
    let tokens = async |crane: &Crane| crane.get("/extra/tokens").await.ok()["contexts"].clone();
    within(60, "all are removed", async || {
        tokens(&one).await == tokens(&other).await
            && tokens(&one).await.as_array().unwrap().is_empty()
    })
    .await;
    for path in paths {
        assert_eq!(other.get(&path).await.status, 404);
    }
    close(one, other).await;
}
