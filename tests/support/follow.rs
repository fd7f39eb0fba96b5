//! A client that follows server-sent events (WHATWG HTML, section 9.2), and may be cut off.

use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;

/// One event as a client gets it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    pub(crate) id: Option<String>,
    pub(crate) name: String,
    pub(crate) data: Value,
}

/// Events of one answer, in their order.
pub(crate) struct Follow {
    pub(crate) status: u16,
    pub(crate) headers: hyper::HeaderMap,
    body: Incoming,
    /// What came and is not read yet.
    buffer: Vec<u8>,
    /// Bytes until the connection is cut.
    left: usize,
}

impl Follow {
    pub(super) fn of(response: hyper::Response<Incoming>) -> Self {
        let (parts, body) = response.into_parts();
        let status = parts.status.as_u16();
        Self { status, headers: parts.headers, body, buffer: Vec::new(), left: usize::MAX }
    }

    /// As if the network went away after so many bytes, wherever in an event that is.
    pub(crate) fn cut_after(mut self, bytes: usize) -> Self {
        self.left = bytes;
        self
    }

    /// The next event; `None` at the end, or where it is cut off.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            while let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\n\n") {
                let block: Vec<u8> = self.buffer.drain(..end + 2).collect();
                if let Some(event) = parse(std::str::from_utf8(&block).unwrap()) {
                    return Some(event);
                }
            }
            if self.left == 0 {
                return None;
            }
            let frame = self.body.frame().await?.ok()?;
            let data = frame.into_data().ok()?;
            let taken = data.len().min(self.left);
            self.left -= taken;
            self.buffer.extend_from_slice(&data[..taken]);
        }
    }

    /// All events up to the end.
    pub(crate) async fn all(mut self) -> Vec<Event> {
        let mut all = Vec::new();
        while let Some(event) = self.next().await {
            all.push(event);
        }
        all
    }
}

/// One block of lines; `None`: a comment.
#[track_caller]
fn parse(block: &str) -> Option<Event> {
    let (mut id, mut name, mut data) = (None, None, None);
    for line in block.trim_end_matches('\n').split('\n') {
        match line.split_once(": ").unwrap_or_else(|| panic!("no line of an event: {line:?}")) {
            ("", _) => {}
            ("id", value) => id = Some(value.to_owned()),
            ("event", value) => name = Some(value.to_owned()),
            ("data", value) => {
                assert!(data.is_none(), "one line of data in {block:?}");
                data = Some(serde_json::from_str(value).unwrap());
            }
            (field, _) => panic!("no field of an event: {field}"),
        }
    }
    Some(Event { id, name: name?, data: data.expect("an event has data") })
}
