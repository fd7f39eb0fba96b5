//! A Crane of a test's own: in this process, on a free port, with everything else real.

use std::{ops::Deref, path::Path, sync::Arc, time::Duration};

use crane::{api, config::Sources, crane::Crane as Parts};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

use super::{
    docker,
    http::{Answer, Http},
    rig,
};

/// Nothing that a test waits for takes longer, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(240);

pub(crate) struct Crane {
    pub(crate) http: Http,
    pub(crate) url: String,
    pub(crate) parts: Arc<Parts>,
    pub(crate) data_dir: TempDir,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

impl Deref for Crane {
    type Target = Http;
    fn deref(&self) -> &Http {
        &self.http
    }
}

impl Crane {
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// With these settings over those of the rig. The registry's prefix keeps tests apart.
    pub(crate) async fn with(settings: &[(&'static str, &str)]) -> Self {
        let data_dir = tempfile::Builder::new().prefix("crane-test-").tempdir().unwrap();
        Self::on(data_dir, settings).await
    }

    /// On a data directory that an earlier one may have had.
    pub(crate) async fn on(data_dir: TempDir, settings: &[(&'static str, &str)]) -> Self {
        let prefix = data_dir.path().file_name().unwrap().to_str().unwrap().to_lowercase();
        let mut flags = vec![
            ("bind", "127.0.0.1:0".to_owned()),
            ("data_dir", data_dir.path().to_str().unwrap().to_owned()),
            ("store", "memory:".to_owned()),
            ("engine", rig("RIG_ENGINE")),
            ("registry", format!("{}/{prefix}", rig("RIG_REGISTRY"))),
            ("forge", rig("RIG_FORGE")),
        ];
        flags.extend(settings.iter().map(|(key, value)| (*key, (*value).to_owned())));
        let config = Sources::from_flags(flags).check().unwrap();
        let parts = Parts::open(&config).await.unwrap();
        let listener = TcpListener::bind(config.bind).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn({
            let parts = Arc::clone(&parts);
            async move {
                let shutdown = async move { stopped.await.unwrap_or_default() };
                api::serve(listener, parts, shutdown).await.unwrap();
            }
        });
        Self { http: Http::new(&url), url, parts, data_dir, stop, served }
    }

    /// The prefix of its images in the registry.
    pub(crate) fn registry(&self) -> String {
        self.parts.jobs.parts.registry.as_ref().unwrap().reference("").trim_end_matches('/').into()
    }

    /// The resource once it is in one of these states.
    #[track_caller]
    pub(crate) fn reaches(&self, path: &str, states: &[&str]) -> impl Future<Output = Value> {
        reaches(&self.http, path.to_owned(), states.iter().map(ToString::to_string).collect())
    }

    /// The resource once its work has ended well.
    pub(crate) async fn finished(&self, path: &str) -> Value {
        let body = self.reaches(path, &["finished", "error", "ready"]).await;
        if body["status"] == "error" {
            let detail: Answer = self.get(&format!("{path}/detail")).await;
            panic!("{path} failed: {:#}", detail.json());
        }
        body
    }

    /// Waits until a line of the resource's log ends so.
    pub(crate) async fn prints(&self, path: &str, end: &str) {
        let poll = async {
            loop {
                let detail = self.get(&format!("{path}/detail")).await.ok();
                assert_ne!(detail["status"], "error", "{detail:#}");
                if detail["log"].as_str().unwrap().lines().any(|line| line.ends_with(end)) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, poll).await.expect("the log has no such line");
    }

    /// The resource once its work has failed.
    pub(crate) async fn failed(&self, path: &str) -> Value {
        let body = self.reaches(path, &["finished", "error", "ready"]).await;
        assert_eq!(body["status"], "error", "{body:#}");
        body
    }

    /// Stops as SIGTERM does, and leaves everything as it is.
    pub(crate) async fn stop(self) -> TempDir {
        self.stop.send(()).unwrap();
        self.served.await.unwrap();
        self.data_dir
    }

    /// Purges, stops, and sees that nothing is left: on the engine, in the registry's index of
    /// this test, or in the data directory.
    pub(crate) async fn close(self) {
        let instance = self.parts.jobs.parts.instance.clone();
        let purged = self.send("POST", "/extra/purge", &[], Vec::new()).await.ok();
        assert_eq!(purged["status"], "finished", "{purged:#}");
        assert_eq!(entries(&self.data_dir.path().join("contexts")), 0);
        self.stop().await;
        docker::assert_nothing_labelled(&format!("eu.cloudopting.crane.instance={instance}"));
    }
}

async fn reaches(http: &Http, path: String, states: Vec<String>) -> Value {
    let poll = async {
        loop {
            let body = http.get(&path).await.ok();
            if states.iter().any(|state| body["status"] == state.as_str()) {
                return body;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    match tokio::time::timeout(PATIENCE, poll).await {
        Ok(body) => body,
        Err(_) => panic!("{path} is not {states:?} yet: {}", http.get(&path).await.text),
    }
}

fn entries(directory: &Path) -> usize {
    std::fs::read_dir(directory).map(Iterator::count).unwrap_or_default()
}
