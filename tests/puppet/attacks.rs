//! Servers, repositories and archives that attack: each has its exact answer, and no effect.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use crane::puppet::{Compat, Egress, NativeSettings};
use tar::EntryType::{self, Block, Char, Directory, Fifo, Link, Regular, Symlink};

use super::{
    differential::Bench,
    repositories::{Entry, Repository, Server, archive, git},
    scripted::{RESULT, Reply, Scripted, git_server, pack_answer, pkt},
    trees::tree,
};

/// Installs, which must fail with one problem and leave nothing. Returns the problem's words.
fn attacked(bench: &Bench, home: &Path, text: &str) -> String {
    let root = home.join("context");
    fs::create_dir_all(root.join("modules/old")).unwrap();
    let before = tree(&root);
    let error = bench.install(&root, text, Compat::R10k3).unwrap_err();
    assert_eq!(tree(&root), before, "an installation that failed changed the tree");
    assert_eq!(super::entries(&root), ["modules"], "something is left");
    let problems = error.problems();
    assert_eq!(problems.len(), 1, "{error:?}");
    problems[0].to_string()
}

fn egress(allowed: &[&str], denied: &[&str]) -> NativeSettings {
    let egress = Egress::new(allowed.iter().copied(), denied.iter().copied()).unwrap();
    NativeSettings { egress, ..NativeSettings::default() }
}

#[test]
fn redirects_and_names_lead_to_no_denied_address() {
    let home = tempfile::tempdir().unwrap();
    let redirecting = Scripted::start(|request, _, _| match request.starts_with("GET") {
        true => Reply::Redirect("http://169.254.169.254/latest/meta-data/".into()),
        false => Reply::Body(404, "text/plain", Vec::new()),
    });
    let url = &redirecting.url;
    let bench = Bench::new(home.path(), url);
    let denied = "http://169.254.169.254/latest/meta-data/: '169.254.169.254' is at \
                  169.254.169.254, a link-local address, which nothing is fetched from";
    for (text, expected) in [
        (format!("mod 'x', git: '{url}/x.git', ref: 'main'"), denied.to_owned()),
        (format!("mod 'x', type: 'tarball', source: '{url}/x.tar.gz'"), denied.to_owned()),
        ("mod 'a/x', '1.0.0'".to_owned(), denied.to_owned()),
        (
            "mod 'x', git: 'http://169.254.169.254/x.git', ref: 'main'".to_owned(),
            "http://169.254.169.254/x.git/info/refs?***: '169.254.169.254' is at 169.254.169.254, \
             a link-local address, which nothing is fetched from"
                .to_owned(),
        ),
        (
            // However it is written.
            "mod 'x', git: 'git://[::ffff:a9fe:a9fe]/x.git', ref: 'main'".to_owned(),
            "'::ffff:a9fe:a9fe' is at 169.254.169.254, a link-local address, which nothing is \
             fetched from"
                .to_owned(),
        ),
    ] {
        let words = attacked(&bench, home.path(), &text);
        assert_eq!(words, format!("puppetfile:1:5: 'x': {expected}"));
    }
    // A name is as good as the address that it has.
    let bench = Bench::with(home.path(), url, egress(&[], &["127.0.0.0/8", "::1"]));
    let name = url.replace("127.0.0.1", "localhost");
    let before = redirecting.count();
    let words =
        attacked(&bench, home.path(), &format!("mod 'x', git: '{name}/x.git', ref: 'main'"));
    assert!(words.contains("'localhost' is at "), "{words}");
    assert!(words.ends_with("which is denied by this server's configuration"), "{words}");
    assert_eq!(redirecting.count(), before, "the server was asked");
    // And only what is allowed is asked, when something is.
    let bench = Bench::with(home.path(), url, egress(&["git.example"], &[]));
    let words = attacked(&bench, home.path(), &format!("mod 'x', git: '{url}/x.git', ref: 'main'"));
    assert!(
        words.ends_with("'127.0.0.1' is not among those that this server's configuration allows")
    );
    assert_eq!(redirecting.count(), before, "the server was asked");
}

#[test]
fn redirects_lose_no_encryption_no_credentials_and_come_to_an_end() {
    let home = tempfile::tempdir().unwrap();
    let circle = Scripted::start(|_, _, _| Reply::Redirect("/again".into()));
    let bench = Bench::new(home.path(), &circle.url);
    let url = &circle.url;
    let words =
        attacked(&bench, home.path(), &format!("mod 'x', type: 'tarball', source: '{url}/x'"));
    assert_eq!(words, format!("puppetfile:1:5: 'x': {url}/again redirects more than 5 times"));
    let heads = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
    let seen = heads.clone();
    let other = Scripted::start(move |_, head, _| {
        seen.lock().unwrap().push_str(head);
        Reply::Body(404, "text/plain", Vec::new())
    });
    let target = other.url.clone();
    let first = Scripted::start(move |_, head, _| {
        assert!(head.to_lowercase().contains("authorization: basic bwu6c2vjcmv0"), "{head}");
        Reply::Redirect(format!("{target}/x"))
    });
    let with_password = first.url.replace("http://", "http://me:secret@");
    let text = format!("mod 'x', type: 'tarball', source: '{with_password}/x'");
    let words = attacked(&bench, home.path(), &text);
    assert_eq!(words, format!("puppetfile:1:5: 'x': there is no archive at {}/x", other.url));
    let heads = heads.lock().unwrap().to_lowercase();
    assert!(heads.contains("host:") && !heads.contains("authorization"), "{heads}");
    for (to, why) in [
        ("ftp://h/x", "to a URL that is neither https:// nor http://"),
        ("file:///etc/passwd", "to a URL that is neither https:// nor http://"),
        ("http://a:b@h/x", "to a URL with credentials"),
    ] {
        let server = Scripted::start(move |_, _, _| Reply::Redirect(to.into()));
        let url = &server.url;
        let words =
            attacked(&bench, home.path(), &format!("mod 'x', type: 'tarball', source: '{url}/x'"));
        assert_eq!(words, format!("puppetfile:1:5: 'x': {url}/x redirects {why}"));
    }
}

#[test]
fn a_server_that_sends_without_end_is_left() {
    let home = tempfile::tempdir().unwrap();
    let commit = "1".repeat(40);
    let begin = Instant::now();
    // A Forge's document.
    let forge = Scripted::start(|_, _, _| {
        Reply::Endless("application/json", b"{\"x\": \"".to_vec(), vec![b'x'; 65_536])
    });
    let bench = Bench::new(home.path(), &forge.url);
    let words = attacked(&bench, home.path(), "mod 'a/x', '1.0.0'");
    assert_eq!(words, "puppetfile:1:5: 'x': the answer is longer than 33554432 bytes");
    assert!(forge.sent.load(Ordering::Relaxed) < 64 << 20);
    // A pack with a blob that never ends: stored blocks, so that nothing is hidden by compression.
    let server = git_server(commit.clone(), || {
        let mut first = pkt(b"packfile\n");
        let mut head = b"PACK\0\0\0\x02\0\0\0\x01".to_vec();
        // A blob of 100 MiB, deflated by a zlib that stores.
        head.extend([0xb0, 0x80, 0x80, 0x90, 0x03, 0x78, 0x01]);
        first.extend(pkt(&[&[1][..], &head].concat()));
        let block = [&[1, 0, 0xdb, 0xff, 0x24, 0x00][..], &[b'x'; 65_499]].concat();
        Reply::Endless(RESULT, first, pkt(&block))
    });
    let url = &server.url;
    let words = attacked(&bench, home.path(), &format!("mod 'x', git: '{url}/x', ref: 'main'"));
    assert_eq!(words, "puppetfile:1:5: 'x': the pack has an object that is larger than it says");
    assert!(server.sent.load(Ordering::Relaxed) < 512 << 20);
    // References without end.
    let server = Scripted::start(|_, _, _| {
        let line = format!("{} refs/heads/{}\n", "1".repeat(40), "x".repeat(900));
        let lines = pkt(line.as_bytes()).repeat(64);
        Reply::Endless(RESULT, Vec::new(), lines)
    });
    let url = &server.url;
    let words = attacked(&bench, home.path(), &format!("mod 'x', git: '{url}/x', ref: 'main'"));
    assert!(words.contains(&format!("{url}/x is not served by git")), "{words}");
    assert!(begin.elapsed() < Duration::from_secs(60), "{:?}", begin.elapsed());
}

/// A pack of one entry: type, the size it says, what stands before its data, and the data.
fn pack(kind: u8, size: u64, before: &[u8], data: &[u8]) -> Vec<u8> {
    let mut pack = b"PACK\0\0\0\x02\0\0\0\x01".to_vec();
    let mut left = size >> 4;
    let mut byte = (kind << 4) | u8::try_from(size & 15).unwrap();
    while left > 0 {
        pack.push(byte | 128);
        byte = u8::try_from(left & 127).unwrap();
        left >>= 7;
    }
    pack.push(byte);
    pack.extend_from_slice(before);
    let mut encoder = flate2::write::ZlibEncoder::new(pack, flate2::Compression::default());
    encoder.write_all(data).unwrap();
    let mut pack = encoder.finish().unwrap();
    pack.extend_from_slice(&[0; 20]);
    pack
}

#[test]
fn packs_that_are_bombs_or_no_packs_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let commit = "1".repeat(40);
    // Nine bytes that say how a gigabyte is made.
    let delta = [5, 0x80, 0x80, 0x80, 0x80, 0x04, 0, 0, 0];
    let too_large = "the repository has a file of more than 134217728 bytes, and is too large for \
                     a module";
    let mut crowd = pack(3, 1, &[], b"x");
    crowd[8..12].copy_from_slice(&[0xff; 4]);
    for (pack, expected) in [
        (pack(3, 1 << 30, &[], &vec![0; 1 << 20]), too_large),
        (pack(6, 9, &[1], &delta), too_large),
        (pack(7, 9, &[7; 20], &delta), too_large),
        (crowd, "the pack has 4294967295 objects, and is too large for a module"),
        (b"<html>".to_vec(), "the pack broke off"),
        (b"<html>no pack at all".to_vec(), "what the server sends is no pack"),
        (pack(5, 1, &[], b"x"), "the pack has an object of no known type"),
    ] {
        let answer = pack_answer(&pack);
        let server = git_server(commit.clone(), move || Reply::Body(200, RESULT, answer.clone()));
        let url = &server.url;
        let bench = Bench::new(home.path(), url);
        let words = attacked(&bench, home.path(), &format!("mod 'x', git: '{url}/x', ref: 'main'"));
        assert_eq!(words, format!("puppetfile:1:5: 'x': {expected}"));
    }
    // An honest pack of something else than what was asked for.
    let answer = pack_answer(&pack(3, 1, &[], b"x"));
    let server = git_server(commit.clone(), move || Reply::Body(200, RESULT, answer.clone()));
    let url = &server.url;
    let bench = Bench::new(home.path(), url);
    let words = attacked(&bench, home.path(), &format!("mod 'x', git: '{url}/x', ref: 'main'"));
    assert!(words.starts_with("puppetfile:1:5: 'x': the pack is damaged: "), "{words}");
}

/// Writes a tree object byte by byte: git's own tools refuse some of these.
fn tree_object(repository: &Path, entries: &[(&str, &[u8], &str)]) -> String {
    let mut object = Vec::new();
    for (mode, name, id) in entries {
        object.extend_from_slice(mode.as_bytes());
        object.push(b' ');
        object.extend_from_slice(name);
        object.push(0);
        let bytes = (0..20).map(|at| u8::from_str_radix(&id[at * 2..at * 2 + 2], 16).unwrap());
        object.extend(bytes);
    }
    hashed(repository, "tree", &object)
}

fn hashed(repository: &Path, kind: &str, content: &[u8]) -> String {
    let mut child = Command::new("git")
        .args(["hash-object", "-w", "--stdin", "--literally", "-t", kind])
        .env("GIT_DIR", repository)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(content).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn trees_that_lead_elsewhere_or_grow_without_end_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("git");
    fs::create_dir(&directory).unwrap();
    let place = Repository::new().write(&directory.join("evil.git"), "main");
    let blob = hashed(&place, "blob", b"evil\n");
    let link = hashed(&place, "blob", b"/tmp");
    let inner = tree_object(&place, &[("100644", b"crane-attack", &blob)]);
    let mut bomb = inner.clone();
    for _ in 0..20 {
        let names: Vec<String> = (0..10).map(|n| format!("d{n}")).collect();
        let entries: Vec<_> =
            names.iter().map(|name| ("40000", name.as_bytes(), bomb.as_str())).collect();
        bomb = tree_object(&place, &entries);
    }
    let mut deep = inner.clone();
    for _ in 0..100 {
        deep = tree_object(&place, &[("40000", b"d", &deep)]);
    }
    let trees = [
        (
            "dotgit",
            tree_object(&place, &[("40000", b".git", &inner)]),
            "'.git' is no path git would write",
        ),
        (
            "upper",
            tree_object(&place, &[("40000", b".GIT", &inner)]),
            "'.GIT' is no path git would write",
        ),
        (
            "dots",
            tree_object(&place, &[("40000", b"..", &inner)]),
            "'..' is no path git would write",
        ),
        (
            "slash",
            tree_object(&place, &[("100644", b"../x", &blob)]),
            "'../x' is no path git would write",
        ),
        (
            // A link, and a directory of the same name to write through it.
            "twice",
            tree_object(&place, &[("120000", b"x", &link), ("40000", b"x", &inner)]),
            "the repository has one name twice in a directory",
        ),
        ("bomb", bomb, "the module has more than 200000 files and directories"),
        ("deep", deep, "the module has more than 64 directories within each other"),
        (
            "notablob",
            tree_object(&place, &[("100644", b"x", &inner)]),
            "x is not in the repository as it should be",
        ),
    ];
    let server = Server::start("git.py", &directory);
    let bench = Bench::new(home.path(), &server.url);
    for (branch, tree, expected) in trees {
        let text = format!(
            "tree {tree}\nauthor x <x> 1700000000 +0000\ncommitter x <x> 1700000000 +0000\n\nx\n"
        );
        let commit = hashed(&place, "commit", text.as_bytes());
        fs::write(place.join("refs/heads").join(branch), format!("{commit}\n")).unwrap();
        let text = format!("mod 'x', git: '{}/evil.git', ref: '{branch}'", server.url);
        let words = attacked(&bench, home.path(), &text);
        assert_eq!(words, format!("puppetfile:1:5: 'x': {expected}"), "{branch}");
        assert!(!Path::new("/tmp/crane-attack").exists());
    }
}

/// What comes of an archive as a tarball, and as a release of a Forge.
fn archives(entries: &[Entry<'_>]) -> [String; 2] {
    let home = tempfile::tempdir().unwrap();
    let metadata: Entry<'_> = (Regular, 0o644, "metadata.json", b"{}");
    let bytes = archive(&[&[metadata], entries].concat());
    let server = Scripted::start(move |request, _, _| {
        if request.contains("/v3/releases/") {
            use sha2::Digest;
            let hash = sha2::Sha256::digest(&bytes);
            let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
            let release = format!(
                "{{\"version\": \"1.0.0\", \"file_uri\": \"/v3/files/x.tar.gz\", \
                 \"file_sha256\": \"{hex}\"}}"
            );
            return Reply::Body(200, "application/json", release.into_bytes());
        }
        Reply::Body(200, "application/gzip", bytes.clone())
    });
    let bench = Bench::new(home.path(), &server.url);
    [
        format!("mod 'x', type: 'tarball', source: '{}/x.tar.gz'", server.url),
        "mod 'a/x', '1.0.0'".to_owned(),
    ]
    .map(|text| {
        let words = attacked(&bench, home.path(), &text);
        words.strip_prefix("puppetfile:1:5: 'x': ").unwrap().to_owned()
    })
}

#[test]
fn archives_that_lead_elsewhere_are_refused() {
    let long = "d/".repeat(49) + "x";
    let cases: Vec<(Vec<Entry<'_>>, &str)> = vec![
        (vec![(Regular, 0o644, "../x", b"1")], "the archive has a path that leads out of it: ../x"),
        (
            vec![(Regular, 0o644, "a/../../x", b"1")],
            "the archive has a path that leads out of it: a/../../x",
        ),
        (vec![(Directory, 0o755, "..", b"")], "the archive has a path that leads out of it: .."),
        (
            vec![(Regular, 0o644, "/tmp/crane-attack", b"1")],
            "the archive has a path that is absolute: /tmp/crane-attack",
        ),
        (
            vec![(Link, 0o644, "x", b"/etc/passwd")],
            "the archive has a path that is absolute: /etc/passwd",
        ),
        (
            vec![(Link, 0o644, "x", b"../../x")],
            "the archive has a path that leads out of it: ../../x",
        ),
        (vec![(Link, 0o644, "x", b"none")], "the archive has no file for the link x"),
        (
            vec![(Char, 0o644, "x", b"")],
            "the archive has an entry that is no file, directory or link (Char): x",
        ),
        (
            vec![(Block, 0o644, "x", b"")],
            "the archive has an entry that is no file, directory or link (Block): x",
        ),
        (
            vec![(Fifo, 0o644, "x", b"")],
            "the archive has an entry that is no file, directory or link (Fifo): x",
        ),
        (
            vec![(Regular, 0o644, "x", b"1"), (Directory, 0o755, "x/y", b"")],
            "the archive has 'y' twice, or its name is too long",
        ),
        (
            vec![(Directory, 0o755, &long, b""), (Regular, 0o644, "d", b"1")],
            "the archive has 'd' twice, or its name is too long",
        ),
    ];
    for (entries, expected) in cases {
        assert_eq!(archives(&entries), [expected, expected]);
        assert!(!Path::new("/tmp/crane-attack").exists());
    }
}

#[test]
fn links_in_tarballs_stay_inside() {
    for (path, target) in
        [("x", "/etc"), ("x", "../x"), ("a/x", "../../x"), ("x", "a/../../x"), ("x", "a/..")]
    {
        let [tarball, _] = archives(&[
            (Symlink, 0o777, path, target.as_bytes()),
            // So that the release fails as well.
            (EntryType::Fifo, 0o644, "zz", b""),
        ]);
        let expected =
            format!("the archive has a symbolic link that may lead out of it: {path} -> {target}");
        assert_eq!(tarball, expected);
    }
    // A link that is inside leads a file nowhere: links are made last.
    let [tarball, _] = archives(&[
        (Symlink, 0o777, "a", b"b"),
        (Symlink, 0o777, "a/c", b"d"),
        (EntryType::Fifo, 0o644, "zz", b""),
    ]);
    assert!(tarball.contains("Fifo"), "{tarball}");
}

#[test]
fn archives_that_are_bombs_are_refused() {
    let zeros = vec![0; 80 << 20];
    let bomb = "the archive cannot be unpacked: it holds more than an archive of its size may";
    let [tarball, release] = archives(&[(Regular, 0o644, "zeros", &zeros)]);
    assert_eq!([tarball, release], [bomb, bomb]);
}

#[test]
fn a_branch_that_is_an_option_or_a_program_goes_nowhere() {
    let home = tempfile::tempdir().unwrap();
    let bench = Bench::new(home.path(), "http://127.0.0.1:1");
    for text in [
        "mod 'x', git: '--upload-pack=touch /tmp/crane-attack', ref: 'main'",
        "mod 'x', git: 'ext::sh -c touch% /tmp/crane-attack', ref: 'main'",
        "mod 'x', git: 'file:///etc', ref: 'main'",
        "mod 'x', git: 'http://h/x', ref: '-x'",
        "mod '../x', git: 'http://h/x', ref: 'x'",
        "mod 'x', git: 'http://h/x', ref: 'x', path: '../..'",
        "moduledir '/etc'\nmod 'x', git: 'http://h/x', ref: 'x'",
    ] {
        assert!(bench.install(home.path(), text, Compat::R10k3).is_err(), "{text}");
        assert!(!Path::new("/tmp/crane-attack").exists());
    }
    let _ = git(home.path(), &["--version"]);
}
