//! A recording decoded from beginning to end: the engine asks, the recording answers.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::block::Content;
use super::{Head, Reader, Recorder, RecordingError};
use crate::capture::{Capture, CaptureError, Catalog, CatalogAt};
use crate::engine::{DecodeError, Engine, EngineError, EngineKind, Facts, Question};
use crate::frames::{FrameDecoder, FrameError, Passed, Stopped};
use crate::lsn::Lsn;
use crate::records::{Batch, Position};

/// A recorded stream of either kind: a recording in blocks, or a [`Capture`] in lines of JSON and
/// the [`Catalog`] that goes with it.
pub struct Recording {
    source: Source,
    options: Vec<(String, String)>,
}

enum Source {
    Blocks(PathBuf),
    Lines(Box<(Capture, Catalog, CatalogAt)>),
}

impl Recording {
    /// Opens a file of either kind. `catalog` is that of a capture; where there is none, it is in
    /// the capture, or in `catalog.json` beside it.
    ///
    /// # Errors
    /// A file that cannot be read, or is neither.
    pub fn open(path: &Path, catalog: Option<&Path>, at: CatalogAt) -> Result<Self, CaptureError> {
        let unread = |source| CaptureError::Read {
            path: path.to_owned(),
            source,
        };
        let mut start = Vec::new();
        let file = File::open(path).map_err(unread)?;
        file.take(16).read_to_end(&mut start).map_err(unread)?;
        if Reader::<File>::is_one(&start) {
            let mut reader = Reader::open(path)?;
            let first = reader.next_block()?.map(|block| block.content);
            let Some(Content::Head(head)) = first else {
                return Err(RecordingError::Foreign {
                    path: path.to_owned(),
                }
                .into());
            };
            return Ok(Self {
                source: Source::Blocks(path.to_owned()),
                options: head.options(),
            });
        }
        let capture = Capture::open(path)?;
        let catalog = match catalog {
            Some(catalog) => Catalog::open(catalog)?,
            None => match Catalog::of_capture(path) {
                Err(CaptureError::Stages { .. }) => Catalog::open(&path.with_file_name(BESIDE))?,
                own => own?,
            },
        };
        Ok(Self::of_capture(capture, catalog, at))
    }

    /// Of a capture that was read already.
    pub fn of_capture(capture: Capture, catalog: Catalog, at: CatalogAt) -> Self {
        Self {
            source: Source::Lines(Box::new((capture, catalog, at))),
            options: Vec::new(),
        }
    }

    /// The decoder's options that were recorded; none of a capture.
    pub fn options(&self) -> &[(String, String)] {
        &self.options
    }

    /// A replay from the beginning, 64 KiB a call, by a decoder with the options that were
    /// recorded, and these instead of those of the same names.
    ///
    /// # Errors
    /// A recording that cannot be opened any more.
    pub fn replay(
        &self,
        kind: EngineKind,
        options: &[(String, String)],
    ) -> Result<Replay<'_>, RecordingError> {
        let options = options.to_vec();
        self.replay_with(move |mut recorded| {
            recorded.retain(|(name, _)| !options.iter().any(|(known, _)| known == name));
            recorded.extend_from_slice(&options);
            Engine::open(kind, &recorded)
        })
    }

    /// The same by a decoder that `open` makes, once for each stream in the recording, of the
    /// options that were recorded.
    ///
    /// # Errors
    /// A recording that cannot be opened any more.
    pub fn replay_with<'a>(
        &'a self,
        open: impl FnMut(Vec<(String, String)>) -> Result<Engine, EngineError> + Send + 'a,
    ) -> Result<Replay<'a>, RecordingError> {
        Ok(match &self.source {
            Source::Blocks(path) => Replay::of(Reader::open(path)?, open),
            Source::Lines(lines) => {
                let (capture, catalog, at) = &**lines;
                Replay::new(capture, catalog, *at, open)
            }
        })
    }
}

/// Makes a decoder of the options that were recorded.
type Open<'a> = Box<dyn FnMut(Vec<(String, String)>) -> Result<Engine, EngineError> + Send + 'a>;

/// Drives an engine over a recording.
pub struct Replay<'a> {
    reading: Reading<'a>,
    open: Open<'a>,
    decoder: Option<FrameDecoder>,
    /// What the recording said, by relation.
    facts: BTreeMap<u32, Answers>,
    batch_bytes_max: usize,
    /// Frames that come next, those before `taken` used up.
    frames: Vec<u8>,
    taken: usize,
    /// Where they are: the index of the first of a capture, the block of a recording.
    at: (u64, u64),
    /// The time the decoder is told, µs since 1970-01-01.
    now_us: i64,
    /// Place, relation and LSN of the last question, which must not be asked twice.
    asked: Option<(Place, u32, Lsn)>,
    stopped: Option<(Place, DecodeError)>,
    recorder: Option<(Recorder, Vec<(String, String)>)>,
    last: Option<Position>,
    /// What came before the connection was lost comes again up to here.
    known: Option<Position>,
}

/// Of one relation.
#[derive(Default)]
struct Answers {
    /// Not asked for yet, the oldest first.
    next: VecDeque<Facts>,
    last: Option<Facts>,
}

enum Reading<'a> {
    Blocks(Reader<Box<dyn Read + Send>>),
    Lines {
        capture: &'a Capture,
        catalog: &'a Catalog,
        at: CatalogAt,
        /// Index of the next frame.
        next: usize,
    },
}

/// Where in a recording a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In this block, counted from 1, which begins at this byte of the file.
    Block {
        /// The block's number.
        number: u64,
        /// Its first byte.
        offset: u64,
        /// The message's frame in the block's content.
        frame: usize,
    },
    /// In this line, counted from 1.
    Line(usize),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Block {
                number,
                offset,
                frame,
            } => write!(
                f,
                "block {number} at byte {offset}, byte {frame} of its frames"
            ),
            Self::Line(line) => write!(f, "line {line}"),
        }
    }
}

/// Why a replay does not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// A message cannot be decoded. The batches before hold all that could be.
    #[error("{}, {place}: {error}", path.display())]
    Decode {
        /// The recording.
        path: PathBuf,
        /// Of the message.
        place: Place,
        /// What is wrong and where.
        error: DecodeError,
    },
    /// A decoder cannot be made.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The decoder itself failed.
    #[error(transparent)]
    Frames(#[from] FrameError),
    /// A message commits a transaction none of whose frames are in the recording.
    #[error("{}, {place}: transaction {xid} is not in the recording", path.display())]
    NotStashed {
        /// The recording.
        path: PathBuf,
        /// Of the message.
        place: Place,
        /// The transaction.
        xid: u32,
    },
    /// The recording cannot be read on. The batches before hold all that is sound.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// The engine stopped before a frame without using it up, asking or failing.
    #[error("{}, {place}: the decoder does not go on", path.display())]
    Stalled {
        /// The recording.
        path: PathBuf,
        /// Of the message.
        place: Place,
    },
}

impl<'a> Replay<'a> {
    /// Of a capture, from the first message on, 64 KiB a call. `open` makes the decoder.
    pub fn new(
        capture: &'a Capture,
        catalog: &'a Catalog,
        at: CatalogAt,
        open: impl FnMut(Vec<(String, String)>) -> Result<Engine, EngineError> + Send + 'a,
    ) -> Self {
        let lines = Reading::Lines {
            capture,
            catalog,
            at,
            next: 0,
        };
        Self::over(lines, open)
    }

    /// Of the blocks that are read.
    pub(crate) fn of(
        reader: Reader<Box<dyn Read + Send>>,
        open: impl FnMut(Vec<(String, String)>) -> Result<Engine, EngineError> + Send + 'a,
    ) -> Self {
        Self::over(Reading::Blocks(reader), open)
    }

    fn over(
        reading: Reading<'a>,
        open: impl FnMut(Vec<(String, String)>) -> Result<Engine, EngineError> + Send + 'a,
    ) -> Self {
        Self {
            reading,
            open: Box::new(open),
            decoder: None,
            facts: BTreeMap::new(),
            batch_bytes_max: BATCH_BYTES_MAX,
            frames: Vec::new(),
            taken: 0,
            at: (0, 0),
            now_us: 0,
            asked: None,
            stopped: None,
            recorder: None,
            last: None,
            known: None,
        }
    }

    /// Bytes of a capture's frames given to the engine at a time, and at least one frame: 1 passes
    /// them one by one.
    #[must_use]
    pub fn batch_bytes_max(mut self, bytes: usize) -> Self {
        self.batch_bytes_max = bytes;
        self
    }

    /// Records what is replayed, with these options of the decoder.
    #[must_use]
    pub fn recorder(mut self, recorder: Recorder, options: &[(String, String)]) -> Self {
        self.recorder = Some((recorder, options.to_vec()));
        self
    }

    /// When the frames of the last batch were received, µs since 1970-01-01.
    pub fn received_us(&self) -> i64 {
        self.now_us
    }

    /// The next records there are; none at the end of the recording.
    ///
    /// # Errors
    /// After [`ReplayError::Decode`] the same is returned again; [`Self::skip`] goes on behind the
    /// message.
    pub fn next_batch(&mut self) -> Result<Option<Batch>, ReplayError> {
        loop {
            if let Some((place, error)) = &self.stopped {
                return Err(ReplayError::Decode {
                    path: self.path().to_owned(),
                    place: *place,
                    error: error.clone(),
                });
            }
            let replaying = self
                .decoder
                .as_ref()
                .is_some_and(FrameDecoder::is_replaying);
            if self.taken == self.frames.len() && !replaying && !self.read()? {
                return Ok(None);
            }
            if let Some(batch) = self.pass()? {
                return Ok(Some(batch));
            }
        }
    }

    /// Gives up the message of the last [`ReplayError::Decode`].
    ///
    /// # Errors
    /// The decoder's.
    pub fn skip(&mut self) -> Result<(), ReplayError> {
        if self.stopped.take().is_some()
            && let Some(decoder) = &mut self.decoder
            && decoder.skip()?
        {
            let rest = self.frames.get(self.taken..).unwrap_or_default();
            let bytes = crate::stash::frame_bytes(rest);
            if let Some((recorder, _)) = &self.recorder {
                recorder.frames(rest.get(..bytes).unwrap_or_default(), self.now_us);
            }
            self.taken += bytes;
        }
        Ok(())
    }

    /// Takes the next frames there are; `false` at the end.
    fn read(&mut self) -> Result<bool, ReplayError> {
        self.frames.clear();
        self.taken = 0;
        match &mut self.reading {
            Reading::Lines { capture, next, .. } => {
                let end = capture.batch_end(*next, self.batch_bytes_max);
                self.frames.extend_from_slice(capture.span(*next, end));
                self.at = (u64::try_from(*next).unwrap_or(u64::MAX), 0);
                *next = end;
                self.now_us = capture.sent_at_us();
                if self.decoder.is_none() {
                    self.decoder = Some(FrameDecoder::new((self.open)(Vec::new())?));
                    if let Some((recorder, options)) = &self.recorder {
                        recorder.head(&Head::new(options), self.now_us);
                    }
                }
                Ok(!self.frames.is_empty())
            }
            Reading::Blocks(reader) => {
                while let Some(block) = reader.next_block()? {
                    match block.content {
                        Content::Head(head) => {
                            let engine = (self.open)(head.options())?;
                            self.decoder = Some(FrameDecoder::new(engine));
                            if let Some((recorder, options)) = &self.recorder {
                                let head = Head {
                                    options: Head::new(options).options,
                                    ..*head
                                };
                                recorder.head(&head, block.received_us);
                            }
                            self.facts.clear();
                            self.known = self.last;
                        }
                        Content::Facts { relation, facts } => {
                            self.facts
                                .entry(relation)
                                .or_default()
                                .next
                                .push_back(facts);
                        }
                        Content::Frames(frames) => {
                            self.frames = frames;
                            self.now_us = block.received_us;
                            self.at = (block.number, block.offset);
                            return Ok(true);
                        }
                        Content::End | Content::Other(_) => {}
                    }
                }
                Ok(false)
            }
        }
    }

    /// Passes the next frames, or those of a transaction that was just committed.
    fn pass(&mut self) -> Result<Option<Batch>, ReplayError> {
        let place = self.place();
        let Some(decoder) = &mut self.decoder else {
            return Ok(None);
        };
        let frames = self.frames.get(self.taken..).unwrap_or_default();
        let Passed {
            mut batch,
            consumed,
            stop,
        } = decoder.pass(frames, self.now_us)?;
        let is_stashed = decoder.is_replaying();
        if let Some((recorder, _)) = &self.recorder {
            recorder.frames(frames.get(..consumed).unwrap_or_default(), self.now_us);
        }
        self.taken += consumed;
        if consumed > 0 {
            self.asked = None;
        }
        let behind = self.place();
        let path = || self.reading.path().to_owned();
        match stop {
            None => {}
            // A stashed one stands somewhere before the one that commits it.
            Some(Stopped::Failed(error)) => self.stopped = Some((behind, error)),
            Some(Stopped::NotStashed { xid }) => {
                return Err(ReplayError::NotStashed {
                    path: path(),
                    place: behind,
                    xid,
                });
            }
            Some(Stopped::Stalled) => {
                return Err(ReplayError::Stalled {
                    path: path(),
                    place,
                });
            }
            Some(Stopped::Unknown { question, lsn }) => {
                let asked = Some((behind, question.relation, lsn));
                if self.asked == asked {
                    return Err(ReplayError::Stalled {
                        path: path(),
                        place,
                    });
                }
                self.asked = asked;
                let facts = self.answer(&question, lsn, is_stashed);
                if let Some((recorder, _)) = &self.recorder {
                    recorder.facts(question.relation, &facts, self.now_us);
                }
                if let Some(decoder) = &mut self.decoder {
                    decoder.learn(&facts)?;
                }
            }
        }
        if let (Some(batch), Some(known)) = (&mut batch, self.known) {
            batch.drop_until(known);
        }
        if let Some(event) = batch
            .as_ref()
            .and_then(|batch| batch.event(batch.len().checked_sub(1)?))
        {
            self.last = Some(event.position());
        }
        Ok(batch)
    }

    /// What the recording says to a question about a frame with this LSN.
    fn answer(&mut self, question: &Question, lsn: Lsn, is_stashed: bool) -> Facts {
        match &self.reading {
            Reading::Lines {
                capture,
                catalog,
                at,
                ..
            } => {
                let own = capture.lsn(self.index()).filter(|_| !is_stashed);
                catalog.answer(question, own.unwrap_or(lsn), *at)
            }
            Reading::Blocks(_) => {
                let answers = self.facts.entry(question.relation).or_default();
                answers.last = answers.next.pop_front().or(answers.last.take());
                answers.last.clone().unwrap_or_else(|| Facts {
                    types: Vec::new(),
                    relations: Vec::new(),
                })
            }
        }
    }

    /// Of a capture, the frame that is next.
    fn index(&self) -> usize {
        match &self.reading {
            Reading::Lines { capture, .. } => {
                let first = usize::try_from(self.at.0).unwrap_or(usize::MAX);
                capture.index_behind(first, self.taken)
            }
            Reading::Blocks(_) => 0,
        }
    }

    /// Where the frame that is next is.
    fn place(&self) -> Place {
        match &self.reading {
            Reading::Lines { capture, .. } => Place::Line(capture.line(self.index())),
            Reading::Blocks(_) => Place::Block {
                number: self.at.0,
                offset: self.at.1,
                frame: self.taken,
            },
        }
    }

    fn path(&self) -> &Path {
        self.reading.path()
    }
}

impl Reading<'_> {
    fn path(&self) -> &Path {
        match self {
            Self::Blocks(reader) => reader.path(),
            Self::Lines { capture, .. } => capture.path(),
        }
    }
}

/// The host gives the engine at most this at a time: more gains nothing, less costs calls.
const BATCH_BYTES_MAX: usize = 64 * 1024;

const BESIDE: &str = "catalog.json";
