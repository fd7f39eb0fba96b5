//! Compositions: from a compose file to containers, networks and volumes on an engine.

pub mod compose;

use crate::error::{Error, Result};

pub use compose::Composition;

/// Reads a compose file. [`Error::Invalid`] carries all that is wrong with it.
pub fn check(file_name: &str, text: &str) -> Result<Composition> {
    compose::parse(file_name, text).map_err(|problems| {
        let description = match problems.as_slice() {
            [problem] => format!("{file_name} cannot be deployed: {problem}"),
            problems => format!("{file_name} cannot be deployed: {} problems", problems.len()),
        };
        Error::Invalid { description, problems }
    })
}
