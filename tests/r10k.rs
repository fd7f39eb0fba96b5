//! Contexts that r10k installs, in its container.

use std::{net::TcpListener, time::Instant};

use serde_json::{Value, json};

use crate::support::{
    Crane, Form, Program,
    docker::{docker, labelled},
    rig, within,
};

/// The rig's git server and Forge are on this machine's network.
fn settings(image: &str) -> [(&'static str, &str); 2] {
    [("r10k_image", image), ("r10k_network", "host")]
}

async fn start() -> Crane {
    Crane::with(&settings(&rig("RIG_R10K"))).await
}

fn form(puppetfile: &str) -> Form {
    Form::default().file("puppetfile", "Puppetfile", puppetfile)
}

fn by_r10k(puppetfile: &str) -> Form {
    form(puppetfile).text("engine", "r10k")
}

fn path(body: &Value) -> String {
    format!("/builder/contexts/{}", body["token"].as_str().unwrap())
}

fn containers(path: &str) -> String {
    labelled(&format!("eu.cloudopting.crane.resource={}", path.rsplit('/').next().unwrap()))
}

const RUBY: &str = "mod 'puppetlabs/concat', '7.3.1' if RUBY_VERSION > '2'\n";

#[tokio::test(flavor = "multi_thread")]
async fn r10k_is_chosen_for_a_context() {
    let crane = start().await;
    let context = path(&crane.post("/builder/contexts", by_r10k(RUBY)).await.ok());
    let body = crane.finished(&context).await;
    assert_eq!(body["description"], "1 module is installed");
    let installed = crane.get(&format!("{context}/modules")).await.ok();
    let module = &installed["modules"][0];
    let told = [&module["name"], &module["path"], &module["source"], &module["version"]];
    let expected = ["puppetlabs/concat", "modules/concat", "r10k", "7.3.1"].map(|text| json!(text));
    assert_eq!(told, expected.each_ref(), "{installed:#}");
    assert_eq!(module["licence"], "Apache-2.0");
    assert_eq!(module["dependencies"][0]["state"], "missing");
    let lock = crane.get(&format!("{context}/lock")).await.error();
    assert_eq!((lock.0, &*lock.1), (409, "conflict"));
    assert!(lock.2.contains("by r10k, which makes no lock"), "{}", lock.2);
    let detail = crane.get(&format!("{context}/detail")).await.ok();
    assert_eq!(detail["modules"], json!([{"name": "puppetlabs/concat", "version": "7.3.1"}]));
    let log = detail["log"].as_str().unwrap();
    assert!(log.contains("INFO  -> Using Puppetfile 'Puppetfile'\n"), "{log}");

    // The same modules have the same digest, whoever installs them.
    let native = form("mod 'puppetlabs/concat', '7.3.1'\n").text("compat", "r10k3");
    let native = path(&crane.post("/builder/contexts", native).await.ok());
    crane.finished(&native).await;
    let native = crane.get(&format!("{native}/modules")).await.ok();
    assert_eq!(native["digest"], installed["digest"], "{native:#}");

    let failing = by_r10k("# of the\n\nmod 'puppetlabs/concat', '99.0.0'\nraise 'x' unless true");
    let failing = path(&crane.post("/builder/contexts", failing).await.ok());
    let failed = crane.failed(&failing).await;
    assert_eq!(
        (&failed["problems"][0]["line"], &failed["problems"][0]["column"]),
        (&json!(3), &json!(5)),
        "{failed:#}"
    );
    crane.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_refused_and_the_way_out_is_named() {
    let refused = async |crane: &Crane, form: Form| {
        let answer = crane.post("/builder/contexts", form).await;
        assert_eq!((answer.error().0, &*answer.error().1), (422, "invalid"), "{}", answer.text);
        answer.problems().join("\n")
    };
    let (with, without) = (start().await, Crane::start().await);
    let words = refused(&without, by_r10k(RUBY)).await;
    assert!(words.starts_with("engine: there is no r10k here: set CRANE_R10K_IMAGE"), "{words}");
    for crane in [&with, &without] {
        assert_eq!(
            refused(crane, form("").text("engine", "x")).await,
            "engine: neither native nor r10k"
        );
    }
    let lock = by_r10k(RUBY).file("lock", "Puppetfile.lock", "{}");
    assert!(refused(&with, lock).await.starts_with("lock: r10k installs by no lock"));
    let resolve = by_r10k(RUBY).text("resolve", "true");
    assert!(refused(&with, resolve).await.starts_with("resolve: r10k installs what is listed"));
    for ruby in [
        RUBY,
        "mod 'a/b', ENV['X']\n",
        "%w[a b].each { |name| mod name }\n",
        "mod 'x', svn: 'https://h/x'\n",
        "mod 'a/b', <<~X\n1\nX\n",
    ] {
        let words = refused(&with, form(ruby)).await;
        let way_out = "; or choose engine=r10k, which runs it in a sandbox";
        assert!(words.lines().next().unwrap().ends_with(way_out), "{words}");
        let words = refused(&without, form(ruby)).await;
        assert!(words.lines().next().unwrap().ends_with("if CRANE_R10K_IMAGE was set"), "{words}");
    }
    // What r10k would not take either.
    assert!(!refused(&with, form("mod 'a/b', ref: \"x\n")).await.contains("r10k, which runs"));
    let large = by_r10k(&"# comment\n".repeat(30_000));
    assert_eq!(with.post("/builder/contexts", large).await.error().0, 413);
    with.close().await;
    without.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_what_installs_where_that_is_configured() {
    let image = rig("RIG_R10K");
    let [image, network] = settings(&image);
    let crane = Crane::with(&[image, network, ("puppetfile_engine", "r10k")]).await;
    assert_eq!(crane.get("/extra/check").await.ok()["puppet"], "correct");
    let form = Form::default()
        .text("imageName", "web")
        .file("puppetfile", "Puppetfile", RUBY)
        .file("dockerfile", "Dockerfile", format!("FROM {}\nADD modules /m\n", rig("RIG_BASE")))
        .file("puppetmanifest", "x.pp", "notice('x')\n");
    let context = path(&crane.post("/builder/aio", form).await.ok());
    crane.finished(&context).await;
    let modules = crane.get(&format!("{context}/modules")).await.ok();
    assert_eq!(modules["modules"][0]["source"], "r10k");
    let lock = form_of_native();
    let native = path(&crane.post("/builder/contexts", lock).await.ok());
    crane.finished(&native).await;
    assert_eq!(crane.get(&format!("{native}/lock")).await.status, 200);
    crane.close().await;

    let crane = Crane::with(&settings("127.0.0.1:1/no/r10k:1")).await;
    let puppet = crane.get("/extra/check").await.ok()["puppet"].clone();
    assert!(puppet.as_str().unwrap().contains("CRANE_R10K_IMAGE"), "{puppet}");
    crane.close().await;
}

fn form_of_native() -> Form {
    form("mod 'puppetlabs/concat', '7.3.1'\n").text("engine", "native")
}

/// A context whose installation hangs in its container, once it does.
async fn hanging(crane: &Crane) -> String {
    let context = path(&crane.post("/builder/contexts", by_r10k("loop { sleep 1 }\n")).await.ok());
    within(60, "r10k runs", async || running(&context)).await;
    context
}

fn running(path: &str) -> bool {
    let token = path.rsplit('/').next().unwrap();
    let filter = format!("label=eu.cloudopting.crane.resource={token}");
    !docker(&["ps", "--quiet", "--filter", &filter]).is_empty()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_wanted_any_more_ends() {
    let crane = start().await;
    for how in ["cancel", "delete"] {
        let context = hanging(&crane).await;
        let began = Instant::now();
        let status = match how {
            "cancel" => {
                crane.send("POST", &format!("{context}/cancel"), &[], vec![]).await.ok()["status"]
                    .clone()
            }
            _ => crane.delete(&context).await.ok()["status"].clone(),
        };
        assert!(began.elapsed().as_secs() < 5, "{how} took {:?}", began.elapsed());
        assert_eq!(status, if how == "cancel" { "cancelled" } else { "deleted" });
        assert_eq!(containers(&context), "", "{how}");
    }
    let left = std::fs::read_dir(crane.data_dir.path().join("contexts")).unwrap().count();
    assert_eq!(left, 0);
    crane.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_is_not_left_by_a_crane_that_is_killed_or_stopped() {
    let data = tempfile::tempdir().unwrap();
    // Waits for a server, so that there is a moment at which it runs for sure.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/silent.git", silent.local_addr().unwrap());
    let program = Program::new(data.path())
        .with("CRANE_R10K_IMAGE", rig("RIG_R10K"))
        .with("CRANE_R10K_NETWORK", "host");
    let mut served = program.start();
    let form = by_r10k(&format!("mod 'silent', git: '{url}', tag: 'v1'\n"));
    let context = path(&served.http.post("/builder/contexts", form).await.ok());
    within(60, "r10k runs", async || running(&context)).await;
    let first = containers(&context);
    served.end("KILL");
    assert_eq!(containers(&context), first, "nobody is there to remove it");

    // Another one takes the job up, and first takes away what the first one left.
    let mut served = program.start();
    let again = async || running(&context) && !containers(&context).contains(&first);
    within(60, "r10k runs again, alone", again).await;
    assert_eq!(containers(&context).lines().count(), 1);

    // One that is asked to stop leaves nothing; the job is for the next.
    assert_eq!(served.end("TERM"), Some(0));
    assert_eq!(containers(&context), "");
    let served = program.start();
    within(60, "r10k runs once more", async || running(&context)).await;
    assert_eq!(served.http.get(&context).await.ok()["status"], "building");
    served.http.delete(&context).await.ok();
    assert_eq!(containers(&context), "");
    served.purge().await;
}
