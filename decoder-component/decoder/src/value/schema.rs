//! What Kafka Connect's schema says of a column's values: its type, and the name Debezium gives to
//! what the type cannot say.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::array::{Array, ArrayStyle};
use super::builtin as oid;
use super::hstore::HstoreStyle;
use super::interval::IntervalStyle;
use super::numeric::MoneyStyle;
use super::resolve::base;
use super::temporal::{DateStyle, TimeStyle, TimestampStyle};
use super::writer::Writer;
use super::{Rendering, Types};
use crate::options::{BinaryMode, Format, Options, TimeMode};
use crate::relation::write_name;

/// A schema without what depends on the column: whether it is optional, its default, its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TypeSchema {
    /// `"type":"int32"`, and what else belongs to it: items, fields, keys and values.
    pub(crate) kind: Cow<'static, str>,
    /// Of a semantic type; their version is 1.
    pub(crate) name: Option<&'static str>,
    pub(crate) doc: Option<&'static str>,
    pub(crate) parameters: Vec<(&'static str, String)>,
}

impl Rendering {
    /// The Connect schema of the column's values, in Debezium's format; type and modifier are those
    /// the column was resolved from.
    pub(crate) fn schema(
        &self,
        type_oid: u32,
        typmod: i32,
        types: &Types,
        options: &Options,
    ) -> TypeSchema {
        let (type_oid, typmod) = base(type_oid, typmod, types);
        Describer { types, options }.schema(&self.writer, type_oid, typmod)
    }
}

impl TypeSchema {
    fn plain(kind: &'static str) -> Self {
        Self {
            kind: Cow::Borrowed(kind),
            name: None,
            doc: None,
            parameters: Vec::new(),
        }
    }

    fn named(kind: &'static str, name: &'static str) -> Self {
        Self {
            name: Some(name),
            ..Self::plain(kind)
        }
    }

    fn decimal(scale: u16, precision: Option<i32>) -> Self {
        let precision = precision.map(|digits| ("connect.decimal.precision", digits.to_string()));
        Self {
            parameters: [("scale", scale.to_string())]
                .into_iter()
                .chain(precision)
                .collect(),
            ..Self::named(BYTES, "org.apache.kafka.connect.data.Decimal")
        }
    }

    /// Appends the schema as the members of an object, but for the brace that ends it.
    /// `more` are parameters behind the type's own; `default` is JSON.
    pub(crate) fn write(
        &self,
        optional: bool,
        more: &[(&'static str, String)],
        default: Option<&[u8]>,
        out: &mut Vec<u8>,
    ) {
        out.push(b'{');
        out.extend_from_slice(self.kind.as_bytes());
        out.extend_from_slice(if optional {
            b",\"optional\":true".as_slice()
        } else {
            b",\"optional\":false"
        });
        if let Some(name) = self.name {
            out.extend_from_slice(format!(",\"name\":\"{name}\",\"version\":1").as_bytes());
        }
        if let Some(doc) = self.doc {
            out.extend_from_slice(format!(",\"doc\":\"{doc}\"").as_bytes());
        }
        let mut separator: &[u8] = b",\"parameters\":{\"";
        for (name, value) in self.parameters.iter().chain(more) {
            out.extend_from_slice(separator);
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\":");
            write_name(value, Format::Debezium, out);
            separator = b",\"";
        }
        if separator.len() == 2 {
            out.push(b'}');
        }
        if let Some(default) = default {
            out.extend_from_slice(b",\"default\":");
            out.extend_from_slice(default);
        }
    }
}

struct Describer<'a> {
    types: &'a Types,
    options: &'a Options,
}

impl Describer<'_> {
    fn schema(&self, writer: &Writer, type_oid: u32, typmod: i32) -> TypeSchema {
        match writer {
            Writer::Array(array) => self.array(array, type_oid, typmod),
            Writer::Bits => bits(typmod),
            Writer::Bytea(mode) | Writer::UnknownBytes { mode, .. } => {
                TypeSchema::plain(bytes(*mode))
            }
            Writer::Date(style) => self.date(*style),
            Writer::Decimal(scale) | Writer::DecimalNumber(scale) => {
                TypeSchema::decimal(*scale, Some(precision(typmod)))
            }
            Writer::EmptyArray if type_oid == oid::INT2VECTOR => TypeSchema::plain(
                "\"type\":\"array\",\"items\":{\"type\":\"int16\",\"optional\":false}",
            ),
            Writer::EmptyArray => TypeSchema::plain(
                "\"type\":\"array\",\"items\":{\"type\":\"int64\",\"optional\":false}",
            ),
            Writer::Enumeration(_) => self.enumeration(type_oid),
            Writer::Float(_) if type_oid == oid::FLOAT4 => TypeSchema::plain(FLOAT),
            Writer::DecimalDouble(_) | Writer::Float(_) | Writer::Money(MoneyStyle::Double) => {
                TypeSchema::plain(DOUBLE)
            }
            Writer::Hstore(HstoreStyle::JavaObject, _) => TypeSchema::plain(
                "\"type\":\"map\",\"keys\":{\"type\":\"string\",\"optional\":false},\
                 \"values\":{\"type\":\"string\",\"optional\":true}",
            ),
            Writer::Hstore(..) | Writer::Json(_) => {
                TypeSchema::named(STRING, "io.debezium.data.Json")
            }
            Writer::Integer => TypeSchema::plain(match type_oid {
                oid::INT2 => INT16,
                oid::INT4 => INT32,
                _ => INT64,
            }),
            Writer::Interval(IntervalStyle::Micros | IntervalStyle::Doubles) => {
                TypeSchema::named(INT64, "io.debezium.time.MicroDuration")
            }
            Writer::Interval(_) => TypeSchema::named(STRING, "io.debezium.time.Interval"),
            Writer::Money(MoneyStyle::Decimal(scale) | MoneyStyle::Number(scale)) => {
                TypeSchema::decimal(*scale, None)
            }
            Writer::NullArray => self.null_array(type_oid, typmod),
            Writer::Bit | Writer::Boolean => TypeSchema::plain(BOOLEAN),
            Writer::Point => point(),
            Writer::SparseVector => sparse_vector(),
            Writer::Text(_) => self.text(type_oid),
            Writer::Time(style) => self.time(*style),
            Writer::Timestamp(style) | Writer::TimestampElement(style) => self.timestamp(*style),
            Writer::TimestampTz(_) => TypeSchema::named(STRING, "io.debezium.time.ZonedTimestamp"),
            Writer::TimeTz(_) => TypeSchema::named(STRING, "io.debezium.time.ZonedTime"),
            Writer::Uuid(_) => TypeSchema::named(STRING, "io.debezium.data.Uuid"),
            Writer::VariableDecimal => variable_decimal(),
            Writer::Vector(_) => self.vector(type_oid),
            // The last three are of the native format, which has no schemas.
            Writer::DecimalString(_)
            | Writer::Money(MoneyStyle::String(_))
            | Writer::NullString
            | Writer::Composite(_)
            | Writer::DecimalExact
            | Writer::Embedded => TypeSchema::plain(STRING),
        }
    }

    fn array(&self, array: &Array, type_oid: u32, typmod: i32) -> TypeSchema {
        let element = self.types.element(type_oid).unwrap_or(0);
        let optional = !matches!(
            array.style,
            ArrayStyle::Flat {
                optional: false,
                ..
            }
        );
        array_of(&self.schema(&array.element, element, typmod), optional)
    }

    /// What has no values, described as Debezium does.
    fn null_array(&self, type_oid: u32, typmod: i32) -> TypeSchema {
        match self.types.element(type_oid) {
            Some(element @ (oid::INT2VECTOR | oid::OIDVECTOR)) => {
                array_of(&self.schema(&Writer::EmptyArray, element, typmod), false)
            }
            // An array of bits is described as what it has for elements.
            _ if typmod > 1 => bits(typmod),
            _ => TypeSchema::plain(BOOLEAN),
        }
    }

    fn date(&self, style: DateStyle) -> TypeSchema {
        match style {
            DateStyle::Days { .. } if self.options.time == TimeMode::Connect => {
                TypeSchema::named(INT32, "org.apache.kafka.connect.data.Date")
            }
            DateStyle::Days { .. } => TypeSchema::named(INT32, "io.debezium.time.Date"),
            DateStyle::Iso | DateStyle::IsoZ { .. } => {
                TypeSchema::named(STRING, "io.debezium.time.IsoDate")
            }
        }
    }

    fn time(&self, style: TimeStyle) -> TypeSchema {
        match style {
            TimeStyle::Millis { .. } if self.options.time == TimeMode::Connect => {
                TypeSchema::named(INT32, "org.apache.kafka.connect.data.Time")
            }
            TimeStyle::Millis { .. } => TypeSchema::named(INT32, "io.debezium.time.Time"),
            TimeStyle::Micros { .. } => TypeSchema::named(INT64, "io.debezium.time.MicroTime"),
            TimeStyle::Nanos { .. } => TypeSchema::named(INT64, "io.debezium.time.NanoTime"),
            TimeStyle::Iso | TimeStyle::IsoZ { .. } => {
                TypeSchema::named(STRING, "io.debezium.time.IsoTime")
            }
        }
    }

    fn timestamp(&self, style: TimestampStyle) -> TypeSchema {
        match style {
            TimestampStyle::Millis if self.options.time == TimeMode::Connect => {
                TypeSchema::named(INT64, "org.apache.kafka.connect.data.Timestamp")
            }
            TimestampStyle::Millis => TypeSchema::named(INT64, "io.debezium.time.Timestamp"),
            TimestampStyle::Micros => TypeSchema::named(INT64, "io.debezium.time.MicroTimestamp"),
            TimestampStyle::Nanos => TypeSchema::named(INT64, "io.debezium.time.NanoTimestamp"),
            TimestampStyle::Iso | TimestampStyle::IsoZ => {
                TypeSchema::named(STRING, "io.debezium.time.IsoTimestamp")
            }
        }
    }

    fn text(&self, type_oid: u32) -> TypeSchema {
        let name = match type_oid {
            oid::XML => Some("io.debezium.data.Xml"),
            oid::TSVECTOR => Some("io.debezium.data.Tsvector"),
            _ => match self.types.learnt(type_oid) {
                Some(facts) if facts.name == "ltree" => Some("io.debezium.data.Ltree"),
                _ => None,
            },
        };
        TypeSchema {
            name,
            ..TypeSchema::plain(STRING)
        }
    }

    fn enumeration(&self, type_oid: u32) -> TypeSchema {
        let facts = self.types.learnt(type_oid);
        let labels = facts.map_or_else(String::new, |facts| facts.labels.join(","));
        TypeSchema {
            parameters: [("allowed", labels)].into(),
            ..TypeSchema::named(STRING, "io.debezium.data.Enum")
        }
    }

    fn vector(&self, type_oid: u32) -> TypeSchema {
        match self.types.learnt(type_oid) {
            Some(facts) if facts.name == "halfvec" => TypeSchema::named(
                "\"type\":\"array\",\"items\":{\"type\":\"float\",\"optional\":false}",
                "io.debezium.data.FloatVector",
            ),
            _ => TypeSchema::named(
                "\"type\":\"array\",\"items\":{\"type\":\"double\",\"optional\":false}",
                "io.debezium.data.DoubleVector",
            ),
        }
    }
}

fn array_of(element: &TypeSchema, optional: bool) -> TypeSchema {
    let mut kind = b"\"type\":\"array\",\"items\":".to_vec();
    element.write(optional, &[], None, &mut kind);
    kind.push(b'}');
    TypeSchema {
        kind: Cow::Owned(String::from_utf8(kind).unwrap_or_default()),
        ..TypeSchema::plain("")
    }
}

fn bits(typmod: i32) -> TypeSchema {
    let length = if typmod < 0 { i32::MAX } else { typmod };
    TypeSchema {
        parameters: [("length", length.to_string())].into(),
        ..TypeSchema::named(BYTES, "io.debezium.data.Bits")
    }
}

/// The schema's type where `binary.handling.mode` decides.
pub(crate) fn bytes(mode: BinaryMode) -> &'static str {
    match mode {
        BinaryMode::Bytes => BYTES,
        BinaryMode::Base64 | BinaryMode::Base64UrlSafe | BinaryMode::Hex => STRING,
    }
}

fn point() -> TypeSchema {
    TypeSchema {
        doc: Some("Geometry (POINT)"),
        ..TypeSchema::named(
            "\"type\":\"struct\",\"fields\":[\
             {\"type\":\"double\",\"optional\":false,\"field\":\"x\"},\
             {\"type\":\"double\",\"optional\":false,\"field\":\"y\"},\
             {\"type\":\"bytes\",\"optional\":true,\"field\":\"wkb\"},\
             {\"type\":\"int32\",\"optional\":true,\"field\":\"srid\"}]",
            "io.debezium.data.geometry.Point",
        )
    }
}

fn sparse_vector() -> TypeSchema {
    TypeSchema {
        doc: Some("Sparse double vector"),
        ..TypeSchema::named(
            "\"type\":\"struct\",\"fields\":[\
             {\"type\":\"int16\",\"optional\":false,\"field\":\"dimensions\"},\
             {\"type\":\"map\",\"keys\":{\"type\":\"int16\",\"optional\":false},\
             \"values\":{\"type\":\"double\",\"optional\":false},\
             \"optional\":false,\"field\":\"vector\"}]",
            "io.debezium.data.SparseDoubleVector",
        )
    }
}

fn variable_decimal() -> TypeSchema {
    TypeSchema {
        doc: Some("Variable scaled decimal"),
        ..TypeSchema::named(
            "\"type\":\"struct\",\"fields\":[\
             {\"type\":\"int32\",\"optional\":false,\"field\":\"scale\"},\
             {\"type\":\"bytes\",\"optional\":false,\"field\":\"value\"}]",
            "io.debezium.data.VariableScaleDecimal",
        )
    }
}

/// Of `numeric(p,s)` (`numeric_typmod_precision`, utils/adt/numeric.c).
pub(super) fn precision(typmod: i32) -> i32 {
    (typmod.wrapping_sub(VARHDRSZ) >> 16) & 0xFFFF
}

/// `VARHDRSZ`, c.h.
const VARHDRSZ: i32 = 4;

const BOOLEAN: &str = "\"type\":\"boolean\"";
const BYTES: &str = "\"type\":\"bytes\"";
const DOUBLE: &str = "\"type\":\"double\"";
const FLOAT: &str = "\"type\":\"float\"";
const INT16: &str = "\"type\":\"int16\"";
const INT32: &str = "\"type\":\"int32\"";
const INT64: &str = "\"type\":\"int64\"";
const STRING: &str = "\"type\":\"string\"";
