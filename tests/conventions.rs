//! What holds for every route: ids, errors, methods, forms, tokens, and pages of other sites.

use serde_json::json;

use crate::support::{Crane, Form};

#[tokio::test]
async fn alive_answers_as_clients_of_0_5_expect() {
    let crane = Crane::start().await;
    assert_eq!(crane.get("/extra/alive").await.ok(), json!({"message": "I'm alive"}));
    crane.close().await;
}

#[tokio::test]
async fn a_sane_request_id_comes_back_and_another_is_replaced() {
    let crane = Crane::start().await;
    let send = async |id: &str| {
        let answer = crane.send("GET", "/extra/alive", &[("x-request-id", id)], vec![]).await;
        answer.headers["x-request-id"].to_str().unwrap().to_owned()
    };
    assert_eq!(send("abc-123").await, "abc-123");
    assert_eq!(send("a b").await.len(), 32);
    assert_eq!(send(&"x".repeat(200)).await.len(), 32);
    crane.close().await;
}

#[tokio::test]
async fn errors_of_all_origins_have_one_shape() {
    let crane = Crane::start().await;
    let unknown = crane.get("/nope").await.error();
    assert_eq!(unknown, (404, "notFound".into(), "there is no such route".into()));

    let absent = crane.get("/builder/contexts/CTnope").await.error();
    assert_eq!(absent, (404, "notFound".into(), "there is no context 'CTnope'".into()));

    let field = crane.post("/builder/contexts", Form::default().text("color", "red")).await;
    assert_eq!(field.error(), (400, "invalid".into(), "unknown field `color`".into()));

    let json = [("content-type", "application/json")];
    let media = crane.send("POST", "/builder/contexts", &json, b"{}".to_vec()).await.error();
    assert_eq!((media.0, &*media.1), (415, "invalid"));

    let boundary = [("content-type", "multipart/form-data; boundary=x")];
    let cut = crane.send("POST", "/builder/contexts", &boundary, b"--x\r\nCont".to_vec()).await;
    assert_eq!((cut.error().0, &*cut.error().1), (400, "invalid"));

    let large = Form::default().file("puppetfile", "Puppetfile", vec![b'#'; 6 * 1024 * 1024]);
    let large = crane.post("/builder/contexts", large).await.error();
    assert_eq!((large.0, &*large.1), (413, "tooLarge"));
    crane.close().await;
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let crane = Crane::start().await;
    let answer = crane.send("PATCH", "/builder/contexts/CTx", &[], vec![]).await;
    assert_eq!(answer.error().0, 405);
    assert_eq!(answer.headers["allow"], "DELETE, GET");
    crane.close().await;
}

#[tokio::test]
async fn get_and_delete_ignore_a_content_type_and_a_body() {
    let crane = Crane::start().await;
    let odd = [("content-type", "text/nonsense; x")];
    assert_eq!(crane.send("GET", "/builder/contexts", &odd, vec![]).await.status, 200);
    assert_eq!(crane.send("DELETE", "/builder/contexts/CTx", &odd, vec![]).await.status, 404);
    crane.close().await;
}

#[tokio::test]
async fn forms_without_files_may_be_urlencoded() {
    let crane = Crane::start().await;
    let encoded = [("content-type", "application/x-www-form-urlencoded")];
    let body = format!("endpoint={}", crate::support::rig("RIG_ENGINE"));
    let info = crane.send("POST", "/extra/dockerInfo", &encoded, body.into_bytes()).await.ok();
    assert!(info["ServerVersion"].is_string(), "{info}");
    let unknown = crane.send("POST", "/extra/dockerInfo", &encoded, b"endpoin=x".to_vec()).await;
    assert!(unknown.error().2.contains("unknown field `endpoin`"), "{}", unknown.text);
    let form = Form::default().text("endpoint", &crate::support::rig("RIG_ENGINE"));
    assert_eq!(crane.post("/extra/dockerInfo", form).await.ok()["ID"], info["ID"]);
    crane.close().await;
}

#[tokio::test]
async fn a_token_guards_everything_but_alive_and_the_page() {
    let crane = Crane::with(&[("api_token", "t0ken")]).await;
    for open in ["/extra/alive", "/", "/openapi.json"] {
        assert_eq!(crane.get(open).await.status, 200, "{open}");
    }
    let refused = crane.get("/extra/tokens").await;
    assert_eq!((refused.error().0, &*refused.error().1), (401, "unauthorized"));
    assert_eq!(refused.headers["www-authenticate"], "Bearer");
    let with = async |token: &str| {
        let header = [("authorization", token)];
        crane.send("GET", "/extra/tokens", &header, vec![]).await.status
    };
    assert_eq!(with("Bearer t0ken").await, 200);
    assert_eq!(with("bearer t0ken").await, 200);
    assert_eq!(with("Bearer t0ke").await, 401);
    assert_eq!(with("Basic t0ken").await, 401);
    assert_eq!(crane.get("/nope").await.status, 401);
}

#[tokio::test]
async fn pages_of_other_sites_change_nothing() {
    let crane = Crane::start().await;
    let context = crane.post("/builder/contexts", Form::default()).await.ok();
    let path = format!("/builder/contexts/{}", context["token"].as_str().unwrap());
    let from = async |site: &str, method: &str, path: &str| {
        crane.send(method, path, &[("sec-fetch-site", site)], vec![]).await
    };
    for site in ["cross-site", "same-site"] {
        let refused = from(site, "GET", "/extra/purge").await.error();
        assert_eq!((refused.0, &*refused.1), (403, "forbidden"));
        assert_eq!(from(site, "POST", "/extra/purge").await.status, 403);
        assert_eq!(from(site, "DELETE", &path).await.status, 403);
    }
    let other = [("origin", "http://evil.example")];
    assert_eq!(crane.send("DELETE", &path, &other, vec![]).await.error().0, 403);
    let rebound = [("host", "evil.example")];
    assert_eq!(crane.send("GET", &path, &rebound, vec![]).await.error().0, 403);
    let own = crane.url.replace("127.0.0.1", "localhost");
    let host = [("host", own.strip_prefix("http://").unwrap()), ("origin", own.as_str())];
    assert_eq!(crane.send("POST", "/builder/contexts", &host, vec![]).await.status, 415);
    assert_eq!(from("cross-site", "GET", &path).await.status, 200);
    assert_eq!(from("same-origin", "DELETE", &path).await.status, 200);
    assert_eq!(from("none", "GET", "/extra/purge").await.ok()["status"], "finished");
    crane.close().await;
}

#[tokio::test]
async fn check_says_of_each_part_how_it_is() {
    let crane = Crane::start().await;
    assert_eq!(
        crane.get("/extra/check").await.ok(),
        json!({"docker": "correct", "puppet": "correct", "registry": "correct", "store": "correct"})
    );
    crane.close().await;

    let crane = Crane::with(&[("engine", "tcp://127.0.0.1:1"), ("registry", "127.0.0.1:1")]).await;
    let check = crane.get("/extra/check").await.ok();
    for part in ["docker", "registry"] {
        let verdict = check[part].as_str().unwrap();
        assert!(verdict.contains("127.0.0.1:1"), "{part}: {verdict}");
    }
}
