//! What an engine says while it works: a stream of JSON messages (Engine API: `POST /build`,
//! `POST /images/create`, `POST /images/{name}/push`).

use std::collections::HashMap;

use http::Response;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::Deserialize;

use super::transport::Transport;
use crate::{
    error::{Error, Result},
    model::{Channel, Log},
};

/// No engine sends a longer message; without a bound, a broken one could fill the memory.
const MESSAGE_MAX: usize = 16 << 20;

/// Which fields there are depends on the work and on how far it is.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Message {
    /// A layer, or what kind of thing `aux` is.
    pub(super) id: String,
    /// Text as it comes, not split into lines.
    pub(super) stream: String,
    pub(super) status: String,
    #[serde(rename = "errorDetail")]
    error_detail: Detail,
    error: String,
    pub(super) aux: serde_json::Value,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Detail {
    message: String,
}

impl Message {
    /// What made the work fail, if it did.
    pub(super) fn error(&self) -> Option<&str> {
        [&self.error_detail.message, &self.error]
            .into_iter()
            .find(|text| !text.is_empty())
            .map(String::as_str)
    }
}

/// The messages of one answer.
pub(super) struct Messages<'a> {
    transport: &'a Transport,
    body: Incoming,
    buffer: Vec<u8>,
    /// So many bytes of the buffer are known to hold no end of line.
    searched: usize,
}

impl<'a> Messages<'a> {
    pub(super) fn new(transport: &'a Transport, answer: Response<Incoming>) -> Self {
        Self { transport, body: answer.into_body(), buffer: Vec::new(), searched: 0 }
    }

    /// `None` after the last one. May be dropped while it waits; nothing is lost.
    pub(super) async fn next(&mut self) -> Result<Option<Message>> {
        loop {
            if let Some(length) = self.buffer[self.searched..].iter().position(|b| *b == b'\n') {
                let rest = self.buffer.split_off(self.searched + length + 1);
                let line = std::mem::replace(&mut self.buffer, rest);
                self.searched = 0;
                if !line.trim_ascii().is_empty() {
                    return parse(&line).map(Some);
                }
                continue;
            }
            self.searched = self.buffer.len();
            if self.buffer.len() > MESSAGE_MAX {
                return Err(Error::unavailable("engine", "its answer has a line without an end"));
            }
            match self.body.frame().await {
                None if self.buffer.trim_ascii().is_empty() => return Ok(None),
                None => {
                    self.searched = 0;
                    // So ends an answer when the engine is stopped.
                    return parse(&std::mem::take(&mut self.buffer))
                        .map_err(|error| error.may_pass(None))
                        .map(Some);
                }
                Some(Err(error)) => return Err(self.transport.lost(&error)),
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.buffer.extend_from_slice(data);
                    }
                }
            }
        }
    }
}

fn parse(line: &[u8]) -> Result<Message> {
    serde_json::from_slice(line)
        .map_err(|error| Error::unavailable("engine", format!("its answer is garbled: {error}")))
}

/// Says how the layers of an image come or go, without a line for every piece of them.
#[derive(Default)]
pub(super) struct Layers(HashMap<String, String>);

impl Layers {
    pub(super) async fn write(&mut self, message: &Message, channel: Channel, log: &Log) {
        let Message { id, status, .. } = message;
        if status.is_empty() {
            return;
        }
        if id.is_empty() {
            log.write(channel, super::build::clean(status)).await;
        } else if self.0.insert(id.clone(), status.clone()).as_ref() != Some(status) {
            log.write(channel, super::build::clean(&format!("{id}: {status}"))).await;
        }
    }
}
