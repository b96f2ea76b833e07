//! Numbers, and what is little more than one: booleans, bytes, bits, identifiers.

use alloc::vec::Vec;

use super::bytes::Bytes;
use crate::json::append;
use crate::limits::NUMERIC_FRACTION_DIGITS_MAX;

#[inline]
pub(super) fn write_integer(number: impl itoa::Integer, out: &mut Vec<u8>) {
    append(itoa::Buffer::new().format(number).as_bytes(), out);
}

pub(super) fn write_bool(bytes: &mut Bytes<'_>, out: &mut Vec<u8>) -> Option<()> {
    out.push(match bytes.u8()? {
        0 => b'f',
        1 => b't',
        _ => return None,
    });
    Some(())
}

/// `bytea_output` is `hex`.
pub(super) fn write_bytea(value: &[u8], out: &mut Vec<u8>) {
    out.reserve(value.len().saturating_mul(2).saturating_add(2));
    out.extend_from_slice(b"\\x");
    write_hex(value, out);
}

pub(super) fn write_upper_hex(value: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    write_hex(value, out);
    out.get_mut(start..)
        .unwrap_or_default()
        .make_ascii_uppercase();
}

#[inline]
pub(super) fn write_hex(value: &[u8], out: &mut Vec<u8>) {
    for &byte in value {
        out.extend_from_slice(&[hex_digit(byte >> 4), hex_digit(byte & 15)]);
    }
}

#[inline]
fn hex_digit(nibble: u8) -> u8 {
    nibble + if nibble < 10 { b'0' } else { b'a' - 10 }
}

/// `charout`, utils/adt/char.c.
pub(super) fn write_char(bytes: &mut Bytes<'_>, out: &mut Vec<u8>) -> Option<()> {
    match bytes.u8()? {
        0 => {}
        byte @ 0x80.. => {
            let digit = |shift: u32| b'0' + (byte >> shift & 7);
            out.extend_from_slice(&[b'\\', digit(6), digit(3), digit(0)]);
        }
        byte => out.push(byte),
    }
    Some(())
}

/// `bit_send` and `varbit_send`, utils/adt/varbit.c.
pub(super) fn write_bits(bytes: &mut Bytes<'_>, out: &mut Vec<u8>) -> Option<()> {
    let count = usize::try_from(bytes.i32()?).ok()?;
    let end = out.len().saturating_add(count);
    for byte in bytes.take(count.div_ceil(8))? {
        out.extend_from_slice(&core::array::from_fn::<u8, 8, _>(|bit| {
            b'0' + (byte << bit >> 7)
        }));
    }
    out.truncate(end);
    Some(())
}

pub(super) fn write_uuid(bytes: &mut Bytes<'_>, out: &mut Vec<u8>) -> Option<()> {
    let value: [u8; 16] = bytes.array()?;
    let mut digits = [[0; 2]; 16];
    for (pair, byte) in digits.iter_mut().zip(value) {
        *pair = [hex_digit(byte >> 4), hex_digit(byte & 15)];
    }
    let mut groups = digits.as_flattened();
    for (index, length) in [8, 4, 4, 4, 12].into_iter().enumerate() {
        if index > 0 {
            out.push(b'-');
        }
        let group;
        (group, groups) = groups.split_at_checked(length)?;
        append(group, out);
    }
    Some(())
}

pub(super) fn write_lsn(bytes: &mut Bytes<'_>, out: &mut Vec<u8>) -> Option<()> {
    for (half, separator) in [(bytes.array::<4>()?, &b"/"[..]), (bytes.array()?, b"")] {
        let mut digits = Vec::with_capacity(8);
        write_upper_hex(&half, &mut digits);
        let zeros = digits.iter().take(7).take_while(|&&d| d == b'0').count();
        out.extend_from_slice(digits.get(zeros..).unwrap_or_default());
        out.extend_from_slice(separator);
    }
    Some(())
}

/// `tidout`, utils/adt/tid.c.
pub(super) fn write_tid(bytes: &mut Bytes<'_>, out: &mut Vec<u8>) -> Option<()> {
    out.push(b'(');
    write_integer(bytes.u32()?, out);
    out.push(b',');
    write_integer(bytes.u16()?, out);
    out.push(b')');
    Some(())
}

/// The OID of what the server would name; `none` stands for 0.
pub(super) fn write_registered(bytes: &mut Bytes<'_>, none: u8, out: &mut Vec<u8>) -> Option<()> {
    match bytes.u32()? {
        0 => out.push(none),
        oid => write_integer(oid, out),
    }
    Some(())
}

/// `pg_snapshot_send`, utils/adt/xid8funcs.c.
pub(super) fn write_snapshot(bytes: &mut Bytes<'_>, out: &mut Vec<u8>) -> Option<()> {
    let count = bytes.u32()?;
    write_integer(bytes.u64()?, out);
    out.push(b':');
    write_integer(bytes.u64()?, out);
    out.push(b':');
    for index in 0..count {
        if index > 0 {
            out.push(b',');
        }
        write_integer(bytes.u64()?, out);
    }
    Some(())
}

/// `cash_out`, utils/adt/cash.c, where `lc_monetary` is C or alike: the binary form does not say
/// what currency it is.
pub(super) fn write_money(bytes: &mut Bytes<'_>, out: &mut Vec<u8>) -> Option<()> {
    let cents = bytes.i64()?;
    out.extend_from_slice(if cents < 0 { b"-$" } else { b"$" });
    let cents = cents.unsigned_abs();
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(cents / 100).as_bytes();
    for (index, digit) in digits.iter().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(b',');
        }
        out.push(*digit);
    }
    out.push(b'.');
    let [hundredths, ..] = (cents % 100).to_le_bytes();
    out.extend_from_slice(&two_digits(hundredths));
    Some(())
}

/// `numeric_send`, utils/adt/numeric.c: digits to the base of 10000.
pub(super) fn write_numeric(bytes: &mut Bytes<'_>, out: &mut Vec<u8>) -> Option<()> {
    let count = usize::from(bytes.u16()?);
    let weight = bytes.i16()?;
    let sign = bytes.u16()?;
    let scale = usize::from(bytes.u16()?);
    let (digits, _) = bytes.take(count.checked_mul(2)?)?.as_chunks::<2>();
    match sign {
        NUMERIC_POS => {}
        NUMERIC_NEG => out.push(b'-'),
        NUMERIC_NAN => out.extend_from_slice(b"NaN"),
        NUMERIC_PINF => out.extend_from_slice(b"Infinity"),
        NUMERIC_NINF => out.extend_from_slice(b"-Infinity"),
        _ => return None,
    }
    if sign & NUMERIC_SPECIAL == NUMERIC_SPECIAL {
        return digits.is_empty().then_some(());
    }
    if scale > NUMERIC_FRACTION_DIGITS_MAX {
        return None;
    }
    // Digits that are not sent are zero, before and behind those that are.
    let mut digits = digits.iter().map(|digit| u16::from_be_bytes(*digit));
    let mut next = || match digits.next() {
        Some(digit) if digit > 9999 => None,
        digit => Some(digit.unwrap_or_default()),
    };
    match usize::try_from(weight) {
        Ok(weight) => {
            let first = next()?;
            // The server sends no zeros in front, and a number in JSON has none.
            if first == 0 && weight > 0 {
                return None;
            }
            write_integer(first, out);
            for _ in 0..weight {
                push_four_digits(next()?, out);
            }
        }
        Err(_) => out.push(b'0'),
    }
    if scale == 0 {
        return Some(());
    }
    out.push(b'.');
    let end = out.len().saturating_add(scale);
    for _ in weight.min(-1)..-1 {
        out.extend_from_slice(b"0000");
    }
    while out.len() < end {
        push_four_digits(next()?, out);
    }
    out.truncate(end);
    Some(())
}

/// Of a number below 10000.
#[inline]
pub(super) fn push_four_digits(number: u16, out: &mut Vec<u8>) {
    let digit = |unit: u16| {
        let [_, digit] = (number / unit % 10).to_be_bytes();
        b'0' + digit
    };
    out.extend_from_slice(&[digit(1000), digit(100), digit(10), digit(1)]);
}

/// Of a number below 100.
#[inline]
pub(super) fn two_digits(number: u8) -> [u8; 2] {
    [b'0' + number / 10 % 10, b'0' + number % 10]
}

// utils/adt/numeric.c
const NUMERIC_POS: u16 = 0x0000;
const NUMERIC_NEG: u16 = 0x4000;
const NUMERIC_SPECIAL: u16 = 0xC000;
const NUMERIC_NAN: u16 = 0xC000;
const NUMERIC_PINF: u16 = 0xD000;
const NUMERIC_NINF: u16 = 0xF000;
