//! Values in their types' binary send formats (`binary 'true'`), turned into the text the server
//! prints: what becomes of the text is known elsewhere, so both forms give the same JSON.
//!
//! [`Wire`] is chosen once for a column of a relation version. Arrays and composites name the
//! types of their parts themselves, by OID; of those that are not built in, it keeps what the
//! catalogs say. Text is as with `datestyle` ISO, `intervalstyle` postgres, `timezone` UTC,
//! `extra_float_digits` 3 and `lc_monetary` C, whatever the server's settings are.

pub(crate) mod bytes;
mod extension;
mod float;
mod geometric;
pub(crate) mod kind;
mod nested;
mod network;
mod number;
pub(crate) mod temporal;
mod text_search;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use self::bytes::Bytes;
use self::kind::Kind;
use super::Types;
use super::builtin::delimiter_of;
use super::number::FloatStyle;
use super::temporal::write_usual_timestamptz;
use super::writer::Writer;
use crate::error::InvalidValue;
use crate::json::write_binary;
use crate::limits::{WIRE_DEPTH_MAX, WIRE_TEXT_BYTES_MAX, WIRE_TEXT_GROWTH_MAX};

/// How a column's binary values are read.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    kind: Kind,
    /// Types its parts may be of that are not built in, by OID.
    parts: Box<[Part]>,
}

#[derive(Clone, Copy, Debug)]
struct Part {
    oid: u32,
    kind: Kind,
    delimiter: u8,
}

impl Wire {
    pub(super) fn resolve(type_oid: u32, types: &Types) -> Self {
        let mut parts = BTreeMap::new();
        let mut wanted = Vec::from([type_oid]);
        while let Some(oid) = wanted.pop() {
            let Some(facts) = types.learnt(oid).filter(|_| !parts.contains_key(&oid)) else {
                continue;
            };
            let part = Part {
                oid,
                kind: Kind::of(oid, types),
                delimiter: u8::try_from(facts.delimiter).unwrap_or(b','),
            };
            parts.insert(oid, part);
            wanted.extend([facts.element, facts.base, facts.subtype]);
            wanted.extend(facts.attributes.iter().map(|attribute| attribute.type_oid));
        }
        Self {
            kind: Kind::of(type_oid, types),
            parts: parts.into_values().collect(),
        }
    }

    /// Appends JSON for a value; after an error what was appended is to be discarded.
    #[inline]
    pub(super) fn write(
        &self,
        value: &[u8],
        writer: &Writer,
        out: &mut Vec<u8>,
    ) -> Result<(), InvalidValue> {
        match (self.kind, writer) {
            (Kind::Text, _) => writer.write(value, out),
            (
                Kind::Int2 | Kind::Int4 | Kind::Int8 | Kind::Unsigned4 | Kind::Unsigned8,
                Writer::Integer,
            )
            | (Kind::Numeric, Writer::DecimalExact)
            | (Kind::Float4 | Kind::Float8, Writer::Float(FloatStyle::Server)) => {
                let start = out.len();
                self.write_text(value, out)?;
                // NaN and the infinities are no numbers in JSON.
                if out.last().is_some_and(u8::is_ascii_digit) {
                    return Ok(());
                }
                let text = out.split_off(start);
                writer.write(&text, out)
            }
            (Kind::Uuid, Writer::Uuid(_) | Writer::Text(_)) => {
                out.push(b'"');
                self.write_text(value, out)?;
                out.push(b'"');
                Ok(())
            }
            (Kind::Bytea, Writer::Bytea(mode)) => {
                write_binary(value, *mode, out);
                Ok(())
            }
            (Kind::Versioned, _) => {
                let text = value.strip_prefix(&[VERSION]).ok_or(INVALID)?;
                writer.write(text, out)
            }
            (Kind::TimestampTz, Writer::TimestampTz(style)) => {
                match temporal::usual_timestamptz(value) {
                    Some((head, fraction))
                        if write_usual_timestamptz(&head, &fraction, *style, out) =>
                    {
                        Ok(())
                    }
                    _ => self.write_by_text(value, writer, out),
                }
            }
            _ => self.write_by_text(value, writer, out),
        }
    }

    fn write_by_text(
        &self,
        value: &[u8],
        writer: &Writer,
        out: &mut Vec<u8>,
    ) -> Result<(), InvalidValue> {
        // The text is made where the JSON will be and moved out of its way: a short one without
        // asking for memory.
        let start = out.len();
        self.write_text(value, out)?;
        let length = out.len().saturating_sub(start);
        if length <= SHORT_BYTES_MAX {
            out.extend_from_slice(&[0; SHORT_BYTES_MAX]);
            let short = out.get(start..).and_then(<[u8]>::first_chunk);
            let short: [u8; SHORT_BYTES_MAX] = *short.ok_or(INVALID)?;
            out.truncate(start);
            writer.write(short.get(..length).unwrap_or_default(), out)
        } else {
            let text = out.split_off(start);
            writer.write(&text, out)
        }
    }

    #[inline]
    fn write_text(&self, value: &[u8], out: &mut Vec<u8>) -> Result<(), InvalidValue> {
        let place = Place::root(out, value);
        match self.text(self.kind, value, place, out) {
            Some(()) => Ok(()),
            None if out.len() > place.end_max => Err(TOO_LONG),
            None => Err(INVALID),
        }
    }

    /// Appends the text of a value, or of a part of one.
    fn text(&self, kind: Kind, value: &[u8], place: Place, out: &mut Vec<u8>) -> Option<()> {
        let mut rest = Bytes::new(value);
        let bytes = &mut rest;
        match kind {
            Kind::Array => self.array(bytes, place, out)?,
            Kind::Bits => number::write_bits(bytes, out)?,
            Kind::Bool => number::write_bool(bytes, out)?,
            Kind::Bytea => number::write_bytea(bytes.rest(), out),
            Kind::Char => number::write_char(bytes, out)?,
            Kind::Composite => self.composite(bytes, place, out)?,
            Kind::Cube => extension::write_cube(bytes, out)?,
            Kind::Date => temporal::write_date(bytes, out)?,
            Kind::Float4 => float::write_float4(bytes.f32()?, out),
            Kind::Float8 => float::write_float8(bytes.f64()?, out),
            Kind::Geometric(shape) => geometric::write(shape, bytes, out)?,
            Kind::Geometry => number::write_upper_hex(bytes.rest(), out),
            Kind::HalfVector => extension::write_half_vector(bytes, out)?,
            Kind::Hstore => extension::write_hstore(bytes, out)?,
            Kind::Inet => network::write_inet(bytes, out)?,
            Kind::Int2 => number::write_integer(bytes.i16()?, out),
            Kind::Int4 => number::write_integer(bytes.i32()?, out),
            Kind::Int8 => number::write_integer(bytes.i64()?, out),
            Kind::Interval => temporal::write_interval(bytes, out)?,
            Kind::Lsn => number::write_lsn(bytes, out)?,
            Kind::MacAddress(length) => network::write_mac_address(bytes, length, out)?,
            Kind::Money => number::write_money(bytes, out)?,
            Kind::Multirange(subtype) => self.multirange(subtype, bytes, place, out)?,
            Kind::Numeric => number::write_numeric(bytes, out)?,
            Kind::Range(subtype) => self.range(subtype, bytes, place, out)?,
            Kind::Registered { none } => number::write_registered(bytes, none, out)?,
            Kind::Snapshot => number::write_snapshot(bytes, out)?,
            Kind::SparseVector => extension::write_sparse_vector(bytes, out)?,
            Kind::Text => out.extend_from_slice(bytes.rest()),
            Kind::Tid => number::write_tid(bytes, out)?,
            Kind::Time => temporal::write_time(bytes, out)?,
            Kind::TimeTz => temporal::write_timetz(bytes, out)?,
            Kind::Timestamp => temporal::write_timestamp(bytes, false, out)?,
            Kind::TimestampTz => temporal::write_timestamp(bytes, true, out)?,
            Kind::TsQuery => text_search::write_tsquery(bytes, out)?,
            Kind::TsVector => text_search::write_tsvector(bytes, out)?,
            Kind::Unknown => write_unknown(bytes.rest(), out),
            Kind::Unsigned4 => number::write_integer(bytes.u32()?, out),
            Kind::Unsigned8 => number::write_integer(bytes.u64()?, out),
            Kind::Uuid => number::write_uuid(bytes, out)?,
            Kind::Vector => extension::write_vector(bytes, out)?,
            Kind::Versioned => {
                (bytes.u8()? == VERSION).then_some(())?;
                out.extend_from_slice(bytes.rest());
            }
            Kind::Words => self.words(bytes, place, out)?,
        }
        rest.finish()?;
        (out.len() <= place.end_max).then_some(())
    }

    /// What a part is of, and what separates such parts in an array.
    fn part(&self, oid: u32) -> (Kind, u8) {
        match self.parts.binary_search_by_key(&oid, |part| part.oid) {
            Ok(index) => self
                .parts
                .get(index)
                .map_or((Kind::Unknown, b','), |part| (part.kind, part.delimiter)),
            Err(_) => (Kind::built_in(oid), delimiter_of(oid)),
        }
    }
}

/// Where in a value the part is that is written.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// Values it is a part of.
    depth: u8,
    /// Where the text of the whole value ends at the latest.
    end_max: usize,
}

impl Place {
    /// Of a whole value whose text is to stand behind `out`.
    fn root(out: &[u8], value: &[u8]) -> Self {
        let growth = value.len().saturating_mul(WIRE_TEXT_GROWTH_MAX);
        let length = growth.saturating_add(WIRE_TEXT_BYTES_MAX);
        Self {
            depth: 0,
            end_max: out.len().saturating_add(length),
        }
    }

    /// Of its parts.
    fn deeper(self) -> Option<Self> {
        let depth = self.depth + 1;
        (depth < WIRE_DEPTH_MAX).then_some(Self { depth, ..self })
    }
}

/// A value whose type is gone, or of an extension that is not known. Text is the send format of
/// many types, and no other one is known to look like text; else its bytes are shown as `bytea`'s.
fn write_unknown(value: &[u8], out: &mut Vec<u8>) {
    let text = core::str::from_utf8(value).is_ok_and(|text| {
        text.bytes()
            .all(|byte| byte >= b' ' || matches!(byte, b'\t' | b'\n' | b'\r'))
    });
    if text {
        out.extend_from_slice(value);
    } else {
        number::write_bytea(value, out);
    }
}

/// What `jsonb`, `jsonpath` and the types of `ltree` start with.
const VERSION: u8 = 1;

/// Text of numbers, times, UUIDs.
const SHORT_BYTES_MAX: usize = 64;

const INVALID: InvalidValue = InvalidValue {
    expected: "their type's binary form",
};

const TOO_LONG: InvalidValue = InvalidValue {
    expected: "a value whose text is within the limits of its length",
};

#[cfg(test)]
mod tests;
