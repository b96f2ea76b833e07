//! `decode` and `replay`: a recorded stream to events, without a server.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use pgoutput_decoder_host::Plugins;
use pgoutput_decoder_host::capture::CatalogAt;
use pgoutput_decoder_host::engine::{Engine, EngineError, EngineKind};
use pgoutput_decoder_host::recording::{Recorder, Recording, Replay};

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
        changes has such stages between its messages. What `record` made is one, too."
)]
pub(crate) struct Arguments {
    /// A recording, or messages of the stream, one JSON object a line
    #[arg(long, value_name = "FILE")]
    capture: PathBuf,
    /// What the server's catalogs held, in one or more stages [default: those in the capture, or
    /// catalog.json beside it]
    #[arg(long, value_name = "FILE")]
    catalog: Option<PathBuf>,
    /// Facts for a message: those of the stage taken next after it, or of the last stage
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = At::Stream)]
    catalog_at: At,
    #[command(flatten)]
    decoding: Decoding,
}

/// What `replay` is told.
#[derive(Args)]
#[command(
    about = "Decodes a recording to lines of JSON, with the options it was recorded with",
    after_help = "Each line is {\"topic\":…,\"key\":…,\"value\":…,\"headers\":…}. Of a recording\n\
        that is damaged, what is sound is decoded; the exit code is 1."
)]
pub(crate) struct ReplayArguments {
    /// What `record` made
    #[arg(value_name = "FILE")]
    recording: PathBuf,
    /// As fast as it came, or so many times as fast [default: as fast as it goes]
    #[arg(
        long,
        value_name = "TIMES",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "1",
        value_parser = speed
    )]
    speed: Option<f64>,
    #[command(flatten)]
    decoding: Decoding,
}

/// How events are made of a recording.
#[derive(Args)]
pub(crate) struct Decoding {
    /// An option of Debezium's, instead of the one recorded; may be repeated
    #[arg(long = "option", value_name = "NAME=VALUE", value_parser = options::pair)]
    option: Vec<(String, String)>,
    /// JSON object of such options; --option wins over it
    #[arg(long, value_name = "FILE")]
    options: Option<PathBuf>,
    /// Name of the database in the events; before database.dbname among the options
    #[arg(long, value_name = "NAME")]
    database: Option<String>,
    /// Events as Debezium's, or plain ones [default: the options', or debezium]
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
    /// Keys, values and headers with their Kafka Connect schemas, whatever the options say
    #[arg(long)]
    schemas: bool,
    /// A plugin, a .wasm, that events go through; or a .json that says how; may be repeated
    #[arg(long, value_name = "FILE")]
    plugin: Vec<PathBuf>,
    /// Records what is decoded, with these options
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Replaces the rows' values in what is recorded, keeping their kinds and lengths
    #[arg(long, requires = "record")]
    redact: bool,
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

/// Decodes a capture to stdout.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let at = match arguments.catalog_at {
        At::End => CatalogAt::End,
        At::Stream => CatalogAt::Stream,
    };
    let recording = Recording::open(&arguments.capture, arguments.catalog.as_deref(), at)?;
    write_events(&recording, &arguments.decoding, None)
}

/// Decodes a recording to stdout.
pub(crate) fn replay(arguments: &ReplayArguments) -> Result<(), Failure> {
    let recording = Recording::open(&arguments.recording, None, CatalogAt::Stream)?;
    write_events(&recording, &arguments.decoding, arguments.speed)
}

fn write_events(
    recording: &Recording,
    decoding: &Decoding,
    speed: Option<f64>,
) -> Result<(), Failure> {
    let given = decoding.given()?;
    let options = decoding.over(recording.options().to_vec(), &given);
    let native = options
        .iter()
        .any(|(name, value)| name == "format" && value == "native");
    options::notice_ignored(&decoding.engine(&options)?.ignored_options()?);
    let mut plugins = plugins::load(&decoding.plugin, native)?;
    let mut replay =
        recording.replay_with(|recorded| decoding.engine(&decoding.over(recorded, &given)))?;
    let recorder = decoding.record.as_deref().map(Recorder::open).transpose()?;
    let recorder = recorder.map(|recorder| recorder.redacting(decoding.redact));
    if let Some(recorder) = &recorder {
        replay = replay.recorder(recorder.clone(), &options);
    }
    let written = write_lines(&mut replay, &mut plugins, speed);
    recorder.map_or(Ok(()), |recorder| recorder.end())?;
    written
}

fn write_lines(
    replay: &mut Replay<'_>,
    plugins: &mut Plugins,
    speed: Option<f64>,
) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let mut lines = JsonLines::default();
    let mut buffer = Vec::new();
    let mut pace = speed.map(Pace::new);
    // An error comes after all that could be decoded before it, and so is written after it.
    while let Some(mut batch) = replay.next_batch()? {
        if let Some(pace) = &mut pace {
            pace.wait(replay.received_us());
        }
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

impl Decoding {
    fn engine(&self, options: &[(String, String)]) -> Result<Engine, EngineError> {
        let kind = match self.engine {
            Which::Component => EngineKind::Component,
            #[cfg(feature = "native")]
            Which::Native => EngineKind::Native,
        };
        Engine::open(kind, options)
    }

    /// The options of flags and file.
    fn given(&self) -> Result<Vec<(String, String)>, Failure> {
        let mut options = match &self.options {
            Some(path) => options::read(path)?,
            None => Vec::new(),
        };
        for (name, value) in &self.option {
            options::set(&mut options, name, value);
        }
        if self.schemas {
            options.retain(|(name, _)| !is_schemas_of_converter(name));
        }
        if let Some(database) = &self.database {
            options::set(&mut options, "database.dbname", database);
        }
        if let Some(format) = self.format {
            options::set(&mut options, "format", format.option());
        }
        if self.schemas {
            options::set(&mut options, "schemas.enable", "true");
        }
        Ok(options)
    }

    /// Those that were recorded, and these instead of those of the same names.
    fn over(
        &self,
        mut recorded: Vec<(String, String)>,
        given: &[(String, String)],
    ) -> Vec<(String, String)> {
        if self.schemas {
            recorded.retain(|(name, _)| !is_schemas_of_converter(name));
        }
        for (name, value) in given {
            options::set(&mut recorded, name, value);
        }
        recorded
    }
}

fn is_schemas_of_converter(name: &str) -> bool {
    name.ends_with(".converter.schemas.enable")
}

/// Has a recording go on in its own time.
struct Pace {
    times: f64,
    begun: Instant,
    /// When its first frames were received.
    first_us: Option<i64>,
}

impl Pace {
    #[expect(clippy::disallowed_methods, reason = "the time is what it is for")]
    fn new(times: f64) -> Self {
        Self {
            times,
            begun: Instant::now(),
            first_us: None,
        }
    }

    /// Waits until what was received then is due.
    fn wait(&mut self, received_us: i64) {
        let first_us = *self.first_us.get_or_insert(received_us);
        let behind_us = u64::try_from(received_us.saturating_sub(first_us)).unwrap_or(0);
        let behind = Duration::from_micros(behind_us).div_f64(self.times);
        std::thread::sleep(behind.saturating_sub(self.begun.elapsed()));
    }
}

fn speed(text: &str) -> Result<f64, &'static str> {
    let times: Option<f64> = text.parse().ok();
    times
        .filter(|times| (1e-6..=1e6).contains(times))
        .ok_or("how many times as fast is expected, such as 2 or 0.5")
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
        let options = arguments.decoding.given().unwrap_or_default();
        let of = |name: &str| -> Vec<&str> {
            let named = options.iter().filter(|(known, _)| known == name);
            named.map(|(_, value)| value.as_str()).collect()
        };
        assert_eq!(of("transforms"), ["b"]);
        assert_eq!(of("transforms.unwrap.add.fields").len(), 1);
        assert_eq!(of("format"), ["native"]);
    }
}
