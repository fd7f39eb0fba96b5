//! What several tests need: where the rig's parts are, and a Crane of their own.

mod crane;
pub mod docker;
pub mod http;

pub use self::{
    crane::Crane,
    http::{Form, problems},
};

/// The address of one part of the rig, by its variable in the file that `install/rig up` prints.
///
/// A missing part fails the test and is named: nothing is skipped.
pub fn rig(name: &str) -> String {
    match std::env::var(name) {
        Ok(value) if !value.is_empty() => value,
        _ => panic!("{name} is not set: run install/test, or `install/rig up` and load its file"),
    }
}
