//! Values made of values: arrays, composites, ranges, multiranges.
//!
//! A part's text is quoted by rules that differ in the characters that call for it, and in how
//! quotes and backslashes are spelled (`array_out`, `record_out`, `range_bound_escape`).

use alloc::vec::Vec;

use super::bytes::{Bytes, Part};
use super::kind::Kind;
use super::number::write_integer;
use super::{Place, Wire};
use crate::limits::DIMENSIONS_MAX;

impl Wire {
    /// `array_send`, utils/adt/arrayfuncs.c.
    pub(super) fn array(
        &self,
        bytes: &mut Bytes<'_>,
        place: Place,
        out: &mut Vec<u8>,
    ) -> Option<()> {
        let (element, dimensions) = header(bytes)?;
        let (kind, delimiter) = self.part(element);
        let place = place.deeper()?;
        let dimensions = dimensions.as_slice();
        if dimensions.is_empty() || dimensions.iter().any(|dimension| dimension.length == 0) {
            out.extend_from_slice(b"{}");
            return Some(());
        }
        if dimensions.iter().any(|dimension| dimension.lower != 1) {
            for Dimension { length, lower } in dimensions {
                out.push(b'[');
                write_integer(*lower, out);
                out.push(b':');
                write_integer(i64::from(*lower) + i64::from(*length) - 1, out);
                out.push(b']');
            }
            out.push(b'=');
        }
        // How many more elements each open array has.
        let mut due = [0_u32; DIMENSIONS_MAX];
        let mut open = 0;
        loop {
            while let (Some(due), Some(dimension)) = (due.get_mut(open), dimensions.get(open)) {
                *due = dimension.length;
                out.push(b'{');
                open += 1;
            }
            match bytes.part()? {
                Part::Null => out.extend_from_slice(b"NULL"),
                Part::Value(value) => {
                    let start = out.len();
                    self.text(kind, value, place, out)?;
                    quote(start, Quoting::Array { delimiter }, out);
                }
            }
            loop {
                let Some(last) = open.checked_sub(1) else {
                    return Some(());
                };
                let due = due.get_mut(last)?;
                *due = due.checked_sub(1)?;
                if *due > 0 {
                    out.push(delimiter);
                    break;
                }
                out.push(b'}');
                open = last;
            }
        }
    }

    /// `int2vectorsend` and `oidvectorsend` are `array_send`.
    pub(super) fn words(
        &self,
        bytes: &mut Bytes<'_>,
        place: Place,
        out: &mut Vec<u8>,
    ) -> Option<()> {
        let (element, dimensions) = header(bytes)?;
        let (kind, _) = self.part(element);
        let place = place.deeper()?;
        let count = match dimensions.as_slice() {
            [] => 0,
            [dimension] => dimension.length,
            _ => return None,
        };
        for index in 0..count {
            if index > 0 {
                out.push(b' ');
            }
            self.text(kind, bytes.sized()?, place, out)?;
        }
        Some(())
    }

    /// `record_send`, utils/adt/rowtypes.c.
    pub(super) fn composite(
        &self,
        bytes: &mut Bytes<'_>,
        place: Place,
        out: &mut Vec<u8>,
    ) -> Option<()> {
        let place = place.deeper()?;
        out.push(b'(');
        for index in 0..bytes.u32()? {
            if index > 0 {
                out.push(b',');
            }
            let (kind, _) = self.part(bytes.u32()?);
            if let Part::Value(value) = bytes.part()? {
                let start = out.len();
                self.text(kind, value, place, out)?;
                quote(start, Quoting::Composite, out);
            }
        }
        out.push(b')');
        Some(())
    }

    /// `range_send`, utils/adt/rangetypes.c.
    pub(super) fn range(
        &self,
        subtype: u32,
        bytes: &mut Bytes<'_>,
        place: Place,
        out: &mut Vec<u8>,
    ) -> Option<()> {
        let flags = bytes.u8()?;
        if flags & RANGE_EMPTY != 0 {
            out.extend_from_slice(b"empty");
            return Some(());
        }
        let (kind, _) = self.part(subtype);
        let place = place.deeper()?;
        let mut bound = |infinite: u8, out: &mut Vec<u8>| {
            if flags & infinite == 0 {
                let start = out.len();
                self.text(kind, bytes.sized()?, place, out)?;
                quote(start, Quoting::Range, out);
            }
            Some(())
        };
        let inclusive = |flag: u8| flags & flag != 0;
        out.push(if inclusive(RANGE_LB_INC) { b'[' } else { b'(' });
        bound(RANGE_LB_INF | RANGE_LB_NULL, out)?;
        out.push(b',');
        bound(RANGE_UB_INF | RANGE_UB_NULL, out)?;
        out.push(if inclusive(RANGE_UB_INC) { b']' } else { b')' });
        Some(())
    }

    /// `multirange_send`, utils/adt/multirangetypes.c.
    pub(super) fn multirange(
        &self,
        subtype: u32,
        bytes: &mut Bytes<'_>,
        place: Place,
        out: &mut Vec<u8>,
    ) -> Option<()> {
        let place = place.deeper()?;
        out.push(b'{');
        for index in 0..bytes.u32()? {
            if index > 0 {
                out.push(b',');
            }
            self.text(Kind::Range(subtype), bytes.sized()?, place, out)?;
        }
        out.push(b'}');
        Some(())
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Dimension {
    length: u32,
    lower: i32,
}

/// Up to [`DIMENSIONS_MAX`] of them.
struct Dimensions {
    all: [Dimension; DIMENSIONS_MAX],
    count: usize,
}

impl Dimensions {
    fn as_slice(&self) -> &[Dimension] {
        self.all.get(..self.count).unwrap_or_default()
    }
}

/// An array's element type and its dimensions. It is empty if there are none, or one is.
fn header(bytes: &mut Bytes<'_>) -> Option<(u32, Dimensions)> {
    let mut dimensions = Dimensions {
        all: [Dimension::default(); DIMENSIONS_MAX],
        count: usize::try_from(bytes.u32()?).ok()?,
    };
    // Whether there are NULLs is seen when they come.
    bytes.u32()?;
    let element = bytes.u32()?;
    for dimension in dimensions.all.get_mut(..dimensions.count)? {
        dimension.length = bytes.u32()?;
        dimension.lower = bytes.i32()?;
    }
    Some((element, dimensions))
}

#[derive(Clone, Copy, Debug)]
enum Quoting {
    Array { delimiter: u8 },
    Composite,
    Range,
}

/// Puts quotes around the text from `start` on, if it wants them.
fn quote(start: usize, quoting: Quoting, out: &mut Vec<u8>) {
    let text = out.get(start..).unwrap_or_default();
    // What C's `isspace` takes for space.
    let is_space = |byte: u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let plain = match quoting {
        Quoting::Array { delimiter } => {
            !text.eq_ignore_ascii_case(b"null")
                && !text.iter().any(|&byte| {
                    matches!(byte, b'"' | b'\\' | b'{' | b'}')
                        || byte == delimiter
                        || is_space(byte)
                })
        }
        Quoting::Composite => !text
            .iter()
            .any(|&byte| matches!(byte, b'"' | b'\\' | b'(' | b')' | b',') || is_space(byte)),
        Quoting::Range => !text.iter().any(|&byte| {
            matches!(byte, b'"' | b'\\' | b'(' | b')' | b'[' | b']' | b',') || is_space(byte)
        }),
    };
    if plain && !text.is_empty() {
        return;
    }
    let text = out.split_off(start);
    out.reserve(text.len().saturating_add(2));
    out.push(b'"');
    for byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push(match quoting {
                Quoting::Array { .. } => b'\\',
                Quoting::Composite | Quoting::Range => byte,
            });
        }
        out.push(byte);
    }
    out.push(b'"');
}

// utils/rangetypes.h
const RANGE_EMPTY: u8 = 0x01;
const RANGE_LB_INC: u8 = 0x02;
const RANGE_UB_INC: u8 = 0x04;
const RANGE_LB_INF: u8 = 0x08;
const RANGE_UB_INF: u8 = 0x10;
const RANGE_LB_NULL: u8 = 0x20;
const RANGE_UB_NULL: u8 = 0x40;
