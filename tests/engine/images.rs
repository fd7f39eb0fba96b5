//! Images on the engine and between it and registries.

use crane::{
    engine::{Built, Engine, LABEL_REF_NAME, Login, Outcome},
    error::Error,
    model::Channel,
};
use poem::{Route, endpoint::make_sync, http::StatusCode};

use super::build_of;
use crate::{
    registry::server::serve,
    support::{engine, log, rig, text},
};

/// A small image with a label, whose id depends on `content`; the caller removes it.
async fn small(engine: &Engine, label: &str, name: &str, content: &str) -> String {
    let dockerfile = format!("FROM scratch\nENV IT={content}\nCOPY Dockerfile /\n");
    let mut build = build_of(&dockerfile, vec![]);
    build.labels.insert(label.into(), "1".into());
    build.labels.insert(LABEL_REF_NAME.into(), name.into());
    let (sink, _lines) = log();
    match engine.build(&build, &sink, &mut |_, _| ()).await.unwrap() {
        Outcome::Built(Built { image, .. }) => image,
        Outcome::Failed(failure) => panic!("{failure:?}"),
    }
}

fn login(host: &str) -> Login {
    Login {
        host: host.into(),
        username: "crane".into(),
        password: "secret-of-the-rig".to_owned().into(),
    }
}

#[tokio::test]
async fn images_are_pushed_and_pulled() {
    let engine = engine();
    let image = small(&engine, "it-engine-push", "it-engine/push", "1").await;
    engine.tag_image(&image, "it-engine/push", "latest").await.unwrap();
    for (registry, login) in [
        (rig("RIG_REGISTRY"), None),
        (rig("RIG_REGISTRY_AUTH"), Some(login(&rig("RIG_REGISTRY_AUTH")))),
    ] {
        let repository = format!("{registry}/it-engine/push");
        let reference = format!("{repository}:latest");
        engine.tag_image(&image, &repository, "latest").await.unwrap();
        let (sink, lines) = log();
        let digest = engine.push_image(&repository, "latest", login.as_ref(), &sink).await.unwrap();
        drop(sink);
        assert!(digest.starts_with("sha256:"), "{digest}");
        let text = text(lines, Channel::Log).await;
        assert!(!text.is_empty() && text.lines().count() < 20, "{text}");
        let digests = engine.image(&reference).await.unwrap().unwrap().repo_digests.unwrap();
        let by_digest = format!("{repository}@{digest}");
        assert!(digests.contains(&by_digest), "{digests:?}");
        assert!(engine.remove_image(&reference).await.unwrap());
        assert!(!engine.remove_image(&reference).await.unwrap());
        for reference in [reference, by_digest] {
            let (sink, _lines) = log();
            engine.pull_image(&reference, login.as_ref(), Channel::Pull, &sink).await.unwrap();
            assert!(engine.image(&reference).await.unwrap().is_some(), "{reference}");
            assert!(engine.remove_image(&reference).await.unwrap(), "{reference}");
        }
    }
    assert!(engine.remove_image("it-engine/push:latest").await.unwrap());
    assert!(engine.image(&image).await.unwrap().is_none());
}

#[tokio::test]
async fn a_registry_that_refuses_makes_a_push_fail() {
    let engine = engine();
    let image = small(&engine, "it-engine-refused", "it-engine/refused", "1").await;
    let repository = format!("{}/it-engine/refused", rig("RIG_REGISTRY_AUTH"));
    engine.tag_image(&image, &repository, "latest").await.unwrap();
    let wrong = Login { password: "wrong".to_owned().into(), ..login(&rig("RIG_REGISTRY_AUTH")) };
    for login in [None, Some(wrong)] {
        let (sink, _lines) = log();
        let error =
            engine.push_image(&repository, "latest", login.as_ref(), &sink).await.unwrap_err();
        assert!(matches!(&error, Error::Failed { .. }), "{error:?}");
        assert!(!error.to_string().contains("wrong"), "{error}");
    }
    engine.remove_image(&format!("{repository}:latest")).await.unwrap();
}

#[tokio::test]
async fn a_pull_of_what_is_not_there_fails_with_its_name() {
    let (sink, _lines) = log();
    let reference = format!("{}/it-engine/none:1", rig("RIG_REGISTRY"));
    let error = engine().pull_image(&reference, None, Channel::Pull, &sink).await.unwrap_err();
    assert!(error.to_string().contains("it-engine/none"), "{error}");
}

#[tokio::test]
async fn a_registry_that_is_ill_is_told_from_one_that_refuses() {
    let answering = async |status: u16| {
        let status = StatusCode::from_u16(status).unwrap();
        serve(Route::new().at("/*", make_sync(move |_| status))).await
    };
    for (host, passes) in [
        (answering(503).await, true),
        (answering(429).await, true),
        (answering(403).await, false),
        ("127.0.0.1:1".to_owned(), true),
        (rig("RIG_REGISTRY"), false),
        // It asks for a password.
        (rig("RIG_REGISTRY_AUTH"), false),
    ] {
        let (sink, _lines) = log();
        let reference = format!("{host}/it-engine/none:1");
        let error = engine().pull_image(&reference, None, Channel::Pull, &sink).await.unwrap_err();
        assert_eq!(error.retry().is_some(), passes, "{error:?}");
    }
}

#[tokio::test]
async fn only_crane_names_and_nameless_images_are_removed_by_label() {
    let engine = engine();
    let label = "it-engine-labelled";
    let named = small(&engine, label, "it-engine/labelled", "1").await;
    for (repository, tag) in [
        ("it-engine/labelled", "latest"),
        ("127.0.0.1:5000/it-engine/labelled", "latest"),
        ("it-engine-others/labelled", "1"),
    ] {
        engine.tag_image(&named, repository, tag).await.unwrap();
    }
    let nameless = small(&engine, label, "it-engine/labelled", "2").await;
    let label = [format!("{label}=1")];
    assert_eq!(engine.images_labelled(&label).await.unwrap().len(), 2);
    assert_eq!(engine.remove_images_labelled(&label).await.unwrap(), [""; 0]);
    assert!(engine.image(&nameless).await.unwrap().is_none());
    let left = engine.image(&named).await.unwrap().unwrap();
    assert_eq!(left.repo_tags.unwrap(), ["it-engine-others/labelled:1"]);
    engine.remove_image("it-engine-others/labelled:1").await.unwrap();
}

#[tokio::test]
async fn what_is_no_reference_is_not_there() {
    let engine = engine();
    for odd in ["../containers/json?", "a b", ""] {
        assert!(engine.image(odd).await.unwrap().is_none());
        assert!(!engine.remove_image(odd).await.unwrap());
    }
}
