//! An HTTP server that answers as a test says, also in ways that no honest one would.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

/// What comes back.
pub(super) enum Reply {
    /// Status, content type, body.
    Body(u16, &'static str, Vec<u8>),
    Redirect(String),
    /// This first, and then this again and again.
    Endless(&'static str, Vec<u8>, Vec<u8>),
    /// The connection is closed without a word.
    Nothing,
}

pub(super) struct Scripted {
    pub(super) url: String,
    /// The request lines that came.
    pub(super) asked: Arc<Mutex<Vec<String>>>,
    /// Bytes that were sent in endless answers.
    pub(super) sent: Arc<AtomicUsize>,
}

impl Scripted {
    /// `answer` gets the method and path, the head, and the body.
    pub(super) fn start(
        answer: impl Fn(&str, &str, &[u8]) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let sent: Arc<AtomicUsize> = Arc::default();
        let (answer, notes, bytes) = (Arc::new(answer), asked.clone(), sent.clone());
        // It ends with the process: the tests' threads are few.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, notes, bytes) = (answer.clone(), notes.clone(), bytes.clone());
                std::thread::spawn(move || {
                    // A peer that goes away is what some tests are about.
                    let _ = serve(stream, &*answer, &notes, &bytes);
                });
            }
        });
        Self { url, asked, sent }
    }

    pub(super) fn count(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

fn serve(
    stream: TcpStream,
    answer: &dyn Fn(&str, &str, &[u8]) -> Reply,
    notes: &Mutex<Vec<String>>,
    sent: &AtomicUsize,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut out = stream;
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let request = line.trim().trim_end_matches(" HTTP/1.1").to_owned();
    let mut head = String::new();
    let mut length = 0;
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    notes.lock().unwrap().push(request.clone());
    match answer(&request, &head, &body) {
        Reply::Body(status, kind, body) => {
            write!(
                out,
                "HTTP/1.1 {status} x\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
                 Connection: close\r\n\r\n",
                body.len()
            )?;
            out.write_all(&body)
        }
        Reply::Redirect(to) => write!(
            out,
            "HTTP/1.1 302 x\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        ),
        Reply::Endless(kind, first, again) => {
            write!(out, "HTTP/1.1 200 x\r\nContent-Type: {kind}\r\nConnection: close\r\n\r\n")?;
            out.write_all(&first)?;
            loop {
                out.write_all(&again)?;
                sent.fetch_add(again.len(), Ordering::Relaxed);
            }
        }
        Reply::Nothing => Ok(()),
    }
}

/// A line of git's protocol.
pub(super) fn pkt(data: &[u8]) -> Vec<u8> {
    [format!("{:04x}", data.len() + 4).as_bytes(), data].concat()
}

pub(super) const REFS: &str = "application/x-git-upload-pack-advertisement";
pub(super) const RESULT: &str = "application/x-git-upload-pack-result";

/// A git server of version 2 that has one branch, `main`, and sends this pack for it.
pub(super) fn git_server(
    commit: String,
    pack: impl Fn() -> Reply + Send + Sync + 'static,
) -> Scripted {
    Scripted::start(move |request, _, body| {
        let command = String::from_utf8_lossy(body);
        if request.contains("/info/refs") {
            let lines = [
                pkt(b"version 2\n"),
                pkt(b"ls-refs\n"),
                pkt(b"fetch=shallow filter\n"),
                b"0000".to_vec(),
            ];
            Reply::Body(200, REFS, lines.concat())
        } else if command.contains("command=ls-refs") {
            let line = pkt(format!("{commit} refs/heads/main\n").as_bytes());
            Reply::Body(200, RESULT, [line, b"0000".to_vec()].concat())
        } else {
            pack()
        }
    })
}

/// The answer to a fetch with these bytes as the pack.
pub(super) fn pack_answer(pack: &[u8]) -> Vec<u8> {
    let mut answer = pkt(b"packfile\n");
    for piece in pack.chunks(60_000) {
        answer.extend(pkt(&[&[1], piece].concat()));
    }
    answer.extend_from_slice(b"0000");
    answer
}
