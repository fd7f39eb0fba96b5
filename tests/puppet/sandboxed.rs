//! Installations by the real r10k, in its container on the rig's engine.

mod attacks;
mod cancelled;
mod installed;
mod passing;

use std::{collections::BTreeMap, path::Path, time::Duration};

use crane::{
    error::Result,
    model::{LABEL_INSTANCE, LABEL_RESOURCE, Line, Log},
    puppet::{self, Brought, Engine, Native, NativeSettings, Sandbox, Settings},
};

use super::{entries, problems};
use crate::support::{self, docker::labelled, rig};

/// r10k as a test has it, and whose its containers are.
struct Case {
    settings: Settings,
    labels: BTreeMap<String, String>,
}

impl Case {
    /// On the network of this machine, where the rig's git server and Forge are.
    fn new(home: &Path) -> Self {
        Self::on(home, "host")
    }

    fn on(home: &Path, network: &str) -> Self {
        let cache = home.join("cache");
        let sandbox = Sandbox {
            engine: support::engine(),
            image: rig("RIG_R10K"),
            login: None,
            network: network.to_owned(),
            memory: 512 << 20,
        };
        let settings = Settings {
            work: home.join("work"),
            forge: Some(rig("RIG_FORGE")),
            time_limit: Duration::from_secs(300),
            engine: Engine::R10k,
            native: Native::open(NativeSettings { cache, ..NativeSettings::default() }).unwrap(),
            r10k: Some(sandbox),
        };
        let token = uuid::Uuid::new_v4().simple().to_string();
        let labels = [(LABEL_INSTANCE, "test".to_owned()), (LABEL_RESOURCE, token)]
            .map(|(key, value)| (key.to_owned(), value));
        Self { settings, labels: labels.into() }
    }

    /// What is on the engine of this box's.
    fn containers(&self) -> String {
        labelled(&format!("{LABEL_RESOURCE}={}", self.labels[LABEL_RESOURCE]))
    }

    /// Installs a Puppetfile into `<home>/context`; also what was logged. Nothing is left of it but
    /// the modules.
    async fn install(&self, home: &Path, puppetfile: &str) -> (Result<Brought>, String) {
        let (sender, mut receiver) = tokio::sync::mpsc::channel::<Line>(16);
        let logged = tokio::spawn(async move {
            let mut text = String::new();
            while let Some(line) = receiver.recv().await {
                text.push_str(&line.text);
                text.push('\n');
            }
            text
        });
        let log = Log::new(sender);
        let context = home.join("context");
        let result =
            puppet::install_by_r10k(&self.settings, puppetfile, &context, &self.labels, &log).await;
        drop(log);
        let logged = logged.await.unwrap();
        assert_eq!(self.containers(), "", "{logged}");
        let staging = entries(&context).into_iter().find(|name| name.contains("staging"));
        assert_eq!(staging, None, "{logged}");
        (result, logged)
    }
}

async fn install(home: &Path, puppetfile: &str) -> (Result<Brought>, String) {
    Case::new(home).install(home, puppetfile).await
}
