//! A column's values as an Arrow array, by the column's type.

use std::borrow::Cow;
use std::iter;
use std::sync::Arc;

use arrow_array::builder::{
    BinaryBuilder, BooleanBuilder, PrimitiveBuilder, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type,
    Int64Type, Time64MicrosecondType, UInt32Type,
};
use arrow_array::{ArrayRef, ListArray};
use arrow_buffer::{NullBufferBuilder, OffsetBuffer, ScalarBuffer};
use arrow_schema::{DECIMAL128_MAX_PRECISION, DataType, Field};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiter::Jiter;
use pgoutput_decoder_host::Column;

use super::temporal;
use crate::raw::elements;
use crate::value::DecimalAs;

/// The value has no place in the column's Arrow type.
pub(super) struct Unfit;

/// A column's values so far.
pub(super) enum Values {
    Binary(BinaryBuilder, Vec<u8>),
    Boolean(BooleanBuilder),
    Date(PrimitiveBuilder<Date32Type>),
    Decimal(PrimitiveBuilder<Decimal128Type>, Digits),
    Float32(PrimitiveBuilder<Float32Type>),
    Float64(PrimitiveBuilder<Float64Type>),
    Int16(PrimitiveBuilder<Int16Type>),
    Int32(PrimitiveBuilder<Int32Type>),
    Int64(PrimitiveBuilder<Int64Type>),
    /// JSON as the event has it.
    Json(StringBuilder),
    List(Box<List>),
    Text(StringBuilder),
    Time(PrimitiveBuilder<Time64MicrosecondType>),
    Timestamp(TimestampMicrosecondBuilder),
    TimestampUtc(TimestampMicrosecondBuilder),
    UInt32(PrimitiveBuilder<UInt32Type>),
}

/// A list's elements so far.
pub(super) struct List {
    elements: Values,
    count: i32,
    offsets: Vec<i32>,
    nulls: NullBufferBuilder,
}

/// What a `numeric` is constrained to.
#[derive(Clone, Copy)]
pub(super) struct Digits {
    precision: u8,
    scale: u8,
}

/// `pg_type.oid` of the types that have an Arrow type besides text, each with that of its array.
mod oid {
    pub(super) const BOOL: [u32; 2] = [16, 1000];
    pub(super) const INT8: [u32; 2] = [20, 1016];
    pub(super) const INT2: [u32; 2] = [21, 1005];
    pub(super) const INT4: [u32; 2] = [23, 1007];
    pub(super) const OID: [u32; 2] = [26, 1028];
    pub(super) const FLOAT4: [u32; 2] = [700, 1021];
    pub(super) const DATE: [u32; 2] = [1082, 1182];
    pub(super) const TIME: [u32; 2] = [1083, 1183];
    pub(super) const TIMESTAMP: [u32; 2] = [1114, 1115];
    pub(super) const TIMESTAMPTZ: [u32; 2] = [1184, 1185];
    pub(super) const NUMERIC: [u32; 2] = [1700, 1231];
}

/// wit/decoding.wit, "shape".
mod shape {
    pub(super) const PLAIN: u8 = 0;
    pub(super) const DECIMAL: u8 = 1;
    pub(super) const BYTES: u8 = 2;
    pub(super) const FLOAT: u8 = 3;
    pub(super) const ARRAY: u8 = 16;
}

impl Values {
    /// An array, or a list, of what the column's type is.
    pub(super) fn of(column: &Column, decimal: DecimalAs) -> Self {
        match column.shape.code.checked_sub(shape::ARRAY) {
            None => Self::scalar(column, column.shape.code, decimal),
            Some(element) if element < shape::ARRAY => Self::List(Box::new(List {
                elements: Self::scalar(column, element, decimal),
                count: 0,
                offsets: vec![0],
                nulls: NullBufferBuilder::new(0),
            })),
            Some(_) => Self::Json(StringBuilder::new()),
        }
    }

    pub(super) fn text() -> Self {
        Self::Text(StringBuilder::new())
    }

    fn scalar(column: &Column, code: u8, decimal: DecimalAs) -> Self {
        let is = |oids: [u32; 2]| oids.contains(&column.type_oid);
        match code {
            shape::DECIMAL if !is(oid::NUMERIC) => Self::text(),
            shape::DECIMAL => match (decimal, Digits::of(column.typmod)) {
                (DecimalAs::Float, _) => Self::Float64(PrimitiveBuilder::new()),
                (DecimalAs::Decimal, Some(digits)) => {
                    let kind = DataType::Decimal128(digits.precision, digits.scale.cast_signed());
                    Self::Decimal(PrimitiveBuilder::new().with_data_type(kind), digits)
                }
                _ => Self::text(),
            },
            shape::BYTES => Self::Binary(BinaryBuilder::new(), Vec::new()),
            shape::FLOAT if is(oid::FLOAT4) => Self::Float32(PrimitiveBuilder::new()),
            shape::FLOAT => Self::Float64(PrimitiveBuilder::new()),
            shape::PLAIN if is(oid::BOOL) => Self::Boolean(BooleanBuilder::new()),
            shape::PLAIN if is(oid::INT2) => Self::Int16(PrimitiveBuilder::new()),
            shape::PLAIN if is(oid::INT4) => Self::Int32(PrimitiveBuilder::new()),
            shape::PLAIN if is(oid::INT8) => Self::Int64(PrimitiveBuilder::new()),
            shape::PLAIN if is(oid::OID) => Self::UInt32(PrimitiveBuilder::new()),
            shape::PLAIN if is(oid::DATE) => Self::Date(PrimitiveBuilder::new()),
            shape::PLAIN if is(oid::TIME) => Self::Time(PrimitiveBuilder::new()),
            shape::PLAIN if is(oid::TIMESTAMP) => Self::Timestamp(PrimitiveBuilder::new()),
            shape::PLAIN if is(oid::TIMESTAMPTZ) => {
                Self::TimestampUtc(PrimitiveBuilder::new().with_timezone("UTC"))
            }
            shape::PLAIN => Self::text(),
            _ => Self::Json(StringBuilder::new()),
        }
    }

    /// Appends a value, from its JSON.
    pub(super) fn append(&mut self, json: &str) -> Result<(), Unfit> {
        if json == "null" {
            self.append_null();
            return Ok(());
        }
        match self {
            Self::Binary(values, bytes) => {
                bytes.clear();
                STANDARD
                    .decode_vec(&*text(json)?, bytes)
                    .map_err(|_| Unfit)?;
                values.append_value(bytes);
            }
            Self::Boolean(values) => values.append_value(parsed(json)?),
            Self::Date(values) => push(values, temporal::date(unquoted(json)?))?,
            Self::Decimal(values, digits) => push(values, digits.parse(json))?,
            Self::Float32(values) => values.append_value(parsed(unquoted(json).unwrap_or(json))?),
            Self::Float64(values) => values.append_value(parsed(unquoted(json).unwrap_or(json))?),
            Self::Int16(values) => values.append_value(parsed(json)?),
            Self::Int32(values) => values.append_value(parsed(json)?),
            Self::Int64(values) => values.append_value(parsed(json)?),
            Self::Json(values) => {
                // The decoder tells a json null from SQL's by a space of its own.
                let own = usize::from(json.trim_ascii() == "null");
                values.append_value(json.get(own..).unwrap_or_default());
            }
            Self::List(list) => list.append(json)?,
            Self::Text(values) => values.append_value(text(json)?),
            Self::Time(values) => push(values, temporal::time(unquoted(json)?))?,
            Self::Timestamp(values) => push(values, temporal::timestamp(unquoted(json)?))?,
            Self::TimestampUtc(values) => push(values, temporal::timestamp_utc(unquoted(json)?))?,
            Self::UInt32(values) => values.append_value(parsed(json)?),
        }
        Ok(())
    }

    pub(super) fn append_null(&mut self) {
        match self {
            Self::Binary(values, _) => values.append_null(),
            Self::Boolean(values) => values.append_null(),
            Self::Date(values) => values.append_null(),
            Self::Decimal(values, _) => values.append_null(),
            Self::Float32(values) => values.append_null(),
            Self::Float64(values) => values.append_null(),
            Self::Int16(values) => values.append_null(),
            Self::Int32(values) => values.append_null(),
            Self::Int64(values) => values.append_null(),
            Self::Json(values) | Self::Text(values) => values.append_null(),
            Self::List(list) => {
                list.offsets.push(list.count);
                list.nulls.append_null();
            }
            Self::Time(values) => values.append_null(),
            Self::Timestamp(values) | Self::TimestampUtc(values) => values.append_null(),
            Self::UInt32(values) => values.append_null(),
        }
    }

    /// What has been appended; after it, what comes is appended to nothing.
    pub(super) fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Binary(values, _) => Arc::new(values.finish()),
            Self::Boolean(values) => Arc::new(values.finish()),
            Self::Date(values) => Arc::new(values.finish()),
            Self::Decimal(values, _) => Arc::new(values.finish()),
            Self::Float32(values) => Arc::new(values.finish()),
            Self::Float64(values) => Arc::new(values.finish()),
            Self::Int16(values) => Arc::new(values.finish()),
            Self::Int32(values) => Arc::new(values.finish()),
            Self::Int64(values) => Arc::new(values.finish()),
            Self::Json(values) | Self::Text(values) => Arc::new(values.finish()),
            Self::List(list) => Arc::new(list.finish()),
            Self::Time(values) => Arc::new(values.finish()),
            Self::Timestamp(values) | Self::TimestampUtc(values) => Arc::new(values.finish()),
            Self::UInt32(values) => Arc::new(values.finish()),
        }
    }
}

impl List {
    /// An array that JSON's cannot show is a string; of more than one dimension it is nested.
    fn append(&mut self, json: &str) -> Result<(), Unfit> {
        if !json.starts_with('[') {
            return Err(Unfit);
        }
        for element in elements(json) {
            if element.starts_with('[') && !matches!(self.elements, Values::Json(_)) {
                return Err(Unfit);
            }
            self.elements.append(element)?;
            self.count = self.count.checked_add(1).ok_or(Unfit)?;
        }
        self.offsets.push(self.count);
        self.nulls.append_non_null();
        Ok(())
    }

    fn finish(&mut self) -> ListArray {
        let elements = self.elements.finish();
        let field = Field::new_list_field(elements.data_type().clone(), true);
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        self.count = 0;
        ListArray::new(
            Arc::new(field),
            OffsetBuffer::new(ScalarBuffer::from(offsets)),
            elements,
            self.nulls.finish(),
        )
    }
}

impl Digits {
    /// None for a `numeric` without bounds, or with more digits than 128 bits hold.
    fn of(typmod: i32) -> Option<Self> {
        let bits = typmod.checked_sub(4).filter(|bits| *bits >= 0)?;
        let precision = bits >> 16;
        // A number of 11 bits with a sign.
        let scale = ((bits & 0x7FF) ^ 0x400) - 0x400;
        // A negative scale has zeros in front of the point; one beyond the precision, behind it.
        let precision = (precision - scale.min(0)).max(scale);
        let precision = u8::try_from(precision).ok()?;
        (precision <= DECIMAL128_MAX_PRECISION).then_some(Self {
            precision,
            scale: u8::try_from(scale.max(0)).ok()?,
        })
    }

    /// The number in units of the last place.
    fn parse(self, json: &str) -> Option<i128> {
        let unsigned = json.strip_prefix('-').unwrap_or(json);
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let zeros = usize::from(self.scale).checked_sub(fraction.len())?;
        let digits = whole.bytes().chain(fraction.bytes());
        let mut number = 0_i128;
        for digit in digits.chain(iter::repeat_n(b'0', zeros)) {
            if !digit.is_ascii_digit() {
                return None;
            }
            let digit = i128::from(digit - b'0');
            number = number.checked_mul(10)?.checked_add(digit)?;
        }
        let bound = 10_i128.pow(self.precision.into());
        let number = if unsigned.len() < json.len() {
            -number
        } else {
            number
        };
        (-bound < number && number < bound).then_some(number)
    }
}

fn push<T: ArrowPrimitiveType>(
    values: &mut PrimitiveBuilder<T>,
    value: Option<T::Native>,
) -> Result<(), Unfit> {
    values.append_value(value.ok_or(Unfit)?);
    Ok(())
}

fn parsed<T: std::str::FromStr>(text: &str) -> Result<T, Unfit> {
    text.parse().map_err(|_| Unfit)
}

/// What a string literal that needs no escapes says.
fn unquoted(json: &str) -> Result<&str, Unfit> {
    let quoted = json.strip_prefix('"');
    quoted.and_then(|json| json.strip_suffix('"')).ok_or(Unfit)
}

/// What a string literal says; of anything else, its JSON.
fn text(json: &str) -> Result<Cow<'_, str>, Unfit> {
    match unquoted(json) {
        Err(Unfit) => Ok(Cow::Borrowed(json)),
        Ok(inner) if !inner.contains('\\') => Ok(Cow::Borrowed(inner)),
        Ok(_) => {
            let mut jiter = Jiter::new(json.as_bytes());
            let text = jiter.next_str().map_err(|_| Unfit)?;
            Ok(Cow::Owned(text.to_owned()))
        }
    }
}
