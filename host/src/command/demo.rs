//! `demo`: a shop that sells, edits and deletes, and its changes as they arrive.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::{ArgMatches, Args};
use pgoutput_decoder_host::Stream;
use pgoutput_decoder_host::recording::Recorder;
use pgoutput_decoder_host::records::{Batch, Event};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_postgres::Client;

use super::connection::Connection;
use super::failure::Failure;
use super::pretty::Pretty;
use super::shop::{Books, Shop, TABLES, Tally};
use super::signals::Signals;
use super::terminal::{self, Style};

/// What `demo` is told.
#[derive(Args)]
#[command(
    about = "Shows a shop's changes as they arrive; removes what it made afterwards",
    after_help = "Makes a schema, a publication and a slot (pgoutput_demo…), writes to them \
        for a while,\nshows some of the changes and one whole event, counts all, and removes \
        what it made."
)]
pub(crate) struct Arguments {
    /// How long the shop is open
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Records it, too
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    #[command(flatten)]
    connection: Connection,
}

/// Runs the demo, and removes what it made however it ends.
pub(crate) async fn run(arguments: Arguments, given: &ArgMatches) -> Result<(), Failure> {
    let config = arguments.connection.config(given)?;
    let sql = config.clone().application_name("pgoutput-decoder demo");
    let mut config = config.slot(SLOT).publication(PUBLICATION);
    let recorder = arguments
        .record
        .as_deref()
        .map(Recorder::open)
        .transpose()?;
    if let Some(recorder) = &recorder {
        config = config.recorder(recorder.clone());
    }
    // Debezium's envelope, with the two of its options that make it pleasant to read.
    let config = config
        .option("format", "debezium")
        .option("decimal.handling.mode", "string")
        .option("time.precision.mode", "isostring")
        .option("topic.prefix", "demo");

    let client = sql.client().await?;
    let mut screen = Screen::new();
    remove(&client).await?;
    let watched = async {
        doing(
            "making the demo's schema",
            client.batch_execute(&setup()).await,
        )?;
        let shop = sql.client().await?;
        let path = format!("SET search_path = {SCHEMA}");
        doing("opening the shop", shop.batch_execute(&path).await)?;
        let shop = doing("opening the shop", Shop::open(shop).await)?;
        let clock_ahead_us = clock_ahead_us(&client).await?;
        let mut stream = config.connect().await?;
        screen.title(&client, arguments.seconds).await?;
        let open_for = Duration::from_secs(arguments.seconds);
        let watched = watch(&mut stream, shop, open_for, clock_ahead_us, &mut screen).await;
        watched.and(stream.stop().await.map_err(Failure::from))?;
        Ok(recorder.map_or(Ok(()), |recorder| recorder.end())?)
    }
    .await;
    let removed = remove(&client).await;
    watched.and(removed)?;
    screen.say("slot, publication and schema are removed again")
}

/// The schema of `examples/setup_postgres.sql` under names of the demo's own.
fn setup() -> String {
    include_str!("../../../examples/setup_postgres.sql").replace("ecommerce", SCHEMA)
}

/// Removes what this or an earlier demo made.
async fn remove(client: &Client) -> Result<(), Failure> {
    let what = "removing the demo's slot, publication and schema";
    // The server notices a closed replication connection only a little later.
    let drop_slot = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots \
                     WHERE slot_name = $1";
    for attempt in 1.. {
        match client.execute(drop_slot, &[&SLOT]).await {
            Err(error) if is_in_use(&error) && attempt < DROP_ATTEMPTS => {
                tokio::time::sleep(DROP_PAUSE).await;
            }
            result => {
                doing(what, result)?;
                break;
            }
        }
    }
    let rest = format!(
        "SET client_min_messages = warning; DROP PUBLICATION IF EXISTS {PUBLICATION}; \
         DROP SCHEMA IF EXISTS {SCHEMA} CASCADE"
    );
    doing(what, client.batch_execute(&rest).await)
}

fn is_in_use(error: &tokio_postgres::Error) -> bool {
    error.code() == Some(&tokio_postgres::error::SqlState::OBJECT_IN_USE)
}

fn doing<T>(doing: &'static str, result: Result<T, tokio_postgres::Error>) -> Result<T, Failure> {
    result.map_err(|source| Failure::Database { doing, source })
}

/// Opens the shop, follows its changes until every one has arrived, and sums up.
async fn watch(
    stream: &mut Stream,
    shop: Shop,
    open_for: Duration,
    clock_ahead_us: i64,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let opened = Instant::now();
    let (close, closing) = tokio::sync::watch::channel(false);
    let mut shop = tokio::spawn(shop.trade(opened + open_for, closing));
    let mut books: Option<Books> = None;
    let mut seen = Seen {
        clock_ahead_us,
        opened_us: now_us() + clock_ahead_us,
        ..Seen::default()
    };
    let mut signals = Signals::new()?;
    let mut tick = tokio::time::interval(LINE_PAUSE);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let patience = tokio::time::sleep(open_for + PATIENCE);
    tokio::pin!(patience);
    loop {
        tokio::select! {
            batch = stream.next_batch() => match batch? {
                Some(batch) => {
                    seen.take(&batch, screen);
                    if let Some(last) = batch.len().checked_sub(1).and_then(|i| batch.event(i)) {
                        stream.acknowledger().acknowledge(last.position())?;
                    }
                }
                None => break,
            },
            done = &mut shop, if books.is_none() => {
                let done = done.map_err(io::Error::other)?;
                books = Some(doing("trading", done)?);
                patience.as_mut().reset(Instant::now() + PATIENCE);
            }
            _ = tick.tick() => screen.line()?,
            () = signals.next() => {
                // Closes early, and still waits for what was committed.
                close.send_replace(true);
            }
            () = &mut patience => break,
        }
        if books
            .as_ref()
            .is_some_and(|books| seen.changes.total() >= books.changes.total())
        {
            break;
        }
    }
    let elapsed = opened.elapsed();
    // One that comes twice, or out of a transaction that was rolled back, would come now.
    while let Ok(Some(batch)) = tokio::time::timeout(AFTERWARDS, stream.next_batch())
        .await
        .unwrap_or(Ok(None))
    {
        seen.take(&batch, screen);
    }
    let books = books.unwrap_or_default();
    screen.summary(&mut seen, &books, elapsed)?;
    let (expected, arrived) = (books.changes.total(), seen.changes.total());
    if arrived < expected {
        let missing = expected - arrived;
        return Err(Failure::Missing {
            missing,
            expected,
            waited_s: PATIENCE.as_secs(),
        });
    }
    match books.changes.difference(&seen.changes) {
        Some(difference) => Err(Failure::Mismatch { difference }),
        None => Ok(()),
    }
}

/// What has arrived.
#[derive(Default)]
struct Seen {
    changes: Tally,
    /// From commit to here, µs, one for each event committed since the shop has opened.
    latencies_us: Vec<i64>,
    /// By the server's clock, µs since 1970-01-01.
    opened_us: i64,
    /// How much later it is on the server's clock than on ours.
    clock_ahead_us: i64,
    /// The event shown in full: an update, with `before` and `after`.
    example: Option<Event>,
}

impl Seen {
    fn take(&mut self, batch: &Batch, screen: &mut Screen) {
        let now_us = now_us() + self.clock_ahead_us;
        for event in batch.events() {
            // A tombstone follows its delete and is no change of its own.
            let Some(op) = event.op() else { continue };
            let table = &event.topic().table;
            self.changes.add(table, op, 1);
            if event.commit_ts_us() >= self.opened_us {
                self.latencies_us
                    .push((now_us - event.commit_ts_us()).max(0));
            }
            if self.example.is_none() && op == 'u' && table == "products" {
                self.example = Some(event.clone());
            }
            screen.offer(event, op);
        }
    }
}

/// What a person sees.
struct Screen {
    stdout: io::Stdout,
    style: Style,
    pretty: Pretty,
    /// Lines by kind of change.
    shown: Tally,
    /// The change to show next: of those since the last line, of the kind shown least.
    offered: Option<(u64, Event)>,
    /// How many were not shown since that was last told.
    more: u64,
    more_told: Option<Instant>,
}

impl Screen {
    fn new() -> Self {
        let stdout = io::stdout();
        let style = Style::of(&stdout);
        let pretty = Pretty::new(&stdout, terminal::width()).for_tables(&TABLES);
        Self {
            stdout,
            style,
            pretty,
            shown: Tally::default(),
            offered: None,
            more: 0,
            more_told: None,
        }
    }

    async fn title(&mut self, client: &Client, seconds: u64) -> Result<(), Failure> {
        let query = "SELECT current_setting('server_version'), current_database()::text";
        let row = doing(
            "asking for the server's version",
            client.query_one(query, &[]).await,
        )?;
        let (version, database): (&str, &str) = (row.get(0), row.get(1));
        let title = format!("PostgreSQL {version}, database {database}");
        self.say(&self.style.bold(&terminal::printable(&title)))?;
        let what = "some of its changes, as they arrive";
        self.say(&format!("A shop opens for {seconds} seconds; {what}:\n"))
    }

    fn say(&mut self, text: &str) -> Result<(), Failure> {
        writeln!(self.stdout, "{text}")?;
        Ok(self.stdout.flush()?)
    }

    /// A change that may be shown.
    fn offer(&mut self, event: Event, op: char) {
        self.more += 1;
        let shown = self.shown.get(&event.topic().table, op);
        let offered = self.offered.as_ref();
        if offered.is_none_or(|(least, _)| shown < *least) {
            self.offered = Some((shown, event));
        }
    }

    /// Shows the change chosen since the last line, and now and then how many were not.
    fn line(&mut self) -> Result<(), Failure> {
        let Some((_, event)) = self.offered.take() else {
            return Ok(());
        };
        self.more -= 1;
        self.shown
            .add(&event.topic().table, event.op().unwrap_or_default(), 1);
        let mut line = Vec::new();
        self.pretty.write(&mut line, &event);
        let told = *self.more_told.get_or_insert_with(Instant::now);
        if self.more > 0 && told.elapsed() >= MORE_PAUSE {
            let more = format!("{:12} … {} more", "", thousands(self.more));
            line.extend_from_slice(self.style.dim(&more).as_bytes());
            line.push(b'\n');
            self.more = 0;
            self.more_told = Some(Instant::now());
        }
        self.stdout.write_all(&line)?;
        Ok(self.stdout.flush()?)
    }

    fn summary(
        &mut self,
        seen: &mut Seen,
        books: &Books,
        elapsed: Duration,
    ) -> Result<(), Failure> {
        let style = self.style;
        let mut text = String::new();
        if let Some(event) = &seen.example
            && let Some(value) = event.value()
            && let Ok(value) = serde_json::from_str::<serde_json::Value>(value)
            && let Ok(pretty) = serde_json::to_string_pretty(&value)
        {
            let heading = style.bold("One event in full, Debezium's envelope:");
            let (topic, key) = (&event.topic().name, event.key().unwrap_or("null"));
            let pretty = terminal::printable_lines(&pretty);
            let _ = writeln!(text, "\n{heading}\ntopic {topic}, key {key}\n{pretty}");
        }
        let heading = format!(
            "{:<14}{:>10}{:>10}{:>10}",
            "table", "inserts", "updates", "deletes"
        );
        let _ = writeln!(text, "\n{}", style.bold(&heading));
        let mut row = |name: &str, counts: [u64; 3]| {
            let [c, u, d] = counts.map(thousands);
            let _ = writeln!(text, "{name:<14}{c:>10}{u:>10}{d:>10}");
        };
        let count = |table: &str| OPS.map(|op| seen.changes.get(table, op));
        for table in TABLES {
            row(table, count(table));
        }
        row(
            "total",
            OPS.map(|op| TABLES.iter().map(|t| seen.changes.get(t, op)).sum()),
        );

        let total = seen.changes.total();
        let ms = elapsed.as_millis().max(1);
        let rate = thousands(u64::try_from(u128::from(total) * 1000 / ms).unwrap_or(u64::MAX));
        let _ = writeln!(
            text,
            "\n{} events of {} transactions in {}.{} s: {rate} events/s (the shop sets the pace)",
            thousands(total),
            thousands(books.committed),
            ms / 1000,
            ms / 100 % 10,
        );
        seen.latencies_us.sort_unstable();
        let [p50, p90, p99] = [50, 90, 99].map(|p| percentile_ms(&seen.latencies_us, p));
        let _ = writeln!(
            text,
            "commit to consumer: p50 {p50} ms, p90 {p90} ms, p99 {p99} ms"
        );
        if books.changes.difference(&seen.changes).is_none() {
            let all = format!(
                "every committed change arrived: {} of {}",
                thousands(total),
                thousands(books.changes.total())
            );
            let none = format!(
                "; none of {} rolled-back transactions did",
                books.rolled_back
            );
            let _ = writeln!(text, "{}{none}", style.green(&all));
        }
        self.say(text.trim_end())
    }
}

/// How much later it is on the server's clock than on ours; 0 where that cannot be told apart
/// from the time the question takes.
async fn clock_ahead_us(client: &Client) -> Result<i64, Failure> {
    let query = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::int8";
    let mut best = (i64::MAX, 0);
    for _ in 0..5 {
        let asked = now_us();
        let row = doing(
            "asking for the server's time",
            client.query_one(query, &[]).await,
        )?;
        let took = now_us() - asked;
        best = best.min((took, row.get::<_, i64>(0) - asked - took / 2));
    }
    let (took, ahead) = best;
    Ok(if ahead.abs() <= took { 0 } else { ahead })
}

#[expect(
    clippy::disallowed_methods,
    reason = "latency is told against the clock on the wall"
)]
fn now_us() -> i64 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// Of sorted times, in ms with one digit behind the point.
fn percentile_ms(sorted_us: &[i64], percent: usize) -> String {
    let rank = (sorted_us.len() * percent).div_ceil(100).saturating_sub(1);
    let us = sorted_us.get(rank).copied().unwrap_or(0);
    format!("{}.{}", us / 1000, us / 100 % 10)
}

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

const SCHEMA: &str = "pgoutput_demo";
const PUBLICATION: &str = "pgoutput_demo_pub";
const SLOT: &str = "pgoutput_demo_slot";
const OPS: [char; 3] = ['c', 'u', 'd'];

/// Between two lines: what a person can follow.
const LINE_PAUSE: Duration = Duration::from_millis(80);
const MORE_PAUSE: Duration = Duration::from_secs(1);

/// How long committed changes may take to arrive after the shop has closed.
const PATIENCE: Duration = Duration::from_secs(20);
const AFTERWARDS: Duration = Duration::from_millis(200);

const DROP_ATTEMPTS: u32 = 50;
const DROP_PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_has_names_of_its_own() {
        let setup = setup();
        for name in [PUBLICATION, SLOT] {
            assert!(setup.contains(name), "{name}");
        }
        assert!(setup.contains("CREATE SCHEMA pgoutput_demo;"));
        assert!(!setup.contains("ecommerce"));
    }

    #[test]
    fn numbers_are_readable() {
        let texts: Vec<_> = [0, 999, 1000, 12_345_678]
            .into_iter()
            .map(thousands)
            .collect();
        assert_eq!(texts, ["0", "999", "1,000", "12,345,678"]);
    }

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let times: Vec<i64> = (1..=100).map(|ms| ms * 1000).collect();
        assert_eq!(percentile_ms(&times, 50), "50.0");
        assert_eq!(percentile_ms(&times, 99), "99.0");
        assert_eq!(percentile_ms(&[1234], 99), "1.2");
        assert_eq!(percentile_ms(&[], 50), "0.0");
    }
}
