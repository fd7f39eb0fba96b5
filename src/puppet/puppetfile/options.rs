//! The options of one `mod`: which are known, and which of two that mean the same counts.

use super::{
    model::Directory,
    notes::Notes,
    position::{Located, Position},
    refusal::shown,
    value::{Key, Pair, Value},
};

/// The options of one module, each taken out once.
pub(super) struct Options {
    /// In the order of the file.
    left: Vec<Taken>,
}

/// An option that was taken out.
#[derive(Debug, Clone)]
pub(super) struct Taken {
    pub(super) name: String,
    /// Where the option's name is written.
    pub(super) at: Position,
    pub(super) value: Located<Value>,
}

impl Options {
    pub(super) fn new(pairs: &[Pair], notes: &mut Notes) -> Self {
        let taken = |pair: &Pair| {
            let name = match &pair.key.value {
                Key::Symbol(name) => name.clone(),
                Key::Text(name) => {
                    let name = shown(name);
                    let message = format!("r10k does not see `'{name}' =>`: write `{name}:`");
                    notes.warning(pair.key.at, message);
                    name
                }
            };
            Taken { name, at: pair.key.at, value: pair.value.clone() }
        };
        Self { left: pairs.iter().map(taken).collect() }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.left.iter().find(|option| option.name == name).map(|option| &option.value.value)
    }

    fn take(&mut self, name: &str) -> Option<Taken> {
        let index = self.left.iter().position(|option| option.name == name)?;
        Some(self.left.remove(index))
    }

    /// The last of several options that mean the same, as r10k decides it; `nil` counts, and
    /// means none.
    pub(super) fn take_last(&mut self, names: &[&str], notes: &mut Notes) -> Option<Taken> {
        let mut last: Option<Taken> = None;
        self.left.retain(|option| {
            let one_of_them = names.contains(&option.name.as_str());
            if one_of_them {
                if let Some(before) = &last {
                    let (before, name) = (&before.name, &option.name);
                    let message = format!(
                        "`{before}` and `{name}` are given: only `{name}`, the last, counts"
                    );
                    notes.warning(option.at, message);
                }
                last = Some(option.clone());
            }
            !one_of_them
        });
        last.filter(|option| option.value.value != Value::Nil)
    }

    /// Takes an option out and leaves it at that.
    pub(super) fn ignore(&mut self, name: &str) {
        self.take(name);
    }

    pub(super) fn take_text(&mut self, name: &str, notes: &mut Notes) -> Option<Located<String>> {
        text(self.take(name)?, notes)
    }

    pub(super) fn take_directory(
        &mut self,
        name: &str,
        notes: &mut Notes,
    ) -> Option<Located<Directory>> {
        let path = self.take_text(name, notes)?;
        let directory = notes.checked(path.at, super::checks::directory(name, &path.value))?;
        Some(Located::new(directory, path.at))
    }

    pub(super) fn take_bool(&mut self, name: &str, notes: &mut Notes) -> Option<bool> {
        let option = self.take(name)?;
        match option.value.value {
            Value::Bool(value) => Some(value),
            Value::Nil | Value::Unknown => None,
            other => {
                let message = format!("`{name}` is true or false, not {}", other.kind());
                notes.problem(option.value.at, message);
                None
            }
        }
    }

    /// What is left is not known to the source. Tarballs are strict in r10k, the others warn.
    pub(super) fn unknown(self, source: &str, strict: bool, notes: &mut Notes) {
        for option in self.left {
            let name = shown(&option.name);
            let message = format!("`{name}` is no option of a {source} module");
            if strict {
                notes.problem(option.at, format!("{message}: remove it"));
            } else {
                notes.warning(option.at, format!("{message}, and is ignored"));
            }
        }
    }
}

/// The option's value as a string; a symbol is as good. None for `nil`, or with a problem.
pub(super) fn text(option: Taken, notes: &mut Notes) -> Option<Located<String>> {
    match option.value.value {
        Value::Text(text) | Value::Symbol(text) => Some(Located::new(text, option.value.at)),
        Value::Nil | Value::Unknown => None,
        other => {
            let message = format!("`{}` is a string, not {}", option.name, other.kind());
            notes.problem(option.value.at, message);
            None
        }
    }
}
