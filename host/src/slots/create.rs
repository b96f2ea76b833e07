//! Making a slot. It is made by a replication session, in which a temporary slot can be streamed
//! from afterwards, and by the SQL function: while that waits, the server notices from PostgreSQL
//! 14 on that the client has gone, which it does not for `CREATE_REPLICATION_SLOT`.
//!
//! Waiting is normal: a slot begins where every transaction that was open has ended. Another
//! connection looks whom it waits for.

use std::fmt;
use std::time::Duration;

use tokio_postgres::types::Type;

use crate::catalog::Catalog;
use crate::connection::Connection;
use crate::error::{Error, quote_literal};
use crate::protocol::since;

/// A slot that is to be made, with the output plugin pgoutput.
#[derive(Clone, Debug)]
pub struct NewSlot {
    name: String,
    temporary: bool,
    two_phase: bool,
    failover: Option<bool>,
}

impl NewSlot {
    /// One that stays until it is dropped.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            temporary: false,
            two_phase: false,
            failover: None,
        }
    }

    /// Whether prepared transactions are sent when they are prepared: for good. Default no.
    /// PostgreSQL 15.
    #[must_use]
    pub fn two_phase(mut self, two_phase: bool) -> Self {
        self.two_phase = two_phase;
        self
    }

    /// Whether standbys may keep a copy, from which to go on after a failover. Default yes on a
    /// primary from PostgreSQL 17 on, no where the server cannot.
    #[must_use]
    pub fn failover(mut self, failover: bool) -> Self {
        self.failover = Some(failover);
        self
    }

    /// Ends with its session.
    pub(crate) fn temporary(mut self) -> Self {
        self.temporary = true;
        self
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The function's arguments that this server has.
    fn sql(&self, server: &Server) -> Result<String, Error> {
        let mut arguments = vec![
            quote_literal(&self.name),
            "'pgoutput'".to_owned(),
            self.temporary.to_string(),
        ];
        if self.two_phase {
            since("two_phase", "it", 15, server.major)?;
        }
        if server.major >= 14 {
            arguments.push(self.two_phase.to_string());
        }
        let can = server.major >= 17 && !server.in_recovery && !self.temporary;
        if self.failover == Some(true) {
            since("failover", "it", 17, server.major)?;
            if !can {
                let reason = "a slot of a standby, or a temporary one, has no copies";
                return Err(Error::configuration("failover", reason));
            }
        }
        if server.major >= 17 {
            arguments.push(self.failover.unwrap_or(can).to_string());
        }
        Ok(format!(
            "SELECT pg_catalog.pg_create_logical_replication_slot({})",
            arguments.join(", ")
        ))
    }
}

/// What making a slot waits for, or using it. Its text says what can be done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SlotWait {
    /// The slot that is being made, or used.
    pub slot: String,
    /// For how long by now.
    pub waited: Duration,
    /// What has to happen first.
    pub until: Blocker,
}

/// Whom a slot waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Blocker {
    /// Somebody streams from the slot, which exists.
    Holder {
        /// `pg_replication_slots.active_pid`.
        pid: i32,
        /// What it calls itself; empty where that may not be seen.
        application_name: String,
    },
    /// A transaction that was prepared ends.
    Prepared {
        /// As `pg_prepared_xacts` has it.
        gid: String,
        /// Its transaction.
        xid: String,
        /// Seconds since it was prepared.
        age_s: i64,
    },
    /// The primary logs which transactions run: a standby waits for that.
    Primary,
    /// A transaction ends.
    Transaction {
        /// The process it belongs to.
        pid: i32,
        /// Its number.
        xid: String,
        /// Its role, database and application, as far as they may be seen.
        whose: String,
        /// Seconds since it began, if that may be seen.
        age_s: Option<i64>,
    },
}

impl fmt::Display for SlotWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (slot, waited) = (&self.slot, self.waited.as_secs());
        if !matches!(self.until, Blocker::Holder { .. }) {
            write!(
                f,
                "making replication slot {slot:?} waits, {waited} s by now, "
            )?;
        }
        match &self.until {
            Blocker::Holder {
                pid,
                application_name,
            } => write!(
                f,
                "replication slot {slot:?} is in use by process {pid} ({application_name:?}): \
                 waiting, {waited} s by now; to end it: SELECT pg_terminate_backend({pid});"
            ),
            Blocker::Prepared { gid, xid, age_s } => {
                let gid = quote_literal(gid);
                write!(
                    f,
                    "for transaction {xid}, prepared {age_s} s ago: COMMIT PREPARED {gid}; or \
                     ROLLBACK PREPARED {gid};"
                )
            }
            Blocker::Primary => write!(
                f,
                "for the primary to log its transactions; run there: SELECT \
                 pg_log_standby_snapshot();"
            ),
            Blocker::Transaction {
                pid,
                xid,
                whose,
                age_s,
            } => {
                write!(f, "for transaction {xid} of process {pid}{whose}")?;
                if let Some(age_s) = age_s {
                    write!(f, ", open for {age_s} s")?;
                }
                write!(f, "; to end it: SELECT pg_terminate_backend({pid});")
            }
        }
    }
}

/// Makes it. The session it was made in, which a temporary one lives and is used in, is returned.
pub(crate) async fn create(
    catalog: &mut Catalog,
    new: &NewSlot,
    on_wait: &(dyn Fn(&SlotWait) + Send + Sync),
) -> Result<Connection, Error> {
    let server = Server::of(catalog).await?;
    let sql = new.sql(&server)?;
    let (mut connection, pid) = open(catalog).await?;
    let waiting = async {
        let mut waited = Duration::ZERO;
        let mut wait = WAIT_FIRST;
        loop {
            tokio::time::sleep(wait).await;
            waited += wait;
            wait = WAIT_NEXT;
            // Who cannot be asked is not what matters here.
            if let Ok(Some(until)) = blocker(catalog, pid, &server).await {
                let slot = new.name.clone();
                on_wait(&SlotWait {
                    slot,
                    waited,
                    until,
                });
            }
        }
    };
    let made = tokio::select! {
        biased;
        made = connection.row(&sql, CREATING) => made,
        never = waiting => never,
    };
    made.map_err(|error| server.refused(error))?;
    Ok(connection)
}

/// A session whose process is known, which waits as long as it takes and not for nothing.
async fn open(catalog: &Catalog) -> Result<(Connection, i32), Error> {
    let mut connection = catalog.replication().await?;
    let row = connection.row(SESSION, CREATING).await?;
    let pid = row.into_iter().next().flatten();
    let pid = pid.and_then(|text| text.parse().ok());
    let pid = pid.ok_or_else(|| Error::protocol("the server does not say which process it is"))?;
    Ok((connection, pid))
}

async fn blocker(
    catalog: &mut Catalog,
    pid: i32,
    server: &Server,
) -> Result<Option<Blocker>, Error> {
    let rows = catalog.query(BLOCKER, &[(&pid, Type::INT4)]).await?;
    let Some(row) = rows.first() else {
        return Ok(server.in_recovery.then_some(Blocker::Primary));
    };
    let xid = catalog.get(row, 0)?;
    let prepared: Option<String> = catalog.get(row, 1)?;
    let age_s: Option<i64> = catalog.get(row, 4)?;
    if let Some(gid) = prepared {
        let age_s = age_s.unwrap_or_default();
        return Ok(Some(Blocker::Prepared { gid, xid, age_s }));
    }
    let Some(pid) = catalog.get(row, 2)? else {
        return Ok(None);
    };
    Ok(Some(Blocker::Transaction {
        pid,
        xid,
        whose: catalog.get(row, 3)?,
        age_s,
    }))
}

/// What decides how a slot can be made.
struct Server {
    major: u32,
    in_recovery: bool,
    wal_level: String,
}

impl Server {
    async fn of(catalog: &mut Catalog) -> Result<Self, Error> {
        let rows = catalog.query(SERVER, &[]).await?;
        let row = rows.first();
        let row = row.ok_or_else(|| Error::protocol("the server does not say its version"))?;
        let major: i32 = catalog.get(row, 0)?;
        Ok(Self {
            major: u32::try_from(major).unwrap_or_default(),
            in_recovery: catalog.get(row, 1)?,
            wal_level: catalog.get(row, 2)?,
        })
    }

    /// The server's refusal with what helps.
    fn refused(&self, error: Error) -> Error {
        let helps = match error.sqlstate() {
            // object_not_in_prerequisite_state
            Some("55000") if self.wal_level != "logical" => {
                return Error::WalLevel {
                    wal_level: self.wal_level.clone(),
                };
            }
            Some("55000") if self.in_recovery => {
                "on the primary: ALTER SYSTEM SET wal_level = logical; then restart it"
            }
            // feature_not_supported
            Some("0A000") if self.in_recovery => {
                "connect to the primary: a standby has logical slots from PostgreSQL 16 on"
            }
            // configuration_limit_exceeded
            Some("53400") => {
                "drop a slot that nobody needs, SELECT pg_drop_replication_slot(slot_name) FROM \
                 pg_replication_slots WHERE slot_name = '...'; or make room for more: ALTER SYSTEM \
                 SET max_replication_slots = 20; then restart the server"
            }
            _ => return error,
        };
        error.with_hint(helps)
    }
}

const CREATING: &str = "making the replication slot";

/// Making a slot that need not wait takes less.
const WAIT_FIRST: Duration = Duration::from_secs(3);

const WAIT_NEXT: Duration = Duration::from_secs(30);

const SERVER: &str = "
SELECT pg_catalog.current_setting('server_version_num')::int / 10000,
       pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('wal_level')";

/// Which settings there are depends on the version: 14 and 17 have them.
const SESSION: &str = "
SELECT pg_catalog.pg_backend_pid(),
       (SELECT pg_catalog.count(pg_catalog.set_config(s.name, wanted.value, false))
        FROM pg_catalog.pg_settings s
        JOIN (VALUES ('client_connection_check_interval', '1s'), ('transaction_timeout', '0'))
             AS wanted(name, value) USING (name))";

/// The transaction the process waits for, and whose it is; a prepared one has no process.
const BLOCKER: &str = "
SELECT w.transactionid::text, p.gid,
       a.pid,
       pg_catalog.concat(' (' || pg_catalog.concat_ws(', ', a.usename, a.datname,
                         nullif(a.application_name, ''), a.state) || ')'),
       extract(epoch FROM pg_catalog.clock_timestamp() - coalesce(p.prepared, a.xact_start))::bigint
FROM pg_catalog.pg_locks w
JOIN pg_catalog.pg_locks h
  ON h.locktype = 'transactionid' AND h.transactionid = w.transactionid AND h.granted
LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = h.pid
LEFT JOIN pg_catalog.pg_prepared_xacts p ON p.transaction = w.transactionid
WHERE w.pid = $1 AND w.locktype = 'transactionid' AND NOT w.granted
LIMIT 1";
