//! `external`: a network or volume that is there already.

use super::{item::Item, keys, names, notes::Notes};

pub(super) struct External {
    pub(super) is_external: bool,
    /// The name in the old spelling, `external: {name: x}`.
    pub(super) name: Option<String>,
}

pub(super) fn external(item: &Item<'_>, notes: &mut Notes) -> External {
    if !item.is_mapping() {
        return External { is_external: notes.take(item.boolean()), name: None };
    }
    let mut name = None;
    for entry in notes.take(item.entries()) {
        match entry.key {
            "name" => name = Some(notes.take(names::name(&entry))),
            _ => notes.refuse(&keys::EXTERNAL, &entry),
        }
    }
    External { is_external: true, name }
}

/// What is there already cannot be given settings.
pub(super) fn check(entries: &[Item<'_>], notes: &mut Notes) {
    for entry in entries {
        if matches!(entry.key, "driver" | "driver_opts" | "internal" | "labels") {
            let message = format!("'{}' says nothing about what is external", entry.key);
            notes.problem(entry.key_problem(message));
        }
    }
}
