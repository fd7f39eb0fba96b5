//! What reading a file yields besides its values: problems, and what has to be compared once the
//! whole file is known.

use super::{item::Item, keys::Keys, model::Port, tree::Mark};
use crate::error::Problem;

/// Nobody mends more in one go; the answer stays small, and a file of nothing but mistakes costs
/// no more than another one.
const PROBLEMS_MAX: usize = 100;

/// In characters. The longest message without a quotation has some 200.
const TEXT_MAX: usize = 400;

#[derive(Debug, Default)]
pub(super) struct Notes {
    problems: Vec<Problem>,
    /// Names that a service uses and something else has to define.
    pub(super) references: Vec<Reference>,
    /// Ports of the host that services take, and where the file says so.
    pub(super) published: Vec<(Port, Place)>,
    /// Names that services give to their containers.
    pub(super) container_names: Vec<(String, Place)>,
    /// How many ports the file has named, published or not.
    pub(super) ports: usize,
}

/// A place in the file that a later problem may be about.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) path: String,
    pub(super) mark: Mark,
}

#[derive(Debug)]
pub(super) struct Reference {
    pub(super) kind: Kind,
    /// The service that refers.
    pub(super) from: String,
    pub(super) to: String,
    pub(super) place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Service,
    /// A service again, under a name of its own.
    Link,
    Network,
    Volume,
}

impl Place {
    pub(super) fn problem(&self, message: impl Into<String>) -> Problem {
        self.mark.problem(&self.path, message)
    }
}

impl Notes {
    pub(super) fn problem(&mut self, mut problem: Problem) {
        if !self.is_full() {
            problem.path = shown(&problem.path);
            problem.message = shown(&problem.message);
            self.problems.push(problem);
        }
    }

    /// No more problems are taken.
    pub(super) fn is_full(&self) -> bool {
        self.problems.len() >= PROBLEMS_MAX
    }

    /// The value, or its default after its problem is noted: reading goes on either way, so that
    /// one answer has all problems of the file.
    pub(super) fn take<T: Default>(&mut self, result: Result<T, Problem>) -> T {
        result.unwrap_or_else(|problem| {
            self.problem(problem);
            T::default()
        })
    }

    pub(super) fn check(&mut self, result: Result<(), Problem>) {
        if let Err(problem) = result {
            self.problem(problem);
        }
    }

    /// Says of a key that it is not handled.
    pub(super) fn refuse(&mut self, keys: &Keys, item: &Item<'_>) {
        if !self.is_full()
            && let Some(problem) = keys.refuse(item)
        {
            self.problem(problem);
        }
    }

    /// The problems, in the order of the file.
    pub(super) fn into_problems(mut self) -> Vec<Problem> {
        self.problems.sort_by_key(|problem| (problem.line, problem.column));
        self.problems
    }

    pub(super) fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Problems quote the file, which may hold anything at any length.
fn shown(text: &str) -> String {
    let visible = |character: char| if character.is_control() { '\u{fffd}' } else { character };
    match text.char_indices().nth(TEXT_MAX) {
        Some((end, _)) => text[..end].chars().map(visible).chain("...".chars()).collect(),
        None => text.chars().map(visible).collect(),
    }
}
