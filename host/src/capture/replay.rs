//! A capture decoded from beginning to end: the engine asks, the catalog answers.

use std::path::PathBuf;

use super::{Capture, Catalog, CatalogAt};
use crate::engine::{DecodeError, Engine};
use crate::frames::{FrameDecoder, FrameError, Passed, Stopped};
use crate::lsn::Lsn;
use crate::records::Batch;

/// Drives an engine over a capture.
pub struct Replay<'a> {
    decoder: FrameDecoder<&'a mut Engine>,
    capture: &'a Capture,
    catalog: &'a Catalog,
    at: CatalogAt,
    batch_bytes_max: usize,
    /// Index of the first frame not used up.
    next: usize,
    /// Frame, relation and LSN of the last question, which must not be asked twice.
    asked: Option<(usize, u32, Lsn)>,
    stopped: Option<(usize, DecodeError)>,
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
    /// The decoder itself failed.
    #[error(transparent)]
    Frames(#[from] FrameError),
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
            decoder: FrameDecoder::new(engine),
            capture,
            catalog,
            at,
            batch_bytes_max: BATCH_BYTES_MAX,
            next: 0,
            asked: None,
            stopped: None,
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
            if self.next == self.capture.len() && !self.decoder.is_replaying() {
                return Ok(None);
            }
            let batch = self.pass()?;
            if batch.is_some() {
                return Ok(batch);
            }
        }
    }

    /// Passes the next frames of the capture, or those of a transaction that was just committed.
    fn pass(&mut self) -> Result<Option<Batch>, ReplayError> {
        let capture = self.capture;
        let frames = capture.span(self.next, self.batch_end());
        let Passed {
            batch,
            consumed,
            stop,
        } = self.decoder.pass(frames, capture.sent_at_us())?;
        self.advance(consumed);
        if consumed > 0 {
            self.asked = None;
        }
        match stop {
            None => {}
            // A stashed one stands somewhere before the one that commits it.
            Some(Stopped::Failed(error)) => self.stopped = Some((self.next, error)),
            Some(Stopped::NotStashed { xid }) => {
                let (path, line) = self.place(self.next);
                return Err(ReplayError::NotStashed { path, line, xid });
            }
            Some(Stopped::Stalled) => return Err(self.stalled()),
            Some(Stopped::Unknown { question, lsn }) => {
                let own = self.capture.frames.get(self.next).map(|frame| frame.lsn);
                let is_stashed = self.decoder.is_replaying();
                let asked = Some((self.next, question.relation, lsn));
                if self.asked == asked {
                    return Err(self.stalled());
                }
                self.asked = asked;
                let lsn = own.filter(|_| !is_stashed).unwrap_or(lsn);
                let facts = self.catalog.answer(&question, lsn, self.at);
                self.decoder.learn(&facts)?;
            }
        }
        Ok(batch)
    }

    /// Gives up the message of the last [`ReplayError::Decode`].
    pub fn skip(&mut self) -> Result<(), ReplayError> {
        if self.stopped.take().is_some() && self.decoder.skip()? {
            self.next += 1;
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
    fn advance(&mut self, consumed: usize) {
        let end = self.capture.start(self.next) + consumed;
        let rest = self.capture.frames.get(self.next..).unwrap_or_default();
        self.next += rest.iter().take_while(|frame| frame.end <= end).count();
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
