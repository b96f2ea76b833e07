//! Slots and publications: whether they are there and can be used. Slots are made in `slots.rs`.

use tokio_postgres::types::Type;

use crate::catalog::Catalog;
use crate::error::{Error, SlotProblem};
use crate::lsn::Lsn;

/// A logical slot of this database with plugin `pgoutput` that is not lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    /// `confirmed_flush_lsn`.
    pub(crate) confirmed_flush: Lsn,
    /// Prepared transactions are sent when they are prepared.
    pub(crate) two_phase: bool,
}

impl Catalog {
    /// Looks at everything a stream needs before it starts.
    pub(crate) async fn check(
        &mut self,
        slot: &str,
        publications: &[String],
    ) -> Result<Slot, Error> {
        let slot = match self.slot(slot).await {
            Err(Error::SlotNotFound { slot }) => return Err(self.why_no_slot(slot).await),
            slot => slot?,
        };
        self.publications(publications).await?;
        Ok(slot)
    }

    /// Whether they are all there.
    pub(crate) async fn publications(&mut self, names: &[String]) -> Result<(), Error> {
        let missing = self.query(MISSING, &[(&names, Type::TEXT_ARRAY)]).await?;
        match missing.first() {
            None => Ok(()),
            Some(row) => Err(Error::PublicationNotFound {
                publication: self.get(row, 0)?,
                database: self.database.clone(),
            }),
        }
    }

    /// The slot of this name, if it can be used.
    pub(crate) async fn slot(&mut self, name: &str) -> Result<Slot, Error> {
        let rows = self.query(SLOT, &[(&name, Type::TEXT)]).await?;
        let Some(row) = rows.first() else {
            return Err(Error::SlotNotFound {
                slot: name.to_owned(),
            });
        };
        let (slot_type, plugin, database): (Option<String>, Option<String>, Option<String>) =
            (self.get(row, 0)?, self.get(row, 1)?, self.get(row, 2)?);
        let confirmed_flush: Option<String> = self.get(row, 3)?;
        let (wal_status, invalidation): (Option<String>, Option<String>) =
            (self.get(row, 4)?, self.get(row, 5)?);
        let synchronizing: Option<bool> = self.get(row, 7)?;
        let lost = wal_status.filter(|status| status == "lost");
        let problem = if slot_type.as_deref() != Some("logical") {
            Some(SlotProblem::Physical)
        } else if plugin.as_deref() != Some("pgoutput") {
            Some(SlotProblem::Plugin {
                plugin: plugin.unwrap_or_default(),
            })
        } else if database.as_ref() != Some(&self.database) {
            Some(SlotProblem::Database {
                database: database.unwrap_or_default(),
            })
        } else {
            let lost = invalidation.or(lost);
            let lost = lost.map(|reason| SlotProblem::Lost { reason });
            lost.or_else(|| (synchronizing == Some(true)).then_some(SlotProblem::Synchronizing))
        };
        if let Some(problem) = problem {
            return Err(Error::SlotUnusable {
                slot: name.to_owned(),
                problem,
            });
        }
        let confirmed_flush = confirmed_flush.and_then(|text| text.parse().ok());
        let two_phase: Option<String> = self.get(row, 6)?;
        Ok(Slot {
            confirmed_flush: confirmed_flush.unwrap_or(Lsn(0)),
            two_phase: two_phase.as_deref() == Some("true"),
        })
    }

    /// A slot cannot be made where the server does not log what it needs: say so first.
    async fn why_no_slot(&mut self, slot: String) -> Error {
        let wal_level = match self.query("SELECT current_setting('wal_level')", &[]).await {
            Ok(rows) => rows.first().and_then(|row| self.get::<String>(row, 0).ok()),
            Err(error) => return error,
        };
        match wal_level {
            Some(wal_level) if wal_level != "logical" => Error::WalLevel { wal_level },
            _ => Error::SlotNotFound { slot },
        }
    }
}

/// `wal_status` came with 13, `two_phase` with 14, `invalidation_reason` and `synced` with 17:
/// `to_jsonb` reads a column that may not be there.
const SLOT: &str = "
SELECT s.slot_type::text, s.plugin::text, s.database::text, s.confirmed_flush_lsn::text,
       pg_catalog.to_jsonb(s) ->> 'wal_status',
       pg_catalog.to_jsonb(s) ->> 'invalidation_reason',
       pg_catalog.to_jsonb(s) ->> 'two_phase',
       (pg_catalog.to_jsonb(s) ->> 'synced')::bool AND pg_catalog.pg_is_in_recovery()
FROM pg_catalog.pg_replication_slots s
WHERE s.slot_name = $1";

const MISSING: &str = "
SELECT wanted.name
FROM unnest($1) WITH ORDINALITY AS wanted(name, place)
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_publication p WHERE p.pubname = wanted.name)
ORDER BY wanted.place
LIMIT 1";
