//! A way to the rig's registry that misbehaves for a while.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::support::rig;

#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    /// This head, and no body, to requests that begin so.
    Answer(&'static str, &'static str),
    /// No answer, for as long as the client waits.
    Hang,
    /// The upload of a blob is cut after so many bytes of it.
    CutBlob(usize),
}

/// Ends with this value.
pub(super) struct BadRegistry {
    pub(super) address: SocketAddr,
    /// Faults that were made.
    made: Arc<AtomicUsize>,
    _task: JoinSet<()>,
}

impl BadRegistry {
    /// Misbehaves for the first `times` requests that the fault is about.
    pub(super) async fn start(fault: Fault, times: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let made = Arc::new(AtomicUsize::new(0));
        let mut task = JoinSet::new();
        let count = Arc::clone(&made);
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let count = Arc::clone(&count);
                connections.spawn(async move {
                    // An end of the connection is what either side may want.
                    let _ = serve(client, fault, &count, times).await;
                });
            }
        });
        Self { address, made, _task: task }
    }

    pub(super) fn made(&self) -> usize {
        self.made.load(Ordering::SeqCst)
    }
}

/// One request, after which the registry is asked to close the connection.
async fn serve(
    mut client: TcpStream,
    fault: Fault,
    made: &AtomicUsize,
    times: usize,
) -> std::io::Result<()> {
    let mut received = Vec::new();
    let end = loop {
        if let Some(end) = received.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        if client.read_buf(&mut received).await? == 0 {
            return Ok(());
        }
    };
    let head = String::from_utf8_lossy(&received[..end]).into_owned();
    let body = &received[end + 4..];
    let concerned = match fault {
        Fault::Answer(begin, _) => head.starts_with(begin),
        Fault::Hang => true,
        Fault::CutBlob(_) => head.starts_with("PATCH "),
    };
    let take = |made: usize| (concerned && made < times).then_some(made + 1);
    let misbehaves = made.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok();
    let fault = misbehaves.then_some(fault);
    match fault {
        Some(Fault::Answer(_, answer)) => {
            let answer =
                format!("HTTP/1.1 {answer}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
            client.write_all(answer.as_bytes()).await?;
            // What is still sent is read, or the answer would be lost by a reset.
            client.shutdown().await?;
            tokio::io::copy(&mut client, &mut tokio::io::sink()).await?;
            return Ok(());
        }
        Some(Fault::Hang) => {
            tokio::io::copy(&mut client, &mut tokio::io::sink()).await?;
            return Ok(());
        }
        Some(Fault::CutBlob(_)) | None => {}
    }
    let mut registry = TcpStream::connect(rig("RIG_REGISTRY")).await?;
    let mut lines = head.split("\r\n");
    let request = lines.next().unwrap();
    let kept = lines.filter(|line| !line.to_lowercase().starts_with("connection:"));
    let kept: String = kept.map(|line| format!("{line}\r\n")).collect();
    registry.write_all(format!("{request}\r\nConnection: close\r\n{kept}\r\n").as_bytes()).await?;
    if let Some(Fault::CutBlob(bytes)) = fault {
        registry.write_all(&body[..body.len().min(bytes)]).await?;
        let rest = bytes.saturating_sub(body.len()) as u64;
        tokio::io::copy(&mut (&mut client).take(rest), &mut registry).await?;
        return Ok(());
    }
    registry.write_all(body).await?;
    tokio::io::copy_bidirectional(&mut client, &mut registry).await?;
    Ok(())
}
