//! Puppetfiles that nobody would write: real ones, torn apart and put together, with words of the
//! language between them. The same seed gives the same ones.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Longer ones are told to be too large before they are read.
const BYTES: usize = 260 * 1024;
/// Most are short, so that there are many.
const SHORT: usize = 4 * 1024;

/// What the lexer and the parser look at.
const WORDS: &[&str] = &[
    "mod",
    "forge",
    "moduledir",
    "metadata",
    "exclusion",
    "mod 'a/b'",
    "mod(\"x\",",
    ":git => ",
    "git:",
    "'git' =>",
    ":tag",
    ":commit",
    ":branch",
    "ref:",
    "'",
    "\"",
    "`",
    "%q(",
    "%w[",
    "%x{",
    "%Q<",
    "%i(",
    "#{",
    "}",
    "#{x}",
    "#{`id`}",
    "#",
    "\n",
    "\r\n",
    "\t",
    " ",
    ";",
    ",",
    "=>",
    "=",
    "==",
    "=begin\n",
    "\n=end\n",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "<<~X",
    "<<-'X'\n",
    "X\n",
    "\\",
    "\\u{110000}",
    "\\x",
    "\\777",
    "\\M-\\C-a",
    "nil",
    "true",
    "false",
    ":latest",
    "latest",
    ">= 1.0.0 < 2.0.0",
    "4.x",
    "1.2.3",
    "0x",
    "1_000",
    "9999999999999999999999",
    "-1",
    "1e999",
    "A = 'x'\n",
    "a = %w[a b]\n",
    "ENV['X']",
    "if",
    "unless",
    "do |x|",
    "end",
    "require",
    "eval",
    "system(\"id\")",
    "__END__\n",
    "__FILE__",
    "&.",
    "::",
    "?a",
    "@a",
    "$a",
    "/a/",
    "..",
    "...",
    "**",
    "*",
    "&",
    "|",
    "!",
    "\0",
    "\u{feff}",
    "\u{202e}",
    "é",
    "\u{1f980}",
    ":'a b'",
    ":\"#{x}\"",
    "install_path: '../x'",
    "exclude_spec:",
    "local: true",
    "type: 'tarball'",
    "source:",
    "sha256sum:",
    "fallback: 'a|b'",
    ":control_branch",
    "https://h/x.git",
    "git@h:x",
    "ext::sh -c id",
    "--upload-pack=x",
    "file:///etc",
    "  mod",
    "mod mod",
];

pub(crate) struct Mutations {
    corpus: Vec<String>,
    state: u64,
}

impl Mutations {
    /// From the Puppetfiles below a directory.
    pub(crate) fn new(corpus: &Path, seed: u64) -> std::io::Result<Self> {
        let (mut files, mut waiting) = (Vec::new(), vec![corpus.to_owned()]);
        while let Some(place) = waiting.pop() {
            let mut entries: Vec<PathBuf> = fs::read_dir(&place)?
                .map(|entry| Ok(entry?.path()))
                .collect::<std::io::Result<_>>()?;
            entries.sort();
            for entry in entries {
                match entry.is_dir() {
                    true => waiting.push(entry),
                    // Some are no text, on purpose.
                    false => files.push(String::from_utf8_lossy(&fs::read(entry)?).into_owned()),
                }
            }
        }
        files.retain(|file| file.len() <= BYTES);
        files.push(String::new());
        Ok(Self { corpus: files, state: seed })
    }

    /// `SplitMix64`: what comes is only to be different.
    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.random() % end.max(1) as u64).unwrap_or(0)
    }

    /// A place in a text where it may be cut.
    fn place(&mut self, text: &str) -> usize {
        let at = self.below(text.len() + 1);
        (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
    }

    /// A piece of a text.
    fn piece<'t>(&mut self, text: &'t str, most: usize) -> &'t str {
        let from = self.place(text);
        let length = self.below(most);
        let to = from.saturating_add(length).min(text.len());
        let to = (from..=to).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(from);
        &text[from..to]
    }

    /// The next one.
    pub(crate) fn next(&mut self) -> String {
        let corpus = std::mem::take(&mut self.corpus);
        let first = self.below(corpus.len());
        let mut text = corpus[first].clone();
        if text.len() > SHORT && self.below(50) > 0 {
            text = self.piece(&text, SHORT).to_owned();
        }
        for _ in 0..=self.below(6) {
            self.change(&mut text, &corpus);
        }
        // Once in a while it is as long as it may be.
        if self.below(5_000) == 0 && !text.is_empty() {
            text = text.repeat((BYTES / text.len()).max(1));
        }
        self.corpus = corpus;
        text
    }

    fn change(&mut self, text: &mut String, corpus: &[String]) {
        let at = self.place(text);
        match self.below(9) {
            0 => {
                let gone = self.piece(&text[at..], 40).len();
                // The piece may begin later; as much is taken away here.
                let end = (at..=at + gone).rev().find(|end| text.is_char_boundary(*end));
                text.replace_range(at..end.unwrap_or(at), "");
            }
            1 => {
                let other = self.below(corpus.len());
                let piece = self.piece(&corpus[other], 200);
                text.insert_str(at, piece);
            }
            2 => {
                let copy = self.piece(text, 200).to_owned();
                let times = if self.below(40) == 0 { 200 } else { 1 + self.below(3) };
                text.insert_str(at, &copy.repeat(times));
            }
            3 => text.truncate(at),
            4 => {
                let code = u32::try_from(self.below(0x11_0000)).unwrap_or(0);
                text.insert(at, char::from_u32(code).unwrap_or('\u{fffd}'));
            }
            5 => {
                let byte = u8::try_from(self.below(128)).unwrap_or(0);
                text.insert(at, char::from(byte));
            }
            6 => {
                // As deep as it goes.
                let word = WORDS[self.below(WORDS.len())];
                let times = 1 + self.below(64);
                text.insert_str(at, &word.repeat(times));
            }
            _ => {
                for _ in 0..=self.below(4) {
                    let word = WORDS[self.below(WORDS.len())];
                    let at = self.place(text);
                    text.insert_str(at, word);
                }
            }
        }
    }
}

/// The peak of the process's memory in bytes, as the kernel has it; none where there is no such file.
pub(crate) fn peak() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
}
