//! `/builder/images`.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::{
    Multipart, Object, OpenApi,
    param::{Path, Query},
    payload::Json,
    types::Example,
};

use super::{
    Tags,
    error::{Answer, Failure, ProblemView},
    forms::{self, File},
    live,
    logs::Logs,
    views::{Deleted, State, problems},
};
use crate::{
    jobs::{
        Jobs, images, log,
        records::{Image, Kind, Record},
    },
    model::{Channel, Name},
};

/// An image.
#[derive(Debug, Object)]
#[oai(rename = "Image", example)]
struct View {
    token: String,
    /// Token of the context it is built from.
    context: String,
    #[oai(rename = "imageName")]
    image_name: String,
    status: State,
    description: String,
    /// `<group>/<imageName>`: its name in Dockerfiles and compose files given to Crane.
    tag: String,
    /// Once pushed: where it can be pulled from.
    #[oai(skip_serializing_if_is_none)]
    reference: Option<String>,
    /// Once pushed: the digest under which the registry serves it.
    #[oai(skip_serializing_if_is_none)]
    digest: Option<String>,
    /// Puppet's errors with their places, when they are why the image failed.
    #[oai(skip_serializing_if_is_empty)]
    problems: Vec<ProblemView>,
}

/// An image with its log.
#[derive(Debug, Object)]
#[oai(rename = "ImageDetail", example)]
struct DetailView {
    #[oai(flatten)]
    image: View,
    /// What the build printed, as far as it has come.
    log: String,
    /// The part of it that went to standard error, and why the build failed.
    error_log: String,
}

impl From<&Record<Image>> for View {
    fn from(record: &Record<Image>) -> Self {
        let image = &record.detail;
        let pushed = image.pushed.clone();
        Self {
            token: image.token.clone(),
            context: image.context.clone(),
            image_name: image.image_name.to_string(),
            status: State::of(Kind::Image, record),
            description: record.description.clone(),
            tag: image.tag.clone(),
            reference: pushed.as_ref().map(|pushed| pushed.reference.clone()),
            digest: pushed.map(|pushed| pushed.digest),
            problems: problems(record),
        }
    }
}

impl Example for View {
    fn example() -> Self {
        let digest = "sha256:0f1c8b0f0d8c2f9b6d0a5e5b5a3c4f0f5b8c7a6d9e0f1a2b3c4d5e6f7a8b9c0d";
        Self {
            token: "CT2Q6aB0r9xK3mT7vWqLzE-IMweb".into(),
            context: "CT2Q6aB0r9xK3mT7vWqLzE".into(),
            image_name: "web".into(),
            status: State::Finished,
            description: "built and pushed as 127.0.0.1:5000/default/web:latest".into(),
            tag: "default/web".into(),
            reference: Some("127.0.0.1:5000/default/web:latest".into()),
            digest: Some(digest.into()),
            problems: Vec::new(),
        }
    }
}

impl Example for DetailView {
    fn example() -> Self {
        Self {
            image: View::example(),
            log: "Notice: Applied catalog in 0.03 seconds\n".into(),
            error_log: String::new(),
        }
    }
}

/// All images, oldest first.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase", example)]
struct Images {
    number_of_processes: u64,
    list_of_processes: Vec<String>,
}

impl Example for Images {
    fn example() -> Self {
        Self {
            number_of_processes: 1,
            list_of_processes: vec!["CT2Q6aB0r9xK3mT7vWqLzE-IMweb".into()],
        }
    }
}

#[derive(Debug, Multipart)]
#[oai(deny_unknown_fields)]
struct ImageForm {
    /// Token of the context to build from; without it, a new and empty one.
    #[oai(rename = "contextReference")]
    context_reference: Option<String>,
    /// The image is tagged `<group>/<imageName>`.
    #[oai(rename = "imageName")]
    image_name: Option<String>,
    /// Name of a base image that the manifest is applied on; instead of a Dockerfile.
    base: Option<String>,
    /// Builds the image; sees `modules/` and the manifest beside it.
    dockerfile: Option<File>,
    /// The manifest to apply.
    puppetmanifest: Option<File>,
}

pub(super) struct ImagesApi;

#[OpenApi(prefix_path = "/builder")]
impl ImagesApi {
    /// List images
    ///
    /// ```sh
    /// curl http://127.0.0.1:8888/builder/images
    /// ```
    #[oai(path = "/images", method = "get", operation_id = "listImages", tag = "Tags::Builder")]
    async fn list(&self, jobs: Data<&Arc<Jobs>>) -> Answer<Images> {
        let records = images::list(&jobs.0.parts).await?;
        let tokens: Vec<_> = records.into_iter().map(|record| record.detail.token).collect();
        Ok(Json(Images { number_of_processes: tokens.len() as u64, list_of_processes: tokens }))
    }

    /// Build an image
    ///
    /// From one of: `base` and `puppetmanifest`; `dockerfile` and `puppetmanifest`; `dockerfile`.
    /// With a base, Crane applies the manifest with the context's modules, and the build fails
    /// when Puppet fails. Puppet errors that a Dockerfile's exit codes hide fail it, too.
    ///
    /// ```sh
    /// curl -F contextReference=CT2Q6aB0r9xK3mT7vWqLzE -F imageName=web \
    ///   -F base=debian-puppet -F puppetmanifest=@manifests/visits-web.pp \
    ///   http://127.0.0.1:8888/builder/images
    /// ```
    #[oai(path = "/images", method = "post", operation_id = "createImage", tag = "Tags::Builder")]
    async fn create(&self, jobs: Data<&Arc<Jobs>>, form: ImageForm) -> Answer<View> {
        let name = forms::text(form.image_name).ok_or_else(|| forms::missing("imageName"))?;
        let name = Name::parse("imageName", &name)?;
        let recipe = images::Recipe {
            base: forms::text(form.base),
            dockerfile: forms::optional("dockerfile", form.dockerfile)?,
            manifest: forms::optional("puppetmanifest", form.puppetmanifest)?,
        };
        let context = forms::text(form.context_reference);
        let record = images::create(jobs.0, context.as_deref(), name, recipe).await?;
        Ok(Json(View::from(&record)))
    }

    /// Look at an image
    ///
    /// ```sh
    /// curl http://127.0.0.1:8888/builder/images/CT2Q6aB0r9xK3mT7vWqLzE-IMweb
    /// ```
    #[oai(
        path = "/images/:token",
        method = "get",
        operation_id = "getImage",
        tag = "Tags::Builder"
    )]
    async fn get(&self, jobs: Data<&Arc<Jobs>>, token: Path<String>) -> Answer<View> {
        Ok(Json(View::from(&images::get(&jobs.0.parts, &token).await?)))
    }

    /// Look at an image and its log
    ///
    /// The log grows while the image is built.
    ///
    /// ```sh
    /// curl http://127.0.0.1:8888/builder/images/CT2Q6aB0r9xK3mT7vWqLzE-IMweb/detail
    /// ```
    #[oai(
        path = "/images/:token/detail",
        method = "get",
        operation_id = "getImageDetail",
        tag = "Tags::Builder"
    )]
    async fn detail(&self, jobs: Data<&Arc<Jobs>>, token: Path<String>) -> Answer<DetailView> {
        let parts = &jobs.0.parts;
        let record = images::get(parts, &token).await?;
        let resource = images::resource(&token);
        Ok(Json(DetailView {
            image: View::from(&record),
            log: log::text(&*parts.store, &resource, Channel::Log).await?,
            error_log: log::text(&*parts.store, &resource, Channel::ErrorLog).await?,
        }))
    }

    /// Read the log, or follow it
    #[oai(
        path = "/images/:token/log",
        method = "get",
        operation_id = "getImageLog",
        tag = "Tags::Builder"
    )]
    async fn log(
        &self,
        logs: Logs,
        token: Path<String>,
        follow: Query<Option<bool>>,
    ) -> Result<live::Answer, Failure> {
        logs.answer(images::resource(&token), follow.0).await
    }

    /// Cancel a build
    #[oai(
        path = "/images/:token/cancel",
        method = "post",
        operation_id = "cancelImage",
        tag = "Tags::Builder"
    )]
    async fn cancel(&self, jobs: Data<&Arc<Jobs>>, token: Path<String>) -> Answer<View> {
        jobs.0.cancel(&images::resource(&token)).await?;
        self.get(jobs, token).await
    }

    /// Remove an image
    ///
    /// Stops its build, and removes it from the engine and from the registry.
    ///
    /// ```sh
    /// curl -X DELETE http://127.0.0.1:8888/builder/images/CT2Q6aB0r9xK3mT7vWqLzE-IMweb
    /// ```
    #[oai(
        path = "/images/:token",
        method = "delete",
        operation_id = "deleteImage",
        tag = "Tags::Builder"
    )]
    async fn delete(&self, jobs: Data<&Arc<Jobs>>, token: Path<String>) -> Answer<Deleted> {
        jobs.0.remove(images::resource(&token)).await?;
        Ok(Json(Deleted::new(token.0)))
    }
}
