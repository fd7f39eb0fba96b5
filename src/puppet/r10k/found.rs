//! What stands in a tree that r10k made, found by looking at it: the Puppetfile may be any Ruby, so
//! that it does not say.

use std::{collections::BTreeMap, fs, io, path::Path};

use super::super::{
    Brought, archive,
    describe::{self, Described},
    fault::Result,
    lock::{Lock, Locked, Pin},
    native::Compat,
    puppetfile::{Puppetfile, STAGING_PREFIX},
    tree,
};

/// Modules are in `modules/`, `site/modules/` and the like; nobody has them further down.
const DEPTH: usize = 4;

/// What modules have in them, and directories of modules have not (Puppet, "Module structure").
const PARTS: [&str; 12] = [
    "metadata.json",
    "manifests",
    "lib",
    "files",
    "templates",
    "functions",
    "types",
    "plans",
    "tasks",
    "data",
    "facts.d",
    "hiera.yaml",
];

/// Full names of the modules that the Puppetfile plainly declares, by their paths.
type Names = BTreeMap<String, String>;

/// The directories of the tree, which take the places of those in the context. Blocks.
pub(super) fn directories(tree: &Path) -> Result<Vec<String>> {
    Ok(subdirectories(tree)?.into_iter().filter(|name| !name.starts_with(STAGING_PREFIX)).collect())
}

/// The modules of the tree, by path. Blocks.
pub(super) fn modules(tree: &Path, known: &Puppetfile) -> Result<Brought> {
    let names: Names =
        known.modules.iter().map(|module| (module.path(), module.full_name())).collect();
    let mut paths = Vec::new();
    for directory in directories(tree)? {
        find(tree, &directory, 1, &names, &mut paths)?;
    }
    let mut modules = Vec::new();
    for path in paths {
        let place = tree.join(&path);
        let stated = || name(&path, tree::stated(&place, "name"));
        let name = names.get(&path).cloned().unwrap_or_else(stated);
        modules.push(Locked {
            name,
            digest: archive::digest(&place)?,
            path,
            declared: String::new(),
            // Which it is only for the lock, which nobody gets.
            pin: Pin::Local,
            needed_by: Vec::new(),
            version: tree::stated(&place, "version"),
        });
    }
    let lock = Lock::new(Compat::default(), modules);
    let described = lock.modules.iter().map(|module| Described {
        source: "r10k".to_owned(),
        ..describe::one(tree, module, &lock)
    });
    Ok(Brought { modules: described.collect(), digest: lock.digest.clone() })
}

fn find(
    tree: &Path,
    path: &str,
    depth: usize,
    names: &Names,
    found: &mut Vec<String>,
) -> io::Result<()> {
    let place = tree.join(path);
    let inside = format!("{path}/");
    let holds_modules = path == "modules" || names.keys().any(|name| name.starts_with(&inside));
    let looks_so = || PARTS.iter().any(|part| fs::symlink_metadata(place.join(part)).is_ok());
    // What is in `modules` is a module for Puppet, whatever it looks like.
    let is_module = path.strip_prefix("modules/").is_some_and(|name| !name.contains('/'))
        || names.contains_key(path)
        || looks_so();
    if is_module && !holds_modules {
        found.push(path.to_owned());
        return Ok(());
    }
    if depth < DEPTH {
        for name in subdirectories(&place)? {
            find(tree, &format!("{path}/{name}"), depth + 1, names, found)?;
        }
    }
    Ok(())
}

/// Names of the directories in a directory, sorted; what is no text is no name of a module.
fn subdirectories(place: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(place)? {
        let entry = entry?;
        if entry.file_type()?.is_dir()
            && let Ok(name) = entry.file_name().into_string()
        {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// The module's own full name, where it is that of its directory, which is what counts for Puppet.
fn name(path: &str, own: Option<String>) -> String {
    let directory = path.rsplit('/').next().unwrap_or(path);
    let own = own.map(|own| own.replacen('-', "/", 1));
    let fits = own.filter(|own| own.split_once('/').is_some_and(|(_, short)| short == directory));
    fits.unwrap_or_else(|| directory.to_owned())
}
