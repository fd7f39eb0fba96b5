//! `crane serve` as a process of its own, to be killed, stopped and started again.

use std::{
    ffi::OsString,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::Value;

use super::{
    http::{Answer, Http},
    rig,
};

/// How it is started, each time the same.
#[derive(Clone)]
pub(crate) struct Program {
    variables: Vec<(String, OsString)>,
}

impl Program {
    /// With the rig's parts, and the filesystem store in this directory.
    pub(crate) fn new(data_dir: &Path) -> Self {
        Self { variables: Vec::new() }
            .with("PATH", std::env::var_os("PATH").unwrap())
            .with("CRANE_BIND", "127.0.0.1:0")
            .with("CRANE_DATA_DIR", data_dir)
            .with("CRANE_ENGINE", rig("RIG_ENGINE"))
            .with("CRANE_REGISTRY", rig("RIG_REGISTRY"))
            .with("CRANE_FORGE", rig("RIG_FORGE"))
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_crane"));
        command.arg("serve").env_clear().envs(self.variables.iter().cloned());
        command.stdin(Stdio::null()).stderr(Stdio::piped());
        command
    }

    /// Returns when it listens.
    pub(crate) fn start(&self) -> Served {
        Served::of(self.command())
    }
}

/// Killed when this is dropped.
pub(crate) struct Served {
    child: Child,
    pub(crate) http: Http,
    pub(crate) url: String,
    log: Arc<Mutex<String>>,
}

impl Served {
    pub(crate) fn of(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let mut before = String::new();
        let url = lines.by_ref().find_map(|line| {
            before += &format!("{line}\n");
            Some(line.split_once("Swagger UI is ")?.1.split_once("/\"")?.0.to_owned())
        });
        let url = url.unwrap_or_else(|| panic!("crane does not say where it listens: {before}"));
        let log = Arc::new(Mutex::new(before));
        let growing = Arc::clone(&log);
        // Else its log would fill the pipe and hold it up.
        std::thread::spawn(move || {
            // That requests were answered says nothing that their answers did not.
            for line in lines.filter(|line| !line.contains("\"message\":\"answered\"")) {
                *growing.lock().unwrap() += &format!("{line}\n");
            }
        });
        Self { child, http: Http::new(&url), url, log }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// What it has printed by now.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub(crate) async fn reaches(&self, path: &str, status: &str) -> Value {
        for _ in 0..4800 {
            let body = self.http.get(path).await.ok();
            if body["status"] == status {
                return body;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{path} is not {status}: {}", self.http.get(path).await.text)
    }

    /// The resource once its work has ended, however; a store that is away is waited for.
    pub(crate) async fn ends(&self, path: &str) -> Value {
        let mut last = None;
        for _ in 0..4800 {
            let answer: Answer = self.http.get(path).await;
            if answer.status != 503 {
                let body = answer.ok();
                let states = ["finished", "ready", "error", "cancelled"];
                if states.iter().any(|state| body["status"] == *state) {
                    return body;
                }
            }
            last = Some(answer.text);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{path} does not end: {last:?}\n{}", self.log())
    }

    /// Waits until the resource's log has this line so many times, whoever printed it.
    pub(crate) async fn prints(&self, path: &str, line: &str, times: usize) {
        let mut log = String::new();
        for _ in 0..4800 {
            log = self.http.get(&format!("{path}/log")).await.text;
            if log.lines().filter(|printed| printed.ends_with(line)).count() >= times {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("'{line}' is not {times} times in the log of {path}: {log}\n{}", self.log())
    }

    pub(crate) async fn purge(&self) {
        let purged = self.http.send("POST", "/extra/purge", &[], vec![]).await.ok();
        assert_eq!(purged["status"], "finished", "{purged:#}\n{}", self.log());
    }

    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
    }

    /// Signals, and waits for the end. Gives the exit code.
    pub(crate) fn end(&mut self, signal: &str) -> Option<i32> {
        self.signal(signal);
        self.child.wait().unwrap().code()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
