//! What the names of images in a Dockerfile stand for: names of images that Crane built mean those
//! in Crane's registry, all others what they mean to Docker.

use std::collections::BTreeMap;

use super::{Request, dockerfile::Dockerfile, labels::LABEL_VERSION};
use crate::{
    engine::{Engine, split_reference},
    error::{Error, Problem, Result},
    registry::Registry,
};

const LATEST: &str = "latest";

/// The parts that images are looked up in.
pub(super) struct Resolver<'a> {
    pub(super) engine: &'a Engine,
    pub(super) registry: Option<&'a Registry>,
}

/// What an image is built on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Base {
    /// For the builder; the digest is in it where it is known and Crane's.
    pub(super) reference: String,
    /// For people, with a tag.
    pub(super) name: String,
    /// Of its manifest in a registry.
    pub(super) digest: Option<String>,
    /// Of the image on the engine, where no registry has it.
    pub(super) id: Option<String>,
    /// The image has labels of Crane's, which the one built on it inherits.
    pub(super) labelled: bool,
}

impl Resolver<'_> {
    /// An image that Crane built, by its repository path with a tag or digest or without.
    ///
    /// Fails with the problem that `problem` makes of the words if the image is gone.
    pub(super) async fn own(
        &self,
        name: &str,
        problem: impl Fn(String) -> Problem,
    ) -> Result<Base> {
        let (repository, version) = split_reference(name);
        let version = version.unwrap_or(LATEST);
        let separator = if version.contains(':') { '@' } else { ':' };
        let Some(registry) = self.registry else {
            let name = format!("{repository}{separator}{version}");
            let Some(image) = self.engine.image(&name).await? else {
                return Err(Error::problem(problem(format!(
                    "the engine does not have the image '{name}', and pushing to a registry is \
                     switched off: build it again"
                ))));
            };
            return Ok(Base {
                reference: name.clone(),
                name,
                digest: None,
                id: image.id,
                labelled: true,
            });
        };
        let location = registry.reference(repository);
        let Some(digest) = registry.digest(repository, version).await? else {
            return Err(Error::problem(problem(format!(
                "the registry has no {location}{separator}{version}: build or push it again"
            ))));
        };
        Ok(Base {
            reference: format!("{location}@{digest}"),
            name: format!("{location}{separator}{version}"),
            digest: Some(digest),
            id: None,
            labelled: true,
        })
    }

    /// An image that the builder finds by itself, as far as it can be told before it does.
    async fn foreign(&self, name: &str) -> Result<Base> {
        let mut base = Base {
            reference: name.to_owned(),
            name: name.to_owned(),
            digest: None,
            id: None,
            labelled: false,
        };
        match self.engine.image(name).await? {
            Some(image) => {
                let digests = image.repo_digests.unwrap_or_default();
                let digest = digests.first().and_then(|digest| digest.split_once('@'));
                base.digest = digest.map(|(_, digest)| digest.to_owned());
                base.id = image.id;
                let labels = image.config.and_then(|config| config.labels).unwrap_or_default();
                base.labelled = labels.contains_key(LABEL_VERSION);
            }
            // The builder says so if there is no such image.
            None => base.digest = self.engine.remote_digest(name).await,
        }
        Ok(base)
    }

    /// The Dockerfile with references in the place of the names that Crane knows, and what its last
    /// stage is built on.
    pub(super) async fn dockerfile(
        &self,
        text: &str,
        file: &Dockerfile,
        request: &Request,
    ) -> Result<(String, Option<Base>)> {
        let mut own = BTreeMap::new();
        for image in &file.images {
            let (repository, _) = split_reference(&image.name);
            if request.known.contains(repository) && !own.contains_key(&image.name) {
                let problem =
                    |words| Problem::new("dockerfile", words).at(image.line, image.column);
                own.insert(image.name.clone(), self.own(&image.name, problem).await?);
            }
        }
        let base = match file.base() {
            None => None,
            Some(image) => Some(match own.get(&image.name) {
                Some(base) => base.clone(),
                None => self.foreign(&image.name).await?,
            }),
        };
        let text =
            file.rename(text, |image| own.get(&image.name).map(|base| base.reference.clone()));
        Ok((text, base))
    }
}
