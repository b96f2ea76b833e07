//! Equality of JSON numbers as they are written.

/// Whether two JSON numbers have the same value.
///
/// A number with a fraction or an exponent may also be equal as `double precision`, and where both
/// are written with at most nine digits, as `real`: the same float4 has several short spellings.
pub(crate) fn equal(left: &str, right: &str) -> bool {
    if left == right {
        return true;
    }
    let (Some(a), Some(b)) = (Decimal::parse(left), Decimal::parse(right)) else {
        return false;
    };
    if a == b {
        return true;
    }
    if is_integer(left) || is_integer(right) {
        return false;
    }
    let (Ok(x), Ok(y)) = (left.parse::<f64>(), right.parse::<f64>()) else {
        return false;
    };
    same(x, y)
        || written_digits(left) <= REAL_DIGITS_MAX
            && written_digits(right) <= REAL_DIGITS_MAX
            && real(x).is_some_and(|x| real(y).is_some_and(|y| same(x.into(), y.into())))
}

/// A decimal number by value: no zeros at either end of its digits.
#[derive(Debug, PartialEq, Eq)]
struct Decimal {
    negative: bool,
    digits: String,
    exponent: i64,
}

impl Decimal {
    fn parse(text: &str) -> Option<Self> {
        let (mantissa, exponent) = parts(text);
        let exponent: i64 = exponent.map_or(Some(0), |exponent| exponent.parse().ok())?;
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{whole}{fraction}");
        let significant = all.trim_start_matches('0');
        let digits = significant.trim_end_matches('0');
        if digits.is_empty() {
            // Zero has no sign and no exponent.
            return Some(Self {
                negative: false,
                digits: String::new(),
                exponent: 0,
            });
        }
        let dropped = i64::try_from(significant.len() - digits.len()).ok()?;
        let behind_point = i64::try_from(fraction.len()).ok()?;
        Some(Self {
            negative: text.starts_with('-'),
            digits: digits.to_owned(),
            exponent: exponent.checked_sub(behind_point)?.checked_add(dropped)?,
        })
    }
}

/// Mantissa without its sign, and exponent.
fn parts(text: &str) -> (&str, Option<&str>) {
    let text = text.strip_prefix('-').unwrap_or(text);
    match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    }
}

fn is_integer(text: &str) -> bool {
    !text.contains(['.', 'e', 'E'])
}

/// Digits from the first that is not zero on.
fn written_digits(text: &str) -> usize {
    let (mantissa, _) = parts(text);
    let digits = mantissa.chars().filter(char::is_ascii_digit);
    digits.skip_while(|digit| *digit == '0').count()
}

#[expect(
    clippy::float_cmp,
    reason = "the same number is meant, not one close to it"
)]
fn same(x: f64, y: f64) -> bool {
    x == y
}

/// The nearest `real`; none where it would be infinite.
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "rounding to the nearest f32 is what is wanted"
)]
fn real(x: f64) -> Option<f32> {
    Some(x as f32).filter(|real| real.is_finite())
}

/// A float4 is printed with at most this many digits: `FLT_DECIMAL_DIG`, float.h.
const REAL_DIGITS_MAX: usize = 9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_counts_and_not_spelling() {
        for (left, right) in [
            ("1", "1.0"),
            ("1.0E10", "10000000000"),
            ("100", "1e2"),
            ("-0", "0.00"),
            ("0.1", "1E-1"),
            (
                "123456789012345678901234567890.10",
                "123456789012345678901234567890.1",
            ),
        ] {
            assert!(equal(left, right), "{left} {right}");
            assert!(equal(right, left), "{right} {left}");
        }
        for (left, right) in [
            ("1", "-1"),
            ("1", "10"),
            ("9007199254740993", "9007199254740992"),
            ("1", "1.0000000000000000000001"),
            ("12345678901234567890", "12345678901234567891"),
        ] {
            assert!(!equal(left, right), "{left} {right}");
        }
    }

    #[test]
    fn floats_may_be_equal_after_rounding() {
        // Java 17 writes 2.0E-3f and others with more digits than needed.
        assert!(equal("4.9E-324", "5e-324"));
        assert!(equal("2.2250738585072014E-308", "2.22507385850720139e-308"));
        assert!(equal("1.17549435E-38", "1.1754944e-38"));
        assert!(!equal("1.17549435E-38", "1.1754945e-38"));
        // Ten digits are no real's.
        assert!(!equal("1.175494351E-38", "1.1754944e-38"));
        // Out of a real's range there is no rounding.
        assert!(!equal("1.5E300", "1.6e300"));
    }
}
