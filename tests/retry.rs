//! What may pass by itself is tried again, and nothing else is.

use std::net::SocketAddr;

use serde_json::Value;

use crate::support::{Crane, docker::engine_at, image, puppetfile, rig, within};

/// An address of this machine where nobody listens yet.
fn nobody() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn path(body: &Value) -> String {
    format!("/builder/images/{}", body["token"].as_str().unwrap())
}

/// How often the resource's job was begun.
async fn attempts(crane: &Crane, token: &Value, ended: &str) -> u64 {
    let token = token.as_str().unwrap();
    let mut events = crane.http.follow(&format!("/events?after=0&token={token}"), None).await;
    loop {
        let event = events.next().await.unwrap();
        if event.data["status"] == ended {
            return event.data["job"]["attempt"].as_u64().unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_not_there_yet_is_waited_for() {
    let address = nobody();
    let url = format!("tcp://{address}");
    let crane = Crane::with(&[("engine", &url), ("registry", ""), ("retries", "100")]).await;
    let body = crane.post("/builder/images", image("early", "true")).await.ok();
    let path = path(&body);
    let mut told = String::new();
    within(30, "it says when it is tried again", async || {
        let body = crane.get(&path).await.ok();
        assert_eq!(body["status"], "building", "{body:#}");
        body["description"].as_str().unwrap().clone_into(&mut told);
        told.starts_with("waiting ")
    })
    .await;
    let (when, why) = told.split_once(": ").unwrap();
    let words: Vec<_> = when.split(' ').collect();
    let ["waiting", seconds, "s", "to", "try", "again", count, "of", "100", "times)"] = words[..]
    else {
        panic!("{told}")
    };
    assert!((1..=60).contains(&seconds.parse::<u32>().unwrap()), "{told}");
    assert!(count.strip_prefix('(').unwrap().parse::<u32>().unwrap() >= 1, "{told}");
    assert!(why.starts_with("engine: "), "{told}");

    let (_, engine) = engine_at(address).await;
    let body = crane.finished(&path).await;
    assert!(!body["description"].as_str().unwrap().contains("waiting"), "{body:#}");
    assert!(attempts(&crane, &body["token"], "finished").await >= 2);
    crane.close().await;
    engine.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_retries_it_fails_at_once() {
    let url = format!("tcp://{}", nobody());
    let crane = Crane::with(&[("engine", &url), ("registry", ""), ("retries", "0")]).await;
    let body = crane.post("/builder/images", image("early", "true")).await.ok();
    let failed = crane.failed(&path(&body)).await;
    assert!(failed["description"].as_str().unwrap().starts_with("engine: "), "{failed:#}");
    assert_eq!(attempts(&crane, &body["token"], "error").await, 1);
    let refused = "http://127.0.0.1:1/x.git";
    let body = crane.post("/builder/contexts", puppetfile("x", refused, "v1")).await.ok();
    crane.failed(&format!("/builder/contexts/{}", body["token"].as_str().unwrap())).await;
    assert_eq!(attempts(&crane, &body["token"], "error").await, 1);
    crane.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_pass_is_not_tried_again() {
    let crane = Crane::with(&[("registry", "")]).await;
    let git = rig("RIG_GIT");
    for (repository, tag) in [("nonesuch", "v1"), ("puppetlabs-stdlib", "v0.0.0")] {
        let url = format!("{git}/{repository}.git");
        let body = crane.post("/builder/contexts", puppetfile("x", &url, tag)).await.ok();
        crane.failed(&format!("/builder/contexts/{}", body["token"].as_str().unwrap())).await;
        assert_eq!(attempts(&crane, &body["token"], "error").await, 1, "{repository}");
    }
    let body = crane.post("/builder/images", image("fails", "exit 1")).await.ok();
    crane.failed(&path(&body)).await;
    assert_eq!(attempts(&crane, &body["token"], "error").await, 1);
    crane.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_tried_in_vain_fails_when_it_was_tried_often_enough() {
    let crane = Crane::with(&[("registry", ""), ("retries", "2")]).await;
    let refused = "http://127.0.0.1:1/x.git";
    let body = crane.post("/builder/contexts", puppetfile("x", refused, "v1")).await.ok();
    let path = format!("/builder/contexts/{}", body["token"].as_str().unwrap());
    let failed = crane.failed(&path).await;
    assert!(failed.to_string().contains("127.0.0.1"), "{failed:#}");
    assert_eq!(attempts(&crane, &body["token"], "error").await, 3);
    crane.close().await;
}
