//! The house's law, read off the source: which way the arrows run, and the invariants of `lib.rs`.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A source file: its path below `src/`, its room, and its lines without comments and tests.
struct Source {
    path: String,
    room: String,
    text: String,
    code: Vec<(usize, String)>,
}

fn sources() -> Vec<Source> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&src, &mut files);
    assert!(files.len() > 30, "only {} files found below {}", files.len(), src.display());
    files
        .into_iter()
        .map(|file| {
            let path = file.strip_prefix(&src).unwrap().to_str().unwrap().to_owned();
            let room = path.split(['/', '.']).next().unwrap().to_owned();
            let text = fs::read_to_string(&file).unwrap();
            let program = text.lines().take_while(|line| !line.starts_with("#[cfg(test)]"));
            let code = program
                .enumerate()
                .filter(|(_, line)| !line.trim_start().starts_with("//"))
                .map(|(number, line)| (number + 1, line.to_owned()))
                .collect();
            Source { path, room, text, code }
        })
        .collect()
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Fails with every line that has one of `words` in a file that may not have them.
fn only_in(allowed: impl Fn(&Source) -> bool, words: &[&str]) {
    let mut found = Vec::new();
    let mut used = 0;
    for source in sources() {
        for (number, line) in &source.code {
            if words.iter().any(|word| has_word(line, word)) {
                used += 1;
                if !allowed(&source) {
                    found.push(format!("src/{}:{number}: {}", source.path, line.trim()));
                }
            }
        }
    }
    assert!(found.is_empty(), "{words:?} where it does not belong:\n{}", found.join("\n"));
    assert!(used > 0, "{words:?} is nowhere: this check watches over nothing");
}

/// `word` in `line`, not as the end of a longer name.
fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        !line[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_')
    })
}

#[test]
fn arrows_only_go_down() {
    // Besides config, model and error, which every room may use.
    let may_use = |room: &str| -> &[&str] {
        match room {
            "store" | "engine" | "registry" | "model" | "error" | "config" => &[],
            "puppet" => &["engine"],
            "build" => &["puppet", "engine", "registry"],
            "deploy" => &["engine", "registry"],
            "jobs" => &["puppet", "build", "deploy", "engine", "registry", "store"],
            "crane" => &["jobs", "engine", "registry", "store", "puppet"],
            // Of build and deploy only the data that a form brings and a status shows.
            "api" => &["crane", "jobs", "store", "build", "deploy"],
            "lib" | "main" => &["api", "crane", "jobs"],
            other => panic!("src/{other} is no room of the house: put it on the plan first"),
        }
    };
    let bottom = ["config", "model", "error"];
    let mut found = Vec::new();
    for source in sources() {
        let allowed = may_use(&source.room);
        for (number, line) in &source.code {
            for (at, _) in line.match_indices("crate::") {
                let used: String = line[at + 7..]
                    .chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect();
                let down = allowed.contains(&used.as_str()) || bottom.contains(&used.as_str());
                if !used.is_empty() && used != source.room && !down {
                    found.push(format!("src/{}:{number}: {}", source.path, line.trim()));
                }
            }
        }
        // `use crate::{...}` over several lines: rooms stand first in their line.
        let mut inside = false;
        for (number, line) in &source.code {
            if inside && let Some(used) = line.strip_prefix("    ") {
                let used: String =
                    used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let down = allowed.contains(&used.as_str()) || bottom.contains(&used.as_str());
                if !used.is_empty() && used != source.room && !down {
                    found.push(format!("src/{}:{number}: {}", source.path, line.trim()));
                }
            }
            inside = (inside || line == "use crate::{") && !line.starts_with("};");
        }
    }
    assert!(found.is_empty(), "arrows that run up:\n{}", found.join("\n"));
}

#[test]
fn the_bottom_imports_no_room() {
    for source in sources() {
        if ["config", "model", "error"].contains(&source.room.as_str()) {
            for room in ["store", "engine", "registry", "puppet", "build", "deploy", "jobs", "api"]
            {
                assert!(!source.text.contains(&format!("crate::{room}")), "{}", source.path);
            }
        }
    }
}

#[test]
fn api_never_builds_or_deploys_itself() {
    for source in sources().iter().filter(|source| source.room == "api") {
        for forbidden in ["build::image", "build::remove", "deploy::up", "deploy::down"] {
            assert!(!source.text.contains(forbidden), "{} calls {forbidden}", source.path);
        }
    }
}

#[test]
fn only_api_names_poem() {
    only_in(|source| source.room == "api", &["poem::"]);
    only_in(|source| ["api", "model"].contains(&&*source.room), &["poem_openapi"]);
}

#[test]
fn only_engine_names_bollard() {
    only_in(|source| source.room == "engine", &["bollard"]);
}

#[test]
fn only_store_names_sled_and_redis() {
    only_in(|source| source.room == "store", &["sled::", "redis::"]);
}

#[test]
fn only_jobs_and_main_spawn() {
    let words = ["tokio::spawn", "task::spawn(", "thread::spawn", "tracker.spawn", "spawn_local"];
    only_in(|source| ["jobs", "main"].contains(&&*source.room), &words);
}

#[test]
fn only_config_reads_the_environment() {
    only_in(|source| source.room == "config", &["env::var", "env::vars", "var_os"]);
}

#[test]
fn none_runs_commands_and_none_a_shell() {
    for source in sources() {
        for (number, line) in &source.code {
            // In the room of `main.rs` the second word means clap's subcommands.
            let main = source.room == "main";
            let runs = line.contains("std::process::Command")
                || line.contains("tokio::process")
                || (has_word(line, "Command::new(") && !main);
            assert!(!runs, "src/{}:{number}: {line}", source.path);
            for shell in ["\"sh\"", "\"bash\"", "\"/bin/sh\"", "\"-c\""] {
                assert!(!line.contains(shell), "src/{}:{number}: {line}", source.path);
            }
        }
    }
}

#[test]
fn parsers_do_no_io() {
    let mut parsers = 0;
    for source in sources() {
        let stem = ["puppet/puppetfile", "deploy/compose", "build/dockerfile"];
        if !stem.iter().any(|stem| source.path.starts_with(stem)) {
            continue;
        }
        parsers += 1;
        for (number, line) in &source.code {
            for io in ["std::fs", "tokio", "std::net", "std::process", "async fn", "std::io"] {
                assert!(!line.contains(io), "src/{}:{number}: {line}", source.path);
            }
        }
    }
    assert!(parsers >= 3, "the parsers have moved");
}

#[test]
fn no_static_holds_state() {
    for source in sources() {
        for (number, line) in &source.code {
            let item = line.trim_start().trim_start_matches("pub ");
            let cells = ["Mutex", "Atomic", "RwLock", "Cell", "LazyLock", "OnceLock"];
            let stateful = item.contains("thread_local!")
                || item.contains("task_local!")
                || (item.starts_with("static ") && cells.iter().any(|cell| item.contains(cell)));
            assert!(!stateful, "src/{}:{number}: {line}", source.path);
        }
    }
}

#[test]
fn nothing_below_api_knows_a_status_code() {
    // The registry and the engine are spoken to over HTTP, so their clients read its codes.
    let clients = ["api", "registry", "engine"];
    only_in(|source| clients.contains(&&*source.room), &["StatusCode"]);
}

#[test]
fn long_files_say_why() {
    for source in sources() {
        let lines = source.text.lines().count();
        let header = source.text.lines().take_while(|line| line.starts_with("//!"));
        let says_why = header.collect::<String>().contains("one file");
        assert!(lines <= 400 || says_why, "src/{} has {lines} lines", source.path);
    }
}
