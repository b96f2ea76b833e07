//! A column's default, as a JSON constant: from `pg_get_expr`, the way Debezium reads it.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::Types;
use super::builtin as oid;
use super::decimal_number::write_number;
use super::hstore::HstoreStyle;
use super::interval::IntervalStyle;
use super::numeric::MoneyStyle;
use super::temporal::{DateStyle, TimeStyle, TimestampStyle, TimestampTzStyle};
use super::writer::Writer;
use crate::facts::TypeKind;

/// Whether Debezium reads defaults of columns of this type. Domains are none of them, whatever they
/// are over, nor enumerations with a dot or a quote in their names, which it misreads.
pub(super) fn is_read(type_oid: u32, types: &Types) -> bool {
    match types.learnt(type_oid) {
        Some(facts) => facts.kind == TypeKind::Enumeration && !facts.name.contains(['.', '"']),
        None => matches!(
            type_oid,
            oid::BIT
                | oid::BOOL
                | oid::BPCHAR
                | oid::DATE
                | oid::FLOAT4
                | oid::FLOAT8
                | oid::INT2
                | oid::INT4
                | oid::INT8
                | oid::INTERVAL
                | oid::JSON
                | oid::JSONB
                | oid::NUMERIC
                | oid::TEXT
                | oid::TIME
                | oid::TIMESTAMP
                | oid::TIMESTAMPTZ
                | oid::UUID
                | oid::VARBIT
                | oid::VARCHAR
                | oid::XML
        ),
    }
}

/// JSON of the default; none where Debezium cannot read it, or it is NULL.
pub(super) fn default(writer: &Writer, expression: &str) -> Option<Vec<u8>> {
    zero(writer)?;
    let mut value = Vec::new();
    if let Writer::Enumeration(_) = writer {
        // Doubled quotes stay as they are, and there is nothing but a literal with a cast.
        let (literal, _) = expression.rsplit_once("::")?;
        let label = literal.strip_prefix('\'')?.strip_suffix('\'')?;
        writer.write(label.as_bytes(), &mut value).ok()?;
        return Some(value);
    }
    // Nobody knows the value of a function here.
    if is_function(expression) {
        return placeholder(writer);
    }
    let literal = literal(expression)?;
    match writer {
        Writer::Boolean if literal.eq_ignore_ascii_case("true") => {
            value.extend_from_slice(b"true");
        }
        Writer::Boolean => value.extend_from_slice(b"false"),
        Writer::DecimalDouble(_) | Writer::DecimalString(_)
            if !literal.bytes().any(|byte| byte.is_ascii_digit()) =>
        {
            return None;
        }
        Writer::DecimalDouble(Some(scale)) | Writer::DecimalString(Some(scale)) => {
            writer
                .write(of_scale(&literal, *scale)?.as_bytes(), &mut value)
                .ok()?;
        }
        // Whatever the text, a 1 in it is a bit.
        Writer::Bits => {
            let digit = |unit: u16| if unit == u16::from(b'1') { b'1' } else { b'0' };
            let bits: Vec<u8> = literal.encode_utf16().map(digit).collect();
            writer.write(&bits, &mut value).ok()?;
        }
        Writer::Date(_) | Writer::Time(_) | Writer::Timestamp(_) | Writer::TimestampTz(_)
            if matches!(literal.as_ref(), "infinity" | "-infinity" | "24:00:00") =>
        {
            value.extend_from_slice(end_of_time(writer, &literal)?);
        }
        Writer::Date(_) | Writer::Timestamp(_) | Writer::TimestampTz(_) => {
            let whole = whole_time(writer, &literal);
            writer.write(whole.as_bytes(), &mut value).ok()?;
        }
        _ => writer.write(literal.as_bytes(), &mut value).ok()?,
    }
    if value == b"null" { None } else { Some(value) }
}

/// A date, a time or both as a text of the writer's type: what a cast does in the server, the
/// driver does in Debezium. The session's time zone is UTC.
fn whole_time(writer: &Writer, literal: &str) -> String {
    let (literal, era) = match literal.strip_suffix(" BC") {
        Some(literal) => (literal, " BC"),
        None => (literal, ""),
    };
    let (date, time) = match literal.split_once(' ') {
        Some(both) => both,
        None if literal.contains(':') => ("1970-01-01", literal),
        None => (literal, "00:00:00"),
    };
    let time = time.strip_suffix("+00").unwrap_or(time);
    match writer {
        Writer::Date(_) => format!("{date}{era}"),
        Writer::Timestamp(_) => format!("{date} {time}{era}"),
        _ => format!("{date} {time}+00{era}"),
    }
}

/// JSON of what the driver takes for the end of time or of the day: Java's own, which overflow in
/// Debezium, or are more than it can say.
fn end_of_time(writer: &Writer, literal: &str) -> Option<&'static [u8]> {
    Some(match (writer, literal) {
        (Writer::Date(DateStyle::Days { .. }), "infinity") => b"169560311",
        (Writer::Date(DateStyle::Days { .. }), _) => b"-170999002",
        (Writer::Date(_), "infinity") => b"\"+999999999-12-31Z\"",
        (Writer::Date(_), _) => b"\"-999999999-01-01Z\"",
        (Writer::Timestamp(TimestampStyle::Micros), "infinity") => b"-9223372036853775810",
        (Writer::Timestamp(TimestampStyle::Micros), _) => b"-9223372036854775808",
        (Writer::Timestamp(TimestampStyle::IsoZ), "infinity") => {
            b"\"+999999999-12-31T23:59:59.999999999Z\""
        }
        (Writer::Timestamp(TimestampStyle::IsoZ), _) => b"\"-999999999-01-01T00:00:00Z\"",
        (Writer::Time(TimeStyle::Micros { .. }), _) => b"86399999999",
        (Writer::Time(TimeStyle::Millis { .. }), _) => b"86399999",
        (Writer::Time(TimeStyle::Nanos { .. }), _) => b"86399999999999",
        (Writer::Time(TimeStyle::IsoZ { .. }), _) => b"\"23:59:59.999999999Z\"",
        _ => return None,
    })
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
        Writer::DecimalString(Some(scale)) | Writer::Money(MoneyStyle::String(scale)) => {
            let zeros = format!("\"{:.*}\"", usize::from(*scale), 0.0);
            return zeros.into_bytes();
        }
        Writer::Money(MoneyStyle::Decimal(_)) => b"\"AA==\"",
        Writer::Money(MoneyStyle::Double) => b"0.0",
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
        Writer::Json(_) | Writer::Uuid(_) => b"\"\"",
        _ => zero(writer).unwrap_or(b"null"),
    };
    constant.to_vec()
}

/// JSON for a default that is a function.
fn placeholder(writer: &Writer) -> Option<Vec<u8>> {
    Some(match writer {
        Writer::DecimalNumber(_) => fallback(writer),
        Writer::DecimalString(Some(scale)) => {
            format!("\"{:.*}\"", usize::from(*scale), 0.0).into_bytes()
        }
        Writer::DecimalString(None) => b"\"0.0\"".to_vec(),
        Writer::Json(_) => b"\"{}\"".to_vec(),
        _ => zero(writer)?.to_vec(),
    })
}

/// JSON of a type's zero; none where Debezium shows no defaults of the type.
fn zero(writer: &Writer) -> Option<&'static [u8]> {
    Some(match writer {
        Writer::Bit | Writer::Boolean => b"false",
        Writer::Bits | Writer::Text(_) | Writer::Enumeration(_) | Writer::Json(_) => b"\"\"",
        Writer::Date(DateStyle::Days { .. })
        | Writer::DecimalNumber(_)
        | Writer::Integer
        | Writer::Interval(IntervalStyle::Micros | IntervalStyle::Doubles)
        | Writer::Time(
            TimeStyle::Micros { .. } | TimeStyle::Millis { .. } | TimeStyle::Nanos { .. },
        )
        | Writer::Timestamp(
            TimestampStyle::Micros | TimestampStyle::Millis | TimestampStyle::Nanos,
        ) => b"0",
        Writer::Date(_) => b"\"1970-01-01Z\"",
        Writer::Decimal(_) => b"\"AA==\"",
        Writer::DecimalDouble(_) | Writer::Float(_) => b"0.0",
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

/// Whether the expression begins with a call, or is what needs no parentheses to be one.
fn is_function(expression: &str) -> bool {
    const CLOCKS: &[&str] = &[
        "current_date",
        "current_time",
        "current_timestamp",
        "localtime",
        "localtimestamp",
    ];
    let call = expression.strip_prefix('(').unwrap_or(expression);
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
    let name_end = call.bytes().position(|byte| !is_name(byte));
    let arguments = name_end
        .filter(|end| *end > 0)
        .and_then(|end| call.get(end..))
        .and_then(|rest| rest.strip_prefix('('));
    // What a dot matches does not go past the end of a line.
    let call_ends = arguments.and_then(|arguments| arguments.lines().next());
    call_ends.is_some_and(|line| line.contains(')'))
        || CLOCKS
            .iter()
            .any(|clock| expression.eq_ignore_ascii_case(clock))
}

/// The first literal in quotes, or everything where there is none: `7`, `'it''s'::text`.
fn literal(expression: &str) -> Option<Cow<'_, str>> {
    if expression.starts_with("NULL::") {
        return None;
    }
    match expression.split_once('\'') {
        Some((_, inside)) => split_literal(inside).map(Cow::Owned),
        None => Some(Cow::Borrowed(expression)),
    }
}

/// A decimal number with as many digits behind the point; none if it has more.
fn of_scale(number: &str, scale: u16) -> Option<String> {
    let scale = usize::from(scale);
    let fraction = number.split_once('.').map_or(0, |(_, digits)| digits.len());
    let missing = scale.checked_sub(fraction)?;
    let point = if fraction == 0 && scale > 0 { "." } else { "" };
    Some(format!("{number}{point}{}", "0".repeat(missing)))
}

/// A literal from behind its opening quote on, its doubled quotes halved.
fn split_literal(text: &str) -> Option<String> {
    let mut literal = String::new();
    let mut rest = text;
    loop {
        let (plain, behind) = rest.split_once('\'')?;
        literal.push_str(plain);
        match behind.strip_prefix('\'') {
            Some(behind) => {
                literal.push('\'');
                rest = behind;
            }
            None => return Some(literal),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use super::*;
    use crate::json::Escape;

    const TEXT: Writer = Writer::Text(Escape::Surrogates);
    const DAYS: Writer = Writer::Date(DateStyle::Days { element: false });
    const TIME: Writer = Writer::Time(TimeStyle::Millis { element: false });
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
            (Writer::Integer, "(-5)", None),
            (Writer::Integer, "nextval('sq'::regclass)", Some("0")),
            (Writer::Integer, "(1 + 2)", None),
            (Writer::Integer, "false", None),
            (Writer::Integer, "app.f(1)", Some("0")),
            (Writer::Integer, "(f() + 1)", Some("0")),
            (Writer::Boolean, "true", Some("true")),
            (Writer::Boolean, "(NOT true)", Some("false")),
            (Writer::Boolean, "NULL::boolean", None),
            (TEXT, "'dflt'::text", Some("\"dflt\"")),
            (TEXT, "'it''s'::character varying", Some("\"it's\"")),
            (TEXT, "('x'::character varying(10))::text", Some("\"x\"")),
            (TEXT, "'a::b'::text", Some("\"a::b\"")),
            (TEXT, "(upper('abc'::text) || 'x'::text)", Some("\"\"")),
            (TEXT, "('a'::text || 'b'::text)", Some("\"a\"")),
            (TEXT, "f(\n1)", Some("\"f(\\n1)\"")),
            (TEXT, "CURRENT_DATE", Some("\"\"")),
            (TEXT, "NULL::character varying", None),
            (TEXT, "CURRENT_USER", Some("\"CURRENT_USER\"")),
            (Writer::Decimal(3), "1.5", Some("\"Bdw=\"")),
            (Writer::Decimal(1), "1.25", None),
            (Writer::VariableDecimal, "2.50", None),
            (Writer::DecimalString(None), "2.50", Some("\"2.50\"")),
            (Writer::DecimalString(None), "random()", Some("\"0.0\"")),
            (
                Writer::DecimalString(Some(3)),
                "'-1.5'::numeric",
                Some("\"-1.500\""),
            ),
            (Writer::DecimalString(Some(2)), "7", Some("\"7.00\"")),
            (Writer::DecimalString(Some(0)), "f()", Some("\"0\"")),
            (Writer::DecimalDouble(None), "'NaN'::numeric", None),
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
            (MICROS, "('now'::text)::timestamp without time zone", None),
            (TZ, "(CURRENT_TIMESTAMP + '1 day'::interval)", None),
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
            (
                Writer::Json(Escape::Surrogates),
                "jsonb_build_object()",
                Some("\"{}\""),
            ),
            (
                Writer::Enumeration(Escape::Surrogates),
                "'it''s'::app.mood",
                Some("\"it''s\""),
            ),
            (Writer::Enumeration(Escape::Surrogates), "f('ok')", None),
            (Writer::Bits, "'101'::\"bit\"", Some("\"BQ==\"")),
            (Writer::Bits, "(5)::bit(3)", Some("\"\"")),
            (Writer::DecimalDouble(Some(1)), "1.25", None),
            (Writer::Bit, "'1'::\"bit\"", Some("true")),
            (Writer::Money(MoneyStyle::Decimal(2)), "5", None),
            (Writer::Point, "'(1,2)'::point", None),
        ] {
            let json = default(&writer, expression).map(|json| String::from_utf8(json).unwrap());
            assert_eq!(json.as_deref(), expected, "{expression}");
        }
    }

    #[test]
    fn times_of_another_type() {
        for (writer, expression, expected) in [
            (MICROS, "'2020-03-04'::date", Some("1583280000000000")),
            (
                MICROS,
                "('1970-01-02'::date + '01:02:03'::time)",
                Some("86400000000"),
            ),
            (
                MICROS,
                "(CURRENT_DATE + '01:02:03.4'::time)",
                Some("3723400000"),
            ),
            (
                MICROS,
                "'1970-01-01 00:00:01+00'::timestamptz",
                Some("1000000"),
            ),
            (MICROS, "'1970-01-01 00:00:01+02'::timestamptz", None),
            (DAYS, "'2020-03-04 05:06:07.891'::timestamp", Some("18325")),
            (DAYS, "'0044-03-15 01:02:03 BC'::timestamp", Some("-735160")),
            (DAYS, "'2020-03-04 03:06:07+00'::timestamptz", Some("18325")),
            (
                TZ,
                "'2020-03-04'::date",
                Some("\"2020-03-04T00:00:00.000000Z\""),
            ),
            (
                TZ,
                "'0044-03-15 BC'::date",
                Some("\"-0043-03-15T00:00:00.000000Z\""),
            ),
            (TZ, "'1 day'::interval", None),
        ] {
            let json = default(&writer, expression).map(|json| String::from_utf8(json).unwrap());
            assert_eq!(json.as_deref(), expected, "{expression}");
        }
    }

    #[test]
    fn ends_of_time_and_day() {
        for (writer, expression, expected) in [
            (
                MICROS,
                "'infinity'::timestamp",
                Some("-9223372036853775810"),
            ),
            (TZ, "'-infinity'::timestamptz", None),
            (DAYS, "'infinity'::date", Some("169560311")),
            (DAYS, "'-infinity'::date", Some("-170999002")),
            (TIME, "'24:00:00'::time", Some("86399999")),
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
            (Writer::Money(MoneyStyle::String(3)), "\"0.000\""),
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
