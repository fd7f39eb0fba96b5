//! git over SSH, with a real sshd and a real git behind it.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use crane::puppet::{Compat, Egress, NativeSettings, SshKey, SshSettings};

use super::{
    differential::{Bench, Case, Expect},
    repositories::{Repository, git},
    sshd::{Sshd, keygen, known, run, user},
};
use crate::support::{Crane, Form};

/// No Forge is asked here.
const FORGE: &str = "http://127.0.0.1:1";

/// A repository with a quote in its name, some commits and a tag.
fn repository(home: &Path) -> std::path::PathBuf {
    let directory = home.join("it's git");
    fs::create_dir_all(&directory).unwrap();
    let mut repository = Repository::new();
    let first = repository.commit(
        "main",
        &[("644", "metadata.json", b"{\"version\": \"1.0.0\"}"), ("644", "x.pp", b"class x { }\n")],
    );
    repository.annotated("v1", first);
    for number in 0..20 {
        repository.commit("main", &[("644", "n", format!("{number}\n").as_bytes())]);
    }
    repository.write(&directory.join("x.git"), "main")
}

fn module(server: &Sshd, place: &Path, options: &str) -> String {
    let path = place.display().to_string().replace('\'', "%27").replace(' ', "%20");
    format!("mod 'x', git: '{}{path}', {options}", server.url())
}

fn bench(home: &Path, name: &str, ssh: SshSettings) -> Bench {
    let settings = NativeSettings { ssh, ..NativeSettings::default() };
    Bench::with(&home.join(name), FORGE, settings)
}

/// What is said when it does not work.
fn failure(home: &Path, server: &Sshd, place: &Path, ssh: SshSettings) -> String {
    let name = format!("fails{}", fs::read_dir(home).unwrap().count());
    let root = home.join(format!("root-{name}"));
    fs::create_dir(&root).unwrap();
    let text = module(server, place, "branch: 'main'");
    let error = bench(home, &name, ssh).install(&root, &text, Compat::R10k5).unwrap_err();
    assert!(
        !error.to_string().contains(home.to_str().unwrap()) || error.to_string().contains("***@"),
        "{error}"
    );
    error.to_string()
}

#[test]
fn servers_of_both_versions_give_the_same() {
    let home = tempfile::tempdir().unwrap();
    let place = repository(home.path());
    for (kind, further) in [("new", "AcceptEnv GIT_PROTOCOL"), ("old", "")] {
        let server = Sshd::start(&home.path().join("sshd"), further);
        for (number, (options, revision)) in [
            ("branch: 'main'", "main"),
            ("tag: 'v1'", "v1^{commit}"),
            ("commit: '{}'", "main~7"),
            ("ref: 'main~3'", "main~3"),
        ]
        .into_iter()
        .enumerate()
        {
            let expected = git(&place, &["rev-parse", revision]);
            let text = module(&server, &place, &options.replace("{}", &expected));
            let bench = bench(home.path(), &format!("{kind}{number}"), server.settings());
            let root = home.path().join(format!("root-{kind}{number}"));
            fs::create_dir(&root).unwrap();
            let outcome = bench.install(&root, &text, Compat::R10k5);
            let outcome =
                outcome.unwrap_or_else(|e| panic!("{kind} {options}: {e:?}\n{}", server.log()));
            let lock = outcome.lock.unwrap();
            assert_eq!(lock.modules[0].pin.commit(), Some(&*expected), "{kind} {options}");
            assert!(!lock.text().contains(&user()) || user() == "git", "{}", lock.text());
        }
    }
}

#[test]
fn a_server_is_spoken_to_only_if_its_key_is_the_known_one() {
    let home = tempfile::tempdir().unwrap();
    let place = repository(home.path());
    let server = Sshd::start(&home.path().join("sshd"), "AcceptEnv GIT_PROTOCOL");
    let fails = |ssh| failure(home.path(), &server, &place, ssh);
    let (host, shown) = (format!("[127.0.0.1]:{}", server.port), server.fingerprint("host"));

    let unknown = fails(SshSettings { known_hosts: known(""), ..server.settings() });
    for word in [&*host, "is not known", &shown, "ssh-ed25519", "add its line"] {
        assert!(unknown.contains(word), "{word}: {unknown}");
    }

    keygen(&server.file("other"), &["-t", "ed25519"]);
    let other = fs::read_to_string(server.file("other.pub")).unwrap();
    let line = format!("{host} {other}");
    let changed = fails(SshSettings { known_hosts: known(&line), ..server.settings() });
    let expected =
        [&*host, "another key", &shown, &server.fingerprint("other"), "replace its line"];
    for word in expected {
        assert!(changed.contains(word), "{word}: {changed}");
    }

    let line = format!("{0}\n@revoked {0}", server.line().trim());
    let revoked = fails(SshSettings { known_hosts: known(&line), ..server.settings() });
    assert!(revoked.contains("is revoked") && revoked.contains(&shown), "{revoked}");
    // No key was shown to any of them.
    assert!(!server.log().contains("publickey"), "{}", server.log());

    // Hashed, by the real ssh-keygen, and beside lines of other hosts.
    let file = server.file("known_hosts");
    fs::write(&file, format!("example.com {other}{}", server.line())).unwrap();
    run("ssh-keygen", &["-q", "-H", "-f", file.to_str().unwrap()]);
    let hashed = fs::read_to_string(&file).unwrap();
    assert!(!hashed.contains("127.0.0.1"), "{hashed}");
    let bench = bench(
        home.path(),
        "hashed",
        SshSettings { known_hosts: known(&hashed), ..server.settings() },
    );
    let root = home.path().join("root-hashed");
    fs::create_dir(&root).unwrap();
    bench.install(&root, &module(&server, &place, "branch: 'main'"), Compat::R10k5).unwrap();
}

#[test]
fn a_server_with_keys_of_several_kinds_is_asked_for_the_known_one() {
    let home = tempfile::tempdir().unwrap();
    let place = repository(home.path());
    let keys = home.path().join("sshd");
    fs::create_dir(&keys).unwrap();
    keygen(&keys.join("ecdsa"), &["-t", "ecdsa"]);
    keygen(&keys.join("rsa"), &["-t", "rsa"]);
    let further = format!("HostKey {}", keys.join("ecdsa").display());
    let server = Sshd::start(&keys, &further);
    let ecdsa = fs::read_to_string(keys.join("ecdsa.pub")).unwrap();
    let line = format!("[127.0.0.1]:{} {ecdsa}", server.port);
    let settings = SshSettings { known_hosts: known(&line), ..server.settings() };
    let root = home.path().join("root");
    fs::create_dir(&root).unwrap();
    let text = module(&server, &place, "branch: 'main'");
    bench(home.path(), "ecdsa", settings).install(&root, &text, Compat::R10k5).unwrap();
    drop(server);

    fs::rename(keys.join("rsa"), keys.join("host")).unwrap();
    fs::rename(keys.join("rsa.pub"), keys.join("host.pub")).unwrap();
    let server = Sshd::start(&keys, "");
    let words = failure(home.path(), &server, &place, server.settings());
    assert!(words.contains("RSA is not"), "{words}");
}

#[test]
fn keys_let_in_with_their_passphrase_in_any_format_and_through_an_agent() {
    let home = tempfile::tempdir().unwrap();
    let place = repository(home.path());
    let keys = home.path().join("sshd");
    fs::create_dir(&keys).unwrap();
    keygen(&keys.join("user"), &["-t", "ed25519"]);
    keygen(&keys.join("locked"), &["-t", "ed25519", "-N", "open sesame"]);
    keygen(&keys.join("ecdsa"), &["-t", "ecdsa", "-b", "384", "-m", "PKCS8"]);
    keygen(&keys.join("pkcs8"), &["-t", "ecdsa", "-m", "PKCS8", "-N", "open sesame"]);
    let public = ["user", "locked", "ecdsa", "pkcs8"]
        .map(|name| fs::read_to_string(keys.join(format!("{name}.pub"))).unwrap());
    fs::write(keys.join("authorized_keys"), public.concat()).unwrap();
    let server = Sshd::start(&keys, "AcceptEnv GIT_PROTOCOL");
    let installs = |name: &str, ssh| {
        let root = home.path().join(format!("root-{name}"));
        fs::create_dir(&root).unwrap();
        let text = module(&server, &place, "branch: 'main'");
        let done = bench(home.path(), name, ssh).install(&root, &text, Compat::R10k5);
        done.unwrap_or_else(|error| panic!("{name}: {error:?}\n{}", server.log()));
    };
    let with = |keys: Vec<SshKey>| SshSettings { keys, ..server.settings() };
    let sesame = |name: &str, secret: &str| SshKey {
        passphrase: Some(secret.to_owned().into()),
        ..server.key(name)
    };
    installs("locked", with(vec![sesame("locked", "open sesame")]));
    installs("ecdsa", with(vec![server.key("ecdsa")]));
    installs("pkcs8", with(vec![sesame("pkcs8", "open sesame")]));

    // Those that cannot be read are told before anything is asked for.
    for (key, expected) in [
        (server.key("locked"), "has a passphrase, and none is configured"),
        (server.key("pkcs8"), "has a passphrase, and none is configured"),
        (sesame("locked", "close sesame"), "is the passphrase right"),
        (server.key("user.pub"), "is no private key in OpenSSH's or in PKCS#8 format"),
        (server.key("none"), "cannot be read: No such file"),
    ] {
        let error = key.check().unwrap_err().to_string();
        assert!(error.contains(expected) && !error.contains("sesame"), "{error}");
    }

    let socket = home.path().join("socket");
    let _agent = Agent::start(&socket);
    let added = Command::new("ssh-add")
        .args(["-q", server.file("user").to_str().unwrap()])
        .env("SSH_AUTH_SOCK", &socket)
        .status();
    assert!(added.unwrap().success());
    installs("agent", SshSettings { agent: Some(socket), ..with(Vec::new()) });
}

/// A real ssh-agent, which ends with the test.
struct Agent(Child);

impl Agent {
    fn start(socket: &Path) -> Self {
        let child = Command::new("ssh-agent")
            .args(["-D", "-a", socket.to_str().unwrap()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while !socket.exists() {
            std::thread::sleep(Duration::from_millis(20));
        }
        Self(child)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn who_is_not_let_in_is_told_what_was_tried() {
    let home = tempfile::tempdir().unwrap();
    let place = repository(home.path());
    let server = Sshd::start(&home.path().join("sshd"), "AcceptEnv GIT_PROTOCOL");
    keygen(&server.file("stranger"), &["-t", "ed25519"]);
    let fails =
        |keys| failure(home.path(), &server, &place, SshSettings { keys, ..server.settings() });
    let words = fails(vec![server.key("stranger")]);
    let tried = server.fingerprint("stranger");
    for word in [&*format!("does not let '{}' in", user()), &tried, "it takes publickey"] {
        assert!(words.contains(word), "{word}: {words}");
    }
    // Keys of other hosts are not shown.
    let other = SshKey { host: Some("example.com".into()), ..server.key("user") };
    let words = fails(vec![other]);
    assert!(words.contains("no SSH key is configured for '[127.0.0.1]:"), "{words}");
    // Nor is a server asked that the policy denies.
    let settings = NativeSettings {
        egress: Egress::new([], ["127.0.0.0/8"]).unwrap(),
        ssh: server.settings(),
        ..NativeSettings::default()
    };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let bench = Bench::with(&home.path().join("denied"), FORGE, settings);
    let address = listener.local_addr().unwrap();
    let text = format!("mod 'x', git: 'ssh://git@{address}/x.git', branch: 'main'");
    let error = bench.install(home.path(), &text, Compat::R10k5).unwrap_err().to_string();
    assert!(error.contains("is denied by this server's configuration"), "{error}");
    assert!(listener.accept().is_err(), "it was connected to");
    // What git says on the server is told.
    let none = failure(home.path(), &server, Path::new("/no/such.git"), server.settings());
    assert!(none.contains("the server says: fatal: '/no/such.git' does not appear"), "{none}");
}

#[test]
fn a_server_that_sends_without_end_is_left_and_so_is_one_nobody_waits_for() {
    let home = tempfile::tempdir().unwrap();
    let place = repository(home.path());
    let name = "refs/heads/".to_owned() + &"x".repeat(100);
    let line = format!("{} {name}", "1".repeat(40));
    let line = format!("{:04x}{line}", line.len() + 4);
    let script = home.path().join("endless.sh");
    fs::write(&script, format!("while printf '%s' '{line}'; do :; done\n")).unwrap();
    let endless = format!("ForceCommand sh {}", script.display());
    let server = Sshd::start(&home.path().join("endless"), &endless);
    let words = failure(home.path(), &server, &place, server.settings());
    assert!(words.contains("more than 200000 references"), "{words}");
    drop(server);

    let server = Sshd::start(&home.path().join("aside"), "ForceCommand cat /dev/zero >&2");
    let words = failure(home.path(), &server, &place, server.settings());
    assert!(words.contains("writes errors without end"), "{words}");
    drop(server);

    let server = Sshd::start(&home.path().join("silent"), "ForceCommand sleep 60");
    let bench = bench(home.path(), "given-up", server.settings());
    let text = module(&server, &place, "branch: 'main'");
    let parsed = crane::puppet::check_for(Compat::R10k5, &text).unwrap();
    bench.runtime.block_on(async {
        let log = crane::model::Log::new(tokio::sync::mpsc::channel(1).0);
        let root = home.path().join("root");
        fs::create_dir(&root).unwrap();
        let options = crane::puppet::Options::default();
        let install = crane::puppet::install_with(&bench.settings, &parsed, &root, &options, &log);
        let given_up = tokio::time::timeout(Duration::from_secs(3), install).await;
        assert!(given_up.is_err(), "it has ended: {given_up:?}");
        assert!(server.log().contains("Accepted publickey"), "{}", server.log());
        let mut tries = 100;
        while server.connections() > 0 {
            tries -= 1;
            assert!(tries > 0, "the connection stays");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
}

#[test]
fn r10k_installs_the_same_over_ssh() {
    let home = tempfile::tempdir().unwrap();
    let place = repository(home.path());
    let server = Sshd::start(&home.path().join("sshd"), "AcceptEnv GIT_PROTOCOL");
    let file = server.file("known_hosts");
    fs::write(&file, server.line()).unwrap();
    let mut bench = bench(home.path(), "both", server.settings());
    let options = format!("-o BatchMode=yes -o UserKnownHostsFile={}", file.display());
    let key = server.file("user");
    let command = format!("ssh -F none -i {} {options}", key.display());
    bench.environment.push(("GIT_SSH_COMMAND", command));
    // A name that needs no escape: r10k gives git the URL as it is.
    let plain = home.path().join("plain.git");
    std::os::unix::fs::symlink(&place, &plain).unwrap();
    let one = module(&server, &plain, "tag: 'v1'");
    let other = module(&server, &plain, "branch: 'main'").replace("mod 'x'", "mod 'y'");
    let none = module(&server, Path::new("/no/such.git"), "branch: 'main'");
    for (name, text, expect) in
        [("ssh", format!("{one}\n{other}\n"), Expect::Same), ("ssh-none", none, Expect::BothFail)]
    {
        bench.compare(&Case { name: name.into(), text, expect }).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_is_configured_for_it_by_two_files() {
    let home = tempfile::tempdir().unwrap();
    let place = repository(home.path());
    let server = Sshd::start(&home.path().join("sshd"), "");
    let form = || {
        let text = module(&server, &place, "branch: 'main'");
        Form::default().file("puppetfile", "Puppetfile", text)
    };
    let crane = Crane::start().await;
    let path = post(&crane, form()).await;
    let failed = crane.failed(&path).await;
    assert!(failed["description"].as_str().unwrap().contains("SHA256:"), "{failed:#}");
    crane.close().await;

    let known = home.path().join("known_hosts");
    fs::write(&known, server.line()).unwrap();
    let credentials = home.path().join("hosts.toml");
    let key = server.file("user").display().to_string();
    let table = format!("[\"127.0.0.1:{}\"]\nssh_key = '{key}'\n", server.port);
    fs::write(&credentials, table).unwrap();
    let crane = Crane::with(&[
        ("sources_known_hosts", known.to_str().unwrap()),
        ("sources_credentials", credentials.to_str().unwrap()),
    ])
    .await;
    let path = post(&crane, form()).await;
    crane.finished(&path).await;
    let modules = crane.get(&format!("{path}/modules")).await.ok();
    assert_eq!(modules["modules"][0]["commit"], git(&place, &["rev-parse", "main"]));
    crane.close().await;
}

async fn post(crane: &Crane, form: Form) -> String {
    let body = crane.post("/builder/contexts", form).await.ok();
    format!("/builder/contexts/{}", body["token"].as_str().unwrap())
}
