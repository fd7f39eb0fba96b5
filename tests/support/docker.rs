//! What the engine says, asked by another client than Crane's, and ways to it that can be cut.

use std::{net::SocketAddr, process::Command};

use tokio::{
    net::{TcpListener, UnixStream},
    task::{JoinHandle, JoinSet},
};

/// The rig's engine is at this address, too, until the task is aborted, which cuts every connection.
pub(crate) async fn engine_at(address: SocketAddr) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap();
    let socket = super::rig("RIG_ENGINE").strip_prefix("unix://").unwrap().to_owned();
    let relay = tokio::spawn(async move {
        // Dropped with this task, so its connections end with it.
        let mut connections = JoinSet::new();
        loop {
            let (mut outside, _) = listener.accept().await.unwrap();
            let mut inside = UnixStream::connect(&socket).await.unwrap();
            connections.spawn(async move {
                let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
            });
        }
    });
    (address, relay)
}

/// The output of `docker ARGUMENTS` at the rig's engine, which must succeed.
#[track_caller]
pub(crate) fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker")
        .env("DOCKER_HOST", super::rig("RIG_ENGINE"))
        .args(arguments)
        .output()
        .expect("the docker client is installed");
    assert!(
        output.status.success(),
        "docker {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// Containers, images, networks and volumes with a label, one name a line.
pub(crate) fn labelled(label: &str) -> String {
    let filter = format!("label={label}");
    let list = |arguments: &[&str]| docker(&[arguments, &["--filter", &filter]].concat());
    [
        list(&["ps", "--all", "--format", "container {{.Names}}"]),
        list(&["images", "--all", "--format", "image {{.Repository}}:{{.Tag}} {{.ID}}"]),
        list(&["network", "ls", "--format", "network {{.Name}}"]),
        list(&["volume", "ls", "--format", "volume {{.Name}}"]),
    ]
    .join("\n")
    .trim()
    .to_owned()
}

#[track_caller]
pub(crate) fn assert_nothing_labelled(label: &str) {
    assert_eq!(labelled(label), "", "left on the engine with {label}");
}
