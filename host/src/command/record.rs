//! `record`: a stream to a file, acknowledged once it is on the disk.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{ArgMatches, Args};
use pgoutput_decoder_host::Stream;
use pgoutput_decoder_host::recording::Recorder;
use pgoutput_decoder_host::records::Item;

use super::failure::Failure;
use super::source::Source;
use super::terminal::{self, Style, bytes_text};
use super::{options, stream};

/// What `record` is told.
#[derive(Args)]
#[command(
    about = "Records a stream to a file, which is replayed without a server",
    after_help = "A change is acknowledged once it is on the disk: the next stream goes on behind\n\
        it. With --create-slot=temporary nobody else's slot is moved. A file that is there is\n\
        continued. It has mode 0600, and holds values of rows, unless they are redacted.\n\
        Ctrl-C and SIGTERM end it cleanly."
)]
pub(crate) struct Arguments {
    /// The recording
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Replaces the rows' values, keeping their kinds and lengths
    #[arg(long)]
    redact: bool,
    #[command(flatten)]
    source: Source,
}

/// Records until interrupted.
pub(crate) async fn run(arguments: Arguments, given: &ArgMatches) -> Result<(), Failure> {
    let config = arguments.source.config(given)?;
    let recorder = Recorder::open(&arguments.out)?.redacting(arguments.redact);
    if recorder.cut_bytes() > 0 {
        let size = bytes_text(i64::try_from(recorder.cut_bytes()).unwrap_or(i64::MAX));
        terminal::warn(&format!(
            "{} of a block that was not written whole were cut off {}",
            size,
            arguments.out.display()
        ));
    }
    let mut stream = config
        .on_warning(terminal::warn)
        .recorder(recorder.clone())
        .transaction_ends(true)
        .connect()
        .await
        .map_err(stream::not_started)?;
    options::notice_ignored(stream.ignored_options());
    stream::stop_on_signal(&stream)?;
    stream::status_on_signal(&stream)?;

    let mut recorded = Recorded::default();
    let result = record(&mut stream, &recorder, &mut recorded).await;
    let stopped = stream.stop().await;
    let ended = recorder.end();
    result?;
    ended?;
    let bytes = std::fs::metadata(&arguments.out).map_or(0, |file| file.len());
    let style = Style::of(&io::stderr());
    // Whoever closed stderr does not want to know.
    let _ = writeln!(
        io::stderr().lock(),
        "{} {} events of {} transactions; {} has {}",
        style.bold("recorded"),
        recorded.events,
        recorded.transactions,
        arguments.out.display(),
        bytes_text(i64::try_from(bytes).unwrap_or(i64::MAX)),
    );
    Ok(stopped?)
}

#[derive(Default)]
struct Recorded {
    events: u64,
    transactions: u64,
}

async fn record(
    stream: &mut Stream,
    recorder: &Recorder,
    recorded: &mut Recorded,
) -> Result<(), Failure> {
    let acknowledger = stream.acknowledger();
    let (mut last, mut since) = (None, 0);
    loop {
        let ready = stream.try_next_batch();
        if since >= EVENTS_MAX || !matches!(ready, Ok(Some(_))) {
            since = 0;
            // Also before an error: what came before it is kept.
            recorder.sync()?;
            if let Some(position) = last.take() {
                acknowledger.acknowledge(position)?;
            }
        }
        let batch = match ready? {
            Some(batch) => batch,
            None => match stream.next_batch().await? {
                Some(batch) => batch,
                None => return Ok(()),
            },
        };
        for event in batch.events() {
            last = Some(event.position());
            since += 1;
            recorded.events += 1;
        }
        let ends = batch.items().filter(|item| matches!(item, Item::Commit(_)));
        recorded.transactions += u64::try_from(ends.count()).unwrap_or(0);
    }
}

/// So many events are put on the disk together, while more of them are there.
const EVENTS_MAX: u32 = 50_000;
