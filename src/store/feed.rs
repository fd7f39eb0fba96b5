//! The last changes of a store that one process has for itself, and whoever waits for the next.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::watch;

use super::{Change, Changes};

/// How many changes are remembered. Those who follow read every few milliseconds.
const KEPT: usize = 16_384;

pub(super) struct Feed {
    state: Mutex<State>,
    newest: watch::Sender<u64>,
}

struct State {
    /// Changes up to this revision are forgotten.
    forgotten: u64,
    changes: VecDeque<Change>,
}

impl Feed {
    /// Begins behind the revision that the store has when it is opened.
    pub(super) fn behind(revision: u64) -> Self {
        Self {
            state: Mutex::new(State { forgotten: revision, changes: VecDeque::new() }),
            newest: watch::Sender::new(revision),
        }
    }

    /// Held for short operations only. A panic in another holder cannot leave it half changed, so
    /// poisoning is ignored.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes changes in the order of their revisions.
    pub(super) fn publish(&self, changes: impl IntoIterator<Item = Change>) {
        let mut state = self.state();
        for change in changes {
            if state.changes.len() == KEPT
                && let Some(oldest) = state.changes.pop_front()
            {
                state.forgotten = oldest.revision;
            }
            self.newest.send_replace(change.revision);
            state.changes.push_back(change);
        }
    }

    pub(super) async fn after(&self, revision: u64, wait: Duration) -> Changes {
        let mut newest = self.newest.subscribe();
        // An error is the end of the time, or of the store: there is nothing new either way.
        let _ = tokio::time::timeout(wait, newest.wait_for(|newest| *newest != revision)).await;
        let state = self.state();
        let first = state.changes.partition_point(|change| change.revision <= revision);
        Changes {
            changes: state.changes.range(first..).cloned().collect(),
            // A revision ahead of the newest is of another store, or of an earlier run.
            complete: (state.forgotten..=self.newest()).contains(&revision),
        }
    }

    pub(super) fn newest(&self) -> u64 {
        *self.newest.borrow()
    }
}
