//! What Crane must know of a Dockerfile: which images it is built from, and where each
//! instruction is. No I/O; the builder has the last word on everything else (Dockerfile
//! reference, <https://docs.docker.com/reference/dockerfile/>).

mod args;
mod images;
mod lines;

use std::ops::Range;

use self::images::Stages;
use crate::error::Problem;

/// The form field that holds it, for problems.
const FIELD: &str = "dockerfile";

const INSTRUCTIONS: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

#[derive(Debug, Default)]
pub(super) struct Dockerfile {
    instructions: Vec<Instruction>,
    /// Images that are named anywhere, in the order of the text; names of stages are none.
    pub(super) images: Vec<Image>,
    /// Which of `images` the last stage is built on; none: it is built from `scratch`.
    base: Option<usize>,
    /// Some instruction has a here-document.
    pub(super) heredocs: bool,
    pub(super) problems: Vec<Problem>,
    escape: char,
}

#[derive(Debug, PartialEq, Eq)]
struct Instruction {
    /// Of its first line, from 1.
    line: u32,
    /// On one line, with single spaces.
    text: String,
}

/// An image where the text names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Image {
    /// With variables replaced.
    pub(super) name: String,
    /// Bytes of the text that stand for the name.
    pub(super) span: Range<usize>,
    pub(super) line: u32,
    pub(super) column: u32,
}

/// Reads a whole Dockerfile; mistakes become `problems`.
pub(super) fn parse(text: &str) -> Dockerfile {
    let mut file = Dockerfile { escape: lines::escape(text), ..Dockerfile::default() };
    let mut stages = Stages::default();
    for line in lines::logical(text, file.escape) {
        file.heredocs |= line.heredocs;
        file.instructions.push(Instruction { line: line.number, text: line.joined() });
        let words = line.words();
        let Some((keyword, arguments)) = words.split_first() else { continue };
        let name = keyword.text.to_ascii_uppercase();
        let mut problem = |message: String| {
            let (line, column) = position(text, keyword.span.start);
            file.problems.push(Problem::new(FIELD, message).at(line, column));
        };
        if !INSTRUCTIONS.contains(&name.as_str()) {
            problem(format!(
                "unknown instruction '{}'; a line that goes on in the next one ends with '{}'",
                keyword.text, file.escape
            ));
            continue;
        }
        if arguments.is_empty() {
            problem(format!("{name} needs an argument"));
            continue;
        }
        if let Err(message) = stages.read(&name, arguments) {
            problem(message);
        }
    }
    if stages.is_empty() && file.problems.is_empty() {
        let message = match file.instructions.is_empty() {
            true => "the Dockerfile is empty; it begins with FROM and the name of an image",
            false => "the Dockerfile has no FROM; it begins with FROM and the name of an image",
        };
        file.problems.push(Problem::new(FIELD, message).at(1, 1));
    }
    file.base = stages.base();
    file.images = stages.into_images(|offset| position(text, offset));
    file
}

impl Dockerfile {
    /// The image that the result is built on.
    pub(super) fn base(&self) -> Option<&Image> {
        self.images.get(self.base?)
    }

    /// The line of the instruction that a builder prints so, if it can be told.
    pub(super) fn line_of(&self, printed: &str) -> Option<u32> {
        let printed = printed.split_whitespace().collect::<Vec<_>>().join(" ");
        let same = |instruction: &&Instruction| equal(&instruction.text, &printed);
        // Of an instruction with a here-document, a builder prints more than its first line.
        let begins = |instruction: &&Instruction| {
            let part = printed.get(..instruction.text.len());
            instruction.text.contains("<<")
                && part.is_some_and(|part| equal(&instruction.text, part))
        };
        let all = || self.instructions.iter();
        all().find(same).or_else(|| all().find(begins)).map(|instruction| instruction.line)
    }

    /// The text with other names for some of its images, on the same lines as before.
    pub(super) fn rename(&self, text: &str, name: impl Fn(&Image) -> Option<String>) -> String {
        let mut renamed = String::with_capacity(text.len());
        let mut done = 0;
        for image in &self.images {
            let Some(name) = name(image) else { continue };
            renamed.push_str(&text[done..image.span.start]);
            renamed.push_str(&name);
            for _ in text[image.span.clone()].matches('\n') {
                renamed.push(self.escape);
                renamed.push('\n');
            }
            done = image.span.end;
        }
        renamed.push_str(&text[done..]);
        renamed
    }
}

/// Builders print the keyword in upper case, whatever it was.
fn equal(instruction: &str, printed: &str) -> bool {
    match (instruction.split_once(' '), printed.split_once(' ')) {
        (Some((a, rest)), Some((b, more))) => a.eq_ignore_ascii_case(b) && rest == more,
        _ => instruction.eq_ignore_ascii_case(printed),
    }
}

/// Line and column of a byte, in characters from 1.
fn position(text: &str, offset: usize) -> (u32, u32) {
    let before = &text[..offset];
    let start = before.rfind('\n').map_or(0, |end| end + 1);
    let line = before.matches('\n').count() + 1;
    let column = before[start..].chars().count() + 1;
    (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        parse(text).images.into_iter().map(|image| image.name).collect()
    }

    fn problems(text: &str) -> Vec<String> {
        parse(text).problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn images_are_found_wherever_they_are_named() {
        let text = "ARG BASE=team/web VERSION=1\n\
            from --platform=$BUILDPLATFORM \"$BASE:${VERSION}\" AS Build\n\
            COPY --chown=a --from=group/tools /x /y\n\
            RUN --mount=type=cache,target=/c --mount=type=bind,from=other/data,target=/d \\\n  make\n\
            FROM build\n\
            COPY --from=BUILD /a /\n\
            COPY --from=0 /a /\n\
            RUN --mount=type=bind,from=build,target=/d make --from=no\n\
            FROM scratch\n\
            COPY --from=1 /a /\n";
        assert_eq!(names(text), ["team/web:1", "group/tools", "other/data"]);
        assert_eq!(problems(text), [""; 0]);
    }

    #[test]
    fn the_base_is_that_of_the_last_stage() {
        let base = |text: &str| parse(text).base().map(|image| image.name.clone());
        assert_eq!(base("FROM a AS x\nFROM b\nFROM x AS y\nFROM y").as_deref(), Some("a"));
        assert_eq!(base("FROM a\nFROM scratch"), None);
        assert_eq!(base("FROM a\nFROM $TARGETOS"), None);
    }

    #[test]
    fn names_are_replaced_in_their_places() {
        let text = "FROM  a\\\nb/c  AS d\nCOPY --from=x/y:1 /a /b\nFROM b\n";
        let file = parse(text);
        let renamed = file.rename(text, |image| {
            (image.name != "b").then(|| format!("registry/{}@sha256:0", image.name))
        });
        assert_eq!(
            renamed,
            "FROM  registry/ab/c@sha256:0\\\n  AS d\nCOPY --from=registry/x/y:1@sha256:0 /a /b\nFROM b\n"
        );
        assert_eq!((file.images[1].line, file.images[1].column), (3, 13));
        let again = parse(&renamed);
        assert_eq!(again.images[0].name, "registry/ab/c@sha256:0");
        assert_eq!(again.images[2].line, file.images[2].line);
    }

    #[test]
    fn printed_instructions_are_found_again() {
        let file = parse("FROM a\n\nrun  x  \\\n  && y\nRUN <<E\nz\nE\n");
        assert_eq!(file.line_of("RUN x   && y"), Some(3));
        assert_eq!(file.line_of("RUN <<E (z)"), Some(5));
        assert_eq!(file.line_of("RUN q"), None);
        assert!(file.heredocs);
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        for (text, expected) in [
            ("", "dockerfile:1:1: the Dockerfile is empty"),
            ("# nothing\n", "dockerfile:1:1: the Dockerfile is empty"),
            ("ARG x=1\n", "dockerfile:1:1: the Dockerfile has no FROM"),
            ("RUN true\n", "dockerfile:1:1: RUN comes before FROM; only ARG may"),
            ("FROM a\n  INSTALL x\n", "dockerfile:2:3: unknown instruction 'INSTALL'"),
            ("FROM a\n\nRUN\n", "dockerfile:3:1: RUN needs an argument"),
            ("FROM a b\n", "dockerfile:1:1: FROM takes one name"),
            ("FROM a AS\n", "dockerfile:1:1: FROM takes one name"),
            ("FROM $x\n", "dockerfile:1:1: '$x' is empty"),
        ] {
            let problems = problems(text);
            assert!(problems[0].starts_with(expected), "{text:?}: {problems:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(text in "(FROM |RUN |COPY |--from=|--mount=from=|<<E|E|,|[$]|\\{|\\}|\\\\|\n|\r|\"|\u{feff}|ä|#escape=`|`|.){0,40}") {
            let file = parse(&text);
            for image in &file.images {
                proptest::prop_assert!(text.get(image.span.clone()).is_some());
            }
            file.rename(&text, |_| Some("x".into()));
            file.line_of(&text);
        }
    }
}
