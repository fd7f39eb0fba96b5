//! What can be said only when the whole file has been read.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    keys::suggestion,
    model::{Composition, Port},
    notes::{Kind, Notes, Place, Reference},
};

pub(super) fn check(composition: &Composition, notes: &mut Notes) {
    references(composition, notes);
    cycles(composition, notes);
    links(composition, notes);
    host_ports(notes);
    container_names(notes);
}

fn references(composition: &Composition, notes: &mut Notes) {
    let mut problems = Vec::new();
    for Reference { kind, to, place, .. } in &notes.references {
        let (what, is_defined) = match kind {
            Kind::Service | Kind::Link => ("service", composition.services.contains_key(to)),
            Kind::Network => ("network", composition.networks.contains_key(to)),
            Kind::Volume => ("volume", composition.volumes.contains_key(to)),
        };
        // What has no name was refused where it was read.
        if !is_defined && !to.is_empty() {
            problems.push((*kind, what, to.clone(), place.clone()));
        }
    }
    for (kind, what, to, place) in problems {
        if notes.is_full() {
            return;
        }
        let hint = match kind {
            Kind::Service | Kind::Link => suggestion(&to, composition.services.keys()),
            Kind::Network => suggestion(&to, composition.networks.keys()),
            Kind::Volume => suggestion(&to, composition.volumes.keys()),
        };
        let hint = match hint.is_empty() && what != "service" {
            true => format!("; define it under `{what}s` at the top level"),
            false => hint,
        };
        notes.problem(place.problem(format!("the {what} '{to}' is not defined{hint}")));
    }
}

/// Services that wait for each other would never start.
fn cycles(composition: &Composition, notes: &mut Notes) {
    let mut edges: BTreeMap<&str, Vec<(&str, &Place)>> = BTreeMap::new();
    for Reference { kind, from, to, place } in &notes.references {
        if matches!(kind, Kind::Service | Kind::Link) && composition.services.contains_key(to) {
            edges.entry(from).or_default().push((to, place));
        }
    }
    let mut problems = Vec::new();
    // Depth first and without recursion, as a chain may be as long as the file.
    let mut done = BTreeSet::new();
    for service in composition.services.keys().map(String::as_str) {
        if done.contains(service) {
            continue;
        }
        let mut path = vec![(service, 0)];
        let mut on_path = BTreeSet::from([service]);
        while let Some((service, next)) = path.last_mut() {
            let service = *service;
            let edge = edges.get(service).and_then(|edges| edges.get(*next));
            *next += 1;
            match edge {
                None => {
                    path.pop();
                    on_path.remove(service);
                    done.insert(service);
                }
                Some((to, place)) if on_path.contains(to) => {
                    let cycle = path.iter().map(|(passed, _)| *passed).skip_while(|it| it != to);
                    let cycle: Vec<&str> = cycle.chain([*to]).collect();
                    let cycle = cycle.join(" -> ");
                    let message = format!("these services wait for each other: {cycle}");
                    problems.push(place.problem(message));
                }
                Some((to, _)) if done.contains(to) => {}
                Some((to, _)) => {
                    path.push((to, 0));
                    on_path.insert(to);
                }
            }
        }
    }
    problems.into_iter().for_each(|problem| notes.problem(problem));
}

/// An alias is a name in the DNS of a network, so both services have to be on one.
fn links(composition: &Composition, notes: &mut Notes) {
    let mut problems = Vec::new();
    for Reference { kind, from, to, place } in &notes.references {
        let services = (composition.services.get(from), composition.services.get(to));
        let (Some(from), Some(linked)) = services else { continue };
        if *kind == Kind::Link
            && !from.networks.keys().any(|network| linked.networks.contains_key(network))
        {
            problems.push(place.problem(format!("this service shares no network with '{to}'")));
        }
    }
    problems.into_iter().for_each(|problem| notes.problem(problem));
}

/// Two services cannot have the same port of the host. Where the engine may choose among several,
/// it finds a free one itself.
fn host_ports(notes: &mut Notes) {
    let everywhere = |port: &Port| match port.host_ip.as_deref() {
        None | Some("0.0.0.0" | "::") => true,
        Some(_) => false,
    };
    let mut problems = Vec::new();
    let mut taken: BTreeMap<_, Vec<(&Port, &Place)>> = BTreeMap::new();
    for (port, place) in &notes.published {
        let Some((number, last)) = port.published else { continue };
        if number != last {
            continue;
        }
        let others = taken.entry((port.target.protocol, number)).or_default();
        let first = others.iter().find(|(other, _)| {
            other.host_ip == port.host_ip || everywhere(other) || everywhere(port)
        });
        match first {
            Some((_, first)) => problems.push(place.problem(format!(
                "port {number} of the host is taken by {} in line {} already",
                first.path, first.mark.line
            ))),
            None => others.push((port, place)),
        }
    }
    problems.into_iter().for_each(|problem| notes.problem(problem));
}

fn container_names(notes: &mut Notes) {
    let mut problems = Vec::new();
    let mut taken: BTreeMap<&str, &Place> = BTreeMap::new();
    for (name, place) in &notes.container_names {
        if let Some(first) = taken.get(name.as_str()) {
            let line = first.mark.line;
            let message = format!("the container name '{name}' is taken in line {line} already");
            problems.push(place.problem(message));
        }
        taken.entry(name).or_insert(place);
    }
    problems.into_iter().for_each(|problem| notes.problem(problem));
}
