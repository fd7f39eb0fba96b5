//! The one place where errors become HTTP: the status of each, and the body that all share.

use poem::{
    IntoResponse, Response,
    error::ResponseError,
    http::{StatusCode, header},
};
use poem_openapi::{
    ApiResponse, Object,
    registry::{MetaMediaType, MetaResponse, MetaResponses, Registry},
    types::{ToJSON, Type},
};

use crate::error::{Error, Problem, chain};

/// What every answer that is no success looks like.
#[derive(Debug, Object)]
#[oai(rename = "Error", example)]
pub(super) struct Body {
    /// One of `notFound`, `invalid`, `conflict`, `busy`, `tooLarge`, `unauthorized`, `forbidden`,
    /// `unavailable`, `operationError`, `internal`.
    error: String,
    /// What is wrong, and what would be right.
    description: String,
    /// The `X-Request-Id` of this answer; Crane's own log has it too.
    request_id: String,
    /// Each mistake with its place, where places are known.
    #[oai(skip_serializing_if_is_empty)]
    problems: Vec<ProblemView>,
}

/// One mistake in what was sent.
#[derive(Debug, Clone, Object)]
#[oai(rename = "Problem")]
pub(super) struct ProblemView {
    /// The form field, the file, or the path of the key in it.
    path: String,
    /// Counts from 1.
    #[oai(skip_serializing_if_is_none)]
    line: Option<u32>,
    /// Counts characters from 1.
    #[oai(skip_serializing_if_is_none)]
    column: Option<u32>,
    message: String,
}

impl From<Problem> for ProblemView {
    fn from(Problem { path, line, column, message }: Problem) -> Self {
        Self { path, line, column, message }
    }
}

impl poem_openapi::types::Example for Body {
    fn example() -> Self {
        let message = "a block (`do`) is Ruby code, and Crane runs no Ruby: write one `mod` for \
                       each module";
        Self {
            error: "invalid".into(),
            description: format!("puppetfile:1:34: {message}"),
            request_id: "0e0c2bd7c1a94f0d8d0f2b6c51a7e3f4".into(),
            problems: vec![ProblemView {
                path: "puppetfile".into(),
                line: Some(1),
                column: Some(34),
                message: message.into(),
            }],
        }
    }
}

/// What handlers fail with. The domain error travels inside, to be rendered by [`render`] once
/// the request's id is at hand.
#[derive(Debug)]
pub(super) struct Failure(Error);

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl From<Failure> for poem::Error {
    fn from(Failure(error): Failure) -> Self {
        let status = status(&error);
        poem::Error::new(error, status)
    }
}

pub(super) type Answer<T> = Result<poem_openapi::payload::Json<T>, Failure>;

/// Every status that any operation may fail with, for the document.
const DOCUMENTED: &[(u16, &str)] = &[
    (400, "The request is malformed: a field is missing or unknown, or the form cannot be read."),
    (401, "The bearer token is missing or wrong."),
    (403, "Refused: a page of another site sent this request."),
    (404, "What the request names does not exist."),
    (409, "What there is stands against it; the description says what to do first."),
    (413, "A file or the whole form is larger than Crane takes."),
    (415, "The content type is none that this operation takes."),
    (422, "What was sent cannot be used; `problems` says where and why."),
    (429, "Crane does as much as it may at this time."),
    (500, "A fault of Crane's own, described in its log under this `request_id`."),
    (502, "The work was done and failed."),
    (503, "A part that Crane needs does not answer as it should."),
];

impl ApiResponse for Failure {
    fn meta() -> MetaResponses {
        let response = |&(status, description)| MetaResponse {
            description,
            status: Some(status),
            status_range: None,
            content: vec![MetaMediaType {
                content_type: "application/json",
                schema: Body::schema_ref(),
            }],
            headers: Vec::new(),
        };
        MetaResponses { responses: DOCUMENTED.iter().map(response).collect() }
    }

    fn register(registry: &mut Registry) {
        Body::register(registry);
    }
}

fn status(error: &Error) -> StatusCode {
    match error {
        Error::NotFound(_) => StatusCode::NOT_FOUND,
        Error::Invalid { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        Error::Conflict(_) => StatusCode::CONFLICT,
        Error::Busy(_) => StatusCode::TOO_MANY_REQUESTS,
        Error::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        Error::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
        Error::Failed { .. } => StatusCode::BAD_GATEWAY,
        Error::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The code in the body for a status.
fn code(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "unauthorized",
        403 => "forbidden",
        404 => "notFound",
        409 => "conflict",
        413 => "tooLarge",
        429 => "busy",
        502 => "operationError",
        503 => "unavailable",
        500..=599 => "internal",
        _ => "invalid",
    }
}

/// A request that is refused before it reaches a handler.
#[derive(Debug, thiserror::Error)]
#[error("{description}")]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) description: String,
}

impl ResponseError for Refused {
    fn status(&self) -> StatusCode {
        self.status
    }
}

/// What poem says of a malformed request, without the name of its parser.
fn in_plain_words(words: &str) -> String {
    let plain = ["parse multipart error: ", "parse request payload error: "];
    plain.iter().find_map(|prefix| words.strip_prefix(prefix)).unwrap_or(words).to_owned()
}

/// The answer for any error, poem's own included. Faults of Crane's own are logged here, once.
pub(super) fn render(error: &poem::Error, request_id: &str) -> Response {
    let status = error.status();
    let (description, problems) = match error.downcast_ref::<Error>() {
        Some(Error::Internal(source)) => {
            tracing::error!(error = chain(&**source), "internal error");
            ("an internal error; Crane's log says more under this request_id".to_owned(), &[][..])
        }
        Some(domain) => (domain.to_string(), domain.problems()),
        None if status == StatusCode::INTERNAL_SERVER_ERROR => {
            tracing::error!(error = %error, "internal error");
            ("an internal error; Crane's log says more under this request_id".to_owned(), &[][..])
        }
        None if status == StatusCode::NOT_FOUND => ("there is no such route".to_owned(), &[][..]),
        None => (in_plain_words(&error.to_string()), &[][..]),
    };
    let body = Body {
        error: code(status).to_owned(),
        description,
        request_id: request_id.to_owned(),
        problems: problems.iter().cloned().map(Into::into).collect(),
    };
    let mut response = Response::builder()
        .status(status)
        .content_type("application/json")
        .body(body.to_json_string())
        .into_response();
    if status == StatusCode::UNAUTHORIZED {
        let challenge = poem::http::HeaderValue::from_static("Bearer");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}
