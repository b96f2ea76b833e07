//! Floating-point numbers as the server prints them (common/d2s.c, common/f2s.c): the shortest
//! digits that lie between the halfway points to both neighbours. Unlike most, it does not take the
//! halfway points themselves, whatever a reader would make of them: 1e23 is 9.999999999999999e+22.

use alloc::format;
use alloc::vec::Vec;

use super::number::write_integer;
use crate::json::append;

pub(super) fn write_float8(value: f64, out: &mut Vec<u8>) {
    // No halfway point has so few digits.
    if (1e-4..1e15).contains(&value.abs())
        && write_plain(zmij::Buffer::new().format_finite(value), out)
    {
        return;
    }
    let bits = value.to_bits();
    let exponent = bits >> 52 & 0x7FF;
    let fraction = bits & ((1 << 52) - 1);
    let double = Float {
        negative: value.is_sign_negative(),
        mantissa: fraction | u64::from(exponent != 0) << 52,
        exponent: i32::try_from(exponent.max(1)).unwrap_or_default() - 1075,
        plain_exponent_end: 15,
    };
    if !value.is_finite() {
        return write_special(value.is_nan(), double.negative, out);
    }
    let shortest = Decimal::parse(zmij::Buffer::new().format_finite(value.abs()));
    let precise = |digits: usize| {
        let text = format!("{:.*e}", digits, value.abs());
        let same = text.parse() == Ok(value.abs());
        same.then(|| Decimal::parse(&text))
    };
    double.write(shortest, precise, out);
}

pub(super) fn write_float4(value: f32, out: &mut Vec<u8>) {
    if (1e-4..1e6).contains(&value.abs())
        && write_plain(zmij::Buffer::new().format_finite(value), out)
    {
        return;
    }
    let bits = value.to_bits();
    let exponent = bits >> 23 & 0xFF;
    let fraction = bits & ((1 << 23) - 1);
    let single = Float {
        negative: value.is_sign_negative(),
        mantissa: u64::from(fraction | u32::from(exponent != 0) << 23),
        exponent: i32::try_from(exponent.max(1)).unwrap_or_default() - 150,
        plain_exponent_end: 6,
    };
    if !value.is_finite() {
        return write_special(value.is_nan(), single.negative, out);
    }
    let shortest = Decimal::parse(zmij::Buffer::new().format_finite(value.abs()));
    let precise = |digits: usize| {
        let text = format!("{:.*e}", digits, value.abs());
        let same = text.parse() == Ok(value.abs());
        same.then(|| Decimal::parse(&text))
    };
    single.write(shortest, precise, out);
}

/// Writes a number as it is, `1.0` as `1`, unless it has an exponent.
fn write_plain(text: &str, out: &mut Vec<u8>) -> bool {
    let plain = !text.bytes().any(|byte| byte == b'e');
    if plain {
        append(text.strip_suffix(".0").unwrap_or(text).as_bytes(), out);
    }
    plain
}

fn write_special(nan: bool, negative: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(match (nan, negative) {
        (true, _) => b"NaN",
        (false, false) => b"Infinity",
        (false, true) => b"-Infinity",
    });
}

/// `mantissa * 2^exponent`
struct Float {
    negative: bool,
    mantissa: u64,
    exponent: i32,
    /// From this power of ten on, it is shown with an exponent.
    plain_exponent_end: i32,
}

/// `digits * 10^exponent`, no zeros at the end of the digits.
#[derive(Clone, Copy)]
struct Decimal {
    digits: u64,
    exponent: i32,
}

impl Float {
    /// `shortest` may be a halfway point; `precise` is the nearest number with so many digits
    /// behind the first, if that still is this one.
    fn write(
        &self,
        shortest: Decimal,
        precise: impl Fn(usize) -> Option<Decimal>,
        out: &mut Vec<u8>,
    ) {
        let decimal = if self.is_halfway(shortest) {
            let taken = |decimal: &Decimal| !self.is_halfway(*decimal);
            let longer = (1..DIGITS_MAX).find_map(|digits| precise(digits).filter(taken));
            longer.unwrap_or(shortest)
        } else {
            shortest
        };
        if self.negative {
            out.push(b'-');
        }
        decimal.write(self.plain_exponent_end, out);
    }

    /// Whether it lies in the middle between this number and one of its neighbours.
    fn is_halfway(&self, Decimal { digits, exponent }: Decimal) -> bool {
        // Only the even of two neighbours is read from what lies between them.
        if !self.mantissa.is_multiple_of(2) || digits == 0 {
            return false;
        }
        // Both sides without their factors of two, which are compared apart and seldom are as many.
        let twos = digits.trailing_zeros();
        if i32::try_from(twos).unwrap_or_default() + exponent != self.exponent - 1 {
            return false;
        }
        let odd = u128::from(digits >> twos);
        // A power of five that is a factor of the other side, of 55 bits at most, is below 5^24.
        let Some(power) = Some(exponent.unsigned_abs())
            .filter(|power| *power < 24)
            .map(|power| 5_u128.pow(power))
        else {
            return false;
        };
        let (odd, of_half) = if exponent >= 0 {
            (odd.checked_mul(power), 1)
        } else {
            (Some(odd), power)
        };
        let half = |mantissa: u64| u128::from(mantissa).checked_mul(of_half);
        odd.is_some()
            && (odd == half(2 * self.mantissa + 1)
                || odd == half((2 * self.mantissa).wrapping_sub(1)))
    }
}

impl Decimal {
    /// Takes `123.45`, `1e-7`, `1.5e300`.
    fn parse(text: &str) -> Self {
        let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
        let mut decimal = Self {
            digits: 0,
            exponent: exponent.parse().unwrap_or_default(),
        };
        let mut behind_point = false;
        // At most 17 digits count, and zeros.
        for byte in mantissa.bytes() {
            match byte {
                b'0'..=b'9' => {
                    let digit = u64::from(byte - b'0');
                    match decimal.digits.checked_mul(10) {
                        Some(tenfold) => decimal.digits = tenfold.saturating_add(digit),
                        None => decimal.exponent += 1,
                    }
                    decimal.exponent -= i32::from(behind_point);
                }
                _ => behind_point = true,
            }
        }
        while decimal.digits != 0 && decimal.digits.is_multiple_of(10) {
            decimal.digits /= 10;
            decimal.exponent += 1;
        }
        decimal
    }

    /// With an exponent from 10^`plain_exponent_end` on and below 10^-4.
    fn write(self, plain_exponent_end: i32, out: &mut Vec<u8>) {
        let mut buffer = itoa::Buffer::new();
        let digits = buffer.format(self.digits).as_bytes();
        if self.digits == 0 {
            out.push(b'0');
            return;
        }
        let length = i32::try_from(digits.len()).unwrap_or_default();
        // Of the first digit.
        let exponent = self.exponent + length - 1;
        let point = if (-4..plain_exponent_end).contains(&exponent) {
            exponent + 1
        } else {
            1
        };
        match usize::try_from(point) {
            Ok(0) | Err(_) => {
                out.extend_from_slice(b"0.");
                for _ in point..0 {
                    out.push(b'0');
                }
                out.extend_from_slice(digits);
            }
            Ok(point) => {
                if let Some((before, behind)) = digits.split_at_checked(point) {
                    out.extend_from_slice(before);
                    if !behind.is_empty() {
                        out.push(b'.');
                        out.extend_from_slice(behind);
                    }
                } else {
                    out.extend_from_slice(digits);
                    for _ in digits.len()..point {
                        out.push(b'0');
                    }
                }
            }
        }
        if point != exponent + 1 {
            out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
            let exponent = exponent.unsigned_abs();
            if exponent < 10 {
                out.push(b'0');
            }
            write_integer(exponent, out);
        }
    }
}

/// Of a double that is read back as the same.
const DIGITS_MAX: usize = 17;

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use super::*;

    #[test]
    fn doubles_as_the_server_prints_them() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-12.5, "-12.5"),
            (0.1, "0.1"),
            (0.0001, "0.0001"),
            (0.000_012, "1.2e-05"),
            (123_456_789_012_345.0, "123456789012345"),
            (1e14, "100000000000000"),
            (1e15, "1e+15"),
            (1_234_567_890_123_456.0, "1.234567890123456e+15"),
            (1e23, "9.999999999999999e+22"),
            (9_007_199_254_740_993.0, "9.007199254740992e+15"),
            (1e-7, "1e-07"),
            (1.5e300, "1.5e+300"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            let mut out = Vec::new();
            write_float8(value, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn singles_as_the_server_prints_them() {
        for (value, expected) in [
            (0.0, "0"),
            (1.5, "1.5"),
            (123_456.0, "123456"),
            (1_234_567.0, "1.234567e+06"),
            (0.1, "0.1"),
            (1e-5, "1e-05"),
            (f32::MAX, "3.4028235e+38"),
            (1e-45, "1e-45"),
            (f32::INFINITY, "Infinity"),
        ] {
            let mut out = Vec::new();
            write_float4(value, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
