//! The labels of an image: the Open Container Initiative's (OCI Image Specification, "Pre-Defined
//! Annotation Keys"), Crane's own, and those of the resource it is made for.
//!
//! Builders apply labels last, so a time that differs with each build costs no cached layer.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{Request, references::Base};
use crate::{
    engine::LABEL_REF_NAME,
    error::{Error, Result},
};

/// Every image of Crane's has it.
pub(super) const LABEL_VERSION: &str = "eu.cloudopting.crane.version";

pub(super) fn labels(
    request: &Request,
    base: Option<&Base>,
    now: OffsetDateTime,
) -> Result<BTreeMap<String, String>> {
    let mut labels = BTreeMap::new();
    // What an image has no value for, it would inherit, and a label cannot be taken away.
    let absent = base.filter(|base| base.labelled).map(|_| "");
    let mut set = |key: &str, value: Option<&str>| {
        if let Some(value) = value.or(absent) {
            labels.insert(key.to_owned(), value.to_owned());
        }
    };
    let created = now.format(&Rfc3339).map_err(Error::internal)?;
    set("org.opencontainers.image.created", Some(&created));
    set("org.opencontainers.image.title", Some(request.name.as_str()));
    set(LABEL_REF_NAME, Some(&request.tag));
    set("org.opencontainers.image.base.name", base.map(|base| base.name.as_str()));
    let digest = base.and_then(|base| base.digest.as_deref());
    set("org.opencontainers.image.base.digest", digest);
    set(LABEL_VERSION, Some(env!("CARGO_PKG_VERSION")));
    set("eu.cloudopting.crane.context", request.context_token.as_deref());
    let manifest = request.source.manifest().map(|manifest| sha256(&manifest.content));
    set("eu.cloudopting.crane.manifest-digest", manifest.as_deref());
    // The digest in a registry, or else the id of an image that is nowhere but on the engine.
    let digest = digest.or_else(|| base.and_then(|base| base.id.as_deref()));
    set("eu.cloudopting.crane.base-digest", digest);
    labels.extend(request.labels.clone());
    Ok(labels)
}

fn sha256(text: &str) -> String {
    let digest = Sha256::digest(text);
    digest.iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}
