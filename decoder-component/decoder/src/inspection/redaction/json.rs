//! `json` and `jsonb`, which stay well-formed.

use super::text::{plain_byte, with_words};

/// Any text: of what is no JSON no letter and no digit is left either, but for JSON's words.
pub(super) fn redact(text: &mut [u8]) {
    let mut rest = text;
    while !rest.is_empty() {
        let outside = memchr::memchr(b'"', rest).unwrap_or(rest.len());
        let (outside, behind) = rest.split_at_mut(outside);
        with_words(outside);
        rest = match behind {
            [_, inside @ ..] => string(inside),
            [] => behind,
        };
    }
}

/// A string from behind its opening quote on; gives what is behind its closing one.
fn string(text: &mut [u8]) -> &mut [u8] {
    let mut rest = text;
    loop {
        let (length, kept) = match &*rest {
            [] => return rest,
            [b'"', ..] => return rest.split_at_mut(1).1,
            // A text may be nothing but these.
            [b'\\', b'u', digits @ ..] if is_code(digits) => (6, 2),
            [
                b'\\',
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't',
                ..,
            ] => (2, 2),
            _ => (1, 0),
        };
        let (character, behind) = rest.split_at_mut(length);
        for byte in character.iter_mut().skip(kept) {
            *byte = if kept > 0 { b'1' } else { plain_byte(*byte) };
        }
        rest = behind;
    }
}

fn is_code(digits: &[u8]) -> bool {
    let code = digits.first_chunk::<4>();
    code.is_some_and(|code| code.iter().all(u8::is_ascii_hexdigit))
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use super::*;
    use crate::value::is_json;

    #[test]
    fn json_stays_json() {
        for (text, expected) in [
            (
                r#"{"Key 1": [true, false, null, -0.5e+10, "a\"b\u00e9\n/ü"], "": {}}"#,
                r#"{"xxx 1": [true, false, null, -1.1e+11, "x\"x\u1111\n/xx"], "": {}}"#,
            ),
            ("0", "1"),
            (r#""\\""#, r#""\\""#),
            (r#""\ud83d\ude00""#, r#""\u1111\u1111""#),
            ("null", "null"),
        ] {
            let mut bytes = text.as_bytes().to_vec();
            redact(&mut bytes);
            assert_eq!(String::from_utf8(bytes.clone()).unwrap(), expected);
            assert!(is_json(&bytes));
        }
    }

    #[test]
    fn what_is_no_json() {
        for (text, expected) in [
            ("secret", "xxxxxx"),
            ("\"secret", "\"xxxxxx"),
            ("\"\\secret\\", "\"\\xxxxxx\\"),
            ("\"\\u12g4", "\"\\x11x1"),
        ] {
            let mut bytes = text.as_bytes().to_vec();
            redact(&mut bytes);
            assert_eq!(String::from_utf8(bytes).unwrap(), expected);
        }
    }
}
