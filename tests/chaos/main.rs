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

use std::process::ExitCode;

use clap::{Parser, Subcommand};

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
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        // Otherwise they are those of `cargo test`, which may name other tests.
        let first = std::env::args().nth(1).unwrap_or_default();
        if !matches!(first.as_str(), "run" | "read") {
            if first.starts_with('-') || "chaos".contains(&first) {
                return series::few().await;
            }
            return ExitCode::SUCCESS;
        }
        match Arguments::parse().command {
            Command::Run(arguments) => series::all(&arguments).await,
            Command::Read(arguments) => {
                reader::read(*arguments).await;
                ExitCode::SUCCESS
            }
        }
    })
}
