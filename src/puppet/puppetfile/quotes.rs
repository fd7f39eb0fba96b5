//! Strings: where they end, and what their escapes mean (Ruby, "Literals", "Strings").
//!
//! A string ends on the line it begins on. Ruby lets it go on, but no name, version, URL or path
//! holds a line break, and so one forgotten quote costs one problem instead of the whole file.

use super::{
    cursor::{Cursor, begins_name, continues_name},
    token::{Piece, Text},
};

/// How a string is written.
#[derive(Clone, Copy)]
pub(super) struct Quotes {
    close: char,
    /// `(` in `%q(...)`: inside, pairs of it are part of the string.
    open: Option<char>,
    /// Double-quoted: escapes and `#{...}` mean something.
    interpolates: bool,
}

impl Quotes {
    pub(super) fn single(mark: char) -> Self {
        Self { close: mark, open: None, interpolates: false }
    }

    pub(super) fn double(mark: char) -> Self {
        Self { close: mark, open: None, interpolates: true }
    }

    /// The quotes of `%q`, `%Q` and their kin, by the sign that opens them.
    pub(super) fn percent(opening: char, interpolates: bool) -> Self {
        let close = match opening {
            '(' => ')',
            '[' => ']',
            '{' => '}',
            '<' => '>',
            same => return Self { close: same, open: None, interpolates },
        };
        Self { close, open: Some(opening), interpolates }
    }
}

const NOT_CLOSED: &str = "the string is not closed on the line it begins on";

/// Reads a string after its opening quote, to its end or to the end of its line.
pub(super) fn read(cursor: &mut Cursor<'_>, quotes: Quotes) -> Result<Text, String> {
    let mut pieces = Pieces::default();
    let mut mistake = None;
    let mut depth = 0_usize;
    loop {
        let at = cursor.at();
        match cursor.peek() {
            None | Some('\n') => return Err(NOT_CLOSED.into()),
            Some(c) if c == quotes.close && depth == 0 => break,
            Some('\\') => {
                cursor.next();
                let escape = if quotes.interpolates {
                    double_escape(cursor, &mut pieces.bytes)
                } else {
                    single_escape(cursor, quotes, &mut pieces.bytes);
                    Ok(())
                };
                mistake = mistake.or(escape.err());
            }
            Some('#') if quotes.interpolates && cursor.peek_second() == Some('{') => {
                let piece = interpolation(cursor)?;
                mistake = mistake.or(pieces.push(piece).err());
            }
            Some('#') if quotes.interpolates && matches!(cursor.peek_second(), Some('@' | '$')) => {
                cursor.next();
                mistake = mistake.or(pieces.push(Piece::Expression(at)).err());
            }
            Some(c) => {
                if c == quotes.close {
                    depth -= 1;
                } else if Some(c) == quotes.open {
                    depth += 1;
                }
                pieces.char(c);
                cursor.next();
            }
        }
    }
    cursor.next();
    let text = pieces.finish();
    mistake.map_or(text, Err)
}

/// Goes past a `%w[...]`, which may be wrapped over several lines.
pub(super) fn skip_words(cursor: &mut Cursor<'_>, opening: char) -> Result<(), String> {
    let quotes = Quotes::percent(opening, false);
    let mut depth = 0_usize;
    while let Some(c) = cursor.next() {
        if c == '\\' {
            cursor.next();
        } else if c == quotes.close && depth == 0 {
            return Ok(());
        } else if c == quotes.close {
            depth -= 1;
        } else if Some(c) == quotes.open {
            depth += 1;
        }
    }
    Err(format!("the array that begins here is not closed with `{}`", quotes.close))
}

/// The pieces of a string while it is read. Escapes are bytes: `\xC3\xA9` is one character.
#[derive(Default)]
struct Pieces {
    done: Text,
    bytes: Vec<u8>,
}

impl Pieces {
    fn char(&mut self, c: char) {
        self.bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }

    fn close(&mut self) -> Result<(), String> {
        let literal = String::from_utf8(std::mem::take(&mut self.bytes))
            .map_err(|_| "the escapes of this string are not UTF-8".to_owned())?;
        if !literal.is_empty() {
            self.done.push(Piece::Literal(literal));
        }
        Ok(())
    }

    fn push(&mut self, piece: Piece) -> Result<(), String> {
        self.close()?;
        self.done.push(piece);
        Ok(())
    }

    fn finish(mut self) -> Result<Text, String> {
        self.close()?;
        Ok(self.done)
    }
}

/// After the backslash in a single-quoted string: only the backslash and the quotes are escaped.
fn single_escape(cursor: &mut Cursor<'_>, quotes: Quotes, bytes: &mut Vec<u8>) {
    match cursor.peek() {
        Some(c) if c == '\\' || c == quotes.close || Some(c) == quotes.open => {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            cursor.next();
        }
        _ => bytes.push(b'\\'),
    }
}

/// After the backslash in a double-quoted string.
fn double_escape(cursor: &mut Cursor<'_>, bytes: &mut Vec<u8>) -> Result<(), String> {
    let Some(c) = cursor.next() else { return Ok(()) };
    let byte = match c {
        'n' => b'\n',
        't' => b'\t',
        'r' => b'\r',
        'a' => 7,
        'b' => 8,
        'e' => 27,
        'f' => 12,
        'v' => 11,
        's' => b' ',
        '\n' => return Ok(()),
        '0'..='7' => {
            let mut value = c.to_digit(8).unwrap_or_default();
            for _ in 0..2 {
                let Some(digit) = cursor.peek().and_then(|c| c.to_digit(8)) else { break };
                value = value * 8 + digit;
                cursor.next();
            }
            // Ruby keeps the low eight bits of `\400` and above.
            (value & 0xff) as u8
        }
        'x' => match hexadecimal(cursor, 2).as_str() {
            "" => return Err("`\\x` is followed by one or two hexadecimal digits".into()),
            digits => u8::from_str_radix(digits, 16).unwrap_or_default(),
        },
        'u' => return unicode(cursor, bytes),
        'c' | 'C' | 'M' => {
            return Err(format!("control escapes (`\\{c}`) are not understood: remove it"));
        }
        other => {
            bytes.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes());
            return Ok(());
        }
    };
    bytes.push(byte);
    Ok(())
}

/// `\u00e9` or `\u{e9 1F600}`, after the `u`.
fn unicode(cursor: &mut Cursor<'_>, bytes: &mut Vec<u8>) -> Result<(), String> {
    let mut push = |digits: &str| {
        let c = u32::from_str_radix(digits, 16).ok().and_then(char::from_u32);
        let c = c.ok_or_else(|| format!("`\\u` with '{digits}' is no character of Unicode"))?;
        bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        Ok::<(), String>(())
    };
    if !cursor.eat('{') {
        let digits = hexadecimal(cursor, 4);
        if digits.len() < 4 {
            return Err("`\\u` is followed by four hexadecimal digits or by `{...}`".into());
        }
        return push(&digits);
    }
    loop {
        cursor.take_while(|c| c == ' ' || c == '\t');
        if cursor.eat('}') {
            return Ok(());
        }
        let digits = hexadecimal(cursor, 6);
        if digits.is_empty() {
            return Err("`\\u{...}` holds hexadecimal numbers with spaces between them".into());
        }
        push(&digits)?;
    }
}

fn hexadecimal(cursor: &mut Cursor<'_>, at_most: usize) -> String {
    let mut digits = String::new();
    while let Some(digit) = cursor.peek().filter(char::is_ascii_hexdigit)
        && digits.len() < at_most
    {
        digits.push(digit);
        cursor.next();
    }
    digits
}

/// `#{...}`, from the `#` to behind the closing brace.
fn interpolation(cursor: &mut Cursor<'_>) -> Result<Piece, String> {
    let at = cursor.at();
    cursor.skip(2);
    let blank = |c| c == ' ' || c == '\t';
    let mut ahead = cursor.clone();
    ahead.take_while(blank);
    let name_at = ahead.at();
    let name = ahead.take_while(continues_name);
    ahead.take_while(blank);
    if name.starts_with(begins_name) && ahead.eat('}') {
        *cursor = ahead;
        return Ok(Piece::Name(name, name_at));
    }
    skip_expression(cursor)?;
    Ok(Piece::Expression(at))
}

/// Goes behind the brace that closes an interpolation. Strings in it may hold braces, and
/// interpolations of their own.
fn skip_expression(cursor: &mut Cursor<'_>) -> Result<(), String> {
    let mut open = vec!['}'];
    while let Some(close) = open.last().copied() {
        match cursor.peek() {
            None | Some('\n') => return Err(NOT_CLOSED.into()),
            Some('\\') if close != '}' => cursor.skip(1),
            Some(c) if c == close => {
                open.pop();
            }
            Some('#') if close != '}' && close != '\'' && cursor.peek_second() == Some('{') => {
                cursor.next();
                open.push('}');
            }
            Some('{') if close == '}' => open.push('}'),
            Some(quote @ ('"' | '\'' | '`')) if close == '}' => open.push(quote),
            Some(_) => {}
        }
        cursor.next();
    }
    Ok(())
}
