//! Typed access to a node of the tree; every refusal says where it is and what would be right.

use super::{
    dollar,
    notes::Place,
    scalar,
    tree::{Mark, Node, Value, item_path, key_path},
};
use crate::error::Problem;

/// A node and the path that leads to it.
#[derive(Debug, Clone)]
pub(super) struct Item<'a> {
    /// The key of this node in its mapping; empty for an item of a sequence.
    pub(super) key: &'a str,
    /// Where the key is, or the node itself where it has none.
    pub(super) key_mark: Mark,
    pub(super) path: String,
    pub(super) node: &'a Node,
}

impl<'a> Item<'a> {
    pub(super) fn root(node: &'a Node) -> Self {
        Self { key: "", key_mark: node.mark, path: String::new(), node }
    }

    pub(super) fn place(&self) -> Place {
        Place { path: self.path.clone(), mark: self.node.mark }
    }

    pub(super) fn problem(&self, message: impl Into<String>) -> Problem {
        self.node.mark.problem(&self.path, message)
    }

    /// A problem with the key rather than with its value.
    pub(super) fn key_problem(&self, message: impl Into<String>) -> Problem {
        self.key_mark.problem(&self.path, message)
    }

    pub(super) fn is_null(&self) -> bool {
        self.node.is_null()
    }

    pub(super) fn is_mapping(&self) -> bool {
        matches!(self.node.value, Value::Mapping(_))
    }

    pub(super) fn is_sequence(&self) -> bool {
        matches!(self.node.value, Value::Sequence(_))
    }

    /// The entries of a mapping; none for null, which Compose takes for an empty mapping.
    pub(super) fn entries(&self) -> Result<Vec<Self>, Problem> {
        match &self.node.value {
            Value::Mapping(entries) => Ok(entries
                .iter()
                .map(|entry| Self {
                    key: &entry.key,
                    key_mark: entry.mark,
                    path: key_path(&self.path, &entry.key),
                    node: &entry.node,
                })
                .collect()),
            _ if self.is_null() => Ok(Vec::new()),
            _ => {
                Err(self
                    .problem(format!("this has to be a mapping (`key: value`), {}", self.found())))
            }
        }
    }

    /// The items of a sequence; none for null.
    pub(super) fn items(&self) -> Result<Vec<Self>, Problem> {
        match &self.node.value {
            Value::Sequence(items) => Ok(items
                .iter()
                .enumerate()
                .map(|(index, node)| Self {
                    key: "",
                    key_mark: node.mark,
                    path: item_path(&self.path, index),
                    node,
                })
                .collect()),
            _ if self.is_null() => Ok(Vec::new()),
            _ => Err(self.problem(format!("this has to be a list (`- item`), {}", self.found()))),
        }
    }

    /// The text of a scalar that is not null. Numbers and booleans are written as Compose writes
    /// them (`0644` is 420), `$$` is a dollar sign.
    pub(super) fn text(&self) -> Result<String, Problem> {
        match &self.node.value {
            Value::Scalar { text, plain } if !self.is_null() => {
                let text = if *plain { scalar::canonical(text) } else { text.clone() };
                if text.contains('\0') {
                    return Err(self.problem("text cannot hold a NUL character"));
                }
                dollar::unescape(&text).map_err(|message| self.problem(message))
            }
            Value::Scalar { .. } => Err(self.problem("a value is missing here")),
            _ => Err(self.problem(format!("this has to be text, {}", self.found()))),
        }
    }

    /// As [`Item::text`], for places where an empty value would mean nothing.
    pub(super) fn word(&self) -> Result<String, Problem> {
        match self.text()? {
            text if text.is_empty() => Err(self.problem("a value is missing here")),
            text => Ok(text),
        }
    }

    pub(super) fn boolean(&self) -> Result<bool, Problem> {
        match self.text()?.as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            other => Err(self.problem(format!("this has to be true or false, not '{other}'"))),
        }
    }

    fn found(&self) -> &'static str {
        match &self.node.value {
            Value::Sequence(_) => "not a list",
            Value::Mapping(_) => "not a mapping",
            Value::Scalar { .. } if self.is_null() => "and is empty",
            Value::Scalar { .. } => "not a single value",
        }
    }
}
