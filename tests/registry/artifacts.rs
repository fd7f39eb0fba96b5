//! Artifacts at real registries, and at servers that fail in every way.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};

use crane::{
    error::{Error, Retry},
    registry::{Deletion, Layer, Pulled, Registry},
};
use futures_util::{StreamExt, stream};
use poem::{
    Body, Endpoint, EndpointExt, Request, Response, Route,
    endpoint::{make, make_sync},
    http::{Method, StatusCode},
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::{PASSWORD, assert_has, ca, credentials, repository, server::serve};
use crate::support::rig;

const KIND: &str = "application/vnd.eu.cloudopting.crane.context.v1";
const LAYER: &str = "application/vnd.eu.cloudopting.crane.context.v1.tar+gzip";

fn sha256(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// A file with this content.
fn layer(home: &TempDir, content: &[u8]) -> Layer {
    let path = home.path().join("layer");
    fs::write(&path, content).unwrap();
    Layer { path, digest: sha256(content), size: content.len() as u64 }
}

fn annotations() -> BTreeMap<String, String> {
    BTreeMap::from([("org.example.tree".to_owned(), "sha256:0".to_owned())])
}

/// What holds at every registry that lets us in.
pub(super) async fn push_and_pull(registry: &Registry) {
    let home = tempfile::tempdir().unwrap();
    let name = repository("artifact");
    // More than one piece, and more than fits the buffers of a connection.
    let content: Vec<u8> = (0..12_000_000_u32).map(|n| (n / 7 + n % 251) as u8).collect();
    let layer = layer(&home, &content);
    let push = {
        let (registry, name, layer) = (registry.clone(), name.clone(), layer.clone());
        // In a task, as jobs do it.
        async move { registry.push_artifact(&name, "tree", KIND, &layer, &annotations()).await }
    };
    let digest = tokio::spawn(push).await.unwrap().unwrap();
    assert_eq!(registry.digest(&name, "tree").await.unwrap().as_ref(), Some(&digest));
    let again = registry.push_artifact(&name, "tree", KIND, &layer, &annotations()).await.unwrap();
    assert_eq!(again, digest);

    let into = home.path().join("pulled");
    let expected =
        Pulled { digest: layer.digest.clone(), size: layer.size, annotations: annotations() };
    for _ in 0..2 {
        let pull = registry.pull_artifact(&name, &digest, KIND, &into);
        assert_eq!(pull.await.unwrap(), expected);
        assert!(fs::read(&into).unwrap() == content, "other bytes");
    }
    fs::remove_file(&into).unwrap();

    let error = registry.pull_artifact(&name, &digest, "application/x.other", &into).await;
    assert_has(&error.unwrap_err().to_string(), &[KIND, "not what was looked for"]);
    let none = sha256(b"none");
    let error = registry.pull_artifact(&name, &none, KIND, &into).await.unwrap_err();
    assert!(matches!(error, Error::NotFound(_)), "{error:?}");

    match registry.delete(&name, &digest, &digest).await.unwrap() {
        // The one with the token server does not delete.
        Deletion::Refused(_) => {}
        deleted => {
            assert_eq!(deleted, Deletion::Deleted);
            let error = registry.pull_artifact(&name, &digest, KIND, &into).await.unwrap_err();
            assert!(matches!(error, Error::NotFound(_)), "{error:?}");
        }
    }
    assert!(!into.exists());
}

#[tokio::test]
async fn plain() {
    push_and_pull(&Registry::open(&rig("RIG_REGISTRY"), None, None).unwrap()).await;
}

#[tokio::test]
async fn under_a_prefix() {
    let location = format!("{}/crane-test-registry/prefix", rig("RIG_REGISTRY"));
    push_and_pull(&Registry::open(&location, None, None).unwrap()).await;
}

#[tokio::test]
async fn with_htpasswd() {
    let location = rig("RIG_REGISTRY_AUTH");
    push_and_pull(&Registry::open(&location, credentials(PASSWORD), None).unwrap()).await;
}

#[tokio::test]
async fn with_tls_under_a_private_ca() {
    let location = rig("RIG_REGISTRY_TLS");
    push_and_pull(&Registry::open(&location, credentials(PASSWORD), Some(&ca())).unwrap()).await;
}

#[tokio::test]
async fn what_is_not_what_it_says_is_not_pushed() {
    let registry = Registry::open(&rig("RIG_REGISTRY"), None, None).unwrap();
    let home = tempfile::tempdir().unwrap();
    let name = repository("wrong");
    let good = layer(&home, b"content of a layer");

    let wrong = Layer { digest: sha256(b"another"), ..good.clone() };
    let error = registry.push_artifact(&name, "t", KIND, &wrong, &annotations()).await.unwrap_err();
    assert_has(&error.to_string(), &[registry.host(), "400", "DIGEST_INVALID"]);
    assert_eq!(error.retry(), None);

    let long = Layer { size: 4096, ..good.clone() };
    let gone = Layer { path: home.path().join("none"), ..good };
    for layer in [long, gone] {
        let error = registry.push_artifact(&name, "t", KIND, &layer, &annotations()).await;
        assert!(matches!(error, Err(Error::Internal(_))), "{error:?}");
    }
    assert_eq!(registry.digest(&name, "t").await.unwrap(), None);
    for (repository, tag) in [("../x", "t"), ("a", "../t")] {
        let error = registry.push_artifact(repository, tag, KIND, &wrong, &annotations()).await;
        assert!(matches!(error, Err(Error::Invalid { .. })), "{error:?}");
    }
}

const BLOB: &[u8] = b"0123456789";

/// A registry that has one artifact in the repository `a`, and answers with `blob` for its file.
async fn with_blob(blob: impl Endpoint<Output = Response> + 'static) -> (Registry, String) {
    with_manifest(&manifest(), blob).await
}

fn manifest() -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": KIND,
        "config": {"mediaType": "application/vnd.oci.empty.v1+json",
                   "digest": sha256(b"{}"), "size": 2},
        "layers": [{"mediaType": LAYER, "digest": sha256(BLOB), "size": BLOB.len()}],
    })
}

async fn with_manifest(
    manifest: &Value,
    blob: impl Endpoint<Output = Response> + 'static,
) -> (Registry, String) {
    let manifest = manifest.to_string();
    let digest = sha256(manifest.as_bytes());
    let app = Route::new()
        .at("/v2/", make_sync(|_| StatusCode::OK))
        .at("/v2/a/manifests/:digest", make_sync(move |_| manifest.clone()))
        .at("/v2/a/blobs/:digest", blob);
    let registry = Registry::open(&serve(app).await, None, None).unwrap();
    (registry.with_patience(Duration::from_millis(500)), digest)
}

/// Pulls, and sees that nothing is left; the error, and whether it may pass.
async fn failure(registry: &Registry, digest: &str) -> (String, Option<Retry>) {
    let home = tempfile::tempdir().unwrap();
    let began = Instant::now();
    let error =
        registry.pull_artifact("a", digest, KIND, &home.path().join("f")).await.unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(5), "{error} took {:?}", began.elapsed());
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0, "{error}");
    (error.to_string(), error.retry().copied())
}

async fn pulled(registry: &Registry, digest: &str, into: &Path) {
    registry.pull_artifact("a", digest, KIND, into).await.unwrap();
    assert_eq!(fs::read(into).unwrap(), BLOB);
}

/// A body of these pieces, each of which may be an error that cuts the connection.
fn pieces(pieces: Vec<Result<&'static [u8], &'static str>>) -> Body {
    let pieces = pieces.into_iter().map(|piece| piece.map_err(std::io::Error::other));
    Body::from_bytes_stream(stream::iter(pieces))
}

#[tokio::test]
async fn whatever_comes_that_is_not_the_blob_is_refused_and_nothing_is_left() {
    let lasting = None;
    let passing = Some(Retry { after: None });
    type Make = fn() -> Response;
    let cases: [(Make, &str, Option<Retry>); 8] = [
        (|| Response::builder().body("0123456780"), "not to be relied on", lasting),
        (|| Response::builder().body("0123456789a"), "more bytes", lasting),
        (|| Response::builder().body("012345678"), "after 9 of 10", passing),
        (
            || {
                let body = pieces(vec![Ok(b"01234"), Err("cut")]);
                Response::builder().header("Content-Length", "10").body(body)
            },
            "hung up in the middle",
            passing,
        ),
        (|| StatusCode::INTERNAL_SERVER_ERROR.into(), "500", passing),
        (|| StatusCode::FORBIDDEN.into(), "403", lasting),
        (
            || {
                Response::builder()
                    .status(StatusCode::TOO_MANY_REQUESTS)
                    .header("Retry-After", "7")
                    .finish()
            },
            "429",
            Some(Retry { after: Some(Duration::from_secs(7)) }),
        ),
        (
            || {
                let stuck = stream::iter([Ok::<_, std::io::Error>(&b"0123"[..])]);
                Body::from_bytes_stream(stuck.chain(stream::pending())).into()
            },
            "has not answered within",
            passing,
        ),
    ];
    for (make_answer, words, retry) in cases {
        let (registry, digest) = with_blob(make_sync(move |_| make_answer())).await;
        let (error, found) = failure(&registry, &digest).await;
        assert_has(&error, &[registry.host(), words]);
        assert_eq!(found, retry, "{error}");
    }
    let (registry, digest) = with_blob(make(|_| std::future::pending::<Response>())).await;
    let (error, retry) = failure(&registry, &digest).await;
    assert_has(&error, &[registry.host(), "has not answered"]);
    assert_eq!(retry, passing);
}

#[tokio::test]
async fn a_date_to_try_again_at_is_understood() {
    let (registry, digest) = with_blob(make_sync(|_| {
        let date = SystemTime::now() + Duration::from_secs(60);
        Response::builder()
            .status(StatusCode::SERVICE_UNAVAILABLE)
            .header("Retry-After", httpdate::fmt_http_date(date))
            .finish()
    }))
    .await;
    let (error, retry) = failure(&registry, &digest).await;
    let after = retry.unwrap().after.unwrap().as_secs();
    assert!((50..=60).contains(&after), "{error}: {after}");
}

#[tokio::test]
async fn what_comes_slowly_comes() {
    let (registry, digest) = with_blob(make_sync(|_| {
        let slow = stream::iter(BLOB).then(async |byte| {
            tokio::time::sleep(Duration::from_millis(100)).await;
            Ok::<_, std::io::Error>(vec![*byte])
        });
        Response::from(Body::from_bytes_stream(slow))
    }))
    .await;
    let home = tempfile::tempdir().unwrap();
    pulled(&registry, &digest, &home.path().join("f")).await;
}

#[tokio::test]
async fn manifests_are_not_believed() {
    let blob = || make_sync(|_| Response::builder().body(BLOB));
    let mut two = manifest();
    let layer = two["layers"][0].clone();
    two["layers"].as_array_mut().unwrap().push(layer);
    let mut other = manifest();
    other["layers"][0]["mediaType"] = json!("application/vnd.oci.image.layer.v1.tar+gzip");
    let mut path = manifest();
    path["layers"][0]["digest"] = json!("../../../etc");
    for (manifest, words) in [
        (two, "not one file"),
        (other, "image.layer"),
        (path, "no SHA-256"),
        (json!({"schemaVersion": 2, "manifests": []}), "no manifest of an artifact"),
    ] {
        let (registry, digest) = with_manifest(&manifest, blob()).await;
        let (error, retry) = failure(&registry, &digest).await;
        assert_has(&error, &[words]);
        assert_eq!(retry, None);
    }
    let (registry, _) = with_blob(blob()).await;
    let (error, retry) = failure(&registry, &sha256(b"another")).await;
    assert_has(&error, &["not to be relied on"]);
    assert_eq!(retry, None);
}

#[tokio::test]
async fn blobs_are_followed_to_object_storage_without_credentials() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let storage = {
        let seen = seen.clone();
        let give = make_sync(move |request: Request| {
            let authorization = request.header("authorization").map(str::to_owned);
            seen.lock().unwrap().push((request.uri().to_string(), authorization));
            Response::builder().body(BLOB)
        });
        serve(Route::new().at("/*", give)).await
    };
    let redirect = |location: String| {
        make_sync(move |_| {
            Response::builder()
                .status(StatusCode::TEMPORARY_REDIRECT)
                .header("Location", location.clone())
                .finish()
        })
    };
    let protect = |endpoint: poem::endpoint::BoxEndpoint<'static, Response>| {
        let endpoint = Arc::new(endpoint);
        make(move |request: Request| {
            let endpoint = endpoint.clone();
            async move {
                if request.header("authorization").is_none() {
                    return Response::builder()
                        .status(StatusCode::UNAUTHORIZED)
                        .header("WWW-Authenticate", "Basic realm=x")
                        .finish();
                }
                endpoint.call(request).await.unwrap()
            }
        })
    };
    let manifest = manifest().to_string();
    let digest = sha256(manifest.as_bytes());
    let get = || {
        let manifest = manifest.clone();
        make_sync(move |_| Response::builder().body(manifest.clone()))
    };
    let app = |location: String| {
        Route::new()
            .at("/v2/", make_sync(|_| StatusCode::OK))
            .at("/v2/a/manifests/:digest", protect(get().boxed()))
            .at("/v2/a/blobs/:digest", protect(redirect(location).boxed()))
    };
    let open = |address: &str| Registry::open(address, credentials(PASSWORD), None).unwrap();
    let home = tempfile::tempdir().unwrap();
    let registry = open(&serve(app(format!("http://{storage}/x?signature=s"))).await);
    pulled(&registry, &digest, &home.path().join("f")).await;
    assert_eq!(*seen.lock().unwrap(), [("/x?signature=s".to_owned(), None)]);

    for (location, words) in [
        ("http://10.255.255.1/x?signature=s".to_owned(), "unprotected"),
        ("ftp://10.255.255.1/x".to_owned(), "unprotected"),
        (format!("/v2/a/blobs/{}", sha256(b"loop")), "more than 5 times"),
    ] {
        let registry = open(&serve(app(location)).await);
        let (error, retry) = failure(&registry, &digest).await;
        assert_has(&error, &[registry.host(), words]);
        assert!(!error.contains("signature") && retry.is_none(), "{error}");
    }
}

/// A registry that has nothing and answers `post` and `put` to uploads; the requests it saw.
async fn taking(
    head: StatusCode,
    post: fn(&str) -> Response,
    put: impl Endpoint<Output = Response> + 'static,
) -> (Registry, Arc<Mutex<Vec<String>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let note = seen.clone();
    let put = Arc::new(put.boxed());
    let take = make(move |mut request: Request| {
        let path = request.original_uri().path().to_owned();
        note.lock().unwrap().push(format!("{} {path}", request.method()));
        let put = put.clone();
        async move {
            match (request.method().clone(), path.as_str()) {
                (_, "/v2/") => StatusCode::OK.into(),
                (Method::HEAD, _) => head.into(),
                (Method::POST, path) => post(path),
                (Method::PUT, path) if path.contains("/manifests/") => StatusCode::CREATED.into(),
                (_, _) if request.content_length() == Some(2) => {
                    request.take_body().into_bytes().await.unwrap();
                    StatusCode::CREATED.into()
                }
                _ => put.call(request).await.unwrap(),
            }
        }
    });
    let address = serve(Route::new().at("/*", take)).await;
    let registry = Registry::open(&address, None, None).unwrap();
    (registry.with_patience(Duration::from_millis(500)), seen)
}

trait ContentLength {
    fn content_length(&self) -> Option<u64>;
}

impl ContentLength for Request {
    fn content_length(&self) -> Option<u64> {
        self.header("content-length")?.parse().ok()
    }
}

fn accepted(path: &str) -> Response {
    Response::builder()
        .status(StatusCode::ACCEPTED)
        .header("Location", format!("{path}1?_state=x"))
        .finish()
}

#[tokio::test]
async fn what_is_there_is_not_sent_again() {
    let home = tempfile::tempdir().unwrap();
    let layer = layer(&home, BLOB);
    // S3 behind a registry answers the HEAD with a redirect.
    for head in [StatusCode::OK, StatusCode::TEMPORARY_REDIRECT] {
        let never = |_: &str| StatusCode::IM_A_TEAPOT.into();
        let (registry, seen) = taking(head, never, make_sync(|_| Response::default())).await;
        registry.push_artifact("a", "t", KIND, &layer, &annotations()).await.unwrap();
        let seen = seen.lock().unwrap();
        assert!(!seen.iter().any(|request| request.starts_with("POST")), "{seen:?}");
        assert_eq!(seen.iter().filter(|request| request.starts_with("PUT")).count(), 1);
    }
}

#[tokio::test]
async fn pushes_fail_with_what_to_do_and_whether_to_try_again() {
    let home = tempfile::tempdir().unwrap();
    let content = vec![7; 9_000_000];
    let layer = layer(&home, &content);
    let passing = Some(Retry { after: None });
    let push = async |registry: &Registry| {
        let error = registry.push_artifact("a", "t", KIND, &layer, &annotations()).await;
        let error = error.unwrap_err();
        (error.to_string(), error.retry().copied())
    };
    type Post = fn(&str) -> Response;
    let posts: [(Post, &str, Option<Retry>); 4] = [
        (|_| StatusCode::FORBIDDEN.into(), "let this user push there", None),
        (|_| StatusCode::BAD_GATEWAY.into(), "502", passing),
        (
            |_| {
                Response::builder()
                    .status(StatusCode::TOO_MANY_REQUESTS)
                    .header("Retry-After", "3")
                    .finish()
            },
            "429",
            Some(Retry { after: Some(Duration::from_secs(3)) }),
        ),
        (|_| StatusCode::ACCEPTED.into(), "unprotected or not at all", None),
    ];
    for (post, words, retry) in posts {
        let none = make_sync(|_| Response::default());
        let (registry, _) = taking(StatusCode::NOT_FOUND, post, none).await;
        let (error, found) = push(&registry).await;
        assert_has(&error, &[registry.host(), words]);
        assert_eq!(found, retry, "{error}");
    }

    // The file itself: taken, refused after it, taken without end, cut off.
    let read_all = async |mut request: Request, status: StatusCode| -> Response {
        let body = request.take_body().into_bytes().await.unwrap();
        assert!(body.iter().all(|byte| *byte == 7) && body.len() == 9_000_000);
        status.into()
    };
    let take = make(move |request| read_all(request, StatusCode::CREATED));
    let (registry, _) = taking(StatusCode::NOT_FOUND, accepted, take).await;
    registry.push_artifact("a", "t", KIND, &layer, &annotations()).await.unwrap();

    let full = make(move |request| read_all(request, StatusCode::INTERNAL_SERVER_ERROR));
    let (registry, _) = taking(StatusCode::NOT_FOUND, accepted, full).await;
    let (error, retry) = push(&registry).await;
    assert_has(&error, &["500"]);
    assert!(retry == passing && !error.contains("_state"), "{error}");

    let stuck = make(|_| std::future::pending::<Response>());
    let (registry, _) = taking(StatusCode::NOT_FOUND, accepted, stuck).await;
    let (error, retry) = push(&registry).await;
    assert_has(&error, &[registry.host(), "has not answered"]);
    assert_eq!(retry, passing);

    // An answer without its body: the connection ends in the middle of the file.
    let cut = make_sync(|_| Response::from(pieces(vec![Err("cut")])));
    let (registry, _) = taking(StatusCode::NOT_FOUND, accepted, cut).await;
    let (error, retry) = push(&registry).await;
    assert_has(&error, &[registry.host()]);
    assert_eq!(retry, passing, "{error}");
}
