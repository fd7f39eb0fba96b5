//! The body of an answer as bytes that come, and no more of them than there may be.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::Stream;
use hyper::body::{Body as _, Bytes, Incoming};
use tokio::time::{Instant, Sleep, sleep};

use crate::puppet::fault::{Fault, Result};

/// A server that says nothing for so long has forgotten the connection. git servers say something
/// every five seconds while they count objects.
const SILENCE: Duration = Duration::from_secs(30);

/// A stream of bytes with a bound.
pub(in super::super) struct Body {
    incoming: Incoming,
    left: u64,
    bound: u64,
    silence: Pin<Box<Sleep>>,
}

impl Body {
    pub(super) fn new(incoming: Incoming, bound: u64) -> Self {
        Self { incoming, left: bound, bound, silence: Box::pin(sleep(SILENCE)) }
    }

    /// The whole of it.
    pub(in super::super) async fn collect(mut self) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        while let Some(bytes) = self.next().await? {
            all.extend_from_slice(&bytes);
        }
        Ok(all)
    }

    /// The next bytes; none at the end.
    pub(in super::super) async fn next(&mut self) -> Result<Option<Bytes>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx))
            .await
            .transpose()
            .map_err(|error| fault(&error))
    }
}

/// What an error of the stream stands for.
pub(in super::super) fn fault(error: &io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::FileTooLarge | io::ErrorKind::PermissionDenied => {
            Fault::refused(error.to_string())
        }
        _ => Fault::away(error.to_string()),
    }
}

impl Stream for Body {
    type Item = io::Result<Bytes>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Bytes>>> {
        loop {
            match Pin::new(&mut self.incoming).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    self.silence.as_mut().reset(Instant::now() + SILENCE);
                    let Ok(bytes) = frame.into_data() else { continue };
                    let size = bytes.len() as u64;
                    if size > self.left {
                        let words = format!("the answer is longer than {} bytes", self.bound);
                        let error = io::Error::new(io::ErrorKind::FileTooLarge, words);
                        return Poll::Ready(Some(Err(error)));
                    }
                    self.left -= size;
                    return Poll::Ready(Some(Ok(bytes)));
                }
                Poll::Ready(Some(Err(error))) => {
                    let words = format!("the answer broke off: {}", crate::error::chain(&error));
                    return Poll::Ready(Some(Err(io::Error::other(words))));
                }
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => {}
            }
            return match self.silence.as_mut().poll(cx) {
                Poll::Ready(()) => {
                    let words = format!("no word for {} seconds", SILENCE.as_secs());
                    Poll::Ready(Some(Err(io::Error::new(io::ErrorKind::TimedOut, words))))
                }
                Poll::Pending => Poll::Pending,
            };
        }
    }
}
