//! A machine's clock that is set back by an hour. Debian's libfaketime stands in for it: it lies
//! about the time of day, and leaves alone the clock that only goes forward, as the kernel does.

use std::{ffi::OsString, fs, path::Path};

use serde_json::Value;
use tempfile::TempDir;

use super::{long_build, unique};
use crate::support::{Program, Served};

/// The time of day is what the file says.
fn with_clock(program: Program, clock: &Path) -> Program {
    let libraries = fs::read_dir("/usr/lib").unwrap().flatten();
    let library = libraries
        .map(|entry| entry.path().join("faketime/libfaketimeMT.so.1"))
        .find(|path| path.exists())
        .expect("libfaketime is installed");
    program
        .with("LD_PRELOAD", library)
        .with("FAKETIME_TIMESTAMP_FILE", clock)
        .with("FAKETIME_NO_CACHE", "1")
        .with("FAKETIME_DONT_FAKE_MONOTONIC", OsString::from("1"))
}

/// The times of the lines of a log, in their order.
async fn times(served: &Served, path: &str) -> Vec<String> {
    let log = served.http.get(&format!("{path}/log")).await.text;
    log.lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

async fn post(served: &Served, name: &str, seconds: u64) -> (String, String) {
    let body: Value = served.http.post("/builder/images", long_build(name, seconds)).await.ok();
    let token = body["token"].as_str().unwrap().to_owned();
    (format!("/builder/images/{token}"), token)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_back_holds_nothing_up_and_changes_no_order() {
    let data = TempDir::new().unwrap();
    let clock = data.path().join("clock");
    fs::write(&clock, "+3600s").unwrap();
    let name = unique("clock");
    let program = with_clock(Program::new(data.path()), &clock);
    let mut served = program.start();

    // While a job runs.
    let (first, _) = post(&served, &name, 5).await;
    served.prints(&first, "began", 1).await;
    fs::write(&clock, "+0s").unwrap();
    let body = served.ends(&first).await;
    assert_eq!(body["status"], "finished", "{body:#}\n{}", served.log());
    assert!(!served.log().contains("the lease is lost"), "{}", served.log());
    let of_first = times(&served, &first).await;
    assert!(of_first.first() > of_first.last(), "the clock was set back: {of_first:?}");

    // While nobody runs. The three have one name, so they are built one after the other.
    fs::write(&clock, "+3600s").unwrap();
    let (second, second_token) = post(&served, &name, 30).await;
    let (third, third_token) = post(&served, &name, 0).await;
    served.prints(&second, "began", 1).await;
    let before = times(&served, &second).await;
    served.end("KILL");
    fs::write(&clock, "+0s").unwrap();
    let served = program.start();
    let (fourth, fourth_token) = post(&served, &name, 0).await;
    // At once, not in an hour.
    for path in [&second, &third, &fourth] {
        served.ends(path).await;
    }
    let superseded = async |path: &str| {
        let body = served.http.get(path).await.ok();
        body["description"].as_str().unwrap().to_owned()
    };
    assert!(superseded(&first).await.contains(&second_token));
    assert!(superseded(&second).await.contains(&third_token));
    assert!(superseded(&third).await.contains(&fourth_token));
    assert!(!superseded(&fourth).await.contains("superseded"));
    let after = times(&served, &second).await;
    assert_eq!(after[..before.len()], before[..], "what is new comes behind");
    assert!(after.last() < before.first(), "{after:?}");
    served.purge().await;
}
