//! `crane store export | import`: all that Crane knows, as lines of JSON, from any backend and into
//! any other.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Arg, ArgMatches, Command, value_parser};
use crane::{
    config::{Config, Sources},
    store,
};

use super::{Outcome, configured, with_settings};

/// What belongs to running processes: an imported job is one that nobody does.
const SKIP: &[&str] = &["lease:", "beat:", "cancel:", "lock:"];

pub(crate) fn command() -> Command {
    let file = |help: &'static str| {
        Arg::new("file").value_name("FILE").help(help).value_parser(value_parser!(PathBuf))
    };
    Command::new("store")
        .about("Move all that Crane knows from one store to another")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(with_settings(
            Command::new("export")
                .about("Write the store as lines of JSON")
                .arg(file("where to; without it, to standard output"))
                .after_help(
                    "Stop Crane first, or the records are of different instants. The file holds \
                     what users sent, passwords among it: keep it as you keep the store.\n\n\
                     Example:\n  crane store export --store filesystem:/var/lib/crane/store \
                     crane.jsonl",
                ),
        ))
        .subcommand(with_settings(
            Command::new("import")
                .about("Read lines of JSON into an empty store")
                .arg(file("what from; without it, from standard input"))
                .after_help(
                    "Jobs that had not ended begin again when Crane is started.\n\nExample:\n  \
                     crane store import --store redis://127.0.0.1:6379/0 crane.jsonl",
                ),
        ))
}

pub(crate) fn run(matches: &ArgMatches) -> Outcome {
    match matches.subcommand() {
        Some(("export", matches)) => {
            let file = matches.get_one::<PathBuf>("file").cloned();
            configured(matches, |_, config| export(config, file))
        }
        Some(("import", matches)) => {
            let file = matches.get_one::<PathBuf>("file").cloned();
            configured(matches, |_: Sources, config| import(config, file))
        }
        _ => Ok(ExitCode::FAILURE),
    }
}

async fn export(config: Config, file: Option<PathBuf>) -> Outcome {
    let store = store::open(&config.store, &config.data_dir).await?;
    let out: Box<dyn Write> = match &file {
        Some(path) => Box::new(private(path)?),
        None => Box::new(io::stdout()),
    };
    let mut out = BufWriter::new(out);
    let exported = store::export(&*store, &mut out, SKIP).await?;
    out.flush()?;
    writeln!(io::stderr(), "{} records exported", exported.records)?;
    if !exported.of_one_instant {
        writeln!(
            io::stderr(),
            "crane: somebody wrote to the store meanwhile; stop Crane and export again for records \
             that fit together"
        )?;
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// A new file that nobody else reads, as it holds what users sent.
fn private(path: &PathBuf) -> Result<File, String> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = File::options();
    options.write(true).create_new(true).mode(0o600);
    options.open(path).map_err(|error| format!("{}: {error}", path.display()))
}

async fn import(config: Config, file: Option<PathBuf>) -> Outcome {
    let reader: Box<dyn BufRead> = match &file {
        Some(path) => {
            let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
            Box::new(BufReader::new(file))
        }
        None => Box::new(BufReader::new(io::stdin())),
    };
    let store = store::open(&config.store, &config.data_dir).await?;
    let records = store::import(&*store, reader, SKIP).await?;
    writeln!(io::stderr(), "{records} records imported")?;
    Ok(ExitCode::SUCCESS)
}
