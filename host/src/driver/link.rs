//! Connecting, at first and again: to the server the stream began with or one that has its
//! history, at a slot that stands where it should.
//!
//! What is looked at before streaming may have changed when it starts. So server and slot are
//! looked at once more while the slot is held: nobody else can move it any more. The catalogs are
//! asked on the server that streams.

use std::io;
use std::time::Duration;

use rand::RngExt;

use crate::connection::{Connection, late};
use crate::error::{CONNECTING, Error, SlotProblem};
use crate::identity::{Identity, Reached};
use crate::lsn::Lsn;
use crate::slot::Slot;
use crate::start::Start;
use crate::status::State;

use super::{Driver, Link, TopicTable, open_engine};

impl Driver {
    /// The first connection. An error is returned at once, unless it is one that passes by itself:
    /// a server that is starting up, a slot that our own former session still holds.
    pub(super) async fn first_link(&mut self) -> Result<Link, Error> {
        let until = self.shared.clock.now() + FIRST_WAIT_MAX;
        let mut notice_at = FIRST_NOTICE;
        loop {
            let error = match self.try_first_link().await {
                Ok(link) => {
                    self.backoff.end();
                    return Ok(link);
                }
                Err(error) => error,
            };
            let waited = self.backoff.lasted(self.shared.clock.now());
            if error.sqlstate() == Some("55006") && waited >= notice_at {
                notice_at = waited + NEXT_NOTICE;
                self.notice_holder(waited).await;
            }
            // cannot_connect_now, object_in_use
            let passes = matches!(error.sqlstate(), Some("57P03" | "55006"));
            if !passes || self.shared.clock.now() > until || !self.back_off().await {
                return Err(error);
            }
        }
    }

    async fn try_first_link(&mut self) -> Result<Link, Error> {
        self.catalog.open().await?;
        let session = self.create_slot().await?;
        let slot = self.check().await?;
        self.shared.feedback().start(slot.confirmed_flush);
        let passed = self.config.start.and_then(Start::passed);
        if let Some(passed) = passed {
            // Started at a later LSN, the server would never send what was prepared before it, but
            // would send its COMMIT PREPARED.
            let at_slot = slot.two_phase || self.config.wishes.two_phase;
            self.shared.feedback().pass_over(passed, at_slot);
        }
        let connection = match session {
            Some(session) => session,
            None => self.catalog.replication().await?,
        };
        let link = self.link(connection).await?;
        let slot = self.check().await?;
        self.keep_kind();
        self.shared.feedback().start(slot.confirmed_flush);
        self.handed = self.handed.max(passed);
        let passed_end = self.config.start.map_or(Lsn(0), Start::end);
        self.handed_end = self.handed_end.max(passed_end);
        Ok(link)
    }

    /// Connects again, however long it takes, until it is clear that it will not help.
    pub(super) async fn link_again(&mut self, mut error: Error) -> Result<Link, Error> {
        self.slot_gone()?;
        // The former decoder may stand in the middle of a transaction that will be sent again, as
        // will those that it had stashed.
        self.forget_undecided();
        let saved = self.engine.save();
        self.engine = open_engine(&self.config, &self.connector)?;
        // One that broke down cannot be asked: the server describes every relation again. And who
        // replays a recording has a new one: it must ask the same.
        if let Ok(saved) = saved
            && !self.tap.is_used()
        {
            self.engine.restore(&saved)?;
        }
        self.topics = TopicTable::default();
        self.plugins.reset();
        self.caution.context.connected();
        loop {
            let waited = match &error {
                Error::Stash { .. } | Error::Park { .. } => self.wait_for_space(&error).await,
                _ => self.back_off().await,
            };
            if !waited {
                return Err(error);
            }
            match self.checked_link().await {
                Err(again) if self.may_mend(&again) => {
                    self.note(State::Reconnecting, &again);
                    error = again;
                }
                link => return link,
            }
        }
    }

    /// Whether trying again may help a stream that was connected before. For a while, that is also
    /// where a login is refused, for passwords rotate and take their time to be known everywhere,
    /// and where the slot is, though by now nothing is wrong with it: see `why_no_link`.
    fn may_mend(&self, error: &Error) -> bool {
        // object_not_in_prerequisite_state
        let refused = ["28P01", "28000", "55000"];
        let refused = matches!(error, Error::Server { sqlstate, .. }
            if refused.contains(&sqlstate.as_str()));
        let now = self.shared.clock.now();
        error.is_transient() || (refused && self.backoff.lasted(now) < REFUSED_MAX)
    }

    /// A connection to the server and slot the stream began with, or an error.
    async fn checked_link(&mut self) -> Result<Link, Error> {
        let connection = Connection::open(&self.connector, None).await?;
        let link = match self.link(connection).await {
            Err(error) => return Err(self.why_no_link(error).await),
            Ok(link) => link,
        };
        let slot = match self.check().await {
            Err(error) => return Err(self.why_no_link(error).await),
            Ok(slot) => slot,
        };
        self.keep_kind();
        let confirmed = self.shared.feedback().confirmed();
        if slot.confirmed_flush > confirmed {
            let problem = SlotProblem::Moved {
                found: slot.confirmed_flush,
                confirmed,
            };
            return Err(Error::SlotUnusable {
                slot: self.config.slot.clone(),
                problem,
            });
        }
        Ok(link)
    }

    /// What the server says of a slot that cannot be streamed from is one SQLSTATE for many
    /// reasons: the catalogs tell them apart.
    pub(super) async fn why_no_link(&mut self, error: Error) -> Error {
        let error = match error.sqlstate() {
            // object_not_in_prerequisite_state
            Some("55000") if matches!(error, Error::Server { .. }) => match self.check().await {
                Ok(_) => error,
                Err(reason) => reason,
            },
            _ => error,
        };
        let at_standby = self.identity.as_ref().is_some_and(|at| at.in_recovery);
        let slot = match error {
            Error::SlotNotFound { slot } => slot,
            // feature_not_supported: before 16, whatever slots it has
            Error::Server { ref sqlstate, .. } if at_standby && sqlstate == "0A000" => {
                self.config.slot.clone()
            }
            error => return error,
        };
        // The primary that has it may come back, or its slot with a promotion. Of a slot that was
        // streamed from on a standby, nothing but another host may have it.
        if at_standby && (!self.slot_on_standby || self.connector.has_several_hosts()) {
            return Error::SlotUnusable {
                slot,
                problem: SlotProblem::NotOnStandby,
            };
        }
        Error::SlotGone {
            slot,
            confirmed: self.shared.feedback().confirmed(),
        }
    }

    pub(super) async fn check(&mut self) -> Result<Slot, Error> {
        let (slot, publications) = (&self.config.slot, &self.config.publications);
        self.catalog.check(slot, publications).await
    }

    /// Makes a connection stream, within the time the configuration allows. From here on the
    /// catalogs are asked where it leads, also about why it does not.
    async fn link(&mut self, connection: Connection) -> Result<Link, Error> {
        self.catalog.follow(connection.place());
        let limit = self.connector.connect_timeout();
        let link = tokio::time::timeout(limit, self.start(connection)).await;
        link.unwrap_or_else(|_| Err(late(self.connector.address(), CONNECTING, limit)))
    }

    async fn start(&mut self, mut connection: Connection) -> Result<Link, Error> {
        let identity = connection.identify().await?;
        self.recognize(identity)?;
        let patience = connection.wal_sender_timeout();
        let version = connection.server_version();
        let start = self.shared.feedback().from();
        let started = connection.start_replication(&self.config, start, self.shared.clock);
        let (receiver, sender) = started.await?;
        // The server asks after half of its patience: it need not.
        let interval = patience.map_or(self.config.status_interval, |patience| {
            self.config.status_interval.min(patience / 3)
        });
        self.shared
            .feedback()
            .connected(self.shared.clock.now(), interval);
        self.note_streaming();
        self.begin_recording(version);
        Ok(Link { receiver, sender })
    }

    /// Refuses a server on which our LSNs mean nothing, or something else.
    fn recognize(&mut self, found: Identity) -> Result<(), Error> {
        let reached = Reached {
            handed: self.handed,
            end: self.handed_end,
            confirmed: self.shared.feedback().confirmed(),
        };
        if let Some(known) = &self.identity {
            if let Some(fork) = known.recognize(&found, reached)? {
                self.shared.feedback().rewind(fork);
                self.caution.context.rewind();
            }
        } else {
            found.reaches(reached.confirmed)?;
            if let Some(start) = self.config.start {
                start.check(found.xlogpos)?;
            }
        }
        let now = self.shared.clock.now();
        self.look_at = found.in_recovery.then(|| now + LOOK_EVERY);
        self.identity = Some(found);
        Ok(())
    }

    /// The slot was found at the server just identified: is that a standby?
    fn keep_kind(&mut self) {
        self.slot_on_standby = self.identity.as_ref().is_some_and(|at| at.in_recovery);
    }

    /// A standby that is promoted streams on, on another timeline. To know about that before the
    /// next reconnection, the stream is connected again.
    pub(super) async fn look_for_promotion(&mut self, now: Duration) -> Result<(), Error> {
        if self.look_at.is_none_or(|at| now < at) {
            return Ok(());
        }
        self.look_at = Some(now + LOOK_EVERY);
        if self.catalog.in_recovery().await? {
            return Ok(());
        }
        Err(self.lost(
            io::ErrorKind::ConnectionReset,
            "the standby was promoted: connecting again",
        ))
    }

    /// Waits before another attempt; `false` to give up.
    async fn back_off(&mut self) -> bool {
        let Some(longest) = self.backoff.wait_max(self.shared.clock.now()) else {
            return false;
        };
        let delay = longest.mul_f64(rand::rng().random());
        tokio::time::sleep(delay).await;
        true
    }
}

/// How long `connect` waits for what passes by itself. The session of a process that was cut off
/// holds its slot until the server's `wal_sender_timeout`, a minute unless it is set.
const FIRST_WAIT_MAX: Duration = Duration::from_secs(65);

/// How long a slot is in use before that is told, and how often after that. A process that was
/// replaced is gone sooner.
const FIRST_NOTICE: Duration = Duration::from_secs(2);
const NEXT_NOTICE: Duration = Duration::from_secs(20);

/// How long may be refused what was granted before.
const REFUSED_MAX: Duration = Duration::from_mins(1);

/// How often a standby is asked whether it still is one.
const LOOK_EVERY: Duration = Duration::from_secs(5);
