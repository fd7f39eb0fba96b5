//! The one SSH client of the native engine. It runs one command on a server and gives its streams.
//!
//! Servers are those whose keys are known before ([`KnownHosts`]): a key is never trusted because it
//! is the first. Who Crane is, it shows by a key ([`SshKey`]) or through an agent; no password is
//! ever sent. Proxies are for HTTP: SSH goes straight to the server.

mod keys;
mod known_hosts;
mod session;

use std::{
    fmt::Write as _,
    io,
    path::PathBuf,
    pin::Pin,
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures_util::stream;
use hyper::body::Bytes;
use russh::{
    ChannelMsg, ChannelReadHalf,
    client::AuthResult,
    keys::{
        PrivateKeyWithHashAlg,
        agent::{AgentIdentity, client::AgentClient},
    },
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Semaphore,
};
use tokio_util::io::StreamReader;

use self::{
    keys::Identity,
    session::{Session, fault},
};
pub use self::{keys::SshKey, known_hosts::KnownHosts};
use super::{Egress, dial};
use crate::puppet::fault::{Fault, Result, said};

/// From the first byte to where the command runs.
const OPEN_LIMIT: Duration = Duration::from_secs(30);
/// sshd drops connections at random when ten are not logged in yet (`MaxStartups`).
const OPENING: usize = 6;
/// sshd ends a connection after six tries (`MaxAuthTries`).
const KEYS: usize = 5;
/// What a command says of its errors; more of it is not for people.
const WORDS: usize = 1_000;
/// Servers greet with a page; more is an attack on whoever waits for the answer beside it.
const ASIDE: usize = 1024 * 1024;

/// How servers are spoken to over SSH.
#[derive(Debug, Clone, Default)]
pub struct SshSettings {
    pub known_hosts: KnownHosts,
    pub keys: Vec<SshKey>,
    /// The socket of an agent (ssh-agent(1)), which is asked after the keys.
    pub agent: Option<PathBuf>,
}

/// A server and who one is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Login {
    pub(in super::super) user: String,
    pub(in super::super) host: String,
    pub(in super::super) port: u16,
}

/// A command that runs.
pub(in super::super) struct Running {
    pub(in super::super) reader: Pin<Box<dyn AsyncRead + Send>>,
    pub(in super::super) writer: Pin<Box<dyn AsyncWrite + Send>>,
}

pub(in super::super) struct Ssh {
    known: Arc<KnownHosts>,
    keys: Vec<SshKey>,
    agent: Option<PathBuf>,
    /// Read when they are first needed.
    identities: OnceLock<Vec<Identity>>,
    opening: Semaphore,
}

impl Ssh {
    pub(in super::super) fn new(settings: SshSettings) -> Self {
        Self {
            known: Arc::new(settings.known_hosts),
            keys: settings.keys,
            agent: settings.agent,
            identities: OnceLock::new(),
            opening: Semaphore::new(OPENING),
        }
    }

    /// Whether the keys can be read. Blocks.
    pub(in super::super) fn check_keys(&self) -> crate::error::Result<()> {
        self.read_keys().map(drop)
    }

    fn read_keys(&self) -> crate::error::Result<&[Identity]> {
        if self.identities.get().is_none() {
            let read = self.keys.iter().map(SshKey::read).collect::<crate::error::Result<_>>()?;
            let _ = self.identities.set(read);
        }
        Ok(self.identities.get().map_or(&[], Vec::as_slice))
    }

    /// Runs a command, with variables of its environment if the server takes them.
    pub(in super::super) async fn run(
        &self,
        egress: &Egress,
        login: &Login,
        command: &str,
        environment: &[(&str, &str)],
    ) -> Result<Running> {
        let host = known_hosts::name(&login.host, login.port);
        let late = |_| Fault::away(format!("the SSH host '{host}' does not answer"));
        let permit = self.opening.acquire().await.map_err(io::Error::other)?;
        let opened = tokio::time::timeout(OPEN_LIMIT, self.open(egress, login)).await;
        let session = opened.map_err(late)??;
        drop(permit);
        let started = tokio::time::timeout(OPEN_LIMIT, async {
            let channel = session.handle.channel_open_session().await?;
            for (name, value) in environment {
                channel.set_env(false, *name, *value).await?;
            }
            channel.exec(true, command).await?;
            Ok(channel)
        });
        let channel = started.await.map_err(late)?.map_err(|error| fault(&error))?;
        let (reading, writing) = channel.split();
        let writer = Box::pin(writing.make_writer());
        let output =
            Output { reading, _session: session, words: String::new(), aside: 0, any: false };
        let reader = Box::pin(StreamReader::new(Box::pin(stream::try_unfold(output, next))));
        Ok(Running { reader, writer })
    }

    async fn open(&self, egress: &Egress, login: &Login) -> Result<Session> {
        let stream = dial(egress, &login.host, login.port).await?;
        let mut session = Session::open(stream, &login.host, login.port, &self.known).await?;
        self.log_in(&mut session, login).await?;
        Ok(session)
    }

    async fn log_in(&self, session: &mut Session, login: &Login) -> Result<()> {
        let Login { user, host, port } = login;
        let identities = self.read_keys().map_err(|error| Fault::Own(io::Error::other(error)))?;
        let mut tried = Vec::new();
        let mut accepted = String::new();
        for identity in identities.iter().filter(|identity| identity.is_for(host, *port)) {
            if tried.len() == KEYS {
                break;
            }
            tried.push(identity.shown());
            let key = PrivateKeyWithHashAlg::new(identity.key.clone(), None);
            let done = session.handle.authenticate_publickey(user, key).await;
            if is_in(done.map_err(|error| fault(&error))?, &mut accepted) {
                return Ok(());
            }
        }
        if let Some(socket) = &self.agent
            && let Ok(mut agent) = AgentClient::connect_uds(socket).await
        {
            // An agent that is not there or is locked has no keys.
            for identity in agent.request_identities().await.unwrap_or_default() {
                let AgentIdentity::PublicKey { key, .. } = identity else { continue };
                if tried.len() == KEYS || key.algorithm().is_rsa() {
                    continue;
                }
                let told = known_hosts::fingerprint(&key);
                tried.push(format!("{} {told} of the agent", key.algorithm().as_str()));
                let handle = &mut session.handle;
                let done = handle.authenticate_publickey_with(user, key, None, &mut agent).await;
                if done.is_ok_and(|done| is_in(done, &mut accepted)) {
                    return Ok(());
                }
            }
        }
        let host = known_hosts::name(host, *port);
        Err(Fault::Refused(match &tried[..] {
            [] => format!("no SSH key is configured for '{host}'"),
            tried => {
                let mut words = format!(
                    "the SSH host '{host}' does not let '{user}' in; tried was {}",
                    tried.join(", ")
                );
                if !accepted.is_empty() {
                    // A string takes what is written to it.
                    let _ = write!(words, "; it takes {accepted}");
                }
                words
            }
        }))
    }
}

/// Whether that was enough; if not, what the server says it takes.
fn is_in(result: AuthResult, accepted: &mut String) -> bool {
    match result {
        AuthResult::Success => true,
        AuthResult::Failure { remaining_methods, .. } => {
            let names: Vec<String> =
                remaining_methods.iter().map(|method| <&str>::from(method).to_owned()).collect();
            *accepted = names.join(", ");
            false
        }
    }
}

/// What a command writes.
struct Output {
    reading: ChannelReadHalf,
    /// Ends when nobody reads any more.
    _session: Session,
    /// What it says of its errors.
    words: String,
    /// Bytes of it, those that are not kept among them.
    aside: usize,
    /// Whether it has written anything.
    any: bool,
}

/// The next bytes; none at the end.
async fn next(mut output: Output) -> io::Result<Option<(Bytes, Output)>> {
    let mut failed = false;
    loop {
        match output.reading.wait().await {
            Some(ChannelMsg::Data { data }) => {
                output.any = true;
                return Ok(Some((data, output)));
            }
            Some(ChannelMsg::ExtendedData { data, .. }) => {
                output.aside += data.len();
                if output.aside > ASIDE {
                    let words = "the SSH server writes errors without end";
                    return Err(io::Error::new(io::ErrorKind::PermissionDenied, words));
                }
                let room = WORDS.saturating_sub(output.words.len());
                let data = &data[..data.len().min(room)];
                output.words.push_str(&String::from_utf8_lossy(data));
            }
            Some(ChannelMsg::Failure) => {
                let words = "the SSH server runs no git-upload-pack";
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, words));
            }
            Some(ChannelMsg::ExitStatus { exit_status }) => failed = exit_status != 0,
            Some(ChannelMsg::Close) | None if output.any && !failed => return Ok(None),
            Some(ChannelMsg::Close) => {
                let words = match output.words.trim() {
                    "" => "the command ended on the server, and it does not say why".to_owned(),
                    words => said(words),
                };
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, words));
            }
            None => return Err(io::ErrorKind::ConnectionReset.into()),
            Some(_) => {}
        }
    }
}
