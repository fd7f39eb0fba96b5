//! `/composer`.

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
    deploy::ServiceStatus,
    jobs::{
        Jobs, compositions, log,
        records::{Composition, Kind, Record},
    },
    model::Channel,
};

/// A service as it runs now.
#[derive(Debug, Object)]
#[oai(rename = "Service")]
struct ServiceView {
    name: String,
    /// The engine's word for its container: `running`, `exited`, ...; `absent` without one.
    state: String,
    #[oai(skip_serializing_if_is_none)]
    health: Option<String>,
    /// Published ports, as `address:port->port/protocol`.
    ports: Vec<String>,
}

/// A compose file brought up.
#[derive(Debug, Object)]
#[oai(rename = "Composition", example)]
struct View {
    token: String,
    /// Token of the cluster it runs on; empty: the local engine.
    cluster: String,
    status: State,
    description: String,
    services: Vec<ServiceView>,
    #[oai(skip_serializing_if_is_empty)]
    problems: Vec<ProblemView>,
}

/// A composition with its logs.
#[derive(Debug, Object)]
#[oai(rename = "CompositionDetail", example)]
struct DetailView {
    #[oai(flatten)]
    composition: View,
    /// How the images came.
    pull_log: String,
    /// How containers, networks and volumes came up.
    up_log: String,
}

impl View {
    fn of(record: &Record<Composition>, services: Vec<ServiceStatus>) -> Self {
        let view = |service: ServiceStatus| ServiceView {
            name: service.name,
            state: service.state,
            health: service.health,
            ports: service.ports,
        };
        Self {
            token: record.detail.token.clone(),
            cluster: record.detail.cluster.clone().unwrap_or_default(),
            status: State::of(Kind::Composition, record),
            description: record.description.clone(),
            services: services.into_iter().map(view).collect(),
            problems: problems(record),
        }
    }
}

impl Example for View {
    fn example() -> Self {
        Self {
            token: "CP2Q6aB0r9xK3mT7vWqLzE".into(),
            cluster: String::new(),
            status: State::Finished,
            description: "all services are up".into(),
            services: vec![ServiceView {
                name: "web".into(),
                state: "running".into(),
                health: None,
                ports: vec!["0.0.0.0:8080->80/tcp".into()],
            }],
            problems: Vec::new(),
        }
    }
}

impl Example for DetailView {
    fn example() -> Self {
        Self {
            composition: View::example(),
            pull_log: "web: 127.0.0.1:5000/default/web:latest is up to date\n".into(),
            up_log: "web: started\n".into(),
        }
    }
}

/// All compositions, oldest first.
#[derive(Debug, Object)]
#[oai(example)]
struct Compositions {
    compositions: Vec<String>,
}

impl Example for Compositions {
    fn example() -> Self {
        Self { compositions: vec!["CP2Q6aB0r9xK3mT7vWqLzE".into()] }
    }
}

#[derive(Debug, Multipart)]
#[oai(rename_all = "camelCase", deny_unknown_fields)]
struct CompositionForm {
    /// Of the Compose Specification, or of the first format (services at top level).
    composefile: Option<File>,
    /// Cluster to run on; without it, the engine that Crane builds with.
    cluster_token: Option<String>,
}

pub(super) struct ComposerApi;

#[OpenApi(prefix_path = "/composer")]
impl ComposerApi {
    /// List compositions
    ///
    /// ```sh
    /// curl http://127.0.0.1:8888/composer
    /// ```
    #[oai(path = "/", method = "get", operation_id = "listCompositions", tag = "Tags::Composer")]
    async fn list(&self, jobs: Data<&Arc<Jobs>>) -> Answer<Compositions> {
        Ok(Json(Compositions { compositions: compositions::tokens(&jobs.0.parts).await? }))
    }

    /// Bring up a compose file
    ///
    /// An image name without a registry (`group/name`) that Crane built is pulled from Crane's
    /// registry; any other name means what it means to Docker. A key that Crane does not handle is
    /// refused with its path and line (422), never dropped.
    ///
    /// ```sh
    /// curl -F composefile=@manifests/visits.compose.yml http://127.0.0.1:8888/composer
    /// ```
    #[oai(path = "/", method = "post", operation_id = "createComposition", tag = "Tags::Composer")]
    async fn create(&self, jobs: Data<&Arc<Jobs>>, form: CompositionForm) -> Answer<View> {
        let composefile = forms::required("composefile", form.composefile)?;
        let cluster = forms::text(form.cluster_token);
        let record = compositions::create(jobs.0, composefile, cluster).await?;
        Ok(Json(View::of(&record, Vec::new())))
    }

    /// Look at a composition
    ///
    /// Its status comes from what runs: a service that is down makes it `error`.
    ///
    /// ```sh
    /// curl http://127.0.0.1:8888/composer/CP2Q6aB0r9xK3mT7vWqLzE
    /// ```
    #[oai(
        path = "/:token",
        method = "get",
        operation_id = "getComposition",
        tag = "Tags::Composer"
    )]
    async fn get(&self, jobs: Data<&Arc<Jobs>>, token: Path<String>) -> Answer<View> {
        let (record, services) = compositions::get(&jobs.0.parts, &token).await?;
        Ok(Json(View::of(&record, services)))
    }

    /// Look at a composition and its logs
    ///
    /// ```sh
    /// curl http://127.0.0.1:8888/composer/CP2Q6aB0r9xK3mT7vWqLzE/detail
    /// ```
    #[oai(
        path = "/:token/detail",
        method = "get",
        operation_id = "getCompositionDetail",
        tag = "Tags::Composer"
    )]
    async fn detail(&self, jobs: Data<&Arc<Jobs>>, token: Path<String>) -> Answer<DetailView> {
        let parts = &jobs.0.parts;
        let (record, services) = compositions::get(parts, &token).await?;
        let resource = compositions::resource(&token);
        Ok(Json(DetailView {
            composition: View::of(&record, services),
            pull_log: log::text(&*parts.store, &resource, Channel::Pull).await?,
            up_log: log::text(&*parts.store, &resource, Channel::Up).await?,
        }))
    }

    /// Read the log, or follow it
    #[oai(
        path = "/:token/log",
        method = "get",
        operation_id = "getCompositionLog",
        tag = "Tags::Composer"
    )]
    async fn log(
        &self,
        logs: Logs,
        token: Path<String>,
        follow: Query<Option<bool>>,
    ) -> Result<live::Answer, Failure> {
        logs.answer(compositions::resource(&token), follow.0).await
    }

    /// Cancel a deployment
    #[oai(
        path = "/:token/cancel",
        method = "post",
        operation_id = "cancelComposition",
        tag = "Tags::Composer"
    )]
    async fn cancel(&self, jobs: Data<&Arc<Jobs>>, token: Path<String>) -> Answer<View> {
        jobs.0.cancel(&compositions::resource(&token)).await?;
        self.get(jobs, token).await
    }

    /// Take a composition down
    ///
    /// Removes its containers and networks, and its volumes if asked.
    ///
    /// ```sh
    /// curl -X DELETE 'http://127.0.0.1:8888/composer/CP2Q6aB0r9xK3mT7vWqLzE?volumes=true'
    /// ```
    #[oai(
        path = "/:token",
        method = "delete",
        operation_id = "deleteComposition",
        tag = "Tags::Composer"
    )]
    async fn delete(
        &self,
        jobs: Data<&Arc<Jobs>>,
        token: Path<String>,
        /// Remove its volumes, with what is in them.
        volumes: Query<Option<bool>>,
    ) -> Answer<Deleted> {
        compositions::remove(jobs.0, &token, volumes.unwrap_or_default()).await?;
        Ok(Json(Deleted::new(token.0)))
    }
}
