//! Swagger UI as a person uses it, in a real Chromium.

mod chromium;

use std::time::Duration;

use serde_json::Value;

use self::chromium::Chromium;
use crate::support::{Crane, rig};

/// Between two looks at work that goes on in the background.
const PAUSE: Duration = Duration::from_millis(300);
const LOOKS: usize = 400;

/// The operation of that method and path, on the page.
fn operation(method: &str, path: &str) -> String {
    format!(".opblock-{method}:has([data-path='{path}'])")
}

/// Presses Execute in an unfolded operation; the status and the body that the page then shows.
async fn execute(chromium: &Chromium, operation: &str) -> (String, Value) {
    // The answer to an earlier press goes first, so that none is taken for the new one.
    if chromium.evaluate(&format!("!!document.querySelector(\"{operation} .btn-clear\")")).await
        == true
    {
        chromium.click(&format!("{operation} .btn-clear")).await;
    }
    chromium.click(&format!("{operation} .execute")).await;
    let answer = format!("{operation} .live-responses-table .response");
    let status = chromium.find(&format!("{answer} .response-col_status")).await;
    let body = chromium.show(&format!("{answer} .highlight-code code")).await;
    let text = body.text().await.unwrap();
    let json = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"));
    (status.text().await.unwrap(), json)
}

/// What holds for every visit: nothing was refused or failed, and nobody else was asked.
async fn assert_clean(chromium: &Chromium, origin: &str) {
    let complaints = chromium.evaluate("document.querySelectorAll('.errors-wrapper').length").await;
    assert_eq!(complaints, 0, "Swagger UI finds fault with the document");
    let console = chromium.console().await;
    assert!(console.is_empty(), "{console:#?}");
    let requests = chromium.requests().await;
    assert!(requests.iter().any(|url| url.ends_with("/openapi.json")), "{requests:#?}");
    for url in requests {
        assert!(url.starts_with(&format!("{origin}/")) || url.starts_with("data:"), "{url}");
    }
}

#[tokio::test]
async fn a_context_is_made_by_hand() {
    let crane = Crane::start().await;
    let origin = crane.url.clone();
    let directory = tempfile::tempdir().unwrap();
    let puppetfile = directory.path().join("Puppetfile");
    let git = rig("RIG_GIT");
    let module = format!("mod 'stdlib', :git => '{git}/puppetlabs-stdlib.git', :tag => 'v8.5.0'\n");
    std::fs::write(&puppetfile, module).unwrap();

    Chromium::with("light", async |chromium| {
        chromium.open(&format!("{origin}/")).await;
        chromium.find(&operation("post", "/builder/contexts")).await;
        chromium.screenshot("light").await;

        let create = operation("post", "/builder/contexts");
        chromium.click(&format!("{create} .opblock-summary-control")).await;
        let file = format!("{create} [data-property-name=puppetfile] input[type=file]");
        chromium.pick(&file, &puppetfile).await;
        chromium.screenshot("unfolded").await;
        let (status, context) = execute(chromium, &create).await;
        chromium.screenshot("executed").await;
        assert!(status.starts_with("200"), "{status}: {context}");
        let token = context["token"].as_str().unwrap_or_else(|| panic!("no token in {context}"));
        assert!(token.starts_with("CT"), "{token}");

        let look = operation("get", "/builder/contexts/{token}");
        chromium.click(&format!("{look} .opblock-summary-control")).await;
        chromium.fill(&format!("{look} tr[data-param-name=token] input"), token).await;
        for _ in 0..LOOKS {
            let (_, context) = execute(chromium, &look).await;
            assert_eq!(context["token"], token);
            match context["status"].as_str() {
                Some("building") => tokio::time::sleep(PAUSE).await,
                Some("finished") => {
                    chromium.screenshot("finished").await;
                    return assert_clean(chromium, &origin).await;
                }
                _ => panic!("{context}"),
            }
        }
        panic!("the context {token} is still being built");
    })
    .await;
    crane.close().await;
}

#[tokio::test]
async fn the_page_is_dark_where_the_system_is() {
    let crane = Crane::start().await;
    let origin = crane.url.clone();
    for scheme in ["light", "dark"] {
        Chromium::with(scheme, async |chromium| {
            chromium.open(&format!("{origin}/")).await;
            chromium.find(&operation("post", "/builder/contexts")).await;
            chromium.screenshot(scheme).await;
            let background = "getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]";
            let red = chromium.evaluate(background).await;
            let red = red.as_str().unwrap().parse::<u8>().unwrap();
            assert_eq!(red < 128, scheme == "dark", "{red}");
            assert_clean(chromium, &origin).await;
        })
        .await;
    }
    crane.close().await;
}

#[tokio::test]
async fn the_token_is_entered_on_the_page() {
    const TOKEN: &str = "token-of-the-browser-test";
    let crane = Crane::with(&[("api_token", TOKEN)]).await;
    let list = operation("get", "/builder/contexts");
    let unfold = format!("{list} .opblock-summary-control");

    Chromium::with("dark", async |chromium| {
        chromium.open(&crane.url).await;
        chromium.click(&unfold).await;
        let (status, error) = execute(chromium, &list).await;
        assert!(status.starts_with("401"), "{status}: {error}");
        assert_eq!(error["error"], "unauthorized");

        chromium.click(".scheme-container .authorize").await;
        chromium.fill(".modal-ux input", TOKEN).await;
        chromium.screenshot("authorize").await;
        chromium.click(".modal-ux .authorize").await;
        chromium.click(".modal-ux .btn-done").await;
        let (status, body) = execute(chromium, &list).await;
        assert!(status.starts_with("200"), "{status}: {body}");

        // A page that is opened again still has it. (The address has the open operation in it.)
        chromium.open("about:blank").await;
        chromium.open(&crane.url).await;
        chromium.click(&unfold).await;
        let (status, body) = execute(chromium, &list).await;
        assert!(status.starts_with("200"), "{status}: {body}");
    })
    .await;
}
