//! `timestamp` and `timestamptz`.

use alloc::vec::Vec;

use super::{Clock, DAY_US, Date, parse_offset, push_integer, quoted, split_era};
use crate::error::InvalidValue;
use crate::json::append;
use crate::lanes::{LANES, outside};

/// How a `timestamp` is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::value) enum TimestampStyle {
    /// `2024-01-15T10:30:00.123456`
    Iso,
    /// `2024-01-15T10:30:00.123456Z`
    IsoZ,
    /// Since 1970-01-01.
    Micros,
    Millis,
    Nanos,
}

/// How a `timestamptz` is shown: in UTC, always.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::value) enum TimestampTzStyle {
    /// `2024-01-15T08:30:00.5Z`
    Iso,
    /// `2024-01-15T08:30:00.500000Z`: always as many digits, at most six. In arrays Debezium has
    /// its own idea of the beginning of time.
    Digits { digits: u8, element: bool },
}

#[inline]
pub(in crate::value) fn write_timestamp(
    text: &[u8],
    style: TimestampStyle,
    out: &mut Vec<u8>,
) -> Result<(), InvalidValue> {
    if let Some(Common {
        head,
        fraction,
        zone: [],
    }) = Common::parse(text)
    {
        match style {
            TimestampStyle::Iso | TimestampStyle::IsoZ => {
                out.extend_from_slice(&iso_head(head));
                write_fraction(fraction, out);
                out.extend_from_slice(if style == TimestampStyle::Iso {
                    b"\""
                } else {
                    b"Z\""
                });
                return Ok(());
            }
            TimestampStyle::Micros => {
                if let Some(seconds) = common_seconds(head) {
                    push_integer(seconds * 1_000_000 + common_fraction_us(fraction), out);
                    return Ok(());
                }
            }
            TimestampStyle::Millis | TimestampStyle::Nanos => {}
        }
    }
    write_any_timestamp(text, style, out)
}

#[inline]
pub(in crate::value) fn write_timestamptz(
    text: &[u8],
    style: TimestampTzStyle,
    out: &mut Vec<u8>,
) -> Result<(), InvalidValue> {
    match Common::parse(text) {
        Some(Common {
            head,
            fraction,
            zone: b"+00",
        }) if write_usual_timestamptz(head, fraction, style, out) => Ok(()),
        _ => write_any_timestamptz(text, style, out),
    }
}

/// Writes `2024-01-15 10:30:00` in UTC with up to six digits of a fraction, in the styles that take
/// it as it is; says whether this is one of them.
#[inline]
pub(in crate::value) fn write_usual_timestamptz(
    head: &[u8; 19],
    fraction: &[u8],
    style: TimestampTzStyle,
    out: &mut Vec<u8>,
) -> bool {
    match style {
        TimestampTzStyle::Iso => {
            out.extend_from_slice(&iso_head(head));
            write_fraction(fraction, out);
            out.extend_from_slice(b"Z\"");
            true
        }
        TimestampTzStyle::Digits { digits: 6, element }
            if !element || !head.starts_with(b"1582-10-") =>
        {
            out.extend_from_slice(&iso_head(head));
            let mut end = *b".000000Z\"";
            for (place, digit) in end.iter_mut().skip(1).zip(fraction) {
                *place = *digit;
            }
            out.extend_from_slice(&end);
            true
        }
        TimestampTzStyle::Digits { .. } => false,
    }
}

/// The usual text: a year of four digits after Christ.
#[derive(Clone, Copy)]
struct Common<'a> {
    /// `2024-01-15 10:30:00`
    head: &'a [u8; 19],
    /// Digits behind the point, at most six.
    fraction: &'a [u8],
    zone: &'a [u8],
}

impl<'a> Common<'a> {
    #[inline]
    fn parse(text: &'a [u8]) -> Option<Self> {
        let (head, rest) = text.split_first_chunk::<19>()?;
        if !is_common(head) {
            return None;
        }
        let [b'.', rest @ ..] = rest else {
            return Some(Self {
                head,
                fraction: &[],
                zone: rest,
            });
        };
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 || digits > 6 {
            return None;
        }
        let (fraction, zone) = rest.split_at_checked(digits)?;
        Some(Self {
            head,
            fraction,
            zone,
        })
    }
}

/// Whether each byte is one that `2024-01-15 10:30:00` may have in its place.
#[inline]
pub(in crate::value) fn is_common(head: &[u8; 19]) -> bool {
    let first = |bytes: &'static [u8; 19]| bytes.first_chunk().unwrap_or(&[0; LANES]);
    let last = |bytes: &'static [u8; 19]| bytes.last_chunk().unwrap_or(&[0; LANES]);
    let (Some(begin), Some(end)) = (head.first_chunk(), head.last_chunk()) else {
        return false;
    };
    outside(begin, first(LOWEST), first(RANGE)) | outside(end, last(LOWEST), last(RANGE)) == 0
}

/// `"2024-01-15T10:30:00`
#[inline]
pub(in crate::value) fn iso_head(head: &[u8; 19]) -> [u8; 20] {
    let mut quoted = [b'"'; 20];
    if let Some(place) = quoted.last_chunk_mut::<19>() {
        *place = *head;
    }
    let [.., separator, _, _, _, _, _, _, _, _] = &mut quoted;
    *separator = b'T';
    quoted
}

/// `.5`, or nothing. The server writes no zeros at its end, but for a clock of no use to us.
#[inline]
fn write_fraction(fraction: &[u8], out: &mut Vec<u8>) {
    if !fraction.is_empty() {
        let mut digits = fraction;
        while let [rest @ .., b'0'] = digits {
            digits = rest;
        }
        if !digits.is_empty() {
            out.push(b'.');
            append(digits, out);
        }
    }
}

/// Seconds since 1970-01-01 of digits that were checked; none for a month or day that is not.
#[inline]
pub(in crate::value) fn common_seconds(head: &[u8; 19]) -> Option<i64> {
    let [date @ .., _, h1, h2, _, n1, n2, _, s1, s2] = *head;
    let days = Date::common_days(date)?;
    let two = |tens: u8, ones: u8| u32::from((tens & 15) * 10 + (ones & 15));
    Some(days * 86_400 + i64::from(two(h1, h2) * 3600 + two(n1, n2) * 60 + two(s1, s2)))
}

#[inline]
fn common_fraction_us(fraction: &[u8]) -> i64 {
    let midnight = Clock {
        hour: 0,
        minute: 0,
        second: 0,
        fraction,
    };
    midnight.fraction_us()
}

/// Writes a timestamp in an array as Debezium does: as the time that Java's calendar calls so.
pub(in crate::value) fn write_timestamp_element(
    text: &[u8],
    style: TimestampStyle,
    out: &mut Vec<u8>,
) -> Result<(), InvalidValue> {
    match parse(text) {
        Some((date, clock, [])) if date.java_days() != date.days() => {
            write_parsed(Date::from_days(date.java_days()), clock, style, out);
            Ok(())
        }
        _ => write_timestamp(text, style, out),
    }
}

fn write_any_timestamp(
    text: &[u8],
    style: TimestampStyle,
    out: &mut Vec<u8>,
) -> Result<(), InvalidValue> {
    match text {
        b"infinity" => return write_infinite(false, style, out),
        b"-infinity" => return write_infinite(true, style, out),
        _ => {}
    }
    let Some((date, clock, [])) = parse(text) else {
        return Err(InvalidValue {
            expected: "a timestamp",
        });
    };
    write_parsed(date, clock, style, out);
    Ok(())
}

fn write_parsed(date: Date, clock: Clock<'_>, style: TimestampStyle, out: &mut Vec<u8>) {
    let seconds = date.days() * 86_400 + clock.seconds();
    match style {
        TimestampStyle::Iso | TimestampStyle::IsoZ => {
            out.push(b'"');
            date.write(out);
            out.push(b'T');
            clock.write(out);
            out.extend_from_slice(if style == TimestampStyle::Iso {
                b"\""
            } else {
                b"Z\""
            });
        }
        // As TimeUnit.SECONDS.toMicros, which saturates, and Java's addition, which does not.
        TimestampStyle::Micros => push_integer(
            seconds
                .saturating_mul(1_000_000)
                .wrapping_add(clock.fraction_us()),
            out,
        ),
        TimestampStyle::Millis => push_integer(seconds * 1000 + clock.fraction_us() / 1000, out),
        TimestampStyle::Nanos => {
            let nanos =
                i128::from(seconds) * 1_000_000_000 + i128::from(clock.fraction_us()) * 1000;
            match i64::try_from(nanos) {
                Ok(nanos) => push_integer(nanos, out),
                Err(_) => out.extend_from_slice(b"null"),
            }
        }
    }
}

/// Debezium's numbers are those of the JDBC driver, `PGStatement.DATE_POSITIVE_INFINITY`.
#[expect(clippy::unnecessary_wraps, reason = "its caller's return value")]
fn write_infinite(
    negative: bool,
    style: TimestampStyle,
    out: &mut Vec<u8>,
) -> Result<(), InvalidValue> {
    match (style, negative) {
        (TimestampStyle::Iso, false) => quoted(b"infinity", out),
        (TimestampStyle::Iso, true) => quoted(b"-infinity", out),
        (TimestampStyle::IsoZ, false) => quoted(b"+294247-01-10T04:00:25.2Z", out),
        (TimestampStyle::IsoZ, true) => quoted(b"-290308-12-21T19:59:27.6Z", out),
        (TimestampStyle::Micros, false) => push_integer(9_223_372_036_825_200_000, out),
        (TimestampStyle::Micros, true) => push_integer(-9_223_372_036_832_400_000, out),
        (TimestampStyle::Millis, false) => push_integer(9_223_372_036_825_200, out),
        (TimestampStyle::Millis, true) => push_integer(-9_223_372_036_832_400, out),
        (TimestampStyle::Nanos, false) => push_integer(i64::MAX, out),
        (TimestampStyle::Nanos, true) => push_integer(i64::MIN, out),
    }
    Ok(())
}

fn write_any_timestamptz(
    text: &[u8],
    style: TimestampTzStyle,
    out: &mut Vec<u8>,
) -> Result<(), InvalidValue> {
    match (text, style) {
        (b"infinity", _) => {
            quoted(b"infinity", out);
            return Ok(());
        }
        (
            b"-infinity",
            TimestampTzStyle::Digits {
                element: true,
                digits,
            },
        ) => {
            out.extend_from_slice(b"\"+292269055-12-02T23:00:00");
            write_digits(&[], digits, out);
            out.extend_from_slice(b"Z\"");
            return Ok(());
        }
        (b"-infinity", _) => {
            quoted(b"-infinity", out);
            return Ok(());
        }
        _ => {}
    }
    let invalid = InvalidValue {
        expected: "a timestamp with time zone",
    };
    let (date, clock, zone) = parse(text).ok_or(invalid)?;
    let offset = parse_offset(zone).ok_or(invalid)?;
    let seconds = date.days() * 86_400 + clock.seconds() - offset;
    let second_of_day = seconds.rem_euclid(DAY_US / 1_000_000);
    let part = |value: i64| u8::try_from(value).unwrap_or_default();
    let mut utc = Clock {
        hour: part(second_of_day / 3600),
        minute: part(second_of_day / 60 % 60),
        second: part(second_of_day % 60),
        fraction: &[],
    };
    if style == TimestampTzStyle::Iso {
        utc.fraction = clock.fraction;
    }
    let mut date = Date::from_days(seconds.div_euclid(86_400));
    if let TimestampTzStyle::Digits { element: true, .. } = style {
        date = date.in_java_calendar();
        // The era gets lost.
        if date.year < 1 {
            date.year = 1 - date.year;
        }
    }
    out.push(b'"');
    date.write(out);
    out.push(b'T');
    utc.write(out);
    if let TimestampTzStyle::Digits { digits, .. } = style {
        write_digits(clock.fraction, digits, out);
    }
    out.extend_from_slice(b"Z\"");
    Ok(())
}

/// `.500000`: as many digits of the fraction; those it has where none are wanted, as only a default
/// can have any then.
fn write_digits(fraction: &[u8], digits: u8, out: &mut Vec<u8>) {
    if digits == 0 {
        write_fraction(fraction, out);
        return;
    }
    out.push(b'.');
    for place in 0..usize::from(digits) {
        out.push(fraction.get(place).copied().unwrap_or(b'0'));
    }
}

/// Date, time, and what is between the time and the era.
fn parse(text: &[u8]) -> Option<(Date, Clock<'_>, &[u8])> {
    let (text, before_christ) = split_era(text);
    let (date, rest) = Date::parse(text, before_christ)?;
    let [b' ', rest @ ..] = rest else { return None };
    let (clock, rest) = Clock::parse(rest)?;
    Some((date, clock, rest))
}

/// What is at each place of `2024-01-15 10:30:00` at least, and how much more it may be.
const LOWEST: &[u8; 19] = b"0000-00-00 00:00:00";
const RANGE: &[u8; 19] = &[9, 9, 9, 9, 0, 1, 9, 0, 3, 9, 0, 2, 9, 0, 5, 9, 0, 5, 9];

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use super::*;

    const DIGITS_6: TimestampTzStyle = TimestampTzStyle::Digits {
        digits: 6,
        element: false,
    };

    fn timestamp(text: &str, style: TimestampStyle) -> Result<String, InvalidValue> {
        let mut out = Vec::new();
        write_timestamp(text.as_bytes(), style, &mut out).map(|()| String::from_utf8(out).unwrap())
    }

    fn timestamptz(text: &str, style: TimestampTzStyle) -> Result<String, InvalidValue> {
        let mut out = Vec::new();
        write_timestamptz(text.as_bytes(), style, &mut out)
            .map(|()| String::from_utf8(out).unwrap())
    }

    #[test]
    fn timestamps_in_every_style() {
        use TimestampStyle::{Iso, IsoZ, Micros, Millis, Nanos};
        for (text, style, expected) in [
            ("1970-01-01 00:00:00", Micros, "0"),
            ("2024-02-29 12:34:56.789012", Micros, "1709210096789012"),
            ("2024-02-29 12:34:56.7", Micros, "1709210096700000"),
            ("1969-12-31 23:59:59.999999", Micros, "-1"),
            ("9999-12-31 23:59:59.999999", Micros, "253402300799999999"),
            (
                "294276-12-31 23:59:59.999999",
                Micros,
                "-9223372036853775810",
            ),
            (
                "0044-03-15 12:00:00.123456 BC",
                Micros,
                "-63517780799876544",
            ),
            ("infinity", Micros, "9223372036825200000"),
            ("1969-12-31 23:59:59.999999", Millis, "-1"),
            ("0044-03-15 12:00:00.123 BC", Millis, "-63517780799877"),
            ("-infinity", Millis, "-9223372036832400"),
            ("2024-02-29 12:34:56.789012", Nanos, "1709210096789012000"),
            ("10000-01-01 00:00:00", Nanos, "null"),
            ("-infinity", Nanos, "-9223372036854775808"),
            (
                "2024-02-29 12:34:56.789012",
                IsoZ,
                "\"2024-02-29T12:34:56.789012Z\"",
            ),
            ("2024-02-29 12:34:56", IsoZ, "\"2024-02-29T12:34:56Z\""),
            (
                "0044-03-15 12:00:00.123 BC",
                IsoZ,
                "\"-0043-03-15T12:00:00.123Z\"",
            ),
            ("10000-01-01 00:00:00", IsoZ, "\"+10000-01-01T00:00:00Z\""),
            ("infinity", IsoZ, "\"+294247-01-10T04:00:25.2Z\""),
            (
                "2024-01-15 10:30:00.123456",
                Iso,
                "\"2024-01-15T10:30:00.123456\"",
            ),
            ("2024-01-15 10:30:00.5", Iso, "\"2024-01-15T10:30:00.5\""),
            ("0044-03-15 12:00:00 BC", Iso, "\"-0043-03-15T12:00:00\""),
            ("-infinity", Iso, "\"-infinity\""),
        ] {
            assert_eq!(timestamp(text, style).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn timestamps_in_arrays() {
        use TimestampStyle::{IsoZ, Micros};
        for (text, style, expected) in [
            ("0001-01-01 00:00:00", Micros, "-62135769600000000"),
            ("1582-10-15 00:00:00", Micros, "-12219292800000000"),
            ("0044-03-15 12:00:00 BC", IsoZ, "\"-0043-03-13T12:00:00Z\""),
            ("1500-03-01 12:00:00.5", IsoZ, "\"1500-03-11T12:00:00.5Z\""),
            ("infinity", Micros, "9223372036825200000"),
        ] {
            let mut out = Vec::new();
            let written = write_timestamp_element(text.as_bytes(), style, &mut out);
            assert_eq!(written, Ok(()), "{text}");
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn timestamps_with_time_zone_in_every_style() {
        let digits = |digits| TimestampTzStyle::Digits {
            digits,
            element: false,
        };
        let element = TimestampTzStyle::Digits {
            digits: 6,
            element: true,
        };
        for (text, style, expected) in [
            (
                "2024-02-29 20:04:56.7+00",
                DIGITS_6,
                "\"2024-02-29T20:04:56.700000Z\"",
            ),
            (
                "2024-02-29 12:34:56+00",
                DIGITS_6,
                "\"2024-02-29T12:34:56.000000Z\"",
            ),
            (
                "2024-02-29 12:34:56+00",
                digits(0),
                "\"2024-02-29T12:34:56Z\"",
            ),
            (
                "2024-02-29 12:34:56.7+00",
                digits(3),
                "\"2024-02-29T12:34:56.700Z\"",
            ),
            (
                "294276-12-31 23:59:59.999999+00",
                DIGITS_6,
                "\"+294276-12-31T23:59:59.999999Z\"",
            ),
            (
                "0001-12-31 23:59:59.5+00 BC",
                DIGITS_6,
                "\"0000-12-31T23:59:59.500000Z\"",
            ),
            (
                "4713-01-01 00:00:00+00 BC",
                DIGITS_6,
                "\"-4712-01-01T00:00:00.000000Z\"",
            ),
            (
                "2024-01-01 00:30:00.25+05:45",
                DIGITS_6,
                "\"2023-12-31T18:45:00.250000Z\"",
            ),
            (
                "2024-02-29 12:34:56.50+00",
                digits(0),
                "\"2024-02-29T12:34:56.5Z\"",
            ),
            ("infinity", digits(3), "\"infinity\""),
            ("-infinity", DIGITS_6, "\"-infinity\""),
            (
                "-infinity",
                element,
                "\"+292269055-12-02T23:00:00.000000Z\"",
            ),
            (
                "1582-10-10 00:00:00+00",
                element,
                "\"1582-10-20T00:00:00.000000Z\"",
            ),
            (
                "0044-03-15 12:00:00+00 BC",
                element,
                "\"0044-03-15T12:00:00.000000Z\"",
            ),
            (
                "2024-01-15 08:30:00.5+00",
                TimestampTzStyle::Iso,
                "\"2024-01-15T08:30:00.5Z\"",
            ),
            (
                "2024-01-15 08:30:00-01",
                TimestampTzStyle::Iso,
                "\"2024-01-15T09:30:00Z\"",
            ),
            (
                "2024-01-15 23:30:00.5-01",
                TimestampTzStyle::Iso,
                "\"2024-01-16T00:30:00.5Z\"",
            ),
        ] {
            assert_eq!(timestamptz(text, style).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_timestamp_is_refused() {
        for text in [
            "",
            "2024-02-29",
            "2024-02-29T12:34:56",
            "2024-02-29 12:34:56.",
            "2024-02-29 12:34:56.1234567",
            "2024-02-29 12:34:56\"",
            "2024-02-29 12:34:56 AD",
            "Infinity",
            "now",
        ] {
            for style in [
                TimestampStyle::Iso,
                TimestampStyle::Micros,
                TimestampStyle::Nanos,
            ] {
                assert!(timestamp(text, style).is_err(), "{text}");
            }
            for style in [TimestampTzStyle::Iso, DIGITS_6] {
                assert!(timestamptz(text, style).is_err(), "{text}");
            }
        }
        assert!(timestamp("2024-02-29 12:34:56+00", TimestampStyle::Iso).is_err());
        assert!(timestamptz("2024-02-29 12:34:56", DIGITS_6).is_err());
    }
}
