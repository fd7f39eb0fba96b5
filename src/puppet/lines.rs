//! What a program prints, line by line, made fit for a log.

use std::{collections::VecDeque, io};

use tokio::io::{AsyncRead, AsyncReadExt};

use super::puppetfile::without_credentials;

/// Bytes of a line that are kept. r10k's longest name a command with its URLs and paths.
const LINE: usize = 8 * 1024;

/// What stands at the end of a line that was longer.
const CUT: &str = " … [cut]";

pub(super) struct Lines<R> {
    /// None when nothing more comes.
    reader: Option<R>,
    done: VecDeque<String>,
    /// The line that is not ended yet.
    line: Vec<u8>,
    cut: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(super) fn new(reader: Option<R>) -> Self {
        Self { reader, done: VecDeque::new(), line: Vec::new(), cut: false }
    }

    /// Whether all lines were read.
    pub(super) fn ended(&self) -> bool {
        self.reader.is_none() && self.done.is_empty()
    }

    /// The next line, none at the end. May be dropped and called again without losing anything.
    pub(super) async fn next(&mut self) -> io::Result<Option<String>> {
        let mut bytes = [0; 4096];
        while self.done.is_empty() {
            let Some(reader) = &mut self.reader else { return Ok(None) };
            let count = reader.read(&mut bytes).await?;
            if count == 0 {
                self.reader = None;
                if !self.line.is_empty() {
                    self.end_line();
                }
            }
            for byte in &bytes[..count] {
                match byte {
                    b'\n' => self.end_line(),
                    _ if self.line.len() < LINE => self.line.push(*byte),
                    _ => self.cut = true,
                }
            }
        }
        Ok(self.done.pop_front())
    }

    fn end_line(&mut self) {
        let mut line = fit(&String::from_utf8_lossy(&self.line));
        if std::mem::take(&mut self.cut) {
            line.push_str(CUT);
        }
        self.line.clear();
        self.done.push_back(line);
    }
}

/// A line without what could drive a terminal, and without the credentials in its URLs.
fn fit(line: &str) -> String {
    let line: String = line
        .trim_end()
        .chars()
        .map(|c| match c {
            '\t' => ' ',
            c if c.is_control() => char::REPLACEMENT_CHARACTER,
            c => c,
        })
        .collect();
    without_credentials(&line)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(bytes: &[u8]) -> Vec<String> {
        let mut lines = Lines::new(Some(bytes));
        let mut all = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            all.push(line);
        }
        assert!(lines.ended());
        all
    }

    #[tokio::test]
    async fn lines_are_harmless() {
        let printed = b"a\tb\r\n\x1b[31mred\x1b[0m\n\nhttps://u:p@h/x\n\xffend";
        let expected = ["a b", "\u{fffd}[31mred\u{fffd}[0m", "", "https://***@h/x", "\u{fffd}end"];
        assert_eq!(lines(printed).await, expected);
        assert!(lines(b"").await.is_empty());
    }

    #[tokio::test]
    async fn a_long_line_is_cut_and_the_next_one_is_whole() {
        let printed = [vec![b'x'; 100_000], b"\nnext\n".to_vec()].concat();
        let lines = lines(&printed).await;
        assert_eq!(lines[0], format!("{}{CUT}", "x".repeat(LINE)));
        assert_eq!(lines[1], "next");
    }
}
