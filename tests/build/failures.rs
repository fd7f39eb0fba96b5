//! Builds that fail, and what they say and leave.

use std::time::SystemTime;

use crane::{
    build::{Request, Source, image},
    engine::{Build, Builder, Content, Context, Entry, Outcome},
    error::{Error, Problem},
    registry::Registry,
};
use poem::{Route, endpoint::make_sync, http::StatusCode};

use super::{BUILDERS, Yard, docker, log, manifest, only, rig};
use crate::registry::server::serve;

fn first(error: &Error) -> &Problem {
    assert!(matches!(error, Error::Failed { .. }), "{error:?}");
    error.problems().first().unwrap_or_else(|| panic!("{error:?}"))
}

#[tokio::test]
async fn puppets_failures_are_the_problems() {
    for builder in BUILDERS {
        let yard = Yard::new("puppet").with_builder(builder);
        let base = yard.base().await;
        for (content, place, words) in [
            ("\nfile { '/a': ensure => }\n", (Some(2), Some(24)), "Syntax error"),
            ("\n\n  include nonesuch\n", (Some(3), Some(3)), "nonesuch"),
            ("notify { 'a': }\nexec { '/bin/false': }\n", (None, None), "/bin/false"),
        ] {
            let source = Source::Base { base: yard.tag("base"), manifest: manifest(content) };
            let error = yard.failed(&yard.request("web", source)).await;
            let problem = first(&error);
            assert_eq!(problem.path, "site.pp");
            assert!(problem.message.contains(words), "{problem}");
            assert_eq!((problem.line, problem.column), place, "{problem}");
            assert!(error.to_string().starts_with("Puppet reported "), "{error}");
            assert_eq!(docker(&["images", "-q", &yard.tag("web")]), "");
            if builder == Builder::Classic {
                break;
            }
        }
        yard.remove("base", base.digest.as_deref()).await;
        yard.is_clean();
    }
}

/// `sh` runs a file that is not named after Puppet.
const SCRIPT: &str = "RUN printf 'pup\\160et apply /site.pp' > /x\nRUN sh /x || true";

#[tokio::test]
async fn errors_that_a_dockerfile_hides_are_found_each_time() {
    for (builder, step, line) in [
        (Builder::Best, "RUN puppet apply /site.pp", 4),
        (Builder::Best, SCRIPT, 5),
        (Builder::Classic, "RUN puppet apply /site.pp", 4),
    ] {
        let yard = Yard::new("hidden").with_builder(builder);
        for attempt in 0..2 {
            let error = yard.failed(&yard.request("web", hiding(&yard, step))).await;
            let problem = first(&error);
            assert!(problem.message.contains("/bin/false"), "{builder:?}, {attempt}: {problem}");
            assert_eq!((&*problem.path, problem.line), ("Dockerfile", Some(line)));
        }
        yard.is_clean();
        let registry = yard.registry.as_ref().unwrap();
        assert_eq!(registry.digest(&yard.tag("web"), "latest").await.unwrap(), None);
    }
}

const FAILS: &str = "exec { '/bin/false': }\n";

fn hiding(yard: &Yard, step: &str) -> Source {
    let dockerfile = format!("FROM {}\n{}ADD site.pp /\n{step}\n", rig("RIG_BASE"), yard.unique());
    Source::Dockerfile { dockerfile, manifest: Some(manifest(FAILS)) }
}

/// The builder has the result in its cache from someone who did not look at what Puppet said.
#[tokio::test]
async fn errors_of_a_cached_step_are_found() {
    let yard = Yard::new("cached");
    let source = hiding(&yard, "RUN puppet apply /site.pp");
    let Source::Dockerfile { dockerfile, .. } = &source else { panic!() };
    let entries =
        [("Dockerfile", dockerfile.as_str()), ("site.pp", FAILS)].map(|(path, text)| Entry {
            path: path.into(),
            mode: 0o644,
            modified: SystemTime::now(),
            content: Content::Memory(text.to_owned().into()),
        });
    let careless = Build {
        context: Context::new("/nonexistent", entries.into()).into(),
        dockerfile: "Dockerfile".into(),
        labels: Default::default(),
        login: None,
        no_cache: false,
        context_key: yard.name.clone(),
    };
    let (sink, _lines) = log();
    let outcome = yard.engine.build(&careless, &sink, &mut |_, _| ()).await.unwrap();
    let Outcome::Built(built) = outcome else { panic!("{outcome:?}") };
    let (outcome, log) = yard.build(&yard.request("web", source)).await;
    assert!(first(&outcome.unwrap_err()).message.contains("/bin/false"));
    assert!(log.contains("CACHED") && log.contains("Building again"), "{log}");
    yard.engine.remove_image(&built.image).await.unwrap();
    yard.is_clean();
}

#[tokio::test]
async fn a_cached_run_of_puppet_that_a_named_image_vouches_for_is_not_repeated() {
    for builder in BUILDERS {
        let yard = Yard::new("vouched").with_builder(builder);
        let dockerfile = format!(
            "FROM {}\n{}ADD site.pp /\nRUN puppet apply /site.pp && date +%s%N > /when\n",
            rig("RIG_BASE"),
            yard.unique()
        );
        let build = async |image: &str| {
            let manifest = Some(manifest("file { '/x': content => 'x' }\n"));
            let dockerfile = dockerfile.clone();
            let request = yard.request(image, Source::Dockerfile { dockerfile, manifest });
            let (built, log) = yard.build(&request).await;
            (built.unwrap(), log)
        };
        let (one, _) = build("one").await;
        let (two, log) = build("two").await;
        assert!(!log.contains("Applied catalog") && !log.contains("Building again"), "{log}");
        yard.remove("one", one.digest.as_deref()).await;
        yard.remove("two", two.digest.as_deref()).await;
        yard.is_clean();
        // Nobody vouches any more. Of the classic builder, the cache is gone with the images.
        let (three, log) = build("three").await;
        assert!(log.contains("Applied catalog"), "{log}");
        yard.remove("three", three.digest.as_deref()).await;
        yard.is_clean();
    }
}

#[tokio::test]
async fn a_base_without_puppet_is_told() {
    let mut yard = Yard::new("no-puppet");
    yard.registry = None;
    let dockerfile = format!("FROM {}\nRUN rm /usr/bin/puppet\n", rig("RIG_BASE"));
    yard.built(&yard.request("base", only(&dockerfile))).await;
    let source = Source::Base { base: yard.tag("base"), manifest: manifest("notice(1)") };
    let error = yard.failed(&yard.request("web", source)).await;
    assert_eq!(first(&error).to_string(), "site.pp: the base image has no Puppet");
    yard.remove("base", None).await;
    yard.is_clean();
}

#[tokio::test]
async fn a_step_that_fails_is_named_with_its_line() {
    for builder in BUILDERS {
        let yard = Yard::new("step").with_builder(builder);
        let dockerfile =
            format!("FROM {}\n\n{}RUN echo a \\\n  && exit 7\n", rig("RIG_BASE"), yard.unique());
        let error = yard.failed(&yard.request("web", only(&dockerfile))).await;
        assert!(
            error.to_string().contains("RUN echo a") && error.to_string().contains('7'),
            "{error}"
        );
        assert_eq!((&*first(&error).path, first(&error).line), ("Dockerfile", Some(4)));
        let dockerfile = format!("FROM {}\n\nCOPY --nonsense a b\n", rig("RIG_BASE"));
        let error = yard.failed(&yard.request("web", only(&dockerfile))).await;
        assert!(error.to_string().contains("nonsense"), "{error}");
        assert_eq!((&*first(&error).path, first(&error).line), ("Dockerfile", Some(3)));
        yard.is_clean();
    }
}

#[tokio::test]
async fn here_documents_work_or_are_explained() {
    let yard = Yard::new("heredoc");
    let dockerfile = format!("FROM {}\nRUN <<END\necho x > /made\nEND\n", rig("RIG_BASE"));
    match yard.build(&yard.request("web", only(&dockerfile))).await {
        (Ok(built), _) => yard.remove("web", built.digest.as_deref()).await,
        (Err(error), _) => assert!(error.to_string().contains("Docker 23"), "{error}"),
    }
    yard.is_clean();
}

#[tokio::test]
async fn images_that_are_nowhere_are_named() {
    let yard = Yard::new("nowhere");
    let gone = yard.tag("gone");
    let source = Source::Base { base: gone.clone(), manifest: manifest("notice(1)") };
    let (built, log) = yard.build(&yard.request("web", source)).await;
    let Err(Error::Invalid { problems, .. }) = built else { panic!("{built:?}") };
    assert!(problems[0].path == "base" && problems[0].message.contains(&gone), "{problems:?}");
    assert_eq!(log, "", "nothing was built");
    let known = [gone.clone()].into();
    let dockerfile = format!("FROM {}\nCOPY --from={gone} /a /b\n", rig("RIG_BASE"));
    let request = Request { known, ..yard.request("web", only(&dockerfile)) };
    let Err(Error::Invalid { problems, .. }) = yard.build(&request).await.0 else { panic!() };
    assert_eq!(
        (&*problems[0].path, problems[0].line, problems[0].column),
        ("dockerfile", Some(2), Some(13))
    );
    // Of what Crane does not know, the engine says it.
    let dockerfile = format!("FROM {}/{gone}\n", rig("RIG_REGISTRY"));
    let error = yard.failed(&yard.request("web", only(&dockerfile))).await;
    assert!(error.to_string().contains(&gone), "{error}");
}

#[tokio::test]
async fn a_base_that_cannot_be_pulled_for_now_may_pass() {
    let yard = Yard::new("ill");
    let mut ill = Vec::new();
    for status in [StatusCode::SERVICE_UNAVAILABLE, StatusCode::FORBIDDEN] {
        ill.push(serve(Route::new().at("/*", make_sync(move |_| status))).await);
    }
    let base = rig("RIG_BASE");
    for (dockerfile, passes) in [
        (format!("FROM {}/a/b:1\n", ill[0]), true),
        (format!("FROM {}/a/b:1\n", ill[1]), false),
        (format!("FROM {base}\nRUN echo connection refused; exit 1\n"), false),
    ] {
        let error = yard.failed(&yard.request("web", only(&dockerfile))).await;
        assert_eq!(error.retry().is_some(), passes, "{error:?}");
    }
}

#[tokio::test]
async fn a_registry_that_is_down_stops_it_before_the_build() {
    let mut yard = Yard::new("down");
    yard.registry = Some(Registry::open("127.0.0.1:1", None, None).unwrap());
    let (built, log) = yard.build(&yard.request("web", only("FROM scratch\n"))).await;
    let Err(Error::Unavailable { what: "registry", reason, .. }) = built else {
        panic!("{built:?}")
    };
    assert!(reason.contains("127.0.0.1:1"), "{reason}");
    assert_eq!(log, "");
}

#[tokio::test]
async fn what_a_dropped_build_leaves_is_found_by_its_labels() {
    let yard = Yard::new("dropped");
    let dockerfile = format!("FROM {}\n{}", rig("RIG_BASE"), yard.unique());
    let request = yard.request("web", only(&dockerfile));
    let label = [format!("eu.cloudopting.crane.instance={}", yard.name)];
    {
        let (sink, _lines) = log();
        let mut work = Box::pin(image(&yard.engine, yard.registry.as_ref(), &request, &sink));
        // As soon as there is an image; it is pushed within a moment.
        let made = async {
            while yard.engine.images_labelled(&label).await.unwrap().is_empty() {
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            }
        };
        tokio::select! {
            biased;
            () = made => {}
            built = &mut work => panic!("{built:?}"),
        }
    }
    yard.remove("web", None).await;
    yard.is_clean();
    let built = yard.built(&request).await;
    yard.remove("web", built.digest.as_deref()).await;
    yard.is_clean();
}
