//! `/builder/images/bases`.

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
        Jobs, bases, log,
        records::{Base, Kind, Record},
    },
    model::{Channel, Name},
};

/// A base image.
#[derive(Debug, Object)]
#[oai(rename = "Base", example)]
struct View {
    name: String,
    status: State,
    description: String,
    /// Once pushed: where it can be pulled from.
    #[oai(skip_serializing_if_is_none)]
    reference: Option<String>,
    /// Once pushed: the digest under which the registry serves it.
    #[oai(skip_serializing_if_is_none)]
    digest: Option<String>,
    #[oai(skip_serializing_if_is_empty)]
    problems: Vec<ProblemView>,
}

/// A base image with its log.
#[derive(Debug, Object)]
#[oai(rename = "BaseDetail", example)]
struct DetailView {
    #[oai(flatten)]
    base: View,
    /// What the build printed, as far as it has come.
    log: String,
    /// The part of it that went to standard error, and why the build failed.
    error_log: String,
}

impl From<&Record<Base>> for View {
    fn from(record: &Record<Base>) -> Self {
        let pushed = record.detail.pushed.clone();
        Self {
            name: record.detail.name.to_string(),
            status: State::of(Kind::Base, record),
            description: record.description.clone(),
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
            name: "debian-puppet".into(),
            status: State::Finished,
            description: "built and pushed as 127.0.0.1:5000/cloudopting/debian-puppet:latest"
                .into(),
            reference: Some("127.0.0.1:5000/cloudopting/debian-puppet:latest".into()),
            digest: Some(digest.into()),
            problems: Vec::new(),
        }
    }
}

impl Example for DetailView {
    fn example() -> Self {
        Self {
            base: View::example(),
            log: "#1 [1/1] FROM debian-puppet:bookworm\n".into(),
            error_log: String::new(),
        }
    }
}

/// All base images, oldest first.
#[derive(Debug, Object)]
#[oai(example)]
struct Bases {
    bases: Vec<String>,
}

impl Example for Bases {
    fn example() -> Self {
        Self { bases: vec!["debian-puppet".into()] }
    }
}

#[derive(Debug, Multipart)]
#[oai(deny_unknown_fields)]
struct BaseForm {
    /// Pushed as `<registry>/<provider>/<imageName>`.
    #[oai(rename = "imageName")]
    image_name: Option<String>,
    /// Must leave Puppet in the image, if manifests are to be applied on it.
    dockerfile: Option<File>,
}

pub(super) struct BasesApi;

#[OpenApi(prefix_path = "/builder/images")]
impl BasesApi {
    /// List base images
    ///
    /// ```sh
    /// curl http://127.0.0.1:8888/builder/images/bases
    /// ```
    #[oai(path = "/bases", method = "get", operation_id = "listBases", tag = "Tags::Builder")]
    async fn list(&self, jobs: Data<&Arc<Jobs>>) -> Answer<Bases> {
        let records = bases::list(&jobs.0.parts).await?;
        let bases = records.into_iter().map(|record| record.detail.name.to_string()).collect();
        Ok(Json(Bases { bases }))
    }

    /// Build a base image
    ///
    /// Built from the Dockerfile alone, and pushed; images name it as their `base`, Dockerfiles as
    /// `FROM cloudopting/<imageName>`.
    ///
    /// ```sh
    /// curl -F imageName=debian-puppet -F dockerfile=@contexts/debian-puppet/Dockerfile \
    ///   http://127.0.0.1:8888/builder/images/bases
    /// ```
    #[oai(path = "/bases", method = "post", operation_id = "createBase", tag = "Tags::Builder")]
    async fn create(&self, jobs: Data<&Arc<Jobs>>, form: BaseForm) -> Answer<View> {
        let name = forms::text(form.image_name).ok_or_else(|| forms::missing("imageName"))?;
        let name = Name::parse("imageName", &name)?;
        let dockerfile = forms::required("dockerfile", form.dockerfile)?;
        Ok(Json(View::from(&bases::create(jobs.0, name, dockerfile).await?)))
    }

    /// Look at a base image
    ///
    /// ```sh
    /// curl http://127.0.0.1:8888/builder/images/bases/debian-puppet
    /// ```
    #[oai(path = "/bases/:name", method = "get", operation_id = "getBase", tag = "Tags::Builder")]
    async fn get(&self, jobs: Data<&Arc<Jobs>>, name: Path<String>) -> Answer<View> {
        Ok(Json(View::from(&bases::get(&jobs.0.parts, &name).await?)))
    }

    /// Look at a base image and its log
    ///
    /// ```sh
    /// curl http://127.0.0.1:8888/builder/images/bases/debian-puppet/detail
    /// ```
    #[oai(
        path = "/bases/:name/detail",
        method = "get",
        operation_id = "getBaseDetail",
        tag = "Tags::Builder"
    )]
    async fn detail(&self, jobs: Data<&Arc<Jobs>>, name: Path<String>) -> Answer<DetailView> {
        let parts = &jobs.0.parts;
        let record = bases::get(parts, &name).await?;
        let resource = bases::resource(&name);
        Ok(Json(DetailView {
            base: View::from(&record),
            log: log::text(&*parts.store, &resource, Channel::Log).await?,
            error_log: log::text(&*parts.store, &resource, Channel::ErrorLog).await?,
        }))
    }

    /// Read the log, or follow it
    #[oai(
        path = "/bases/:name/log",
        method = "get",
        operation_id = "getBaseLog",
        tag = "Tags::Builder"
    )]
    async fn log(
        &self,
        logs: Logs,
        name: Path<String>,
        follow: Query<Option<bool>>,
    ) -> Result<live::Answer, Failure> {
        logs.answer(bases::resource(&name), follow.0).await
    }

    /// Cancel a build
    #[oai(
        path = "/bases/:name/cancel",
        method = "post",
        operation_id = "cancelBase",
        tag = "Tags::Builder"
    )]
    async fn cancel(&self, jobs: Data<&Arc<Jobs>>, name: Path<String>) -> Answer<View> {
        jobs.0.cancel(&bases::resource(&name)).await?;
        self.get(jobs, name).await
    }

    /// Remove a base image
    ///
    /// From the engine and from the registry. Images that were built on it keep their layers.
    ///
    /// ```sh
    /// curl -X DELETE http://127.0.0.1:8888/builder/images/bases/debian-puppet
    /// ```
    #[oai(
        path = "/bases/:name",
        method = "delete",
        operation_id = "deleteBase",
        tag = "Tags::Builder"
    )]
    async fn delete(&self, jobs: Data<&Arc<Jobs>>, name: Path<String>) -> Answer<Deleted> {
        jobs.0.remove(bases::resource(&name)).await?;
        Ok(Json(Deleted::new(name.0)))
    }
}
