//! Installations that are dropped, that take too long, or whose Crane was killed: nothing of them
//! is left, neither processes nor directories.

use std::{
    fs,
    os::unix::process::CommandExt,
    process::{Command, Stdio},
    time::Duration,
};

use crane::{
    error::Error,
    model::Log,
    puppet::{self, Settings},
};
use tokio::net::TcpListener;

use super::{entries, install, settings};
use crate::support::processes;

/// A git server that takes connections and never says a word.
async fn silent_server() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/x.git", listener.local_addr().unwrap());
    (listener, url)
}

fn log() -> Log {
    // Nobody reads it.
    Log::new(tokio::sync::mpsc::channel(1).0)
}

#[tokio::test]
async fn dropping_an_installation_ends_r10k_and_git() {
    let home = tempfile::tempdir().unwrap();
    let context = home.path().join("context");
    let (listener, url) = silent_server().await;
    let puppetfile = format!("mod 'x', git: '{url}', ref: 'main'\nmod 'puppetlabs/concat'");
    let parsed = puppet::check(&puppetfile).unwrap();
    let settings = settings(home.path());
    let log = log();
    let mut installation = Box::pin(puppet::install(&settings, &parsed, &context, &log));
    let connection = tokio::select! {
        ended = &mut installation => panic!("{ended:?}"),
        connection = listener.accept() => connection.unwrap(),
    };
    let running = processes(home.path());
    assert!(running.iter().any(|name| name.starts_with("git")), "{running:?}");
    assert!(running.len() >= 3, "r10k, git and its helper: {running:?}");
    drop(installation);
    assert_eq!(processes(home.path()), Vec::<String>::new());
    assert_eq!(entries(&context), Vec::<String>::new());
    drop(connection);
}

#[tokio::test]
async fn an_installation_that_takes_too_long_is_ended() {
    let home = tempfile::tempdir().unwrap();
    let (_listener, url) = silent_server().await;
    let parsed = puppet::check(&format!("mod 'x', git: '{url}', ref: 'main'")).unwrap();
    let limit = Duration::from_secs(3);
    let settings = Settings { time_limit: limit, ..settings(home.path()) };
    let context = home.path().join("context");
    let error = puppet::install(&settings, &parsed, &context, &log()).await.unwrap_err();
    assert!(matches!(error, Error::Failed { .. }), "{error:?}");
    assert_eq!(error.to_string(), "r10k was not done after 3 s, and was ended");
    assert_eq!(processes(home.path()), Vec::<String>::new());
    assert_eq!(entries(&context), Vec::<String>::new());
}

#[tokio::test]
async fn what_a_killed_crane_left_behind_goes_with_the_next_run() {
    let home = tempfile::tempdir().unwrap();
    let context = home.path().join("context");
    let left = context.join("modules.staging-0123");
    fs::create_dir_all(left.join("tree/modules/x")).unwrap();
    let left = left.canonicalize().unwrap();
    let mut git = Command::new("sleep")
        .arg("600")
        .env("CRANE_RUN", &left)
        .process_group(0)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let (modules, log) = install(home.path(), "mod 'puppetlabs/concat', '7.3.1'").await;
    assert!(modules.is_ok(), "{modules:?}\n{log}");
    assert_eq!(entries(&context), ["modules"]);
    assert!(!git.wait().unwrap().success());
}
