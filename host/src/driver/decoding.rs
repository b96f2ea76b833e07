//! From received frames to batches in the channel, by way of the stash for transactions that come
//! before they are decided.
//!
//! May be cancelled wherever it waits: what was decoded before is used up, and feedback knows of
//! its events, so that nothing behind them is confirmed if they are lost with that.

use crate::engine::{Decoded, Engine, EngineError, Stop};
use crate::error::{Error, SlotProblem};
use crate::feedback::is_news;
use crate::lsn::Lsn;
use crate::plugin::Fault;
use crate::queue::Room;
use crate::records::{Batch, Item, Position};
use crate::replication::Receiver;
use crate::stash::{StashError, blocking, first_lsn};
use crate::stream::Clock;

use super::Driver;

/// What a call to the decoder came to.
pub(super) struct Passed {
    pub(super) batch: Option<Batch>,
    /// The last event of the batch.
    pub(super) last: Option<Position>,
    pub(super) consumed: usize,
    pub(super) stop: Option<Stop>,
    /// Of the frames passed.
    pub(super) lsn: Lsn,
    /// Events that plugins failed at, and that are not in the batch.
    pub(super) faults: Vec<Fault>,
    /// What went wrong behind the batch.
    pub(super) failed: Option<Error>,
}

impl Driver {
    /// Decodes `bytes` of frames and hands over what they hold; `false` if nobody listens.
    pub(super) async fn decode(
        &mut self,
        receiver: &mut Receiver,
        mut bytes: usize,
    ) -> Result<bool, Error> {
        let mut questions = 0;
        let mut looked = false;
        while bytes > 0 {
            let replaying = self.replay.is_some();
            let Passed {
                batch,
                last,
                consumed,
                stop,
                lsn,
                faults: _,
                failed,
            } = self.pass_next(receiver, &mut bytes)?;
            if let Some(Stop::Replay(xid)) = stop {
                self.replay = self.stash.replay(xid);
                self.caution.context.replaying();
            }
            if let Some(batch) = batch
                && !self.hand_over(batch, last).await?
            {
                return Ok(false);
            }
            if let Some(error) = failed {
                return Err(error);
            }
            questions = if consumed > 0 { 0 } else { questions + 1 };
            match stop {
                Some(Stop::Unknown(question)) if questions < QUESTIONS_MAX => {
                    let facts = self.catalog.facts(&question).await?;
                    if self.config.parks() {
                        self.caution.context.learn(question.relation, &facts);
                    }
                    self.tap.facts(question.relation, &facts);
                    let learnt = self.engine.learn(&facts);
                    learnt.map_err(|error| broken(error, lsn))?;
                }
                Some(Stop::Unknown(_)) => {
                    return Err(Error::protocol("the decoder asks the same for ever"));
                }
                Some(Stop::Failed(error)) => self.undecodable(receiver, &mut bytes, error)?,
                Some(Stop::Replay(xid)) if self.replay.is_none() => {
                    return Err(self.never_prepared(xid, first_lsn(receiver.frames(bytes))));
                }
                None | Some(Stop::Replay(_)) => {}
            }
            if replaying {
                // A long transaction may have nothing to hand over, and so nothing to wait for.
                tokio::task::yield_now().await;
                // Nobody reads meanwhile what the server says at its end.
                if self.catalog.has_ended() && !looked {
                    match self.catalog.open().await {
                        Ok(()) => {}
                        Err(error) if is_gone(&error) => return Err(error),
                        // It is there, and does not let us in.
                        Err(_) => looked = true,
                    }
                }
            }
        }
        Ok(true)
    }

    /// Passes what is being replayed, else what was received, `bytes` of it.
    fn pass_next(&mut self, receiver: &mut Receiver, bytes: &mut usize) -> Result<Passed, Error> {
        if let Some(mut replay) = self.replay.take() {
            let lsn = first_lsn(receiver.frames(*bytes));
            let filled = replay.fill();
            if filled.map_err(|error| unkept(replay.xid(), lsn, error))? {
                let passed = self.pass_cautiously(replay.frames())?;
                replay.consume(passed.consumed);
                self.replay = Some(replay);
                return Ok(passed);
            }
        }
        let passed = self.pass_cautiously(receiver.frames(*bytes))?;
        self.used_up(receiver, bytes, passed.consumed);
        Ok(passed)
    }

    /// Decodes frames, and does what the records say but for handing over.
    pub(super) fn pass(&mut self, frames: &[u8]) -> Result<Passed, Error> {
        let lsn = first_lsn(frames);
        let Decoded {
            records,
            consumed,
            stop,
        } = Self::decode_frames(&mut self.engine, frames).map_err(|error| broken(error, lsn))?;
        if consumed > frames.len() || (stop.is_none() && consumed == 0) {
            return Err(Error::protocol(
                "the decoder used up another number of bytes",
            ));
        }
        let mut passed = Passed {
            batch: None,
            last: None,
            consumed,
            stop,
            lsn,
            faults: Vec::new(),
            failed: None,
        };
        if records.is_empty() {
            return Ok(passed);
        }
        let mut batch = self.topics.read(records)?;
        self.tap.decoded(&batch, self.handed);
        self.plug_in(&mut batch, &mut passed);
        let mut undecided = false;
        {
            let mut feedback = self.shared.feedback();
            for item in batch.items() {
                match item {
                    Item::Begin(begin) => feedback.begin(begin.commit_ts_us),
                    Item::Commit(commit) => feedback.commit(commit.end_lsn),
                    Item::Event(event) => {
                        feedback.event(event.position());
                        passed.last = Some(event.position());
                    }
                    Item::Prepared(prepared) => {
                        feedback.prepared(prepared.xid, prepared.prepare_lsn);
                    }
                    Item::Stash(_) => undecided = true,
                    Item::Discard(discard) => {
                        undecided = true;
                        if discard.xid == discard.subxid {
                            feedback.decided(discard.xid);
                        }
                    }
                }
            }
        }
        // Where it writes to a file, feedback does not wait for it.
        if undecided && let Err(error) = self.keep(&batch, frames) {
            passed.failed = Some(error);
        }
        passed.batch = Some(batch);
        Ok(passed)
    }

    /// Keeps and forgets frames as the records say.
    fn keep(&mut self, batch: &Batch, frames: &[u8]) -> Result<(), Error> {
        for item in batch.items() {
            match item {
                Item::Stash(stash) => {
                    let frames = frames.get(stash.frames).ok_or_else(|| {
                        Error::protocol("the decoder stashes what it was not given")
                    })?;
                    let kept = self.stash.keep(stash.xid, stash.subxid, frames);
                    kept.map_err(|error| unkept(stash.xid, first_lsn(frames), error))?;
                }
                Item::Discard(discard) => self.stash.discard(discard.xid, discard.subxid),
                Item::Begin(_) | Item::Commit(_) | Item::Event(_) | Item::Prepared(_) => {}
            }
        }
        Ok(())
    }

    pub(super) fn decode_frames(
        engine: &mut Engine,
        frames: &[u8],
    ) -> Result<Decoded, EngineError> {
        let now_us = Clock::unix_us();
        // A usual call takes less time than moving the other tasks to another thread would.
        if frames.len() > INLINE_BYTES_MAX {
            return blocking(|| engine.decode(frames, now_us));
        }
        engine.decode(frames, now_us)
    }

    /// Puts a batch into the channel, without the events that came before the connection was lost;
    /// `false` if nobody listens. One that has no news may go if it ends the transaction of the
    /// last event.
    async fn hand_over(&mut self, mut batch: Batch, last: Option<Position>) -> Result<bool, Error> {
        let handed = self.handed;
        let has_news = last.is_some_and(|last| is_news(last, handed));
        let ended = batch.last_commit();
        let ends = self.config.transaction_ends && ended.is_some() && ended == self.handed_open;
        if !has_news && !ends {
            return Ok(true);
        }
        if let Some(handed) = handed {
            batch.drop_until(handed);
        }
        let bytes = batch.bytes();
        let mut room = self.batches.try_room(bytes);
        if room.is_none() {
            self.set_blocked(true);
            let waited = self.wait_for_room(bytes).await;
            self.set_blocked(false);
            room = waited?;
        }
        let Some(room) = room else {
            return Ok(false);
        };
        if has_news {
            self.handed = last;
        }
        self.handed_open = None;
        let last = batch
            .len()
            .checked_sub(1)
            .and_then(|last| batch.event(last));
        if let Some(last) = last {
            // A transaction's commit begins at its position, a message ends there.
            let commit_lsn = last.position().commit_lsn;
            self.handed_end = Lsn(commit_lsn.0 + u64::from(last.transactional()));
            if last.transactional() && ended != Some(commit_lsn) {
                self.handed_open = Some(commit_lsn);
            }
        }
        Ok(self.batches.put(batch, room))
    }

    /// Waits for the consumer. A server that is stopping is not held up by one who does not read:
    /// what it has not sent yet, it will send again.
    async fn wait_for_room(&mut self, bytes: usize) -> Result<Option<Room>, Error> {
        loop {
            let look = self.shared.clock.instant(self.sample_at);
            tokio::select! {
                biased;
                room = self.batches.room(bytes) => return Ok(room),
                () = self.catalog.server_stopping() => return Err(self.stopping()),
                () = tokio::time::sleep_until(look) => {}
            }
            self.look_after().await;
        }
    }

    fn set_blocked(&self, blocked: bool) {
        self.shared
            .feedback()
            .set_blocked(self.shared.clock.now(), blocked);
        self.shared.wake.notify_one();
    }

    /// The transaction's changes were sent to somebody else, who confirmed them.
    fn never_prepared(&self, xid: u32, end_lsn: Lsn) -> Error {
        Error::SlotUnusable {
            slot: self.config.slot.clone(),
            problem: SlotProblem::PrepareConfirmed { xid, end_lsn },
        }
    }
}

/// Whether an attempt to connect says that the server is not there, or does not serve.
fn is_gone(error: &Error) -> bool {
    let unreachable = matches!(error, Error::Connection { .. }) && error.is_transient();
    // cannot_connect_now
    unreachable || error.sqlstate() == Some("57P03")
}

/// An error of the decoder at frames that begin at `lsn`.
pub(super) fn broken(error: EngineError, lsn: Lsn) -> Error {
    match error {
        EngineError::Deadline { .. } | EngineError::Memory { .. } | EngineError::Trap { .. } => {
            Error::EngineAt { lsn, error }
        }
        error => Error::Engine(error),
    }
}

pub(super) fn unkept(xid: u32, lsn: Lsn, error: StashError) -> Error {
    Error::Stash { xid, lsn, error }
}

/// Frames up to this size are decoded in a fraction of a millisecond.
pub(super) const INLINE_BYTES_MAX: usize = 256 * 1024;

/// Questions about one frame before the decoder counts as broken.
const QUESTIONS_MAX: u32 = 16;
