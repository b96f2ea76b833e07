//! Sixteen bytes looked at together. What the compiler makes of a loop over them is vector code
//! natively, and one byte after the other in WebAssembly; so each question is asked of the vector
//! unit by name, where there is one that every machine of its kind has.
//!
//! Answers are masks: bit n is of byte n.

/// So many bytes.
pub(crate) const LANES: usize = 16;

/// Bytes that do not stand for themselves in a JSON string, or are not ASCII.
#[inline]
pub(crate) fn special(bytes: &[u8; LANES]) -> u32 {
    unit::special(bytes)
}

/// Bytes that are no digits.
#[inline]
pub(crate) fn not_digits(bytes: &[u8; LANES]) -> u32 {
    unit::above(bytes, &[b'0'; LANES], &[9; LANES])
}

/// Bytes that are less than the lowest of their place, or by more than its range above that.
#[inline]
pub(crate) fn outside(bytes: &[u8; LANES], lowest: &[u8; LANES], range: &[u8; LANES]) -> u32 {
    unit::above(bytes, lowest, range)
}

/// A mask of the first `len` bytes.
#[inline]
pub(crate) fn first(len: usize) -> u32 {
    if len < LANES { (1 << len) - 1 } else { 0xFFFF }
}

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod unit {
    use core::arch::wasm32::{
        i8x16_lt, i8x16_splat, u8x16_bitmask, u8x16_eq, u8x16_gt, u8x16_splat, u8x16_sub, v128,
        v128_or,
    };

    use super::LANES;

    #[inline]
    pub(super) fn special(bytes: &[u8; LANES]) -> u32 {
        let bytes = vector(bytes);
        // From 0x80 on a signed byte is negative.
        let control = i8x16_lt(bytes, i8x16_splat(0x20));
        let quote = u8x16_eq(bytes, u8x16_splat(b'"'));
        let backslash = u8x16_eq(bytes, u8x16_splat(b'\\'));
        u32::from(u8x16_bitmask(v128_or(control, v128_or(quote, backslash))))
    }

    #[inline]
    pub(super) fn above(bytes: &[u8; LANES], lowest: &[u8; LANES], range: &[u8; LANES]) -> u32 {
        let above = u8x16_sub(vector(bytes), vector(lowest));
        u32::from(u8x16_bitmask(u8x16_gt(above, vector(range))))
    }

    #[expect(
        unsafe_code,
        reason = "there is no other way into a vector that is one load"
    )]
    #[inline]
    fn vector(bytes: &[u8; LANES]) -> v128 {
        // SAFETY: a v128 is any 16 bytes.
        unsafe { core::mem::transmute::<[u8; LANES], v128>(*bytes) }
    }
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "intrinsics are, though every x86_64 has these")]
mod unit {
    use core::arch::x86_64::{
        __m128i, _mm_cmpeq_epi8, _mm_cmplt_epi8, _mm_movemask_epi8, _mm_or_si128,
        _mm_setzero_si128, _mm_sub_epi8, _mm_subs_epu8,
    };

    use super::LANES;

    #[inline]
    pub(super) fn special(bytes: &[u8; LANES]) -> u32 {
        let all = |byte| vector(&[byte; LANES]);
        let bytes = vector(bytes);
        // SAFETY: SSE2 is a part of x86_64.
        let special = unsafe {
            // From 0x80 on a signed byte is negative.
            let control = _mm_cmplt_epi8(bytes, all(0x20));
            let quote = _mm_cmpeq_epi8(bytes, all(b'"'));
            let backslash = _mm_cmpeq_epi8(bytes, all(b'\\'));
            _mm_movemask_epi8(_mm_or_si128(control, _mm_or_si128(quote, backslash)))
        };
        special.cast_unsigned()
    }

    #[inline]
    pub(super) fn above(bytes: &[u8; LANES], lowest: &[u8; LANES], range: &[u8; LANES]) -> u32 {
        // SAFETY: SSE2 is a part of x86_64.
        let within = unsafe {
            let above = _mm_sub_epi8(vector(bytes), vector(lowest));
            let too_much = _mm_subs_epu8(above, vector(range));
            _mm_movemask_epi8(_mm_cmpeq_epi8(too_much, _mm_setzero_si128()))
        };
        within.cast_unsigned() ^ 0xFFFF
    }

    #[inline]
    fn vector(bytes: &[u8; LANES]) -> __m128i {
        // SAFETY: an __m128i is any 16 bytes.
        unsafe { core::mem::transmute::<[u8; LANES], __m128i>(*bytes) }
    }
}

#[cfg(not(any(
    target_arch = "x86_64",
    all(target_arch = "wasm32", target_feature = "simd128")
)))]
use any as unit;

/// Where there is none, or none that is known here.
#[cfg(any(
    test,
    not(any(
        target_arch = "x86_64",
        all(target_arch = "wasm32", target_feature = "simd128")
    ))
))]
mod any {
    use super::LANES;

    pub(super) fn special(bytes: &[u8; LANES]) -> u32 {
        let special = |byte: u8| byte.wrapping_sub(0x20) >= 0x60 || byte == b'"' || byte == b'\\';
        (0..).zip(bytes).fold(0, |mask, (lane, byte)| {
            mask | u32::from(special(*byte)) << lane
        })
    }

    pub(super) fn above(bytes: &[u8; LANES], lowest: &[u8; LANES], range: &[u8; LANES]) -> u32 {
        let places = bytes.iter().zip(lowest.iter().zip(range));
        (0..)
            .zip(places)
            .fold(0, |mask, (lane, (byte, (lowest, range)))| {
                mask | u32::from(byte.wrapping_sub(*lowest) > *range) << lane
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_in_every_lane() {
        for lane in 0..LANES {
            for byte in 0..=u8::MAX {
                let mut bytes = [b'5'; LANES];
                bytes[lane] = byte;
                let bit = |is_set: bool| u32::from(is_set) << lane;
                let stands = matches!(byte, 0x20..0x80) && byte != b'"' && byte != b'\\';
                assert_eq!(special(&bytes), bit(!stands));
                assert_eq!(not_digits(&bytes), bit(!byte.is_ascii_digit()));
                let (mut lowest, mut range) = ([b'0'; LANES], [9; LANES]);
                (lowest[lane], range[lane]) = (200, 60);
                assert_eq!(
                    outside(&bytes, &lowest, &range),
                    bit(byte.wrapping_sub(200) > 60)
                );
                assert_eq!(any::special(&bytes), special(&bytes));
                assert_eq!(
                    any::above(&bytes, &lowest, &range),
                    outside(&bytes, &lowest, &range)
                );
            }
        }
        assert_eq!(
            [0, 1, 15, 16, 99].map(first),
            [0, 1, 0x7FFF, 0xFFFF, 0xFFFF]
        );
    }
}
