//! Building images: one request, two builders, the same lines in the log.
//!
//! BuildKit reads the build context through a session, as it does from `docker build`: it asks
//! for the files that changed since it last saw the context, so a rebuild does not send everything
//! again. The classic builder gets the context as a tar.
//!
//! A build that is dropped ends on the engine, because its connection closes.

mod buildkit;
mod classic;
mod context;
mod filesync;
mod session;
mod tar;
mod text;

use std::{collections::BTreeMap, sync::Arc};

use time::OffsetDateTime;

use super::{Engine, Login, passing};
use crate::{
    error::{Error, Result},
    model::{Channel, Log},
};

pub use self::context::{Content, Context, Entry};
pub(super) use self::text::clean;

/// Which of the engine's builders builds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Builder {
    /// BuildKit where the engine has it, otherwise the classic builder.
    #[default]
    Best,
    Classic,
}

/// What to build.
#[derive(Debug)]
pub struct Build {
    pub context: Arc<Context>,
    /// Path of the Dockerfile in the context.
    pub dockerfile: String,
    /// Labels of the image. They are no part of what the layers are cached by.
    pub labels: BTreeMap<String, String>,
    /// For pulling images that the Dockerfile names.
    pub login: Option<Login>,
    /// Every step is performed, also if its result is known.
    pub no_cache: bool,
    /// Builds with the same key are expected to have much of their context in common.
    pub context_key: String,
}

/// One instruction as a builder performs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Different for each step of a build.
    pub number: u32,
    /// As the builder prints it: on one line, variables in it perhaps replaced.
    pub instruction: String,
}

/// What is seen of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen<'a> {
    /// A line that it prints.
    Line(&'a str),
    /// Its result is an earlier one; what it printed then is not known.
    Cached,
}

/// How a build ended that the engine carried out.
#[derive(Debug)]
pub enum Outcome {
    Built(Built),
    Failed(Failure),
}

#[derive(Debug)]
pub struct Built {
    /// The id of the image, which has no name yet.
    pub image: String,
    /// By the engine's clock; only BuildKit tells.
    began: Option<OffsetDateTime>,
}

#[derive(Debug)]
pub struct Failure {
    /// `None` where no instruction was begun, as with a Dockerfile that has a mistake.
    pub step: Option<Step>,
    /// In the engine's words.
    pub message: String,
}

impl Failure {
    /// Whether a registry or a network failed the builder for now, and no step of the build did.
    pub fn may_pass(&self) -> bool {
        // What either builder says of a command of the user's, with the command in it.
        let by_command = ["did not complete successfully", "returned a non-zero code"];
        !by_command.iter().any(|words| self.message.contains(words))
            && passing::says_passing(&self.message)
    }
}

impl Engine {
    /// Whether a build would go through BuildKit.
    pub async fn builds_with_buildkit(&self) -> Result<bool> {
        Ok(self.builder == Builder::Best && self.agreement().await?.buildkit)
    }

    /// Removes the image of a build that turned out to be bad, and the results of its steps that
    /// are new, so that the next such build performs these steps again instead of taking the bad
    /// results from the cache.
    pub async fn discard(&self, built: &Built) -> Result<()> {
        // The classic builder's cache is the images below, which go with it.
        self.remove_image(&built.image).await?;
        match built.began {
            Some(began) => buildkit::forget(self, began).await,
            None => Ok(()),
        }
    }

    /// Builds an image and leaves it without a name. Images that the Dockerfile names are pulled
    /// only if the engine does not have them.
    ///
    /// What happens goes to [`Channel::Log`] line by line, what steps print to standard error and
    /// what made the build fail also to [`Channel::ErrorLog`]. What is
    /// seen of each step is shown to `watch` first.
    ///
    /// Fails with [`Error::Unavailable`] when the engine goes
    /// away in the middle.
    pub async fn build(
        &self,
        build: &Build,
        log: &Log,
        watch: &mut (dyn FnMut(&Step, Seen<'_>) + Send),
    ) -> Result<Outcome> {
        let mut console = Console { log, watch };
        if self.builds_with_buildkit().await? {
            buildkit::build(self, build, &mut console).await
        } else {
            classic::build(self, build, &mut console).await
        }
    }
}

/// Where both builders write to.
struct Console<'a> {
    log: &'a Log,
    watch: &'a mut (dyn FnMut(&Step, Seen<'_>) + Send),
}

impl Console<'_> {
    async fn say(&mut self, line: impl Into<String>) {
        self.log.write(Channel::Log, line).await;
    }

    /// A build that the engine does not begin with, as for a Dockerfile with a mistake.
    async fn refused(&mut self, error: Error) -> Result<Outcome> {
        let Error::Failed { description, .. } = error else { return Err(error) };
        let message = clean(&description);
        self.error(format!("ERROR: {message}")).await;
        Ok(Outcome::Failed(Failure { step: None, message }))
    }

    async fn error(&mut self, line: impl Into<String>) {
        let line = line.into();
        self.log.write(Channel::ErrorLog, line.clone()).await;
        self.log.write(Channel::Log, line).await;
    }

    /// A line that a step prints; `shown` is how the builder's log shows it.
    async fn output(&mut self, step: &Step, line: &str, shown: String, stderr: bool) {
        (self.watch)(step, Seen::Line(line));
        if stderr {
            self.error(shown).await;
        } else {
            self.say(shown).await;
        }
    }
}

/// What of a request is the same for both builders.
fn query(build: &Build, rest: &[(&str, &str)]) -> String {
    let labels = serde_json::json!(build.labels).to_string();
    form_urlencoded::Serializer::new(String::new())
        .append_pair("labels", &labels)
        .append_pair("nocache", if build.no_cache { "1" } else { "0" })
        .extend_pairs(rest)
        .finish()
}
