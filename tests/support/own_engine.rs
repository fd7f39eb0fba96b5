//! A Docker engine of one test's own, which may be ended and started again. It has a network of its
//! own as well, so that it and the rig's engine do not get into each other's way; that takes root.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

pub(crate) struct OwnEngine {
    directory: TempDir,
    child: Child,
}

impl OwnEngine {
    /// With the rig's base image in it.
    pub(crate) fn start() -> Self {
        let directory = tempfile::Builder::new().prefix("crane-engine-").tempdir().unwrap();
        let child = run(directory.path());
        let engine = Self { directory, child };
        engine.wait_until_it_answers();
        let mut save = Command::new("docker")
            .env("DOCKER_HOST", super::rig("RIG_ENGINE"))
            .args(["save", &super::rig("RIG_BASE")])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let image = save.stdout.take().unwrap();
        let loaded = engine.docker().arg("load").stdin(image).output().unwrap();
        assert!(save.wait().unwrap().success() && loaded.status.success(), "{loaded:?}");
        engine
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("docker.sock")
    }

    pub(crate) fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    fn docker(&self) -> Command {
        let mut docker = Command::new("docker");
        docker.env("DOCKER_HOST", self.url());
        docker
    }

    /// What `docker ARGUMENTS` says of it.
    pub(crate) fn says(&self, arguments: &[&str]) -> String {
        let output = self.docker().args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    fn wait_until_it_answers(&self) {
        let end = Instant::now() + Duration::from_secs(60);
        while !self.docker().arg("version").output().unwrap().status.success() {
            assert!(Instant::now() < end, "{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// Ends it as `signal` does (`TERM`, `KILL`), and starts it again on what it had stored.
    pub(crate) fn restart(&mut self, signal: &str) {
        self.end(signal);
        self.child = run(self.directory.path());
        self.wait_until_it_answers();
    }

    fn end(&mut self, signal: &str) {
        let id = self.child.id().to_string();
        let killed = Command::new("kill").args(["-s", signal, &id]).status().unwrap();
        assert!(killed.success());
        self.child.wait().unwrap();
        // It takes the ids in there for its own as long as there are such processes, dead ones that
        // nobody has waited for among them.
        for file in ["pid", "exec/containerd/containerd.pid"] {
            let _ = std::fs::remove_file(self.directory.path().join(file));
        }
    }
}

/// `unshare` becomes the engine, so a signal to it is one to the engine.
fn run(directory: &Path) -> Child {
    let log = File::options().create(true).append(true).open(directory.join("log")).unwrap();
    let at = |name: &str| directory.join(name).display().to_string();
    Command::new("unshare")
        .args(["--net", "dockerd", "--host", &format!("unix://{}", at("docker.sock"))])
        .args(["--data-root", &at("data"), "--exec-root", &at("exec"), "--pidfile", &at("pid")])
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .expect("unshare and dockerd are installed")
}

impl Drop for OwnEngine {
    fn drop(&mut self) {
        self.end("TERM");
        // One that was killed has unmounted nothing, and where mounts are private, it mounts its
        // directory onto itself.
        let below = format!("{}/", self.directory.path().display());
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
        for mount in mounts.lines().rev().filter_map(|line| line.split(' ').nth(1)) {
            if mount.starts_with(&below) {
                let _ = Command::new("umount").args(["--lazy", mount]).status();
            }
        }
    }
}
