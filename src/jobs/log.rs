//! Logs of resources in the store: written as the work goes on, in parts, and bounded.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tokio::{sync::mpsc, time::Instant};

use super::records::Resource;
use crate::{
    error::Result,
    model::{Channel, Line},
    store::Store,
};

/// Lines that may wait for the store before the work itself has to.
pub(super) const BACKLOG: usize = 1024;

/// What is printed is readable after this time at the latest.
const PART_AGE: Duration = Duration::from_millis(250);

/// A part is written earlier when it has so many bytes.
const PART_BYTES: usize = 64 * 1024;

/// A build that prints without end must not fill the store. Real builds stay far below.
const LOG_BYTES: usize = 8 * 1024 * 1024;

/// One line as stored. The names are short because there are many.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct StoredLine {
    /// Milliseconds since 1970.
    t: i64,
    c: Channel,
    x: String,
}

/// Writes the lines of one run of a job behind what its log has already, until every sender is
/// gone. When the store refuses a part the rest of the log is lost, not the job: senders of lines
/// that nobody reads go on.
pub(super) async fn keep(
    store: &dyn Store,
    resource: &Resource,
    mut lines: mpsc::Receiver<Line>,
) -> Result<()> {
    let prefix = resource.log_prefix();
    let earlier = store.read_all::<Vec<StoredLine>>(&prefix).await?;
    let mut number = earlier.len();
    let mut room =
        LOG_BYTES.saturating_sub(earlier.iter().flatten().map(|line| line.x.len()).sum());
    drop(earlier);
    let mut part: Vec<StoredLine> = Vec::new();
    let mut size = 0;
    let mut due = Instant::now();
    loop {
        let line = tokio::select! {
            line = lines.recv() => line,
            () = tokio::time::sleep_until(due), if !part.is_empty() => {
                write(store, &prefix, &mut number, &mut part).await?;
                size = 0;
                continue;
            }
        };
        let Some(Line { channel, mut text }) = line else { break };
        if room == 0 {
            continue;
        }
        if text.len() >= room {
            text = format!("[the log ends here: it has reached {LOG_BYTES} bytes]");
            room = 0;
        } else {
            room -= text.len();
        }
        if part.is_empty() {
            due = Instant::now() + PART_AGE;
        }
        size += text.len();
        let millis = OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000;
        part.push(StoredLine { t: i64::try_from(millis).unwrap_or_default(), c: channel, x: text });
        if size >= PART_BYTES {
            write(store, &prefix, &mut number, &mut part).await?;
            size = 0;
        }
    }
    write(store, &prefix, &mut number, &mut part).await
}

async fn write(
    store: &dyn Store,
    prefix: &str,
    number: &mut usize,
    part: &mut Vec<StoredLine>,
) -> Result<()> {
    if !part.is_empty() {
        // Ten digits keep the parts in order as text.
        store.create(&format!("{prefix}{number:010}"), part).await?;
        *number += 1;
        part.clear();
    }
    Ok(())
}

/// The lines of one channel, each with its line end.
pub async fn text(store: &dyn Store, resource: &Resource, channel: Channel) -> Result<String> {
    let mut text = String::new();
    for part in store.read_all::<Vec<StoredLine>>(&resource.log_prefix()).await? {
        for line in part.into_iter().filter(|line| line.c == channel) {
            text.push_str(&line.x);
            text.push('\n');
        }
    }
    Ok(text)
}
