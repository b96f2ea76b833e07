//! Reads recordings, block by block: `docs/recordings.md` has their format.

use std::io::{self, Read};

use serde::Deserialize;

use crate::catalog::Facts;
use crate::error::RecordingError;
use crate::facts;
use crate::fields::Fields;

/// A block of a recording.
#[derive(Clone)]
pub struct Block {
    /// Counted from 1.
    pub number: u64,
    /// Where it begins in the file.
    pub offset: u64,
    /// When it was received, µs since 1970-01-01.
    pub received_us: i64,
    /// What is in it.
    pub content: Content,
}

/// What is in a block.
#[derive(Clone)]
pub enum Content {
    /// The beginning of a stream.
    Head(Head),
    /// The answer to a question about this relation.
    Facts(u32, Facts),
    /// Whole frames, as `wit/decoding.wit` has them.
    Frames(Vec<u8>),
    /// The recorder ended as it should.
    End,
    /// Something of a later kind.
    Other(u8),
}

/// What a stream's decoder was told, and where it comes from.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Head {
    /// Who wrote it: a name and a version.
    pub recorder: String,
    /// SHA-256 of the decoder that asked the questions, in hexadecimal.
    pub decoder: String,
    /// The decoder's options.
    pub options: serde_json::Map<String, serde_json::Value>,
    /// Whether values are not the rows' own.
    pub redacted: bool,
    /// The server's version.
    pub server: Option<String>,
    /// The database's name.
    pub database: Option<String>,
    /// The slot's name.
    pub slot: Option<String>,
    /// Names of publications.
    pub publications: Vec<String>,
}

/// The blocks of a recording, each checked. The first error is the last item.
pub struct Blocks<R> {
    input: R,
    /// The next block's.
    number: u64,
    offset: u64,
    /// Whether the last block was an end.
    ended: bool,
    failed: bool,
}

impl<R: Read> Blocks<R> {
    /// Reads a recording from its beginning.
    pub fn new(mut input: R) -> Result<Self, RecordingError> {
        let mut start = Vec::new();
        input.by_ref().take(START_BYTES).read_to_end(&mut start)?;
        let [magic @ .., low, high, _, _] = start.as_slice() else {
            return Err(RecordingError::Foreign);
        };
        if magic != MAGIC {
            return Err(RecordingError::Foreign);
        }
        let found = u16::from_le_bytes([*low, *high]);
        if found != VERSION {
            return Err(RecordingError::Version { found });
        }
        Ok(Self {
            input,
            number: 1,
            offset: START_BYTES,
            ended: false,
            failed: false,
        })
    }

    fn read(&mut self) -> Result<Option<Block>, RecordingError> {
        let (number, offset) = (self.number, self.offset);
        let bad = |problem| RecordingError::Block {
            number,
            offset,
            problem,
        };
        let start = self.take(HEADER_BYTES)?;
        if start.is_empty() && self.ended {
            return Ok(None);
        }
        if start.is_empty() {
            let number = number - 1;
            return Err(RecordingError::Unended { number, offset });
        }
        let header = Header::read(&start).ok_or_else(|| bad(CUT))?;
        let stored_bytes = header.stored_bytes().ok_or_else(|| bad(NO_HEADER))?;
        let stored = self.take(stored_bytes)?;
        if u64::try_from(stored.len()) != Ok(stored_bytes) {
            return Err(bad(CUT));
        }
        let content = header.content(&start, stored).map_err(bad)?;
        if number == 1 && header.kind != HEAD {
            return Err(bad("a recording begins with a head"));
        }
        let content = Content::read(header.kind, content).map_err(bad)?;
        self.number += 1;
        self.offset += HEADER_BYTES + stored_bytes;
        self.ended = header.kind == END;
        Ok(Some(Block {
            number,
            offset,
            received_us: header.received_us,
            content,
        }))
    }

    /// The next bytes, as many as there are: a length is not believed.
    fn take(&mut self, bytes: u64) -> io::Result<Vec<u8>> {
        let mut taken = Vec::new();
        self.input.by_ref().take(bytes).read_to_end(&mut taken)?;
        Ok(taken)
    }
}

impl<R: Read> Iterator for Blocks<R> {
    type Item = Result<Block, RecordingError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let block = self.read();
        self.failed = block.is_err();
        block.transpose()
    }
}

impl Head {
    /// The decoder's options; a number or a truth value as its text.
    pub fn options(&self) -> impl Iterator<Item = (String, String)> {
        self.options.iter().map(|(name, value)| {
            let text = value.as_str().map(str::to_owned);
            (name.clone(), text.unwrap_or_else(|| value.to_string()))
        })
    }
}

impl Content {
    fn read(kind: u8, content: Vec<u8>) -> Result<Self, &'static str> {
        Ok(match kind {
            HEAD => {
                let head = serde_json::from_slice(&content);
                Self::Head(head.map_err(|_| "its JSON is not a head's")?)
            }
            FACTS => {
                let facts = facts::read(&content);
                let (relation, facts) = facts.map_err(|_| "its JSON is not of facts")?;
                Self::Facts(relation, facts)
            }
            FRAMES if !are_whole(&content) => return Err("its frames are not whole"),
            FRAMES => Self::Frames(content),
            END => Self::End,
            other => Self::Other(other),
        })
    }
}

/// What is in front of a content.
struct Header {
    kind: u8,
    is_zstd: Option<bool>,
    stored_bytes: u32,
    bytes: u32,
    received_us: i64,
    crc: u32,
}

impl Header {
    fn read(start: &[u8]) -> Option<Self> {
        let mut fields = Fields(start);
        let [kind, stored @ ..] = fields.array::<4>()?;
        Some(Self {
            kind,
            is_zstd: match stored {
                [0, 0, 0] => Some(false),
                [1, 0, 0] => Some(true),
                _ => None,
            },
            stored_bytes: fields.u32()?,
            bytes: fields.u32()?,
            received_us: fields.i64()?,
            crc: fields.u32()?,
        })
    }

    /// How much follows, where this can be a header at all.
    fn stored_bytes(&self) -> Option<u64> {
        let largest = self.bytes.max(self.stored_bytes);
        let possible = self.is_zstd? || self.bytes == self.stored_bytes;
        (possible && largest <= CONTENT_BYTES_MAX).then_some(self.stored_bytes.into())
    }

    /// The content, of which `start` was the header and `stored` followed.
    fn content(&self, start: &[u8], stored: Vec<u8>) -> Result<Vec<u8>, &'static str> {
        let mut crc = crc32fast::Hasher::new();
        crc.update(start.get(..CRC_AT).unwrap_or_default());
        crc.update(&stored);
        if crc.finalize() != self.crc {
            return Err("its checksum is another: the file is damaged");
        }
        if self.is_zstd != Some(true) {
            return Ok(stored);
        }
        let bytes = usize::try_from(self.bytes).unwrap_or(usize::MAX);
        let content = zstd::bulk::decompress(&stored, bytes).ok();
        let content = content.filter(|content| content.len() == bytes);
        content.ok_or("cannot be decompressed to what its header says")
    }
}

/// Whether the frames' lengths come to the content's.
fn are_whole(mut frames: &[u8]) -> bool {
    while let [b'd', length @ ..] = frames {
        let length = length.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
        let length = length.and_then(|length| usize::try_from(length).ok());
        let length = length.filter(|length| *length >= FRAME_LENGTH_MIN);
        let Some(rest) = length.and_then(|length| frames.get(length + 1..)) else {
            return false;
        };
        frames = rest;
    }
    frames.is_empty()
}

/// `PGREC`, and what a text-mode copy would spoil.
const MAGIC: &[u8] = b"PGREC\x1A\r\n";
const VERSION: u16 = 1;
/// Magic, version, and zero.
const START_BYTES: u64 = 12;

const HEADER_BYTES: u64 = 24;
const CRC_AT: usize = 20;
const CONTENT_BYTES_MAX: u32 = 1 << 30;
/// What a frame's length counts at least.
const FRAME_LENGTH_MIN: usize = 29;

const HEAD: u8 = 1;
const FACTS: u8 = 2;
const FRAMES: u8 = 3;
const END: u8 = 4;

const CUT: &str = "the file ends inside it";
const NO_HEADER: &str = "not the header of a block";
