//! Points and what is made of them (`geo_ops.c`).

use alloc::vec::Vec;

use super::bytes::Bytes;
use super::float::write_float8;
use super::kind::Shape;

pub(super) fn write(shape: Shape, bytes: &mut Bytes<'_>, out: &mut Vec<u8>) -> Option<()> {
    match shape {
        Shape::Point => write_point(bytes, out),
        Shape::Box => write_points(bytes, 2, *b"\0\0", out),
        Shape::Segment => write_points(bytes, 2, *b"[]", out),
        Shape::Path => {
            let brackets = if bytes.u8()? == 0 { *b"[]" } else { *b"()" };
            let count = bytes.u32()?;
            write_points(bytes, count, brackets, out)
        }
        Shape::Polygon => {
            let count = bytes.u32()?;
            write_points(bytes, count, *b"()", out)
        }
        Shape::Line => {
            out.push(b'{');
            write_float8(bytes.f64()?, out);
            out.push(b',');
            write_float8(bytes.f64()?, out);
            out.push(b',');
            write_float8(bytes.f64()?, out);
            out.push(b'}');
            Some(())
        }
        Shape::Circle => {
            out.push(b'<');
            write_point(bytes, out)?;
            out.push(b',');
            write_float8(bytes.f64()?, out);
            out.push(b'>');
            Some(())
        }
    }
}

/// Between brackets, where there are any.
fn write_points(
    bytes: &mut Bytes<'_>,
    count: u32,
    [open, close]: [u8; 2],
    out: &mut Vec<u8>,
) -> Option<()> {
    if open != 0 {
        out.push(open);
    }
    for index in 0..count {
        if index > 0 {
            out.push(b',');
        }
        write_point(bytes, out)?;
    }
    if close != 0 {
        out.push(close);
    }
    Some(())
}

fn write_point(bytes: &mut Bytes<'_>, out: &mut Vec<u8>) -> Option<()> {
    out.push(b'(');
    write_float8(bytes.f64()?, out);
    out.push(b',');
    write_float8(bytes.f64()?, out);
    out.push(b')');
    Some(())
}
