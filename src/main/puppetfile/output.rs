//! What `crane puppetfile` prints: text for people, with progress on a terminal, or one JSON
//! document.

use std::{
    io::{self, IsTerminal, Write},
    path::Path,
};

use crane::{
    error::{Error, chain},
    puppet::{Lock, Locked, Module, Outcome, Pin, Puppetfile},
};
use serde_json::{Value, json};

pub(super) struct Output {
    json: bool,
}

type Result<T> = crane::error::Result<T>;

impl Output {
    pub(super) fn new(json: bool) -> Self {
        Self { json }
    }

    /// One document, or these lines.
    fn print(&self, document: &Value, lines: &[String]) -> Result<()> {
        let mut out = io::stdout().lock();
        let written = match self.json {
            true => writeln!(out, "{document:#}"),
            false => lines.iter().try_for_each(|line| writeln!(out, "{line}")),
        };
        written.map_err(Error::internal)
    }

    pub(super) fn error(&self, error: &Error) -> Result<()> {
        if self.json {
            let document = json!({ "error": chain(error), "problems": error.problems() });
            return self.print(&document, &[]);
        }
        let mut out = io::stderr().lock();
        let lines: Vec<String> = match error.problems() {
            [] => vec![chain(error)],
            problems => problems.iter().map(ToString::to_string).collect(),
        };
        let written = lines.iter().try_for_each(|line| writeln!(out, "{line}"));
        written.map_err(Error::internal)
    }

    pub(super) fn checked(&self, puppetfile: &Puppetfile) -> Result<()> {
        let warnings = puppetfile.warnings.iter().map(|warning| format!("warning: {warning}"));
        let mut lines: Vec<String> = warnings.collect();
        lines.push(format!("{} modules, nothing is wrong", puppetfile.modules.len()));
        let document =
            json!({ "modules": puppetfile.modules.len(), "warnings": puppetfile.warnings });
        self.print(&document, &lines)
    }

    pub(super) fn installed(&self, outcome: &Outcome) -> Result<()> {
        let Some(lock) = &outcome.lock else { return Ok(()) };
        let version = |locked: &Locked| locked.version.clone().unwrap_or_default();
        let lines: Vec<String> = lock
            .modules
            .iter()
            .map(|locked| format!("{:40} {}", locked.path, version(locked)))
            .collect();
        self.print(&json!(lock), &lines)
    }

    pub(super) fn locked(&self, lock: &Lock, place: &Path) -> Result<()> {
        let line = format!("{} modules are in {}", lock.modules.len(), place.display());
        self.print(&json!(lock), &[line, lock.digest.clone()])
    }

    pub(super) fn outdated(&self, moved: &[(&Module, Option<&Pin>, &Pin)]) -> Result<()> {
        let told = |pin: Option<&Pin>| match pin {
            Some(Pin::Git { commit, .. }) => commit.clone(),
            Some(Pin::Forge { version, .. }) => version.clone(),
            Some(Pin::Tarball { sha256, .. }) => sha256.clone(),
            Some(Pin::Local) | None => "-".to_owned(),
        };
        let lines: Vec<String> = moved
            .iter()
            .map(|(module, locked, now)| {
                format!("{:40} {} -> {}", module.full_name(), told(*locked), told(Some(now)))
            })
            .collect();
        let document: Vec<Value> = moved
            .iter()
            .map(|(module, locked, now)| {
                json!({ "name": module.full_name(), "locked": locked, "now": now })
            })
            .collect();
        self.print(&json!(document), &lines)
    }

    pub(super) fn differing(&self, differ: &[(&Locked, String)]) -> Result<()> {
        let lines: Vec<String> = differ
            .iter()
            .map(|(locked, found)| {
                format!("{:40} has {found}, and the lock says {}", locked.path, locked.digest)
            })
            .collect();
        let document: Vec<Value> = differ
            .iter()
            .map(|(locked, found)| {
                json!({ "path": locked.path, "locked": locked.digest, "found": found })
            })
            .collect();
        self.print(&json!(document), &lines)
    }

    pub(super) fn progress(&self, modules: usize) -> Progress {
        Progress { bar: !self.json && io::stderr().is_terminal(), modules, done: 0 }
    }
}

/// A line on the terminal that is written over, and warnings above it.
pub(super) struct Progress {
    bar: bool,
    modules: usize,
    done: usize,
}

impl Progress {
    /// Standard error may be gone; there is nobody left to tell then.
    pub(super) fn line(&mut self, text: &str) {
        const WIDTH: usize = 30;
        let mut out = io::stderr().lock();
        if text.starts_with("WARN") {
            let _ = writeln!(out, "{}{text}", if self.bar { "\r\x1b[K" } else { "" });
            return;
        }
        self.done += 1;
        if self.bar {
            let full = WIDTH * self.done / self.modules.max(1);
            let bar = "#".repeat(full.min(WIDTH));
            let name = text.strip_prefix("INFO -> ").unwrap_or(text);
            let name: String = name.chars().take(60).collect();
            let _ = write!(out, "\r\x1b[K[{bar:WIDTH$}] {}/{} {name}", self.done, self.modules);
            let _ = out.flush();
        }
    }

    pub(super) fn end(&mut self) {
        if self.bar && self.done > 0 {
            let _ = write!(io::stderr().lock(), "\r\x1b[K");
        }
    }
}
