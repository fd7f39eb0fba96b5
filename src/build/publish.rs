//! Gives an image that was built its names, on the engine and in the registry.

use super::{Built, Request};
use crate::{
    engine::{Engine, Login},
    error::{Error, Result, chain},
    model::{Channel, Log},
    registry::Registry,
};

/// The tag of every image that Crane makes.
pub(super) const TAG: &str = "latest";

/// Pushes the image, sees that the registry has it, and names it. On failure the names are what
/// they were before, and the image is gone.
pub(super) async fn publish(
    engine: &Engine,
    registry: Option<&Registry>,
    login: Option<&Login>,
    request: &Request,
    image: &str,
    log: &Log,
) -> Result<Built> {
    let mut names = Names { engine, image, given: Vec::new() };
    match give(&mut names, registry, login, request, log).await {
        Ok(pushed) => {
            names.keep().await;
            let (reference, digest) = pushed.unzip();
            Ok(Built { image_id: image.to_owned(), reference, digest })
        }
        Err(error) => {
            names.take_back().await;
            Err(error)
        }
    }
}

/// The name in the registry and the digest, if there is a registry.
async fn give(
    names: &mut Names<'_>,
    registry: Option<&Registry>,
    login: Option<&Login>,
    request: &Request,
    log: &Log,
) -> Result<Option<(String, String)>> {
    let mut pushed = None;
    if let Some(registry) = registry {
        let repository = registry.reference(&request.tag);
        names.give(&repository).await?;
        let log = &log.at("push");
        log.write(Channel::Log, format!("Pushing {repository}:{TAG}")).await;
        let digest = names.engine.push_image(&repository, TAG, login, log).await?;
        names.check_pushed(&repository, &digest).await?;
        let served = registry.digest(&request.tag, TAG).await?;
        if served.as_ref() != Some(&digest) {
            return Err(Error::unavailable(
                "registry",
                format!(
                    "the engine pushed {repository}:{TAG} as {digest}, and the registry serves {} \
                     there: does someone else push to it?",
                    served.as_deref().unwrap_or("nothing")
                ),
            ));
        }
        pushed = Some((format!("{repository}:{TAG}"), digest));
    }
    names.give(&request.tag).await?;
    Ok(pushed)
}

/// The names that an image has been given.
struct Names<'a> {
    engine: &'a Engine,
    image: &'a str,
    /// Each repository, and the image that had the name before.
    given: Vec<(String, Option<String>)>,
}

impl Names<'_> {
    async fn give(&mut self, repository: &str) -> Result<()> {
        let before = self.engine.image(&format!("{repository}:{TAG}")).await?;
        let before = before.and_then(|image| image.id).filter(|id| id != self.image);
        self.given.push((repository.to_owned(), before));
        self.engine.tag_image(self.image, repository, TAG).await
    }

    /// Whether it is this image that was pushed: the engine pushes the one that has the name when
    /// the push begins.
    async fn check_pushed(&self, repository: &str, digest: &str) -> Result<()> {
        let image = self.engine.image(self.image).await?;
        let digests = image.and_then(|image| image.repo_digests).unwrap_or_default();
        if digests.contains(&format!("{repository}@{digest}")) {
            return Ok(());
        }
        Err(Error::Conflict(format!(
            "another image took the name {repository}:{TAG} while this one was pushed; build again"
        )))
    }

    /// Removes the images that had the names before, unless they have others.
    async fn keep(self) {
        for (_, before) in &self.given {
            let Some(before) = before else { continue };
            let Ok(Some(image)) = self.engine.image(before).await else { continue };
            if image.repo_tags.unwrap_or_default().is_empty() {
                self.remove(before).await;
            }
        }
    }

    async fn take_back(self) {
        for (repository, before) in &self.given {
            let name = format!("{repository}:{TAG}");
            let now = self.engine.image(&name).await.ok().flatten();
            if now.and_then(|image| image.id).as_deref() != Some(self.image) {
                // Someone else has it by now.
                continue;
            }
            match before {
                Some(before) => {
                    if let Err(error) = self.engine.tag_image(before, repository, TAG).await {
                        tracing::warn!(
                            repository,
                            error = chain(&error),
                            "cannot give a name back"
                        );
                    }
                }
                None => self.remove(&name).await,
            }
        }
        self.remove(self.image).await;
    }

    /// What stays has the labels of its resource, and goes with that.
    async fn remove(&self, reference: &str) {
        if let Err(error) = self.engine.remove_image(reference).await {
            tracing::warn!(reference, error = chain(&error), "an image stays");
        }
    }
}
