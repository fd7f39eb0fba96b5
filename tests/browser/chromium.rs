//! A headless Chromium with an empty profile, and what it noted about the pages it showed.

use std::{
    panic::AssertUnwindSafe,
    path::{Path, PathBuf},
    time::Duration,
};

use fantoccini::{
    Client, ClientBuilder, Locator, elements::Element, error::CmdError,
    wd::WebDriverCompatibleCommand,
};
use futures_util::FutureExt;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use url::Url;

use crate::support::rig;

/// Long enough for a machine that is busy with other tests; what is there earlier is not waited
/// for.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Chromium {
    client: Client,
}

impl Chromium {
    /// Runs `journey` in a browser of its own, and closes that also when the journey fails.
    pub(super) async fn with(scheme: &str, journey: impl AsyncFnOnce(&Chromium)) {
        let profile = tempfile::tempdir().unwrap();
        let capabilities = json!({
            "browserName": "chrome",
            "goog:chromeOptions": {
                "binary": rig("RIG_CHROMIUM"),
                "args": [
                    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
                    "--disable-background-networking", "--disable-component-update",
                    "--disable-sync", "--window-size=1280,1000",
                    format!("--user-data-dir={}", profile.path().display()),
                    // 0 is dark, 1 is light (`preferredColorScheme` in Chromium's settings).
                    format!("--blink-settings=preferredColorScheme={}", u8::from(scheme == "light")),
                ],
            },
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        });
        let Value::Object(capabilities) = capabilities else { unreachable!() };
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&rig("RIG_CHROMEDRIVER"))
            .await
            .expect("chromedriver is a part of the rig");
        let chromium = Self { client };
        let outcome = AssertUnwindSafe(journey(&chromium)).catch_unwind().await;
        if outcome.is_err() {
            chromium.screenshot("failed").await;
        }
        chromium.client.close().await.unwrap();
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    }

    pub(super) async fn open(&self, url: &str) {
        self.client.goto(url).await.unwrap();
    }

    /// The element, as soon as there is one.
    pub(super) async fn find(&self, css: &str) -> Element {
        let found = self.client.wait().at_most(PATIENCE).for_element(Locator::Css(css)).await;
        found.unwrap_or_else(|error| panic!("{css}: {error}"))
    }

    /// Scrolls the element to the middle of the window, where nothing lies above it.
    pub(super) async fn show(&self, css: &str) -> Element {
        let element = self.find(css).await;
        let arguments = vec![serde_json::to_value(&element).unwrap()];
        let script = "arguments[0].scrollIntoView({block: 'center'})";
        self.client.execute(script, arguments).await.unwrap();
        element
    }

    pub(super) async fn click(&self, css: &str) {
        self.show(css).await.click().await.unwrap_or_else(|error| panic!("{css}: {error}"));
    }

    /// Replaces what is in a field.
    pub(super) async fn fill(&self, css: &str, text: &str) {
        let field = self.find(css).await;
        field.clear().await.unwrap_or_else(|error| panic!("{css}: {error}"));
        field.send_keys(text).await.unwrap_or_else(|error| panic!("{css}: {error}"));
    }

    /// Picks a file, as the dialogue behind the button does.
    pub(super) async fn pick(&self, css: &str, file: &Path) {
        let file = file.to_str().unwrap();
        self.find(css).await.send_keys(file).await.unwrap_or_else(|error| panic!("{css}: {error}"));
    }

    pub(super) async fn evaluate(&self, script: &str) -> Value {
        self.client.execute(&format!("return {script}"), Vec::new()).await.unwrap()
    }

    /// Writes what the window shows to `target/tmp/browser/NAME.png`, to be looked at.
    pub(super) async fn screenshot(&self, name: &str) {
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("browser");
        std::fs::create_dir_all(&directory).unwrap();
        let picture = self.client.screenshot().await.unwrap();
        std::fs::write(directory.join(format!("{name}.png")), picture).unwrap();
    }

    /// Everything on the console: what pages write there, errors, refused and failed requests.
    pub(super) async fn console(&self) -> Vec<String> {
        let entries = self.log("browser").await.unwrap();
        entries.iter().map(|entry| format!("{} {}", entry["level"], entry["message"])).collect()
    }

    /// The address of every request that a page from the web made or tried to make. (The browser
    /// starts with a page of its own.)
    pub(super) async fn requests(&self) -> Vec<String> {
        let entries = self.log("performance").await.unwrap();
        entries
            .iter()
            .map(|entry| {
                let message = entry["message"].as_str().unwrap();
                serde_json::from_str::<Value>(message).unwrap()["message"].take()
            })
            .filter(|event| event["method"] == "Network.requestWillBeSent")
            .map(|event| event["params"].clone())
            .filter(|request| request["documentURL"].as_str().unwrap().starts_with("http"))
            .map(|request| request["request"]["url"].as_str().unwrap().to_owned())
            .collect()
    }

    async fn log(&self, kind: &'static str) -> Result<Vec<Value>, CmdError> {
        let entries = self.client.issue_cmd(ReadLog(kind)).await?;
        Ok(entries.as_array().unwrap().clone())
    }
}

/// Chromedriver's command for its logs, each of which it hands out once.
#[derive(Debug)]
struct ReadLog(&'static str);

impl WebDriverCompatibleCommand for ReadLog {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, url::ParseError> {
        base.join(&format!("session/{}/se/log", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(json!({"type": self.0}).to_string()))
    }
}
