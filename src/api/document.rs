//! The OpenAPI document: what poem-openapi derives from the operations, and what it cannot say.

use serde_json::{Value, json};

/// Example values of text fields in forms, by name; the same name means the same everywhere.
const FIELD_EXAMPLES: &[(&str, &str)] = &[
    ("group", "default"),
    ("imageName", "web"),
    ("base", "debian-puppet"),
    ("contextReference", ""),
    ("endpoint", "unix:///var/run/docker.sock"),
    ("apiVersion", "1.41"),
    ("clusterToken", ""),
    ("puppetfile", "forge 'https://forgeapi.puppet.com'\nmod 'puppetlabs/stdlib', '8.5.0'\n"),
    ("puppetmanifest", "file { '/etc/motd': content => \"made by Crane\\n\" }\n"),
    ("dockerfile", "FROM cloudopting/debian-puppet\nRUN puppet --version\n"),
    ("composefile", "services:\n  web:\n    image: default/web\n    ports:\n      - \"8080:80\"\n"),
];

/// The document as it is served, and committed as `openapi/crane.json`.
pub fn document() -> Value {
    let spec = super::operations()
        .description(include_str!("description.md"))
        .license(poem_openapi::LicenseObject::new("Apache-2.0"))
        .spec();
    let mut document: Value = serde_json::from_str(&spec).unwrap_or_default();
    document["components"]["securitySchemes"] = json!({"token": {
        "type": "http",
        "scheme": "bearer",
        "description": "CRANE_API_TOKEN; not needed while Crane has none and listens on loopback.",
    }});
    // An alternative, as a Crane without a token asks for none.
    document["security"] = json!([{}, {"token": []}]);
    let paths = document["paths"].as_object_mut().into_iter().flat_map(|paths| paths.values_mut());
    for operation in paths.filter_map(Value::as_object_mut).flat_map(|path| path.values_mut()) {
        let content = operation["requestBody"]["content"].as_object_mut();
        for media in content.into_iter().flat_map(|content| content.values_mut()) {
            add_examples(media);
        }
        // Indexing has made these where there is no form.
        if operation["requestBody"]["content"].is_null() {
            operation.as_object_mut().map(|operation| operation.remove("requestBody"));
        }
    }
    document
}

fn add_examples(media: &mut Value) {
    let Some(properties) = media["schema"]["properties"].as_object_mut() else { return };
    for (name, property) in properties {
        let example = FIELD_EXAMPLES.iter().find(|(field, _)| field == name);
        if let Some((_, example)) = example {
            property["example"] = (*example).into();
        }
    }
}
