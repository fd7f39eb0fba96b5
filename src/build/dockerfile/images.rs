//! Which images the stages of a Dockerfile use.

use std::{collections::HashMap, ops::Range};

use super::{Image, args::Args, lines::Word};

/// The image without anything in it, which no registry has.
const SCRATCH: &str = "scratch";

/// Stages as they are read.
#[derive(Debug, Default)]
pub(super) struct Stages {
    args: Args,
    images: Vec<Found>,
    /// What each stage is built on: one of `images`, or none for `scratch` and for names that only
    /// the builder can tell.
    bases: Vec<Option<usize>>,
    /// By name in lower case.
    names: HashMap<String, usize>,
}

#[derive(Debug)]
struct Found {
    name: String,
    span: Range<usize>,
}

impl Stages {
    pub(super) fn is_empty(&self) -> bool {
        self.bases.is_empty()
    }

    /// Of the last stage.
    pub(super) fn base(&self) -> Option<usize> {
        *self.bases.last()?
    }

    pub(super) fn into_images(self, position: impl Fn(usize) -> (u32, u32)) -> Vec<Image> {
        let place = |Found { name, span }: Found| {
            let (line, column) = position(span.start);
            Image { name, span, line, column }
        };
        self.images.into_iter().map(place).collect()
    }

    /// Takes in one instruction; what is wrong with it is the error.
    pub(super) fn read(&mut self, keyword: &str, arguments: &[Word]) -> Result<(), String> {
        match keyword {
            "FROM" => return self.from(arguments),
            "ARG" if self.is_empty() => {
                arguments.iter().for_each(|argument| self.args.declare(&argument.text));
            }
            _ if self.is_empty() => {
                return Err(format!("{keyword} comes before FROM; only ARG may"));
            }
            "COPY" | "ADD" => {
                for flag in flags(arguments) {
                    if flag.text.starts_with("--from=") {
                        self.used(flag.part("--from=".len()..flag.text.len()));
                    }
                }
            }
            "RUN" => {
                for flag in flags(arguments) {
                    if flag.text.starts_with("--mount=") {
                        self.used(mount_source(flag));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn from(&mut self, arguments: &[Word]) -> Result<(), String> {
        let flags = flags(arguments).count();
        let (image, stage) = match &arguments[flags..] {
            [image] => (image, None),
            [image, keyword, stage] if keyword.text.eq_ignore_ascii_case("as") => {
                (image, Some(stage.text.to_lowercase()))
            }
            _ => {
                return Err("FROM takes one name of an image, or 'name AS stage'".into());
            }
        };
        let base = match self.args.expand(&image.text) {
            Some(name) if name.is_empty() => {
                return Err(format!(
                    "'{}' is empty: no ARG before the first FROM gives it a value",
                    image.text
                ));
            }
            Some(name) => self.resolve(name, image),
            None => None,
        };
        if let Some(stage) = stage {
            self.names.insert(stage, self.bases.len());
        }
        self.bases.push(base);
        Ok(())
    }

    /// The image behind a name, which may be an earlier stage's.
    fn resolve(&mut self, name: String, word: &Word) -> Option<usize> {
        if let Some(stage) = self.names.get(&name.to_lowercase()) {
            return self.bases.get(*stage).copied().flatten();
        }
        if name == SCRATCH {
            return None;
        }
        self.images.push(Found { name, span: word.span.clone() });
        Some(self.images.len() - 1)
    }

    /// A name from which files are taken: of a stage, its number, or an image.
    fn used(&mut self, word: Option<Word>) {
        let Some(word) = word else { return };
        let is_number = word.text.parse::<usize>().is_ok();
        if !is_number && let Some(name) = self.args.expand(&word.text).filter(|n| !n.is_empty()) {
            self.resolve(name, &word);
        }
    }
}

/// The options that come before an instruction's arguments.
fn flags(arguments: &[Word]) -> impl Iterator<Item = &Word> {
    arguments.iter().take_while(|word| word.text.starts_with("--"))
}

/// What comes after `from=` in `--mount=type=bind,from=name,...`.
fn mount_source(flag: &Word) -> Option<Word> {
    let mut start = "--mount=".len();
    for field in flag.text[start..].split(',') {
        if let Some(name) = field.strip_prefix("from=") {
            let end = start + field.len();
            return flag.part(end - name.len()..end);
        }
        start += field.len() + 1;
    }
    None
}
