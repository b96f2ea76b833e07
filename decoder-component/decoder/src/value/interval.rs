//! `interval`, from the server's `intervalstyle=postgres`: `1 year 2 mons -3 days +04:05:06.7`.

use alloc::vec::Vec;

use crate::error::InvalidValue;

/// How an `interval` is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IntervalStyle {
    /// `P1Y2M-3DT4H5M6.7S` with the fields that are not zero, as `intervalstyle=iso_8601`.
    Iso,
    /// The same with every field, as Debezium.
    IsoFull,
    /// Microseconds, a month being a twelfth of 365.25 days.
    Micros,
    /// The same counted in doubles and cut off, as Debezium.
    Doubles,
}

pub(super) fn write_interval(
    text: &[u8],
    style: IntervalStyle,
    out: &mut Vec<u8>,
) -> Result<(), InvalidValue> {
    match (text, style) {
        (b"infinity", IntervalStyle::Iso) => out.extend_from_slice(b"\"infinity\""),
        (b"-infinity", IntervalStyle::Iso) => out.extend_from_slice(b"\"-infinity\""),
        (b"infinity" | b"-infinity", IntervalStyle::IsoFull) => {
            Interval::default().write_iso(style, out);
        }
        (b"infinity" | b"-infinity", IntervalStyle::Micros | IntervalStyle::Doubles) => {
            out.push(b'0');
        }
        _ => {
            let interval = Interval::parse(text).ok_or(InvalidValue {
                expected: "an interval",
            })?;
            let micros = match style {
                IntervalStyle::Micros => interval.micros(),
                IntervalStyle::Doubles => interval.micros_in_doubles(),
                IntervalStyle::Iso | IntervalStyle::IsoFull => {
                    interval.write_iso(style, out);
                    return Ok(());
                }
            };
            out.extend_from_slice(itoa::Buffer::new().format(micros).as_bytes());
        }
    }
    Ok(())
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Interval<'a> {
    years: i64,
    months: i64,
    days: i64,
    /// Of hours, minutes and seconds alike.
    negative: bool,
    hours: i64,
    minutes: i64,
    seconds: i64,
    /// Digits behind the point.
    fraction: &'a [u8],
}

impl<'a> Interval<'a> {
    fn parse(text: &'a [u8]) -> Option<Self> {
        let mut interval = Self::default();
        let mut words = text.split(|&byte| byte == b' ');
        while let Some(word) = words.next() {
            if word.contains(&b':') {
                interval.parse_time(word)?;
                return words.next().is_none().then_some(interval);
            }
            let number = parse_integer(word)?;
            let field = match words.next()? {
                b"year" | b"years" => &mut interval.years,
                b"mon" | b"mons" => &mut interval.months,
                b"day" | b"days" => &mut interval.days,
                _ => return None,
            };
            *field = number;
        }
        Some(interval)
    }

    fn parse_time(&mut self, word: &'a [u8]) -> Option<()> {
        let (negative, word) = match word {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            _ => (false, word),
        };
        let mut parts = word.split(|&byte| byte == b':');
        let (hours, minutes, seconds) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let mut seconds = seconds.split(|&byte| byte == b'.');
        self.negative = negative;
        self.hours = parse_digits(hours)?;
        self.minutes = parse_digits(minutes)?;
        self.seconds = parse_digits(seconds.next()?)?;
        if let Some(fraction) = seconds.next() {
            parse_digits(fraction)?;
            self.fraction = fraction.get(..6).unwrap_or(fraction);
        }
        seconds.next().is_none().then_some(())
    }

    /// Of more than 292,000 years the longest that can be said.
    fn micros(&self) -> i64 {
        const MONTH: i128 = 2_629_800_000_000;
        const DAY: i128 = 86_400_000_000;
        let months = i128::from(self.years) * 12 + i128::from(self.months);
        let minutes = i128::from(self.hours) * 60 + i128::from(self.minutes);
        let seconds = minutes * 60 + i128::from(self.seconds);
        let time = seconds * 1_000_000 + i128::from(self.fraction_micros());
        let time = if self.negative { -time } else { time };
        let total = months * MONTH + i128::from(self.days) * DAY + time;
        let longest = if total < 0 { i64::MIN } else { i64::MAX };
        i64::try_from(total).unwrap_or(longest)
    }

    fn fraction_micros(&self) -> i32 {
        (0..6).fold(0, |micros, place| {
            let digit = self.fraction.get(place);
            micros * 10 + digit.map_or(0, |digit| i32::from(digit & 15))
        })
    }

    /// As `io.debezium.time.MicroDuration.durationMicros`.
    #[expect(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "Debezium's own arithmetic; `as` saturates as Java does"
    )]
    fn micros_in_doubles(&self) -> i64 {
        const MONTH_DAYS: f64 = 365.25 / 12.0;
        let sign = if self.negative { -1.0 } else { 1.0 };
        let micros = self.fraction_micros();
        let seconds = sign * (self.seconds as f64 + f64::from(micros) / 1_000_000.0);
        let days = (self.years * 12 + self.months) as f64 * MONTH_DAYS + self.days as f64;
        let hours = days * 24.0 + sign * self.hours as f64;
        let total = (hours * 60.0 + sign * self.minutes as f64) * 60.0 + seconds;
        (total * 1e6) as i64
    }

    fn write_iso(&self, style: IntervalStyle, out: &mut Vec<u8>) {
        let all = style == IntervalStyle::IsoFull;
        let mut fraction = self.fraction;
        while let [rest @ .., b'0'] = fraction {
            fraction = rest;
        }
        out.extend_from_slice(b"\"P");
        self.write_fields(all, fraction, out);
        out.push(b'"');
    }

    fn write_fields(&self, all: bool, fraction: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        for (number, unit) in [(self.years, b'Y'), (self.months, b'M'), (self.days, b'D')] {
            if number != 0 || all {
                out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
                out.push(unit);
            }
        }
        let has_seconds = self.seconds != 0 || !fraction.is_empty();
        let has_time = self.hours != 0 || self.minutes != 0 || has_seconds;
        if !has_time && !all && out.len() > start {
            return;
        }
        out.push(b'T');
        for (number, unit) in [(self.hours, b'H'), (self.minutes, b'M')] {
            if number != 0 || all {
                self.write_time_number(number, number != 0, out);
                out.push(unit);
            }
        }
        if has_seconds || all || !has_time {
            self.write_time_number(self.seconds, has_seconds, out);
            if !fraction.is_empty() {
                out.push(b'.');
                out.extend_from_slice(fraction);
            }
            out.push(b'S');
        }
    }

    fn write_time_number(&self, number: i64, signed: bool, out: &mut Vec<u8>) {
        if self.negative && signed {
            out.push(b'-');
        }
        out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    }
}

fn parse_integer(word: &[u8]) -> Option<i64> {
    match word {
        [b'-', digits @ ..] => parse_digits(digits).map(|number| -number),
        [b'+', digits @ ..] => parse_digits(digits),
        _ => parse_digits(word),
    }
}

fn parse_digits(digits: &[u8]) -> Option<i64> {
    if digits.is_empty() || digits.len() > NUMBER_DIGITS_MAX {
        return None;
    }
    digits.iter().try_fold(0, |number, &digit| {
        digit
            .is_ascii_digit()
            .then(|| number * 10 + i64::from(digit & 15))
    })
}

/// Hours go up to 2562047788, years to 178956970.
const NUMBER_DIGITS_MAX: usize = 12;

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use super::*;

    fn interval(text: &str, style: IntervalStyle) -> Result<String, InvalidValue> {
        let mut out = Vec::new();
        write_interval(text.as_bytes(), style, &mut out).map(|()| String::from_utf8(out).unwrap())
    }

    #[test]
    fn microseconds_as_debezium_counts_them() {
        for (text, expected) in [
            ("1 year 2 mons 3 days 04:05:06.789012", "37091106789012"),
            (
                "-1 years -2 mons +3 days -04:05:06.789012",
                "-36572706789012",
            ),
            ("1 mon", "2629800000000"),
            ("178000000 years", "9223372036854775807"),
            ("-178000000 years", "-9223372036854775808"),
            ("00:00:00", "0"),
            ("00:00:01.235", "1234999"),
            ("-1 mons +2 days -00:00:00.5", "-2457000500000"),
            (
                "10 years 11 mons 30 days 23:59:59.999999",
                "347182199999999",
            ),
            ("-00:00:00.000001", "-1"),
            ("infinity", "0"),
        ] {
            let doubles = interval(text, IntervalStyle::Doubles);
            assert_eq!(doubles.as_deref(), Ok(expected), "{text}");
            let exact = match expected {
                "1234999" => "1235000",
                expected => expected,
            };
            let micros = interval(text, IntervalStyle::Micros);
            assert_eq!(micros.as_deref(), Ok(exact), "{text}");
        }
    }

    #[test]
    fn iso_8601() {
        for (text, full, short) in [
            (
                "1 year 2 mons -3 days +04:05:06.7",
                "\"P1Y2M-3DT4H5M6.7S\"",
                "\"P1Y2M-3DT4H5M6.7S\"",
            ),
            (
                "-1 years -2 mons +3 days -04:05:06.789012",
                "\"P-1Y-2M3DT-4H-5M-6.789012S\"",
                "\"P-1Y-2M3DT-4H-5M-6.789012S\"",
            ),
            (
                "-00:00:00.000001",
                "\"P0Y0M0DT0H0M-0.000001S\"",
                "\"PT-0.000001S\"",
            ),
            ("1 day", "\"P0Y0M1DT0H0M0S\"", "\"P1D\""),
            ("00:00:00", "\"P0Y0M0DT0H0M0S\"", "\"PT0S\""),
            (
                "1000000:00:00",
                "\"P0Y0M0DT1000000H0M0S\"",
                "\"PT1000000H\"",
            ),
            ("infinity", "\"P0Y0M0DT0H0M0S\"", "\"infinity\""),
        ] {
            assert_eq!(
                interval(text, IntervalStyle::IsoFull).as_deref(),
                Ok(full),
                "{text}"
            );
            assert_eq!(
                interval(text, IntervalStyle::Iso).as_deref(),
                Ok(short),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_interval_is_refused() {
        for text in [
            "",
            "1",
            "day",
            "1 week",
            "1  day",
            "00:00",
            "1 day 1:2:3:4",
            "00:00:00 1 day",
        ] {
            assert!(interval(text, IntervalStyle::Iso).is_err(), "{text}");
        }
    }
}
