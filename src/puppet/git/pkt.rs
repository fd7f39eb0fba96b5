//! Lines of git's protocols (gitprotocol-common(5), "pkt-line Format").

use std::{io, pin::Pin, time::Duration};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};

use crate::puppet::{
    fault::{Fault, Result, said},
    net::fault,
};

/// git servers say something every five seconds while they count and compress objects.
const SILENCE: Duration = Duration::from_secs(30);

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pkt {
    Data(Vec<u8>),
    /// `0000`: the end of a message.
    Flush,
    /// `0001`: the end of a section.
    Delim,
}

type Source = Pin<Box<dyn AsyncRead + Send>>;

pub(super) struct Reader {
    source: BufReader<Source>,
    /// Bytes that may still come.
    left: u64,
}

impl Reader {
    pub(super) fn new(source: impl AsyncRead + Send + 'static, bound: u64) -> Self {
        let source: Source = Box::pin(source);
        Self { source: BufReader::with_capacity(64 * 1024, source), left: bound }
    }

    /// The next line; none when the server has ended the connection.
    pub(super) async fn next(&mut self) -> Result<Option<Pkt>> {
        match tokio::time::timeout(SILENCE, self.read()).await {
            Ok(Ok(pkt)) => Ok(pkt),
            Ok(Err(error)) => Err(fault(&error)),
            Err(_) => Err(Fault::away(format!("no word for {} seconds", SILENCE.as_secs()))),
        }
    }

    async fn read(&mut self) -> io::Result<Option<Pkt>> {
        if self.source.fill_buf().await?.is_empty() {
            return Ok(None);
        }
        let mut head = [0; 4];
        self.source.read_exact(&mut head).await?;
        let size = std::str::from_utf8(&head)
            .ok()
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|digits| usize::from_str_radix(digits, 16).ok());
        let size = match size {
            Some(0) => return Ok(Some(Pkt::Flush)),
            Some(1) => return Ok(Some(Pkt::Delim)),
            // `0002`, the end of a stateless answer, has nothing after it.
            Some(2) => return Ok(None),
            Some(size @ 4..) => size - 4,
            _ => return Err(io::Error::other("the answer is not git's protocol")),
        };
        self.left = self.left.checked_sub(size as u64 + 4).ok_or_else(|| {
            io::Error::new(io::ErrorKind::FileTooLarge, "the server sends more than it may")
        })?;
        let mut data = vec![0; size];
        self.source.read_exact(&mut data).await?;
        Ok(Some(Pkt::Data(data)))
    }

    /// The next line as text without its line feed; none at a flush, a delimiter or the end.
    pub(super) async fn text(&mut self) -> Result<Option<String>> {
        match self.next().await? {
            Some(Pkt::Data(data)) => {
                let line = String::from_utf8_lossy(&data);
                let line = line.strip_suffix('\n').unwrap_or(&line);
                match line.strip_prefix("ERR ") {
                    Some(error) => Err(Fault::refused(said(error))),
                    None => Ok(Some(line.to_owned())),
                }
            }
            _ => Ok(None),
        }
    }
}

/// Appends a line.
pub(super) fn put(message: &mut Vec<u8>, line: &str) {
    message.extend_from_slice(format!("{:04x}{line}", line.len() + 4).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(bytes: &'static [u8]) -> Reader {
        Reader::new(bytes, 100)
    }

    #[tokio::test]
    async fn lines_are_read_and_bounded() {
        let mut written = Vec::new();
        put(&mut written, "want x\n");
        assert_eq!(written, b"000bwant x\n");
        let mut lines = reader(b"000bwant x\n00010000");
        assert_eq!(lines.text().await.unwrap().as_deref(), Some("want x"));
        assert_eq!(lines.next().await.unwrap(), Some(Pkt::Delim));
        assert_eq!(lines.next().await.unwrap(), Some(Pkt::Flush));
        assert_eq!(lines.next().await.unwrap(), None);
        assert!(matches!(reader(b"<htm").next().await, Err(Fault::Away(_))));
        assert!(matches!(reader(b"0003").next().await, Err(Fault::Away(_))));
        assert!(matches!(reader(b"00ffx").next().await, Err(Fault::Refused(_))));
        assert!(matches!(reader(b"0010x").next().await, Err(Fault::Away(_))));
        let error = reader(b"0011ERR no \x1b way\n").text().await.unwrap_err();
        assert_eq!(error.to_string(), "the server says: no   way");
    }
}
