//! What a tag points to, and taking it away again (OCI Distribution Specification, "Pulling
//! manifests" and "Deleting manifests").

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use hyper::body::Bytes;
use sha2::{Digest as _, Sha256, Sha512};

use super::{
    Registry, conversation::Conversation, location, payload::Payload, reason_in, unavailable,
};
use crate::error::{Error, Result};

/// What engines push: single images and lists of images, by the OCI and by Docker. A registry
/// that holds another kind than it is asked for answers 404 or converts it, which changes its
/// digest.
const MANIFEST_TYPES: &str = "application/vnd.oci.image.manifest.v1+json, \
     application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json, \
     application/vnd.docker.distribution.manifest.list.v2+json";

pub(super) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// How a deletion ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deletion {
    Deleted,
    /// There was nothing to delete.
    Absent,
    /// The tag points to another digest by now, so it was left alone.
    Moved,
    /// The registry does not delete, or not for this user; the text names the remedy.
    Refused(String),
}

/// A manifest whose blobs the registry has just taken is refused while somebody else pushes the same
/// blobs: `docker-registry` then reads, on its disk, a link that is being written anew.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(200);

impl Registry {
    /// Gives a manifest whose blobs the registry has, and its digest back.
    pub(super) async fn put_manifest(
        &self,
        talk: &mut Conversation<'_>,
        path: &str,
        media_type: &'static str,
        manifest: Bytes,
    ) -> Result<String> {
        let digest = digest_of(&manifest, "");
        let media_type = (header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        let headers = HeaderMap::from_iter([media_type]);
        let (uri, payload) = (talk.uri(path)?, Payload::Bytes(manifest));
        let mut tries = 1;
        let answer = loop {
            let answer = talk.send(&Method::PUT, &uri, headers.clone(), &payload).await?;
            let answer = self.read(answer).await?;
            match answer.status {
                StatusCode::CREATED | StatusCode::OK | StatusCode::ACCEPTED => break answer,
                StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND if tries < TRIES => {
                    tries += 1;
                    tokio::time::sleep(PAUSE).await;
                }
                _ => return Err(self.unexpected(path, &answer)),
            }
        };
        match answer.header(CONTENT_DIGEST) {
            Some(found) if found != digest => Err(unavailable(
                self.host(),
                format!(
                    "took the manifest {digest} as '{}': it changes what it is sent, look into \
                     what stands between",
                    found.escape_debug()
                ),
            )),
            _ => Ok(digest),
        }
    }

    /// The digest that a tag points to now, or `None` where there is no such tag or repository.
    ///
    /// The registry's own statement is taken where it makes one; otherwise the manifest is read
    /// and its digest computed. For a digest, the answer is that digest or `None`.
    pub async fn digest(&self, repository: &str, tag_or_digest: &str) -> Result<Option<String>> {
        let path = self.manifest_path(repository, tag_or_digest)?;
        let head = self.request(Method::HEAD, &path, Some(MANIFEST_TYPES)).await?;
        let digest = match (head.status, head.header(CONTENT_DIGEST)) {
            (StatusCode::OK, Some(digest)) => digest.to_owned(),
            (StatusCode::OK, None) => {
                let manifest = self.request(Method::GET, &path, Some(MANIFEST_TYPES)).await?;
                match manifest.status {
                    StatusCode::OK => digest_of(&manifest.body, tag_or_digest),
                    StatusCode::NOT_FOUND => return Ok(None),
                    _ => return Err(self.unexpected(&path, &manifest)),
                }
            }
            (StatusCode::NOT_FOUND, _) => return Ok(None),
            _ => return Err(self.unexpected(&path, &head)),
        };
        let asked = location::is_digest(tag_or_digest).then_some(tag_or_digest);
        if !location::is_digest(&digest) || asked.is_some_and(|asked| asked != digest) {
            return Err(unavailable(
                self.host(),
                format!(
                    "answers the digest '{}' for {repository}, {tag_or_digest}: it is not to be \
                     relied on, look into its storage and what stands between",
                    digest.escape_debug()
                ),
            ));
        }
        Ok(Some(digest))
    }

    /// Takes the tag away if it still points to `digest`, by deleting that manifest: the one way
    /// that every registry which deletes at all offers. Other tags of the same manifest in this
    /// repository go with it.
    pub async fn delete(&self, repository: &str, tag: &str, digest: &str) -> Result<Deletion> {
        match self.digest(repository, tag).await? {
            None => return Ok(Deletion::Absent),
            Some(found) if found != digest => return Ok(Deletion::Moved),
            Some(_) => {}
        }
        let path = self.manifest_path(repository, digest)?;
        let answer = self.request(Method::DELETE, &path, None).await?;
        match answer.status {
            StatusCode::ACCEPTED | StatusCode::OK | StatusCode::NO_CONTENT => Ok(Deletion::Deleted),
            StatusCode::NOT_FOUND => Ok(Deletion::Absent),
            StatusCode::METHOD_NOT_ALLOWED | StatusCode::BAD_REQUEST => {
                Ok(Deletion::Refused(format!(
                    "the registry {} does not delete images{}: switch deletion on (docker-registry: \
                     storage.delete.enabled in its configuration), or remove {}@{digest} there",
                    self.host(),
                    reason_in(&answer),
                    self.reference(repository),
                )))
            }
            StatusCode::FORBIDDEN => Ok(Deletion::Refused(format!(
                "the registry {} does not let this user delete{}: grant it, or remove {}@{digest} \
                 there",
                self.host(),
                reason_in(&answer),
                self.reference(repository),
            ))),
            _ => Err(self.unexpected(&path, &answer)),
        }
    }

    pub(super) fn manifest_path(&self, repository: &str, tag_or_digest: &str) -> Result<String> {
        if !location::is_repository(repository) {
            return Err(Error::invalid(format!("'{repository}' is not the name of a repository")));
        }
        if !location::is_tag(tag_or_digest) && !location::is_digest(tag_or_digest) {
            return Err(Error::invalid(format!("'{tag_or_digest}' is neither a tag nor a digest")));
        }
        Ok(format!("{}/manifests/{tag_or_digest}", self.0.location.path(repository)))
    }
}

/// In the algorithm of the digest that was asked for, or SHA-256, which every registry uses for
/// tags.
pub(super) fn digest_of(manifest: &[u8], asked: &str) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    if asked.starts_with("sha512:") {
        format!("sha512:{}", hex(&Sha512::digest(manifest)))
    } else {
        format!("sha256:{}", hex(&Sha256::digest(manifest)))
    }
}

#[cfg(test)]
mod tests {
    use super::digest_of;

    #[test]
    fn digests_are_computed_in_the_algorithm_asked_for() {
        // FIPS 180-4 test vectors of the empty message.
        assert_eq!(
            digest_of(b"", "latest"),
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert!(digest_of(b"", "sha512:00").starts_with("sha512:cf83e1357eefb8bd"));
    }
}
