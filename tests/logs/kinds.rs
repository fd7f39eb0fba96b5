//! Which lines a log has: of each kind of resource, and of programs that print what drives a
//! terminal.

use serde_json::Value;

use super::{crane, post};
use crate::support::{Crane, Form, image, puppetfile, rig};

/// The whole log once the work has ended well; each line has its form, and each of `steps` is in it.
async fn log(crane: &Crane, path: &str, steps: &[&str]) -> String {
    crane.finished(path).await;
    let text = crane.get(&format!("{path}/log")).await.text;
    for line in text.lines() {
        let (time, rest) = line.split_once(" [").unwrap_or_else(|| panic!("{line}"));
        let (step, said) = rest.split_once("] ").unwrap_or_else(|| panic!("{line}"));
        let format = &time::format_description::well_known::Rfc3339;
        let age =
            time::OffsetDateTime::now_utc() - time::OffsetDateTime::parse(time, format).unwrap();
        assert!((time.len(), time.ends_with('Z')) == (24, true), "{time}");
        assert!(age.is_positive() && age < time::Duration::hours(1), "{time}");
        assert!(step.bytes().all(|byte| byte.is_ascii_lowercase()), "{line}");
        assert!(!said.trim().is_empty(), "{line}");
    }
    for step in steps {
        assert!(text.contains(&format!("Z [{step}] ")), "{step} is not in {text}");
    }
    text
}

fn path(prefix: &str, body: &Value) -> String {
    format!("{prefix}/{}", body["token"].as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_resource_has_a_log() {
    let crane = Crane::start().await;
    let url = format!("{}/puppetlabs-stdlib.git", rig("RIG_GIT"));
    let context = crane.post("/builder/contexts", puppetfile("stdlib", &url, "v8.5.0")).await.ok();
    let context = path("/builder/contexts", &context);
    assert!(log(&crane, &context, &["install"]).await.contains("stdlib"));

    crane.post("/builder/images/bases", image("kinds/log", "echo base")).await.error();
    crane.post("/builder/images/bases", image("kinds/base", "echo of-base")).await.ok();
    let base = log(&crane, "/builder/images/bases/kinds/base", &["build", "push"]).await;
    assert!(base.contains(" of-base\n"), "{base}");

    let body = crane.post("/builder/images", image("kinds/image", "echo of-image")).await.ok();
    let image = log(&crane, &path("/builder/images", &body), &["build", "push"]).await;
    assert!(image.contains(" of-image\n"), "{image}");

    let compose = format!(
        "services:\n  web:\n    image: {}\n    command: [sleep, '1000']\n",
        rig("RIG_BASE")
    );
    let form = Form::default().file("composefile", "compose.yml", compose);
    let composition = crane.post("/composer", form).await.ok();
    assert!(log(&crane, &path("/composer", &composition), &["up"]).await.contains("web"));

    let empty = crane.post("/builder/contexts", Form::default()).await.ok();
    let empty = format!("{}/log", path("/builder/contexts", &empty));
    assert_eq!(crane.get(&empty).await.text, "");
    let events = crane.http.follow(&empty, None).await.all().await;
    assert_eq!(events.len(), 1);
    assert_eq!((&*events[0].name, &events[0].data["status"]), ("end", &Value::from("finished")));
    crane.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_in_a_log_drives_a_terminal() {
    let crane = crane().await;
    let script = r"printf 'a\033[31mred\033[0mb \033]0;title\007c \033[2J\033[Hd\be\000f\302\233mg\n'; \
        printf 'one\rtwo\r\nturned \342\200\256round \342\201\246x\n'; \
        printf 'data: x\n\nid: 9-9\n'; printf '\377\376bytes\n'";
    let path = post(&crane, script).await;
    crane.finished(&path).await;
    let text = crane.get(&format!("{path}/log")).await.text;
    let events = crane.http.follow(&format!("{path}/log"), None).await.all().await;
    let detail = crane.get(&format!("{path}/detail")).await.ok();
    let lines = events.iter().map(|event| event.data["text"].as_str().unwrap_or_default());
    for line in text.lines().chain(lines).chain(detail["log"].as_str().unwrap().lines()) {
        let turns = |c| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        assert!(!line.contains(|c: char| (c.is_control() && c != '\t') || turns(c)), "{line:?}");
    }
    // What was said is still there, line by line.
    for said in [" one\n", " two\n", " data: x\n", " id: 9-9\n", "turned \\u{202e}round", "bytes"] {
        assert!(text.contains(said), "{said} is not in {text}");
    }
    assert!(text.contains("redb"), "{text}");
    crane.close().await;
}
