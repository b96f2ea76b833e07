//! Replication slots as an administrator sees them: made, listed, looked at and dropped. What a
//! stream asks of its own slot is in `slot.rs`.

use serde::{Deserialize, Serialize};
use tokio_postgres::types::Type;

use crate::catalog::Catalog;
use crate::config::Config;
use crate::connection::Connector;
use crate::error::{Error, SlotProblem};

mod create;

pub(crate) use create::create;
pub use create::{Blocker, NewSlot, SlotWait};

/// The slots of a server. Made by [`Slots::connect`].
pub struct Slots {
    catalog: Catalog,
}

/// Everything the server says of a slot: columns of `pg_replication_slots`, which a server has not
/// all of where it is older than 18, and what follows from them.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[non_exhaustive]
pub struct SlotInfo {
    /// Its name, unique in the cluster.
    pub slot_name: String,
    /// Output plugin; none for a physical slot.
    pub plugin: Option<String>,
    /// `logical` or `physical`.
    pub slot_type: String,
    /// The database whose changes it has; none for a physical slot.
    pub database: Option<String>,
    /// It ends with the session that made it.
    pub temporary: bool,
    /// Somebody streams from it.
    pub active: bool,
    /// Who does.
    pub holder: Option<Holder>,
    /// Oldest transaction whose rows `VACUUM` must keep for it.
    pub xmin: Option<String>,
    /// The same for rows of the catalogs.
    pub catalog_xmin: Option<String>,
    /// From here on the server keeps WAL for it.
    pub restart_lsn: Option<String>,
    /// What lies before was confirmed.
    pub confirmed_flush_lsn: Option<String>,
    /// `reserved`, `extended`, `unreserved` or `lost`. PostgreSQL 13.
    pub wal_status: Option<String>,
    /// Bytes of WAL that may be written before it is in danger of being lost; none where there is
    /// no limit. PostgreSQL 13.
    pub safe_wal_size: Option<i64>,
    /// Prepared transactions are sent when they are prepared. PostgreSQL 14.
    pub two_phase: Option<bool>,
    /// From here on they are. PostgreSQL 18.
    pub two_phase_at: Option<String>,
    /// When its last consumer left. PostgreSQL 17.
    pub inactive_since: Option<String>,
    /// It was invalidated by a conflict with recovery. PostgreSQL 16.
    pub conflicting: Option<bool>,
    /// Why it is lost. PostgreSQL 17.
    pub invalidation_reason: Option<String>,
    /// Standbys keep a copy of it. PostgreSQL 17.
    pub failover: Option<bool>,
    /// It is such a copy. PostgreSQL 17.
    pub synced: Option<bool>,
    /// Bytes of WAL the server keeps for it.
    pub retained_bytes: Option<i64>,
    /// Bytes of WAL written since what was confirmed.
    pub unread_bytes: Option<i64>,
}

/// Who streams from a slot. What the role may not see is absent.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[non_exhaustive]
pub struct Holder {
    /// The walsender.
    pub pid: i32,
    /// Its role.
    pub user: Option<String>,
    /// What it calls itself.
    pub application_name: Option<String>,
    /// Where it comes from; none for a socket of the machine.
    pub address: Option<String>,
    /// When it connected.
    pub since: Option<String>,
}

impl Slots {
    /// Connects to the server of `config`, whose slot and publications do not matter.
    ///
    /// # Errors
    /// As [`Config::connect`] for what concerns the connection.
    pub async fn connect(config: &Config) -> Result<Self, Error> {
        let connector = Connector::new(config.server()?);
        let mut catalog = Catalog::new(config, connector);
        catalog.open().await?;
        Ok(Self { catalog })
    }

    /// All slots of the server, physical ones and those of other databases included, by name.
    ///
    /// # Errors
    /// The connection's.
    pub async fn list(&mut self) -> Result<Vec<SlotInfo>, Error> {
        infos(&mut self.catalog, None).await
    }

    /// The slot of this name.
    ///
    /// # Errors
    /// [`Error::SlotNotFound`].
    pub async fn show(&mut self, name: &str) -> Result<SlotInfo, Error> {
        let found = infos(&mut self.catalog, Some(name)).await?;
        found.into_iter().next().ok_or_else(|| Error::SlotNotFound {
            slot: name.to_owned(),
        })
    }

    /// Makes a slot, with the output plugin pgoutput, in the database of the connection. Waits for
    /// every transaction that is open now, however long it takes: `on_wait` is told of it after
    /// some seconds and then now and again. From PostgreSQL 14 on, nothing is left behind where
    /// this is given up.
    ///
    /// # Errors
    /// [`Error::WalLevel`], or what the server says, with the SQL that helps: 42710 where there is
    /// one of this name, 53400 where there is no room, 42501 without the right to.
    pub async fn create(
        &mut self,
        new: &NewSlot,
        on_wait: impl Fn(&SlotWait) + Send + Sync,
    ) -> Result<SlotInfo, Error> {
        let made = create(&mut self.catalog, new, &on_wait).await?;
        let info = self.show(new.name()).await;
        // A temporary one is gone with its session.
        drop(made);
        info
    }

    /// Drops a logical slot that nobody streams from: its consumer cannot go on where it was.
    ///
    /// # Errors
    /// [`Error::SlotNotFound`], [`Error::SlotUnusable`] for one that is in use or physical.
    pub async fn drop(&mut self, name: &str) -> Result<(), Error> {
        let info = self.show(name).await?;
        let problem = match info.holder {
            _ if info.slot_type != "logical" => Some(SlotProblem::Physical),
            Some(holder) => Some(SlotProblem::Active {
                pid: holder.pid,
                application_name: holder.application_name.unwrap_or_default(),
            }),
            None => None,
        };
        if let Some(problem) = problem {
            return Err(Error::SlotUnusable {
                slot: name.to_owned(),
                problem,
            });
        }
        let dropped = self.catalog.query(DROP, &[(&name, Type::TEXT)]).await;
        dropped
            .map(|_| ())
            .map_err(|error| error.while_doing("dropping the slot"))
    }
}

/// What the server says of the slot of this name, or of all.
pub(crate) async fn infos(
    catalog: &mut Catalog,
    name: Option<&str>,
) -> Result<Vec<SlotInfo>, Error> {
    let rows = catalog.query(INFOS, &[(&name, Type::TEXT)]).await?;
    let mut infos = Vec::with_capacity(rows.len());
    for row in rows {
        let json: String = catalog.get(&row, 0)?;
        let info = serde_json::from_str(&json).map_err(|error| {
            Error::protocol(format!("pg_replication_slots is not as expected: {error}"))
        })?;
        infos.push(info);
    }
    Ok(infos)
}

const DROP: &str = "SELECT pg_catalog.pg_drop_replication_slot($1::name)";

/// `to_jsonb` has the columns there are, whatever the server's version.
const INFOS: &str = "
SELECT (pg_catalog.to_jsonb(s) || pg_catalog.jsonb_build_object(
         'retained_bytes', pg_catalog.pg_wal_lsn_diff(wal.lsn, s.restart_lsn),
         'unread_bytes', pg_catalog.pg_wal_lsn_diff(wal.lsn, s.confirmed_flush_lsn),
         'holder', CASE WHEN s.active_pid IS NOT NULL THEN pg_catalog.jsonb_build_object(
           'pid', s.active_pid, 'user', a.usename, 'application_name', a.application_name,
           'address', pg_catalog.host(a.client_addr), 'since', a.backend_start) END))::text
FROM pg_catalog.pg_replication_slots s
LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = s.active_pid
CROSS JOIN (SELECT CASE WHEN pg_catalog.pg_is_in_recovery()
                        THEN pg_catalog.pg_last_wal_replay_lsn()
                        ELSE pg_catalog.pg_current_wal_lsn() END) AS wal(lsn)
WHERE $1 IS NULL OR s.slot_name = $1
ORDER BY s.slot_name";
