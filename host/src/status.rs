//! How a stream is, for whoever watches it: put together when asked, from what feedback knows, what
//! the receive task noted, and what the catalogs said last.

use std::fmt;
use std::time::Duration;

use tokio_postgres::types::Type;

use crate::catalog::Catalog;
use crate::error::Error;
use crate::lsn::Lsn;
use crate::plugin::{PluginCounters, PluginStatus};
use crate::records::Position;

/// How a stream is at one moment: see [`Monitor::status`](crate::Monitor::status).
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Status {
    /// What it is doing.
    pub state: State,
    /// What went wrong last, though it may be over: the text of an [`Error`].
    pub last_error: Option<String>,
    /// How often a connection that was lost has been made again.
    pub reconnects: u64,
    /// Up to where WAL has come from the server.
    pub received_lsn: Lsn,
    /// The last event the consumer was given.
    pub delivered: Option<Position>,
    /// What the server has been, or is just being, told to forget: `confirmed_flush_lsn`.
    pub confirmed_lsn: Lsn,
    /// Where the server's WAL ends, as far as is known: half a minute old at most while the
    /// connection stands.
    pub server_lsn: Lsn,
    /// WAL between `confirmed_lsn` and `server_lsn`, in bytes.
    pub lag_bytes: u64,
    /// How long ago the oldest transaction with unacknowledged events was committed, in seconds,
    /// by the server's clock and ours; without one, how long ago the server was last heard of, or
    /// 0 while it streams.
    pub lag_s: f64,
    /// Events the consumer was given and has not acknowledged; no more than 65,536 are counted.
    pub outstanding_events: u64,
    /// Transactions with events, received and not acknowledged whole.
    pub outstanding_transactions: u64,
    /// Events decoded and waiting for the consumer, in bytes.
    pub queued_bytes: u64,
    /// Changes that could not be decoded and were passed over, as `on_undecodable` said.
    pub skipped: u64,
    /// Changes that could not be decoded and were written to a file, as `on_undecodable` said.
    pub parked: u64,
    /// The stream's plugins, in their order.
    pub plugins: Vec<PluginStatus>,
    /// Whether the publications have a table; none before the catalogs were asked.
    pub publishes_tables: Option<bool>,
    /// `pg_replication_slots.wal_status`: `reserved`, `extended`, `unreserved` or `lost`. From
    /// PostgreSQL 13.
    pub wal_status: Option<String>,
    /// `pg_replication_slots.safe_wal_size`: bytes of WAL that may be written until the slot may be
    /// lost; none where `max_slot_wal_keep_size` is not set.
    pub safe_wal_size: Option<i64>,
    /// When that would be, in seconds, if WAL is written as fast as lately and nothing more is
    /// confirmed.
    pub invalidation_in_s: Option<f64>,
}

/// What a stream is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// It connects for the first time.
    #[default]
    Connecting,
    /// It receives, or waits for the server to have something.
    Streaming,
    /// The consumer is behind: nothing is read before it takes what is there.
    Waiting,
    /// The connection was lost: see [`Status::last_error`].
    Reconnecting,
    /// It was stopped.
    Stopped,
    /// An error that stays has ended it: see [`Status::last_error`].
    Failed,
}

/// What the receive task notes.
#[derive(Debug, Default)]
pub(crate) struct Health {
    pub(crate) state: State,
    pub(crate) last_error: Option<String>,
    pub(crate) reconnects: u64,
    pub(crate) skipped: u64,
    pub(crate) parked: u64,
    pub(crate) plugins: Vec<PluginCounters>,
    sample: Option<Sample>,
    /// Bytes of WAL a second, between the last two samples.
    wal_rate: f64,
    /// What was warned of, and has not passed since.
    warned_of_tables: bool,
    warned_of_slot: bool,
}

/// What the catalogs say of slot and publications.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    at: Duration,
    wal_status: Option<String>,
    safe_wal_size: Option<i64>,
    server_lsn: Lsn,
    publishes_tables: bool,
}

/// What feedback knows of what was received and not dealt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outstanding {
    pub(crate) events: usize,
    pub(crate) transactions: usize,
    /// Commit time of the oldest of them, µs since 1970-01-01.
    pub(crate) oldest_us: Option<i64>,
    pub(crate) received: Lsn,
    /// When anything was last received.
    pub(crate) received_at: Duration,
    pub(crate) delivered: Option<Position>,
    pub(crate) confirmed: Lsn,
    pub(crate) blocked: bool,
}

impl State {
    /// One word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Streaming => "streaming",
            Self::Waiting => "waiting",
            Self::Reconnecting => "reconnecting",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for Status {
    /// One line for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: confirmed {}, {} behind the server ({:.1} s), {} events of {} transactions \
             outstanding",
            self.state,
            self.confirmed_lsn,
            Bytes(self.lag_bytes),
            self.lag_s,
            self.outstanding_events,
            self.outstanding_transactions,
        )?;
        if self.reconnects > 0 {
            write!(f, ", {} reconnects", self.reconnects)?;
        }
        if self.skipped > 0 {
            write!(f, ", {} changes skipped", self.skipped)?;
        }
        if self.parked > 0 {
            write!(f, ", {} changes parked", self.parked)?;
        }
        if let Some(wal_status) = &self.wal_status {
            write!(f, ", slot {wal_status}")?;
        }
        if let Some(seconds) = self.invalidation_in_s {
            write!(f, ", to be lost in {seconds:.0} s at this rate")?;
        }
        if self.publishes_tables == Some(false) {
            f.write_str(", the publication has no tables")?;
        }
        if let Some(error) = &self.last_error {
            write!(f, "; last error: {error}")?;
        }
        Ok(())
    }
}

impl Health {
    /// Takes what the catalogs said, and returns what somebody should be told.
    pub(crate) fn learn(&mut self, sample: Sample, slot: &str) -> Vec<String> {
        let before = self.sample.as_ref();
        let passed = before.map_or(0.0, |before| {
            sample.at.saturating_sub(before.at).as_secs_f64()
        });
        let written = before.map_or(0, |before| {
            sample.server_lsn.0.saturating_sub(before.server_lsn.0)
        });
        // Two samples close to each other say nothing about what comes.
        if passed >= RATE_OVER_S {
            self.wal_rate = to_f64(written) / passed;
        }
        let sinks = before.is_some_and(|before| sample.safe_wal_size < before.safe_wal_size);
        let mut warnings = Vec::new();
        let tables = sample.publishes_tables;
        if !tables && !self.warned_of_tables {
            warnings.push(
                "connected, but the publication has no tables: nothing will come before some are \
                 added to it"
                    .to_owned(),
            );
        }
        self.warned_of_tables = !tables;
        let (wal_status, safe_wal_size) = (sample.wal_status.clone(), sample.safe_wal_size);
        self.sample = Some(sample);
        let in_s = self.invalidation_in_s();
        let unreserved = matches!(wal_status.as_deref(), Some("unreserved" | "lost"));
        let near = unreserved || (sinks && in_s.is_some_and(|seconds| seconds < NEAR_S));
        if near && !self.warned_of_slot {
            let when = match in_s {
                Some(seconds) if !unreserved => format!("in about {seconds:.0} s at this rate"),
                _ => "at the next checkpoint".to_owned(),
            };
            warnings.push(format!(
                "slot {slot:?} will be invalidated {when}: wal_status {}, safe_wal_size {}; \
                 acknowledge what was delivered, or raise max_slot_wal_keep_size",
                wal_status.unwrap_or_default(),
                safe_wal_size.unwrap_or_default(),
            ));
        }
        self.warned_of_slot = near;
        warnings
    }

    /// Everything, with what feedback and the queue know, at `now` by the stream's clock and
    /// `now_us` by the world's.
    pub(crate) fn status(
        &self,
        outstanding: &Outstanding,
        queued_bytes: usize,
        now: Duration,
        now_us: i64,
    ) -> Status {
        let state = match self.state {
            State::Streaming if outstanding.blocked => State::Waiting,
            state => state,
        };
        let sample = self.sample.as_ref();
        let server_lsn = sample
            .map_or(Lsn(0), |sample| sample.server_lsn)
            .max(outstanding.received);
        let lag = match outstanding.oldest_us {
            Some(oldest) => {
                Duration::from_micros(u64::try_from(now_us.saturating_sub(oldest)).unwrap_or(0))
            }
            None if matches!(state, State::Streaming | State::Connecting) => Duration::ZERO,
            None => now.saturating_sub(outstanding.received_at),
        };
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        Status {
            state,
            last_error: self.last_error.clone(),
            reconnects: self.reconnects,
            received_lsn: outstanding.received,
            delivered: outstanding.delivered,
            confirmed_lsn: outstanding.confirmed,
            server_lsn,
            lag_bytes: server_lsn.0.saturating_sub(outstanding.confirmed.0),
            lag_s: lag.as_secs_f64(),
            outstanding_events: count(outstanding.events),
            outstanding_transactions: count(outstanding.transactions),
            queued_bytes: count(queued_bytes),
            skipped: self.skipped,
            plugins: self.plugins.iter().map(PluginCounters::status).collect(),
            parked: self.parked,
            publishes_tables: sample.map(|sample| sample.publishes_tables),
            wal_status: sample.and_then(|sample| sample.wal_status.clone()),
            safe_wal_size: sample.and_then(|sample| sample.safe_wal_size),
            invalidation_in_s: self.invalidation_in_s(),
        }
    }

    fn invalidation_in_s(&self) -> Option<f64> {
        let safe = self.sample.as_ref()?.safe_wal_size?;
        let safe = to_f64(u64::try_from(safe).unwrap_or(0));
        (self.wal_rate > 0.0).then(|| safe / self.wal_rate)
    }
}

impl Catalog {
    /// How slot and publications are at `now`.
    pub(crate) async fn sample(
        &mut self,
        slot: &str,
        publications: &[String],
        now: Duration,
    ) -> Result<Sample, Error> {
        let rows = self.query(SLOT, &[(&slot, Type::TEXT)]).await?;
        let row = rows.first().ok_or_else(|| Error::SlotNotFound {
            slot: slot.to_owned(),
        })?;
        let (wal_status, safe_wal_size) = (self.get(row, 0)?, self.get(row, 1)?);
        let server_lsn: Option<String> = self.get(row, 2)?;
        let has_schemas: bool = self.get(row, 3)?;
        let published = if has_schemas {
            format!("{PUBLISHED} {OF_SCHEMA}))")
        } else {
            format!("{PUBLISHED}))")
        };
        let rows = self
            .query(&published, &[(&publications, Type::TEXT_ARRAY)])
            .await?;
        let publishes_tables = match rows.first() {
            Some(row) => self.get(row, 0)?,
            None => false,
        };
        Ok(Sample {
            at: now,
            wal_status,
            safe_wal_size,
            server_lsn: server_lsn
                .and_then(|text| text.parse().ok())
                .unwrap_or_default(),
            publishes_tables,
        })
    }
}

/// So many bytes, to be read.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes @ 0..10_000 => write!(f, "{bytes} B"),
            bytes @ 10_000..10_000_000 => write!(f, "{} kB", bytes / 1000),
            bytes @ 10_000_000..10_000_000_000 => write!(f, "{} MB", bytes / 1_000_000),
            bytes => write!(f, "{} GB", bytes / 1_000_000_000),
        }
    }
}

/// Exact to 16 digits: enough for an estimate.
#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "an estimate"
)]
fn to_f64(number: u64) -> f64 {
    number as f64
}

/// How often the catalogs are asked.
pub(crate) const SAMPLE_EVERY: Duration = Duration::from_secs(30);

/// A slot that would be lost sooner than this is warned of, in seconds.
const NEAR_S: f64 = 3600.0;

/// Samples closer to each other give no rate, in seconds.
const RATE_OVER_S: f64 = 1.0;

/// `wal_status` and `safe_wal_size` came with 13, schemas in publications with 15.
const SLOT: &str = "
SELECT pg_catalog.to_jsonb(s) ->> 'wal_status',
       (pg_catalog.to_jsonb(s) ->> 'safe_wal_size')::bigint,
       (CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
             ELSE pg_catalog.pg_current_wal_lsn() END)::text,
       pg_catalog.to_regclass('pg_catalog.pg_publication_namespace') IS NOT NULL
FROM pg_catalog.pg_replication_slots s
WHERE s.slot_name = $1";

/// Not `pg_publication_tables`: it locks every table, and would wait for who has locked one.
const PUBLISHED: &str = "
SELECT EXISTS (
    SELECT FROM pg_catalog.pg_publication_rel r
    JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid
    WHERE p.pubname = ANY($1))
OR EXISTS (
    SELECT FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND c.oid >= 16384
      AND n.nspname <> 'information_schema' AND (
        EXISTS (SELECT FROM pg_catalog.pg_publication p
                WHERE p.pubname = ANY($1) AND p.puballtables)";

const OF_SCHEMA: &str = "
        OR EXISTS (SELECT FROM pg_catalog.pg_publication_namespace s
                   JOIN pg_catalog.pg_publication p ON p.oid = s.pnpubid
                   WHERE p.pubname = ANY($1) AND s.pnnspid = c.relnamespace)";
