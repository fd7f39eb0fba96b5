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

/// A CA that signed nothing.
pub fn other_ca() -> tempfile::NamedTempFile {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new([]).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), parameters.self_signed(&key).unwrap().pem()).unwrap();
    file
}
