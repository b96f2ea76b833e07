//! How the server spells numbers and times, and quotes parts of values.

use crate::choices::Choices;

/// The shortest digits that tell the number from its neighbours, `extra_float_digits` being 3.
pub(crate) fn float8(number: f64) -> String {
    float(number, &format!("{number:e}"), 15)
}

pub(crate) fn float4(number: f32) -> String {
    float(f64::from(number), &format!("{number:e}"), 6)
}

/// `plain_end`: powers of ten from here on are spelled with an exponent.
fn float(number: f64, shortest: &str, plain_end: i32) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    let sign = if number.is_sign_negative() { "-" } else { "" };
    if number.is_infinite() {
        return format!("{sign}Infinity");
    }
    let (mantissa, exponent) = shortest.split_once('e').unwrap();
    let exponent: i32 = exponent.parse().unwrap();
    // Of two that are as near the server takes the even one, Rust the larger.
    let exact = format!("{number:.60e}");
    let even = exact
        .split_at_checked(mantissa.len())
        .filter(|(cut, rest)| {
            let (behind, _) = rest.split_once('e').unwrap_or_default();
            let tie = behind
                .strip_prefix('5')
                .is_some_and(|zeros| zeros.trim_matches('0').is_empty());
            tie && cut.ends_with(['0', '2', '4', '6', '8'])
        });
    let mantissa = even.map_or(mantissa, |(cut, _)| cut);
    if exponent < -4 || exponent >= plain_end {
        let exponent_sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{exponent_sign}{:02}", exponent.abs());
    }
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let text = match usize::try_from(exponent) {
        Err(_) => format!(
            "0.{}{digits}",
            "0".repeat(usize::try_from(-exponent - 1).unwrap())
        ),
        Ok(exponent) if digits.len() <= exponent + 1 => {
            format!("{digits}{}", "0".repeat(exponent + 1 - digits.len()))
        }
        Ok(exponent) => format!("{}.{}", &digits[..=exponent], &digits[exponent + 1..]),
    };
    format!("{sign}{text}")
}

/// Of days since 2000-01-01.
pub(crate) fn date(days: i32) -> String {
    match days {
        i32::MAX => "infinity".to_owned(),
        i32::MIN => "-infinity".to_owned(),
        _ => {
            let (date, era) = civil(i64::from(days));
            date + era
        }
    }
}

/// The date, and what stands behind the time of one before Christ. By counting years, centuries
/// and months as one would by hand.
fn civil(days: i64) -> (String, &'static str) {
    let mut year = 2000 + days.div_euclid(146_097) * 400;
    let mut rest = days.rem_euclid(146_097);
    let leap = |year: i64| (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    loop {
        let length = if leap(year) { 366 } else { 365 };
        if rest < length {
            break;
        }
        rest -= length;
        year += 1;
    }
    let february = if leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if rest < length {
            break;
        }
        rest -= length;
        month += 1;
    }
    let (year, era) = if year > 0 {
        (year, "")
    } else {
        (1 - year, " BC")
    };
    (format!("{year:04}-{month:02}-{:02}", rest + 1), era)
}

/// Of µs since 2000-01-01.
pub(crate) fn timestamp(us: i64, zone: bool) -> String {
    match us {
        i64::MAX => "infinity".to_owned(),
        i64::MIN => "-infinity".to_owned(),
        _ => {
            let (date, era) = civil(us.div_euclid(DAY_US));
            let zone = if zone { "+00" } else { "" };
            format!("{date} {}{zone}{era}", time(us.rem_euclid(DAY_US)))
        }
    }
}

/// Of µs, which may be more than a day's.
pub(crate) fn time(us: i64) -> String {
    clock(us.unsigned_abs())
}

fn clock(us: u64) -> String {
    let (seconds, fraction) = (us / 1_000_000, us % 1_000_000);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let mut text = format!("{hours:02}:{minutes:02}:{seconds:02}");
    if fraction > 0 {
        text += format!(".{fraction:06}").trim_end_matches('0');
    }
    text
}

/// Of seconds west of Greenwich.
pub(crate) fn time_zone(west: i32) -> String {
    let sign = if west > 0 { '-' } else { '+' };
    let (hours, minutes, seconds) = (west.abs() / 3600, west.abs() / 60 % 60, west.abs() % 60);
    match (minutes, seconds) {
        (0, 0) => format!("{sign}{hours:02}"),
        (_, 0) => format!("{sign}{hours:02}:{minutes:02}"),
        _ => format!("{sign}{hours:02}:{minutes:02}:{seconds:02}"),
    }
}

/// `intervalstyle` postgres.
pub(crate) fn interval(us: i64, days: i32, months: i32) -> String {
    match (us, days, months) {
        (i64::MAX, i32::MAX, i32::MAX) => return "infinity".to_owned(),
        (i64::MIN, i32::MIN, i32::MIN) => return "-infinity".to_owned(),
        _ => {}
    }
    let mut words: Vec<String> = Vec::new();
    let mut negative = false;
    for (count, unit) in [(months / 12, "year"), (months % 12, "mon"), (days, "day")] {
        if count != 0 {
            let plus = if negative && count > 0 { "+" } else { "" };
            let plural = if count == 1 { "" } else { "s" };
            words.push(format!("{plus}{count} {unit}{plural}"));
            negative = count < 0;
        }
    }
    if us != 0 || words.is_empty() {
        let sign = match us {
            ..0 => "-",
            _ if negative => "+",
            _ => "",
        };
        words.push(format!("{sign}{}", clock(us.unsigned_abs())));
    }
    words.join(" ")
}

/// A `numeric` in both forms.
pub(crate) fn numeric(c: &mut Choices<'_>) -> (Vec<u8>, Vec<u8>) {
    let head = |count: usize, weight: i16, sign: u16, scale: usize| {
        [
            u16::try_from(count).unwrap().to_be_bytes(),
            weight.to_be_bytes(),
            sign.to_be_bytes(),
            u16::try_from(scale).unwrap().to_be_bytes(),
        ]
        .concat()
    };
    match c.below(12) {
        0 => return (b"NaN".to_vec(), head(0, 0, 0xC000, 0)),
        1 => return (b"Infinity".to_vec(), head(0, 0, 0xD000, 0)),
        2 => return (b"-Infinity".to_vec(), head(0, 0, 0xF000, 0)),
        _ => {}
    }
    let mut digits = |most: usize| -> String {
        let count = c.below(most + 1);
        (0..count)
            .map(|_| char::from(b'0' + c.byte() % 10))
            .collect()
    };
    let (integer, fraction) = (digits(30), digits(30));
    let integer = integer.trim_start_matches('0');
    let text = match (integer, fraction.as_str()) {
        ("", "") => "0".to_owned(),
        ("", _) => format!("0.{fraction}"),
        (_, "") => integer.to_owned(),
        _ => format!("{integer}.{fraction}"),
    };
    let scale = fraction.len();
    // Groups of four, counted from the point.
    let padded = format!("{}{integer}", "0".repeat((4 - integer.len() % 4) % 4));
    let behind = format!("{fraction}{}", "0".repeat((4 - scale % 4) % 4));
    let mut weight = i16::try_from(padded.len() / 4).unwrap() - 1;
    let all = padded + &behind;
    let groups = all
        .as_bytes()
        .chunks(4)
        .map(|group| str::from_utf8(group).unwrap());
    let mut groups: Vec<u16> = groups.map(|group| group.parse().unwrap()).collect();
    while groups.last() == Some(&0) {
        groups.pop();
    }
    while groups.first() == Some(&0) {
        groups.remove(0);
        weight -= 1;
    }
    if groups.is_empty() {
        weight = 0;
    }
    let negative = !groups.is_empty() && c.below(2) == 1;
    let sign = if negative { 0x4000 } else { 0 };
    let mut binary = head(groups.len(), weight, sign, scale);
    for group in groups {
        binary.extend(group.to_be_bytes());
    }
    let text = if negative { format!("-{text}") } else { text };
    (text.into(), binary)
}

/// A part of an array: with backslashes.
pub(crate) fn quoted_element(text: &[u8], delimiter: u8) -> Vec<u8> {
    let special = [b'"', b'\\', b'{', b'}', delimiter];
    if text.eq_ignore_ascii_case(b"null") || is_quoted(text, &special) {
        return quoted(text, |_| b'\\');
    }
    text.to_vec()
}

/// A part of a composite or range: doubled.
pub(crate) fn quoted_field(text: &[u8], special: &[u8]) -> Vec<u8> {
    if is_quoted(text, special) {
        return quoted(text, |byte| byte);
    }
    text.to_vec()
}

fn is_quoted(text: &[u8], special: &[u8]) -> bool {
    let is_space = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0x0B;
    text.is_empty()
        || text
            .iter()
            .any(|byte| special.contains(byte) || is_space(byte))
}

fn quoted(text: &[u8], escape: impl Fn(u8) -> u8) -> Vec<u8> {
    let mut quoted = vec![b'"'];
    for byte in text {
        if matches!(byte, b'"' | b'\\') {
            quoted.push(escape(*byte));
        }
        quoted.push(*byte);
    }
    quoted.push(b'"');
    quoted
}

const DAY_US: i64 = 86_400_000_000;
