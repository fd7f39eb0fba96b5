//! Building images, without Crane's API around it: real builds by both builders, real Puppet, real
//! registries.

mod failures;
mod forms;
mod names;

use std::{collections::BTreeMap, path::Path, time::SystemTime};

use crane::{
    build::{self, Built, Request, Source, Upload},
    engine::{Builder, Engine},
    error::{Error, Result},
    model::{Channel, LABEL_INSTANCE, LABEL_RESOURCE, Name},
    registry::{Credentials, Registry},
};

use crate::support::{self, docker::docker, log, rig, text};

const BUILDERS: [Builder; 2] = [Builder::Best, Builder::Classic];

/// What one test builds with. Its name is in every tag, label and registry prefix, so tests and
/// runs of them do not see each other's images.
struct Yard {
    name: String,
    engine: Engine,
    registry: Option<Registry>,
    root: tempfile::TempDir,
}

impl Yard {
    fn new(name: &str) -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let name = format!("it-build-{name}-{}", now.as_nanos());
        let location = format!("{}/{name}", rig("RIG_REGISTRY"));
        Self {
            registry: Some(Registry::open(&location, None, None).unwrap()),
            engine: support::engine(),
            root: tempfile::tempdir().unwrap(),
            name,
        }
    }

    /// At the registry that wants a password.
    fn with_password(mut self) -> Self {
        let location = format!("{}/{}", rig("RIG_REGISTRY_AUTH"), self.name);
        let password = "secret-of-the-rig".to_owned().into();
        let credentials = Credentials { username: "crane".into(), password };
        self.registry = Some(Registry::open(&location, Some(credentials), None).unwrap());
        self
    }

    fn with_builder(mut self, builder: Builder) -> Self {
        self.engine = self.engine.with_builder(builder);
        self
    }

    /// Something that no earlier build can have in its cache.
    fn unique(&self) -> String {
        format!("RUN : {}\n", self.name)
    }

    /// A module `hello`, whose class writes `/hello`.
    fn module(&self) {
        let manifests = self.root.path().join("modules/hello/manifests");
        std::fs::create_dir_all(&manifests).unwrap();
        let class = "class hello { file { '/hello': content => \"from a module\\n\" } }\n";
        std::fs::write(manifests.join("init.pp"), class).unwrap();
        let git = self.root.path().join("modules/hello/.git");
        std::fs::create_dir_all(&git).unwrap();
        std::fs::write(git.join("config"), "history").unwrap();
    }

    fn tag(&self, image: &str) -> String {
        format!("{}/{image}", self.name)
    }

    fn labels(&self, image: &str) -> BTreeMap<String, String> {
        let labels = [(LABEL_INSTANCE, &self.name), (LABEL_RESOURCE, &format!("CT-IM{image}"))];
        labels.map(|(key, value)| (key.to_owned(), value.clone())).into()
    }

    fn request(&self, image: &str, source: Source) -> Request {
        Request {
            root: Some(self.root.path().to_owned()),
            name: Name::parse("imageName", image).unwrap(),
            tag: self.tag(image),
            source,
            known: Default::default(),
            labels: self.labels(image),
            context_token: Some("CT123456".into()),
        }
    }

    async fn build(&self, request: &Request) -> (Result<Built>, String) {
        let (sink, lines) = log();
        let built = build::image(&self.engine, self.registry.as_ref(), request, &sink).await;
        drop(sink);
        (built, text(lines, Channel::Log).await)
    }

    async fn built(&self, request: &Request) -> Built {
        let (built, log) = self.build(request).await;
        built.unwrap_or_else(|error| panic!("{error:?}\n{log}"))
    }

    async fn failed(&self, request: &Request) -> Error {
        let (built, log) = self.build(request).await;
        let Err(error) = built else { panic!("{log}") };
        error
    }

    /// A base from a Dockerfile of one line.
    async fn base(&self) -> Built {
        let dockerfile = format!("FROM {}\n{}", rig("RIG_BASE"), self.unique());
        self.built(&Request { root: None, ..self.request("base", only(&dockerfile)) }).await
    }

    async fn remove(&self, image: &str, digest: Option<&str>) {
        let (registry, tag) = (self.registry.as_ref(), self.tag(image));
        let left = build::remove(&self.engine, registry, &self.labels(image), &tag, digest).await;
        assert_eq!(left.unwrap(), [""; 0]);
    }

    /// Nothing with this test's label is left.
    fn is_clean(&self) {
        support::docker::assert_nothing_labelled(&format!("{LABEL_INSTANCE}={}", self.name));
    }
}

fn only(dockerfile: &str) -> Source {
    Source::Dockerfile { dockerfile: dockerfile.into(), manifest: None }
}

fn manifest(content: &str) -> Upload {
    Upload { file_name: "site.pp".into(), content: content.into() }
}

/// What a program prints in a container of the image.
fn run(image: &str, command: &[&str]) -> String {
    docker(&[&["run", "--rm", "--entrypoint", command[0], image], &command[1..]].concat())
}

/// The paths in every layer of an image.
fn layers(image: &str) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let saved = directory.path().join("image.tar");
    docker(&["save", "--output", saved.to_str().unwrap(), image]);
    let mut paths = Vec::new();
    each_entry(&std::fs::read(saved).unwrap(), &mut |path, content| {
        // A layer is a tar in the tar.
        if path.extension().is_some_and(|extension| extension == "tar") {
            each_entry(content, &mut |path, _| paths.push(path.display().to_string()));
        }
    });
    assert!(!paths.is_empty());
    paths
}

fn each_entry(tar: &[u8], each: &mut dyn FnMut(&Path, &[u8])) {
    let mut archive = tar::Archive::new(tar);
    for entry in archive.entries().unwrap() {
        let entry = entry.unwrap();
        let start = usize::try_from(entry.raw_file_position()).unwrap();
        let end = start + usize::try_from(entry.size()).unwrap();
        each(&entry.path().unwrap(), &tar[start..end]);
    }
}
