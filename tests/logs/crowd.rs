//! Logs that are long, and logs that many follow.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use super::{crane, numbers, post, printed};

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_prints_20_mb_has_a_log_that_says_what_is_left_out() {
    let crane = crane().await;
    let script = format!("yes {} | head -n 200000; echo the-end", "x".repeat(99));
    let path = post(&crane, &script).await;
    crane.finished(&path).await;
    let text = crane.get(&format!("{path}/log")).await.text;
    assert!(text.len() < 16 * 1024 * 1024, "{} bytes", text.len());
    // BuildKit has a limit of its own for each step, which is lower than Crane's for the whole.
    let said = |mark: &str| text.lines().filter(|line| line.contains(mark)).count();
    let marks = (said("[output clipped, log limit "), said("[the log ends here: "));
    assert!([(1, 0), (0, 1)].contains(&marks), "{marks:?}, {} bytes", text.len());
    let followed = crane.http.follow(&format!("{path}/log"), None).await.all().await;
    assert!(super::as_text(&followed) == text);
    assert_eq!(followed.last().unwrap().name, "end");
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
