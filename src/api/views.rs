//! What records look like to a caller: the same for all kinds.

use poem_openapi::{Enum, Object};

use super::error::ProblemView;
use crate::jobs::records::{Kind, Record, Status};

/// Where a resource stands.
#[derive(Debug, Clone, Copy, Enum)]
#[oai(rename_all = "lowercase")]
pub(super) enum State {
    /// A context, base or image that is being made.
    Building,
    /// A cluster whose engine is being asked.
    Joining,
    /// A composition that is being brought up.
    Providing,
    Finished,
    /// A cluster whose engine answers.
    Ready,
    Error,
    /// Stopped on demand; what it had made is removed.
    Cancelled,
    /// A composition that is being taken down.
    Removing,
    Deleted,
}

impl State {
    pub(super) fn of<T>(kind: Kind, record: &Record<T>) -> Self {
        match record.status {
            Status::Building => Self::Building,
            Status::Joining => Self::Joining,
            Status::Providing => Self::Providing,
            Status::Finished => Self::Finished,
            Status::Ready => Self::Ready,
            Status::Error => Self::Error,
            Status::Cancelled => Self::Cancelled,
            Status::Removing if kind == Kind::Composition => Self::Removing,
            Status::Removing => Self::Deleted,
        }
    }
}

/// The status of a record in an event.
pub(super) fn status(status: Status) -> String {
    serde_json::to_value(status)
        .ok()
        .and_then(|value| Some(value.as_str()?.to_owned()))
        .unwrap_or_default()
}

/// What events tell of resources.
pub(super) const STATUSES: [&str; 9] = [
    "building",
    "joining",
    "providing",
    "finished",
    "ready",
    "error",
    "cancelled",
    "removing",
    "deleted",
];

pub(super) fn is_status(text: &str) -> bool {
    STATUSES.contains(&text)
}

pub(super) fn problems<T>(record: &Record<T>) -> Vec<ProblemView> {
    record.problems.iter().cloned().map(Into::into).collect()
}

/// What every DELETE answers.
#[derive(Debug, Object)]
#[oai(example)]
pub(super) struct Deleted {
    /// The token, or the name of a base.
    token: String,
    status: State,
    description: String,
}

impl Deleted {
    pub(super) fn new(token: String) -> Self {
        Self { token, status: State::Deleted, description: "removed, with all that was its".into() }
    }
}

impl poem_openapi::types::Example for Deleted {
    fn example() -> Self {
        Self::new("CT2Q6aB0r9xK3mT7vWqLzE".into())
    }
}
