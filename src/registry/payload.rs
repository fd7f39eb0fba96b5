//! What a request carries: nothing, a few bytes, or a file that is read while it is sent.

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use futures_util::TryStreamExt;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Bytes, Frame};
use tokio::{fs::File, io::AsyncReadExt};
use tokio_util::io::ReaderStream;

/// The body of every request.
pub(super) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// As much of a file is in memory at a time.
const PIECE: usize = 64 * 1024;

#[derive(Debug, Clone)]
pub(super) enum Payload<'a> {
    Bytes(Bytes),
    /// As many bytes as are said of the file; fewer in it are an error.
    File {
        path: &'a Path,
        size: u64,
    },
}

/// How much of a body the connection has taken by now.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress(Arc<AtomicU64>);

impl Progress {
    pub(super) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Payload<'_> {
    pub(super) const NONE: Payload<'static> = Payload::Bytes(Bytes::new());

    /// The body anew, for each time that the request is sent.
    pub(super) async fn body(&self, progress: &Progress) -> io::Result<Body> {
        Ok(match self {
            Self::Bytes(bytes) => {
                Full::new(bytes.clone()).map_err(|never| match never {}).boxed_unsync()
            }
            Self::File { path, size } => {
                let file = File::open(path).await?.take(*size);
                let taken = Arc::clone(&progress.0);
                let pieces = ReaderStream::with_capacity(file, PIECE).map_ok(move |piece| {
                    taken.fetch_add(piece.len() as u64, Ordering::Relaxed);
                    Frame::data(piece)
                });
                StreamBody::new(pieces).boxed_unsync()
            }
        })
    }
}
