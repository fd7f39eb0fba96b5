//! The error of an installation, from what went wrong with its modules.

use super::super::{fault::Fault, puppetfile::Module};
use crate::error::{Error, Problem};

/// One problem for each module, at the place where the Puppetfile declares it.
pub(super) fn all(faults: &[(&Module, Fault)]) -> Error {
    let problems: Vec<Problem> = faults
        .iter()
        .map(|(module, fault)| module.at.problem(format!("'{}': {fault}", module.name)))
        .collect();
    let description = match &problems[..] {
        [] => "the modules could not be installed".to_owned(),
        [only] => format!("the modules could not be installed: {only}"),
        [first, rest @ ..] => {
            format!("the modules could not be installed: {first} (and {} more)", rest.len())
        }
    };
    let error = Error::failed_with(description, problems);
    // What only did not answer may be there the next time.
    match faults.iter().all(|(_, fault)| fault.is_away()) {
        true => error.may_pass(None),
        false => error,
    }
}
