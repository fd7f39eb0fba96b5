//! What stands in for engines that the rig does not have, and for networks that break.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, UnixStream},
    task::JoinSet,
};

use crate::support::rig;

/// The rig's engine on a TCP port, until the gate is closed.
pub(super) struct Gate {
    pub(super) address: String,
    connections: JoinSet<()>,
}

impl Gate {
    pub(super) async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let socket = rig("RIG_ENGINE").strip_prefix("unix://").unwrap().to_owned();
        let mut connections = JoinSet::new();
        connections.spawn(async move {
            let mut inner = JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                let mut engine = UnixStream::connect(&socket).await.unwrap();
                inner.spawn(async move {
                    let _ = copy_bidirectional(&mut client, &mut engine).await;
                });
            }
        });
        Self { address, connections }
    }

    /// Cuts every connection.
    pub(super) async fn close(mut self) {
        self.connections.shutdown().await;
    }
}

/// A server that gives every request the same answer, without a body.
pub(super) async fn answering(head: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(format!("{head}Content-Length: 0\r\n\r\n").as_bytes()).await;
        }
    });
    address
}
