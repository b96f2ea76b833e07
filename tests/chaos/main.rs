//! The chaos rig: a writer, a reader with the product in it, and somebody who breaks what they
//! need, over and over; every history is checked. See `make chaos`.
//!
//! `cargo test` runs it with a few seeds, on the oldest and the newest server it is for.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a rig that is wrong stops"
)]
#![expect(clippy::print_stdout, reason = "its lines are what it is for")]

mod clock;
mod faults;
mod proxy;
mod reader;
mod run;
mod series;
mod standby;
mod supervisor;
mod truth;
mod writer;

use std::future::Future;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use libtest_mimic::Trial;

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs seeds.
    Run(series::Arguments),
    /// Reads, as the rig's own child.
    Read(Box<reader::Arguments>),
}

fn main() -> ExitCode {
    // Otherwise they are those of `cargo test`.
    let first = std::env::args().nth(1).unwrap_or_default();
    if !matches!(first.as_str(), "run" | "read") {
        let seeds = Trial::test("twenty_seeds", || {
            let wrong = run(series::few());
            if wrong > 0 {
                return Err(format!("{wrong} runs are wrong: see above").into());
            }
            Ok(())
        });
        return libtest_mimic::run(&libtest_mimic::Arguments::from_args(), vec![seeds]).exit_code();
    }
    match Arguments::parse().command {
        Command::Run(arguments) if run(series::all(&arguments)) > 0 => ExitCode::FAILURE,
        Command::Run(_) => ExitCode::SUCCESS,
        Command::Read(arguments) => {
            run(reader::read(*arguments));
            ExitCode::SUCCESS
        }
    }
}

fn run<T>(what: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.unwrap().block_on(what)
}
