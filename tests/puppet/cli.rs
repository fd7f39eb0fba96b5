//! `crane puppetfile` as a user runs it.

use std::{fs, path::Path, process::Command};

use super::{
    repositories::{Repository, Server, release},
    sshd::{Sshd, run},
};

/// Its exit code and what it printed, in a home of its own.
fn crane(home: &Path, environment: &[(&str, &str)], arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_crane"))
        .arg("puppetfile")
        .args(arguments)
        .current_dir(home)
        .env_clear()
        .env("HOME", home)
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let told = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(told).unwrap())
}

#[test]
fn ssh_is_as_the_user_has_it() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let mut repository = Repository::new();
    repository.commit("main", &[("644", "x", b"1")]);
    let place = repository.write(&home.join("x.git"), "main");
    let server = Sshd::start(&home.join("sshd"), "AcceptEnv GIT_PROTOCOL");
    let text = format!("mod 'x', git: '{}{}', ref: 'main'\n", server.url(), place.display());
    fs::write(home.join("Puppetfile"), text).unwrap();

    let (code, told) = crane(home, &[], &["install"]);
    assert!(code == 1 && told.contains("is not known"), "{code}: {told}");
    fs::create_dir(home.join(".ssh")).unwrap();
    // A line that Crane cannot use is none of its business here.
    let lines = format!("@cert-authority * ssh-ed25519 AAAA\n{}", server.line());
    fs::write(home.join(".ssh/known_hosts"), lines).unwrap();
    let (code, told) = crane(home, &[], &["install"]);
    assert!(code == 1 && told.contains("no SSH key is configured"), "{code}: {told}");
    fs::copy(server.file("user"), home.join(".ssh/id_ed25519")).unwrap();
    let (code, told) = crane(home, &[], &["install"]);
    assert!(code == 0 && told.contains("modules/x"), "{code}: {told}");
    fs::remove_dir_all(home.join(".ssh")).unwrap();

    // By name, and files that are named must be right.
    let known = home.join("known");
    fs::write(&known, server.line()).unwrap();
    let (known, key) = (known.to_str().unwrap(), server.file("user"));
    let named = ["lock", "--known-hosts", known, "--identity", key.to_str().unwrap()];
    let (code, told) = crane(home, &[], &named);
    assert!(code == 0 && told.contains("1 modules are in"), "{code}: {told}");
    fs::write(known, "nonsense\n").unwrap();
    let (code, told) = crane(home, &[], &named);
    assert!(code == 65 && told.contains("known:1: this is no line"), "{code}: {told}");
    run("ssh-keygen", &["-q", "-p", "-N", "sesame", "-f", key.to_str().unwrap()]);
    fs::write(known, server.line()).unwrap();
    let (code, told) = crane(home, &[], &named);
    assert!(code == 1 && told.contains("has a passphrase"), "{code}: {told}");
}

#[test]
fn proxies_are_those_of_the_environment() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    fs::write(home.join("Puppetfile"), "mod 'x', git: 'http://127.0.0.1:9/x', ref: 'main'\n")
        .unwrap();
    for (environment, expected) in [
        (&[][..], "127.0.0.1:9 does not answer"),
        (&[("http_proxy", "http://127.0.0.1:1")], "the proxy: 127.0.0.1:1 does not answer"),
        (&[("HTTP_PROXY", "http://127.0.0.1:1")], "127.0.0.1:9 does not answer"),
        (&[("ALL_PROXY", "127.0.0.1:1")], "the proxy: 127.0.0.1:1 does not answer"),
        (&[("all_proxy", "127.0.0.1:1"), ("NO_PROXY", "127.0.0.1")], "127.0.0.1:9 does not answer"),
        (&[("http_proxy", "socks5://127.0.0.1:1")], "is none that is spoken to over http://"),
    ] {
        let (code, told) = crane(home, environment, &["install"]);
        assert!(code != 0 && told.contains(expected), "{environment:?} {code}: {told}");
    }
}

#[test]
fn what_is_needed_is_added_on_request_and_stays_in_the_lock() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let forge = home.join("forge");
    let needs =
        br#"{"name": "crane-a", "version": "1.0.0", "dependencies": [{"name": "crane/b"}]}"#;
    let needed = br#"{"name": "crane-b", "version": "2.0.0"}"#;
    for (slug, metadata) in [("crane-a-1.0.0", &needs[..]), ("crane-b-2.0.0", needed)] {
        let file = (tar::EntryType::Regular, 0o644, "metadata.json", metadata);
        release(&forge, slug, &[file]);
    }
    let forge = Server::start("forge.py", &forge);
    fs::write(home.join("Puppetfile"), "mod 'crane/a', '1.0.0'\n").unwrap();
    let with =
        |arguments: &[&str]| crane(home, &[], &[arguments, &["--forge", &forge.url]].concat());
    let (code, told) = with(&["install", "--resolve"]);
    assert!(code == 0 && told.contains("modules/b"), "{code}: {told}");
    let (code, told) = with(&["install"]);
    assert!(code == 0 && !told.contains("modules/b"), "{code}: {told}");
    assert!(!home.join("modules/b").exists());
    let (code, told) = with(&["lock", "--resolve"]);
    assert!(code == 0 && told.contains("2 modules are in"), "{code}: {told}");
    let lock = fs::read_to_string(home.join("Puppetfile.lock")).unwrap();
    assert!(lock.contains("\"needed_by\": [\n        \"crane/a\"\n      ]"), "{lock}");
    let (code, told) = with(&["install"]);
    assert!(code == 0 && told.contains("modules/b"), "{code}: {told}");
    for (arguments, expected) in [(&["outdated"][..], 0), (&["diff"], 0)] {
        let (code, told) = with(arguments);
        assert!(code == expected, "{arguments:?} {code}: {told}");
    }
}
