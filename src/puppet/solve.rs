//! Which modules a Puppetfile means with all that they need: dependencies from `metadata.json`, as
//! librarian-puppet resolves them, on request ([`super::Options::resolve`]).
//!
//! The modules of the Puppetfile are fixed: they stay what they are, and those that name a range or
//! no version get the newest that fits all. A dependency that one of them has the name of is that
//! module, whoever owns it, as Puppet loads modules by their names; its version must fit. What else
//! is needed comes from the Forge, the newest release that fits all, and no pre-release. What an
//! archive or a repository needs stands in its own `metadata.json`; one without a version fits
//! whatever is needed, and so do local modules, whose needs are their owner's to meet.
//!
//! With a lock nothing is resolved: what was added then is in it, and comes again ([`of_lock`]).

mod asked;
mod explained;
mod known;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use self::{
    asked::ask,
    known::{Known, Root, Roots, Step},
};
use super::{
    Settings,
    bounds::CancelOnDrop,
    describe::{Metadata, metadata},
    fault::Fault,
    lock::{Lock, Pin},
    native::{self, Native, Options, Work},
    puppetfile::{
        Directory, Forge, Located, Module, PATH, Position, Puppetfile, Source, Version, module_name,
    },
    versions::{self, Range},
};
use crate::{
    error::{Error, Problem, Result},
    model::{Channel, Log},
};

/// Questions to the Forge for one Puppetfile. The largest in public use have 300 modules.
const QUESTIONS: usize = 5_000;

/// A Puppetfile with what it needs.
#[derive(Debug, Clone, Default)]
pub(super) struct Whole {
    /// With the modules that were added, after its own.
    pub(super) puppetfile: Puppetfile,
    /// Its modules as they are to be fetched, in the same order: those of which the version was
    /// chosen name it.
    pub(super) exact: Vec<Module>,
    /// What is known of modules already, by their paths.
    pub(super) pins: BTreeMap<String, Pin>,
    /// The modules that need each that was added, by its path.
    pub(super) needed_by: BTreeMap<String, Vec<String>>,
}

impl Whole {
    fn plain(puppetfile: &Puppetfile) -> Self {
        let exact = puppetfile.modules.clone();
        Self { puppetfile: puppetfile.clone(), exact, ..Self::default() }
    }

    fn add(&mut self, module: Module, needed_by: Vec<String>) {
        self.needed_by.insert(module.path(), needed_by);
        self.exact.push(module.clone());
        self.puppetfile.modules.push(module);
    }
}

/// The Puppetfile with what it needs, if that is asked for.
pub(super) async fn whole(
    native: &Native,
    settings: &Settings,
    puppetfile: &Puppetfile,
    options: &Options,
    log: &Log,
) -> Result<Whole> {
    match &options.lock {
        Some(lock) => of_lock(puppetfile, lock),
        None if options.resolve => solved(native, settings, puppetfile, options, log).await,
        None => Ok(Whole::plain(puppetfile)),
    }
}

/// With what a lock says was added.
pub(super) fn of_lock(puppetfile: &Puppetfile, lock: &Lock) -> Result<Whole> {
    let mut whole = Whole::plain(puppetfile);
    let own: BTreeSet<String> = puppetfile.modules.iter().map(Module::path).collect();
    for locked in lock.modules.iter().filter(|locked| !locked.needed_by.is_empty()) {
        if own.contains(&locked.path) {
            continue;
        }
        let module = match &locked.pin {
            Pin::Forge { version, .. } => added(puppetfile, &locked.name, version),
            _ => None,
        };
        match module.filter(|module| module.path() == locked.path) {
            Some(module) => whole.add(module, locked.needed_by.clone()),
            None => {
                let message = format!("'{}' cannot have been added to a Puppetfile", locked.name);
                return Err(Error::problem(Problem::new("lock", message)));
            }
        }
    }
    Ok(whole)
}

/// A module of the Forge beside those of the Puppetfile. None if that is no name of one.
fn added(puppetfile: &Puppetfile, name: &str, version: &str) -> Option<Module> {
    let first = puppetfile.modules.iter().find(|module| module.install_path.is_none());
    let moduledir = first.map_or_else(Directory::modules, |module| module.moduledir.clone());
    of_forge(name, Version::Exact(version.to_owned()), moduledir)
}

fn of_forge(name: &str, version: Version, moduledir: Directory) -> Option<Module> {
    let (owner, name) = module_name(name).ok()?;
    let at = Position::START;
    let version = Located::new(version, at);
    Some(Module {
        at,
        owner: Some(owner?.to_owned()),
        name: name.to_owned(),
        moduledir,
        install_path: None,
        exclude_spec: None,
        source: Source::Forge(Forge { version, sha256sum: None }),
    })
}

async fn solved(
    native: &Native,
    settings: &Settings,
    puppetfile: &Puppetfile,
    options: &Options,
    log: &Log,
) -> Result<Whole> {
    let mut whole = Whole::plain(puppetfile);
    let roots = roots(native, settings, &mut whole, options).await?;
    let forge = native::forge(native, settings, puppetfile);
    let mut state = (Arc::new(roots), Known::default());
    let selected = loop {
        let (roots, known) = state;
        let step = native.blocking(move || {
            let step = known::step(&roots, &known);
            Ok((step, (roots, known)))
        });
        let (step, kept) = step.await.map_err(own)?;
        state = kept;
        match step {
            Step::Solved(selected) => break selected,
            Step::Ask(questions) if state.1.answers() + questions.len() <= QUESTIONS => {
                ask(native, forge, &mut state.1, questions).await?;
            }
            Step::Ask(_) | Step::TooLong => {
                let message = "what the modules need is too much to be resolved: name versions";
                return Err(failed(message.to_owned()));
            }
            Step::NoSolution(tree) => {
                return Err(failed(explained::explained(&tree, &state.0, &state.1, forge)));
            }
        }
    };
    choose(&mut whole, &state.0, &state.1, &selected, log).await?;
    Ok(whole)
}

/// What is known of the Puppetfile's own modules, some of which have to be fetched for that.
async fn roots(
    native: &Native,
    settings: &Settings,
    whole: &mut Whole,
    options: &Options,
) -> Result<Roots> {
    let work = native::work(native, settings, whole, options)?;
    let place = settings.work.clone();
    native::blocking(move || std::fs::create_dir_all(place)).await?;
    let scratch = native::staging(&whole.puppetfile, settings.work.clone()).await?;
    let cancel = CancelOnDrop::default();
    let read = native::each(&work, |work: &Work<'_>| {
        let (scratch, cancelled) = (scratch.clone(), cancel.0.clone());
        Box::pin(async move {
            if !matches!(work.module.source, Source::Git(_) | Source::Tarball(_)) {
                return Ok(None);
            }
            let (pin, source) = native::pin(work).await?;
            source.fetch(&work.order, &pin, &scratch, &cancelled).await?;
            let place = scratch.path().join("tree").join(work.module.path()).join("metadata.json");
            let read = native.blocking(move || Ok(metadata(&place))).await?;
            Ok(Some((pin, read)))
        })
    })
    .await?;
    drop(work);
    native::blocking(move || {
        drop(scratch);
        Ok(())
    })
    .await?;
    let mut roots = Roots::default();
    for (module, read) in whole.puppetfile.modules.iter().zip(read) {
        let read = read.map(|(pin, read)| {
            whole.pins.insert(module.path(), pin);
            read
        });
        roots.add(module, root(module, read));
    }
    Ok(roots)
}

fn root(module: &Module, read: Option<Metadata>) -> Root {
    match &module.source {
        Source::Forge(forge) => match &forge.version.value {
            Version::Exact(version) => match versions::Version::parse(version) {
                Some(parsed) => Root::Release(parsed, version.clone()),
                None => Root::Unversioned(Vec::new()),
            },
            Version::Range(range) => Root::Range(Range::parse(range)),
            Version::Latest => Root::Range(None),
        },
        _ => {
            let read = read.unwrap_or_default();
            match read.version.as_deref().and_then(versions::Version::parse) {
                Some(version) => Root::Fixed(version, read.needs()),
                None => Root::Unversioned(read.needs()),
            }
        }
    }
}

/// Writes what was found into the Puppetfile.
async fn choose(
    whole: &mut Whole,
    roots: &Roots,
    known: &Known,
    selected: &BTreeMap<String, versions::Version>,
    log: &Log,
) -> Result<()> {
    for module in &mut whole.exact {
        let name = module.full_name();
        if let Source::Forge(forge) = &mut module.source
            && !matches!(forge.version.value, Version::Exact(_))
            && let Some(version) = selected.get(&name)
        {
            forge.version.value = Version::Exact(known.text(&name, version));
        }
    }
    let mut needed_by: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, version) in selected {
        for need in known::needs(roots, known, name, version) {
            let Some((target, _)) = selected.get_key_value(roots.target(&need.name)) else {
                continue;
            };
            if target != name {
                needed_by.entry(target).or_default().push(name.clone());
            }
        }
    }
    let mut places: BTreeMap<String, &str> = BTreeMap::new();
    for (name, version) in selected.iter().filter(|(name, _)| !roots.has(name)) {
        let text = known.text(name, version);
        let Some(module) = added(&whole.puppetfile, name, &text) else { continue };
        let needed_by = needed_by.get(name.as_str()).cloned().unwrap_or_default();
        if let Some(other) = places.insert(module.path(), name) {
            return Err(failed(format!(
                "{other} and {name} are both needed, and both are the module '{}': name the one \
                 that is meant with `mod`",
                module.name
            )));
        }
        let line = format!("INFO -> {name} {text} is added, needed by {}", needed_by.join(", "));
        log.write(Channel::Log, line).await;
        whole.add(module, needed_by);
    }
    Ok(())
}

fn failed(message: String) -> Error {
    let description = format!("the modules could not be resolved: {message}");
    Error::failed_with(description, vec![Problem::new(PATH, message)])
}

/// The error of a question that was not answered.
fn own(fault: Fault) -> Error {
    match fault {
        Fault::Refused(words) => failed(words),
        Fault::Away(words) => failed(words).may_pass(None),
        Fault::Own(error) => Error::internal(error),
    }
}
