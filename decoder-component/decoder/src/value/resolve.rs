//! Which rendering a type gets: from its OID, its type modifier, the catalogs and the options.

use alloc::boxed::Box;
use core::cell::Cell;

use super::Types;
use super::array::{Array, ArrayStyle};
use super::builtin as oid;
use super::composite::{Attribute, Composite};
use super::default;
use super::hstore::HstoreStyle;
use super::interval::IntervalStyle;
use super::number::FloatStyle;
use super::numeric::MoneyStyle;
use super::temporal::{DateStyle, TimeStyle, TimeTzStyle, TimestampStyle, TimestampTzStyle};
use super::writer::Writer;
use crate::facts::{TypeFacts, TypeKind};
use crate::json::Escape;
use crate::limits::{TYPE_DEPTH_MAX, TYPE_PARTS_MAX};
use crate::options::{DecimalMode, Format, HstoreMode, IntervalMode, Options, TimeMode};

/// A column's type, seen through domains.
pub(super) struct Resolved {
    pub(super) writer: Writer,
    pub(super) type_oid: u32,
    /// Whether Debezium shows defaults of such a column.
    pub(super) has_default: bool,
}

/// None: the format leaves columns of this type out.
pub(super) fn resolve(
    sent_oid: u32,
    typmod: i32,
    types: &Types,
    options: &Options,
) -> Option<Resolved> {
    let (type_oid, typmod) = base(sent_oid, typmod, types);
    let resolver = Resolver {
        types,
        options,
        escape: Escape::for_format(options.format),
        parts_left: Cell::new(TYPE_PARTS_MAX),
    };
    let writer = match options.format {
        Format::Debezium => resolver.debezium(type_oid, typmod)?,
        Format::Native => resolver.native(type_oid, typmod, 0),
    };
    let has_default = sent_oid == type_oid && default::is_read(type_oid, types);
    Some(Resolved {
        writer,
        type_oid,
        has_default,
    })
}

/// Sees through a domain, and domains over it.
pub(super) fn base(mut type_oid: u32, mut typmod: i32, types: &Types) -> (u32, i32) {
    for _ in 0..TYPE_DEPTH_MAX {
        match types.learnt(type_oid) {
            Some(TypeFacts {
                kind: TypeKind::Domain,
                base,
                base_typmod,
                ..
            }) => {
                (type_oid, typmod) = (*base, *base_typmod);
            }
            _ => break,
        }
    }
    (type_oid, typmod)
}

struct Resolver<'a> {
    types: &'a Types,
    options: &'a Options,
    escape: Escape,
    /// Parts of the type that may still be looked into.
    parts_left: Cell<usize>,
}

impl Resolver<'_> {
    fn debezium(&self, type_oid: u32, typmod: i32) -> Option<Writer> {
        if let Some(element) = self.types.element(type_oid) {
            return self.debezium_array(element, typmod);
        }
        match type_oid {
            oid::NAME if self.options.strict && !self.options.include_unknown => {
                return Some(Writer::NullString);
            }
            oid::NAME => return Some(self.text()),
            oid::INT2VECTOR | oid::OIDVECTOR => return Some(Writer::EmptyArray),
            _ => {}
        }
        self.debezium_scalar(type_oid, typmod, false)
            .or_else(|| self.unknown(type_oid))
    }

    /// A type that Debezium does not know, if such are wanted.
    fn unknown(&self, type_oid: u32) -> Option<Writer> {
        let geometric = matches!(
            type_oid,
            oid::BOX | oid::CIRCLE | oid::LINE | oid::LSEG | oid::PATH | oid::POLYGON
        );
        let unknown = Writer::UnknownBytes {
            mode: self.options.binary,
            geometric,
        };
        self.options.include_unknown.then_some(unknown)
    }

    fn debezium_array(&self, element: u32, typmod: i32) -> Option<Writer> {
        match element {
            oid::BIT | oid::INT2VECTOR | oid::OIDVECTOR => return Some(Writer::NullArray),
            oid::NAME
            | oid::INTERVAL
            | oid::MONEY
            | oid::POINT
            | oid::REFCURSOR
            | oid::VARBIT
            | oid::XML => return None,
            _ => {}
        }
        // Debezium reads elements another way than values, and loses microseconds and eras.
        let writer = self
            .debezium_scalar(element, typmod, self.options.strict)
            .or_else(|| self.unknown(element))?;
        let inner = match writer {
            Writer::Text(_) | Writer::Enumeration(_) | Writer::Json(_) | Writer::Uuid(_) => {
                Some(self.escape)
            }
            _ => None,
        };
        // Debezium lets elements be null where it knows the array type, not only the element's.
        let name = self.types.learnt(element).map(|facts| facts.name.as_str());
        let (optional, without_null) = match (name, &writer) {
            (Some("citext" | "hstore"), _) => (true, false),
            (Some("ltree"), _) => (true, true),
            (Some(_), _) | (None, Writer::UnknownBytes { .. }) => (false, true),
            (None, _) if element == oid::TSVECTOR => (false, true),
            (None, _) => (true, false),
        };
        let style = ArrayStyle::Flat {
            inner,
            optional,
            without_null,
            finite: self.options.strict && element == oid::NUMERIC,
        };
        Some(self.array(element, writer, style))
    }

    /// None: the type is unknown to Debezium.
    fn debezium_scalar(&self, type_oid: u32, typmod: i32, element: bool) -> Option<Writer> {
        Some(match type_oid {
            oid::MONEY => match self.options.decimal {
                DecimalMode::Precise if self.options.decimal_numbers => {
                    Writer::Money(MoneyStyle::Number(self.options.money_fraction_digits))
                }
                DecimalMode::Precise | DecimalMode::Exact => {
                    Writer::Money(MoneyStyle::Decimal(self.options.money_fraction_digits))
                }
                DecimalMode::Double => Writer::Money(MoneyStyle::Double),
                DecimalMode::String => {
                    Writer::Money(MoneyStyle::String(self.options.money_fraction_digits))
                }
            },
            oid::FLOAT4 | oid::FLOAT8 => Writer::Float(FloatStyle::Java),
            oid::JSON | oid::JSONB => Writer::Json(self.escape),
            oid::BIT | oid::VARBIT if typmod == 1 => Writer::Bit,
            oid::BIT | oid::VARBIT => Writer::Bits,
            oid::POINT => Writer::Point,
            oid::TIMETZ => Writer::TimeTz(TimeTzStyle::Utc { element }),
            oid::TIMESTAMPTZ => {
                let digits = fraction_digits(typmod);
                Writer::TimestampTz(TimestampTzStyle::Digits { digits, element })
            }
            oid::TEXT
            | oid::VARCHAR
            | oid::BPCHAR
            | oid::CHAR
            | oid::XML
            | oid::INET
            | oid::CIDR
            | oid::MACADDR
            | oid::MACADDR8
            | oid::TSVECTOR
            | oid::INT4RANGE
            | oid::INT8RANGE
            | oid::NUMRANGE
            | oid::TSRANGE
            | oid::TSTZRANGE
            | oid::DATERANGE => self.text(),
            _ => match self.types.learnt(type_oid) {
                Some(facts) => self.debezium_learnt(facts)?,
                None => self.plain(type_oid, typmod, element)?,
            },
        })
    }

    /// Types of extensions are known by name.
    fn debezium_learnt(&self, facts: &TypeFacts) -> Option<Writer> {
        match (facts.kind, facts.name.as_str()) {
            (TypeKind::Enumeration, _) => Some(Writer::Enumeration(self.escape)),
            (TypeKind::Base, "citext" | "isbn" | "ltree") => Some(self.text()),
            (TypeKind::Base, "hstore") => Some(self.hstore()),
            (TypeKind::Base, "vector" | "halfvec") => Some(Writer::Vector(FloatStyle::Java)),
            (TypeKind::Base, "sparsevec") => Some(Writer::SparseVector),
            _ => None,
        }
    }

    fn native(&self, type_oid: u32, typmod: i32, depth: usize) -> Writer {
        let (type_oid, typmod) = base(type_oid, typmod, self.types);
        let parts_left = self.parts_left.get();
        if depth > TYPE_DEPTH_MAX || parts_left == 0 {
            return self.text();
        }
        self.parts_left.set(parts_left - 1);
        if let Some(element) = self.types.element(type_oid) {
            let writer = self.native(element, typmod, depth + 1);
            return self.array(element, writer, ArrayStyle::Nested(self.escape));
        }
        match type_oid {
            oid::FLOAT4 | oid::FLOAT8 => Writer::Float(FloatStyle::Server),
            oid::JSON | oid::JSONB => Writer::Embedded,
            oid::MONEY => match self.options.decimal {
                DecimalMode::Exact => self.text(),
                DecimalMode::Precise if self.options.decimal_numbers => {
                    Writer::Money(MoneyStyle::Number(self.options.money_fraction_digits))
                }
                DecimalMode::Precise => {
                    Writer::Money(MoneyStyle::Decimal(self.options.money_fraction_digits))
                }
                DecimalMode::Double => Writer::Money(MoneyStyle::Double),
                DecimalMode::String => {
                    Writer::Money(MoneyStyle::String(self.options.money_fraction_digits))
                }
            },
            oid::TIMETZ => Writer::TimeTz(TimeTzStyle::Iso),
            oid::TIMESTAMPTZ => Writer::TimestampTz(TimestampTzStyle::Iso),
            _ => match self.types.learnt(type_oid) {
                Some(facts) => self.native_learnt(facts, depth),
                None => self
                    .plain(type_oid, typmod, false)
                    .unwrap_or_else(|| self.text()),
            },
        }
    }

    fn native_learnt(&self, facts: &TypeFacts, depth: usize) -> Writer {
        match (facts.kind, facts.name.as_str()) {
            (TypeKind::Base, "hstore") => self.hstore(),
            (TypeKind::Base, "vector" | "halfvec") => Writer::Vector(FloatStyle::Server),
            (TypeKind::Composite, _) => {
                let attributes = facts.attributes.iter().map(|attribute| {
                    let writer = self.native(attribute.type_oid, attribute.typmod, depth + 1);
                    Attribute::new(&attribute.name, self.escape, writer)
                });
                Writer::Composite(Box::new(Composite {
                    attributes: attributes.collect(),
                    escape: self.escape,
                }))
            }
            _ => self.text(),
        }
    }

    /// Types that look alike in both formats, or for which an option decides alone.
    fn plain(&self, type_oid: u32, typmod: i32, element: bool) -> Option<Writer> {
        Some(match type_oid {
            oid::BOOL => Writer::Boolean,
            oid::INT2 | oid::INT4 | oid::INT8 | oid::OID => Writer::Integer,
            oid::NUMERIC => match (self.options.decimal, scale(typmod)) {
                (DecimalMode::Precise, Some(scale)) if self.options.decimal_numbers => {
                    Writer::DecimalNumber(scale)
                }
                (DecimalMode::Precise, Some(scale)) => Writer::Decimal(scale),
                (DecimalMode::Precise, None) => Writer::VariableDecimal,
                (DecimalMode::Double, scale) => Writer::DecimalDouble(scale),
                (DecimalMode::String, scale) => Writer::DecimalString(scale),
                (DecimalMode::Exact, _) => Writer::DecimalExact,
            },
            oid::BYTEA => Writer::Bytea(self.options.binary),
            oid::UUID => Writer::Uuid(self.escape),
            oid::INTERVAL => Writer::Interval(match (self.options.interval, self.options.format) {
                (IntervalMode::Numeric, _) if self.options.strict => IntervalStyle::Doubles,
                (IntervalMode::Numeric, _) => IntervalStyle::Micros,
                (IntervalMode::String, Format::Debezium) => IntervalStyle::IsoFull,
                (IntervalMode::String, Format::Native) => IntervalStyle::Iso,
            }),
            oid::DATE => Writer::Date(match (self.options.time, self.options.format) {
                (TimeMode::IsoString, Format::Native) => DateStyle::Iso,
                (TimeMode::IsoString, Format::Debezium) => DateStyle::IsoZ { element },
                _ => DateStyle::Days { element },
            }),
            oid::TIME => Writer::Time(self.time(typmod, element)),
            oid::TIMESTAMP if element => Writer::TimestampElement(self.timestamp(typmod)),
            oid::TIMESTAMP => Writer::Timestamp(self.timestamp(typmod)),
            _ => return None,
        })
    }

    fn time(&self, typmod: i32, element: bool) -> TimeStyle {
        match (self.options.time, self.options.format) {
            (TimeMode::Connect, _) => TimeStyle::Millis { element },
            (TimeMode::Adaptive, _) if fraction_digits(typmod) <= 3 => {
                TimeStyle::Millis { element }
            }
            (TimeMode::IsoString, Format::Native) => TimeStyle::Iso,
            (TimeMode::IsoString, Format::Debezium) => TimeStyle::IsoZ { element },
            (TimeMode::Nanoseconds, _) => TimeStyle::Nanos { element },
            _ => TimeStyle::Micros { element },
        }
    }

    fn timestamp(&self, typmod: i32) -> TimestampStyle {
        let milliseconds = fraction_digits(typmod) <= 3;
        match (self.options.time, self.options.format) {
            (TimeMode::Connect, _) => TimestampStyle::Millis,
            (TimeMode::Adaptive | TimeMode::AdaptiveTimeMicroseconds, _) if milliseconds => {
                TimestampStyle::Millis
            }
            (TimeMode::IsoString, Format::Native) => TimestampStyle::Iso,
            (TimeMode::IsoString, Format::Debezium) => TimestampStyle::IsoZ,
            (TimeMode::Nanoseconds, _) => TimestampStyle::Nanos,
            _ => TimestampStyle::Micros,
        }
    }

    fn hstore(&self) -> Writer {
        let style = match (self.options.hstore, self.options.format) {
            (HstoreMode::Json, _) => HstoreStyle::JavaJson,
            (HstoreMode::Map, Format::Debezium) => HstoreStyle::JavaObject,
            (HstoreMode::Map, Format::Native) => HstoreStyle::Object,
        };
        Writer::Hstore(style, self.escape)
    }

    fn text(&self) -> Writer {
        Writer::Text(self.escape)
    }

    fn array(&self, element: u32, writer: Writer, style: ArrayStyle) -> Writer {
        let delimiter = match self.types.learnt(element) {
            Some(facts) => u8::try_from(facts.delimiter).unwrap_or(b','),
            None => oid::delimiter_of(element),
        };
        Writer::Array(Box::new(Array {
            element: writer,
            delimiter,
            style,
        }))
    }
}

/// Of `numeric(p,s)`. Debezium takes the field of eleven bits as unsigned, so does not know
/// negative scales (`numeric_typmod_scale`, utils/adt/numeric.c).
fn scale(typmod: i32) -> Option<u16> {
    let field = typmod.checked_sub(VARHDRSZ).filter(|field| *field >= 0)?;
    u16::try_from(field & 0x7FF).ok()
}

/// Of a time or timestamp.
fn fraction_digits(typmod: i32) -> u8 {
    u8::try_from(typmod).map_or(6, |digits| digits.min(6))
}

/// `VARHDRSZ`, c.h.
const VARHDRSZ: i32 = 4;
