//! The parser on its own: it refuses with place and name, goes on, and holds on any input.
//!
//! That it understands what it accepts as Ruby and r10k do is shown in `tests/puppet.rs`, where
//! both are at hand.

use proptest::prelude::*;

use super::{Puppetfile, Source, Version, limits, parse};
use crate::error::Error;

/// The problems of a file, as `line:column message`.
fn problems(text: &str) -> Vec<String> {
    let (_, problems) = parse(text).unwrap();
    let line = |p: &crate::error::Problem| {
        format!("{}:{} {}", p.line.unwrap(), p.column.unwrap(), p.message)
    };
    problems.iter().map(line).collect()
}

fn accepted(text: &str) -> Puppetfile {
    assert_eq!(problems(text), Vec::<String>::new(), "{text}");
    parse(text).unwrap().0
}

/// The file has one problem, at this place, and it says this.
#[track_caller]
fn refused(text: &str, place: &str, words: &str) {
    let problems = problems(text);
    let [problem] = &problems[..] else { panic!("{text}: {problems:#?}") };
    assert!(problem.starts_with(&format!("{place} ")), "{text}: {problem}");
    assert!(problem.contains(words), "{text}: {problem}");
}

#[test]
fn names_and_versions() {
    let file = accepted("mod 'a/one', '1.2.3'\nmod 'b-two'\nmod 'c/three', '>= 1.0.0 <2.0.0'");
    let told: Vec<_> = file
        .modules
        .iter()
        .map(|module| {
            let Source::Forge(forge) = &module.source else { panic!("{module:?}") };
            (module.full_name(), forge.version.value.clone())
        })
        .collect();
    assert_eq!(
        told,
        [
            ("a/one".into(), Version::Exact("1.2.3".into())),
            ("b/two".into(), Version::Latest),
            ("c/three".into(), Version::Range(">= 1.0.0 <2.0.0".into())),
        ]
    );
    for range in ["4.x", "1", "1.2", "*", "~> 1.0", "^2.3.4", "1.0.0 - 2.0.0", ">=1 || 3.X.X"] {
        let file = accepted(&format!("mod 'a/b', '{range}'"));
        let Source::Forge(forge) = &file.modules[0].source else { panic!() };
        assert_eq!(forge.version.value, Version::Range(range.into()));
    }
    for bad in ["latest", "v1.0.0", "1.0.0.0", "01.0.0", "1.0.0-", "", "-", "a b"] {
        refused(&format!("mod 'a/b', '{bad}'"), "1:12", "is no version");
    }
    for bad in ["../x", "a/b/c", "", "/a", "a/", "a b", "é", "a/b\\n", "a--b"] {
        refused(&format!("mod '{bad}', local: true"), "1:5", "is no name of a module");
    }
}

#[test]
fn ruby_is_refused_by_its_name_and_place() {
    for (text, place, words) in [
        ("system('id')", "1:1", "`system` is a method call"),
        ("x = system 'id', 'y'", "1:5", "`system` is a method call"),
        ("`id`", "1:1", "backticks"),
        ("%x(id)", "1:1", "`%x`"),
        ("mod 'a/b', %x{id}", "1:12", "`%x`"),
        ("mod \"a/#{`id`}\"", "1:8", "`#{...}`"),
        ("mod \"a/#{\"#{\"}\"}\"}\"", "1:8", "`#{...}`"),
        ("mod \"a/#@b\"", "1:8", "`#{...}`"),
        ("eval 'x'", "1:1", "`eval`"),
        ("require 'json'", "1:1", "`require` loads"),
        ("Kernel.exec('id')", "1:1", "`Kernel.exec`"),
        ("v = ENV['X'] || 'y'", "1:5", "`ENV[...]`"),
        ("mod 'a/b', ENV.fetch('X') { |x| x }", "1:12", "`ENV.fetch`"),
        ("if true\n  mod 'a b'\nelse\n  while x do y end\nend", "1:1", "`if`"),
        ("mod 'a/b' if x.any? { |y| y }", "1:11", "`if`"),
        ("%w[a b].each do |m|\n  mod m\nend", "1:1", "`.each`"),
        ("[1, 2].each { |m|\n  mod m\n}", "1:1", "`.each`"),
        ("mod 'a/b' do\nend", "1:11", "a block (`do`)"),
        ("mod('a/b') { }", "1:12", "a block (`{`)"),
        ("def x\n  system('id')\nend", "1:1", "`def`"),
        ("mod 'a/b', 'x'.freeze", "1:15", "`.freeze`"),
        ("mod 'a/b', 'x' + 'y'", "1:16", "`+` is an operator"),
        ("mod 'a/b', x ? 'y' : 'z'", "1:12", "`x`"),
        ("mod 'a/b', X", "1:12", "`X` has no value"),
        ("mod *['a/b']", "1:5", "`*` before a value"),
        ("mod 'a/b', **{ a: 1 }", "1:12", "`**` before a value"),
        ("mod 'a/b', <<~END\n  mod 'c d'\nEND\n", "1:12", "a heredoc"),
        ("mod 'a/b', /x/", "1:12", "a regular expression"),
        ("mod 'a/b', 1.0", "1:12", "write it as a string, '1.0'"),
        ("mod 'a/b', 017", "1:12", "no whole number"),
        ("X ||= 1", "1:1", "`||=`"),
        ("a, b = 1, 2", "1:1", "several names"),
        ("$x = 1", "1:1", "a global variable"),
        ("end", "1:1", "`end`"),
        ("}", "1:1", "not with `}`"),
        ("mod 'a/b',\n", "1:10", "nothing follows this `,`"),
        ("mod 'a/b, '1.0.0'", "1:12", "missing before `1.0.0`"),
        ("mod 'a/b', '1.0.0\n", "1:12", "not closed on the line"),
        ("mod 'a/b', %w[a\n", "1:12", "not closed with `]`"),
        ("=begin\nmod 'a/b'", "1:1", "`=begin`"),
        ("mod 'a/b', \"\\u{110000}\"", "1:12", "no character of Unicode"),
        ("mod 'a/b', \"\\xff\"", "1:12", "not UTF-8"),
        ("mod 'a/b'\0", "1:10", "U+0000"),
        ("mod", "1:1", "has no name"),
        ("mod nil", "1:5", "is a string, not nil"),
        ("mod 'a/b', '1.0.0', git: 'https://h/x'", "1:21", "not both"),
        ("mod 'a/b', git: 'https://h/x', 'y'", "1:32", "come after all other"),
        ("moduledir", "1:1", "takes one string"),
        ("é = ü", "1:5", "`ü` has no value"),
    ] {
        refused(text, place, words);
    }
}

#[test]
fn every_problem_is_told_and_what_follows_is_still_read() {
    let text = "mod 'a b'\nsystem('x')\nmod('c/d', '1.0.0'\nmod 'e/f', [1,\n\
                mod 'g/h', v\nmod 'a/one'\nmod 'b/one'\nmoduledir '/etc'\n";
    let places: Vec<String> = problems(text)
        .iter()
        .map(|problem| problem.split(' ').next().unwrap().to_owned())
        .collect();
    assert_eq!(places, ["1:5", "2:1", "4:1", "5:1", "5:1", "5:12", "7:5", "8:11"]);
    assert!(problems(text)[6].ends_with("'one' is declared on line 6 already"));
}

#[test]
fn what_follows_from_a_problem_is_no_further_problem() {
    refused(
        "v = ENV['V']\nw = v\nmod \"a/#{w}\", v\nmod 'b', git: v, ref: \"x#{v}\"\nmod v",
        "1:5",
        "`ENV[...]`",
    );
}

#[test]
fn paths_stay_inside_and_outside_of_modules() {
    let file = accepted(
        "moduledir 'a/../b/./c/'\nmod 'x/one'\nmod 'x', git: 'https://h/x', install_path: ''",
    );
    assert_eq!(file.modules[0].path(), "b/c/one");
    assert_eq!(file.modules[1].path(), "x");
    for bad in ["/etc", "..", "a/../../b", "../env-evil", "a\\b", "modules.staging-x/y", "a\tb"] {
        let text = format!("mod 'x', local: true, install_path: '{bad}'");
        refused(&text, "1:37", &format!("`install_path` '{}", bad.replace('\t', "\u{fffd}")));
        assert!(!problems(&format!("moduledir '{bad}'")).is_empty());
    }
    let git = "git: 'https://h/x', ref: 'x'";
    let inside = format!("mod 'x', {git}\nmod 'y', {git}, install_path: 'modules/x/link'");
    refused(&inside, "2:54", "would be inside the module 'modules/x'");
    refused(&format!("mod 'modules', {git}, install_path: '.'\nmod 'a/y'"), "2:5", "inside");
}

#[test]
fn urls_and_references() {
    for good in [
        "https://h/x.git",
        "http://user:pass@h:80/x?y#z",
        "ssh://git@h.example:22/~/x",
        "git://[::1]:9418/x",
        "git@github.com:org/x.git",
        "host:x",
    ] {
        accepted(&format!("mod 'x', git: '{good}', ref: 'HEAD~1'"));
    }
    for bad in [
        "",
        "-x",
        "--upload-pack=id",
        "ext::sh -c id",
        "fd::17",
        "file:///etc",
        "/etc",
        "./x",
        "x",
        "C:/x",
        "ftp://h/x",
        "https://",
        "https://-h/x",
        "ssh://-oProxyCommand=id/x",
        "h:-x",
        "-h:x",
        "https://h x/",
        "https://h/\u{1}",
        "a@-h:x",
        "http:x:y",
        "javascript:x/y z",
    ] {
        let problems = problems(&format!("mod 'x', git: '{bad}', ref: 'x'"));
        let expected = bad != "http:x:y";
        assert_eq!(problems.len() == 1, expected, "{bad}: {problems:?}");
    }
    for bad in ["", "-x", "a b", "a\tb"] {
        refused(&format!("mod 'x', git: 'https://h/x', tag: '{bad}'"), "1:35", "the reference");
    }
    let secret = format!("{:?}", accepted("mod 'x', git: 'https://u:secret@h/x', ref: 'x'"));
    assert!(!secret.contains("secret") && secret.contains("https://***@h/x"), "{secret}");
}

#[test]
fn limits_hold() {
    let too_large = "#".repeat(limits::BYTES + 1);
    assert!(matches!(parse(&too_large), Err(Error::TooLarge(_))));
    let brackets = format!("mod 'a/b', {}", "[".repeat(1_000));
    assert!(problems(&brackets)[0].contains("16 brackets within each other"), "{brackets}");
    let closed = format!("mod 'a/b', {}{}", "[".repeat(1_000), "]".repeat(1_000));
    refused(&closed, "1:28", "16 brackets within each other");
    let modules: String = (0..10_000).map(|n| format!("mod 'a/m{n}'\n")).collect();
    refused(&modules, "1001:1", "more than 1000 modules");
    let names: String = (0..2_000).map(|n| format!("n{n} = 1\n")).collect();
    assert!(problems(&names)[0].contains("more than 1000 assignments"));
    let options: String = (0..60).map(|n| format!(", o{n}: 1")).collect();
    refused(&format!("mod 'x', local: true{options}"), "1:405", "more than 50 options");
    // A string that doubles on every line.
    let doubled: String =
        (1..40).map(|n| format!("s{n} = \"#{{s{}}}#{{s{}}}\"\n", n - 1, n - 1)).collect();
    refused(&format!("s0 = 'xxxxxxxxxxxxxxxx'\n{doubled}"), "9:6", "more than 2048 bytes");
    let bad = "mod 'a b'\n".repeat(10_000);
    assert_eq!(problems(&bad).len(), limits::PROBLEMS);
}

/// What costs a parser time or stack, if it is written without care.
#[test]
fn hostile_files_end() {
    let pieces = [
        "(",
        ")",
        "[",
        "{",
        "if\n",
        "end\n",
        "do ",
        "mod(",
        "mod 'a',",
        "<<A\n",
        "<<~A,",
        "%w[",
        "\"#{",
        "\"#{\"#{",
        "x=[",
        "{a: ",
        "a.",
        "mod 'x' if\n",
        "=begin\n",
        "\\\n",
        "'",
        ":\"",
        "?",
        "$",
        "@",
        "mod *",
        "a => ",
        "){",
        "[)",
        "while x do\n",
        "mod 'a/b', [[[[[[[[[[[[[[",
        "mod [],\n",
        "v='x'\n",
    ];
    for piece in pieces {
        let text = piece.repeat(100_000 / piece.len());
        let (_, problems) = parse(&text).unwrap();
        assert!(problems.len() <= 2 * limits::PROBLEMS, "{piece}");
    }
}

/// Fragments that Puppetfiles and attacks on them are made of.
const FRAGMENTS: [&str; 60] = [
    "mod ",
    "'a/b'",
    "\"x\"",
    ", ",
    "\n",
    "git: ",
    ":git => ",
    "ref: 'x'",
    "forge ",
    "moduledir ",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "=> ",
    "#{",
    "#",
    "\\",
    "'",
    "\"",
    "`",
    "%w[",
    "%q(",
    "%x{",
    "%",
    "if ",
    "end",
    "do ",
    "|x|",
    "x = ",
    "X",
    "x",
    ".",
    "::",
    ":",
    "=begin\n",
    "=end\n",
    "__END__\n",
    "<<~A\n",
    "A\n",
    "1.0",
    "12_3",
    "nil",
    "true",
    "ENV['X']",
    "?",
    ";",
    "\r\n",
    "\u{feff}",
    "é",
    "\u{1F600}",
    "\0",
    "\\u{",
    "\\x4",
    "=",
    "**",
    "/",
    " ",
];

macro_rules! accepted_files {
    ($($name:literal),*) => {
        [$(include_str!(concat!("../../../tests/fixtures/puppetfiles/accepted/", $name))),*]
    };
}

const CORPUS: [&str; 6] = accepted_files![
    "conflicts",
    "control-repo",
    "directories",
    "interpolation",
    "spellings",
    "wrapped"
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        parse(&text).unwrap();
    }

    #[test]
    fn any_fragments_are_read_or_refused(
        fragments in prop::collection::vec(prop::sample::select(&FRAGMENTS[..]), 0..60),
    ) {
        let text = fragments.concat();
        let lines = u32::try_from(text.lines().count()).unwrap() + 1;
        for problem in parse(&text).unwrap().1 {
            prop_assert!(problem.line.is_some_and(|line| line <= lines), "{text:?}: {problem}");
        }
    }

    #[test]
    fn any_change_of_a_good_file_is_read_or_refused(
        file in prop::sample::select(&CORPUS[..]),
        changes in prop::collection::vec(
            (any::<prop::sample::Index>(), 0..8_usize, prop::sample::select(&FRAGMENTS[..])),
            1..6,
        ),
    ) {
        let mut characters: Vec<char> = file.chars().collect();
        for (place, removed, added) in changes {
            let place = place.index(characters.len() + 1);
            let end = (place + removed).min(characters.len());
            characters.splice(place..end, added.chars());
        }
        parse(&characters.into_iter().collect::<String>()).unwrap();
    }
}
