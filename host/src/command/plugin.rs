//! `plugin`: for those who make plugins.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use pgoutput_decoder_host::Plugin;
use pgoutput_decoder_host::capture::{Capture, Catalog, CatalogAt, Replay};
use pgoutput_decoder_host::engine::{Engine, EngineKind};
use pgoutput_decoder_host::records::Batch;

use super::Format;
use super::failure::Failure;

mod bench;
mod check;
mod difference;
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
    /// Messages of a recorded stream, one JSON object a line [default: those of a small shop]
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
        let (capture, catalog) = match &self.capture {
            None => {
                let name = Path::new("the built-in recording");
                (
                    Capture::parse(name, CAPTURE)?,
                    Catalog::parse(name, CATALOG)?,
                )
            }
            Some(file) => {
                let catalog = match &self.catalog {
                    Some(catalog) => Catalog::open(catalog)?,
                    None => Catalog::of_capture(file)?,
                };
                (Capture::open(file)?, catalog)
            }
        };
        let options = [("format".to_owned(), self.format.option().to_owned())];
        let mut engine = Engine::open(EngineKind::Component, &options)?;
        let mut replay = Replay::new(&mut engine, &capture, &catalog, CatalogAt::Stream);
        while let Some(batch) = replay.next_batch()? {
            take(batch)?;
        }
        Ok(())
    }
}

/// Customers, products, orders and what is in them; rows come, change and go.
const CAPTURE: &str = include_str!("../../../tests/vectors/ecommerce/pgoutput.jsonl");
const CATALOG: &str = include_str!("../../../tests/vectors/ecommerce/catalog.json");
