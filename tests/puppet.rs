//! Puppetfiles: what is refused and how, that what is accepted means what it means to Ruby and
//! r10k, and installations by the real r10k from real git and Forge servers.

mod attacks;
mod cancelled;
mod cli;
mod differential;
mod engine;
mod fuzzed;
mod generated;
mod installed;
mod oracle;
mod passing;
mod proxies;
mod refused;
mod repositories;
mod resolving;
mod scripted;
mod ssh;
mod sshd;
mod trees;
mod world;

use std::{path::Path, time::Duration};

use crane::{
    error::{Error, Result},
    model::{Line, Log},
    puppet::{self, Installed, Settings},
};

fn settings(work: &Path) -> Settings {
    Settings {
        work: work.join("work"),
        forge: Some(crate::support::rig("RIG_FORGE")),
        time_limit: Duration::from_secs(300),
        engine: puppet::Engine::R10k,
    }
}

/// Installs a Puppetfile into `<home>/context`; also what was logged.
async fn install(home: &Path, puppetfile: &str) -> (Result<Vec<Installed>>, String) {
    let (sender, mut receiver) = tokio::sync::mpsc::channel::<Line>(16);
    let logged = tokio::spawn(async move {
        let mut text = String::new();
        while let Some(line) = receiver.recv().await {
            text.push_str(&line.text);
            text.push('\n');
        }
        text
    });
    let parsed = puppet::check(puppetfile).unwrap();
    let log = Log::new(sender);
    let result = puppet::install(&settings(home), &parsed, &home.join("context"), &log).await;
    drop(log);
    (result, logged.await.unwrap())
}

/// The entries of a directory, sorted; none when there is no such directory.
fn entries(directory: &Path) -> Vec<String> {
    let read = std::fs::read_dir(directory).into_iter().flatten();
    let mut names: Vec<String> =
        read.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The problems of an error, as they are shown.
fn problems(error: &Error) -> Vec<String> {
    error.problems().iter().map(ToString::to_string).collect()
}
