//! Statements: calls and assignments. Everything else is refused by its name, and the parser goes
//! on with the next statement.

use std::{collections::HashMap, rc::Rc};

use super::{
    limits,
    partners::{Partners, partners},
    position::{Located, Position},
    refusal,
    token::{Kind, Token},
    value::{Pair, Value},
};
use crate::error::Problem;

/// The calls that a Puppetfile is made of: those of r10k, and two of librarian-puppet.
pub(super) const CALLS: [&str; 5] = ["mod", "forge", "moduledir", "metadata", "exclusion"];

/// One of [`CALLS`] with its arguments; options in braces or without become one hash, as in Ruby.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) name: String,
    pub(super) at: Position,
    pub(super) arguments: Vec<Located<Value>>,
}

pub(super) struct Parser {
    pub(super) tokens: Vec<Token>,
    pub(super) index: usize,
    pub(super) partners: Partners,
    pub(super) assigned: HashMap<String, Value>,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
}

/// The statement or value is no good, and the problem that says why is noted.
pub(super) struct Noted;

impl Parser {
    pub(super) fn new(tokens: Vec<Token>) -> Self {
        let partners = partners(&tokens);
        Self {
            tokens,
            index: 0,
            partners,
            assigned: HashMap::new(),
            problems: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// The next call, or none at the end of the file.
    pub(super) fn call(&mut self) -> Option<Call> {
        loop {
            let begin = self.index;
            match self.peek() {
                Kind::End => return None,
                Kind::Newline => self.advance(),
                _ if self.problems.len() >= limits::PROBLEMS => return None,
                _ => match self.statement() {
                    Ok(None) => {}
                    Ok(Some(call)) => return Some(call),
                    // What is wrong may be that the statement ended too early.
                    Err(Noted) if self.index > begin && self.at_call_or_end() => {}
                    Err(Noted) => self.skip_statement(),
                },
            }
        }
    }

    fn statement(&mut self) -> Result<Option<Call>, Noted> {
        let at = self.at();
        let kind = self.peek().clone();
        if let Kind::Name(name) | Kind::Constant(name) = &kind {
            match self.peek_second() {
                Kind::Assign => return self.assignment(name).map(|()| None),
                Kind::Operator(sign) if is_assignment(sign) => {
                    let sign = sign.clone();
                    return Err(self.refuse(at, refusal::operator(&sign)));
                }
                _ => {}
            }
            if CALLS.contains(&name.as_str()) {
                self.advance();
                let arguments = self.arguments()?;
                self.end_of_statement()?;
                return Ok(Some(Call { name: name.clone(), at, arguments }));
            }
        }
        Err(self.refuse_statement(at, &kind))
    }

    fn refuse_statement(&mut self, at: Position, kind: &Kind) -> Noted {
        let message = match kind {
            Kind::Name(_) | Kind::Constant(_) if *self.peek_second() == Kind::Comma => {
                "several names are assigned at once: write one assignment for each".into()
            }
            Kind::Name(name) | Kind::Constant(name) => match refusal::keyword(name) {
                Some(message) => message,
                None if name == "ENV" => refusal::constant(name),
                None => refusal::method_call(&self.dotted_name()),
            },
            Kind::Refused(literal) => refusal::literal(*literal),
            Kind::Broken(message) => message.clone(),
            other => match self.method_of_value() {
                Some(method) => refusal::method_call(&method),
                None => refusal::beginning(other),
            },
        };
        self.refuse(at, message)
    }

    /// `.each` where a line begins as `[...].each` does.
    fn method_of_value(&self) -> Option<String> {
        let end = self.partners.get(&self.index).copied().unwrap_or(self.index);
        match self.tokens.get(end + 1..end + 3)? {
            [Token { kind: Kind::Operator(dot), .. }, Token { kind: Kind::Name(name), .. }]
                if dot == "." =>
            {
                Some(format!(".{name}"))
            }
            _ => None,
        }
    }

    /// `name = value`; `name` is next.
    fn assignment(&mut self, name: &str) -> Result<(), Noted> {
        if self.assigned.len() >= limits::ASSIGNMENTS {
            let message = format!("more than {} assignments", limits::ASSIGNMENTS);
            return Err(self.refuse(self.at(), message));
        }
        self.advance();
        self.advance();
        self.skip_newlines();
        let value = self.value(0).value;
        self.assigned.insert(name.to_owned(), value);
        self.end_of_statement()
    }

    /// The arguments of a call, with or without parentheses.
    fn arguments(&mut self) -> Result<Vec<Located<Value>>, Noted> {
        let opening = self.at();
        let in_parentheses = *self.peek() == Kind::Open('(');
        if in_parentheses {
            self.advance();
            self.skip_newlines();
        }
        let mut arguments = Vec::new();
        let mut options: Vec<Pair> = Vec::new();
        let mut options_at = None;
        // Where an argument was no good: what the options are without it says nothing.
        let mut dropped = None;
        while *self.peek() != Kind::Close(')')
            && (in_parentheses || !matches!(self.peek(), Kind::Newline | Kind::End))
        {
            let at = self.at();
            match self.argument(0) {
                Some(Argument::Pair(pair)) => {
                    options_at.get_or_insert(at);
                    self.add(&mut options, pair)?;
                }
                Some(Argument::Value(_)) if options_at.is_some() => {
                    let message = "options (`key: value`) come after all other arguments";
                    return Err(self.refuse(at, message));
                }
                Some(Argument::Value(value)) => arguments.push(value),
                None => dropped = Some(at),
            }
            let comma = self.at();
            if *self.peek() != Kind::Comma {
                break;
            }
            self.advance();
            self.skip_newlines();
            if !in_parentheses && self.at_call_or_end() {
                self.problem(comma, "nothing follows this `,`: remove it");
                return Ok(arguments);
            }
        }
        if in_parentheses {
            self.skip_newlines();
            if *self.peek() != Kind::Close(')') {
                return Err(self.expected("`,` or `)`", '(', opening));
            }
            self.advance();
        }
        if let Some(at) = dropped {
            arguments.push(Located::new(Value::Unknown, at));
        } else if let Some(at) = options_at {
            arguments.push(Located::new(Value::Hash(Rc::from(options)), at));
        }
        Ok(arguments)
    }

    /// The next statement begins here, where a value was expected, or the file ends.
    pub(super) fn at_call_or_end(&self) -> bool {
        match self.peek() {
            Kind::End => true,
            Kind::Name(name) => CALLS.contains(&name.as_str()) && self.after_newline(),
            _ => false,
        }
    }

    fn end_of_statement(&mut self) -> Result<(), Noted> {
        let at = self.at();
        let message = match self.peek() {
            Kind::Newline | Kind::End => return Ok(()),
            // The call before this one ended with a comma, which is noted.
            Kind::Name(name) if CALLS.contains(&name.as_str()) && self.after_newline() => {
                return Ok(());
            }
            Kind::Name(name) if name == "do" => refusal::block("do"),
            Kind::Open('{') => refusal::block("{"),
            Kind::Name(name) => match refusal::keyword(name) {
                Some(message) => message,
                None => format!("`,` or the end of the line is missing before `{name}`"),
            },
            Kind::Operator(sign) => refusal::operator(sign),
            Kind::Refused(literal) => refusal::literal(*literal),
            Kind::Broken(message) => message.clone(),
            other => {
                format!("`,` or the end of the line is missing before {}", refusal::token(other))
            }
        };
        Err(self.refuse(at, message))
    }

    /// Goes to the end of the statement, past the blocks and brackets in it.
    fn skip_statement(&mut self) {
        loop {
            match self.peek() {
                Kind::End => return,
                Kind::Newline if !self.line_goes_on() => return,
                _ => self.skip_one(),
            }
        }
    }

    /// Past one token, or to behind what closes it.
    pub(super) fn skip_one(&mut self) {
        self.index = self.partners.get(&self.index).copied().unwrap_or(self.index);
        self.advance();
    }

    /// Whether the statement goes on behind the line break that is next.
    pub(super) fn line_goes_on(&self) -> bool {
        let before = self.index.checked_sub(1).and_then(|before| self.tokens.get(before));
        let leading_dot =
            matches!(self.peek_second(), Kind::Operator(sign) if sign == "." || sign == "&.");
        let next_call =
            matches!(self.peek_second(), Kind::Name(name) if CALLS.contains(&name.as_str()));
        if next_call {
            return false;
        }
        leading_dot
            || before.is_some_and(|before| {
                matches!(
                    before.kind,
                    Kind::Comma | Kind::Arrow | Kind::Assign | Kind::Label(_) | Kind::Operator(_)
                )
            })
    }

    pub(super) fn peek(&self) -> &Kind {
        self.tokens.get(self.index).map_or(&Kind::End, |token| &token.kind)
    }

    pub(super) fn peek_second(&self) -> &Kind {
        self.tokens.get(self.index + 1).map_or(&Kind::End, |token| &token.kind)
    }

    /// The place of the next token.
    pub(super) fn at(&self) -> Position {
        // The last token is `End`, and nothing goes past it.
        self.tokens.get(self.index).or(self.tokens.last()).map_or(Position::START, |t| t.at)
    }

    pub(super) fn space_before(&self) -> bool {
        self.tokens.get(self.index).is_some_and(|token| token.space_before)
    }

    fn after_newline(&self) -> bool {
        self.index.checked_sub(1).is_some_and(|i| self.tokens[i].kind == Kind::Newline)
    }

    pub(super) fn advance(&mut self) {
        if self.index + 1 < self.tokens.len() {
            self.index += 1;
        }
    }

    pub(super) fn skip_newlines(&mut self) {
        while *self.peek() == Kind::Newline {
            self.advance();
        }
    }

    pub(super) fn problem(&mut self, at: Position, message: impl Into<String>) {
        if self.problems.len() < limits::PROBLEMS {
            self.problems.push(at.problem(message));
        }
    }

    pub(super) fn warning(&mut self, at: Position, message: impl Into<String>) {
        if self.warnings.len() < limits::PROBLEMS {
            self.warnings.push(at.problem(message));
        }
    }

    pub(super) fn refuse(&mut self, at: Position, message: impl Into<String>) -> Noted {
        self.problem(at, message);
        Noted
    }

    /// What is missing, and the bracket that made it expected.
    pub(super) fn expected(&mut self, what: &str, bracket: char, opening: Position) -> Noted {
        let found = refusal::token(self.peek());
        let line = opening.line;
        let message =
            format!("{what} is missing before {found} (the `{bracket}` is on line {line})");
        self.refuse(self.at(), message)
    }
}

/// An argument of a call, or an element of a hash.
pub(super) enum Argument {
    Value(Located<Value>),
    Pair(Pair),
}

fn is_assignment(sign: &str) -> bool {
    sign.ends_with('=') && !matches!(sign, "==" | "===" | "!=" | "<=" | ">=")
}
