//! What happens to everything, as those who follow it are told.

use std::{collections::BTreeSet, sync::Arc};

use crane::store::Batch;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{
    Crane, Form,
    follow::{Event, Follow},
    image,
};

async fn follow(crane: &Crane, query: &str) -> Follow {
    let follow = crane.http.follow(&format!("/events?{query}"), None).await;
    assert_eq!(follow.status, 200);
    assert_eq!(follow.headers["content-type"], "text/event-stream");
    follow
}

/// Events up to the first that says so; one that never comes fails the test by its time limit.
async fn until(follow: &mut Follow, last: impl Fn(&Value) -> bool) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        let event = follow.next().await.expect("events do not end");
        let ended = last(&event.data);
        events.push(event);
        if ended {
            return events;
        }
    }
}

fn is(status: &str) -> impl Fn(&Value) -> bool {
    move |data| data["status"] == status
}

/// In one line: what became of the resource, and of its job.
fn summary(event: &Event) -> String {
    let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let job = &event.data["job"];
    let step = job["step"].as_str().map(|step| format!(" {step}")).unwrap_or_default();
    format!("{} {} {}{step}", word(&event.data["status"]), word(&job["task"]), word(&job["state"]))
}

fn summaries(events: &[Event]) -> Vec<String> {
    events.iter().map(summary).collect()
}

fn id(event: &Event) -> u64 {
    event.id.as_ref().expect("a state has an id").parse().unwrap()
}

async fn empty(crane: &Crane) -> String {
    let body = crane.post("/builder/contexts", Form::default()).await.ok();
    body["token"].as_str().unwrap().to_owned()
}

/// Many, and long ones, as if so much had happened.
async fn much_happens(crane: &Crane, count: usize) {
    let event = json!({
        "time": "2026-01-02T03:04:05Z", "kind": "context", "token": "CTmuch", "status": "error",
        "description": "x".repeat(4_000),
    });
    for _ in 0..count {
        let batch = Batch::new().append_record("event:", &event).unwrap();
        crane.parts.jobs.parts.store.commit(batch).await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_is_told_of_from_its_beginning_to_its_end() {
    let crane = Crane::with(&[("registry", "")]).await;
    let mut all = follow(&crane, "kind=image").await;
    let body = crane.post("/builder/images", image("told", "true")).await.ok();
    let path = format!("/builder/images/{}", body["token"].as_str().unwrap());
    let events = until(&mut all, is("finished")).await;
    assert_eq!(
        summaries(&events),
        [
            "building make queued",
            "- make leased",
            "- make running build",
            "finished make succeeded build"
        ]
    );
    crane.delete(&path).await.ok();
    let removed = until(&mut all, is("deleted")).await;
    assert_eq!(summaries(&removed), ["removing remove queued", "- remove leased", "deleted - -"]);
    let failing = crane.post("/builder/images", image("fails", "exit 3")).await.ok();
    let failed = until(&mut all, is("error")).await;
    assert_eq!(summary(failed.last().unwrap()), "error make failed build");
    assert_eq!(failed[0].data["token"], failing["token"]);

    let endless = crane.post("/builder/images", image("endless", "sleep 600")).await.ok();
    let mut cancelled =
        until(&mut all, |data| data["job"]["step"] == "build" && data["token"] == endless["token"])
            .await;
    let cancel = format!("/builder/images/{}/cancel", endless["token"].as_str().unwrap());
    crane.send("POST", &cancel, &[], vec![]).await.ok();
    cancelled.extend(until(&mut all, is("cancelled")).await);
    assert_eq!(summary(cancelled.last().unwrap()), "cancelled make cancelled clear");

    for event in &events {
        assert_eq!(event.name, "state");
        let data = &event.data;
        assert_eq!((&data["kind"], &data["token"]), (&json!("image"), &body["token"]));
        let format = &time::format_description::well_known::Rfc3339;
        time::OffsetDateTime::parse(data["time"].as_str().unwrap(), format).unwrap();
        assert_eq!(data["job"]["number"], events[0].data["job"]["number"], "one job");
    }
    assert_ne!(removed[0].data["job"]["number"], events[0].data["job"]["number"]);
    assert!(events.iter().chain(&removed).is_sorted_by_key(id));
    crane.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_take_what_is_asked_for_and_refuse_what_is_unknown() {
    let crane = Crane::start().await;
    let (one, other) = (empty(&crane).await, empty(&crane).await);
    for token in [&one, &other] {
        crane.delete(&format!("/builder/contexts/{token}")).await.ok();
    }
    let told = async |query: &str| {
        let mut all = follow(&crane, &format!("after=0&{query}")).await;
        let last = |data: &Value| data["status"] == "deleted" && data["token"] == other.as_str();
        let events = until(&mut all, last).await;
        events.into_iter().map(|event| event.data).collect::<Vec<_>>()
    };
    let both = format!("kind=image,context&status=finished, deleted&token=CTx,{one},{other}");
    let both = told(&both.replace(' ', "%20")).await;
    let statuses: Vec<_> = both.iter().map(|data| data["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["finished", "finished", "deleted", "deleted"]);
    let of_one = told(&format!("token={other}")).await;
    assert!(of_one.iter().all(|data| data["token"] == other.as_str()), "{of_one:?}");
    assert!(of_one.len() > 2, "states of jobs among them: {of_one:?}");
    assert_eq!(told("status=deleted").await.len(), 2);

    for (query, problem) in [
        ("kind=contexts", "kind: 'contexts' is none of context, "),
        ("kind=context,Image", "kind: 'Image' is none of "),
        ("status=queued", "status: 'queued' is none of building, "),
        ("status=deleted,", ""),
        ("status=,,", ""),
        ("kind=%0d%0aevent:x", "kind: 'event:x' is none of "),
    ] {
        if problem.is_empty() {
            follow(&crane, query).await;
            continue;
        }
        let answer = crane.get(&format!("/events?{query}")).await;
        assert_eq!((answer.error().0, &*answer.error().1), (422, "invalid"), "{query}");
        assert!(answer.problems()[0].starts_with(problem), "{:?}", answer.problems());
    }
    for bad in ["after=x", "after=-1", "after=18446744073709551616"] {
        assert_eq!(crane.get(&format!("/events?{bad}")).await.error().0, 400, "{bad}");
    }
    for bad in ["x", "-1", "1-1", "18446744073709551616"] {
        let answer = crane.send("GET", "/events", &[("last-event-id", bad)], vec![]).await;
        assert_eq!((answer.error().0, &*answer.error().1), (422, "invalid"), "{bad}");
    }
    crane.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_comes_back_gets_what_it_missed() {
    let crane = Crane::start().await;
    let mut now = follow(&crane, "").await;
    let mut tokens = Vec::new();
    for _ in 0..100 {
        tokens.push(empty(&crane).await);
    }
    let last = tokens.last().unwrap().clone();
    let seen = until(&mut now, |data| data["token"] == last.as_str()).await;
    let told: Vec<_> = seen.iter().map(|event| event.data["token"].as_str().unwrap()).collect();
    assert_eq!(told, tokens, "from now on, in order, each once");
    for at in [0, 41, 98] {
        let after = seen[at].id.as_deref().unwrap();
        // The header is of the later moment, so it wins.
        for (query, header) in [(format!("?after={after}"), None), ("?after=1".into(), Some(after))]
        {
            let mut again = crane.http.follow(&format!("/events{query}"), header).await;
            let rest = until(&mut again, |data| data["token"] == last.as_str()).await;
            assert!(rest == seen[at + 1..], "behind {at}");
        }
    }
    crane.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_this_store_has_not_come_to_is_a_gap() {
    let crane = Crane::start().await;
    // As of a client that comes back to a Crane whose store was lost, or is an older copy.
    let mut ahead = follow(&crane, "after=18446744073709551615").await;
    let gap = ahead.next().await.unwrap();
    assert_eq!((&*gap.name, &gap.id), ("gap", &None));
    let token = empty(&crane).await;
    assert_eq!(ahead.next().await.unwrap().data["token"], token.as_str());
    crane.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_away_for_too_long_is_told_of_the_gap() {
    let crane = Crane::start().await;
    let first = empty(&crane).await;
    // Follows from the first event on, and reads nothing for now.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let host = crane.url.strip_prefix("http://").unwrap();
    let mut slow = socket.connect(host.parse().unwrap()).await.unwrap();
    let request = format!("GET /events?after=0 HTTP/1.0\r\nHost: {host}\r\n\r\n");
    slow.write_all(request.as_bytes()).await.unwrap();

    // Those between the two hold about 4 MB, and 10,000 are kept.
    much_happens(&crane, 13_000).await;
    let oldest = async || follow(&crane, "after=0").await.next().await.unwrap();
    crate::support::within(60, "events are forgotten", async || {
        oldest().await.data["token"] != first.as_str()
    })
    .await;
    let oldest = oldest().await;
    assert_eq!(oldest.name, "state", "whoever asks for the oldest misses nothing");
    let mut back = follow(&crane, "after=1").await;
    let gap = back.next().await.unwrap();
    assert_eq!((&*gap.name, &gap.id), ("gap", &None));
    assert!(gap.data["description"].is_string());
    assert!(id(&back.next().await.unwrap()) >= id(&oldest));

    // And whoever is so slow that what is next is forgotten meanwhile.
    let (mut text, mut buffer) = (String::new(), vec![0; 256 * 1024]);
    let after_gap = |text: &str| text.split_once("event: gap").map(|(_, rest)| rest.to_owned());
    while !after_gap(&text).is_some_and(|rest| rest.contains("event: state")) {
        let length = slow.read(&mut buffer).await.unwrap();
        assert!(length > 0, "events do not end");
        text.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
    assert!(text.find(&first).unwrap() < text.find("event: gap").unwrap());
    let id_of = |text: &str| -> u64 {
        let line = text.lines().find_map(|line| line.strip_prefix("id: "));
        line.unwrap().parse().unwrap()
    };
    assert!(id_of(&after_gap(&text).unwrap()) >= id(&oldest));
    crane.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_many_do_at_once_is_told_once_each_and_in_order() {
    let crane = Arc::new(Crane::start().await);
    let mut all = follow(&crane, "kind=context&status=finished").await;
    let tokens = futures_util::future::join_all((0..8).map(|_| async {
        let mut tokens = Vec::new();
        for _ in 0..50 {
            tokens.push(empty(&crane).await);
        }
        tokens
    }));
    let tokens: BTreeSet<_> = tokens.await.into_iter().flatten().collect();
    let mut events = Vec::new();
    while events.len() < tokens.len() {
        events.push(all.next().await.unwrap());
    }
    let told: BTreeSet<_> =
        events.iter().map(|event| event.data["token"].as_str().unwrap().to_owned()).collect();
    assert_eq!(told, tokens);
    assert!(events.is_sorted_by(|one, next| id(one) < id(next)));
    let Ok(crane) = Arc::try_unwrap(crane) else { panic!("nobody else has it") };
    crane.close().await;
}
