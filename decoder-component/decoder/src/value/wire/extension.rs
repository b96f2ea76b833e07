//! Types of extensions: `hstore`, `cube`, and pgvector's.

use alloc::vec::Vec;

use super::bytes::{Bytes, Part};
use super::float::{write_float4, write_float8};
use super::number::write_integer;

/// `hstore_send`, `hstore_io.c`.
pub(super) fn write_hstore(bytes: &mut Bytes<'_>, out: &mut Vec<u8>) -> Option<()> {
    for index in 0..bytes.u32()? {
        if index > 0 {
            out.extend_from_slice(b", ");
        }
        write_quoted(bytes.sized()?, out);
        out.extend_from_slice(b"=>");
        match bytes.part()? {
            Part::Value(value) => write_quoted(value, out),
            Part::Null => out.extend_from_slice(b"NULL"),
        }
    }
    Some(())
}

fn write_quoted(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for &byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

/// `cube_send`, contrib/cube/cube.c: a point is sent as one corner, any other cube as two.
pub(super) fn write_cube(bytes: &mut Bytes<'_>, out: &mut Vec<u8>) -> Option<()> {
    let header = bytes.u32()?;
    let dimensions = usize::try_from(header & !CUBE_POINT).ok()?;
    let size = dimensions.checked_mul(8)?;
    let one = bytes.take(size)?;
    let other = if header & CUBE_POINT == 0 {
        bytes.take(size)?
    } else {
        one
    };
    let write_corner = |corner: &[u8], out: &mut Vec<u8>| {
        out.push(b'(');
        for (index, number) in corner.as_chunks::<8>().0.iter().enumerate() {
            if index > 0 {
                out.extend_from_slice(b", ");
            }
            write_float8(f64::from_be_bytes(*number), out);
        }
        out.push(b')');
    };
    write_corner(one, out);
    if one != other {
        out.push(b',');
        write_corner(other, out);
    }
    Some(())
}

/// `vector_send`, pgvector's src/vector.c.
pub(super) fn write_vector(bytes: &mut Bytes<'_>, out: &mut Vec<u8>) -> Option<()> {
    let count = vector_header(bytes)?;
    out.push(b'[');
    for index in 0..count {
        if index > 0 {
            out.push(b',');
        }
        write_float4(bytes.f32()?, out);
    }
    out.push(b']');
    Some(())
}

/// `halfvec_send`, pgvector's src/halfvec.c.
pub(super) fn write_half_vector(bytes: &mut Bytes<'_>, out: &mut Vec<u8>) -> Option<()> {
    let count = vector_header(bytes)?;
    out.push(b'[');
    for index in 0..count {
        if index > 0 {
            out.push(b',');
        }
        write_float4(half(bytes.u16()?), out);
    }
    out.push(b']');
    Some(())
}

/// The number of dimensions.
fn vector_header(bytes: &mut Bytes<'_>) -> Option<u16> {
    let count = bytes.u16()?;
    // Unused.
    bytes.u16()?;
    Some(count)
}

/// `sparsevec_send`, pgvector's src/sparsevec.c: indexes are sent from 0 and shown from 1.
pub(super) fn write_sparse_vector(bytes: &mut Bytes<'_>, out: &mut Vec<u8>) -> Option<()> {
    let dimensions = bytes.u32()?;
    let count = usize::try_from(bytes.u32()?).ok()?;
    // Unused.
    bytes.u32()?;
    let (indexes, _) = bytes.take(count.checked_mul(4)?)?.as_chunks::<4>();
    out.push(b'{');
    for (place, index) in indexes.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write_integer(i64::from(i32::from_be_bytes(*index)) + 1, out);
        out.push(b':');
        write_float4(bytes.f32()?, out);
    }
    out.extend_from_slice(b"}/");
    write_integer(dimensions, out);
    Some(())
}

/// IEEE 754's binary16: what it holds, binary32 holds exactly.
fn half(bits: u16) -> f32 {
    let sign = u32::from(bits & 0x8000) << 16;
    let exponent = u32::from(bits >> 10 & 0x1F);
    let fraction = u32::from(bits & 0x3FF);
    let magnitude = match exponent {
        // Subnormal: units of 2^-24.
        0 => {
            let units = f32::from(bits & 0x3FF);
            (units / 16_777_216.0).to_bits()
        }
        31 => 0x7F80_0000 | fraction << 13,
        _ => (exponent + (127 - 15)) << 23 | fraction << 13,
    };
    f32::from_bits(sign | magnitude)
}

const CUBE_POINT: u32 = 0x8000_0000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves() {
        for (bits, expected) in [
            (0x0000, 0.0_f32),
            (0x0001, 5.960_464_5e-8),
            (0x03FF, 6.097_555e-5),
            (0x0400, 6.103_515_6e-5),
            (0x3C00, 1.0),
            (0xC000, -2.0),
            (0x7BFF, 65504.0),
            (0x7C00, f32::INFINITY),
        ] {
            assert_eq!(half(bits).to_bits(), expected.to_bits(), "{bits:x}");
        }
        assert!(half(0x7E00).is_nan());
    }
}
