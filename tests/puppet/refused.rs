//! One folder per kind of Puppetfile that is refused: the file, and the exact answer to it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crane::{error::Error, puppet};

/// What the attacks would make, if a word of them was run.
const MARK: &str = "/tmp/crane-puppetfile-attack";

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/puppetfiles/refused")
}

fn refused(name: &str) {
    let folder = fixtures().join(name);
    let text = fs::read_to_string(folder.join("Puppetfile")).unwrap();
    let Err(Error::Invalid { description, problems }) = puppet::check(&text) else {
        panic!("{name} was not refused");
    };
    let answer: String = problems.iter().map(|problem| format!("{problem}\n")).collect();
    assert_eq!(answer, fs::read_to_string(folder.join("answer")).unwrap(), "{name}");
    assert!(description.starts_with(&problems[0].to_string()), "{description}");
    assert!(!Path::new(MARK).exists(), "{name} was run");
}

macro_rules! refused {
    ($($test:ident: $folder:literal,)*) => {
        $(#[test] fn $test() { refused($folder); })*

        #[test]
        fn every_folder_is_tested() {
            assert_eq!(super::entries(&fixtures()), [$($folder),*]);
        }
    };
}

refused! {
    backticks: "backticks",
    block: "block",
    command_in_a_string: "command-in-a-string",
    computed_values: "computed-values",
    condition: "condition",
    control_branch: "control-branch",
    definition: "definition",
    duplicate_module: "duplicate-module",
    environment: "environment",
    eval: "eval",
    install_path_in_a_module: "install-path-in-a-module",
    install_path_outside: "install-path-outside",
    loops: "loop",
    missing_comma: "missing-comma",
    module_name: "module-name",
    moduledir_absolute: "moduledir-absolute",
    moduledir_outside: "moduledir-outside",
    no_source: "no-source",
    other_tools: "other-tools",
    percent_x: "percent-x",
    reference_option: "reference-option",
    require: "require",
    several: "several",
    system: "system",
    tarball: "tarball",
    two_ways_to_say_it: "two-ways-to-say-it",
    unclosed: "unclosed",
    url_file: "url-file",
    url_option: "url-option",
    url_program: "url-program",
    url_scheme: "url-scheme",
    version_range: "version-range",
}

#[test]
fn a_file_that_is_too_large_is_not_read() {
    for size in [2, 10] {
        let text = "# comment\n".repeat(size * 1024 * 1024 / 10);
        assert!(matches!(puppet::check(&text), Err(Error::TooLarge(_))));
    }
}

#[test]
fn ten_thousand_modules_and_a_thousand_brackets_are_one_problem_each() {
    let modules: String = (0..10_000).map(|n| format!("mod 'a/m{n}'\n")).collect();
    let error = puppet::check(&modules).unwrap_err();
    assert_eq!(super::problems(&error), ["puppetfile:1001:1: more than 1000 modules"]);
    let brackets = format!("x = {}{}", "[".repeat(1_000), "]".repeat(1_000));
    let error = puppet::check(&brackets).unwrap_err();
    let expected = "puppetfile:1:21: more than 16 brackets within each other";
    assert_eq!(super::problems(&error), [expected]);
}
