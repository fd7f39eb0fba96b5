//! What goes wrong on the engine; [`Trial::refusal`] asserts that nothing half-made is left.

use std::net::TcpListener;

use crane::{error::Error, model::Channel};

use super::{Trial, image::Image, services::IDLE};
use crate::support::{docker::docker, rig};

/// The description of the error, with the composition's own names made equal.
async fn reason(trial: &Trial, compose: &str) -> String {
    match trial.refusal(compose).await {
        Error::Failed { description, .. } => description.replace(&trial.project(), "P"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_service_that_ends_at_once() {
    let compose = format!(
        "services:\n  web:\n    image: BASE\n    command: [bash, -c, 'echo one; printf \"\\e[31mtwo\\n\"; exit 3']\n  \
         db: {{image: BASE, command: {IDLE}, volumes: ['d:/d', /e]}}\nvolumes: {{d: }}\n"
    );
    Trial::run(async |trial| {
        let error = trial.refusal(&compose).await;
        assert_eq!(error.to_string(), "service 'web' ended at once with code 3: two");
        let problems: Vec<_> = error.problems().iter().map(ToString::to_string).collect();
        assert_eq!(problems, ["services.web: one", "services.web: two"]);
        let log = trial.log_of(Channel::Up).await;
        assert!(
            log.contains("service web: two\n") && log.contains("volume P_d: removed\n"),
            "{log}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_service_that_restarts_again_and_again() {
    let compose =
        "services: {web: {image: BASE, command: 'sh -c \"echo no; exit 5\"', restart: always}}";
    Trial::run(async |trial| {
        let reason = reason(trial, compose).await;
        assert_eq!(reason, "service 'web' restarts again and again, with code 5: no");
    })
    .await;
}

#[tokio::test]
async fn a_service_that_needs_some_restarts_is_let_have_them() {
    let compose = "
services:
  web:
    image: BASE
    restart: on-failure
    command: [bash, -c, 'echo x >> /d/tries; [ $$(wc -l < /d/tries) -ge 4 ] || exit 1; trap exit TERM; sleep 600 & wait']
    volumes: [/d]
";
    Trial::run(async |trial| {
        trial.up(compose).await.unwrap();
        assert!(trial.status(compose).await[0].runs_as_wanted);
    })
    .await;
}

#[tokio::test]
async fn a_program_that_is_not_there() {
    let compose = "services: {web: {image: BASE, command: no-such-program}}";
    Trial::run(async |trial| {
        let reason = reason(trial, compose).await;
        assert!(reason.starts_with("service 'web' cannot start: "), "{reason}");
        assert!(reason.contains("no-such-program"), "{reason}");
    })
    .await;
}

#[tokio::test]
async fn a_port_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let compose = format!(
        "services:\n  web: {{image: BASE, command: {IDLE}, ports: ['{address}:80']}}\n  \
         db: {{image: BASE, command: {IDLE}}}\n"
    );
    Trial::run(async |trial| {
        let reason = reason(trial, &compose).await;
        assert!(reason.starts_with("service 'web' cannot start: "), "{reason}");
        assert!(reason.contains("address already in use"), "{reason}");
    })
    .await;
}

#[tokio::test]
async fn an_image_that_nobody_has() {
    let registry = rig("RIG_REGISTRY");
    let compose = format!("services: {{web: {{image: '{registry}/crane-test-deploy/nothing:1'}}}}");
    Trial::run(async |trial| {
        let reason = reason(trial, &compose).await;
        assert!(reason.starts_with("service 'web': "), "{reason}");
        assert!(reason.contains("not found") || reason.contains("unknown"), "{reason}");
    })
    .await;
}

#[tokio::test]
async fn a_container_name_that_is_taken() {
    let name = format!("crane-test-deploy-{}-taken", std::process::id());
    docker(&["create", "--name", &name, &rig("RIG_BASE"), "true"]);
    let compose = format!(
        "services:\n  web: {{image: BASE, command: {IDLE}, container_name: {name}}}\n  \
         db: {{image: BASE, command: {IDLE}}}\n"
    );
    Trial::run(async |trial| {
        let reason = reason(trial, &compose).await;
        assert!(reason.starts_with("service 'web': Conflict."), "{reason}");
    })
    .await;
    docker(&["rm", &name]);
}

#[tokio::test]
async fn names_that_others_have() {
    let name = format!("crane-test-deploy-{}-foreign", std::process::id());
    docker(&["network", "create", &name]);
    docker(&["volume", "create", &name]);
    let network = format!(
        "services: {{web: {{image: BASE, command: {IDLE}}}}}\nnetworks: {{default: {{name: {name}}}}}\n"
    );
    let volume = format!(
        "services: {{web: {{image: BASE, command: {IDLE}, volumes: ['d:/d']}}}}\n\
         volumes: {{d: {{name: {name}}}}}\n"
    );
    Trial::run(async |trial| {
        for (kind, compose) in [("network", network), ("volume", volume)] {
            let reason = reason(trial, &compose).await;
            assert!(
                reason.starts_with(&format!("{kind} {name}: there is one already")),
                "{reason}"
            );
        }
    })
    .await;
    docker(&["network", "rm", &name]);
    docker(&["volume", "rm", &name]);
}

#[tokio::test]
async fn what_is_external_and_not_there() {
    let network = format!(
        "services: {{web: {{image: BASE, command: {IDLE}, networks: [n]}}}}\n\
         networks: {{n: {{external: true, name: crane-test-nowhere}}}}\n"
    );
    let volume = format!(
        "services: {{web: {{image: BASE, command: {IDLE}, volumes: ['v:/v']}}}}\n\
         volumes: {{v: {{external: true, name: crane-test-nowhere}}}}\n"
    );
    Trial::run(async |trial| {
        for (kind, compose) in [("network", network), ("volume", volume)] {
            let reason = reason(trial, &compose).await;
            let expected =
                format!("{kind} 'crane-test-nowhere': it is external and not on the engine");
            assert_eq!(reason, expected);
        }
    })
    .await;
}

#[tokio::test]
async fn a_volume_with_other_settings_is_not_made_anew() {
    let compose = |options: &str| {
        format!(
            "services: {{web: {{image: BASE, command: {IDLE}, volumes: ['d:/d']}}}}\n\
             volumes: {{d: {options}}}\n"
        )
    };
    Trial::run(async |trial| {
        trial.up(&compose("")).await.unwrap();
        let error = trial.up(&compose("{labels: {a: b}}")).await.unwrap_err();
        assert!(error.to_string().contains("was made with other settings"), "{error}");
        assert!(trial.things().contains("P_d"));
    })
    .await;
}

#[tokio::test]
async fn conditions_that_are_never_met() {
    let unhealthy = Image::with("HEALTHCHECK --interval=100ms --retries=1 CMD false");
    let image = |image: &str, command: &str, condition: &str| {
        format!(
            "services:\n  web: {{image: BASE, command: {IDLE}, depends_on: {{db: {{condition: {condition}}}}}}}\n  \
             db: {{image: '{image}', command: {command}}}\n"
        )
    };
    let base = rig("RIG_BASE");
    Trial::run(async |trial| {
        for (compose, expected) in [
            (image(&unhealthy.0, IDLE, "service_healthy"), "service 'db' is unhealthy"),
            (
                image(&base, IDLE, "service_healthy"),
                "service 'db' has no health check in its image",
            ),
            (
                image(&base, "sh -c 'sleep 3; exit 1'", "service_completed_successfully"),
                "service 'db' ended with code 1",
            ),
        ] {
            let reason = reason(trial, &compose).await;
            assert_eq!(reason, format!("{expected}, and the service 'web' waits for it"));
        }
    })
    .await;
}

#[tokio::test]
async fn what_was_there_before_stays_when_an_update_fails() {
    let compose = |more: &str| {
        format!(
            "services:\n  db: {{image: BASE, command: {IDLE}, volumes: ['d:/d']}}\n{more}volumes: {{d: }}\n"
        )
    };
    Trial::run(async |trial| {
        trial.up(&compose("")).await.unwrap();
        let before = trial.things();
        let broken = compose("  web: {image: BASE, command: 'false', volumes: [/x]}\n");
        trial.up(&broken).await.unwrap_err();
        assert_eq!(trial.things(), before);
        assert!(trial.status(&compose("")).await[0].runs_as_wanted);
    })
    .await;
}

#[tokio::test]
async fn an_engine_that_is_not_there() {
    let endpoint =
        crane::engine::Endpoint { url: "unix:///nowhere/docker.sock".to_owned(), tls: None };
    let engine = crane::engine::connect(&endpoint);
    Trial::run(async |trial| {
        let deployment = trial.deployment("services: {web: {image: BASE}}");
        let Ok(engine) = engine else { return };
        let error = crane::deploy::up(&engine, None, &deployment, &trial.log).await.unwrap_err();
        assert!(matches!(error, Error::Unavailable { what: "engine", .. }), "{error:?}");
        assert!(error.retry().is_some(), "it may be started: {error:?}");
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_removed_is_named_and_removed_the_next_time() {
    let compose = format!("services: {{web: {{image: BASE, command: {IDLE}}}}}");
    let guest = format!("crane-test-deploy-{}-guest", std::process::id());
    Trial::run(async |trial| {
        trial.up(&compose).await.unwrap();
        let network = format!("{}_default", trial.project());
        let base = rig("RIG_BASE");
        docker(&[
            "run",
            "--detach",
            "--name",
            &guest,
            "--network",
            &network,
            &base,
            "sleep",
            "600",
        ]);
        let down = crane::deploy::down(&trial.engine, &trial.token, true, &trial.log).await;
        docker(&["rm", "--force", &guest]);
        let error = down.unwrap_err();
        assert_eq!(error.to_string(), format!("not removed: network {network}"));
        assert!(error.problems()[0].message.contains("active endpoints"), "{error:?}");
        crane::deploy::down(&trial.engine, &trial.token, true, &trial.log).await.unwrap();
    })
    .await;
}
