//! What Crane accepts means to it what it means to Ruby and r10k, which run the same files here:
//! the files of the corpus, and many that are put together at random.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crane::puppet::{self, Puppetfile, ReferenceName, Source, Version};
use proptest::{
    prelude::*,
    strategy::{Just, ValueTree},
    test_runner::TestRunner,
};
use serde_json::{Value, json};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/puppetfiles")
}

/// What r10k makes of each file.
fn r10k(files: &[PathBuf]) -> Vec<Value> {
    let home = tempfile::tempdir().unwrap();
    let output = Command::new("ruby")
        .arg("-W0")
        .arg(fixtures().join("oracle.rb"))
        .args(files)
        .env("HOME", home.path())
        .env("LANG", "C.UTF-8")
        .output()
        .expect("ruby and r10k are installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), files.len());
    lines
}

/// What Crane makes of a file, in the words of `oracle.rb`.
fn crane(file: &Puppetfile) -> Value {
    let modules: Vec<Value> = file.modules.iter().map(module).collect();
    json!({ "forge": file.forge.as_ref().map(|forge| &forge.value), "modules": modules })
}

fn module(module: &puppet::Module) -> Value {
    let (kind, settings) = match &module.source {
        Source::Forge(forge) => {
            let version = match &forge.version.value {
                Version::Latest => ":latest",
                Version::Exact(version) | Version::Range(version) => version,
            };
            ("Forge", json!({ "expected_version": version }))
        }
        Source::Git(git) => {
            let reference = match git.reference.as_ref().map(|reference| &reference.value.name) {
                None => "master",
                Some(ReferenceName::Named(name)) => name,
                Some(ReferenceName::ControlBranch) => ":control_branch",
            };
            let settings = json!({
                "remote": git.url.value.as_str(),
                "desired_ref": reference,
                "default_ref": git.default_branch,
                "default_override_ref": git.default_branch_override,
            });
            ("Git", settings)
        }
        Source::Tarball(tarball) => {
            let settings =
                json!({ "source": tarball.url.value.as_str(), "checksum": tarball.sha256 });
            ("Tarball", settings)
        }
        Source::Local => ("Local", json!({})),
        Source::Svn => panic!("{module:?} was not refused"),
    };
    let mut told = json!({
        "kind": kind,
        "owner": module.owner,
        "name": module.name,
        "directory": module.parent().as_str(),
        "exclude_spec": module.exclude_spec.unwrap_or(false),
    });
    told.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    told
}

fn agree(files: &[PathBuf]) {
    for (file, expected) in files.iter().zip(r10k(files)) {
        let text = fs::read_to_string(file).unwrap();
        match puppet::check(&text) {
            Ok(parsed) => assert_eq!(crane(&parsed), expected, "{}:\n{text}", file.display()),
            Err(error) => panic!("{error}: {}:\n{text}", file.display()),
        }
    }
}

#[test]
fn the_corpus_means_what_it_means_to_r10k() {
    let accepted = fixtures().join("accepted");
    let files: Vec<PathBuf> =
        super::entries(&accepted).iter().map(|name| accepted.join(name)).collect();
    assert!(files.len() >= 9);
    agree(&files);
}

/// What `oracle.rb` says of the files with these texts.
fn written(texts: &[String]) -> (tempfile::TempDir, Vec<PathBuf>) {
    let directory = tempfile::tempdir().unwrap();
    let write = |(number, text): (usize, &String)| {
        let file = directory.path().join(number.to_string());
        fs::write(&file, text).unwrap();
        file
    };
    let files = texts.iter().enumerate().map(write).collect();
    (directory, files)
}

fn sample<T: std::fmt::Debug>(strategy: impl Strategy<Value = T>, count: usize) -> Vec<T> {
    let mut runner = TestRunner::deterministic();
    (0..count).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

/// White space that may stand after a comma.
fn space() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        " ",
        "",
        "\n",
        "\n  ",
        " # why: 'so'\n\n ",
        "\t",
        " \\\n",
        "\r\n  ",
        "\n=begin\nno, 'x'\n=end\n",
    ])
}

/// One of the ways to write a plain string.
fn string(text: &str) -> impl Strategy<Value = String> + use<> {
    let escaped: String = text
        .char_indices()
        .map(|(index, c)| match index % 4 {
            0 => format!("\\x{:x}", u32::from(c)),
            1 => format!("\\u{:04X}", u32::from(c)),
            2 => format!("\\u{{{:x}}}", u32::from(c)),
            _ => c.to_string(),
        })
        .collect();
    let (first, second) = text.split_at(text.len() / 2);
    prop::sample::select(vec![
        format!("'{text}'"),
        format!("\"{text}\""),
        format!("%q({text})"),
        format!("%Q[{text}]"),
        format!("%<{text}>"),
        format!("%|{text}|"),
        format!("\"{escaped}\""),
        format!("'{first}' \"{second}\""),
        format!("\"#{{EMPTY}}{first}#{{ none }}{second}\""),
    ])
}

/// One of the ways to write an option.
fn option(name: &'static str, value: &str) -> impl Strategy<Value = String> + use<> {
    prop::sample::select(vec![
        format!(":{name} => {value}"),
        format!(":{name}=>{value}"),
        format!("{name}: {value}"),
        format!("'{name}': {value}"),
        format!("\"{name}\":\n {value}"),
        format!(":'{name}' =>\n# so\n {value}"),
    ])
}

fn word() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9._/~^-]{0,12}[a-z0-9]"
}

fn git_options() -> impl Strategy<Value = Vec<String>> {
    let text = |name: &'static str| {
        word().prop_flat_map(|word| string(&word)).prop_flat_map(move |value| option(name, &value))
    };
    let url = ("(https|http|ssh|git)://[a-z]{1,8}\\.example/[a-z0-9/._-]{1,12}")
        .prop_flat_map(|url| string(&url))
        .prop_flat_map(|value| option("git", &value));
    let literal = |name: &'static str, values: Vec<&'static str>| {
        prop::sample::select(values).prop_flat_map(move |value| option(name, value))
    };
    let further = prop_oneof![
        text("ref"),
        text("tag"),
        text("branch"),
        text("commit"),
        text("version"),
        text("default_branch"),
        text("default_branch_override"),
        text("source").prop_map(|_| "colour: [:red, %w[green blue], { a: nil }]".to_owned()),
        literal("ref", vec![":main", ":'release/1'", "nil"]),
        literal("exclude_spec", vec!["true", "false"]),
        literal("install_path", vec!["'site'", "\"a/b/\"", "'./x/../y'", "''", "'.'"]),
        literal("type", vec!["'git'", ":git", "'forge'"]),
        literal("depth", vec!["1", "1_000", "nil", "true"]),
    ];
    (url, prop::collection::vec(further, 0..5)).prop_flat_map(|(url, further)| {
        let mut options = vec![url];
        options.extend(further);
        Just(options).prop_shuffle()
    })
}

/// What stands behind a module's name.
fn arguments() -> impl Strategy<Value = Vec<String>> {
    let version = prop::sample::select(vec!["1.2.3", "0.0.1", "10.20.30-rc.1+b5", "1.0.0-x"])
        .prop_flat_map(string);
    prop_oneof![
        Just(vec![]),
        prop::sample::select(vec![":latest", "nil", "none"]).prop_map(|value| vec![value.into()]),
        version.clone().prop_map(|version| vec![version]),
        version
            .prop_flat_map(|version| option("version", &version))
            .prop_map(|version| vec!["type: 'forge'".to_owned(), version]),
        Just(vec![":type => :tarball".into(), "source: 'https://x.example/a.tar.gz'".into()]),
        Just(vec!["local: true".into()]),
        git_options(),
        git_options(),
        git_options(),
    ]
}

fn statement() -> impl Strategy<Value = (Vec<String>, &'static str, u8)> {
    (arguments(), space(), 0..6_u8)
}

/// A Puppetfile of modules with names that differ.
fn puppetfile() -> impl Strategy<Value = String> {
    let directory = prop::sample::select(vec!["", "moduledir 'a/b'\n", "moduledir('c/');\n"]);
    prop::collection::vec((directory, statement()), 0..6).prop_map(|statements| {
        let mut text = "EMPTY = ''\nnone = nil # nothing\n".to_owned();
        for (number, (directory, (mut arguments, space, form))) in
            statements.into_iter().enumerate()
        {
            text.push_str(directory);
            let braces = form == 0
                && arguments.first().is_some_and(|first| first.contains(':'))
                && !arguments[0].starts_with([':', '\'', '"', '%'])
                || form == 1 && arguments.len() > 1;
            let join = format!(",{space}");
            let name = format!("'o/m{number}'");
            if braces {
                arguments = vec![format!("{{{space}{}{join}}}", arguments.join(&join))];
            }
            arguments.insert(0, name);
            let arguments = arguments.join(&join);
            let statement = match form {
                2 => format!("mod({arguments})\n"),
                3 => format!("mod(\n{arguments},\n)\n"),
                4 => format!("mod {arguments}; "),
                _ => format!("mod {arguments}\n"),
            };
            text.push_str(&statement);
        }
        text
    })
}

#[test]
fn any_accepted_file_means_what_it_means_to_r10k() {
    let (_directory, files) = written(&sample(puppetfile(), 400));
    agree(&files);
}

/// Pieces of strings, with every escape that there is, in quotes of every kind.
fn literal() -> impl Strategy<Value = String> {
    let pieces = vec![
        "a",
        " ",
        "é",
        "\u{1F600}",
        "#",
        "#{h}",
        "#{ n }",
        "#{t}#{nil}",
        "\\#{h}",
        "\\n",
        "\\t",
        "\\s",
        "\\e",
        "\\a",
        "\\b",
        "\\v",
        "\\f",
        "\\r",
        "\\0",
        "\\7",
        "\\101",
        "\\1018",
        "\\400",
        "\\x4",
        "\\x41",
        "\\x41f",
        "\\xC3\\xA9",
        "\\u00e9",
        "\\u{1F600}",
        "\\u{41 42\t43 }",
        "\\u{}",
        "\\q",
        "\\\\",
        "\\'",
        "\\\"",
        "\\(",
        "\\)",
        "\\]",
        "\\|",
        "(x)",
        "[y]",
        "(",
        "]",
        "|",
        "'",
        "\"",
        "{",
        "}",
        "<",
        "%",
        "=>",
        "\\8",
        "\\9",
        "\\é",
        "\\#",
        "\\ ",
    ];
    let quotes = vec![
        ("'", "'"),
        ("\"", "\""),
        ("%q(", ")"),
        ("%Q(", ")"),
        ("%(", ")"),
        ("%q[", "]"),
        ("%Q{", "}"),
        ("%q|", "|"),
        ("%|", "|"),
        ("%<", ">"),
    ];
    (prop::collection::vec(prop::sample::select(pieces), 0..8), prop::sample::select(quotes))
        .prop_map(|(pieces, (open, close))| format!("{open}{}{close}", pieces.concat()))
}

#[test]
fn any_accepted_string_means_what_it_means_to_ruby() {
    let literals: Vec<String> = sample(literal(), 3_000)
        .into_iter()
        .filter(|literal| puppet::check(&file(literal)).is_ok())
        .collect();
    assert!(literals.len() > 1_000, "only {} of the strings are accepted", literals.len());
    let texts: Vec<String> = literals.iter().map(|literal| file(literal)).collect();
    let (_directory, files) = written(&texts);
    agree(&files);
}

/// A file that keeps any string: r10k ignores the Forge's URL.
fn file(literal: &str) -> String {
    format!("h = 'host'\nn = 12\nt = true\nforge {literal}\n")
}
