//! Reads the text character by character and knows where it is.

use super::position::Position;

#[derive(Clone)]
pub(super) struct Cursor<'a> {
    rest: &'a str,
    at: Position,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { rest: text, at: Position { line: 1, column: 1 } }
    }

    pub(super) fn at(&self) -> Position {
        self.at
    }

    pub(super) fn rest(&self) -> &'a str {
        self.rest
    }

    /// The next character. As in Ruby, a carriage return before a line feed is part of it.
    pub(super) fn peek(&self) -> Option<char> {
        if self.rest.starts_with("\r\n") { Some('\n') } else { self.rest.chars().next() }
    }

    /// The character after the next one.
    pub(super) fn peek_second(&self) -> Option<char> {
        let mut ahead = self.clone();
        ahead.next();
        ahead.peek()
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        let bytes = if self.rest.starts_with("\r\n") { 2 } else { next.len_utf8() };
        self.rest = &self.rest[bytes..];
        if next == '\n' {
            self.at = Position { line: self.at.line + 1, column: 1 };
        } else {
            self.at.column += 1;
        }
        Some(next)
    }

    /// Goes past the next character if it is this one.
    pub(super) fn eat(&mut self, expected: char) -> bool {
        let eats = self.peek() == Some(expected);
        if eats {
            self.next();
        }
        eats
    }

    pub(super) fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> String {
        let mut taken = String::new();
        while let Some(next) = self.peek().filter(|c| wanted(*c)) {
            taken.push(next);
            self.next();
        }
        taken
    }

    /// Goes past `count` characters.
    pub(super) fn skip(&mut self, count: usize) {
        for _ in 0..count {
            self.next();
        }
    }

    /// Goes to the end of the line, not past it.
    pub(super) fn skip_line(&mut self) {
        while self.peek().is_some_and(|c| c != '\n') {
            self.next();
        }
    }

    /// The line that begins here, without its end.
    pub(super) fn line(&self) -> &'a str {
        let line = self.rest.split('\n').next().unwrap_or_default();
        line.strip_suffix('\r').unwrap_or(line)
    }
}

/// Ruby takes every character outside ASCII for a letter.
pub(super) fn begins_name(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || !c.is_ascii()
}

pub(super) fn continues_name(c: char) -> bool {
    begins_name(c) || c.is_ascii_digit()
}
