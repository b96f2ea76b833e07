//! The command line: arguments in, exit code out.

mod connection;
mod decode;
mod demo;
mod diff;
mod difference;
mod doctor;
mod failure;
mod inspect;
mod json_lines;
mod options;
mod playground;
mod plugin;
mod plugins;
mod pretty;
mod protocol;
mod record;
mod resume;
mod shop;
mod signals;
mod slot;
mod source;
mod stream;
mod terminal;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use self::failure::Failure;

/// The whole command line.
#[derive(Parser)]
#[command(
    name = "pgoutput-decoder",
    about = "Streams PostgreSQL's changes as change events, decoded in a WebAssembly sandbox",
    version,
    max_term_width = 100,
    arg_required_else_help = true
)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Stream(Box<stream::Arguments>),
    Doctor(doctor::Arguments),
    Slot(slot::Arguments),
    Decode(decode::Arguments),
    Record(Box<record::Arguments>),
    Replay(decode::ReplayArguments),
    Inspect(inspect::Arguments),
    Diff(diff::Arguments),
    Playground(playground::Arguments),
    Plugin(plugin::Arguments),
    Demo(demo::Arguments),
}

/// Events as Debezium's connector writes them, or plain ones: ISO 8601 times, exact numbers,
/// every type.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Debezium,
    Native,
}

impl Format {
    /// The decoder's option `format`.
    fn option(self) -> &'static str {
        match self {
            Self::Debezium => "debezium",
            Self::Native => "native",
        }
    }
}

/// Runs the command line of this process: 0 done, 1 failed, 2 wrong usage; `doctor` has a code of
/// its own for a server that cannot be reached.
pub(crate) fn run() -> ExitCode {
    let matches = CommandLine::command().get_matches();
    let result = CommandLine::from_arg_matches(&matches)
        .map_err(|error| Failure::Usage(error.format(&mut CommandLine::command())))
        .and_then(|line| match line.command {
            Command::Decode(arguments) => decode::run(&arguments).map(done),
            Command::Demo(arguments) => {
                let given = subcommand(&matches);
                runtime()?.block_on(demo::run(arguments, given)).map(done)
            }
            Command::Diff(arguments) => diff::run(&arguments),
            Command::Doctor(arguments) => {
                runtime()?.block_on(doctor::run(arguments, subcommand(&matches)))
            }
            Command::Record(arguments) => {
                let given = subcommand(&matches);
                runtime()?
                    .block_on(record::run(*arguments, given))
                    .map(done)
            }
            Command::Replay(arguments) => decode::replay(&arguments).map(done),
            Command::Inspect(arguments) => inspect::run(&arguments).map(done),
            Command::Playground(arguments) => {
                let given = subcommand(&matches);
                runtime()?
                    .block_on(playground::run(arguments, given))
                    .map(done)
            }
            Command::Plugin(arguments) => plugin::run(&arguments).map(done),
            Command::Slot(arguments) => {
                let given = subcommand(&matches);
                runtime()?.block_on(slot::run(arguments, given)).map(done)
            }
            Command::Stream(arguments) => {
                let given = subcommand(&matches);
                runtime()?
                    .block_on(stream::run(*arguments, given))
                    .map(done)
            }
        });
    match result {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}

fn done((): ()) -> ExitCode {
    ExitCode::SUCCESS
}

fn subcommand(matches: &clap::ArgMatches) -> &clap::ArgMatches {
    matches.subcommand().map_or(matches, |(_, matches)| matches)
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    // This thread renders and writes; the connection and its feedback get two of their own.
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    Ok(runtime.worker_threads(2).enable_all().build()?)
}
