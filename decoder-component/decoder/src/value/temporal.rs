//! Dates and times: the server's ISO text (`datestyle=ISO`), taken apart and put together.

mod date;
mod time;
mod timestamp;

pub(super) use date::{DateStyle, write_date};
pub(super) use time::{TimeStyle, TimeTzStyle, write_time, write_timetz};
pub(super) use timestamp::{
    TimestampStyle, TimestampTzStyle, common_seconds, is_common, iso_head, write_timestamp,
    write_timestamp_element, write_timestamptz, write_usual_timestamptz,
};

use alloc::vec::Vec;

/// A day of the proleptic Gregorian calendar; the year before 1 is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Date {
    pub(super) year: i32,
    pub(super) month: u8,
    pub(super) day: u8,
}

/// A time of day, as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Clock<'a> {
    hour: u8,
    minute: u8,
    second: u8,
    /// Digits behind the point, at most six.
    fraction: &'a [u8],
}

impl Date {
    /// Parses what a text starts with; the era is known from its end.
    fn parse(text: &[u8], before_christ: bool) -> Option<(Self, &[u8])> {
        let year_digits = text.iter().position(|&byte| byte == b'-')?;
        if !(4..=YEAR_DIGITS_MAX).contains(&year_digits) {
            return None;
        }
        let (year, rest) = text.split_at_checked(year_digits)?;
        let mut number = 0_i32;
        for digit in year {
            number = number * 10 + i32::from(decimal_digit(*digit)?);
        }
        let [b'-', m1, m2, b'-', d1, d2, rest @ ..] = rest else {
            return None;
        };
        let (month, day) = (two_digits(*m1, *m2)?, two_digits(*d1, *d2)?);
        if !(1..=12).contains(&month) || !(1..=31).contains(&day) || number == 0 {
            return None;
        }
        let year = if before_christ { 1 - number } else { number };
        Some((Self { year, month, day }, rest))
    }

    /// Days since 1970-01-01. Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
    fn days(self) -> i64 {
        let month = i64::from(self.month);
        let year = i64::from(self.year) - i64::from(month <= 2);
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + i64::from(self.day) - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        era * 146_097 + day_of_era - 719_468
    }

    /// The same for `2024-01-15`, in numbers that are cheap to divide; none for other texts.
    #[inline]
    fn common_days(text: [u8; 10]) -> Option<i64> {
        let mut well_formed = true;
        for (byte, (lowest, range)) in text.iter().zip(b"0000-00-00".iter().zip(DATE_RANGE)) {
            well_formed &= byte.wrapping_sub(*lowest) <= *range;
        }
        let [y1, y2, y3, y4, _, m1, m2, _, d1, d2] = text;
        let two = |tens: u8, ones: u8| u32::from((tens & 15) * 10 + (ones & 15));
        let (year, month, day) = (two(y1, y2) * 100 + two(y3, y4), two(m1, m2), two(d1, d2));
        if !well_formed || year == 0 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
            return None;
        }
        let (year, month) = if month <= 2 {
            (year - 1, month + 9)
        } else {
            (year, month - 3)
        };
        let century = year / 100;
        let days = year * 365 + year / 4 - century + century / 4 + (153 * month + 2) / 5 + day;
        Some(i64::from(days) - 719_469)
    }

    /// The inverse of [`Date::days`], for days whose year fits.
    pub(super) fn from_days(days: i64) -> Self {
        let days = days + 719_468;
        let era = days.div_euclid(146_097);
        let day_of_era = days.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let month = if shifted_month < 10 {
            shifted_month + 3
        } else {
            shifted_month - 9
        };
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        Self {
            year: i32::try_from(year).unwrap_or(i32::MAX),
            month: u8::try_from(month).unwrap_or(1),
            day: u8::try_from(day).unwrap_or(1),
        }
    }

    /// Days since 1970-01-01 of the day that the Julian calendar calls so.
    fn julian_days(self) -> i64 {
        let shifted = Self { day: 1, ..self };
        // The Gregorian calendar left out a leap day in centuries that 400 does not divide.
        let year = i64::from(self.year) - i64::from(self.month <= 2);
        let left_out = year.div_euclid(100) - year.div_euclid(400) - 2;
        shifted.days() + left_out + i64::from(self.day) - 1
    }

    /// Whether the day is one that Java's calendar, which changes from the Julian to the Gregorian
    /// on 1582-10-15, does not have.
    fn is_java_gap(days: i64) -> bool {
        (GREGORIAN_DAYS - 10..GREGORIAN_DAYS).contains(&days)
    }

    /// The date that Java's calendar makes of this one.
    fn in_java_calendar(self) -> Self {
        let days = self.days();
        if Self::is_java_gap(days) {
            Self::from_days(days + 10)
        } else {
            self
        }
    }

    /// Days since 1970-01-01 of what Java's calendar calls so.
    fn java_days(self) -> i64 {
        let days = self.days();
        if days < GREGORIAN_DAYS {
            self.julian_days()
        } else {
            days
        }
    }

    /// ISO 8601, with a sign where the year is not of four digits.
    fn write(self, out: &mut Vec<u8>) {
        let magnitude = self.year.unsigned_abs();
        if self.year < 0 {
            out.push(b'-');
        } else if magnitude > 9999 {
            out.push(b'+');
        }
        let mut buffer = itoa::Buffer::new();
        let digits = buffer.format(magnitude).as_bytes();
        for _ in digits.len()..4 {
            out.push(b'0');
        }
        out.extend_from_slice(digits);
        out.push(b'-');
        push_two_digits(self.month, out);
        out.push(b'-');
        push_two_digits(self.day, out);
    }
}

impl<'a> Clock<'a> {
    /// Parses what a text starts with. 24:00:00 is a time of day for PostgreSQL.
    #[inline]
    fn parse(text: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (head, rest) = text.split_first_chunk::<8>()?;
        let mut well_formed = true;
        for (byte, (lowest, range)) in head.iter().zip(b"00:00:00".iter().zip(CLOCK_RANGE)) {
            well_formed &= byte.wrapping_sub(*lowest) <= *range;
        }
        let [h1, h2, _, m1, m2, _, s1, s2] = *head;
        let two = |tens: u8, ones: u8| (tens & 15) * 10 + (ones & 15);
        let (hour, minute, second) = (two(h1, h2), two(m1, m2), two(s1, s2));
        if !well_formed || hour > 24 {
            return None;
        }
        let (fraction, rest) = match rest {
            [b'.', rest @ ..] => {
                let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
                if digits == 0 || digits > 6 {
                    return None;
                }
                rest.split_at_checked(digits)?
            }
            _ => (&[][..], rest),
        };
        Some((
            Self {
                hour,
                minute,
                second,
                fraction,
            },
            rest,
        ))
    }

    fn seconds(self) -> i64 {
        i64::from(self.hour) * 3600 + i64::from(self.minute) * 60 + i64::from(self.second)
    }

    /// The fraction in microseconds.
    #[inline]
    fn fraction_us(self) -> i64 {
        let mut digits = *b"000000";
        for (place, digit) in digits.iter_mut().zip(self.fraction) {
            *place = *digit;
        }
        let micros = digits
            .iter()
            .fold(0, |micros, digit| micros * 10 + u32::from(digit & 15));
        i64::from(micros)
    }

    /// `12:34:56.789`, the fraction without zeros at its end.
    fn write(self, out: &mut Vec<u8>) {
        push_two_digits(self.hour, out);
        out.push(b':');
        push_two_digits(self.minute, out);
        out.push(b':');
        push_two_digits(self.second, out);
        let mut fraction = self.fraction;
        while let [rest @ .., b'0'] = fraction {
            fraction = rest;
        }
        if !fraction.is_empty() {
            out.push(b'.');
            out.extend_from_slice(fraction);
        }
    }
}

/// Seconds east of Greenwich: `+02`, `-07:30`, `+00:19:32`.
fn parse_offset(text: &[u8]) -> Option<i64> {
    let (negative, rest) = match text {
        [b'+', rest @ ..] => (false, rest),
        [b'-', rest @ ..] => (true, rest),
        _ => return None,
    };
    let (hours, minutes, seconds) = match rest {
        [h1, h2] => (two_digits(*h1, *h2)?, 0, 0),
        [h1, h2, b':', m1, m2] => (two_digits(*h1, *h2)?, two_digits(*m1, *m2)?, 0),
        [h1, h2, b':', m1, m2, b':', s1, s2] => (
            two_digits(*h1, *h2)?,
            two_digits(*m1, *m2)?,
            two_digits(*s1, *s2)?,
        ),
        _ => return None,
    };
    let offset = i64::from(hours) * 3600 + i64::from(minutes) * 60 + i64::from(seconds);
    Some(if negative { -offset } else { offset })
}

/// A text without ` BC` at its end, and whether that was there.
fn split_era(text: &[u8]) -> (&[u8], bool) {
    match text {
        [rest @ .., b' ', b'B', b'C'] => (rest, true),
        _ => (text, false),
    }
}

#[inline]
fn decimal_digit(byte: u8) -> Option<u8> {
    byte.is_ascii_digit().then_some(byte & 15)
}

#[inline]
fn two_digits(tens: u8, ones: u8) -> Option<u8> {
    Some(decimal_digit(tens)? * 10 + decimal_digit(ones)?)
}

/// Of a number below 100.
fn push_two_digits(number: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(&[b'0' + number / 10 % 10, b'0' + number % 10]);
}

fn push_integer(number: i64, out: &mut Vec<u8>) {
    crate::json::append(itoa::Buffer::new().format(number).as_bytes(), out);
}

fn quoted(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(text);
    out.push(b'"');
}

/// How much each byte of a time may be more than those of `00:00:00`.
const CLOCK_RANGE: &[u8; 8] = &[2, 9, 0, 5, 9, 0, 5, 9];

/// The same for `0000-00-00`.
const DATE_RANGE: &[u8; 10] = &[9, 9, 9, 9, 0, 1, 9, 0, 3, 9];

/// 1582-10-15, the first day of the Gregorian calendar.
const GREGORIAN_DAYS: i64 = -141_427;

/// A `date` goes up to 5874897.
const YEAR_DIGITS_MAX: usize = 7;

pub(super) const DAY_US: i64 = 86_400_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates_are_inverse() {
        for (text, before_christ, days) in [
            (&b"1970-01-01"[..], false, 0),
            (b"2024-02-29", false, 19782),
            (b"1969-12-31", false, -1),
            (b"5874897-12-31", false, 2_145_042_905),
            (b"1582-10-04", false, -141_438),
            (b"0001-12-31", true, -719_163),
            (b"4713-01-01", true, -2_440_550),
            (b"0044-03-15", true, -735_160),
        ] {
            let (date, rest) = Date::parse(text, before_christ).unwrap();
            assert!(rest.is_empty());
            assert_eq!(date.days(), days);
            assert_eq!(Date::from_days(days), date);
        }
        for days in (-1_000_000..1_000_000).step_by(17) {
            let date = Date::from_days(days);
            assert_eq!(date.days(), days);
            let mut text = Vec::new();
            date.write(&mut text);
            if let Some(text) = text.first_chunk::<10>().filter(|_| date.year > 0) {
                assert_eq!(Date::common_days(*text), Some(days));
            }
        }
    }

    #[test]
    fn dates_in_java_calendar() {
        for (text, before_christ, days) in [
            (&b"1582-10-15"[..], false, -141_427),
            (b"1582-10-14", false, -141_418),
            (b"1582-10-10", false, -141_422),
            (b"1582-10-04", false, -141_428),
            (b"1500-03-01", false, -171_595),
            (b"1500-02-28", false, -171_597),
            (b"0001-01-01", false, -719_164),
            (b"0044-03-15", true, -735_162),
        ] {
            let (date, _) = Date::parse(text, before_christ).unwrap();
            assert_eq!(date.java_days(), days, "{date:?}");
        }
    }

    #[test]
    fn what_is_no_date_or_time_is_refused() {
        for text in [
            "",
            "2024",
            "2024-1-01",
            "24-01-01",
            "2024-13-01",
            "2024-01-32",
            "0000-01-01",
        ] {
            assert_eq!(Date::parse(text.as_bytes(), false), None, "{text}");
        }
        for text in [
            "",
            "12",
            "12:34",
            "25:00:00",
            "12:60:00",
            "12:34:56.",
            "12:34:56.1234567",
        ] {
            assert_eq!(Clock::parse(text.as_bytes()), None, "{text}");
        }
        for text in ["", "+", "+2", "+02:", "02", "+02:30:1", "Z"] {
            assert_eq!(parse_offset(text.as_bytes()), None, "{text}");
        }
    }
}
