//! How much a module may be, and whether anybody still wants it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::fault::{Fault, Result};

/// Files, directories and links of one module. The largest public modules have some 5,000.
const ENTRIES: u64 = 200_000;
/// Bytes of one module's files.
const BYTES: u64 = 2 * 1024 * 1024 * 1024;
/// Files, directories and links of all modules together.
const TREE_ENTRIES: u64 = 1_000_000;
/// Bytes of all modules' files together.
const TREE_BYTES: u64 = 8 * 1024 * 1024 * 1024;
/// Directories within each other.
const DEPTH: u32 = 64;

/// Told to stop when the future that waits for the work is dropped.
#[derive(Debug, Clone, Default)]
pub(super) struct Cancelled(Arc<AtomicBool>);

impl Cancelled {
    pub(super) fn is(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Cancels when it is dropped.
#[derive(Debug, Default)]
pub(super) struct CancelOnDrop(pub(super) Cancelled);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

/// What is left of the bounds of one module, or of a whole tree of them.
pub(super) struct Room<'a> {
    cancelled: &'a Cancelled,
    what: &'static str,
    most: (u64, u64),
    entries: u64,
    bytes: u64,
    depth: u32,
}

impl<'a> Room<'a> {
    pub(super) fn new(cancelled: &'a Cancelled) -> Self {
        Self::of(cancelled, "the module has", ENTRIES, BYTES)
    }

    /// For all modules at once.
    pub(super) fn of_tree(cancelled: &'a Cancelled) -> Self {
        Self::of(cancelled, "the modules have", TREE_ENTRIES, TREE_BYTES)
    }

    fn of(cancelled: &'a Cancelled, what: &'static str, entries: u64, bytes: u64) -> Self {
        Self { cancelled, what, most: (entries, bytes), entries, bytes, depth: DEPTH }
    }

    pub(super) fn entry(&mut self) -> Result<()> {
        if self.cancelled.is() {
            // Nobody reads it.
            return Err(Fault::away("cancelled"));
        }
        self.entries = self.entries.checked_sub(1).ok_or_else(|| {
            let (what, most) = (self.what, self.most.0);
            Fault::refused(format!("{what} more than {most} files and directories"))
        })?;
        Ok(())
    }

    pub(super) fn bytes(&mut self, bytes: u64) -> Result<()> {
        self.bytes = self.bytes.checked_sub(bytes).ok_or_else(|| {
            let (what, most) = (self.what, self.most.1);
            Fault::refused(format!("{what} more than {most} bytes"))
        })?;
        Ok(())
    }

    /// Into a directory.
    pub(super) fn enter(&mut self) -> Result<()> {
        self.depth = self.depth.checked_sub(1).ok_or_else(|| {
            Fault::refused(format!("{} more than {DEPTH} directories within each other", self.what))
        })?;
        Ok(())
    }

    pub(super) fn leave(&mut self) {
        self.depth += 1;
    }
}
