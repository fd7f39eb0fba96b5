//! Crane's own engine: installs what r10k would, evaluates nothing, and is in no hurry to trust.
//!
//! Each module goes through two steps of its source ([`sources`]): what it is (a commit, a release,
//! a checksum: its [`Pin`]), and how it comes into the tree. Both use the cache, which all contexts
//! share and in which everything is named after its content or its URL.

mod cache;
mod failed;
mod fingerprints;
mod once;
mod staging;
mod standing;
mod unsupported;
mod warnings;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream};
use tokio::sync::Semaphore;

pub(super) use self::{
    cache::Held,
    staging::staging,
    standing::{bring, forget},
    unsupported::unsupported,
    warnings::forge,
};
use self::{once::Once, warnings::warn};
use super::{
    Installed, Settings,
    bounds::CancelOnDrop,
    fault::{Fault, Result as Fetched},
    lock::{Lock, Locked, Pin},
    net::{self, Credential, Egress, Http, Proxies, Ssh, SshSettings},
    puppetfile::{Module, Puppetfile},
    scratch::Scratch,
    solve::{Whole, whole},
    sources::{self, Order},
    tree,
};
use crate::{
    error::{Error, Result},
    model::{Channel, Log},
};

/// The Forge that r10k asks unless it is told otherwise.
pub const PUBLIC_FORGE: &str = "https://forgeapi.puppet.com";

/// Modules that are worked on at the same time. Most of the time they wait for a server.
const MODULES: usize = 24;
/// Requests at the same time, over all installations: more from one client are taken for an attack
/// by some hosts.
const REQUESTS: usize = 24;

/// Which of r10k's generations is followed where they differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compat {
    /// `spec/` stays, and a module without a reference is at `master`.
    R10k3,
    /// `spec/` goes, and a module without a reference is an error.
    #[default]
    R10k5,
}

/// What one installation wants beyond its Puppetfile.
#[derive(Debug, Clone, Default)]
pub struct Options {
    pub compat: Compat,
    /// Must hold: modules are what it says, or the installation fails.
    pub lock: Option<Lock>,
    /// Whether modules that others need are added. A lock says which: then nothing else is.
    pub resolve: bool,
}

/// How the engine is set up.
#[derive(Debug, Clone, Default)]
pub struct NativeSettings {
    /// The directory of the cache; made when it is first used.
    pub cache: PathBuf,
    /// Bytes that the cache may have; none: 10 GiB. What was not used for the longest time goes when
    /// there is more, which is looked at after an installation, every ten minutes at most.
    pub cache_bytes: Option<u64>,
    pub egress: Egress,
    pub credentials: Vec<Credential>,
    /// Nothing of the environment is read: what is not here goes through no proxy.
    pub proxies: Proxies,
    /// Known hosts, keys.
    pub ssh: SshSettings,
    /// PEM files of CAs that are trusted besides the system's.
    pub authorities: Vec<PathBuf>,
    /// Whether a tag that is in the cache is not asked for again, as r10k does
    /// (`StatefulRepository#sync_cache?`). A server whose cache is shared should ask: tags move.
    pub keep_tags: bool,
}

/// The engine, opened once and shared: its connections, its cache, and who waits for whom.
pub struct Native {
    pub(super) cache: PathBuf,
    cache_bytes: u64,
    pub(super) egress: Arc<Egress>,
    pub(super) http: Http,
    pub(super) ssh: Ssh,
    pub(super) keep_tags: bool,
    pub(super) once: Once,
    pub(super) requests: Semaphore,
    /// Threads that write modules: more of them than processors only wait for each other.
    writers: Arc<Semaphore>,
}

impl std::fmt::Debug for Native {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Native").field("cache", &self.cache).finish_non_exhaustive()
    }
}

impl Native {
    pub fn open(settings: NativeSettings) -> Result<Arc<Self>> {
        let processors = std::thread::available_parallelism().map_or(2, usize::from);
        let (egress, proxies) = (Arc::new(settings.egress), Arc::new(settings.proxies));
        // What is configured and cannot be read is told at once.
        if !settings.authorities.is_empty() {
            net::configuration(&settings.authorities)?;
        }
        let native = Self {
            cache: settings.cache,
            cache_bytes: settings.cache_bytes.unwrap_or(cache::BYTES),
            http: Http::new(&egress, &proxies, settings.authorities, settings.credentials),
            egress,
            ssh: Ssh::new(settings.ssh),
            keep_tags: settings.keep_tags,
            once: Once::default(),
            requests: Semaphore::new(REQUESTS),
            writers: Arc::new(Semaphore::new(processors)),
        };
        native.ssh.check_keys()?;
        Ok(Arc::new(native))
    }

    /// Does what blocks, not more of it at once than there are processors. What was begun goes on
    /// when the future is dropped, so it looks at a [`super::bounds::Cancelled`] when it is long.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Fetched<T> + Send + 'static,
    ) -> Fetched<T> {
        let permit = self.writers.clone().acquire_owned().await.map_err(io::Error::other)?;
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        });
        done.await.map_err(io::Error::other)?
    }

    /// Keeps something of the cache from being removed, and notes that it is used now.
    pub(super) async fn hold(&self, place: PathBuf) -> Fetched<Held> {
        let cache = self.cache.clone();
        self.quick(move || Ok(Held::of(&cache, &place)?)).await
    }

    /// Does what blocks for no longer than a file takes to be found, and does not wait for modules
    /// that are written: a server waits for it.
    pub(super) async fn quick<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Fetched<T> + Send + 'static,
    ) -> Fetched<T> {
        tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
    }
}

/// What an installation has done.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub modules: Vec<Installed>,
    /// None from r10k.
    pub lock: Option<Lock>,
}

/// A module of the Puppetfile with what is known of it.
pub(super) struct Work<'a> {
    /// As the Puppetfile declares it.
    pub(super) module: &'a Module,
    /// With it as it is to be fetched.
    pub(super) order: Order<'a>,
    /// What it is, if that was found out before.
    known: Option<&'a Pin>,
}

/// What every module is, without installing any. Problems of all modules come in one answer.
pub(super) async fn resolve(
    native: &Native,
    settings: &Settings,
    puppetfile: &Puppetfile,
    options: &Options,
    log: &Log,
) -> Result<Vec<Pin>> {
    warn(native, settings, puppetfile, log).await;
    let whole = whole(native, settings, puppetfile, options, log).await?;
    let work = work(native, settings, &whole, options)?;
    each(&work, |work| async move { pin(work).await.map(|(pin, _)| pin) }.boxed()).await
}

/// Installs all modules into the context's directory, or changes nothing in it.
pub(super) async fn install(
    native: &Native,
    settings: &Settings,
    puppetfile: &Puppetfile,
    context: &Path,
    options: &Options,
    log: &Log,
) -> Result<Outcome> {
    let limit = settings.time_limit;
    let done = tokio::time::timeout(
        limit,
        install_now(native, settings, puppetfile, context, options, log),
    );
    done.await.unwrap_or_else(|_| {
        Err(Error::failed(format!(
            "the modules were not installed after {} s, and the rest was given up",
            limit.as_secs()
        )))
    })
}

async fn install_now(
    native: &Native,
    settings: &Settings,
    puppetfile: &Puppetfile,
    context: &Path,
    options: &Options,
    log: &Log,
) -> Result<Outcome> {
    warn(native, settings, puppetfile, log).await;
    let whole = whole(native, settings, puppetfile, options, log).await?;
    let puppetfile = &whole.puppetfile;
    let work = work(native, settings, &whole, options)?;
    let scratch = staging(puppetfile, context.to_owned()).await?;
    let cancel = CancelOnDrop::default();
    let pins = each(&work, |work| {
        let (scratch, cancelled) = (scratch.clone(), cancel.0.clone());
        async move {
            let (pin, source) = pin(work).await?;
            let fetched = source.fetch(&work.order, &pin, &scratch, &cancelled).await?;
            for warning in fetched.warnings {
                log.write(Channel::Log, format!("WARN -> {}: {warning}", work.module.name)).await;
            }
            let line = format!("INFO -> {} is {}", work.module.path(), pin.shown());
            log.write(Channel::Log, line).await;
            Ok((pin, fetched.digest))
        }
        .boxed()
    })
    .await?;
    let (copy, place) = (puppetfile.clone(), context.to_owned());
    let held = scratch.clone();
    blocking(move || tree::finish(&copy, &held.path().join("tree"), &place)).await?;
    let lock = locked(native, &whole, options, &scratch, pins).await?;
    // A few renames, and no await between them at which this could be dropped.
    let retired = scratch.path().join("retired");
    tree::swap(&tree::managed(puppetfile), &scratch.path().join("tree"), context, &retired)
        .map_err(Error::internal)?;
    let (cache, most) = (native.cache.clone(), native.cache_bytes);
    blocking(move || {
        drop(scratch);
        // The modules are there, whatever the matter with the cache is.
        if let Err(error) = cache::bound_at_times(&cache, most) {
            tracing::warn!(%error, "the cache of modules could not be kept within its bound");
        }
        Ok(())
    })
    .await?;
    let modules = standing::installed(puppetfile, &lock);
    Ok(Outcome { modules, lock: Some(lock) })
}

/// The orders, one for each module; what the lock contradicts is a problem.
pub(super) fn work<'a>(
    native: &'a Native,
    settings: &'a Settings,
    whole: &'a Whole,
    options: &'a Options,
) -> Result<Vec<Work<'a>>> {
    let puppetfile = &whole.puppetfile;
    if let Some(lock) = &options.lock {
        lock.must_fit(puppetfile, options.compat)?;
    }
    let forge = forge(native, settings, puppetfile);
    let locks = options.lock.as_ref().map(|lock| &lock.modules[..]).unwrap_or_default();
    Ok(puppetfile
        .modules
        .iter()
        .zip(&whole.exact)
        .map(|(module, exact)| {
            let path = module.path();
            let locked = locks.iter().find(|locked| locked.path == path);
            let order = Order { native, module: exact, compat: options.compat, forge, locked };
            Work { module, order, known: whole.pins.get(&path) }
        })
        .collect())
}

/// What the module is: what the lock says, or what its source finds out.
pub(super) async fn pin(work: &Work<'_>) -> Fetched<(Pin, &'static dyn sources::Source)> {
    let source = sources::of(work.module)?;
    let pin = match (work.order.locked, work.known) {
        (Some(locked), _) => locked.pin.clone(),
        (None, Some(known)) => known.clone(),
        (None, None) => source.resolve(&work.order).await?,
    };
    Ok((pin, source))
}

/// Does something for all modules at once, in any order. All that fails is told.
pub(super) async fn each<'w, T: Send + 'w>(
    work: &'w [Work<'w>],
    run: impl Fn(&'w Work<'w>) -> BoxFuture<'w, Fetched<T>>,
) -> Result<Vec<T>> {
    let numbered: Vec<_> = work
        .iter()
        .enumerate()
        .map(|(number, one)| run(one).map(move |done| (number, done)).boxed())
        .collect();
    let mut all: Vec<(usize, Fetched<T>)> =
        stream::iter(numbered).buffer_unordered(MODULES).collect().await;
    all.sort_by_key(|(number, _)| *number);
    let mut done = Vec::with_capacity(all.len());
    let mut faults = Vec::new();
    for (number, result) in all {
        match result {
            Ok(value) => done.push(value),
            Err(Fault::Own(error)) => return Err(Error::of_file(error)),
            Err(fault) => faults.push((work[number].module, fault)),
        }
    }
    match faults.is_empty() {
        true => Ok(done),
        false => Err(failed::all(&faults)),
    }
}

/// What stands in the tree now, with digests; it must be what a given lock says.
async fn locked(
    native: &Native,
    whole: &Whole,
    options: &Options,
    scratch: &Arc<Scratch>,
    pins: Vec<(Pin, Option<String>)>,
) -> Result<Lock> {
    let paths: Vec<String> = whole.puppetfile.modules.iter().map(Module::path).collect();
    let inside = |path: &str, other: &String| {
        other.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'))
    };
    let described = whole.puppetfile.modules.iter().zip(pins).map(|(module, (pin, digest))| {
        let (module, held) = (module.clone(), scratch.clone());
        // Another module in its directory has come to it since.
        let path = module.path();
        let digest = digest.filter(|_| !paths.iter().any(|other| inside(&path, other)));
        native.blocking(move || Ok(Locked::read(&module, pin, digest, &held.path().join("tree"))?))
    });
    let mut modules = Vec::new();
    for locked in futures_util::future::join_all(described).await {
        let mut locked = locked.map_err(|fault| Error::internal(fault.to_string()))?;
        locked.needed_by = whole.needed_by.get(&locked.path).cloned().unwrap_or_default();
        modules.push(locked);
    }
    let lock = Lock::new(options.compat, modules);
    if let Some(given) = &options.lock {
        given.must_hold(&lock)?;
    }
    Ok(lock)
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(Error::internal)?.map_err(Error::of_file)
}
