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
        | Writer::Money(MoneyStyle::String)
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

/// A column's length as Debezium has it, which is what PostgreSQL's JDBC driver calls precision.
/// None: unlimited. For a column of an array, that of its elements.
pub(super) fn length(type_oid: u32, typmod: i32) -> Option<usize> {
    let constrained = typmod >= 0;
    let length = match oid::element_of(type_oid).unwrap_or(type_oid) {
        oid::BOOL | oid::CHAR => 1,
        oid::INT2 => 5,
        oid::INT4 | oid::OID => 10,
        oid::INT8 => 19,
        oid::FLOAT4 => 8,
        oid::FLOAT8 => 17,
        oid::NUMERIC if constrained => typmod.saturating_sub(VARHDRSZ) >> 16 & 0xffff,
        // Digits before the point, behind it, and sign and point.
        oid::NUMERIC => 131_089,
        oid::BPCHAR | oid::VARCHAR if constrained => typmod.saturating_sub(VARHDRSZ),
        oid::DATE => 13,
        oid::TIME => 8 + fraction(typmod),
        oid::TIMETZ => 14 + fraction(typmod),
        oid::TIMESTAMP => 22 + fraction(typmod),
        oid::TIMESTAMPTZ => 28 + fraction(typmod),
        oid::INTERVAL => 49,
        oid::BIT | oid::VARBIT if constrained => typmod,
        _ => return None,
    };
    usize::try_from(length).ok()
}

/// Digits of a second's fraction, with their point.
fn fraction(typmod: i32) -> i32 {
    match typmod {
        ..=-1 => 7,
        0 => 0,
        // The driver remembers a server that showed two digits.
        1 => 3,
        _ => typmod.saturating_add(1),
    }
}

/// The header that type modifiers of lengths include, `c.h`.
const VARHDRSZ: i32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_as_the_driver_says() {
        assert_eq!(length(oid::VARCHAR, 24), Some(20));
        assert_eq!(length(oid::VARCHAR, -1), None);
        assert_eq!(length(oid::TEXT, -1), None);
        assert_eq!(length(oid::CHAR, -1), Some(1));
        assert_eq!(length(oid::NUMERIC, (10 << 16) + 3 + VARHDRSZ), Some(10));
        assert_eq!(length(1231, (10 << 16) + 3 + VARHDRSZ), Some(10));
        assert_eq!(length(oid::NUMERIC, -1), Some(131_089));
        assert_eq!(length(oid::TIMESTAMP, -1), Some(29));
        assert_eq!(length(oid::TIMESTAMP, 0), Some(22));
        assert_eq!(length(oid::TIME, 3), Some(12));
        assert_eq!(length(oid::TIMETZ, -1), Some(21));
        assert_eq!(length(oid::TIMESTAMPTZ, 1), Some(31));
        assert_eq!(length(oid::BIT, 10), Some(10));
    }
}
