//! Compose files: the Compose Specification, and the first format (services at the top level).
//!
//! Nothing is dropped in silence: a key that Crane does not handle is a problem that names its
//! path, line and column, and all problems of a file come in one answer. No I/O.

mod check;
mod command;
mod dollar;
mod external;
mod item;
mod keys;
mod model;
mod mounts;
mod names;
mod networks;
mod notes;
mod pairs;
mod ports;
mod reference;
mod scalar;
mod service;
mod tree;
mod volumes;
mod words;
mod yaml;

use self::{
    item::Item,
    notes::Notes,
    service::{Format, service},
};
use crate::error::Problem;

pub use self::{
    model::{
        Attachment, Composition, Condition, ContainerPort, Link, Mount, Network, Port, Protocol,
        Restart, Service, Volume,
    },
    reference::repository,
};

/// Reads one compose file; `file_name` is what problems of the whole file carry as their path.
pub fn parse(file_name: &str, text: &str) -> Result<Composition, Vec<Problem>> {
    let mut notes = Notes::default();
    let mut composition = Composition::default();
    if let Some(root) = yaml::parse(file_name, text, &mut notes) {
        match Item::root(&root).entries() {
            Ok(entries) => composition = read(file_name, &entries, &mut notes),
            Err(_) => {
                let message = "a compose file is a mapping (`services:` and so on) at its top";
                notes.problem(root.mark.problem(file_name, message));
            }
        }
    }
    if notes.is_clean() { Ok(composition) } else { Err(notes.into_problems()) }
}

fn read(file_name: &str, entries: &[Item<'_>], notes: &mut Notes) -> Composition {
    let mut composition = Composition::default();
    match format(file_name, entries) {
        Ok(Format::Specification) => {
            for entry in entries {
                top_level(entry, &mut composition, notes);
            }
        }
        Ok(Format::First) => {
            for entry in entries {
                let service = service(entry, Format::First, notes);
                // The first format has no place to define volumes in.
                for volume in service.volumes.iter().filter_map(|mount| mount.volume.as_ref()) {
                    composition.volumes.entry(volume.clone()).or_default();
                }
                composition.services.insert(entry.key.to_owned(), service);
            }
        }
        Err(problem) => notes.problem(problem),
    }
    let on_default = |service: &Service| service.networks.contains_key(networks::DEFAULT);
    if composition.services.values().any(on_default) {
        composition.networks.entry(networks::DEFAULT.to_owned()).or_default();
    }
    check::check(&composition, notes);
    composition
}

/// A file without `services` is one of the first format, unless it looks like one of the
/// Specification whose `services` are missing or misspelt.
fn format(file_name: &str, entries: &[Item<'_>]) -> Result<Format, Problem> {
    if entries.iter().any(|entry| entry.key == "services") {
        return Ok(Format::Specification);
    }
    if entries.is_empty() {
        return Err(Problem::new(file_name, "the file names no services"));
    }
    let is_service = |item: &Item<'_>| {
        let entries = item.entries().unwrap_or_default();
        entries.iter().any(|entry| matches!(entry.key, "image" | "build"))
    };
    for entry in entries.iter().filter(|entry| !is_service(entry)) {
        let hint = keys::suggestion(entry.key, ["services"].into_iter());
        if !hint.is_empty() {
            return Err(
                entry.key_problem(format!("a compose file has no key '{}'{hint}", entry.key))
            );
        }
        if keys::FILE.has(entry.key) {
            let message = "the file has no `services`; a file of the first format, which needs \
                           none, has nothing but services at its top";
            return Err(entry.key_problem(message));
        }
    }
    Ok(Format::First)
}

fn top_level(item: &Item<'_>, composition: &mut Composition, notes: &mut Notes) {
    match item.key {
        // What it once chose between is told by the keys themselves.
        "version" => drop(notes.take(item.word())),
        "name" => composition.name = Some(notes.take(names::name(item))),
        "services" => {
            let entries = notes.take(item.entries());
            if entries.is_empty() {
                notes.problem(item.problem("the file names no services"));
            }
            for entry in &entries {
                let service = service(entry, Format::Specification, notes);
                composition.services.insert(entry.key.to_owned(), service);
            }
        }
        "networks" => {
            for entry in notes.take(item.entries()) {
                let network = networks::network(&entry, notes);
                composition.networks.insert(entry.key.to_owned(), network);
            }
        }
        "volumes" => {
            for entry in notes.take(item.entries()) {
                let volume = volumes::volume(&entry, notes);
                composition.volumes.insert(entry.key.to_owned(), volume);
            }
        }
        _ => notes.refuse(&keys::FILE, item),
    }
}
