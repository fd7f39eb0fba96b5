//! Builds, by each builder.

use crane::{
    engine::{Builder, Built, Content, Engine, Outcome, Seen, Step, connect},
    error::Error,
    model::Channel,
};
use std::process::Command;

use super::{build_of, endpoint, entry, file, peers::Gate};
use crate::support::{engine, log, rig, text, within};

const BUILDERS: [Builder; 2] = [Builder::Best, Builder::Classic];

/// Something that no earlier build can have in its cache.
fn unique() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    format!("it-engine-{}", now.as_nanos())
}

/// `docker`, for looking at the engine past Crane.
fn docker(arguments: &[&str]) -> String {
    let output =
        Command::new("docker").arg("--host").arg(rig("RIG_ENGINE")).args(arguments).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn base() -> String {
    rig("RIG_BASE")
}

async fn remove(engine: &Engine, image: &str) {
    assert!(engine.remove_image(image).await.unwrap(), "{image}");
}

#[tokio::test]
async fn a_build_gives_an_image_and_a_log() {
    for builder in BUILDERS {
        let engine = engine().with_builder(builder);
        let dockerfile = format!(
            "FROM {}\nRUN : {}; echo out-$((40+2)); echo err-$((40+2)) >&2; printf '\\033[31ma\\rb\\033[0m'\n",
            base(),
            unique()
        );
        let mut build = build_of(&dockerfile, vec![]);
        build.labels.insert("it-engine".into(), "quoted \"=,\" ü".into());
        let (sink, _lines) = log();
        let mut output = Vec::new();
        let mut each = |step: &Step, seen: Seen<'_>| {
            if let Seen::Line(line) = seen {
                output.push((step.instruction.clone(), line.to_owned()));
            }
        };
        let Outcome::Built(Built { image, .. }) =
            engine.build(&build, &sink, &mut each).await.unwrap()
        else {
            panic!("{builder:?}")
        };
        drop(sink);
        let found = engine.image(&image).await.unwrap().unwrap();
        assert_eq!(found.config.unwrap().labels.unwrap()["it-engine"], "quoted \"=,\" ü");
        assert_eq!(found.repo_tags.unwrap_or_default(), [""; 0]);
        let mut seen: Vec<_> = output
            .iter()
            .filter(|(step, _)| step.starts_with("RUN : "))
            .map(|(_, line)| line.as_str())
            .collect();
        seen.sort_unstable();
        assert_eq!(seen, ["a", "b", "err-42", "out-42"], "{builder:?}: {output:?}");
        remove(&engine, &image).await;
    }
}

#[tokio::test]
async fn standard_error_goes_to_the_error_log_too() {
    for builder in BUILDERS {
        let engine = engine().with_builder(builder);
        let command = format!(": {}; echo out-$((1+1)); echo err-$((1+1)) >&2; exit 3", unique());
        let build = build_of(&format!("FROM {}\nRUN {command}\n", base()), vec![]);
        for channel in [Channel::Log, Channel::ErrorLog] {
            let (sink, lines) = log();
            let outcome = engine.build(&build, &sink, &mut |_, _| ()).await.unwrap();
            let Outcome::Failed(failure) = outcome else { panic!("{builder:?}") };
            assert_eq!(failure.step.unwrap().instruction, format!("RUN {command}"));
            assert!(failure.message.contains('3'), "{}", failure.message);
            drop(sink);
            let text = text(lines, channel).await;
            assert_eq!(text.contains("out-2\n"), channel == Channel::Log, "{text}");
            assert!(text.contains("err-2\n") && text.contains("ERROR: "), "{text}");
        }
    }
}

/// Of the bytes of the file `big` below.
const SHA256: &str = "4d3870d4655ed773027a713ea136507d22e076248e0e9cc920a996039653b76f";

/// Lists what a context brought into an image: modes, types, owners and contents.
#[tokio::test]
async fn a_context_arrives_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let big: Vec<u8> = (0..3_000_000u32).map(|i| (i % 251) as u8).collect();
    std::fs::write(directory.path().join("big"), &big).unwrap();
    let long = format!("d/{}", "x".repeat(150));
    let more = vec![
        entry("big", 0o755, Content::Disk(big.len() as u64)),
        entry("d", 0o750, Content::Directory),
        file("d/empty", ""),
        entry("d/link", 0o777, Content::Symlink("../nowhere".into())),
        entry("d/set", 0o4755, Content::Memory("s".to_owned().into())),
        file(&long, "long"),
        file("d/piece", &"p".repeat(256 << 10)),
        file("ü", "umlaut"),
    ];
    let dockerfile = format!(
        "FROM {}\nCOPY . /it\nRUN : {}; cd /it; find . -printf '%P %M %U:%G %s %l\\n' | sort; sha256sum big\n",
        base(),
        unique()
    );
    let mut build = build_of(&dockerfile, more);
    let entries = build.context.entries().to_vec();
    build.context = std::sync::Arc::new(crane::engine::Context::new(directory.path(), entries));
    for builder in BUILDERS {
        let engine = engine().with_builder(builder);
        let (sink, lines) = log();
        let outcome = engine.build(&build, &sink, &mut |_, _| ()).await.unwrap();
        drop(sink);
        let text = text(lines, Channel::Log).await;
        let Outcome::Built(Built { image, .. }) = outcome else { panic!("{text}") };
        for line in [
            "big -rwxr-xr-x 0:0 3000000",
            "d drwxr-x--- 0:0",
            "d/empty -rw-r--r-- 0:0 0",
            "d/link lrwxrwxrwx 0:0 10 ../nowhere",
            // The classic builder's COPY drops the bit, whoever sends it.
            if builder == Builder::Classic { "d/set -rwxr-xr-x" } else { "d/set -rwsr-xr-x" },
            "d/piece -rw-r--r-- 0:0 262144",
            &format!("{long} -rw-r--r-- 0:0 4"),
            "ü -rw-r--r-- 0:0 6",
            SHA256,
        ] {
            assert!(text.contains(line), "{builder:?}: {line} in {text}");
        }
        remove(&engine, &image).await;
    }
}

#[tokio::test]
async fn buildkits_features_work() {
    let dockerfile = format!(
        "FROM {0} AS one\nRUN echo one > /one\nFROM {0} AS two\nRUN --mount=type=bind,source=hello,target=/dev/it \
         --mount=from=one,target=/other --mount=type=cache,target=/cache cat /dev/it /other/one > /both\n\
         FROM {0}\nCOPY --from=two /both /\nRUN grep -q hello /both && grep -q one /both\n",
        base()
    );
    let (sink, _lines) = log();
    let build = build_of(&dockerfile, vec![file("hello", "hello")]);
    let engine = engine();
    match engine.build(&build, &sink, &mut |_, _| ()).await.unwrap() {
        Outcome::Built(Built { image, .. }) => remove(&engine, &image).await,
        Outcome::Failed(failure) => panic!("{failure:?}"),
    }
}

#[tokio::test]
async fn a_second_build_is_cached_whatever_its_labels_and_times() {
    for builder in BUILDERS {
        let engine = engine().with_builder(builder);
        let dockerfile = format!("FROM {}\nCOPY f /\nRUN date +%s%N > /it-{builder:?}\n", base());
        let mut images = Vec::new();
        let mut layers = Vec::new();
        for created in ["1", "2"] {
            let mut build = build_of(&dockerfile, vec![file("f", "f")]);
            build.labels.insert("created".into(), created.into());
            let (sink, _lines) = log();
            let outcome = engine.build(&build, &sink, &mut |_, _| ()).await.unwrap();
            let Outcome::Built(Built { image, .. }) = outcome else { panic!("{outcome:?}") };
            layers.push(engine.image(&image).await.unwrap().unwrap().root_fs.unwrap().layers);
            images.push(image);
        }
        assert_ne!(images[0], images[1]);
        assert_eq!(layers[0], layers[1], "{builder:?}");
        for image in images {
            remove(&engine, &image).await;
        }
    }
}

#[tokio::test]
async fn what_is_discarded_is_not_cached() {
    for builder in BUILDERS {
        let engine = engine().with_builder(builder);
        let dockerfile =
            format!("FROM {}\nCOPY f /\nRUN : {}; echo ran\nRUN true\n", base(), unique());
        for attempt in ["first", "second"] {
            let build = build_of(&dockerfile, vec![file("f", "f")]);
            let (sink, _lines) = log();
            let mut ran = false;
            let mut each = |_: &Step, seen: Seen<'_>| ran |= seen == Seen::Line("ran");
            let outcome = engine.build(&build, &sink, &mut each).await.unwrap();
            let Outcome::Built(built) = outcome else { panic!("{outcome:?}") };
            assert!(ran, "{builder:?}, {attempt}");
            engine.discard(&built).await.unwrap();
            assert!(engine.image(&built.image).await.unwrap().is_none());
        }
    }
}

/// BuildKit performs a step once for all builds that want it at the same time.
#[tokio::test]
async fn what_a_shared_step_prints_is_seen_by_each_build() {
    let engine = engine();
    let dockerfile = format!("FROM {}\nRUN : {}; sleep 2; echo ran; sleep 1\n", base(), unique());
    let one = async |label: &str, delay: u64| {
        tokio::time::sleep(std::time::Duration::from_millis(delay)).await;
        let mut build = build_of(&dockerfile, vec![]);
        build.labels.insert("it-engine".into(), label.into());
        let (sink, lines) = log();
        let mut seen = Vec::new();
        let mut each = |step: &Step, what: Seen<'_>| {
            if step.instruction.starts_with("RUN") {
                seen.push(format!("{what:?}"));
            }
        };
        let outcome = engine.build(&build, &sink, &mut each).await.unwrap();
        let Outcome::Built(Built { image, .. }) = outcome else { panic!("{outcome:?}") };
        remove(&engine, &image).await;
        drop(sink);
        (seen, text(lines, Channel::Log).await)
    };
    let (first, second, third) = tokio::join!(one("1", 0), one("2", 300), one("3", 3200));
    for (seen, text) in [first, second, third] {
        assert!(!seen.is_empty(), "{text}");
    }
}

#[tokio::test]
async fn the_classic_builder_leaves_nothing_but_the_image() {
    let engine = engine().with_builder(Builder::Classic);
    let marker = "it-engine-classic-rest";
    let stage =
        |name: &str| format!("FROM {} AS {name}\nENV IT={marker}-{name}\nRUN true\n", base());
    let rest = || {
        docker(&["images", "--all", "--filter", "dangling=true", "--format", "{{.ID}}"])
            .lines()
            .filter(|id| {
                docker(&["image", "inspect", "--format", "{{.Config.Env}}", id]).contains(marker)
            })
            .count()
    };
    let (sink, _lines) = log();
    let good = format!("{}{}COPY --from=a /etc/hostname /it\n", stage("a"), stage("b"));
    let outcome = engine.build(&build_of(&good, vec![]), &sink, &mut |_, _| ()).await.unwrap();
    let Outcome::Built(Built { image, .. }) = outcome else { panic!("{outcome:?}") };
    remove(&engine, &image).await;
    assert_eq!(rest(), 0);
    let bad = format!("{}{}RUN false\n", stage("a"), stage("b"));
    let outcome = engine.build(&build_of(&bad, vec![]), &sink, &mut |_, _| ()).await.unwrap();
    assert!(matches!(outcome, Outcome::Failed(_)));
    assert_eq!(rest(), 0);
}

#[tokio::test]
async fn a_mistake_in_the_dockerfile_is_told_with_its_line() {
    for builder in BUILDERS {
        let engine = engine().with_builder(builder);
        let build = build_of(&format!("FROM {}\n\nNONSENSE x\n", base()), vec![]);
        let (sink, _lines) = log();
        let outcome = engine.build(&build, &sink, &mut |_, _| ()).await.unwrap();
        let Outcome::Failed(failure) = outcome else { panic!("{outcome:?}") };
        assert!(failure.step.is_none() && failure.message.contains("line 3"), "{failure:?}");
    }
}

/// `sleep` with this many seconds is what the test looks for among the machine's processes.
#[tokio::test]
async fn a_dropped_build_ends_on_the_engine() {
    for (builder, seconds) in BUILDERS.into_iter().zip(["34577", "34578"]) {
        let running = async || {
            let found = Command::new("pgrep").args(["-f", &format!("^sleep {seconds}$")]).output();
            found.unwrap().status.success()
        };
        let engine = engine().with_builder(builder);
        let build = build_of(&format!("FROM {}\nRUN exec sleep {seconds}\n", base()), vec![]);
        let (sink, _lines) = log();
        {
            let mut none = |_: &Step, _: Seen<'_>| ();
            let mut work = Box::pin(engine.build(&build, &sink, &mut none));
            tokio::select! {
                outcome = &mut work => panic!("{outcome:?}"),
                () = within(60, "the step runs", running) => {}
            }
        }
        within(5, "the step is gone", async || !running().await).await;
        let container = format!("ancestor={}", base());
        within(5, "its container is gone", async || {
            !docker(&[
                "ps",
                "--all",
                "--filter",
                &container,
                "--format",
                "{{.Command}}",
                "--no-trunc",
            ])
            .contains(seconds)
        })
        .await;
    }
}

#[tokio::test]
async fn an_engine_that_goes_away_in_the_middle_is_unavailable() {
    for (builder, seconds) in BUILDERS.into_iter().zip(["34579", "34580"]) {
        let gate = Gate::open().await;
        let engine =
            connect(&endpoint(format!("tcp://{}", gate.address))).unwrap().with_builder(builder);
        let build =
            build_of(&format!("FROM {}\nRUN echo up; exec sleep {seconds}\n", base()), vec![]);
        let (sink, _lines) = log();
        let (up, mut ups) = tokio::sync::mpsc::unbounded_channel();
        let mut each = move |_: &Step, seen: Seen<'_>| {
            if seen == Seen::Line("up") {
                up.send(()).unwrap();
            }
        };
        let work = engine.build(&build, &sink, &mut each);
        let cut = async {
            ups.recv().await.unwrap();
            gate.close().await;
        };
        let (outcome, ()) = tokio::join!(work, cut);
        assert!(matches!(outcome, Err(Error::Unavailable { what: "engine", .. })), "{outcome:?}");
    }
}
