//! `crane serve | check | store | openapi | completions`: reads the command line and the
//! configuration, opens the parts, and hands over to the library.

#[path = "main/store.rs"]
mod store;

use std::{
    io::{IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use clap_complete::Shell;
use crane::{
    api,
    config::{Config, ConfigError, DEFAULT_FILE, SETTINGS, Sources},
    crane::Crane,
    error::{Error, chain},
    jobs::checks::{self, Checks},
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;

/// `EX_CONFIG` of sysexits.h: the configuration cannot be used.
const EXIT_CONFIG: u8 = 78;

fn main() -> ExitCode {
    let matches = command().get_matches();
    let outcome = match matches.subcommand() {
        Some(("serve", matches)) => configured(matches, serve),
        Some(("check", matches)) => configured(matches, check),
        Some(("store", matches)) => store::run(matches),
        Some(("openapi", matches)) => openapi(matches),
        Some(("completions", matches)) => completions(matches),
        _ => Ok(ExitCode::FAILURE),
    };
    outcome.unwrap_or_else(|error| {
        // Standard error may be gone; there is nobody left to tell then.
        let _ = writeln!(std::io::stderr(), "crane: {}", chain(&*error));
        match error.downcast_ref::<ConfigError>() {
            Some(_) => ExitCode::from(EXIT_CONFIG),
            None => ExitCode::FAILURE,
        }
    })
}

type Outcome = Result<ExitCode, Box<dyn std::error::Error>>;

fn command() -> Command {
    Command::new("crane")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Builds images by applying Puppet in Docker builds, and deploys compose files")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(with_settings(
            Command::new("serve").about("Serve the REST API and Swagger UI").after_help(
                "Settings come from the file, then the environment (CRANE_BIND for --bind, and so \
                 on), then flags; the later wins. Secrets come from the environment only: \
                 CRANE_API_TOKEN, CRANE_REGISTRY_PASSWORD, or the same with _FILE for the path of \
                 a file.\n\nExample:\n  CRANE_STORE=memory: crane serve --data-dir /tmp/crane \
                 --registry 127.0.0.1:5000\n  then open http://127.0.0.1:8888/",
            ),
        ))
        .subcommand(with_settings(
            Command::new("check")
                .about("Say which settings are in force and try every part they name")
                .after_help(
                    "Exits 0 when every part answers, 1 when one does not, 78 when the \
                             configuration cannot be used.",
                ),
        ))
        .subcommand(store::command())
        .subcommand(
            Command::new("openapi")
                .about("Write the OpenAPI document")
                .arg(
                    Arg::new("file")
                        .help("where to; without it, to standard output")
                        .value_parser(value_parser!(PathBuf)),
                )
                .after_help("Example:\n  crane openapi openapi/crane.json"),
        )
        .subcommand(
            Command::new("completions")
                .about("Write completions for a shell to standard output")
                .arg(Arg::new("shell").required(true).value_parser(value_parser!(Shell)))
                .after_help("Example:\n  crane completions bash > /etc/bash_completion.d/crane"),
        )
}

/// A flag for each setting that is no secret, from the one table of settings.
fn with_settings(command: Command) -> Command {
    let command = command.arg(
        Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
            .help(format!("TOML file with settings [default: {DEFAULT_FILE} if it exists]")),
    );
    SETTINGS.iter().filter(|setting| !setting.secret).fold(command, |command, setting| {
        let flag = Arg::new(setting.key).long(setting.key.replace('_', "-"));
        let help = match setting.default {
            Some(default) => format!("{} [default: {default}]", setting.meaning),
            None => setting.meaning.to_owned(),
        };
        let flag = match setting.key {
            "insecure_no_auth" => flag.action(ArgAction::SetTrue),
            key => flag.value_name(key.rsplit('_').next().unwrap_or(key).to_uppercase()),
        };
        command.arg(flag.help(help))
    })
}

/// Reads the settings and runs on a runtime of its own.
fn configured<F>(matches: &ArgMatches, run: impl FnOnce(Sources, Config) -> F) -> Outcome
where
    F: Future<Output = Outcome>,
{
    let flags = SETTINGS.iter().filter(|setting| !setting.secret).filter_map(|setting| {
        let given = matches.value_source(setting.key)? == clap::parser::ValueSource::CommandLine;
        let text = match setting.key {
            "insecure_no_auth" => "true".to_owned(),
            key => matches.get_one::<String>(key)?.clone(),
        };
        given.then_some((setting.key, text))
    });
    let file = matches.get_one::<PathBuf>("config");
    let sources = Sources::read(file.map(PathBuf::as_path), flags)?;
    let config = sources.check()?;
    start_logs(&config)?;
    for variable in &sources.ignored_variables {
        warn!(
            variable,
            "this variable begins with CRANE_ but is no setting; see crane serve --help"
        );
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(sources, config))
}

/// Lines for people on a terminal, JSON for everything else.
fn start_logs(config: &Config) -> Result<(), ConfigError> {
    let filter = EnvFilter::builder()
        .parse(&config.log)
        .map_err(|error| ConfigError { origin: "log".into(), reason: error.to_string() })?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        logs.with_target(false).init();
    } else {
        logs.json().flatten_event(true).with_current_span(true).init();
    }
    Ok(())
}

async fn serve(_: Sources, config: Config) -> Outcome {
    let crane = Crane::open(&config).await?;
    let listener = TcpListener::bind(config.bind).await.map_err(|error| ConfigError {
        origin: "bind".into(),
        reason: format!("cannot listen on {}: {error}", config.bind),
    })?;
    let address = listener.local_addr()?;
    info!(version = env!("CARGO_PKG_VERSION"), "Crane listens; Swagger UI is http://{address}/");
    api::serve(listener, crane, told_to_stop()?).await?;
    info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Ready on SIGTERM or SIGINT.
fn told_to_stop() -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => info!("SIGTERM: requests and jobs may come to an end"),
            _ = interrupt.recv() => info!("SIGINT: requests and jobs may come to an end"),
        }
    })
}

async fn check(sources: Sources, config: Config) -> Outcome {
    let mut out = std::io::stdout();
    for (key, value, origin) in sources.in_force() {
        writeln!(out, "{key:22} {value}  ({origin})")?;
    }
    writeln!(out)?;
    // A Crane that serves holds its store; the other parts can be tried all the same.
    let (crane, store) = match Crane::open(&config).await {
        Ok(crane) => (crane, None),
        Err(Error::Unavailable { what: "store", reason, .. }) => {
            let elsewhere = Config { store: "memory:".into(), ..config };
            (Crane::open(&elsewhere).await?, Some(reason))
        }
        Err(error) => return Err(error.into()),
    };
    let mut checks = checks::all(&crane.jobs.parts).await;
    checks.store = store.unwrap_or(checks.store);
    for (part, verdict) in checks.each() {
        writeln!(out, "{part:22} {verdict}")?;
    }
    Ok(match checks.each().iter().any(|(_, verdict)| Checks::is_failure(verdict)) {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

fn openapi(matches: &ArgMatches) -> Outcome {
    let text = format!("{:#}\n", api::document());
    match matches.get_one::<PathBuf>("file") {
        Some(file) => std::fs::write(file, text)?,
        None => std::io::stdout().write_all(text.as_bytes())?,
    }
    Ok(ExitCode::SUCCESS)
}

fn completions(matches: &ArgMatches) -> Outcome {
    if let Some(shell) = matches.get_one::<Shell>("shell") {
        clap_complete::generate(*shell, &mut command(), "crane", &mut std::io::stdout());
    }
    Ok(ExitCode::SUCCESS)
}
