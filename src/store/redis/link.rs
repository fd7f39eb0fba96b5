//! Connections to one Redis: which calls are tried again, and for how long.
//!
//! A connection that did not answer in time is given up, also when it looks alive: behind a
//! firewall that forgot it, it would look alive for a quarter of an hour.

use std::{
    future::Future,
    sync::{Mutex as ShortMutex, PoisonError},
    time::Duration,
};

use redis::{
    AsyncConnectionConfig, Client, ErrorKind, IntoConnectionInfo, RedisError, RedisResult,
    ServerErrorKind, aio::MultiplexedConnection,
};
use tokio::{
    sync::Mutex,
    time::{Instant, sleep, timeout, timeout_at},
};

use crate::error::{Error, Result, chain};

/// An answer takes microseconds; a Redis that forks or loads makes it up to a second or two.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// A call is tried again until so much time has passed: longer than a Redis takes to restart with
/// little data, shorter than those who wait for a request are ready to.
const GIVE_UP_AFTER: Duration = Duration::from_secs(10);

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Connections kept for calls that block, beyond those in use.
const IDLE_KEPT: usize = 8;

pub(super) struct Link {
    client: Client,
    address: String,
    shared: Mutex<Shared>,
    /// A command that blocks holds up all behind it on its connection, so each has its own.
    idle: ShortMutex<Vec<MultiplexedConnection>>,
}

#[derive(Default)]
struct Shared {
    connection: Option<MultiplexedConnection>,
    /// Which one that is, so that nobody gives up the successor of the one that failed.
    number: u64,
}

impl Link {
    pub(super) fn new(url: &str) -> Result<Self> {
        // The URL may carry a password, so it is never part of an error.
        let malformed = |_| Error::invalid("the store's redis:// URL is malformed");
        let info = url.into_connection_info().map_err(malformed)?;
        let address = info.addr().to_string();
        let client = Client::open(info).map_err(|error| failure(&address, &chain(&error)))?;
        Ok(Self { client, address, shared: Mutex::default(), idle: ShortMutex::default() })
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// As [`Self::call`], but once: a wrong address is better told at once.
    pub(super) async fn call_once<T, F>(
        &self,
        command: impl Fn(MultiplexedConnection) -> F + Send,
    ) -> Result<T>
    where
        F: Future<Output = RedisResult<T>> + Send,
    {
        self.attempt(&command).await.map_err(|fault| match fault {
            Fault::Lasting(words) | Fault::Passing(words) => self.failure(&words),
        })
    }

    /// Runs commands that may be sent twice, until they are answered.
    pub(super) async fn call<T, F>(
        &self,
        command: impl Fn(MultiplexedConnection) -> F + Send,
    ) -> Result<T>
    where
        F: Future<Output = RedisResult<T>> + Send,
    {
        let mut patience = Patience::new();
        loop {
            let attempt = timeout_at(patience.end, self.attempt(&command)).await;
            let words = match attempt.unwrap_or(Err(Fault::Passing(NO_ANSWER.into()))) {
                Ok(answer) => return Ok(answer),
                Err(Fault::Lasting(words)) => return Err(self.failure(&words)),
                Err(Fault::Passing(words)) => words,
            };
            if !patience.pause().await {
                return Err(self.failure(&words));
            }
        }
    }

    async fn attempt<T, F>(
        &self,
        command: &(impl Fn(MultiplexedConnection) -> F + Send),
    ) -> std::result::Result<T, Fault>
    where
        F: Future<Output = RedisResult<T>> + Send,
    {
        let (connection, number) = {
            let mut shared = self.shared.lock().await;
            match &shared.connection {
                Some(connection) => (connection.clone(), shared.number),
                None => {
                    let connection = self.connect().await?;
                    shared.number += 1;
                    (shared.connection.insert(connection).clone(), shared.number)
                }
            }
        };
        let answer = timeout(ANSWER_WITHIN, command(connection)).await;
        let fault = match answer {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => Fault::of(&error),
            Err(_) => Fault::Passing(NO_ANSWER.into()),
        };
        if let Fault::Passing(_) = fault {
            let mut shared = self.shared.lock().await;
            if shared.number == number {
                shared.connection = None;
            }
        }
        Err(fault)
    }

    /// Runs a command that blocks for at most `block`, on a connection of its own. One that is
    /// dropped in the middle takes its connection with it, and Redis stops waiting.
    pub(super) async fn call_blocking<T, F>(
        &self,
        block: Duration,
        command: impl FnOnce(MultiplexedConnection) -> F + Send,
    ) -> Result<Waited<T>>
    where
        F: Future<Output = RedisResult<T>> + Send,
    {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => Ok(connection),
            None => self.connect().await,
        };
        let fault = match connection {
            Ok(connection) => {
                let answer = timeout(block + ANSWER_WITHIN, command(connection.clone())).await;
                match answer {
                    Ok(Ok(answer)) => {
                        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
                        if idle.len() < IDLE_KEPT {
                            idle.push(connection);
                        }
                        return Ok(Waited::Answer(answer));
                    }
                    Ok(Err(error)) => Fault::of(&error),
                    Err(_) => Fault::Passing(NO_ANSWER.into()),
                }
            }
            Err(fault) => fault,
        };
        match fault {
            Fault::Passing(_) => Ok(Waited::Interrupted),
            Fault::Lasting(words) => Err(self.failure(&words)),
        }
    }

    async fn connect(&self) -> std::result::Result<MultiplexedConnection, Fault> {
        // Every call here has a time limit of its own.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(ANSWER_WITHIN))
            .set_response_timeout(None);
        let connection = self.client.get_multiplexed_async_connection_with_config(&config);
        match timeout(ANSWER_WITHIN, connection).await {
            Ok(connection) => connection.map_err(|error| Fault::of(&error)),
            Err(_) => Err(Fault::Passing(NO_ANSWER.into())),
        }
    }

    fn failure(&self, words: &str) -> Error {
        failure(&self.address, words)
    }
}

const NO_ANSWER: &str = "no answer";

fn failure(address: &str, words: &str) -> Error {
    Error::passing("store", format!("Redis at {address}: {words}"), None)
}

/// What a blocking command came to.
pub(super) enum Waited<T> {
    Answer(T),
    /// The connection broke; what was waited for may have happened.
    Interrupted,
}

/// The words of an error, and whether it may pass.
enum Fault {
    Passing(String),
    Lasting(String),
}

impl Fault {
    fn of(error: &RedisError) -> Self {
        // A connection whose answers cannot be parsed is as good as cut; `BUSY` is somebody's script.
        let passing = error.is_io_error()
            || error.kind() == ErrorKind::Parse
            || error.code() == Some("BUSY")
            || matches!(
                error.kind(),
                ErrorKind::Server(
                    ServerErrorKind::BusyLoading
                        | ServerErrorKind::TryAgain
                        | ServerErrorKind::ClusterDown
                        | ServerErrorKind::MasterDown
                        // The former master after a failover: its address will name the new one.
                        | ServerErrorKind::ReadOnly
                )
            );
        match passing {
            true => Self::Passing(chain(error)),
            false => Self::Lasting(chain(error)),
        }
    }
}

/// Pauses between attempts that grow, up to an end.
struct Patience {
    end: Instant,
    next: Duration,
}

impl Patience {
    fn new() -> Self {
        Self { end: Instant::now() + GIVE_UP_AFTER, next: FIRST_PAUSE }
    }

    /// `false` when there is no time for another attempt.
    async fn pause(&mut self) -> bool {
        if Instant::now() + self.next >= self.end {
            return false;
        }
        sleep(self.next).await;
        self.next = (self.next * 2).min(LONGEST_PAUSE);
        true
    }
}
