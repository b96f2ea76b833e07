//! Little-endian fields, one after the other: of records and of recordings.

use crate::event::Lsn;

/// What is left of them. Behind the end there is nothing.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    pub(crate) fn lsn(&mut self) -> Option<Lsn> {
        self.array().map(u64::from_le_bytes).map(Lsn)
    }

    /// A number of bytes or of items.
    pub(crate) fn count(&mut self) -> Option<usize> {
        self.u32()?.try_into().ok()
    }

    pub(crate) fn counts<const N: usize>(&mut self) -> Option<[usize; N]> {
        let mut counts = [0; N];
        for count in &mut counts {
            *count = self.count()?;
        }
        Some(counts)
    }

    /// One of 64 bits.
    pub(crate) fn long_count(&mut self) -> Option<usize> {
        self.array().map(u64::from_le_bytes)?.try_into().ok()
    }

    pub(crate) fn bytes(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(bytes)
    }

    pub(crate) fn text(&mut self, bytes: usize) -> Option<&'a str> {
        str::from_utf8(self.bytes(bytes)?).ok()
    }
}
