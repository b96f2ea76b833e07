//! Connect's `Decimal` as a JSON number: `converter.decimal.format=NUMERIC`.

use alloc::vec::Vec;

use super::number::DecimalText;
use super::numeric::parse;
use crate::error::InvalidValue;
use crate::json::append;

/// Writes `numeric(p,s)`, all `s` digits behind the point. What is not finite is null.
pub(super) fn write_decimal_number(
    text: &[u8],
    scale: u16,
    out: &mut Vec<u8>,
) -> Result<(), InvalidValue> {
    let Some(number) = parse(text)? else {
        out.extend_from_slice(b"null");
        return Ok(());
    };
    let zeros = usize::from(scale)
        .checked_sub(number.fraction.len())
        .ok_or(InvalidValue {
            expected: "a numeric of its column's scale",
        })?;
    write_scaled_number(&number, zeros, out);
    Ok(())
}

/// Writes a number with zeros added behind its digits.
pub(super) fn write_scaled_number(number: &DecimalText<'_>, zeros: usize, out: &mut Vec<u8>) {
    let mut digits = [number.integer, number.fraction].concat();
    digits.resize(digits.len().saturating_add(zeros), b'0');
    let scale = number.fraction.len().saturating_add(zeros);
    write_number(number.negative, &digits, scale, out);
}

/// Writes digits, `scale` of them behind the point, as Java's `BigDecimal.toString` does.
pub(super) fn write_number(negative: bool, digits: &[u8], scale: usize, out: &mut Vec<u8>) {
    let leading = digits.iter().take_while(|digit| **digit == b'0').count();
    let significant = match digits.get(leading..) {
        Some(rest @ [_, ..]) => rest,
        _ => b"0",
    };
    if negative && significant != b"0" {
        out.push(b'-');
    }
    // How many zeros stand between the point and the first digit, were there no other before it.
    let zeros = scale.saturating_sub(significant.len());
    let integer = significant.len().saturating_sub(scale);
    let (integer, fraction) = significant.split_at_checked(integer).unwrap_or_default();
    if integer.is_empty() && zeros >= SCIENTIFIC_ZEROS_MIN {
        let (first, rest) = fraction.split_at_checked(1).unwrap_or_default();
        append(first, out);
        if !rest.is_empty() {
            out.push(b'.');
            append(rest, out);
        }
        out.extend_from_slice(b"E-");
        append(itoa::Buffer::new().format(zeros + 1).as_bytes(), out);
        return;
    }
    append(if integer.is_empty() { b"0" } else { integer }, out);
    if scale > 0 {
        out.push(b'.');
        out.resize(out.len().saturating_add(zeros), b'0');
        append(fraction, out);
    }
}

/// An exponent of less than -6 is written as one.
const SCIENTIFIC_ZEROS_MIN: usize = 6;

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use super::*;

    fn written(text: &str, scale: u16) -> String {
        let mut out = Vec::new();
        write_decimal_number(text.as_bytes(), scale, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn as_java_writes_big_decimals() {
        for (text, scale, expected) in [
            ("12345.678", 3, "12345.678"),
            ("-0.001", 3, "-0.001"),
            ("42", 0, "42"),
            ("1.5", 3, "1.500"),
            ("0.000", 3, "0.000"),
            ("0.0000001", 7, "1E-7"),
            ("-0.00000012", 8, "-1.2E-7"),
            ("0.0000010", 7, "0.0000010"),
            ("0.0000000", 7, "0E-7"),
            ("100", 0, "100"),
            ("NaN", 2, "null"),
        ] {
            assert_eq!(written(text, scale), expected, "{text} of scale {scale}");
        }
        let mut out = Vec::new();
        assert!(write_decimal_number(b"1.234", 2, &mut out).is_err());
        assert!(write_decimal_number(b"1x", 2, &mut out).is_err());
    }
}
