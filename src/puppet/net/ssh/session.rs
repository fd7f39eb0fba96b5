//! A connection to an SSH server that has shown the key it must have.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use russh::{
    Preferred,
    client::{self, Config, Handle, Handler},
    keys::{Algorithm, EcdsaCurve, PublicKeyOrCertificate},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_util::sync::{CancellationToken, DropGuard, WaitForCancellationFutureOwned};

use super::known_hosts::{KnownHosts, Verdict, fingerprint, name};
use crate::puppet::fault::{Fault, Result};

/// A connection on which nothing is said for so long ends by itself; those who wait for an answer
/// give up earlier.
const SILENCE: Duration = Duration::from_secs(60);

/// Kinds of keys that a server may have, the best first. Without RSA: see `Cargo.toml`.
const ALGORITHMS: [Algorithm; 4] = [
    Algorithm::Ed25519,
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
];

/// A connection. Dropping it ends it, also where the library has tasks that go on.
pub(super) struct Session {
    pub(super) handle: Handle<Pinned>,
    _end: DropGuard,
}

impl Session {
    /// Speaks SSH over the stream, up to where the user shows who they are.
    pub(super) async fn open(
        stream: TcpStream,
        host: &str,
        port: u16,
        known: &Arc<KnownHosts>,
    ) -> Result<Self> {
        let mut algorithms = known.algorithms(host, port);
        algorithms.retain(|known| ALGORITHMS.contains(known));
        for algorithm in ALGORITHMS {
            if !algorithms.contains(&algorithm) {
                algorithms.push(algorithm);
            }
        }
        let config = Config {
            preferred: Preferred { key: algorithms.into(), ..Preferred::default() },
            inactivity_timeout: Some(SILENCE),
            ..Config::default()
        };
        let ended = CancellationToken::new();
        let end = ended.clone().drop_guard();
        let stream =
            Guarded { stream, ended: Box::pin(ended.clone().cancelled_owned()), token: ended };
        let pinned = Pinned { host: host.to_owned(), port, known: known.clone() };
        let handle = client::connect_stream(Arc::new(config), stream, pinned).await;
        match handle {
            Ok(handle) => Ok(Self { handle, _end: end }),
            Err(Broken(fault)) => Err(fault),
        }
    }
}

/// Looks at the server's key.
pub(super) struct Pinned {
    host: String,
    port: u16,
    known: Arc<KnownHosts>,
}

/// Why a session is not to be had.
#[derive(Debug)]
pub(super) struct Broken(Fault);

impl From<russh::Error> for Broken {
    fn from(error: russh::Error) -> Self {
        Self(fault(&error))
    }
}

/// What an error of the library stands for.
pub(super) fn fault(error: &russh::Error) -> Fault {
    match error {
        russh::Error::NoCommonAlgo { kind, theirs, .. } => {
            let theirs: String = theirs.join(", ").chars().filter(|c| !c.is_control()).collect();
            let theirs: String = theirs.chars().take(300).collect();
            Fault::refused(format!(
                "the SSH server has no {kind:?} algorithm that is supported here (RSA is not); it \
                 has {theirs}"
            ))
        }
        russh::Error::WrongServerSig | russh::Error::PacketAuth | russh::Error::UnknownKey => {
            Fault::refused(format!("the SSH server is not who it says: {error}"))
        }
        other => Fault::away(format!("the SSH connection broke off: {other}")),
    }
}

impl Handler for Pinned {
    type Error = Broken;

    async fn check_server_key(
        &mut self,
        shown: &PublicKeyOrCertificate,
    ) -> std::result::Result<bool, Broken> {
        let host = name(&self.host, self.port);
        let refuse = |words: String| Err(Broken(Fault::Refused(words)));
        let PublicKeyOrCertificate::PublicKey { key, .. } = shown else {
            return refuse(format!("'{host}' shows a certificate, which was not asked for"));
        };
        let told = format!("{} {}", key.algorithm().as_str(), fingerprint(key));
        match self.known.verdict(&self.host, self.port, key) {
            Verdict::Known => Ok(true),
            Verdict::Unknown => refuse(format!(
                "the SSH host '{host}' is not known, and has the key {told}: compare that with what \
                 its owner says, and add its line (ssh-keyscan prints it) to the known hosts"
            )),
            Verdict::Other(known) => refuse(format!(
                "the SSH host '{host}' has another key than it should: {told}, and known is {}. \
                 Somebody may be in between; if its owner says that it was changed, replace its \
                 line in the known hosts",
                known.join(", ")
            )),
            Verdict::OtherKind(kinds) => refuse(format!(
                "the SSH host '{host}' is known by keys of other kinds only ({}; RSA is not \
                 supported here), and has the key {told}: compare that with what its owner says, \
                 and add its line (ssh-keyscan prints it) to the known hosts",
                kinds.join(", ")
            )),
            Verdict::Revoked => refuse(format!(
                "the SSH host '{host}' has the key {told}, which is revoked in the known hosts"
            )),
        }
    }
}

/// The stream, which ends when the session is dropped.
struct Guarded {
    stream: TcpStream,
    ended: Pin<Box<WaitForCancellationFutureOwned>>,
    token: CancellationToken,
}

impl Guarded {
    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if !self.token.is_cancelled() {
            ready!(self.ended.as_mut().poll(cx));
        }
        Poll::Ready(io::ErrorKind::ConnectionAborted.into())
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.poll_ended(cx) {
            Poll::Ready(error) => Poll::Ready(Err(error)),
            Poll::Pending => Pin::new(&mut self.stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.poll_ended(cx) {
            Poll::Ready(error) => Poll::Ready(Err(error)),
            Poll::Pending => Pin::new(&mut self.stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
