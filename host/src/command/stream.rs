//! `stream`: changes to stdout as they are committed, acknowledged once they are written.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{ArgMatches, Args, ValueEnum};
use pgoutput_decoder_host::engine::DecoderFile;
use pgoutput_decoder_host::records::{Batch, Position};
use pgoutput_decoder_host::{Error, Plugin, Shadow, Stream};

use super::failure::Failure;
use super::json_lines::JsonLines;
use super::pretty::Pretty;
use super::signals::Signals;
use super::source::Source;
use super::{options, plugins, terminal};

/// What `stream` is told.
#[derive(Args)]
#[command(
    about = "Streams changes to stdout until interrupted",
    after_help = "An event is acknowledged once it is written: the next run goes on behind it.\n\
        Ctrl-C and SIGTERM end the stream cleanly; SIGUSR1 has a line written to stderr that says\n\
        how it is."
)]
pub(crate) struct Arguments {
    /// Another decoder.wasm, whose events are compared and not written
    #[arg(long, value_name = "FILE")]
    shadow: Option<PathBuf>,
    #[command(flatten)]
    source: Source,
    /// A line of JSON an event, or a short one for people
    #[arg(long, value_enum, env = "PGOUTPUT_OUTPUT", hide_env_values = true)]
    #[arg(value_name = "OUTPUT", default_value_t = Output::Json)]
    output: Output,
    /// A plugin, a .wasm, that events go through; or a .json that says how; may be repeated
    #[arg(long, value_name = "FILE")]
    plugin: Vec<PathBuf>,
}

/// JSON lines, or short lines that are coloured in a terminal.
#[derive(Clone, Copy, ValueEnum)]
enum Output {
    Json,
    Pretty,
}

/// Streams until interrupted.
pub(crate) async fn run(arguments: Arguments, given: &ArgMatches) -> Result<(), Failure> {
    let mut config = arguments.source.config(given)?;
    for plugin in &arguments.plugin {
        config = config.plugin(Plugin::open(plugin)?);
    }
    let shadow = arguments
        .shadow
        .as_deref()
        .map(DecoderFile::open)
        .transpose()?;
    let shadow = shadow.map(Shadow::new);
    if let Some(shadow) = &shadow {
        config = config.shadow(shadow.clone());
    }
    let mut stream = config
        .on_warning(terminal::warn)
        .on_plugin_line(plugins::show_line)
        .connect()
        .await
        .map_err(not_started)?;
    options::notice_ignored(stream.ignored_options());
    stop_on_signal(&stream)?;
    status_on_signal(&stream)?;

    let mut writer = match arguments.output {
        Output::Json => Writer::Json(JsonLines::default()),
        Output::Pretty => Writer::Pretty(Pretty::new(&io::stdout(), terminal::width())),
    };
    let written = write_all(&mut stream, &mut writer).await;
    // Whatever ended the writing, what was written before is acknowledged on the wire.
    let stopped = stream.stop().await;
    if let Some(shadow) = shadow {
        shadow.wait();
        let status = shadow.status();
        // Where nobody reads it, nobody misses it.
        let _ = writeln!(
            io::stderr().lock(),
            "the shadow decoder gave {} events, {} of them other than the stream's",
            status.events,
            status.differences
        );
    }
    written.and(stopped.map_err(Failure::from))
}

/// Of what is missing at the server, the doctor tells everything at once.
pub(crate) fn not_started(error: Error) -> Failure {
    match error {
        Error::PublicationNotFound { .. }
        | Error::Server { .. }
        | Error::SlotNotFound { .. }
        | Error::SlotUnusable { .. }
        | Error::WalLevel { .. } => Failure::Start(error),
        error => Failure::Stream(error),
    }
}

/// Asks the stream to end at the first signal, and ends this process at the second.
pub(crate) fn stop_on_signal(stream: &Stream) -> Result<(), io::Error> {
    let stopper = stream.stopper();
    let mut signals = Signals::new()?;
    tokio::spawn(async move {
        signals.next().await;
        stopper.stop();
        signals.next().await;
        // Whoever reads our output does not take it: the clean way out is blocked.
        std::process::exit(INTERRUPTED);
    });
    Ok(())
}

/// Writes a line to stderr at every SIGUSR1, where there is such a signal.
pub(crate) fn status_on_signal(stream: &Stream) -> Result<(), io::Error> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let monitor = stream.monitor();
        let mut asked = signal(SignalKind::user_defined1())?;
        tokio::spawn(async move {
            while asked.recv().await.is_some() {
                let status = monitor.status().to_string();
                // Where nobody reads it, nobody misses it.
                let _ = writeln!(io::stderr().lock(), "{}", terminal::printable(&status));
            }
        });
    }
    Ok(())
}

enum Writer {
    Json(JsonLines),
    Pretty(Pretty),
}

impl Writer {
    fn write(&mut self, buffer: &mut Vec<u8>, batch: &Batch) -> Option<Position> {
        let mut last = None;
        for event in batch.events() {
            match self {
                Self::Json(lines) => lines.write(buffer, &event),
                Self::Pretty(pretty) => pretty.write(buffer, &event),
            }
            last = Some(event.position());
        }
        last
    }
}

/// Writes batches as they come: at once when no more is ready, else a buffer full at a time.
async fn write_all(stream: &mut Stream, writer: &mut Writer) -> Result<(), Failure> {
    let acknowledger = stream.acknowledger();
    let mut stdout = io::stdout();
    let mut buffer = Vec::with_capacity(2 * BUFFER_BYTES);
    let mut last = None;
    let reader_gone = reader_gone();
    tokio::pin!(reader_gone);
    loop {
        let ready = stream.try_next_batch();
        if buffer.len() >= BUFFER_BYTES || !matches!(ready, Ok(Some(_))) {
            // Before an error, too: what came before it is delivered.
            stdout.write_all(&buffer)?;
            stdout.flush()?;
            buffer.clear();
            if let Some(position) = last.take() {
                acknowledger.acknowledge(position)?;
            }
        }
        let batch = if let Some(batch) = ready? {
            batch
        } else {
            let next = tokio::select! {
                batch = stream.next_batch() => batch?,
                () = &mut reader_gone => None,
            };
            let Some(batch) = next else { return Ok(()) };
            batch
        };
        last = writer.write(&mut buffer, &batch).or(last);
    }
}

/// Waits until nobody reads our output any more, where that can be known: a quiet stream writes
/// nothing that could fail.
async fn reader_gone() {
    #[cfg(unix)]
    {
        use std::os::fd::AsFd;
        use tokio::io::Interest;
        use tokio::net::unix::pipe::Sender;
        // Unchecked: it is only waited for, never written to, and stays a blocking one. A file
        // cannot be waited for, and has no reader.
        if let Ok(stdout) = io::stdout().as_fd().try_clone_to_owned()
            && let Ok(stdout) = Sender::from_owned_fd_unchecked(stdout)
            && stdout.ready(Interest::ERROR).await.is_ok()
        {
            return;
        }
    }
    std::future::pending::<()>().await;
}

/// One write of this size costs as much as a small one.
const BUFFER_BYTES: usize = 256 * 1024;

/// 128 + SIGINT, as shells have it.
const INTERRUPTED: i32 = 130;
