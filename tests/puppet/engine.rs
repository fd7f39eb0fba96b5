//! What Crane's own engine does beyond r10k: servers of every age, moving references, locks, the
//! cache, and installations that are given up.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use crane::{
    error::Error,
    model::Log,
    puppet::{self, Compat, Credential, Lock, NativeSettings, Options, Outcome, Pin},
};

use super::{
    differential::Bench,
    repositories::{Repository, Server, archive, git},
    scripted::{Reply, Scripted},
    trees::tree,
};

const MAIN: &[(&str, &str, &[u8])] = &[
    ("644", "metadata.json", b"{\"version\": \"1.0.0\", \"license\": \"Apache-2.0\"}"),
    ("644", "manifests/init.pp", b"class x { }\n"),
    ("644", "spec/x_spec.rb", b"1\n"),
];

/// A repository `x.git` with 200 commits, and what its revisions are.
fn repository(directory: &Path) -> Repository {
    fs::create_dir_all(directory).unwrap();
    let mut repository = Repository::new();
    let first = repository.commit("main", MAIN);
    repository.annotated("v1", first);
    for number in 0..200 {
        let text = format!("class x::n{number} {{ }}\n");
        repository.commit("main", &[("644", "manifests/n.pp", text.as_bytes())]);
    }
    repository.write(&directory.join("x.git"), "main");
    repository
}

fn module(server: &Server, options: &str) -> String {
    format!("mod 'x', git: '{}/x.git', {options}", server.url)
}

fn commit(outcome: &Outcome) -> String {
    let lock = outcome.lock.as_ref().unwrap();
    lock.modules[0].pin.commit().unwrap().to_owned()
}

#[test]
fn servers_of_every_kind_give_the_same() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("git");
    repository(&directory);
    let place = directory.join("x.git");
    for (kind, server) in [
        ("new", Server::start("git.py", &directory)),
        ("old", Server::start_with("git.py", &directory, &["old"])),
        ("daemon", Server::daemon(&directory)),
    ] {
        for (number, (options, revision)) in [
            ("branch: 'main'", "main"),
            ("tag: 'v1'", "v1^{commit}"),
            ("ref: 'HEAD'", "main"),
            ("ref: 'main~3'", "main~3"),
            ("commit: '{main~10}'", "main~10"),
            ("commit: '{main~100}'", "main~100"),
            ("commit: '{v1}'", "v1^{commit}"),
        ]
        .into_iter()
        .enumerate()
        {
            let expected = git(&place, &["rev-parse", revision]);
            let mut options = options.to_owned();
            if let Some((_, rest)) = options.clone().split_once('{') {
                let name = rest.split_once('}').unwrap().0;
                let id = git(&place, &["rev-parse", name]);
                options = options.replace(&format!("{{{name}}}"), &id);
            }
            // A cache of its own each time, and then one that knows other commits.
            for cache in [format!("{kind}{number}"), kind.to_owned()] {
                let bench = Bench::new(&home.path().join(&cache), "http://127.0.0.1:1");
                let root = home.path().join(format!("root-{cache}"));
                fs::create_dir_all(&root).unwrap();
                let text = module(&server, &options);
                let outcome = bench.install(&root, &text, Compat::R10k3);
                let outcome = outcome.unwrap_or_else(|error| panic!("{kind} {options}: {error:?}"));
                assert_eq!(commit(&outcome), expected, "{kind} {options}");
                let written = tree(&root);
                let listed = git(&place, &["ls-tree", "-r", "--name-only", &expected]);
                let files = written.values().filter(|told| told.starts_with("file")).count();
                assert_eq!(files, listed.lines().count(), "{kind} {options}");
            }
        }
        let unknown = module(&server, "commit: '0123456789012345678901234567890123456789'");
        let bench = Bench::new(&home.path().join(kind), "http://127.0.0.1:1");
        let error = bench.install(home.path(), &unknown, Compat::R10k3).unwrap_err();
        assert!(error.to_string().contains("there is no branch, tag or commit '0123"), "{error:?}");
    }
}

#[test]
fn a_repository_that_has_moved_is_found_where_it_is_now() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("git");
    repository(&directory);
    let server = Server::start("git.py", &directory);
    let target = server.url.clone();
    let old = Scripted::start(move |request, _, _| {
        let path = request.split(' ').nth(1).unwrap();
        Reply::Redirect(format!("{target}{path}"))
    });
    let first = git(&directory.join("x.git"), &["rev-parse", "main~7"]);
    for (number, options) in
        ["branch: 'main'", &format!("commit: '{first}'"), "ref: 'main~2'"].into_iter().enumerate()
    {
        let bench = Bench::new(&home.path().join(number.to_string()), "http://127.0.0.1:1");
        let root = home.path().join(format!("root{number}"));
        fs::create_dir(&root).unwrap();
        let text = format!("mod 'x', git: '{}/x.git', {options}", old.url);
        bench.install(&root, &text, Compat::R10k3).unwrap();
        assert!(root.join("modules/x/manifests/init.pp").is_file(), "{options}");
    }
}

#[test]
fn references_that_move_are_followed_and_those_that_go_leave_the_old_tree() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("git");
    let mut repository = repository(&directory);
    let place = directory.join("x.git");
    let server = Server::start("git.py", &directory);
    let bench = Bench::new(home.path(), "http://127.0.0.1:1");
    let root = home.path().join("root");
    fs::create_dir(&root).unwrap();
    let (tag, branch) = (module(&server, "tag: 'v1'"), module(&server, "branch: 'main'"));
    let first = commit(&bench.install(&root, &tag, Compat::R10k3).unwrap());
    let tip = commit(&bench.install(&root, &branch, Compat::R10k3).unwrap());
    repository.commit("main", &[("644", "manifests/new.pp", b"class x::new { }\n")]);
    repository.write(&place, "main");
    git(&place, &["update-ref", "refs/tags/v1", "main~1"]);
    let moved = commit(&bench.install(&root, &tag, Compat::R10k3).unwrap());
    assert!(moved != first && moved == tip);
    let new = commit(&bench.install(&root, &branch, Compat::R10k3).unwrap());
    assert_eq!(new, git(&place, &["rev-parse", "main"]));
    assert!(root.join("modules/x/manifests/new.pp").is_file());
    // On the command line a tag that is there is kept, as r10k does.
    let keeping = NativeSettings { keep_tags: true, ..NativeSettings::default() };
    let keeping = Bench::with(home.path(), "http://127.0.0.1:1", keeping);
    assert_eq!(commit(&keeping.install(&root, &tag, Compat::R10k3).unwrap()), tip);
    git(&place, &["update-ref", "refs/tags/v1", "main"]);
    assert_eq!(commit(&keeping.install(&root, &tag, Compat::R10k3).unwrap()), tip);
    assert_eq!(commit(&bench.install(&root, &tag, Compat::R10k3).unwrap()), new);
    git(&place, &["update-ref", "-d", "refs/heads/main"]);
    let before = tree(&root);
    let error = bench.install(&root, &branch, Compat::R10k3).unwrap_err();
    assert!(error.to_string().contains("there is no branch, tag or commit 'main' in "), "{error}");
    assert_eq!(tree(&root), before);
}

#[test]
fn a_lock_holds_also_without_a_server_and_is_the_same_everywhere() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("git");
    repository(&directory);
    let server = Server::start("git.py", &directory);
    let text = module(&server, "branch: 'main'");
    let root = home.path().join("root");
    fs::create_dir(&root).unwrap();
    let locks: Vec<Lock> = ["one", "other"]
        .map(|cache| {
            let bench = Bench::new(&home.path().join(cache), "http://127.0.0.1:1");
            bench.install(&root, &text, Compat::R10k5).unwrap().lock.unwrap()
        })
        .to_vec();
    assert_eq!(locks[0].text(), locks[1].text());
    let lock = Lock::parse(&locks[0].text()).unwrap();
    assert_eq!(lock, locks[0]);
    assert_eq!(lock.modules[0].version.as_deref(), Some("1.0.0"));
    assert!(matches!(lock.modules[0].pin, Pin::Git { .. }));
    assert!(!root.join("modules/x/spec").exists(), "r10k 5 leaves spec out");

    // The branch moves, and the lock does not.
    let place = directory.join("x.git");
    git(&place, &["update-ref", "refs/heads/main", "main~5"]);
    let bench = Bench::new(&home.path().join("one"), "http://127.0.0.1:1");
    let before = tree(&root);
    let options = Options { lock: Some(lock.clone()), ..Options::default() };
    let outcome = bench.install_with(&root, &text, &options).unwrap();
    assert_eq!(outcome.lock.unwrap(), lock);
    assert_eq!(tree(&root), before);

    // The server goes.
    drop(server);
    fs::remove_dir_all(root.join("modules")).unwrap();
    bench.install_with(&root, &text, &options).unwrap();
    assert_eq!(tree(&root), before);
    let error = bench.install(&root, &text, Compat::R10k5).unwrap_err();
    assert!(error.retry().is_some(), "it may pass: {error:?}");
    assert_eq!(tree(&root), before);

    // What does not fit is told.
    let other = text.replace("main", "v1");
    let error = bench.install_with(&root, &other, &options).unwrap_err();
    let expected =
        ["puppetfile:1:5: 'x' is not declared as it was when the lock was made: install \
                     without the lock to make it anew"];
    assert_eq!(super::problems(&error), expected);
    let options = Options { compat: Compat::R10k3, lock: Some(lock.clone()), ..Options::default() };
    let error = bench.install_with(&root, &text, &options).unwrap_err();
    assert_eq!(super::problems(&error), ["lock: it was made with another `compat`"]);
    let changed =
        lock.text().replace(&lock.modules[0].digest, &format!("sha256:{}", "0".repeat(64)));
    let error = Lock::parse(&changed).unwrap_err();
    let expected = ["lock: its digest is not that of its modules: it was changed"];
    assert_eq!(super::problems(&error), expected);
}

#[test]
fn what_stands_is_left_and_what_was_changed_is_told() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("git");
    repository(&directory);
    let server = Server::start("git.py", &directory);
    let bench = Bench::new(home.path(), "http://127.0.0.1:1");
    let root = home.path().join("root");
    fs::create_dir(&root).unwrap();
    let text = module(&server, "tag: 'v1'");
    let parsed = puppet::check_for(Compat::R10k3, &text).unwrap();
    let log = Log::new(tokio::sync::mpsc::channel(1).0);
    let options = Options { compat: Compat::R10k3, ..Options::default() };
    let bring = || {
        let bring = puppet::bring(&bench.settings, &parsed, &root, &options, &log);
        bench.runtime.block_on(bring).map(|outcome| outcome.lock.unwrap())
    };
    let first = bring().unwrap();
    let before = tree(&root);
    // A tag that stands already is not asked for, as with r10k.
    drop(server);
    assert_eq!(bring().unwrap(), first);
    // What is missing comes back from the cache only when the tag can be asked for.
    let file = root.join("modules/x/manifests/init.pp");
    fs::write(&file, "changed").unwrap();
    let error = bring().unwrap_err();
    let expected = "modules/x was changed since it was installed: take the changes away, or \
                    install with --force, which does";
    assert!(matches!(error, Error::Conflict(_)), "{error:?}");
    assert_eq!(error.to_string(), expected);
    assert_eq!(fs::read_to_string(&file).unwrap(), "changed");
    puppet::forget(&bench.settings, &root).unwrap();
    let server = Server::start("git.py", &directory);
    let text = module(&server, "tag: 'v1'");
    bench.install(&root, &text, Compat::R10k3).unwrap();
    assert_eq!(tree(&root), before);
}

#[test]
fn a_cache_that_is_damaged_is_made_anew() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("git");
    repository(&directory);
    let server = Server::start("git.py", &directory);
    let bench = Bench::new(home.path(), "http://127.0.0.1:1");
    let text = module(&server, "branch: 'main'");
    let root = home.path().join("root");
    fs::create_dir(&root).unwrap();
    bench.install(&root, &text, Compat::R10k3).unwrap();
    let before = tree(&root);
    let mut packs = 0;
    for repository in fs::read_dir(home.path().join("cache/git")).unwrap() {
        let repository = repository.unwrap().path();
        for kept in fs::read_dir(repository.join("trees-1/whole")).unwrap() {
            fs::write(kept.unwrap().path(), "no tree").unwrap();
        }
        // The packs are still whole.
        bench.install(&root, &text, Compat::R10k3).unwrap();
        assert_eq!(tree(&root), before);
        fs::remove_dir_all(repository.join("trees-1")).unwrap();
        for pack in fs::read_dir(repository.join("objects/pack")).unwrap() {
            let path = pack.unwrap().path();
            let mut content = fs::read(&path).unwrap();
            let middle = content.len() / 2;
            content[12..middle].fill(0);
            fs::remove_file(&path).unwrap();
            fs::write(&path, content).unwrap();
            packs += 1;
        }
    }
    assert!(packs > 0);
    bench.install(&root, &text, Compat::R10k3).unwrap();
    assert_eq!(tree(&root), before);
}

#[test]
fn what_is_away_for_a_moment_is_tried_again_and_the_same_thing_is_asked_for_once() {
    let home = tempfile::tempdir().unwrap();
    let bytes = archive(&[(tar::EntryType::Regular, 0o644, "x", b"1")]);
    let count = AtomicUsize::new(0);
    let server = Scripted::start(move |_, _, _| match count.fetch_add(1, Ordering::Relaxed) {
        0 => Reply::Nothing,
        1 => Reply::Body(503, "text/plain", Vec::new()),
        _ => Reply::Body(200, "application/gzip", bytes.clone()),
    });
    use sha2::Digest;
    let hash = sha2::Sha256::digest(archive(&[(tar::EntryType::Regular, 0o644, "x", b"1")]));
    let sum: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let text: String = (0..10)
        .map(|n| {
            format!("mod 'm{n}', type: 'tarball', source: '{}/x', checksum: '{sum}'\n", server.url)
        })
        .collect();
    let bench = Bench::new(home.path(), "http://127.0.0.1:1");
    let root = home.path().join("root");
    fs::create_dir(&root).unwrap();
    bench.install(&root, &text, Compat::R10k3).unwrap();
    assert_eq!(server.count(), 3, "{:?}", server.asked.lock().unwrap());
    assert_eq!(super::entries(&root.join("modules")).len(), 10);
}

#[test]
fn credentials_are_for_their_host() {
    let home = tempfile::tempdir().unwrap();
    let bytes = archive(&[(tar::EntryType::Regular, 0o644, "x", b"1")]);
    let server = Scripted::start(move |_, head, _| {
        match head.to_lowercase().contains("authorization: bearer t0ken") {
            true => Reply::Body(200, "application/gzip", bytes.clone()),
            false => Reply::Body(401, "text/plain", Vec::new()),
        }
    });
    let root = home.path().join("root");
    fs::create_dir(&root).unwrap();
    let text = format!("mod 'x', type: 'tarball', source: '{}/x'", server.url);
    let credential =
        |host: &str| Credential { host: host.into(), username: None, secret: "t0ken".into() };
    for (credentials, works) in [
        (vec![], false),
        (vec![credential("other.example")], false),
        (vec![credential("127.0.0.1")], true),
        (vec![credential(server.url.strip_prefix("http://").unwrap())], true),
    ] {
        let settings = NativeSettings { credentials, ..NativeSettings::default() };
        let bench = Bench::with(home.path(), "http://127.0.0.1:1", settings);
        let result = bench.install(&root, &text, Compat::R10k3);
        assert_eq!(result.is_ok(), works, "{result:?}");
        if let Err(error) = result {
            assert!(error.to_string().contains("is not shown without credentials"), "{error}");
            assert!(!error.to_string().contains("t0ken"));
        }
    }
}

#[test]
fn the_generations_of_r10k_differ_where_they_do() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("git");
    repository(&directory);
    git(&directory.join("x.git"), &["branch", "master", "main"]);
    let server = Server::start("git.py", &directory);
    let bench = Bench::new(home.path(), "http://127.0.0.1:1");
    let root = home.path().join("root");
    fs::create_dir(&root).unwrap();
    let plain = format!("mod 'x', git: '{}/x.git'", server.url);
    bench.install(&root, &plain, Compat::R10k3).unwrap();
    assert!(root.join("modules/x/spec").is_dir());
    let error = bench.install(&root, &plain, Compat::R10k5).unwrap_err();
    let expected = ["puppetfile:1:5: no branch, tag or commit is named, and r10k 5 takes no \
                     default: add `ref: 'main'`, or install with compat r10k3, which takes `master`"];
    assert_eq!(super::problems(&error), expected);
    let keeps = module(&server, "ref: 'main', exclude_spec: false");
    bench.install(&root, &keeps, Compat::R10k5).unwrap();
    assert!(root.join("modules/x/spec").is_dir());
}

#[test]
fn an_installation_that_is_dropped_leaves_nothing() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("git");
    repository(&directory);
    let server = Server::start("git.py", &directory);
    // One that takes connections and never says a word.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}", silent.local_addr().unwrap());
    let text = format!(
        "mod 'y', git: '{silent}/y.git', ref: 'main'\n{}",
        module(&server, "branch: 'main'")
    );
    let bench = Bench::new(home.path(), "http://127.0.0.1:1");
    let root = home.path().join("root");
    fs::create_dir_all(root.join("modules/old")).unwrap();
    let parsed = puppet::check_for(Compat::R10k3, &text).unwrap();
    let log = Log::new(tokio::sync::mpsc::channel(1).0);
    let options = Options { compat: Compat::R10k3, ..Options::default() };
    let install = puppet::install_with(&bench.settings, &parsed, &root, &options, &log);
    let dropped = bench
        .runtime
        .block_on(async { tokio::time::timeout(Duration::from_secs(2), install).await });
    assert!(dropped.is_err());
    let begin = Instant::now();
    while super::entries(&root) != ["modules"] {
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", super::entries(&root));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(super::entries(&root.join("modules")), ["old"]);
    // And one that takes too long is given up by itself.
    let settings =
        puppet::Settings { time_limit: Duration::from_secs(1), ..bench.settings.clone() };
    let install = puppet::install_with(&settings, &parsed, &root, &options, &log);
    let error = bench.runtime.block_on(install).unwrap_err();
    assert!(matches!(error, Error::Failed { .. }));
    let expected = "the modules were not installed after 1 s, and the rest was given up";
    assert_eq!(error.to_string(), expected);
}
