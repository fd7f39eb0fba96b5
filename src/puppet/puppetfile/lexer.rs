//! Splits the text into tokens. It knows of Ruby what it takes to find where each thing ends, also
//! of the things that the parser then refuses.

use super::{
    cursor::{Cursor, begins_name, continues_name},
    position::Position,
    quotes::{self, Quotes},
    token::{Kind, Literal, Text, Token},
};

/// Signs of more than one character, longest first.
const LONG_OPERATORS: [&str; 27] = [
    "**=", "||=", "&&=", "<<=", ">>=", "<=>", "===", "...", "**", "||", "&&", "&.", "->", "::",
    "..", "==", "=~", "!=", "!~", "<=", ">=", "<<", ">>", "+=", "-=", "*=", "/=",
];

pub(super) fn tokens(text: &str) -> Vec<Token> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lexer = Lexer {
        cursor: Cursor::new(text),
        tokens: Vec::new(),
        heredocs: Vec::new(),
        heredoc_open: false,
    };
    lexer.run();
    lexer.tokens
}

struct Lexer<'a> {
    cursor: Cursor<'a>,
    tokens: Vec<Token>,
    /// The lines that end the heredocs begun on this line.
    heredocs: Vec<String>,
    /// One heredoc has no end, so that no further one is searched for to the end of the file.
    heredoc_open: bool,
}

impl Lexer<'_> {
    fn run(&mut self) {
        let mut line_begins = true;
        loop {
            if line_begins {
                if self.cursor.line() == "__END__" {
                    break;
                }
                if is_mark(self.cursor.line(), "=begin") && !self.comment_block() {
                    break;
                }
            }
            line_begins = false;
            let before = self.cursor.at();
            self.blank();
            let at = self.cursor.at();
            let Some(next) = self.cursor.peek() else { break };
            match next {
                '\n' => {
                    self.cursor.next();
                    self.push(at, before, Kind::Newline);
                    self.skip_heredocs();
                    line_begins = true;
                }
                '#' => self.cursor.skip_line(),
                _ => {
                    let kind = self.token(next, before != at);
                    self.push(at, before, kind);
                }
            }
        }
        let at = self.cursor.at();
        self.push(at, at, Kind::Newline);
        self.push(at, at, Kind::End);
    }

    fn push(&mut self, at: Position, before: Position, kind: Kind) {
        self.tokens.push(Token { kind, at, space_before: before != at });
    }

    /// White space, and line breaks after a backslash.
    fn blank(&mut self) {
        loop {
            match self.cursor.peek() {
                Some(' ' | '\t' | '\r' | '\x0b' | '\x0c') => self.cursor.skip(1),
                Some('\\') if self.cursor.peek_second() == Some('\n') => self.cursor.skip(2),
                _ => return,
            }
        }
    }

    /// From `=begin` to behind `=end`; false where there is no `=end`.
    fn comment_block(&mut self) -> bool {
        let at = self.cursor.at();
        while self.cursor.peek().is_some() {
            let ends = is_mark(self.cursor.line(), "=end");
            self.cursor.skip_line();
            if ends {
                return true;
            }
            self.cursor.next();
        }
        let message = "the comment that `=begin` opens is not closed with `=end`";
        self.push(at, at, Kind::Broken(message.into()));
        false
    }

    fn skip_heredocs(&mut self) {
        for end in std::mem::take(&mut self.heredocs) {
            let mut ahead = self.cursor.clone();
            while ahead.peek().is_some() && ahead.line().trim_start() != end {
                ahead.skip_line();
                ahead.next();
            }
            if ahead.peek().is_none() {
                self.heredoc_open = true;
                return;
            }
            ahead.skip_line();
            ahead.next();
            self.cursor = ahead;
        }
    }

    fn token(&mut self, next: char, space_before: bool) -> Kind {
        let value_may_begin = self.value_may_begin(space_before);
        match next {
            ';' => self.sign(Kind::Newline),
            ',' => self.sign(Kind::Comma),
            '(' | '[' | '{' => self.sign(Kind::Open(next)),
            ')' | ']' | '}' => self.sign(Kind::Close(next)),
            '\'' => self.string(Quotes::single(next)),
            '"' => self.string(Quotes::double(next)),
            '`' => {
                self.cursor.next();
                refused(quotes::read(&mut self.cursor, Quotes::double('`')), Literal::Backticks)
            }
            ':' => self.colon(),
            '%' if value_may_begin => self.percent(),
            '/' if value_may_begin => {
                self.cursor.next();
                refused(quotes::read(&mut self.cursor, Quotes::double('/')), Literal::Regexp)
            }
            '?' if value_may_begin
                && self.cursor.peek_second().is_some_and(|c| !c.is_whitespace()) =>
            {
                self.cursor.skip(2);
                Kind::Refused(Literal::Character)
            }
            '<' if value_may_begin && self.heredoc() => Kind::Refused(Literal::Heredoc),
            '$' => {
                self.cursor.next();
                if self.cursor.take_while(continues_name).is_empty()
                    && self.cursor.peek().is_some_and(|c| c.is_ascii_punctuation())
                {
                    self.cursor.next();
                }
                Kind::Refused(Literal::Global)
            }
            '@' => {
                self.cursor.take_while(|c| c == '@');
                self.cursor.take_while(continues_name);
                Kind::Refused(Literal::Instance)
            }
            '0'..='9' => self.number(),
            c if begins_name(c) => self.name(),
            _ => self.operator(),
        }
    }

    /// Whether `%`, `/`, `?` and `<<` begin a value here. After a value they are operators; after
    /// a name that is followed by a space they begin its first argument, unless a space follows
    /// them as well (so does Ruby decide).
    fn value_may_begin(&self, space_before: bool) -> bool {
        match self.tokens.last().map(|token| &token.kind) {
            Some(Kind::Name(_)) => {
                space_before && self.cursor.peek_second().is_some_and(|c| !c.is_whitespace())
            }
            Some(
                Kind::Constant(_)
                | Kind::Text(_)
                | Kind::Symbol(_)
                | Kind::Words
                | Kind::Number(_)
                | Kind::Close(_)
                | Kind::Refused(_)
                | Kind::Broken(_),
            ) => false,
            _ => true,
        }
    }

    fn sign(&mut self, kind: Kind) -> Kind {
        self.cursor.next();
        kind
    }

    /// A string, which is a label when a colon follows at once.
    fn string(&mut self, quotes: Quotes) -> Kind {
        self.cursor.next();
        match quotes::read(&mut self.cursor, quotes) {
            Err(message) => Kind::Broken(message),
            Ok(text) if self.eat_label_colon() => Kind::TextLabel(text),
            Ok(text) => Kind::Text(text),
        }
    }

    fn eat_label_colon(&mut self) -> bool {
        let is_label = self.cursor.rest().starts_with(':') && !self.cursor.rest().starts_with("::");
        is_label && self.cursor.eat(':')
    }

    fn colon(&mut self) -> Kind {
        let symbol = |text: Result<Text, String>| text.map_or_else(Kind::Broken, Kind::Symbol);
        match self.cursor.peek_second() {
            Some(mark @ ('"' | '\'')) => {
                self.cursor.skip(2);
                let quotes = if mark == '"' { Quotes::double(mark) } else { Quotes::single(mark) };
                symbol(quotes::read(&mut self.cursor, quotes))
            }
            Some(c) if begins_name(c) => {
                self.cursor.next();
                Kind::Symbol(vec![super::token::Piece::Literal(self.identifier())])
            }
            _ => self.operator(),
        }
    }

    /// `%q()`, `%w[]` and their kin; the `%` is next.
    fn percent(&mut self) -> Kind {
        let mut ahead = self.cursor.clone();
        ahead.next();
        let letter = ahead.peek().filter(char::is_ascii_alphabetic);
        ahead.skip(usize::from(letter.is_some()));
        let Some(opening) = ahead.peek().filter(char::is_ascii_punctuation) else {
            return self.operator();
        };
        ahead.next();
        self.cursor = ahead;
        let double = Quotes::percent(opening, true);
        let cursor = &mut self.cursor;
        match letter {
            None | Some('Q') => quotes::read(cursor, double).map_or_else(Kind::Broken, Kind::Text),
            Some('q') => quotes::read(cursor, Quotes::percent(opening, false))
                .map_or_else(Kind::Broken, Kind::Text),
            Some('w' | 'i') => match quotes::skip_words(cursor, opening) {
                Ok(()) => Kind::Words,
                Err(message) => Kind::Broken(message),
            },
            Some(other @ ('W' | 'I')) => match quotes::skip_words(cursor, opening) {
                Ok(()) => Kind::Refused(Literal::Percent(other)),
                Err(message) => Kind::Broken(message),
            },
            Some('x') => refused(quotes::read(cursor, double), Literal::PercentX),
            Some(other) => refused(quotes::read(cursor, double), Literal::Percent(other)),
        }
    }

    /// `<<~END`, `<<-'END'`, `<<"END"`: its text begins on the next line.
    fn heredoc(&mut self) -> bool {
        let mut ahead = self.cursor.clone();
        ahead.next();
        if !ahead.eat('<') || self.heredoc_open {
            return false;
        }
        if !ahead.eat('~') {
            ahead.eat('-');
        }
        let quote = ahead.peek().filter(|c| matches!(c, '"' | '\'' | '`'));
        ahead.skip(usize::from(quote.is_some()));
        let end = ahead.take_while(continues_name);
        let closed = quote.is_none_or(|quote| ahead.eat(quote));
        if !closed || !end.starts_with(begins_name) {
            return false;
        }
        self.cursor = ahead;
        self.heredocs.push(end);
        true
    }

    /// Takes `1.2.3` as one, so that a version without quotes can be answered as such.
    fn number(&mut self) -> Kind {
        let mut number = self.cursor.take_while(continues_name);
        while self.cursor.peek() == Some('.')
            && self.cursor.peek_second().is_some_and(|c| c.is_ascii_digit())
        {
            self.cursor.next();
            number.push('.');
            number.push_str(&self.cursor.take_while(continues_name));
        }
        Kind::Number(number)
    }

    fn name(&mut self) -> Kind {
        let name = self.identifier();
        if self.eat_label_colon() {
            Kind::Label(name)
        } else if name.starts_with(char::is_uppercase) {
            Kind::Constant(name)
        } else {
            Kind::Name(name)
        }
    }

    /// An identifier with the `?` or `!` that may end it.
    fn identifier(&mut self) -> String {
        let mut name = self.cursor.take_while(continues_name);
        if let Some(mark @ ('?' | '!')) = self.cursor.peek()
            && self.cursor.peek_second() != Some('=')
        {
            name.push(mark);
            self.cursor.next();
        }
        name
    }

    fn operator(&mut self) -> Kind {
        let rest = self.cursor.rest();
        if rest.starts_with("=>") {
            self.cursor.skip(2);
            return Kind::Arrow;
        }
        if let Some(long) = LONG_OPERATORS.iter().find(|long| rest.starts_with(**long)) {
            self.cursor.skip(long.len());
            return Kind::Operator((*long).into());
        }
        match self.cursor.next() {
            Some('=') => Kind::Assign,
            Some(c) if c.is_ascii_punctuation() => Kind::Operator(c.into()),
            Some(c) => Kind::Broken(format!(
                "the character U+{:04X} is no part of a Puppetfile",
                u32::from(c)
            )),
            None => Kind::End,
        }
    }
}

/// `=begin` and `=end` stand at the beginning of a line; anything may follow a space.
fn is_mark(line: &str, mark: &str) -> bool {
    line.strip_prefix(mark).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t']))
}

fn refused(text: Result<Text, String>, literal: Literal) -> Kind {
    match text {
        Ok(_) => Kind::Refused(literal),
        Err(message) => Kind::Broken(message),
    }
}
