//! Logs through the API: whole, followed line by line, resumed, bounded, and with nothing in them
//! that should not be read.

mod crowd;
mod kinds;
mod secrets;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::{Crane, follow::Event, image};

/// Nothing is pushed, as the logs are what is looked at.
async fn crane() -> Crane {
    Crane::with(&[("registry", "")]).await
}

async fn post(crane: &Crane, script: &str) -> String {
    let body = crane.post("/builder/images", image("logs", script)).await.ok();
    format!("/builder/images/{}", body["token"].as_str().unwrap())
}

/// What was printed, without the number that BuildKit gives to the step that printed it.
fn text(event: &Event) -> &str {
    let text = event.data["text"].as_str().unwrap_or_default();
    let words = text.strip_prefix('#').and_then(|text| text.split_once(' '));
    words.map_or(text, |(_, said)| said)
}

/// What a script printed, one line for each: not where the step itself is told.
fn printed<'a>(events: &'a [Event], prefix: &str) -> Vec<&'a str> {
    events.iter().map(text).filter(|text| text.starts_with(prefix)).collect()
}

fn numbers(prefix: &str, count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("{prefix}{number}")).collect()
}

/// Every line has its own id; what ends a log has none, as there is nothing behind it.
fn assert_ids(events: &[Event]) {
    let ids: BTreeSet<_> = events.iter().filter_map(|event| event.id.as_ref()).collect();
    let lines = events.iter().filter(|event| event.name == "line").count();
    assert_eq!(ids.len(), lines);
}

/// As [`crate::support::follow::Event`]s say the same as the text does, in its form.
fn as_text(events: &[Event]) -> String {
    let line = |event: &Event| {
        let field = |name: &str| event.data[name].as_str().unwrap().to_owned();
        format!("{} [{}] {}\n", field("time"), field("step"), field("text"))
    };
    events.iter().filter(|event| event.name == "line").map(line).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_followed_while_they_are_printed() {
    let crane = crane().await;
    let path = post(&crane, "for i in 1 2 3; do echo began-$i; done; sleep 600").await;
    let mut follow = crane.http.follow(&format!("{path}/log"), None).await;
    assert_eq!(follow.status, 200);
    assert_eq!(follow.headers["content-type"], "text/event-stream");
    assert_eq!(follow.headers["cache-control"], "no-store");
    let mut events = Vec::new();
    while printed(&events, "began-").len() < 3 {
        events.push(follow.next().await.expect("the log has not ended"));
    }
    assert_eq!(crane.get(&path).await.ok()["status"], "building");
    let cancelled = crane.send("POST", &format!("{path}/cancel"), &[], vec![]).await;
    assert_eq!(cancelled.ok()["status"], "cancelled");
    events.extend(follow.all().await);
    assert_eq!(printed(&events, "began-"), numbers("began-", 3));
    let end = events.last().unwrap();
    assert_eq!((&*end.name, &end.id), ("end", &None));
    assert_eq!(end.data, json!({"status": "cancelled", "description": "cancelled"}));
    assert_ids(&events);
    let whole = crane.get(&format!("{path}/log")).await;
    assert_eq!(whole.headers["content-type"], "text/plain; charset=utf-8");
    assert_eq!(whole.text, as_text(&events));
    crane.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_comes_back_goes_on_behind_its_last_line() {
    const LINES: usize = 3_000;
    let crane = crane().await;
    let script = format!("for i in $(seq {LINES}); do echo line-$i; done; sleep 1; echo last");
    let path = format!("{}/log", post(&crane, &script).await);
    let mut random = Random::new();
    let (mut events, mut cuts) = (Vec::<Event>::new(), 0);
    loop {
        let last = events.last().and_then(|event| event.id.as_deref());
        let follow = crane.http.follow(&path, last).await;
        if follow.status == 204 {
            break;
        }
        let mut follow = follow.cut_after(random.below(6_000));
        while let Some(event) = follow.next().await {
            if event.name == "line" {
                events.push(event);
            }
        }
        cuts += 1;
    }
    assert!(cuts > 50, "{cuts} cuts only");
    assert_eq!(printed(&events, "line-"), numbers("line-", LINES), "{random:?}");
    assert_ids(&events);
    assert_eq!(crane.get(&path).await.text, as_text(&events), "{random:?}");

    // From any line on it is the same, and behind the last one there is nothing.
    for _ in 0..20 {
        let at = random.below(events.len());
        let follow = crane.http.follow(&path, events[at].id.as_deref()).await;
        let rest = if follow.status == 204 { Vec::new() } else { follow.all().await };
        let lines: Vec<_> = rest.into_iter().filter(|event| event.name == "line").collect();
        assert!(lines == events[at + 1..], "behind line {at}: {random:?}");
    }
    let after = crane.http.follow(&path, events.last().unwrap().id.as_deref()).await;
    assert_eq!((after.status, after.all().await.len()), (204, 0));
    crane.close().await;
}

/// Numbers that are different in every run, and are told when one fails.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn new() -> Self {
        Self(uuid::Uuid::new_v4().as_u64_pair().0 | 1)
    }

    /// Marsaglia, "Xorshift RNGs" (2003).
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_wants_events_says_so_by_parameter_or_header() {
    let crane = crane().await;
    let path = format!("{}/log", post(&crane, "echo said").await);
    crane.finished(path.trim_end_matches("/log")).await;
    let get = async |query: &str, accept: &str| {
        let path = format!("{path}{query}");
        let answer = crane.send("GET", &path, &[("accept", accept)], vec![]).await;
        (answer.status, answer.headers["content-type"].to_str().unwrap().to_owned())
    };
    let (text, events) = ("text/plain; charset=utf-8".to_owned(), "text/event-stream".to_owned());
    assert_eq!(get("", "*/*").await, (200, text.clone()));
    assert_eq!(get("?follow=false", "text/event-stream").await, (200, text));
    assert_eq!(get("?follow=true", "*/*").await, (200, events.clone()));
    assert_eq!(get("", "text/html, Text/Event-Stream;q=0.9").await, (200, events));
    assert_eq!(get("?follow=perhaps", "*/*").await, (400, "application/json".into()));
    crane.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_followed_is_refused() {
    let crane = crane().await;
    for path in ["contexts/CTnone", "images/CTnone-IMx", "images/bases/none", "../composer/CPnone"]
    {
        let path = format!("/builder/{path}/log").replace("/builder/../", "/");
        for query in ["", "?follow=true"] {
            let refused = crane.get(&format!("{path}{query}")).await.error();
            assert_eq!((refused.0, &*refused.1), (404, "notFound"), "{path}{query}");
        }
    }
    let context = crane.post("/builder/contexts", crate::support::Form::default()).await.ok();
    let path = format!("/builder/contexts/{}/log", context["token"].as_str().unwrap());
    let long = format!("{}-1", "9".repeat(5_000));
    let ahead = format!("{}-1", u64::MAX);
    for bad in [&*ahead, "x", "1", "-", "1-", "-1", "1-x", "1--1", "1-2-3", "+1-1x", "1.0-1", &long]
    {
        let headers = [("accept", "text/event-stream"), ("last-event-id", bad)];
        let answer = crane.send("GET", &path, &headers, vec![]).await;
        let refused = answer.error();
        assert_eq!((refused.0, &*refused.1), (422, "invalid"), "{bad}");
        assert!(answer.text.len() < 1_000, "what was sent is not sent back whole");
    }
    crane.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_without_lines_has_an_end_that_is_not_asked_for_again() {
    let crane = crane().await;
    let context = crane.post("/builder/contexts", crate::support::Form::default()).await.ok();
    let path = format!("/builder/contexts/{}/log", context["token"].as_str().unwrap());
    let events = crane.http.follow(&path, None).await.all().await;
    let [end] = &events[..] else { panic!("{events:?}") };
    assert_eq!((&*end.name, &end.data["status"]), ("end", &Value::from("finished")));
    // What an `EventSource` does when an answer has ended.
    let again = crane.http.follow(&path, end.id.as_deref()).await;
    assert_eq!((again.status, again.all().await.len()), (204, 0));
    crane.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_follows_what_is_deleted_is_told() {
    let crane = crane().await;
    let path = post(&crane, "echo began; sleep 600").await;
    let mut follow = crane.http.follow(&format!("{path}/log"), None).await;
    while text(&follow.next().await.unwrap()) != "began" {}
    assert_eq!(crane.delete(&path).await.ok()["status"], "deleted");
    let rest = follow.all().await;
    let end = rest.last().unwrap();
    assert_eq!((&*end.name, &end.data["status"]), ("end", &Value::from("deleted")), "{rest:?}");
    assert_eq!(crane.get(&format!("{path}/log")).await.error().0, 404);
    crane.close().await;
}
