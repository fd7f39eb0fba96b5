//! Which methods each path knows, read from the document: for the `Allow` header that goes with
//! every 405 (RFC 9110, section 15.5.6).

use poem::{
    Response,
    http::{HeaderValue, header},
};
use serde_json::Value;

/// The segments of a path (`None`: a parameter), and its methods.
type PathMethods = (Vec<Option<String>>, String);

pub(super) struct Methods(Vec<PathMethods>);

impl Methods {
    pub(super) fn of(document: &Value) -> Self {
        let paths = document["paths"].as_object().into_iter().flatten();
        Self(
            paths
                .map(|(path, operations)| {
                    let segments = path
                        .split('/')
                        .map(|segment| (!segment.starts_with('{')).then(|| segment.to_owned()));
                    let methods = operations.as_object().into_iter().flat_map(|map| map.keys());
                    let methods: Vec<_> = methods.map(|method| method.to_uppercase()).collect();
                    (segments.collect(), methods.join(", "))
                })
                .collect(),
        )
    }

    pub(super) fn allow(&self, path: &str, response: &mut Response) {
        let segments: Vec<_> = path.split('/').collect();
        let known = self.0.iter().find(|(pattern, _)| {
            pattern.len() == segments.len()
                && pattern.iter().zip(&segments).all(|(pattern, segment)| {
                    pattern.as_deref().is_none_or(|pattern| pattern == *segment)
                })
        });
        let methods = known.map_or("GET", |(_, methods)| methods);
        if let Ok(value) = HeaderValue::from_str(methods) {
            response.headers_mut().insert(header::ALLOW, value);
        }
    }
}
