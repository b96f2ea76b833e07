//! Whether a JSON number survives being made a float.

/// The float that is written shortest with just these digits; `None` if there is none, so that a
/// float would say something else than `text`.
pub(crate) fn exact_float(text: &str) -> Option<f64> {
    let float: f64 = text.parse().ok()?;
    let (digits, exponent) = canonical(text)?;
    let (float_digits, float_exponent) = canonical(&format!("{float:e}"))?;
    (digits == float_digits && (exponent == float_exponent || digits.is_empty())).then_some(float)
}

/// The significant digits, without zeros at either end, and the power of ten of the first one.
fn canonical(text: &str) -> Option<(String, i64)> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let exponent: i64 = exponent.parse().ok()?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let significant = digits.trim_start_matches('0');
    let leading = i64::try_from(digits.len() - significant.len()).ok()?;
    let first = i64::try_from(whole.len()).ok()? - 1 - leading;
    Some((
        significant.trim_end_matches('0').to_owned(),
        first.checked_add(exponent)?,
    ))
}
