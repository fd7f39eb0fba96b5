//! What stands already: an installation that has nothing to do is told from the tree itself, without
//! asking a server for what cannot change.
//!
//! Beside the cache is a note for each directory that was installed into: what was asked for, what
//! it was, and a fingerprint of the files' metadata. r10k, too, asks no server for a tag or commit
//! that it has (`StatefulRepository#sync_cache?`).

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    super::{
        Installed, Settings,
        lock::{Lock, Pin, declared},
        puppetfile::{Module, Puppetfile, ReferenceKind, ReferenceName, Source, Version},
        sources::put,
        tree,
    },
    Native, Options, Outcome, blocking, install, resolve,
};
use crate::{
    error::{Error, Result},
    model::Log,
};

#[derive(Serialize, Deserialize)]
struct Note {
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
    let managed = tree::managed(puppetfile);
    let (copy, root, dirs) = (place.clone(), context.to_owned(), managed.clone());
    let (note, stands) = blocking(move || {
        let note: Option<Note> =
            fs::read(&copy).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let stands = match &note {
            Some(note) => stands(note, &root, &dirs)?,
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
        let still = options.lock.is_some() || puppetfile.modules.iter().all(is_still);
        let same = lock_fits
            && (still || {
                let pins = resolve(native, settings, puppetfile, options, log).await?;
                pins.iter().eq(note.lock.modules.iter().map(|locked| &locked.pin))
            });
        if same {
            let modules = installed(puppetfile, &note.lock);
            return Ok(Outcome { modules, lock: Some(note.lock) });
        }
    }
    let outcome = install(native, settings, puppetfile, context, options, log).await?;
    if let Some(lock) = outcome.lock.clone() {
        let root = context.to_owned();
        blocking(move || {
            let Some(fingerprint) = fingerprint(&root, &managed)? else { return Ok(()) };
            let mut modules = BTreeMap::new();
            for locked in &lock.modules {
                let path = std::slice::from_ref(&locked.path);
                // Local modules are their owner's to change.
                if locked.pin != Pin::Local
                    && let Some(found) = self::fingerprint(&root, path)?
                {
                    modules.insert(locked.path.clone(), found);
                }
            }
            let note = Note { asked, fingerprint, modules, lock };
            put(&place, &serde_json::to_vec(&note).map_err(io::Error::other)?)
        })
        .await?;
    }
    Ok(outcome)
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
    if fingerprint(root, managed)?.as_ref() == Some(&note.fingerprint) {
        return Ok(Standing::Whole);
    }
    for (path, noted) in &note.modules {
        match fingerprint(root, std::slice::from_ref(path))? {
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
    hash.update(format!("{:?} {:?}\n", options.compat, settings.forge));
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

/// Of the metadata of all files in the managed directories: writing to one changes it. None when
/// one of the directories is not there.
fn fingerprint(root: &Path, managed: &[String]) -> io::Result<Option<String>> {
    let mut hash = Sha256::new();
    for directory in managed {
        let place = root.join(directory);
        match fs::symlink_metadata(&place) {
            Ok(there) if there.is_dir() => walk(&place, &mut hash)?,
            _ => return Ok(None),
        }
    }
    Ok(Some(hex(hash.finalize().as_slice())))
}

fn walk(place: &Path, hash: &mut Sha256) -> io::Result<()> {
    let mut entries = fs::read_dir(place)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let there = entry.metadata()?;
        hash.update(entry.file_name().as_encoded_bytes());
        for number in [there.mode().into(), there.size(), there.ino()] {
            let number: u64 = number;
            hash.update(number.to_le_bytes());
        }
        // A directory's time changes with what is in it, which is looked at anyway.
        hash.update(there.mtime().to_le_bytes());
        hash.update(there.mtime_nsec().to_le_bytes());
        if there.is_dir() {
            walk(&entry.path(), hash)?;
        }
    }
    hash.update([0]);
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
