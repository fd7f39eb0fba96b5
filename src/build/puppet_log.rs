//! Finds what Puppet calls errors in the output of a build's steps.
//!
//! `puppet apply` exits with 0 although resources failed, unless it is told otherwise, so a build
//! that succeeded may still have failed.

use std::collections::BTreeMap;

use super::dockerfile::Dockerfile;
use crate::{
    engine::{Seen, Step},
    error::Problem,
};

/// A run of Puppet that fails at every resource prints thousands; nobody reads more than these.
const PROBLEMS_MAX: usize = 100;

const ERROR: &str = "Error: ";

/// Puppet says this before it applies anything.
const COMPILED: &str = "Compiled catalog for ";

/// The errors in one build.
#[derive(Debug, Default)]
pub(super) struct Errors {
    /// By the step's number.
    steps: BTreeMap<u32, Output>,
    /// Steps that name Puppet and did not run in this build.
    pub(super) unseen: Vec<Step>,
}

#[derive(Debug)]
struct Output {
    instruction: String,
    is_puppets: bool,
    /// Puppet's words, each once.
    errors: Vec<String>,
}

impl Errors {
    /// Takes in what is seen of a step; lines are free of colour codes.
    pub(super) fn watch(&mut self, step: &Step, seen: Seen<'_>) {
        match seen {
            Seen::Line(line) => self.line(step, line),
            Seen::Cached if names_puppet(&step.instruction) => self.unseen.push(step.clone()),
            Seen::Cached => {}
        }
    }

    fn line(&mut self, step: &Step, line: &str) {
        let output = self.steps.entry(step.number).or_insert_with(|| Output {
            instruction: step.instruction.clone(),
            is_puppets: names_puppet(&step.instruction),
            errors: Vec::new(),
        });
        output.is_puppets |= line.contains(COMPILED);
        if let Some(error) = line.strip_prefix(ERROR)
            && output.errors.len() < PROBLEMS_MAX
            && !output.errors.iter().any(|known| known == error)
        {
            output.errors.push(error.to_owned());
        }
    }

    /// What Puppet reported, in the order of the steps. An error that names no place in the
    /// manifest is placed where the step is in the user's Dockerfile; without one, nowhere in the
    /// manifest.
    pub(super) fn problems(
        &self,
        manifest: Option<&str>,
        dockerfile: Option<&Dockerfile>,
    ) -> Vec<Problem> {
        let steps = self.steps.values().filter(|output| output.is_puppets);
        let errors =
            steps.flat_map(|output| output.errors.iter().map(move |error| (output, error)));
        let problem = |(output, error): (&Output, &String)| {
            let place = manifest.zip(place(error)).filter(|(name, place)| place.is_in(name));
            if let Some((name, place)) = place {
                let Place { line, column, .. } = place;
                return Problem { line, column, ..Problem::new(name, error) };
            }
            match (dockerfile, manifest) {
                (None, Some(name)) => Problem::new(name, error),
                (dockerfile, _) => {
                    let line = dockerfile.and_then(|file| file.line_of(&output.instruction));
                    Problem { line, ..Problem::new("Dockerfile", error) }
                }
            }
        };
        errors.map(problem).take(PROBLEMS_MAX).collect()
    }
}

/// Whether the command has the word `puppet`; `puppetlabs` and `puppet-agent` are others.
fn names_puppet(instruction: &str) -> bool {
    let keyword = instruction.split_whitespace().next();
    if !keyword.is_some_and(|keyword| keyword.eq_ignore_ascii_case("run")) {
        return false;
    }
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    instruction.split(|c| !part_of_word(c)).any(|word| word == "puppet")
}

/// Where Puppet saw the error.
struct Place<'a> {
    file: &'a str,
    line: Option<u32>,
    column: Option<u32>,
}

impl Place<'_> {
    /// Manifests of modules may have the same name as the user's.
    fn is_in(&self, manifest: &str) -> bool {
        self.file.rsplit('/').next() == Some(manifest) && !self.file.contains("/modules/")
    }
}

/// `(file: /x/y.pp, line: 3, column: 5)`, of which Puppet leaves out what it does not know.
fn place(error: &str) -> Option<Place<'_>> {
    let (_, rest) = error.rsplit_once("(file: ")?;
    let (inner, _) = rest.split_once(')')?;
    let mut fields = inner.split(", ");
    let mut place = Place { file: fields.next()?, line: None, column: None };
    for field in fields {
        match field.split_once(": ") {
            Some(("line", number)) => place.line = number.parse().ok(),
            Some(("column", number)) => place.column = number.parse().ok(),
            _ => {}
        }
    }
    Some(place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::dockerfile;

    fn step(number: u32, instruction: &str) -> Step {
        Step { number, instruction: instruction.into() }
    }

    fn all(lines: &[(&Step, &str)], dockerfile: Option<&str>) -> Vec<String> {
        let mut errors = Errors::default();
        for (step, line) in lines {
            errors.line(step, line);
        }
        let dockerfile = dockerfile.map(dockerfile::parse);
        let problems = errors.problems(Some("web.pp"), dockerfile.as_ref());
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn errors_count_where_puppet_runs() {
        let puppet = step(4, "RUN cd /x && /opt/puppetlabs/bin/puppet apply web.pp");
        let script = step(2, "RUN ./apply.sh");
        let other = step(3, "RUN make puppet-agent");
        let found = all(
            &[
                (&puppet, "Warning: Error: no"),
                (&puppet, "Error: no such package"),
                (&puppet, "Error: no such package"),
                (&script, "Error: before"),
                (&other, "Error: of make"),
                (&script, "Notice: Compiled catalog for host in environment production"),
                (&script, "Error: after"),
            ],
            Some(
                "FROM a\n\nRUN ./apply.sh\nRUN cd /x && \\\n /opt/puppetlabs/bin/puppet apply web.pp\n",
            ),
        );
        assert_eq!(
            found,
            ["Dockerfile:3: before", "Dockerfile:3: after", "Dockerfile:4: no such package"]
        );
    }

    #[test]
    fn errors_are_placed_in_the_manifest_that_the_user_sent() {
        let puppet = step(1, "RUN puppet apply");
        let place = |error: &str, dockerfile| all(&[(&puppet, error)], dockerfile).remove(0);
        let message = "a (file: /x/web.pp, line: 3, column: 5) on node b";
        assert_eq!(place(&format!("Error: {message}"), None), format!("web.pp:3:5: {message}"));
        let message = "a (file: /x/web.pp, line: 3)";
        assert_eq!(
            place(&format!("Error: {message}"), Some("FROM a")),
            format!("web.pp:3: {message}")
        );
        let message = "a (file: /x/modules/web/manifests/web.pp, line: 3)";
        assert_eq!(place(&format!("Error: {message}"), None), format!("web.pp: {message}"));
        assert_eq!(place("Error: a", Some("FROM a")), "Dockerfile: a");
    }
}
