//! `/livez` and `/readyz`, for those who start, stop and choose between processes.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::{OpenApi, payload::PlainText};

use super::{Tags, error::Failure};
use crate::{
    error::Error,
    jobs::{Jobs, checks},
};

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
    async fn livez(&self) -> Result<PlainText<String>, Failure> {
        Ok(PlainText("alive\n".into()))
    }

    /// Whether the process is ready for requests
    ///
    /// A line for each part. Ready (200) is what reaches its store and follows it, else it is 503
    /// with the lines in the description; another part that does not answer is said, but makes no
    /// other Crane readier than this one. Needs no token.
    ///
    /// ```sh
    /// curl http://127.0.0.1:8888/readyz
    /// ```
    #[oai(path = "/readyz", method = "get", operation_id = "readyz", tag = "Tags::Extra")]
    async fn readyz(&self, jobs: Data<&Arc<Jobs>>) -> Result<PlainText<String>, Failure> {
        let readiness = checks::readiness(jobs.0).await;
        let line = |(part, verdict): &(&str, String)| format!("{part}: {verdict}\n");
        let lines: String = readiness.lines.iter().map(line).collect();
        match readiness.ready {
            true => Ok(PlainText(lines)),
            false => Err(Error::unavailable("crane", lines.trim_end()).into()),
        }
    }
}
