//! `volumes` of a service, in both syntaxes.

use std::collections::BTreeSet;

use super::{
    item::Item,
    keys,
    model::Mount,
    names,
    notes::{Kind, Notes, Reference},
};
use crate::error::Problem;

const BIND_MOUNT: &str = "is a path of the engine's host, and Crane does not mount those yet \
    (they come with a policy that says which are allowed); use a named volume";

/// The volumes that `service` mounts.
pub(super) fn mounts(service: &str, item: &Item<'_>, notes: &mut Notes) -> Vec<Mount> {
    let mut mounts: Vec<Mount> = Vec::new();
    let mut targets = BTreeSet::new();
    for item in notes.take(item.items()) {
        let read = if item.is_mapping() { long(&item, notes) } else { short(&item) };
        let Some(mount) = notes.take(read.map(Some)) else { continue };
        if !targets.insert(mount.target.clone()) {
            notes.problem(item.problem(format!("'{}' is mounted twice", mount.target)));
        }
        if let Some(volume) = &mount.volume {
            notes.references.push(Reference {
                kind: Kind::Volume,
                from: service.to_owned(),
                to: volume.clone(),
                place: item.place(),
            });
        }
        mounts.push(mount);
    }
    mounts
}

fn short(item: &Item<'_>) -> Result<Mount, Problem> {
    let text = item.word()?;
    let refuse = |message: String| Err(item.problem(message));
    let mut mount = match text.split(':').collect::<Vec<_>>().as_slice() {
        [target] => mount(None, target),
        [source, target] | [source, target, _] => mount(Some(source), target),
        _ => return refuse("a volume is written [name:]/path[:mode]".to_owned()),
    }
    .map_err(|message| item.problem(message))?;
    let modes = text.split(':').nth(2);
    for mode in modes.into_iter().flat_map(|modes| modes.split(',')) {
        match mode {
            "ro" => mount.read_only = true,
            "rw" => mount.read_only = false,
            "nocopy" => mount.no_copy = true,
            _ => {
                return refuse(format!(
                    "Crane knows the modes ro, rw and nocopy of a volume, not '{mode}'"
                ));
            }
        }
    }
    Ok(mount)
}

fn long(item: &Item<'_>, notes: &mut Notes) -> Result<Mount, Problem> {
    let (mut kind, mut source, mut target) = (None, None, None);
    let (mut read_only, mut no_copy) = (false, false);
    let mut others = Vec::new();
    for entry in item.entries()? {
        match entry.key {
            "type" => kind = Some((entry.word()?, entry.clone())),
            "source" => source = Some(entry.word()?),
            "target" => target = Some(entry.word()?),
            "read_only" => read_only = entry.boolean()?,
            "volume" => {
                for option in entry.entries()? {
                    match option.key {
                        "nocopy" => no_copy = option.boolean()?,
                        _ => notes.refuse(&keys::MOUNT_VOLUME, &option),
                    }
                }
            }
            _ => others.push(entry),
        }
    }
    match kind.as_ref().map(|(kind, entry)| (kind.as_str(), entry)) {
        Some(("volume", _)) => {}
        Some(("bind", entry)) => {
            let source = source.unwrap_or_default();
            return Err(entry.problem(format!("'{source}' {BIND_MOUNT}")));
        }
        Some((other, entry)) => {
            let message = format!("Crane mounts volumes (type: volume), and no '{other}' yet");
            return Err(entry.problem(message));
        }
        None => return Err(item.problem("a mount needs a `type`")),
    }
    others.iter().for_each(|entry| notes.refuse(&keys::MOUNT, entry));
    let target = target.ok_or_else(|| item.problem("a mount needs a `target`"))?;
    let mount = mount(source.as_deref(), &target).map_err(|message| item.problem(message))?;
    Ok(Mount { read_only, no_copy, ..mount })
}

fn mount(source: Option<&str>, target: &str) -> Result<Mount, String> {
    if let Some(source) = source {
        if source.starts_with(['.', '~']) || source.contains(['/', '\\']) {
            return Err(format!("'{source}' {BIND_MOUNT}"));
        }
        names::check(source).map_err(|rule| format!("'{source}' cannot name a volume: {rule}"))?;
    }
    let components: Vec<&str> =
        target.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if !target.starts_with('/') || components.is_empty() || components.contains(&"..") {
        return Err(format!(
            "'{target}' is no place for a volume: that is an absolute path in the container, not \
             its root and without '..'"
        ));
    }
    Ok(Mount {
        volume: source.map(str::to_owned),
        target: format!("/{}", components.join("/")),
        read_only: false,
        no_copy: false,
    })
}
