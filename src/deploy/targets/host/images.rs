//! The images of a composition, brought to the engine.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::about;
use crate::{
    deploy::{Deployment, compose, convert::Image},
    engine::{Engine, Login},
    error::{Error, Result},
    model::{Channel, Log},
    registry::Registry,
};

/// Pulls share one line; the engine itself fetches three layers of each at a time.
const PARALLEL: usize = 4;

/// A service's image as it is to be had.
struct Source<'a> {
    reference: String,
    /// Whether Crane built it: its registry has the newest, and asks who is there.
    registry: Option<&'a Registry>,
    services: Vec<String>,
}

/// Pulls what is missing, and what Crane built in any case, as it may have been built again; gives
/// the image of every service.
pub(super) async fn ready(
    engine: &Engine,
    registry: Option<&Registry>,
    deployment: &Deployment,
    log: &Log,
) -> Result<BTreeMap<String, Image>> {
    let mut sources: BTreeMap<String, Source<'_>> = BTreeMap::new();
    for (name, service) in &deployment.composition.services {
        let source = source(&service.image, registry, deployment);
        sources.entry(source.reference.clone()).or_insert(source).services.push(name.clone());
    }
    let pulls: Vec<_> = sources.into_values().map(|source| bring(engine, source, log)).collect();
    let images: Vec<_> = stream::iter(pulls).buffer_unordered(PARALLEL).try_collect().await?;
    let each = |(services, image): (Vec<String>, Image)| {
        services.into_iter().map(move |service| (service, image.clone()))
    };
    Ok(images.into_iter().flat_map(each).collect())
}

fn source<'a>(image: &str, registry: Option<&'a Registry>, deployment: &Deployment) -> Source<'a> {
    let own =
        compose::repository(image).filter(|repository| deployment.known.contains(*repository));
    match (own, registry) {
        (Some(repository), Some(registry)) => {
            let version = match &image[repository.len()..] {
                "" => ":latest",
                version => version,
            };
            let reference = format!("{}{version}", registry.reference(repository));
            Source { reference, registry: Some(registry), services: Vec::new() }
        }
        _ => Source { reference: image.to_owned(), registry: None, services: Vec::new() },
    }
}

async fn bring(engine: &Engine, source: Source<'_>, log: &Log) -> Result<(Vec<String>, Image)> {
    match pull(engine, &source, log).await {
        Ok(image) => Ok((source.services, image)),
        Err(error) => {
            let services = source.services.join("', '");
            Err(about(&format!("service '{services}': image '{}'", source.reference), error))
        }
    }
}

async fn pull(engine: &Engine, source: &Source<'_>, log: &Log) -> Result<Image> {
    let reference = &source.reference;
    let here = engine.image(reference).await?;
    if source.registry.is_some() || here.is_none() {
        let line = format!("{reference}: pulling for {}", source.services.join(", "));
        log.write(Channel::Pull, line).await;
        let login = source.registry.and_then(login);
        engine.pull_image(reference, login.as_ref(), Channel::Pull, log).await?;
    } else {
        log.write(Channel::Pull, format!("{reference}: is on the engine")).await;
    }
    let image = match here {
        Some(image) if source.registry.is_none() => Some(image),
        _ => engine.image(reference).await?,
    };
    let image = image.ok_or_else(|| {
        Error::failed(format!("the engine pulled {reference} and does not have it"))
    })?;
    Ok(Image {
        reference: reference.clone(),
        id: image.id.unwrap_or_default(),
        volumes: image.config.and_then(|config| config.volumes).unwrap_or_default(),
    })
}

fn login(registry: &Registry) -> Option<Login> {
    let credentials = registry.credentials()?.clone();
    Some(Login {
        host: registry.host().to_owned(),
        username: credentials.username,
        password: credentials.password,
    })
}
