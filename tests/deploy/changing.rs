//! Compositions that are brought up again, and taken down.

use crane::{
    deploy,
    model::{Channel, LABEL_INSTANCE},
};

use super::{Trial, inspect, services::IDLE};
use crate::support::docker::docker;

#[tokio::test]
async fn a_second_run_touches_only_what_changed() {
    let compose = format!(
        r#"
services:
  web: {{image: BASE, command: {IDLE}, environment: {{COLOUR: red}}, volumes: ["data:/data", /cache]}}
  db: {{image: BASE, command: {IDLE}}}
  old: {{image: BASE, command: {IDLE}, networks: [side]}}
volumes: {{data: }}
networks: {{side: }}
"#
    );
    let changed = compose
        .replace("red", "blue")
        .lines()
        .filter(|line| !line.contains("old:") && !line.contains("side"))
        .collect::<Vec<_>>()
        .join("\n");
    Trial::run(async |trial| {
        let id = |service| inspect(&trial.container(service), "{{.Id}}");
        trial.up(&compose).await.unwrap();
        let before = (id("web"), id("db"), trial.things());
        for path in ["/data/kept", "/cache/kept"] {
            docker(&["exec", &trial.container("web"), "touch", path]);
        }

        trial.up(&compose).await.unwrap();
        assert_eq!((id("web"), id("db"), trial.things()), before);

        trial.up(&changed).await.unwrap();
        assert_ne!(id("web"), before.0);
        assert_eq!(id("db"), before.1);
        assert!(inspect(&trial.container("web"), "{{.Config.Env}}").contains("COLOUR=blue"));
        docker(&["exec", &trial.container("web"), "ls", "/data/kept", "/cache/kept"]);
        assert!(!trial.things().contains("old") && !trial.things().contains("side"));
    })
    .await;
}

#[tokio::test]
async fn a_service_that_was_stopped_or_removed_comes_back() {
    let compose = format!(
        "services: {{a: {{image: BASE, command: {IDLE}}}, b: {{image: BASE, command: {IDLE}}}}}"
    );
    Trial::run(async |trial| {
        trial.up(&compose).await.unwrap();
        docker(&["stop", &trial.container("a")]);
        docker(&["rm", "--force", &trial.container("b")]);
        let services = trial.status(&compose).await;
        assert_eq!(services[0].state, "exited");
        assert!(!services[1].runs_as_wanted && services[1].container.is_none());
        assert_eq!(services[1].state, "absent");

        trial.up(&compose).await.unwrap();
        assert!(trial.status(&compose).await.iter().all(|service| service.runs_as_wanted));
    })
    .await;
}

#[tokio::test]
async fn a_container_that_lost_a_network_is_made_anew() {
    // As a process leaves it that ends between making a container and connecting it.
    let compose = format!(
        "services: {{web: {{image: BASE, command: {IDLE}, networks: [a, b]}}}}\n\
         networks: {{a: , b: }}\n"
    );
    Trial::run(async |trial| {
        trial.up(&compose).await.unwrap();
        let web = trial.container("web");
        docker(&["network", "disconnect", &format!("{}_b", trial.project()), &web]);
        trial.up(&compose).await.unwrap();
        let networks =
            inspect(&web, "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}");
        assert_eq!(networks.replace(&trial.project(), "P"), "P_a P_b");
    })
    .await;
}

#[tokio::test]
async fn a_network_that_changed_takes_its_services_with_it() {
    let compose = |internal| {
        format!(
            "services:\n  on: {{image: BASE, command: {IDLE}, networks: [n]}}\n  \
             off: {{image: BASE, command: {IDLE}}}\nnetworks: {{n: {{internal: {internal}}}}}\n"
        )
    };
    Trial::run(async |trial| {
        let id = |service| inspect(&trial.container(service), "{{.Id}}");
        trial.up(&compose(false)).await.unwrap();
        let (on, off) = (id("on"), id("off"));
        trial.up(&compose(true)).await.unwrap();
        assert_ne!(id("on"), on);
        assert_eq!(id("off"), off);
        let network = format!("{}_n", trial.project());
        assert_eq!(docker(&["network", "inspect", "--format", "{{.Internal}}", &network]), "true");
    })
    .await;
}

#[tokio::test]
async fn named_volumes_stay_unless_they_are_to_go() {
    let compose = format!(
        "services: {{web: {{image: BASE, command: {IDLE}, volumes: ['data:/data', /cache]}}}}\n\
         volumes: {{data: }}\n"
    );
    Trial::run(async |trial| {
        trial.up(&compose).await.unwrap();
        deploy::down(&trial.engine, &trial.token, false, &trial.log).await.unwrap();
        assert_eq!(trial.things(), "P_data");
        assert!(trial.log_of(Channel::Up).await.ends_with("volume P_data: kept\n"));
        deploy::down(&trial.engine, &trial.token, true, &trial.log).await.unwrap();
        assert_eq!(trial.things(), "");
        deploy::down(&trial.engine, &trial.token, true, &trial.log).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn everything_of_an_instance_goes_by_its_label() {
    let compose = format!(
        "services: {{web: {{image: BASE, command: {IDLE}, volumes: ['data:/data']}}}}\n\
         volumes: {{data: }}\n"
    );
    Trial::run(async |trial| {
        let instance = format!("{}-{}", super::INSTANCE, std::process::id());
        let mut deployment = trial.deployment(&compose);
        deployment.instance.clone_from(&instance);
        trial.deploy(None, &deployment).await.unwrap();
        let label = format!("{LABEL_INSTANCE}={instance}");
        deploy::remove_labelled(&trial.engine, &label).await.unwrap();
        assert_eq!(trial.things(), "");
    })
    .await;
}
