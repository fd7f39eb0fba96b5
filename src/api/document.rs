//! The OpenAPI document: what poem-openapi derives from the operations, and what it cannot say.

use serde_json::{Value, json};

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nMIIB...\n-----END CERTIFICATE-----\n";

/// Example values of text fields in forms, by name; the same name means the same everywhere.
const FIELD_EXAMPLES: &[(&str, &str)] = &[
    ("group", "default"),
    ("imageName", "web"),
    ("base", "debian-puppet"),
    ("contextReference", ""),
    ("endpoint", "unix:///var/run/docker.sock"),
    ("apiVersion", "1.41"),
    ("clientCert", CERTIFICATE),
    ("clientKey", "-----BEGIN PRIVATE KEY-----\nMIGH...\n-----END PRIVATE KEY-----\n"),
    ("ca", CERTIFICATE),
    ("clusterToken", ""),
    ("puppetfile", "forge 'https://forgeapi.puppet.com'\nmod 'puppetlabs/stdlib', '8.5.0'\n"),
    ("puppetmanifest", "file { '/etc/motd': content => \"made by Crane\\n\" }\n"),
    ("dockerfile", "FROM cloudopting/debian-puppet\nRUN puppet --version\n"),
    ("compat", "r10k5"),
    ("resolve", "false"),
    ("engine", "native"),
    ("lock", ""),
    ("composefile", "services:\n  web:\n    image: default/web\n    ports:\n      - \"8080:80\"\n"),
];

/// Fields without which an operation answers 422. In Rust all are optional, so that an absent one
/// gets Crane's own error, and poem-openapi cannot tell.
const REQUIRED_FIELDS: &[(&str, &[&str])] = &[
    ("createAllInOne", &["imageName", "puppetfile", "dockerfile", "puppetmanifest"]),
    ("createBase", &["imageName", "dockerfile"]),
    ("createImage", &["imageName"]),
    ("createSingleMachineCluster", &["endpoint"]),
    ("createComposition", &["composefile"]),
    ("dockerInfo", &["endpoint"]),
];

/// Descriptions of path parameters; the same name means the same everywhere.
const PARAMETERS: &[(&str, &str)] = &[
    ("token", "The token that the POST answered with."),
    ("name", "The name of the base, as it was posted."),
    ("follow", "Get events until the work has ended."),
];

/// What operations are that several kinds of resources have: how their names begin and end, what
/// they do, and the command of their worked example before and behind the URL.
const SHARED: &[(&str, &str, &str, [&str; 2])] = &[
    ("get", "Log", LOG, ["curl -N '", "?follow=true'"]),
    ("cancel", "", CANCEL, ["curl -X POST ", ""]),
];

const LOG: &str = "The whole log as text, a line for each: time, step, text. With `follow=true`, or \
    for a browser's `EventSource`, server-sent events instead: `line` for each line as it is \
    printed, and `end` with the status at the last. A client that comes back with `Last-Event-ID` \
    goes on behind the line it had.";

const CANCEL: &str = "Stops the work within seconds and removes what it has made; the status \
    becomes `cancelled`. 409 when nothing is being done.";

/// What stands for the parameter of a path in examples, by how the path begins.
const EXAMPLE_IDS: &[(&str, &str)] = &[
    ("/builder/contexts/", "CT2Q6aB0r9xK3mT7vWqLzE"),
    ("/builder/images/bases/", "debian-puppet"),
    ("/builder/images/", "CT2Q6aB0r9xK3mT7vWqLzE-IMweb"),
    ("/composer/", "CP2Q6aB0r9xK3mT7vWqLzE"),
];

/// What answers that are no JSON look like: operation, content type, example.
const TEXT_EXAMPLES: &[(&str, &str, &str)] = &[
    // The end of `getContextLog` and its like.
    ("getContextLock", "text/plain", LOCK_EXAMPLE),
    ("Log", "text/plain", LOG_EXAMPLE),
    ("Log", "text/event-stream", LOG_EVENTS_EXAMPLE),
    ("followEvents", "text/event-stream", EVENTS_EXAMPLE),
    ("livez", "text/plain", "alive\n"),
    ("readyz", "text/plain", READY_EXAMPLE),
];

const LOCK_EXAMPLE: &str = r#"{
  "format": 1,
  "compat": "r10k5",
  "digest": "sha256:7777777777777777777777777777777777777777777777777777777777777777",
  "modules": [
    {
      "name": "stdlib",
      "path": "modules/stdlib",
      "declared": "git https://github.com/puppetlabs/puppetlabs-stdlib.git ref=\"v8.5.0\"",
      "source": "git",
      "url": "https://github.com/puppetlabs/puppetlabs-stdlib.git",
      "reference": "v8.5.0",
      "commit": "0c9b1ac3b1e5e3f6a4d2c7b8a9f0e1d2c3b4a596",
      "digest": "sha256:3333333333333333333333333333333333333333333333333333333333333333",
      "version": "8.5.0"
    }
  ]
}
"#;

const LOG_EXAMPLE: &str = "2026-11-20T20:07:43.123Z [install] INFO -> Updating module stdlib\n";

const LOG_EVENTS_EXAMPLE: &str = r#"id: 4711-1
event: line
data: {"time":"2026-11-20T20:07:43.123Z","step":"install","channel":"log","text":"INFO -> Updating module stdlib"}

event: end
data: {"status":"finished","description":"1 module is installed"}

"#;

const EVENTS_EXAMPLE: &str = r#"id: 4712
event: state
data: {"time":"2026-11-20T20:07:45.5Z","kind":"context","token":"CT2Q6aB0r9xK3mT7vWqLzE","status":"finished","description":"1 module is installed","job":{"number":4700,"task":"make","state":"succeeded","step":"install","attempt":1}}

"#;

const READY_EXAMPLE: &str = "store: correct\nqueue: correct, 0 unfinished jobs\ndocker: correct\n\
    registry: correct\npuppet: correct\nready: yes\n";

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
    for (path, item) in document["paths"].as_object_mut().into_iter().flatten() {
        for operation in item.as_object_mut().into_iter().flat_map(|item| item.values_mut()) {
            complete(path, operation);
        }
    }
    document
}

/// The description of an operation that several kinds of resources have.
fn shared(id: &str, path: &str) -> Option<String> {
    let (_, _, text, [before, behind]) =
        SHARED.iter().find(|(begin, end, ..)| id.starts_with(begin) && id.ends_with(end))?;
    let (_, example) = EXAMPLE_IDS.iter().find(|(begin, _)| path.starts_with(begin))?;
    let path = path.replace("{token}", example).replace("{name}", example);
    let url = format!("http://127.0.0.1:8888{path}");
    Some(format!("{text}\n\n```sh\n{before}{url}{behind}\n```"))
}

fn complete(path: &str, operation: &mut Value) {
    let id = operation["operationId"].as_str().unwrap_or_default().to_owned();
    if let Some(description) = shared(&id, path) {
        operation["description"] = description.into();
    }
    // Not by index, which would put a null where there is nothing.
    let parameters = operation.pointer_mut("/parameters").and_then(Value::as_array_mut);
    for parameter in parameters.into_iter().flatten() {
        let description = PARAMETERS.iter().find(|(name, _)| parameter["name"] == *name);
        if let Some((_, description)) = description {
            parameter["description"] = (*description).into();
        }
    }
    let required = REQUIRED_FIELDS.iter().find(|(operation, _)| *operation == id);
    for media in media_of(operation.pointer_mut("/requestBody/content")) {
        add_examples(media);
        if let (Some((_, fields)), Some(schema)) = (required, media["schema"].as_object_mut())
            && schema.contains_key("properties")
        {
            schema.insert("required".into(), json!(fields));
        }
    }
    let of = |name: &str| id == name || (id.starts_with("get") && id.ends_with(name));
    for (_, kind, example) in TEXT_EXAMPLES.iter().filter(|(name, ..)| of(name)) {
        let responses = operation["responses"].as_object_mut();
        for response in responses.into_iter().flat_map(|responses| responses.values_mut()) {
            let content = response.pointer_mut("/content").and_then(Value::as_object_mut);
            for (found, media) in content.into_iter().flatten() {
                if found.starts_with(kind) {
                    media["example"] = (*example).into();
                }
            }
        }
    }
    if let Some(success) = operation.pointer_mut("/responses/200") {
        success["description"] = "Success.".into();
        if id == "dockerInfo" {
            for media in media_of(success.get_mut("content")) {
                media["example"] = json!({"Name": "host-7", "ServerVersion": "20.10.24"});
            }
        }
    }
}

/// What is in a form or an answer, for each content type it can have.
fn media_of(content: Option<&mut Value>) -> impl Iterator<Item = &mut Value> {
    content.and_then(Value::as_object_mut).into_iter().flat_map(|content| content.values_mut())
}

fn add_examples(media: &mut Value) {
    let properties = media.pointer_mut("/schema/properties").and_then(Value::as_object_mut);
    for (name, property) in properties.into_iter().flatten() {
        let example = FIELD_EXAMPLES.iter().find(|(field, _)| field == name);
        if let Some((_, example)) = example {
            property["example"] = (*example).into();
        }
    }
}
