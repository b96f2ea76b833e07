//! What a value's text is turned into, chosen once for a column: matched once for each value.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::array::Array;
use super::binary::{write_bit, write_bits, write_bytea};
use super::composite::Composite;
use super::decimal_number::write_decimal_number;
use super::embedded::write_embedded;
use super::geometric::{java_text, write_point};
use super::hstore::{HstoreStyle, write_hstore};
use super::interval::{IntervalStyle, write_interval};
use super::number::{FloatStyle, write_float, write_integer};
use super::numeric::{
    MoneyStyle, write_decimal, write_decimal_double, write_decimal_exact, write_decimal_string,
    write_money, write_variable_decimal,
};
use super::temporal::{
    DateStyle, TimeStyle, TimeTzStyle, TimestampStyle, TimestampTzStyle, write_date, write_time,
    write_timestamp, write_timestamp_element, write_timestamptz, write_timetz,
};
use super::vector::{write_sparse_vector, write_vector};
use crate::error::InvalidValue;
use crate::json::{Escape, write_binary, write_string};
use crate::options::BinaryMode;

#[derive(Clone, Debug)]
pub(super) enum Writer {
    Array(Box<Array>),
    /// A bit string of one bit.
    Bit,
    /// A longer one.
    Bits,
    Boolean,
    Bytea(BinaryMode),
    Composite(Box<Composite>),
    Date(DateStyle),
    /// Of this scale.
    Decimal(u16),
    /// Of this scale, as a number.
    DecimalNumber(u16),
    /// Of this scale, if it is constrained: for what stands in for a value.
    DecimalDouble(Option<u16>),
    DecimalExact,
    /// Of this scale, if it is constrained.
    DecimalString(Option<u16>),
    Embedded,
    /// An array that Debezium reads as empty, whatever is in it, and as null if nothing is.
    EmptyArray,
    Enumeration(Escape),
    Float(FloatStyle),
    Hstore(HstoreStyle, Escape),
    Integer,
    Interval(IntervalStyle),
    Json(Escape),
    Money(MoneyStyle),
    /// A string that Debezium reads as null, whatever is in it.
    NullString,
    /// An array that Debezium reads as null.
    NullArray,
    Point,
    SparseVector,
    Text(Escape),
    Time(TimeStyle),
    Timestamp(TimestampStyle),
    /// In an array, as Debezium has it there.
    TimestampElement(TimestampStyle),
    TimestampTz(TimestampTzStyle),
    TimeTz(TimeTzStyle),
    /// Bytes of the text, spelled as Java does where it is geometric.
    UnknownBytes {
        mode: BinaryMode,
        geometric: bool,
    },
    Uuid(Escape),
    VariableDecimal,
    Vector(FloatStyle),
}

impl Writer {
    /// Appends JSON for the text; after an error what was appended is to be discarded.
    #[inline]
    pub(super) fn write(&self, text: &[u8], out: &mut Vec<u8>) -> Result<(), InvalidValue> {
        match self {
            Self::Integer => write_integer(text, out),
            Self::Text(escape)
            | Self::Enumeration(escape)
            | Self::Json(escape)
            | Self::Uuid(escape) => write_string(text, *escape, out),
            Self::Boolean => write_boolean(text, out),
            Self::Decimal(scale) => write_decimal(text, *scale, out),
            Self::DecimalExact => write_decimal_exact(text, out),
            Self::Timestamp(style) => write_timestamp(text, *style, out),
            Self::TimestampTz(style) => write_timestamptz(text, *style, out),
            _ => self.write_rare(text, out),
        }
    }

    fn write_rare(&self, text: &[u8], out: &mut Vec<u8>) -> Result<(), InvalidValue> {
        match self {
            Self::Array(array) => array.write(text, out),
            Self::Bit => write_bit(text, out),
            Self::Bits => write_bits(text, out),
            Self::Bytea(mode) => write_bytea(text, *mode, out),
            Self::Composite(composite) => composite.write(text, out),
            Self::Date(style) => write_date(text, *style, out),
            Self::DecimalDouble(_) => write_decimal_double(text, out),
            Self::DecimalNumber(scale) => write_decimal_number(text, *scale, out),
            Self::DecimalString(scale) => write_decimal_string(text, *scale, out),
            Self::Embedded => write_embedded(text, out),
            Self::EmptyArray => {
                out.extend_from_slice(if text.is_empty() {
                    b"null".as_slice()
                } else {
                    b"[]"
                });
                Ok(())
            }
            Self::Float(style) => write_float(text, *style, out),
            Self::Hstore(style, escape) => write_hstore(text, *style, *escape, out),
            Self::Interval(style) => write_interval(text, *style, out),
            Self::Money(style) => write_money(text, *style, out),
            Self::NullString | Self::NullArray => {
                out.extend_from_slice(b"null");
                Ok(())
            }
            Self::Point => write_point(text, out),
            Self::SparseVector => write_sparse_vector(text, out),
            Self::Time(style) => write_time(text, *style, out),
            Self::TimestampElement(style) => write_timestamp_element(text, *style, out),
            Self::TimeTz(style) => write_timetz(text, *style, out),
            Self::UnknownBytes {
                mode,
                geometric: false,
            } => {
                write_binary(text, *mode, out);
                Ok(())
            }
            Self::UnknownBytes {
                mode,
                geometric: true,
            } => {
                write_binary(&java_text(text)?, *mode, out);
                Ok(())
            }
            Self::VariableDecimal => write_variable_decimal(text, out),
            Self::Vector(style) => write_vector(text, *style, out),
            Self::Integer
            | Self::Text(_)
            | Self::Enumeration(_)
            | Self::Json(_)
            | Self::Uuid(_)
            | Self::Boolean
            | Self::Decimal(_)
            | Self::DecimalExact
            | Self::Timestamp(_)
            | Self::TimestampTz(_) => self.write(text, out),
        }
    }
}

#[inline]
fn write_boolean(text: &[u8], out: &mut Vec<u8>) -> Result<(), InvalidValue> {
    match text {
        b"t" => out.extend_from_slice(b"true"),
        b"f" => out.extend_from_slice(b"false"),
        _ => {
            return Err(InvalidValue {
                expected: "a boolean",
            });
        }
    }
    Ok(())
}
