//! Integers and floating-point numbers.
//!
//! A number is copied from the server's text where that is a JSON number already; it is checked
//! all the same, since it is not quoted.

use alloc::vec::Vec;

use crate::error::InvalidValue;
use crate::json::append;

/// How a floating-point number is spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FloatStyle {
    /// As Java's `Double.toString` does: `1.0E10`.
    Java,
    /// As the server does: `1e+10`.
    Server,
}

/// Writes an integer of up to 64 bits.
#[inline]
pub(super) fn write_integer(text: &[u8], out: &mut Vec<u8>) -> Result<(), InvalidValue> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let canonical = match digits {
        [] => false,
        [b'0', rest @ ..] => rest.is_empty(),
        _ => digits.len() <= INTEGER_DIGITS_MAX && all_digits(digits),
    };
    if !canonical {
        return Err(InvalidValue {
            expected: "an integer",
        });
    }
    append(text, out);
    Ok(())
}

/// Writes `float4` or `float8`; what JSON has no number for becomes a string.
pub(super) fn write_float(
    text: &[u8],
    style: FloatStyle,
    out: &mut Vec<u8>,
) -> Result<(), InvalidValue> {
    if write_special(text, out) {
        return Ok(());
    }
    let number = DecimalText::parse(text).ok_or(INVALID_FLOAT)?;
    match style {
        FloatStyle::Server => append(text, out),
        FloatStyle::Java if number.is_java_plain() => {
            append(text, out);
            if number.fraction.is_empty() {
                out.extend_from_slice(b".0");
            }
        }
        FloatStyle::Java => write_java_float(&number, out)?,
    }
    Ok(())
}

/// Writes a double as Java's `Double.toString` does, but for the shortest digits that tell it from
/// its neighbours.
pub(super) fn write_double(value: f64, out: &mut Vec<u8>) -> Result<(), InvalidValue> {
    write_float(
        zmij::Buffer::new().format(value).as_bytes(),
        FloatStyle::Java,
        out,
    )
}

/// Writes `NaN`, `Infinity` and `-Infinity` as strings; says whether it was one of them.
pub(super) fn write_special(text: &[u8], out: &mut Vec<u8>) -> bool {
    match text {
        b"NaN" => out.extend_from_slice(b"\"NaN\""),
        b"Infinity" | b"inf" => out.extend_from_slice(b"\"Infinity\""),
        b"-Infinity" | b"-inf" => out.extend_from_slice(b"\"-Infinity\""),
        _ => return false,
    }
    true
}

#[inline]
pub(super) fn all_digits(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_digit)
}

/// A decimal number's text, taken apart: `-integer.fractionEexponent`.
#[derive(Clone, Copy, Debug)]
pub(super) struct DecimalText<'a> {
    pub(super) negative: bool,
    /// At least one digit.
    pub(super) integer: &'a [u8],
    /// Empty where there is no point.
    pub(super) fraction: &'a [u8],
    /// None where there is no `e`.
    pub(super) exponent: Option<i32>,
}

impl<'a> DecimalText<'a> {
    /// Takes what JSON takes for a number.
    #[inline]
    pub(super) fn parse(text: &'a [u8]) -> Option<Self> {
        let (negative, rest) = match text {
            [b'-', rest @ ..] => (true, rest),
            _ => (false, text),
        };
        let (integer, rest) = split_digits(rest);
        if integer.is_empty() || (integer.len() > 1 && integer.first() == Some(&b'0')) {
            return None;
        }
        let (fraction, rest) = match rest {
            [b'.', rest @ ..] => split_digits(rest),
            _ => (&[][..], rest),
        };
        let exponent = match rest {
            [] => None,
            [b'e' | b'E', rest @ ..] => Some(parse_exponent(rest)?),
            _ => return None,
        };
        // A point without digits behind it leaves the text longer than its parts.
        if fraction.is_empty() && text.get(usize::from(negative) + integer.len()) == Some(&b'.') {
            return None;
        }
        Some(Self {
            negative,
            integer,
            fraction,
            exponent,
        })
    }

    /// Whether Java spells it without an exponent and with the same digits.
    fn is_java_plain(&self) -> bool {
        let small = self.integer == b"0";
        self.exponent.is_none()
            && self.integer.len() <= JAVA_PLAIN_DIGITS
            && !(small && self.fraction.starts_with(b"000"))
            && (self.fraction.len() == 1 || self.fraction.last() != Some(&b'0'))
    }
}

#[inline]
fn split_digits(text: &[u8]) -> (&[u8], &[u8]) {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    text.split_at_checked(digits).unwrap_or((text, &[]))
}

fn parse_exponent(text: &[u8]) -> Option<i32> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        _ => (false, text),
    };
    if digits.is_empty() || digits.len() > EXPONENT_DIGITS_MAX || !all_digits(digits) {
        return None;
    }
    let value = digits
        .iter()
        .fold(0, |value, digit| value * 10 + i32::from(digit - b'0'));
    Some(if negative { -value } else { value })
}

#[cold]
fn write_java_float(number: &DecimalText<'_>, out: &mut Vec<u8>) -> Result<(), InvalidValue> {
    let digits: Vec<u8> = number
        .integer
        .iter()
        .chain(number.fraction)
        .copied()
        .collect();
    let zeros = digits.iter().take_while(|&&digit| digit == b'0').count();
    let significant = digits.get(zeros..).unwrap_or_default();
    let trailing = significant
        .iter()
        .rev()
        .take_while(|&&digit| digit == b'0')
        .count();
    let significant = significant
        .get(..significant.len().saturating_sub(trailing))
        .unwrap_or_default();
    if number.negative {
        out.push(b'-');
    }
    let Some((first, rest)) = significant.split_first() else {
        out.extend_from_slice(b"0.0");
        return Ok(());
    };
    let point = i32::try_from(number.integer.len()).map_err(|_| INVALID_FLOAT)?;
    let zeros = i32::try_from(zeros).map_err(|_| INVALID_FLOAT)?;
    // The exponent of d.ddd: where the point is, seen from the first significant digit.
    let exponent = number.exponent.unwrap_or_default() + point - zeros - 1;
    if (-3..JAVA_PLAIN_EXPONENT_END).contains(&exponent) {
        if exponent < 0 {
            out.extend_from_slice(b"0.");
            for _ in exponent..-1 {
                out.push(b'0');
            }
            out.extend_from_slice(significant);
        } else {
            let before = usize::try_from(exponent + 1).map_err(|_| INVALID_FLOAT)?;
            for index in 0..before {
                out.push(significant.get(index).copied().unwrap_or(b'0'));
            }
            out.push(b'.');
            match significant.get(before..) {
                Some(after) if !after.is_empty() => out.extend_from_slice(after),
                _ => out.push(b'0'),
            }
        }
    } else {
        out.extend_from_slice(&[*first, b'.']);
        out.extend_from_slice(if rest.is_empty() { b"0" } else { rest });
        out.push(b'E');
        out.extend_from_slice(itoa::Buffer::new().format(exponent).as_bytes());
    }
    Ok(())
}

/// Digits of 18446744073709551615 (`xid8`, `oid8`).
const INTEGER_DIGITS_MAX: usize = 20;

/// From 10^7 on, Java uses an exponent.
const JAVA_PLAIN_EXPONENT_END: i32 = 7;
const JAVA_PLAIN_DIGITS: usize = 7;

/// A double's exponent has three digits.
const EXPONENT_DIGITS_MAX: usize = 4;

const INVALID_FLOAT: InvalidValue = InvalidValue {
    expected: "a floating-point number",
};

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use super::*;

    fn float(text: &str, style: FloatStyle) -> Result<String, InvalidValue> {
        let mut out = Vec::new();
        write_float(text.as_bytes(), style, &mut out).map(|()| String::from_utf8(out).unwrap())
    }

    #[test]
    fn integers_are_copied_if_they_are_integers() {
        for text in [
            "0",
            "-1",
            "32767",
            "-9223372036854775808",
            "18446744073709551615",
        ] {
            let mut out = Vec::new();
            assert_eq!(write_integer(text.as_bytes(), &mut out), Ok(()));
            assert_eq!(out, text.as_bytes());
        }
        for text in [
            "", "-", "01", "-01", "1.0", "1e3", "+1", " 1", "1]", "--1", "٣",
        ] {
            assert!(
                write_integer(text.as_bytes(), &mut Vec::new()).is_err(),
                "{text}"
            );
        }
    }

    #[test]
    fn floats_are_spelled_as_java_does() {
        for (text, expected) in [
            ("0", "0.0"),
            ("-0", "-0.0"),
            ("1", "1.0"),
            ("100", "100.0"),
            ("0.1", "0.1"),
            ("-12.5", "-12.5"),
            ("1.1754944e-38", "1.1754944E-38"),
            ("1e+10", "1.0E10"),
            ("1e+07", "1.0E7"),
            ("9.999999e+06", "9999999.0"),
            ("0.001", "0.001"),
            ("0.0001", "1.0E-4"),
            ("0.00012", "1.2E-4"),
            ("10000000", "1.0E7"),
            ("12345678", "1.2345678E7"),
            ("1.2345678901234568e+17", "1.2345678901234568E17"),
            ("9.5367431640625e-07", "9.5367431640625E-7"),
            ("1e-03", "0.001"),
            ("1.5e+2", "150.0"),
            ("1e+00", "1.0"),
            ("NaN", "\"NaN\""),
            ("-Infinity", "\"-Infinity\""),
        ] {
            assert_eq!(
                float(text, FloatStyle::Java).as_deref(),
                Ok(expected),
                "{text}"
            );
        }
    }

    #[test]
    fn floats_are_copied_if_they_are_numbers() {
        for text in ["0", "-0", "0.1", "1e+10", "5e-324"] {
            assert_eq!(float(text, FloatStyle::Server).as_deref(), Ok(text));
        }
        for text in [
            "", "-", ".5", "1.", "1.e5", "00", "1e", "1e+", "0x1", "nan", "1e99999",
        ] {
            assert!(float(text, FloatStyle::Server).is_err(), "{text}");
            assert!(float(text, FloatStyle::Java).is_err(), "{text}");
        }
    }

    #[test]
    fn doubles_are_shortest() {
        for (value, expected) in [
            (1e100, "1.0E100"),
            (0.1, "0.1"),
            (1e-7, "1.0E-7"),
            (100.0, "100.0"),
            (f64::INFINITY, "\"Infinity\""),
        ] {
            let mut out = Vec::new();
            assert_eq!(write_double(value, &mut out), Ok(()));
            assert_eq!(out, expected.as_bytes());
        }
    }
}
