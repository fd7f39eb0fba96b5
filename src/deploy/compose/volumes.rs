//! Volumes of the file.

use super::{
    external::{External, external},
    item::Item,
    keys,
    model::Volume,
    names,
    notes::Notes,
    pairs,
};

/// File systems that the local driver may mount: none of them reads a path or device of the
/// engine's host.
const FILE_SYSTEMS: [&str; 4] = ["nfs", "nfs4", "cifs", "tmpfs"];

/// One entry of the file's `volumes`.
pub(super) fn volume(item: &Item<'_>, notes: &mut Notes) -> Volume {
    let mut volume = Volume::default();
    let mut external_name = None;
    notes.check(names::check_key(item, "volume"));
    let entries = notes.take(item.entries());
    for entry in &entries {
        match entry.key {
            "name" => volume.name = Some(notes.take(names::name(entry))),
            "driver" => volume.driver = Some(notes.take(entry.word())),
            "driver_opts" => volume.driver_opts = pairs::options(entry, notes),
            "labels" => volume.labels = pairs::labels(entry, notes),
            "external" => {
                let External { is_external, name } = external(entry, notes);
                volume.external = is_external;
                external_name = name;
            }
            _ => notes.refuse(&keys::VOLUME, entry),
        }
    }
    if volume.external {
        super::external::check(&entries, notes);
        let name = external_name.or(volume.name.take());
        volume.name = Some(name.unwrap_or_else(|| item.key.to_owned()));
    }
    if let Some(options) = entries.iter().find(|entry| entry.key == "driver_opts")
        && names_the_host(&volume)
    {
        notes.problem(options.problem(
            "these options mount a path or device of the engine's host, and Crane does not mount \
             those yet (they come with a policy that says which are allowed)",
        ));
    }
    volume
}

/// The local driver hands its options to mount(2), where `bind` makes any file system type a bind
/// mount, and a type that is not of the network reads the host's devices.
fn names_the_host(volume: &Volume) -> bool {
    let option = |name: &str| volume.driver_opts.get(name).map_or("", String::as_str);
    let local = volume.driver.as_deref().is_none_or(|driver| driver == "local");
    local
        && !volume.driver_opts.is_empty()
        && (!FILE_SYSTEMS.contains(&option("type"))
            || option("o").split(',').any(|flag| matches!(flag.trim(), "bind" | "rbind")))
}
