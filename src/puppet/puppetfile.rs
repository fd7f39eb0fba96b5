//! Reads a Puppetfile: Ruby to r10k, which runs it, and plain data here.
//!
//! What is accepted is the declarative language that people write: the calls `mod`, `forge`,
//! `moduledir` (and librarian-puppet's `metadata` and `exclusion`), literals, assignments of
//! literals to names, and `#{name}` for those names in strings. Anything else is a problem with
//! its line, its column, its name and the way out. All problems of the file come in one answer.
//!
//! No file in here does I/O. The way of the text is [`lexer`] (tokens), [`parser`] (calls with
//! their arguments), [`module`] (what a call means), and [`whole`] (what holds between modules).

mod checks;
mod cursor;
mod expression;
mod lexer;
mod limits;
mod model;
mod module;
mod notes;
mod options;
mod parser;
mod partners;
mod position;
mod quotes;
mod refusal;
mod token;
mod value;
mod whole;

#[cfg(test)]
mod tests;

pub(super) use self::{
    checks::{STAGING_PREFIX, module_name},
    model::without_credentials,
    position::PATH,
    refusal::{SUBVERSION, is_for_r10k},
};
pub use self::{
    model::{
        Directory, Forge, Git, Module, Puppetfile, Reference, ReferenceKind, ReferenceName, Source,
        Tarball, Url, Version,
    },
    position::{Located, Position},
};
use self::{notes::Notes, parser::Parser};
use crate::error::{Error, Problem, Result};

/// Everything that the file says, and everything that is wrong with it, in the order of the lines.
///
/// An error, [`Error::TooLarge`], only for a file that is too large to be read at all.
pub(super) fn parse(text: &str) -> Result<(Puppetfile, Vec<Problem>)> {
    if text.len() > limits::BYTES {
        return Err(Error::TooLarge(format!(
            "the Puppetfile has {} bytes, and at most {} are read",
            text.len(),
            limits::BYTES
        )));
    }
    let mut parser = Parser::new(lexer::tokens(text));
    let mut notes = Notes::default();
    let mut reader = whole::Reader::default();
    while let Some(call) = parser.call() {
        reader.read(call, &mut notes);
        if notes.full() {
            break;
        }
    }
    let mut puppetfile = reader.finish(&mut notes);
    puppetfile.warnings = parser.warnings;
    puppetfile.warnings.append(&mut notes.warnings);
    let mut problems = parser.problems;
    problems.append(&mut notes.problems);
    in_order(&mut puppetfile.warnings);
    in_order(&mut problems);
    Ok((puppetfile, problems))
}

/// Sorts problems by their place in the file.
pub(super) fn in_order(problems: &mut [Problem]) {
    problems.sort_by_key(|problem| (problem.line, problem.column));
}
