//! The commits of a repository without their trees, for names that only the history explains: a
//! short object name, `v1.0~2`, what `git describe` prints.
//!
//! It is a mirror as r10k has one, but of commits and tags only where the server can leave out the
//! rest, so that libgit2 resolves a name in it as git does.

use std::{collections::BTreeMap, fmt::Write, fs, io};

use git2::{Oid, Repository, RepositoryInitOptions};

use super::{
    objects::{Objects, own},
    remote::{Fetch, Ref, Remote},
};
use crate::puppet::{fault::Result, native::Native};

pub(in super::super) struct History<'a> {
    /// Beside the objects that modules are made of: trees are missing in it.
    objects: &'a Objects,
}

impl<'a> History<'a> {
    pub(in super::super) fn new(objects: &'a Objects) -> Self {
        Self { objects }
    }

    /// Brings it up to date with the server, whose references these are.
    pub(in super::super) async fn fetch(
        &self,
        native: &Native,
        remote: &mut Remote<'_>,
        refs: &[Ref],
    ) -> Result<()> {
        let root = self.objects.path("history");
        let tips: Vec<Oid> = refs.iter().map(|found| found.oid).collect();
        let inner = tokio::task::spawn_blocking({
            let (root, tips) = (root.clone(), tips.clone());
            move || -> Result<(Objects, Vec<Oid>, Vec<Oid>)> {
                let mut options = RepositoryInitOptions::new();
                options.bare(true).external_template(false);
                let repository = Repository::init_opts(&root, &options).map_err(own)?;
                let known = |oid: &Oid| repository.find_object(*oid, None).is_ok();
                let haves = repository
                    .references()
                    .into_iter()
                    .flatten()
                    .flatten()
                    .filter_map(|reference| reference.target())
                    .collect();
                let mut wants: Vec<Oid> = tips.into_iter().filter(|oid| !known(oid)).collect();
                wants.sort_unstable();
                wants.dedup();
                let objects = Objects::at(root);
                objects.prepare()?;
                Ok((objects, wants, haves))
            }
        });
        let (objects, wants, haves) = inner.await.map_err(io::Error::other)??;
        if !wants.is_empty() {
            let fetch = Fetch { wants, haves, only_commits: true, ..Fetch::default() };
            objects.receive(native, remote.fetch(&fetch).await?).await?;
        }
        let packed = packed_refs(refs);
        let head = head(refs);
        let written = tokio::task::spawn_blocking(move || {
            let write = |name: &str, text: &str| {
                let part = root.join(format!("{name}.{}", uuid::Uuid::new_v4().simple()));
                fs::write(&part, text)?;
                fs::rename(part, root.join(name))
            };
            write("packed-refs", &packed).and_then(|()| write("HEAD", &head))
        });
        Ok(written.await.map_err(io::Error::other)??)
    }

    /// The commit that an expression stands for. Blocks.
    pub(in super::super) fn resolve(&self, expression: &str) -> Option<Oid> {
        let repository = Repository::open_bare(self.objects.path("history")).ok()?;
        let commit = repository.revparse_single(&format!("{expression}^{{commit}}")).ok()?;
        Some(commit.id())
    }
}

/// The references as `git pack-refs` writes them (libgit2 reads `refdb_fs.c`).
fn packed_refs(refs: &[Ref]) -> String {
    let sorted: BTreeMap<&str, &Ref> = refs
        .iter()
        .filter(|found| found.name.starts_with("refs/") && !found.name.contains(char::is_control))
        .map(|found| (found.name.as_str(), found))
        .collect();
    let mut text = String::from("# pack-refs with: peeled fully-peeled sorted \n");
    for (name, found) in sorted {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{} {name}", found.oid);
        if let Some(peeled) = found.peeled {
            let _ = writeln!(text, "^{peeled}");
        }
    }
    text
}

/// `HEAD`, detached: which branch it is on says nothing about commits.
fn head(refs: &[Ref]) -> String {
    match refs.iter().find(|found| found.name == "HEAD") {
        Some(head) => format!("{}\n", head.oid),
        None => "ref: refs/heads/none\n".to_owned(),
    }
}
