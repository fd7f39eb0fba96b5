//! Files in the registry that are no images: artifacts of one layer (OCI Image Specification 1.1,
//! "Guidelines for Artifact Usage"), which `docker-registry` 2 takes as images of an unknown kind.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, header};
use hyper::body::{Bytes, Incoming};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::{fs::File, io::AsyncWriteExt};

use super::{
    Registry, conversation::Conversation, location, manifests::digest_of, payload::Payload,
    unavailable,
};
use crate::error::{Error, Result};

/// The media type of the layer.
const LAYER: &str = "application/vnd.eu.cloudopting.crane.context.v1.tar+gzip";

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// What stands where an image has its configuration (OCI Image Specification, "Guidance for an
/// Empty Descriptor").
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const EMPTY_CONTENT: &[u8] = b"{}";
const EMPTY_BASE64: &str = "e30=";

/// From a registry to its object storage is one step, perhaps another between its regions.
const REDIRECTS_MAX: usize = 5;

/// A file on disk that becomes the layer of an artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    pub path: PathBuf,
    /// `sha256:...` of the file.
    pub digest: String,
    pub size: u64,
}

/// What was pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// Of the file.
    pub digest: String,
    pub size: u64,
    pub annotations: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    schema_version: u32,
    media_type: String,
    #[serde(default)]
    artifact_type: String,
    config: Descriptor,
    layers: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data: Option<String>,
}

impl Registry {
    /// Puts a file into the registry and gives the digest of its manifest, which is the same for
    /// the same file, kind and annotations. What is there already is not sent again.
    ///
    /// Fails with [`Error::Unavailable`]; [`Error::retry`] says whether it may pass.
    pub async fn push_artifact(
        &self,
        repository: &str,
        tag: &str,
        artifact_type: &str,
        layer: &Layer,
        annotations: &BTreeMap<String, String>,
    ) -> Result<String> {
        let path = self.manifest_path(repository, tag)?;
        let mut talk = Conversation::begin(self).await?;
        let descriptor = |media_type: &str, digest: &str, size| Descriptor {
            media_type: media_type.to_owned(),
            digest: digest.to_owned(),
            size,
            data: None,
        };
        let empty = Payload::Bytes(Bytes::from_static(EMPTY_CONTENT));
        let size = EMPTY_CONTENT.len() as u64;
        let mut config = descriptor(EMPTY, &digest_of(EMPTY_CONTENT, ""), size);
        self.push_blob(&mut talk, repository, &config.digest, &empty).await?;
        config.data = Some(EMPTY_BASE64.to_owned());
        let file = Payload::File { path: &layer.path, size: layer.size };
        self.push_blob(&mut talk, repository, &layer.digest, &file).await?;
        let manifest = Manifest {
            schema_version: 2,
            media_type: MANIFEST.to_owned(),
            artifact_type: artifact_type.to_owned(),
            config,
            layers: vec![descriptor(LAYER, &layer.digest, layer.size)],
            annotations: annotations.clone(),
        };
        let manifest = Bytes::from(serde_json::to_vec(&manifest).map_err(Error::internal)?);
        self.put_manifest(&mut talk, &path, MANIFEST, manifest).await
    }

    /// Writes the file of an artifact to `into`, which is made or replaced; on failure, and when
    /// this is dropped in the middle, there is nothing there.
    ///
    /// Fails with [`Error::NotFound`] when the registry has no such artifact, with
    /// [`Error::Unavailable`] when what it serves is not what the digests say; [`Error::retry`]
    /// says whether it may pass.
    pub async fn pull_artifact(
        &self,
        repository: &str,
        manifest_digest: &str,
        artifact_type: &str,
        into: &Path,
    ) -> Result<Pulled> {
        let mut talk = Conversation::begin(self).await?;
        let manifest = self.artifact(&mut talk, repository, manifest_digest).await?;
        let [layer] = &manifest.layers[..] else {
            return Err(self.stranger(repository, manifest_digest, "not one file in it"));
        };
        if manifest.artifact_type != artifact_type || layer.media_type != LAYER {
            let kind = format!(
                "the kind '{}' ('{}')",
                manifest.artifact_type.escape_debug(),
                layer.media_type.escape_debug()
            );
            return Err(self.stranger(repository, manifest_digest, &kind));
        }
        if !location::is_digest(&layer.digest) || !layer.digest.starts_with("sha256:") {
            return Err(self.stranger(repository, manifest_digest, "no SHA-256 of its file"));
        }
        let answer = self.get_blob(&mut talk, repository, &layer.digest).await?;
        let file = Unfinished::create(into).await?;
        let file = self.receive(answer, layer, file).await?;
        file.finish().await?;
        Ok(Pulled {
            digest: layer.digest.clone(),
            size: layer.size,
            annotations: manifest.annotations,
        })
    }

    async fn artifact(
        &self,
        talk: &mut Conversation<'_>,
        repository: &str,
        digest: &str,
    ) -> Result<Manifest> {
        if !location::is_digest(digest) {
            return Err(Error::invalid(format!("'{digest}' is not a digest")));
        }
        let path = self.manifest_path(repository, digest)?;
        let headers = HeaderMap::from_iter([(header::ACCEPT, value(MANIFEST)?)]);
        let answer = talk.send(&Method::GET, &talk.uri(&path)?, headers, &Payload::NONE).await?;
        let answer = self.read(answer).await?;
        match answer.status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Err(self.absent(repository, digest)),
            _ => return Err(self.unexpected(&path, &answer)),
        }
        let found = digest_of(&answer.body, digest);
        if found != digest {
            return Err(unavailable(
                self.host(),
                format!(
                    "serves {found} for {repository}@{digest}: it is not to be relied on, look \
                     into its storage and what stands between"
                ),
            ));
        }
        serde_json::from_slice(&answer.body)
            .map_err(|_| self.stranger(repository, digest, "no manifest of an artifact"))
    }

    /// Sends a blob unless it is there (OCI Distribution Specification, "Pushing blobs": a POST,
    /// and a PUT of the whole to where its answer says).
    async fn push_blob(
        &self,
        talk: &mut Conversation<'_>,
        repository: &str,
        digest: &str,
        payload: &Payload<'_>,
    ) -> Result<()> {
        let path = self.blob_path(repository, digest)?;
        let uri = talk.uri(&path)?;
        let answer = talk.send(&Method::HEAD, &uri, HeaderMap::new(), &Payload::NONE).await?;
        // To object storage a registry only sends for what it has.
        if answer.status().is_success() || answer.status().is_redirection() {
            return Ok(());
        }
        if answer.status() != StatusCode::NOT_FOUND {
            return Err(self.unexpected(&path, &self.read(answer).await?));
        }
        let path = format!("{}/blobs/uploads/", self.0.location.path(repository));
        let uri = talk.uri(&path)?;
        let answer = talk.send(&Method::POST, &uri, HeaderMap::new(), &Payload::NONE).await?;
        let answer = self.read(answer).await?;
        match answer.status {
            StatusCode::ACCEPTED => {}
            StatusCode::NOT_FOUND | StatusCode::FORBIDDEN | StatusCode::METHOD_NOT_ALLOWED => {
                return Err(self.refuses_push(repository, &answer));
            }
            _ => return Err(self.unexpected(&path, &answer)),
        }
        let target = with_digest(&talk.target(&uri, &answer.headers)?, digest)?;
        let headers = HeaderMap::from_iter([(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/octet-stream"),
        )]);
        let answer = talk.send(&Method::PUT, &target, headers, payload).await?;
        let answer = self.read(answer).await?;
        match answer.status {
            StatusCode::CREATED | StatusCode::OK | StatusCode::NO_CONTENT => Ok(()),
            StatusCode::FORBIDDEN => Err(self.refuses_push(repository, &answer)),
            // The query of the target is for nobody else's eyes.
            _ => Err(self.unexpected(&format!("{path}...?digest={digest}"), &answer)),
        }
    }

    /// The answer with a blob, perhaps from where the registry sends for it.
    async fn get_blob(
        &self,
        talk: &mut Conversation<'_>,
        repository: &str,
        digest: &str,
    ) -> Result<Response<Incoming>> {
        let path = self.blob_path(repository, digest)?;
        let mut uri = talk.uri(&path)?;
        for _ in 0..=REDIRECTS_MAX {
            let answer = talk.send(&Method::GET, &uri, HeaderMap::new(), &Payload::NONE).await?;
            match answer.status() {
                StatusCode::OK => return Ok(answer),
                StatusCode::NOT_FOUND => return Err(self.absent(repository, digest)),
                status if status.is_redirection() => {
                    uri = talk.target(&uri, answer.headers())?;
                }
                _ => return Err(self.unexpected(&path, &self.read(answer).await?)),
            }
        }
        Err(unavailable(
            self.host(),
            format!("redirects more than {REDIRECTS_MAX} times for {path}: look into its storage"),
        ))
    }

    /// Writes what comes, as long as it is no more than was promised.
    async fn receive(
        &self,
        answer: Response<Incoming>,
        layer: &Descriptor,
        mut file: Unfinished,
    ) -> Result<Unfinished> {
        let Descriptor { digest, size, .. } = layer;
        let client = &self.0.client;
        let mut body = answer.into_body();
        let (mut hash, mut received) = (Sha256::new(), 0);
        while let Some(piece) =
            client.piece(&mut body).await.map_err(|error| client.explain(self.host(), &error))?
        {
            received += piece.len() as u64;
            if received > *size {
                break;
            }
            hash.update(&piece);
            file.file.write_all(&piece).await.map_err(Error::internal)?;
        }
        let error = |reason: String| unavailable(self.host(), reason);
        if received < *size {
            let reason = format!(
                "ended the blob {digest} after {received} of {size} bytes: look into its log"
            );
            return Err(error(reason).may_pass(None));
        }
        let hex: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        let found = format!("sha256:{hex}");
        if received > *size || found != *digest {
            let found = if received > *size { "more bytes".to_owned() } else { found };
            return Err(error(format!(
                "serves {found} for the blob {digest}: it is not to be relied on, look into its \
                 storage and what stands between"
            )));
        }
        Ok(file)
    }

    fn blob_path(&self, repository: &str, digest: &str) -> Result<String> {
        if !location::is_repository(repository) || !location::is_digest(digest) {
            return Err(Error::invalid(format!("'{repository}@{digest}' names no blob")));
        }
        Ok(format!("{}/blobs/{digest}", self.0.location.path(repository)))
    }

    fn absent(&self, repository: &str, digest: &str) -> Error {
        Error::NotFound(format!("the registry has no {}@{digest}", self.reference(repository)))
    }

    fn stranger(&self, repository: &str, digest: &str, what: &str) -> Error {
        let reference = self.reference(repository);
        Error::failed(format!("{reference}@{digest} is not what was looked for: it has {what}"))
    }

    fn refuses_push(&self, repository: &str, answer: &super::Answer) -> Error {
        unavailable(
            self.host(),
            format!(
                "answers {} to a push to {repository}{}: let this user push there",
                answer.status,
                super::reason_in(answer)
            ),
        )
    }
}

/// Where an upload goes, with the digest that ends it.
fn with_digest(target: &Uri, digest: &str) -> Result<Uri> {
    let separator = if target.query().is_some() { '&' } else { '?' };
    let digest = digest.replace(':', "%3A");
    format!("{target}{separator}digest={digest}").parse().map_err(Error::internal)
}

fn value(text: &'static str) -> Result<HeaderValue> {
    HeaderValue::from_str(text).map_err(Error::internal)
}

/// A file that is removed unless it is finished.
struct Unfinished {
    file: File,
    path: PathBuf,
    done: bool,
}

impl Unfinished {
    async fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).await.map_err(Error::internal)?;
        Ok(Self { file, path: path.to_owned(), done: false })
    }

    async fn finish(mut self) -> Result<()> {
        // tokio writes in the background, and tells an error at the next call.
        self.file.flush().await.map_err(Error::internal)?;
        self.done = true;
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.done
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "a file could not be removed");
        }
    }
}
