//! What goes well.

use std::{
    io::{BufRead, BufReader},
    net::TcpStream,
};

use crane::{deploy, model::Channel};

use super::{
    Trial, docker, inspect,
    services::{CALL, IDLE, SERVE},
};

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
        let networks = inspect(&web, "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}");
        assert_eq!(networks.replace(&trial.project(), "P"), "P_a P_b ");
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
    let image = docker_image(check);
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

/// An image of the test's own, removed with the value.
pub(super) struct Image(pub(super) String);

pub(super) fn docker_image(change: &str) -> Image {
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let name = format!("crane-test-deploy/image-{}-{count}:latest", std::process::id());
    let container = docker(&["create", &crate::support::rig("RIG_BASE"), "true"]);
    docker(&["commit", "--change", change, &container, &name]);
    docker(&["rm", &container]);
    Image(name)
}

impl Drop for Image {
    fn drop(&mut self) {
        docker(&["rmi", &self.0]);
    }
}

#[tokio::test]
async fn volumes_that_an_image_wants_are_the_compositions_own() {
    let image = docker_image("VOLUME [\"/from-image\", \"/named\"]");
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
    let image = docker_image("ENTRYPOINT [\"/bin/false\"]");
    let compose =
        format!("services: {{web: {{image: '{}', entrypoint: [], command: {IDLE}}}}}\n", image.0);
    Trial::run(async |trial| {
        trial.up(&compose).await.unwrap();
        assert_eq!(inspect(&trial.container("web"), "{{.State.Running}}"), "true");
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
        let label = format!("{}={instance}", crane::model::LABEL_INSTANCE);
        deploy::remove_labelled(&trial.engine, &label).await.unwrap();
        assert_eq!(trial.things(), "");
    })
    .await;
}
