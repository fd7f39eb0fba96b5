//! Which requests are for the pages a person looks at, and which are for the operations.

use poem::{Endpoint, IntoResponse, Request, Response, Result, Route, handler, web::Data};

/// Swagger UI and the document in front of the operations.
pub(super) struct Pages<E> {
    pub(super) pages: Route,
    pub(super) operations: E,
}

pub(super) fn is_page(path: &str) -> bool {
    matches!(path, "/" | "/openapi.json") || path.starts_with("/ui/")
}

impl<E: Endpoint> Endpoint for Pages<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        if is_page(request.uri().path()) {
            self.pages.call(request).await
        } else {
            self.operations.call(request).await.map(IntoResponse::into_response)
        }
    }
}

/// The OpenAPI document, made once.
#[derive(Clone)]
pub(super) struct Document(pub(super) String);

#[handler]
pub(super) fn document(Data(document): Data<&Document>) -> Response {
    Response::builder().content_type("application/json").body(document.0.clone())
}
