//! Logs of resources in the store: written as the work goes on, in parts, bounded, and followed
//! by whoever wants to.
//!
//! A part is stored under the revision of its commit, on condition of the writer's fence: so parts
//! are in order whoever wrote them, none is missing, and a line's place never changes.

use std::{fmt, str::FromStr, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tokio::{sync::mpsc, time::Instant};

use super::{Jobs, lease::Lease, mask::Mask, records::Resource};
use crate::{
    error::{Error, Result},
    model::{Channel, Line},
    store::{Batch, Store},
};

/// Lines that may wait for the store before the work itself has to.
pub(super) const BACKLOG: usize = 1024;

/// What is printed is readable after this time at the latest.
const PART_AGE: Duration = Duration::from_millis(250);

/// A part is written earlier when it has so many bytes: what one follower holds in memory.
const PART_BYTES: usize = 16 * 1024;

/// What a line takes besides its text: its time, its step, and what goes around them. Lines of one
/// character each would fill the store with that.
const LINE_BYTES: usize = 64;

/// A build that prints without end must not fill the store. Real builds stay far below.
const LOG_BYTES: usize = 8 * 1024 * 1024;

/// One line as stored. The names are short because there are many.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StoredLine {
    /// Milliseconds since 1970.
    #[serde(rename = "t")]
    pub millis: i64,
    #[serde(rename = "c")]
    pub channel: Channel,
    /// What the work was at.
    #[serde(rename = "s", default)]
    pub step: Arc<str>,
    #[serde(rename = "x")]
    pub text: String,
}

impl StoredLine {
    pub fn time(&self) -> OffsetDateTime {
        let nanos = i128::from(self.millis) * 1_000_000;
        OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }

    /// What went to standard error is in the log as well; who reads all reads it once.
    pub fn is_repeated(&self) -> bool {
        self.channel == Channel::ErrorLog
    }

    /// What it takes of the room that a log has.
    fn size(&self) -> usize {
        self.text.len() + LINE_BYTES
    }
}

/// A line's place in its log: the revision of its part, and its number in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Place {
    pub part: u64,
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.part, self.line)
    }
}

impl FromStr for Place {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let place = text.split_once('-').and_then(|(part, line)| {
            Some(Self { part: part.parse().ok()?, line: line.parse().ok()? })
        });
        place.ok_or_else(|| Error::invalid("a line's id is two numbers such as 4711-3"))
    }
}

/// Writes the lines of one run of a job behind what its log has already, until every sender is
/// gone or the job is somebody else's; and tells the queue which step the work is at.
pub(super) async fn keep(
    store: &dyn Store,
    lease: &Lease,
    mask: &Mask,
    resource: &Resource,
    mut lines: mpsc::Receiver<Line>,
) -> Result<()> {
    let prefix = resource.log_prefix();
    let mut writer = Writer { lease, prefix: &prefix, part: Vec::new(), size: 0 };
    let mut room = LOG_BYTES.saturating_sub(size(store, &prefix).await?);
    let mut masking = mask.begin();
    let mut step: Arc<str> = "".into();
    let mut due = Instant::now();
    loop {
        let line = tokio::select! {
            line = lines.recv() => line,
            () = tokio::time::sleep_until(due), if !writer.part.is_empty() => {
                writer.write().await?;
                continue;
            }
        };
        let Some(line) = line else { break };
        if !line.step.is_empty() && line.step != step {
            step = Arc::clone(&line.step);
            lease.begin_step(&step).await?;
        }
        let mut text = masking.line(&harmless(&line.text));
        if room == 0 {
            continue;
        }
        if text.len() + LINE_BYTES >= room {
            text = mark();
            room = 0;
        } else {
            room -= text.len() + LINE_BYTES;
        }
        if writer.part.is_empty() {
            due = Instant::now() + PART_AGE;
        }
        writer.add(StoredLine { millis: now(), channel: line.channel, step: line.step, text });
        if writer.size >= PART_BYTES {
            writer.write().await?;
        }
    }
    writer.write().await
}

fn now() -> i64 {
    let millis = OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000;
    i64::try_from(millis).unwrap_or_default()
}

struct Writer<'a> {
    lease: &'a Lease,
    prefix: &'a str,
    part: Vec<StoredLine>,
    size: usize,
}

impl Writer<'_> {
    fn add(&mut self, line: StoredLine) {
        self.size += line.size();
        self.part.push(line);
    }

    async fn write(&mut self) -> Result<()> {
        if !self.part.is_empty() {
            let batch = self.lease.fence.batch().append_record(self.prefix, &self.part)?;
            // It checks nothing but the fence, so it is done or never will be.
            self.lease.commit(batch).await?;
            self.part.clear();
            self.size = 0;
        }
        Ok(())
    }
}

/// What stands last in a log that is full.
fn mark() -> String {
    format!("[the log ends here: it has reached {LOG_BYTES} bytes]")
}

/// What a log has taken of its room.
async fn size(store: &dyn Store, prefix: &str) -> Result<usize> {
    let mut size = 0;
    let mut place = Place::default();
    loop {
        let parts = page(store, prefix, place, PARTS).await?;
        let Some(last) = parts.last() else { return Ok(size) };
        place = last.end();
        for part in &parts {
            let lines = part.lines()?;
            if lines.iter().any(|line| line.text == mark()) {
                return Ok(LOG_BYTES);
            }
            size += lines.iter().map(StoredLine::size).sum::<usize>();
        }
    }
}

/// What could drive a terminal or turn the reading direction round (Unicode, "Bidirectional
/// Algorithm", section 2) is shown as what it is.
fn harmless(text: &str) -> String {
    let bad = |c: char| {
        (c.is_control() && c != '\t')
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut harmless = String::with_capacity(text.len());
    for c in text.chars() {
        if bad(c) {
            harmless.extend(c.escape_unicode());
        } else {
            harmless.push(c);
        }
    }
    harmless
}

/// Parts that are read at a time: with their size, what one reader holds in memory.
const PARTS: usize = 4;

/// Lines that were stored together.
pub struct Part {
    pub number: u64,
    stored: Vec<u8>,
}

impl Part {
    pub fn lines(&self) -> Result<Vec<StoredLine>> {
        serde_json::from_slice(&self.stored).map_err(|error| {
            Error::internal(format!("part {} of a log cannot be read: {error}", self.number))
        })
    }

    /// The place behind all of its lines.
    pub fn end(&self) -> Place {
        Place { part: self.number, line: usize::MAX }
    }
}

/// The next parts of a log that have, or may have, lines behind a place; none: there are no more
/// by now. A line's number in its part begins at one.
pub async fn after(store: &dyn Store, resource: &Resource, place: Place) -> Result<Vec<Part>> {
    page(store, &resource.log_prefix(), place, PARTS).await
}

/// The first of these.
pub async fn next(store: &dyn Store, resource: &Resource, place: Place) -> Result<Option<Part>> {
    Ok(page(store, &resource.log_prefix(), place, 1).await?.pop())
}

async fn page(store: &dyn Store, prefix: &str, place: Place, limit: usize) -> Result<Vec<Part>> {
    // The part of the place itself may go on behind it.
    let whole = place.line == usize::MAX;
    let before = if whole { place.part } else { place.part.saturating_sub(1) };
    let page = store.list(prefix, Some(&format!("{prefix}{before:020}")), limit).await?;
    let parts = page.into_iter().filter_map(|(key, entry)| {
        let number = key.strip_prefix(prefix)?.parse().ok()?;
        Some(Part { number, stored: entry.value })
    });
    Ok(parts.collect())
}

/// A line about the log itself.
pub(super) fn note(text: &str) -> StoredLine {
    StoredLine { millis: now(), channel: Channel::Log, step: "".into(), text: text.to_owned() }
}

/// Removes the parts of a log that were stored before a revision.
pub(super) async fn forget_before(
    store: &dyn Store,
    resource: &Resource,
    revision: u64,
) -> Result<()> {
    let prefix = resource.log_prefix();
    let old = |name: &&String| name.parse().is_ok_and(|number: u64| number < revision);
    let names = store.names(&prefix).await?;
    let old: Vec<&String> = names.iter().filter(old).collect();
    for names in old.chunks(500) {
        let delete = |batch: Batch, name: &&String| batch.delete(format!("{prefix}{name}"));
        store.commit(names.iter().fold(Batch::new(), delete)).await?;
    }
    Ok(())
}

/// Wakes when a log may have grown.
pub fn watch(jobs: &Jobs, resource: &Resource) -> tokio::sync::watch::Receiver<u64> {
    jobs.watch(&resource.log_prefix())
}

/// The lines of one channel, each with its line end.
pub async fn text(store: &dyn Store, resource: &Resource, channel: Channel) -> Result<String> {
    let mut text = String::new();
    let mut place = Place::default();
    loop {
        let parts = after(store, resource, place).await?;
        let Some(last) = parts.last() else { return Ok(text) };
        place = last.end();
        for part in parts {
            for line in part.lines()?.iter().filter(|line| line.channel == channel) {
                text.push_str(&line.text);
                text.push('\n');
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        jobs::{
            queue::{self, Id, Job, Task, Versioned},
            records::Kind,
        },
        model::Log,
        store,
    };

    /// As a job that prints `count` lines of `length` characters.
    async fn print(store: &Arc<dyn Store>, resource: &Resource, length: usize, count: usize) {
        let job = Job::new(resource.clone(), Task::Make);
        let batch = queue::enqueue(Batch::new(), &job).unwrap();
        let revision = store.commit(batch).await.unwrap().unwrap();
        let queued = Versioned { id: Id(revision), revision, job };
        let (fence, current) = queue::acquire(&**store, &queued, "me").await.unwrap().unwrap();
        let (sender, lines) = mpsc::channel(BACKLOG);
        let log = Log::new(sender).at("build");
        let line = "x".repeat(length);
        let print = async move {
            for _ in 0..count {
                log.write(Channel::Log, line.as_str()).await;
            }
        };
        let lease = Lease::new(Arc::clone(store), fence, current);
        let mask = Mask::default();
        let (kept, ()) = tokio::join!(keep(&**store, &lease, &mask, resource, lines), print);
        kept.unwrap();
        let current = lease.current.lock().await;
        let ended = queue::dequeue(lease.fence.batch(), &current);
        store.commit(ended).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_log_is_bounded_and_says_so() {
        for length in [1, 100, 10_000] {
            let store = store::open("memory:", std::path::Path::new("")).await.unwrap();
            let resource = Resource::new(Kind::Image, "endless");
            print(&store, &resource, length, 20 * 1024 * 1024 / (length + LINE_BYTES)).await;
            let full = text(&*store, &resource, Channel::Log).await.unwrap();
            assert!(full.ends_with(&format!("{}\n", mark())), "{length}");
            // The next run of the job does not begin anew.
            print(&store, &resource, 1, 100).await;
            assert!(text(&*store, &resource, Channel::Log).await.unwrap() == full, "{length}");
            let parts = store.list(&resource.log_prefix(), None, usize::MAX).await.unwrap();
            let stored: usize = parts.iter().map(|(_, part)| part.value.len()).sum();
            assert!((LOG_BYTES / 2..=LOG_BYTES).contains(&stored), "{length}: {stored} bytes");
            let largest = parts.iter().map(|(_, part)| part.value.len()).max().unwrap();
            assert!(largest < 2 * PART_BYTES, "{length}: {largest} bytes in one part");
        }
    }

    #[test]
    fn nothing_that_drives_a_terminal_is_stored() {
        assert_eq!(harmless("a\tb ü"), "a\tb ü");
        assert_eq!(harmless("\u{1b}[2Ja\rb\u{202e}c"), "\\u{1b}[2Ja\\u{d}b\\u{202e}c");
    }

    #[test]
    fn places_are_read_as_they_are_written() {
        let place = Place { part: 4711, line: 3 };
        assert_eq!(place.to_string().parse::<Place>().unwrap(), place);
        for bad in ["", "3", "a-1", "1-", "-1", "99999999999999999999-1"] {
            assert!(bad.parse::<Place>().is_err(), "{bad}");
        }
    }
}
