//! A program that runs once in a container: what goes in, what it prints, how it ends, what it
//! leaves. Files go in and out as tars over the engine's API, so that nothing of this machine is
//! mounted, and the engine may as well be another machine's.

use std::{collections::BTreeMap, time::Duration};

use bollard::query_parameters::InspectContainerOptionsBuilder;
use http::{HeaderMap, HeaderValue, Method, header};
use http_body_util::{BodyExt, Either, Full};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{Engine, Grace, failure};
use crate::error::{Error, Result, chain};

/// How often it is tried to remove a container, and the time between.
const LOOKS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(100);

/// Which of a program's two outputs something was printed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Out,
    Err,
}

/// What a container prints, from the moment that this was made.
pub struct Output {
    connection: TokioIo<Upgraded>,
    frames: Frames,
}

impl Output {
    /// The next piece, as soon as it is printed; none when the container prints nothing more. May be
    /// dropped and called again without losing anything.
    pub async fn next(&mut self) -> Result<Option<(Stream, Vec<u8>)>> {
        let mut bytes = [0; 16 * 1024];
        loop {
            if let Some(piece) = self.frames.next() {
                return Ok(Some(piece));
            }
            match self.connection.read(&mut bytes).await {
                Ok(0) => return Ok(None),
                Ok(count) => self.frames.came(&bytes[..count]),
                Err(error) => return Err(Error::passing("engine", chain(&error), None)),
            }
        }
    }
}

/// The two outputs in one connection: before each piece a header of eight bytes with its stream and
/// its length (Engine API: `POST /containers/{id}/attach`, "Stream format").
#[derive(Default)]
struct Frames {
    bytes: Vec<u8>,
    /// Of the frame that is being read: its stream, and how much of it is still to come.
    open: Option<(Stream, usize)>,
}

impl Frames {
    fn came(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// What there is of a frame, also when it is not all of it: no frame is held in memory whole.
    fn next(&mut self) -> Option<(Stream, Vec<u8>)> {
        while self.open.is_none_or(|(_, left)| left == 0) {
            let [kind, _, _, _, a, b, c, d] = *self.bytes.first_chunk()?;
            self.bytes.drain(..8);
            let stream = if kind == 2 { Stream::Err } else { Stream::Out };
            self.open = Some((stream, u32::from_be_bytes([a, b, c, d]) as usize));
        }
        let (stream, left) = self.open.as_mut()?;
        let count = self.bytes.len().min(*left);
        if count == 0 {
            return None;
        }
        *left -= count;
        Some((*stream, self.bytes.drain(..count).collect()))
    }
}

/// How a container's program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    pub code: i64,
    /// A process of it was ended because the container has no more memory.
    pub out_of_memory: bool,
}

impl Engine {
    /// Unpacks a tar in a container that does not run yet, with the owners and modes of the tar.
    pub async fn put_into_container(&self, id: &str, directory: &str, tar: Vec<u8>) -> Result<()> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-tar"));
        let path = self.archive_path(id, directory).await?;
        let body = Either::Left(Full::from(tar));
        self.transport.request(Method::PUT, &path, headers, body).await.map(drop)
    }

    /// Writes the tar of a path in a container, in which its last component comes first. Nothing is
    /// said about what is in it: whoever had the container may have made it up.
    ///
    /// Fails with [`Error::TooLarge`] when there is more than `most` bytes of it.
    pub async fn take_from_container(
        &self,
        id: &str,
        path: &str,
        into: &mut (impl AsyncWrite + Unpin),
        most: u64,
    ) -> Result<()> {
        let path = self.archive_path(id, path).await?;
        let none = Either::Left(Full::default());
        let answer = self.transport.request(Method::GET, &path, HeaderMap::new(), none).await?;
        let (mut body, mut left) = (answer.into_body(), most);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| self.transport.lost(&error))?;
            let Some(data) = frame.data_ref() else { continue };
            left = left
                .checked_sub(data.len() as u64)
                .ok_or_else(|| Error::TooLarge(format!("there are more than {most} bytes")))?;
            into.write_all(data).await.map_err(Error::of_file)?;
        }
        into.flush().await.map_err(Error::of_file)
    }

    async fn archive_path(&self, id: &str, path: &str) -> Result<String> {
        let query =
            form_urlencoded::Serializer::new(String::new()).append_pair("path", path).finish();
        Ok(format!("{}/containers/{id}/archive?{query}", self.agreement().await?.prefix))
    }

    /// What a container prints; asked for before it is started, that is all of it. The program waits
    /// while nobody reads it.
    pub async fn container_output(&self, id: &str) -> Result<Output> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("tcp"));
        let prefix = &self.agreement().await?.prefix;
        let path = format!("{prefix}/containers/{id}/attach?stream=1&stdout=1&stderr=1");
        let none = Either::Left(Full::default());
        let answer = self.transport.request(Method::POST, &path, headers, none).await?;
        let connection = hyper::upgrade::on(answer)
            .await
            .map_err(|error| Error::passing("engine", chain(&error), None))?;
        Ok(Output { connection: TokioIo::new(connection), frames: Frames::default() })
    }

    /// Waits for the end of a container that was started, however long it takes.
    pub async fn container_end(&self, id: &str) -> Result<Ended> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(rename = "StatusCode")]
            code: i64,
        }
        // Not bollard's, which gives up after its time limit.
        let path = format!("{}/containers/{id}/wait", self.agreement().await?.prefix);
        let none = Either::Left(Full::default());
        let answer = self.transport.request(Method::POST, &path, HeaderMap::new(), none).await?;
        let body = answer.into_body().collect().await;
        let body = body.map_err(|error| self.transport.lost(&error))?.to_bytes();
        let Answer { code } = serde_json::from_slice(&body).map_err(|error| {
            Error::passing("engine", format!("it did not say how {id} ended: {error}"), None)
        })?;
        let state = self.container(id).await?.and_then(|container| container.state);
        let out_of_memory = state.and_then(|state| state.oom_killed).unwrap_or_default();
        Ok(Ended { code, out_of_memory })
    }

    /// Bytes that a container has written over its image; the engine counts them by looking at each
    /// file.
    pub async fn container_size(&self, id: &str) -> Result<u64> {
        let options = InspectContainerOptionsBuilder::default().size(true).build();
        let docker = self.docker().await?;
        let container =
            docker.inspect_container(id, Some(options)).await.map_err(|error| failure(&error))?;
        Ok(container.size_rw.and_then(|size| u64::try_from(size).ok()).unwrap_or_default())
    }

    /// Removes all containers with these labels, at once: nobody wants what they do.
    pub async fn remove_containers_labelled(
        &self,
        labels: &BTreeMap<String, String>,
    ) -> Result<()> {
        let Some((key, value)) = labels.first_key_value() else { return Ok(()) };
        let mut look = 0;
        loop {
            look += 1;
            let mut failed = None;
            for container in self.containers_labelled(&format!("{key}={value}")).await? {
                let has = container.labels.unwrap_or_default();
                let all = labels.iter().all(|(key, value)| has.get(key) == Some(value));
                if let (true, Some(id)) = (all, container.id)
                    && let Err(error) = self.remove_container(&id, Grace::None).await
                {
                    failed = Some(error);
                }
            }
            match failed {
                None => return Ok(()),
                Some(error) if look == LOOKS => return Err(error),
                // Somebody else may just be removing it, which the engine calls a conflict.
                Some(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_in_any_pieces() {
        let mut sent = Vec::new();
        for (kind, text) in [(1u8, "out"), (2, ""), (2, "wrong\n"), (1, "x")] {
            sent.extend([kind, 0, 0, 0]);
            sent.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
            sent.extend(text.bytes());
        }
        for size in 1..=sent.len() {
            let mut frames = Frames::default();
            let (mut out, mut err) = (Vec::new(), Vec::new());
            for piece in sent.chunks(size) {
                frames.came(piece);
                while let Some((stream, bytes)) = frames.next() {
                    match stream {
                        Stream::Out => out.extend(bytes),
                        Stream::Err => err.extend(bytes),
                    }
                }
            }
            assert_eq!((&*out, &*err), (&b"outx"[..], &b"wrong\n"[..]), "pieces of {size}");
        }
    }
}
