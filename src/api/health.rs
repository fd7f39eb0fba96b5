//! `/livez` and `/readyz`, for those who start, stop and choose between processes.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::{ApiResponse, OpenApi, payload::PlainText};

use super::Tags;
use crate::jobs::{Jobs, checks};

#[derive(ApiResponse)]
enum Readiness {
    /// Success.
    #[oai(status = 200)]
    Ready(PlainText<String>),
    /// Not ready: the text says why.
    #[oai(status = 503)]
    NotReady(PlainText<String>),
}

pub(super) struct HealthApi;

#[OpenApi]
impl HealthApi {
    /// Whether the process is alive
    ///
    /// Asks nothing of anybody; restart what does not answer this. Needs no token.
    ///
    /// ```sh
    /// curl http://127.0.0.1:8888/livez
    /// ```
    #[oai(path = "/livez", method = "get", operation_id = "livez", tag = "Tags::Extra")]
    async fn livez(&self) -> PlainText<&'static str> {
        PlainText("alive\n")
    }

    /// Whether the process is ready for requests
    ///
    /// A line for each part. Ready (200) is what reaches its store and follows it; another part
    /// that does not answer is said, but makes no other Crane readier than this one. Needs no
    /// token.
    ///
    /// ```sh
    /// curl http://127.0.0.1:8888/readyz
    /// ```
    #[oai(path = "/readyz", method = "get", operation_id = "readyz", tag = "Tags::Extra")]
    async fn readyz(&self, jobs: Data<&Arc<Jobs>>) -> Readiness {
        let readiness = checks::readiness(jobs.0).await;
        let line = |(part, verdict): &(&str, String)| format!("{part}: {verdict}\n");
        let lines = PlainText(readiness.lines.iter().map(line).collect());
        match readiness.ready {
            true => Readiness::Ready(lines),
            false => Readiness::NotReady(lines),
        }
    }
}
