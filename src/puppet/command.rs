//! The one file of this room that runs programs: by argument vector, never through a shell, with
//! nothing of the server's environment, and so that nothing is left running.
//!
//! r10k puts each git it starts into a session of its own, so that a signal to r10k's process group
//! does not reach them. Therefore every process of a run carries a mark in its environment, which
//! its children inherit, and is found by it under `/proc`.

use std::{
    collections::VecDeque,
    ffi::{OsStr, OsString},
    io::{self, ErrorKind},
    os::unix::ffi::OsStrExt,
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal};
use tokio::process::Child;

use super::lines::Lines;
use crate::model::{Channel, Log};

/// Where programs are looked for: Debian's directories, and that of Puppet's own packages.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:\
                    /opt/puppetlabs/puppet/bin:/opt/puppetlabs/bin";

/// The variable that holds a run's mark.
const MARK: &str = "CRANE_RUN";

/// Processes that were sent SIGKILL are gone within milliseconds, unless the kernel waits for a
/// disk or a network file system; after 5 s they are left to it.
const END_PAUSE: Duration = Duration::from_millis(5);
const END_ROUNDS: u32 = 1_000;

/// Lines kept of what a program prints: it ends with what went wrong.
const KEPT_LINES: usize = 1_000;

pub(super) struct Command<'a> {
    pub(super) program: &'static str,
    pub(super) arguments: Vec<OsString>,
    pub(super) directory: &'a Path,
    /// The environment, but for `PATH` and the mark.
    pub(super) environment: Vec<(&'static str, OsString)>,
    /// Told apart from all other runs by this.
    pub(super) mark: &'a OsStr,
    pub(super) time_limit: Duration,
    /// Paths of ours that say nothing to the reader of a log, and what stands for them.
    pub(super) replacements: Vec<(String, &'static str)>,
}

pub(super) struct Output {
    pub(super) status: ExitStatus,
    /// The last lines of what it printed.
    pub(super) lines: Vec<String>,
}

#[derive(Debug)]
pub(super) enum Failure {
    /// The program is not installed.
    Missing,
    TimedOut(Duration),
    Io(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// So many looks in a row find nothing before there is nothing: a process that is just becoming
/// another program (`execve`) has no environment to be seen for a moment.
const CLEAN_ROUNDS: u32 = 3;

/// Runs a program to its end and writes each line it prints to the log, as it is printed.
///
/// When the future is dropped, or the time is over, everything that the program started is ended.
pub(super) async fn run(command: Command<'_>, log: Option<&Log>) -> Result<Output, Failure> {
    let time_limit = command.time_limit;
    tokio::time::timeout(time_limit, run_to_its_end(command, log))
        .await
        .unwrap_or(Err(Failure::TimedOut(time_limit)))
}

async fn run_to_its_end(command: Command<'_>, log: Option<&Log>) -> Result<Output, Failure> {
    let child = tokio::process::Command::new(command.program)
        .args(&command.arguments)
        .current_dir(command.directory)
        .env_clear()
        .env("PATH", PATH)
        .env(MARK, command.mark)
        .envs(command.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| match error.kind() {
            ErrorKind::NotFound => Failure::Missing,
            _ => Failure::Io(error),
        })?;
    let mut running = Running { child, mark: command.mark };
    let mut stdout = Lines::new(running.child.stdout.take());
    let mut stderr = Lines::new(running.child.stderr.take());
    let mut kept = VecDeque::with_capacity(KEPT_LINES);
    let mut status = None;
    loop {
        let line = tokio::select! {
            line = stdout.next(), if !stdout.ended() => line?,
            line = stderr.next(), if !stderr.ended() => line?,
            exited = running.child.wait(), if status.is_none() => {
                status = Some(exited?);
                // A child it left behind would hold its output open for ever.
                end(command.mark);
                None
            }
            else => break,
        };
        let Some(mut line) = line else { continue };
        for (path, shown) in &command.replacements {
            line = line.replace(path, shown);
        }
        if let Some(log) = log {
            log.write(Channel::Log, line.clone()).await;
        }
        if kept.len() == KEPT_LINES {
            kept.pop_front();
        }
        kept.push_back(line);
    }
    let status = status.ok_or_else(|| io::Error::other("no exit status"))?;
    Ok(Output { status, lines: kept.into() })
}

/// A run that ends with everything it started when this is dropped.
struct Running<'a> {
    child: Child,
    mark: &'a OsStr,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let Some(id) = self.child.id() else { return };
        if let Some(group) = i32::try_from(id).ok().and_then(Pid::from_raw) {
            // An error means that the group is gone already.
            let _ = kill_process_group(group, Signal::KILL);
        }
        end(self.mark);
        for _ in 0..END_ROUNDS {
            match self.child.try_wait() {
                Ok(None) => std::thread::sleep(END_PAUSE),
                _ => return,
            }
        }
    }
}

/// Ends every process that carries the mark, and returns when there is none.
///
/// Blocks for some milliseconds: what the processes write must not outlive the call.
pub(super) fn end(mark: &OsStr) {
    let mut variable = OsString::from(MARK);
    variable.push("=");
    variable.push(mark);
    let mut clean = 0;
    for _ in 0..END_ROUNDS {
        let mut found = false;
        for pid in processes() {
            // The descriptor is taken first: it names this process also when its number has
            // passed to another one by the time of the signal.
            let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { continue };
            if carries(pid, variable.as_bytes()) {
                found = true;
                let _ = pidfd_send_signal(&process, Signal::KILL);
            }
        }
        clean = if found { 0 } else { clean + 1 };
        if clean == CLEAN_ROUNDS {
            return;
        }
        std::thread::sleep(END_PAUSE);
    }
}

fn processes() -> impl Iterator<Item = Pid> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
}

/// A process that has ended has no environment any more, and carries nothing.
fn carries(pid: Pid, variable: &[u8]) -> bool {
    let environment = std::fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero()));
    environment.is_ok_and(|bytes| bytes.split(|byte| *byte == 0).any(|entry| entry == variable))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command<'a>(program: &'static str, arguments: &[&str], mark: &'a str) -> Command<'a> {
        Command {
            program,
            arguments: arguments.iter().map(OsString::from).collect(),
            directory: Path::new("/"),
            environment: vec![("LANG", "C.UTF-8".into())],
            mark: OsStr::new(mark),
            time_limit: Duration::from_secs(60),
            replacements: vec![("/usr".into(), "~")],
        }
    }

    fn lines(output: Output) -> Vec<String> {
        let mut lines = output.lines;
        lines.sort();
        lines
    }

    #[tokio::test]
    async fn a_program_sees_nothing_of_the_servers_environment() {
        let output = run(command("env", &[], "command-test-1"), None).await.unwrap();
        assert!(output.status.success());
        let path = format!("PATH={}", PATH.replace("/usr", "~"));
        assert_eq!(lines(output), ["CRANE_RUN=command-test-1", "LANG=C.UTF-8", &path]);
    }

    #[tokio::test]
    async fn arguments_are_no_shell() {
        let arguments = ["%s\n", "$(id)", "`id`; id", "a b"];
        let output = run(command("printf", &arguments, "command-test-2"), None).await.unwrap();
        assert_eq!(lines(output), ["$(id)", "`id`; id", "a b"]);
    }

    #[tokio::test]
    async fn both_outputs_are_logged_and_the_last_lines_kept() {
        let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
        let script = "seq 1500; echo wrong >&2; exit 3";
        let log = Log::new(sender);
        let ran = run(command("sh", &["-c", script], "command-test-3"), Some(&log));
        let read = async {
            let mut count = 0;
            while count < 1501 && receiver.recv().await.is_some() {
                count += 1;
            }
            count
        };
        let (output, count) = tokio::join!(ran, read);
        let output = output.unwrap();
        assert_eq!((output.status.code(), count, output.lines.len()), (Some(3), 1501, KEPT_LINES));
        assert!(output.lines.contains(&"1500".to_owned()));
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_missing() {
        let failure = run(command("crane-no-such-program", &[], "command-test-4"), None).await;
        assert!(matches!(failure, Err(Failure::Missing)));
    }

    #[tokio::test]
    async fn what_a_program_leaves_running_is_ended_with_it() {
        // It holds the output open, in a session of its own.
        let arguments = ["-c", "setsid sleep 600 & echo started"];
        let output = run(command("sh", &arguments, "command-test-5"), None).await.unwrap();
        assert_eq!(output.lines, ["started"]);
    }
}
