//! A job of whom Crane dies each time it is begun.

use crane::store;
use serde_json::Value;
use tempfile::TempDir;

use super::{long_build, unique};
use crate::support::{Form, Program, docker, rig};

/// An image's build has nothing to clear away when it is cut off, a composition has.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_three_processes_died_with_is_dead_and_what_it_made_is_removed() {
    let data = TempDir::new().unwrap();
    let program = Program::new(data.path());
    let mut served = program.start();
    let body = served.http.post("/builder/images", long_build(&unique("dies"), 600)).await.ok();
    let image = format!("/builder/images/{}", body["token"].as_str().unwrap());
    let base = rig("RIG_BASE");
    let compose = format!(
        "services:\n  first:\n    image: {base}\n    command: [sleep, '600']\n  \
         second:\n    image: {base}\n    command: [sleep, '600']\n    \
         depends_on: {{first: {{condition: service_completed_successfully}}}}\n"
    );
    let form = Form::default().file("composefile", "c.yml", compose);
    let body = served.http.post("/composer", form).await.ok();
    let token = body["token"].as_str().unwrap();
    let composition = format!("/composer/{token}");
    let label = format!("eu.cloudopting.crane.resource={token}");
    let filter = format!("label={label}");
    for crash in 1..=3 {
        served.prints(&image, "began", crash).await;
        // The process that is to die has come to the point where it waits for the first service.
        let begun = || served.log().contains(&format!("composition:{token}"));
        crate::support::within(120, "the composition is begun", async || {
            begun() && !docker::docker(&["ps", "--quiet", "--filter", &filter]).is_empty()
        })
        .await;
        assert_eq!(served.http.get(&composition).await.ok()["status"], "providing");
        served.end("KILL");
        served = program.start();
    }
    for path in [&image, &composition] {
        let body = served.ends(path).await;
        assert_eq!(body["status"], "error", "{body:#}");
        let description = body["description"].as_str().unwrap();
        let reason = "begun 3 times, and each time Crane ended in the middle of it; it is not \
                      begun again";
        assert_eq!(description, reason);
    }
    docker::assert_nothing_labelled(&label);
    served.end("TERM");
    let store = store::open("filesystem:", data.path()).await.unwrap();
    for key in [format!("composition:{token}"), format!("image:{}", &image[16..])] {
        let record: Value = store.read(&key).await.unwrap().unwrap().value;
        assert_eq!(record["outcome"], "dead", "{record:#}");
    }
    drop(store);
    program.start().purge().await;
}
