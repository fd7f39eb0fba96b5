//! Images to push, made and pushed by the Docker engine, and removed from it again.

use std::{
    io::Write,
    process::{Command, Output, Stdio},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use crane::registry::Credentials;
use secrecy::ExposeSecret;
use tempfile::TempDir;

use crate::support::rig;

/// An image of one file with `content` in it, under one name at the engine.
pub(super) struct Image {
    name: String,
}

impl Image {
    pub(super) fn make(name: &str, content: &str) -> Self {
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, "content", content.as_bytes()).unwrap();
        docker(None, &["import", "-", name], &archive.into_inner().unwrap());
        Self { name: name.to_owned() }
    }

    /// The digest of the pushed manifest, as the engine tells it.
    pub(super) fn push(&self, credentials: Option<&Credentials>) -> String {
        let config = credentials.map(|credentials| login(&self.name, credentials));
        let output = docker(config.as_ref(), &["push", &self.name], &[]);
        let words = String::from_utf8(output.stdout).unwrap();
        let digest = words.split_once("digest: ").and_then(|(_, rest)| rest.split(' ').next());
        digest.unwrap_or_else(|| panic!("no digest in {words}")).to_owned()
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        docker(None, &["image", "rm", "--force", &self.name], &[]);
    }
}

/// A directory with the configuration that `docker login` writes.
fn login(name: &str, Credentials { username, password }: &Credentials) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let auth = BASE64_STANDARD.encode(format!("{username}:{}", password.expose_secret()));
    let host = name.split('/').next().unwrap();
    let config = serde_json::json!({"auths": {host: {"auth": auth}}});
    std::fs::write(directory.path().join("config.json"), config.to_string()).unwrap();
    directory
}

fn docker(config: Option<&TempDir>, arguments: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new("docker");
    if let Some(config) = config {
        command.arg("--config").arg(config.path());
    }
    let mut child = command
        .args(arguments)
        .env("DOCKER_HOST", rig("RIG_ENGINE"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the docker command is a part of the rig");
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "docker {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}
