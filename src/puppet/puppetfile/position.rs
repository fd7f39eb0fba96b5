//! Places in the file.

use crate::error::Problem;

/// What problems of a Puppetfile name as their path: the form field it was posted in.
pub(crate) const PATH: &str = "puppetfile";

/// Line and column count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    pub line: u32,
    pub column: u32,
}

impl Position {
    pub(crate) const START: Self = Self { line: 1, column: 1 };

    /// What is wrong here.
    pub(crate) fn problem(self, message: impl Into<String>) -> Problem {
        Problem::new(PATH, message).at(self.line, self.column)
    }
}

/// A value and the place it is written at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located<T> {
    pub value: T,
    pub at: Position,
}

impl<T> Located<T> {
    pub(crate) fn new(value: T, at: Position) -> Self {
        Self { value, at }
    }
}
