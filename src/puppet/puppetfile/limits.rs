//! How much of everything a Puppetfile may have. The largest that are in public use have some 300
//! modules in 40 kB; beyond that, r10k would be at work for hours.

/// Bytes of the file.
pub(super) const BYTES: usize = 256 * 1024;

pub(super) const MODULES: usize = 1_000;

/// Brackets within brackets. A module needs one level; parsing recurses, and the stack is finite.
pub(super) const DEPTH: usize = 16;

/// Options of one module: r10k knows 14.
pub(super) const OPTIONS: usize = 50;

/// Names that hold a value.
pub(super) const ASSIGNMENTS: usize = 1_000;

/// Bytes of a string: longer than any URL that servers accept. With `#{name}` a few lines could
/// otherwise double a string until memory ends.
pub(super) const TEXT: usize = 2_048;

/// Problems in one answer, and warnings: a file with more is no Puppetfile.
pub(super) const PROBLEMS: usize = 100;
