//! The engine room against the rig's engine and registries.

mod builds;
mod images;
mod peers;

use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

use crane::{
    engine::{Build, ClientCertificate, Content, Context, Endpoint, Entry, connect},
    error::Error,
};
use peers::{Gate, answering};

use crate::support::{engine, rig};

/// A build of one Dockerfile and further files in memory.
fn build_of(dockerfile: &str, more: Vec<Entry>) -> Build {
    let mut entries = vec![file("Dockerfile", dockerfile)];
    entries.extend(more);
    Build {
        context: Arc::new(Context::new("/nonexistent", entries)),
        dockerfile: "Dockerfile".into(),
        labels: BTreeMap::new(),
        login: None,
        no_cache: false,
        context_key: "it-engine".into(),
    }
}

fn entry(path: &str, mode: u32, content: Content) -> Entry {
    Entry { path: path.into(), mode, modified: SystemTime::now(), content }
}

fn file(path: &str, text: &str) -> Entry {
    entry(path, 0o644, Content::Memory(text.to_owned().into()))
}

fn endpoint(url: impl Into<String>) -> Endpoint {
    Endpoint { url: url.into(), tls: None }
}

fn reason(error: &Error) -> &str {
    match error {
        Error::Unavailable { what: "engine", reason, .. } => reason,
        other => panic!("not the engine's unavailability: {other:?}"),
    }
}

#[tokio::test]
async fn an_engine_is_asked_for_what_it_is() {
    let engine = engine();
    engine.check().await.unwrap();
    assert!(engine.info().await.unwrap()["ServerVersion"].is_string());
    assert!(engine.version().await.unwrap().api_version.is_some());
    assert_eq!(engine.endpoint(), rig("RIG_ENGINE"));
}

#[tokio::test]
async fn an_engine_is_reached_over_tcp() {
    let gate = Gate::open().await;
    let engine = connect(&endpoint(format!("tcp://{}", gate.address))).unwrap();
    engine.check().await.unwrap();
    let engine = connect(&endpoint(format!("http://{}/", gate.address))).unwrap();
    assert!(engine.info().await.unwrap()["ID"].is_string());
}

#[tokio::test]
async fn an_engine_that_is_down_may_come_up_later() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("docker.sock");
    let engine = connect(&endpoint(format!("unix://{}", socket.display()))).unwrap();
    for call in [engine.check().await, engine.info().await.map(drop)] {
        let error = call.unwrap_err();
        assert!(reason(&error).contains("is the engine running"), "{error}");
        assert!(reason(&error).contains("docker.sock"), "{error}");
    }
    std::os::unix::fs::symlink(rig("RIG_ENGINE").strip_prefix("unix://").unwrap(), &socket)
        .unwrap();
    engine.check().await.unwrap();
    assert!(engine.info().await.unwrap()["ID"].is_string());
}

#[tokio::test]
async fn an_engine_that_is_too_old_is_named_with_both_versions() {
    let address =
        answering("HTTP/1.1 200 OK\r\nApi-Version: 1.40\r\nServer: Docker/19.03.15 (linux)\r\n")
            .await;
    let engine = connect(&endpoint(format!("tcp://{address}"))).unwrap();
    let error = engine.check().await.unwrap_err();
    assert_eq!(
        reason(&error),
        format!(
            "tcp://{address} (Docker/19.03.15 (linux)) speaks the API 1.40, and Crane needs 1.41 \
             (Docker 20.10) or newer: upgrade that engine"
        )
    );
    assert!(reason(&engine.image("a").await.unwrap_err()).contains("1.40"));
}

#[tokio::test]
async fn what_is_no_engine_is_told() {
    let address = answering("HTTP/1.1 200 OK\r\n").await;
    let error = connect(&endpoint(format!("tcp://{address}"))).unwrap().check().await.unwrap_err();
    assert!(reason(&error).contains("it is no Docker engine"), "{error}");
}

#[tokio::test]
async fn endpoints_of_other_forms_are_refused() {
    for url in ["", "ftp://x", "unix://", "unix://relative", "tcp://", "tcp://a b", "tcp://a/b"] {
        assert!(matches!(connect(&endpoint(url)), Err(Error::Invalid { .. })), "{url}");
    }
    let Err(error) = connect(&endpoint("https://node1")) else { panic!() };
    assert!(error.to_string().contains("needs client certificates"), "{error}");
}

/// The TLS registry of the rig stands for an engine behind TLS: how far one gets shows what is
/// trusted.
#[tokio::test]
async fn only_the_given_ca_is_trusted() {
    let directory = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["crane".to_owned()]).unwrap();
    let write = |name: &str, text: String| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let cert = write("cert.pem", made.cert.pem());
    let key = write("key.pem", made.signing_key.serialize_pem());
    let url = format!("tcp://{}", rig("RIG_REGISTRY_TLS"));
    let with_ca = |ca: std::path::PathBuf| {
        let tls = Some(ClientCertificate { cert: cert.clone(), key: key.clone(), ca });
        connect(&Endpoint { url: url.clone(), tls })
    };
    let right = with_ca(rig("RIG_REGISTRY_TLS_CA").into()).unwrap().check().await.unwrap_err();
    assert!(reason(&right).contains("it is no Docker engine"), "{right}");
    let wrong = with_ca(cert.clone()).unwrap().check().await.unwrap_err();
    assert!(reason(&wrong).contains("certificate"), "{wrong}");
    let missing = with_ca(directory.path().join("none.pem"));
    assert!(
        matches!(missing, Err(Error::Invalid { description, .. }) if description.contains("none.pem"))
    );
}
