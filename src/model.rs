//! Plain data that several rooms speak of. No I/O.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::error::{Error, Problem, Result};

/// All of Crane's labels begin with this, and nobody else's do.
pub const LABEL_PREFIX: &str = "eu.cloudopting.crane.";
/// Label on every container, image, network and volume that Crane makes; its value is the id of
/// the Crane that made it, so that two of them on one engine leave each other's things alone.
pub const LABEL_INSTANCE: &str = "eu.cloudopting.crane.instance";
/// Label with the token of the resource (context, image, base, composition) a thing belongs to.
pub const LABEL_RESOURCE: &str = "eu.cloudopting.crane.resource";
/// Label with the name of a composition's service on its containers.
pub const LABEL_SERVICE: &str = "eu.cloudopting.crane.service";

/// A name of a group, an image or a base: an OCI repository path of at most 128 characters
/// (OCI Distribution Specification, "Pulling manifests": `<name>`). Upper case is lowered, as
/// CloudOpting-Crane 0.5 did.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Name(String);

/// Longer names would not fit into a tag reference together with a registry and a group.
pub const NAME_MAX: usize = 128;

impl Name {
    /// `field` names the form field in the problem.
    pub fn parse(field: &str, text: &str) -> Result<Self> {
        let name = text.to_ascii_lowercase();
        let refuse = |message: String| Err(Error::problem(Problem::new(field, message)));
        if name.is_empty() || name.len() > NAME_MAX {
            return refuse(format!(
                "a name has 1 to {NAME_MAX} characters, this one has {}",
                name.chars().count()
            ));
        }
        if !name.split('/').all(is_path_component) {
            return refuse(
                "a name is made of [a-z0-9]+ joined by '.', '_', '__' or '-', with '/' between \
                 components, for example 'team/web-server'"
                    .into(),
            );
        }
        let ends = ["/detail", "/log", "/cancel"];
        if let Some(end) = ends.into_iter().find(|end| name.ends_with(end)) {
            return refuse(format!("a name does not end with '{end}', which is a route's end"));
        }
        Ok(Self(name))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Name {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        Self::parse("name", text)
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_path_component(component: &str) -> bool {
    let mut rest = component.as_bytes();
    loop {
        let word = rest.iter().take_while(|b| b.is_ascii_lowercase() || b.is_ascii_digit()).count();
        if word == 0 {
            return false;
        }
        rest = &rest[word..];
        rest = match rest {
            [] => return true,
            [b'_', b'_', tail @ ..] | [b'.' | b'_', tail @ ..] => tail,
            [b'-', ..] => &rest[rest.iter().take_while(|b| **b == b'-').count()..],
            _ => return false,
        };
    }
}

/// Which of a resource's logs a line belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// What a context's installation or an image's build prints.
    Log,
    /// The part of it that went to standard error, or made the build fail.
    ErrorLog,
    /// A composition's pulls.
    Pull,
    /// A composition's containers, networks and volumes as they come up or go.
    Up,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub channel: Channel,
    /// What the work was at, in one word; see [`Log::at`].
    pub step: Arc<str>,
    pub text: String,
}

/// Where the trade writes what it does, line by line, as it happens.
///
/// Sending waits while the reader is behind, so a build that prints faster than its log can be
/// stored is slowed down, and memory stays bounded. When the reader is gone, lines are dropped.
#[derive(Debug, Clone)]
pub struct Log {
    sender: mpsc::Sender<Line>,
    step: Arc<str>,
}

impl Log {
    pub fn new(sender: mpsc::Sender<Line>) -> Self {
        Self { sender, step: "".into() }
    }

    /// The same log, for lines of the step that begins now: `install`, `build`, `push`, ...
    #[must_use]
    pub fn at(&self, step: &str) -> Self {
        Self { sender: self.sender.clone(), step: step.into() }
    }

    pub async fn write(&self, channel: Channel, text: impl Into<String>) {
        let line = Line { channel, step: Arc::clone(&self.step), text: text.into() };
        // An error means that nobody reads any more, which is the reader's decision.
        let _ = self.sender.send(line).await;
    }
}

#[cfg(test)]
mod tests {
    use super::Name;

    #[test]
    fn names_follow_the_oci_grammar() {
        for good in ["a", "web", "team/web-server", "a.b", "a_b", "a__b", "a--b", "a/b/c", "UPPER"]
        {
            assert_eq!(Name::parse("imageName", good).unwrap().as_str(), good.to_lowercase());
        }
        let long = "x".repeat(300);
        for bad in [
            "",
            "/a",
            "a/",
            "a//b",
            "../../x",
            ".a",
            "a.",
            "a___b",
            "a;touch /tmp/p",
            "a\0b",
            "a\nb",
            "ü",
            &long,
        ] {
            assert!(Name::parse("imageName", bad).is_err(), "{bad:?}");
        }
    }
}
