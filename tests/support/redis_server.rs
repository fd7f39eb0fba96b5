//! A Redis of one test's own, which may be ended and started again; and a way to it that may be
//! cut, or made long.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::watch,
    task::JoinHandle,
};

pub(crate) struct RedisServer {
    directory: TempDir,
    port: u16,
    child: Child,
}

impl RedisServer {
    /// Its appended file makes every acknowledged commit outlive the process.
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Self { child: Self::run(&directory, port), directory, port };
        server.wait_until_it_answers();
        server
    }

    fn run(directory: &TempDir, port: u16) -> Child {
        Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", ""])
            .args(["--appendonly", "yes", "--dir", directory.path().to_str().unwrap()])
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed")
    }

    fn wait_until_it_answers(&self) {
        for _ in 0..500 {
            if Self::ask(self.port, "PING").is_some_and(|answer| answer.starts_with("+PONG")) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the Redis on port {} does not answer", self.port)
    }

    fn ask(port: u16, command: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        stream.write_all(format!("{command}\r\n").as_bytes()).ok()?;
        let mut answer = [0; 512];
        let length = stream.read(&mut answer).ok()?;
        Some(String::from_utf8_lossy(&answer[..length]).into_owned())
    }

    pub(crate) fn command(&self, command: &str) -> String {
        Self::ask(self.port, command).unwrap()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn restart(&mut self) {
        self.child = Self::run(&self.directory, self.port);
        self.wait_until_it_answers();
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the way does to what is on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Forward,
    /// Nothing gets through in either direction, and nobody is told.
    Silent,
    /// Every seventh answer is held up for so long.
    Late(Duration),
}

pub(crate) struct Way {
    pub(crate) address: SocketAddr,
    mode: watch::Sender<Mode>,
    cut: watch::Sender<u64>,
    task: JoinHandle<()>,
}

impl Way {
    pub(crate) async fn to(server: SocketAddr) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (mode, cut) = (watch::Sender::new(Mode::Forward), watch::Sender::new(0));
        let answers = Arc::new(AtomicU64::new(0));
        let (modes, cuts) = (mode.subscribe(), cut.subscribe());
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((outside, _)) = listener.accept().await {
                let Ok(inside) = tokio::net::TcpStream::connect(server).await else { continue };
                let (from_client, to_client) = outside.into_split();
                let (from_server, to_server) = inside.into_split();
                let (modes, mut cuts, answers) =
                    (modes.clone(), cuts.clone(), Arc::clone(&answers));
                cuts.mark_unchanged();
                connections.spawn(async move {
                    tokio::select! {
                        () = pass(from_client, to_server, modes.clone(), None) => {}
                        () = pass(from_server, to_client, modes, Some(answers)) => {}
                        _ = cuts.changed() => {}
                    }
                });
            }
        });
        Self { address, mode, cut, task }
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Ends every connection.
    pub(crate) fn cut(&self) {
        self.cut.send_modify(|count| *count += 1);
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut modes: watch::Receiver<Mode>,
    answers: Option<Arc<AtomicU64>>,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let Ok(mode) = modes.wait_for(|mode| *mode != Mode::Silent).await.map(|mode| *mode) else {
            return;
        };
        if let (Mode::Late(delay), Some(answers)) = (mode, &answers)
            && answers.fetch_add(1, Ordering::Relaxed) % 7 == 6
        {
            tokio::time::sleep(delay).await;
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
