//! The program itself: its exit codes, its signals, and what a killed one leaves behind.

use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Form, Program, docker, rig};

fn crane(arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crane"));
    command.args(arguments).env_clear().env("PATH", std::env::var("PATH").unwrap());
    command.envs(variables.iter().copied()).stdin(Stdio::null());
    command
}

fn run(arguments: &[&str], variables: &[(&str, &str)]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = crane(arguments, variables).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

#[test]
fn help_teaches_and_the_version_is_told() {
    let (code, out, _) = run(&["serve", "--help"], &[]);
    assert_eq!(code, 0);
    for words in ["--data-dir", "CRANE_API_TOKEN", "[default: 127.0.0.1:8888]", "Example"] {
        assert!(out.contains(words), "{words} is not in {out}");
    }
    assert!(!out.contains("--api-token"), "a secret as a flag shows in the process list");
    assert_eq!(run(&["--version"], &[]).1, concat!("crane ", env!("CARGO_PKG_VERSION"), "\n"));
    assert!(run(&["completions", "bash"], &[]).1.contains("complete"));
}

#[test]
fn a_configuration_that_cannot_be_used_is_exit_78_and_names_its_place() {
    let (code, _, error) = run(&["serve", "--bind", "0.0.0.0:0"], &[]);
    assert_eq!(code, 78);
    assert!(error.starts_with("crane: --bind: ") && error.contains("CRANE_API_TOKEN"), "{error}");

    let (code, _, error) = run(&["check"], &[("CRANE_PARALLEL_BUILDS", "0")]);
    assert_eq!((code, &*error), (78, "crane: CRANE_PARALLEL_BUILDS: must be from 1 to 10080\n"));

    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "bind = \"127.0.0.1:0\"\nport = 80\n").unwrap();
    let path = file.path().to_str().unwrap();
    let (code, _, error) = run(&["serve", "--config", path], &[]);
    assert_eq!(code, 78);
    assert!(error.starts_with(&format!("crane: {path}:2: there is no setting 'port'")), "{error}");
}

#[test]
fn check_shows_what_is_in_force_without_secrets_and_tries_every_part() {
    let data = TempDir::new().unwrap();
    let (engine, registry) = (rig("RIG_ENGINE"), rig("RIG_REGISTRY"));
    let directory = data.path().to_str().unwrap();
    let variables = [
        ("CRANE_DATA_DIR", directory),
        ("CRANE_ENGINE", &engine),
        ("CRANE_REGISTRY", &registry),
        ("CRANE_API_TOKEN", "hidden-token"),
    ];
    let (code, out, error) = run(&["check"], &variables);
    assert_eq!(code, 0, "{out}{error}");
    assert!(!out.contains("hidden-token") && out.contains("(set)"), "{out}");
    assert_eq!(out.lines().filter(|line| line.ends_with(" correct")).count(), 4, "{out}");

    let (code, out, _) = run(&["check", "--registry", "127.0.0.1:1"], &variables);
    assert_eq!(code, 1, "{out}");
    let verdict = out.lines().rfind(|line| line.starts_with("registry ")).unwrap();
    assert!(verdict.contains("127.0.0.1:1"), "{verdict}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_lets_a_request_end_and_keeps_the_state() {
    let data = TempDir::new().unwrap();
    let mut served = Program::new(data.path()).start();
    let body = served.http.post("/builder/contexts", Form::default()).await.ok();
    assert_eq!(served.end("TERM"), Some(0));
    let served = Program::new(data.path()).start();
    let path = format!("/builder/contexts/{}", body["token"].as_str().unwrap());
    assert_eq!(served.http.get(&path).await.ok(), body);
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_a_killed_process_left_is_taken_up_and_finished() {
    let data = TempDir::new().unwrap();
    let mut served = Program::new(data.path()).start();
    let git = rig("RIG_GIT");
    let puppetfile = format!("mod 'stdlib', git: '{git}/puppetlabs-stdlib.git', tag: 'v8.5.0'\n");
    let form = Form::default().file("puppetfile", "Puppetfile", puppetfile);
    let context = served.http.post("/builder/contexts", form).await.ok();
    let dockerfile = format!("FROM {}\nRUN sleep 2 && echo built > /built\n", rig("RIG_BASE"));
    let form = Form::default().text("imageName", &format!("taken-up-{}", std::process::id()));
    let form = form.file("dockerfile", "Dockerfile", dockerfile);
    let image = served.http.post("/builder/images", form).await.ok();
    let compose =
        format!("services:\n  a:\n    image: {}\n    command: [sleep, '99']\n", rig("RIG_BASE"));
    let form = Form::default().file("composefile", "c.yml", compose);
    let composition = served.http.post("/composer", form).await.ok();
    served.end("KILL");

    let mut served = Program::new(data.path()).start();
    let token = |body: &Value| body["token"].as_str().unwrap().to_owned();
    served.reaches(&format!("/builder/contexts/{}", token(&context)), "finished").await;
    served.reaches(&format!("/builder/images/{}", token(&image)), "finished").await;
    let composition = token(&composition);
    served.reaches(&format!("/composer/{composition}"), "finished").await;
    let label = format!("label=eu.cloudopting.crane.resource={composition}");
    let containers = docker::docker(&["ps", "--all", "--quiet", "--filter", &label]);
    assert_eq!(containers.lines().count(), 1, "once, not twice: {containers}");
    let purged = served.http.send("POST", "/extra/purge", &[], vec![]).await.ok();
    assert_eq!(purged["status"], "finished", "{purged}");
    assert_eq!(docker::docker(&["ps", "--all", "--quiet", "--filter", &label]), "");
    assert_eq!(served.end("TERM"), Some(0));
}

#[test]
fn a_second_process_on_one_store_says_who_has_it() {
    let data = TempDir::new().unwrap();
    let served = Program::new(data.path()).start();
    let arguments = ["serve", "--bind", "127.0.0.1:0", "--data-dir", data.path().to_str().unwrap()];
    let (code, _, error) = run(&arguments, &[]);
    assert_eq!(code, 1);
    let words = format!("in use by the process {}", served.id());
    assert!(error.contains(&words), "{error}");
}

#[tokio::test]
async fn all_that_crane_knows_moves_from_one_store_to_another() {
    let (from, to) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut crane = Program::new(from.path()).start();
    let context = crane.http.post("/builder/contexts", Form::default()).await.ok();
    let path = format!("/builder/contexts/{}", context["token"].as_str().unwrap());
    let from_dir = from.path().to_str().unwrap();
    let file = from.path().join("crane.jsonl");
    let file = file.to_str().unwrap();
    let export = ["store", "export", "--data-dir", from_dir, file];
    let (code, _, words) = run(&export, &[]);
    assert_eq!(code, 1, "{words}");
    assert!(words.contains(&format!("in use by the process {}", crane.id())), "{words}");
    assert_eq!(crane.end("TERM"), Some(0));
    let (code, _, words) = run(&export, &[]);
    assert_eq!(code, 0, "{words}");
    assert!(words.contains("records exported"), "{words}");

    let import = ["store", "import", "--data-dir", to.path().to_str().unwrap(), file];
    let (code, _, words) = run(&import, &[]);
    assert_eq!(code, 0, "{words}");
    let crane = Program::new(to.path()).start();
    assert_eq!(crane.http.get(&path).await.ok(), context);
    drop(crane);
    let (code, _, words) = run(&import, &[]);
    assert_eq!(code, 1, "a store that is not empty is left alone: {words}");
}
