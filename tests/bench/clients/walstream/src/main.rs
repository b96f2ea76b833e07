//! The crate `pg_walstream`, as its README calls it: `walstream raw|decode|json`.
//!
//! `raw` counts messages by their kind. `decode` has its events, whose values are the server's
//! text. `json` is serde's JSON of those: no envelope, no types but text and null.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a measurement reads the clock and prints"
)]

use std::error::Error;
use std::hint::black_box;
use std::mem::MaybeUninit;
use std::time::{Duration, Instant};

use pg_walstream::{
    CancellationToken, EventType, LogicalReplicationStream, ReplicationStreamConfig, RetryConfig,
    StreamingMode,
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let mode = std::env::args().nth(1).ok_or("raw, decode or json?")?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(read(&mode))
}

async fn read(mode: &str) -> Result<()> {
    let meter = Meter::new()?;
    let mut stream = LogicalReplicationStream::new(&url()?, config()?).await?;
    stream.start(None).await?;
    let cancelled = CancellationToken::new();
    let mut first = None;
    let mut json = Vec::new();
    let mut read = 0;
    while read < meter.events {
        let is_change = if mode == "raw" {
            let message = stream.next_raw_event(&cancelled).await?;
            if message.data.first() == Some(&b'C') {
                let end = message.wal_end.value();
                stream.shared_lsn_feedback.update_applied_lsn(end);
            }
            matches!(message.data.first(), Some(b'I' | b'U' | b'D'))
        } else {
            let event = stream.next_event(&cancelled).await?;
            let is_change = matches!(
                event.event_type,
                EventType::Insert { .. } | EventType::Update { .. } | EventType::Delete { .. }
            );
            if is_change && mode == "json" {
                json.clear();
                serde_json::to_writer(&mut json, &event)?;
                black_box(json.as_slice());
            }
            if let EventType::Commit { end_lsn, .. } = event.event_type {
                stream
                    .shared_lsn_feedback
                    .update_applied_lsn(end_lsn.value());
            }
            black_box(&event);
            is_change
        };
        if is_change {
            read += 1;
            if first.is_none() {
                first = Some(meter.took()?);
            }
        }
    }
    meter.report(&first.ok_or("BENCH_EVENTS is 0")?)
}

fn url() -> Result<String> {
    let of = |name| std::env::var(name).map_err(|error| format!("{name}: {error}"));
    Ok(format!(
        "postgresql://{}:{}@{}:{}/{}?replication=database&sslmode=disable",
        of("PGUSER")?,
        of("PGPASSWORD")?,
        of("PGHOST")?,
        of("PGPORT")?,
        of("PGDATABASE")?
    ))
}

fn config() -> Result<ReplicationStreamConfig> {
    Ok(ReplicationStreamConfig::new(
        std::env::var("BENCH_SLOT")?,
        "bench".to_owned(),
        1,
        StreamingMode::Off,
        Duration::from_secs(10),
        Duration::from_secs(30),
        Duration::from_mins(1),
        RetryConfig::default(),
    ))
}

/// Runs from just before it connects, as those of the other clients do.
struct Meter {
    events: u64,
    began: Took,
    clock: Instant,
}

/// In seconds.
struct Took {
    wall: f64,
    user: f64,
    system: f64,
}

impl Meter {
    fn new() -> Result<Self> {
        let clock = Instant::now();
        Ok(Self {
            events: std::env::var("BENCH_EVENTS")?.parse()?,
            began: used(&clock)?,
            clock,
        })
    }

    fn took(&self) -> Result<Took> {
        let now = used(&self.clock)?;
        Ok(Took {
            wall: now.wall - self.began.wall,
            user: now.user - self.began.user,
            system: now.system - self.began.system,
        })
    }

    fn report(&self, first: &Took) -> Result<()> {
        let total = self.took()?;
        let line = serde_json::json!({
            "events": self.events,
            "events_first": 1,
            "total": total.to_json(),
            "first": first.to_json(),
            "peak_rss_mib": peak_rss_mib()?,
        });
        println!("{line}");
        Ok(())
    }
}

impl Took {
    fn to_json(&self) -> serde_json::Value {
        serde_json::json!({"wall_s": self.wall, "user_s": self.user, "system_s": self.system})
    }
}

fn used(clock: &Instant) -> Result<Took> {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: it is given room for what it writes, all of whose bytes may be zero.
    let usage = unsafe {
        if libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) != 0 {
            return Err(std::io::Error::last_os_error().into());
        }
        usage.assume_init()
    };
    let seconds = |time: libc::timeval| {
        Duration::from_secs(time.tv_sec.unsigned_abs()).as_secs_f64()
            + Duration::from_micros(time.tv_usec.unsigned_abs()).as_secs_f64()
    };
    Ok(Took {
        wall: clock.elapsed().as_secs_f64(),
        user: seconds(usage.ru_utime),
        system: seconds(usage.ru_stime),
    })
}

fn peak_rss_mib() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: u32 = line
        .and_then(|line| line.split_whitespace().next())
        .ok_or("no VmHWM")?
        .parse()?;
    Ok(f64::from(kib) / 1024.0)
}
