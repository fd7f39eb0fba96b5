//! Modules from git repositories. Which commit a reference is, r10k decides in
//! `Module::Git#validate_ref`: the reference, else `default_branch_override`, else
//! `default_branch`.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use git2::Oid;
use sha2::{Digest, Sha256};

use super::{Cancelled, Compat, Fault, Fetched, Module, Order, Pin, Result, Scratch, Source};
use crate::puppet::{
    git::{
        Checkout, Fetch, History, Objects, Pack, Ref, Remote, Small, Wanted, checkout,
        may_be_an_expression, pick,
    },
    native::Native,
    net::retried,
    puppetfile::{self, ReferenceName, Source as Declared, without_credentials},
};

/// Commits before the wanted one that are fetched where a server gives branches and tags only.
const DEPTHS: [Option<u32>; 3] = [Some(50), Some(1_000), None];

/// Commits in the cache that a server is told of, so that it leaves out what is in them.
const HAVES: usize = 16;

pub(super) struct Git;

#[async_trait]
impl Source for Git {
    fn claims(&self, module: &Module) -> bool {
        matches!(module.source, Declared::Git(_))
    }

    async fn resolve(&self, order: &Order<'_>) -> Result<Pin> {
        let (git, repository) = declared(order)?;
        let _held = order.native.hold(repository.objects.root().to_owned()).await?;
        let names = names(git, order.compat)?;
        let commit = repository.resolve(&names).await?;
        Ok(Pin::Git {
            url: without_credentials(git.url.value.as_str()),
            reference: names.join("|"),
            commit: commit.to_string(),
        })
    }

    async fn fetch(
        &self,
        order: &Order<'_>,
        pin: &Pin,
        run: &Arc<Scratch>,
        cancelled: &Cancelled,
    ) -> Result<Fetched> {
        let (git, repository) = declared(order)?;
        let held = Arc::new(order.native.hold(repository.objects.root().to_owned()).await?);
        let Pin::Git { commit, .. } = pin else {
            return Err(Fault::refused("the lock says that it does not come from git"));
        };
        let commit = Oid::from_str(commit)
            .map_err(|_| Fault::refused(format!("the lock's '{commit}' is no commit")))?;
        repository.have(commit).await?;
        let write = || {
            let (objects, run) = (repository.objects.clone(), run.clone());
            let held = held.clone();
            let (path, cancelled) = (order.module.path(), cancelled.clone());
            let below = git.path.as_ref().map(|path| path.value.clone());
            let fresh = repository.fresh.lock().ok().and_then(|fresh| fresh.clone());
            let without_spec = order.without_spec();
            order.native.blocking(move || {
                let _held = held;
                let target = run.path().join("tree").join(path);
                let written = checkout(
                    &objects,
                    &Checkout {
                        commit,
                        fresh: fresh.as_deref(),
                        below: below.as_deref(),
                        without_spec,
                        target: &target,
                        cancelled: &cancelled,
                    },
                );
                if without_spec && written.is_ok() {
                    super::archives::remove_spec(&target)?;
                }
                if written.is_err() && target.exists() {
                    std::fs::remove_dir_all(&target)?;
                }
                written
            })
        };
        let digest = match write().await {
            // The cache may have lost something: a machine that lost power, a full disk.
            Err(Fault::Refused(_)) if repository.was_cached(commit) => {
                let objects = repository.objects.clone();
                order.native.blocking(move || Ok(objects.discard()?)).await?;
                repository.have(commit).await?;
                write().await?
            }
            written => written?,
        };
        Ok(Fetched { warnings: Vec::new(), digest })
    }
}

/// The options of a git module, and its repository in the cache.
fn declared<'a>(order: &Order<'a>) -> Result<(&'a puppetfile::Git, Repository<'a>)> {
    let Declared::Git(git) = &order.module.source else {
        return Err(Fault::refused("this module does not come from git"));
    };
    let url = git.url.value.as_str();
    // With the user and password in it: what one user may read is not another's to find.
    let key: String = Sha256::digest(url).iter().map(|byte| format!("{byte:02x}")).collect();
    let root = order.native.cache.join("git").join(&key);
    let objects = Objects::at(root);
    let (fresh, fetched) = (Mutex::default(), Mutex::default());
    Ok((git, Repository { native: order.native, url, key, objects, fresh, fetched }))
}

/// The names to try, the first that exists counts.
fn names(git: &puppetfile::Git, compat: Compat) -> Result<Vec<String>> {
    let mut names = Vec::new();
    match (&git.reference, compat) {
        (Some(reference), _) => match &reference.value.name {
            ReferenceName::Named(name) => names.push(name.clone()),
            ReferenceName::ControlBranch => {}
        },
        (None, Compat::R10k3) => names.push("master".to_owned()),
        (None, Compat::R10k5) => {}
    }
    let fallback = git.fallback.as_ref().map(|fallback| fallback.value.split('|'));
    names.extend(fallback.into_iter().flatten().map(|name| name.trim().to_owned()));
    names.extend(git.default_branch_override.clone());
    names.extend(git.default_branch.clone());
    names.retain(|name| !name.is_empty());
    match names.is_empty() {
        false => Ok(names),
        true => Err(Fault::refused(
            "no branch, tag or commit is named, and there is no default: add `ref: 'main'`",
        )),
    }
}

struct Repository<'a> {
    native: &'a Native,
    url: &'a str,
    key: String,
    objects: Objects,
    /// The last pack that was fetched, if it was small.
    fresh: Mutex<Option<Arc<Small>>>,
    /// Commits that were fetched just now, so that they are not the cache's fault.
    fetched: Mutex<Vec<Oid>>,
}

impl Repository<'_> {
    async fn open(&self) -> Result<Remote<'_>> {
        let native = self.native;
        Remote::open(&native.http, &native.ssh, &native.egress, self.url).await
    }

    /// The commit that the first of the names that exists stands for.
    async fn resolve(&self, names: &[String]) -> Result<Oid> {
        let mut refs = None;
        for name in names {
            match Wanted::new(name) {
                Wanted::Object(oid) => match self.object(oid).await {
                    Ok(commit) => return Ok(commit),
                    Err(Fault::Refused(_)) => {}
                    Err(fault) => return Err(fault),
                },
                Wanted::Name(name) => {
                    if self.native.keep_tags
                        && let Some(commit) = self.objects.tagged(&name)
                    {
                        return Ok(commit);
                    }
                    let refs = match &refs {
                        Some(refs) => refs,
                        None => refs.insert(self.refs(names).await?),
                    };
                    if let Some(found) = pick(refs, &name) {
                        let commit = found.target();
                        if self.native.keep_tags && found.name.starts_with("refs/tags/") {
                            let objects = self.objects.clone();
                            let note = move || Ok(objects.note_tag(&name, commit)?);
                            self.native.quick(note).await?;
                        }
                        return Ok(commit);
                    }
                    if may_be_an_expression(&name)
                        && let Some(commit) = self.expression(&name).await?
                    {
                        return Ok(commit);
                    }
                }
            }
        }
        let url = without_credentials(self.url);
        Err(Fault::refused(match names {
            [name] => format!("there is no branch, tag or commit '{name}' in {url}"),
            names => format!("there is none of '{}' in {url}", names.join("', '")),
        }))
    }

    async fn refs(&self, names: &[String]) -> Result<Vec<Ref>> {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        retried(async || {
            let _permit = self.native.requests.acquire().await.map_err(std::io::Error::other)?;
            self.open().await?.refs(&names).await
        })
        .await
    }

    /// The commit that an object is, which is in the cache then.
    async fn object(&self, oid: Oid) -> Result<Oid> {
        let _alone = self.native.once.of(format!("{} {oid}", self.key)).await;
        if self.objects.has(oid) {
            return Ok(oid);
        }
        let objects = self.objects.clone();
        self.native.quick(move || Ok(objects.prepare()?)).await?;
        retried(async || {
            let _permit = self.native.requests.acquire().await.map_err(std::io::Error::other)?;
            match self.shallowly(oid).await {
                Err(Fault::Refused(first)) => self.deeply(oid).await.map_err(|fault| match fault {
                    Fault::Refused(_) => Fault::Refused(first),
                    other => other,
                }),
                done => done,
            }
        })
        .await?;
        let objects = self.objects.clone();
        let fresh = self.fresh.lock().ok().and_then(|fresh| fresh.clone());
        let commit = self
            .native
            .quick(move || {
                let is_fresh = fresh.is_some_and(|fresh| fresh.is_commit(oid));
                let commit = if is_fresh { Some(oid) } else { objects.commit(oid) };
                if let Some(commit) = commit {
                    objects.note(commit)?;
                }
                Ok(commit)
            })
            .await?
            .ok_or_else(|| Fault::refused(format!("the object {oid} is no commit")))?;
        if let Ok(mut fetched) = self.fetched.lock() {
            fetched.push(commit);
        }
        Ok(commit)
    }

    /// Makes sure that the commit is in the cache.
    async fn have(&self, commit: Oid) -> Result<()> {
        match self.object(commit).await? == commit {
            true => Ok(()),
            false => Err(Fault::refused(format!("{commit} is a tag, not a commit"))),
        }
    }

    fn was_cached(&self, commit: Oid) -> bool {
        self.fetched.lock().is_ok_and(|fetched| !fetched.contains(&commit))
    }

    /// The commit alone, without what comes before it.
    async fn shallowly(&self, oid: Oid) -> Result<()> {
        let objects = self.objects.clone();
        let shallow = self.native.quick(move || Ok(objects.commits(HAVES))).await?;
        let fetch = Fetch {
            wants: vec![oid],
            depth: Some(1),
            haves: shallow.clone(),
            shallow,
            only_commits: false,
        };
        let first = {
            let mut remote = self.open().await?;
            match remote.fetch(&fetch).await {
                Ok(pack) => return self.receive(pack).await,
                Err(fault @ Fault::Own(_)) => return Err(fault),
                Err(fault) => fault,
            }
        };
        // It may know no version 2, and may give tags only by their own names.
        let mut remote = self.open().await?;
        remote.ask_dialect().await?;
        if remote.is_version_2() {
            // Only what it was redirected to is new.
            let Ok(pack) = remote.fetch(&fetch).await else { return Err(first) };
            return self.receive(pack).await;
        }
        let refs = remote.refs(&[]).await?;
        let found = refs.iter().find(|found| found.oid == oid || found.target() == oid);
        let wants = vec![found.map_or(oid, |found| found.oid)];
        let pack = remote.fetch(&Fetch { wants, ..fetch }).await?;
        self.receive(pack).await
    }

    async fn receive(&self, pack: Pack<'_>) -> Result<()> {
        let small = self.objects.receive(self.native, pack).await?;
        if let Ok(mut fresh) = self.fresh.lock() {
            *fresh = small;
        }
        Ok(())
    }

    /// All branches and tags, and ever more of what comes before them, until the object is there.
    async fn deeply(&self, oid: Oid) -> Result<()> {
        for depth in DEPTHS {
            let mut remote = self.open().await?;
            remote.ask_dialect().await?;
            let mut wants: Vec<Oid> = remote
                .refs(&[])
                .await?
                .iter()
                .filter(|found| {
                    ["refs/heads/", "refs/tags/"].iter().any(|kind| found.name.starts_with(kind))
                })
                .map(|found| found.oid)
                .collect();
            wants.sort_unstable();
            wants.dedup();
            if wants.is_empty() {
                break;
            }
            let pack = remote.fetch(&Fetch { wants, depth, ..Fetch::default() }).await?;
            self.receive(pack).await?;
            let objects = self.objects.clone();
            if self.native.blocking(move || Ok(objects.commit(oid))).await?.is_some() {
                return Ok(());
            }
        }
        Err(Fault::refused(format!("there is no commit {oid}")))
    }

    /// What a name means that is no reference, found in the history.
    async fn expression(&self, name: &str) -> Result<Option<Oid>> {
        let _alone = self.native.once.of(format!("{} history", self.key)).await;
        let history = History::new(&self.objects);
        retried(async || {
            let _permit = self.native.requests.acquire().await.map_err(std::io::Error::other)?;
            let mut remote = self.open().await?;
            remote.ask_dialect().await?;
            let refs = remote.refs(&[]).await?;
            history.fetch(self.native, &mut remote, &refs).await
        })
        .await?;
        let (objects, name) = (self.objects.clone(), name.to_owned());
        self.native.blocking(move || Ok(History::new(&objects).resolve(&name))).await
    }
}
