//! Serves the build context to BuildKit (BuildKit, `session/filesync`; the protocol is that of
//! `tonistiigi/fsutil`, `send.go` and `receive.go`).
//!
//! First every entry is described, in the order of a walk and numbered in it. BuildKit compares
//! the descriptions with what it has from an earlier build, asks for the files that differ, and
//! says when it has everything. Files are the same to it when size, mode and time are.

use std::{
    io::{self, Read},
    ops::Range,
    pin::Pin,
    sync::Arc,
};

use bollard::{
    fsutil::types::{Packet, Stat, packet::PacketType},
    moby::filesync::v1::file_sync_server::FileSync,
};
use futures_util::{Stream, stream};
use tonic::{Request, Response, Status, Streaming};

use super::{
    Build,
    context::{Content, Context, Entry},
};
use crate::error::{Error, Result};

/// A file goes out in pieces of this size; BuildKit's own client takes 32 KiB, gRPC's limit is
/// 4 MiB a message.
const PIECE: usize = 256 << 10;

/// Go's `io/fs.FileMode`, which is how modes are described here.
const GO_DIRECTORY: u32 = 1 << 31;
const GO_SYMLINK: u32 = 1 << 27;
const GO_SETUID: u32 = 1 << 23;
const GO_SETGID: u32 = 1 << 22;
const GO_STICKY: u32 = 1 << 20;

/// The two directories that the Dockerfile frontend reads.
pub(super) struct Files {
    context: Arc<Context>,
    dockerfile: Arc<Context>,
}

/// What the Dockerfile is called in its directory.
pub(super) const DOCKERFILE: &str = "Dockerfile";

/// The frontend asks for this file by itself before it asks for the context.
const IGNORE_FILE: &str = ".dockerignore";

impl Files {
    pub(super) fn new(build: &Build) -> Result<Self> {
        let Some(dockerfile) = build.context.entry(&build.dockerfile) else {
            return Err(Error::internal(format!("the context has no {}", build.dockerfile)));
        };
        let Content::Memory(_) = dockerfile.content else {
            return Err(Error::internal(format!("{} is not in memory", build.dockerfile)));
        };
        let dockerfile = Entry { path: DOCKERFILE.into(), ..dockerfile.clone() };
        Ok(Self {
            context: Arc::clone(&build.context),
            dockerfile: Arc::new(Context::new("", vec![dockerfile])),
        })
    }
}

type Packets = Pin<Box<dyn Stream<Item = Result<Packet, Status>> + Send>>;

#[tonic::async_trait]
impl FileSync for Files {
    type DiffCopyStream = Packets;

    async fn diff_copy(
        &self,
        request: Request<Streaming<Packet>>,
    ) -> Result<Response<Self::DiffCopyStream>, Status> {
        let metadata = request.metadata();
        let context = match metadata.get("dir-name").and_then(|name| name.to_str().ok()) {
            Some("dockerfile") => Arc::clone(&self.dockerfile),
            Some("context") => Arc::clone(&self.context),
            other => return Err(Status::not_found(format!("no directory {other:?}"))),
        };
        // More than is asked for may be sent, so these patterns need no further attention.
        let mut wanted = metadata.get_all("followpaths").iter().peekable();
        let only_ignore_file = wanted.peek().is_some() && wanted.all(|path| path == IGNORE_FILE);
        let end = match only_ignore_file && context.entry(IGNORE_FILE).is_none() {
            true => 0,
            false => context.entries().len(),
        };
        let sender =
            Sender { walk: 0..end, context, state: State::Walking, requests: request.into_inner() };
        let packets = stream::try_unfold(sender, |mut sender| async move {
            Ok(sender.next().await?.map(|packet| (packet, sender)))
        });
        Ok(Response::new(Box::pin(packets)))
    }

    type TarStreamStream = Packets;

    async fn tar_stream(
        &self,
        _: Request<Streaming<Packet>>,
    ) -> Result<Response<Self::TarStreamStream>, Status> {
        Err(Status::unimplemented("use DiffCopy"))
    }
}

struct Sender {
    context: Arc<Context>,
    walk: Range<usize>,
    state: State,
    requests: Streaming<Packet>,
}

enum State {
    Walking,
    /// Waiting for BuildKit to ask for a file.
    Idle,
    /// In the middle of the file with this number.
    File(u32, Box<dyn Read + Send>),
    /// The last piece of this file is out.
    FileEnd(u32),
    Done,
}

impl Sender {
    async fn next(&mut self) -> Result<Option<Packet>, Status> {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Walking => {
                let Some(index) = self.walk.next() else {
                    return Ok(Some(packet(PacketType::PacketStat)));
                };
                self.state = State::Walking;
                let stat = self.context.entries().get(index).map(describe);
                Ok(Some(Packet { stat, ..packet(PacketType::PacketStat) }))
            }
            State::Idle => self.answer().await,
            State::File(id, reader) => self.piece(id, move || Ok(reader)).await.map(Some),
            State::FileEnd(id) => Ok(Some(Packet { id, ..packet(PacketType::PacketData) })),
            State::Done => Ok(None),
        }
    }

    async fn answer(&mut self) -> Result<Option<Packet>, Status> {
        loop {
            let Some(request) = self.requests.message().await? else { return Ok(None) };
            match request.r#type() {
                PacketType::PacketReq => {
                    let id = request.id;
                    let context = Arc::clone(&self.context);
                    let open = move || match context.entries().get(id as usize) {
                        Some(entry) => context.open(entry),
                        None => Err(io::Error::other(format!("there is no file {id}"))),
                    };
                    return self.piece(id, open).await.map(Some);
                }
                PacketType::PacketFin => {
                    self.state = State::Done;
                    return Ok(Some(packet(PacketType::PacketFin)));
                }
                PacketType::PacketErr => {
                    return Err(Status::aborted(String::from_utf8_lossy(&request.data)));
                }
                PacketType::PacketStat | PacketType::PacketData => {}
            }
        }
    }

    /// The next piece of a file, in one go with opening it, so that a small file costs one change
    /// of threads.
    async fn piece<R>(&mut self, id: u32, open: R) -> Result<Packet, Status>
    where
        R: FnOnce() -> io::Result<Box<dyn Read + Send>> + Send + 'static,
    {
        let read = tokio::task::spawn_blocking(move || {
            let mut reader = open()?;
            let mut data = Vec::new();
            reader.by_ref().take(PIECE as u64).read_to_end(&mut data)?;
            io::Result::Ok((reader, data))
        });
        let unreadable = |error: &dyn std::fmt::Display| {
            let path = self.context.entries().get(id as usize).map_or("", |entry| &entry.path);
            Status::aborted(format!("cannot read {path} of the build context: {error}"))
        };
        let (reader, data) =
            read.await.map_err(|error| unreadable(&error))?.map_err(|error| unreadable(&error))?;
        self.state = match data.len() {
            PIECE => State::File(id, reader),
            // Without data this packet is the end of the file already.
            0 => State::Idle,
            _ => State::FileEnd(id),
        };
        Ok(Packet { id, data, ..packet(PacketType::PacketData) })
    }
}

fn packet(r#type: PacketType) -> Packet {
    Packet { r#type: r#type.into(), ..Packet::default() }
}

fn describe(entry: &Entry) -> Stat {
    let mut mode = entry.mode & 0o777;
    for (bit, go) in [(0o4000, GO_SETUID), (0o2000, GO_SETGID), (0o1000, GO_STICKY)] {
        if entry.mode & bit != 0 {
            mode |= go;
        }
    }
    let mut linkname = String::new();
    match &entry.content {
        Content::Directory => mode |= GO_DIRECTORY,
        Content::Symlink(target) => {
            mode |= GO_SYMLINK;
            linkname.clone_from(target);
        }
        Content::Disk(_) | Content::Memory(_) => {}
    }
    Stat {
        path: entry.path.clone(),
        mode,
        size: entry.size().try_into().unwrap_or(i64::MAX),
        mod_time: entry.age().as_nanos().try_into().unwrap_or(i64::MAX),
        linkname,
        ..Stat::default()
    }
}
