//! Compositions that come up, and what they are then.

use std::{
    io::{BufRead, BufReader},
    net::TcpStream,
};

use crane::{deploy, model::Channel};

use super::{
    Trial,
    image::Image,
    inspect,
    services::{CALL, IDLE, SERVE},
};
use crate::support::docker::docker;

#[tokio::test]
async fn services_find_each_other_and_the_host_finds_them() {
    let compose = format!(
        r#"
services:
  client:
    image: BASE
    command: {CALL}
    environment: {{HOSTS: "db database store"}}
    links: ["db:database"]
  db:
    image: BASE
    command: {SERVE}
    ports: ["127.0.0.1::7000"]
    networks: {{default: {{aliases: [store]}}}}
"#
    );
    Trial::run(async |trial| {
        trial.up(&compose).await.unwrap();
        assert_eq!(trial.things(), "P-client-1\nP-db-1\nP_default");
        let services = trial.status(&compose).await;
        let [client, db] = services.as_slice() else { panic!("{services:?}") };
        assert_eq!((client.name.as_str(), db.name.as_str()), ("client", "db"));
        assert_eq!(db.state, "running");
        assert_eq!(db.container.as_deref(), Some(trial.container("db").as_str()));
        assert!(db.runs_as_wanted && db.health.is_none() && db.exit_code.is_none());

        // The client is done as soon as it has called all three names.
        docker(&["wait", &trial.container("client")]);
        let services = trial.status(&compose).await;
        assert_eq!((services[0].state.as_str(), services[0].exit_code), ("exited", Some(0)));
        assert!(services[0].runs_as_wanted);

        let address = db.ports[0].split("->").next().unwrap();
        let mut answer = String::new();
        let connection = TcpStream::connect(address).unwrap();
        BufReader::new(connection).read_line(&mut answer).unwrap();
        assert_eq!(answer, "hello\n");
    })
    .await;
}

#[tokio::test]
async fn networks_separate_and_links_are_private() {
    let compose = format!(
        r#"
services:
  inside: {{image: BASE, command: {SERVE}, networks: [back]}}
  outside:
    image: BASE
    command: ["bash", "-c", "! getent hosts inside && ! getent hosts hidden"]
    networks: [front]
  both:
    image: BASE
    command: {CALL}
    environment: {{HOSTS: "inside hidden"}}
    links: ["inside:hidden"]
    networks: [front, back]
networks: {{front: , back: {{internal: true}}}}
"#
    );
    Trial::run(async |trial| {
        trial.up(&compose).await.unwrap();
        assert_eq!(trial.things(), "P-both-1\nP-inside-1\nP-outside-1\nP_back\nP_front");
        for service in ["both", "outside"] {
            assert_eq!(docker(&["wait", &trial.container(service)]), "0", "{service}");
        }
    })
    .await;
}

#[tokio::test]
async fn services_start_when_their_conditions_are_met() {
    let compose = format!(
        r#"
services:
  last:
    image: BASE
    command: ["bash", "-c", "test -e /shared/first"]
    volumes: ["shared:/shared:ro"]
    depends_on: {{first: {{condition: service_completed_successfully}}}}
  first:
    image: BASE
    command: ["bash", "-c", "sleep 1; touch /shared/first"]
    volumes: ["shared:/shared"]
    depends_on: [idle]
  idle: {{image: BASE, command: {IDLE}}}
volumes: {{shared: }}
"#
    );
    Trial::run(async |trial| {
        trial.up(&compose).await.unwrap();
        assert!(trial.status(&compose).await.iter().all(|service| service.runs_as_wanted));
        let log = trial.log_of(Channel::Up).await;
        let started: Vec<_> = log.lines().filter(|line| line.ends_with(": started")).collect();
        assert_eq!(
            started,
            ["service idle: started", "service first: started", "service last: started"]
        );
    })
    .await;
}

#[tokio::test]
async fn a_service_waits_until_another_one_is_healthy() {
    let check = "HEALTHCHECK --interval=200ms --retries=50 CMD test -e /tmp/ready";
    let image = Image::with(check);
    let compose = format!(
        r#"
services:
  last:
    image: BASE
    command: {CALL}
    environment: {{HOSTS: first}}
    depends_on: {{first: {{condition: service_healthy}}}}
  first: {{image: "{}", command: {SERVE}, entrypoint: [bash, -c, 'sleep 1; touch /tmp/ready; exec "$$@"', x]}}
"#,
        image.0
    );
    Trial::run(async |trial| {
        trial.up(&compose).await.unwrap();
        let first = &trial.status(&compose).await[0];
        assert_eq!(first.health.as_deref(), Some("healthy"));
    })
    .await;
}

#[tokio::test]
async fn volumes_that_an_image_wants_are_the_compositions_own() {
    let image = Image::with("VOLUME [\"/from-image\", \"/named\"]");
    let compose = format!(
        "services: {{web: {{image: '{}', command: {IDLE}, volumes: ['data:/named']}}}}\n\
         volumes: {{data: }}\n",
        image.0
    );
    Trial::run(async |trial| {
        trial.up(&compose).await.unwrap();
        let mounts =
            inspect(&trial.container("web"), "{{range .Mounts}}{{.Destination}}={{.Name}} {{end}}");
        let mounts = mounts.replace(&trial.project(), "P");
        assert!(mounts.contains("/named=P_data"), "{mounts}");
        assert!(mounts.contains("/from-image=P-web-"), "{mounts}");
        // All three are among what is listed, and removed, by label.
        assert_eq!(trial.things().lines().count(), 4);
    })
    .await;
}

#[tokio::test]
async fn everything_carries_cranes_labels_and_the_users() {
    let compose = format!(
        "services: {{web: {{image: BASE, command: {IDLE}, labels: {{tier: front}}, \
         volumes: ['data:/data']}}}}\n\
         networks: {{default: {{labels: [mine]}}}}\nvolumes: {{data: {{labels: {{a: b}}}}}}\n"
    );
    Trial::run(async |trial| {
        trial.up(&compose).await.unwrap();
        let labels = |what: &str, name: &str, field: &str| {
            let format = format!("{{{{json {field}}}}}");
            let json = docker(&[what, "inspect", "--format", &format, name]);
            serde_json::from_str::<serde_json::Value>(&json).unwrap()
        };
        let all = [
            labels("container", &trial.container("web"), ".Config.Labels"),
            labels("network", &format!("{}_default", trial.project()), ".Labels"),
            labels("volume", &format!("{}_data", trial.project()), ".Labels"),
        ];
        for (labels, (name, value)) in all.iter().zip([("tier", "front"), ("mine", ""), ("a", "b")])
        {
            assert_eq!(labels["eu.cloudopting.crane.resource"], trial.token);
            assert_eq!(labels["eu.cloudopting.crane.instance"], super::INSTANCE);
            assert_eq!(labels[name], value);
        }
        assert_eq!(all[0]["eu.cloudopting.crane.service"], "web");
    })
    .await;
}

#[tokio::test]
async fn what_is_external_is_used_and_stays() {
    let name = format!("crane-test-deploy-{}-external", std::process::id());
    let compose = format!(
        "services: {{web: {{image: BASE, command: {IDLE}, networks: [corp], volumes: ['d:/d']}}}}\n\
         networks: {{corp: {{external: true, name: {name}}}}}\n\
         volumes: {{d: {{external: {{name: {name}}}}}}}\n"
    );
    docker(&["network", "create", &name]);
    docker(&["volume", "create", &name]);
    Trial::run(async |trial| {
        trial.up(&compose).await.unwrap();
        assert_eq!(trial.things(), "P-web-1");
        deploy::down(&trial.engine, &trial.token, true, &trial.log).await.unwrap();
    })
    .await;
    docker(&["network", "rm", &name]);
    docker(&["volume", "rm", &name]);
}

#[tokio::test]
async fn the_first_format_runs_as_well() {
    let compose = format!(
        "client:\n  image: BASE\n  command: {CALL}\n  environment: {{HOSTS: 'db database'}}\n  \
         links: [db, 'db:database']\ndb:\n  image: BASE\n  command: {SERVE}\n  volumes: ['data:/data']\n"
    );
    Trial::run(async |trial| {
        trial.up(&compose).await.unwrap();
        assert_eq!(trial.things(), "P-client-1\nP-db-1\nP_data\nP_default");
        assert_eq!(docker(&["wait", &trial.container("client")]), "0");
    })
    .await;
}

#[tokio::test]
async fn an_empty_entrypoint_is_none() {
    let image = Image::with("ENTRYPOINT [\"/bin/false\"]");
    let compose =
        format!("services: {{web: {{image: '{}', entrypoint: [], command: {IDLE}}}}}\n", image.0);
    Trial::run(async |trial| {
        trial.up(&compose).await.unwrap();
        assert_eq!(inspect(&trial.container("web"), "{{.State.Running}}"), "true");
    })
    .await;
}
