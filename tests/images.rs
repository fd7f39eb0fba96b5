//! Bases and images: all three forms and all-in-one, through a real engine and registry.

use serde_json::{Value, json};

use crate::support::{Crane, Form, docker::docker, problems, rig};

/// A manifest that no earlier build has in the engine's cache, so that Puppet really runs.
fn manifest(message: &str) -> String {
    let unique = uuid::Uuid::new_v4();
    format!("# {unique}\nfile {{ '/made-by-puppet': content => \"{message}\\n\" }}\n")
}

fn dockerfile() -> String {
    format!("FROM {}\n", rig("RIG_BASE"))
}

async fn base(crane: &Crane, name: &str) -> Value {
    let form =
        Form::default().text("imageName", name).file("dockerfile", "Dockerfile", dockerfile());
    let body = crane.post("/builder/images/bases", form).await.ok();
    assert_eq!((&body["name"], &body["status"]), (&json!(name), &json!("building")));
    crane.finished(&format!("/builder/images/bases/{name}")).await
}

fn path(body: &Value) -> String {
    format!("/builder/images/{}", body["token"].as_str().unwrap())
}

fn image(name: &str) -> Form {
    Form::default().text("imageName", name)
}

async fn run(image: &str, command: &[&str]) -> String {
    docker(&[&["run", "--rm", image], command].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_is_applied_on_a_base_and_the_image_is_pushed() {
    let crane = Crane::start().await;
    let base = base(&crane, "puppet").await;
    assert!(base["digest"].as_str().unwrap().starts_with("sha256:"), "{base:#}");
    let form =
        image("web").text("base", "puppet").file("puppetmanifest", "web.pp", manifest("hello"));
    let body = crane.post("/builder/images", form).await.ok();
    assert_eq!((&body["tag"], &body["imageName"]), (&json!("default/web"), &json!("web")));
    let context = body["context"].as_str().unwrap();
    assert_eq!(body["token"], json!(format!("{context}-IMweb")));
    let path = path(&body);
    let body = crane.finished(&path).await;

    // What the record says is what the registry serves.
    let reference = body["reference"].as_str().unwrap();
    let digest = body["digest"].as_str().unwrap();
    let repository = reference.strip_suffix(":latest").unwrap();
    assert_eq!(repository, format!("{}/default/web", crane.registry()));
    let pinned = format!("{repository}@{digest}");
    docker(&["pull", "-q", &pinned]);
    assert_eq!(run(&pinned, &["cat", "/made-by-puppet"]).await, "hello");
    docker(&["rmi", &pinned]);

    let labels =
        docker(&["image", "inspect", "--format", "{{json .Config.Labels}}", "default/web"]);
    let labels: Value = serde_json::from_str(&labels).unwrap();
    assert_eq!(labels["org.opencontainers.image.title"], "web");
    assert_eq!(labels["eu.cloudopting.crane.context"], context);
    assert_eq!(labels["eu.cloudopting.crane.resource"], body["token"]);
    assert_eq!(labels["eu.cloudopting.crane.version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(labels["eu.cloudopting.crane.base-digest"], base["digest"]);
    assert!(
        labels["eu.cloudopting.crane.manifest-digest"].as_str().unwrap().starts_with("sha256:")
    );

    let detail = crane.get(&format!("{path}/detail")).await.ok();
    assert!(detail["log"].as_str().unwrap().contains("Applied catalog"), "{detail:#}");
    let list = crane.get("/builder/images").await.ok();
    assert_eq!(list, json!({"numberOfProcesses": 1, "listOfProcesses": [body["token"]]}));
    let context = crane.get(&format!("/builder/contexts/{context}")).await.ok();
    assert_eq!(context["images"], json!([body["token"]]));

    assert_eq!(crane.delete(&path).await.ok()["status"], "deleted");
    assert_eq!(crane.get(&path).await.error().0, 404);
    let registry = crane.parts.jobs.parts.registry.as_ref().unwrap();
    assert_eq!(registry.digest("default/web", "latest").await.unwrap(), None);
    crane.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dockerfile_of_0_5_builds_unchanged() {
    let crane = Crane::start().await;
    let form = Form::default().text("group", "shop").file(
        "puppetfile",
        "Puppetfile",
        format!("mod 'stdlib', git: '{}/puppetlabs-stdlib.git', tag: 'v8.5.0'\n", rig("RIG_GIT")),
    );
    let dockerfile = format!(
        "FROM {}\nADD ./modules /etc/puppet/modules\nADD ./manifest.pp /manifest.pp\n\
         ADD images/web/manifest.pp /same.pp\n\
         RUN cmp /manifest.pp /same.pp && puppet apply --modulepath /etc/puppet/modules /manifest.pp\n",
        rig("RIG_BASE")
    );
    let manifest = "file_line { 'x': path => '/etc/motd', line => join(['a', 'b'], '+') }\n";
    let form = form.text("imageName", "web").file("dockerfile", "Dockerfile", dockerfile).file(
        "puppetmanifest",
        "manifest.pp",
        manifest,
    );
    let context = crane.post("/builder/aio", form).await.ok();
    assert_eq!((&context["group"], &context["status"]), (&json!("shop"), &json!("building")));
    let image = context["images"][0].as_str().unwrap();
    let body = crane.finished(&format!("/builder/images/{image}")).await;
    assert_eq!(body["tag"], "shop/web");
    assert!(run("shop/web", &["cat", "/etc/motd"]).await.contains("a+b"));

    // `FROM` of what Crane built means the image in Crane's registry.
    let form = Form::default()
        .text("contextReference", context["token"].as_str().unwrap())
        .text("imageName", "derived")
        .file("dockerfile", "Dockerfile", "FROM shop/web\nRUN echo more >> /etc/motd\n");
    let derived = crane.post("/builder/images", form).await.ok();
    crane.finished(&path(&derived)).await;
    assert!(run("shop/derived", &["cat", "/etc/motd"]).await.ends_with("more"));
    crane.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_puppet_run_that_fails_is_no_image() {
    let crane = Crane::start().await;
    base(&crane, "puppet-fails").await;
    let failures = [
        ("syntax", "file { '/a': ensure => present\n", "Syntax error"),
        ("resource", "notify { 'a': }\nexec { '/bin/false': }\n", "/bin/false"),
        ("class", "\n\ninclude nonesuch\n", "nonesuch"),
    ];
    for (name, manifest, words) in failures {
        let form =
            image(name).text("base", "puppet-fails").file("puppetmanifest", "m.pp", manifest);
        let path = path(&crane.post("/builder/images", form).await.ok());
        let body = crane.failed(&path).await;
        let problems = problems(&body).join("\n");
        assert!(problems.contains(words), "{name}: {body:#}");
        let detail = crane.get(&format!("{path}/detail")).await.ok();
        assert!(detail["error_log"].as_str().unwrap().contains(words), "{name}: {detail:#}");
        assert_eq!(docker(&["images", "-q", &format!("default/{name}")]), "", "left: {name}");
    }
    // A place in the manifest is told where Puppet tells it.
    let class = crane.get("/builder/images").await.ok();
    let token = class["listOfProcesses"][2].as_str().unwrap();
    let body = crane.get(&format!("/builder/images/{token}")).await.ok();
    assert!(problems(&body)[0].starts_with("m.pp:3"), "{body:#}");
    crane.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn puppet_errors_that_an_exit_code_hides_are_found() {
    let crane = Crane::start().await;
    let dockerfile = format!("FROM {}\nADD m.pp /m.pp\nRUN puppet apply /m.pp\n", rig("RIG_BASE"));
    let form = image("hidden").file("dockerfile", "Dockerfile", dockerfile).file(
        "puppetmanifest",
        "m.pp",
        "exec { '/bin/false': }\n",
    );
    let body = crane.failed(&path(&crane.post("/builder/images", form).await.ok())).await;
    assert!(problems(&body).join("\n").contains("/bin/false"), "{body:#}");
    assert!(body.get("digest").is_none() && body.get("reference").is_none(), "{body:#}");
    assert_eq!(docker(&["images", "-q", "default/hidden"]), "");
    let registry = crane.parts.jobs.parts.registry.as_ref().unwrap();
    assert_eq!(registry.digest("default/hidden", "latest").await.unwrap(), None);
    crane.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dockerfile_that_does_not_build_says_where_and_the_next_one_builds() {
    let crane = Crane::start().await;
    let bad = format!("{}RUN exit 7\n", dockerfile());
    let form = image("x").file("dockerfile", "Dockerfile", bad);
    let path = path(&crane.post("/builder/images", form).await.ok());
    let body = crane.failed(&path).await;
    assert!(body["description"].as_str().unwrap().contains("exit 7"), "{body:#}");
    // The name is taken until the failed one is deleted.
    let context = body["context"].as_str().unwrap();
    let again =
        || image("x").text("contextReference", context).file("dockerfile", "", dockerfile());
    let refused = crane.post("/builder/images", again()).await.error();
    assert_eq!((refused.0, &*refused.1), (409, "conflict"));
    crane.delete(&path).await.ok();
    crane.post("/builder/images", again()).await.ok();
    crane.finished(&path).await;
    crane.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_forms_are_refused_before_any_work() {
    let crane = Crane::start().await;
    let refused = async |route: &str, form: Form| {
        let answer = crane.post(route, form).await;
        assert_eq!((answer.error().0, &*answer.error().1), (422, "invalid"), "{}", answer.text);
        answer.problems().remove(0)
    };
    let images = "/builder/images";
    let file = |form: Form| form.file("dockerfile", "Dockerfile", dockerfile());
    assert_eq!(refused(images, file(Form::default())).await, "imageName: missing, or empty");
    assert_eq!(refused("/builder/images/bases", image("x")).await, "dockerfile: missing, or empty");
    assert_eq!(
        refused(images, image("x")).await,
        "dockerfile: missing: give a base and a manifest, a Dockerfile and a manifest, or a Dockerfile"
    );
    let long = "x".repeat(300);
    for bad in ["a;touch /tmp/p", "../../x", "a\0b", long.as_str()] {
        let problem = refused(images, file(image(bad))).await;
        assert!(problem.starts_with("imageName: a name "), "{problem}");
    }
    let both = file(image("x")).text("base", "b").file("puppetmanifest", "m.pp", "notice(1)");
    assert!(refused(images, both).await.starts_with("base: there is no base 'b'"));
    let unknown = image("x").text("base", "a\nb").file("puppetmanifest", "m.pp", "notice(1)");
    assert!(refused(images, unknown).await.starts_with("base: a name "));
    let no_from = image("x").file("dockerfile", "Dockerfile", "RUN true\n");
    let problem = refused(images, no_from).await;
    assert!(problem.starts_with("dockerfile:1:1: "), "{problem}");
    let name = image("x").file("dockerfile", "Dockerfile", dockerfile());
    let name = name.file("puppetmanifest", "../../etc/passwd", "notice(1)");
    let problem = refused(images, name).await;
    assert!(problem.starts_with("puppetmanifest"), "{problem}");
    let context = file(image("x")).text("contextReference", "CTnope");
    let absent = crane.post(images, context).await.error();
    assert_eq!((absent.0, &*absent.1), (404, "notFound"));
    for route in ["/extra/tokens"] {
        let tokens = crane.get(route).await.ok();
        assert_eq!(tokens["images"], json!([]), "{tokens}");
        assert_eq!(tokens["contexts"], json!([]), "{tokens}");
    }
    crane.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_name_in_two_contexts_is_one_tag_and_the_newer_survives_the_older() {
    let crane = Crane::start().await;
    let build = async |content: &str| {
        let dockerfile = format!("{}RUN echo {content} > /which\n", dockerfile());
        let form = image("UPPER").file("dockerfile", "Dockerfile", dockerfile);
        let body = crane.post("/builder/images", form).await.ok();
        assert_eq!(body["tag"], "default/upper");
        crane.finished(&path(&body)).await
    };
    let older = build("older").await;
    let newer = build("newer").await;
    crane.delete(&path(&older)).await.ok();
    let registry = crane.parts.jobs.parts.registry.as_ref().unwrap();
    let served = registry.digest("default/upper", "latest").await.unwrap();
    assert_eq!(served.as_deref(), newer["digest"].as_str());
    assert_eq!(run("default/upper", &["cat", "/which"]).await, "newer");
    crane.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn registries_that_refuse_are_named_and_leave_no_image() {
    let ca = rig("RIG_REGISTRY_TLS_CA");
    let (auth, tls) = (rig("RIG_REGISTRY_AUTH"), rig("RIG_REGISTRY_TLS"));
    let wrong = crate::support::other_ca();
    let cases: [(&[(&'static str, &str)], &str); 4] = [
        (&[("registry", "127.0.0.1:1")], "127.0.0.1:1"),
        (&[("registry", &auth)], "password"),
        (
            &[("registry", &auth), ("registry_username", "crane"), ("registry_password", "wrong")],
            "password",
        ),
        (&[("registry", &tls), ("registry_ca", wrong.path().to_str().unwrap())], "certificate"),
    ];
    for (settings, words) in cases {
        let crane = Crane::with(settings).await;
        let form = image("refused").file("dockerfile", "Dockerfile", dockerfile());
        let body = crane.failed(&path(&crane.post("/builder/images", form).await.ok())).await;
        assert!(body["description"].as_str().unwrap().contains(words), "{words}: {body:#}");
        assert!(!body.to_string().contains("wrong"), "{body:#}");
        assert_eq!(docker(&["images", "-q", "default/refused"]), "");
    }
    for (location, settings) in [(auth, None), (tls, Some(("registry_ca", ca.as_str())))] {
        let mut all = vec![
            ("registry", location.as_str()),
            ("registry_username", "crane"),
            ("registry_password", "secret-of-the-rig"),
        ];
        all.extend(settings);
        let crane = Crane::with(&all).await;
        let form = image("accepted").file("dockerfile", "Dockerfile", dockerfile());
        let body = crane.finished(&path(&crane.post("/builder/images", form).await.ok())).await;
        assert!(body["reference"].as_str().unwrap().starts_with(location.as_str()), "{body:#}");
        crane.close().await;
    }
}
