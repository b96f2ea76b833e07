//! Reads a recording, block by block.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use super::block::{self, Block, CUT, Content, HEADER_BYTES, Header};
use super::{MAGIC, RecordingError, VERSION, facts};

/// Reads a recording, of which no more than a block is in memory.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    path: PathBuf,
    /// The last block's.
    number: u64,
    /// Where the next block begins.
    offset: u64,
    ended: bool,
    failed: bool,
}

impl Reader<Box<dyn Read + Send>> {
    /// Opens a file.
    ///
    /// # Errors
    /// One that cannot be read, or that is no recording of this format.
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        let file = File::open(path).map_err(|source| RecordingError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::new(path, Box::new(BufReader::new(file)))
    }
}

impl<R: Read> Reader<R> {
    /// Reads `input`; `path` is named in errors.
    ///
    /// # Errors
    /// What is no recording of this format.
    pub fn new(path: &Path, mut input: R) -> Result<Self, RecordingError> {
        let mut start = [0; START_BYTES];
        let got = read_up_to(&mut input, &mut start).map_err(|source| RecordingError::Read {
            path: path.to_owned(),
            source,
        })?;
        let [magic @ .., low, high, _, _] = start;
        if got < START_BYTES || magic != MAGIC {
            return Err(RecordingError::Foreign {
                path: path.to_owned(),
            });
        }
        let found = u16::from_le_bytes([low, high]);
        if found != VERSION {
            return Err(RecordingError::Version {
                path: path.to_owned(),
                found,
            });
        }
        Ok(Self {
            input,
            path: path.to_owned(),
            number: 0,
            offset: 12,
            ended: false,
            failed: false,
        })
    }

    /// Whether a file begins as a recording does.
    pub(super) fn is_one(start: &[u8]) -> bool {
        start.starts_with(&MAGIC)
    }

    /// The next block; `None` behind the end.
    ///
    /// # Errors
    /// A block that is damaged, and from then on always it; or the end, where it is missing.
    pub fn next_block(&mut self) -> Result<Option<Block>, RecordingError> {
        if self.failed {
            return Ok(None);
        }
        let next = self.read_block();
        self.failed = next.is_err();
        next
    }

    /// The file's name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the next block begins in the file: all before it is sound.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    fn read_block(&mut self) -> Result<Option<Block>, RecordingError> {
        let mut header = [0; HEADER_BYTES];
        match read_up_to(&mut self.input, &mut header).map_err(|source| self.unread(source))? {
            0 if self.ended => return Ok(None),
            0 => {
                return Err(RecordingError::Unended {
                    path: self.path.clone(),
                    number: self.number,
                });
            }
            HEADER_BYTES => {}
            _ => return Err(self.bad(CUT)),
        }
        let header = Header::parse(header).map_err(|problem| self.bad(problem))?;
        let content = header.read_content(&mut self.input);
        let content = content.map_err(|source| self.unread(source))?;
        let content = content.map_err(|problem| self.bad(problem))?;
        let content = self.content(header.kind, content)?;
        let stored_bytes = header.stored_bytes() + HEADER_LENGTH;
        let block = Block {
            number: self.number + 1,
            offset: self.offset,
            stored_bytes,
            received_us: header.received_us,
            content,
        };
        self.number += 1;
        self.offset += stored_bytes;
        self.ended = block.content == Content::End;
        Ok(Some(block))
    }

    fn content(&self, kind: u8, content: Vec<u8>) -> Result<Content, RecordingError> {
        if (self.number == 0) != (kind == block::HEAD) && self.number == 0 {
            return Err(self.bad("a recording begins with a head"));
        }
        Ok(match kind {
            block::HEAD => {
                let head = serde_json::from_slice(&content);
                Content::Head(head.map_err(|_| self.bad("its JSON is not a head's"))?)
            }
            block::FACTS => {
                let facts = facts::read(&content);
                let (relation, facts) = facts.map_err(|_| self.bad("its JSON is not of facts"))?;
                Content::Facts { relation, facts }
            }
            block::FRAMES if is_whole(&content) => Content::Frames(content),
            block::FRAMES => return Err(self.bad("its frames are not whole")),
            block::END => Content::End,
            other => Content::Other(other),
        })
    }

    fn bad(&self, problem: &'static str) -> RecordingError {
        RecordingError::Block {
            path: self.path.clone(),
            number: self.number + 1,
            offset: self.offset,
            problem,
        }
    }

    fn unread(&self, source: io::Error) -> RecordingError {
        RecordingError::Read {
            path: self.path.clone(),
            source,
        }
    }
}

/// Fills the buffer as far as the input goes.
fn read_up_to(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let rest @ [_, ..] = buffer.get_mut(filled..).unwrap_or_default() {
        match input.read(rest) {
            Ok(0) => break,
            Ok(bytes) => filled += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Whether the frames' lengths come to the content's.
fn is_whole(mut frames: &[u8]) -> bool {
    while let [b'd', length @ ..] = frames {
        let length = length
            .first_chunk::<4>()
            .map(|bytes| u32::from_be_bytes(*bytes));
        let bytes = length.and_then(|length| usize::try_from(length).ok());
        let bytes = bytes.filter(|bytes| *bytes >= FRAME_LENGTH_MIN);
        let Some(rest) = bytes.and_then(|bytes| frames.get(bytes + 1..)) else {
            return false;
        };
        frames = rest;
    }
    frames.is_empty()
}

/// The magic, the version, and zero.
const START_BYTES: usize = 12;

const HEADER_LENGTH: u64 = 24;

/// What a frame's length counts at least.
const FRAME_LENGTH_MIN: usize = 29;
