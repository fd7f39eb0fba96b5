//! Secrets that go through Crane are in nothing that it tells.

use crate::support::{Crane, image, puppetfile, rig};

/// All that can be read of a resource, and of what happened to it.
async fn all_of(crane: &Crane, path: &str) -> String {
    let mut all = String::new();
    for end in ["", "/detail", "/log"] {
        all.push_str(&crane.get(&format!("{path}{end}")).await.text);
    }
    for event in crane.http.follow(&format!("{path}/log"), None).await.all().await {
        all.push_str(&event.data.to_string());
    }
    let token = path.rsplit('/').next().unwrap();
    let mut follow = crane.http.follow(&format!("/events?after=0&token={token}"), None).await;
    loop {
        let event = follow.next().await.unwrap();
        all.push_str(&event.data.to_string());
        if ["finished", "error"].contains(&event.data["status"].as_str().unwrap_or_default()) {
            return all;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_in_the_url_of_a_module_is_not_told() {
    let crane = Crane::with(&[("retries", "0")]).await;
    let git = rig("RIG_GIT").replace("http://", "http://me:p4ss-of-git@");
    let gone = "http://me:p4ss-of-git@127.0.0.1:1/x.git".to_owned();
    let modules = [format!("{git}/puppetlabs-stdlib.git"), format!("{git}/nonesuch.git"), gone];
    for (url, ends) in modules.iter().zip(["finished", "error", "error"]) {
        let body = crane.post("/builder/contexts", puppetfile("stdlib", url, "v8.5.0")).await.ok();
        let path = format!("/builder/contexts/{}", body["token"].as_str().unwrap());
        let ended = crane.reaches(&path, &["finished", "error"]).await;
        assert_eq!(ended["status"], ends, "{ended:#}");
        let all = all_of(&crane, &path).await;
        assert!(all.contains("stdlib") && !all.contains("p4ss-of-git"), "{all}");
    }
    crane.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_password_of_the_registry_is_not_told() {
    const PASSWORD: &str = "secret-of-the-rig";
    let registry = rig("RIG_REGISTRY_AUTH");
    let settings = [
        ("registry", registry.as_str()),
        ("registry_username", "crane"),
        ("registry_password", PASSWORD),
    ];
    let crane = Crane::with(&settings).await;
    // Somebody who knows it prints it, into both channels, and where a failed build is described.
    for (end, states) in [("true", "finished"), ("exit 3", "error")] {
        let script = format!("echo out {PASSWORD}; echo 'ERROR {PASSWORD}' >&2; {end}");
        let name = format!("password-{states}");
        let body = crane.post("/builder/images", image(&name, &script)).await.ok();
        let path = format!("/builder/images/{}", body["token"].as_str().unwrap());
        crane.reaches(&path, &[states]).await;
        let all = all_of(&crane, &path).await;
        assert!(all.contains("out ***") && !all.contains(PASSWORD), "{all}");
    }
    crane.close().await;
}
