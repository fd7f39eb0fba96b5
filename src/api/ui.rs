//! Swagger UI: the page at `/` and its files below `/ui/`, all of them part of the program, so
//! that it works without a network and without a directory beside it.

use std::hash::{DefaultHasher, Hasher};

use poem::{
    Endpoint, Request, Response, Result, Route, get,
    http::{HeaderValue, StatusCode, header},
    web::headers::{ETag, HeaderMapExt, IfNoneMatch},
};

/// Nothing but this server's own files and answers, and nothing inline. `data:` images are in
/// Swagger UI's style sheet; the styles that its scripts set go through the CSSOM, which this
/// leaves alone.
const CONTENT_SECURITY_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'",
);

const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

struct File {
    path: &'static str,
    content_type: &'static str,
    plain: &'static [u8],
    /// The same, compressed, where that is worth it.
    gzip: Option<&'static [u8]>,
}

const FILES: [File; 6] = [
    File {
        path: "/",
        content_type: "text/html; charset=utf-8",
        plain: include_bytes!("ui/index.html"),
        gzip: None,
    },
    File {
        path: "/ui/crane.css",
        content_type: CSS,
        plain: include_bytes!("ui/crane.css"),
        gzip: None,
    },
    File {
        path: "/ui/crane.svg",
        content_type: "image/svg+xml",
        plain: include_bytes!("ui/crane.svg"),
        gzip: None,
    },
    File {
        path: "/ui/init.js",
        content_type: JAVASCRIPT,
        plain: include_bytes!("ui/init.js"),
        gzip: None,
    },
    File {
        path: "/ui/swagger-ui.css",
        content_type: CSS,
        plain: include_bytes!("ui/dist/swagger-ui.css"),
        gzip: Some(include_bytes!("ui/dist/swagger-ui.css.gz")),
    },
    File {
        path: "/ui/swagger-ui-bundle.js",
        content_type: JAVASCRIPT,
        plain: include_bytes!("ui/dist/swagger-ui-bundle.js"),
        gzip: Some(include_bytes!("ui/dist/swagger-ui-bundle.js.gz")),
    },
];

/// The page and its files. They are the same for everyone and hold nothing secret, so they need
/// no authorization: the page is where a user enters the API's token.
pub(super) fn routes() -> Route {
    FILES.into_iter().fold(Route::new(), |route, file| route.at(file.path, get(Asset::new(file))))
}

struct Asset {
    file: File,
    /// Of the contents, so that it changes exactly when they do.
    hash: u64,
}

impl Asset {
    fn new(file: File) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write(file.plain);
        Self { hash: hasher.finish(), file }
    }
}

impl Endpoint for Asset {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        let (encoding, body) = match self.file.gzip {
            Some(gzip) if accepts_gzip(&request) => ("gzip", gzip),
            _ => ("identity", self.file.plain),
        };
        // Two encodings of one thing are two representations (RFC 9110, section 8.8.3.3).
        let tag = format!("\"{:016x}-{encoding}\"", self.hash);
        let known = tag.parse::<ETag>().is_ok_and(|tag| {
            let condition = request.headers().typed_get::<IfNoneMatch>();
            condition.is_some_and(|condition| !condition.precondition_passes(&tag))
        });
        let response = Response::builder()
            .header(header::ETAG, tag)
            // Kept, but asked for at each use: after an update nobody sees half of each version.
            .header(header::CACHE_CONTROL, "no-cache")
            .header(header::VARY, "Accept-Encoding")
            .header(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY)
            .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
            .header(header::REFERRER_POLICY, "no-referrer");
        if known {
            return Ok(response.status(StatusCode::NOT_MODIFIED).finish());
        }
        let response = match encoding {
            "gzip" => response.header(header::CONTENT_ENCODING, encoding),
            _ => response,
        };
        Ok(response.content_type(self.file.content_type).body(body))
    }
}

/// RFC 9110, section 12.5.3, as far as browsers use it: `gzip`, unless its weight is zero.
fn accepts_gzip(request: &Request) -> bool {
    let accepted = request.header(header::ACCEPT_ENCODING).unwrap_or_default();
    accepted.split(',').any(|choice| {
        let (coding, weight) = choice.split_once(';').unwrap_or((choice, ""));
        let weight = weight.trim().trim_start_matches("q=").parse::<f32>().unwrap_or(1.0);
        coding.trim().eq_ignore_ascii_case("gzip") && weight > 0.0
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use poem::test::{TestClient, TestResponse};

    use super::*;

    async fn ask(path: &str, headers: &[(&'static str, &str)]) -> TestResponse {
        let client = TestClient::new(Route::new().nest("/", routes()));
        let request = client.get(path);
        headers
            .iter()
            .fold(request, |request, (name, value)| request.header(*name, *value))
            .send()
            .await
    }

    fn header<'a>(response: &'a TestResponse, name: &str) -> Option<&'a str> {
        response.0.header(name)
    }

    #[tokio::test]
    async fn every_file_is_served_with_its_type_and_the_policy() {
        for file in FILES {
            let response = ask(file.path, &[]).await;
            response.assert_status_is_ok();
            response.assert_content_type(file.content_type);
            response.assert_header("x-content-type-options", "nosniff");
            response.assert_header("referrer-policy", "no-referrer");
            response.assert_header("cache-control", "no-cache");
            let policy = header(&response, "content-security-policy").unwrap();
            assert!(
                policy.contains("script-src 'self';") && !policy.contains("unsafe"),
                "{policy}"
            );
            response.assert_bytes(file.plain).await;
        }
        ask("/ui/index.html", &[]).await.assert_status(StatusCode::NOT_FOUND);
        ask("/ui/../Cargo.toml", &[]).await.assert_status(StatusCode::NOT_FOUND);
    }

    #[tokio::test]
    async fn a_browser_that_has_the_file_does_not_get_it_again() {
        for encoding in ["gzip", "identity"] {
            for file in FILES {
                let first = ask(file.path, &[("accept-encoding", encoding)]).await;
                let tag = header(&first, "etag").unwrap();
                for condition in [tag, "*", &format!("\"other\", W/{tag}")] {
                    let headers = [("accept-encoding", encoding), ("if-none-match", condition)];
                    let again = ask(file.path, &headers).await;
                    again.assert_status(StatusCode::NOT_MODIFIED);
                    again.assert_header("etag", tag);
                    again.assert_bytes(b"").await;
                }
                let headers = [("accept-encoding", encoding), ("if-none-match", "\"other\"")];
                ask(file.path, &headers).await.assert_status_is_ok();
            }
        }
    }

    #[tokio::test]
    async fn the_compressed_files_are_the_same() {
        for file in FILES.into_iter().filter(|file| file.gzip.is_some()) {
            let plain = ask(file.path, &[]).await;
            let response = ask(file.path, &[("accept-encoding", "br, gzip;q=0.8")]).await;
            response.assert_header("content-encoding", "gzip");
            response.assert_content_type(file.content_type);
            assert_ne!(header(&response, "etag"), header(&plain, "etag"));
            let compressed = response.0.into_body().into_vec().await.unwrap();
            let mut contents = Vec::new();
            flate2::read::GzDecoder::new(&compressed[..]).read_to_end(&mut contents).unwrap();
            assert!(contents == file.plain, "{}: run install/update-swagger-ui", file.path);

            let refused = ask(file.path, &[("accept-encoding", "gzip;q=0, *")]).await;
            refused.assert_header_is_not_exist("content-encoding");
        }
    }

    #[tokio::test]
    async fn the_page_has_nothing_inline_and_names_only_files_that_there_are() {
        let page = std::str::from_utf8(FILES[0].plain).unwrap();
        for inline in ["<style", "style=", "onload=", "onclick=", "javascript:", "://"] {
            assert!(!page.contains(inline), "{inline}");
        }
        assert_eq!(page.matches("<script").count(), page.matches("<script src=").count());
        for reference in page.split("\"ui/").skip(1) {
            let name = reference.split('"').next().unwrap();
            ask(&format!("/ui/{name}"), &[]).await.assert_status_is_ok();
        }
    }
}
