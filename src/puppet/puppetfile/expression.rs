//! Values: literals, and the names of literals assigned above. Nothing is computed.

use std::rc::Rc;

use super::{
    limits,
    parser::{Argument, CALLS, Noted, Parser},
    position::{Located, Position},
    refusal,
    token::{Kind, Piece, Text},
    value::{Key, Pair, Value},
};

impl Parser {
    /// A value, or [`Value::Unknown`] and a problem; then what stands for the value is skipped.
    pub(super) fn value(&mut self, depth: usize) -> Located<Value> {
        let at = self.at();
        let value = match self.primary(depth) {
            Ok(value) => self.nothing_is_done_with_it().map(|()| value),
            noted => noted,
        };
        let value = value.unwrap_or_else(|Noted| {
            self.skip_expression();
            Value::Unknown
        });
        Located::new(value, at)
    }

    fn primary(&mut self, depth: usize) -> Result<Value, Noted> {
        let at = self.at();
        let kind = self.peek().clone();
        let message = match kind {
            Kind::Text(text) => return self.adjacent_strings(text, at).map(Value::Text),
            Kind::Symbol(text) => {
                self.advance();
                return self.resolve(text, at).map(Value::Symbol);
            }
            Kind::Words => {
                self.advance();
                return Ok(Value::Array);
            }
            Kind::Number(digits) => match integer(&digits) {
                Some(integer) => {
                    self.advance();
                    return Ok(Value::Number(integer));
                }
                None => {
                    let digits = refusal::shown(&digits);
                    format!("`{digits}` is no whole number: write it as a string, '{digits}'")
                }
            },
            Kind::Open('[') => return self.array(at, depth),
            Kind::Open('{') => return self.hash(at, depth),
            Kind::Open(bracket) => {
                format!("`{bracket}` around a value is not understood: remove it")
            }
            Kind::Name(name) => return self.name(&name, at),
            Kind::Constant(name) => return self.constant(&name, at),
            Kind::Operator(sign) => refusal::operator(&sign),
            Kind::Refused(literal) => refusal::literal(literal),
            Kind::Broken(message) => message,
            other => format!("a value is missing before {}", refusal::token(&other)),
        };
        Err(self.refuse(at, message))
    }

    /// Strings with only spaces between them are one string, as in Ruby.
    fn adjacent_strings(&mut self, mut text: Text, at: Position) -> Result<String, Noted> {
        self.advance();
        while let Kind::Text(more) = self.peek() {
            text.extend(more.iter().cloned());
            self.advance();
        }
        self.resolve(text, at)
    }

    /// Puts the values of the names into a string.
    fn resolve(&mut self, text: Text, at: Position) -> Result<String, Noted> {
        let mut resolved = String::new();
        for piece in text {
            match piece {
                Piece::Literal(literal) => resolved.push_str(&literal),
                Piece::Expression(at) => {
                    return Err(self.refuse(at, refusal::expression_in_string()));
                }
                Piece::Name(name, at) => match self.named(&name) {
                    Some(Value::Text(text) | Value::Symbol(text) | Value::Number(text)) => {
                        resolved.push_str(&text);
                    }
                    Some(Value::Bool(value)) => resolved.push_str(&value.to_string()),
                    Some(Value::Nil) => {}
                    Some(Value::Unknown) => return Err(Noted),
                    Some(value @ (Value::Array | Value::Hash(_))) => {
                        let message = format!("`{name}` is {}, not a string", value.kind());
                        return Err(self.refuse(at, message));
                    }
                    None => return Err(self.refuse(at, refusal::not_defined(&name))),
                },
            }
            if resolved.len() > limits::TEXT {
                let message = format!("a string of more than {} bytes", limits::TEXT);
                return Err(self.refuse(at, message));
            }
        }
        Ok(resolved)
    }

    fn name(&mut self, name: &str, at: Position) -> Result<Value, Noted> {
        if let Some(value) = self.named(name) {
            self.advance();
            return Ok(value);
        }
        if CALLS.contains(&name) {
            return Err(self.refuse(at, format!("a value is missing before `{name}`")));
        }
        if let Some(message) = refusal::keyword(name) {
            return Err(self.refuse(at, message));
        }
        let called = self.dotted_name();
        let message = match self.peek_second() {
            _ if called != name => refusal::method_call(&called),
            Kind::Open('(') => refusal::method_call(&called),
            next if begins_value(next) => {
                let message = refusal::method_call(&called);
                while !matches!(self.peek(), Kind::Newline | Kind::Close(_) | Kind::End) {
                    self.skip_one();
                }
                message
            }
            _ => refusal::not_defined(name),
        };
        Err(self.refuse(at, message))
    }

    /// What a name stands for.
    fn named(&self, name: &str) -> Option<Value> {
        match name {
            "true" => Some(Value::Bool(true)),
            "false" => Some(Value::Bool(false)),
            "nil" => Some(Value::Nil),
            _ => self.assigned.get(name).cloned(),
        }
    }

    fn constant(&mut self, name: &str, at: Position) -> Result<Value, Noted> {
        let called = self.dotted_name();
        let last = called.rsplit(['.', ':']).next().unwrap_or_default();
        let message =
            if *self.peek_second() == Kind::Open('(') || !last.starts_with(char::is_uppercase) {
                refusal::method_call(&called)
            } else if called != name {
                refusal::not_defined(&called)
            } else if let Some(value) = self.assigned.get(name).cloned() {
                self.advance();
                return Ok(value);
            } else {
                refusal::constant(name)
            };
        Err(self.refuse(at, message))
    }

    /// `File.read` or `Foo::Bar.new`, from the name that is next.
    pub(super) fn dotted_name(&self) -> String {
        let mut whole = String::new();
        for pair in self.tokens[self.index..].chunks(2) {
            let [first, second] = pair else { break };
            let (Kind::Name(name) | Kind::Constant(name)) = &first.kind else { break };
            whole.push_str(name);
            match &second.kind {
                Kind::Operator(sign) if matches!(sign.as_str(), "." | "::") => {
                    whole.push_str(sign);
                }
                _ => break,
            }
        }
        whole
    }

    /// A method call, an index or an operator behind a value.
    fn nothing_is_done_with_it(&mut self) -> Result<(), Noted> {
        let message = match self.peek() {
            Kind::Operator(sign) if sign == "." || sign == "&." => match self.peek_second() {
                Kind::Name(name) => refusal::method_call(&format!(".{name}")),
                _ => refusal::operator("."),
            },
            Kind::Operator(sign) => refusal::operator(sign),
            Kind::Assign => refusal::operator("="),
            Kind::Open('[') if !self.space_before() => refusal::operator("[...]"),
            _ => return Ok(()),
        };
        Err(self.refuse(self.at(), message))
    }

    /// Goes to the comma, bracket or line end behind the value.
    fn skip_expression(&mut self) {
        while !self.at_call_or_end() {
            match self.peek() {
                Kind::Comma | Kind::Close(_) => return,
                Kind::Newline if !self.line_goes_on() => return,
                _ => self.skip_one(),
            }
        }
    }

    fn array(&mut self, opening: Position, depth: usize) -> Result<Value, Noted> {
        self.enter(opening, depth)?;
        let mut array = Value::Array;
        while *self.peek() != Kind::Close(']') {
            if self.value(depth + 1).value == Value::Unknown {
                array = Value::Unknown;
            }
            if !self.next_element() {
                break;
            }
        }
        self.leave('[', ']', opening)?;
        Ok(array)
    }

    fn hash(&mut self, opening: Position, depth: usize) -> Result<Value, Noted> {
        self.enter(opening, depth)?;
        let mut pairs = Vec::new();
        let mut known = true;
        while *self.peek() != Kind::Close('}') {
            match self.argument(depth + 1) {
                Some(Argument::Pair(pair)) => self.add(&mut pairs, pair)?,
                Some(Argument::Value(value)) => {
                    if value.value != Value::Unknown {
                        self.problem(value.at, "a hash holds `key: value` pairs");
                    }
                    known = false;
                }
                None => known = false,
            }
            if !self.next_element() {
                break;
            }
        }
        self.leave('{', '}', opening)?;
        Ok(if known { Value::Hash(Rc::from(pairs)) } else { Value::Unknown })
    }

    fn enter(&mut self, opening: Position, depth: usize) -> Result<(), Noted> {
        if depth >= limits::DEPTH {
            let message = format!("more than {} brackets within each other", limits::DEPTH);
            return Err(self.refuse(opening, message));
        }
        self.advance();
        self.skip_newlines();
        Ok(())
    }

    /// Past the comma, if there is one.
    fn next_element(&mut self) -> bool {
        let comma = *self.peek() == Kind::Comma;
        if comma {
            self.advance();
        }
        self.skip_newlines();
        comma
    }

    fn leave(&mut self, open: char, close: char, opening: Position) -> Result<(), Noted> {
        if *self.peek() != Kind::Close(close) {
            return Err(self.expected(&format!("`,` or `{close}`"), open, opening));
        }
        self.advance();
        Ok(())
    }

    /// `key: value`, `'key' => value` or a value; none where the key is no good, which is noted.
    pub(super) fn argument(&mut self, depth: usize) -> Option<Argument> {
        let at = self.at();
        let key = match self.peek().clone() {
            Kind::Label(name) => {
                self.advance();
                Some(Key::Symbol(name))
            }
            Kind::TextLabel(text) => {
                self.advance();
                self.resolve(text, at).ok().map(Key::Symbol)
            }
            Kind::Operator(sign) if matches!(sign.as_str(), "*" | "**" | "&") => {
                self.problem(at, refusal::splat(&sign));
                self.skip_expression();
                return None;
            }
            _ => {
                let value = self.value(depth);
                if *self.peek() != Kind::Arrow {
                    return Some(Argument::Value(value));
                }
                self.advance();
                self.key(value)
            }
        };
        self.skip_newlines();
        let value = self.value(depth);
        let pair = |key| Argument::Pair(Pair { key: Located::new(key, at), value });
        key.map(pair)
    }

    /// The key before a `=>`.
    fn key(&mut self, value: Located<Value>) -> Option<Key> {
        match value.value {
            Value::Symbol(name) => Some(Key::Symbol(name)),
            Value::Text(name) => Some(Key::Text(name)),
            Value::Unknown => None,
            other => {
                let message = format!("the key of an option is a symbol, not {}", other.kind());
                self.problem(value.at, message);
                None
            }
        }
    }

    /// Adds an option. Of two with the same key Ruby keeps the last, in its place.
    pub(super) fn add(&mut self, pairs: &mut Vec<Pair>, pair: Pair) -> Result<(), Noted> {
        if pairs.len() >= limits::OPTIONS {
            let message = format!("more than {} options", limits::OPTIONS);
            return Err(self.refuse(pair.key.at, message));
        }
        if let Some(index) = pairs.iter().position(|p| p.key.value == pair.key.value) {
            let (Key::Symbol(name) | Key::Text(name)) = &pair.key.value;
            let name = refusal::shown(name);
            self.warning(pair.key.at, format!("`{name}` is given twice: the last one counts"));
            pairs.remove(index);
        }
        pairs.push(pair);
        Ok(())
    }
}

/// Whether a name before this is a call without parentheses.
fn begins_value(kind: &Kind) -> bool {
    matches!(
        kind,
        Kind::Text(_)
            | Kind::Symbol(_)
            | Kind::Words
            | Kind::Number(_)
            | Kind::Name(_)
            | Kind::Constant(_)
            | Kind::Label(_)
            | Kind::Refused(_)
    )
}

/// The digits of a decimal number, without the `_` that Ruby allows between them.
fn integer(written: &str) -> Option<String> {
    let well_formed = written
        .split('_')
        .all(|group| !group.is_empty() && group.bytes().all(|b| b.is_ascii_digit()));
    let digits = written.replace('_', "");
    // A leading zero makes it octal to Ruby.
    (well_formed && (digits == "0" || !digits.starts_with('0'))).then_some(digits)
}
