//! Compositions through the API; what the converter does with each key is in `deploy.rs`.

use serde_json::{Value, json};

use crate::support::{
    Crane, Form,
    docker::{docker, labelled},
    rig,
};

fn compose(content: impl AsRef<[u8]>) -> Form {
    Form::default().file("composefile", "compose.yml", content)
}

fn sleeper(more: &str) -> String {
    format!(
        "services:\n  web:\n    image: {}\n    command: [sleep, '1000']\n{more}",
        rig("RIG_BASE")
    )
}

fn path(body: &Value) -> String {
    format!("/composer/{}", body["token"].as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_composition_comes_up_is_seen_and_goes() {
    let crane = Crane::start().await;
    let content = sleeper("    volumes: ['data:/data']\nvolumes:\n  data:\n");
    let body = crane.post("/composer", compose(&content)).await.ok();
    assert_eq!((&body["status"], &body["cluster"]), (&json!("providing"), &json!("")));
    let path = path(&body);
    let body = crane.finished(&path).await;
    assert_eq!(body["services"][0]["state"], "running");
    let detail = crane.get(&format!("{path}/detail")).await.ok();
    assert!(detail["up_log"].as_str().unwrap().contains("web"), "{detail:#}");
    assert!(detail["pull_log"].is_string());
    assert_eq!(crane.get("/composer").await.ok(), json!({"compositions": [body["token"]]}));

    let label = format!("eu.cloudopting.crane.resource={}", body["token"].as_str().unwrap());
    let container = docker(&["ps", "-q", "--filter", &format!("label={label}")]);
    docker(&["stop", "-t", "0", &container]);
    let down = crane.get(&path).await.ok();
    assert_eq!(down["status"], "error");
    assert!(down["description"].as_str().unwrap().contains("web is exited"), "{down:#}");
    docker(&["start", &container]);
    assert_eq!(crane.get(&path).await.ok()["status"], "finished");

    // Volumes stay unless they are asked for.
    crane.delete(&path).await.ok();
    let left = labelled(&label);
    assert!(left.starts_with("volume ") && !left.contains('\n'), "{left}");
    docker(&["volume", "rm", left.strip_prefix("volume ").unwrap()]);
    assert_eq!(crane.get(&path).await.error().0, 404);
    crane.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_with_compositions_is_not_forgotten_unless_forced() {
    let crane = Crane::start().await;
    let form = Form::default().text("endpoint", &rig("RIG_ENGINE"));
    let cluster = crane.post("/cluster/provisionedSingleMachine", form).await.ok();
    let token = cluster["token"].as_str().unwrap();
    let body = crane.post("/composer", compose(sleeper("")).text("clusterToken", token)).await.ok();
    assert_eq!(body["cluster"], token);
    crane.finished(&path(&body)).await;
    let refused = crane.delete(&format!("/cluster/{token}")).await.error();
    assert_eq!((refused.0, &*refused.1), (409, "conflict"));
    assert!(refused.2.contains(body["token"].as_str().unwrap()), "{}", refused.2);
    crane.delete(&path(&body)).await.ok();
    assert_eq!(crane.delete(&format!("/cluster/{token}")).await.status, 200);
    let unknown = compose(sleeper("")).text("clusterToken", token);
    assert_eq!(crane.post("/composer", unknown).await.error().0, 404);
    crane.close().await;
}

#[tokio::test]
async fn what_is_not_handled_is_refused_with_path_and_line() {
    let crane = Crane::start().await;
    let refused = async |content: &[u8]| {
        let answer = crane.post("/composer", compose(content)).await;
        assert_eq!((answer.error().0, &*answer.error().1), (422, "invalid"), "{}", answer.text);
        answer.problems()
    };
    let unknown = refused(b"services:\n  web:\n    image: a\n    imag: b\n").await;
    assert!(unknown[0].starts_with("services.web.imag:4:5: "), "{unknown:?}");
    let cycle = "services:\n  a:\n    image: x\n    depends_on: [b]\n  b:\n    image: x\n    depends_on: [a]\n";
    let cycle = refused(cycle.as_bytes()).await;
    assert!(cycle[0].contains('a') && cycle[0].contains('b'), "{cycle:?}");
    assert!(refused(b"services:\n  web:\n    image: \xff\n").await[0].contains("not UTF-8"));
    assert!(!refused(b"a: [\n").await.is_empty());
    let missing = crane.post("/composer", Form::default()).await;
    assert_eq!(missing.problems(), ["composefile: missing, or empty"]);
    let large = crane.post("/composer", compose(vec![b'#'; 2 * 1024 * 1024])).await.error();
    assert_eq!((large.0, &*large.1), (413, "tooLarge"));
    assert_eq!(crane.get("/composer").await.ok(), json!({"compositions": []}));
    crane.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_come_up_is_an_error_and_leaves_nothing() {
    let crane = Crane::start().await;
    let held = std::net::TcpListener::bind(("0.0.0.0", 0)).unwrap();
    let port = held.local_addr().unwrap().port();
    let cases = [
        (sleeper(&format!("    ports: ['{port}:80']\n")), port.to_string()),
        ("services:\n  web:\n    image: 127.0.0.1:1/no/such\n".to_owned(), "no/such".to_owned()),
        (sleeper("").replace("[sleep, '1000']", "['false']"), "web".to_owned()),
    ];
    for (content, words) in cases {
        let body = crane.post("/composer", compose(&content)).await.ok();
        let body = crane.failed(&path(&body)).await;
        assert!(body["description"].as_str().unwrap().contains(&words), "{words}: {body:#}");
        let label = format!("eu.cloudopting.crane.resource={}", body["token"].as_str().unwrap());
        assert_eq!(labelled(&label), "");
    }
    crane.close().await;
}

#[tokio::test]
async fn an_engine_that_is_gone_is_named() {
    let crane = Crane::with(&[("engine", "unix:///nonexistent/docker.sock")]).await;
    let body = crane.post("/composer", compose(sleeper(""))).await.ok();
    let body = crane.failed(&path(&body)).await;
    let description = body["description"].as_str().unwrap();
    assert!(description.contains("/nonexistent/docker.sock"), "{description}");
}
