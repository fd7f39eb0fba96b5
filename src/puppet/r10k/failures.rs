//! What went wrong, from what r10k prints, and which module of the user's file it is about.

use std::collections::HashMap;

use super::{
    super::puppetfile::{PATH, Position, Puppetfile, Source, Version, without_credentials},
    passing,
};
use crate::error::Problem;

/// The levels of r10k's lines, as in `ERROR -> ...`.
const LEVELS: [&str; 8] = ["DEBUG2", "DEBUG1", "DEBUG", "INFO", "NOTICE", "WARN", "ERROR", "FATAL"];

/// Said before what went wrong with one of several modules.
const CONCURRENT: &str = "Error during concurrent deploy of a module: ";

/// One problem for each error that r10k reports. Lines without a level belong to the error before
/// them; where there is none before them they are one, as `puppetfile check` prints it.
///
/// `puppetfile` is as much of the file as is plainly declared; r10k may know more of it.
pub(super) fn problems(lines: &[String], puppetfile: &Puppetfile) -> Vec<Problem> {
    let places = places(puppetfile);
    let mut problems: Vec<Problem> = Vec::new();
    for error in errors(lines) {
        let message = message(&error);
        let problem = match place(&error, &places) {
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

/// Whether it is worth trying again: nothing but networks and servers failed that may be well the
/// next time.
pub(super) fn may_pass(lines: &[String]) -> bool {
    let errors = errors(lines);
    !errors.is_empty() && errors.iter().all(|error| passing::says_passing(error))
}

/// The lines of each error that r10k reports.
fn errors(lines: &[String]) -> Vec<Vec<&str>> {
    let mut error: Vec<&str> = Vec::new();
    let mut errors = Vec::new();
    for line in lines {
        match level(line) {
            Some(("ERROR" | "FATAL", text)) => {
                let text = text.strip_prefix(CONCURRENT).unwrap_or(text);
                errors.push(std::mem::replace(&mut error, vec![text]));
            }
            Some(_) => errors.push(std::mem::take(&mut error)),
            None => error.push(line),
        }
    }
    errors.push(error);
    errors.retain(|error| error.iter().any(|line| !line.is_empty()));
    errors
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

fn place(error: &[&str], places: &HashMap<String, Position>) -> Option<Position> {
    let mut words = error.iter().flat_map(|line| line.split_whitespace());
    words.find_map(|word| {
        let word = word.trim_end_matches([',', '.', ':', ';']);
        places.get(word).copied().or_else(|| {
            // `Puppetfile:3:in ...`, as Ruby names a line; it knows no columns.
            let line = word.strip_prefix("Puppetfile:")?.split(':').next()?;
            Some(Position { line: line.parse().ok()?, column: 1 })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is made of lines that r10k 3.15.4 printed, of modules that are on lines 1, 2, 3 and 5.
    fn told(printed: &str) -> Vec<String> {
        let text = "mod 'one', git: 'http://u:secret@127.0.0.1:9420/none.git', ref: 'x'\n\
                    mod 'two', git: 'http://127.0.0.1:1/none.git', ref: 'x'\n\
                    mod 'puppetlabs/stdlib', '99.0.0'\n\
                    moduledir 'site'\n\
                    mod 'none/none'";
        let puppetfile = crate::puppet::check(text).unwrap();
        let lines: Vec<String> = printed.lines().map(|line| line.trim().to_owned()).collect();
        let problems = problems(&lines, &puppetfile);
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_failure_is_told_once_at_its_module() {
        let printed = "\
            INFO  -> Using Puppetfile 'Puppetfile'
            INFO  -> Deploying module to modules/one
            ERROR  -> Error during concurrent deploy of a module: Command exited with non-zero exit code:
            Command: git clone --mirror http://127.0.0.1:1/none.git cache/http---127.0.0.1-1-none.git
            Stderr:
            Cloning into bare repository 'cache/http---127.0.0.1-1-none.git'...
            fatal: unable to access 'http://127.0.0.1:1/none.git/': Failed to connect
            Exit code: 128
            INFO  -> Deploying module to modules/two
            ERROR  -> Error during concurrent deploy of a module: Command exited with non-zero exit code:
            Command: git clone --mirror http://***@127.0.0.1:9420/none.git cache/x
            Stderr:
            remote: no such repository
            fatal: repository 'http://127.0.0.1:9420/none.git/' not found
            Exit code: 128
            ERROR  -> Error during concurrent deploy of a module: The module release puppetlabs-stdlib-99.0.0 does not exist on http://127.0.0.1:9421/.
            ERROR  -> Error during concurrent deploy of a module: The module none-none does not exist on http://127.0.0.1:9421/.
            ERROR  -> Error during concurrent deploy of a module: Unable to manage Puppetfile content 'one': Could not resolve desired ref 'x' and no default provided
            ERROR  -> Error during concurrent deploy of a module: Unexpected response code 404: #<Net::HTTPNotFound:0x00007f>
            ERROR  -> Command exited with non-zero exit code:
            Command: git clone --mirror http://127.0.0.1:1/none.git cache/http---127.0.0.1-1-none.git
            Stderr:
            fatal: unable to access 'http://127.0.0.1:1/none.git/': Failed to connect
            Exit code: 128";
        assert_eq!(
            told(printed),
            [
                "puppetfile:2:5: fatal: unable to access 'http://127.0.0.1:1/none.git/': Failed to \
                 connect",
                "puppetfile:1:5: remote: no such repository; fatal: repository \
                 'http://127.0.0.1:9420/none.git/' not found",
                "puppetfile:3:5: The module release puppetlabs-stdlib-99.0.0 does not exist on \
                 http://127.0.0.1:9421/.",
                "puppetfile:5:5: The module none-none does not exist on http://127.0.0.1:9421/.",
                "puppetfile:1:5: Unable to manage Puppetfile content 'one': Could not resolve \
                 desired ref 'x' and no default provided",
                "puppetfile: Unexpected response code 404: #<Net::HTTPNotFound:0x00007f>",
            ]
        );
    }

    #[test]
    fn what_a_check_prints_is_one_problem() {
        let printed = "\
            WARN  -> Cannot track control repo branch for content 'two' when not part of a git-backed environment
            Failed to evaluate Puppetfile
            Original exception:
            Puppetfile:5:in `evaluate': something is wrong
            with it";
        let expected = "puppetfile:5:1: Puppetfile:5:in `evaluate': something is wrong with it";
        assert_eq!(told(printed), [expected]);
        assert_eq!(told("Syntax OK"), ["puppetfile: Syntax OK"]);
        assert_eq!(told(""), Vec::<String>::new());
    }
}
