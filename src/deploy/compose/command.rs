//! `command` and `entrypoint`.

use super::{item::Item, model::Service, notes::Notes, words};
use crate::error::Problem;

/// A list as it is, a string split as a shell splits it; None for null, which means the image's.
pub(super) fn command(item: &Item<'_>) -> Result<Option<Vec<String>>, Problem> {
    if item.is_null() {
        Ok(None)
    } else if item.is_sequence() {
        item.items()?.iter().map(Item::text).collect::<Result<_, _>>().map(Some)
    } else {
        words::split(&item.text()?).map(Some).map_err(|message| item.problem(message))
    }
}

/// An empty command says "not the image's", and the engine can only be told so together with an
/// entrypoint.
pub(super) fn check(service: &Service, entries: &[Item<'_>], notes: &mut Notes) {
    let empty = service.command.as_ref().is_some_and(Vec::is_empty);
    if empty
        && service.entrypoint.is_none()
        && let Some(item) = entries.iter().find(|entry| entry.key == "command")
    {
        notes.problem(item.problem(
            "an empty command without an `entrypoint` is not handled; leave the key out to run \
             the image's command",
        ));
    }
}
