//! r10k in a container. A Puppetfile is Ruby, and r10k runs it: `system("...")`, blocks, `ENV[...]`
//! and all. So it gets the file as it was sent, and nothing else: a container with no files of any
//! machine in it, no privileges and little room, which is removed when it has ended. What it leaves
//! behind comes out as a tar that nothing is believed of.
//!
//! Every run has a cache of its own, in its container: with a shared one, a Puppetfile could write
//! what the next one reads.

mod container;
mod failures;
mod found;
mod passing;
mod taken;

use std::{
    collections::{BTreeMap, VecDeque},
    path::Path,
    sync::Arc,
    time::Duration,
};

use tokio::time::{Instant, interval_at, timeout};

use super::{
    Brought, Settings,
    bounds::CancelOnDrop,
    fault::Fault,
    lines::Lines,
    puppetfile::{self, Puppetfile, STAGING_PREFIX},
    scratch::Scratch,
    tree,
};
use crate::{
    engine::{self, Ended, Grace, Login, Stream},
    error::{Error, Result},
    model::{Channel, Log},
};

/// Bytes that r10k may write in its container, caches of whole histories among them, and how often
/// they are counted: the engine has no limit of its own for most file systems.
const DISK: u64 = 4 << 30;
const LOOK: Duration = Duration::from_secs(3);

/// What ends so is no program (POSIX, "Shell Command Language", 2.8.2).
const NOT_FOUND: i64 = 127;

/// Lines kept of what r10k prints: it ends with what went wrong.
const KEPT_LINES: usize = 1_000;

/// Where r10k runs.
#[derive(Clone)]
pub struct Sandbox {
    /// The Docker engine that the containers are on.
    pub engine: engine::Engine,
    /// The image: it has r10k and git.
    pub image: String,
    /// At the registry of the image, if it asks who is there.
    pub login: Option<Login>,
    /// The Docker network: what r10k, and everything in a Puppetfile, can reach.
    pub network: String,
    /// In bytes; there is no swap beside it.
    pub memory: u64,
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox").field("image", &self.image).finish_non_exhaustive()
    }
}

/// Whether the image is there, or can be had.
pub(super) async fn ready(sandbox: &Sandbox) -> Result<()> {
    let Sandbox { engine, image, .. } = sandbox;
    if engine.image(image).await?.is_some() || engine.remote_digest(image).await.is_some() {
        return Ok(());
    }
    let reason = format!(
        "the image '{image}' (CRANE_R10K_IMAGE) is neither on the engine nor at its registry: \
         docker build -t {image} contexts/r10k"
    );
    Err(Error::unavailable("puppet", reason))
}

/// Lets r10k install the Puppetfile into the context's directory, or changes nothing in it. The
/// container carries the labels.
///
/// Dropping this does not end the container: it is removed by its labels.
pub(super) async fn install(
    sandbox: &Sandbox,
    settings: &Settings,
    text: &str,
    context: &Path,
    labels: &BTreeMap<String, String>,
    log: &Log,
) -> Result<Brought> {
    // What is not understood of it is r10k's to understand.
    let (known, _) = puppetfile::parse(text)?;
    // One that a Crane started which is no more.
    sandbox.engine.remove_containers_labelled(labels).await?;
    bring_image(sandbox, log).await?;
    let place = context.to_owned();
    let scratch =
        blocking(move || Scratch::make(&place, STAGING_PREFIX).map(Arc::new).map_err(Fault::Own))
            .await?;
    let body = container::body(sandbox, labels);
    let id = sandbox.engine.create_container(&container::name(), body).await?;
    let run = run(sandbox, settings, &id, text, &known, &scratch, log);
    let ran = timeout(settings.time_limit, run).await.unwrap_or_else(|_| {
        let seconds = settings.time_limit.as_secs();
        Err(Error::failed(format!("r10k was not done after {seconds} s, and was ended")))
    });
    let removed = sandbox.engine.remove_container(&id, Grace::None).await;
    ran?;
    removed?;
    put_in_place(known, context, scratch).await
}

async fn bring_image(sandbox: &Sandbox, log: &Log) -> Result<()> {
    let Sandbox { engine, image, login, .. } = sandbox;
    if engine.image(image).await?.is_some() {
        return Ok(());
    }
    log.write(Channel::Log, format!("{image}: pulling it, r10k is in there")).await;
    engine.pull_image(image, login.as_ref(), Channel::Log, log).await
}

/// Runs r10k in a container that was made for it. What it made is then in the scratch directory, in
/// `tree`.
async fn run(
    sandbox: &Sandbox,
    settings: &Settings,
    id: &str,
    text: &str,
    known: &Puppetfile,
    scratch: &Arc<Scratch>,
    log: &Log,
) -> Result<()> {
    let engine = &sandbox.engine;
    let input = container::input(settings, text, known).map_err(Error::internal)?;
    engine.put_into_container(id, "/", input).await?;
    let output = engine.container_output(id).await?;
    engine.start_container(id).await?;
    let (lines, ended) = follow(sandbox, id, output, log).await?;
    if ended.code != 0 {
        return Err(failed(sandbox, ended, &lines, known));
    }
    take(sandbox, id, scratch).await
}

/// Passes on what is printed until r10k has ended; gives the last lines.
async fn follow(
    sandbox: &Sandbox,
    id: &str,
    mut output: engine::Output,
    log: &Log,
) -> Result<(Vec<String>, Ended)> {
    let engine = &sandbox.engine;
    let mut kept: VecDeque<String> = VecDeque::new();
    let (mut out, mut err) = (Lines::default(), Lines::default());
    let mut looks = interval_at(Instant::now() + LOOK, LOOK);
    let mut printing = true;
    let end = engine.container_end(id);
    tokio::pin!(end);
    let mut ended = None;
    // It may close its outputs long before it ends, and what it printed may come late.
    while printing || ended.is_none() {
        let mut lines = tokio::select! {
            piece = output.next(), if printing => match piece? {
                Some((Stream::Out, bytes)) => out.of(&bytes),
                Some((Stream::Err, bytes)) => err.of(&bytes),
                None => {
                    printing = false;
                    out.rest().into_iter().chain(err.rest()).collect()
                }
            },
            end = &mut end, if ended.is_none() => {
                ended = Some(end?);
                continue;
            }
            _ = looks.tick(), if ended.is_none() => {
                in_bounds(sandbox, id).await?;
                continue;
            }
        };
        for line in &mut lines {
            // The directories of the container say nothing to the reader of a log.
            *line = line.replace(container::TREE_SLASH, "").replace(container::ROOT_SLASH, "");
            log.write(Channel::Log, line.clone()).await;
        }
        kept.extend(lines);
        kept.drain(..kept.len().saturating_sub(KEPT_LINES));
    }
    let ended = ended.ok_or_else(|| Error::internal("a container without an end"))?;
    Ok((kept.into(), ended))
}

async fn in_bounds(sandbox: &Sandbox, id: &str) -> Result<()> {
    match sandbox.engine.container_size(id).await {
        Ok(size) if size > DISK => Err(too_much()),
        Ok(_) => Ok(()),
        // It has just ended, or the engine is busy: the next look tells.
        Err(error) => {
            tracing::debug!(%error, "the size of a container is not known");
            Ok(())
        }
    }
}

fn too_much() -> Error {
    Error::failed(format!("r10k wrote more than {} GiB, and was ended", DISK >> 30))
}

/// The error of a run that did not end well, with r10k's own words.
fn failed(sandbox: &Sandbox, ended: Ended, lines: &[String], known: &Puppetfile) -> Error {
    if ended.out_of_memory {
        return Error::failed(format!(
            "r10k needed more memory than the {} MiB that it is given (CRANE_R10K_MEMORY), and was \
             ended",
            sandbox.memory >> 20
        ));
    }
    // In the words of the engine's init, which starts it.
    if ended.code == NOT_FOUND && lines.iter().any(|line| line.contains("exec r10k failed")) {
        let reason = format!("there is no r10k in the image '{}'", sandbox.image);
        return Error::unavailable("puppet", reason);
    }
    let problems = failures::problems(lines, known);
    let what = "r10k could not install the modules";
    let description = match &problems[..] {
        [] => match lines.iter().rev().find(|line| !line.is_empty()) {
            Some(line) => format!("{what}: {line}"),
            None => format!("{what}: it ended with the exit code {}", ended.code),
        },
        [only] => format!("{what}: {only}"),
        [first, rest @ ..] => format!("{what}: {first} (and {} more)", rest.len()),
    };
    let error = Error::failed_with(description, problems);
    if failures::may_pass(lines) { error.may_pass(None) } else { error }
}

/// Fetches what r10k made, and unpacks what is good of it.
async fn take(sandbox: &Sandbox, id: &str, scratch: &Arc<Scratch>) -> Result<()> {
    let tar = scratch.path().join("tar");
    let mut file = tokio::fs::File::create(&tar).await.map_err(Error::of_file)?;
    let tree = container::TREE_SLASH.trim_end_matches('/');
    let taken = sandbox.engine.take_from_container(id, tree, &mut file, DISK).await;
    taken.map_err(|error| match error {
        Error::TooLarge(_) => too_much(),
        Error::NotFound(_) => Error::failed("what r10k installed is not there any more"),
        error => error,
    })?;
    let cancel = CancelOnDrop::default();
    let (held, cancelled) = (scratch.clone(), cancel.0.clone());
    blocking(move || {
        let tree = held.path().join("tree");
        taken::unpack(&tar, &tree, &cancelled)?;
        Ok(std::fs::remove_file(&tar)?)
    })
    .await
}

/// Puts what was taken into the context, and says what it is.
async fn put_in_place(known: Puppetfile, context: &Path, scratch: Arc<Scratch>) -> Result<Brought> {
    let (held, place) = (scratch.clone(), context.to_owned());
    let (brought, directories) = blocking(move || {
        let tree = held.path().join("tree");
        // Modules that are `local` were never in the container.
        tree::finish(&known, &tree, &place)?;
        Ok((found::modules(&tree, &known)?, found::directories(&tree)?))
    })
    .await?;
    // A few renames, and no await between them at which this could be dropped.
    let retired = scratch.path().join("retired");
    tree::swap(&directories, &scratch.path().join("tree"), context, &retired)
        .map_err(Error::internal)?;
    blocking(move || {
        drop(scratch);
        Ok(())
    })
    .await?;
    Ok(brought)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> super::fault::Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await.map_err(Error::internal)?;
    done.map_err(|fault| match fault {
        Fault::Own(error) => Error::of_file(error),
        fault => Error::failed(format!("what r10k installed is refused: {fault}")),
    })
}
