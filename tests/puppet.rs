//! Puppetfiles: what is refused and how, that what is accepted means what it means to Ruby and r10k,
//! and installations from real git and Forge servers, by Crane's own engine and by r10k in its
//! container.

mod attacks;
mod cli;
mod differential;
mod engine;
mod fuzzed;
mod generated;
mod oracle;
mod proxies;
mod refused;
mod repositories;
mod resolving;
mod sandboxed;
mod scripted;
mod ssh;
mod sshd;
mod trees;
mod world;

use std::path::Path;

use crane::error::Error;

/// The entries of a directory, sorted; none when there is no such directory.
fn entries(directory: &Path) -> Vec<String> {
    let read = std::fs::read_dir(directory).into_iter().flatten();
    let mut names: Vec<String> =
        read.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The problems of an error, as they are shown.
fn problems(error: &Error) -> Vec<String> {
    error.problems().iter().map(ToString::to_string).collect()
}
