//! What the lexer makes of the text: tokens of Ruby, as far as a Puppetfile has them.

use super::position::Position;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) at: Position,
    /// Ruby tells `mod (x)` from `mod(x)` and `a [1]` from `a[1]` by the space.
    pub(super) space_before: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// The end of a line, or `;`.
    Newline,
    /// An identifier that begins with a small letter or `_`, keywords among them.
    Name(String),
    /// An identifier that begins with a capital letter.
    Constant(String),
    /// `name:`, as in `git: '...'`.
    Label(String),
    /// A string in quotes or `%q()`, `%Q()`, `%()`.
    Text(Text),
    /// `"name":`, as in `"git": '...'`.
    TextLabel(Text),
    /// `:name` or `:"name"`.
    Symbol(Text),
    /// `%w[...]` or `%i[...]`. No option of a module takes an array, so the words are not kept.
    Words,
    /// Anything that begins with a digit, as it is written.
    Number(String),
    /// `=>`
    Arrow,
    Comma,
    /// `=`
    Assign,
    /// `(`, `[` or `{`
    Open(char),
    /// `)`, `]` or `}`
    Close(char),
    /// Any other sign.
    Operator(String),
    /// A literal that runs or computes something, read to its end.
    Refused(Literal),
    /// What is no token at all; the words say why.
    Broken(String),
    End,
}

/// A string, symbol or label as it is written: literal pieces and the names between them.
pub(super) type Text = Vec<Piece>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Literal(String),
    /// `#{name}`
    Name(String, Position),
    /// `#{...}` with anything else in it.
    Expression(Position),
}

/// Literals of Ruby that are no plain data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Literal {
    Backticks,
    PercentX,
    /// `%W[]`, `%I[]`, `%r{}`, `%s()`
    Percent(char),
    Regexp,
    Heredoc,
    Character,
    Global,
    Instance,
}
