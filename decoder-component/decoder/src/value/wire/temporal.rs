//! Dates and times, counted from 2000-01-01, in ISO style (utils/adt/datetime.c).

use alloc::vec::Vec;

use super::bytes::Bytes;
use super::number::{push_two_digits, write_integer};
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
pub(super) fn write_timestamp(bytes: &mut Bytes<'_>, zone: bool, out: &mut Vec<u8>) -> Option<()> {
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
    push_two(zone / 3600, out);
    let (minute, second) = (zone / 60 % 60, zone % 60);
    if minute != 0 || second != 0 {
        out.push(b':');
        push_two(minute, out);
    }
    if second != 0 {
        out.push(b':');
        push_two(second, out);
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
    let date = Date::from_days(days + DAYS_TO_2000);
    let before_christ = date.year <= 0;
    let year = if before_christ {
        1 - date.year
    } else {
        date.year
    };
    if year < 1000 {
        out.push(b'0');
        if year < 100 {
            out.push(b'0');
            if year < 10 {
                out.push(b'0');
            }
        }
    }
    write_integer(year, out);
    out.push(b'-');
    push_two_digits(date.month, out);
    out.push(b'-');
    push_two_digits(date.day, out);
    before_christ
}

fn push_era(before_christ: bool, out: &mut Vec<u8>) {
    if before_christ {
        out.extend_from_slice(b" BC");
    }
}

/// `12:34:56.789`; an interval may have more hours.
fn push_time(us: u64, out: &mut Vec<u8>) {
    let (seconds, fraction) = (us / 1_000_000, us % 1_000_000);
    match u32::try_from(seconds / 3600) {
        Ok(hours) if hours < 100 => push_two(hours, out),
        _ => write_integer(seconds / 3600, out),
    }
    out.push(b':');
    push_two(u32::try_from(seconds / 60 % 60).unwrap_or_default(), out);
    out.push(b':');
    push_two(u32::try_from(seconds % 60).unwrap_or_default(), out);
    if fraction != 0 {
        out.push(b'.');
        let digit = |unit: u64| {
            let [digit, ..] = (fraction / unit % 10).to_le_bytes();
            b'0' + digit
        };
        let digits = [100_000, 10_000, 1000, 100, 10, 1].map(digit);
        let zeros = digits.iter().rev().take_while(|&&d| d == b'0').count();
        out.extend_from_slice(digits.get(..digits.len() - zeros).unwrap_or_default());
    }
}

/// Of a number below 100.
fn push_two(number: u32, out: &mut Vec<u8>) {
    let [number, ..] = number.to_le_bytes();
    push_two_digits(number, out);
}

/// Days from 1970-01-01 on.
const DAYS_TO_2000: i64 = 10_957;

/// `TZDISP_LIMIT`, datatype/timestamp.h.
const ZONE_SECONDS_END: u32 = 16 * 3600;
