//! Values between an event's JSON and a plugin: as `wit/plugin/plugin.wit` has them.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::value::RawValue;

use crate::records::{Column, Shape, quote, quoted, unescaped};

use super::sandbox::bindings::exports::pgoutput::plugin::transform::{ValueParam, ValueResult};

/// What a column's values are, and so what may be put in their place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Boolean,
    Bytes,
    Decimal,
    /// Written as the server does, which has its own idea of when an exponent is needed; or as
    /// Debezium does.
    Float {
        server: Option<Digits>,
    },
    Integer,
    Json,
    Text,
    /// With a time zone, or without.
    Timestamp {
        zone: bool,
    },
    /// Debezium's options decide what it is.
    Other,
}

/// `FLT_DIG` or `DBL_DIG`: a number with more digits before its point has an exponent.
type Digits = i32;

/// A value that was read, and may borrow from the event.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Null,
    Unchanged,
    Boolean(bool),
    Integer(i64),
    Float(f64),
    Decimal(&'a str),
    Text(Cow<'a, str>),
    Bytes(Vec<u8>),
    Timestamp(i64),
    Json(&'a str),
}

impl Kind {
    pub(super) fn of(column: &Column, native: bool) -> Self {
        let Shape { code, .. } = column.shape;
        match (code, column.type_oid) {
            (1, _) => Self::Decimal,
            (2, _) => Self::Bytes,
            (3, _) | (0, 700 | 701) => Self::Float {
                server: native.then_some(if column.type_oid == 700 { 6 } else { 15 }),
            },
            (4.., _) => Self::Json,
            (_, 16) => Self::Boolean,
            // int8, int2, int4, oid
            (_, 20 | 21 | 23 | 26) => Self::Integer,
            (_, 1114) if native => Self::Timestamp { zone: false },
            (_, 1184) if native => Self::Timestamp { zone: true },
            // A type of the server's own; those of extensions may be objects, as hstore is.
            (_, ..16_384) if native => Self::Text,
            _ => Self::Other,
        }
    }

    /// Reads a member's value, with the white space in front of it.
    pub(super) fn read(self, json: &str) -> Value<'_> {
        let text = json.trim_ascii_start();
        match text.as_bytes().first() {
            // A json text that is null has a space in front.
            Some(b'n') if text.len() == json.len() => Value::Null,
            _ if self == Self::Json => Value::Json(text),
            Some(b't') => Value::Boolean(true),
            Some(b'f') => Value::Boolean(false),
            Some(b'"') => self.read_string(text),
            Some(b'-' | b'0'..=b'9') => self.read_number(text),
            _ => Value::Json(text),
        }
    }

    fn read_string(self, text: &str) -> Value<'_> {
        let inner = text
            .get(1..text.len().saturating_sub(1))
            .unwrap_or_default();
        let read = match self {
            Self::Decimal => Some(Value::Decimal(inner)),
            Self::Float { .. } => match inner {
                "NaN" => Some(Value::Float(f64::NAN)),
                "Infinity" => Some(Value::Float(f64::INFINITY)),
                "-Infinity" => Some(Value::Float(f64::NEG_INFINITY)),
                _ => None,
            },
            Self::Bytes => BASE64.decode(inner).ok().map(Value::Bytes),
            Self::Timestamp { .. } => timestamp_us(inner).map(Value::Timestamp),
            _ => None,
        };
        read.unwrap_or_else(|| Value::Text(unescaped(inner)))
    }

    fn read_number(self, text: &str) -> Value<'_> {
        let read = match self {
            Self::Decimal => None,
            Self::Float { .. } => text.parse().ok().map(Value::Float),
            _ => text.parse().ok().map(Value::Integer),
        };
        read.unwrap_or(Value::Decimal(text))
    }

    /// Appends the JSON of a value to be put in a column's place, or says what would be taken.
    pub(super) fn write(self, value: &ValueResult, text: &mut String) -> Result<(), &'static str> {
        match (self, value) {
            (_, ValueResult::Null) => text.push_str("null"),
            (Self::Boolean | Self::Other, ValueResult::Boolean(value)) => {
                text.push_str(if *value { "true" } else { "false" });
            }
            (
                Self::Integer | Self::Float { .. } | Self::Decimal | Self::Other,
                ValueResult::Integer(value),
            ) => *text += &value.to_string(),
            (Self::Float { server }, ValueResult::Float(value)) => *text += &float(*value, server),
            (Self::Other, ValueResult::Float(value)) => *text += &float(*value, None),
            (Self::Decimal | Self::Other, ValueResult::Decimal(value)) => {
                *text += &decimal(value).ok_or(DECIMAL)?;
            }
            (Self::Text | Self::Timestamp { .. } | Self::Other, ValueResult::Text(value)) => {
                quote(text, value);
            }
            (Self::Bytes, ValueResult::Bytes(value)) => quote(text, &BASE64.encode(value)),
            (Self::Timestamp { zone }, ValueResult::Timestamp(us)) => {
                *text += &timestamp_json(*us, zone);
            }
            (Self::Json | Self::Other, ValueResult::Json(value)) => {
                let json = json(value).ok_or(JSON)?;
                // SQL's NULL has no space in front.
                if json == "null" {
                    text.push(' ');
                }
                text.push_str(json);
            }
            _ => return Err(self.takes()),
        }
        Ok(())
    }

    fn takes(self) -> &'static str {
        match self {
            Self::Boolean => "a boolean or null",
            Self::Bytes => "bytes or null",
            Self::Decimal => DECIMAL,
            Self::Float { .. } => "a float, an integer or null",
            Self::Integer => "an integer or null",
            Self::Json => JSON,
            Self::Text => "text or null",
            Self::Timestamp { .. } => "a timestamp, text or null",
            Self::Other => "a value or null",
        }
    }
}

impl<'a> From<&'a Value<'a>> for ValueParam<'a> {
    fn from(value: &'a Value<'a>) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Unchanged => Self::Unchanged,
            Value::Boolean(value) => Self::Boolean(*value),
            Value::Integer(value) => Self::Integer(*value),
            Value::Float(value) => Self::Float(*value),
            Value::Decimal(text) => Self::Decimal(text),
            Value::Text(text) => Self::Text(text),
            Value::Bytes(bytes) => Self::Bytes(bytes),
            Value::Timestamp(us) => Self::Timestamp(*us),
            Value::Json(text) => Self::Json(text),
        }
    }
}

/// One JSON text, without white space around it.
pub(super) fn json(text: &str) -> Option<&str> {
    serde_json::from_str::<&RawValue>(text)
        .ok()
        .map(RawValue::get)
}

fn decimal(text: &str) -> Option<String> {
    if matches!(text, "NaN" | "Infinity" | "-Infinity") {
        return Some(format!("\"{text}\""));
    }
    let is_number = text.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    is_number.then(|| json(text)).flatten().map(str::to_owned)
}

fn float(value: f64, server: Option<Digits>) -> String {
    if value.is_finite() {
        let scientific = format!("{value:e}");
        let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
        let exponent: Digits = exponent.parse().unwrap_or_default();
        let point = |digits: &str| if digits.contains('.') { "" } else { ".0" };
        return match server {
            Some(digits) if (-4..digits).contains(&exponent) => value.to_string(),
            Some(_) => format!("{mantissa}e{exponent:+03}"),
            // As Java's Double.toString.
            None if (-3..7).contains(&exponent) => {
                let digits = value.to_string();
                format!("{digits}{}", point(&digits))
            }
            None => format!("{mantissa}{}E{exponent}", point(mantissa)),
        };
    }
    let name = if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    };
    quoted(name)
}

/// `2024-02-29T12:34:56.789012Z`, with or without fraction and Z.
fn timestamp_us(text: &str) -> Option<i64> {
    let text = text.strip_suffix('Z').unwrap_or(text);
    let (head, fraction) = text.split_once('.').unwrap_or((text, ""));
    let bytes = head.as_bytes();
    let is_usual = bytes.len() == 19
        && "0000-00-00T00:00:00"
            .bytes()
            .zip(bytes)
            .all(|(like, byte)| {
                if like == b'0' {
                    byte.is_ascii_digit()
                } else {
                    like == *byte
                }
            });
    if !is_usual || fraction.len() > 6 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number = |from: usize, to: usize| head.get(from..to)?.parse::<i64>().ok();
    let days = days_since_1970(number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let seconds = ((days * 24 + number(11, 13)?) * 60 + number(14, 16)?) * 60 + number(17, 19)?;
    let fraction_us: i64 = format!("{fraction:0<6}").parse().ok()?;
    Some(seconds * 1_000_000 + fraction_us)
}

/// As the decoder's native format has it.
fn timestamp_json(us: i64, zone: bool) -> String {
    let (seconds, fraction) = (us.div_euclid(1_000_000), us.rem_euclid(1_000_000));
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = date(days);
    let sign = match year {
        ..0 => "-",
        10_000.. => "+",
        _ => "",
    };
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let fraction = match fraction {
        0 => String::new(),
        _ => format!(".{fraction:06}").trim_end_matches('0').to_owned(),
    };
    let zone = if zone { "Z" } else { "" };
    let year = year.abs();
    format!(
        "\"{sign}{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}{zone}\""
    )
}

/// In the Gregorian calendar, also before it was one: years of 400 have 146,097 days, and one that
/// begins in March has its leap day at its end.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - MARCH_0000_TO_1970
}

/// The inverse.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + MARCH_0000_TO_1970;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = (month + 2) % 12 + 1;
    let year = year + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

const MARCH_0000_TO_1970: i64 = 719_468;
const DECIMAL: &str = "a decimal, an integer or null";
const JSON: &str = "a JSON text or null";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_written_again() {
        use Kind::{Boolean, Bytes, Decimal, Float, Integer, Json, Text, Timestamp};
        let (float4, float8) = (Float { server: Some(6) }, Float { server: Some(15) });
        for (kind, json) in [
            (Boolean, "true"),
            (Integer, "-9223372036854775808"),
            (Decimal, "750.00"),
            (Decimal, "\"NaN\""),
            (Float { server: None }, "2.0"),
            (Float { server: None }, "-0.001"),
            (Float { server: None }, "1.0E-4"),
            (Float { server: None }, "9999999.5"),
            (Float { server: None }, "1.25E7"),
            (float8, "1.5"),
            (float8, "2"),
            (float8, "-0.0001"),
            (float8, "1e-05"),
            (float8, "123456789012345"),
            (float8, "1.5e+15"),
            (float4, "123456"),
            (float4, "1e+06"),
            (float8, "\"-Infinity\""),
            (Bytes, "\"AP8Q\""),
            (Text, r#""a\"\né""#),
            (Json, r#"{"a": [1.10]}"#),
            (Json, " null"),
            (Text, "null"),
            (Timestamp { zone: true }, "\"2024-02-29T12:34:56.789012Z\""),
            (Timestamp { zone: false }, "\"0000-03-01T00:00:00.5\""),
            (Timestamp { zone: false }, "\"9999-12-31T23:59:59\""),
            (Timestamp { zone: false }, "\"infinity\""),
            (Timestamp { zone: true }, "\"-0043-03-15T12:00:00Z\""),
        ] {
            let value = match kind.read(json) {
                Value::Null => ValueResult::Null,
                Value::Unchanged => ValueResult::Unchanged,
                Value::Boolean(value) => ValueResult::Boolean(value),
                Value::Integer(value) => ValueResult::Integer(value),
                Value::Float(value) => ValueResult::Float(value),
                Value::Decimal(text) => ValueResult::Decimal(text.to_owned()),
                Value::Text(text) => ValueResult::Text(text.into_owned()),
                Value::Bytes(bytes) => ValueResult::Bytes(bytes),
                Value::Timestamp(us) => ValueResult::Timestamp(us),
                Value::Json(text) => ValueResult::Json(text.to_owned()),
            };
            let mut text = String::new();
            assert_eq!(kind.write(&value, &mut text), Ok(()), "{value:?}");
            assert_eq!(text, json);
        }
    }

    #[test]
    fn a_day_is_a_day() {
        for day in (-800_000..3_000_000).step_by(97) {
            let (year, month, day_of_month) = date(day);
            assert_eq!(days_since_1970(year, month, day_of_month), day);
        }
        assert_eq!(date(0), (1970, 1, 1));
        assert_eq!(
            timestamp_json(1_709_210_096_700_000, true),
            "\"2024-02-29T12:34:56.7Z\""
        );
        assert_eq!(
            timestamp_json(-62_167_305_600_000_000, false),
            "\"-0001-12-31T00:00:00\""
        );
    }

    #[test]
    fn another_type_is_refused() {
        for (kind, value, takes) in [
            (
                Kind::Integer,
                ValueResult::Text("x".to_owned()),
                "an integer or null",
            ),
            (
                Kind::Decimal,
                ValueResult::Decimal("1e".to_owned()),
                DECIMAL,
            ),
            (
                Kind::Decimal,
                ValueResult::Decimal("007".to_owned()),
                DECIMAL,
            ),
            (Kind::Json, ValueResult::Json("{".to_owned()), JSON),
            (Kind::Text, ValueResult::Unchanged, "text or null"),
        ] {
            let written = kind.write(&value, &mut String::new());
            assert_eq!(written, Err(takes), "{value:?}");
        }
    }
}
