//! Images: a context's modules and a manifest applied, or a Dockerfile built, and pushed.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::json;
use time::OffsetDateTime;

use super::{
    Job, Jobs, Parts, Task, bases, contexts,
    lease::Lease,
    records::{self, Context, Image, Kind, Pushed, Record, Resource, Status},
    trees,
    work::Done,
};
use crate::{
    build::{self, Built, Source, Upload},
    error::{Error, Problem, Result},
    model::{Log, Name},
};

const DOCKERFILE: &str = "dockerfile";
const MANIFEST: &str = "puppetmanifest";

/// Docker takes 255 characters for a whole reference; this leaves room for registry and digest.
const TAG_MAX: usize = 180;

/// What an image is to be made from, as posted.
#[derive(Debug, Default)]
pub struct Recipe {
    pub base: Option<String>,
    pub dockerfile: Option<Upload>,
    pub manifest: Option<Upload>,
}

impl Recipe {
    /// All that can be said before any work; the base becomes its repository path.
    async fn checked(mut self, parts: &Parts) -> Result<Self> {
        if let Some(base) = &self.base {
            self.base = Some(find_base(parts, base).await?);
        }
        check(&source(self.base.clone(), self.dockerfile.clone(), self.manifest.clone())?)?;
        Ok(self)
    }
}

pub fn resource(token: &str) -> Resource {
    Resource::new(Kind::Image, token)
}

/// The token of an image, as in CloudOpting-Crane 0.5.
pub(super) fn token(context: &str, name: &str) -> String {
    format!("{context}-IM{name}")
}

/// Checks what was posted, stores the image, and begins to build once the context (none: a new,
/// empty one) is finished.
pub async fn create(
    jobs: &Arc<Jobs>,
    context: Option<&str>,
    name: Name,
    recipe: Recipe,
) -> Result<Record<Image>> {
    let recipe = recipe.checked(&jobs.parts).await?;
    let context = match context {
        Some(token) => contexts::get(&jobs.parts, token).await?,
        None => {
            let group = Name::parse("group", contexts::DEFAULT_GROUP)?;
            contexts::create(jobs, contexts::Recipe::of(group, None)).await?
        }
    };
    begin(jobs, &context, name, recipe).await
}

/// A new context with its Puppetfile, and an image that is built once it is finished.
pub async fn create_with_context(
    jobs: &Arc<Jobs>,
    group: Name,
    puppetfile: Upload,
    name: Name,
    recipe: Recipe,
) -> Result<Record<Context>> {
    let recipe = recipe.checked(&jobs.parts).await?;
    let context = contexts::create(jobs, contexts::Recipe::of(group, Some(puppetfile))).await?;
    begin(jobs, &context, name, recipe).await?;
    Ok(context)
}

async fn begin(
    jobs: &Arc<Jobs>,
    context: &Record<Context>,
    name: Name,
    recipe: Recipe,
) -> Result<Record<Image>> {
    if matches!(context.status, Status::Error | Status::Cancelled | Status::Removing) {
        return Err(Error::Conflict(format!(
            "the context '{}' cannot be built from: {}",
            context.detail.token, context.description
        )));
    }
    let token = token(&context.detail.token, name.as_str());
    let resource = resource(&token);
    if jobs.parts.store.get(&resource.key()).await?.is_some() {
        return Err(Error::Conflict(format!(
            "the context has an image '{name}' already; DELETE '{token}' first to build it anew"
        )));
    }
    let tag = tag(&jobs.parts, &context.detail.group, &name).await?;
    let detail = Image {
        tag,
        context: context.detail.token.clone(),
        base: recipe.base,
        image_name: name,
        pushed: None,
        superseded_by: None,
        token,
    };
    let description = match context.status {
        Status::Building => "waiting for the context",
        _ => "building the image",
    };
    let record = Record::new(Status::Building, description, detail);
    let files = [(DOCKERFILE, recipe.dockerfile), (MANIFEST, recipe.manifest)];
    let files = files.into_iter().filter_map(|(field, file)| Some((field, file?))).collect();
    let mut job = Job::new(resource.clone(), Task::Make);
    job.claims = vec![claim(&record.detail.tag)];
    job.after = Some(contexts::resource(&record.detail.context));
    jobs.begin(&resource, record, files, Some(job)).await
}

/// `<group>/<imageName>`, which must fit into a reference and be no base's.
async fn tag(parts: &Parts, group: &Name, name: &Name) -> Result<String> {
    let tag = format!("{group}/{name}");
    if tag.len() > TAG_MAX {
        return Err(Error::problem(Problem::new(
            "imageName",
            format!("with its group '{tag}' has more than {TAG_MAX} characters"),
        )));
    }
    let bases = bases::list(parts).await?;
    if bases.iter().any(|base| base.detail.tag == tag) {
        return Err(Error::Conflict(format!(
            "'{tag}' is the name of a base image; use another group or name"
        )));
    }
    Ok(tag)
}

pub async fn get(parts: &Parts, token: &str) -> Result<Record<Image>> {
    records::find(&*parts.store, &resource(token)).await
}

pub async fn list(parts: &Parts) -> Result<Vec<Record<Image>>> {
    records::all(&*parts.store, Kind::Image).await
}

/// One of the three forms, or what is missing.
fn source(
    base: Option<String>,
    dockerfile: Option<Upload>,
    manifest: Option<Upload>,
) -> Result<Source> {
    let refuse = |field: &str, message: &str| Err(Error::problem(Problem::new(field, message)));
    match (base, dockerfile, manifest) {
        (Some(_), Some(_), _) => {
            refuse("dockerfile", "an image is made from a base or from a Dockerfile, not from both")
        }
        (Some(base), None, Some(manifest)) => Ok(Source::Base { base, manifest }),
        (Some(_), None, None) => {
            refuse("puppetmanifest", "missing: with a base, the manifest says what to make of it")
        }
        (None, Some(dockerfile), manifest) => {
            Ok(Source::Dockerfile { dockerfile: dockerfile.content, manifest })
        }
        (None, None, Some(_)) => {
            refuse("base", "missing: the manifest needs a base, or a Dockerfile that applies it")
        }
        (None, None, None) => refuse(
            "dockerfile",
            "missing: give a base and a manifest, a Dockerfile and a manifest, or a Dockerfile",
        ),
    }
}

pub(super) fn check(source: &Source) -> Result<()> {
    let problems = build::check(source);
    match problems.first() {
        None => Ok(()),
        Some(first) => Err(Error::Invalid { description: first.to_string(), problems }),
    }
}

/// The repository path of a base: one that Crane built, by its name with or without the
/// provider, or any repository that Crane's registry has.
async fn find_base(parts: &Parts, base: &str) -> Result<String> {
    let name = Name::parse("base", base)?;
    let provider = format!("{}/", parts.base_provider);
    let short = name.as_str().strip_prefix(&provider).unwrap_or(name.as_str());
    match bases::get(parts, short).await {
        Ok(record) if record.status == Status::Finished => return Ok(record.detail.tag),
        Ok(record) => {
            return Err(Error::Conflict(format!(
                "the base '{short}' cannot be built on: {}",
                record.description
            )));
        }
        Err(Error::NotFound(_)) => {}
        Err(error) => return Err(error),
    }
    if let Some(registry) = &parts.registry
        && registry.digest(name.as_str(), "latest").await?.is_some()
    {
        return Ok(name.as_str().to_owned());
    }
    let finished = bases::list(parts).await?.into_iter().map(|base| base.detail.name.to_string());
    let known: Vec<_> = finished.collect();
    Err(Error::problem(Problem::new(
        "base",
        format!(
            "there is no base '{name}', and Crane's registry has no repository of that name; \
             bases: {}",
            if known.is_empty() { "none yet".to_owned() } else { known.join(", ") }
        ),
    )))
}

/// Repository paths that Crane built: where a Dockerfile or a compose file names one of these, it
/// means the image in Crane's registry.
pub(super) async fn known(parts: &Parts) -> Result<BTreeSet<String>> {
    let bases = bases::list(parts).await?.into_iter();
    let images = list(parts).await?.into_iter();
    let bases = bases.filter(|base| base.status == Status::Finished).map(|base| base.detail.tag);
    let images = images
        .filter(|image| image.status == Status::Finished && image.detail.superseded_by.is_none())
        .map(|image| image.detail.tag);
    Ok(bases.chain(images).collect())
}

/// One build at a time for each name that images are pushed under. Contexts of one group may have
/// images of the same name; the newest has it, as in Docker. Two that are built side by side would
/// take it from each other in the middle.
pub(super) fn claim(tag: &str) -> String {
    format!("tag:{tag}")
}

pub(super) fn done(built: Built) -> Done {
    let pushed = match (built.reference, built.digest) {
        (Some(reference), Some(digest)) => Some(Pushed { reference, digest }),
        _ => None,
    };
    let description = match &pushed {
        Some(pushed) => format!("built and pushed as {}", pushed.reference),
        None => "built; pushing is switched off".into(),
    };
    Done { detail: Some(json!({ "pushed": pushed })), ..Done::new(description) }
}

pub(super) async fn build(jobs: &Jobs, lease: &Lease, token: &str, log: &Log) -> Result<Done> {
    let parts = &jobs.parts;
    let store = &*parts.store;
    let resource = resource(token);
    let image = get(parts, token).await?.detail;
    let context = contexts::get(parts, &image.context).await?;
    if context.status != Status::Finished {
        let description = &context.description;
        return Err(Error::failed(format!("the context '{}': {description}", image.context)));
    }
    lease
        .update(&resource.key(), |record: &mut Record<Image>| {
            if record.status != Status::Removing {
                "building the image".clone_into(&mut record.description);
            }
        })
        .await?;
    lease
        .update(&contexts::resource(&image.context).key(), |record: &mut Record<Context>| {
            record.detail.used = Some(OffsetDateTime::now_utc());
        })
        .await?;
    let tree = jobs.trees.claim(&image.context).await;
    trees::ensure(parts, &context, log).await?;
    drop(tree);
    let request = build::Request {
        root: Some(parts.context_dir(&image.context)),
        name: image.image_name,
        tag: image.tag,
        source: source(
            image.base,
            records::file(store, &resource, DOCKERFILE).await?,
            records::file(store, &resource, MANIFEST).await?,
        )?,
        known: known(parts).await?,
        labels: parts.labels(&resource),
        context_token: Some(image.context),
    };
    let built = build::image(&parts.engine, parts.registry.as_ref(), &request, log).await?;
    supersede(parts, lease, &request.tag, token).await?;
    Ok(done(built))
}

/// Tells the images that had the tag before who has it now. In the registry they are left under
/// their digests, on the engine they are gone.
async fn supersede(parts: &Parts, lease: &Lease, tag: &str, by: &str) -> Result<()> {
    let older = list(parts).await?.into_iter().map(|record| record.detail);
    for older in older.filter(|image| image.tag == tag && image.token != by) {
        lease
            .update(&resource(&older.token).key(), |record: &mut Record<Image>| {
                if record.status != Status::Finished || record.detail.superseded_by.is_some() {
                    return;
                }
                record.description = format!("superseded: '{tag}' is the image '{by}' now");
                record.detail.superseded_by = Some(by.to_owned());
                if let Some(pushed) = &mut record.detail.pushed {
                    let repository = pushed.reference.strip_suffix(":latest");
                    let repository = repository.unwrap_or(&pushed.reference);
                    pushed.reference = format!("{repository}@{}", pushed.digest);
                }
            })
            .await?;
    }
    Ok(())
}
