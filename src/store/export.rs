//! All records as lines of JSON, from one store into another, whatever backends they have.
//!
//! The first line names the format, the last one counts, so that a file that was cut off is not
//! taken for a whole one. Keys and values are kept to the byte; revisions are the new store's.
//! Both functions block their thread on the file: they are made for a command, not for a server.

use std::io::{BufRead, Read, Write};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Batch, Expected, Store};
use crate::error::{Error, Problem, Result};

/// Of what this writes and reads.
const FORMAT: u32 = 1;

/// There while an import is under way.
const MARKER: &str = "crane:import";

/// Records in one page of an export and in one commit of an import.
const RECORDS_AT_ONCE: usize = 500;

/// An import commits when it has so many bytes, too.
const BYTES_AT_ONCE: usize = 1024 * 1024;

/// No value of Crane's comes near it; a file that is something else is not read into memory.
const LONGEST_LINE: u64 = 64 * 1024 * 1024;

/// What an export wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exported {
    pub records: u64,
    /// `false`: somebody wrote to the store in the meantime, so the records are of different
    /// instants.
    pub of_one_instant: bool,
}

#[derive(Serialize, Deserialize)]
struct Head {
    #[serde(rename = "crane-store")]
    format: u32,
    /// Of the Crane that wrote it; for whoever reads the file.
    #[serde(default)]
    version: String,
}

/// A record (`key` with either `json` or `base64`), or the end (`records`).
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    json: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    records: Option<u64>,
}

/// Writes every record, but those whose keys begin with one of `skip`.
pub async fn export(store: &dyn Store, mut writer: impl Write, skip: &[&str]) -> Result<Exported> {
    let began = store.revision().await?;
    let head = Head { format: FORMAT, version: env!("CARGO_PKG_VERSION").to_owned() };
    write_line(&mut writer, &head)?;
    let (mut records, mut after) = (0, None::<String>);
    loop {
        let page = store.list("", after.as_deref(), RECORDS_AT_ONCE).await?;
        let last_page = page.len() < RECORDS_AT_ONCE;
        for (key, entry) in page {
            after = Some(key.clone());
            if skipped(&key, skip) {
                continue;
            }
            let json = embeddable(&entry.value);
            let base64 = json.is_none().then(|| STANDARD.encode(&entry.value));
            write_line(&mut writer, &Line { key: Some(key), json, base64, records: None })?;
            records += 1;
        }
        if last_page {
            break;
        }
    }
    write_line(&mut writer, &Line { records: Some(records), ..Line::default() })?;
    writer.flush().map_err(unwritable)?;
    Ok(Exported { records, of_one_instant: store.revision().await? == began })
}

fn skipped(key: &str, skip: &[&str]) -> bool {
    key == MARKER || skip.iter().any(|prefix| key.starts_with(prefix))
}

/// The value as a part of a line, if it is JSON that comes out of one as it went in.
fn embeddable(value: &[u8]) -> Option<&RawValue> {
    let text = std::str::from_utf8(value).ok()?;
    // `null` would be read as a field that is not there.
    if text.contains(['\n', '\r']) || text == "null" {
        return None;
    }
    let json: &RawValue = serde_json::from_str(text).ok()?;
    (json.get().len() == text.len()).then_some(json)
}

fn write_line(writer: &mut impl Write, line: &impl Serialize) -> Result<()> {
    let mut bytes = serde_json::to_vec(line).map_err(Error::internal)?;
    bytes.push(b'\n');
    writer.write_all(&bytes).map_err(unwritable)
}

fn unwritable(error: std::io::Error) -> Error {
    Error::unavailable("export", error)
}

/// Reads an export into an empty store, and gives how many records that were. Keys that begin with
/// one of `skip` are left out. One that did not end leaves a mark, for which [`super::open`]
/// refuses the store.
pub async fn import(store: &dyn Store, reader: impl BufRead, skip: &[&str]) -> Result<u64> {
    let mut lines = Lines { reader, number: 0, line: Vec::new() };
    lines.head()?;
    refuse_half_imported(store).await?;
    let begin = Batch::new().check(MARKER, Expected::Absent).put(MARKER, b"{}".to_vec());
    if !store.list("", None, 1).await?.is_empty() || store.commit(begin).await?.is_none() {
        return Err(Error::Conflict(
            "the store has records already; import into an empty one".to_owned(),
        ));
    }
    let (mut imported, mut seen) = (0, 0);
    let (mut batch, mut records, mut bytes) = (Batch::new(), 0, 0);
    while let Some((key, value)) = lines.record(seen)? {
        seen += 1;
        if skipped(&key, skip) {
            continue;
        }
        imported += 1;
        (records, bytes) = (records + 1, bytes + key.len() + value.len());
        batch = batch.put(key, value);
        if records == RECORDS_AT_ONCE || bytes >= BYTES_AT_ONCE {
            store.commit(std::mem::take(&mut batch)).await?;
            (records, bytes) = (0, 0);
        }
    }
    lines.nothing_more()?;
    match store.commit(batch.check(MARKER, Expected::Present).delete(MARKER)).await? {
        Some(_) => Ok(imported),
        None => Err(Error::Conflict(
            "somebody else changed the store during the import; empty it and import again"
                .to_owned(),
        )),
    }
}

/// An error, with the remedy, when an import into the store did not end.
pub(super) async fn refuse_half_imported(store: &dyn Store) -> Result<()> {
    match store.get(MARKER).await? {
        None => Ok(()),
        Some(_) => Err(Error::unavailable(
            "store",
            "an import into it is under way or was cut off, so records are missing; let it end, or \
             empty the store (remove its directory, or the keys '{crane}:*' of the Redis) and \
             import again",
        )),
    }
}

/// The lines of an export, with their numbers.
struct Lines<R> {
    reader: R,
    number: u32,
    line: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    fn head(&mut self) -> Result<()> {
        const NONE: &str = "this is no export of a Crane store: its first line is not \
                            {\"crane-store\": ...}";
        let head: Option<Head> = match self.read()? {
            true => serde_json::from_slice(&self.line).ok(),
            false => None,
        };
        let problem = match head {
            Some(Head { format: FORMAT, .. }) => return Ok(()),
            Some(Head { format, version }) => format!(
                "the export has the format {format} (of Crane {version}), this Crane reads \
                 {FORMAT}; use one that reads it"
            ),
            None => NONE.to_owned(),
        };
        Err(Error::problem(Problem::new("import", problem).at(1, 1)))
    }

    /// The next one; `None` at the end, which says how many there were.
    fn record(&mut self, seen: u64) -> Result<Option<(String, Vec<u8>)>> {
        if !self.read()? {
            self.number += 1;
            return Err(self.bad(1, "the file is cut off, its last lines are missing"));
        }
        let line: Line = serde_json::from_slice(&self.line).map_err(|error| {
            let column = u32::try_from(error.column()).unwrap_or(u32::MAX);
            let words = error.to_string();
            // The line it tells is always 1.
            let words = words.split(" at line ").next().unwrap_or_default();
            self.bad(column, &format!("this is no record: {words}"))
        })?;
        match line {
            Line { key: Some(key), json: Some(json), base64: None, records: None } => {
                Ok(Some((key, json.get().as_bytes().to_vec())))
            }
            Line { key: Some(key), json: None, base64: Some(base64), records: None } => {
                let value = STANDARD.decode(base64);
                let value = value.map_err(|error| self.bad(1, &format!("base64: {error}")))?;
                Ok(Some((key, value)))
            }
            Line { key: None, json: None, base64: None, records: Some(records) } => {
                match records == seen {
                    true => Ok(None),
                    false => {
                        let words = format!("{records} records should stand before it, not {seen}");
                        Err(self.bad(1, &words))
                    }
                }
            }
            _ => Err(self.bad(1, "this is no record: that has 'key', and 'json' or 'base64'")),
        }
    }

    fn nothing_more(&mut self) -> Result<()> {
        match self.read()? {
            false => Ok(()),
            true => Err(self.bad(1, "something stands behind the last line")),
        }
    }

    /// `false` at the end.
    fn read(&mut self) -> Result<bool> {
        self.line.clear();
        let mut limited = self.reader.by_ref().take(LONGEST_LINE);
        let read = limited
            .read_until(b'\n', &mut self.line)
            .map_err(|error| Error::unavailable("export", error))?;
        if read == 0 {
            return Ok(false);
        }
        self.number += 1;
        if self.line.pop_if(|last| *last == b'\n').is_none() && read as u64 == LONGEST_LINE {
            let words = format!("the line is longer than {LONGEST_LINE} bytes");
            return Err(self.bad(1, &words));
        }
        Ok(true)
    }

    fn bad(&self, column: u32, words: &str) -> Error {
        let remedy = "correct the file or export anew, then empty the store and import again";
        let problem = Problem::new("import", format!("{words}; {remedy}"));
        Error::problem(problem.at(self.number, column))
    }
}
