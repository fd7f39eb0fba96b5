//! Contexts: real Puppetfiles, installed from a real git server and Forge.

use serde_json::{Value, json};

use crate::support::{Crane, Form, assert_closed, problems, rig};

fn puppetfile(content: impl AsRef<[u8]>) -> Form {
    Form::default().file("puppetfile", "Puppetfile", content)
}

fn token(body: &Value) -> String {
    body["token"].as_str().unwrap().to_owned()
}

fn git_module(name: &str) -> String {
    format!("mod '{name}', git: '{}/puppetlabs-{name}.git'", rig("RIG_GIT"))
}

async fn post(crane: &Crane, content: &str) -> String {
    let body = crane.post("/builder/contexts", puppetfile(content)).await.ok();
    assert_eq!(body["status"], "building", "{body:#}");
    format!("/builder/contexts/{}", token(&body))
}

#[tokio::test(flavor = "multi_thread")]
async fn modules_come_from_git_and_from_the_forge() {
    let crane = Crane::start().await;
    let content =
        format!("{}, tag: 'v8.5.0'\nmod 'puppetlabs/concat', '7.3.1'\n", git_module("stdlib"));
    let path = post(&crane, &content).await;
    crane.finished(&path).await;
    let detail = crane.get(&format!("{path}/detail")).await.ok();
    assert_eq!(
        detail["modules"],
        json!([{"name": "stdlib", "version": "8.5.0"}, {"name": "puppetlabs/concat", "version": "7.3.1"}])
    );
    assert!(detail["log"].as_str().unwrap().contains("stdlib"), "{detail:#}");
    let tree = crane.data_dir.path().join("contexts").join(detail["token"].as_str().unwrap());
    assert!(tree.join("modules/stdlib/metadata.json").is_file());
    assert!(tree.join("modules/concat/metadata.json").is_file());
    let deleted = crane.delete(&path).await.ok();
    assert_eq!(deleted["status"], "deleted");
    assert!(!tree.exists());
    assert_eq!(crane.get(&path).await.error().0, 404);
    crane.close().await;
}

#[tokio::test]
async fn an_empty_context_is_finished_at_once() {
    let crane = Crane::start().await;
    for form in [Form::default(), puppetfile(""), Form::default().text("group", "")] {
        let body = crane.post("/builder/contexts", form).await.ok();
        assert_eq!((&body["status"], &body["group"]), (&json!("finished"), &json!("default")));
        assert_eq!(body["images"], json!([]));
        let list = crane.get("/builder/contexts").await.ok();
        assert!(list["contexts"].as_array().unwrap().contains(&body["token"]), "{list}");
    }
    assert_eq!(crane.get("/extra/tokens").await.ok()["contexts"].as_array().unwrap().len(), 3);
    crane.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_store_holds_a_context_through_its_life() {
    // A database that no other test uses: they see each other's contexts in one.
    let redis = format!("{}/7", rig("RIG_REDIS"));
    for store in ["memory:", "filesystem:", redis.as_str()] {
        let crane = Crane::with(&[("store", store)]).await;
        let content = format!("{}, tag: 'v8.5.0'\n", git_module("stdlib"));
        let path = post(&crane, &content).await;
        let body = crane.finished(&path).await;
        assert_eq!(body["description"], "1 module is installed", "{store}");
        let list = crane.get("/builder/contexts").await.ok();
        assert_eq!(list, json!({"contexts": [body["token"]]}), "{store}");
        assert_eq!(crane.delete(&path).await.ok()["status"], "deleted", "{store}");
        assert_eq!(crane.get("/builder/contexts").await.ok(), json!({"contexts": []}), "{store}");
        crane.close().await;
    }
}

#[tokio::test]
async fn a_group_is_a_repository_path() {
    let crane = Crane::start().await;
    let create = async |group: &str| {
        crane.post("/builder/contexts", Form::default().text("group", group)).await
    };
    assert_eq!(create("Shop/Front").await.ok()["group"], "shop/front");
    let long = "x".repeat(300);
    for bad in ["a;touch /tmp/p", "../../x", "a\0b", "a b", "a\nb", long.as_str()] {
        let answer = create(bad).await;
        assert_eq!((answer.error().0, &*answer.error().1), (422, "invalid"), "{bad:?}");
        assert!(answer.problems()[0].starts_with("group: a name "), "{:?}", answer.problems());
    }
    crane.close().await;
}

#[tokio::test]
async fn what_is_no_puppetfile_is_refused_with_its_place() {
    let crane = Crane::start().await;
    let refused = async |content: &[u8]| {
        let answer = crane.post("/builder/contexts", puppetfile(content)).await;
        assert_eq!((answer.error().0, &*answer.error().1), (422, "invalid"), "{}", answer.text);
        answer.problems()
    };
    let latin = refused(b"# gr\xfc\xdfe\n").await;
    assert_eq!(latin, ["puppetfile:1:5: not UTF-8 from here on; save the file as UTF-8"]);
    let ruby = refused(b"mod 'a/b', '1.0.0'\nsystem('touch /tmp/crane-was-here')\n").await;
    assert!(ruby[0].starts_with("puppetfile:2:1: "), "{ruby:?}");
    assert!(!std::path::Path::new("/tmp/crane-was-here").exists());
    let open = refused(b"mod 'a/b',\n").await;
    assert!(open[0].starts_with("puppetfile:"), "{open:?}");
    assert_eq!(crane.get("/builder/contexts").await.ok()["contexts"], json!([]));

    let large = crane.post("/builder/contexts", puppetfile(vec![b'#'; 2 * 1024 * 1024])).await;
    let large = large.error();
    assert_eq!((large.0, &*large.1), (413, "tooLarge"));
    assert_eq!(large.2, "puppetfile: larger than 1048576 bytes");
    crane.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_that_cannot_be_had_is_an_error_that_names_it_and_leaves_nothing() {
    let crane = Crane::start().await;
    let content = format!("{}\n{}, tag: 'v0.0.0'\n", git_module("concat"), git_module("stdlib"));
    let path =
        post(&crane, &content.replace("concat.git'\n", "concat.git', tag: 'v7.3.1'\n")).await;
    let body = crane.failed(&path).await;
    assert!(problems(&body).join("\n").contains("stdlib"), "{body:#}");
    let tree = crane.data_dir.path().join("contexts").join(token(&body));
    assert!(!tree.join("modules").exists(), "all or nothing");

    let image = Form::default()
        .text("contextReference", &token(&body))
        .text("imageName", "web")
        .file("dockerfile", "Dockerfile", "FROM scratch\nCOPY a /\n");
    let refused = crane.post("/builder/images", image).await.error();
    assert_eq!((refused.0, &*refused.1), (409, "conflict"));
    assert!(refused.2.contains(&token(&body)), "{}", refused.2);
    crane.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_a_context_ends_its_installation() {
    let crane = Crane::start().await;
    // Accepts connections and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/silent.git", silent.local_addr().unwrap());
    let path = post(&crane, &format!("mod 'silent', git: '{url}', tag: 'v1'\n")).await;
    let (connection, _) =
        tokio::task::spawn_blocking(move || silent.accept()).await.unwrap().unwrap();
    let began = std::time::Instant::now();
    assert_eq!(crane.delete(&path).await.ok()["status"], "deleted");
    assert!(began.elapsed().as_secs() < 5, "took {:?}", began.elapsed());
    assert_closed(connection);
    crane.close().await;
}
