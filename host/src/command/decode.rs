//! `decode`: a recorded stream to events, without a server.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use pgoutput_decoder_host::capture::{Capture, Catalog, CatalogAt, Replay};
use pgoutput_decoder_host::engine::{Engine, EngineKind};

use super::failure::Failure;
use super::json_lines::JsonLines;
use super::{Format, options, plugins};

/// What `decode` is told.
#[derive(Args)]
#[command(
    about = "Decodes a recorded stream to lines of JSON, without a server",
    after_help = "Each line is {\"topic\":…,\"key\":…,\"value\":…,\"headers\":…}.\n\
        A capture holds one message a line, {\"lsn\",\"end_lsn\",\"server_ts_us\",\"hex\"};\n\
        a catalog is {\"stages\":[{\"lsn\",\"types\",\"relations\"}]}; a capture of parked\n\
        changes has such stages between its messages."
)]
pub(crate) struct Arguments {
    /// Messages of the stream, one JSON object a line
    #[arg(long, value_name = "FILE")]
    capture: PathBuf,
    /// What the server's catalogs held, in one or more stages [default: those in the capture]
    #[arg(long, value_name = "FILE")]
    catalog: Option<PathBuf>,
    /// An option of Debezium's; may be repeated
    #[arg(long = "option", value_name = "NAME=VALUE", value_parser = options::pair)]
    option: Vec<(String, String)>,
    /// JSON object of such options; --option wins over it
    #[arg(long, value_name = "FILE")]
    options: Option<PathBuf>,
    /// Name of the database in the events; before database.dbname among the options
    #[arg(long, value_name = "NAME")]
    database: Option<String>,
    /// Facts for a message: those of the stage taken next after it, or of the last stage
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = At::Stream)]
    catalog_at: At,
    /// Events as Debezium's, or plain ones [default: the options', or debezium]
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
    /// Keys, values and headers with their Kafka Connect schemas, whatever the options say
    #[arg(long)]
    schemas: bool,
    /// A plugin, a .wasm, that events go through; or a .json that says how; may be repeated
    #[arg(long, value_name = "FILE")]
    plugin: Vec<PathBuf>,
    /// The sandboxed decoder, or the same code linked in
    #[arg(long, value_enum, value_name = "ENGINE", default_value_t = Which::Component)]
    engine: Which,
}

#[derive(Clone, Copy, ValueEnum)]
enum At {
    Stream,
    End,
}

#[derive(Clone, Copy, ValueEnum)]
enum Which {
    Component,
    #[cfg(feature = "native")]
    Native,
}

/// Decodes to stdout.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let at = match arguments.catalog_at {
        At::End => CatalogAt::End,
        At::Stream => CatalogAt::Stream,
    };
    let kind = match arguments.engine {
        Which::Component => EngineKind::Component,
        #[cfg(feature = "native")]
        Which::Native => EngineKind::Native,
    };
    let options = decoder_options(arguments)?;
    let mut engine = Engine::open(kind, &options)?;
    let native = options
        .iter()
        .any(|(name, value)| name == "format" && value == "native");
    let mut plugins = plugins::load(&arguments.plugin, native)?;
    let capture = Capture::open(&arguments.capture)?;
    let catalog = match &arguments.catalog {
        Some(catalog) => Catalog::open(catalog)?,
        None => Catalog::of_capture(&arguments.capture)?,
    };
    options::notice_ignored(&engine.ignored_options()?);

    let mut replay = Replay::new(&mut engine, &capture, &catalog, at);
    let mut stdout = io::stdout().lock();
    let mut lines = JsonLines::default();
    let mut buffer = Vec::new();
    // An error comes after all that could be decoded before it, and so is written after it.
    while let Some(mut batch) = replay.next_batch()? {
        let passed_over = plugins.apply(&mut batch);
        for event in batch.events() {
            lines.write(&mut buffer, &event);
        }
        stdout.write_all(&buffer)?;
        buffer.clear();
        plugins::warn(&passed_over?);
    }
    stdout.flush()?;
    Ok(())
}

fn decoder_options(arguments: &Arguments) -> Result<Vec<(String, String)>, Failure> {
    let mut options = match &arguments.options {
        Some(path) => options::read(path)?,
        None => Vec::new(),
    };
    for (name, value) in &arguments.option {
        options.retain(|(known, _)| known != name);
        options.push((name.clone(), value.clone()));
    }
    if arguments.schemas {
        options.retain(|(name, _)| !name.ends_with(".converter.schemas.enable"));
    }
    let mut set = |name: &str, value: &str| {
        options.retain(|(known, _)| known != name);
        options.push((name.to_owned(), value.to_owned()));
    };
    if let Some(database) = &arguments.database {
        set("database.dbname", database);
    }
    if let Some(format) = arguments.format {
        set("format", format.option());
    }
    if arguments.schemas {
        set("schemas.enable", "true");
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, Command, FromArgMatches as _};

    use super::*;

    #[test]
    fn flags_win_over_the_options_file() {
        let file = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../tests/vectors/matrix-smt-unwrap/connector.json"
        );
        let given = [
            "decode",
            "--capture=c",
            "--catalog=d",
            "--options",
            file,
            "--option=transforms=a",
            "--option=transforms=b",
            "--format=native",
        ];
        let matches = Arguments::augment_args(Command::new("decode")).get_matches_from(given);
        let arguments = Arguments::from_arg_matches(&matches).unwrap();
        let options = decoder_options(&arguments).unwrap_or_default();
        let of = |name: &str| -> Vec<&str> {
            let named = options.iter().filter(|(known, _)| known == name);
            named.map(|(_, value)| value.as_str()).collect()
        };
        assert_eq!(of("transforms"), ["b"]);
        assert_eq!(of("transforms.unwrap.add.fields").len(), 1);
        assert_eq!(of("format"), ["native"]);
    }
}
