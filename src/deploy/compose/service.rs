//! One service.

use super::{
    command,
    item::Item,
    keys,
    model::{Attachment, Condition, Link, Restart, Service},
    mounts, names, networks,
    notes::{Kind, Notes, Reference},
    pairs, ports, reference,
};
use crate::error::Problem;

/// Which of the two formats a file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// Services at the top level, the format of Compose before version 2.
    First,
    Specification,
}

pub(super) fn service(item: &Item<'_>, format: Format, notes: &mut Notes) -> Service {
    let name = item.key;
    let mut service = Service::default();
    notes.check(names::check_key(item, "service"));
    let entries = match item.entries() {
        Ok(entries) => entries,
        Err(problem) => {
            notes.problem(problem);
            return service;
        }
    };
    for entry in &entries {
        match entry.key {
            "image" => service.image = notes.take(image(entry)),
            "command" => service.command = notes.take(command::command(entry)),
            "entrypoint" => service.entrypoint = notes.take(command::command(entry)),
            "environment" => service.environment = pairs::environment(entry, notes),
            "ports" => service.ports = ports::ports(entry, notes),
            "expose" => service.expose = ports::expose(entry, notes),
            "links" => service.links = links(name, entry, notes),
            "depends_on" => depends_on(name, entry, &mut service, notes),
            "volumes" => service.volumes = mounts::mounts(name, entry, notes),
            "networks" => service.networks = networks::attachments(name, entry, notes),
            "restart" => service.restart = notes.take(restart(entry)),
            "labels" => service.labels = pairs::labels(entry, notes),
            "container_name" => {
                let container_name = notes.take(names::name(entry));
                notes.container_names.push((container_name.clone(), entry.place()));
                service.container_name = Some(container_name);
            }
            "hostname" => service.hostname = Some(notes.take(names::name(entry))),
            "user" => service.user = Some(notes.take(entry.word())),
            "working_dir" => service.working_dir = Some(notes.take(working_dir(entry))),
            "build" => notes.problem(entry.key_problem(
                "Crane does not build images in a composition yet; build it with \
                 POST /builder/images and name it here as `image: group/name`",
            )),
            _ if format == Format::First && keys::FIRST_FORMAT_SERVICE.has(entry.key) => {
                notes.refuse(&keys::FIRST_FORMAT_SERVICE, entry);
            }
            _ => notes.refuse(&keys::SERVICE, entry),
        }
    }
    let has = |key: &str| entries.iter().any(|entry| entry.key == key);
    if !has("image") && !has("build") {
        notes.problem(item.key_problem(format!("the service '{name}' names no `image`")));
    }
    if service.networks.is_empty() {
        service.networks.insert(networks::DEFAULT.to_owned(), Attachment::default());
    }
    command::check(&service, &entries, notes);
    service
}

fn image(item: &Item<'_>) -> Result<String, Problem> {
    let image = item.word()?;
    match reference::check(&image) {
        Ok(()) => Ok(image),
        Err(rule) => Err(item.problem(format!("'{image}' cannot name an image: {rule}"))),
    }
}

/// `SERVICE` or `SERVICE:ALIAS`.
fn links(service: &str, item: &Item<'_>, notes: &mut Notes) -> Vec<Link> {
    let mut links = Vec::new();
    for item in notes.take(item.items()) {
        let text = notes.take(item.word());
        let (to, alias) = text.split_once(':').unwrap_or((&text, &text));
        if let Err(rule) = names::check(alias) {
            notes.problem(item.problem(format!("'{alias}' cannot be an alias: {rule}")));
        }
        notes.references.push(reference(Kind::Link, service, to, &item));
        links.push(Link { service: to.to_owned(), alias: alias.to_owned() });
    }
    links
}

fn depends_on(name: &str, item: &Item<'_>, service: &mut Service, notes: &mut Notes) {
    if item.is_sequence() {
        for item in notes.take(item.items()) {
            let to = notes.take(item.word());
            notes.references.push(reference(Kind::Service, name, &to, &item));
            service.depends_on.insert(to, Condition::Started);
        }
        return;
    }
    for entry in notes.take(item.entries()) {
        let mut condition = None;
        for option in notes.take(entry.entries()) {
            match option.key {
                "condition" => condition = Some(notes.take(read_condition(&option).map(Some))),
                _ => notes.refuse(&keys::DEPENDENCY, &option),
            }
        }
        if condition.is_none() {
            notes.problem(entry.key_problem("a dependency in the long form needs a `condition`"));
        }
        let condition = condition.flatten().unwrap_or(Condition::Started);
        notes.references.push(reference(Kind::Service, name, entry.key, &entry));
        service.depends_on.insert(entry.key.to_owned(), condition);
    }
}

fn read_condition(item: &Item<'_>) -> Result<Condition, Problem> {
    match item.word()?.as_str() {
        "service_started" => Ok(Condition::Started),
        "service_healthy" => Ok(Condition::Healthy),
        "service_completed_successfully" => Ok(Condition::CompletedSuccessfully),
        other => Err(item.problem(format!(
            "a condition is service_started, service_healthy or service_completed_successfully, \
             not '{other}'"
        ))),
    }
}

fn reference(kind: Kind, from: &str, to: &str, item: &Item<'_>) -> Reference {
    Reference { kind, from: from.to_owned(), to: to.to_owned(), place: item.place() }
}

fn restart(item: &Item<'_>) -> Result<Restart, Problem> {
    let text = item.word()?;
    match text.as_str() {
        "no" => return Ok(Restart::No),
        "always" => return Ok(Restart::Always),
        "unless-stopped" => return Ok(Restart::UnlessStopped),
        "on-failure" => return Ok(Restart::OnFailure(None)),
        _ => {}
    }
    let retries = text.strip_prefix("on-failure:").and_then(|retries| retries.parse().ok());
    match retries {
        Some(retries) => Ok(Restart::OnFailure(Some(retries))),
        None => Err(item.problem(format!(
            "restart is \"no\", always, unless-stopped, on-failure or on-failure:5, not '{text}'"
        ))),
    }
}

fn working_dir(item: &Item<'_>) -> Result<String, Problem> {
    match item.word()? {
        path if path.starts_with('/') => Ok(path),
        path => Err(item.problem(format!("'{path}' is not an absolute path"))),
    }
}
