//! What a value in binary form can be whose type is not known: a composite's attribute of a type
//! that nobody announced. It is taken for the first whose layout it has, to its last byte.

use crate::limits::DIMENSIONS_MAX;
use crate::value::wire::bytes::Bytes;
use crate::value::wire::kind::Kind;

/// None: nothing that is made of parts, and no text. Numbers and times are nothing either: zeros
/// are one of them.
pub(super) fn kind_of(value: &[u8]) -> Option<Kind> {
    if is_text(value) {
        return Some(Kind::Text);
    }
    let layouts: &[(Layout, Kind)] = &[
        (array, Kind::Array),
        (composite, Kind::Composite),
        (hstore, Kind::Hstore),
        (numeric, Kind::Numeric),
        (vector, Kind::Vector),
        (half_vector, Kind::HalfVector),
        (multirange, Kind::Multirange(0)),
        (range, Kind::Range(0)),
        (versioned, Kind::Versioned),
    ];
    let found = layouts.iter().find(|(layout, _)| {
        let mut bytes = Bytes::new(value);
        layout(&mut bytes).and_then(|()| bytes.finish()).is_some()
    });
    found.map(|(_, kind)| *kind)
}

type Layout = fn(&mut Bytes<'_>) -> Option<()>;

/// The other layouts begin with bytes that are in no text.
fn is_text(value: &[u8]) -> bool {
    let control = |byte: &u8| matches!(byte, 0..=8 | 11 | 12 | 14..=31 | 127);
    !value.iter().any(control) && core::str::from_utf8(value).is_ok()
}

fn array(bytes: &mut Bytes<'_>) -> Option<()> {
    let dimensions = usize::try_from(bytes.u32()?).ok()?;
    let has_null = bytes.u32()?;
    bytes.u32()?;
    if dimensions > DIMENSIONS_MAX || has_null > 1 {
        return None;
    }
    bytes.take(dimensions * 8)?;
    while bytes.finish().is_none() {
        bytes.part()?;
    }
    Some(())
}

fn composite(bytes: &mut Bytes<'_>) -> Option<()> {
    for _ in 0..bytes.count()? {
        bytes.u32()?;
        bytes.part()?;
    }
    Some(())
}

fn hstore(bytes: &mut Bytes<'_>) -> Option<()> {
    for _ in 0..bytes.count()? {
        bytes.sized()?;
        bytes.part()?;
    }
    Some(())
}

fn numeric(bytes: &mut Bytes<'_>) -> Option<()> {
    let digits = bytes.u16()?;
    bytes.take(6)?;
    for _ in 0..digits {
        (bytes.u16()? < 10_000).then_some(())?;
    }
    Some(())
}

fn vector(bytes: &mut Bytes<'_>) -> Option<()> {
    numbers(bytes, 4)
}

fn half_vector(bytes: &mut Bytes<'_>) -> Option<()> {
    numbers(bytes, 2)
}

/// pgvector's: how many, two bytes of zero, and the numbers.
fn numbers(bytes: &mut Bytes<'_>, size: usize) -> Option<()> {
    let count = usize::from(bytes.u16()?);
    let unused = bytes.u16()?;
    bytes.take(count * size)?;
    (unused == 0).then_some(())
}

fn multirange(bytes: &mut Bytes<'_>) -> Option<()> {
    for _ in 0..bytes.count()? {
        let mut part = Bytes::new(bytes.sized()?);
        range(&mut part)?;
        part.finish()?;
    }
    Some(())
}

fn range(bytes: &mut Bytes<'_>) -> Option<()> {
    let flags = bytes.u8()?;
    let absent = match flags {
        RANGE_EMPTY => 2,
        _ if flags & RANGE_EMPTY != 0 || flags >= RANGE_FLAGS_END => return None,
        _ => (flags & (RANGE_LB_INF | RANGE_UB_INF)).count_ones(),
    };
    for _ in absent..2 {
        bytes.sized()?;
    }
    Some(())
}

fn versioned(bytes: &mut Bytes<'_>) -> Option<()> {
    let version = bytes.u8()?;
    let text = bytes.rest();
    (version == 1 && !text.is_empty() && is_text(text)).then_some(())
}

// utils/rangetypes.h
const RANGE_EMPTY: u8 = 0x01;
const RANGE_LB_INF: u8 = 0x08;
const RANGE_UB_INF: u8 = 0x10;
const RANGE_FLAGS_END: u8 = 0x20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_its_layout() {
        for (value, expected) in [
            (&b"text \xc3\xbc"[..], Some(Kind::Text)),
            (b"", Some(Kind::Text)),
            (
                b"\0\0\0\x02\0\0\0\x17\0\0\0\x01a\0\0\0\x19\xff\xff\xff\xff",
                Some(Kind::Composite),
            ),
            (b"\0\0\0\x01\0\0\0\x01a\xff\xff\xff\xff", Some(Kind::Hstore)),
            (b"\0\x01\0\0\x40\0\0\x02\x27\x0f", Some(Kind::Numeric)),
            (b"\0\x01\0\0\x3f\x80\0\0", Some(Kind::Vector)),
            (b"\0\x01\0\0\x3c\0", Some(Kind::HalfVector)),
            (b"\x02\0\0\0\x01\x01\0\0\0\x01\x02", Some(Kind::Range(0))),
            (b"\0\0\0\x01\0\0\0\x01\x01", Some(Kind::Multirange(0))),
            (b"\x01a.b", Some(Kind::Versioned)),
            (b"\xff\xff\xff\xff", None),
            (b"\0\0\x01\0", None),
        ] {
            assert_eq!(kind_of(value), expected, "{value:?}");
        }
        let array = b"\0\0\0\x01\0\0\0\0\0\0\0\x17\0\0\0\x01\0\0\0\x01\0\0\0\x01\x02";
        assert_eq!(kind_of(array), Some(Kind::Array));
    }
}
