//! Clusters of one machine.

use serde_json::json;

use crate::support::{Crane, Form, rig};

async fn register(crane: &Crane, endpoint: &str) -> String {
    let form = Form::default().text("endpoint", endpoint).text("apiVersion", "1.41");
    // Clients of 0.5 send the certificates' parts even when there are none.
    let form = form.file("clientCert", "", "").file("clientKey", "", "").file("ca", "", "");
    let body = crane.post("/cluster/provisionedSingleMachine", form).await.ok();
    assert_eq!((&body["status"], &body["numberOfNodes"]), (&json!("joining"), &json!(1)));
    assert_eq!(body["type"], "simple-preprovisioned");
    format!("/cluster/{}", body["token"].as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_whose_engine_answers_is_ready() {
    let crane = Crane::start().await;
    let path = register(&crane, &rig("RIG_ENGINE")).await;
    let body = crane.reaches(&path, &["ready"]).await;
    assert_eq!(body["nodes"], json!([{"endpoint": rig("RIG_ENGINE"), "status": "ready"}]));
    let detail = crane.get(&format!("{path}/detail")).await.ok();
    assert!(detail["detail"]["ServerVersion"].is_string(), "{detail:#}");
    let list = crane.get("/cluster").await.ok();
    assert_eq!(list, json!({"clusters": [body["token"]]}));
    assert_eq!(crane.delete(&path).await.ok()["status"], "deleted");
    assert_eq!(crane.get(&path).await.error().0, 404);
    crane.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_comes_back_turns_ready_by_itself() {
    let crane = Crane::start().await;
    // A port that nobody listens on, until this test does.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let path = register(&crane, &format!("tcp://{port}")).await;
    let body = crane.reaches(&path, &["error"]).await;
    assert!(body["description"].as_str().unwrap().contains(&port.to_string()), "{body:#}");
    assert_eq!(crane.get(&format!("{path}/detail")).await.ok()["detail"], json!(null));
    let socket = rig("RIG_ENGINE");
    let socket = socket.strip_prefix("unix://").unwrap().to_owned();
    let listener = tokio::net::TcpListener::bind(port).await.unwrap();
    let relay = tokio::spawn(async move {
        loop {
            let (mut outside, _) = listener.accept().await.unwrap();
            let mut inside = tokio::net::UnixStream::connect(&socket).await.unwrap();
            tokio::spawn(async move {
                let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
            });
        }
    });
    crane.reaches(&path, &["ready"]).await;
    relay.abort();
    crane.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_does_not_speak_the_wanted_version_is_an_error() {
    let crane = Crane::start().await;
    let form = Form::default().text("endpoint", &rig("RIG_ENGINE")).text("apiVersion", "99.9");
    let body = crane.post("/cluster/provisionedSingleMachine", form).await.ok();
    let path = format!("/cluster/{}", body["token"].as_str().unwrap());
    let body = crane.reaches(&path, &["error"]).await;
    assert!(body["description"].as_str().unwrap().ends_with("not 99.9"), "{body:#}");
    crane.close().await;
}

#[tokio::test]
async fn what_is_no_machine_is_refused() {
    let crane = Crane::start().await;
    let refused = async |form: Form| {
        let answer = crane.post("/cluster/provisionedSingleMachine", form).await;
        assert_eq!((answer.error().0, &*answer.error().1), (422, "invalid"), "{}", answer.text);
        answer.problems().remove(0)
    };
    assert_eq!(refused(Form::default()).await, "endpoint: missing, or empty");
    for bad in
        ["docker.sock", "ftp://x", "unix://", "tcp://", "tcp://a b:1", "--help", "unix:///a\nb"]
    {
        let problem = refused(Form::default().text("endpoint", bad)).await;
        assert!(problem.starts_with("endpoint: "), "{bad}: {problem}");
    }
    let form = || Form::default().text("endpoint", "tcp://127.0.0.1:1");
    let secret = refused(Form::default().text("endpoint", "tcp://me:hunter2@127.0.0.1:1")).await;
    assert!(!secret.contains("hunter2"), "{secret}");
    assert!(refused(form().text("apiVersion", "new")).await.starts_with("apiVersion: "));
    let certificate = refused(form().file("clientCert", "c.pem", "x")).await;
    assert!(certificate.contains("CRANE_CLIENT_CERTS"), "{certificate}");
    assert_eq!(crane.get("/cluster").await.ok(), json!({"clusters": []}));
    crane.close().await;
}
