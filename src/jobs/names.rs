//! Names that one task of this process at a time has for itself: the directories of contexts.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::OwnedMutexGuard;

type Lock = Arc<tokio::sync::Mutex<()>>;

#[derive(Default)]
pub(super) struct Names(Mutex<HashMap<String, Lock>>);

impl Names {
    /// Waits until nobody else has this name; others wait until the guard is dropped.
    pub(super) async fn claim(&self, name: &str) -> OwnedMutexGuard<()> {
        self.lock(name).lock_owned().await
    }

    /// A short operation on the map. A panic in another holder cannot leave it half changed, so
    /// poisoning is ignored.
    fn lock(&self, name: &str) -> Lock {
        let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Locks that nobody has or waits for are only in this map.
        locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        Arc::clone(locks.entry(name.to_owned()).or_default())
    }
}
