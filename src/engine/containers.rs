//! Containers on the engine.

use std::collections::HashMap;

use bollard::{
    errors::Error as Cause,
    query_parameters::{
        CreateContainerOptionsBuilder, ListContainersOptionsBuilder, LogsOptionsBuilder,
        RemoveContainerOptionsBuilder, StopContainerOptionsBuilder,
    },
};
use futures_util::TryStreamExt;

use super::{Engine, api, failure};
use crate::error::{Error, Result};

impl Engine {
    /// Containers that carry a label, given as `key=value`, whether they run or not.
    pub async fn containers_labelled(&self, label: &str) -> Result<Vec<api::ContainerSummary>> {
        let filters = HashMap::from([("label", vec![label])]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        self.docker().await?.list_containers(Some(options)).await.map_err(|error| failure(&error))
    }

    /// What the engine knows of one container, by its id or name; `None` where there is none.
    pub async fn container(&self, id: &str) -> Result<Option<api::ContainerInspectResponse>> {
        match self.docker().await?.inspect_container(id, None).await {
            Ok(container) => Ok(Some(container)),
            Err(Cause::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
            Err(error) => Err(failure(&error)),
        }
    }

    /// Makes a container and gives its id.
    ///
    /// Fails with [`Error::Conflict`] where the name is taken.
    pub async fn create_container(
        &self,
        name: &str,
        body: api::ContainerCreateBody,
    ) -> Result<String> {
        let options = CreateContainerOptionsBuilder::default().name(name).build();
        match self.docker().await?.create_container(Some(options), body).await {
            Ok(created) => Ok(created.id),
            Err(Cause::DockerResponseServerError { status_code: 409, message }) => {
                Err(Error::Conflict(message))
            }
            Err(error) => Err(failure(&error)),
        }
    }

    /// Starts a container; one that runs already goes on.
    pub async fn start_container(&self, id: &str) -> Result<()> {
        let docker = self.docker().await?;
        docker.start_container(id, None).await.map_err(|error| failure(&error))
    }

    /// Stops a container and removes it. That it is gone already is no error.
    pub async fn remove_container(&self, id: &str, grace: Grace) -> Result<()> {
        let docker = self.docker().await?;
        let options = match grace {
            Grace::AsItAsks => None,
            Grace::None => Some(StopContainerOptionsBuilder::default().t(0).build()),
        };
        match docker.stop_container(id, options).await {
            Ok(()) => {}
            Err(Cause::DockerResponseServerError { status_code: 404, .. }) => return Ok(()),
            Err(error) => return Err(failure(&error)),
        }
        // By force, as a restart policy may have started it again.
        let options = RemoveContainerOptionsBuilder::default().v(true).force(true).build();
        match docker.remove_container(id, Some(options)).await {
            Ok(()) | Err(Cause::DockerResponseServerError { status_code: 404, .. }) => Ok(()),
            Err(error) => Err(failure(&error)),
        }
    }

    /// The last `lines` that a container printed, without a terminal's control characters.
    pub async fn container_tail(&self, id: &str, lines: usize) -> Result<Vec<String>> {
        let options = LogsOptionsBuilder::default()
            .stdout(true)
            .stderr(true)
            .tail(&lines.to_string())
            .build();
        let output = self.docker().await?.logs(id, Some(options)).try_fold(
            Vec::new(),
            |mut output, part| async move {
                output.extend_from_slice(&part.into_bytes());
                Ok(output)
            },
        );
        let output = output.await.map_err(|error| failure(&error))?;
        let lines = String::from_utf8_lossy(&output);
        Ok(lines.lines().map(printable).filter(|line| !line.is_empty()).collect())
    }
}

/// How long a container has to end by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grace {
    /// 10 s, unless its image or its service says otherwise.
    AsItAsks,
    /// Nobody wants what it does.
    None,
}

/// More of a line says no more.
const LINE_MAX: usize = 400;

/// A line without control characters and the escape sequences that begin with one.
fn printable(line: &str) -> String {
    let mut printable = String::new();
    let mut characters = line.chars().take(LINE_MAX);
    while let Some(character) = characters.next() {
        match character {
            // A control sequence (ECMA-48, 5.4) ends with a byte of 0x40 to 0x7e.
            '\u{1b}' if characters.next() == Some('[') => {
                characters.find(|c| ('\u{40}'..='\u{7e}').contains(c));
            }
            '\t' => printable.push(' '),
            character if character.is_control() => {}
            character => printable.push(character),
        }
    }
    printable.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::{LINE_MAX, printable};

    #[test]
    fn lines_lose_what_is_for_terminals() {
        assert_eq!(printable("\u{1b}[1;31merror\u{1b}[0m: a\tb\r"), "error: a b");
        assert_eq!(printable("a\u{7}b\u{0}"), "ab");
        assert_eq!(printable(&"x".repeat(9000)).len(), LINE_MAX);
    }
}
