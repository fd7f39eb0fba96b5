//! `/extra`.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::{
    ApiRequest, Multipart, Object, OpenApi,
    payload::{Form, Json},
    types::Example,
};
use serde::Deserialize;

use super::{Tags, error::Answer, forms};
use crate::jobs::{Jobs, bases, checks, clusters, compositions, contexts, images, purge};

#[derive(Debug, Object)]
#[oai(example)]
struct Alive {
    message: String,
}

impl Example for Alive {
    fn example() -> Self {
        Self { message: "I'm alive".into() }
    }
}

/// `correct`, or the reason why not, for each part.
#[derive(Debug, Object)]
#[oai(rename = "Checks", example)]
struct ChecksView {
    docker: String,
    /// `switched off` when no registry is configured.
    registry: String,
    store: String,
    puppet: String,
}

impl Example for ChecksView {
    fn example() -> Self {
        Self {
            docker: "correct".into(),
            registry: "registry: 127.0.0.1:5000 refuses connections; is it running?".into(),
            store: "correct".into(),
            puppet: "correct".into(),
        }
    }
}

/// Every token there is, by kind, oldest first.
#[derive(Debug, Object)]
#[oai(example)]
struct Tokens {
    contexts: Vec<String>,
    images: Vec<String>,
    clusters: Vec<String>,
    compositions: Vec<String>,
    bases: Vec<String>,
}

impl Example for Tokens {
    fn example() -> Self {
        Self {
            contexts: vec!["CT2Q6aB0r9xK3mT7vWqLzE".into()],
            images: vec!["CT2Q6aB0r9xK3mT7vWqLzE-IMweb".into()],
            clusters: Vec::new(),
            compositions: vec!["CP2Q6aB0r9xK3mT7vWqLzE".into()],
            bases: vec!["debian-puppet".into()],
        }
    }
}

/// What a purge came to.
#[derive(Debug, Object)]
#[oai(example)]
struct Purged {
    /// `finished`, or `incomplete` when something is left.
    status: String,
    description: String,
}

impl Example for Purged {
    fn example() -> Self {
        Self { status: "finished".into(), description: "all that Crane made is removed".into() }
    }
}

#[derive(Debug, Multipart)]
#[oai(deny_unknown_fields)]
struct EndpointMultipart {
    /// `unix:///path`, `tcp://host:port`, `http://host:port` or `https://host:port`.
    endpoint: Option<String>,
}

#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(example)]
struct EndpointForm {
    /// `unix:///path`, `tcp://host:port`, `http://host:port` or `https://host:port`.
    endpoint: Option<String>,
}

impl Example for EndpointForm {
    fn example() -> Self {
        Self { endpoint: Some("unix:///var/run/docker.sock".into()) }
    }
}

#[derive(Debug, ApiRequest)]
enum EndpointRequest {
    Multipart(EndpointMultipart),
    Form(Form<EndpointForm>),
}

pub(super) struct ExtraApi;

#[OpenApi(prefix_path = "/extra", tag = "Tags::Extra")]
impl ExtraApi {
    /// See whether Crane runs
    ///
    /// Answers without a token and without asking any other part.
    ///
    /// ```sh
    /// curl http://127.0.0.1:8888/extra/alive
    /// ```
    #[oai(path = "/alive", method = "get", operation_id = "alive")]
    async fn alive(&self) -> Answer<Alive> {
        Ok(Json(Alive::example()))
    }

    /// See whether the parts that Crane needs answer
    ///
    /// ```sh
    /// curl http://127.0.0.1:8888/extra/check
    /// ```
    #[oai(path = "/check", method = "get", operation_id = "check")]
    async fn check(&self, jobs: Data<&Arc<Jobs>>) -> Answer<ChecksView> {
        let checks::Checks { docker, registry, store, puppet } = checks::all(&jobs.0.parts).await;
        Ok(Json(ChecksView { docker, registry, store, puppet }))
    }

    /// List every token
    ///
    /// ```sh
    /// curl http://127.0.0.1:8888/extra/tokens
    /// ```
    #[oai(path = "/tokens", method = "get", operation_id = "listTokens")]
    async fn tokens(&self, jobs: Data<&Arc<Jobs>>) -> Answer<Tokens> {
        let parts = &jobs.0.parts;
        let images = images::list(parts).await?.into_iter();
        let bases = bases::list(parts).await?.into_iter();
        Ok(Json(Tokens {
            contexts: contexts::tokens(parts).await?,
            images: images.map(|record| record.detail.token).collect(),
            clusters: clusters::tokens(parts).await?,
            compositions: compositions::tokens(parts).await?,
            bases: bases.map(|record| record.detail.name.to_string()).collect(),
        }))
    }

    /// Remove everything (as clients of 0.5 call it)
    ///
    /// The same as the POST. A browser that another site's page sends here is refused (403).
    ///
    /// ```sh
    /// curl http://127.0.0.1:8888/extra/purge
    /// ```
    #[oai(path = "/purge", method = "get", operation_id = "purgeByGet", deprecated)]
    async fn purge_by_get(&self, jobs: Data<&Arc<Jobs>>) -> Answer<Purged> {
        self.purge(jobs).await
    }

    /// Remove everything that Crane made, and nothing else
    ///
    /// Compositions with their volumes, clusters (their machines are left alone), images, contexts
    /// and bases, on the engines and in the registry.
    ///
    /// ```sh
    /// curl -X POST http://127.0.0.1:8888/extra/purge
    /// ```
    #[oai(path = "/purge", method = "post", operation_id = "purge")]
    async fn purge(&self, jobs: Data<&Arc<Jobs>>) -> Answer<Purged> {
        let left = purge::purge(jobs.0).await?;
        Ok(Json(match left.is_empty() {
            true => Purged::example(),
            false => Purged {
                status: "incomplete".into(),
                description: format!("left: {}", left.join("; ")),
            },
        }))
    }

    /// Ask an engine for its info document
    ///
    /// ```sh
    /// curl -F endpoint=unix:///var/run/docker.sock http://127.0.0.1:8888/extra/dockerInfo
    /// ```
    #[oai(path = "/dockerInfo", method = "post", operation_id = "dockerInfo")]
    async fn docker_info(
        &self,
        jobs: Data<&Arc<Jobs>>,
        form: EndpointRequest,
    ) -> Answer<serde_json::Value> {
        let endpoint = match form {
            EndpointRequest::Multipart(form) => form.endpoint,
            EndpointRequest::Form(Form(form)) => form.endpoint,
        };
        let endpoint = forms::text(endpoint).ok_or_else(|| forms::missing("endpoint"))?;
        Ok(Json(clusters::endpoint_info(&jobs.0.parts, &endpoint).await?))
    }
}
