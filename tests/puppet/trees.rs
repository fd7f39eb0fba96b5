//! Directory trees as values that can be compared.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::Path,
};

/// What is at each path: mode and content of files, mode of directories, target of links.
pub(crate) type Tree = BTreeMap<String, String>;

/// Everything below a directory, without the `.git` of modules.
pub(crate) fn tree(root: &Path) -> Tree {
    let mut tree = Tree::new();
    walk(root, "", &mut tree);
    // Crane makes it always, as Dockerfiles add it.
    let is_empty = !tree.keys().any(|path| path.starts_with("modules/"));
    if is_empty {
        tree.remove("modules");
    }
    tree
}

fn walk(root: &Path, path: &str, tree: &mut Tree) {
    let Ok(entries) = fs::read_dir(root.join(path)) else { return };
    for entry in entries {
        let entry = entry.unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == ".git" {
            continue;
        }
        let below = if path.is_empty() { name } else { format!("{path}/{name}") };
        let metadata = entry.metadata().unwrap();
        let mode = metadata.permissions().mode() & 0o7777;
        let kind = metadata.file_type();
        let told = if kind.is_dir() {
            walk(root, &below, tree);
            format!("directory {mode:o}")
        } else if kind.is_symlink() {
            format!("link {}", fs::read_link(entry.path()).unwrap().display())
        } else if kind.is_file() {
            let content = fs::read(entry.path()).unwrap();
            format!("file {mode:o} {}", told(&content))
        } else {
            format!("other {}", kind.is_fifo())
        };
        tree.insert(below, told);
    }
}

/// Short contents as they are, long ones by their digest.
fn told(content: &[u8]) -> String {
    use sha2::Digest;
    match content.len() {
        0..200 => content.escape_ascii().to_string(),
        size => {
            let hash = sha2::Sha256::digest(content);
            let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{size} bytes {hex}")
        }
    }
}

/// The lines in which two trees differ.
pub(crate) fn differences(one: &Tree, other: &Tree) -> Vec<String> {
    let paths: std::collections::BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    paths
        .into_iter()
        .filter(|path| one.get(*path) != other.get(*path))
        .map(|path| format!("{path}: {:?} and {:?}", one.get(path), other.get(path)))
        .collect()
}
