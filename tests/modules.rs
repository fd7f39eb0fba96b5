//! What stands in a context, exactly: `/modules` and `/lock`, and locks that are posted.

use serde_json::{Value, json};

use crate::support::{Crane, Form, rig};

fn form(puppetfile: &str) -> Form {
    Form::default().file("puppetfile", "Puppetfile", puppetfile)
}

fn stdlib() -> String {
    format!("mod 'stdlib', git: '{}/puppetlabs-stdlib.git', tag: 'v8.5.0'\n", rig("RIG_GIT"))
}

/// The path of a finished context.
async fn finished(crane: &Crane, form: Form) -> String {
    let body = crane.post("/builder/contexts", form).await.ok();
    let path = format!("/builder/contexts/{}", body["token"].as_str().unwrap());
    crane.finished(&path).await;
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn modules_are_told_with_their_source_digest_and_needs() {
    let crane = Crane::start().await;
    let puppetfile = format!("{}mod 'puppetlabs/concat', '7.3.1'\n", stdlib());
    let path = finished(&crane, form(&puppetfile)).await;
    let body = crane.get(&format!("{path}/modules")).await.ok();
    let [stdlib, concat] = body["modules"].as_array().unwrap().as_slice() else {
        panic!("{body:#}")
    };
    assert_eq!(
        (&stdlib["source"], &stdlib["version"], stdlib["commit"].as_str().unwrap().len()),
        (&json!("git"), &json!("8.5.0"), 40)
    );
    assert_eq!((&concat["source"], &concat["path"]), (&json!("forge"), &json!("modules/concat")));
    assert_eq!(concat["licence"], "Apache-2.0");
    let needed = &concat["dependencies"][0];
    assert_eq!((&needed["name"], &needed["state"]), (&json!("puppetlabs/stdlib"), &json!("met")));
    for digest in [&body["digest"], &stdlib["digest"], &concat["digest"]] {
        assert!(digest.as_str().unwrap().starts_with("sha256:"), "{body:#}");
    }

    // Without it, what is needed is missing; and nothing depends on where or when it is installed.
    let alone = finished(&crane, form("mod 'puppetlabs/concat', '7.3.1'\n")).await;
    let alone = crane.get(&format!("{alone}/modules")).await.ok();
    assert_eq!(alone["modules"][0]["dependencies"][0]["state"], "missing");
    assert_eq!(alone["modules"][0]["digest"], concat["digest"]);
    crane.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_is_posted_holds_or_nothing_is_installed() {
    let crane = Crane::start().await;
    let path = finished(&crane, form(&stdlib())).await;
    let answer = crane.get(&format!("{path}/lock")).await;
    assert_eq!(answer.headers["content-disposition"], "attachment; filename=\"Puppetfile.lock\"");
    let lock = answer.text;
    let with = |lock: &str| form(&stdlib()).file("lock", "Puppetfile.lock", lock);
    let again = finished(&crane, with(&lock)).await;
    assert_eq!(crane.get(&format!("{again}/lock")).await.text, lock);

    // Nobody has these contents: the installation fails, and says what is not as locked.
    let parsed: Value = serde_json::from_str(&lock).unwrap();
    let digest = parsed["modules"][0]["digest"].as_str().unwrap();
    let zeros = format!("sha256:{}", "0".repeat(64));
    let whole = parsed["digest"].as_str().unwrap();
    let of_zeros = {
        use sha2::{Digest, Sha256};
        let lines = format!("{zeros}  modules/stdlib\n");
        let hex: String = Sha256::digest(lines).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("sha256:{hex}")
    };
    let other = lock.replace(whole, &of_zeros).replace(digest, &zeros);
    let body = crane.post("/builder/contexts", with(&other)).await.ok();
    let path = format!("/builder/contexts/{}", body["token"].as_str().unwrap());
    let failed = crane.failed(&path).await;
    assert_eq!(failed["problems"][0]["path"], "lock", "{failed:#}");
    assert!(failed["description"].as_str().unwrap().contains("does not hold"), "{failed:#}");
    assert!(!crane.data_dir.path().join(&path["/builder/".len()..]).join("modules").exists());

    for (form, told) in [
        (with("{}"), "lock: it is no lock"),
        (with(&lock.replace(digest, &zeros)), "lock: its digest is not that of its modules"),
        (with(&lock.replace("r10k5", "r10k3")), "lock: it was made with another `compat`"),
        (form("").file("lock", "Puppetfile.lock", &*lock), "lock: there is no Puppetfile to it"),
        (
            form(&stdlib().replace("8.5.0", "8.4.0")).file("lock", "Puppetfile.lock", &*lock),
            "puppetfile:1:5: 'stdlib' is not declared as it was",
        ),
    ] {
        let answer = crane.post("/builder/contexts", form).await;
        assert_eq!((answer.error().0, &*answer.error().1), (422, "invalid"), "{}", answer.text);
        assert!(answer.problems()[0].starts_with(told), "{:?}", answer.problems());
    }
    crane.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_need_is_added_on_request() {
    let crane = Crane::start().await;
    let concat = || form("mod 'puppetlabs/concat', '7.3.1'\n").text("resolve", "true");
    let path = finished(&crane, concat()).await;
    let body = crane.get(&format!("{path}/modules")).await.ok();
    let [concat, stdlib] = body["modules"].as_array().unwrap().as_slice() else {
        panic!("{body:#}")
    };
    assert_eq!(concat["dependencies"][0]["state"], "met");
    assert_eq!(
        (&stdlib["name"], &stdlib["needed_by"]),
        (&json!("puppetlabs/stdlib"), &json!(["puppetlabs/concat"]))
    );
    let answer = crane.post("/builder/contexts", form("").text("resolve", "maybe")).await;
    assert_eq!(answer.problems(), ["resolve: neither true nor false"]);
    // Two that do not go together are told with the reason.
    let form = form("mod 'puppetlabs/concat', '7.3.1'\nmod 'puppetlabs/stdlib', '0.0.1'\n");
    let body = crane.post("/builder/contexts", form.text("resolve", "true")).await.ok();
    let failed =
        crane.failed(&format!("/builder/contexts/{}", body["token"].as_str().unwrap())).await;
    assert!(failed["description"].as_str().unwrap().contains("stdlib"), "{failed:#}");
    crane.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_are_no_modules_that_is_said() {
    let crane = Crane::start().await;
    let body = crane.post("/builder/contexts", Form::default()).await.ok();
    let empty = format!("/builder/contexts/{}", body["token"].as_str().unwrap());
    let body = crane.post("/builder/contexts", form("mod 'a/none', '1.0.0'\n")).await.ok();
    let failed = format!("/builder/contexts/{}", body["token"].as_str().unwrap());
    crane.failed(&failed).await;
    for (path, told) in [(&empty, "without a Puppetfile"), (&failed, "has no modules: ")] {
        for what in ["modules", "lock"] {
            let refused = crane.get(&format!("{path}/{what}")).await.error();
            assert_eq!((refused.0, &*refused.1), (409, "conflict"), "{path}/{what}");
            assert!(refused.2.contains(told), "{refused:?}");
        }
    }
    let none = crane.get("/builder/contexts/CTnone/modules").await.error();
    assert_eq!((none.0, &*none.1), (404, "notFound"));
    crane.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generation_of_r10k_is_chosen_for_each_context() {
    let crane = Crane::start().await;
    let puppetfile = format!("mod 'stdlib', git: '{}/puppetlabs-stdlib.git'\n", rig("RIG_GIT"));
    let with = |compat: &str| form(&puppetfile).text("compat", compat);
    let answer = crane.post("/builder/contexts", with("r10k5")).await;
    assert_eq!(answer.error().0, 422, "{}", answer.text);
    assert!(answer.problems()[0].starts_with("puppetfile:1:"), "{:?}", answer.problems());
    let answer = crane.post("/builder/contexts", with("r10k9")).await;
    assert_eq!(answer.problems(), ["compat: neither r10k3 nor r10k5"]);
    let path = finished(&crane, with("r10k3")).await;
    let lock: Value = serde_json::from_str(&crane.get(&format!("{path}/lock")).await.text).unwrap();
    assert_eq!(
        (&lock["compat"], &lock["modules"][0]["reference"]),
        (&json!("r10k3"), &json!("master"))
    );
    crane.close().await;
}
