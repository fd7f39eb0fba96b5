//! Networks: those of the file, and those that a service is on.

use std::collections::BTreeMap;

use super::{
    external::{External, external},
    item::Item,
    keys,
    model::{Attachment, Network},
    names,
    notes::{Kind, Notes, Reference},
    pairs,
};

/// The network of a service that names none.
pub(super) const DEFAULT: &str = "default";

/// The engine's own networks. Containers on them see the host's network or have no names.
const BUILT_IN: [&str; 3] = ["bridge", "host", "none"];

/// The networks that `service` is on.
pub(super) fn attachments(
    service: &str,
    item: &Item<'_>,
    notes: &mut Notes,
) -> BTreeMap<String, Attachment> {
    let mut attachments = BTreeMap::new();
    let mut attach = |name: String, place: &Item<'_>, attachment, notes: &mut Notes| {
        notes.references.push(Reference {
            kind: Kind::Network,
            from: service.to_owned(),
            to: name.clone(),
            place: place.place(),
        });
        if attachments.insert(name.clone(), attachment).is_some() {
            notes.problem(place.problem(format!("the network '{name}' is named twice")));
        }
    };
    if item.is_sequence() {
        for item in notes.take(item.items()) {
            let name = notes.take(item.word());
            attach(name, &item, Attachment::default(), notes);
        }
    } else {
        for entry in notes.take(item.entries()) {
            let attachment = attachment(&entry, notes);
            attach(entry.key.to_owned(), &entry, attachment, notes);
        }
    }
    if attachments.is_empty() {
        notes.problem(
            item.problem("an empty list of networks; leave the key out for the default network"),
        );
    }
    attachments
}

fn attachment(item: &Item<'_>, notes: &mut Notes) -> Attachment {
    let mut attachment = Attachment::default();
    for entry in notes.take(item.entries()) {
        match entry.key {
            "aliases" => {
                for alias in notes.take(entry.items()) {
                    attachment.aliases.push(notes.take(names::name(&alias)));
                }
            }
            _ => notes.refuse(&keys::ATTACHMENT, &entry),
        }
    }
    attachment
}

/// One entry of the file's `networks`.
pub(super) fn network(item: &Item<'_>, notes: &mut Notes) -> Network {
    let mut network = Network::default();
    let mut external_name = None;
    notes.check(names::check_key(item, "network"));
    let entries = notes.take(item.entries());
    for entry in &entries {
        match entry.key {
            "name" => network.name = Some(notes.take(names::name(entry))),
            "driver" => network.driver = Some(notes.take(entry.word())),
            "driver_opts" => network.driver_opts = pairs::options(entry, notes),
            "internal" => network.internal = notes.take(entry.boolean()),
            "labels" => network.labels = pairs::labels(entry, notes),
            "external" => {
                let External { is_external, name } = external(entry, notes);
                network.external = is_external;
                external_name = name;
            }
            _ => notes.refuse(&keys::NETWORK, entry),
        }
    }
    if network.external {
        super::external::check(&entries, notes);
        let name = external_name.or(network.name).unwrap_or_else(|| item.key.to_owned());
        if BUILT_IN.contains(&name.as_str()) {
            notes.problem(item.problem(format!(
                "'{name}' is a network of the engine's host, and Crane does not join those yet \
                 (they come with a policy that says who may)"
            )));
        }
        network.name = Some(name);
    }
    network
}
