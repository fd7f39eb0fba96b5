//! What has to be so when the last process was killed and all work has come to its end.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crane::store::{self, Store};
use serde_json::Value;
use tokio::time::sleep;

use super::{SERVICES, World};
use crate::support::{
    docker::{self, docker},
    within,
};

/// What the engine has of a resource: containers (also those that have ended), and images.
fn things(label: &str) -> (usize, usize) {
    let filter = format!("label={label}");
    let containers = docker(&["ps", "--all", "--quiet", "--filter", &filter]);
    let images = docker(&["images", "--all", "--quiet", "--no-trunc", "--filter", &filter]);
    let images: BTreeSet<&str> = images.lines().collect();
    (containers.lines().count(), images.len())
}

/// All there is, by path: what was acknowledged, and what a request without an answer made.
async fn everything(world: &World) -> BTreeSet<String> {
    let mut paths: BTreeSet<String> = world.acknowledged.lock().unwrap().keys().cloned().collect();
    let tokens = world.look("/extra/tokens").await.unwrap();
    let routes = [
        ("contexts", "/builder/contexts"),
        ("images", "/builder/images"),
        ("compositions", "/composer"),
    ];
    for (kind, route) in routes {
        let tokens = tokens[kind].as_array().unwrap().iter();
        paths.extend(tokens.map(|token| format!("{route}/{}", token.as_str().unwrap())));
    }
    paths
}

pub(super) async fn judge(world: &World, url: Option<&str>) {
    let mut ends: BTreeMap<String, usize> = BTreeMap::new();
    let mut finished = BTreeSet::new();
    for path in everything(world).await {
        let body = ended(world, &path).await;
        let token = path.rsplit('/').next().unwrap();
        let status = body.as_ref().map_or("gone", |body| body["status"].as_str().unwrap());
        let description = body.as_ref().map_or("", |body| body["description"].as_str().unwrap());
        let (containers, images) = things(&format!("eu.cloudopting.crane.resource={token}"));
        let expected = match (status, path.starts_with("/composer"), path.contains("-IM")) {
            ("finished", true, _) => (SERVICES, 0),
            ("finished", _, true) => (0, 1),
            _ => (0, 0),
        };
        // The processes that were to clear it away were killed time after time, too.
        let left = description.contains("so DELETE it: Crane ended in the middle of that, too");
        if !left {
            assert_eq!((containers, images), expected, "{path} is {status}: {description}");
        }
        {
            let acknowledged = world.acknowledged.lock().unwrap();
            let asked = acknowledged.get(&path);
            let context = path.replace("/images/", "/contexts/");
            let of = acknowledged.get(context.split("-IM").next().unwrap());
            let may_be_gone =
                asked.is_some_and(|one| one.deleted) || of.is_some_and(|context| context.deleted);
            assert!(status != "gone" || may_be_gone, "{path} is lost");
            let may_be_cancelled = asked.is_none_or(|one| one.cancelled);
            assert!(status != "cancelled" || may_be_cancelled, "{path} is cancelled");
        }
        if status == "error" {
            let reasons = ["begun 3 times", "the context '", "there is no context"];
            let told = reasons.iter().any(|reason| description.starts_with(reason));
            assert!(told && (left || !description.contains("DELETE it")), "{path}: {description}");
        }
        if status == "finished" {
            finished.insert(token.to_owned());
        }
        let reason = description.split([':', '\'']).next().unwrap();
        *ends.entry(format!("{status} ({reason})")).or_default() += 1;
    }
    eprintln!("{ends:#?}");

    for place in &world.places {
        // A stopped process writes nothing any more; a started one sweeps.
        place.terminate().await;
        place.start().await;
        within(30, "nothing is left in the directory for work", async || {
            place.left("work").is_empty()
        })
        .await;
        within(30, "only directories of finished contexts are left", async || {
            let whole = |name: &String| finished.contains(name.split('.').next().unwrap());
            place.left("contexts").iter().all(whole)
        })
        .await;
    }
    let purged = loop {
        if let Some(answer) = world.ask("POST", "/extra/purge", None).await {
            break answer.ok();
        }
    };
    assert_eq!(purged["status"], "finished", "{purged:#}");
    for place in &world.places {
        within(30, "no directories are left", async || {
            place.left("work").is_empty() && place.left("contexts").is_empty()
        })
        .await;
        place.terminate().await;
    }
    let data = world.places[0].data.path();
    let store = store::open(url.unwrap_or("filesystem:"), data).await.unwrap();
    let instance = store.get("crane:instance").await.unwrap().unwrap().value;
    let instance = String::from_utf8(instance).unwrap();
    docker::assert_nothing_labelled(&format!("eu.cloudopting.crane.instance={instance}"));
    judge_store(&*store).await;
}

async fn ended(world: &World, path: &str) -> Option<Value> {
    for _ in 0..3000 {
        let body = world.look(path).await?;
        if ["finished", "error", "cancelled"].iter().any(|state| body["status"] == *state) {
            return Some(body);
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("{path} does not end: {:#}", world.look(path).await.unwrap_or_default())
}

/// Nothing is left but events, and by these every job ended once.
async fn judge_store(store: &dyn Store) {
    let mut ends: BTreeMap<String, usize> = BTreeMap::new();
    let mut others = Vec::new();
    for (key, entry) in store.list("", None, 1_000_000).await.unwrap() {
        if !key.starts_with("event:") {
            others.push(key);
            continue;
        }
        let event: Value = serde_json::from_slice(&entry.value).unwrap();
        let state = event["job"]["state"].as_str().unwrap_or_default();
        if ["succeeded", "failed", "cancelled", "timed_out", "dead"].contains(&state) {
            *ends.entry(format!("job {}", event["job"]["number"])).or_default() += 1;
        }
        if event["deleted"] == true {
            *ends.entry(format!("deletion of {}", event["token"])).or_default() += 1;
        }
    }
    others.retain(|key| !key.starts_with("crane:"));
    assert!(others.is_empty(), "left in the store: {others:?}");
    let twice: Vec<_> = ends.iter().filter(|(_, times)| **times != 1).collect();
    assert!(twice.is_empty() && !ends.is_empty(), "{twice:?}");
}
