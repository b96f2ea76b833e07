//! What can go wrong, and where.

use alloc::string::String;
use core::fmt;

use crate::lsn::Lsn;

/// A frame that cannot be decoded: what, and where in the stream. Never holds a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// What is wrong.
    pub kind: DecodeErrorKind,
    /// The pgoutput message's first byte, where there is one.
    pub message_type: Option<u8>,
    /// Where in the pgoutput message, in bytes.
    pub offset: u32,
    /// The frame's LSN, or the open transaction's commit LSN where the frame has 0.
    pub lsn: Lsn,
    /// Which field, relation or column: for people, not for matching.
    pub detail: String,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at LSN {}", self.kind, self.lsn)?;
        if let Some(byte) = self.message_type {
            write!(f, ", message '{}'", byte.escape_ascii())?;
        }
        write!(f, ", byte {}: {}", self.offset, self.detail)
    }
}

impl core::error::Error for DecodeError {}

/// Why a frame cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// Not a `CopyData` message with `XLogData` in it.
    #[error("not an XLogData frame")]
    Frame,
    /// A bound of [`limits`](crate::limits) was exceeded.
    #[error("limit exceeded")]
    Limit,
    /// A message at a place where the protocol does not allow it.
    #[error("message out of sequence")]
    Sequence,
    /// Bytes are left over behind the message's last field.
    #[error("trailing bytes")]
    Trailing,
    /// The message ends inside a field.
    #[error("truncated message")]
    Truncated,
    /// A message, field or tuple kind this protocol does not have.
    #[error("unsupported message")]
    Unsupported,
    /// A field's bytes are no value of its type.
    #[error("invalid value")]
    Value,
}

/// An option that is unknown or has a value it cannot have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("option {name}: {reason}")]
pub struct OptionError {
    /// The option's name as given, but for a salt at its end.
    pub name: String,
    /// What is wrong and what is allowed: for people.
    pub reason: String,
}

/// Saved state that cannot be restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// Not something [`Decoder::save`](crate::Decoder::save) returned.
    #[error("not a saved decoder")]
    Corrupt,
    /// From a decoder of another version.
    #[error("saved by a decoder of another version")]
    Version,
}

/// Text that is no value of the type it claims to be. The caller knows which column it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InvalidValue {
    /// What was expected, for example "a timestamp".
    pub(crate) expected: &'static str,
}
