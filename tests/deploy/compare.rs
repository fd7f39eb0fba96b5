//! The same compose file through `docker-compose` and through Crane makes the same things.

use std::{collections::BTreeMap, fs, process::Command};

use serde_json::{Value, json};

use super::Trial;
use crate::support::{docker::docker, rig};

macro_rules! same {
    ($($name:ident;)*) => {$(
        #[tokio::test]
        async fn $name() {
            compare(&stringify!($name).replace('_', "-")).await;
        }
    )*};
}

same! {
    command;
    conditions;
    default_network;
    environment;
    first_format;
    identity;
    labels;
    links;
    merge;
    networks;
    ports;
    restart;
    volumes;
}

async fn compare(name: &str) {
    let path = format!("{}/tests/fixtures/compare/{name}.yml", env!("CARGO_MANIFEST_DIR"));
    let compose = fs::read_to_string(path).unwrap();
    Trial::run(async |trial| {
        let mut expected = compose_up(&compose, &format!("cranetest{}", std::process::id()), name);
        trial.up(&compose).await.unwrap();
        let label = format!("eu.cloudopting.crane.resource={}", trial.token);
        let mut found = seen(&label, &trial.project());
        if name == "first-format" {
            // There docker-compose uses the engine's default network, where names are not known.
            for seen in [&mut expected, &mut found] {
                seen.retain(|key, _| !key.starts_with("network "));
                let web = seen.get_mut("container web").unwrap();
                web["Networks"].take();
                web["NetworkMode"].take();
            }
        }
        for (key, thing) in &expected {
            assert_eq!(Some(thing), found.get(key), "{key}, docker-compose left, Crane right");
        }
        assert_eq!(expected.len(), found.len(), "{:?}", found.keys());
    })
    .await;
}

/// What `docker-compose` makes of the file; gone again afterwards.
fn compose_up(compose: &str, prefix: &str, name: &str) -> BTreeMap<String, Value> {
    let project = format!("{prefix}{}", name.replace('-', ""));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("docker-compose.yml");
    fs::write(&file, compose.replace("BASE", &rig("RIG_BASE"))).unwrap();
    let run = |arguments: &[&str]| {
        let output = Command::new("docker-compose")
            .args(["--project-name", &project, "--file", file.to_str().unwrap()])
            .args(arguments)
            .env("DOCKER_HOST", rig("RIG_ENGINE"))
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.success(), stderr)
    };
    let (up, up_says) = run(&["up", "--detach"]);
    let label = format!("com.docker.compose.project={project}");
    let seen = seen(&label, &project);
    let (down, down_says) = run(&["down", "--volumes"]);
    assert!(up && down, "{up_says}{down_says}");
    seen
}

/// Containers, networks and volumes with a label, without what is different each time.
fn seen(label: &str, project: &str) -> BTreeMap<String, Value> {
    let filter = format!("label={label}");
    let inspect = |list: &[&str], inspect: &str| -> Vec<Value> {
        let names = docker(&[list, &["--quiet", "--filter", &filter]].concat());
        let names: Vec<_> = names.lines().collect();
        if names.is_empty() {
            return Vec::new();
        }
        let json = docker(&[&["inspect", "--type", inspect], &names[..]].concat());
        serde_json::from_str(&json).unwrap()
    };
    let mut seen = BTreeMap::new();
    for one in inspect(&["ps", "--all"], "container") {
        let labels = &one["Config"]["Labels"];
        let service = ["com.docker.compose.service", "eu.cloudopting.crane.service"]
            .iter()
            .find_map(|label| labels[label].as_str())
            .unwrap()
            .to_owned();
        seen.insert(format!("container {service}"), container(&one, project));
    }
    for one in inspect(&["network", "ls"], "network") {
        let key = format!("network {}", plain(&one["Name"], project));
        let network = json!({
            "Driver": one["Driver"],
            "Internal": one["Internal"],
            "Options": one["Options"],
            "Labels": users(&one["Labels"]),
        });
        seen.insert(key, network);
    }
    for one in inspect(&["volume", "ls"], "volume") {
        // docker-compose has no labels on those, so they are compared by their mounts.
        if one["Labels"]["eu.cloudopting.crane.anonymous"].is_string() {
            continue;
        }
        let key = format!("volume {}", plain(&one["Name"], project));
        let options = if one["Options"].is_null() { json!({}) } else { one["Options"].clone() };
        let volume = json!({
            "Driver": one["Driver"],
            "Options": options,
            "Labels": users(&one["Labels"]),
        });
        seen.insert(key, volume);
    }
    seen
}

fn container(one: &Value, project: &str) -> Value {
    let id = &one["Id"].as_str().unwrap()[..12];
    let (config, host) = (&one["Config"], &one["HostConfig"]);
    let hostname = match config["Hostname"].as_str() {
        Some(name) if name == id => "the id",
        name => name.unwrap(),
    };
    let networks: BTreeMap<_, _> = one["NetworkSettings"]["Networks"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, endpoint)| {
            let mut aliases = sorted(&endpoint["Aliases"]);
            aliases.retain(|alias| alias != id);
            // docker-compose adds links to itself under the names it has given itself.
            let mut links: Vec<_> = sorted(&endpoint["Links"])
                .iter()
                .map(|link| plain(&json!(link), project).replace("_1:", "-1:").replace('_', "-"))
                .filter(|link| {
                    let (to, alias) = link.split_once(':').unwrap();
                    to != alias && *alias != to.replacen("P-", "", 1)
                })
                .collect();
            links.dedup();
            (plain(&json!(name), project), json!({"Aliases": aliases, "Links": links}))
        })
        .collect();
    let mut mounts: Vec<_> = one["Mounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|mount| {
            let name = plain(&mount["Name"], project);
            let named = name.starts_with("P_");
            json!({
                "Type": mount["Type"],
                "Name": if named { &name } else { "anonymous" },
                "Destination": mount["Destination"],
                "Driver": mount["Driver"],
                "RW": mount["RW"],
            })
        })
        .collect();
    mounts.sort_by_key(|mount| mount["Destination"].to_string());
    let policy = match host["RestartPolicy"]["Name"].as_str() {
        None | Some("") => "no",
        Some(name) => name,
    };
    json!({
        "Image": config["Image"],
        "Env": sorted(&config["Env"]),
        "Cmd": config["Cmd"],
        "Entrypoint": config["Entrypoint"],
        "User": config["User"],
        "WorkingDir": config["WorkingDir"],
        "Hostname": hostname,
        "ExposedPorts": config["ExposedPorts"],
        "Labels": users(&config["Labels"]),
        "PortBindings": host["PortBindings"].as_object().cloned().unwrap_or_default(),
        "RestartPolicy": [policy, host["RestartPolicy"]["MaximumRetryCount"].to_string().as_str()],
        "NetworkMode": plain(&host["NetworkMode"], project),
        "Networks": networks,
        "Mounts": mounts,
        "State": [&one["State"]["Running"], &one["State"]["ExitCode"]],
    })
}

fn plain(name: &Value, project: &str) -> String {
    name.as_str().unwrap().replace(project, "P")
}

fn sorted(list: &Value) -> Vec<String> {
    let items = list.as_array().cloned().unwrap_or_default();
    let mut items: Vec<_> = items.iter().map(|item| item.as_str().unwrap().to_owned()).collect();
    items.sort();
    items.dedup();
    items
}

/// Without those that the tools set.
fn users(all: &Value) -> BTreeMap<String, Value> {
    let all = all.as_object().cloned().unwrap_or_default();
    let tools = ["com.docker.compose.", "eu.cloudopting.crane."];
    all.into_iter()
        .filter(|(name, _)| !tools.iter().any(|prefix| name.starts_with(prefix)))
        .collect()
}
