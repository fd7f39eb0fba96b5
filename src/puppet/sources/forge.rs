//! Modules from a Forge (version 3 of its API, forgeapi.puppet.com): releases never change, so that
//! one that was asked for is not asked for again.

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use url::Url;

use super::{
    Cancelled, Fault, Fetched, Module, Order, Pin, Result, Scratch, Source,
    archives::{self, Archive, Kind},
};
use crate::puppet::{
    describe::Metadata,
    net::retried,
    puppetfile::{Source as Declared, Version, without_credentials},
    versions,
};

/// The answer for a module names all of its releases; the longest on the Forge have 2 MB.
const DOCUMENT: u64 = 32 * 1024 * 1024;

pub(super) struct Forge;

/// What is kept of a release.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Release {
    version: String,
    file_uri: String,
    #[serde(default)]
    file_sha256: Option<String>,
    #[serde(default)]
    module: Option<Slug>,
    #[serde(default, deserialize_with = "if_any")]
    metadata: Option<Metadata>,
}

/// Metadata is its author's, and may be anything: only what asks for it minds.
fn if_any<'d, D: serde::Deserializer<'d>>(
    from: D,
) -> std::result::Result<Option<Metadata>, D::Error> {
    let value = serde_json::Value::deserialize(from)?;
    Ok(serde_json::from_value(value).ok())
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Slug {
    #[serde(default)]
    deprecated_at: Option<String>,
}

#[derive(Debug, Deserialize)]
struct About {
    #[serde(default)]
    current_release: Option<Release>,
    #[serde(default)]
    releases: Vec<Listed>,
}

#[derive(Debug, Deserialize)]
struct Listed {
    version: String,
    #[serde(default)]
    deleted_at: Option<String>,
}

#[async_trait]
impl Source for Forge {
    fn claims(&self, module: &Module) -> bool {
        matches!(module.source, Declared::Forge(_))
    }

    async fn resolve(&self, order: &Order<'_>) -> Result<Pin> {
        let Declared::Forge(forge) = &order.module.source else {
            return Err(Fault::refused("this module does not come from a Forge"));
        };
        let registry = Registry::of(order)?;
        let release = match &forge.version.value {
            Version::Exact(version) => registry.release(version).await?,
            Version::Latest => registry.newest().await?,
            Version::Range(range) => {
                let version = registry.newest_in(range).await?;
                registry.release(&version).await?
            }
        };
        let pinned = forge.sha256sum.as_ref().map(|sum| sum.value.to_ascii_lowercase());
        let sha256 = match (pinned, release.file_sha256) {
            (Some(pinned), Some(told)) if pinned != told => {
                return Err(Fault::refused(format!(
                    "the release {} has the SHA-256 {told}, and the Puppetfile says {pinned}",
                    release.version
                )));
            }
            (pinned, told) => pinned.or(told),
        };
        Ok(Pin::Forge {
            forge: without_credentials(registry.base.as_str()),
            version: release.version,
            file: release.file_uri,
            sha256,
        })
    }

    async fn fetch(
        &self,
        order: &Order<'_>,
        pin: &Pin,
        run: &Arc<Scratch>,
        cancelled: &Cancelled,
    ) -> Result<Fetched> {
        let Pin::Forge { file, sha256, version, .. } = pin else {
            return Err(Fault::refused("the lock says that it does not come from a Forge"));
        };
        let registry = Registry::of(order)?;
        let cached = match sha256 {
            Some(sum) => Archive::cached(order.native, sum).await?,
            None => None,
        };
        let archive = match cached {
            Some(archive) => archive,
            None => {
                let url = registry.url(file)?;
                archives::download(order.native, &url, sha256.as_deref()).await?
            }
        };
        let mut warnings = archives::unpack(order, &archive, Kind::Forge, run, cancelled).await?;
        if sha256.is_none() {
            warnings.push("the Forge gives no SHA-256 for it, so that it was not compared".into());
        }
        if registry.is_deprecated(version).await {
            warnings.push(format!("the module {} is deprecated", registry.slug));
        }
        Ok(warnings.into())
    }
}

/// The versions of all releases of a module; none when there is no such module.
pub(in super::super) async fn releases(order: &Order<'_>) -> Result<Option<Vec<String>>> {
    let about = Registry::of(order)?.about_if_any().await?;
    Ok(about.map(|about| {
        let there = about.releases.into_iter().filter(|release| release.deleted_at.is_none());
        there.map(|release| release.version).collect()
    }))
}

/// The `metadata.json` of a release.
pub(in super::super) async fn metadata(order: &Order<'_>, version: &str) -> Result<Metadata> {
    let registry = Registry::of(order)?;
    // A Crane that did not look at it remembered releases without it.
    match registry.release(version).await?.metadata {
        Some(metadata) => Ok(metadata),
        None => Ok(registry.release_now(version).await?.metadata.unwrap_or_default()),
    }
}

/// One module on one Forge.
struct Registry<'a> {
    order: &'a Order<'a>,
    base: Url,
    /// `puppetlabs-stdlib`.
    slug: String,
}

impl<'a> Registry<'a> {
    fn of(order: &'a Order<'_>) -> Result<Self> {
        let shown = without_credentials(order.forge);
        let mut base = Url::parse(order.forge)
            .map_err(|error| Fault::refused(format!("the Forge '{shown}' is no URL: {error}")))?;
        // So that joining keeps what stands in the path.
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        Ok(Self { order, base, slug: order.module.full_name().replace('/', "-") })
    }

    fn url(&self, path: &str) -> Result<Url> {
        let url = self.base.join(path.trim_start_matches('/')).ok();
        url.filter(|url| matches!(url.scheme(), "https" | "http"))
            .ok_or_else(|| Fault::refused("the Forge names no URL for the release"))
    }

    /// An answer of the Forge as JSON; none when it has no such thing.
    async fn look<T: for<'d> Deserialize<'d>>(&self, path: &str, what: &str) -> Result<Option<T>> {
        let url = self.url(path)?;
        let native = self.order.native;
        let text = retried(async || {
            let _permit = native.requests.acquire().await.map_err(std::io::Error::other)?;
            let answer = native.http.get(&url, &[], DOCUMENT).await?;
            match answer.status {
                404 => Ok(None),
                _ => answer.ok(what)?.body.collect().await.map(Some),
            }
        })
        .await?;
        let Some(text) = text else { return Ok(None) };
        serde_json::from_slice(&text).map(Some).map_err(|error| {
            let url = without_credentials(url.as_str());
            Fault::refused(format!("the answer of {url} is not a Forge's: {error}"))
        })
    }

    /// The same of what must be there.
    async fn ask<T: for<'d> Deserialize<'d>>(&self, path: &str, what: &str) -> Result<T> {
        self.look(path, what).await?.ok_or_else(|| {
            let base = without_credentials(self.base.as_str());
            Fault::refused(format!("{what} does not exist on {base}"))
        })
    }

    async fn about(&self) -> Result<About> {
        self.ask(&format!("v3/modules/{}", self.slug), &self.what()).await
    }

    async fn about_if_any(&self) -> Result<Option<About>> {
        self.look(&format!("v3/modules/{}", self.slug), &self.what()).await
    }

    fn what(&self) -> String {
        format!("the module {}", self.slug)
    }

    async fn newest(&self) -> Result<Release> {
        self.about()
            .await?
            .current_release
            .ok_or_else(|| Fault::refused(format!("the module {} has no release", self.slug)))
    }

    async fn newest_in(&self, range: &str) -> Result<String> {
        let about = self.about().await?;
        let there = about.releases.iter().filter(|release| release.deleted_at.is_none());
        let versions: Vec<&str> = there.map(|release| release.version.as_str()).collect();
        versions::newest(range, &versions).map(str::to_owned).ok_or_else(|| {
            Fault::refused(format!(
                "no release of {} is in '{range}'; there are {}",
                self.slug,
                shortened(&versions)
            ))
        })
    }

    async fn release(&self, version: &str) -> Result<Release> {
        let slug = format!("{}-{version}", self.slug);
        if let Some(release) = self.remembered(version).await {
            return Ok(release);
        }
        let _alone = self.order.native.once.of(format!("{} {slug}", self.base)).await;
        if let Some(release) = self.remembered(version).await {
            return Ok(release);
        }
        self.release_now(version).await
    }

    /// Asks for a release, and remembers it.
    async fn release_now(&self, version: &str) -> Result<Release> {
        let slug = format!("{}-{version}", self.slug);
        let what = format!("the module release {slug}");
        let release: Release = self.ask(&format!("v3/releases/{slug}"), &what).await?;
        // Remembered only with its checksum: without it, the archive is not known either.
        if release.file_sha256.is_some() {
            let (path, text) = (self.note(version), serde_json::to_vec(&release));
            let text = text.map_err(std::io::Error::other)?;
            self.order.native.blocking(move || Ok(archives::put(&path, &text)?)).await?;
        }
        Ok(release)
    }

    fn note(&self, version: &str) -> PathBuf {
        let key = Sha256::digest(format!("{} {}-{version}", self.base, self.slug));
        let key: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        self.order.native.cache.join("releases").join(format!("{key}.json"))
    }

    async fn remembered(&self, version: &str) -> Option<Release> {
        let path = self.note(version);
        let read = self.order.native.blocking(move || Ok(std::fs::read(path).ok())).await;
        serde_json::from_slice(&read.ok()??).ok()
    }

    /// Whether the Forge said so when the release was asked for.
    async fn is_deprecated(&self, version: &str) -> bool {
        let release = self.remembered(version).await;
        release.and_then(|release| release.module).is_some_and(|slug| slug.deprecated_at.is_some())
    }
}

/// The first of many versions.
fn shortened(versions: &[&str]) -> String {
    const SHOWN: usize = 10;
    match versions {
        [] => "none".to_owned(),
        few if few.len() <= SHOWN => few.join(", "),
        many => format!("{} and {} more", many[..SHOWN].join(", "), many.len() - SHOWN),
    }
}
