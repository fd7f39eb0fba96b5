//! Modules that others need, added from the Forge on request.

use std::{fs, path::Path};

use crane::puppet::{self, Compat, Lock, NativeSettings, Options, Pin};
use tar::EntryType::Regular;

use super::{
    differential::Bench,
    repositories::{Repository, Server, release},
    trees::tree,
};

/// Releases: name, version, and what it needs.
type Release<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)]);

fn metadata(name: &str, version: &str, needs: &[(&str, &str)]) -> String {
    let needs: Vec<serde_json::Value> = needs
        .iter()
        .map(|(name, range)| match *range {
            "" => serde_json::json!({ "name": name }),
            range => serde_json::json!({ "name": name, "version_requirement": range }),
        })
        .collect();
    serde_json::json!({ "name": name, "version": version, "dependencies": needs }).to_string()
}

struct World {
    home: tempfile::TempDir,
    forge: Server,
}

impl World {
    fn of(releases: &[Release<'_>]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("forge");
        for (name, version, needs) in releases {
            let name = name.replace('/', "-");
            let text = metadata(&name, version, needs);
            let slug = format!("{name}-{version}");
            release(&directory, &slug, &[(Regular, 0o644, "metadata.json", text.as_bytes())]);
        }
        let forge = Server::start("forge.py", &directory);
        Self { home, forge }
    }

    fn bench(&self, name: &str) -> Bench {
        Bench::new(&self.home.path().join(name), &self.forge.url)
    }

    fn root(&self) -> std::path::PathBuf {
        let root = self.home.path().join(format!("root-{}", uuid::Uuid::new_v4().simple()));
        fs::create_dir(&root).unwrap();
        root
    }

    /// `name version` of what is installed, with `<` and those who need it after what was added.
    fn installs(&self, text: &str) -> Vec<String> {
        let root = self.root();
        let outcome = self.bench("bench").install_with(&root, text, &resolving());
        let lock = outcome.unwrap_or_else(|error| panic!("{text}\n{error}")).lock.unwrap();
        told(&lock, &root)
    }

    /// Why it is not.
    fn refuses(&self, text: &str) -> String {
        let root = self.root();
        let error = self.bench("bench").install_with(&root, text, &resolving()).unwrap_err();
        assert_eq!(super::entries(&root), [""; 0]);
        let problems = super::problems(&error);
        assert_eq!(problems.len(), 1, "{error:?}");
        problems[0].strip_prefix("puppetfile: ").unwrap().to_owned()
    }
}

fn resolving() -> Options {
    Options { resolve: true, ..Options::default() }
}

fn told(lock: &Lock, root: &Path) -> Vec<String> {
    let modules = lock.modules.iter().map(|module| {
        assert!(root.join(&module.path).is_dir(), "{}", module.path);
        let needed_by = match &module.needed_by[..] {
            [] => String::new(),
            names => format!(" < {}", names.join(" ")),
        };
        format!("{} {}{needed_by}", module.name, module.version.as_deref().unwrap_or("-"))
    });
    modules.collect()
}

#[test]
fn what_is_needed_comes_with_what_that_needs() {
    let world = World::of(&[
        ("crane/a", "1.0.0", &[("crane/b", ">= 1.0.0 < 2.0.0")]),
        ("crane/b", "1.0.0", &[("crane-c", "1.x")]),
        ("crane/b", "1.1.0", &[("crane-c", "1.x"), ("crane/d", "")]),
        ("crane/b", "2.0.0", &[("crane/none", "")]),
        ("crane/c", "1.0.0", &[]),
        ("crane/c", "1.4.9", &[]),
        // Not taken: nobody has named it.
        ("crane/c", "1.5.0-rc1", &[("crane/none", "")]),
        ("crane/d", "0.1.0-alpha", &[]),
        ("crane/d", "0.0.9", &[("crane/a", ">= 1.0.0")]),
    ]);
    let all = [
        "crane/a 1.0.0",
        "crane/b 1.1.0 < crane/a",
        "crane/c 1.4.9 < crane/b",
        "crane/d 0.0.9 < crane/b",
    ];
    assert_eq!(world.installs("mod 'crane/a', '1.0.0'"), all);
    // In a circle, too, and with a version that is left open.
    assert_eq!(world.installs("mod 'crane/a'"), all);
    // What the Puppetfile has is that, in its place, and what it leaves open fits the others.
    assert_eq!(
        world.installs("moduledir 'site'\nmod 'crane/b', '>= 1.0.0'\nmod 'crane/a', :latest"),
        ["crane/b 1.1.0", "crane/a 1.0.0", "crane/c 1.4.9 < crane/b", "crane/d 0.0.9 < crane/b"]
    );
    // A pre-release that the Puppetfile names.
    let error = world.refuses("mod 'crane/c', '1.5.0-rc1'");
    assert!(error.contains("there is no module crane/none on "), "{error}");
    // Without being asked, nothing is added.
    let root = world.root();
    let outcome = world.bench("plain").install(&root, "mod 'crane/a', '1.0.0'", Compat::R10k5);
    assert_eq!(told(&outcome.unwrap().lock.unwrap(), &root), ["crane/a 1.0.0"]);
}

#[test]
fn a_version_that_suits_all_is_found_or_it_is_said_why_there_is_none() {
    let world = World::of(&[
        ("crane/left", "1.0.0", &[("crane/base", ">= 1.0.0 < 3.0.0")]),
        ("crane/right", "1.0.0", &[("crane/base", ">= 1.0.0 < 2.0.0")]),
        ("crane/right", "2.0.0", &[("crane/base", ">= 3.0.0")]),
        ("crane/base", "1.0.0", &[]),
        ("crane/base", "1.9.0", &[]),
        ("crane/base", "2.5.0", &[]),
        ("crane/base", "3.0.0", &[]),
        ("crane/far", "1.0.0", &[("crane/base", ">= 9.0.0")]),
    ]);
    // The newest `right` does not go with `left`, so that an older one is taken.
    assert_eq!(
        world.installs("mod 'crane/left', '1.0.0'\nmod 'crane/right'"),
        ["crane/left 1.0.0", "crane/right 1.0.0", "crane/base 1.9.0 < crane/left crane/right"]
    );
    let error = world.refuses("mod 'crane/left', '1.0.0'\nmod 'crane/right', '2.0.0'");
    assert_eq!(
        error,
        "Because crane/left 1.0.0 needs crane/base >=1.0.0 <3.0.0 and crane/right 2.0.0 needs \
         crane/base >=3.0.0, crane/left 1.0.0 and crane/right 2.0.0 do not go together.\n\
         And because the Puppetfile asks for crane/right 2.0.0 and the Puppetfile asks for \
         crane/left 1.0.0, there is no solution."
    );
    let error = world.refuses("mod 'crane/left', '1.0.0'\nmod 'crane/base', '3.0.0'");
    assert!(error.contains("crane/left 1.0.0 needs crane/base >=1.0.0 <3.0.0"), "{error}");
    assert!(error.contains("the Puppetfile asks for crane/base 3.0.0"), "{error}");
    let error = world.refuses("mod 'crane/far'");
    assert!(error.contains("no release of crane/base is in >=9.0.0"), "{error}");
    let error = world.refuses("mod 'crane/left', '7.7.7'");
    assert!(error.contains("the module release crane-left-7.7.7 does not exist"), "{error}");
}

#[test]
fn repositories_and_archives_have_needs_and_meet_them() {
    let world = World::of(&[
        ("crane/base", "1.0.0", &[]),
        ("crane/base", "2.0.0", &[]),
        ("crane/user", "1.0.0", &[("crane/base", ">= 2.0.0"), ("crane/mine", "1.x")]),
    ]);
    let directory = world.home.path().join("git");
    fs::create_dir(&directory).unwrap();
    let mut repository = Repository::new();
    let text = metadata("crane-web", "0.1.0", &[("crane/base", "1.x")]);
    repository.commit("main", &[("644", "metadata.json", text.as_bytes())]);
    repository.write(&directory.join("web.git"), "main");
    let mut repository = Repository::new();
    let text = metadata("other-base", "1.7.0", &[]);
    repository.commit("main", &[("644", "metadata.json", text.as_bytes())]);
    repository.commit("bare", &[("delete", "metadata.json", b""), ("644", "x", b"")]);
    repository.write(&directory.join("base.git"), "main");
    let git_server = Server::start("git.py", &directory);
    let url = &git_server.url;
    let web = format!("mod 'web', git: '{url}/web.git', ref: 'main'\n");
    assert_eq!(world.installs(&web), ["web 0.1.0", "crane/base 1.0.0 < web"]);
    // By its name, whoever owns it.
    let base = format!("mod 'base', git: '{url}/base.git', ref: 'main'\n");
    assert_eq!(world.installs(&format!("{web}{base}")), ["web 0.1.0", "base 1.7.0"]);
    let error = world.refuses(&format!("{base}mod 'crane/user', '1.0.0'\nmod 'mine', local: true"));
    assert!(error.contains("crane/user 1.0.0 needs base >=2.0.0"), "{error}");
    assert!(error.contains("the Puppetfile has base 1.7.0"), "{error}");
    // Without a version it suits everybody, and an archive is looked into as well.
    let bare = base.replace("main", "bare");
    let archive = format!("{}/v3/files/crane-base-1.0.0.tar.gz", world.forge.url);
    let mine = format!("mod 'mine', type: 'tarball', source: '{archive}'");
    assert_eq!(
        world.installs(&format!("{bare}mod 'crane/user', '1.0.0'\n{mine}")),
        ["base -", "crane/user 1.0.0", "mine 1.0.0"]
    );
}

#[test]
fn two_owners_of_one_name_are_not_guessed_between() {
    let world = World::of(&[
        ("crane/a", "1.0.0", &[("one/systemd", ""), ("two/systemd", "")]),
        ("one/systemd", "1.0.0", &[]),
        ("two/systemd", "2.0.0", &[]),
    ]);
    let error = world.refuses("mod 'crane/a', '1.0.0'");
    let expected = "one/systemd and two/systemd are both needed, and both are the module 'systemd'";
    assert!(error.contains(expected), "{error}");
    assert_eq!(
        world.installs("mod 'crane/a', '1.0.0'\nmod 'two/systemd', '2.0.0'"),
        ["crane/a 1.0.0", "two/systemd 2.0.0"]
    );
}

#[test]
fn a_lock_says_what_was_added_and_nothing_more_is() {
    let releases: &[Release<'_>] =
        &[("crane/a", "1.0.0", &[("crane/b", "")]), ("crane/b", "1.0.0", &[])];
    let world = World::of(releases);
    let text = "mod 'crane/a', '1.0.0'";
    let root = world.root();
    let bench = world.bench("bench");
    let outcome = bench.install_with(&root, text, &resolving()).unwrap();
    let names: Vec<&str> = outcome.modules.iter().map(|module| module.name.as_str()).collect();
    assert_eq!(names, ["crane/a", "crane/b"]);
    let lock = Lock::parse(&outcome.lock.unwrap().text()).unwrap();
    let before = tree(&root);

    // There is a newer one now, which the lock does not have.
    let directory = world.home.path().join("forge");
    let newer = metadata("crane-b", "1.1.0", &[("crane/c", "")]);
    release(&directory, "crane-b-1.1.0", &[(Regular, 0o644, "metadata.json", newer.as_bytes())]);
    let newer = metadata("crane-c", "1.0.0", &[]);
    release(&directory, "crane-c-1.0.0", &[(Regular, 0o644, "metadata.json", newer.as_bytes())]);
    let forge = Server::start("forge.py", &directory);
    let now = Bench::new(&world.home.path().join("now"), &forge.url);
    for resolve in [true, false] {
        let root = world.root();
        let options = Options { lock: Some(lock.clone()), resolve, ..Options::default() };
        let outcome = bench.install_with(&root, text, &options).unwrap();
        assert_eq!(outcome.lock.unwrap(), lock);
        assert_eq!(tree(&root), before);
    }
    let root = world.root();
    let moved = now.install_with(&root, text, &resolving()).unwrap().lock.unwrap();
    assert_eq!(told(&moved, &root).len(), 3);

    // A lock that was made up adds nothing outside.
    let mut evil = lock.clone();
    evil.modules[1].path = "../b".into();
    let options = Options { lock: Some(evil), ..Options::default() };
    let error = bench.install_with(&root, text, &options).unwrap_err();
    assert!(error.to_string().contains("'crane/b' cannot have been added"), "{error}");
    let mut evil = lock.clone();
    evil.modules[1].name = "crane/../b".into();
    let options = Options { lock: Some(evil), ..Options::default() };
    assert!(bench.install_with(&root, text, &options).is_err());
    // What was in the Puppetfile and no more is, was not added.
    let mut own = lock.clone();
    own.modules[1].needed_by.clear();
    let options = Options { lock: Some(own), ..Options::default() };
    let error = bench.install_with(&root, text, &options).unwrap_err();
    assert!(
        error.to_string().contains("'crane/b' of the lock is not in the Puppetfile"),
        "{error}"
    );
}

#[test]
fn what_stands_is_known_with_what_was_added() {
    let world = World::of(&[("crane/a", "1.0.0", &[("crane/b", "")]), ("crane/b", "1.0.0", &[])]);
    let keeping = NativeSettings { keep_tags: true, ..NativeSettings::default() };
    let bench = Bench::with(&world.home.path().join("bench"), &world.forge.url, keeping);
    let root = world.root();
    let parsed = puppet::check_for(Compat::R10k5, "mod 'crane/a', '1.0.0'").unwrap();
    let log = crane::model::Log::new(tokio::sync::mpsc::channel(1).0);
    let bring = || {
        let options = resolving();
        let bring = puppet::bring(&bench.settings, &parsed, &root, &options, &log);
        bench.runtime.block_on(bring)
    };
    let first = bring().unwrap();
    let stamp = |path: &str| fs::metadata(root.join(path)).unwrap().modified().unwrap();
    let written = stamp("modules/b");
    let again = bring().unwrap();
    assert_eq!((again.lock, again.modules), (first.lock.clone(), first.modules));
    assert_eq!(stamp("modules/b"), written, "it was installed again");
    fs::remove_dir_all(root.join("modules/b")).unwrap();
    assert_eq!(bring().unwrap().lock, first.lock);
    assert!(root.join("modules/b/metadata.json").is_file());
    fs::write(root.join("modules/b/metadata.json"), "changed").unwrap();
    let error = bring().unwrap_err().to_string();
    assert!(error.contains("modules/b was changed"), "{error}");
    assert!(matches!(first.lock.unwrap().modules[1].pin, Pin::Forge { .. }));
}
