//! What a message comes in: `CopyData` with `XLogData`.

use crate::error::DecodeErrorKind;
use crate::lsn::Lsn;
use crate::reader::{Malformed, Reader};

/// A whole `XLogData` frame.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) lsn: Lsn,
    pub(crate) message: &'a [u8],
    /// The frame, and those behind it.
    pub(crate) around: &'a [u8],
    /// Where it begins in what was passed to `decode`, and how long it is.
    pub(crate) at: usize,
    pub(crate) bytes: usize,
}

impl<'a> Frame<'a> {
    /// The first frame of `bytes`.
    #[inline]
    pub(crate) fn parse(bytes: &'a [u8], at: usize) -> Result<Self, Malformed> {
        let Some((head, rest)) = bytes.split_first_chunk::<FRAME_HEAD_BYTES>() else {
            return Self::parse_any(bytes, at);
        };
        let [
            b'd',
            l1,
            l2,
            l3,
            l4,
            b'w',
            lsn @ ..,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
        ] = head
        else {
            return Self::parse_any(bytes, at);
        };
        let length = usize::try_from(u32::from_be_bytes([*l1, *l2, *l3, *l4])).ok();
        let message = length
            .and_then(|length| length.checked_sub(FRAME_HEAD_BYTES - 1))
            .and_then(|length| rest.get(..length));
        let Some(message) = message else {
            return Self::parse_any(bytes, at);
        };
        Ok(Self {
            lsn: Lsn(u64::from_be_bytes(*lsn)),
            message,
            around: bytes,
            at,
            bytes: FRAME_HEAD_BYTES + message.len(),
        })
    }

    /// The same, field by field, to say which of them is wrong.
    #[cold]
    fn parse_any(bytes: &'a [u8], at: usize) -> Result<Self, Malformed> {
        let not_a_frame = |malformed: Malformed| Malformed {
            kind: DecodeErrorKind::Frame,
            ..malformed
        };
        let mut reader = Reader::new(bytes);
        let copy_data = reader.u8("CopyData").map_err(not_a_frame)?;
        let length = reader.u32("CopyData length").map_err(not_a_frame)?;
        let xlog_data = reader.u8("XLogData").map_err(not_a_frame)?;
        let message_bytes = usize::try_from(length)
            .ok()
            .and_then(|n| n.checked_sub(FRAME_HEAD_BYTES - 1));
        let (b'd', b'w', Some(message_bytes)) = (copy_data, xlog_data, message_bytes) else {
            return Err(reader.malformed(DecodeErrorKind::Frame, "CopyData with XLogData"));
        };
        let lsn = Lsn(reader.u64("WAL start").map_err(not_a_frame)?);
        reader.u64("WAL end").map_err(not_a_frame)?;
        reader.i64("server clock").map_err(not_a_frame)?;
        let message = reader
            .bytes(message_bytes, "message")
            .map_err(not_a_frame)?;
        Ok(Self {
            lsn,
            message,
            around: bytes,
            at,
            bytes: reader.offset(),
        })
    }
}

/// `CopyData`'s and `XLogData`'s fields in front of a message.
const FRAME_HEAD_BYTES: usize = 30;
