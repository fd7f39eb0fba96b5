//! The container that r10k runs in: what it may do, and what is put into it.

use std::{collections::BTreeMap, io};

use tar::{Builder, EntryType, Header};

use super::{super::Settings, Sandbox};
use crate::{engine::api, puppet::Puppetfile};

/// What is put into the container is below the first, what comes out of it below the second.
pub(super) const ROOT_SLASH: &str = "/crane/";
pub(super) const TREE_SLASH: &str = "/crane/tree/";

/// `nobody` and `nogroup` of most distributions; nothing in an image belongs to them.
const USER: u64 = 65_534;

/// r10k starts four threads and a git for each of them; Ruby and git have some more of their own.
const PROCESSES: i64 = 256;

/// What r10k starts git with. `file` is how r10k copies from its own cache. Never `ext`, which runs
/// programs: the Puppetfile can do that anyway, and URLs of others cannot.
const GIT_PROTOCOLS: &str = "GIT_ALLOW_PROTOCOL=file:http:https:git:ssh";

/// Nobody looks it up: containers are found by their labels.
pub(super) fn name() -> String {
    format!("crane-r10k-{}", uuid::Uuid::new_v4().simple())
}

/// What the container is and may do.
pub(super) fn body(
    sandbox: &Sandbox,
    labels: &BTreeMap<String, String>,
) -> api::ContainerCreateBody {
    let memory = i64::try_from(sandbox.memory).ok();
    let limits = api::HostConfig {
        network_mode: Some(sandbox.network.clone()),
        cap_drop: Some(vec!["ALL".into()]),
        security_opt: Some(vec!["no-new-privileges".into()]),
        pids_limit: Some(PROCESSES),
        memory,
        // Of both together, so that there is no swap.
        memory_swap: memory,
        // Ends those that r10k leaves behind, and passes signals on.
        init: Some(true),
        privileged: Some(false),
        ipc_mode: Some("private".into()),
        // What it prints goes to whoever follows it, and not also onto the engine's disk.
        log_config: Some(api::HostConfigLogConfig { typ: Some("none".into()), config: None }),
        restart_policy: Some(api::RestartPolicy {
            name: Some(api::RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        ..api::HostConfig::default()
    };
    let arguments = [
        "r10k",
        "puppetfile",
        "install",
        "--config=/crane/r10k.yaml",
        "--puppetfile=/crane/Puppetfile",
        "--verbose=info",
    ];
    api::ContainerCreateBody {
        image: Some(sandbox.image.clone()),
        hostname: Some("r10k".into()),
        user: Some(format!("{USER}:{USER}")),
        // All of it: an image's own entry point and health check are for other uses of it.
        entrypoint: Some(Vec::new()),
        cmd: Some(arguments.map(str::to_owned).into()),
        healthcheck: Some(api::HealthConfig {
            test: Some(vec!["NONE".into()]),
            ..api::HealthConfig::default()
        }),
        working_dir: Some(TREE_SLASH.trim_end_matches('/').into()),
        env: Some(environment()),
        labels: Some(labels.clone().into_iter().collect()),
        host_config: Some(limits),
        tty: Some(false),
        attach_stdin: Some(false),
        ..api::ContainerCreateBody::default()
    }
}

/// Beside what the image itself has, `PATH` above all.
fn environment() -> Vec<String> {
    let variables = [
        "HOME=/crane/home",
        "TMPDIR=/crane/tmp",
        "LANG=C.UTF-8",
        "GIT_TERMINAL_PROMPT=0",
        GIT_PROTOCOLS,
        // Maintenance goes on in the background, on a cache that is about to be removed.
        "GIT_CONFIG_COUNT=2",
        "GIT_CONFIG_KEY_0=gc.auto",
        "GIT_CONFIG_VALUE_0=0",
        "GIT_CONFIG_KEY_1=maintenance.auto",
        "GIT_CONFIG_VALUE_1=false",
    ];
    variables.map(str::to_owned).into()
}

/// The tar that is unpacked at the root of the container before it starts.
pub(super) fn input(settings: &Settings, text: &str, known: &Puppetfile) -> io::Result<Vec<u8>> {
    let mut configuration = serde_json::json!({ "cachedir": "/crane/cache" });
    if let Some(forge) = &settings.forge {
        configuration["forge"] = serde_json::json!({ "baseurl": forge });
    }
    let mut tar = Builder::new(Vec::new());
    for directory in ["", "home", "tmp", "cache", "tree", "tree/modules"] {
        entry(&mut tar, directory, None)?;
    }
    // r10k expects the directories that it purges.
    for module in &known.modules {
        let parent = module.parent().as_str();
        let ends = parent.match_indices('/').map(|(end, _)| end).chain([parent.len()]);
        for directory in ends.map(|end| &parent[..end]).filter(|directory| !directory.is_empty()) {
            entry(&mut tar, &format!("tree/{directory}"), None)?;
        }
    }
    // JSON is YAML.
    entry(&mut tar, "r10k.yaml", Some(&configuration.to_string()))?;
    entry(&mut tar, "Puppetfile", Some(text))?;
    tar.into_inner()
}

/// A directory that the program owns, or a file that it can read.
fn entry(tar: &mut Builder<Vec<u8>>, name: &str, text: Option<&str>) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_mtime(0);
    let content = text.unwrap_or_default();
    header.set_size(content.len() as u64);
    let (kind, mode, owner, end) = match text {
        Some(_) => (EntryType::Regular, 0o644, 0, ""),
        None => (EntryType::Directory, 0o755, USER, "/"),
    };
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(owner);
    header.set_gid(owner);
    let path = format!("{}{name}", &ROOT_SLASH[1..]);
    tar.append_data(&mut header, format!("{}{end}", path.trim_end_matches('/')), content.as_bytes())
}
