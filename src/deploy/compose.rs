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

pub use self::model::{
    Attachment, Composition, Condition, ContainerPort, Link, Mount, Network, Port, Protocol,
    Restart, Service, Volume,
};
pub(super) use self::reference::repository;

/// Reads one compose file; `file_name` is what problems of the whole file carry as their path.
pub(super) fn parse(file_name: &str, text: &str) -> Result<Composition, Vec<Problem>> {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Composition, Condition, parse};

    const FULL: &str = include_str!("../../tests/fixtures/compose/good/full.yml");

    /// A service that reads `text`, in the network `n` and beside a service and a volume.
    fn with(text: &str) -> Composition {
        let file = format!(
            "services: {{web: {{image: redis, {text}}}, db: {{image: redis, networks: [n, default]}}}}\n\
             volumes: {{v: }}\nnetworks: {{n: }}\n"
        );
        parse("compose.yml", &file).unwrap_or_else(|problems| panic!("{text}: {problems:?}"))
    }

    #[test]
    fn short_and_long_syntaxes_say_the_same() {
        for (short, long) in [
            ("command: a 'b c'", "command: [a, 'b c']"),
            ("command: ", "labels: []"),
            ("environment: [A=1, B=x=y, C=]", "environment: {A: 1, B: x=y, C: ''}"),
            ("labels: [a, b=c]", "labels: {a: , b: c}"),
            ("ports: [80]", "ports: [{target: 80}]"),
            (
                "ports: ['127.0.0.1:8080:80/udp']",
                "ports: [{target: 80, published: 8080, host_ip: 127.0.0.1, protocol: udp}]",
            ),
            ("ports: ['8080-8090:80']", "ports: [{target: 80, published: 8080-8090}]"),
            ("ports: ['80-81']", "ports: ['80', '81']"),
            ("expose: ['80-81/udp']", "expose: [80/udp, 81/udp]"),
            (
                "volumes: ['v:/a:ro']",
                "volumes: [{type: volume, source: v, target: /a/, read_only: true}]",
            ),
            ("volumes: ['/a']", "volumes: [{type: volume, target: /a}]"),
            (
                "volumes: ['v:/a:nocopy']",
                "volumes: [{type: volume, source: v, target: /a, volume: {nocopy: true}}]",
            ),
            ("networks: [n]", "networks: {n: }"),
            ("networks: [default]", "labels: []"),
            ("links: [db]", "links: ['db:db']"),
            ("depends_on: [db]", "depends_on: {db: {condition: service_started}}"),
            ("restart: 'no'", "restart: no"),
        ] {
            assert_eq!(with(short), with(long), "{short} | {long}");
        }
    }

    #[test]
    fn a_link_is_a_dependency() {
        let composition = with("links: ['db:database']");
        let waits_for = composition.services["web"].waits_for();
        assert_eq!(waits_for, [("db", Condition::Started)].into());
    }

    #[test]
    fn merge_keys_give_what_the_mapping_has_not() {
        let file = "x-a: &a {image: a, user: a, hostname: a}\n\
                    x-b: &b {image: b, user: b, working_dir: /b}\n\
                    services: {web: {image: own, <<: [*a, *b]}}\n";
        let composition = parse("compose.yml", file).unwrap();
        let web = &composition.services["web"];
        assert_eq!((web.image.as_str(), web.user.as_deref()), ("own", Some("a")));
        assert_eq!((web.hostname.as_deref(), web.working_dir.as_deref()), (Some("a"), Some("/b")));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,200}") {
            let _ = parse("compose.yml", &text);
        }

        #[test]
        fn no_damage_makes_it_panic(at in 0..FULL.len(), cut in 0..40_usize, put in "[\\PC\n\t]{0,5}") {
            let mut file: Vec<char> = FULL.chars().collect();
            let at = at.min(file.len());
            let end = (at + cut).min(file.len());
            file.splice(at..end, put.chars());
            let _ = parse("compose.yml", &file.into_iter().collect::<String>());
        }
    }
}
