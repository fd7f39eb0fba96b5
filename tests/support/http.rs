//! A client that speaks to Crane as users do: forms in, JSON out.

use http_body_util::{BodyExt, Full};
use hyper::{
    Request,
    body::{Bytes, Incoming},
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;

use super::follow::Follow;

const BOUNDARY: &str = "crane-test-boundary";

pub(crate) struct Http {
    base: String,
    client: Client<HttpConnector, Full<Bytes>>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: hyper::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text)
            .unwrap_or_else(|error| panic!("{error} in {}: {}", self.status, self.text))
    }

    /// The body of a success.
    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text);
        self.json()
    }

    /// Status, code and description of an error, whose shape is checked.
    #[track_caller]
    pub(crate) fn error(&self) -> (u16, String, String) {
        let body = self.json();
        assert_eq!(self.headers["content-type"], "application/json", "{}", self.text);
        assert_eq!(body["request_id"], self.headers["x-request-id"].to_str().unwrap());
        let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
        (self.status, text("error"), text("description"))
    }

    /// `path:line:column: message` of each problem of an error.
    #[track_caller]
    pub(crate) fn problems(&self) -> Vec<String> {
        problems(&self.json())
    }
}

/// `path:line:column: message` of each problem of a resource or an error.
pub(crate) fn problems(body: &Value) -> Vec<String> {
    let problem = |problem: &Value| {
        let mut text = problem["path"].as_str().unwrap().to_owned();
        for place in ["line", "column"] {
            if let Some(number) = problem[place].as_u64() {
                text = format!("{text}:{number}");
            }
        }
        format!("{text}: {}", problem["message"].as_str().unwrap())
    };
    body["problems"].as_array().map(|list| list.iter().map(problem).collect()).unwrap_or_default()
}

/// A `multipart/form-data` body; each part has a content type, as clients of 0.5 send it.
#[derive(Default)]
pub(crate) struct Form(Vec<u8>);

impl Form {
    pub(crate) fn text(mut self, name: &str, value: &str) -> Self {
        let head = format!("Content-Disposition: form-data; name=\"{name}\"");
        self.part(&head, "text/plain", value.as_bytes());
        self
    }

    pub(crate) fn file(mut self, name: &str, file_name: &str, content: impl AsRef<[u8]>) -> Self {
        let head =
            format!("Content-Disposition: form-data; name=\"{name}\"; filename=\"{file_name}\"");
        self.part(&head, "application/octet-stream", content.as_ref());
        self
    }

    fn part(&mut self, head: &str, content_type: &str, content: &[u8]) {
        let head = format!("--{BOUNDARY}\r\n{head}\r\nContent-Type: {content_type}\r\n\r\n");
        self.0.extend(head.into_bytes());
        self.0.extend(content);
        self.0.extend(b"\r\n");
    }

    pub(crate) fn body(mut self) -> Vec<u8> {
        self.0.extend(format!("--{BOUNDARY}--\r\n").into_bytes());
        self.0
    }

    pub(crate) fn content_type() -> String {
        format!("multipart/form-data; boundary={BOUNDARY}")
    }
}

impl Http {
    pub(crate) fn new(base: &str) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { base: base.to_owned(), client }
    }

    async fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<hyper::Response<Incoming>, Box<dyn std::error::Error + Send + Sync>> {
        let request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        let request =
            headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let request = request.body(Full::from(body)).unwrap();
        Ok(self.client.request(request).await?)
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Answer {
        self.try_send(method, path, headers, body).await.unwrap()
    }

    /// An error is no answer, or only the beginning of one.
    pub(crate) async fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
        let response = self.request(method, path, headers, body).await?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            text: String::from_utf8(body.to_vec()).unwrap(),
        })
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], Vec::new()).await
    }

    /// An answer that goes on, as the browser's `EventSource` asks for it.
    pub(crate) async fn follow(&self, path: &str, last: Option<&str>) -> Follow {
        let last = last.map(|last| ("last-event-id", last));
        let headers: Vec<_> = [("accept", "text/event-stream")].into_iter().chain(last).collect();
        Follow::of(self.request("GET", path, &headers, Vec::new()).await.unwrap())
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], Vec::new()).await
    }

    pub(crate) async fn post(&self, path: &str, form: Form) -> Answer {
        let content_type = Form::content_type();
        self.send("POST", path, &[("content-type", &content_type)], form.body()).await
    }
}
