//! A block: its head, its content, and whether both are as they were written.

use std::io::{self, Read, Write};

use super::Head;
use crate::engine::Facts;

/// A block of a recording.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// Counted from 1.
    pub number: u64,
    /// Where it begins in the file.
    pub offset: u64,
    /// Bytes it takes in the file.
    pub stored_bytes: u64,
    /// When it was received, µs since 1970-01-01.
    pub received_us: i64,
    /// What is in it.
    pub content: Content,
}

/// What is in a block.
#[derive(Clone, PartialEq)]
pub enum Content {
    /// The beginning of a stream.
    Head(Box<Head>),
    /// The answer to a question of the decoder.
    Facts {
        /// The relation that was asked for.
        relation: u32,
        /// What the catalogs said.
        facts: Facts,
    },
    /// Whole frames, as `wit/decoding.wit` has them.
    Frames(Vec<u8>),
    /// The recorder ended as it should.
    End,
    /// Something of a later kind.
    Other(u8),
}

impl std::fmt::Debug for Content {
    /// Leaves frames out: they hold the rows' values.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Head(head) => write!(f, "{head:?}"),
            Self::Facts { relation, .. } => write!(f, "Facts({relation})"),
            Self::Frames(frames) => write!(f, "Frames({} bytes)", frames.len()),
            Self::End => f.write_str("End"),
            Self::Other(kind) => write!(f, "Other({kind})"),
        }
    }
}

/// The fixed part in front of a content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: u8,
    stored: Stored,
    stored_bytes: u32,
    bytes: u32,
    pub(super) received_us: i64,
    crc: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stored {
    Plain,
    Zstd,
}

impl Header {
    pub(super) fn parse(bytes: [u8; HEADER_BYTES]) -> Result<Self, &'static str> {
        let u32_at = |at: usize| {
            let four = bytes.get(at..).and_then(<[u8]>::first_chunk::<4>);
            four.map_or(0, |four| u32::from_le_bytes(*four))
        };
        let [kind, stored, zero, also_zero, ..] = bytes;
        let stored = match stored {
            0 => Stored::Plain,
            1 => Stored::Zstd,
            _ => return Err("stored in a way that is not known"),
        };
        let received = u64::from(u32_at(12)) | u64::from(u32_at(16)) << 32;
        let header = Self {
            kind,
            stored,
            stored_bytes: u32_at(4),
            bytes: u32_at(8),
            received_us: received.cast_signed(),
            crc: u32_at(20),
        };
        let plain = stored == Stored::Zstd || header.stored_bytes == header.bytes;
        if zero != 0 || also_zero != 0 || header.bytes > CONTENT_BYTES_MAX || !plain {
            return Err("not the head of a block");
        }
        // zstd stores what it cannot compress with some bytes around it.
        if header.stored_bytes > CONTENT_BYTES_MAX {
            return Err("not the head of a block");
        }
        Ok(header)
    }

    /// Reads the content behind the header. The file's bytes are taken as they come, and none is
    /// believed to come.
    pub(super) fn read_content(
        self,
        input: &mut impl Read,
    ) -> io::Result<Result<Vec<u8>, &'static str>> {
        let mut stored = Vec::new();
        let wanted = u64::from(self.stored_bytes);
        input.take(wanted).read_to_end(&mut stored)?;
        if u64::try_from(stored.len()).unwrap_or(u64::MAX) < wanted {
            return Ok(Err(CUT));
        }
        let mut crc = crc32fast::Hasher::new();
        crc.update(
            self.to_bytes()
                .first_chunk::<CRC_AT>()
                .unwrap_or(&[0; CRC_AT]),
        );
        crc.update(&stored);
        if crc.finalize() != self.crc {
            return Ok(Err("its checksum is another: the file is damaged"));
        }
        let bytes = usize::try_from(self.bytes).unwrap_or(usize::MAX);
        if self.stored == Stored::Plain {
            return Ok(Ok(stored));
        }
        match zstd::bulk::decompress(&stored, bytes) {
            Ok(content) if content.len() == bytes => Ok(Ok(content)),
            _ => Ok(Err("cannot be decompressed to what its head says")),
        }
    }

    pub(super) fn stored_bytes(self) -> u64 {
        u64::from(self.stored_bytes)
    }

    fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let fields = [
            &[self.kind, u8::from(self.stored == Stored::Zstd), 0, 0][..],
            &self.stored_bytes.to_le_bytes(),
            &self.bytes.to_le_bytes(),
            &self.received_us.to_le_bytes(),
            &self.crc.to_le_bytes(),
        ];
        for (byte, value) in bytes.iter_mut().zip(fields.concat()) {
            *byte = value;
        }
        bytes
    }
}

/// Writes a block, compressed where that makes it smaller.
pub(super) fn write(
    out: &mut impl Write,
    compressor: &mut zstd::bulk::Compressor<'_>,
    kind: u8,
    content: &[u8],
    received_us: i64,
) -> io::Result<()> {
    let compressed = compressor.compress(content)?;
    let (stored, as_stored) = if compressed.len() < content.len() {
        (Stored::Zstd, compressed.as_slice())
    } else {
        (Stored::Plain, content)
    };
    let length = |bytes: &[u8]| {
        let length = u32::try_from(bytes.len()).ok();
        let length = length.filter(|length| *length <= CONTENT_BYTES_MAX);
        length.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a block of over 1 GiB"))
    };
    let mut header = Header {
        kind,
        stored,
        stored_bytes: length(as_stored)?,
        bytes: length(content)?,
        received_us,
        crc: 0,
    };
    let mut crc = crc32fast::Hasher::new();
    crc.update(
        header
            .to_bytes()
            .first_chunk::<CRC_AT>()
            .unwrap_or(&[0; CRC_AT]),
    );
    crc.update(as_stored);
    header.crc = crc.finalize();
    out.write_all(&header.to_bytes())?;
    out.write_all(as_stored)
}

pub(super) const HEAD: u8 = 1;
pub(super) const FACTS: u8 = 2;
pub(super) const FRAMES: u8 = 3;
pub(super) const END: u8 = 4;

pub(super) const HEADER_BYTES: usize = 24;

/// The file ends inside of the block.
pub(super) const CUT: &str = "the file ends inside of it";

/// Of the header, what the checksum is of.
const CRC_AT: usize = 20;

const CONTENT_BYTES_MAX: u32 = 1 << 30;
