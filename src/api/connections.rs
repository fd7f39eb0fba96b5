//! Connections below HTTP: which clients take what they are sent.
//!
//! hyper asks an answer for more until it holds 400 KiB that the client has not taken, for each
//! connection. Answers that go on ([`super::live`]) ask here first, so that thousands of clients who
//! do not read hold next to nothing.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use poem::{
    Request,
    http::uri::Scheme,
    listener::Acceptor,
    web::{LocalAddr, RemoteAddr},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// Before the next try, when the process has no file descriptor left for another connection: until
/// one is closed, every try fails at once.
const PAUSE: Duration = Duration::from_millis(100);

/// Whether one client takes what it is sent.
pub(super) struct Flow(watch::Sender<bool>);

impl Flow {
    /// Waits until the client has taken what was made for it before.
    pub(super) async fn taken(&self) {
        // First hyper gets the opportunity to send it.
        tokio::task::yield_now().await;
        // An error is the end of the connection, of which hyper knows.
        let _ = self.0.subscribe().wait_for(|takes| *takes).await;
    }

    fn set(&self, takes: bool) {
        self.0.send_if_modified(|before| std::mem::replace(before, takes) != takes);
    }
}

type Open = HashMap<SocketAddr, Arc<Flow>>;

/// All open connections, by the address of the client.
#[derive(Clone, Default)]
pub(super) struct Connections(Arc<Mutex<Open>>);

impl Connections {
    /// Held for one look into the map. A panic in another holder cannot leave it half changed, so
    /// poisoning is ignored.
    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Of the connection that a request came on; `None` where there is none, as in a test.
    pub(super) fn flow(&self, request: &Request) -> Option<Arc<Flow>> {
        let address = request.remote_addr().as_socket_addr()?;
        self.open().get(address).cloned()
    }
}

/// Accepts connections, and lets them be looked at.
pub(super) struct Listener {
    listener: TcpListener,
    local: LocalAddr,
    connections: Connections,
}

impl Listener {
    pub(super) fn new(listener: TcpListener, connections: Connections) -> io::Result<Self> {
        let local = LocalAddr(listener.local_addr()?.into());
        Ok(Self { listener, local, connections })
    }
}

impl Acceptor for Listener {
    type Io = Connection;

    fn local_addr(&self) -> Vec<LocalAddr> {
        vec![self.local.clone()]
    }

    async fn accept(&mut self) -> io::Result<(Connection, LocalAddr, RemoteAddr, Scheme)> {
        let (stream, address) = match self.listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tokio::time::sleep(PAUSE).await;
                return Err(error);
            }
        };
        let flow = Arc::new(Flow(watch::Sender::new(true)));
        self.connections.open().insert(address, Arc::clone(&flow));
        let connections = self.connections.clone();
        let connection = Connection { stream, flow, address, connections };
        Ok((connection, self.local.clone(), RemoteAddr(address.into()), Scheme::HTTP))
    }
}

/// A connection that says when its client does not take any more.
pub(super) struct Connection {
    stream: TcpStream,
    flow: Arc<Flow>,
    address: SocketAddr,
    connections: Connections,
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut open = self.connections.open();
        // Another one may have come from the same address since this one was closed.
        if open.get(&self.address).is_some_and(|flow| Arc::ptr_eq(flow, &self.flow)) {
            open.remove(&self.address);
        }
        drop(open);
        self.flow.set(true);
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.flow.set(written.is_ready());
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
