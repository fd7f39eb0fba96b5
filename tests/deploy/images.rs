//! Where images come from.

use std::collections::BTreeSet;

use crane::{
    error::Error,
    model::Channel,
    registry::{Credentials, Registry},
};

use super::{Trial, image::Image, inspect, services::IDLE};
use crate::support::{docker::docker, rig};

fn registry() -> Registry {
    let credentials = Credentials {
        username: "crane".to_owned(),
        password: "secret-of-the-rig".to_owned().into(),
    };
    Registry::open(&rig("RIG_REGISTRY_AUTH"), Some(credentials), None).unwrap()
}

/// Pushes an image with that label under the repository, and removes it from the engine.
fn push(registry: &Registry, repository: &str, version: &str) {
    let image = Image::with(&format!("LABEL version={version}"));
    let reference = registry.reference(repository);
    docker(&["tag", &image.0, &reference]);
    let config = tempfile::tempdir().unwrap();
    let config = config.path().to_str().unwrap();
    let password = "secret-of-the-rig";
    docker(&["--config", config, "login", "-u", "crane", "-p", password, registry.host()]);
    docker(&["--config", config, "push", &reference]);
    docker(&["rmi", &reference]);
}

#[tokio::test]
async fn images_of_cranes_come_from_its_registry_in_their_newest_version() {
    let registry = registry();
    let repository = format!("crane-test-deploy/own-{}", std::process::id());
    let compose = format!(
        "services: {{web: {{image: {repository}, command: {IDLE}}}, db: {{image: BASE, command: {IDLE}}}}}"
    );
    Trial::run(async |trial| {
        let mut deployment = trial.deployment(&compose);
        deployment.known = BTreeSet::from([repository.clone()]);
        let version = || inspect(&trial.container("web"), r#"{{index .Config.Labels "version"}}"#);
        let id = |service| inspect(&trial.container(service), "{{.Id}}");

        push(&registry, &repository, "1");
        trial.deploy(Some(&registry), &deployment).await.unwrap();
        assert_eq!(version(), "1");
        let (web, db) = (id("web"), id("db"));

        trial.deploy(Some(&registry), &deployment).await.unwrap();
        assert_eq!((id("web"), id("db")), (web.clone(), db.clone()));

        // The engine keeps the old one without its name.
        let old = inspect(&trial.container("web"), "{{.Image}}");
        push(&registry, &repository, "2");
        trial.deploy(Some(&registry), &deployment).await.unwrap();
        assert_eq!(version(), "2");
        assert_ne!(id("web"), web);
        assert_eq!(id("db"), db);
        docker(&["rmi", &old]);

        let log = trial.log_of(Channel::Pull).await;
        assert!(
            log.contains(&format!("{}:latest: pulling for web", registry.reference(&repository)))
        );
        assert!(log.contains(&format!("{}: is on the engine", rig("RIG_BASE"))));
        assert!(!log.contains("secret-of-the-rig"));
    })
    .await;
    let digest = registry.digest(&repository, "latest").await.unwrap().unwrap();
    registry.delete(&repository, "latest", &digest).await.unwrap();
    docker(&["rmi", &format!("{}:latest", registry.reference(&repository))]);
}

#[tokio::test]
async fn without_a_registry_cranes_images_are_those_on_the_engine() {
    let image = Image::with("LABEL a=b");
    let compose = format!("services: {{web: {{image: '{}', command: {IDLE}}}}}", image.0);
    Trial::run(async |trial| {
        let mut deployment = trial.deployment(&compose);
        let repository = image.0.split(':').next().unwrap();
        deployment.known = BTreeSet::from([repository.to_owned()]);
        trial.deploy(None, &deployment).await.unwrap();
        assert_eq!(inspect(&trial.container("web"), "{{.Config.Image}}"), image.0);
    })
    .await;
}

#[tokio::test]
async fn a_registry_that_is_down_is_told_with_the_service() {
    let registry = Registry::open("127.0.0.1:9", None, None).unwrap();
    let compose = "services: {web: {image: default/web}}";
    Trial::run(async |trial| {
        let mut deployment = trial.deployment(compose);
        deployment.known = BTreeSet::from(["default/web".to_owned()]);
        let error = trial.deploy(Some(&registry), &deployment).await.unwrap_err();
        let (Error::Failed { .. } | Error::Unavailable { .. }) = &error else {
            panic!("{error:?}")
        };
        let words = error.to_string();
        assert!(words.contains("service 'web'") && words.contains("refused"), "{words}");
    })
    .await;
}
