//! What goes wrong while modules are fetched, and whether trying again may help.

use std::{fmt, io};

/// Why a module could not be had. The words are for the user who sent the Puppetfile.
#[derive(Debug)]
pub(super) enum Fault {
    /// It stays so: no such thing, not allowed, too large, another checksum.
    Refused(String),
    /// The server does not answer, or says that it is at fault: the next try may do, or the cache.
    Away(String),
    /// Crane's own disk or memory. Never shown to a user.
    Own(io::Error),
}

pub(super) type Result<T> = std::result::Result<T, Fault>;

impl Fault {
    pub(super) fn refused(words: impl Into<String>) -> Self {
        Self::Refused(words.into())
    }

    pub(super) fn away(words: impl Into<String>) -> Self {
        Self::Away(words.into())
    }

    pub(super) fn is_away(&self) -> bool {
        matches!(self, Self::Away(_))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(words) | Self::Away(words) => f.write_str(words),
            Self::Own(error) => error.fmt(f),
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Own(error)
    }
}

/// What a server says, made fit for a log.
pub(super) fn said(words: &str) -> String {
    let words: String =
        words.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(500).collect();
    format!("the server says: {words}")
}
