//! The only code that takes bytes apart: a cursor that cannot overrun.

use alloc::borrow::ToOwned;

use crate::error::{DecodeErrorKind, InvalidValue};

/// A cursor over one message. Every read names its field, for the error it may end in.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    len: usize,
}

/// What is wrong with a message, and where in it.
#[derive(Debug)]
pub(crate) struct Malformed {
    pub(crate) kind: DecodeErrorKind,
    pub(crate) offset: usize,
    pub(crate) detail: alloc::string::String,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(message: &'a [u8]) -> Self {
        Self {
            rest: message,
            len: message.len(),
        }
    }

    /// Bytes read so far. Invariant: at most `len`.
    pub(crate) fn offset(&self) -> usize {
        self.len - self.rest.len()
    }

    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// What was not read.
    #[inline]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Goes on at the end of [`Reader::rest`], of which `rest` was not read elsewhere.
    #[inline]
    pub(crate) fn go_on(&mut self, rest: &'a [u8]) {
        self.rest = rest;
    }

    #[inline]
    pub(crate) fn u8(&mut self, field: &'static str) -> Result<u8, Malformed> {
        self.array::<1>(field).map(|[byte]| byte)
    }

    #[inline]
    pub(crate) fn u16(&mut self, field: &'static str) -> Result<u16, Malformed> {
        self.array(field).map(u16::from_be_bytes)
    }

    #[inline]
    pub(crate) fn u32(&mut self, field: &'static str) -> Result<u32, Malformed> {
        self.array(field).map(u32::from_be_bytes)
    }

    #[inline]
    pub(crate) fn i32(&mut self, field: &'static str) -> Result<i32, Malformed> {
        self.array(field).map(i32::from_be_bytes)
    }

    #[inline]
    pub(crate) fn u64(&mut self, field: &'static str) -> Result<u64, Malformed> {
        self.array(field).map(u64::from_be_bytes)
    }

    #[inline]
    pub(crate) fn i64(&mut self, field: &'static str) -> Result<i64, Malformed> {
        self.array(field).map(i64::from_be_bytes)
    }

    #[inline]
    pub(crate) fn bytes(&mut self, n: usize, field: &'static str) -> Result<&'a [u8], Malformed> {
        match self.rest.split_at_checked(n) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(self.malformed(DecodeErrorKind::Truncated, field)),
        }
    }

    /// A string ended by a zero byte, of at most `max` bytes of UTF-8.
    pub(crate) fn cstr(&mut self, field: &'static str, max: usize) -> Result<&'a str, Malformed> {
        let Some(end) = memchr::memchr(0, self.rest) else {
            return Err(self.malformed(DecodeErrorKind::Truncated, field));
        };
        if end > max {
            return Err(self.malformed(DecodeErrorKind::Limit, field));
        }
        let start = self.offset();
        let text = self.bytes(end, field)?;
        self.u8(field)?;
        core::str::from_utf8(text).map_err(|_| Malformed {
            kind: DecodeErrorKind::Value,
            offset: start,
            detail: field.to_owned(),
        })
    }

    /// Refuses bytes behind the last field.
    pub(crate) fn finish(&self) -> Result<(), Malformed> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(self.malformed(DecodeErrorKind::Trailing, "end of message"))
    }

    #[cold]
    pub(crate) fn malformed(&self, kind: DecodeErrorKind, detail: &str) -> Malformed {
        Malformed {
            kind,
            offset: self.offset(),
            detail: detail.to_owned(),
        }
    }

    #[inline]
    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], Malformed> {
        match self.rest.split_first_chunk::<N>() {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(*taken)
            }
            None => Err(self.malformed(DecodeErrorKind::Truncated, field)),
        }
    }
}

impl Malformed {
    /// A value that is none of its type; `value` is a part of `message`.
    pub(crate) fn value(
        message: &[u8],
        value: &[u8],
        invalid: InvalidValue,
        column: &str,
        relation: &str,
    ) -> Self {
        Self {
            kind: DecodeErrorKind::Value,
            offset: value
                .as_ptr()
                .addr()
                .saturating_sub(message.as_ptr().addr()),
            detail: alloc::format!(
                "column {column:?} of {relation}: {} bytes are not {}",
                value.len(),
                invalid.expected
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_refuses_to_overrun() {
        let mut reader = Reader::new(b"\x00\x01ab\0\xFF\0x");
        assert_eq!(reader.u16("a").unwrap(), 1);
        assert_eq!(reader.cstr("b", 2).unwrap(), "ab");
        let error = reader.cstr("c", 2).unwrap_err();
        assert_eq!((error.kind, error.offset), (DecodeErrorKind::Value, 5));
        assert_eq!(reader.finish().unwrap_err().kind, DecodeErrorKind::Trailing);
        assert_eq!(
            reader.u32("d").unwrap_err().kind,
            DecodeErrorKind::Truncated
        );
        assert_eq!(
            reader.cstr("e", 9).unwrap_err().kind,
            DecodeErrorKind::Truncated
        );
        assert_eq!(reader.bytes(2, "f").unwrap_err().detail, "f");
        assert_eq!(reader.u8("g").unwrap(), b'x');
        assert!(reader.finish().is_ok());
        assert_eq!(
            Reader::new(b"abc\0").cstr("h", 2).unwrap_err().kind,
            DecodeErrorKind::Limit
        );
    }
}
