//! Builds images from an installed context and puts them into the registry.
//!
//! The build context that the engine sees is the context's `modules/`, the manifest under the name
//! it was uploaded with, and `images/<name>/` with the Dockerfile and the manifest once more: what
//! Dockerfiles written for CloudOpting-Crane 0.5 expect.

mod context;
mod dockerfile;
mod generated;
mod labels;
mod publish;
mod puppet_log;
mod references;
mod request;
mod vouch;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use time::OffsetDateTime;

use self::{
    context::File,
    dockerfile::Dockerfile,
    puppet_log::Errors,
    references::{Base, Resolver},
};
use crate::{
    engine::{Build, Engine, Failure, Login, Outcome, api::ImageSummary},
    error::{Error, Problem, Result, chain},
    model::{Channel, Log},
    registry::{Deletion, Registry},
};

pub use self::request::{Built, Request, Source, Upload, check};

/// What a request comes down to.
struct Plan {
    /// As the builder gets it.
    dockerfile: String,
    /// The user's, where there is one.
    parsed: Option<Dockerfile>,
    base: Option<Base>,
}

/// Builds an image, pushes it if there is a registry, and names it on the engine.
///
/// The registry and the images of Crane's that the image is built on are looked at before anything
/// is built. Labels, tags and digest are as in the API contract.
///
/// Fails with [`Error::Invalid`] for mistakes that are found before, with [`Error::Failed`] and its
/// problems for a build or a run of Puppet that failed, and with [`Error::Unavailable`] for an
/// engine or a registry that does not do its part. No image and no name is left then, and an older
/// image of this name stays. Dropped in the middle, the build ends on the engine; what it may have
/// made there has the request's labels, by which [`remove`] finds it.
pub async fn image(
    engine: &Engine,
    registry: Option<&Registry>,
    request: &Request,
    log: &Log,
) -> Result<Built> {
    let problems = check(&request.source);
    if let Some(first) = problems.first() {
        return Err(Error::Invalid { description: first.to_string(), problems });
    }
    if let Some(registry) = registry {
        registry.ping().await?;
    }
    let plan = plan(engine, registry, request).await?;
    let login = registry.and_then(login);
    let dockerfile = format!("images/{}/Dockerfile", request.name);
    let files = files(request, &dockerfile, plan.dockerfile);
    let build = Build {
        context: Arc::new(context::collect(request.root.clone(), files).await?),
        dockerfile,
        labels: labels::labels(request, plan.base.as_ref(), OffsetDateTime::now_utc())?,
        login: login.clone(),
        no_cache: false,
        context_key: request.context_token.clone().unwrap_or_else(|| request.tag.clone()),
    };
    let image = build_well(engine, build, request, plan.parsed.as_ref(), log).await?;
    let built = publish::publish(engine, registry, login.as_ref(), request, &image, log).await?;
    if let Err(error) = remove_unfinished(engine, registry, request, &built).await {
        // It has the labels of the resource, and goes with that.
        tracing::warn!(error = chain(&error), "what an earlier run left cannot be removed now");
    }
    Ok(built)
}

/// Removes what earlier runs for this request made that were cut short: images that have no name,
/// as the one that was built has it now.
async fn remove_unfinished(
    engine: &Engine,
    registry: Option<&Registry>,
    request: &Request,
    built: &Built,
) -> Result<()> {
    let mut digests = BTreeSet::new();
    for image in engine.images_labelled(&filters(&request.labels)).await? {
        let named = image.repo_tags.iter().any(|tag| tag != "<none>:<none>");
        if image.id == built.image_id || named {
            continue;
        }
        if let Some(registry) = registry {
            digests.extend(pushed(&image, &registry.reference(&request.tag)));
        }
        engine.remove_image(&image.id).await?;
    }
    let Some(registry) = registry else { return Ok(()) };
    for digest in digests.iter().filter(|digest| built.digest.as_ref() != Some(digest)) {
        registry.delete(&request.tag, digest, digest).await?;
    }
    Ok(())
}

fn filters(labels: &BTreeMap<String, String>) -> Vec<String> {
    labels.iter().map(|(key, value)| format!("{key}={value}")).collect()
}

/// The digests under which an image was pushed to a repository.
fn pushed(image: &ImageSummary, repository: &str) -> Vec<String> {
    let digests = image.repo_digests.iter().filter_map(|name| name.split_once('@'));
    digests.filter(|(name, _)| *name == repository).map(|(_, digest)| digest.to_owned()).collect()
}

/// Removes what was made for a resource: its images from the engine, found by the labels that were
/// given with the request, and its digest from the registry; without one, the digests that the
/// engine pushed these images under.
///
/// Gives what could not be removed, in sentences.
pub async fn remove(
    engine: &Engine,
    registry: Option<&Registry>,
    labels: &BTreeMap<String, String>,
    tag: &str,
    digest: Option<&str>,
) -> Result<Vec<String>> {
    let labels = filters(labels);
    let mut digests: BTreeSet<String> = digest.map(str::to_owned).into_iter().collect();
    if let (Some(registry), None) = (registry, digest) {
        // A build that was ended between its push and its record: the engine knows the digest.
        for image in engine.images_labelled(&labels).await? {
            digests.extend(pushed(&image, &registry.reference(tag)));
        }
    }
    let mut left = engine.remove_images_labelled(&labels).await?;
    let Some(registry) = registry else { return Ok(left) };
    for digest in &digests {
        // By its digest, which has the resource's labels in it and so is nobody else's: the tag goes
        // along where it still means this image, and stays where it means a newer one.
        match registry.delete(tag, digest, digest).await? {
            Deletion::Refused(reason) => left.push(reason),
            Deletion::Deleted | Deletion::Absent | Deletion::Moved => {}
        }
    }
    Ok(left)
}

async fn plan(engine: &Engine, registry: Option<&Registry>, request: &Request) -> Result<Plan> {
    let resolver = Resolver { engine, registry };
    match &request.source {
        Source::Base { base, manifest } => {
            let base = resolver.own(base, |words| Problem::new("base", words)).await?;
            let buildkit = engine.builds_with_buildkit().await?;
            let dockerfile = generated::dockerfile(&base.reference, &manifest.file_name, buildkit);
            Ok(Plan { dockerfile, parsed: None, base: Some(base) })
        }
        Source::Dockerfile { dockerfile, .. } => {
            let parsed = dockerfile::parse(dockerfile);
            let (dockerfile, base) = resolver.dockerfile(dockerfile, &parsed, request).await?;
            Ok(Plan { dockerfile, parsed: Some(parsed), base })
        }
    }
}

/// What lies over the context's modules.
fn files(request: &Request, path: &str, dockerfile: String) -> Vec<File> {
    let mut files = vec![(path.to_owned(), dockerfile)];
    if let Some(Upload { file_name, content }) = request.source.manifest() {
        files.push((file_name.clone(), content.clone()));
        files.push((format!("images/{}/{file_name}", request.name), content.clone()));
    }
    files
}

/// The id of the image, after nothing that Puppet said in the build speaks against it.
async fn build_well(
    engine: &Engine,
    mut build: Build,
    request: &Request,
    parsed: Option<&Dockerfile>,
    log: &Log,
) -> Result<String> {
    let manifest = request.source.manifest().map(|manifest| manifest.file_name.as_str());
    loop {
        let mut errors = Errors::default();
        let outcome = engine.build(&build, log, &mut |step, seen| errors.watch(step, seen)).await?;
        let problems = errors.problems(manifest, parsed);
        let built = match outcome {
            Outcome::Built(built) => built,
            Outcome::Failed(failure) => return Err(explain(&failure, problems, parsed)),
        };
        // The exit code that Crane's own Dockerfile asks Puppet for is exact.
        if parsed.is_none() {
            return Ok(built.image);
        }
        if !problems.is_empty() {
            engine.discard(&built).await?;
            return Err(hidden(problems, log).await);
        }
        let seen = errors.unseen.is_empty() || build.no_cache;
        if seen || vouch::vouched(engine, &built.image, &errors.unseen).await? {
            return Ok(built.image);
        }
        engine.remove_image(&built.image).await?;
        let line = "Building again without the cache: what Puppet reported is not in it";
        log.write(Channel::Log, line).await;
        build.no_cache = true;
    }
}

fn login(registry: &Registry) -> Option<Login> {
    let credentials = registry.credentials()?;
    Some(Login {
        host: registry.host().to_owned(),
        username: credentials.username.clone(),
        password: credentials.password.clone(),
    })
}

/// Errors of Puppet's in a build that succeeded.
async fn hidden(problems: Vec<Problem>, log: &Log) -> Error {
    let reported = count(&problems);
    let description = match problems.first() {
        Some(first) => format!("Puppet reported {reported}, although the build went on: {first}"),
        None => reported,
    };
    log.write(Channel::ErrorLog, format!("ERROR: {description}")).await;
    Error::failed_with(description, problems)
}

/// A build that failed, in a sentence: by Puppet's own words if it was Puppet.
fn explain(failure: &Failure, mut problems: Vec<Problem>, parsed: Option<&Dockerfile>) -> Error {
    let Failure { step, message } = failure;
    let may_pass = problems.is_empty() && failure.may_pass();
    let mut description = match (problems.first(), step) {
        (Some(first), _) => format!("Puppet reported {}: {first}", count(&problems)),
        (None, Some(step)) => format!("the step '{}' failed: {message}", step.instruction),
        (None, None) => format!("the engine cannot build this: {message}"),
    };
    if parsed.is_some_and(|file| file.heredocs) && message.contains("unknown instruction") {
        description.push_str(
            ". The engine takes the lines of a here-document (<<) for instructions: Docker 23 and \
             later know them, before that put the lines into a file or behind '&& \\'",
        );
    }
    if problems.is_empty()
        && let Some(file) = parsed
    {
        let line = step.as_ref().and_then(|step| file.line_of(&step.instruction));
        let line = line.or_else(|| line_in(message));
        problems.push(Problem { line, ..Problem::new("Dockerfile", message) });
    }
    let error = Error::failed_with(description, problems);
    if may_pass { error.may_pass(None) } else { error }
}

/// `dockerfile parse error line 3: ...`
fn line_in(message: &str) -> Option<u32> {
    let (_, rest) = message.split_once("line ")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn count(problems: &[Problem]) -> String {
    match problems.len() {
        1 => "an error".to_owned(),
        errors => format!("{errors} errors"),
    }
}
