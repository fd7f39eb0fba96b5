//! r10k as a child process. It gets a Puppetfile that Crane wrote from the parsed model, in a
//! directory made for the run, and its result is put into the context only when it is whole.
//!
//! Every run has a cache of its own. r10k takes a cached repository for complete as soon as its
//! directory exists, names that directory after the URL without its credentials, and never fetches
//! for a tag or commit that is there: with a shared cache, two runs at once would see each other's
//! half-made clones, and one user's private repository would be another's to read.

mod failures;
mod passing;
mod rendered;

use std::{
    ffi::{OsStr, OsString},
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use self::rendered::Rendered;
use super::{
    Installed, Settings,
    command::{self, Command, Failure, Output},
    puppetfile::{Module, Puppetfile, ReferenceName, STAGING_PREFIX, Source, Version},
    scratch::Scratch,
    tree,
};
use crate::{
    error::{Error, Problem, Result},
    model::{Channel, Log},
};

/// r10k reads a Puppetfile of a thousand modules within seconds; most of it is Ruby's start.
const CHECK_TIME_LIMIT: Duration = Duration::from_secs(60);

/// What r10k starts git with. `file` is how r10k copies from its own cache; URLs of the user's that
/// say `file` were refused when the Puppetfile was parsed.
const GIT_PROTOCOLS: &str = "file:http:https:git:ssh";

/// The directories and files of one run, in its scratch directory.
struct Run {
    scratch: Scratch,
    rendered: Rendered,
}

impl Run {
    /// Makes the scratch directory in `parent`, with everything that r10k reads. Blocks.
    fn new(settings: &Settings, puppetfile: &Puppetfile, parent: &Path) -> io::Result<Self> {
        let scratch = Scratch::make(parent, STAGING_PREFIX)?;
        let run = Self { scratch, rendered: Rendered::new(puppetfile) };
        for directory in ["home", "tmp", "cache"] {
            fs::create_dir(run.path(directory))?;
        }
        tree::prepare(puppetfile, &run.path("tree"))?;
        let cache = run.path("cache");
        let cache = cache.to_str().ok_or_else(|| io::Error::other("a path that is not UTF-8"))?;
        let mut configuration = serde_json::json!({ "cachedir": cache });
        if let Some(forge) = &settings.forge {
            configuration["forge"] = serde_json::json!({ "baseurl": forge });
        }
        // JSON is YAML.
        fs::write(run.path("r10k.yaml"), configuration.to_string())?;
        fs::write(run.path("Puppetfile"), &run.rendered.text)?;
        Ok(run)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    async fn r10k(&self, action: &str, time_limit: Duration, log: Option<&Log>) -> Result<Output> {
        let option = |name: &str, value: &OsStr| {
            let mut option = OsString::from(name);
            option.push(value);
            option
        };
        let mut arguments = vec![
            "puppetfile".into(),
            action.into(),
            option("--config=", self.path("r10k.yaml").as_os_str()),
            option("--puppetfile=", self.path("Puppetfile").as_os_str()),
        ];
        if log.is_some() {
            arguments.push("--verbose=info".into());
        }
        let scratch = self.scratch.path().display();
        let tree = self.path("tree");
        let command = Command {
            program: "r10k",
            arguments,
            directory: &tree,
            environment: environment(&self.path("home"), &self.path("tmp")),
            mark: self.scratch.mark(),
            time_limit,
            replacements: vec![(format!("{scratch}/tree/"), ""), (format!("{scratch}/"), "")],
        };
        command::run(command, log).await.map_err(failure)
    }

    /// What r10k said was wrong.
    fn problems(&self, output: &Output, puppetfile: &Puppetfile) -> Vec<Problem> {
        failures::problems(&output.lines, puppetfile, &self.rendered)
    }
}

fn environment(home: &Path, tmp: &Path) -> Vec<(&'static str, OsString)> {
    vec![
        ("HOME", home.into()),
        ("TMPDIR", tmp.into()),
        ("LANG", "C.UTF-8".into()),
        ("GIT_TERMINAL_PROMPT", "0".into()),
        ("GIT_ALLOW_PROTOCOL", GIT_PROTOCOLS.into()),
        ("GIT_CONFIG_NOSYSTEM", "1".into()),
        ("GIT_CONFIG_GLOBAL", "/dev/null".into()),
        // Maintenance goes on in the background, on a cache that is about to be removed.
        ("GIT_CONFIG_COUNT", "2".into()),
        ("GIT_CONFIG_KEY_0", "gc.auto".into()),
        ("GIT_CONFIG_VALUE_0", "0".into()),
        ("GIT_CONFIG_KEY_1", "maintenance.auto".into()),
        ("GIT_CONFIG_VALUE_1", "false".into()),
    ]
}

fn failure(failure: Failure) -> Error {
    match failure {
        Failure::Missing => Error::unavailable(
            "puppet",
            "the program `r10k` is not installed: apt-get install r10k",
        ),
        Failure::TimedOut(limit) => {
            Error::failed(format!("r10k was not done after {} s, and was ended", limit.as_secs()))
        }
        Failure::Io(error) => Error::internal(error),
    }
}

/// What Crane accepts and r10k 3 cannot do, or would do wrong without a word.
pub(super) fn unsupported(puppetfile: &Puppetfile) -> Vec<Problem> {
    let mut problems = puppetfile.librarian_calls("r10k does not know it");
    problems.extend(puppetfile.modules.iter().flat_map(unsupported_in));
    problems
}

fn unsupported_in(module: &Module) -> Vec<Problem> {
    let mut problems = Vec::new();
    match &module.source {
        Source::Forge(forge) => {
            if let Version::Range(range) = &forge.version.value {
                problems.push(forge.version.at.problem(format!(
                    "'{range}' is a range, and r10k installs exact releases only: write one such \
                     as '1.2.3', or :latest"
                )));
            }
            if let Some(sum) = &forge.sha256sum {
                problems.push(sum.at.problem(
                    "r10k ignores `sha256sum`, so that the pin would not hold: remove it, or \
                     use type: 'tarball' with `checksum`",
                ));
            }
        }
        Source::Git(git) => {
            if let Some(path) = &git.path {
                problems.push(path.at.problem(
                    "r10k ignores `path`, and the module would be the whole repository: use a \
                     repository whose root is the module",
                ));
            }
            if let Some(fallback) = &git.fallback {
                problems.push(fallback.at.problem(
                    "r10k ignores `fallback`: name one with `default_branch`",
                ));
            }
            let no_default = git.default_branch.is_none() && git.default_branch_override.is_none();
            if let Some(reference) = &git.reference
                && reference.value.name == ReferenceName::ControlBranch
                && no_default
            {
                problems.push(reference.at.problem(
                    "a context has no control branch to follow: name a `default_branch`",
                ));
            }
        }
        Source::Svn => problems.push(module.at.problem(
            "modules from Subversion are not supported: through `svn:externals` a repository \
             makes r10k fetch from anywhere, also from the server's own files. Use git or a tarball",
        )),
        Source::Tarball(_) | Source::Local => {}
    }
    problems
}

/// Lets r10k read the Puppetfile. [`Error::Invalid`] with its words when it refuses.
pub(super) async fn check(settings: &Settings, puppetfile: &Puppetfile) -> Result<()> {
    if puppetfile.modules.is_empty() {
        return Ok(());
    }
    let run = new_run(settings, puppetfile, &settings.work).await?;
    let output = run.r10k("check", CHECK_TIME_LIMIT, None).await?;
    let outcome = if output.status.success() {
        Ok(())
    } else {
        let problems = run.problems(&output, puppetfile);
        if problems.iter().any(|problem| problem.message.contains("Git provider")) {
            Err(Error::unavailable("puppet", "r10k finds no git: apt-get install git"))
        } else {
            let description = described("r10k refuses the Puppetfile", &problems, &output);
            Err(Error::Invalid { description, problems })
        }
    };
    remove(run).await?;
    outcome
}

/// Installs all modules into the context's directory, or changes nothing in it.
pub(super) async fn install(
    settings: &Settings,
    puppetfile: &Puppetfile,
    context: &Path,
    log: &Log,
) -> Result<Vec<Installed>> {
    for warning in warnings(settings, puppetfile) {
        log.write(Channel::Log, format!("WARN -> {warning}")).await;
    }
    let run = new_run(settings, puppetfile, context).await?;
    if !puppetfile.modules.is_empty() {
        let output = run.r10k("install", settings.time_limit, Some(log)).await?;
        if !output.status.success() {
            let problems = run.problems(&output, puppetfile);
            let description = described("r10k could not install the modules", &problems, &output);
            remove(run).await?;
            let error = Error::failed_with(description, problems);
            let passes = failures::may_pass(&output.lines);
            return Err(if passes { error.may_pass(None) } else { error });
        }
    }
    let (copy, place) = (puppetfile.clone(), context.to_owned());
    // The run goes along: were it dropped beside this, its directory would be removed while the
    // work in it goes on.
    let run =
        blocking(move || tree::finish(&copy, &run.path("tree"), &place).map(|()| run)).await?;
    // A few renames, and no await between them at which this could be dropped.
    tree::swap(&tree::managed(puppetfile), &run.path("tree"), context, &run.path("retired"))
        .map_err(Error::internal)?;
    remove(run).await?;
    let (copy, place) = (puppetfile.clone(), context.to_owned());
    blocking(move || Ok(installed(&copy, &place))).await
}

fn installed(puppetfile: &Puppetfile, context: &Path) -> Vec<Installed> {
    let modules = puppetfile.modules.iter();
    modules
        .map(|module| Installed {
            name: module.full_name(),
            path: module.path(),
            version: tree::version(context, module),
        })
        .collect()
}

/// What the user should know, and what r10k does not say.
fn warnings(settings: &Settings, puppetfile: &Puppetfile) -> Vec<String> {
    let mut warnings: Vec<String> = puppetfile.warnings.iter().map(ToString::to_string).collect();
    if let Some(forge) = &puppetfile.forge
        && settings.forge.as_deref() != Some(forge.value.as_str())
    {
        let message = match &settings.forge {
            Some(used) => format!("this `forge` is ignored, modules come from {used}"),
            None => "`forge` is ignored, modules come from the Puppet Forge".into(),
        };
        warnings.push(forge.at.problem(message).to_string());
    }
    warnings
}

/// One sentence that holds without the problems: with the first of them, or r10k's last words.
fn described(what: &str, problems: &[Problem], output: &Output) -> String {
    match problems {
        [] => match output.lines.iter().rev().find(|line| !line.is_empty()) {
            Some(line) => format!("{what}: {line}"),
            None => format!("{what}: it ended with {}", output.status),
        },
        [only] => format!("{what}: {only}"),
        [first, rest @ ..] => format!("{what}: {first} (and {} more)", rest.len()),
    }
}

/// The first line of `r10k version`, as `r10k 3.15.4`.
pub(super) async fn version() -> Result<String> {
    let mark = uuid::Uuid::new_v4().to_string();
    let root = Path::new("/");
    let command = Command {
        program: "r10k",
        arguments: vec!["version".into()],
        directory: root,
        environment: environment(root, root),
        mark: OsStr::new(&mark),
        time_limit: CHECK_TIME_LIMIT,
        replacements: Vec::new(),
    };
    let output = command::run(command, None).await.map_err(failure)?;
    match output.lines.first() {
        Some(line) if output.status.success() => Ok(line.clone()),
        _ => Err(Error::unavailable("puppet", described("r10k does not run", &[], &output))),
    }
}

async fn new_run(settings: &Settings, puppetfile: &Puppetfile, parent: &Path) -> Result<Run> {
    let (settings, puppetfile) = (settings.clone(), puppetfile.clone());
    let parent = parent.to_owned();
    blocking(move || Run::new(&settings, &puppetfile, &parent)).await
}

/// Removes what the run wrote, which may be much.
async fn remove(run: Run) -> Result<()> {
    blocking(move || {
        drop(run);
        Ok(())
    })
    .await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(Error::internal)?.map_err(Error::internal)
}
