//! One at a time for the same thing: who comes second finds it in the cache.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::sync::OwnedMutexGuard;

/// Who is at work on which key. A key is forgotten when nobody is.
#[derive(Default)]
pub(in super::super) struct Once(Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>);

impl Once {
    /// Waits until nobody else is at work on the key. Dropping what it returns lets the next one in.
    pub(in super::super) async fn of(&self, key: String) -> OwnedMutexGuard<()> {
        let lock = {
            // A panic elsewhere leaves the map as it was: each change to it is one call.
            let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            keys.retain(|_, lock| lock.strong_count() > 0);
            let lock = keys.get(&key).and_then(Weak::upgrade).unwrap_or_default();
            keys.insert(key, Arc::downgrade(&lock));
            lock
        };
        lock.lock_owned().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_second_waits_for_the_first_and_others_do_not() {
        let once = Once::default();
        let first = once.of("a".into()).await;
        let other = once.of("b".into()).await;
        let mut second = Box::pin(once.of("a".into()));
        assert!(futures_util::poll!(&mut second).is_pending());
        drop((first, other));
        drop(second.await);
        drop(once.of("c".into()).await);
        assert_eq!(once.0.lock().unwrap().len(), 1, "only the last key is kept");
    }
}
