//! The directories that modules are installed into: made beside the context, put into it at once.
//!
//! Everything in here blocks.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, ErrorKind},
    os::unix::fs::symlink,
    path::Path,
};

use super::puppetfile::{Module, Puppetfile, Source};

/// Larger files are no metadata; the largest on the Forge have some 10 kB.
pub(super) const METADATA_BYTES: u64 = 1024 * 1024;

/// Longer texts are no version and no name.
const TEXT_CHARACTERS: usize = 64;

/// The directories that the Puppetfile manages, relative to the context, none inside another.
///
/// r10k's rule: what is in them and not in the Puppetfile is removed. The context's own directory
/// is not managed, so that of a module in it only its own directory is.
pub(super) fn managed(puppetfile: &Puppetfile) -> Vec<String> {
    let all: BTreeSet<String> = puppetfile
        .modules
        .iter()
        .map(|module| match module.parent().as_str() {
            "" => module.path(),
            parent => parent.to_owned(),
        })
        .collect();
    let inside = |path: &str| path.match_indices('/').any(|(end, _)| all.contains(&path[..end]));
    all.iter().filter(|path| !inside(path)).cloned().collect()
}

/// Makes an empty tree for r10k, which expects the directories it purges.
pub(super) fn prepare(puppetfile: &Puppetfile, tree: &Path) -> io::Result<()> {
    fs::create_dir(tree)?;
    for module in &puppetfile.modules {
        fs::create_dir_all(tree.join(module.parent().as_str()))?;
    }
    Ok(())
}

/// Makes what r10k left fit to stand in the context.
pub(super) fn finish(puppetfile: &Puppetfile, tree: &Path, context: &Path) -> io::Result<()> {
    for module in &puppetfile.modules {
        let path = module.path();
        match module.source {
            // It refers to r10k's cache, which goes, and may hold the password of a URL.
            Source::Git(_) => remove_directory(&tree.join(path).join(".git"))?,
            Source::Local if is_directory(context, &path)? => {
                copy(&context.join(&path), &tree.join(&path))?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Moves the managed directories of the tree into the context, and those that stood there into
/// `retired`. On an error everything is as before.
pub(super) fn swap(
    managed: &[String],
    tree: &Path,
    context: &Path,
    retired: &Path,
) -> io::Result<()> {
    fs::create_dir_all(retired)?;
    let mut swapped = Vec::new();
    for (number, path) in managed.iter().enumerate() {
        let new = tree.join(path);
        // A local module in the context's own directory stays as it is.
        if !new.exists() {
            continue;
        }
        let (place, old) = (context.join(path), retired.join(number.to_string()));
        match make_parents(context, path).and_then(|()| replace(&new, &place, &old)) {
            Ok(()) => swapped.push((new, place, old)),
            Err(error) => {
                for (new, place, old) in swapped.into_iter().rev() {
                    fs::rename(&place, new)?;
                    put_back(&old, &place)?;
                }
                return Err(error);
            }
        }
    }
    // Dockerfiles add the context's `modules`, also when there is none in it.
    match fs::create_dir(context.join("modules")) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

pub(super) fn replace(new: &Path, place: &Path, old: &Path) -> io::Result<()> {
    match fs::symlink_metadata(place) {
        Ok(there) if there.is_dir() => fs::rename(place, old)?,
        Ok(_) => return Err(not_a_directory(place)),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    fs::rename(new, place).or_else(|error| put_back(old, place).and(Err(error)))
}

fn put_back(old: &Path, place: &Path) -> io::Result<()> {
    match fs::rename(old, place) {
        // There was nothing before.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Makes the directories above a path in the context, and goes through no symbolic link.
fn make_parents(context: &Path, path: &str) -> io::Result<()> {
    for (end, _) in path.match_indices('/') {
        let parent = context.join(&path[..end]);
        match fs::symlink_metadata(&parent) {
            Ok(there) if there.is_dir() => {}
            Ok(_) => return Err(not_a_directory(&parent)),
            Err(_) => fs::create_dir(&parent)?,
        }
    }
    Ok(())
}

pub(super) fn not_a_directory(path: &Path) -> io::Error {
    io::Error::new(ErrorKind::NotADirectory, format!("{} is no directory", path.display()))
}

/// Whether a path in the context is a directory, and reached through no symbolic link.
fn is_directory(context: &Path, path: &str) -> io::Result<bool> {
    for end in path.match_indices('/').map(|(end, _)| end).chain([path.len()]) {
        match fs::symlink_metadata(context.join(&path[..end])) {
            Ok(there) if there.is_dir() => {}
            Ok(_) => return Ok(false),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

fn remove_directory(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Copies a directory with modes and symbolic links.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, path) = (entry.file_type()?, entry.path());
        let target = to.join(entry.file_name());
        if kind.is_dir() {
            copy(&path, &target)?;
        } else if kind.is_symlink() {
            symlink(fs::read_link(&path)?, &target)?;
        } else {
            fs::copy(&path, &target)?;
        }
    }
    fs::set_permissions(to, fs::metadata(from)?.permissions())
}

/// The version in a module's `metadata.json`; none where there is no such file or it has none.
pub(super) fn version(context: &Path, module: &Module) -> Option<String> {
    stated(&context.join(module.path()), "version")
}

/// A short text in the `metadata.json` of a directory, by its key.
pub(super) fn stated(module: &Path, key: &str) -> Option<String> {
    let path = module.join("metadata.json");
    // A link could name any file of the server.
    let there = fs::symlink_metadata(&path).ok()?;
    if !there.is_file() || there.len() > METADATA_BYTES {
        return None;
    }
    let metadata: serde_json::Value = serde_json::from_slice(&fs::read(&path).ok()?).ok()?;
    let text = metadata.get(key)?.as_str()?;
    let plain = text.chars().count() <= TEXT_CHARACTERS && !text.contains(char::is_control);
    plain.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn managed_by(text: &str) -> Vec<String> {
        managed(&crate::puppet::check(text).unwrap())
    }

    #[test]
    fn managed_directories_are_not_inside_each_other() {
        assert_eq!(managed_by(""), Vec::<String>::new());
        assert_eq!(managed_by("mod 'a/b'\nmod 'a/c'"), ["modules"]);
        let git = "git: 'https://h/x', ref: 'x'";
        let text = format!(
            "mod 'a', {git}, install_path: ''\nmod 'b', {git}, install_path: 'site/deep'\n\
             mod 'c', {git}, install_path: 'site'\nmod 'd', {git}, install_path: 'site-2'\n"
        );
        assert_eq!(managed_by(&text), ["a", "site", "site-2"]);
    }

    /// Directories with one file each, named after what it says.
    fn plant(root: &Path, files: &[(&str, &str)]) {
        for (path, text) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    #[test]
    fn a_swap_that_fails_leaves_everything_as_it_was() {
        let home = tempfile::tempdir().unwrap();
        let (tree, context) = (home.path().join("tree"), home.path().join("context"));
        let retired = home.path().join("retired");
        plant(&tree, &[("a/file", "new"), ("b/file", "new"), ("c/file", "new")]);
        // A file is where the last directory should go.
        plant(&context, &[("a/file", "old"), ("c", "old")]);
        let managed = ["a", "b", "c"].map(String::from);
        let read = |path: &str| fs::read_to_string(context.join(path)).ok();
        let error = swap(&managed, &tree, &context, &retired).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotADirectory);
        let old = Some("old".to_owned());
        assert_eq!((read("a/file"), read("b/file"), read("c")), (old.clone(), None, old));
        fs::remove_file(context.join("c")).unwrap();
        swap(&managed, &tree, &context, &retired).unwrap();
        assert!(managed.iter().all(|path| read(&format!("{path}/file")).unwrap() == "new"));
        assert!(context.join("modules").is_dir());
    }

    #[test]
    fn versions_are_read_from_plain_files_only() {
        let home = tempfile::tempdir().unwrap();
        let file = crate::puppet::check("mod 'a/b'").unwrap();
        let metadata = home.path().join("modules/b/metadata.json");
        let version = || version(home.path(), &file.modules[0]);
        assert_eq!(version(), None);
        for (text, expected) in [
            (r#"{"version": "1.2.3", "name": "a-b"}"#, Some("1.2.3")),
            (r#"{"version": 1}"#, None),
            (r#"{"version": "1\u0000"}"#, None),
            ("no JSON", None),
        ] {
            plant(home.path(), &[("modules/b/metadata.json", text)]);
            assert_eq!(version().as_deref(), expected, "{text}");
        }
        plant(home.path(), &[("elsewhere", r#"{"version": "1.2.3"}"#)]);
        fs::remove_file(&metadata).unwrap();
        symlink(home.path().join("elsewhere"), &metadata).unwrap();
        assert_eq!(version(), None);
    }
}
