//! Deployments that are dropped half way.

use std::time::Duration;

use crane::deploy;

use super::{Trial, services::IDLE};

#[tokio::test]
async fn what_a_dropped_deployment_leaves_is_taken_down() {
    let services: String = (0..4)
        .map(|n| format!("  s{n}: {{image: BASE, command: {IDLE}, volumes: ['d:/d', /e], networks: [a, b]}}\n"))
        .collect();
    let compose = format!("services:\n{services}networks: {{a: , b: }}\nvolumes: {{d: }}\n");
    Trial::run(async |trial| {
        for milliseconds in [0, 20, 60, 120, 200, 300, 450, 700, 1000] {
            let up = tokio::time::timeout(Duration::from_millis(milliseconds), trial.up(&compose));
            if let Ok(done) = up.await {
                done.unwrap();
            }
            deploy::down(&trial.engine, &trial.token, true, &trial.log).await.unwrap();
            assert_eq!(trial.things(), "", "after {milliseconds} ms");
        }
        // And again, without a disturbance.
        trial.up(&compose).await.unwrap();
        assert!(trial.status(&compose).await.iter().all(|service| service.runs_as_wanted));
    })
    .await;
}

/// Jobs spawn deployments.
#[test]
fn deployments_can_be_sent_to_another_thread() {
    fn check<T: Send>(_: impl FnOnce(&'static crane::engine::Engine) -> T) {}
    check(|engine| deploy::down(engine, "", false, leak()));
    check(|engine| deploy::up(engine, None, leak(), leak()));
    check(|engine| deploy::status(engine, "", leak()));
}

fn leak<T>() -> &'static T {
    unreachable!("this is about types only")
}
