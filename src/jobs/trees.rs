//! Contexts' directories on this process's disk: where they are, and how one comes here that
//! another process installed.
//!
//! A directory is known by the digest of its content, which the record of its context has and a
//! file beside it repeats once it is whole. Where several processes share a store, the registry
//! has it packed; without a registry it is installed once more, and has to come out the same.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    Parts, contexts,
    records::{self, Context, Record, Status, Tree},
};
use crate::{
    error::{Error, Result},
    model::{Channel, Log},
    puppet::{self, Scratch},
    registry::{Layer, Registry},
};

/// Repository of all packed directories; the tag is the context's token. Images have a group in
/// their names, so none is called so.
const REPOSITORY: &str = "crane-contexts";

const ARTIFACT_TYPE: &str = "application/vnd.eu.cloudopting.crane.context.v1";

/// Where a directory is, and the file that says it is whole.
struct Place {
    directory: PathBuf,
    mark: PathBuf,
}

impl Place {
    fn of(parts: &Parts, token: &str) -> Self {
        let directory = parts.context_dir(token);
        Self { mark: directory.with_extension("tree"), directory }
    }

    fn holds(&self, digest: &str) -> bool {
        fs::read_to_string(&self.mark).is_ok_and(|mark| mark == digest) && self.directory.is_dir()
    }

    /// Before anything is changed in the directory.
    fn unmark(&self) -> io::Result<()> {
        gone_is_fine(fs::remove_file(&self.mark))
    }

    fn mark(&self, digest: &str) -> io::Result<()> {
        let beside = self.mark.with_extension("tree-new");
        fs::write(&beside, digest)?;
        fs::rename(beside, &self.mark)
    }
}

fn gone_is_fine(outcome: io::Result<()>) -> io::Result<()> {
    outcome.or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(Error::internal)?
}

/// The installation begins: what stands there is not whole any more.
pub(super) async fn begin(parts: &Parts, token: &str) -> Result<()> {
    let place = Place::of(parts, token);
    blocking(move || place.unmark().map_err(Error::of_file)).await
}

/// The installation is done: the directory gets its name by content and, where other processes may
/// want it, goes to the registry.
pub(super) async fn complete(parts: &Parts, token: &str, log: &Log) -> Result<Tree> {
    let place = Place::of(parts, token);
    let shared = parts.registry.as_ref().filter(|_| !parts.store.exclusive());
    let Some(registry) = shared else {
        return blocking(move || {
            let digest = puppet::digest(&place.directory).map_err(Error::of_file)?;
            place.mark(&digest).map_err(Error::of_file)?;
            Ok(Tree { digest, artifact: None })
        })
        .await;
    };
    let (directory, work) = (place.directory.clone(), parts.puppet.work.clone());
    let packed = blocking(move || {
        let scratch = Scratch::make(&work, "pack-").map_err(Error::of_file)?;
        let file = fs::File::create(scratch.path().join("blob")).map_err(Error::of_file)?;
        match puppet::pack(&directory, io::BufWriter::new(file)) {
            Ok(packed) => Ok(Ok((scratch, packed))),
            // A link that leaves the tree, which no other process would unpack.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                let digest = puppet::digest(&directory).map_err(Error::of_file)?;
                Ok(Err((digest, error)))
            }
            Err(error) => Err(Error::of_file(error)),
        }
    });
    let (scratch, packed) = match packed.await? {
        Ok(packed) => packed,
        Err((digest, error)) => {
            let line = format!("WARN not stored in the registry for other processes: {error}");
            log.at("store").write(Channel::Log, line).await;
            let mark = digest.clone();
            blocking(move || place.mark(&mark).map_err(Error::of_file)).await?;
            return Ok(Tree { digest, artifact: None });
        }
    };
    let layer =
        Layer { path: scratch.path().join("blob"), digest: packed.blob_digest, size: packed.size };
    // The token makes the manifest this context's own, to be removed with it.
    let annotations = BTreeMap::from([
        (format!("{}resource", crate::model::LABEL_PREFIX), token.to_owned()),
        (format!("{}tree", crate::model::LABEL_PREFIX), packed.digest.clone()),
    ]);
    let line = format!("Storing the modules in {} as {}", registry.host(), packed.digest);
    log.at("store").write(Channel::Log, line).await;
    let artifact =
        registry.push_artifact(REPOSITORY, token, ARTIFACT_TYPE, &layer, &annotations).await?;
    let digest = packed.digest.clone();
    blocking(move || place.mark(&digest).map_err(Error::of_file)).await?;
    Ok(Tree { digest: packed.digest, artifact: Some(artifact) })
}

/// Sees that the directory of a finished context is on this process's disk.
pub(super) async fn ensure(parts: &Parts, context: &Record<Context>, log: &Log) -> Result<()> {
    // An empty context has none, and one of an earlier version is where it was installed.
    let Some(tree) = &context.detail.tree else { return Ok(()) };
    let token = context.detail.token.clone();
    let place = Place::of(parts, &token);
    if place.holds(&tree.digest) {
        return Ok(());
    }
    let log = log.at("fetch");
    log.write(Channel::Log, format!("Fetching the modules of {token}, {}", tree.digest)).await;
    begin(parts, &token).await?;
    match (&parts.registry, &tree.artifact) {
        (Some(registry), Some(artifact)) => {
            fetch(parts, registry, artifact, &tree.digest, &place.directory).await?;
        }
        _ => install_again(parts, &token, &tree.digest, &place.directory, &log).await?,
    }
    let digest = tree.digest.clone();
    blocking(move || place.mark(&digest).map_err(Error::of_file)).await
}

async fn fetch(
    parts: &Parts,
    registry: &Registry,
    artifact: &str,
    digest: &str,
    directory: &Path,
) -> Result<()> {
    let work = parts.puppet.work.clone();
    let scratch = blocking(move || Scratch::make(&work, "fetch-").map_err(Error::of_file)).await?;
    let blob = scratch.path().join("blob");
    registry.pull_artifact(REPOSITORY, artifact, ARTIFACT_TYPE, &blob).await?;
    let (digest, directory) = (digest.to_owned(), directory.to_owned());
    blocking(move || {
        let blob = fs::File::open(scratch.path().join("blob")).map_err(Error::of_file)?;
        puppet::unpack(io::BufReader::new(blob), &digest, &directory)
    })
    .await
}

async fn install_again(
    parts: &Parts,
    token: &str,
    digest: &str,
    directory: &Path,
    log: &Log,
) -> Result<()> {
    contexts::install_into(parts, token, directory, log).await?;
    let directory = directory.to_owned();
    let found = blocking(move || puppet::digest(&directory).map_err(Error::of_file)).await?;
    if found == digest {
        return Ok(());
    }
    Err(Error::failed(format!(
        "the modules of '{token}' were installed by another Crane, and what its Puppetfile names \
         has changed since ({found}, not {digest}): POST the Puppetfile as a new context"
    )))
}

/// Removes a context's directory from this process's disk.
pub(super) async fn forget(parts: &Parts, token: &str) -> Result<()> {
    let place = Place::of(parts, token);
    blocking(move || {
        let remove = || {
            place.unmark()?;
            gone_is_fine(fs::remove_dir_all(&place.directory))
        };
        remove().map_err(Error::of_file)
    })
    .await
}

/// Removes what the registry has of a context. Gives what stays, in a sentence.
pub(super) async fn remove_artifact(parts: &Parts, token: &str) -> Result<Option<String>> {
    let Some(registry) = &parts.registry else { return Ok(None) };
    let context: Record<Context> = records::find(&*parts.store, &contexts::resource(token)).await?;
    let Some(artifact) = context.detail.tree.and_then(|tree| tree.artifact) else {
        return Ok(None);
    };
    match registry.delete(REPOSITORY, &artifact, &artifact).await? {
        crate::registry::Deletion::Refused(reason) => Ok(Some(reason)),
        _ => Ok(None),
    }
}

/// Whether a context has a directory, or will have one: its installation was neither given up nor
/// is it gone.
pub(super) async fn is_wanted(parts: &Parts, token: &str) -> Result<bool> {
    let key = contexts::resource(token).key();
    let context = parts.store.read::<Record<Context>>(&key).await?;
    let given_up = |status| matches!(status, Status::Error | Status::Cancelled);
    Ok(context.is_some_and(|context| !given_up(context.value.status)))
}

/// Removes the directories that no context wants, left by a process that was killed or away.
pub(super) async fn sweep(parts: &Parts) -> Result<()> {
    let contexts = parts.data_dir.join("contexts");
    let names = blocking(move || {
        let names = fs::read_dir(contexts).map_err(Error::of_file)?;
        let names = names.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        Ok(names.collect::<Vec<_>>())
    })
    .await?;
    for name in names {
        let token = name.split('.').next().unwrap_or_default();
        if token.starts_with("CT") && !is_wanted(parts, token).await? {
            tracing::info!(token, "removing the directory of a context that is no more");
            forget(parts, token).await?;
        }
    }
    let (work, contexts) = (parts.puppet.work.clone(), parts.data_dir.join("contexts"));
    blocking(move || {
        for directory in [&work, &contexts] {
            puppet::remove_left_behind(directory).map_err(Error::of_file)?;
        }
        // Making one removes those beside it that nobody holds.
        for prefix in ["pack-", "fetch-"] {
            Scratch::make(&work, prefix).map_err(Error::of_file)?;
        }
        Ok(())
    })
    .await
}
