//! From the tar of a container's directory to a tree. Whatever ran in there may have made it up.

use std::{cell::Cell, fs::File, io::BufReader, path::Path};

use super::super::{
    bounds::{Cancelled, Room},
    fault::{Fault, Result},
    sources::unpack_made,
};

/// What the directory itself is called in its tar.
const ROOT: &str = "tree";

/// What git keeps beside a module refers to a cache that is gone with the container, and may hold
/// the password of a URL.
const GIT: &str = ".git";

/// Unpacks into a directory that is made for it. Blocks.
pub(super) fn unpack(tar: &Path, tree: &Path, cancelled: &Cancelled) -> Result<()> {
    std::fs::create_dir(tree)?;
    let reader = BufReader::new(File::open(tar)?);
    let empty = Cell::new(true);
    unpack_made(reader, tree, Room::of_tree(cancelled), |path| {
        let (root, inside) = path.split_first()?;
        if root != ROOT || inside.is_empty() {
            return None;
        }
        empty.set(false);
        let wanted = !inside.iter().any(|name| name == GIT);
        wanted.then(|| inside.to_vec())
    })?;
    // It had `modules` in it, and may be a link to somewhere else now.
    match empty.get() {
        true => Err(Fault::refused("its directory is empty, or none any more")),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{PermissionsExt, symlink},
    };

    use tar::{Builder, EntryType, Header};

    use super::*;

    /// Entries of a tar: what it is, its path, its content or target, its mode.
    fn unpacked(entries: &[(EntryType, &str, &str, u32)]) -> (tempfile::TempDir, Result<()>) {
        let home = tempfile::tempdir().unwrap();
        let mut tar = Builder::new(Vec::new());
        for (kind, path, text, mode) in entries {
            let mut header = Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_mode(*mode);
            let content = if kind.is_file() { text } else { "" };
            header.set_size(content.len() as u64);
            // Not by the library, which refuses what is tested here.
            header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
            if !kind.is_file() {
                header.as_old_mut().linkname[..text.len()].copy_from_slice(text.as_bytes());
            }
            header.set_cksum();
            tar.append(&header, content.as_bytes()).unwrap();
        }
        let file = home.path().join("tar");
        fs::write(&file, tar.into_inner().unwrap()).unwrap();
        let result = unpack(&file, &home.path().join("tree"), &Cancelled::default());
        (home, result)
    }

    #[test]
    fn what_is_good_is_taken_without_git() {
        use EntryType::{Directory, Regular, Symlink};
        let (home, result) = unpacked(&[
            (Directory, "tree/", "", 0o755),
            (Directory, "tree/modules/", "", 0o755),
            (Directory, "tree/modules/a/", "", 0o000),
            (Directory, "tree/modules/a/.git/", "", 0o755),
            (Regular, "tree/modules/a/.git/config", "secret", 0o644),
            (Regular, "tree/modules/a/run", "x", 0o6755),
            (Regular, "tree/modules/a/none", "x", 0o000),
            (Symlink, "tree/modules/a/link", "../b/x", 0o777),
        ]);
        result.unwrap();
        let tree = home.path().join("tree/modules/a");
        let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode(tree.clone()), mode(tree.join("run"))), (0o700, 0o755));
        // Crane has to be able to read it, and to remove it.
        assert_eq!(mode(tree.join("none")), 0o600);
        assert_eq!(fs::read_link(tree.join("link")).unwrap(), Path::new("../b/x"));
        assert!(!tree.join(".git").exists());
    }

    #[test]
    fn what_leads_out_or_is_no_file_is_refused() {
        use EntryType::{Block, Char, Directory, Fifo, Link, Regular, Symlink};
        for (kind, path, text) in [
            (Symlink, "tree/modules/x", "/etc/passwd"),
            (Symlink, "tree/modules/x", "../../x"),
            (Symlink, "tree/modules/x", "a/../../../x"),
            (Symlink, "tree", "/etc"),
            (Link, "tree/modules/x", "/etc/passwd"),
            (Link, "tree/modules/x", "tree/../../x"),
            (Link, "tree/modules/x", "other/x"),
            (Regular, "tree/../x", ""),
            (Regular, "/tree/x", ""),
            (Directory, "tree/../../x/", ""),
            (Char, "tree/modules/x", ""),
            (Block, "tree/modules/x", ""),
            (Fifo, "tree/modules/x", ""),
        ] {
            let (home, result) = unpacked(&[(kind, path, text, 0o755)]);
            let there = home.path().join("tree/modules/x");
            let taken = fs::symlink_metadata(there).is_ok();
            assert!(!taken && result.is_err(), "{path} -> {text}: {result:?}");
            assert!(!home.path().join("x").exists(), "{path}");
        }
        // Through a link that was made before.
        let (home, result) = unpacked(&[
            (Symlink, "tree/modules", "site", 0o777),
            (Regular, "tree/modules/x", "x", 0o644),
        ]);
        assert!(result.is_err());
        symlink("/etc", home.path().join("tree/unused")).unwrap();
        let deep = format!("tree/{}x", "d/".repeat(40));
        let (_, result) = unpacked(&[(Regular, &deep, "x", 0o644)]);
        result.unwrap();
    }
}
