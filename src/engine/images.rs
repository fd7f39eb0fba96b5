//! Images on the engine: looking, naming, removing, and moving them from and to registries.

use std::collections::HashMap;

use base64::{Engine as _, engine::general_purpose::URL_SAFE};
use bollard::{
    errors::Error as Cause,
    query_parameters::{
        ListImagesOptionsBuilder, RemoveImageOptions, RemoveImageOptionsBuilder,
        TagImageOptionsBuilder,
    },
};
use http::{HeaderMap, HeaderValue, Method};
use http_body_util::{Either, Full};
use secrecy::{ExposeSecret, SecretString};

use super::{
    Engine, api, failure, passing,
    stream::{Layers, Message, Messages},
};
use crate::{
    error::{Error, Result},
    model::{Channel, Log},
};

/// Label with the repository path under which Crane names an image (OCI Image Specification,
/// "Pre-Defined Annotation Keys").
pub const LABEL_REF_NAME: &str = "org.opencontainers.image.ref.name";

/// What the engine is told about who it is for one registry. Printing it shows no password.
#[derive(Debug, Clone)]
pub struct Login {
    /// `host[:port]`, as in the names of the images there.
    pub host: String,
    pub username: String,
    pub password: SecretString,
}

impl Login {
    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "username": self.username,
            "password": self.password.expose_secret(),
            "serveraddress": self.host,
        })
    }
}

/// A header with credentials (Engine API, "Authentication"), which no log may show.
pub(super) fn login_header(value: &serde_json::Value) -> Result<HeaderValue> {
    let mut header =
        HeaderValue::try_from(URL_SAFE.encode(value.to_string())).map_err(Error::internal)?;
    header.set_sensitive(true);
    Ok(header)
}

impl Engine {
    /// An image by its name or id; `None` where the engine has it not.
    pub async fn image(&self, reference: &str) -> Result<Option<api::ImageInspect>> {
        if !is_reference(reference) {
            return Ok(None);
        }
        match self.docker().await?.inspect_image(reference).await {
            Ok(image) => Ok(Some(image)),
            Err(Cause::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
            Err(error) => Err(failure(&error)),
        }
    }

    /// Gives an image one more name, taking that name from the image that has it now.
    pub async fn tag_image(&self, image: &str, repository: &str, tag: &str) -> Result<()> {
        let options = TagImageOptionsBuilder::default().repo(repository).tag(tag).build();
        let docker = self.docker().await?;
        docker.tag_image(image, Some(options)).await.map_err(|error| failure(&error))
    }

    /// Takes a name from an image, and removes the image with its last name or by its id, together
    /// with the unnamed images below it. Gives whether there was something to remove.
    ///
    /// Fails with [`Error::Conflict`] where a container uses the image.
    pub async fn remove_image(&self, reference: &str) -> Result<bool> {
        self.remove(reference, RemoveImageOptionsBuilder::default().build()).await
    }

    /// Removes one unnamed image and leaves those below it.
    pub(super) async fn remove_layer(&self, id: &str) -> Result<bool> {
        self.remove(id, RemoveImageOptionsBuilder::default().noprune(true).build()).await
    }

    async fn remove(&self, reference: &str, options: RemoveImageOptions) -> Result<bool> {
        if !is_reference(reference) {
            return Ok(false);
        }
        match self.docker().await?.remove_image(reference, Some(options), None).await {
            Ok(_) => Ok(true),
            Err(Cause::DockerResponseServerError { status_code: 404, .. }) => Ok(false),
            Err(Cause::DockerResponseServerError { status_code: 409, message }) => {
                Err(Error::Conflict(message))
            }
            Err(error) => Err(failure(&error)),
        }
    }

    /// The steps that made an image, the newest first.
    pub async fn image_history(&self, id: &str) -> Result<Vec<api::ImageHistoryResponseItem>> {
        let docker = self.docker().await?;
        docker.image_history(id).await.map_err(|error| failure(&error))
    }

    /// The digest that the registry of an image has it under, where the engine can tell.
    pub async fn remote_digest(&self, reference: &str) -> Option<String> {
        if !is_reference(reference) {
            return None;
        }
        let image = self.docker().await.ok()?.inspect_registry_image(reference, None).await.ok()?;
        image.descriptor.digest
    }

    /// Images that carry all these labels, each given as `key=value` or `key`, in the engine's
    /// order.
    pub async fn images_labelled(&self, labels: &[String]) -> Result<Vec<api::ImageSummary>> {
        let filters = HashMap::from([("label", labels.to_vec())]);
        let options = ListImagesOptionsBuilder::default().filters(&filters).build();
        self.docker().await?.list_images(Some(options)).await.map_err(|error| failure(&error))
    }

    /// Removes the images with all these labels: the names that Crane gave them, and those without any
    /// name. Gives what stays, in sentences.
    ///
    /// Labels are inherited by images that others build on Crane's. Those have other names, so
    /// names that do not follow from [`LABEL_REF_NAME`] are left alone.
    pub async fn remove_images_labelled(&self, labels: &[String]) -> Result<Vec<String>> {
        let mut left = Vec::new();
        for image in self.images_labelled(labels).await? {
            let Some(name) = image.labels.get(LABEL_REF_NAME) else { continue };
            let own = |tag: &&String| {
                let repository = split_reference(tag).0;
                repository == name || repository.ends_with(&format!("/{name}"))
            };
            let named = image.repo_tags.iter().any(|tag| tag != "<none>:<none>");
            let mut targets: Vec<_> = image.repo_tags.iter().filter(own).collect();
            if !named {
                targets.push(&image.id);
            }
            for target in targets {
                match self.remove_image(target).await {
                    Ok(_) => {}
                    Err(Error::Conflict(reason)) => {
                        left.push(format!("the image {target} stays: {reason}"));
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(left)
    }

    /// Brings an image from its registry; the engine fetches what it does not have yet.
    pub async fn pull_image(
        &self,
        reference: &str,
        login: Option<&Login>,
        channel: Channel,
        log: &Log,
    ) -> Result<()> {
        let (repository, tag) = split_reference(reference);
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("fromImage", repository)
            .append_pair("tag", tag.unwrap_or("latest"))
            .finish();
        let path = format!("/images/create?{query}");
        self.transfer(&path, login, channel, log, |_| ()).await
    }

    /// Sends an image to its registry and gives the digest that the registry has it under,
    /// according to the engine.
    pub async fn push_image(
        &self,
        repository: &str,
        tag: &str,
        login: Option<&Login>,
        log: &Log,
    ) -> Result<String> {
        let query =
            form_urlencoded::Serializer::new(String::new()).append_pair("tag", tag).finish();
        let path = format!("/images/{repository}/push?{query}");
        let mut digest = None;
        let remember = |message: &Message| {
            if let Some(pushed) = message.aux.get("Digest").and_then(|digest| digest.as_str()) {
                digest = Some(pushed.to_owned());
            }
        };
        self.transfer(&path, login, Channel::Log, log, remember).await?;
        digest.ok_or_else(|| {
            Error::unavailable(
                "engine",
                format!("it pushed {repository}:{tag} and did not say under which digest"),
            )
        })
    }

    async fn transfer(
        &self,
        path: &str,
        login: Option<&Login>,
        channel: Channel,
        log: &Log,
        mut each: impl FnMut(&Message),
    ) -> Result<()> {
        let mut headers = HeaderMap::new();
        // The engine wants the header on a push even without anything to say.
        let login = login.map_or_else(|| serde_json::json!({}), Login::json);
        headers.insert("x-registry-auth", login_header(&login)?);
        let path = format!("{}{path}", self.agreement().await?.prefix);
        let none = Either::Left(Full::default());
        let answer = self.transport.request(Method::POST, &path, headers, none).await?;
        let mut messages = Messages::new(&self.transport, answer);
        let mut layers = Layers::default();
        while let Some(message) = messages.next().await? {
            if let Some(error) = message.error() {
                return Err(passing::failed(super::build::clean(error)));
            }
            each(&message);
            layers.write(&message, channel, log).await;
        }
        Ok(())
    }
}

/// The repository in the name of an image, and the tag or digest after it. Of a tag and a digest,
/// the digest counts.
pub fn split_reference(name: &str) -> (&str, Option<&str>) {
    if let Some((name, digest)) = name.split_once('@') {
        return (split_reference(name).0, Some(digest));
    }
    match name.rsplit_once(':') {
        // A colon before a slash belongs to the registry's port.
        Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
        _ => (name, None),
    }
}

/// Whether the text can stand in the path of a request: an id or the name of an image consists of
/// these characters, and has no component that could lead elsewhere.
fn is_reference(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-/:@".contains(&b);
    text.bytes().all(allowed)
        && text.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_split_at_the_tag() {
        for (name, expected) in [
            ("127.0.0.1:5000/a/b:1", ("127.0.0.1:5000/a/b", Some("1"))),
            ("127.0.0.1:5000/a/b", ("127.0.0.1:5000/a/b", None)),
            ("a@sha256:0", ("a", Some("sha256:0"))),
            ("a:1@sha256:0", ("a", Some("sha256:0"))),
        ] {
            assert_eq!(split_reference(name), expected);
        }
    }

    #[test]
    fn only_names_reach_the_engines_paths() {
        assert!(is_reference("127.0.0.1:5000/a/b:1") && is_reference("sha256:00"));
        for bad in ["", "../containers/json", "a/../b", "a//b", "a?force=1", "a b", "a%2fb", "/a"] {
            assert!(!is_reference(bad), "{bad}");
        }
    }

    #[test]
    fn a_login_does_not_print_its_password() {
        let login =
            Login { host: "h".into(), username: "u".into(), password: "hidden".to_owned().into() };
        assert!(!format!("{login:?}").contains("hidden"));
        assert!(!format!("{:?}", login_header(&login.json()).unwrap()).contains("aGlk"));
    }
}
