//! Stores that other versions wrote.

use std::{fs, path::Path, process::Command};

use crane::store::{self, Batch};
use tempfile::TempDir;

use crate::support::{Form, Program, docker};

/// Written by Crane 0.6, which was killed when it had finished these contexts and was at work on
/// the others: an empty one, and one with puppetlabs-stdlib.
const EMPTY: &str = "/builder/contexts/CTVbYHOelySjhgTUBczZb";
const FINISHED: &str = "/builder/contexts/CTVbYHPfiJKhak06lMu67";
/// Of the same Puppetfile.
const INSTALLING: &str = "/builder/contexts/CTVbYHRLDgbgGdC7B2Iz7";
/// Of the empty context; its build had printed its first line. The image's name, `old/pending`, is
/// in the store as well, so this is the one test whose image has the same name in every run.
const BUILDING: &str = "/builder/images/CTVbYHOelySjhgTUBczZb-IMpending";

fn unpack(data: &Path) {
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/store-0.6.tar.gz");
    let unpacked = Command::new("tar").args(["-xzf", fixture, "-C"]).arg(data).status().unwrap();
    assert!(unpacked.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_0_6_is_taken_over_with_its_logs_and_what_it_left_to_do() {
    let data = TempDir::new().unwrap();
    unpack(data.path());
    let registry = format!("{}/store-0.6", crate::support::rig("RIG_REGISTRY"));
    let program = Program::new(data.path()).with("CRANE_REGISTRY", registry);
    let served = program.start();
    let tokens = served.http.get("/extra/tokens").await.ok();
    let last = |path: &str| path.rsplit('/').next().unwrap().to_owned();
    let contexts = [EMPTY, FINISHED, INSTALLING].map(last);
    assert_eq!(tokens["contexts"], serde_json::json!(contexts));
    assert_eq!(tokens["images"], serde_json::json!([last(BUILDING)]));
    for path in [EMPTY, FINISHED] {
        assert_eq!(served.http.get(path).await.ok()["status"], "finished");
    }
    let detail = served.http.get(&format!("{FINISHED}/detail")).await.ok();
    assert_eq!(detail["modules"][0]["version"], "8.5.0", "{detail:#}");
    let log =
        "INFO  -> Using Puppetfile 'Puppetfile'\nINFO  -> Deploying module to modules/stdlib\n";
    assert_eq!(detail["log"], log);

    // The image is built on the rig's base, and the git server of the time was the rig's.
    let body = served.ends(BUILDING).await;
    assert_eq!(body["status"], "finished", "{body:#}\n{}", served.log());
    let log = served.http.get(&format!("{BUILDING}/detail")).await.ok()["log"].to_string();
    // What 0.6 had logged is in front of what was done since.
    assert_eq!(log.matches("RUN echo of-an-earlier-version").count(), 2, "{log}");
    assert!(log.contains("Pushing "), "{log}");
    let body = served.ends(INSTALLING).await;
    // Its port may be another by now.
    let told = body["description"].as_str().unwrap();
    assert!(body["status"] == "finished" || told.contains("stdlib"), "{body:#}");

    // Another start finds nothing to take over.
    drop(served);
    let served = program.start();
    assert_eq!(served.http.get(BUILDING).await.ok()["status"], "finished");
    assert!(!served.log().contains("left by an earlier version"), "{}", served.log());
    let body = served.http.post("/builder/contexts", Form::default()).await.ok();
    assert_eq!(body["status"], "finished");
    served.purge().await;
    docker::assert_nothing_labelled(&format!("eu.cloudopting.crane.resource={}", last(BUILDING)));
}

#[tokio::test]
async fn a_store_of_a_later_version_is_refused_in_words_and_left_as_it_is() {
    let data = TempDir::new().unwrap();
    fs::create_dir(data.path().join("store")).unwrap();
    let url = format!("filesystem:{}", data.path().join("store").display());
    let store = store::open(&url, data.path()).await.unwrap();
    let later = Batch::new().put_record("crane:format", &9).unwrap();
    store.commit(later.put("context:CTlater", b"unreadable".to_vec())).await.unwrap().unwrap();
    drop(store);

    let output = Program::new(data.path()).command().output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let words = String::from_utf8(output.stderr).unwrap();
    assert!(words.contains("it was written by a later Crane (format 9"), "{words}");
    let store = store::open(&url, data.path()).await.unwrap();
    assert_eq!(store.get("context:CTlater").await.unwrap().unwrap().value, b"unreadable");
}
