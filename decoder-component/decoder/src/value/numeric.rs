//! `numeric` and `money`: exact numbers, as Kafka Connect's `Decimal` (the unscaled number in two's
//! complement, base64), as doubles, as strings, or as JSON numbers.

use alloc::vec::Vec;

use super::decimal_number::{write_number, write_scaled_number};
use super::number::{DecimalText, write_double, write_special};
use crate::error::InvalidValue;
use crate::json::{BASE64, append, put_base64_word, write_base64};
use crate::limits::{NUMERIC_FRACTION_DIGITS_MAX, NUMERIC_INTEGER_DIGITS_MAX};
use crate::room::Room;

/// Writes `numeric(p,s)` as a Connect `Decimal` of scale `s`. What it cannot hold is null.
#[inline]
pub(super) fn write_decimal(
    text: &[u8],
    scale: u16,
    out: &mut Vec<u8>,
) -> Result<(), InvalidValue> {
    if let Some((magnitude, negative)) = small_of_scale(text, usize::from(scale)) {
        write_small(magnitude, negative, out);
        return Ok(());
    }
    write_any_decimal(text, scale, out)
}

fn write_any_decimal(text: &[u8], scale: u16, out: &mut Vec<u8>) -> Result<(), InvalidValue> {
    let Some(number) = parse(text)? else {
        out.extend_from_slice(b"null");
        return Ok(());
    };
    let missing = usize::from(scale)
        .checked_sub(number.fraction.len())
        .ok_or(INVALID)?;
    write_unscaled(&number, missing, out);
    Ok(())
}

/// Writes `numeric` as Debezium's `VariableScaleDecimal`, the scale as small as may be.
pub(super) fn write_variable_decimal(text: &[u8], out: &mut Vec<u8>) -> Result<(), InvalidValue> {
    let Some(mut number) = parse(text)? else {
        out.extend_from_slice(b"null");
        return Ok(());
    };
    while let [rest @ .., b'0'] = number.fraction {
        number.fraction = rest;
    }
    out.extend_from_slice(b"{\"scale\":");
    out.extend_from_slice(itoa::Buffer::new().format(number.fraction.len()).as_bytes());
    out.extend_from_slice(b",\"value\":");
    write_unscaled(&number, 0, out);
    out.push(b'}');
    Ok(())
}

/// Writes the nearest double.
pub(super) fn write_decimal_double(text: &[u8], out: &mut Vec<u8>) -> Result<(), InvalidValue> {
    if parse(text)?.is_none() {
        write_special(text, out);
        return Ok(());
    }
    let value = core::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse().ok());
    write_double(value.ok_or(INVALID)?, out)
}

/// Writes the number as a string, what is not finite by the names of Debezium's enumeration. The
/// server writes as many digits behind the point as the scale says, unless it is negative and
/// Debezium takes it for a large one.
pub(super) fn write_decimal_string(
    text: &[u8],
    scale: Option<u16>,
    out: &mut Vec<u8>,
) -> Result<(), InvalidValue> {
    let number = parse(text)?;
    out.push(b'"');
    match text {
        _ if let Some(number) = number => {
            append(text, out);
            let missing = usize::from(scale.unwrap_or(0)).saturating_sub(number.fraction.len());
            if missing > 0 && number.fraction.is_empty() {
                out.push(b'.');
            }
            out.resize(out.len() + missing, b'0');
        }
        b"NaN" => out.extend_from_slice(b"NAN"),
        b"Infinity" => out.extend_from_slice(b"POSITIVE_INFINITY"),
        _ => out.extend_from_slice(b"NEGATIVE_INFINITY"),
    }
    out.push(b'"');
    Ok(())
}

/// Writes the number as it is, what is not finite as a string.
#[inline]
pub(super) fn write_decimal_exact(text: &[u8], out: &mut Vec<u8>) -> Result<(), InvalidValue> {
    if parse(text)?.is_some() {
        append(text, out);
    } else {
        write_special(text, out);
    }
    Ok(())
}

/// How `money` is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MoneyStyle {
    /// A Connect `Decimal` of this scale, rounded half up.
    Decimal(u16),
    Double,
    /// The same as `Decimal`, as a number.
    Number(u16),
    /// As the server has it; of this scale what stands in for a value.
    String(u16),
}

/// Writes an amount of money. Currency and digit grouping, which depend on `lc_monetary`, go.
pub(super) fn write_money(
    text: &[u8],
    style: MoneyStyle,
    out: &mut Vec<u8>,
) -> Result<(), InvalidValue> {
    let amount = plain_amount(text);
    match style {
        MoneyStyle::Double => write_decimal_double(&amount, out),
        MoneyStyle::String(_) => write_decimal_string(&amount, None, out),
        MoneyStyle::Decimal(scale) | MoneyStyle::Number(scale) => {
            let mut number = parse(&amount)?.ok_or(INVALID_MONEY)?;
            let kept = usize::from(scale);
            let missing = kept.saturating_sub(number.fraction.len());
            let (fraction, dropped) = number
                .fraction
                .split_at_checked(kept)
                .unwrap_or((number.fraction, &[]));
            number.fraction = fraction;
            let as_number = matches!(style, MoneyStyle::Number(_));
            if dropped.first().is_none_or(|&digit| digit < b'5') {
                if as_number {
                    write_scaled_number(&number, missing, out);
                } else {
                    write_unscaled(&number, missing, out);
                }
                return Ok(());
            }
            let magnitude = small_magnitude(&number, 0).ok_or(INVALID_MONEY)? + 1;
            if as_number {
                let mut digits = itoa::Buffer::new();
                let digits = digits.format(magnitude).as_bytes();
                write_number(number.negative, digits, kept, out);
            } else {
                write_small(magnitude, number.negative, out);
            }
            Ok(())
        }
    }
}

/// A finite number; none where it is `NaN` or infinite.
#[inline]
pub(super) fn parse(text: &[u8]) -> Result<Option<DecimalText<'_>>, InvalidValue> {
    match DecimalText::parse(text) {
        Some(number)
            if number.exponent.is_none()
                && number.integer.len() <= NUMERIC_INTEGER_DIGITS_MAX
                && number.fraction.len() <= NUMERIC_FRACTION_DIGITS_MAX =>
        {
            Ok(Some(number))
        }
        None if matches!(text, b"NaN" | b"Infinity" | b"-Infinity") => Ok(None),
        _ => Err(INVALID),
    }
}

/// The usual text: at most 18 digits, as many behind the point as the scale says. Without the
/// point it is the number wanted.
#[inline]
pub(super) fn small_of_scale(text: &[u8], scale: usize) -> Option<(u64, bool)> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        _ => (false, text),
    };
    let (integer, fraction) = if scale == 0 {
        (digits, &[][..])
    } else {
        let point = digits.len().checked_sub(scale)?.checked_sub(1)?;
        let (integer, [b'.', fraction @ ..]) = digits.split_at_checked(point)? else {
            return None;
        };
        (integer, fraction)
    };
    if integer.is_empty()
        || digits.len() > SMALL_DIGITS_MAX
        || (integer.first() == Some(&b'0') && integer.len() > 1)
    {
        return None;
    }
    let (mut magnitude, mut well_formed) = (0_u64, true);
    for part in [integer, fraction] {
        for byte in part {
            let digit = byte.wrapping_sub(b'0');
            well_formed &= digit <= 9;
            magnitude = magnitude.wrapping_mul(10).wrapping_add(u64::from(digit));
        }
    }
    well_formed.then_some((magnitude, negative))
}

/// Writes the number times 10^(digits behind the point + zeros), as base64 in quotes.
#[inline]
fn write_unscaled(number: &DecimalText<'_>, zeros: usize, out: &mut Vec<u8>) {
    match small_magnitude(number, zeros) {
        Some(magnitude) => write_small(magnitude, number.negative, out),
        None => write_large(number, zeros, out),
    }
}

/// The digits as a number, if there are at most 18 of them: less than 2^63.
#[inline]
fn small_magnitude(number: &DecimalText<'_>, zeros: usize) -> Option<u64> {
    let digits = number.integer.len().saturating_add(number.fraction.len());
    if digits.saturating_add(zeros) > SMALL_DIGITS_MAX {
        return None;
    }
    let magnitude = accumulate(accumulate(0, number.integer), number.fraction);
    Some((0..zeros).fold(magnitude, |magnitude, _| magnitude.wrapping_mul(10)))
}

#[inline]
fn accumulate(magnitude: u64, digits: &[u8]) -> u64 {
    digits.iter().fold(magnitude, |magnitude, digit| {
        magnitude
            .wrapping_mul(10)
            .wrapping_add(u64::from(digit & 15))
    })
}

fn write_small(magnitude: u64, negative: bool, out: &mut Vec<u8>) {
    put_small(magnitude, negative, &mut Room::behind(out));
}

/// Writes a number of less than 2^63, in as few bytes as hold it and its sign.
#[inline]
pub(super) fn put_small(magnitude: u64, negative: bool, room: &mut Room<'_>) {
    let word = if negative {
        magnitude.wrapping_neg()
    } else {
        magnitude
    };
    let sign = if negative && magnitude != 0 {
        u64::MAX
    } else {
        0
    };
    let bits = u64::BITS - (word ^ sign).leading_zeros();
    let bytes = bits / 8 + 1;
    room.put(b"\"", 1);
    put_base64_word(word << (u64::BITS - bytes * 8), bytes, room);
    room.put(b"\"", 1);
}

#[cold]
fn write_large(number: &DecimalText<'_>, zeros: usize, out: &mut Vec<u8>) {
    // Little-endian words; as long as the digits want.
    let mut words: Vec<u64> = Vec::new();
    let all = number.integer.len().saturating_add(number.fraction.len());
    let digits = number.integer.iter().chain(number.fraction).copied();
    // A few digits may stand for a number with very many zeros, which are cheaper than digits.
    let trailing = digits.clone().rev().take_while(|&digit| digit == b'0');
    let trailing = trailing.count();
    let mut digits = digits.take(all - trailing);
    loop {
        let (mut chunk, mut power) = (0_u64, 1_u64);
        for digit in digits.by_ref().take(SMALL_DIGITS_MAX) {
            chunk = chunk.wrapping_mul(10).wrapping_add(u64::from(digit & 15));
            power = power.wrapping_mul(10);
        }
        if power == 1 {
            break;
        }
        multiply_add(&mut words, power, chunk);
    }
    multiply_by_power_of_ten(&mut words, zeros.saturating_add(trailing));
    if number.negative {
        let mut carry = true;
        for word in &mut words {
            (*word, carry) = (!*word).overflowing_add(u64::from(carry));
        }
    }
    let sign = if number.negative && words.iter().any(|&word| word != 0) {
        0xFF
    } else {
        0
    };
    let mut bytes = Vec::with_capacity(words.len().saturating_mul(8).saturating_add(1));
    bytes.push(sign);
    bytes.extend(words.iter().rev().flat_map(|word| word.to_be_bytes()));
    // Bytes that only repeat the sign go, except for one that shows it.
    let mut shortest = bytes.as_slice();
    while let [first, second, ..] = shortest
        && *first == sign
        && second ^ sign < 0x80
    {
        shortest = shortest.get(1..).unwrap_or_default();
    }
    out.push(b'"');
    write_base64(shortest, BASE64, out);
    out.push(b'"');
}

fn multiply_add(words: &mut Vec<u64>, factor: u64, summand: u64) {
    let mut carry = summand;
    for word in words.iter_mut() {
        let product = u128::from(*word) * u128::from(factor) + u128::from(carry);
        (*word, carry) = (low_half(product), low_half(product >> 64));
    }
    if carry != 0 {
        words.push(carry);
    }
}

/// By that of five, and shifted: half as many bits to multiply.
fn multiply_by_power_of_ten(words: &mut Vec<u64>, exponent: usize) {
    if words.is_empty() {
        return;
    }
    for _ in 0..exponent / 27 {
        multiply_add(words, FIVE_TO_27, 0);
    }
    for _ in 0..exponent % 27 {
        multiply_add(words, 5, 0);
    }
    multiply_add(words, 1 << (exponent % 64), 0);
    words.splice(..0, core::iter::repeat_n(0, exponent / 64));
}

/// The largest power of five of less than 2^64.
const FIVE_TO_27: u64 = 5_u64.pow(27);

fn low_half(wide: u128) -> u64 {
    u64::try_from(wide & u128::from(u64::MAX)).unwrap_or_default()
}

/// `-$1,234.56` and `1.234,56 €` as `-1234.56`: of two kinds of separators the last is the point; a
/// single kind is, unless three digits follow it.
fn plain_amount(text: &[u8]) -> Vec<u8> {
    let negative = text.iter().any(|byte| matches!(byte, b'-' | b'('));
    let is_separator = |byte: &u8| matches!(byte, b'.' | b',');
    let last_digit = text.iter().rposition(u8::is_ascii_digit);
    let number = last_digit
        .and_then(|last| text.get(..=last))
        .unwrap_or_default();
    let point = number.iter().rposition(is_separator).filter(|&at| {
        let follow = number.len().saturating_sub(at).saturating_sub(1);
        let others = number
            .iter()
            .enumerate()
            .filter(|(other, byte)| *other < at && is_separator(byte));
        let separator = number.get(at);
        let (mut same, mut different) = (0, 0);
        for (_, byte) in others {
            *if Some(byte) == separator {
                &mut same
            } else {
                &mut different
            } += 1;
        }
        same == 0 && (different > 0 || follow != 3)
    });
    let mut amount = Vec::with_capacity(text.len());
    if negative {
        amount.push(b'-');
    }
    for (at, &byte) in number.iter().enumerate() {
        if byte.is_ascii_digit() {
            amount.push(byte);
        } else if Some(at) == point {
            amount.push(b'.');
        }
    }
    amount
}

/// 10^18 is less than 2^63.
const SMALL_DIGITS_MAX: usize = 18;

const INVALID: InvalidValue = InvalidValue {
    expected: "a numeric",
};
const INVALID_MONEY: InvalidValue = InvalidValue {
    expected: "an amount of money",
};

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::{String, ToString};

    use super::*;

    type Write = fn(&[u8], &mut Vec<u8>) -> Result<(), InvalidValue>;

    fn written(write: Write, text: &str) -> Result<String, InvalidValue> {
        let mut out = Vec::new();
        write(text.as_bytes(), &mut out).map(|()| String::from_utf8(out).unwrap())
    }

    fn decimal(text: &str, scale: u16) -> Result<String, InvalidValue> {
        let mut out = Vec::new();
        write_decimal(text.as_bytes(), scale, &mut out).map(|()| String::from_utf8(out).unwrap())
    }

    #[test]
    fn decimals_of_a_known_scale() {
        for (text, scale, expected) in [
            ("0.00", 2, "\"AA==\""),
            ("-1.50", 2, "\"/2o=\""),
            ("99999999.99", 2, "\"AlQL4/8=\""),
            ("-99999999.99", 2, "\"/av0HAE=\""),
            ("0.005", 3, "\"BQ==\""),
            ("127", 0, "\"fw==\""),
            ("128", 0, "\"AIA=\""),
            ("-128", 0, "\"gA==\""),
            ("-129", 0, "\"/38=\""),
            ("255", 0, "\"AP8=\""),
            ("32768", 0, "\"AIAA\""),
            ("1.5", 3, "\"Bdw=\""),
            ("0.12345678901234567890", 20, "\"AKtUqYzrHwrS\""),
            ("1000000000000000000000", 0, "\"NjXJrcXeoAAA\""),
            ("-100000000000000000000", 2, "\"/eHmHzZFTcAAAA==\""),
            (
                "99999999999999999999999999999999999999",
                0,
                "\"SztMqFqGxHoJiiI//////w==\"",
            ),
            ("-100000000000000000000", 0, "\"+pQ4odKc8AAA\""),
            ("9223372036854775808", 0, "\"AIAAAAAAAAAA\""),
            ("-9223372036854775808", 0, "\"gAAAAAAAAAA=\""),
            ("-0", 0, "\"AA==\""),
            ("NaN", 2, "null"),
            ("-Infinity", 2, "null"),
        ] {
            assert_eq!(decimal(text, scale).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn large_and_small_agree() {
        for text in [
            "0",
            "1",
            "-1",
            "127",
            "-128",
            "255",
            "-256",
            "65535",
            "999999999999999999",
        ] {
            let number = DecimalText::parse(text.as_bytes()).unwrap();
            let (mut small, mut large) = (Vec::new(), Vec::new());
            write_unscaled(&number, 0, &mut small);
            write_large(&number, 0, &mut large);
            assert_eq!(small, large, "{text}");
        }
    }

    #[test]
    fn decimals_of_a_varying_scale() {
        for (text, expected) in [
            ("0.000", r#"{"scale":0,"value":"AA=="}"#),
            ("100", r#"{"scale":0,"value":"ZA=="}"#),
            ("1.500", r#"{"scale":1,"value":"Dw=="}"#),
            ("-0.000000001", r#"{"scale":9,"value":"/w=="}"#),
            ("NaN", "null"),
        ] {
            assert_eq!(
                written(write_variable_decimal, text).as_deref(),
                Ok(expected),
                "{text}"
            );
        }
    }

    #[test]
    fn other_modes() {
        let decimal_string: Write = |text, out| write_decimal_string(text, None, out);
        let negative_scale: Write = |text, out| write_decimal_string(text, Some(2045), out);
        let padded = format!("\"1000.{}\"", "0".repeat(2045));
        let samples: [(Write, &str, &str); 10] = [
            (write_decimal_double, "1.50", "1.5"),
            (
                write_decimal_double,
                "123456789012345678901234567890.5",
                "1.2345678901234568E29",
            ),
            (write_decimal_double, "99999999.99", "9.999999999E7"),
            (write_decimal_double, "NaN", "\"NaN\""),
            (decimal_string, "1.50", "\"1.50\""),
            (decimal_string, "NaN", "\"NAN\""),
            (decimal_string, "-Infinity", "\"NEGATIVE_INFINITY\""),
            (negative_scale, "1000", &padded),
            (write_decimal_exact, "750.00", "750.00"),
            (write_decimal_exact, "Infinity", "\"Infinity\""),
        ];
        for (write, text, expected) in samples {
            assert_eq!(written(write, text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        let decimal_string: Write = |text, out| write_decimal_string(text, None, out);
        let writes: [Write; 4] = [
            write_variable_decimal,
            write_decimal_double,
            decimal_string,
            write_decimal_exact,
        ];
        for text in [
            "",
            "-",
            "1.",
            ".1",
            "1e5",
            "1e0",
            "01",
            "1,5",
            "0x1",
            "1 ",
            "Infinity1",
            "12a",
        ] {
            for write in writes {
                assert!(written(write, text).is_err(), "{text}");
            }
            assert!(decimal(text, 2).is_err(), "{text}");
        }
        assert!(decimal("1.234", 2).is_err());
    }

    #[test]
    fn money_in_every_mode() {
        for (text, scale, expected) in [
            ("$0.00", 2, "\"AA==\""),
            ("-$12.34", 2, "\"+y4=\""),
            ("$1,234,567.89", 2, "\"B1vNFQ==\""),
            ("-$92,233,720,368,547,758.08", 2, "\"gAAAAAAAAAA=\""),
            ("$1.50", 0, "\"Ag==\""),
            ("-$1.50", 0, "\"/g==\""),
            ("$1.49", 0, "\"AQ==\""),
            ("$1.23", 4, "\"MAw=\""),
            ("1.234,56 €", 2, "\"AeJA\""),
            ("¥1,234", 2, "\"AeII\""),
        ] {
            let mut out = Vec::new();
            assert_eq!(
                write_money(text.as_bytes(), MoneyStyle::Decimal(scale), &mut out),
                Ok(())
            );
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{text}");
        }
        let mut out = Vec::new();
        assert_eq!(
            write_money(b"-$1,234.50", MoneyStyle::String(2), &mut out),
            Ok(())
        );
        assert_eq!(
            write_money(b"-$1,234.50", MoneyStyle::Double, &mut out),
            Ok(())
        );
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "\"-1234.50\"-1234.5".to_string()
        );
        assert!(write_money(b"$", MoneyStyle::String(2), &mut Vec::new()).is_err());
    }
}
