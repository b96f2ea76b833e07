//! The usual values of the usual types, without a look at what else there may be: integers without
//! a sign, ASCII text, times of our age in UTC. All others go the way of `writer.rs`, which knows
//! the types; this knows nothing that is not there, and is for speed alone.
//!
//! A value is read in pieces of 16 bytes, the last of which goes beyond its end into what follows
//! it in the frames: a copy by the exact length would be a loop or a call.

use super::Writer;
use super::numeric::{put_small, small_of_scale};
use super::temporal::{TimestampStyle, TimestampTzStyle, common_seconds, is_common, iso_head};
use crate::lanes::{self, LANES};
use crate::room::Room;

/// Which values of a column are usual.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usual(Kind);

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// None is.
    Nothing,
    Boolean,
    /// Of this scale, as base64 of the unscaled number.
    Decimal(u16),
    Integer,
    /// A string of ASCII characters.
    Text,
    Timestamp(TimestampStyle),
    TimestampTz(TimestampTzStyle),
}

impl Usual {
    /// No value is.
    pub(crate) const NOTHING: Self = Self(Kind::Nothing);

    pub(super) fn of(writer: &Writer) -> Self {
        Self(match writer {
            Writer::Boolean => Kind::Boolean,
            Writer::Decimal(scale) => Kind::Decimal(*scale),
            Writer::Integer => Kind::Integer,
            Writer::Text(_) | Writer::Enumeration(_) | Writer::Json(_) | Writer::Uuid(_) => {
                Kind::Text
            }
            Writer::Timestamp(style) => Kind::Timestamp(*style),
            Writer::TimestampTz(style) => Kind::TimestampTz(*style),
            _ => Kind::Nothing,
        })
    }

    /// Appends JSON for a text that is usual; of any other nothing is left, and the answer is
    /// `false`. `around` is what the text is a part of.
    #[expect(clippy::inline_always, reason = "its caller's room stays in registers")]
    #[inline(always)]
    pub(crate) fn write(self, text: &[u8], around: &[u8], room: &mut Room<'_>) -> bool {
        match self.0 {
            Kind::Nothing => false,
            Kind::Integer => write_integer(text, around, room),
            Kind::Text => write_text(text, around, room),
            Kind::Boolean => write_boolean(text, room),
            Kind::Decimal(scale) => write_decimal(text, scale, room),
            Kind::Timestamp(style) => write_timestamp(text, style, around, room),
            Kind::TimestampTz(style) => write_timestamptz(text, style, around, room),
        }
    }
}

/// The 16 bytes that begin where `text` does, if there are so many around it.
#[inline]
fn piece<'a>(text: &[u8], around: &'a [u8]) -> Option<&'a [u8; LANES]> {
    from(text, around)?.first_chunk()
}

/// From where `text` begins.
#[inline]
fn from<'a>(text: &[u8], around: &'a [u8]) -> Option<&'a [u8]> {
    let at = text.as_ptr().addr().wrapping_sub(around.as_ptr().addr());
    around.get(at..)
}

#[inline]
fn write_integer(text: &[u8], around: &[u8], room: &mut Room<'_>) -> bool {
    let Some(piece) = piece(text, around) else {
        return false;
    };
    let len = text.len();
    let usual = len.wrapping_sub(1) < LANES
        && lanes::not_digits(piece) & lanes::first(len) == 0
        && (piece.first() != Some(&b'0') || len == 1);
    if usual {
        room.put(piece, len);
    }
    usual
}

#[inline]
fn write_boolean(text: &[u8], room: &mut Room<'_>) -> bool {
    match text {
        b"t" => room.put(b"true", 4),
        b"f" => room.put(b"false", 5),
        _ => return false,
    }
    true
}

#[inline]
fn write_text(text: &[u8], around: &[u8], room: &mut Room<'_>) -> bool {
    if text.len() > TEXT_MAX {
        return false;
    }
    let Some(mut ahead) = from(text, around) else {
        return false;
    };
    let mut left = text.len();
    let mark = room.len();
    room.put(b"\"", 1);
    while let Some((piece, behind)) = ahead.split_first_chunk() {
        let special = lanes::special(piece) & lanes::first(left);
        if special == 0 {
            room.put(piece, left);
            if left <= LANES {
                room.put(b"\"", 1);
                return true;
            }
            left -= LANES;
            ahead = behind;
            continue;
        }
        let at = usize::try_from(special.trailing_zeros()).unwrap_or(LANES);
        room.put(piece, at);
        match piece.get(at) {
            Some(b'"') => room.put(b"\\\"", 2),
            Some(b'\\') => room.put(b"\\\\", 2),
            _ => break,
        }
        left = left.saturating_sub(at + 1);
        ahead = ahead.get(at + 1..).unwrap_or_default();
    }
    room.truncate(mark);
    false
}

/// At most 18 digits, as many behind the point as the scale says.
#[inline]
fn write_decimal(text: &[u8], scale: u16, room: &mut Room<'_>) -> bool {
    let Some((magnitude, negative)) = small_of_scale(text, usize::from(scale)) else {
        return false;
    };
    put_small(magnitude, negative, room);
    true
}

/// `2024-01-15 10:30:00.5`, in the style that says `2024-01-15T10:30:00.5` or counts microseconds.
#[inline]
fn write_timestamp(text: &[u8], style: TimestampStyle, around: &[u8], room: &mut Room<'_>) -> bool {
    let Some((clock, end)) = timestamp(text, around) else {
        return false;
    };
    match style {
        TimestampStyle::Micros => {
            let seconds = common_seconds(clock).and_then(|seconds| u32::try_from(seconds).ok());
            let Some(digits) = seconds.and_then(ten_digits) else {
                return false;
            };
            room.put(&digits, 10);
            room.put(&end.digits, 6);
        }
        TimestampStyle::Iso | TimestampStyle::IsoZ => {
            if end.has_zeros {
                return false;
            }
            room.put(&iso_head(clock), 20);
            room.put(b".", usize::from(end.len > 0));
            room.put(&end.digits, end.len);
            let zone = usize::from(style == TimestampStyle::IsoZ);
            room.put(b"Z", zone);
            room.put(b"\"", 1);
        }
        TimestampStyle::Millis | TimestampStyle::Nanos => return false,
    }
    true
}

/// `2024-01-15 10:30:00.5+00`, in the styles that say `2024-01-15T10:30:00.5Z` or with six digits.
#[inline]
fn write_timestamptz(
    text: &[u8],
    style: TimestampTzStyle,
    around: &[u8],
    room: &mut Room<'_>,
) -> bool {
    let Some(without_zone) = text.strip_suffix(b"+00") else {
        return false;
    };
    let Some((clock, end)) = timestamp(without_zone, around) else {
        return false;
    };
    match style {
        TimestampTzStyle::Iso if !end.has_zeros => {
            room.put(&iso_head(clock), 20);
            room.put(b".", usize::from(end.len > 0));
            room.put(&end.digits, end.len);
            room.put(b"Z\"", 2);
        }
        TimestampTzStyle::Digits {
            digits: 6,
            element: false,
        } => {
            room.put(&iso_head(clock), 20);
            room.put(b".", 1);
            room.put(&end.digits, 6);
            room.put(b"Z\"", 2);
        }
        _ => return false,
    }
    true
}

/// Digits behind the point.
struct Fraction {
    /// With zeros behind them.
    digits: [u8; 8],
    /// How many there are, at most six.
    len: usize,
    /// The last of them is a zero.
    has_zeros: bool,
}

/// `2024-01-15 10:30:00` and what follows it.
#[inline]
fn timestamp<'a>(text: &[u8], around: &'a [u8]) -> Option<(&'a [u8; 19], Fraction)> {
    // 19, a point, and eight for at most six digits.
    let whole: &[u8; 28] = from(text, around)?.first_chunk()?;
    let clock: &[u8; 19] = whole.first_chunk()?;
    let fraction: &[u8; 8] = whole.last_chunk()?;
    let digits = match text.len() {
        19 => 0,
        len @ 21..=26 if whole.get(19) == Some(&b'.') => len - 20,
        _ => return None,
    };
    let mask = (1 << (8 * digits)) - 1;
    let word = u64::from_le_bytes(*fraction) & mask | ZEROS & !mask;
    let are_digits =
        word & HIGH_NIBBLES == ZEROS && word.wrapping_add(ONES * 6) & HIGH_NIBBLES == ZEROS;
    if !are_digits || !is_common(clock) {
        return None;
    }
    Some((
        clock,
        Fraction {
            digits: word.to_le_bytes(),
            len: digits,
            has_zeros: digits > 0 && word >> (8 * (digits - 1)) & 0xFF == u64::from(b'0'),
        },
    ))
}

/// None: the number has fewer digits, or more.
#[inline]
fn ten_digits(number: u32) -> Option<[u8; 10]> {
    if number < 1_000_000_000 {
        return None;
    }
    let (high, low) = (number / 100_000_000, number % 100_000_000);
    // Eight digits at once: four and four, then two and two of each, then one and one.
    let halves = u64::from(low / 10_000) | u64::from(low % 10_000) << 32;
    let hundreds = ((halves * 5243) >> 19) & 0x7F_0000_007F;
    let pairs = hundreds | (halves - hundreds * 100) << 16;
    let tens = ((pairs * 103) >> 10) & 0xF_000F_000F_000F;
    let digits = (tens | (pairs - tens * 10) << 8) | ZEROS;
    let mut all = [0; 10];
    let two = (high * 103) >> 10;
    let head = [two, high - two * 10].map(|digit| u8::try_from(digit).unwrap_or_default() | b'0');
    *all.first_chunk_mut()? = head;
    *all.last_chunk_mut()? = digits.to_le_bytes();
    Some(all)
}

/// Longer text goes the other way, in larger pieces.
const TEXT_MAX: usize = 512;

const ONES: u64 = u64::MAX / 0xFF;

/// `00000000`
const ZEROS: u64 = ONES * 0x30;

const HIGH_NIBBLES: u64 = ONES * 0xF0;

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::{String, ToString};
    use alloc::vec::Vec;

    use super::*;
    use crate::json::Escape;

    const WRITERS: [Writer; 13] = [
        Writer::Boolean,
        Writer::Decimal(0),
        Writer::Decimal(2),
        Writer::Integer,
        Writer::Text(Escape::Minimal),
        Writer::Text(Escape::Surrogates),
        Writer::Timestamp(TimestampStyle::Iso),
        Writer::Timestamp(TimestampStyle::IsoZ),
        Writer::Timestamp(TimestampStyle::Micros),
        Writer::Timestamp(TimestampStyle::Millis),
        Writer::TimestampTz(TimestampTzStyle::Iso),
        Writer::TimestampTz(TimestampTzStyle::Digits {
            digits: 6,
            element: false,
        }),
        Writer::TimestampTz(TimestampTzStyle::Digits {
            digits: 3,
            element: false,
        }),
    ];

    /// What is written, if the text is usual; `behind` follows it.
    fn usual(writer: &Writer, text: &str, behind: &str) -> Option<String> {
        let around = format!("{text}{behind}");
        let mut out = b"before".to_vec();
        let mut room = Room::behind(&mut out);
        let text = &around.as_bytes()[..text.len()];
        let is_usual = Usual::of(writer).write(text, around.as_bytes(), &mut room);
        drop(room);
        let written = String::from_utf8(out).unwrap();
        let written = written.strip_prefix("before").unwrap();
        assert!(is_usual || written.is_empty(), "{text:?} left {written:?}");
        is_usual.then(|| written.to_string())
    }

    /// Whatever follows the text, and whatever it is: either nothing is written, or what the type's
    /// own writer writes.
    fn agree(text: &str) -> usize {
        let mut taken = 0;
        for writer in &WRITERS {
            let mut out = Vec::new();
            let expected = writer.write(text.as_bytes(), &mut out).map(|()| out);
            for behind in ["", "7", "+00+00+00+00+00+00", "\"\\\u{0}ü9999999999999999"] {
                if let Some(written) = usual(writer, text, behind) {
                    assert_eq!(
                        Ok(written.as_bytes()),
                        expected.as_deref(),
                        "{text:?} {writer:?}"
                    );
                    taken += 1;
                }
            }
        }
        taken
    }

    #[test]
    fn usual_values_are_what_their_type_writes() {
        for (text, is_usual) in [
            ("t", true),
            ("f", true),
            ("0", true),
            ("7", true),
            ("1234567890123456", true),
            ("12345678901234567", true),
            ("0.00", true),
            ("12345.67", true),
            ("-12345.67", true),
            ("2026-11-21 06:07:08", true),
            ("2026-11-21 06:07:08.5", true),
            ("2026-11-21 06:07:08.500000", true),
            ("2026-11-21 06:07:08.123456+00", true),
            ("2026-11-21 06:07:08+00", true),
            ("2001-09-09 01:46:39.999999", true),
            ("2001-09-09 01:46:40", true),
            ("2106-02-07 06:28:15", true),
            ("2106-02-07 06:28:16", true),
            ("\" quoted \\ and more than sixteen bytes of it \"", true),
            ("ü", false),
            ("a tab\tin it", false),
        ] {
            assert_eq!(agree(text) > 0, is_usual, "{text}");
        }
        for text in [
            "",
            "-",
            "-0",
            "00",
            "01",
            "1a",
            "1.2.3",
            "NaN",
            "infinity",
            "true",
            "2026-13-41 06:07:08",
            "2026-11-21 06:07:08.",
            "2026-11-21 06:07:08.1234567",
            "2026-11-21 06:07:08.12a",
            "2026-11-21T06:07:08",
            "2026-11-21 06:07:08+01",
            "0044-03-15 00:00:00 BC",
            "2026-11-21 06:07:08.50",
            "1582-10-10 00:00:00+00",
        ] {
            agree(text);
        }
    }

    #[test]
    fn every_length_and_every_place_of_a_special_byte() {
        for len in 0..70 {
            let text: String = ('0'..='9').cycle().take(len).collect();
            agree(&text);
            for at in 0..len {
                for special in ["\"", "\\", "\n", "ü", "-", ".", "a"] {
                    agree(&format!("{}{special}{}", &text[..at], &text[at + 1..]));
                }
            }
        }
        assert!(agree(&"a".repeat(TEXT_MAX)) > 0);
        assert_eq!(agree(&"a".repeat(TEXT_MAX + 1)), 0);
    }

    #[test]
    fn ten_digits_of_every_size() {
        for number in [
            1_000_000_000,
            1_234_567_890,
            4_294_967_295,
            3_999_999_999,
            2_000_000_001,
        ] {
            assert_eq!(
                ten_digits(number).unwrap().as_slice(),
                number.to_string().as_bytes()
            );
        }
        assert_eq!(ten_digits(999_999_999), None);
    }
}
