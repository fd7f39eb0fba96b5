//! The build context as a stream of tar, for the classic builder.

use std::{
    io::{self, BufWriter, Read, Write},
    sync::Arc,
};

use futures_util::stream;
use http_body_util::{Either, StreamBody};
use hyper::body::{Bytes, Frame};
use tar::{Builder, EntryType, Header};
use tokio::{sync::mpsc, task::JoinHandle};

use super::context::{Content, Context, Entry};
use crate::engine::transport::Body;

/// The tar passes from the thread that reads files to the connection in pieces of this size, a
/// few of them at a time: that is all of it that is ever in memory.
const PIECE: usize = 256 << 10;
const PIECES: usize = 4;

/// The body of a request, and how writing it ended: an error is one of reading the context. The
/// thread stops when the body is dropped.
pub(super) fn stream(context: Arc<Context>) -> (Body, JoinHandle<io::Result<()>>) {
    let (sender, receiver) = mpsc::channel::<io::Result<Frame<Bytes>>>(PIECES);
    let writer = tokio::task::spawn_blocking(move || {
        let outcome = write(&context, Pieces(sender.clone()));
        match outcome {
            // Nobody reads any more; why is known on the other side.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Err(error) => {
                // Without this the engine would take a tar that breaks off for a whole one.
                let broken = io::Error::other("the build context cannot be read");
                let _ = sender.blocking_send(Err(broken));
                Err(error)
            }
            Ok(()) => Ok(()),
        }
    });
    let pieces =
        stream::unfold(
            receiver,
            |mut receiver| async move { Some((receiver.recv().await?, receiver)) },
        );
    (Either::Right(StreamBody::new(Box::pin(pieces))), writer)
}

fn write(context: &Context, pieces: Pieces) -> io::Result<()> {
    let mut tar = Builder::new(BufWriter::with_capacity(PIECE, pieces));
    for entry in context.entries() {
        append(&mut tar, context, entry)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", entry.path)))?;
    }
    tar.into_inner()?.flush()
}

/// Times are kept: builders do not cache by them, and web servers derive validators from them.
fn append(tar: &mut Builder<impl Write>, context: &Context, entry: &Entry) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_mode(entry.mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(entry.age().as_secs());
    header.set_size(entry.size());
    match &entry.content {
        Content::Directory => {
            header.set_entry_type(EntryType::Directory);
            tar.append_data(&mut header, format!("{}/", entry.path), io::empty())
        }
        Content::Symlink(target) => {
            header.set_entry_type(EntryType::Symlink);
            tar.append_link(&mut header, &entry.path, target)
        }
        Content::Disk(_) | Content::Memory(_) => {
            let mut file = Exactly { left: entry.size(), reader: context.open(entry)? };
            tar.append_data(&mut header, &entry.path, &mut file)
        }
    }
}

/// As many bytes as the header promises, or an error: otherwise what follows would be taken for
/// another file.
struct Exactly<R> {
    left: u64,
    reader: R,
}

impl<R: Read> Read for Exactly<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let read = self.reader.read(&mut buffer[..wanted])?;
        if read == 0 && wanted > 0 {
            return Err(io::Error::other("the file became shorter while it was read"));
        }
        self.left -= read as u64;
        Ok(read)
    }
}

struct Pieces(mpsc::Sender<io::Result<Frame<Bytes>>>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let frame = Frame::data(Bytes::copy_from_slice(bytes));
        self.0.blocking_send(Ok(frame)).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
