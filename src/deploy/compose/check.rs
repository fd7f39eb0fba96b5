//! What can be said only when the whole file has been read.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    keys::suggestion,
    model::{Composition, Port},
    networks,
    notes::{Kind, Notes, Place, Reference},
};

pub(super) fn check(composition: &Composition, notes: &mut Notes) {
    references(composition, notes);
    cycles(composition, notes);
    host_ports(notes);
    container_names(notes);
}

fn references(composition: &Composition, notes: &mut Notes) {
    let mut problems = Vec::new();
    for Reference { kind, to, place, .. } in &notes.references {
        let (what, names): (_, Vec<&str>) = match kind {
            Kind::Service => ("service", composition.services.keys().map(String::as_str).collect()),
            Kind::Network => ("network", composition.networks.keys().map(String::as_str).collect()),
            Kind::Volume => ("volume", composition.volumes.keys().map(String::as_str).collect()),
        };
        let implied = *kind == Kind::Network && to == networks::DEFAULT;
        if to.is_empty() || implied || names.contains(&to.as_str()) {
            continue;
        }
        let hint = match suggestion(to, names.into_iter()) {
            hint if hint.is_empty() && *kind != Kind::Service => {
                format!("; define it under `{what}s` at the top level")
            }
            hint => hint,
        };
        problems.push(place.problem(format!("the {what} '{to}' is not defined{hint}")));
    }
    problems.into_iter().for_each(|problem| notes.problem(problem));
}

/// Services that wait for each other would never start.
fn cycles(composition: &Composition, notes: &mut Notes) {
    let mut edges: BTreeMap<&str, Vec<(&str, &Place)>> = BTreeMap::new();
    for Reference { kind, from, to, place } in &notes.references {
        if *kind == Kind::Service && composition.services.contains_key(to) {
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
