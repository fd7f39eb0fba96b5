//! What the engine says, asked by another client than Crane's.

use std::process::Command;

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
