//! Values that are written as a mapping or as a list of `KEY=VALUE`.

use std::collections::BTreeMap;

use super::{item::Item, notes::Notes};
use crate::{error::Problem, model};

/// A service's environment. A name without a value would be read from the environment of whoever
/// runs Compose; a server's environment is nobody's business, so that is a problem.
pub(super) fn environment(item: &Item<'_>, notes: &mut Notes) -> BTreeMap<String, String> {
    read(item, notes, |item| {
        Err(item.problem(
            "this variable has no value, and Crane never reads its own environment for one; \
             write KEY=value, or KEY= for an empty value",
        ))
    })
}

/// Labels; one without a value is empty. Crane's own cannot be set: what carries them is removed
/// with the composition they name.
pub(super) fn labels(item: &Item<'_>, notes: &mut Notes) -> BTreeMap<String, String> {
    let labels = read(item, notes, |_| Ok(String::new()));
    if let Some(name) = labels.keys().find(|name| name.starts_with(model::LABEL_PREFIX)) {
        notes.problem(item.problem(format!("the label '{name}' is one of Crane's own")));
    }
    labels
}

/// Options of a driver: a mapping only.
pub(super) fn options(item: &Item<'_>, notes: &mut Notes) -> BTreeMap<String, String> {
    let entries = notes.take(item.entries());
    entries.iter().map(|entry| (entry.key.to_owned(), notes.take(entry.text()))).collect()
}

fn read(
    item: &Item<'_>,
    notes: &mut Notes,
    without_value: impl Fn(&Item<'_>) -> Result<String, Problem>,
) -> BTreeMap<String, String> {
    let mut pairs = BTreeMap::new();
    if item.is_sequence() {
        for item in notes.take(item.items()) {
            let text = notes.take(item.word());
            let (name, value) = match text.split_once('=') {
                Some((name, value)) => (name.to_owned(), Ok(value.to_owned())),
                None => (text.clone(), without_value(&item)),
            };
            if pairs.contains_key(&name) {
                notes.problem(item.problem(format!("'{name}' is given twice")));
            }
            let value = notes.take(value);
            insert(&item, notes, &mut pairs, name, value);
        }
    } else {
        for entry in notes.take(item.entries()) {
            let value = if entry.is_null() { without_value(&entry) } else { entry.text() };
            let value = notes.take(value);
            insert(&entry, notes, &mut pairs, entry.key.to_owned(), value);
        }
    }
    pairs
}

fn insert(
    item: &Item<'_>,
    notes: &mut Notes,
    pairs: &mut BTreeMap<String, String>,
    name: String,
    value: String,
) {
    if name.is_empty() || name.contains(['=', '\0']) {
        notes.problem(
            item.key_problem("a name is missing, or has a character that no name can have"),
        );
    }
    pairs.insert(name, value);
}
