//! `plugin`: for those who make plugins.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use pgoutput_decoder_host::Plugin;
use pgoutput_decoder_host::capture::{Capture, Catalog, CatalogAt};
use pgoutput_decoder_host::engine::EngineKind;
use pgoutput_decoder_host::recording::Recording;
use pgoutput_decoder_host::records::Batch;

use super::Format;
use super::failure::Failure;

mod bench;
mod check;
mod new;

/// What `plugin` is told.
#[derive(Args)]
#[command(about = "Makes, checks and measures plugins")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    New(new::Arguments),
    Check(check::Arguments),
    Bench(bench::Arguments),
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.verb {
        Verb::New(arguments) => new::run(arguments),
        Verb::Check(arguments) => check::run(arguments),
        Verb::Bench(arguments) => bench::run(arguments),
    }
}

/// A plugin and a recorded stream that it is tried on.
#[derive(Args)]
struct Trial {
    /// The plugin, a .wasm; or a .json that says how it is used
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Its configuration, instead of what a .json says
    #[arg(long, value_name = "TEXT")]
    config: Option<String>,
    /// A recorded stream [default: that of a small shop]
    #[arg(long, value_name = "FILE")]
    capture: Option<PathBuf>,
    /// What the server's catalogs held [default: those in the capture]
    #[arg(long, value_name = "FILE", requires = "capture")]
    catalog: Option<PathBuf>,
    /// Events as Debezium's, or plain ones
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Native)]
    format: Format,
}

impl Trial {
    fn plugin(&self) -> Result<Plugin, Failure> {
        let plugin = Plugin::open(&self.file)?;
        Ok(match &self.config {
            Some(config) => plugin.config(config),
            None => plugin,
        })
    }

    fn is_native(&self) -> bool {
        self.format == Format::Native
    }

    /// Has each batch of the recording's events.
    fn each(&self, mut take: impl FnMut(Batch) -> Result<(), Failure>) -> Result<(), Failure> {
        let at = CatalogAt::Stream;
        let recording = match &self.capture {
            None => {
                let name = Path::new("the built-in recording");
                let catalog = Catalog::parse(name, CATALOG)?;
                Recording::of_capture(Capture::parse(name, CAPTURE)?, catalog, at)
            }
            Some(file) => Recording::open(file, self.catalog.as_deref(), at)?,
        };
        let format = [("format".to_owned(), self.format.option().to_owned())];
        let mut replay = recording.replay(EngineKind::Component, &format)?;
        while let Some(batch) = replay.next_batch()? {
            take(batch)?;
        }
        Ok(())
    }
}

/// Customers, products, orders and what is in them; rows come, change and go.
const CAPTURE: &str = include_str!("../../../tests/vectors/ecommerce/pgoutput.jsonl");
const CATALOG: &str = include_str!("../../../tests/vectors/ecommerce/catalog.json");
