//! Lines, as builders put them together: comments left out, continued lines joined, here-documents
//! skipped (BuildKit, `frontend/dockerfile/parser`).

use std::ops::Range;

/// One instruction, which may be on several lines.
#[derive(Debug)]
pub(super) struct Logical {
    /// Of the first line, from 1.
    pub(super) number: u32,
    pub(super) heredocs: bool,
    /// Without the escape characters at the ends of lines.
    text: String,
    /// Where in the file each byte of `text` is.
    offsets: Vec<usize>,
}

/// What is between two spaces.
#[derive(Debug, Clone)]
pub(super) struct Word {
    pub(super) text: String,
    /// Bytes of the file, a continuation within the word included.
    pub(super) span: Range<usize>,
    /// Where in the file each byte of `text` is.
    offsets: Vec<usize>,
}

impl Word {
    /// A part of the word, by bytes of `text`.
    pub(super) fn part(&self, range: Range<usize>) -> Option<Self> {
        let text = self.text.get(range.clone())?.to_owned();
        let offsets = self.offsets.get(range)?.to_vec();
        let span = *offsets.first()?..offsets.last()? + 1;
        Some(Self { text, span, offsets })
    }
}

impl Logical {
    pub(super) fn words(&self) -> Vec<Word> {
        let whole = Word { text: self.text.clone(), span: 0..0, offsets: self.offsets.clone() };
        let mut words = Vec::new();
        let mut start = None;
        let end = [(self.text.len(), ' ')];
        for (at, c) in self.text.char_indices().chain(end) {
            match (start, c.is_whitespace()) {
                (None, false) => start = Some(at),
                (Some(from), true) => {
                    words.extend(whole.part(from..at));
                    start = None;
                }
                _ => {}
            }
        }
        words
    }

    pub(super) fn joined(&self) -> String {
        self.text.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

/// The escape character that the directives at the top choose.
pub(super) fn escape(text: &str) -> char {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for line in text.lines() {
        let Some(directive) = line.trim_start().strip_prefix('#') else { break };
        let Some((name, value)) = directive.split_once('=') else { break };
        let name = name.trim().to_ascii_lowercase();
        if name == "escape" {
            return if value.trim() == "`" { '`' } else { '\\' };
        }
        // Anything else is a comment, and after that there are no directives.
        if !["syntax", "check"].contains(&name.as_str()) {
            break;
        }
    }
    '\\'
}

/// The instructions of a file.
pub(super) fn logical(text: &str, escape: char) -> Vec<Logical> {
    let mut all = Vec::new();
    let mut lines = physical(text).peekable();
    while let Some((number, start, line)) = lines.next() {
        if is_blank(line) {
            continue;
        }
        let mut logical =
            Logical { number, heredocs: false, text: String::new(), offsets: Vec::new() };
        let mut continued = logical.push(start, line, escape);
        while continued {
            let Some((_, start, line)) = lines.next() else { break };
            // Comments and empty lines do not end an instruction.
            if !is_blank(line) {
                continued = logical.push(start, line, escape);
            }
        }
        for heredoc in heredocs(&logical) {
            logical.heredocs = true;
            for (_, _, line) in lines.by_ref() {
                let line = if heredoc.tabs { line.trim_start_matches('\t') } else { line };
                if line == heredoc.end {
                    break;
                }
            }
        }
        all.push(logical);
    }
    all
}

/// Number, offset and text of each line.
fn physical(text: &str) -> impl Iterator<Item = (u32, usize, &str)> {
    let skipped = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let mut offset = 0;
    text.split_inclusive('\n').zip(1..).map(move |(line, number)| {
        let start = offset.max(skipped);
        let content = &text[start..offset + line.len()];
        offset += line.len();
        let content = content.strip_suffix('\n').unwrap_or(content);
        (number, start, content.strip_suffix('\r').unwrap_or(content))
    })
}

fn is_blank(line: &str) -> bool {
    let line = line.trim_start();
    line.is_empty() || line.starts_with('#')
}

impl Logical {
    /// Appends a line without its escape character; gives whether it had one.
    fn push(&mut self, start: usize, line: &str, escape: char) -> bool {
        let end = line.trim_end_matches([' ', '\t']);
        let before = end.strip_suffix(escape).filter(|before| !before.ends_with(escape));
        let content = before.unwrap_or(line);
        // Space before the first word does not count; later it parts words.
        let content = if self.text.is_empty() { content.trim_start() } else { content };
        let skipped = content.as_ptr() as usize - line.as_ptr() as usize;
        self.text.push_str(content);
        self.offsets.extend((0..content.len()).map(|at| start + skipped + at));
        before.is_some()
    }
}

struct Heredoc {
    end: String,
    /// `<<-`: tabs before the end do not count.
    tabs: bool,
}

/// The here-documents that an instruction announces.
fn heredocs(logical: &Logical) -> Vec<Heredoc> {
    let mut words = logical.text.split_whitespace();
    let keyword = words.next().map(str::to_ascii_uppercase);
    let keyword = match keyword.as_deref() {
        Some("ONBUILD") => words.next().map(str::to_ascii_uppercase),
        _ => keyword,
    };
    if !matches!(keyword.as_deref(), Some("ADD" | "COPY" | "RUN")) {
        return Vec::new();
    }
    words.filter_map(heredoc).collect()
}

/// `<<EOF`, `<<-EOF`, `<<"EOF"`, each with a file descriptor in front or not.
fn heredoc(word: &str) -> Option<Heredoc> {
    let rest = word.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix("<<")?;
    let (rest, tabs) = match rest.strip_prefix('-') {
        Some(rest) => (rest, true),
        None => (rest, false),
    };
    let end = ['"', '\'']
        .iter()
        .find_map(|quote| rest.strip_prefix(*quote)?.strip_suffix(*quote))
        .unwrap_or(rest);
    let plain = |c: char| c.is_alphanumeric() || "_-.".contains(c);
    (!end.is_empty() && end.chars().all(plain)).then(|| Heredoc { end: end.to_owned(), tabs })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(text: &str) -> Vec<(u32, String)> {
        logical(text, escape(text)).iter().map(|line| (line.number, line.joined())).collect()
    }

    #[test]
    fn continued_lines_are_one_instruction() {
        let text = "# comment\n\nFROM a \\  \n  AS b\nRUN x && \\\n# comment\n\n  y\\\nz\nCMD \\\\\nUSER u";
        assert_eq!(
            joined(text),
            [
                (3, "FROM a AS b".into()),
                (5, "RUN x && yz".into()),
                (10, "CMD \\\\".into()),
                (11, "USER u".into())
            ]
        );
    }

    #[test]
    fn the_escape_character_may_be_chosen() {
        let text = "\u{feff}# syntax=x\n# Escape = `\nFROM a `\nAS b\r\nRUN c:\\\n";
        assert_eq!(joined(text), [(3, "FROM a AS b".into()), (5, "RUN c:\\".into())]);
        assert_eq!(escape("# a comment\n# escape=`\n"), '\\');
        assert_eq!(escape("\n# escape=`\n"), '\\');
    }

    #[test]
    fn words_know_where_they_are() {
        let text = "\u{feff}RUN ä\\\nb c";
        let words = logical(text, '\\')[0].words();
        let texts: Vec<_> = words.iter().map(|word| word.text.as_str()).collect();
        assert_eq!(texts, ["RUN", "äb", "c"]);
        assert_eq!(&text[words[1].span.clone()], "ä\\\nb");
    }

    #[test]
    fn here_documents_are_no_instructions() {
        let text = "RUN <<EOF cat <<-\"B\" > x\nFROM no\nEOF\n\t\tCOPY no\n\tB\nFROM a\n";
        assert_eq!(joined(text).len(), 2);
        for none in ["RUN x <<< y\n", "RUN $((1<<2))\n", "RUN a << b\n", "CMD <<EOF\n"] {
            assert_eq!(joined(&format!("{none}FROM a\n")).len(), 2, "{none}");
        }
    }
}
