//! What is said about Ruby that is not part of the accepted language: its name, and the way out.

use super::token::{Kind, Literal};
use crate::error::Problem;

/// Longer names are cut: a problem is a sentence, not a copy of the file.
const SHOWN: usize = 60;

/// Why it is refused; every refusal ends with what to do instead.
const NOT_RUN: &str = "and Crane runs no Ruby";

/// What the parser leaves out of the language, though it would do no harm.
const NOT_UNDERSTOOD: &str = "is not understood";

/// What no engine of Crane's own fetches from.
pub(in super::super) const SUBVERSION: &str = "modules from Subversion are not supported";

/// Whether a problem is one with the file only for Crane: r10k, which runs all of Ruby, would do it.
pub(in super::super) fn is_for_r10k(problem: &Problem) -> bool {
    [NOT_RUN, NOT_UNDERSTOOD, SUBVERSION].iter().any(|words| problem.message.contains(words))
}

/// Text of the user's, fit to stand in a sentence.
pub(super) fn shown(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(SHOWN)
        .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
        .collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

/// A call of anything but the statements of a Puppetfile, by its name with its receiver.
pub(super) fn method_call(name: &str) -> String {
    let name = shown(name);
    match name.as_str() {
        "require" | "require_relative" | "load" | "include" | "extend" => {
            format!("`{name}` loads Ruby code, {NOT_RUN}: remove it")
        }
        _ => format!(
            "`{name}` is a method call, {NOT_RUN}: remove it, or write its result as a literal"
        ),
    }
}

pub(super) fn constant(name: &str) -> String {
    match name {
        "ENV" => {
            format!("`ENV[...]` reads the environment, {NOT_RUN}: write the value as a literal")
        }
        _ => not_defined(name),
    }
}

/// A name that no assignment above has given a value.
pub(super) fn not_defined(name: &str) -> String {
    let name = shown(name);
    format!("`{name}` has no value: assign a literal to it above, or write the literal here")
}

/// The keywords of Ruby, but for `true`, `false` and `nil`.
pub(super) fn keyword(name: &str) -> Option<String> {
    let way_out = match name {
        "if" | "unless" | "elsif" | "else" | "case" | "when" | "in" | "then" => {
            "list the modules without conditions"
        }
        "while" | "until" | "for" | "do" | "loop" | "break" | "next" | "redo" => {
            "write one `mod` for each module"
        }
        "def" | "class" | "module" | "alias" | "undef" | "BEGIN" | "END" | "begin" | "end"
        | "rescue" | "ensure" | "retry" | "return" | "yield" | "self" | "super" | "and" | "or"
        | "not" | "defined?" | "__FILE__" | "__LINE__" | "__dir__" | "__method__" => {
            "remove it, and write values as literals"
        }
        _ => return None,
    };
    Some(format!("`{name}` is Ruby code, {NOT_RUN}: {way_out}"))
}

pub(super) fn block(opening: &str) -> String {
    format!("a block (`{opening}`) is Ruby code, {NOT_RUN}: write one `mod` for each module")
}

pub(super) fn expression_in_string() -> String {
    format!(
        "`#{{...}}` with an expression in it is Ruby code, {NOT_RUN}: only the name of a literal \
         assigned above can stand there"
    )
}

pub(super) fn splat(sign: &str) -> String {
    format!("`{sign}` before a value is Ruby code, {NOT_RUN}: write the arguments themselves")
}

pub(super) fn operator(sign: &str) -> String {
    let name = match sign {
        "?" => "`? :` (a condition)",
        "->" => "`->` (a lambda)",
        "." | "&." => "a method call (`.`)",
        _ => return format!("`{sign}` is an operator, {NOT_RUN}: write the result as a literal"),
    };
    format!("{name} is Ruby code, {NOT_RUN}: write the result as a literal")
}

pub(super) fn literal(literal: Literal) -> String {
    match literal {
        Literal::Backticks => {
            format!("backticks run a command, {NOT_RUN}: write its output as a literal")
        }
        Literal::PercentX => {
            format!("`%x` runs a command, {NOT_RUN}: write its output as a literal")
        }
        Literal::Percent(letter) => {
            format!("`%{letter}` {NOT_UNDERSTOOD}: write strings in quotes, arrays in brackets")
        }
        Literal::Regexp => format!("a regular expression {NOT_UNDERSTOOD} here: write a string"),
        Literal::Heredoc => format!("a heredoc {NOT_UNDERSTOOD} here: write a string in quotes"),
        Literal::Character => {
            format!("a character literal (`?a`) {NOT_UNDERSTOOD} here: write a string in quotes")
        }
        Literal::Global => format!("a global variable is Ruby code, {NOT_RUN}: write a literal"),
        Literal::Instance => {
            format!("an instance variable is Ruby code, {NOT_RUN}: write a literal")
        }
    }
}

/// What no statement begins with.
pub(super) fn beginning(kind: &Kind) -> String {
    let found = token(kind);
    let hint = match kind {
        Kind::Label(_) | Kind::TextLabel(_) | Kind::Symbol(_) | Kind::Text(_) => {
            " (the line before may lack a `,` at its end)"
        }
        _ => "",
    };
    format!(
        "a line begins with `mod`, `forge`, `moduledir` or an assignment, not with {found}{hint}"
    )
}

/// What a token is called where another one was expected.
pub(super) fn token(kind: &Kind) -> String {
    match kind {
        Kind::Newline => "the end of the line".into(),
        Kind::End => "the end of the file".into(),
        Kind::Name(name) | Kind::Constant(name) => format!("`{}`", shown(name)),
        Kind::Label(name) => format!("`{}:`", shown(name)),
        Kind::Text(_) | Kind::TextLabel(_) => "a string".into(),
        Kind::Symbol(_) => "a symbol".into(),
        Kind::Words => "an array".into(),
        Kind::Number(number) => format!("`{}`", shown(number)),
        Kind::Arrow => "`=>`".into(),
        Kind::Comma => "`,`".into(),
        Kind::Assign => "`=`".into(),
        Kind::Open(bracket) | Kind::Close(bracket) => format!("`{bracket}`"),
        Kind::Operator(sign) => format!("`{sign}`"),
        Kind::Refused(literal) => self::literal(*literal),
        Kind::Broken(message) => message.clone(),
    }
}
