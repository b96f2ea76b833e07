//! The library as the benchmarks in `tests/bench` read with it: `reader MODE [OPTION…]`.
//!
//! `count` looks at nothing, `json` at key and value of every event; both print what that took, as
//! `tests/bench/clients/meter.py` has it. `pace` prints how long each event took from its commit,
//! in µs. `many` has a stream for each of the slots, goes on until it is killed, and says when all
//! are connected, and when each has its events. The server comes by libpq's variables, the slot,
//! or several between commas, by `BENCH_SLOT`, and how many events a stream has by `BENCH_EVENTS`.
#![expect(clippy::disallowed_methods, reason = "a measurement reads the clocks")]

use std::error::Error;
use std::fs;
use std::hint::black_box;
use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use pgoutput_decoder_host::engine::EngineKind;
use pgoutput_decoder_host::{Batch, Config, Plugin, Stream};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mode = arguments.next().ok_or("reader MODE [OPTION…]")?;
    let config = config(arguments)?;
    let slots = std::env::var("BENCH_SLOT")?;
    let events = std::env::var("BENCH_EVENTS")?.parse()?;
    // As the command's: this thread consumes.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match mode.as_str() {
            "count" => read(config.slot(&slots), events, |_| {}).await,
            "json" => read(config.slot(&slots), events, look).await,
            "pace" => pace(config.slot(&slots), events).await,
            "many" => many(&config, slots.split(','), events).await,
            _ => Err(format!("no mode {mode}: count, json, pace or many").into()),
        }
    })
}

/// What the environment and the options say, but for the slot.
fn config(mut options: impl Iterator<Item = String>) -> Result<Config> {
    let mut config = Config::parse("")?
        .environment()?
        .publication("bench")
        .option("format", "debezium")
        // An event a change, as BENCH_EVENTS has them.
        .option("tombstones.on.delete", "false");
    while let Some(option) = options.next() {
        if option == "--binary" {
            config = config.binary(true);
            continue;
        }
        let value = options.next().ok_or_else(|| format!("{option} what?"))?;
        config = match (option.as_str(), value.as_str()) {
            ("--engine", "component") => config.engine(EngineKind::Component),
            ("--engine", "native") => config.engine(EngineKind::Native),
            ("--format", format) => config.option("format", format),
            ("--plugin", file) => config.plugin(Plugin::open(file)?),
            ("--sslmode", mode) => config.parameter("sslmode", mode)?,
            ("--streaming", streaming) => config.streaming(streaming.parse()?),
            _ => return Err(format!("no option {option} {value}").into()),
        };
    }
    Ok(config)
}

/// Reads all events, and tells what that took from before it connects.
async fn read(config: Config, events: usize, look: impl Fn(&Batch)) -> Result<()> {
    let began = Taken::now()?;
    let mut stream = config.connect().await?;
    let mut first = None;
    let mut read = 0;
    while read < events {
        let batch = next(&mut stream).await?;
        if first.is_none() {
            first = Some((batch.len(), Taken::now()?));
        }
        look(&batch);
        acknowledge(&stream, &batch)?;
        read += batch.len();
    }
    let total = Taken::now()?;
    let (events_first, first) = first.ok_or("BENCH_EVENTS is 0")?;
    tell(&json!({
        "events": events,
        "events_first": events_first,
        "total": total.since(&began),
        "first": first.since(&began),
        "peak_rss_mib": peak_rss_mib()?,
    }))?;
    Ok(stream.stop().await?)
}

/// Looks at key and value of every event.
fn look(batch: &Batch) {
    for event in batch.events() {
        black_box((event.key(), event.value()));
    }
}

/// Notes how long each event took from its commit, by the server's clock.
async fn pace(config: Config, events: usize) -> Result<()> {
    let mut stream = config.connect().await?;
    tell(&json!({"ready": true}))?;
    let mut took_us = Vec::with_capacity(events);
    while took_us.len() < events {
        let batch = next(&mut stream).await?;
        for event in batch.events() {
            let now_us = SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros();
            took_us.push(i64::try_from(now_us)? - event.commit_ts_us());
        }
        acknowledge(&stream, &batch)?;
    }
    tell(&json!({"took_us": took_us}))?;
    Ok(stream.stop().await?)
}

/// Reads from every slot, and stays when all events are there.
async fn many(config: &Config, slots: impl Iterator<Item = &str>, events: usize) -> Result<()> {
    let mut streams = JoinSet::new();
    let (done, mut all_done) = mpsc::unbounded_channel();
    for slot in slots {
        let mut stream = config.clone().slot(slot).connect().await?;
        let done = done.clone();
        streams.spawn(async move {
            let mut left = events;
            loop {
                let batch = next(&mut stream).await?;
                acknowledge(&stream, &batch)?;
                if left > 0 {
                    left = left.saturating_sub(batch.len());
                    if left == 0 {
                        done.send(())?;
                    }
                }
            }
        });
    }
    tell(&json!({"ready": true}))?;
    for _ in 0..streams.len() {
        tokio::select! {
            _ = all_done.recv() => {}
            Some(ended) = streams.join_next() => return ended?,
        }
    }
    tell(&json!({"read": true}))?;
    match streams.join_next().await {
        Some(ended) => ended?,
        None => Err("BENCH_SLOT names no slot".into()),
    }
}

async fn next(stream: &mut Stream) -> Result<Batch> {
    let batch = stream.next_batch().await?;
    batch.ok_or_else(|| "the stream ended".into())
}

/// All of it at once, as whoever deals with batches does.
fn acknowledge(stream: &Stream, batch: &Batch) -> Result<()> {
    let last = batch
        .len()
        .checked_sub(1)
        .and_then(|last| batch.event(last));
    if let Some(last) = last {
        stream.acknowledger().acknowledge(last.position())?;
    }
    Ok(())
}

/// The clock, and the CPU of all of this process's threads.
struct Taken {
    wall: Instant,
    usage: libc::rusage,
}

impl Taken {
    fn now() -> Result<Self> {
        Ok(Self {
            wall: Instant::now(),
            usage: usage()?,
        })
    }

    fn since(&self, earlier: &Self) -> Value {
        json!({
            "wall_s": (self.wall - earlier.wall).as_secs_f64(),
            "user_s": seconds(self.usage.ru_utime) - seconds(earlier.usage.ru_utime),
            "system_s": seconds(self.usage.ru_stime) - seconds(earlier.usage.ru_stime),
        })
    }
}

#[expect(unsafe_code, reason = "nothing else tells user and system apart")]
fn usage() -> Result<libc::rusage> {
    let mut usage = MaybeUninit::uninit();
    // SAFETY: the kernel fills it where it returns 0, and is given room for it.
    unsafe {
        if libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) != 0 {
            return Err(io::Error::last_os_error().into());
        }
        Ok(usage.assume_init())
    }
}

#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "seconds of CPU are few"
)]
fn seconds(time: libc::timeval) -> f64 {
    time.tv_sec as f64 + time.tv_usec as f64 / 1e6
}

fn peak_rss_mib() -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    let kib: u32 = kib.ok_or("/proc/self/status has no VmHWM")?.parse()?;
    Ok(f64::from(kib) / 1024.0)
}

/// A line for the harness.
fn tell(facts: &Value) -> Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{facts}")?;
    Ok(stdout.flush()?)
}
