//! What a column's mapping has to know of its type.

use super::builtin as oid;
use super::hstore::HstoreStyle;
use super::interval::IntervalStyle;
use super::numeric::MoneyStyle;
use super::temporal::{DateStyle, TimeStyle, TimestampStyle};
use super::writer::Writer;
use crate::options::BinaryMode;

/// What Debezium's converters make of a value, apart from what JSON makes of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MappedAs {
    /// A `ByteBuffer`: base64 in JSON.
    Bytes,
    /// Neither: numbers, arrays, bit strings and the like.
    Other,
    /// A `String`.
    Text,
}

pub(super) fn mapped_as(writer: &Writer) -> MappedAs {
    match writer {
        Writer::Bytea(BinaryMode::Bytes)
        | Writer::UnknownBytes {
            mode: BinaryMode::Bytes,
            ..
        } => MappedAs::Bytes,
        Writer::Bytea(_)
        | Writer::Date(DateStyle::Iso | DateStyle::IsoZ { .. })
        | Writer::DecimalString(_)
        | Writer::Enumeration(_)
        | Writer::Hstore(HstoreStyle::JavaJson, _)
        | Writer::Interval(IntervalStyle::Iso | IntervalStyle::IsoFull)
        | Writer::Json(_)
        | Writer::Money(MoneyStyle::String(_))
        | Writer::Text(_)
        | Writer::Time(TimeStyle::Iso | TimeStyle::IsoZ { .. })
        | Writer::TimeTz(_)
        | Writer::Timestamp(TimestampStyle::Iso | TimestampStyle::IsoZ)
        | Writer::TimestampTz(_)
        | Writer::UnknownBytes { .. }
        | Writer::Uuid(_) => MappedAs::Text,
        _ => MappedAs::Other,
    }
}

/// Whether JDBC takes the type for one of characters; enumerations it does, extensions' types not.
pub(super) fn is_character(type_oid: u32, writer: &Writer) -> bool {
    matches!(
        type_oid,
        oid::BPCHAR | oid::CHAR | oid::NAME | oid::TEXT | oid::VARCHAR
    ) || matches!(writer, Writer::Enumeration(_))
}
