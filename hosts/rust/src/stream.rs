//! A decoder, and what must be remembered beside it from call to call.

use crate::catalog::Facts;
use crate::decoder::Decoder;
use crate::decoding::{Decoded, Question, Stop};
use crate::error::{Error, Result};
use crate::records::{Records, Topics};
use crate::stash::{Runs, Stash};

/// A replication stream being decoded. After any error but [`Error::Decode`] it is of no further
/// use.
pub struct Stream {
    decoder: Decoder,
    topics: Topics,
    stash: Stash,
    /// The transaction that was just committed, which comes before other frames.
    replay: Runs,
    records: Vec<u8>,
    /// Why the decoder stopped behind these records.
    stop: Option<Stop>,
    /// The relation of the last question about the next frame.
    asked: Option<u32>,
}

/// What [`Stream::advance`] came to.
#[derive(Debug)]
pub enum Step {
    /// There are [`Stream::records`].
    Records,
    /// [`Stream::learn`] the answer. Where nothing is known: no types and no relations.
    Unknown(Question),
}

impl Stream {
    /// At its beginning, as the decoder is.
    pub fn new(decoder: Decoder) -> Self {
        Self {
            decoder,
            topics: Topics::default(),
            stash: Stash::default(),
            replay: Runs::default(),
            records: Vec::new(),
            stop: None,
            asked: None,
        }
    }

    /// Decodes whole frames, and takes those that are used up off their front: pass what is left
    /// again, with the same time, until there is none and this returns `None`.
    pub fn advance(&mut self, frames: &mut &[u8], now_us: i64) -> Result<Option<Step>> {
        self.records.clear();
        loop {
            match self.stop.take() {
                None => {}
                Some(Stop::Failed(error)) => return Err(Error::Decode(error)),
                Some(Stop::Replay(xid)) => {
                    self.replay = self.stash.take(xid).ok_or(Error::NotStashed { xid })?;
                }
                Some(Stop::Unknown(question)) => {
                    let relation = question.relation;
                    let again = self.asked.replace(relation) == Some(relation);
                    return if again {
                        Err(Error::Stalled)
                    } else {
                        Ok(Some(Step::Unknown(question)))
                    };
                }
            }
            let passed = self.replay.first().unwrap_or(frames);
            if passed.is_empty() {
                return Ok(None);
            }
            let Decoded {
                records,
                consumed,
                stop,
            } = self.decoder.decode(passed, now_us)?;
            self.topics.learn(&records, passed, &mut self.stash)?;
            let consumed = usize::try_from(consumed).unwrap_or(usize::MAX);
            if consumed > 0 {
                self.asked = None;
            } else if stop.is_none() {
                return Err(Error::Stalled);
            }
            self.use_up(consumed, frames);
            self.stop = stop;
            if !records.is_empty() {
                self.records = records;
                return Ok(Some(Step::Records));
            }
        }
    }

    /// What came of the frames last passed.
    pub fn records(&self) -> Records<'_> {
        self.topics.read(&self.records)
    }

    /// Answers [`Step::Unknown`].
    pub fn learn(&mut self, facts: &Facts) -> Result<()> {
        self.decoder.learn(facts)
    }

    /// Gives up the frame of the last [`Error::Decode`], the first of those that are left.
    pub fn skip(&mut self, frames: &mut &[u8]) -> Result<()> {
        self.decoder.skip()?;
        let given_up = self.replay.first().unwrap_or(frames);
        let length = given_up.get(1..).and_then(<[u8]>::first_chunk);
        let length = length.map_or(u32::MAX, |bytes| u32::from_be_bytes(*bytes));
        let bytes = usize::try_from(length).unwrap_or(usize::MAX);
        let bytes = bytes.saturating_add(1);
        self.use_up(bytes, frames);
        Ok(())
    }

    /// The decoder, to be saved between transactions.
    pub fn decoder(&mut self) -> &mut Decoder {
        &mut self.decoder
    }

    fn use_up(&mut self, bytes: usize, frames: &mut &[u8]) {
        if self.replay.first().is_some() {
            self.replay.use_up(bytes);
        } else {
            *frames = frames.get(bytes..).unwrap_or_default();
        }
    }
}
