//! Which bracket and which `end` closes what. A construct that is refused is skipped whole: one
//! problem, not one for each of its lines.

use std::collections::HashMap;

use super::token::{Kind, Token};

/// The index of what closes, by the index of the bracket or keyword that opens.
pub(super) type Partners = HashMap<usize, usize>;

/// What closes: a bracket, or `end` by this letter, which is no bracket.
type Closing = char;
const END: Closing = 'e';

/// One pass over all tokens, so that skipping later costs nothing. What is never closed has no
/// partner, and hides nothing that comes after it.
pub(super) fn partners(tokens: &[Token]) -> Partners {
    let mut partners = Partners::new();
    let mut open: Vec<(Closing, usize)> = Vec::new();
    // How many of a kind are in `open`: without it, a file of closing brackets takes a search
    // through all of them each time.
    let mut counts = HashMap::<Closing, usize>::new();
    // `while x do` has one `end`, not two.
    let mut loop_without_do = false;
    for (index, token) in tokens.iter().enumerate() {
        let (closing, closes) = match &token.kind {
            Kind::Newline => {
                loop_without_do = false;
                continue;
            }
            Kind::Open(bracket) => (closing_of(*bracket), false),
            Kind::Close(bracket) => (*bracket, true),
            Kind::Name(name) => match name.as_str() {
                "do" if loop_without_do => {
                    loop_without_do = false;
                    continue;
                }
                "end" => (END, true),
                "do" => (END, false),
                "while" | "until" | "for" if begins_statement(tokens, index) => {
                    loop_without_do = true;
                    (END, false)
                }
                "if" | "unless" | "case" | "begin" | "def" | "class" | "module"
                    if begins_statement(tokens, index) =>
                {
                    (END, false)
                }
                _ => continue,
            },
            _ => continue,
        };
        if !closes {
            *counts.entry(closing).or_insert(0) += 1;
            open.push((closing, index));
        } else if counts.get(&closing).is_some_and(|count| *count > 0) {
            while let Some((inner, start)) = open.pop() {
                counts.entry(inner).and_modify(|count| *count -= 1);
                if inner == closing {
                    partners.insert(start, index);
                    break;
                }
            }
        }
    }
    partners
}

fn closing_of(bracket: char) -> Closing {
    match bracket {
        '(' => ')',
        '[' => ']',
        _ => '}',
    }
}

/// Elsewhere `if` and its kin follow a statement, and have no `end`.
fn begins_statement(tokens: &[Token], index: usize) -> bool {
    let Some(before) = index.checked_sub(1).and_then(|before| tokens.get(before)) else {
        return true;
    };
    match &before.kind {
        Kind::Newline
        | Kind::Assign
        | Kind::Arrow
        | Kind::Comma
        | Kind::Open(_)
        | Kind::Label(_) => true,
        Kind::Operator(sign) => !matches!(sign.as_str(), "." | "&." | "::"),
        Kind::Name(name) => matches!(name.as_str(), "then" | "else" | "do" | "begin" | "ensure"),
        _ => false,
    }
}
