//! The slot a stream makes for itself, when it is asked to.

use std::time::Duration;

use super::Driver;
use crate::config::CreateSlot;
use crate::connection::Connection;
use crate::error::{Error, SlotProblem};
use crate::lsn::Lsn;
use crate::slots::{self, Blocker, NewSlot, SlotWait};

impl Driver {
    /// Makes the slot where it is to be made. The session of a temporary one is returned.
    pub(super) async fn create_slot(&mut self) -> Result<Option<Connection>, Error> {
        let config = &self.config;
        let mut new = NewSlot::new(&config.slot).two_phase(config.wishes.two_phase);
        match config.create_slot {
            CreateSlot::No => return Ok(None),
            CreateSlot::Temporary => new = new.temporary(),
            CreateSlot::Yes => match self.catalog.slot(&config.slot).await {
                Err(Error::SlotNotFound { .. }) => {}
                found => return found.map(|_| None),
            },
        }
        if let Some(start) = config.start.filter(|start| start.lsn() > Lsn(0)) {
            let reason = format!(
                "slot {:?} does not exist, and a new one has no changes of before now, as \
                 {start} asks for: take a new snapshot and start without it",
                config.slot
            );
            return Err(Error::configuration("create_slot", reason));
        }
        // One made before its publication is of no use, and would keep WAL all the same.
        self.catalog.publications(&config.publications).await?;
        let notice = |wait: &SlotWait| config.on_slot_wait.tell(wait);
        let session = match slots::create(&mut self.catalog, &new, &notice).await {
            // duplicate_object: somebody else was quicker, which is as good.
            Err(error)
                if error.sqlstate() == Some("42710") && config.create_slot == CreateSlot::Yes =>
            {
                return Ok(None);
            }
            session => session?,
        };
        Ok((config.create_slot == CreateSlot::Temporary).then_some(session))
    }

    /// Tells who has the slot that is waited for, if that can be found out.
    pub(super) async fn notice_holder(&mut self, waited: Duration) {
        let slot = self.config.slot.clone();
        let infos = slots::infos(&mut self.catalog, Some(&slot)).await;
        let holder = infos
            .ok()
            .and_then(|infos| infos.into_iter().next()?.holder);
        if let Some(holder) = holder {
            self.config.on_slot_wait.tell(&SlotWait {
                slot,
                waited,
                until: Blocker::Holder {
                    pid: holder.pid,
                    application_name: holder.application_name.unwrap_or_default(),
                },
            });
        }
    }

    /// An error if the slot went with the connection.
    pub(super) fn slot_gone(&self) -> Result<(), Error> {
        if self.config.create_slot != CreateSlot::Temporary {
            return Ok(());
        }
        Err(Error::SlotUnusable {
            slot: self.config.slot.clone(),
            problem: SlotProblem::Temporary {
                confirmed: self.shared.feedback().confirmed(),
            },
        })
    }
}
