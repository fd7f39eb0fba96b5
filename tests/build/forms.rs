//! What images are made from, and what is in them.

use std::collections::HashMap;

use crane::{
    build::{Request, Source},
    engine::Builder,
};

use super::{BUILDERS, Yard, docker, layers, manifest, only, rig, run};

#[tokio::test]
async fn a_manifest_is_applied_and_leaves_only_what_it_made() {
    for builder in BUILDERS {
        let yard = Yard::new("applied").with_builder(builder);
        yard.module();
        let base = yard.base().await;
        // An error that Puppet only logs is none, and code 2 is success.
        let content = "include hello\nerr('only logged: ü')\nfile { '/name': content => 'ü' }\n";
        let source = Source::Base { base: yard.tag("base"), manifest: manifest(content) };
        let built = yard.built(&yard.request("team/web", source)).await;
        let tag = yard.tag("team/web");
        assert_eq!(run(&tag, &["cat", "/hello", "/name"]), "from a module\nü");
        let list = run(&tag, &["find", "/tmp", "/var/lib/puppet", "/var/cache/puppet"]);
        assert!(!list.contains("crane") && !list.contains("summary"), "{list}");
        if builder == Builder::Best {
            // The layers come in the order of their ids, so the base's are taken out one by one.
            let mut made = layers(&tag);
            for path in layers(&yard.tag("base")) {
                let at = made.iter().position(|made| *made == path).unwrap();
                made.swap_remove(at);
            }
            let odd = ["modules", "site.pp", "crane", "state", "report", "ssl"];
            let odd: Vec<_> =
                made.iter().filter(|path| odd.iter().any(|o| path.contains(o))).collect();
            assert_eq!(odd, [""; 0], "{made:?}");
            assert!(made.iter().any(|path| path == "hello"), "{made:?}");
        }
        yard.remove("team/web", built.digest.as_deref()).await;
        yard.remove("base", base.digest.as_deref()).await;
        yard.is_clean();
    }
}

#[tokio::test]
async fn a_dockerfile_finds_the_files_of_its_context() {
    for builder in BUILDERS {
        let yard = Yard::new("context").with_builder(builder);
        yard.module();
        let dockerfile = format!(
            "FROM {}\nADD ./modules /m\nADD ./site.pp /\nADD images/team/web/site.pp /same.pp\n\
             RUN cmp /site.pp /same.pp && puppet apply --modulepath /m /site.pp && find /m > /list\n",
            rig("RIG_BASE")
        );
        let manifest = Some(manifest("include hello\n"));
        let request = yard.request("team/web", Source::Dockerfile { dockerfile, manifest });
        let built = yard.built(&request).await;
        assert_eq!(run(&built.image_id, &["cat", "/hello"]), "from a module");
        assert!(!run(&built.image_id, &["cat", "/list"]).contains(".git"));
        yard.remove("team/web", built.digest.as_deref()).await;
        yard.is_clean();
    }
}

#[tokio::test]
async fn names_of_cranes_images_mean_those_in_its_registry() {
    for builder in BUILDERS {
        // The engine has to get them with the registry's password.
        let yard = Yard::new("known").with_password().with_builder(builder);
        let base = yard.base().await;
        let repository = base.reference.as_ref().unwrap().strip_suffix(":latest").unwrap();
        docker(&["rmi", &format!("{repository}:latest"), &format!("{}:latest", yard.tag("base"))]);
        let name = yard.tag("base");
        let dockerfile = format!(
            "ARG FROM={name}\nFROM $FROM AS one\nRUN echo one > /one\n\
             FROM {name}:latest\nCOPY --from=one /one /\nCOPY --from={name} /etc/hostname /two\n"
        );
        let known = [name].into();
        let request = Request { known, ..yard.request("multi", only(&dockerfile)) };
        let built = yard.built(&request).await;
        assert_eq!(run(&built.image_id, &["cat", "/one"]), "one");
        let labels = docker(&["inspect", "--format", "{{json .Config.Labels}}", &built.image_id]);
        let labels: HashMap<String, String> = serde_json::from_str(&labels).unwrap();
        assert_eq!(labels["org.opencontainers.image.base.name"], format!("{repository}:latest"));
        assert_eq!(Some(&labels["org.opencontainers.image.base.digest"]), base.digest.as_ref());
        yard.remove("multi", built.digest.as_deref()).await;
        // The classic builder pulled it under the name that has the digest.
        let pulled = format!("{repository}@{}", base.digest.as_ref().unwrap());
        if yard.engine.image(&pulled).await.unwrap().is_some() {
            docker(&["rmi", &pulled]);
        }
        yard.remove("base", base.digest.as_deref()).await;
        yard.is_clean();
    }
}

#[tokio::test]
async fn without_a_registry_names_mean_the_engines_images() {
    let mut yard = Yard::new("local");
    yard.registry = None;
    let base = yard.base().await;
    assert_eq!((&base.reference, &base.digest), (&None, &None));
    let source = Source::Base { base: yard.tag("base"), manifest: manifest("notice('x')\n") };
    let built = yard.built(&yard.request("web", source)).await;
    let label = "{{index .Config.Labels \"eu.cloudopting.crane.base-digest\"}}";
    assert_eq!(docker(&["inspect", "--format", label, &built.image_id]), base.image_id);
    yard.remove("web", None).await;
    yard.remove("base", None).await;
    let source = Source::Base { base: yard.tag("base"), manifest: manifest("notice('x')\n") };
    let error = yard.failed(&yard.request("web", source)).await;
    assert!(error.problems()[0].message.contains(&yard.tag("base")), "{error:?}");
    yard.is_clean();
}

#[tokio::test]
async fn labels_say_what_an_image_is() {
    let yard = Yard::new("labels");
    let base = yard.base().await;
    let label = |image: &str| -> HashMap<String, String> {
        let text = docker(&["inspect", "--format", "{{json .Config.Labels}}", image]);
        serde_json::from_str(&text).unwrap()
    };
    let of_base = label(&base.image_id);
    assert_eq!(of_base["org.opencontainers.image.base.name"], rig("RIG_BASE"));
    let source = Source::Base { base: yard.tag("base"), manifest: manifest("notice('x')\n") };
    let web = yard.built(&yard.request("web", source)).await;
    let labels = label(&web.image_id);
    for (key, value) in [
        ("org.opencontainers.image.title", "web"),
        ("org.opencontainers.image.ref.name", &yard.tag("web")),
        ("org.opencontainers.image.base.digest", base.digest.as_ref().unwrap()),
        ("eu.cloudopting.crane.base-digest", base.digest.as_ref().unwrap()),
        ("eu.cloudopting.crane.version", env!("CARGO_PKG_VERSION")),
        ("eu.cloudopting.crane.context", "CT123456"),
        ("eu.cloudopting.crane.instance", &yard.name),
        ("eu.cloudopting.crane.resource", "CT-IMweb"),
    ] {
        assert_eq!(labels[key], value, "{key}");
    }
    assert!(labels["eu.cloudopting.crane.manifest-digest"].starts_with("sha256:"));
    assert!(labels["org.opencontainers.image.created"].ends_with('Z'));
    // What an image without a manifest is built on had one.
    let dockerfile = format!("FROM {}\n", yard.tag("web"));
    let known = [yard.tag("web")].into();
    let derived = Request { known, ..yard.request("derived", only(&dockerfile)) };
    let derived = yard.built(&derived).await;
    assert_eq!(label(&derived.image_id)["eu.cloudopting.crane.manifest-digest"], "");
    for (image, built) in [("derived", derived), ("web", web), ("base", base)] {
        yard.remove(image, built.digest.as_deref()).await;
    }
    yard.is_clean();
}
