//! `/cluster`.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::{
    Enum, Multipart, Object, OpenApi,
    param::{Path, Query},
    payload::Json,
    types::Example,
};

use super::{
    Tags,
    error::Answer,
    forms::{self, File},
    views::{Deleted, State},
};
use crate::{
    error::{Error, Problem},
    jobs::{
        Jobs, clusters,
        records::{Cluster, Kind, Record},
    },
};

#[derive(Debug, Clone, Copy, Enum)]
enum Type {
    #[oai(rename = "simple-preprovisioned")]
    SimplePreprovisioned,
}

/// One machine of a cluster.
#[derive(Debug, Object)]
struct Node {
    endpoint: String,
    status: State,
}

/// Machines that compositions run on.
#[derive(Debug, Object)]
#[oai(rename = "Cluster", rename_all = "camelCase", example)]
struct View {
    token: String,
    status: State,
    description: String,
    number_of_nodes: u64,
    #[oai(rename = "type")]
    kind: Type,
    nodes: Vec<Node>,
}

/// A cluster with what its engine says of itself.
#[derive(Debug, Object)]
#[oai(rename = "ClusterDetail", example)]
struct DetailView {
    #[oai(flatten)]
    cluster: View,
    /// The engine's info document, or null while it does not answer.
    detail: Option<serde_json::Value>,
}

impl From<&Record<Cluster>> for View {
    fn from(record: &Record<Cluster>) -> Self {
        let status = State::of(Kind::Cluster, record);
        Self {
            token: record.detail.token.clone(),
            status,
            description: record.description.clone(),
            number_of_nodes: 1,
            kind: Type::SimplePreprovisioned,
            nodes: vec![Node { endpoint: record.detail.endpoint.clone(), status }],
        }
    }
}

impl Example for View {
    fn example() -> Self {
        Self {
            token: "CL2Q6aB0r9xK3mT7vWqLzE".into(),
            status: State::Ready,
            description: "the engine answers".into(),
            number_of_nodes: 1,
            kind: Type::SimplePreprovisioned,
            nodes: vec![Node { endpoint: "tcp://10.0.0.7:2376".into(), status: State::Ready }],
        }
    }
}

impl Example for DetailView {
    fn example() -> Self {
        let detail = serde_json::json!({"Name": "host-7", "ServerVersion": "20.10.24"});
        Self { cluster: View::example(), detail: Some(detail) }
    }
}

/// All clusters, oldest first.
#[derive(Debug, Object)]
#[oai(example)]
struct Clusters {
    clusters: Vec<String>,
}

impl Example for Clusters {
    fn example() -> Self {
        Self { clusters: vec!["CL2Q6aB0r9xK3mT7vWqLzE".into()] }
    }
}

#[derive(Debug, Multipart)]
#[oai(rename_all = "camelCase", deny_unknown_fields)]
struct MachineForm {
    /// `unix:///path`, `tcp://host:port` or `http://host:port`; `https://` and TLS on the others
    /// with the certificates that Crane is configured with.
    endpoint: Option<String>,
    /// Engine API version, such as `1.41`; Crane agrees on one with the engine by itself.
    api_version: Option<String>,
    /// Certificates per machine are not taken yet; configure `CRANE_CLIENT_CERTS`.
    client_cert: Option<File>,
    /// As `clientCert`.
    client_key: Option<File>,
    /// As `clientCert`.
    ca: Option<File>,
}

pub(super) struct ClusterApi;

#[OpenApi(prefix_path = "/cluster")]
impl ClusterApi {
    /// List clusters
    ///
    /// ```sh
    /// curl http://127.0.0.1:8888/cluster
    /// ```
    #[oai(path = "/", method = "get", operation_id = "listClusters", tag = "Tags::Cluster")]
    async fn list(&self, jobs: Data<&Arc<Jobs>>) -> Answer<Clusters> {
        Ok(Json(Clusters { clusters: clusters::tokens(&jobs.0.parts).await? }))
    }

    /// Register a machine that runs a Docker engine
    ///
    /// ```sh
    /// curl -F endpoint=unix:///var/run/docker.sock \
    ///   http://127.0.0.1:8888/cluster/provisionedSingleMachine
    /// ```
    #[oai(
        path = "/provisionedSingleMachine",
        method = "post",
        operation_id = "createSingleMachineCluster",
        tag = "Tags::Cluster"
    )]
    async fn create(&self, jobs: Data<&Arc<Jobs>>, form: MachineForm) -> Answer<View> {
        let endpoint = forms::text(form.endpoint).ok_or_else(|| forms::missing("endpoint"))?;
        let certificates =
            [("clientCert", form.client_cert), ("clientKey", form.client_key), ("ca", form.ca)];
        for (field, file) in certificates {
            if forms::optional(field, file)?.is_some() {
                let message = "certificates per machine are not taken yet; configure \
                               CRANE_CLIENT_CERTS with a directory of cert.pem, key.pem and ca.pem";
                Err(Error::problem(Problem::new(field, message)))?;
            }
        }
        let version = forms::text(form.api_version);
        Ok(Json(View::from(&clusters::create(jobs.0, &endpoint, version).await?)))
    }

    /// Look at a cluster
    ///
    /// Its engine is asked now: one that comes back turns `ready` by itself.
    ///
    /// ```sh
    /// curl http://127.0.0.1:8888/cluster/CL2Q6aB0r9xK3mT7vWqLzE
    /// ```
    #[oai(path = "/:token", method = "get", operation_id = "getCluster", tag = "Tags::Cluster")]
    async fn get(&self, jobs: Data<&Arc<Jobs>>, token: Path<String>) -> Answer<View> {
        Ok(Json(View::from(&clusters::get(&jobs.0.parts, &token).await?)))
    }

    /// Look at a cluster and its engine
    ///
    /// ```sh
    /// curl http://127.0.0.1:8888/cluster/CL2Q6aB0r9xK3mT7vWqLzE/detail
    /// ```
    #[oai(
        path = "/:token/detail",
        method = "get",
        operation_id = "getClusterDetail",
        tag = "Tags::Cluster"
    )]
    async fn detail(&self, jobs: Data<&Arc<Jobs>>, token: Path<String>) -> Answer<DetailView> {
        let record = clusters::get(&jobs.0.parts, &token).await?;
        // Why the engine does not answer is in the description.
        let detail = clusters::info(&jobs.0.parts, &token).await.ok();
        Ok(Json(DetailView { cluster: View::from(&record), detail }))
    }

    /// Forget a cluster
    ///
    /// Refused (409) while compositions run on it, unless forced; nothing on its machines changes.
    ///
    /// ```sh
    /// curl -X DELETE http://127.0.0.1:8888/cluster/CL2Q6aB0r9xK3mT7vWqLzE
    /// ```
    #[oai(
        path = "/:token",
        method = "delete",
        operation_id = "deleteCluster",
        tag = "Tags::Cluster"
    )]
    async fn delete(
        &self,
        jobs: Data<&Arc<Jobs>>,
        token: Path<String>,
        /// Forget it although compositions run on it, and leave them running.
        force: Query<Option<bool>>,
    ) -> Answer<Deleted> {
        clusters::remove(jobs.0, &token, force.unwrap_or_default()).await?;
        Ok(Json(Deleted::new(token.0)))
    }
}
