//! What an expression of the accepted language stands for.

use std::rc::Rc;

use super::position::Located;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Nil,
    Bool(bool),
    /// Decimal digits. No option takes a number, but a string may be put together from one.
    Number(String),
    Text(String),
    Symbol(String),
    /// No option takes an array, so its elements are read and not kept.
    Array,
    Hash(Rc<[Pair]>),
    /// What it is could not be told, and the problem that says why is noted already.
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) key: Located<Key>,
    pub(super) value: Located<Value>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key {
    Symbol(String),
    /// A key in quotes, which is not the symbol of that name to Ruby.
    Text(String),
}

impl Value {
    /// What it is called in a problem.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Nil => "nil",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::Symbol(_) => "a symbol",
            Self::Array => "an array",
            Self::Hash(_) => "a hash",
            Self::Unknown => "unknown",
        }
    }
}
