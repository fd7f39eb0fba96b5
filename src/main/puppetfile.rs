//! `crane puppetfile check | install | lock | outdated | diff`: the engine of Puppetfiles without a
//! server around it.

#[path = "puppetfile/network.rs"]
mod network;
#[path = "puppetfile/output.rs"]
mod output;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use crane::{
    error::{Error, Problem},
    model::{Line, Log},
    puppet::{
        self, Compat, Engine, Lock, Module, Native, NativeSettings, Options, Pin, Puppetfile,
        Settings,
    },
};

use self::output::Output;
use super::Outcome;

/// `EX_DATAERR` of sysexits.h: the Puppetfile or its lock cannot be used.
const EXIT_DATA: u8 = 65;

pub(crate) fn command() -> Command {
    let with_file = |name: &'static str, about: &'static str| {
        Command::new(name)
            .about(about)
            .arg(
                Arg::new("puppetfile")
                    .long("puppetfile")
                    .value_name("FILE")
                    .value_parser(value_parser!(PathBuf))
                    .default_value("Puppetfile")
                    .help("the Puppetfile"),
            )
            .arg(
                Arg::new("compat")
                    .long("compat")
                    .value_parser(["r10k3", "r10k5"])
                    .default_value("r10k5")
                    .help("which generation of r10k is followed where they differ"),
            )
            .arg(
                Arg::new("json")
                    .long("json")
                    .action(ArgAction::SetTrue)
                    .help("print one JSON document"),
            )
    };
    let with_network = |command: Command| {
        network::arguments(command)
            .arg(
                Arg::new("cachedir")
                    .long("cachedir")
                    .value_name("DIR")
                    .value_parser(value_parser!(PathBuf))
                    .help("the cache [default: ~/.cache/crane/puppetfile]"),
            )
            .arg(
                Arg::new("forge")
                    .long("forge")
                    .value_name("URL")
                    .default_value(puppet::PUBLIC_FORGE)
                    .help("base URL of the Forge"),
            )
            .arg(
                Arg::new("lock")
                    .long("lock")
                    .value_name("FILE")
                    .value_parser(value_parser!(PathBuf))
                    .help("the lock [default: the Puppetfile's name with .lock after it]"),
            )
    };
    let with_resolve = |command: Command| {
        command.arg(
            Arg::new("resolve")
                .long("resolve")
                .action(ArgAction::SetTrue)
                .help("add the modules that others need from the Forge, by metadata.json; if there is a lock, \
                     it says which"),
        )
    };
    let with_directory = |command: Command| {
        with_network(command).arg(
            Arg::new("moduledir")
                .long("moduledir")
                .value_name("DIR")
                .value_parser(value_parser!(PathBuf))
                .default_value("modules")
                .help("where modules go"),
        )
    };
    Command::new("puppetfile")
        .about("Check, install and compare Puppetfiles, without a server")
        .after_help(network::HELP)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(with_file("check", "Say what is wrong with a Puppetfile").after_help(
            "Exits 0 when nothing is, 65 when something is. Nothing of the file is ever run.",
        ))
        .subcommand(
            with_resolve(with_directory(with_file(
                "install",
                "Install the modules of a Puppetfile",
            )))
            .arg(
                Arg::new("force")
                    .long("force")
                    .action(ArgAction::SetTrue)
                    .help("install also over modules that were changed since"),
            )
            .after_help(
                "All modules or none: the directory is put in place when it is whole, and what \
                     the Puppetfile does not name goes. If there is a lock, it must hold.",
            ),
        )
        .subcommand(with_resolve(with_network(with_file("lock", "Write what every module is now"))))
        .subcommand(
            with_network(with_file("outdated", "Say which modules of the lock have moved on"))
                .after_help("Exits 0 when none has, 1 when one has."),
        )
        .subcommand(
            with_directory(with_file("diff", "Say how the installed modules differ from the lock"))
                .after_help("Exits 0 when they do not, 1 when they do."),
        )
}

pub(crate) fn run(matches: &ArgMatches) -> Outcome {
    let Some((name, matches)) = matches.subcommand() else { return Ok(ExitCode::FAILURE) };
    let output = Output::new(matches.get_flag("json"));
    let done = Task::read(name, matches).and_then(|task| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.map_err(Error::internal)?;
        runtime.block_on(task.run(name, &output))
    });
    match done {
        Ok(code) => Ok(code),
        Err(error @ (Error::Invalid { .. } | Error::TooLarge(_))) => {
            output.error(&error)?;
            Ok(ExitCode::from(EXIT_DATA))
        }
        Err(error @ Error::Internal(_)) => Err(error.into()),
        Err(error) => {
            output.error(&error)?;
            Ok(ExitCode::FAILURE)
        }
    }
}

/// What the command line says.
struct Task {
    puppetfile: Puppetfile,
    settings: Settings,
    compat: Compat,
    lock: PathBuf,
    /// Where the modules go, and the directory that this is in.
    context: PathBuf,
    force: bool,
    resolve: bool,
}

type Result<T> = crane::error::Result<T>;

impl Task {
    fn read(name: &str, matches: &ArgMatches) -> Result<Self> {
        let path = |name: &str| matches.try_get_one::<PathBuf>(name).ok().flatten().cloned();
        let file = path("puppetfile").unwrap_or_else(|| "Puppetfile".into());
        let compat = match matches.get_one::<String>("compat").map(String::as_str) {
            Some("r10k3") => Compat::R10k3,
            _ => Compat::R10k5,
        };
        let native = Native::open(NativeSettings {
            cache: path("cachedir").unwrap_or_else(default_cache),
            // As r10k on the command line; `outdated` and `lock` are asked for what is now.
            keep_tags: name == "install",
            ..network::settings(matches)?
        })?;
        let settings = Settings {
            work: std::env::temp_dir(),
            forge: matches.try_get_one::<String>("forge").ok().flatten().cloned(),
            time_limit: Duration::from_secs(24 * 60 * 60),
            engine: Engine::Native,
            native,
            r10k: None,
        };
        let mut puppetfile = puppet::check_for(compat, &read(&file)?)?;
        let (context, moduledir) = place(&path("moduledir").unwrap_or_else(|| "modules".into()))?;
        puppetfile.with_moduledir(&moduledir)?;
        let lock = path("lock").unwrap_or_else(|| {
            let mut name = file.clone().into_os_string();
            name.push(".lock");
            name.into()
        });
        let flag = |name| matches.try_get_one::<bool>(name).ok().flatten() == Some(&true);
        let (force, resolve) = (flag("force"), flag("resolve"));
        Ok(Self { puppetfile, settings, compat, lock, context, force, resolve })
    }

    async fn run(&self, name: &str, output: &Output) -> Result<ExitCode> {
        match name {
            "check" => {
                output.checked(&self.puppetfile)?;
                Ok(ExitCode::SUCCESS)
            }
            "install" => self.install(output).await,
            "lock" => self.write_lock(output).await,
            "outdated" => self.outdated(output).await,
            _ => self.diff(output),
        }
    }

    fn options(&self, lock: Option<Lock>) -> Options {
        Options { compat: self.compat, lock, resolve: self.resolve }
    }

    async fn install(&self, output: &Output) -> Result<ExitCode> {
        let options = self.options(self.read_lock()?);
        let done = logged(output, &self.puppetfile, |log| async move {
            if self.force {
                puppet::forget(&self.settings, &self.context)?;
            }
            puppet::bring(&self.settings, &self.puppetfile, &self.context, &options, &log).await
        });
        output.installed(&done.await?)?;
        Ok(ExitCode::SUCCESS)
    }

    /// Digests are of what is installed, so that it is, into a directory that goes again.
    async fn write_lock(&self, output: &Output) -> Result<ExitCode> {
        let options = self.options(None);
        let parent = self.lock.parent().filter(|parent| !parent.as_os_str().is_empty());
        let scratch = parent
            .unwrap_or(Path::new("."))
            .join(format!(".crane-lock-{}", uuid::Uuid::new_v4().simple()));
        fs::create_dir(&scratch).map_err(Error::internal)?;
        let done = logged(output, &self.puppetfile, |log| {
            let (scratch, options) = (scratch.clone(), options);
            async move {
                let install = puppet::install_with(
                    &self.settings,
                    &self.puppetfile,
                    &scratch,
                    &options,
                    &log,
                );
                install.await
            }
        })
        .await;
        fs::remove_dir_all(&scratch).map_err(Error::internal)?;
        let Some(lock) = done?.lock else { return Ok(ExitCode::FAILURE) };
        let part = self.lock.with_extension(uuid::Uuid::new_v4().simple().to_string());
        fs::write(&part, lock.text())
            .and_then(|()| fs::rename(&part, &self.lock))
            .map_err(|error| unreadable(&self.lock, &error))?;
        output.locked(&lock, &self.lock)?;
        Ok(ExitCode::SUCCESS)
    }

    async fn outdated(&self, output: &Output) -> Result<ExitCode> {
        let lock = self.needed_lock()?;
        let options = self.options(None);
        let pins = logged(output, &self.puppetfile, |log| async move {
            puppet::resolve(&self.settings, &self.puppetfile, &options, &log).await
        })
        .await?;
        let moved: Vec<(&Module, Option<&Pin>, &Pin)> = self
            .puppetfile
            .modules
            .iter()
            .zip(&pins)
            .filter_map(|(module, pin)| {
                let locked = lock.modules.iter().find(|locked| locked.path == module.path());
                let locked = locked.map(|locked| &locked.pin);
                (locked != Some(pin)).then_some((module, locked, pin))
            })
            .collect();
        output.outdated(&moved)?;
        Ok(if moved.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn diff(&self, output: &Output) -> Result<ExitCode> {
        let lock = self.needed_lock()?;
        let mut differ = Vec::new();
        for locked in &lock.modules {
            let place = self.context.join(&locked.path);
            let found = match place.is_dir() {
                true => puppet::digest(&place).map_err(Error::internal)?,
                false => "none".to_owned(),
            };
            if found != locked.digest {
                differ.push((locked, found));
            }
        }
        output.differing(&differ)?;
        Ok(if differ.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn read_lock(&self) -> Result<Option<Lock>> {
        match self.lock.exists() {
            true => Lock::parse(&read(&self.lock)?).map(Some),
            false => Ok(None),
        }
    }

    fn needed_lock(&self) -> Result<Lock> {
        self.read_lock()?.ok_or_else(|| {
            let place = self.lock.display();
            Error::invalid(format!("there is no lock {place}: crane puppetfile lock makes it"))
        })
    }
}

/// Runs it with a log that is shown as it grows.
async fn logged<T, F>(
    output: &Output,
    puppetfile: &Puppetfile,
    run: impl FnOnce(Log) -> F,
) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let (sender, mut lines) = tokio::sync::mpsc::channel::<Line>(64);
    let show = async {
        let mut progress = output.progress(puppetfile.modules.len());
        while let Some(line) = lines.recv().await {
            progress.line(&line.text);
        }
        progress.end();
    };
    tokio::join!(run(Log::new(sender)), show).0
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    Error::problem(Problem::new(path.display().to_string(), error.to_string()))
}

/// The directory that is installed into, and the name of the directory of modules in it.
fn place(moduledir: &Path) -> Result<(PathBuf, String)> {
    let refuse = || Error::invalid(format!("{} is no name of a directory", moduledir.display()));
    let name = moduledir.file_name().and_then(|name| name.to_str()).ok_or_else(refuse)?;
    let parent = moduledir.parent().filter(|parent| !parent.as_os_str().is_empty());
    Ok((parent.unwrap_or(Path::new(".")).to_owned(), name.to_owned()))
}

/// Beside the home's other caches.
fn default_cache() -> PathBuf {
    std::env::home_dir().unwrap_or_else(std::env::temp_dir).join(".cache/crane/puppetfile")
}
