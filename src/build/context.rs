//! Collects the build context: the modules of a Crane context, with files that come with a request
//! laid over them.

use std::{
    fs::{self, Metadata},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use crate::{
    engine::{Content, Context, Entry},
    error::{Error, Result},
};

/// Where a Crane context has its modules.
pub(super) const MODULES: &str = "modules";

/// History is no part of an image, and it is often larger than the module.
const GIT: &str = ".git";

/// A file that comes with a request: its path in the build context, and its text.
pub(super) type File = (String, String);

/// Lists `root/modules` (an empty directory where there is none) and adds `files`. Without a root
/// there are only the files.
///
/// Files keep their times, as they do with `docker build`: both builders cache layers by content,
/// not by time, and programs in the image (web servers, make) rely on times that move on. What
/// comes with a request is new.
pub(super) async fn collect(root: Option<PathBuf>, files: Vec<File>) -> Result<Context> {
    let list = move || {
        let now = SystemTime::now();
        let mut entries = Vec::new();
        if let Some(root) = &root {
            entries.push(directory(MODULES, now));
            let modules = root.join(MODULES);
            if modules.is_dir() {
                walk(&modules, MODULES, &mut entries)?;
            }
        }
        let mut directories: Vec<String> = Vec::new();
        for (path, text) in files {
            for (at, _) in path.match_indices('/') {
                if !directories.iter().any(|known| *known == path[..at]) {
                    directories.push(path[..at].to_owned());
                }
            }
            let content = Content::Memory(text.into());
            entries.push(Entry { path, mode: 0o644, modified: now, content });
        }
        entries.extend(directories.iter().map(|path| directory(path, now)));
        Ok(Context::new(root.unwrap_or_default(), entries))
    };
    tokio::task::spawn_blocking(list).await.map_err(Error::internal)?
}

fn directory(path: &str, modified: SystemTime) -> Entry {
    Entry { path: path.to_owned(), mode: 0o755, modified, content: Content::Directory }
}

/// Adds what is in a directory: files, directories and links, nothing else.
fn walk(directory: &Path, path: &str, entries: &mut Vec<Entry>) -> Result<()> {
    let unreadable = |error| Error::internal(Unreadable(directory.to_owned(), error));
    for found in fs::read_dir(directory).map_err(unreadable)? {
        let found = found.map_err(unreadable)?;
        if found.file_name() == GIT {
            continue;
        }
        let on_disk = found.path();
        let name = found.file_name();
        let name = name.to_str().ok_or_else(|| not_utf8(&on_disk))?;
        let path = format!("{path}/{name}");
        // Of the link itself, where it is one.
        let metadata = found.metadata().map_err(unreadable)?;
        let content = if metadata.is_dir() {
            Content::Directory
        } else if metadata.is_symlink() {
            let target = fs::read_link(&on_disk).map_err(unreadable)?;
            Content::Symlink(target.to_str().ok_or_else(|| not_utf8(&on_disk))?.to_owned())
        } else if metadata.is_file() {
            Content::Disk(metadata.len())
        } else {
            continue;
        };
        let is_directory = metadata.is_dir();
        entries.push(entry(path.clone(), &metadata, content).map_err(unreadable)?);
        if is_directory {
            walk(&on_disk, &path, entries)?;
        }
    }
    Ok(())
}

fn entry(path: String, metadata: &Metadata, content: Content) -> std::io::Result<Entry> {
    let mode = metadata.permissions().mode() & 0o7777;
    Ok(Entry { path, mode, modified: metadata.modified()?, content })
}

#[derive(Debug, thiserror::Error)]
#[error("cannot read {}", .0.display())]
struct Unreadable(PathBuf, #[source] std::io::Error);

fn not_utf8(path: &Path) -> Error {
    Error::failed(format!(
        "the module file {} has a name that is not UTF-8, which BuildKit cannot take",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn listed(root: Option<&Path>, files: &[(&str, &str)]) -> Vec<String> {
        let files = files.iter().map(|(path, text)| ((*path).into(), (*text).into())).collect();
        let context = collect(root.map(Path::to_owned), files).await.unwrap();
        let show = |entry: &Entry| match &entry.content {
            Content::Directory => format!("{}/ {:o}", entry.path, entry.mode),
            Content::Symlink(target) => format!("{} -> {target}", entry.path),
            Content::Disk(size) => format!("{} {:o} {size}", entry.path, entry.mode),
            Content::Memory(text) => format!("{} {:o} {text:?}", entry.path, entry.mode),
        };
        context.entries().iter().map(show).collect()
    }

    #[tokio::test]
    async fn modules_are_taken_without_their_history() {
        let root = tempfile::tempdir().unwrap();
        let module = root.path().join("modules/web");
        fs::create_dir_all(module.join(".git/objects")).unwrap();
        fs::create_dir_all(module.join("manifests")).unwrap();
        fs::write(module.join("manifests/init.pp"), "class web {}").unwrap();
        fs::set_permissions(module.join("manifests"), fs::Permissions::from_mode(0o750)).unwrap();
        std::os::unix::fs::symlink("../../../etc", module.join("link")).unwrap();
        fs::write(root.path().join("Puppetfile"), "not for images").unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(module.join("socket")).unwrap();
        let files = [("web.pp", "a"), ("images/team/web/web.pp", "a")];
        assert_eq!(
            listed(Some(root.path()), &files).await,
            [
                "images/ 755",
                "images/team/ 755",
                "images/team/web/ 755",
                "images/team/web/web.pp 644 b\"a\"",
                "modules/ 755",
                "modules/web/ 755",
                "modules/web/link -> ../../../etc",
                "modules/web/manifests/ 750",
                "modules/web/manifests/init.pp 644 12",
                "web.pp 644 b\"a\"",
            ]
        );
    }

    #[tokio::test]
    async fn without_modules_there_is_an_empty_directory_and_without_a_root_none() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(listed(Some(root.path()), &[]).await, ["modules/ 755"]);
        assert_eq!(listed(None, &[("a", "b")]).await, ["a 644 b\"b\""]);
    }
}
