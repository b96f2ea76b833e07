//! JSON text: strings, base64 and hexadecimal, written straight into the output.
//!
//! Whatever is given, what is appended is well-formed JSON or an error is returned; after an error
//! the caller discards what was appended.

use alloc::vec::Vec;

use crate::error::InvalidValue;
use crate::lanes::{LANES, special};
use crate::options::{BinaryMode, Format};
use crate::room::Room;

/// Which characters of a string are escaped, besides those that JSON wants escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Escape {
    /// None.
    Minimal,
    /// Those outside of the Basic Multilingual Plane, as pairs of surrogates: Jackson's choice.
    Surrogates,
}

impl Escape {
    pub(crate) fn for_format(format: Format) -> Self {
        match format {
            Format::Debezium => Self::Surrogates,
            Format::Native => Self::Minimal,
        }
    }
}

/// Writes `text` as a JSON string. Fails unless it is UTF-8.
#[inline]
pub(crate) fn write_string(
    text: &[u8],
    escape: Escape,
    out: &mut Vec<u8>,
) -> Result<(), InvalidValue> {
    out.reserve(text.len().saturating_add(2));
    out.push(b'"');
    write_string_body(text, escape, out)?;
    out.push(b'"');
    Ok(())
}

/// Writes `text` as the inside of a JSON string.
#[inline]
fn write_string_body(text: &[u8], escape: Escape, out: &mut Vec<u8>) -> Result<(), InvalidValue> {
    let mut rest = text;
    while let Some((block, behind)) = rest.split_first_chunk::<BLOCK>() {
        let pieces = block.as_chunks::<LANES>().0;
        if pieces.iter().fold(0, |mask, piece| mask | special(piece)) != 0 {
            return write_escaped(rest, escape, out);
        }
        out.extend_from_slice(block);
        rest = behind;
    }
    while let Some((piece, behind)) = rest.split_first_chunk::<LANES>() {
        if special(piece) != 0 {
            return write_escaped(rest, escape, out);
        }
        out.extend_from_slice(piece);
        rest = behind;
    }
    let plain = match text.last_chunk() {
        Some(last) => special(last) == 0,
        None => rest.iter().copied().all(is_plain),
    };
    if !plain {
        return write_escaped(rest, escape, out);
    }
    append(rest, out);
    Ok(())
}

/// Appends bytes as they are. Copies of a constant size are much cheaper than others, in the
/// sandbox above all, where the latter are calls into the host: so short text is copied in pieces,
/// the last of which overlaps the one before.
#[inline]
pub(crate) fn append(text: &[u8], out: &mut Vec<u8>) {
    if text.len() > APPEND_IN_PIECES_MAX {
        out.extend_from_slice(text);
    } else if let Some(last) = text.last_chunk::<16>() {
        let end = out.len().saturating_add(text.len());
        for piece in text.as_chunks::<16>().0 {
            out.extend_from_slice(piece);
        }
        out.truncate(end.saturating_sub(16));
        out.extend_from_slice(last);
    } else if let (Some(first), Some(last)) = (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        let end = out.len().saturating_add(text.len());
        out.extend_from_slice(first);
        out.truncate(end.saturating_sub(8));
        out.extend_from_slice(last);
    } else if let (Some(first), Some(last)) = (text.first_chunk::<4>(), text.last_chunk::<4>()) {
        let end = out.len().saturating_add(text.len());
        out.extend_from_slice(first);
        out.truncate(end.saturating_sub(4));
        out.extend_from_slice(last);
    } else {
        for &byte in text {
            out.push(byte);
        }
    }
}

/// Longer text is copied by a call.
const APPEND_IN_PIECES_MAX: usize = 128;

/// Writes bytes as `binary.handling.mode` wants them, quoted.
pub(crate) fn write_binary(bytes: &[u8], mode: BinaryMode, out: &mut Vec<u8>) {
    out.push(b'"');
    match mode {
        BinaryMode::Bytes | BinaryMode::Base64 => write_base64(bytes, BASE64, out),
        BinaryMode::Base64UrlSafe => write_base64(bytes, BASE64_URL_SAFE, out),
        BinaryMode::Hex => {
            for &byte in bytes {
                out.extend_from_slice(&[hex_digit(byte >> 4), hex_digit(byte & 15)]);
            }
        }
    }
    out.push(b'"');
}

/// Writes bytes as base64 with padding, without quotes.
pub(crate) fn write_base64(bytes: &[u8], alphabet: &Alphabet, out: &mut Vec<u8>) {
    out.reserve(bytes.len().div_ceil(3).saturating_mul(4));
    let (triples, rest) = bytes.as_chunks::<3>();
    for triple in triples {
        out.extend_from_slice(&base64_quad(*triple, alphabet));
    }
    match *rest {
        [first] => {
            out.extend_from_slice(&base64_quad([first, 0, 0], alphabet));
            replace_end(*b"==", out);
        }
        [first, second] => {
            out.extend_from_slice(&base64_quad([first, second, 0], alphabet));
            replace_end(*b"=", out);
        }
        _ => {}
    }
}

/// Writes the first one to eight bytes of a big-endian number as base64, without quotes.
#[inline]
pub(crate) fn put_base64_word(word: u64, bytes: u32, room: &mut Room<'_>) {
    let word = word.to_be_bytes();
    let [first @ .., _, _, _, _, _] = word;
    let [_, _, _, second @ .., _, _] = word;
    let [_, _, _, _, _, _, third @ ..] = word;
    room.put(&base64_quad(first, BASE64), 4);
    if bytes > 3 {
        room.put(&base64_quad(second, BASE64), 4);
    }
    if bytes > 6 {
        let [seventh, eighth] = third;
        room.put(&base64_quad([seventh, eighth, 0], BASE64), 4);
    }
    match bytes % 3 {
        1 => {
            room.truncate(room.len() - 2);
            room.put(b"==", 2);
        }
        2 => {
            room.truncate(room.len() - 1);
            room.put(b"=", 1);
        }
        _ => {}
    }
}

#[inline]
fn replace_end<const N: usize>(end: [u8; N], out: &mut [u8]) {
    if let Some(last) = out.last_chunk_mut::<N>() {
        *last = end;
    }
}

/// The 64 digits of base64.
pub(crate) type Alphabet = [u8; 64];

/// RFC 4648, section 4.
pub(crate) const BASE64: &Alphabet =
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// RFC 4648, section 5.
pub(crate) const BASE64_URL_SAFE: &Alphabet =
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Bytes copied together in long text.
const BLOCK: usize = 64;

/// Whether a byte is ASCII and stands for itself in a JSON string.
#[inline]
fn is_plain(byte: u8) -> bool {
    byte.wrapping_sub(0x20) < 0x60 && byte != b'"' && byte != b'\\'
}

#[cold]
fn write_escaped(text: &[u8], escape: Escape, out: &mut Vec<u8>) -> Result<(), InvalidValue> {
    let mut rest = core::str::from_utf8(text).map_err(|_| INVALID_TEXT)?;
    while let Some(at) = first_special(rest.as_bytes(), escape) {
        let (verbatim, special) = rest.split_at_checked(at).unwrap_or((rest, ""));
        append(verbatim.as_bytes(), out);
        let mut characters = special.chars();
        if let Some(character) = characters.next() {
            write_escape(character, out);
        }
        rest = characters.as_str();
    }
    append(rest.as_bytes(), out);
    Ok(())
}

/// Where the first character is that needs an escape.
#[inline]
fn first_special(text: &[u8], escape: Escape) -> Option<usize> {
    let mut at = 0_usize;
    let mut rest = text;
    while let Some((chunk, behind)) = rest.split_first_chunk::<8>() {
        let special = special_bytes(u64::from_le_bytes(*chunk), escape);
        if special != 0 {
            // The lowest bit that is set belongs to the first byte.
            let byte = usize::try_from(special.trailing_zeros() / 8).unwrap_or_default();
            return Some(at.saturating_add(byte));
        }
        at = at.saturating_add(8);
        rest = behind;
    }
    rest.iter()
        .position(|&byte| special_bytes(u64::from(byte) | PLAIN << 8, escape) != 0)
        .map(|byte| at.saturating_add(byte))
}

/// Sets the highest bit of bytes that need an escape; beyond the first of them not reliably.
#[inline]
fn special_bytes(word: u64, escape: Escape) -> u64 {
    let zero_bytes = |word: u64| word.wrapping_sub(ONES) & !word;
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    let quote = zero_bytes(word ^ (ONES * 0x22));
    let backslash = zero_bytes(word ^ (ONES * 0x5C));
    let four_byte_lead = match escape {
        Escape::Minimal => 0,
        // Those from 0xF0 on have the four highest bits set.
        Escape::Surrogates => word & word << 1 & word << 2 & word << 3,
    };
    (control | quote | backslash | four_byte_lead) & (ONES * 0x80)
}

#[inline]
fn write_escape(character: char, out: &mut Vec<u8>) {
    let short = match character {
        '"' => b'"',
        '\\' => b'\\',
        '\u{8}' => b'b',
        '\t' => b't',
        '\n' => b'n',
        '\u{C}' => b'f',
        '\r' => b'r',
        _ => return write_unicode_escape(character, out),
    };
    out.extend_from_slice(&[b'\\', short]);
}

#[cold]
fn write_unicode_escape(character: char, out: &mut Vec<u8>) {
    for unit in character.encode_utf16(&mut [0; 2]) {
        let [high, low] = unit.to_be_bytes();
        out.extend_from_slice(b"\\u");
        for nibble in [high >> 4, high & 15, low >> 4, low & 15] {
            out.push(hex_digit(nibble).to_ascii_uppercase());
        }
    }
}

/// The lower-case digit of a number below 16.
#[inline]
fn hex_digit(nibble: u8) -> u8 {
    nibble + if nibble < 10 { b'0' } else { b'a' - 10 }
}

#[inline]
pub(crate) fn base64_quad([a, b, c]: [u8; 3], alphabet: &Alphabet) -> [u8; 4] {
    let digit = |index: u8| {
        alphabet
            .get(usize::from(index & 63))
            .copied()
            .unwrap_or(b'A')
    };
    [
        digit(a >> 2),
        digit(a << 4 | b >> 4),
        digit(b << 2 | c >> 6),
        digit(c),
    ]
}

/// A one in each byte.
const ONES: u64 = u64::MAX / 0xFF;

/// Bytes that need no escape.
const PLAIN: u64 = ONES * 0x61;

const INVALID_TEXT: InvalidValue = InvalidValue {
    expected: "UTF-8 text",
};

#[cfg(test)]
mod tests {
    use super::*;

    fn string(text: &[u8], escape: Escape) -> Result<alloc::string::String, InvalidValue> {
        let mut out = Vec::new();
        write_string(text, escape, &mut out)?;
        Ok(alloc::string::String::from_utf8(out).unwrap())
    }

    #[test]
    fn strings_are_written_as_jackson_writes_them() {
        for (text, expected) in [
            ("", r#""""#),
            ("abc", r#""abc""#),
            ("quote\" back\\slash", r#""quote\" back\\slash""#),
            ("tab\tnl\ncr\rbs\u{8}ff\u{c}", r#""tab\tnl\ncr\rbs\bff\f""#),
            ("ctl\u{1}\u{1f}\u{7f}", "\"ctl\\u0001\\u001F\u{7f}\""),
            ("ü日😀x", r#""ü日\uD83D\uDE00x""#),
            ("</script>", r#""</script>""#),
        ] {
            assert_eq!(
                string(text.as_bytes(), Escape::Surrogates).as_deref(),
                Ok(expected)
            );
        }
        assert_eq!(
            string("ü😀\"".as_bytes(), Escape::Minimal).as_deref(),
            Ok(r#""ü😀\"""#)
        );
    }

    #[test]
    fn every_length_and_every_place_of_an_escape() {
        for length in 0..70 {
            let plain: Vec<u8> = (0..length).map(|i| b'a' + (i % 26)).collect();
            let plain = core::str::from_utf8(&plain).unwrap();
            let expected = alloc::format!("\"{plain}\"");
            assert_eq!(
                string(plain.as_bytes(), Escape::Surrogates).unwrap(),
                expected
            );
            for at in 0..usize::from(length) {
                for (special, escaped) in [("\"", "\\\""), ("\u{1}", "\\u0001"), ("é", "é")] {
                    let mut text = alloc::string::String::from(plain);
                    text.replace_range(at..=at, special);
                    let mut expected = alloc::string::String::from(plain);
                    expected.replace_range(at..=at, escaped);
                    assert_eq!(
                        string(text.as_bytes(), Escape::Surrogates).unwrap(),
                        alloc::format!("\"{expected}\""),
                    );
                }
            }
        }
    }

    #[test]
    fn text_that_is_not_utf8_is_refused() {
        for text in [
            &b"\xff"[..],
            b"abcdefghijklmnopqrstuvwxyz\xc3",
            b"\xed\xa0\x80",
            b"ab\x80cd",
        ] {
            assert_eq!(string(text, Escape::Minimal), Err(INVALID_TEXT));
        }
    }

    #[test]
    fn bytes_in_every_mode() {
        for (mode, expected) in [
            (BinaryMode::Bytes, &b"\"+/8A\""[..]),
            (BinaryMode::Base64, b"\"+/8A\""),
            (BinaryMode::Base64UrlSafe, b"\"-_8A\""),
            (BinaryMode::Hex, b"\"fbff00\""),
        ] {
            let mut out = Vec::new();
            write_binary(b"\xfb\xff\x00", mode, &mut out);
            assert_eq!(out, expected);
        }
        for (bytes, expected) in [(&b""[..], &b""[..]), (b"\xff", b"/w=="), (b"ab", b"YWI=")] {
            let mut out = Vec::new();
            write_base64(bytes, BASE64, &mut out);
            assert_eq!(out, expected);
        }
    }
}
