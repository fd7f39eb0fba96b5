//! What the store holds for each resource, and under which key.
//!
//! | key | value |
//! |---|---|
//! | `<kind>:<id>` | [`Record`] of the resource |
//! | `file:<kind>:<id>:<field>` | [`Upload`] as it was posted |
//! | `log:<kind>:<id>:<number>` | a part of its log, see `log.rs` |
//!
//! What is under `job:`, `lease:`, `beat:`, `cancel:` and `lock:` is in `queue.rs`, `event:` in
//! `events.rs`.
//!
//! Neither tokens nor names contain a colon, so no key is a prefix of another resource's.

use std::fmt;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{
    build::Upload,
    error::{Error, Problem, Result},
    model::Name,
    puppet::{Compat, Engine},
    store::Store,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Context,
    Base,
    Image,
    Cluster,
    Composition,
}

impl Kind {
    /// In the order in which what is left of them is taken up after a restart: images wait for
    /// their contexts, so those come first.
    pub const ALL: [Self; 5] =
        [Self::Context, Self::Base, Self::Image, Self::Cluster, Self::Composition];

    pub fn prefix(self) -> String {
        format!("{self}:")
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Context => "context",
            Self::Base => "base",
            Self::Image => "image",
            Self::Cluster => "cluster",
            Self::Composition => "composition",
        })
    }
}

/// Names one resource; prints as its key in the store.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Resource {
    pub kind: Kind,
    /// The token; for a base its name.
    pub id: String,
}

impl Resource {
    pub fn new(kind: Kind, id: impl Into<String>) -> Self {
        Self { kind, id: id.into() }
    }

    pub fn key(&self) -> String {
        self.to_string()
    }

    pub fn not_found(&self) -> Error {
        // What was asked for may be of any length.
        let id: String = self.id.chars().take(200).collect();
        Error::NotFound(format!("there is no {} '{}'", self.kind, id.escape_debug()))
    }

    pub(super) fn file_key(&self, field: &str) -> String {
        format!("{}{field}", self.file_prefix())
    }

    fn file_prefix(&self) -> String {
        format!("file:{self}:")
    }

    pub(super) fn log_prefix(&self) -> String {
        format!("log:{self}:")
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.id)
    }
}

/// States of all kinds of resources; which kind knows which is in the API contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Building,
    Joining,
    Providing,
    Finished,
    Ready,
    Error,
    Cancelled,
    Removing,
}

impl Status {
    /// There is a job for it.
    pub fn is_pending(self) -> bool {
        matches!(self, Self::Building | Self::Joining | Self::Providing | Self::Removing)
    }
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Succeeded,
    Failed,
    Cancelled,
    TimedOut,
    /// Crane died of it, or with it, too often.
    Dead,
}

impl Outcome {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed_out",
            Self::Dead => "dead",
        }
    }
}

/// What is the same for every kind, around what is not.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record<T> {
    pub status: Status,
    /// One sentence for people: what is going on, or why it failed.
    pub description: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
    #[serde(with = "time::serde::rfc3339")]
    pub created: OffsetDateTime,
    /// When its last job ended.
    #[serde(
        default,
        with = "time::serde::rfc3339::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub ended: Option<OffsetDateTime>,
    /// How its last job ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Its log was removed when it had been kept long enough.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub log_forgotten: bool,
    pub detail: T,
}

impl<T> Record<T> {
    pub fn new(status: Status, description: impl Into<String>, detail: T) -> Self {
        Self {
            status,
            description: description.into(),
            problems: Vec::new(),
            created: OffsetDateTime::now_utc(),
            ended: None,
            outcome: None,
            log_forgotten: false,
            detail,
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Context {
    pub token: String,
    pub group: Name,
    /// Modules that the Puppetfile brought: name, and version where the module states one.
    #[serde(default)]
    pub modules: Vec<(String, Option<String>)>,
    /// How they are installed. Crane 0.7 and before did it with r10k 3.
    #[serde(default = "Installation::of_earlier_versions")]
    pub installation: Installation,
    /// What its directory holds, for another Crane on the same store to have the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree: Option<Tree>,
    /// When an image was last built from it.
    #[serde(
        default,
        with = "time::serde::rfc3339::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub used: Option<OffsetDateTime>,
}

/// How the modules of a context are installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Installation {
    /// Which of r10k's generations is followed where they differ.
    pub compat: Compat,
    #[serde(default)]
    pub engine: Engine,
    /// Modules that others need are added.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resolve: bool,
}

impl Installation {
    fn of_earlier_versions() -> Self {
        Self { compat: Compat::R10k3, ..Self::default() }
    }
}

/// A context's directory by its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    /// Of the directory's content, whoever packs it.
    pub digest: String,
    /// Digest of the manifest under which the registry has it packed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Base {
    pub name: Name,
    /// Repository path, `<provider>/<name>`.
    pub tag: String,
    #[serde(default)]
    pub pushed: Option<Pushed>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Image {
    pub token: String,
    pub context: String,
    pub image_name: Name,
    /// Repository path, `<group>/<imageName>`.
    pub tag: String,
    /// Repository path of the base image, when Crane writes the Dockerfile.
    pub base: Option<String>,
    #[serde(default)]
    pub pushed: Option<Pushed>,
    /// Token of the newer image that has the tag now; this one is left under its digest.
    #[serde(default)]
    pub superseded_by: Option<String>,
}

/// Where an image went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pushed {
    pub reference: String,
    pub digest: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Cluster {
    pub token: String,
    pub endpoint: String,
    pub api_version: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Composition {
    pub token: String,
    /// `None`: the engine that builds.
    pub cluster: Option<String>,
    /// What a removal under way does with the volumes; kept so that a restart finishes it so.
    #[serde(default)]
    pub remove_volumes: bool,
}

/// Reads a resource that must be there.
pub(super) async fn find<T: serde::de::DeserializeOwned>(
    store: &dyn Store,
    resource: &Resource,
) -> Result<Record<T>> {
    match store.read(&resource.key()).await? {
        Some(stored) => Ok(stored.value),
        None => Err(resource.not_found()),
    }
}

/// Tokens of all resources of a kind whose tokens sort by creation, without reading the records.
pub(super) async fn tokens(store: &dyn Store, kind: Kind) -> Result<Vec<String>> {
    store.names(&kind.prefix()).await
}

/// Every resource of a kind, oldest first.
pub(super) async fn all<T: serde::de::DeserializeOwned>(
    store: &dyn Store,
    kind: Kind,
) -> Result<Vec<Record<T>>> {
    let mut records: Vec<Record<T>> = store.read_all(&kind.prefix()).await?;
    records.sort_by_key(|record| record.created);
    Ok(records)
}

pub(super) async fn file(
    store: &dyn Store,
    resource: &Resource,
    field: &str,
) -> Result<Option<Upload>> {
    Ok(store.read(&resource.file_key(field)).await?.map(|file| file.value))
}

/// Forgets what a resource has besides its record, which goes last, so that a removal which is cut
/// short can be taken up again from it.
pub(super) async fn forget_belongings(store: &dyn Store, resource: &Resource) -> Result<()> {
    store.delete_all(&resource.log_prefix()).await?;
    store.delete_all(&resource.file_prefix()).await
}
