//! The registry client against real `docker-registry` servers: plain, with htpasswd, with TLS
//! under a private CA, with a token server, and with what goes wrong at each of them.

mod images;
mod server;

use std::{
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
    sync::{Arc, Mutex},
};

use crane::{
    error::Error,
    registry::{Credentials, Deletion, Registry},
};
use poem::{EndpointExt, Response, Route, endpoint::make_sync, http::StatusCode};

use self::{
    images::Image,
    server::{RegistryServer, TokenServer, serve},
};
use crate::support::rig;

/// Who the rig's registries let in.
const USER: &str = "crane";
const PASSWORD: &str = "secret-of-the-rig";

fn credentials(password: &str) -> Option<Credentials> {
    Some(Credentials { username: USER.into(), password: password.to_owned().into() })
}

fn ca() -> PathBuf {
    rig("RIG_REGISTRY_TLS_CA").into()
}

/// A repository that no other test and no other run uses.
fn repository(name: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let run = std::process::id();
    format!("crane-test-registry/{name}-{run}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Makes an image for the repository and pushes it as `latest`; its digest.
fn push(registry: &Registry, repository: &str, content: &str) -> String {
    let image = Image::make(&registry.reference(repository), content);
    image.push(registry.credentials())
}

/// The reason why the registry cannot be used.
async fn reason(registry: &Registry) -> String {
    match registry.ping().await {
        Err(Error::Unavailable { what: "registry", reason, .. }) => {
            assert!(reason.starts_with(registry.host()), "{reason} names the host");
            assert!(!reason.contains(PASSWORD), "{reason} tells the password");
            reason
        }
        other => panic!("{} should not be usable: {other:?}", registry.host()),
    }
}

#[track_caller]
fn assert_has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "'{part}' is missing in: {text}");
    }
}

/// What holds at every registry that lets us in: a pushed tag has the digest that the engine was
/// told, and is gone after its deletion, which may be asked for twice.
async fn push_look_and_delete(registry: &Registry) {
    registry.ping().await.unwrap();
    let name = repository("life");
    assert_eq!(registry.digest(&name, "latest").await.unwrap(), None);

    let digest = push(registry, &name, &name);
    assert_eq!(registry.digest(&name, "latest").await.unwrap().as_ref(), Some(&digest));
    assert_eq!(registry.digest(&name, &digest).await.unwrap().as_ref(), Some(&digest));
    assert_eq!(registry.digest(&name, "other").await.unwrap(), None);

    assert_eq!(registry.delete(&name, "latest", &digest).await.unwrap(), Deletion::Deleted);
    assert_eq!(registry.digest(&name, "latest").await.unwrap(), None);
    assert_eq!(registry.digest(&name, &digest).await.unwrap(), None);
    assert_eq!(registry.delete(&name, "latest", &digest).await.unwrap(), Deletion::Absent);
}

#[tokio::test]
async fn plain() {
    let registry = Registry::open(&rig("RIG_REGISTRY"), None, None).unwrap();
    push_look_and_delete(&registry).await;
}

#[tokio::test]
async fn under_a_prefix() {
    let location = format!("{}/crane-test-registry/prefix", rig("RIG_REGISTRY"));
    let registry = Registry::open(&location, None, None).unwrap();
    assert_eq!(registry.host(), rig("RIG_REGISTRY"));
    push_look_and_delete(&registry).await;
}

#[tokio::test]
async fn with_htpasswd() {
    let registry = Registry::open(&rig("RIG_REGISTRY_AUTH"), credentials(PASSWORD), None).unwrap();
    push_look_and_delete(&registry).await;
}

#[tokio::test]
async fn with_tls_under_a_private_ca() {
    let registry =
        Registry::open(&rig("RIG_REGISTRY_TLS"), credentials(PASSWORD), Some(&ca())).unwrap();
    push_look_and_delete(&registry).await;
}

#[tokio::test]
async fn with_a_token_server() {
    let tokens = TokenServer::new();
    let directory = tempfile::tempdir().unwrap();
    let bundle = directory.path().join("tokens.pem");
    std::fs::write(&bundle, tokens.certificate.pem()).unwrap();
    let realm = format!("http://{}/token", tokens.serve().await);
    let server = RegistryServer::start(&format!(
        "auth: {{token: {{realm: '{realm}', service: {}, issuer: {}, rootcertbundle: {bundle:?}}}}}",
        server::SERVICE,
        server::ISSUER,
    ));

    let registry = Registry::open(&server.address, credentials(PASSWORD), None).unwrap();
    registry.ping().await.unwrap();
    let name = repository("token");
    assert_eq!(registry.digest(&name, "latest").await.unwrap(), None);
    let digest = {
        let registry = registry.clone();
        let name = name.clone();
        // The engine asks the token server, which runs on this test's runtime.
        tokio::task::spawn_blocking(move || push(&registry, &name, "token")).await.unwrap()
    };
    assert_eq!(registry.digest(&name, "latest").await.unwrap(), Some(digest));

    let wrong = Registry::open(&server.address, credentials("wrong"), None).unwrap();
    assert_has(&reason(&wrong).await, &["token server", "CRANE_REGISTRY_PASSWORD"]);
}

#[tokio::test]
async fn a_wrong_or_missing_password_is_refused() {
    for (location, ca) in [(rig("RIG_REGISTRY_AUTH"), None), (rig("RIG_REGISTRY_TLS"), Some(ca()))]
    {
        let wrong = Registry::open(&location, credentials("wrong"), ca.as_deref()).unwrap();
        assert_has(&reason(&wrong).await, &["refuses", "'crane'", "CRANE_REGISTRY_PASSWORD"]);
        assert!(wrong.digest("a", "latest").await.is_err());

        let none = Registry::open(&location, None, ca.as_deref()).unwrap();
        assert_has(&reason(&none).await, &["asks for a user name", "CRANE_REGISTRY_USERNAME"]);
    }
}

#[tokio::test]
async fn a_certificate_of_another_ca_is_refused() {
    let location = rig("RIG_REGISTRY_TLS");
    let directory = tempfile::tempdir().unwrap();
    let other = directory.path().join("other.pem");
    let key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::default();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    std::fs::write(&other, parameters.self_signed(&key).unwrap().pem()).unwrap();

    let wrong = Registry::open(&location, credentials(PASSWORD), Some(&other)).unwrap();
    let words = reason(&wrong).await;
    assert_has(&words, &["certificate", "CRANE_REGISTRY_CA", &other.display().to_string()]);

    // On a loopback address TLS is found out, and the system's CAs do not know this one.
    let system = Registry::open(&location, credentials(PASSWORD), None).unwrap();
    assert_has(&reason(&system).await, &["this system does not trust", "CRANE_REGISTRY_CA"]);
}

#[tokio::test]
async fn a_ca_means_tls() {
    let registry =
        Registry::open(&rig("RIG_REGISTRY_AUTH"), credentials(PASSWORD), Some(&ca())).unwrap();
    assert_has(&reason(&registry).await, &["does not speak TLS"]);
}

#[tokio::test]
async fn down() {
    // Bound and let go: nobody listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for ca in [None, Some(ca())] {
        let registry = Registry::open(&port.to_string(), None, ca.as_deref()).unwrap();
        assert_has(&reason(&registry).await, &["Connection refused", "start it", "CRANE_REGISTRY"]);
        assert!(registry.digest("a", "latest").await.is_err());
        assert!(registry.delete("a", "latest", "sha256:00").await.is_err());
    }
    let nowhere = Registry::open("registry.invalid", None, None).unwrap();
    assert_has(&reason(&nowhere).await, &["cannot be connected to", "CRANE_REGISTRY"]);
}

#[tokio::test]
async fn another_kind_of_server() {
    let redis = rig("RIG_REDIS").replace("redis://", "");
    let registry = Registry::open(&redis, None, None).unwrap();
    assert_has(&reason(&registry).await, &["does not answer as an HTTP server", "CRANE_REGISTRY"]);

    let page = make_sync(|_| {
        Response::builder().content_type("text/html; charset=utf-8").body("<h1>It works!</h1>")
    });
    for (app, status) in [(Route::new().at("/*", page), "200"), (Route::new(), "404")] {
        let registry = Registry::open(&serve(app).await, None, None).unwrap();
        assert_has(&reason(&registry).await, &[status, "no registry", "CRANE_REGISTRY"]);
    }

    let ill = Route::new().at("/*", make_sync(|_| StatusCode::SERVICE_UNAVAILABLE));
    let registry = Registry::open(&serve(ill).await, None, None).unwrap();
    assert_has(&reason(&registry).await, &["503", "look into its log"]);

    let endless = make_sync(|_| Response::builder().body(vec![b' '; 5 * 1024 * 1024]));
    let registry = Registry::open(&serve(Route::new().at("/*", endless)).await, None, None);
    assert_has(&reason(&registry.unwrap()).await, &["more than 4194304 bytes"]);
}

#[tokio::test]
async fn credentials_do_not_follow_a_redirect() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let other = {
        let seen = seen.clone();
        let record = make_sync(move |request| {
            seen.lock().unwrap().push(format!("{request:?}"));
            StatusCode::OK
        });
        serve(Route::new().at("/*", record)).await
    };
    let redirect = make_sync(move |request| match request.header("authorization") {
        None => Response::builder()
            .status(StatusCode::UNAUTHORIZED)
            .header("WWW-Authenticate", "Basic realm=x")
            .finish(),
        Some(_) => Response::builder()
            .status(StatusCode::TEMPORARY_REDIRECT)
            .header("Location", format!("http://{other}/v2/"))
            .finish(),
    });
    let address = serve(Route::new().at("/*", redirect)).await;
    let registry = Registry::open(&address, credentials(PASSWORD), None).unwrap();
    assert_has(&reason(&registry).await, &["redirects to", "CRANE_REGISTRY"]);
    assert!(seen.lock().unwrap().is_empty(), "{seen:?}");
}

#[tokio::test]
async fn credentials_do_not_go_to_a_token_server_in_the_clear() {
    let ask = make_sync(|_| {
        Response::builder()
            .status(StatusCode::UNAUTHORIZED)
            .header("WWW-Authenticate", r#"Bearer realm="http://10.255.255.1/token",service="x""#)
            .finish()
    });
    let address = serve(Route::new().at("/*", ask)).await;
    let registry = Registry::open(&address, credentials(PASSWORD), None).unwrap();
    assert_has(&reason(&registry).await, &["10.255.255.1", "unprotected", "https"]);
}

#[tokio::test]
async fn a_digest_that_the_registry_does_not_state_is_computed() {
    let manifest = make_sync(|request: poem::Request| {
        assert!(request.header("accept").is_some_and(|accept| accept.contains("image.index")));
        Response::builder().content_type("application/json").body("{}")
    });
    let app = Route::new()
        .at("/v2/", make_sync(|_| StatusCode::OK))
        .at("/v2/a/manifests/:tag", manifest.boxed());
    let registry = Registry::open(&serve(app).await, None, None).unwrap();
    // printf '{}' | sha256sum
    let digest = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
    assert_eq!(registry.digest("a", "latest").await.unwrap().unwrap(), digest);
    assert_eq!(registry.digest("a", digest).await.unwrap().unwrap(), digest);

    let other = digest.replace('4', "5");
    let error = registry.digest("a", &other).await.unwrap_err().to_string();
    assert_has(&error, &[digest, "not to be relied on"]);
}

#[tokio::test]
async fn a_tag_that_moved_is_left_alone() {
    let registry = Registry::open(&rig("RIG_REGISTRY"), None, None).unwrap();
    let name = repository("moved");
    let first = push(&registry, &name, "first");
    let second = push(&registry, &name, "second");
    assert_ne!(first, second);

    assert_eq!(registry.delete(&name, "latest", &first).await.unwrap(), Deletion::Moved);
    assert_eq!(registry.digest(&name, "latest").await.unwrap().as_ref(), Some(&second));
    assert_eq!(registry.delete(&name, "latest", &second).await.unwrap(), Deletion::Deleted);
}

#[tokio::test]
async fn deletion_that_is_switched_off_says_how_to_switch_it_on() {
    let server = RegistryServer::start("");
    let registry = Registry::open(&server.address, None, None).unwrap();
    let name = repository("kept");
    let digest = push(&registry, &name, "kept");
    match registry.delete(&name, "latest", &digest).await.unwrap() {
        Deletion::Refused(words) => assert_has(
            &words,
            &[&server.address, "storage.delete.enabled", &registry.reference(&name), &digest],
        ),
        other => panic!("{other:?}"),
    }
    assert_eq!(registry.digest(&name, "latest").await.unwrap(), Some(digest));
}

#[tokio::test]
async fn no_name_climbs_out_of_its_repository() {
    let registry = Registry::open(&rig("RIG_REGISTRY"), None, None).unwrap();
    for (repository, tag) in [("../v1", "latest"), ("a?b", "latest"), ("a", "b/../c"), ("a", "")] {
        let error = registry.digest(repository, tag).await.unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }), "{repository} {tag}: {error}");
    }
}
