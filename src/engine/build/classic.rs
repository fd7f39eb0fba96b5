//! A build by the classic builder, which performs one instruction after the other and prints what
//! happens as one text.

use http::{HeaderMap, HeaderValue, Method, header};

use super::{Build, Built, Console, Failure, Outcome, Seen, Step, clean, query, tar, text::Lines};
use crate::{
    engine::{
        Engine,
        images::login_header,
        stream::{Layers, Messages},
    },
    error::{Error, Result},
    model::Channel,
};

/// The builder prints in red what a step prints to standard error.
const STDERR: &str = "\x1b[91m";

pub(super) async fn build(
    engine: &Engine,
    build: &Build,
    console: &mut Console<'_>,
) -> Result<Outcome> {
    let mut progress = Progress::default();
    let outcome = follow(engine, build, &mut progress, console).await;
    // What the builder keeps of stages that are no part of the image, and of a build that failed,
    // has no name and no label by which it could be found later.
    let built = matches!(outcome, Ok(Outcome::Built(_)));
    progress.remove_rest(engine, built).await;
    outcome
}

async fn follow(
    engine: &Engine,
    build: &Build,
    progress: &mut Progress,
    console: &mut Console<'_>,
) -> Result<Outcome> {
    let query = query(
        build,
        &[("version", "1"), ("rm", "1"), ("forcerm", "1"), ("dockerfile", &build.dockerfile)],
    );
    let path = format!("{}/build?{query}", engine.agreement().await?.prefix);
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-tar"));
    if let Some(login) = &build.login {
        let logins = serde_json::json!({ &login.host: login.json() });
        headers.insert("x-registry-config", login_header(&logins)?);
    }
    let (body, writer) = tar::stream(std::sync::Arc::clone(&build.context));
    let answer = engine.transport.request(Method::POST, &path, headers, body).await;
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            // If the context cannot be read, that is why the request failed.
            writer.await.map_err(Error::internal)?.map_err(Error::internal)?;
            return console.refused(error).await;
        }
    };
    let mut messages = Messages::new(&engine.transport, answer);
    let mut layers = Layers::default();
    let mut image = None;
    while let Some(message) = messages.next().await? {
        if let Some(error) = message.error() {
            progress.finish(console).await;
            let message = clean(error);
            console.error(format!("ERROR: {message}")).await;
            return Ok(Outcome::Failed(Failure { step: progress.step.take(), message }));
        }
        if let Some(id) = message.aux.get("ID").and_then(|id| id.as_str()) {
            image = Some(id.to_owned());
        }
        if message.stream.is_empty() {
            layers.write(&message, Channel::Log, console.log).await;
        } else {
            progress.show(&message.stream, console).await;
        }
    }
    progress.finish(console).await;
    match image {
        Some(image) => Ok(Outcome::Built(Built { image, began: None })),
        // So ends an answer when the engine is stopped.
        None => Err(Error::passing("engine", "it stopped building without saying why", None)),
    }
}

#[derive(Default)]
struct Progress {
    step: Option<Step>,
    stdout: Lines,
    stderr: Lines,
    /// The images that the steps of each stage made; not those that the cache had.
    stages: Vec<Vec<String>>,
    /// The image in the next line is one that the cache had.
    cached: bool,
}

impl Progress {
    async fn show(&mut self, text: &str, console: &mut Console<'_>) {
        if is_builders(text) {
            // A step need not end its last line.
            self.finish(console).await;
        }
        let stderr = text.starts_with(STDERR);
        let lines = if stderr { &mut self.stderr } else { &mut self.stdout };
        for line in lines.push(text.as_bytes()) {
            self.line(line, stderr, console).await;
        }
    }

    async fn finish(&mut self, console: &mut Console<'_>) {
        for (line, stderr) in [(self.stdout.finish(), false), (self.stderr.finish(), true)] {
            if let Some(line) = line {
                self.line(line, stderr, console).await;
            }
        }
    }

    async fn line(&mut self, line: String, stderr: bool, console: &mut Console<'_>) {
        if let Some(step) = header(&line) {
            if is_from(&step.instruction) {
                self.stages.push(Vec::new());
                // What a stage begins with was there before.
                self.cached = true;
            } else {
                self.cached = false;
            }
            self.step = Some(step);
            console.say(line).await;
        } else if line == " ---> Using cache" {
            self.cached = true;
            if let Some(step) = &self.step {
                (console.watch)(step, Seen::Cached);
            }
            console.say(line).await;
        } else if let Some(image) = image(&line) {
            if let (Some(stage), false) = (self.stages.last_mut(), self.cached) {
                stage.push(image.to_owned());
            }
            console.say(line).await;
        } else if let (Some(step), false) = (&self.step, is_builders(&line)) {
            console.output(step, &line, line.clone(), stderr).await;
        } else {
            console.say(line).await;
        }
    }

    async fn remove_rest(&mut self, engine: &Engine, built: bool) {
        if built {
            self.stages.pop();
        }
        // Each was made from the one before, which can only go after it.
        for image in self.stages.drain(..).flatten().rev() {
            if let Err(error) = engine.remove_layer(&image).await {
                // By now another build has it in its cache, or the engine is gone; neither
                // changes how this build ended.
                tracing::debug!(image, %error, "an image of the classic builder stays");
            }
        }
    }
}

/// Whether the builder says this, and not the program that it runs.
fn is_builders(text: &str) -> bool {
    [" ---> ", "Removing intermediate container ", "Successfully built "]
        .iter()
        .any(|start| text.starts_with(start))
}

/// `Step 2/3 : RUN x`
fn header(line: &str) -> Option<Step> {
    let (place, instruction) = line.strip_prefix("Step ")?.split_once(" : ")?;
    let (number, all) = place.split_once('/')?;
    all.parse::<u32>().ok()?;
    Some(Step { number: number.parse().ok()?, instruction: clean(instruction) })
}

/// ` ---> 0fd454423257`
fn image(line: &str) -> Option<&str> {
    let id = line.strip_prefix(" ---> ")?;
    (id.len() == 12 && id.bytes().all(|b| b.is_ascii_hexdigit())).then_some(id)
}

fn is_from(instruction: &str) -> bool {
    instruction.split_whitespace().next().is_some_and(|word| word.eq_ignore_ascii_case("from"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_builders_own_lines_are_told_from_output() {
        let step = header("Step 2/3 : RUN echo a : b").unwrap();
        assert_eq!((step.number, step.instruction.as_str()), (2, "RUN echo a : b"));
        assert_eq!(header("Step by step : x"), None);
        assert_eq!(image(" ---> 0fd454423257"), Some("0fd454423257"));
        assert_eq!(image(" ---> Running in a511321ee0b6"), None);
        assert_eq!(image(" ---> Using cache"), None);
        assert!(is_from("FROM a AS b") && !is_from("RUN from"));
    }
}
