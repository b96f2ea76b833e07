//! The reader: a program of its own with the product in it, which notes what it is given and what
//! it acknowledges, until its standard input ends or somebody kills it.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::Duration;

use clap::Parser;
use pgoutput_decoder_host::{
    Acknowledger, Config, EngineKind, Error, ErrorClass, Event, Position, Stream, Streaming,
};
use pgoutput_decoder_tests::chaos::history::{Note, What};
use serde::Deserialize;

use crate::clock;

/// What a reader is told.
#[derive(Clone, Debug, Parser)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are flags of a command line"
)]
pub(crate) struct Arguments {
    /// The file it notes everything in.
    log: std::path::PathBuf,
    /// Where the server is.
    url: String,
    /// The slot.
    slot: String,
    /// When it acknowledges: `each`, `batch`, `every:N`, `behind:N`, `after:MS`.
    #[arg(long, default_value = "each")]
    habit: String,
    /// Events it takes before it pauses for a millisecond; 0 never does. After a while it hurries.
    #[arg(long, default_value_t = 0)]
    pause_every: usize,
    /// Stalls once, behind so many events, for `stall_ms`.
    #[arg(long, default_value_t = 0)]
    stall_after: usize,
    #[arg(long, default_value_t = 0)]
    stall_ms: u64,
    /// Acknowledges all it was given before it stops.
    #[arg(long)]
    acknowledge_at_stop: bool,
    #[arg(long)]
    binary: bool,
    #[arg(long)]
    two_phase: bool,
    /// `on`, `off` or `parallel`; the server's best where it is not given.
    #[arg(long)]
    streaming: Option<String>,
    #[arg(long)]
    native: bool,
    #[arg(long)]
    stash_memory: Option<usize>,
    #[arg(long)]
    stash_max: Option<u64>,
    #[arg(long)]
    stash_directory: Option<std::path::PathBuf>,
    /// What it was given last, by its own account.
    #[arg(long)]
    start_position: Option<Position>,
}

/// Appends whole lines: what was written survives a `kill -9`.
struct Log {
    file: File,
    buffer: String,
}

impl Log {
    fn open(path: &Path) -> Self {
        let file = OpenOptions::new().create(true).append(true).open(path);
        Self {
            file: file.unwrap(),
            buffer: String::new(),
        }
    }

    fn note(&mut self, what: What) {
        let at_us = clock::unix_us();
        Note { at_us, what }.write(&mut self.buffer);
    }

    fn flush(&mut self) {
        self.file.write_all(self.buffer.as_bytes()).unwrap();
        self.buffer.clear();
    }
}

/// When the reader acknowledges what it was given.
enum Habit {
    After(Duration),
    Batch,
    Behind(usize),
    Every(usize),
}

impl Habit {
    fn parse(text: &str) -> Self {
        let (word, number) = text.split_once(':').unwrap_or((text, "1"));
        let number = number.parse().unwrap();
        match word {
            "after" => Self::After(Duration::from_millis(number)),
            "batch" => Self::Batch,
            "behind" => Self::Behind(usize::try_from(number).unwrap()),
            _ => Self::Every(usize::try_from(number).unwrap()),
        }
    }
}

struct Consumer {
    log: Log,
    acknowledger: Acknowledger,
    habit: Habit,
    /// Given and not acknowledged.
    open: Vec<Position>,
    acknowledged_at: u64,
}

impl Consumer {
    fn take(&mut self, event: &Event, is_last: bool) {
        self.log.note(What::Event(event.position(), label(event)));
        self.open.push(event.position());
        let now = clock::unix_us();
        let ready = match self.habit {
            Habit::After(pause) => {
                let due = u128::from(now - self.acknowledged_at) >= pause.as_micros();
                if due { self.open.len() } else { 0 }
            }
            Habit::Batch => {
                if is_last {
                    self.open.len()
                } else {
                    0
                }
            }
            Habit::Behind(count) => self.open.len().saturating_sub(count),
            Habit::Every(count) => {
                if self.open.len() >= count {
                    self.open.len()
                } else {
                    0
                }
            }
        };
        if ready > 0 {
            self.acknowledge(ready);
            self.acknowledged_at = now;
        }
    }

    /// Acknowledges the first `count` of what is open.
    fn acknowledge(&mut self, count: usize) {
        let Some(position) = self.open.drain(..count).next_back() else {
            return;
        };
        self.log.note(What::Acknowledge(position));
        self.log.flush();
        self.acknowledger.acknowledge(position).unwrap();
        self.log.note(What::Acknowledged(position));
    }
}

/// Runs until it is told to stop, or the stream ends.
pub(crate) async fn read(arguments: Arguments) {
    let mut log = Log::open(&arguments.log);
    let told = std::env::args().skip(5).collect::<Vec<_>>().join(" ");
    log.note(What::Start { arguments: told });
    log.flush();
    let stream = match config(&arguments).connect().await {
        Ok(stream) => stream,
        Err(error) => return failed(log, &error),
    };
    let stopper = stream.stopper();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        stopper.stop();
    });
    let mut consumer = Consumer {
        acknowledger: stream.acknowledger(),
        habit: Habit::parse(&arguments.habit),
        log,
        open: Vec::new(),
        acknowledged_at: clock::unix_us(),
    };
    let (mut stream, error) = consume(stream, &mut consumer, &arguments).await;
    if arguments.acknowledge_at_stop {
        consumer.acknowledge(consumer.open.len());
    }
    let mut log = consumer.log;
    if let Some(error) = error {
        let _ = stream.stop().await;
        return failed(log, &error);
    }
    let what = match stream.stop().await {
        Ok(()) => What::Stopped,
        Err(_) => What::Unsent,
    };
    log.note(what);
    log.flush();
}

async fn consume(
    mut stream: Stream,
    consumer: &mut Consumer,
    arguments: &Arguments,
) -> (Stream, Option<Error>) {
    let mut count = 0;
    loop {
        let batch = match stream.next_batch().await {
            Ok(Some(batch)) => batch,
            Ok(None) => return (stream, None),
            Err(error) => return (stream, Some(error)),
        };
        let events = batch.len();
        for (index, event) in batch.events().enumerate() {
            if stream.is_ended() {
                break;
            }
            consumer.take(&event, index + 1 == events);
            count += 1;
            let slow = arguments.pause_every > 0 && count < SLOW_EVENTS;
            if slow && count % arguments.pause_every == 0 {
                consumer.log.flush();
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            if count == arguments.stall_after {
                consumer.log.note(What::Stalls);
                consumer.log.flush();
                tokio::time::sleep(Duration::from_millis(arguments.stall_ms)).await;
            }
        }
        consumer.log.flush();
    }
}

fn config(arguments: &Arguments) -> Config {
    let mut config = Config::parse(&arguments.url)
        .unwrap()
        .slot(&arguments.slot)
        .publication("p")
        .binary(arguments.binary)
        .two_phase(arguments.two_phase)
        .connect_timeout(Duration::from_secs(3))
        .receive_timeout(Duration::from_secs(3))
        .reconnect_delay_max(Duration::from_millis(200));
    if arguments.native {
        config = config.engine(EngineKind::Native);
    }
    config = match arguments.streaming.as_deref() {
        Some("off") => config.streaming(Streaming::Off),
        Some("on") => config.streaming(Streaming::On),
        Some(_) => config.streaming(Streaming::Parallel),
        None => config,
    };
    if let Some(bytes) = arguments.stash_memory {
        config = config.stash_memory_max_bytes(bytes);
    }
    if let Some(bytes) = arguments.stash_max {
        config = config.stash_max_bytes(bytes);
    }
    if let Some(directory) = &arguments.stash_directory {
        config = config.stash_directory(directory);
    }
    if let Some(position) = arguments.start_position {
        config = config.start_position(position);
    }
    config
}

fn failed(mut log: Log, error: &Error) {
    let class = match error.class() {
        ErrorClass::Bug => "bug",
        ErrorClass::Caller => "caller",
        ErrorClass::Server => "server",
        ErrorClass::Transient => "transient",
        ErrorClass::Plugin => "plugin",
    };
    log.note(What::Failed {
        class: class.to_owned(),
        text: error.to_string(),
    });
    log.flush();
}

/// What an event says, as the truth has it.
fn label(event: &Event) -> String {
    #[derive(Deserialize)]
    struct Row<'text> {
        id: Option<i64>,
        #[serde(borrow)]
        tag: Option<&'text str>,
    }
    #[derive(Deserialize)]
    struct Logical<'text> {
        #[serde(borrow)]
        message: Prefix<'text>,
    }
    #[derive(Deserialize)]
    struct Prefix<'text> {
        prefix: &'text str,
    }
    let table = &event.topic().table;
    let row = |text: Option<&str>| -> String {
        let row: Row<'_> = serde_json::from_str(text.unwrap()).unwrap();
        match (event.op(), row.id, row.tag) {
            (Some('d'), Some(id), _) => format!("#{id}"),
            (_, _, Some(tag)) => tag.to_owned(),
            (_, id, _) => format!("#{id:?} without a tag"),
        }
    };
    match event.op() {
        Some('d') => format!("d {table} {}", row(event.before())),
        Some('t') => format!("t {table}"),
        Some('m') => {
            let value: Logical<'_> = serde_json::from_str(event.value().unwrap()).unwrap();
            format!("m {}", value.message.prefix)
        }
        Some(op) => format!("{op} {table} {}", row(event.after())),
        None => "no op".to_owned(),
    }
}

/// Long enough to be hit in the middle of something, and not so long that all wait for it.
const SLOW_EVENTS: usize = 1_500;
