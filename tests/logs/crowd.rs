//! Logs that are long, and logs that many follow.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use super::{crane, numbers, post, printed};

#[tokio::test(flavor = "multi_thread")]
async fn a_log_of_a_build_that_prints_without_end_is_bounded_and_says_so() {
    let crane = crane().await;
    // An engine cuts what one step prints, so there are many.
    let line = "x".repeat(98);
    let step = format!("RUN yes {line} | head -n 10000\n");
    let dockerfile = format!(
        "FROM {}\nRUN : {}\n{}RUN echo the-end\n",
        crate::support::rig("RIG_BASE"),
        uuid::Uuid::new_v4(),
        step.repeat(20)
    );
    let form = crate::support::Form::default().text("imageName", "endless");
    let form = form.file("dockerfile", "Dockerfile", dockerfile);
    let body = crane.post("/builder/images", form).await.ok();
    let path = format!("/builder/images/{}", body["token"].as_str().unwrap());
    crane.finished(&path).await;
    let text = crane.get(&format!("{path}/log")).await.text;
    let kept: usize = text.lines().map(|line| line.split_once("] ").unwrap().1.len()).sum();
    assert!((1024 * 1024..=8 * 1024 * 1024).contains(&kept), "{kept} bytes");
    let marks: Vec<_> = text.lines().filter(|line| line.contains("the log ends here")).collect();
    assert_eq!(marks.len(), 1, "{marks:?}");
    assert!(text.trim_end().ends_with(marks[0]), "nothing comes behind the mark");
    crane.close().await;
}

/// A client that asks for a log and reads nothing of it.
fn mute(url: &str, path: &str) -> TcpStream {
    let host = url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    let request = format!("GET {path}?follow=true HTTP/1.1\r\nHost: {host}\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_do_not_read_hold_up_nobody() {
    const LINES: usize = 8_000;
    let crane = crane().await;
    let script =
        format!("sleep 2; for i in $(seq {LINES}); do echo line-$i-{0}; done", "x".repeat(60));
    let path = post(&crane, &script).await;
    let log = format!("{path}/log");
    let mutes: Vec<_> = (0..270).map(|_| mute(&crane.url, &log)).collect();
    let followers: Vec<_> = futures_util::future::join_all((0..30).map(|_| {
        let log = &log;
        let http = &crane.http;
        async move { http.follow(log, None).await.all().await }
    }))
    .await;
    let wanted = numbers("line-", LINES);
    let wanted: Vec<String> =
        wanted.iter().map(|line| format!("{line}-{}", "x".repeat(60))).collect();
    for events in &followers {
        assert_eq!(printed(events, "line-").len(), LINES);
        assert!(printed(events, "line-") == wanted, "in order");
        assert_eq!(events.last().unwrap().name, "end");
    }
    assert_eq!(crane.get(&path).await.ok()["status"], "finished");
    // They are followers like all others: what they begin to read late is there.
    let mut late = mutes.into_iter().next().unwrap();
    late.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let began = Instant::now();
    let mut read = Vec::new();
    let mut buffer = [0; 64 * 1024];
    while !read.windows(10).any(|bytes| bytes == b"event: end") {
        let length = late.read(&mut buffer).unwrap();
        assert!(length > 0 && began.elapsed() < Duration::from_secs(60));
        let from = read.len().saturating_sub(10);
        read.extend_from_slice(&buffer[..length]);
        read.drain(..from);
    }
    crane.close().await;
}
