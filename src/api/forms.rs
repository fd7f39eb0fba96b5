//! Text files in forms: small, UTF-8, and absent when empty.

use std::borrow::Cow;

use poem::web::Field;
use poem_openapi::{
    registry::{MetaSchema, MetaSchemaRef},
    types::{ParseError, ParseFromMultipartField, ParseResult, Type},
};
use tokio::io::AsyncReadExt;

use crate::{
    build::Upload,
    error::{Error, Problem, Result},
};

/// Real Puppetfiles, manifests, Dockerfiles and compose files have some kilobytes.
const FILE_LIMIT: usize = 1024 * 1024;

/// One uploaded file as it came; [`optional`] and [`required`] say what is wrong with it.
#[derive(Debug)]
pub(super) struct File {
    name: Option<String>,
    /// At most one byte more than the limit.
    content: Vec<u8>,
}

impl Type for File {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        "string_binary".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema::new_with_format("string", "binary")))
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(self.as_raw_value().into_iter())
    }
}

impl ParseFromMultipartField for File {
    async fn parse_from_multipart(field: Option<Field>) -> ParseResult<Self> {
        let Some(field) = field else { return Err(ParseError::expected_input()) };
        let name = field.file_name().map(ToOwned::to_owned);
        let mut content = Vec::new();
        let mut reader = Box::pin(field.into_async_read().take(FILE_LIMIT as u64 + 1));
        reader.read_to_end(&mut content).await.map_err(ParseError::custom)?;
        Ok(Self { name, content })
    }
}

/// The name of a file that came without one, by its field in the form; as in CloudOpting-Crane 0.5.
fn default_name(field: &str) -> &str {
    match field {
        "puppetfile" => "Puppetfile",
        "puppetmanifest" => "manifest.pp",
        "dockerfile" => "Dockerfile",
        "composefile" => "docker-compose.yml",
        other => other,
    }
}

/// A file that may be left out. `field` is its name in the form.
pub(super) fn optional(field: &str, file: Option<File>) -> Result<Option<Upload>> {
    let Some(File { name, content }) = file.filter(|file| !file.content.is_empty()) else {
        return Ok(None);
    };
    if content.len() > FILE_LIMIT {
        return Err(Error::TooLarge(format!("{field}: larger than {FILE_LIMIT} bytes")));
    }
    let content = String::from_utf8(content).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let text = String::from_utf8_lossy(valid);
        let line = text.matches('\n').count() + 1;
        let column = text.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let message = "not UTF-8 from here on; save the file as UTF-8";
        Error::problem(Problem::new(field, message).at(number(line), number(column)))
    })?;
    let file_name =
        name.filter(|name| !name.is_empty()).unwrap_or_else(|| default_name(field).to_owned());
    Ok(Some(Upload { file_name, content }))
}

/// A file that must be there.
pub(super) fn required(field: &str, file: Option<File>) -> Result<Upload> {
    optional(field, file)?.ok_or_else(|| missing(field))
}

/// A text field; an empty one is an absent one.
pub(super) fn text(value: Option<String>) -> Option<String> {
    value.filter(|value| !value.is_empty())
}

pub(super) fn missing(field: &str) -> Error {
    Error::problem(Problem::new(field, "missing, or empty"))
}
