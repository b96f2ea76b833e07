//! A capture decoded from beginning to end: the engine asks, the catalog answers.

use std::path::PathBuf;

use super::{Capture, Catalog, CatalogAt};
use crate::engine::{DecodeError, Decoded, Engine, EngineError, Question, Stop};
use crate::lsn::Lsn;
use crate::records::{Batch, Item, RecordError, TopicTable};
use crate::stash::{self, Stash, StashError, first_lsn, frame_bytes};

/// Drives an engine over a capture.
pub struct Replay<'a> {
    engine: &'a mut Engine,
    capture: &'a Capture,
    catalog: &'a Catalog,
    at: CatalogAt,
    topics: TopicTable,
    batch_bytes_max: usize,
    /// Index of the first frame not used up.
    next: usize,
    /// Frame and relation of the last question, which must not be asked twice.
    asked: Option<(usize, u32)>,
    stopped: Option<(usize, DecodeError)>,
    /// Frames of transactions that are not decided.
    stash: Stash,
    /// Those of the one that was just committed.
    stashed: Option<stash::Replay>,
}

/// Why a replay does not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// A message cannot be decoded. The batches before hold all that could be.
    #[error("{}, line {line}: {error}", path.display())]
    Decode {
        /// The capture.
        path: PathBuf,
        /// Of the message in the capture, counted from 1.
        line: usize,
        /// What is wrong and where.
        error: DecodeError,
    },
    /// The engine itself failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The engine's records cannot be read.
    #[error(transparent)]
    Records(#[from] RecordError),
    /// A message commits a transaction none of whose frames are in the capture.
    #[error("{}, line {line}: transaction {xid} is not in the capture", path.display())]
    NotStashed {
        /// The capture.
        path: PathBuf,
        /// Of the message in the capture, counted from 1.
        line: usize,
        /// The transaction.
        xid: u32,
    },
    /// A transaction cannot be kept until it is decided.
    #[error(transparent)]
    Stash(#[from] StashError),
    /// The engine stopped before a frame without using it up, asking or failing.
    #[error("{}, line {line}: the decoder does not go on", path.display())]
    Stalled {
        /// The capture.
        path: PathBuf,
        /// Of the message in the capture, counted from 1.
        line: usize,
    },
}

impl<'a> Replay<'a> {
    /// A replay from the first message on, 64 KiB a call.
    pub fn new(
        engine: &'a mut Engine,
        capture: &'a Capture,
        catalog: &'a Catalog,
        at: CatalogAt,
    ) -> Self {
        Self {
            engine,
            capture,
            catalog,
            at,
            topics: TopicTable::default(),
            batch_bytes_max: BATCH_BYTES_MAX,
            next: 0,
            asked: None,
            stopped: None,
            stash: Stash::default(),
            stashed: None,
        }
    }

    /// Bytes of frames given to the engine at a time, and at least one frame: 1 passes them one by
    /// one.
    #[must_use]
    pub fn batch_bytes_max(mut self, bytes: usize) -> Self {
        self.batch_bytes_max = bytes;
        self
    }

    /// The next records there are; none at the end of the capture.
    ///
    /// After [`ReplayError::Decode`] the same is returned again; [`Self::skip`] goes on behind the
    /// message.
    pub fn next_batch(&mut self) -> Result<Option<Batch>, ReplayError> {
        loop {
            if let Some((frame, error)) = &self.stopped {
                let (path, line) = self.place(*frame);
                return Err(ReplayError::Decode {
                    path,
                    line,
                    error: error.clone(),
                });
            }
            let batch = match self.stashed.take() {
                Some(stashed) => self.pass_again(stashed)?,
                None if self.next == self.capture.len() => return Ok(None),
                None => self.pass()?,
            };
            if batch.is_some() {
                return Ok(batch);
            }
        }
    }

    /// Passes the next frames of the capture.
    fn pass(&mut self) -> Result<Option<Batch>, ReplayError> {
        let to = self.batch_end();
        let capture = self.capture;
        let from = self.next;
        let frames = capture.span(from, to);
        let Decoded {
            records,
            consumed,
            stop,
        } = self.engine.decode(frames, capture.sent_at_us())?;
        let used = self.advance(consumed);
        let batch = self.read(records, frames)?;
        match stop {
            None if used > from => {}
            None => return Err(self.stalled()),
            Some(Stop::Failed(error)) => self.stopped = Some((self.next, error)),
            Some(Stop::Replay(xid)) => {
                self.stashed = self.stash.replay(xid);
                if self.stashed.is_none() {
                    let (path, line) = self.place(self.next);
                    return Err(ReplayError::NotStashed { path, line, xid });
                }
            }
            Some(Stop::Unknown(question)) => {
                let asked = Some((self.next, question.relation));
                if self.asked == asked {
                    return Err(self.stalled());
                }
                self.asked = asked;
                let lsn = self.capture.frames.get(self.next).map(|frame| frame.lsn);
                self.learn(&question, lsn.unwrap_or_default())?;
            }
        }
        Ok(batch)
    }

    /// Passes frames that were stashed. What of them is not used up is the next to be passed.
    fn pass_again(&mut self, mut stashed: stash::Replay) -> Result<Option<Batch>, ReplayError> {
        if !stashed.fill()? {
            return Ok(None);
        }
        let frames = stashed.frames();
        let Decoded {
            records,
            consumed,
            stop,
        } = self.engine.decode(frames, self.capture.sent_at_us())?;
        let batch = self.read(records, frames)?;
        match stop {
            None if consumed > 0 => {}
            None | Some(Stop::Replay(_)) => return Err(self.stalled()),
            // The message stands somewhere before the one that commits it.
            Some(Stop::Failed(error)) => self.stopped = Some((self.next, error)),
            Some(Stop::Unknown(question)) => {
                let rest = frames.get(consumed..).unwrap_or_default();
                self.learn(&question, first_lsn(rest))?;
            }
        }
        stashed.consume(consumed);
        self.stashed = Some(stashed);
        Ok(batch)
    }

    fn learn(&mut self, question: &Question, lsn: Lsn) -> Result<(), ReplayError> {
        let facts = self.catalog.answer(question, lsn, self.at);
        Ok(self.engine.learn(&facts)?)
    }

    /// Does what the records say of the frames; `None` where there are no records.
    fn read(&mut self, records: Vec<u8>, frames: &[u8]) -> Result<Option<Batch>, ReplayError> {
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

    /// Gives up the message of the last [`ReplayError::Decode`].
    pub fn skip(&mut self) -> Result<(), ReplayError> {
        if self.stopped.take().is_some() {
            self.engine.skip()?;
            match &mut self.stashed {
                Some(stashed) => stashed.consume(frame_bytes(stashed.frames())),
                None => self.next += 1,
            }
        }
        Ok(())
    }

    /// Behind the last frame of the next batch.
    fn batch_end(&self) -> usize {
        let start = self.capture.start(self.next);
        let fits = |end: usize| end - start <= self.batch_bytes_max;
        let rest = self.capture.frames.get(self.next..).unwrap_or_default();
        let count = rest.iter().take_while(|frame| fits(frame.end)).count();
        self.next + count.max(rest.len().min(1))
    }

    /// Counts the frames that `consumed` bytes are, and goes behind them.
    fn advance(&mut self, consumed: usize) -> usize {
        let end = self.capture.start(self.next) + consumed;
        let rest = self.capture.frames.get(self.next..).unwrap_or_default();
        self.next += rest.iter().take_while(|frame| frame.end <= end).count();
        self.next
    }

    fn stalled(&self) -> ReplayError {
        let (path, line) = self.place(self.next);
        ReplayError::Stalled { path, line }
    }

    fn place(&self, frame: usize) -> (PathBuf, usize) {
        let line = self.capture.frames.get(frame).map_or(0, |frame| frame.line);
        (self.capture.path.clone(), line)
    }
}

/// The host gives the engine at most this at a time: more gains nothing, less costs calls.
const BATCH_BYTES_MAX: usize = 64 * 1024;
