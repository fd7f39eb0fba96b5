//! What was found while the statements were read, no more than an answer should have.

use super::{limits, position::Position};
use crate::error::Problem;

#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
}

impl Notes {
    pub(super) fn problem(&mut self, at: Position, message: impl Into<String>) {
        if !self.full() {
            self.problems.push(at.problem(message));
        }
    }

    pub(super) fn warning(&mut self, at: Position, message: impl Into<String>) {
        if self.warnings.len() < limits::PROBLEMS {
            self.warnings.push(at.problem(message));
        }
    }

    /// What a check lets through; what it refuses is a problem.
    pub(super) fn checked<T>(&mut self, at: Position, result: Result<T, String>) -> Option<T> {
        result.map_err(|message| self.problem(at, message)).ok()
    }

    /// There is no room for a further problem, and no use in one.
    pub(super) fn full(&self) -> bool {
        self.problems.len() >= limits::PROBLEMS
    }
}
