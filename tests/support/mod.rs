//! What several tests need: where the rig's parts are, and a Crane of their own.

pub(crate) mod docker;
pub(crate) mod follow;
pub(crate) mod http;
pub(crate) mod own_engine;
pub(crate) mod redis_server;
mod served;
mod server;

pub(crate) use self::{
    http::{Form, problems},
    served::{Program, Served},
    server::Crane,
};

use std::time::Duration;

use crane::{
    engine::{Endpoint, Engine},
    model::{Channel, Line, Log},
};

/// The address of one part of the rig, by its variable in the file that `install/rig up` prints.
///
/// A missing part fails the test and is named: nothing is skipped.
pub(crate) fn rig(name: &str) -> String {
    match std::env::var(name) {
        Ok(value) if !value.is_empty() => value,
        _ => panic!("{name} is not set: run install/test, or `install/rig up` and load its file"),
    }
}

/// A CA that signed nothing.
pub(crate) fn other_ca() -> tempfile::NamedTempFile {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new([]).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), parameters.self_signed(&key).unwrap().pem()).unwrap();
    file
}

/// A log, and what is written to it.
pub(crate) fn log() -> (Log, tokio::sync::mpsc::UnboundedReceiver<Line>) {
    let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
    let (all, lines) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(line) = receiver.recv().await {
            let _ = all.send(line);
        }
    });
    (Log::new(sender), lines)
}

/// What one channel of a log holds, after every `Log` of it is gone.
pub(crate) async fn text(
    mut lines: tokio::sync::mpsc::UnboundedReceiver<Line>,
    channel: Channel,
) -> String {
    let mut text = String::new();
    while let Some(line) = lines.recv().await {
        if line.channel == channel {
            text.push_str(&line.text);
            text.push('\n');
        }
    }
    text
}

/// The engine of the rig.
pub(crate) fn engine() -> Engine {
    crane::engine::connect(&Endpoint { url: rig("RIG_ENGINE"), tls: None }).unwrap()
}

/// An image of one step, which no earlier build has in the engine's cache.
pub(crate) fn image(name: &str, script: &str) -> Form {
    let dockerfile =
        format!("FROM {}\nRUN : {}; {script}\n", rig("RIG_BASE"), uuid::Uuid::new_v4());
    Form::default().text("imageName", name).file("dockerfile", "Dockerfile", dockerfile)
}

/// A Puppetfile with one module of this git repository.
pub(crate) fn puppetfile(name: &str, url: &str, tag: &str) -> Form {
    let content = format!("mod '{name}', git: '{url}', tag: '{tag}'\n");
    Form::default().file("puppetfile", "Puppetfile", content)
}

/// The other side has hung up, or does so within seconds.
#[track_caller]
pub(crate) fn assert_closed(mut connection: std::net::TcpStream) {
    use std::io::Read;
    connection.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut asked = Vec::new();
    connection.read_to_end(&mut asked).expect("it waits for an answer still");
}

/// Waits until something is so, because an engine may take a moment; fails after `seconds`.
pub(crate) async fn within(seconds: u64, what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let limit = Duration::from_secs(seconds);
    tokio::time::timeout(limit, wait)
        .await
        .unwrap_or_else(|_| panic!("not so after {seconds} s: {what}"));
}
