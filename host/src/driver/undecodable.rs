//! Changes that are passed over: those the decoder says it cannot decode, and those it breaks down
//! at.
//!
//! Which frame broke the decoder is not known where several were passed to it: after the first
//! time they come again over a new connection to a new decoder, one by one. The one that breaks
//! that too is known from then on, and is never passed to a decoder again: a stand-in is, so that
//! it has its place in the transaction.

use super::Driver;
use crate::config::Config;
use crate::engine::{Decoded, EngineError};
use crate::error::Error;
use crate::records::{Batch, Item, Position};
use crate::replication::Receiver;
use crate::stash::frame_bytes;
use crate::undecodable::{self, Context, FrameId, OnUndecodable, Undecodable};

use super::decoding::{Passed, broken, unkept};

/// What is known of frames that break the decoder.
#[derive(Debug, Default)]
pub(super) struct Caution {
    pub(super) context: Context,
    /// Behind which event the decoder broke down last.
    broke_at: Option<Position>,
    /// So many frames are passed one by one, once `broke_at` is passed.
    one_by_one: u32,
    /// The frame that is being decoded alone, and whether it can be passed over.
    alone: Option<(FrameId, bool)>,
    /// Frames that break the decoder, and how.
    known: Vec<(FrameId, String)>,
}

impl Caution {
    /// How many bytes of the frames may be passed at a time; `None` for one that breaks the
    /// decoder.
    fn passable(&mut self, frames: &[u8], handed: Option<Position>) -> Option<usize> {
        self.alone = None;
        if self.one_by_one > 0 {
            let first = frames.get(..frame_bytes(frames)).unwrap_or_default();
            let id = FrameId::of(first);
            if self.known.iter().any(|(known, _)| *known == id) {
                return None;
            }
            if handed > self.broke_at {
                self.one_by_one -= 1;
            }
            self.alone = Some((id, undecodable::is_change(first)));
            return Some(first.len());
        }
        if self.known.is_empty() {
            return Some(frames.len());
        }
        let mut rest = frames;
        while !rest.is_empty() {
            let (frame, behind) = rest.split_at(frame_bytes(rest));
            let may_be = self.known.iter().any(|(known, _)| known.is_at(frame));
            if may_be && self.reason(frame).is_some() {
                let before = frames.len() - rest.len();
                return (before > 0).then_some(before);
            }
            rest = behind;
        }
        Some(frames.len())
    }

    /// Why a frame is known to break the decoder.
    fn reason(&self, frame: &[u8]) -> Option<&str> {
        let id = FrameId::of(frame);
        let known = self.known.iter().find(|(known, _)| *known == id);
        known.map(|(_, reason)| reason.as_str())
    }

    /// The decoder broke down. Whether another may get on where it did.
    pub(super) fn broke(
        &mut self,
        error: &EngineError,
        handed: Position,
        policy: &OnUndecodable,
    ) -> bool {
        self.one_by_one = ONE_BY_ONE;
        let again = self.broke_at.replace(handed) == Some(handed);
        match self.alone.take() {
            Some((frame, true)) if *policy != OnUndecodable::Stop => {
                self.known.push((frame, error.to_string()));
                true
            }
            Some(_) => false,
            None => !again,
        }
    }
}

impl Driver {
    /// Passes as many of the frames as can be passed together.
    pub(super) fn pass_cautiously(&mut self, frames: &[u8]) -> Result<Passed, Error> {
        let mut passed = if let Some(bytes) = self.caution.passable(frames, self.handed) {
            self.pass(frames.get(..bytes).unwrap_or_default())?
        } else {
            let frame = frames.get(..frame_bytes(frames)).unwrap_or_default();
            self.pass_stand_in(frame)?
        };
        if self.config.passes_over() {
            let consumed = frames.get(..passed.consumed).unwrap_or_default();
            self.pass_over_faults(consumed, &mut passed);
            self.caution.context.passed(consumed);
            for item in passed.batch.iter().flat_map(Batch::items) {
                match item {
                    Item::Begin(begin) => self.caution.context.begin(begin),
                    Item::Commit(_) => self.caution.context.commit(),
                    _ => {}
                }
            }
        }
        Ok(passed)
    }

    /// Passes a stand-in for a frame that breaks the decoder: of a transaction that is not decided
    /// it is stashed, otherwise it cannot be decoded.
    fn pass_stand_in(&mut self, frame: &[u8]) -> Result<Passed, Error> {
        let stand_in = undecodable::stand_in(frame);
        let lsn = crate::stash::first_lsn(frame);
        let decoded = Self::decode_frames(&mut self.engine, &stand_in);
        let Decoded {
            records,
            consumed,
            stop,
        } = decoded.map_err(|error| broken(error, lsn))?;
        let batch = self.topics.read(records)?;
        for item in batch.items() {
            if let Item::Stash(stash) = item {
                let kept = self.stash.keep(stash.xid, stash.subxid, frame);
                kept.map_err(|error| unkept(stash.xid, lsn, error))?;
            }
        }
        Ok(Passed {
            batch: None,
            last: None,
            consumed: if consumed > 0 { frame.len() } else { 0 },
            stop,
            lsn,
            faults: Vec::new(),
            failed: None,
        })
    }

    /// Passes over the frame the decoder stopped at, if it may be.
    pub(super) fn undecodable(
        &mut self,
        receiver: &mut Receiver,
        bytes: &mut usize,
        error: crate::engine::DecodeError,
    ) -> Result<(), Error> {
        let frames = match &self.replay {
            Some(replay) => replay.frames(),
            None => receiver.frames(*bytes),
        };
        let frame = frames.get(..frame_bytes(frames)).unwrap_or_default();
        let Config { on_undecodable, .. } = &self.config;
        if *on_undecodable == OnUndecodable::Stop || !undecodable::is_change(frame) {
            return Err(Error::Decoding(error));
        }
        let reason = match self.caution.reason(frame) {
            Some(reason) => reason.to_owned(),
            None => error.to_string(),
        };
        if let Some(position) = self.caution.context.pass_over(frame) {
            let undecodable = Undecodable {
                frame,
                position,
                reason: &reason,
            };
            let told = self.caution.context.describe(&undecodable);
            let parked = park(on_undecodable, &self.caution.context, &undecodable)?;
            let word = if parked {
                self.shared.health().parked += 1;
                "parked"
            } else {
                self.shared.health().skipped += 1;
                "skipped"
            };
            let told = format!("a change that cannot be decoded was {word}: {told}");
            self.config.on_warning.tell(&told);
        }
        let length = frame.len();
        let lsn = crate::stash::first_lsn(frame);
        self.engine.skip().map_err(|error| broken(error, lsn))?;
        if let Some(replay) = &mut self.replay {
            replay.consume(length);
        } else {
            self.used_up(receiver, bytes, length);
        }
        Ok(())
    }
}

/// Writes a change to the policy's file, if it has one.
pub(super) fn park(
    policy: &OnUndecodable,
    context: &Context,
    undecodable: &Undecodable<'_>,
) -> Result<bool, Error> {
    let OnUndecodable::Park(file) = policy else {
        return Ok(false);
    };
    let lines = context.lines(undecodable);
    undecodable::append(file, &lines).map_err(|io| Error::Park {
        file: file.clone(),
        io,
    })?;
    Ok(true)
}

/// More than the frames of any call: there may be so many behind the event before the one that
/// broke the decoder.
const ONE_BY_ONE: u32 = 4096;
