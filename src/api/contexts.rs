//! `/builder/contexts` and `/builder/aio`.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::{
    Multipart, Object, OpenApi,
    param::{Path, Query},
    payload::Json,
    types::Example,
};

use super::{
    Tags,
    error::{Answer, Failure, ProblemView},
    forms::{self, File},
    live,
    logs::Logs,
    modules::{LockFile, Modules},
    views::{Deleted, State, problems},
};
use crate::{
    error::{Error, Problem},
    jobs::{
        Jobs, Parts,
        contexts::{self, Compat, Engine},
        images, log,
        records::{Context, Kind, Record},
    },
    model::{Channel, Name},
};

/// A context: the modules of a Puppetfile, for images to be built from.
#[derive(Debug, Object)]
#[oai(rename = "Context", example)]
struct View {
    token: String,
    group: String,
    status: State,
    description: String,
    /// Tokens of the images that are built from it.
    images: Vec<String>,
    #[oai(skip_serializing_if_is_empty)]
    problems: Vec<ProblemView>,
}

/// A module that the Puppetfile brought.
#[derive(Debug, Object)]
#[oai(rename = "Module")]
struct ModuleView {
    name: String,
    /// What the module's `metadata.json` states.
    #[oai(skip_serializing_if_is_none)]
    version: Option<String>,
}

/// A context with its log.
#[derive(Debug, Object)]
#[oai(rename = "ContextDetail", example)]
struct DetailView {
    #[oai(flatten)]
    context: View,
    modules: Vec<ModuleView>,
    /// What the installation printed, as far as it has come.
    log: String,
}

impl View {
    async fn of(parts: &Parts, record: &Record<Context>) -> Result<Self, Error> {
        Ok(Self {
            token: record.detail.token.clone(),
            group: record.detail.group.to_string(),
            status: State::of(Kind::Context, record),
            description: record.description.clone(),
            images: contexts::images(parts, &record.detail.token).await?,
            problems: problems(record),
        })
    }
}

impl Example for View {
    fn example() -> Self {
        Self {
            token: "CT2Q6aB0r9xK3mT7vWqLzE".into(),
            group: "default".into(),
            status: State::Finished,
            description: "3 modules are installed".into(),
            images: vec!["CT2Q6aB0r9xK3mT7vWqLzE-IMweb".into()],
            problems: Vec::new(),
        }
    }
}

impl Example for DetailView {
    fn example() -> Self {
        Self {
            context: View::example(),
            modules: vec![ModuleView { name: "stdlib".into(), version: Some("8.5.0".into()) }],
            log: "INFO\t -> Updating module stdlib\n".into(),
        }
    }
}

/// All contexts, oldest first.
#[derive(Debug, Object)]
#[oai(example)]
struct Contexts {
    contexts: Vec<String>,
}

impl Example for Contexts {
    fn example() -> Self {
        Self { contexts: vec!["CT2Q6aB0r9xK3mT7vWqLzE".into()] }
    }
}

#[derive(Debug, Multipart)]
#[oai(deny_unknown_fields)]
struct ContextForm {
    /// First part of the names of the context's images; `default` if left out.
    group: Option<String>,
    /// Modules to install; without it the context is empty and finished at once.
    puppetfile: Option<File>,
    /// `r10k5` (the default) or `r10k3`: which of r10k's generations is followed where they differ.
    compat: Option<String>,
    /// `true`: modules that others need, by their `metadata.json`, are added from the Forge in the
    /// newest versions that go together.
    resolve: Option<String>,
    /// `native` or `r10k`, where r10k is configured: it runs the Puppetfile as the Ruby that it is, in
    /// a container; left out: as configured.
    engine: Option<String>,
    /// From `/builder/contexts/{token}/lock`: modules are exactly what it says, or the installation
    /// fails.
    lock: Option<File>,
}

#[derive(Debug, Multipart)]
#[oai(deny_unknown_fields)]
struct AllInOneForm {
    /// First part of the image's name; `default` if left out.
    group: Option<String>,
    /// Second part of the image's name.
    #[oai(rename = "imageName")]
    image_name: Option<String>,
    /// Modules to install.
    puppetfile: Option<File>,
    /// Builds the image; sees `modules/` and the manifest beside it.
    dockerfile: Option<File>,
    /// The manifest that the Dockerfile applies.
    puppetmanifest: Option<File>,
}

pub(super) struct ContextsApi;

#[OpenApi(prefix_path = "/builder")]
impl ContextsApi {
    /// List contexts
    ///
    /// ```sh
    /// curl http://127.0.0.1:8888/builder/contexts
    /// ```
    #[oai(path = "/contexts", method = "get", operation_id = "listContexts", tag = "Tags::Builder")]
    async fn list(&self, jobs: Data<&Arc<Jobs>>) -> Answer<Contexts> {
        Ok(Json(Contexts { contexts: contexts::tokens(&jobs.0.parts).await? }))
    }

    /// Install the modules of a Puppetfile
    ///
    /// Answers at once with the token; the work goes on until `status` is `finished` or `error`.
    ///
    /// A Puppetfile is Ruby, and Crane runs none of it: it reads the declarative language that
    /// Puppetfiles are written in, and names line and column of anything else (422). With
    /// `engine=r10k`, where that is configured, r10k runs the file in a container of its own.
    ///
    /// ```sh
    /// curl -F group=shop -F puppetfile=@contexts/visits/Puppetfile \
    ///   http://127.0.0.1:8888/builder/contexts
    /// ```
    #[oai(
        path = "/contexts",
        method = "post",
        operation_id = "createContext",
        tag = "Tags::Builder"
    )]
    async fn create(&self, jobs: Data<&Arc<Jobs>>, form: ContextForm) -> Answer<View> {
        let recipe = contexts::Recipe {
            group: group(form.group)?,
            puppetfile: forms::optional("puppetfile", form.puppetfile)?,
            compat: compat(form.compat)?,
            engine: engine(form.engine)?,
            resolve: resolve(form.resolve)?,
            lock: forms::optional("lock", form.lock)?,
        };
        let record = contexts::create(jobs.0, recipe).await?;
        Ok(Json(View::of(&jobs.0.parts, &record).await?))
    }

    /// Look at a context
    ///
    /// ```sh
    /// curl http://127.0.0.1:8888/builder/contexts/CT2Q6aB0r9xK3mT7vWqLzE
    /// ```
    #[oai(
        path = "/contexts/:token",
        method = "get",
        operation_id = "getContext",
        tag = "Tags::Builder"
    )]
    async fn get(&self, jobs: Data<&Arc<Jobs>>, token: Path<String>) -> Answer<View> {
        let record = contexts::get(&jobs.0.parts, &token).await?;
        Ok(Json(View::of(&jobs.0.parts, &record).await?))
    }

    /// Look at a context, its modules and its log
    ///
    /// The log grows while the modules are installed.
    ///
    /// ```sh
    /// curl http://127.0.0.1:8888/builder/contexts/CT2Q6aB0r9xK3mT7vWqLzE/detail
    /// ```
    #[oai(
        path = "/contexts/:token/detail",
        method = "get",
        operation_id = "getContextDetail",
        tag = "Tags::Builder"
    )]
    async fn detail(&self, jobs: Data<&Arc<Jobs>>, token: Path<String>) -> Answer<DetailView> {
        let parts = &jobs.0.parts;
        let record = contexts::get(parts, &token).await?;
        let modules = record.detail.modules.iter().cloned();
        Ok(Json(DetailView {
            context: View::of(parts, &record).await?,
            modules: modules.map(|(name, version)| ModuleView { name, version }).collect(),
            log: log::text(&*parts.store, &contexts::resource(&token), Channel::Log).await?,
        }))
    }

    /// Say exactly what is installed
    ///
    /// Each module with its source, commit, digest and licence, and which of the modules that it
    /// needs are missing or of another version. 409 until the installation is finished.
    ///
    /// ```sh
    /// curl http://127.0.0.1:8888/builder/contexts/CT2Q6aB0r9xK3mT7vWqLzE/modules
    /// ```
    #[oai(
        path = "/contexts/:token/modules",
        method = "get",
        operation_id = "getContextModules",
        tag = "Tags::Builder"
    )]
    async fn modules(&self, jobs: Data<&Arc<Jobs>>, token: Path<String>) -> Answer<Modules> {
        let installed = contexts::what_is_installed(&jobs.0.parts, &token).await?;
        Ok(Json(Modules::of(token.0, installed)))
    }

    /// Download the lock
    ///
    /// Posted with the same Puppetfile, it makes another context with exactly the same modules, or
    /// none. 409 until the installation is finished, and when r10k did it, which makes no lock.
    ///
    /// ```sh
    /// curl -OJ http://127.0.0.1:8888/builder/contexts/CT2Q6aB0r9xK3mT7vWqLzE/lock
    /// curl -F puppetfile=@Puppetfile -F lock=@Puppetfile.lock http://127.0.0.1:8888/builder/contexts
    /// ```
    #[oai(
        path = "/contexts/:token/lock",
        method = "get",
        operation_id = "getContextLock",
        tag = "Tags::Builder"
    )]
    async fn lock(&self, jobs: Data<&Arc<Jobs>>, token: Path<String>) -> Result<LockFile, Failure> {
        Ok(LockFile::of(&contexts::lock(&jobs.0.parts, &token).await?))
    }

    /// Read the log, or follow it
    #[oai(
        path = "/contexts/:token/log",
        method = "get",
        operation_id = "getContextLog",
        tag = "Tags::Builder"
    )]
    async fn log(
        &self,
        logs: Logs,
        token: Path<String>,
        follow: Query<Option<bool>>,
    ) -> Result<live::Answer, Failure> {
        logs.answer(contexts::resource(&token), follow.0).await
    }

    /// Cancel an installation
    #[oai(
        path = "/contexts/:token/cancel",
        method = "post",
        operation_id = "cancelContext",
        tag = "Tags::Builder"
    )]
    async fn cancel(&self, jobs: Data<&Arc<Jobs>>, token: Path<String>) -> Answer<View> {
        jobs.0.cancel(&contexts::resource(&token)).await?;
        self.get(jobs, token).await
    }

    /// Remove a context with its images
    ///
    /// Stops what it is doing, then removes its files, its images (from the engine and from the
    /// registry) and its records.
    ///
    /// ```sh
    /// curl -X DELETE http://127.0.0.1:8888/builder/contexts/CT2Q6aB0r9xK3mT7vWqLzE
    /// ```
    #[oai(
        path = "/contexts/:token",
        method = "delete",
        operation_id = "deleteContext",
        tag = "Tags::Builder"
    )]
    async fn delete(&self, jobs: Data<&Arc<Jobs>>, token: Path<String>) -> Answer<Deleted> {
        jobs.0.remove(contexts::resource(&token)).await?;
        Ok(Json(Deleted::new(token.0)))
    }

    /// Install a Puppetfile and build an image from it
    ///
    /// A new context, and an image that is built as soon as the context is finished. Answers with
    /// the context.
    ///
    /// ```sh
    /// curl -F imageName=redis -F puppetfile=@contexts/visits/Puppetfile \
    ///   -F dockerfile=@contexts/visits/redis/Dockerfile -F puppetmanifest=@manifests/visits-redis.pp \
    ///   http://127.0.0.1:8888/builder/aio
    /// ```
    #[oai(path = "/aio", method = "post", operation_id = "createAllInOne", tag = "Tags::Builder")]
    async fn all_in_one(&self, jobs: Data<&Arc<Jobs>>, form: AllInOneForm) -> Answer<View> {
        let name = forms::text(form.image_name).ok_or_else(|| forms::missing("imageName"))?;
        let name = Name::parse("imageName", &name)?;
        let puppetfile = forms::required("puppetfile", form.puppetfile)?;
        let recipe = images::Recipe {
            base: None,
            dockerfile: Some(forms::required("dockerfile", form.dockerfile)?),
            manifest: Some(forms::required("puppetmanifest", form.puppetmanifest)?),
        };
        let group = group(form.group)?;
        let record = images::create_with_context(jobs.0, group, puppetfile, name, recipe).await?;
        Ok(Json(View::of(&jobs.0.parts, &record).await?))
    }
}

fn compat(compat: Option<String>) -> Result<Compat, Error> {
    match forms::text(compat).as_deref() {
        None => Ok(Compat::default()),
        Some("r10k3") => Ok(Compat::R10k3),
        Some("r10k5") => Ok(Compat::R10k5),
        Some(_) => Err(Error::problem(Problem::new("compat", "neither r10k3 nor r10k5"))),
    }
}

fn resolve(resolve: Option<String>) -> Result<bool, Error> {
    match forms::text(resolve).as_deref() {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(Error::problem(Problem::new("resolve", "neither true nor false"))),
    }
}

fn engine(engine: Option<String>) -> Result<Option<Engine>, Error> {
    match forms::text(engine).as_deref() {
        None => Ok(None),
        Some("native") => Ok(Some(Engine::Native)),
        Some("r10k") => Ok(Some(Engine::R10k)),
        Some(_) => Err(Error::problem(Problem::new("engine", "neither native nor r10k"))),
    }
}

fn group(group: Option<String>) -> Result<Name, Error> {
    Name::parse("group", forms::text(group).as_deref().unwrap_or(contexts::DEFAULT_GROUP))
}
