//! The one domain error. It has no HTTP status: `api` translates it, in one place.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// One mistake in something a user sent: where it is and what would be right.
///
/// `line` and `column` count from 1, columns in characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The form field or file that holds the mistake, or the path of the key inside it.
    pub path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    pub message: String,
}

impl Problem {
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), line: None, column: None, message: message.into() }
    }

    #[must_use]
    pub fn at(mut self, line: u32, column: u32) -> Self {
        self.line = Some(line);
        self.column = Some(column);
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(column) = self.column {
            write!(f, ":{column}")?;
        }
        write!(f, ": {}", self.message)
    }
}

/// What went wrong may pass by itself, so that trying again is worth it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retry {
    /// The other side asked not to be tried again before.
    pub after: Option<Duration>,
}

impl Retry {
    /// Whether another server's answer may be another when the same is asked again: 408, 425 and
    /// 429, or a fault of the server's (RFC 9110, section 15.6), except for what it does not know
    /// how to do (RFC 8470, section 5.2; RFC 6585, section 4).
    pub fn may_help_after(status: u16) -> bool {
        matches!(status, 408 | 425 | 429 | 500 | 502..=504)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What the caller named does not exist, or no longer does.
    #[error("{0}")]
    NotFound(String),
    /// What the caller sent cannot be used; the problems say where and why.
    #[error("{description}")]
    Invalid { description: String, problems: Vec<Problem> },
    /// What the caller asks for contradicts what there is.
    #[error("{0}")]
    Conflict(String),
    /// Possible, but not now.
    #[error("{0}")]
    Busy(String),
    #[error("{0}")]
    TooLarge(String),
    /// A part that Crane needs (engine, registry, store, ...) does not answer as it should.
    #[error("{what}: {reason}")]
    Unavailable { what: &'static str, reason: String, retry: Option<Retry> },
    /// The work itself was done and failed: a build step, a container that does not start.
    #[error("{description}")]
    Failed { description: String, problems: Vec<Problem>, retry: Option<Retry> },
    /// A fault of Crane's own. The chain goes to the log, never to the caller.
    #[error("internal error")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    pub fn invalid(description: impl Into<String>) -> Self {
        Self::Invalid { description: description.into(), problems: Vec::new() }
    }

    /// One problem, which is also the description.
    pub fn problem(problem: Problem) -> Self {
        Self::Invalid { description: problem.to_string(), problems: vec![problem] }
    }

    pub fn failed(description: impl Into<String>) -> Self {
        Self::failed_with(description, Vec::new())
    }

    pub fn failed_with(description: impl Into<String>, problems: Vec<Problem>) -> Self {
        Self::Failed { description: description.into(), problems, retry: None }
    }

    /// Somebody has to do something about it before it makes sense to try again.
    pub fn unavailable(what: &'static str, reason: impl fmt::Display) -> Self {
        Self::Unavailable { what, reason: reason.to_string(), retry: None }
    }

    /// It may pass by itself: try again, though not before `after`.
    pub fn passing(what: &'static str, reason: impl fmt::Display, after: Option<Duration>) -> Self {
        Self::unavailable(what, reason).may_pass(after)
    }

    /// The same error, known to be one that may pass. Only what is unavailable or failed can.
    #[must_use]
    pub fn may_pass(mut self, after: Option<Duration>) -> Self {
        if let Self::Unavailable { retry, .. } | Self::Failed { retry, .. } = &mut self {
            *retry = Some(Retry { after });
        }
        self
    }

    /// Whether this may pass by itself, and when to try again at the earliest.
    pub fn retry(&self) -> Option<&Retry> {
        match self {
            Self::Unavailable { retry, .. } | Self::Failed { retry, .. } => retry.as_ref(),
            _ => None,
        }
    }

    pub fn internal(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(source.into())
    }

    /// A file of Crane's own that could not be written or read. A disk without room is for whoever
    /// runs Crane to mend, and told; all else is a fault of Crane's own.
    pub fn of_file(error: std::io::Error) -> Self {
        use std::io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        match error.kind() {
            StorageFull | QuotaExceeded | ReadOnlyFilesystem => Self::unavailable("disk", error),
            _ => Self::internal(error),
        }
    }

    /// The problems that go with this error, if it has any.
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Invalid { problems, .. } | Self::Failed { problems, .. } => problems,
            _ => &[],
        }
    }
}

/// The words of an error and of all its causes, in one line.
///
/// Libraries such as hyper put what matters ("connection refused") into the last cause.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !words.contains(&text) {
            words.push_str(": ");
            words.push_str(&text);
        }
        cause = error.source();
    }
    words
}
