//! The OpenAPI document: the committed one is the one that is served, and it tells a client
//! everything that it must know about each operation.

use std::{collections::HashSet, path::Path};

use serde_json::Value;

/// Methods of a path item; its other keys are not operations.
const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

fn committed() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi/crane.json");
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

#[test]
fn the_committed_document_is_what_the_program_writes() {
    let program = env!("CARGO_BIN_EXE_crane");
    let output = std::process::Command::new(program).arg("openapi").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(
        String::from_utf8(output.stdout).unwrap() == committed(),
        "the operations have changed: run `crane openapi openapi/crane.json` and commit the file"
    );
}

/// Every operation of the document, as `POST /path`.
fn operations(document: &Value) -> Vec<(String, &Value)> {
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if METHODS.contains(&method.as_str()) {
                operations.push((format!("{} {path}", method.to_uppercase()), operation));
            }
        }
    }
    assert!(operations.len() > 20, "{} operations are too few", operations.len());
    operations
}

/// What a schema, or the one it refers to, is.
fn resolve<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(reference) => {
            let pointer = reference.strip_prefix('#').unwrap();
            let target = document.pointer(pointer);
            resolve(document, target.unwrap_or_else(|| panic!("{reference} leads nowhere")))
        }
        None => schema,
    }
}

fn is_told(text: &Value) -> bool {
    text.as_str().is_some_and(|text| !text.trim().is_empty())
}

/// A form or an answer has an example: its own, its schema's, or one of each of its properties.
fn has_example(document: &Value, media: &Value) -> bool {
    let schema = resolve(document, &media["schema"]);
    let of_properties = || {
        let properties = schema["properties"].as_object();
        properties.is_some_and(|properties| {
            properties.values().all(|property| {
                !property["example"].is_null() || !resolve(document, property)["example"].is_null()
            })
        })
    };
    !media["example"].is_null()
        || media["examples"].as_object().is_some_and(|examples| !examples.is_empty())
        || !schema["example"].is_null()
        || of_properties()
}

/// What is missing in one operation.
fn faults(document: &Value, operation: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    for key in ["operationId", "summary"] {
        if !is_told(&operation[key]) {
            faults.push(format!("no {key}"));
        }
    }
    let tags = operation["tags"].as_array().map(Vec::as_slice).unwrap_or_default();
    let described = |tag: &Value| {
        let tags = document["tags"].as_array().unwrap();
        tags.iter().any(|known| known["name"] == *tag && is_told(&known["description"]))
    };
    if tags.is_empty() || !tags.iter().all(described) {
        faults.push("no tag, or one without a description".into());
    }

    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        if !is_told(&parameter["description"]) {
            faults.push(format!("the parameter {} has no description", parameter["name"]));
        }
    }
    for (kind, media) in operation["requestBody"]["content"].as_object().into_iter().flatten() {
        if !has_example(document, media) {
            faults.push(format!("the form {kind} has no example"));
        }
        let schema = resolve(document, &media["schema"]);
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            if !is_told(&property["description"]) {
                faults.push(format!("the field {name} has no description"));
            }
        }
    }

    let responses = operation["responses"].as_object().unwrap();
    for class in ['2', '4', '5'] {
        if !responses.keys().any(|status| status.starts_with(class)) {
            faults.push(format!("no {class}xx response"));
        }
    }
    for (status, response) in responses {
        if !is_told(&response["description"]) {
            faults.push(format!("the response {status} has no description"));
        }
        for (kind, media) in response["content"].as_object().into_iter().flatten() {
            let is_error = status.starts_with(['4', '5']);
            if is_error && media["schema"]["$ref"] != "#/components/schemas/Error" {
                faults.push(format!("the response {status} does not have the shape of an error"));
            }
            if !has_example(document, media) {
                faults.push(format!("the response {status} of {kind} has no example"));
            }
        }
    }
    faults
}

#[test]
fn every_operation_is_told_in_full() {
    let document = serde_json::from_str::<Value>(&committed()).unwrap();
    let faults = operations(&document)
        .into_iter()
        .flat_map(|(name, operation)| {
            let faults = faults(&document, operation);
            faults.into_iter().map(move |fault| format!("{name}: {fault}"))
        })
        .collect::<Vec<_>>();
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn operation_ids_are_unique() {
    let document = serde_json::from_str::<Value>(&committed()).unwrap();
    let mut seen = HashSet::new();
    for (name, operation) in operations(&document) {
        let id = operation["operationId"].as_str().unwrap_or_else(|| panic!("{name} has none"));
        assert!(seen.insert(id), "{name}: '{id}' is taken");
    }
}

/// A null stands nowhere in OpenAPI 3.0, and every reference leads somewhere.
#[test]
fn the_document_is_sound() {
    fn visit(document: &Value, place: &str, value: &Value) {
        match value {
            Value::Null => panic!("{place} is null"),
            Value::Array(items) => items.iter().for_each(|item| visit(document, place, item)),
            Value::Object(entries) => {
                resolve(document, value);
                for (key, entry) in entries {
                    visit(document, &format!("{place}/{key}"), entry);
                }
            }
            _ => {}
        }
    }
    let document = serde_json::from_str::<Value>(&committed()).unwrap();
    visit(&document, "", &document);
}
