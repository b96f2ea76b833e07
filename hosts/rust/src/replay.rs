//! Recordings replayed: the rules are in `docs/recordings.md`.

use std::collections::{BTreeMap, VecDeque};
use std::io::Read;

use crate::catalog::Facts;
use crate::decoder::{Decoder, Program};
use crate::error::{Error, RecordError, Result};
use crate::event::{Event, Position, Record};
use crate::recording::{Block, Blocks, Content};
use crate::records::Records;
use crate::stream::{Step, Stream};

/// Decodes a recording. What is sound is decoded first: an error comes behind the events before it.
pub struct Replay<'p, R> {
    program: &'p Program,
    options: Vec<(String, String)>,
    blocks: Blocks<R>,
    stream: Option<Stream>,
    answers: BTreeMap<u32, Answers>,
    frames: Vec<u8>,
    /// Bytes of them that are used up.
    used: usize,
    at: Place,
    /// The last event's.
    last: Option<Position>,
    /// After the stream was connected again, the server sends again what was not confirmed: what
    /// comes up to here is known.
    known: Option<Position>,
}

impl<'p, R: Read> Replay<'p, R> {
    /// Replays a recording with the decoder's options that are in it, and with others besides or
    /// in their place.
    pub fn new(program: &'p Program, input: R, options: Vec<(String, String)>) -> Result<Self> {
        Ok(Self {
            program,
            options,
            blocks: Blocks::new(input)?,
            stream: None,
            answers: BTreeMap::new(),
            frames: Vec::new(),
            used: 0,
            at: Place::default(),
            last: None,
            known: None,
        })
    }

    /// Goes on to the next [`Self::events`]; `false` at the end. An [`Error::Decode`] can be
    /// skipped, and every other is the end.
    pub fn advance(&mut self) -> Result<bool> {
        loop {
            if let Some(stream) = &mut self.stream {
                let Place { received_us, .. } = self.at;
                let mut frames = self.frames.get(self.used..).unwrap_or_default();
                let step = stream.advance(&mut frames, received_us);
                self.used = self.frames.len() - frames.len();
                match step.map_err(|error| self.at.of(error))? {
                    Some(Step::Records) => return Ok(true),
                    Some(Step::Unknown(question)) => {
                        let answers = self.answers.entry(question.relation).or_default();
                        stream.learn(answers.next())?;
                        continue;
                    }
                    None => {}
                }
            }
            match self.blocks.next() {
                Some(block) => self.take(block?)?,
                None => return Ok(false),
            }
        }
    }

    /// The events that were decoded last.
    pub fn events(&mut self) -> Events<'_> {
        Events {
            records: self.stream.as_ref().map(Stream::records),
            known: self.known,
            last: &mut self.last,
        }
    }

    /// Gives up the frame of the last [`Error::Decode`].
    pub fn skip(&mut self) -> Result<()> {
        if let Some(stream) = &mut self.stream {
            let mut frames = self.frames.get(self.used..).unwrap_or_default();
            stream.skip(&mut frames)?;
            self.used = self.frames.len() - frames.len();
        }
        Ok(())
    }

    fn take(&mut self, block: Block) -> Result<()> {
        self.at = Place {
            number: block.number,
            offset: block.offset,
            received_us: block.received_us,
        };
        match block.content {
            Content::Head(head) => {
                let is_own = |name: &String| self.options.iter().any(|(own, _)| own == name);
                let mut options: Vec<_> = head.options().collect();
                options.retain(|(name, _)| !is_own(name));
                options.extend_from_slice(&self.options);
                let decoder = Decoder::open(self.program, &options);
                let decoder = decoder.map_err(|error| self.at.of(error))?;
                self.stream = Some(Stream::new(decoder));
                self.answers.clear();
                self.known = self.last;
            }
            Content::Facts(relation, facts) => {
                let answers = self.answers.entry(relation).or_default();
                answers.unused.push_back(facts);
            }
            Content::Frames(frames) => {
                self.frames = frames;
                self.used = 0;
            }
            Content::End | Content::Other(_) => {}
        }
        Ok(())
    }
}

/// The events of some frames, in their order.
pub struct Events<'a> {
    records: Option<Records<'a>>,
    known: Option<Position>,
    last: &'a mut Option<Position>,
}

impl<'a> Iterator for Events<'a> {
    type Item = Result<Event<'a>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let event = match self.records.as_mut()?.next()? {
                Ok(Record::Event(event)) => event,
                Ok(_) => continue,
                Err(error) => return Some(Err(error)),
            };
            let position = Some(event.position);
            if position > self.known {
                *self.last = position;
                return Some(Ok(event));
            }
        }
    }
}

/// The block whose frames are decoded.
#[derive(Clone, Copy, Default)]
struct Place {
    number: u64,
    offset: u64,
    received_us: i64,
}

impl Place {
    fn of(self, error: Error) -> Error {
        Error::Block {
            number: self.number,
            offset: self.offset,
            source: Box::new(error),
        }
    }
}

/// What the recording says of one relation.
struct Answers {
    unused: VecDeque<Facts>,
    last: Facts,
}

impl Default for Answers {
    fn default() -> Self {
        let (types, relations) = (Vec::new(), Vec::new());
        Self {
            unused: VecDeque::new(),
            last: Facts { types, relations },
        }
    }
}

impl Answers {
    /// The oldest that was not used yet; where all were, the last one.
    fn next(&mut self) -> &Facts {
        if let Some(facts) = self.unused.pop_front() {
            self.last = facts;
        }
        &self.last
    }
}
