//! What is removed after a time: logs of what ended long ago, and contexts that nobody uses. Off
//! unless configured.

use std::{sync::Arc, time::Duration};

use time::OffsetDateTime;
use tracing::{info, warn};

use super::{
    Jobs, contexts, log,
    records::{Context, Kind, Record, Resource},
};
use crate::{
    error::{Result, chain},
    store::{Batch, Expected},
};

/// How long things are kept; `None`: for ever.
#[derive(Debug, Clone, Copy, Default)]
pub struct Retention {
    /// Logs, after the work has ended.
    pub logs: Option<Duration>,
    /// Contexts without images, after they were last built from.
    pub contexts: Option<Duration>,
}

/// Between two looks there is a tenth of the shortest time, and not more than this.
const SELDOM: Duration = Duration::from_secs(60 * 60);

/// Nor less.
const OFTEN: Duration = Duration::from_secs(1);

impl Jobs {
    /// Until this process is stopped.
    pub(super) async fn keep_house(self: &Arc<Self>) {
        let Retention { logs, contexts } = self.limits.retention;
        let Some(shortest) = [logs, contexts].into_iter().flatten().min() else { return };
        let pause = (shortest / 10).clamp(OFTEN, SELDOM);
        loop {
            tokio::time::sleep(pause).await;
            let round = async {
                if let Some(age) = logs {
                    self.forget_logs(OffsetDateTime::now_utc() - age).await?;
                }
                if let Some(age) = contexts {
                    self.remove_unused_contexts(OffsetDateTime::now_utc() - age).await?;
                }
                Ok::<_, crate::error::Error>(())
            };
            if let Err(error) = round.await {
                warn!(error = chain(&error), "housekeeping goes on later");
            }
        }
    }

    async fn forget_logs(&self, before: OffsetDateTime) -> Result<()> {
        let store = &*self.parts.store;
        for kind in Kind::ALL {
            for id in store.names(&kind.prefix()).await? {
                let resource = Resource::new(kind, id);
                let stored = store.read::<Record<serde_json::Value>>(&resource.key()).await?;
                let Some(mut stored) = stored else { continue };
                let record = &mut stored.value;
                let old = record.ended.is_some_and(|ended| ended < before);
                if !old || record.log_forgotten || record.status.is_pending() {
                    continue;
                }
                record.log_forgotten = true;
                // The line that says so and the mark that it was done; then the rest goes.
                let note = [log::note("[the log was removed when it had been kept long enough]")];
                let batch = Batch::new()
                    .check(resource.key(), Expected::Revision(stored.revision))
                    .put_record(resource.key(), record)?
                    .append_record(resource.log_prefix(), &note)?;
                if let Some(revision) = store.commit(batch).await? {
                    info!(%resource, "its log has been kept long enough");
                    log::forget_before(store, &resource, revision).await?;
                }
            }
        }
        Ok(())
    }

    async fn remove_unused_contexts(self: &Arc<Self>, before: OffsetDateTime) -> Result<()> {
        let store = &*self.parts.store;
        for token in store.names(&Kind::Context.prefix()).await? {
            let resource = contexts::resource(&token);
            let stored = store.read::<Record<Context>>(&resource.key()).await?;
            let Some(Record { status, created, ended, detail, .. }) = stored.map(|s| s.value)
            else {
                continue;
            };
            let used = [Some(created), ended, detail.used].into_iter().flatten().max();
            if status.is_pending()
                || used.is_none_or(|used| used >= before)
                || !contexts::images(&self.parts, &token).await?.is_empty()
            {
                continue;
            }
            info!(token, "removing a context that has long not been used");
            self.remove(resource).await?;
        }
        Ok(())
    }
}
