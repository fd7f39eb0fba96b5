//! What a program prints, line by line, made fit for a log.

use super::puppetfile::without_credentials;

/// Bytes of a line that are kept. r10k's longest name a command with its URLs and paths.
const LINE: usize = 8 * 1024;

/// What stands at the end of a line that was longer.
const CUT: &str = " … [cut]";

/// The lines of one output, of which the last may not be ended yet.
#[derive(Default)]
pub(super) struct Lines {
    line: Vec<u8>,
    cut: bool,
}

impl Lines {
    /// The lines that end in what was printed now.
    pub(super) fn of(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for byte in bytes {
            match byte {
                b'\n' => lines.push(self.take()),
                _ if self.line.len() < LINE => self.line.push(*byte),
                _ => self.cut = true,
            }
        }
        lines
    }

    /// What was printed after the last line.
    pub(super) fn rest(&mut self) -> Option<String> {
        (!self.line.is_empty()).then(|| self.take())
    }

    fn take(&mut self) -> String {
        let mut line = fit(&String::from_utf8_lossy(&self.line));
        if std::mem::take(&mut self.cut) {
            line.push_str(CUT);
        }
        self.line.clear();
        line
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

    fn lines(bytes: &[u8]) -> Vec<String> {
        let mut lines = Lines::default();
        // As it comes from a connection, in pieces that end anywhere.
        let mut all: Vec<String> = bytes.chunks(7).flat_map(|piece| lines.of(piece)).collect();
        all.extend(lines.rest());
        assert_eq!(lines.rest(), None);
        all
    }

    #[test]
    fn lines_are_harmless() {
        let printed = b"a\tb\r\n\x1b[31mred\x1b[0m\n\nhttps://u:p@h/x\n\xffend";
        let expected = ["a b", "\u{fffd}[31mred\u{fffd}[0m", "", "https://***@h/x", "\u{fffd}end"];
        assert_eq!(lines(printed), expected);
        assert!(lines(b"").is_empty());
    }

    #[test]
    fn a_long_line_is_cut_and_the_next_one_is_whole() {
        let printed = [vec![b'x'; 100_000], b"\nnext\n".to_vec()].concat();
        let lines = lines(&printed);
        assert_eq!(lines[0], format!("{}{CUT}", "x".repeat(LINE)));
        assert_eq!(lines[1], "next");
    }
}
