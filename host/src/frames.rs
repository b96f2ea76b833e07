//! Frames in, events out, without a connection: for who has one of their own, or a recording.

use std::borrow::BorrowMut;
use std::mem;

use crate::engine::{DecodeError, Decoded, Engine, EngineError, Facts, Question, Stop};
use crate::lsn::Lsn;
use crate::records::{Batch, Item, RecordError, TopicTable};
use crate::stash::{self, Stash, StashError, first_lsn, frame_bytes};

/// An engine and what it needs beside it: it names topics once, and streamed and prepared
/// transactions are kept until they are decided.
pub struct FrameDecoder<E = Engine> {
    engine: E,
    topics: TopicTable,
    stash: Stash,
    /// Frames of the transaction that was just committed: they come before any others.
    stashed: Option<stash::Replay>,
}

/// What a call to [`FrameDecoder::pass`] came to.
#[derive(Debug, Default)]
pub struct Passed {
    /// What was decoded, if anything was.
    pub batch: Option<Batch>,
    /// Bytes of the frames used up: whole frames only.
    pub consumed: usize,
    /// Why it stopped before a frame.
    pub stop: Option<Stopped>,
}

/// Why decoding stopped before a frame.
#[derive(Clone, Debug)]
pub enum Stopped {
    /// It cannot be decoded: [`FrameDecoder::skip`] goes on behind it.
    Failed(DecodeError),
    /// It commits a transaction none of whose frames have come.
    NotStashed {
        /// The transaction.
        xid: u32,
    },
    /// The decoder does not go on: a bug in it.
    Stalled,
    /// Nothing is known of its relation, or of a type: [`FrameDecoder::learn`] the answer.
    Unknown {
        /// What is asked.
        question: Question,
        /// Of the frame.
        lsn: Lsn,
    },
}

/// Why a decoder cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The engine itself failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The engine's records cannot be read.
    #[error(transparent)]
    Records(#[from] RecordError),
    /// A transaction cannot be kept until it is decided.
    #[error(transparent)]
    Stash(#[from] StashError),
}

impl<E: BorrowMut<Engine>> FrameDecoder<E> {
    /// At the beginning of a stream, as `engine` is.
    pub fn new(engine: E) -> Self {
        Self {
            engine,
            topics: TopicTable::default(),
            stash: Stash::default(),
            stashed: None,
        }
    }

    /// Whether frames that came before are to be decoded before any others: until then
    /// [`FrameDecoder::pass`] uses up none of its argument.
    pub fn is_replaying(&self) -> bool {
        self.stashed.is_some()
    }

    /// Decodes whole frames, as `wit/decoding.wit` has them. `now_us` is the time given to the
    /// events, µs since 1970-01-01.
    ///
    /// # Errors
    /// The decoder is of no further use.
    pub fn pass(&mut self, frames: &[u8], now_us: i64) -> Result<Passed, FrameError> {
        if let Some(stashed) = self.stashed.take() {
            return self.pass_again(stashed, now_us);
        }
        let (passed, replay) = self.decode(frames, now_us)?;
        let Some(xid) = replay else {
            return Ok(passed);
        };
        self.stashed = self.stash.replay(xid);
        let is_there = self.stashed.is_some();
        Ok(Passed {
            stop: (!is_there).then_some(Stopped::NotStashed { xid }),
            ..passed
        })
    }

    /// Passes frames that were stashed.
    fn pass_again(
        &mut self,
        mut stashed: stash::Replay,
        now_us: i64,
    ) -> Result<Passed, FrameError> {
        if !stashed.fill()? {
            return Ok(Passed::default());
        }
        let (mut passed, replay) = self.decode(stashed.frames(), now_us)?;
        if replay.is_some() {
            passed.stop = Some(Stopped::Stalled);
        }
        stashed.consume(mem::take(&mut passed.consumed));
        self.stashed = Some(stashed);
        Ok(passed)
    }

    /// Decodes frames, wherever they come from; and the transaction that is to be replayed before
    /// the next of them.
    fn decode(&mut self, frames: &[u8], now_us: i64) -> Result<(Passed, Option<u32>), FrameError> {
        let Decoded {
            records,
            consumed,
            stop,
        } = self.engine.borrow_mut().decode(frames, now_us)?;
        let batch = self.read(records, frames)?;
        let mut replay = None;
        let stop = match stop {
            None if consumed > 0 || frames.is_empty() => None,
            None => Some(Stopped::Stalled),
            Some(Stop::Failed(error)) => Some(Stopped::Failed(error)),
            Some(Stop::Replay(xid)) => {
                replay = Some(xid);
                None
            }
            Some(Stop::Unknown(question)) => Some(Stopped::Unknown {
                question,
                lsn: first_lsn(frames.get(consumed..).unwrap_or_default()),
            }),
        };
        let passed = Passed {
            batch,
            consumed,
            stop,
        };
        Ok((passed, replay))
    }

    /// Takes the answer to a question.
    ///
    /// # Errors
    /// The engine's.
    pub fn learn(&mut self, facts: &Facts) -> Result<(), FrameError> {
        Ok(self.engine.borrow_mut().learn(facts)?)
    }

    /// Gives up the frame of the last [`Stopped::Failed`]; whether it is one of those that were
    /// passed, and not one that was stashed.
    ///
    /// # Errors
    /// The engine's.
    pub fn skip(&mut self) -> Result<bool, FrameError> {
        self.engine.borrow_mut().skip()?;
        if let Some(stashed) = &mut self.stashed {
            stashed.consume(frame_bytes(stashed.frames()));
            return Ok(false);
        }
        Ok(true)
    }

    /// Does what the records say of the frames; `None` where there are no records.
    fn read(&mut self, records: Vec<u8>, frames: &[u8]) -> Result<Option<Batch>, FrameError> {
        if records.is_empty() {
            return Ok(None);
        }
        let batch = self.topics.read(records)?;
        for item in batch.items() {
            match item {
                Item::Stash(stash) => {
                    let kept = frames.get(stash.frames).unwrap_or_default();
                    self.stash.keep(stash.xid, stash.subxid, kept)?;
                }
                Item::Discard(discard) => self.stash.discard(discard.xid, discard.subxid),
                Item::Begin(_) | Item::Commit(_) | Item::Event(_) | Item::Prepared(_) => {}
            }
        }
        Ok(Some(batch))
    }
}

/// A message in wire form, behind the others in `frames`; `None` for one longer than any of
/// PostgreSQL's. `sent_at_us` is the server's clock, µs since 1970-01-01.
pub fn push_frame(
    frames: &mut Vec<u8>,
    lsn: Lsn,
    end_lsn: Lsn,
    sent_at_us: i64,
    message: &[u8],
) -> Option<()> {
    let length = u32::try_from(message.len()).ok()?;
    if length > MESSAGE_BYTES_MAX {
        return None;
    }
    frames.push(b'd');
    frames.extend_from_slice(&(length + FRAME_HEAD_LENGTH).to_be_bytes());
    frames.push(b'w');
    frames.extend_from_slice(&lsn.0.to_be_bytes());
    frames.extend_from_slice(&end_lsn.0.to_be_bytes());
    let sent_at = sent_at_us.saturating_sub(POSTGRES_EPOCH_US);
    frames.extend_from_slice(&sent_at.to_be_bytes());
    frames.extend_from_slice(message);
    Some(())
}

/// 2000-01-01 in µs since 1970-01-01: the wire's clock starts there.
pub(crate) const POSTGRES_EPOCH_US: i64 = 946_684_800_000_000;

/// What the frame's length counts besides the message: itself, 'w', two LSNs and the clock.
const FRAME_HEAD_LENGTH: u32 = 29;

/// `MaxAllocSize`, utils/memutils.h: no message of the server is longer.
const MESSAGE_BYTES_MAX: u32 = 0x3FFF_FFFF;
