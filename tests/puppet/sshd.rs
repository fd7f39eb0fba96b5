//! A real sshd on loopback, with keys of its own, that ends with the test.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crane::puppet::{KnownHosts, SshKey, SshSettings};

pub(super) struct Sshd {
    child: Child,
    home: PathBuf,
    pub(super) port: u16,
}

impl Sshd {
    /// `further` are lines of its configuration.
    pub(super) fn start(home: &Path, further: &str) -> Self {
        fs::create_dir_all(home).unwrap();
        for name in ["host", "user"] {
            if !home.join(name).exists() {
                keygen(&home.join(name), &["-t", "ed25519"]);
            }
        }
        if !home.join("authorized_keys").exists() {
            fs::copy(home.join("user.pub"), home.join("authorized_keys")).unwrap();
        }
        // Where sshd runs as root it wants this directory, which its service would make.
        if rustix::process::geteuid().is_root() {
            fs::create_dir_all("/run/sshd").unwrap();
        }
        // The port may be taken by another between the two, which a test run has not seen yet.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let place = home.display();
        // The first value of an option counts.
        let configuration = format!(
            "{further}\nListenAddress 127.0.0.1\nPort {port}\nHostKey {place}/host\n\
             AuthorizedKeysFile {place}/authorized_keys\nStrictModes no\nUsePAM no\nPidFile none\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             PermitRootLogin prohibit-password\n"
        );
        fs::write(home.join("sshd_config"), configuration).unwrap();
        let child = Command::new("/usr/sbin/sshd")
            .args(["-D", "-e", "-f"])
            .arg(home.join("sshd_config"))
            .stdout(Stdio::null())
            .stderr(fs::File::create(home.join("sshd.log")).unwrap())
            .spawn()
            .expect("openssh-server is installed");
        let server = Self { child, home: home.to_owned(), port };
        let mut tries = 100;
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            tries -= 1;
            assert!(tries > 0, "sshd does not come up: {}", server.log());
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        server
    }

    /// What it has written.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.home.join("sshd.log")).unwrap()
    }

    /// `ssh://user@host:port`.
    pub(super) fn url(&self) -> String {
        format!("ssh://{}@127.0.0.1:{}", user(), self.port)
    }

    /// Its line of known hosts.
    pub(super) fn line(&self) -> String {
        let key = fs::read_to_string(self.home.join("host.pub")).unwrap();
        format!("[127.0.0.1]:{} {key}", self.port)
    }

    /// `SHA256:...` of the key in a file beside its own.
    pub(super) fn fingerprint(&self, name: &str) -> String {
        let told = run("ssh-keygen", &["-l", "-f", self.file(name).to_str().unwrap()]);
        told.split(' ').nth(1).unwrap().to_owned()
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.home.join(name)
    }

    /// A key of the user's, in a file of its own.
    pub(super) fn key(&self, name: &str) -> SshKey {
        SshKey { host: Some("127.0.0.1".into()), file: self.file(name), passphrase: None }
    }

    /// That knows it, and has the key it lets in.
    pub(super) fn settings(&self) -> SshSettings {
        SshSettings {
            known_hosts: known(&self.line()),
            keys: vec![self.key("user")],
            ..SshSettings::default()
        }
    }

    /// Connections that it has now.
    pub(super) fn connections(&self) -> usize {
        let id = self.child.id().to_string();
        let found = Command::new("pgrep").args(["--parent", &id]).output().unwrap();
        String::from_utf8_lossy(&found.stdout).lines().count()
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(super) fn known(lines: &str) -> KnownHosts {
    let (known, problems) = KnownHosts::read("known_hosts", lines);
    assert_eq!(problems, []);
    known
}

/// Who runs the tests.
pub(super) fn user() -> String {
    run("id", &["-un"]).trim().to_owned()
}

/// A key without a passphrase, unless the options name one.
pub(super) fn keygen(file: &Path, options: &[&str]) {
    let without = if options.contains(&"-N") { &[][..] } else { &["-N", ""][..] };
    let place = ["-q", "-C", "test", "-f", file.to_str().unwrap()];
    run("ssh-keygen", &[&place, options, without].concat());
}

pub(super) fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}
