//! ISO 8601, as the decoder writes it, in Arrow's numbers. None for what those cannot hold: an
//! infinity, a day's end of 24:00:00, years beyond their range.

const DAY_US: i64 = 86_400_000_000;

/// Days since 1970-01-01.
pub(super) fn date(text: &str) -> Option<i32> {
    i32::try_from(days(text)?).ok()
}

/// Microseconds since midnight.
pub(super) fn time(text: &str) -> Option<i64> {
    let (hours, rest) = two_digits(text)?;
    let (minutes, rest) = two_digits(rest.strip_prefix(':')?)?;
    let (seconds, rest) = two_digits(rest.strip_prefix(':')?)?;
    let fraction = match rest.strip_prefix('.') {
        Some(digits) => fraction(digits)?,
        None if rest.is_empty() => 0,
        None => return None,
    };
    let time = ((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + fraction;
    (time < DAY_US).then_some(time)
}

/// Microseconds since 1970-01-01 00:00:00.
pub(super) fn timestamp(text: &str) -> Option<i64> {
    let (date, time_of_day) = text.split_once('T')?;
    let midnight = days(date)?.checked_mul(DAY_US)?;
    midnight.checked_add(time(time_of_day)?)
}

/// The same in UTC, which is what the text says.
pub(super) fn timestamp_utc(text: &str) -> Option<i64> {
    timestamp(text.strip_suffix('Z')?)
}

/// Days since 1970-01-01 in the Gregorian calendar, by eras of 400 years that begin in March.
fn days(text: &str) -> Option<i64> {
    let (negative, unsigned) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    let (year, rest) = unsigned.split_once('-')?;
    let (month, rest) = two_digits(rest)?;
    let (day, rest) = two_digits(rest.strip_prefix('-')?)?;
    let year: u32 = year.parse().ok()?;
    if !rest.is_empty() || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = if negative {
        -i64::from(year)
    } else {
        i64::from(year)
    };
    let year = year - i64::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

/// A fraction of a second in microseconds: up to six digits.
fn fraction(digits: &str) -> Option<i64> {
    let places = u32::try_from(digits.len()).ok()?;
    let scale = 10_i64.pow(6_u32.checked_sub(places)?);
    Some(i64::from(digits.parse::<u32>().ok()?) * scale)
}

fn two_digits(text: &str) -> Option<(i64, &str)> {
    let (digits, rest) = text.split_at_checked(2)?;
    let [tens, ones] = digits.as_bytes() else {
        return None;
    };
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| i64::from(byte - b'0'));
    Some((digit(tens)? * 10 + digit(ones)?, rest))
}
