//! Dates and times, counted from 2000-01-01, in ISO style (utils/adt/datetime.c).

use alloc::vec::Vec;

use super::bytes::Bytes;
use super::number::{push_four_digits, two_digits, write_integer};
use crate::value::temporal::{DAY_US, Date};

/// `date_send`
pub(super) fn write_date(bytes: &mut Bytes<'_>, out: &mut Vec<u8>) -> Option<()> {
    match bytes.i32()? {
        i32::MAX => out.extend_from_slice(b"infinity"),
        i32::MIN => out.extend_from_slice(b"-infinity"),
        days => {
            let before_christ = push_date(i64::from(days), out);
            push_era(before_christ, out);
        }
    }
    Some(())
}

/// `timestamp_send`, `timestamptz_send`
pub(crate) fn write_timestamp(bytes: &mut Bytes<'_>, zone: bool, out: &mut Vec<u8>) -> Option<()> {
    match bytes.i64()? {
        i64::MAX => out.extend_from_slice(b"infinity"),
        i64::MIN => out.extend_from_slice(b"-infinity"),
        us => {
            let before_christ = push_date(us.div_euclid(DAY_US), out);
            out.push(b' ');
            push_time(us.rem_euclid(DAY_US).unsigned_abs(), out);
            if zone {
                out.extend_from_slice(b"+00");
            }
            push_era(before_christ, out);
        }
    }
    Some(())
}

/// A `timestamptz` of the years 1 to 9999: `2024-01-15 10:30:00`, and six digits of its fraction.
#[inline]
pub(super) fn usual_timestamptz(value: &[u8]) -> Option<([u8; 19], [u8; 6])> {
    let us = i64::from_be_bytes(value.try_into().ok()?);
    let date = common_date(us.div_euclid(DAY_US) + DAYS_TO_2000)?;
    let [y1, y2, y3, y4, _, m1, m2, _, d1, d2] = date;
    let us = us.rem_euclid(DAY_US);
    let seconds = u32::try_from(us / 1_000_000).ok()?;
    let ([h1, h2], [n1, n2]) = (two(seconds / 3600), two(seconds / 60 % 60));
    let [s1, s2] = two(seconds % 60);
    let head = [
        y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b' ', h1, h2, b':', n1, n2, b':', s1, s2,
    ];
    Some((head, six_digits(u32::try_from(us % 1_000_000).ok()?)))
}

/// `time_send`
pub(super) fn write_time(bytes: &mut Bytes<'_>, out: &mut Vec<u8>) -> Option<()> {
    let us = bytes.i64()?;
    if !(0..=DAY_US).contains(&us) {
        return None;
    }
    push_time(us.unsigned_abs(), out);
    Some(())
}

/// `timetz_send`: seconds west of UTC.
pub(super) fn write_timetz(bytes: &mut Bytes<'_>, out: &mut Vec<u8>) -> Option<()> {
    write_time(bytes, out)?;
    let zone = bytes.i32()?;
    out.push(if zone <= 0 { b'+' } else { b'-' });
    let zone = zone.unsigned_abs();
    if zone >= ZONE_SECONDS_END {
        return None;
    }
    out.extend_from_slice(&two(zone / 3600));
    let (minute, second) = (zone / 60 % 60, zone % 60);
    if minute != 0 || second != 0 {
        out.push(b':');
        out.extend_from_slice(&two(minute));
    }
    if second != 0 {
        out.push(b':');
        out.extend_from_slice(&two(second));
    }
    Some(())
}

/// `interval_send` and `EncodeInterval` with `intervalstyle` postgres.
pub(super) fn write_interval(bytes: &mut Bytes<'_>, out: &mut Vec<u8>) -> Option<()> {
    let us = bytes.i64()?;
    let days = bytes.i32()?;
    let months = bytes.i32()?;
    match (us, days, months) {
        (i64::MAX, i32::MAX, i32::MAX) => {
            out.extend_from_slice(b"infinity");
            return Some(());
        }
        (i64::MIN, i32::MIN, i32::MIN) => {
            out.extend_from_slice(b"-infinity");
            return Some(());
        }
        _ => {}
    }
    let (mut first, mut negative) = (true, false);
    for (number, unit) in [
        (months / 12, &b" year"[..]),
        (months % 12, b" mon"),
        (days, b" day"),
    ] {
        if number == 0 {
            continue;
        }
        if !first {
            out.push(b' ');
        }
        // A sign where it changes.
        if negative && number > 0 {
            out.push(b'+');
        }
        (first, negative) = (false, number < 0);
        write_integer(number, out);
        out.extend_from_slice(unit);
        if number != 1 {
            out.push(b's');
        }
    }
    if first || us != 0 {
        if !first {
            out.push(b' ');
        }
        if us < 0 {
            out.push(b'-');
        } else if negative {
            out.push(b'+');
        }
        push_time(us.unsigned_abs(), out);
    }
    Some(())
}

/// Writes the date without its era and says whether that is before Christ.
fn push_date(days: i64, out: &mut Vec<u8>) -> bool {
    let days = days + DAYS_TO_2000;
    if let Some(text) = common_date(days) {
        out.extend_from_slice(&text);
        return false;
    }
    let date = Date::from_days(days);
    let before_christ = date.year <= 0;
    let year = if before_christ {
        1 - date.year
    } else {
        date.year
    };
    match u16::try_from(year) {
        Ok(year) if year < 10_000 => push_four_digits(year, out),
        _ => write_integer(year, out),
    }
    let [m1, m2] = two_digits(date.month);
    let [d1, d2] = two_digits(date.day);
    out.extend_from_slice(&[b'-', m1, m2, b'-', d1, d2]);
    before_christ
}

/// The text of a day since 1970-01-01 in the years 1 to 9999. Cassio Neri and Lorenz Schneider,
/// "Euclidean affine functions and their application to calendar algorithms".
fn common_date(days: i64) -> Option<[u8; 10]> {
    let days = u32::try_from(days + DAYS_TO_1970).ok()?;
    if !(FIRST_COMMON_DAY..=LAST_COMMON_DAY).contains(&days) {
        return None;
    }
    let quarters = 4 * days + 3;
    let century = quarters / 146_097;
    let quarters = (quarters % 146_097) | 3;
    let years = u64::from(quarters) * 2_939_745;
    let day_of_year = u32::try_from(years & 0xFFFF_FFFF).unwrap_or_default() / 2_939_745 / 4;
    let year_of_century = u32::try_from(years >> 32).unwrap_or_default();
    let months = 2141 * day_of_year + 197_913;
    let (month, day) = (months >> 16, (months & 0xFFFF) / 2141 + 1);
    // Its years begin in March.
    let (carry, month) = if day_of_year >= 306 {
        (1, month - 12)
    } else {
        (0, month)
    };
    let year = 100 * century + year_of_century + carry;
    let ([y1, y2], [y3, y4]) = (two(year / 100), two(year % 100));
    let ([m1, m2], [d1, d2]) = (two(month), two(day));
    Some([y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2])
}

fn push_era(before_christ: bool, out: &mut Vec<u8>) {
    if before_christ {
        out.extend_from_slice(b" BC");
    }
}

/// `12:34:56.789`; an interval may have more hours.
fn push_time(us: u64, out: &mut Vec<u8>) {
    let (seconds, fraction) = (us / 1_000_000, us % 1_000_000);
    let hours = seconds / 3600;
    match u8::try_from(hours) {
        Ok(hours) if hours < 100 => out.extend_from_slice(&two_digits(hours)),
        _ => write_integer(hours, out),
    }
    let [m1, m2] = two(u32::try_from(seconds / 60 % 60).unwrap_or_default());
    let [s1, s2] = two(u32::try_from(seconds % 60).unwrap_or_default());
    out.extend_from_slice(&[b':', m1, m2, b':', s1, s2]);
    if fraction != 0 {
        let fraction = u32::try_from(fraction).unwrap_or_default();
        out.push(b'.');
        out.extend_from_slice(&six_digits(fraction));
        while let Some(b'0') = out.last() {
            out.pop();
        }
    }
}

fn six_digits(number: u32) -> [u8; 6] {
    let [f1, f2] = two(number / 10_000);
    let [f3, f4] = two(number / 100 % 100);
    let [f5, f6] = two(number % 100);
    [f1, f2, f3, f4, f5, f6]
}

fn two(number: u32) -> [u8; 2] {
    let [number, ..] = number.to_le_bytes();
    two_digits(number)
}

/// Days from 1970-01-01 on.
const DAYS_TO_2000: i64 = 10_957;

/// From 0000-03-01 on.
const DAYS_TO_1970: i64 = 719_468;

/// 0001-01-01
const FIRST_COMMON_DAY: u32 = 306;

/// 9999-12-31
const LAST_COMMON_DAY: u32 = 3_652_364;

/// `TZDISP_LIMIT`, datatype/timestamp.h.
const ZONE_SECONDS_END: u32 = 16 * 3600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_dates_are_as_others() {
        let first = i64::from(FIRST_COMMON_DAY) - DAYS_TO_1970;
        let last = i64::from(LAST_COMMON_DAY) - DAYS_TO_1970;
        assert_eq!(common_date(first), Some(*b"0001-01-01"));
        assert_eq!(common_date(last), Some(*b"9999-12-31"));
        for days in first..=last {
            let date = Date::from_days(days);
            let text = common_date(days).unwrap();
            let number = |text: &[u8]| text.iter().fold(0, |n, d| n * 10 + i32::from(d - b'0'));
            let parts = [&text[..4], &text[5..7], &text[8..]].map(number);
            let expected = [date.year, i32::from(date.month), i32::from(date.day)];
            assert_eq!(parts, expected);
        }
        assert_eq!(common_date(first - 1), None);
        assert_eq!(common_date(last + 1), None);
    }
}
