//! Names with a `/` in paths: `/builder/images/CT...-IMteam/web` means what
//! `/builder/images/CT...-IMteam%2Fweb` means, as OpenAPI has no parameter of several segments.

use poem::{Request, http::Uri};

const BASES: &str = "/builder/images/bases/";
const IMAGES: &str = "/builder/images/";

/// Writes the slashes of a name as `%2F`.
pub(super) fn encode(request: &mut Request) {
    let path = request.uri().path();
    let Some(prefix) = [BASES, IMAGES].into_iter().find(|prefix| path.starts_with(prefix)) else {
        return;
    };
    let rest = &path[prefix.len()..];
    let (name, below) = match rest.rsplit_once('/') {
        // No name ends so.
        Some((name, end @ ("detail" | "log" | "cancel"))) => (name, format!("/{end}")),
        _ => (rest, String::new()),
    };
    if !name.contains('/') {
        return;
    }
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    let encoded = format!("{prefix}{}{below}{query}", name.replace('/', "%2F"));
    if let Ok(uri) = encoded.parse::<Uri>() {
        *request.uri_mut() = uri;
    }
}
