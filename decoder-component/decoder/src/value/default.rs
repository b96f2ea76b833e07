//! A column's default, as a JSON constant: from `pg_get_expr`, the way Debezium reads it.

use alloc::vec::Vec;

use super::decimal_number::write_number;
use super::hstore::HstoreStyle;
use super::interval::IntervalStyle;
use super::numeric::MoneyStyle;
use super::temporal::{DateStyle, TimeStyle, TimestampStyle, TimestampTzStyle};
use super::writer::Writer;

/// JSON of the default; none where Debezium has none for the type, or it is NULL.
pub(super) fn default(writer: &Writer, expression: &str) -> Option<Vec<u8>> {
    let zero = zero(writer)?;
    let mut value = Vec::new();
    match constant(expression) {
        Constant::Null => return None,
        Constant::Text(text) => {
            let text = match (writer, text.as_slice()) {
                (Writer::Boolean, b"true") => b"t",
                (Writer::Boolean, b"false") => b"f",
                (_, text) => text,
            };
            if writer.write(text, &mut value).is_err() {
                value = zero.to_vec();
            }
        }
        // A function: nobody knows its value here.
        Constant::Unknown => {
            value = match writer {
                Writer::DecimalNumber(_) => fallback(writer),
                _ => zero.to_vec(),
            }
        }
    }
    if value == b"null" { None } else { Some(value) }
}

/// JSON for a NOT NULL column of which nothing was sent.
pub(super) fn fallback(writer: &Writer) -> Vec<u8> {
    let mut out = Vec::new();
    let constant: &[u8] = match writer {
        Writer::Array(_) | Writer::EmptyArray | Writer::NullArray | Writer::Vector(_) => b"[]",
        Writer::Bits | Writer::Bytea(_) | Writer::NullString | Writer::UnknownBytes { .. } => {
            b"\"\""
        }
        Writer::Hstore(HstoreStyle::JavaJson, _) => b"\"{}\"",
        Writer::Hstore(..) | Writer::Composite(_) => b"{}",
        Writer::VariableDecimal => b"{\"scale\":0,\"value\":\"AA==\"}",
        Writer::DecimalExact => b"0",
        Writer::DecimalNumber(scale) | Writer::Money(MoneyStyle::Number(scale)) => {
            write_number(false, b"0", usize::from(*scale), &mut out);
            return out;
        }
        Writer::DecimalString(None) => b"\"0\"",
        Writer::DecimalString(Some(scale)) => {
            let zeros = alloc::format!("\"{:.*}\"", usize::from(*scale), 0.0);
            return zeros.into_bytes();
        }
        Writer::Money(MoneyStyle::Decimal(_)) => b"\"AA==\"",
        Writer::Money(MoneyStyle::Double) => b"0.0",
        Writer::Money(MoneyStyle::String) => b"\"0.00\"",
        Writer::Point => {
            let written = Writer::Point.write(b"(0,0)", &mut out);
            debug_assert!(written.is_ok(), "a point");
            return out;
        }
        Writer::SparseVector => b"{\"dimensions\":0,\"vector\":[]}",
        Writer::TimeTz(_) => b"\"00:00:00Z\"",
        // Without a fraction, other than as a default.
        Writer::TimestampTz(_) => b"\"1970-01-01T00:00:00Z\"",
        Writer::Embedded => b"null",
        Writer::Uuid(_) => b"\"\"",
        _ => zero(writer).unwrap_or(b"null"),
    };
    constant.to_vec()
}

/// JSON of a type's zero, for defaults that are functions; none where Debezium shows no defaults of
/// the type.
fn zero(writer: &Writer) -> Option<&'static [u8]> {
    Some(match writer {
        Writer::Bit | Writer::Boolean => b"false",
        Writer::Bits | Writer::Text(_) | Writer::Enumeration(_) | Writer::Json(_) => b"\"\"",
        Writer::Date(DateStyle::Days { .. })
        | Writer::DecimalNumber(_)
        | Writer::Integer
        | Writer::Interval(IntervalStyle::Micros)
        | Writer::Time(TimeStyle::Micros { .. } | TimeStyle::Millis | TimeStyle::Nanos { .. })
        | Writer::Timestamp(
            TimestampStyle::Micros | TimestampStyle::Millis | TimestampStyle::Nanos,
        ) => b"0",
        Writer::Date(_) => b"\"1970-01-01Z\"",
        Writer::Decimal(_) => b"\"AA==\"",
        Writer::DecimalDouble | Writer::Float(_) => b"0.0",
        Writer::DecimalString(_) => b"\"0\"",
        Writer::Interval(_) => b"\"P0Y0M0DT0H0M0S\"",
        Writer::Time(_) => b"\"00:00:00Z\"",
        Writer::Timestamp(_) => b"\"1970-01-01T00:00:00Z\"",
        Writer::TimestampTz(TimestampTzStyle::Digits { digits, .. }) => match digits {
            0 => b"\"1970-01-01T00:00:00Z\"",
            1 => b"\"1970-01-01T00:00:00.0Z\"",
            2 => b"\"1970-01-01T00:00:00.00Z\"",
            3 => b"\"1970-01-01T00:00:00.000Z\"",
            4 => b"\"1970-01-01T00:00:00.0000Z\"",
            5 => b"\"1970-01-01T00:00:00.00000Z\"",
            _ => b"\"1970-01-01T00:00:00.000000Z\"",
        },
        Writer::Uuid(_) => b"\"00000000-0000-0000-0000-000000000000\"",
        _ => return None,
    })
}

enum Constant {
    Null,
    Text(Vec<u8>),
    Unknown,
}

/// A literal, in parentheses or not, with casts or without: `7`, `'it''s'::character varying`.
fn constant(expression: &str) -> Constant {
    let mut rest = expression.trim();
    while let Some(inside) = rest.strip_prefix('(') {
        rest = inside.trim_start();
    }
    let (literal, behind) = if let Some(inside) = rest.strip_prefix('\'') {
        let Some((literal, behind)) = split_literal(inside) else {
            return Constant::Unknown;
        };
        (literal, behind)
    } else {
        let end = rest.find([':', ')']).unwrap_or(rest.len());
        let (word, behind) = rest.split_at_checked(end).unwrap_or((rest, ""));
        let word = word.trim_end();
        let number = word.strip_prefix('-').unwrap_or(word);
        let numeric = number.starts_with(|first: char| first.is_ascii_digit())
            && number
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'+' | b'-'));
        if word.eq_ignore_ascii_case("null") {
            (Vec::new(), behind)
        } else if numeric || matches!(word, "true" | "false") {
            (word.as_bytes().to_vec(), behind)
        } else {
            return Constant::Unknown;
        }
    };
    if !only_casts(behind) {
        Constant::Unknown
    } else if rest.starts_with(['n', 'N']) {
        Constant::Null
    } else {
        Constant::Text(literal)
    }
}

/// A literal from behind its opening quote on, its doubled quotes halved, and what follows.
fn split_literal(text: &str) -> Option<(Vec<u8>, &str)> {
    let mut literal = Vec::new();
    let mut rest = text;
    loop {
        let (plain, behind) = rest.split_once('\'')?;
        literal.extend_from_slice(plain.as_bytes());
        match behind.strip_prefix('\'') {
            Some(behind) => {
                literal.push(b'\'');
                rest = behind;
            }
            None => return Some((literal, behind)),
        }
    }
}

/// Whether there is nothing but casts to types, and parentheses that end.
fn only_casts(text: &str) -> bool {
    let mut rest = text.trim();
    loop {
        rest = rest.trim_start_matches([')', ' ']);
        if rest.is_empty() {
            return true;
        }
        let Some(name) = rest.strip_prefix("::") else {
            return false;
        };
        let end = name.find("::").unwrap_or(name.len());
        let (name, behind) = name.split_at_checked(end).unwrap_or((name, ""));
        let plain = name
            .chars()
            .all(|character| character.is_alphanumeric() || " _\"().,[]$".contains(character));
        if !plain {
            return false;
        }
        rest = behind;
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use super::*;
    use crate::json::Escape;

    const TEXT: Writer = Writer::Text(Escape::Surrogates);
    const MICROS: Writer = Writer::Timestamp(TimestampStyle::Micros);
    const TZ: Writer = Writer::TimestampTz(TimestampTzStyle::Digits {
        digits: 6,
        element: false,
    });

    #[test]
    fn defaults_as_debezium_shows_them() {
        for (writer, expression, expected) in [
            (Writer::Integer, "7", Some("7")),
            (Writer::Integer, "'-5'::integer", Some("-5")),
            (Writer::Integer, "(-5)", Some("-5")),
            (Writer::Integer, "nextval('sq'::regclass)", Some("0")),
            (Writer::Integer, "(1 + 2)", Some("0")),
            (Writer::Boolean, "true", Some("true")),
            (TEXT, "'dflt'::text", Some("\"dflt\"")),
            (TEXT, "'it''s'::character varying", Some("\"it's\"")),
            (TEXT, "('x'::character varying(10))::text", Some("\"x\"")),
            (TEXT, "'a::b'::text", Some("\"a::b\"")),
            (TEXT, "(upper('abc'::text) || 'x'::text)", Some("\"\"")),
            (TEXT, "('a'::text || 'b'::text)", Some("\"\"")),
            (TEXT, "NULL::character varying", None),
            (TEXT, "null", None),
            (TEXT, "CURRENT_USER", Some("\"\"")),
            (Writer::Decimal(3), "1.5", Some("\"Bdw=\"")),
            (Writer::VariableDecimal, "2.50", None),
            (
                Writer::Float(super::super::number::FloatStyle::Java),
                "0.001",
                Some("0.001"),
            ),
            (
                MICROS,
                "'2020-01-01 00:00:00'::timestamp without time zone",
                Some("1577836800000000"),
            ),
            (MICROS, "now()", Some("0")),
            (
                TZ,
                "'2019-12-31 22:00:00+00'::timestamp with time zone",
                Some("\"2019-12-31T22:00:00.000000Z\""),
            ),
            (
                TZ,
                "CURRENT_TIMESTAMP",
                Some("\"1970-01-01T00:00:00.000000Z\""),
            ),
            (
                Writer::Interval(IntervalStyle::Micros),
                "'1 day'::interval",
                Some("86400000000"),
            ),
            (
                Writer::Bytea(crate::options::BinaryMode::Bytes),
                "'\\xdead'::bytea",
                None,
            ),
            (
                Writer::Uuid(Escape::Surrogates),
                "gen_random_uuid()",
                Some("\"00000000-0000-0000-0000-000000000000\""),
            ),
            (
                Writer::Json(Escape::Surrogates),
                "'{\"a\": 1}'::jsonb",
                Some(r#""{\"a\": 1}""#),
            ),
            (Writer::Bits, "'101'::\"bit\"", Some("\"BQ==\"")),
            (Writer::Bit, "'1'::\"bit\"", Some("true")),
            (Writer::Money(MoneyStyle::Decimal(2)), "5", None),
            (Writer::Point, "'(1,2)'::point", None),
        ] {
            let json = default(&writer, expression).map(|json| String::from_utf8(json).unwrap());
            assert_eq!(json.as_deref(), expected, "{expression}");
        }
    }

    #[test]
    fn fallbacks_as_debezium_shows_them() {
        for (writer, expected) in [
            (Writer::Boolean, "false"),
            (Writer::Integer, "0"),
            (Writer::Decimal(2), "\"AA==\""),
            (Writer::DecimalString(None), "\"0\""),
            (Writer::DecimalString(Some(2)), "\"0.00\""),
            (Writer::DecimalString(Some(0)), "\"0\""),
            (TEXT, "\"\""),
            (Writer::NullString, "\"\""),
            (Writer::Uuid(Escape::Surrogates), "\"\""),
            (MICROS, "0"),
            (TZ, "\"1970-01-01T00:00:00Z\""),
            (
                Writer::Interval(IntervalStyle::IsoFull),
                "\"P0Y0M0DT0H0M0S\"",
            ),
            (
                Writer::Point,
                r#"{"x":0.0,"y":0.0,"wkb":"AQEAAAAAAAAAAAAAAAAAAAAAAAAA","srid":null}"#,
            ),
        ] {
            assert_eq!(fallback(&writer), expected.as_bytes(), "{writer:?}");
        }
    }
}
