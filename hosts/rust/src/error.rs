//! What can go wrong. None of it tells values of rows.

use std::io;

use crate::decoding::{DecodeError, OptionError, RestoreError};
use crate::event::Lsn;

/// What this crate's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why decoding does not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An error in a recording's block.
    #[error("block {number} at byte {offset}")]
    Block {
        /// Counted from 1.
        number: u64,
        /// Where the block begins in the file.
        offset: u64,
        /// What is wrong.
        source: Box<Error>,
    },
    /// A frame cannot be decoded. It can be skipped.
    #[error(
        "cannot be decoded at LSN {}: {:?} at byte {}{}: {}",
        Lsn(.0.lsn), .0.kind, .0.offset, message(.0.message_type), .0.detail
    )]
    Decode(DecodeError),
    /// A frame commits a transaction none of whose frames have come.
    #[error("transaction {xid} was not stashed")]
    NotStashed {
        /// The transaction.
        xid: u32,
    },
    /// The decoder was opened with an option it does not take.
    #[error("{}: {}", .0.name, .0.reason)]
    Option(OptionError),
    /// The decoder's records cannot be read.
    #[error(transparent)]
    Records(#[from] RecordError),
    /// The recording cannot be read on.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// Saved by a decoder of another version, or not by a decoder.
    #[error("cannot be restored: {0:?}")]
    Restore(RestoreError),
    /// The component cannot be loaded, trapped, or went over a limit.
    #[error("the decoder's sandbox")]
    Sandbox(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The decoder does not go on: a bug in it.
    #[error("the decoder does not go on")]
    Stalled,
    /// Undecided transactions are larger than may be kept.
    #[error("undecided transactions take more than {limit_bytes} bytes")]
    StashFull {
        /// The limit.
        limit_bytes: usize,
    },
}

/// A record that is not as `wit/decoding.wit` has it: a bug in the decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a decoder's record, of kind {kind}")]
pub struct RecordError {
    /// Of the record; 0 where it is cut short.
    pub kind: u8,
}

/// A recording that cannot be read, or not to its end: what came before is sound.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordingError {
    /// A block that is not whole, or not as it was written.
    #[error("block {number} at byte {offset}: {problem}")]
    Block {
        /// Counted from 1.
        number: u64,
        /// Where the block begins in the file.
        offset: u64,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// It does not begin as a recording.
    #[error("not a recording")]
    Foreign,
    /// The file cannot be read.
    #[error("cannot be read")]
    Read(#[from] io::Error),
    /// All of its blocks are sound, and more may have followed.
    #[error("ends behind block {number}, at byte {offset}, without its end")]
    Unended {
        /// The last block, counted from 1.
        number: u64,
        /// The file's length.
        offset: u64,
    },
    /// Of a later version of the format.
    #[error("format {found} of recordings, and this is a reader of format 1")]
    Version {
        /// Its version.
        found: u16,
    },
}

impl From<wasmtime::Error> for Error {
    fn from(error: wasmtime::Error) -> Self {
        Self::Sandbox(error.into())
    }
}

impl From<OptionError> for Error {
    fn from(error: OptionError) -> Self {
        Self::Option(error)
    }
}

impl From<RestoreError> for Error {
    fn from(error: RestoreError) -> Self {
        Self::Restore(error)
    }
}

fn message(first_byte: Option<u8>) -> String {
    first_byte.map_or_else(String::new, |byte| {
        format!(" of message {:?}", char::from(byte))
    })
}
