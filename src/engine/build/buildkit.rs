//! A build through BuildKit, and its progress as `docker build --progress=plain` prints it.
//!
//! BuildKit works on a graph. Its vertices are the instructions and what they need; it reports
//! each time something about one of them changes, several at a time (BuildKit, `api/services/
//! control/control.proto`: `StatusResponse`).

use std::collections::{HashMap, HashSet};

use bollard::{
    moby::buildkit::v1::{StatusResponse, Vertex},
    models::BuildInfoAux,
    query_parameters::PruneBuildOptionsBuilder,
};
use futures_util::future::{self, Either as First};
use http::{HeaderMap, Method};
use http_body_util::{Either, Full};
use serde::Deserialize;
use time::OffsetDateTime;

use super::{
    Build, Built, Console, Failure, Outcome, Seen, Step, clean, filesync::DOCKERFILE, query,
    session::Session, text::Lines,
};
use crate::{
    engine::{
        Engine, failure,
        stream::{Layers, Message, Messages},
    },
    error::{Error, Result},
    model::Channel,
};

/// BuildKit says this of the vertices that it stops because another one failed.
const CANCELED: &str = "context canceled";

/// Which file descriptor a step's output came from (BuildKit: `VertexLog.stream`).
const STDERR: i64 = 2;

pub(super) async fn build(
    engine: &Engine,
    build: &Build,
    console: &mut Console<'_>,
) -> Result<Outcome> {
    let session = Session::open(engine, build).await?;
    let id = session.id.clone();
    let work = Box::pin(follow(engine, build, &id, console));
    // Served only as long as the build is waited for.
    match future::select(work, Box::pin(session.serve())).await {
        First::Left((outcome, _)) => outcome,
        // The build itself knows best why the engine has closed the session.
        First::Right(((), work)) => work.await,
    }
}

async fn follow(
    engine: &Engine,
    build: &Build,
    session: &str,
    console: &mut Console<'_>,
) -> Result<Outcome> {
    let query = query(
        build,
        &[
            ("version", "2"),
            ("session", session),
            ("remote", "client-session"),
            ("dockerfile", DOCKERFILE),
        ],
    );
    let path = format!("{}/build?{query}", engine.agreement().await?.prefix);
    let none = Either::Left(Full::default());
    let answer = engine.transport.request(Method::POST, &path, HeaderMap::new(), none).await;
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return console.refused(error).await,
    };
    let mut messages = Messages::new(&engine.transport, answer);
    let mut progress = Progress::default();
    let mut layers = Layers::default();
    while let Some(message) = messages.next().await? {
        if let Some(error) = message.error() {
            progress.finish(console).await;
            let message = clean(error);
            console.error(format!("ERROR: {message}")).await;
            return Ok(Outcome::Failed(Failure { step: progress.failed, message }));
        }
        match message.id.as_str() {
            "moby.buildkit.trace" => {
                let BuildInfoAux::BuildKit(status) = aux(message)? else { continue };
                progress.show(status, console).await;
            }
            "moby.image.id" => {
                if let BuildInfoAux::Default(image) = aux(message)? {
                    progress.image = image.id;
                }
            }
            _ => layers.write(&message, Channel::Log, console.log).await,
        }
    }
    progress.finish(console).await;
    match progress.image {
        Some(image) => Ok(Outcome::Built(Built { image, began: progress.began })),
        // So ends an answer when the engine is stopped.
        None => Err(Error::passing("engine", "it stopped building without saying why", None)),
    }
}

/// Removes from BuildKit's cache what was added since then. What another build added at the same
/// time goes too, which costs that one time later, but nothing else.
pub(super) async fn forget(engine: &Engine, since: OffsetDateTime) -> Result<()> {
    #[derive(Deserialize)]
    struct Usage {
        #[serde(rename = "BuildCache", default)]
        cache: Vec<Record>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Record {
        #[serde(rename = "ID")]
        id: String,
        #[serde(with = "time::serde::rfc3339")]
        created_at: OffsetDateTime,
    }
    let path = engine.agreement().await?.usage_path();
    let (_, body) = engine.transport.get(&path).await?;
    let Usage { mut cache } = serde_json::from_slice(&body).map_err(Error::internal)?;
    cache.retain(|record| record.created_at >= since);
    // A record is only removed once nothing depends on it, and what does is younger.
    cache.sort_by_key(|record| std::cmp::Reverse(record.created_at));
    let docker = engine.docker().await?;
    for Record { id, .. } in cache {
        let filters = HashMap::from([("id", vec![id])]);
        let options = PruneBuildOptionsBuilder::default().all(true).filters(&filters).build();
        docker.prune_build(Some(options)).await.map_err(|error| failure(&error))?;
    }
    Ok(())
}

fn instant(seconds: i64, nanos: i32) -> Option<OffsetDateTime> {
    let nanos = i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    OffsetDateTime::from_unix_timestamp_nanos(nanos).ok()
}

fn aux(message: Message) -> Result<BuildInfoAux> {
    serde_json::from_value(message.aux)
        .map_err(|error| Error::unavailable("engine", format!("its answer is garbled: {error}")))
}

#[derive(Default)]
struct Progress {
    /// By the digest of the vertex.
    vertices: HashMap<String, Shown>,
    image: Option<String>,
    failed: Option<Step>,
    /// When the first vertex was begun.
    began: Option<OffsetDateTime>,
}

/// A vertex that is in the log.
struct Shown {
    step: Step,
    stdout: Lines,
    stderr: Lines,
    ended: bool,
    /// Parts of it, such as layers, of which the end is in the log.
    parts: HashSet<String>,
}

impl Progress {
    async fn show(&mut self, status: StatusResponse, console: &mut Console<'_>) {
        for vertex in &status.vertexes {
            self.vertex(vertex, console).await;
        }
        for part in status.statuses {
            let Some(shown) = self.vertices.get_mut(&part.vertex) else { continue };
            if part.completed.is_some() && shown.parts.insert(part.id.clone()) {
                console.say(format!("#{} {} done", shown.step.number, clean(&part.id))).await;
            }
        }
        for log in status.logs {
            let Some(shown) = self.vertices.get_mut(&log.vertex) else { continue };
            let stderr = log.stream == STDERR;
            let lines = if stderr { &mut shown.stderr } else { &mut shown.stdout };
            for line in lines.push(&log.msg) {
                let text = format!("#{} {line}", shown.step.number);
                console.output(&shown.step, &line, text, stderr).await;
            }
        }
        for warning in status.warnings {
            let text = clean(&String::from_utf8_lossy(&warning.short));
            console.say(format!("WARNING: {text}")).await;
        }
    }

    async fn vertex(&mut self, vertex: &Vertex, console: &mut Console<'_>) {
        let started = vertex.started.as_ref().and_then(|at| instant(at.seconds, at.nanos));
        let completed = vertex.completed.as_ref().and_then(|at| instant(at.seconds, at.nanos));
        self.began = self.began.or(started);
        let begun = started.is_some() || vertex.cached || !vertex.error.is_empty();
        let known = self.vertices.contains_key(&vertex.digest);
        // BuildKit announces vertices that it may never come to.
        if !begun && !known {
            return;
        }
        let number = u32::try_from(self.vertices.len() + 1).unwrap_or(u32::MAX);
        let shown = self.vertices.entry(vertex.digest.clone()).or_insert_with(|| Shown {
            step: Step { number, instruction: clean(instruction(&vertex.name)) },
            stdout: Lines::default(),
            stderr: Lines::default(),
            ended: false,
            parts: HashSet::new(),
        });
        let number = shown.step.number;
        if !known {
            console.say(format!("#{number} {}", clean(&vertex.name))).await;
        }
        let Some(completed) = completed else { return };
        if !vertex.error.is_empty() {
            shown.finish(console).await;
            console.say(format!("#{number} ERROR: {}", clean(&vertex.error))).await;
            if self.failed.is_none() && !vertex.error.ends_with(CANCELED) {
                self.failed = Some(shown.step.clone());
            }
        } else if !shown.ended {
            shown.finish(console).await;
            if vertex.cached {
                (console.watch)(&shown.step, Seen::Cached);
                console.say(format!("#{number} CACHED")).await;
            } else if let Some(started) = started {
                let seconds = (completed - started).as_seconds_f64();
                console.say(format!("#{number} DONE {seconds:.1}s")).await;
            }
        }
        shown.ended = true;
    }

    /// Lines that were begun when the build ended.
    async fn finish(&mut self, console: &mut Console<'_>) {
        for shown in self.vertices.values_mut() {
            shown.finish(console).await;
        }
    }
}

impl Shown {
    async fn finish(&mut self, console: &mut Console<'_>) {
        for (lines, stderr) in [(&mut self.stdout, false), (&mut self.stderr, true)] {
            if let Some(line) = lines.finish() {
                let text = format!("#{} {line}", self.step.number);
                console.output(&self.step, &line, text, stderr).await;
            }
        }
    }
}

/// `[stage 2/3] RUN x` without what is in the brackets.
fn instruction(name: &str) -> &str {
    match name.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        Some((_, instruction)) => instruction,
        None => name,
    }
}

#[cfg(test)]
mod tests {
    use super::instruction;

    #[test]
    fn the_place_in_the_graph_is_no_part_of_an_instruction() {
        assert_eq!(instruction("[stage-1 2/3] RUN [ -e /x ]"), "RUN [ -e /x ]");
        assert_eq!(instruction("exporting to image"), "exporting to image");
    }
}
