//! `bytea` and the bit strings.

use alloc::vec::Vec;

use crate::error::InvalidValue;
use crate::json::{BASE64, base64_quad, write_base64, write_binary};
use crate::options::BinaryMode;

/// Writes `bytea` from either of its text forms, `bytea_output` `hex` and `escape`.
pub(super) fn write_bytea(
    text: &[u8],
    mode: BinaryMode,
    out: &mut Vec<u8>,
) -> Result<(), InvalidValue> {
    let Some(digits) = text.strip_prefix(b"\\x") else {
        write_binary(&unescape(text)?, mode, out);
        return Ok(());
    };
    match mode {
        BinaryMode::Bytes | BinaryMode::Base64 => {
            out.push(b'"');
            write_hex_as_base64(digits, out)?;
            out.push(b'"');
        }
        BinaryMode::Base64UrlSafe | BinaryMode::Hex => {
            let (pairs, []) = digits.as_chunks::<2>() else {
                return Err(INVALID);
            };
            let bytes: Result<Vec<u8>, InvalidValue> = pairs
                .iter()
                .map(|[high, low]| hex_byte(*high, *low))
                .collect();
            write_binary(&bytes?, mode, out);
        }
    }
    Ok(())
}

/// Writes a bit string of more than one bit as Debezium does: the bytes of the number it spells,
/// the lowest first, none above the highest bit that is set.
pub(super) fn write_bits(text: &[u8], out: &mut Vec<u8>) -> Result<(), InvalidValue> {
    if !text.iter().all(|byte| matches!(byte, b'0' | b'1')) {
        return Err(INVALID_BITS);
    }
    let mut bytes: Vec<u8> = text
        .rchunks(8)
        .map(|bits| bits.iter().fold(0, |byte, bit| byte << 1 | (bit & 1)))
        .collect();
    while let Some(0) = bytes.last() {
        bytes.pop();
    }
    out.push(b'"');
    write_base64(&bytes, BASE64, out);
    out.push(b'"');
    Ok(())
}

/// Writes a bit string of one bit as a boolean; an empty one is null.
pub(super) fn write_bit(text: &[u8], out: &mut Vec<u8>) -> Result<(), InvalidValue> {
    out.extend_from_slice(match text {
        b"1" => b"true",
        b"0" => b"false",
        b"" => b"null",
        _ => return Err(INVALID_BITS),
    });
    Ok(())
}

fn write_hex_as_base64(digits: &[u8], out: &mut Vec<u8>) -> Result<(), InvalidValue> {
    out.reserve(digits.len().div_ceil(6).saturating_mul(4));
    let (sextets, rest) = digits.as_chunks::<6>();
    // Looked at once in the end: a loop without exits is faster.
    let mut invalid = 0;
    for sextet in sextets {
        let [h1, l1, h2, l2, h3, l3] = sextet.map(hex_value);
        invalid |= h1 | l1 | h2 | l2 | h3 | l3;
        let triple = [h1 << 4 | l1, h2 << 4 | l2, h3 << 4 | l3];
        out.extend_from_slice(&base64_quad(triple, BASE64));
    }
    if invalid > 15 {
        return Err(INVALID);
    }
    match *rest {
        [] => {}
        [a, b] => write_base64(&[hex_byte(a, b)?], BASE64, out),
        [a, b, c, d] => write_base64(&[hex_byte(a, b)?, hex_byte(c, d)?], BASE64, out),
        _ => return Err(INVALID),
    }
    Ok(())
}

#[inline]
fn hex_byte(high: u8, low: u8) -> Result<u8, InvalidValue> {
    let (high, low) = (hex_value(high), hex_value(low));
    if (high | low) < 16 {
        Ok(high << 4 | low)
    } else {
        Err(INVALID)
    }
}

/// What a hexadecimal digit stands for; more than 15 where it is none.
#[inline]
fn hex_value(digit: u8) -> u8 {
    HEX_VALUES
        .get(usize::from(digit))
        .copied()
        .unwrap_or(NO_DIGIT)
}

/// `a\\b\001`
fn unescape(text: &[u8]) -> Result<Vec<u8>, InvalidValue> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    loop {
        rest = match rest {
            [] => return Ok(bytes),
            [b'\\', b'\\', rest @ ..] => {
                bytes.push(b'\\');
                rest
            }
            [
                b'\\',
                a @ b'0'..=b'3',
                b @ b'0'..=b'7',
                c @ b'0'..=b'7',
                rest @ ..,
            ] => {
                bytes.push((a & 7) << 6 | (b & 7) << 3 | (c & 7));
                rest
            }
            [b'\\', ..] => return Err(INVALID),
            [byte, rest @ ..] => {
                bytes.push(*byte);
                rest
            }
        };
    }
}

/// What each byte stands for as a hexadecimal digit.
const HEX_VALUES: [u8; 256] = {
    let mut values = [NO_DIGIT; 256];
    let mut digit = 0_u8;
    let mut rest = values.as_mut_slice();
    while let [place, behind @ ..] = rest {
        *place = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            b'A'..=b'F' => digit - b'A' + 10,
            _ => NO_DIGIT,
        };
        digit = digit.wrapping_add(1);
        rest = behind;
    }
    values
};

const NO_DIGIT: u8 = 0xFF;

const INVALID: InvalidValue = InvalidValue {
    expected: "a bytea",
};
const INVALID_BITS: InvalidValue = InvalidValue {
    expected: "a bit string",
};

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use super::*;

    #[test]
    fn bytea_in_every_mode() {
        for (text, mode, expected) in [
            ("\\x", BinaryMode::Bytes, "\"\""),
            ("\\xff", BinaryMode::Bytes, "\"/w==\""),
            ("\\xdeadbeef", BinaryMode::Bytes, "\"3q2+7w==\""),
            ("\\xfbff00", BinaryMode::Base64, "\"+/8A\""),
            ("\\xfbff00", BinaryMode::Base64UrlSafe, "\"-_8A\""),
            ("\\xFBFF00", BinaryMode::Hex, "\"fbff00\""),
            ("a\\\\b\\001\\377", BinaryMode::Hex, "\"615c6201ff\""),
        ] {
            let mut out = Vec::new();
            assert_eq!(
                write_bytea(text.as_bytes(), mode, &mut out),
                Ok(()),
                "{text}"
            );
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{text}");
        }
        for text in [
            "\\xf", "\\xzz", "\\x00 ", "\\x000", "\\x00000", "a\\", "a\\12", "\\400",
        ] {
            for mode in [BinaryMode::Bytes, BinaryMode::Hex] {
                assert!(
                    write_bytea(text.as_bytes(), mode, &mut Vec::new()).is_err(),
                    "{text}"
                );
            }
        }
    }

    #[test]
    fn bit_strings() {
        for (text, expected) in [
            ("00000", "\"\""),
            ("", "\"\""),
            ("10101", "\"FQ==\""),
            ("100000001", "\"AQE=\""),
            ("1010000001", "\"gQI=\""),
            ("1111000011110000", "\"8PA=\""),
            ("111111111111111111111111111111111", "\"/////wE=\""),
        ] {
            let mut out = Vec::new();
            assert_eq!(write_bits(text.as_bytes(), &mut out), Ok(()), "{text}");
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{text}");
        }
        assert!(write_bits(b"012", &mut Vec::new()).is_err());
        assert!(write_bit(b"11", &mut Vec::new()).is_err());
        for (text, expected) in [("1", "true"), ("0", "false"), ("", "null")] {
            let mut out = Vec::new();
            assert_eq!(write_bit(text.as_bytes(), &mut out), Ok(()));
            assert_eq!(out, expected.as_bytes());
        }
    }
}
