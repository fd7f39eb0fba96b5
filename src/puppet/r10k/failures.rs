//! What went wrong, from what r10k prints, and which module of the user's file it is about.

use std::collections::HashMap;

use super::{
    super::puppetfile::{PATH, Position, Puppetfile, Source, Version, without_credentials},
    rendered::Rendered,
};
use crate::error::Problem;

/// The levels of r10k's lines, as in `ERROR -> ...`.
const LEVELS: [&str; 8] = ["DEBUG2", "DEBUG1", "DEBUG", "INFO", "NOTICE", "WARN", "ERROR", "FATAL"];

/// Said before what went wrong with one of several modules.
const CONCURRENT: &str = "Error during concurrent deploy of a module: ";

/// One problem for each error that r10k reports. Lines without a level belong to the error before
/// them, or, as `puppetfile check` prints them, are one.
pub(super) fn problems(
    lines: &[String],
    puppetfile: &Puppetfile,
    rendered: &Rendered,
) -> Vec<Problem> {
    let mut errors: Vec<Vec<&str>> = vec![Vec::new()];
    let mut in_error = true;
    for line in lines {
        match level(line) {
            Some(("ERROR" | "FATAL", text)) => {
                errors.push(vec![text.strip_prefix(CONCURRENT).unwrap_or(text)]);
                in_error = true;
            }
            Some(_) => in_error = false,
            None if in_error => errors.last_mut().into_iter().for_each(|error| error.push(line)),
            None => {}
        }
    }
    let places = places(puppetfile);
    let mut problems: Vec<Problem> = Vec::new();
    for error in errors.iter().filter(|error| error.iter().any(|line| !line.is_empty())) {
        let message = message(error);
        let problem = match place(error, &places, rendered) {
            Some(place) => place.problem(message),
            None => Problem::new(PATH, message),
        };
        // r10k repeats the first error when it gives up.
        if !problems.contains(&problem) {
            problems.push(problem);
        }
    }
    problems
}

fn level(line: &str) -> Option<(&str, &str)> {
    let (level, text) = line.split_once("-> ")?;
    let level = level.trim_end();
    LEVELS.contains(&level).then_some((level, text))
}

/// The words that say why: git's own where git failed, the cause where r10k wraps one.
fn message(error: &[&str]) -> String {
    let said = |line: &&&str| {
        ["fatal: ", "error: ", "remote: "].iter().any(|prefix| line.starts_with(prefix))
    };
    let by_git: Vec<&str> = error.iter().filter(said).copied().collect();
    if !by_git.is_empty() {
        return by_git.join("; ");
    }
    let cause = error.iter().position(|line| *line == "Original exception:");
    let words = cause.map_or(error, |cause| &error[cause + 1..]);
    words.iter().filter(|line| !line.is_empty()).copied().collect::<Vec<_>>().join(" ")
}

/// How r10k names a module in its errors, and where the user's file declares it.
fn places(puppetfile: &Puppetfile) -> HashMap<String, Position> {
    let mut places = HashMap::new();
    for module in &puppetfile.modules {
        let path = module.path();
        let mut names = vec![format!("'{}'", module.name), format!("{path}/.git"), path];
        let slug = module.full_name().replace('/', "-");
        match &module.source {
            Source::Forge(forge) => {
                if let Version::Exact(version) = &forge.version.value {
                    names.push(format!("{slug}-{version}"));
                }
                names.push(slug);
            }
            Source::Git(git) => names.push(without_credentials(git.url.value.as_str())),
            Source::Tarball(tarball) => {
                names.push(without_credentials(tarball.url.value.as_str()));
            }
            Source::Svn | Source::Local => {}
        }
        for name in names {
            places.entry(name).or_insert(module.at);
        }
    }
    places
}

fn place(
    error: &[&str],
    places: &HashMap<String, Position>,
    rendered: &Rendered,
) -> Option<Position> {
    let mut words = error.iter().flat_map(|line| line.split_whitespace());
    words.find_map(|word| {
        let word = word.trim_end_matches([',', '.', ':', ';']);
        places.get(word).copied().or_else(|| {
            // `Puppetfile:3:in ...`, as Ruby names a line of the file it was given.
            let line = word.strip_prefix("Puppetfile:")?.split(':').next()?;
            rendered.origin(line.parse().ok()?)
        })
    })
}
