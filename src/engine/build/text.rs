//! Lines out of what programs print for terminals.

/// A longer line is cut into several, so that a program which never ends one cannot fill the
/// memory or make a record too large to store.
const LINE_MAX: usize = 16 << 10;

/// Collects pieces of output into lines, without terminal escape sequences and control characters.
/// A carriage return ends a line too: progress bars use it to write over themselves.
#[derive(Default)]
pub(super) struct Lines(Vec<u8>);

impl Lines {
    /// The lines that end in this piece; empty ones are left out.
    pub(super) fn push(&mut self, piece: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for byte in piece {
            if matches!(byte, b'\n' | b'\r') {
                lines.extend(self.finish());
                continue;
            }
            // Not in the middle of a character, unless this is no text anyway.
            let within_character = byte & 0xC0 == 0x80;
            if self.0.len() >= LINE_MAX && (!within_character || self.0.len() >= 2 * LINE_MAX) {
                lines.extend(self.finish());
            }
            self.0.push(*byte);
        }
        lines
    }

    /// The line that was begun, if it says anything.
    pub(super) fn finish(&mut self) -> Option<String> {
        let line = clean(&String::from_utf8_lossy(&std::mem::take(&mut self.0)));
        (!line.trim().is_empty()).then_some(line)
    }
}

/// The text without escape sequences (ECMA-48) and control characters. Tabs stay, line ends become
/// spaces.
pub(crate) fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\x1b' => match chars.next() {
                // A control sequence: parameters up to a final byte.
                Some('[') => {
                    chars.by_ref().find(|c| ('@'..='~').contains(c));
                }
                // A control string (titles, links): up to BEL or ST.
                Some(']' | 'P' | 'X' | '^' | '_') => {
                    let mut escaped = false;
                    for c in chars.by_ref() {
                        if c == '\x07' || (escaped && c == '\\') {
                            break;
                        }
                        escaped = c == '\x1b';
                    }
                }
                // A character set: one more byte.
                Some('(' | ')' | '#' | '%') => {
                    chars.next();
                }
                _ => {}
            },
            '\n' | '\r' => {
                if !clean.ends_with(' ') {
                    clean.push(' ');
                }
            }
            '\t' => clean.push(c),
            c if c.is_control() => {}
            c => clean.push(c),
        }
    }
    clean.truncate(clean.trim_end().len());
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_at_line_feeds_and_carriage_returns() {
        let mut lines = Lines::default();
        assert_eq!(lines.push(b"a\r\nb"), ["a"]);
        assert_eq!(lines.push(b"c\rd\n\n \n"), ["bc", "d"]);
        assert_eq!(lines.finish(), None);
        assert_eq!(lines.push("ü".as_bytes().split_at(1).0), [""; 0]);
        assert_eq!(lines.push("ü".as_bytes().split_at(1).1), [""; 0]);
        assert_eq!(lines.finish().as_deref(), Some("ü"));
    }

    #[test]
    fn endless_lines_are_cut() {
        let cut = Lines::default().push(&[b'x'; 3 * LINE_MAX]);
        assert_eq!(cut.iter().map(String::len).collect::<Vec<_>>(), [LINE_MAX; 2]);
        assert_eq!(Lines::default().push(&[0x80; 5 * LINE_MAX]).len(), 2);
    }

    #[test]
    fn escape_sequences_and_control_characters_are_taken_out() {
        assert_eq!(clean("\x1b[1;31mError: x\x1b[0m\x07"), "Error: x");
        assert_eq!(clean("\x1b]0;title\x07a\x1b]8;;u\x1b\\b\x1b(Bc\0"), "abc");
        assert_eq!(clean("a\tb\nc\r\nd\n"), "a\tb c d");
        assert_eq!(clean("cut off \x1b["), "cut off");
    }

    proptest::proptest! {
        #[test]
        fn nothing_but_text_comes_out(bytes: Vec<u8>) {
            let mut lines = Lines::default();
            let mut all = lines.push(&bytes);
            all.extend(lines.finish());
            for line in all {
                proptest::prop_assert!(!line.contains(|c: char| c.is_control() && c != '\t'));
            }
        }
    }
}
