//! What stands already: an installation that has nothing to do is told from the tree itself, without
//! asking a server for what cannot change.
//!
//! Beside the cache is a note for each directory that was installed into: what was asked for, what
//! it was, and a fingerprint of the files' metadata. r10k, too, asks no server for a tag or commit
//! that it has (`StatefulRepository#sync_cache?`).

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    super::{
        Installed, Settings,
        lock::{Lock, Pin, declared},
        puppetfile::{Module, Puppetfile, ReferenceKind, ReferenceName, Source, Version},
        solve::of_lock,
        sources::put,
        tree,
    },
    Native, Options, Outcome, blocking,
    fingerprints::{Fingerprints, hex},
    install, resolve,
};
use crate::{
    error::{Error, Result},
    model::Log,
};

/// Notes of another format say nothing: the fingerprints in them are made in another way.
const FORMAT: u32 = 2;

#[derive(Serialize, Deserialize)]
struct Note {
    #[serde(default)]
    format: u32,
    /// Of the Puppetfile's modules and the options.
    asked: String,
    /// Of all that is managed.
    fingerprint: String,
    /// Of each module, by its path.
    modules: BTreeMap<String, String>,
    lock: Lock,
}

/// Installs unless what is wanted stands already. [`Error::Conflict`] when somebody changed it.
pub(in super::super) async fn bring(
    native: &Native,
    settings: &Settings,
    puppetfile: &Puppetfile,
    context: &Path,
    options: &Options,
    log: &Log,
) -> Result<Outcome> {
    let (place, asked) = (note_of(native, context), asked(settings, puppetfile, options));
    let (copy, root, own) = (place.clone(), context.to_owned(), puppetfile.clone());
    let (note, stands) = blocking(move || {
        let note: Option<Note> =
            fs::read(&copy).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let note = note.filter(|note| note.format == FORMAT);
        let stands = match &note {
            Some(note) => stands(note, &root, &tree::managed(&with_added(&own, &note.lock)))?,
            None => Standing::Incomplete,
        };
        Ok((note, stands))
    })
    .await?;
    if let Standing::Changed(module) = &stands {
        return Err(Error::Conflict(format!(
            "{module} was changed since it was installed: take the changes away, or install with \
             --force, which does"
        )));
    }
    if let (Some(note), Standing::Whole) = (note, stands)
        && note.asked == asked
    {
        let lock_fits = options.lock.as_ref().is_none_or(|lock| *lock == note.lock);
        // What is needed may have other releases now.
        let still =
            options.lock.is_some() || (!options.resolve && puppetfile.modules.iter().all(is_still));
        let same = lock_fits
            && (still || {
                let pins = resolve(native, settings, puppetfile, options, log).await?;
                pins.iter().eq(note.lock.modules.iter().map(|locked| &locked.pin))
            });
        if same {
            let modules = installed(&with_added(puppetfile, &note.lock), &note.lock);
            return Ok(Outcome { modules, lock: Some(note.lock) });
        }
    }
    let outcome = install(native, settings, puppetfile, context, options, log).await?;
    if let Some(lock) = outcome.lock.clone() {
        let root = context.to_owned();
        let managed = tree::managed(&with_added(puppetfile, &lock));
        blocking(move || {
            let found = Fingerprints::take(&root, &managed)?;
            let Some(fingerprint) = found.whole.clone() else { return Ok(()) };
            // Local modules are their owner's to change.
            let modules = lock.modules.iter().filter(|locked| locked.pin != Pin::Local);
            let modules = modules
                .filter_map(|locked| Some((locked.path.clone(), found.of(&locked.path)?)))
                .collect();
            let note = Note { format: FORMAT, asked, fingerprint, modules, lock };
            put(&place, &serde_json::to_vec(&note).map_err(io::Error::other)?)
        })
        .await?;
    }
    Ok(outcome)
}

/// The Puppetfile with what was added to it when it was installed.
fn with_added(puppetfile: &Puppetfile, lock: &Lock) -> Puppetfile {
    let whole = of_lock(puppetfile, lock);
    whole.map_or_else(|_| puppetfile.clone(), |whole| whole.puppetfile)
}

/// What stands, compared with what was installed.
enum Standing {
    Whole,
    /// Something is missing, or is there that was not, which an installation mends.
    Incomplete,
    /// A module is there and is not what it was.
    Changed(String),
}

fn stands(note: &Note, root: &Path, managed: &[String]) -> io::Result<Standing> {
    let found = Fingerprints::take(root, managed)?;
    if found.whole.as_ref() == Some(&note.fingerprint) {
        return Ok(Standing::Whole);
    }
    for (path, noted) in &note.modules {
        match found.of(path) {
            Some(found) if found != *noted => return Ok(Standing::Changed(path.clone())),
            _ => {}
        }
    }
    Ok(Standing::Incomplete)
}

/// Forgets what stands, so that the next installation writes over it. Blocks.
pub(in super::super) fn forget(native: &Native, context: &Path) -> io::Result<()> {
    match fs::remove_file(note_of(native, context)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

pub(super) fn installed(puppetfile: &Puppetfile, lock: &Lock) -> Vec<Installed> {
    let modules = puppetfile.modules.iter().zip(&lock.modules);
    modules
        .map(|(module, locked)| Installed {
            name: module.full_name(),
            path: module.path(),
            version: locked.version.clone(),
        })
        .collect()
}

fn note_of(native: &Native, context: &Path) -> PathBuf {
    let real = context.canonicalize().unwrap_or_else(|_| context.to_owned());
    let name = hex(Sha256::digest(real.as_os_str().as_encoded_bytes()).as_slice());
    native.cache.join("trees").join(format!("{name}.json"))
}

fn asked(settings: &Settings, puppetfile: &Puppetfile, options: &Options) -> String {
    let mut hash = Sha256::new();
    hash.update(format!("{:?} {:?} {}\n", options.compat, settings.forge, options.resolve));
    for module in &puppetfile.modules {
        hash.update(format!("{} {}\n", module.path(), declared(module)));
    }
    hex(hash.finalize().as_slice())
}

/// Whether it is the same whenever it is asked for.
fn is_still(module: &Module) -> bool {
    match &module.source {
        Source::Local => true,
        Source::Svn => false,
        Source::Forge(forge) => matches!(forge.version.value, Version::Exact(_)),
        Source::Tarball(tarball) => tarball.sha256.is_some(),
        Source::Git(git) => git.reference.as_ref().is_some_and(|reference| {
            let ReferenceName::Named(name) = &reference.value.name else { return false };
            let hex = name.len() == 40 && name.bytes().all(|b| b.is_ascii_hexdigit());
            hex || reference.value.kind == ReferenceKind::Tag
        }),
    }
}
