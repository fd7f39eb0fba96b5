//! HTTP through a real proxy (tinyproxy).

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crane::puppet::{Compat, Egress, NativeSettings, Proxies};
use tar::EntryType::Regular;

use super::{
    differential::Bench,
    repositories::{Repository, Server, archive, release},
};

struct Tinyproxy {
    child: Child,
    home: PathBuf,
    port: u16,
}

impl Tinyproxy {
    fn start(home: &Path, further: &str) -> Self {
        fs::create_dir_all(home).unwrap();
        // The port may be taken by another between the two, which a test run has not seen yet.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let place = home.display();
        let configuration = format!(
            "Port {port}\nListen 127.0.0.1\nTimeout 60\nLogFile \"{place}/log\"\n\
             LogLevel Connect\nMaxClients 50\nAllow 127.0.0.1\n{further}\n"
        );
        fs::write(home.join("conf"), configuration).unwrap();
        let child = Command::new("tinyproxy")
            .args(["-d", "-c"])
            .arg(home.join("conf"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("tinyproxy is installed");
        let mut tries = 100;
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            tries -= 1;
            assert!(tries > 0, "tinyproxy does not come up");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        Self { child, home: home.to_owned(), port }
    }

    /// The requests that it was asked, as it has logged them.
    fn asked(&self) -> String {
        fs::read_to_string(self.home.join("log")).unwrap()
    }

    /// For all that is HTTP.
    fn proxies(&self, login: &str) -> Proxies {
        let url = format!("http://{login}127.0.0.1:{}", self.port);
        Proxies::new(Some(&url), Some(&url), "").unwrap()
    }
}

impl Drop for Tinyproxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Files over HTTPS, for `localhost`.
struct Secure {
    child: Child,
    port: u16,
    authority: PathBuf,
}

impl Secure {
    fn start(directory: &Path) -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (cert, key) = (directory.join("cert.pem"), directory.join("key.pem"));
        fs::write(&cert, made.cert.pem()).unwrap();
        fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let script = "import http.server as h, ssl, sys\n\
            s = h.ThreadingHTTPServer(('127.0.0.1', 0), h.SimpleHTTPRequestHandler)\n\
            c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\n\
            c.load_cert_chain(sys.argv[1], sys.argv[2])\n\
            s.socket = c.wrap_socket(s.socket, server_side=True)\n\
            print(s.server_port, flush=True)\n\
            s.serve_forever()\n";
        let mut child = Command::new("python3")
            .args(["-c", script])
            .args([&cert, &key])
            .current_dir(directory)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        Self { child, port: port.trim().parse().unwrap(), authority: cert }
    }
}

impl Drop for Secure {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct World {
    home: tempfile::TempDir,
    git: Server,
    forge: Server,
    secure: Secure,
}

impl World {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let directory = |name: &str| {
            let place = home.path().join(name);
            fs::create_dir(&place).unwrap();
            place
        };
        let (git, forge, secure) = (directory("git"), directory("forge"), directory("secure"));
        let mut repository = Repository::new();
        repository.commit("main", &[("644", "x", b"1")]);
        repository.write(&git.join("x.git"), "main");
        let metadata = b"{\"name\": \"crane-y\", \"version\": \"1.0.0\"}";
        release(&forge, "crane-y-1.0.0", &[(Regular, 0o644, "metadata.json", metadata)]);
        fs::write(secure.join("z.tar.gz"), archive(&[(Regular, 0o644, "z", b"1")])).unwrap();
        let (git, forge) = (Server::start("git.py", &git), Server::start("forge.py", &forge));
        Self { git, forge, secure: Secure::start(&secure), home }
    }

    /// One module of each kind: git, Forge, and an archive over HTTPS.
    fn text(&self) -> String {
        format!(
            "mod 'x', git: '{}/x.git', ref: 'main'\nmod 'crane/y', '1.0.0'\n\
             mod 'z', type: 'tarball', source: 'https://localhost:{}/z.tar.gz'\n",
            self.git.url, self.secure.port
        )
    }

    /// The words of what fails, a line for each module; none when nothing does.
    fn install(&self, text: &str, egress: Egress, proxies: Proxies) -> String {
        let count = fs::read_dir(self.home.path()).unwrap().count();
        let settings = NativeSettings {
            egress,
            proxies,
            authorities: vec![self.secure.authority.clone()],
            ..NativeSettings::default()
        };
        let home = self.home.path().join(format!("bench{count}"));
        let bench = Bench::with(&home, &self.forge.url, settings);
        match bench.install(&home, text, Compat::R10k5) {
            Ok(_) => String::new(),
            Err(error) => super::problems(&error).join("\n"),
        }
    }
}

#[test]
fn all_that_is_http_goes_through_the_proxy_that_is_configured() {
    let world = World::new();
    let proxy = Tinyproxy::start(&world.home.path().join("proxy"), "BasicAuth crane s3cret");
    let words = world.install(&world.text(), Egress::default(), proxy.proxies("crane:s3cret@"));
    assert_eq!(words, "");
    let asked = proxy.asked();
    for request in [
        format!("POST {}/x.git/git-upload-pack", world.git.url),
        format!("GET {}/v3/releases/crane-y-1.0.0", world.forge.url),
        format!("CONNECT localhost:{}", world.secure.port),
    ] {
        assert!(asked.contains(&request), "{request}: {asked}");
    }

    let proxy_is = format!("the proxy 127.0.0.1:{}", proxy.port);
    let words = world.install(&world.text(), Egress::default(), proxy.proxies(""));
    let told = format!("{proxy_is} wants credentials, and none are configured");
    assert_eq!(words.matches(&told).count(), 3, "{words}");
    let words = world.install(&world.text(), Egress::default(), proxy.proxies("crane:wr0ng@"));
    let told = format!("{proxy_is} does not accept the credentials it is shown");
    assert_eq!(words.matches(&told).count(), 1, "{words}");
    // This proxy says 401 then, as a server would.
    let told = format!("is not shown through {proxy_is} without credentials that it accepts");
    assert_eq!(words.matches(&told).count(), 2, "{words}");
    assert!(!words.contains("wr0ng"), "{words}");
}

#[test]
fn what_is_excepted_goes_straight_and_nothing_else_does() {
    let world = World::new();
    let nobody = Some("127.0.0.1:1");
    let straight = Proxies::new(nobody, nobody, "localhost, 127.0.0.0/8").unwrap();
    assert_eq!(world.install(&world.text(), Egress::default(), straight), "");
    let some = Proxies::new(nobody, nobody, "127.0.0.1").unwrap();
    let words = world.install(&world.text(), Egress::default(), some);
    assert!(words.contains("'z': "), "{words}");
    assert!(words.contains("the proxy: 127.0.0.1:1 does not answer"), "{words}");
    assert_eq!(words.lines().count(), 1, "{words}");
}

#[test]
fn the_policy_holds_for_names_and_the_proxy_is_exempt() {
    let world = World::new();
    let proxy = Tinyproxy::start(&world.home.path().join("proxy"), "");
    let text = format!(
        "mod 'z', type: 'tarball', source: 'https://localhost:{}/z.tar.gz'",
        world.secure.port
    );
    for (allowed, denied, text, expected) in [
        // Where the proxy finds the name is the proxy's to know.
        (&[][..], &["127.0.0.0/8"][..], &*text, ""),
        (&["localhost"], &[], &text, ""),
        (&[], &["localhost"], &text, "the host 'localhost' is denied"),
        (&["192.0.2.0/24"], &[], &text, "the host 'localhost' is not among those"),
        (
            &[],
            &[],
            "mod 'z', type: 'tarball', source: 'http://169.254.169.254/z.tar.gz'",
            "which nothing is fetched from",
        ),
        (&[], &["127.0.0.0/8"], "mod 'z', git: 'http://127.0.0.1:9/z', ref: 'x'", "is denied by"),
    ] {
        let egress = Egress::new(allowed.iter().copied(), denied.iter().copied()).unwrap();
        let words = world.install(text, egress, proxy.proxies(""));
        match expected {
            "" => assert_eq!(words, "", "{text}"),
            expected => assert!(words.contains(expected), "{expected}: {words}"),
        }
    }
    assert!(!proxy.asked().contains("169.254"), "{}", proxy.asked());
    drop(proxy);

    // And the proxy may have one of its own.
    let proxy = Tinyproxy::start(&world.home.path().join("strict"), "ConnectPort 443");
    let words = world.install(&text, Egress::default(), proxy.proxies(""));
    let expected = format!(
        "the proxy 127.0.0.1:{} does not allow localhost:{}",
        proxy.port, world.secure.port
    );
    assert!(words.contains(&expected), "{words}");
}
