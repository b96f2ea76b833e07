//! Room behind a vector's bytes: what is written there is copied in pieces of a constant size, and
//! the vector is asked for room once for many of them.
//!
//! With `lanes.rs` the only `unsafe` code of the decoder. With `Vec`'s own functions each piece
//! loads and stores the vector's length and capacity; here both stay in registers from column to
//! column.
//!
//! Invariants: `start` is the vector's memory, of `capacity` bytes; `len` is at most `capacity`;
//! the bytes before `len` are initialised. Nothing else uses the vector while this borrows it.
#![expect(
    unsafe_code,
    reason = "Vec loads and stores its length for every piece"
)]

use alloc::vec::Vec;

/// Where bytes are appended. Dropped, it leaves the vector as long as what was written.
#[derive(Debug)]
pub(crate) struct Room<'v> {
    vec: &'v mut Vec<u8>,
    start: *mut u8,
    len: usize,
    capacity: usize,
}

/// Bytes of which few enough are written again and again: padded, so that they are copied whole.
#[derive(Clone, Debug)]
pub(crate) struct Padded<const N: usize> {
    bytes: [u8; N],
    /// Invariant: at most `N`.
    len: usize,
}

impl<'v> Room<'v> {
    /// Behind the bytes that are there.
    #[inline]
    pub(crate) fn behind(vec: &'v mut Vec<u8>) -> Self {
        Self {
            start: vec.as_mut_ptr(),
            len: vec.len(),
            capacity: vec.capacity(),
            vec,
        }
    }

    /// How long the vector is, with what was written.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Appends the first `len` bytes of a piece; all are, if that is more.
    #[inline]
    pub(crate) fn put<const N: usize>(&mut self, piece: &[u8; N], len: usize) {
        if self.capacity - self.len < N {
            (self.start, self.capacity) = grow(self.vec, self.len, N);
        }
        // SAFETY: from `len` on there are at least N bytes of the vector's memory, by the line
        // above; `piece` is not among them, as the vector is borrowed.
        unsafe {
            self.start
                .add(self.len)
                .cast::<[u8; N]>()
                .write_unaligned(*piece);
        }
        self.len += len.min(N);
    }

    /// Appends a piece that was padded before.
    #[inline]
    pub(crate) fn put_padded<const N: usize>(&mut self, piece: &Padded<N>) {
        self.put(&piece.bytes, piece.len);
    }

    /// Appends the first `len` of bytes that are padded to a multiple of [`PIECE`]; as many as
    /// there are, if that is more. A copy of their exact length would be a call.
    #[inline]
    pub(crate) fn put_all(&mut self, bytes: &[u8], len: usize) {
        let end = self.len + len.min(bytes.len());
        for piece in bytes.as_chunks::<PIECE>().0 {
            self.put(piece, PIECE);
        }
        self.truncate(end);
    }

    /// Takes back what was written behind this length.
    #[inline]
    pub(crate) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Replaces a byte that was written; nothing if none was there.
    #[inline]
    pub(crate) fn replace(&mut self, at: usize, byte: u8) {
        if at < self.len {
            // SAFETY: before `len`, so in the vector's memory.
            unsafe { self.start.add(at).write(byte) };
        }
    }

    /// Has the vector itself appended to.
    #[inline]
    pub(crate) fn with<R>(&mut self, append: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        self.settle();
        let result = append(self.vec);
        (self.start, self.len, self.capacity) =
            (self.vec.as_mut_ptr(), self.vec.len(), self.vec.capacity());
        result
    }

    #[inline]
    fn settle(&mut self) {
        // SAFETY: `len` is at most the capacity, and the bytes before it were written.
        unsafe { self.vec.set_len(self.len) };
    }
}

impl Drop for Room<'_> {
    #[inline]
    fn drop(&mut self) {
        self.settle();
    }
}

impl<const N: usize> Padded<N> {
    /// None: there are more than `N`.
    pub(crate) fn new(bytes: &[u8]) -> Option<Self> {
        let mut padded = [0; N];
        padded.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(Self {
            bytes: padded,
            len: bytes.len(),
        })
    }

    /// The bytes without the padding.
    pub(crate) fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// The memory of a vector that has `len` bytes, with room for `more` behind them and for many
/// pieces more; and how much it is.
#[cold]
#[inline(never)]
fn grow(vec: &mut Vec<u8>, len: usize, more: usize) -> (*mut u8, usize) {
    // SAFETY: as in `Room::settle`: `len` is that of a room behind this vector.
    unsafe { vec.set_len(len) };
    vec.reserve(more.saturating_add(ROOM));
    (vec.as_mut_ptr(), vec.capacity())
}

/// Bytes copied at once where many are.
pub(crate) const PIECE: usize = 32;

/// Asked for at once.
const ROOM: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_appended_as_long_as_they_say() {
        let mut bytes = b"ab".to_vec();
        let mut room = Room::behind(&mut bytes);
        room.put(b"cdefgh", 3);
        room.put(b"", 9);
        room.put(b"xy", 9);
        room.put_padded(&Padded::<8>::new(b"12345").unwrap());
        room.replace(0, b'A');
        room.replace(99, b'A');
        assert_eq!(room.len(), 12);
        room.with(|bytes| bytes.extend_from_slice(b"by the vector"));
        room.truncate(14);
        room.truncate(99);
        drop(room);
        assert_eq!(bytes, b"Abcdexy12345by");
    }

    #[test]
    fn room_grows_as_often_as_it_must() {
        let mut bytes = Vec::new();
        let mut expected = Vec::new();
        for number in 0..1000_usize {
            let piece = [u8::try_from(number % 251).unwrap(); 32];
            let mut room = Room::behind(&mut bytes);
            for len in [number % 33, 32, 1] {
                room.put(&piece, len);
                expected.extend_from_slice(&piece[..len]);
            }
        }
        assert_eq!(bytes, expected);
    }

    #[test]
    fn what_is_too_long_is_not_padded() {
        assert_eq!(Padded::<3>::new(b"abc").unwrap().as_slice(), b"abc");
        assert!(Padded::<3>::new(b"abcd").is_none());
    }
}
