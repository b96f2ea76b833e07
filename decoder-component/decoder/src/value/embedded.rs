//! `json` and `jsonb` embedded in ours: the server's own text, once it is known to be one
//! well-formed JSON text.

use alloc::vec::Vec;

use crate::error::InvalidValue;
use crate::lanes;
use crate::limits::JSON_DEPTH_MAX;

/// Writes a JSON text as it is, white space and all. What is `null` in it gets one more space in
/// front, which tells it from SQL's NULL.
pub(super) fn write_embedded(text: &[u8], out: &mut Vec<u8>) -> Result<(), InvalidValue> {
    if !is_json(text) {
        return Err(InvalidValue {
            expected: "a JSON text",
        });
    }
    if text.trim_ascii() == b"null" {
        out.push(b' ');
    }
    out.extend_from_slice(text);
    Ok(())
}

/// Whether it is one JSON text (RFC 8259) in UTF-8, nested no deeper than [`JSON_DEPTH_MAX`].
pub(crate) fn is_json(text: &[u8]) -> bool {
    (text.is_ascii() || core::str::from_utf8(text).is_ok()) && scan(text).is_some()
}

fn scan(text: &[u8]) -> Option<()> {
    let mut open = Open::default();
    let mut rest = skip_space(text);
    loop {
        // A value is due.
        rest = match rest {
            [b'{', behind @ ..] => {
                let behind = skip_space(behind);
                if let [b'}', behind @ ..] = behind {
                    behind
                } else {
                    open.push(true)?;
                    rest = skip_name(behind)?;
                    continue;
                }
            }
            [b'[', behind @ ..] => {
                let behind = skip_space(behind);
                if let [b']', behind @ ..] = behind {
                    behind
                } else {
                    open.push(false)?;
                    rest = behind;
                    continue;
                }
            }
            [b'"', behind @ ..] => skip_string(behind)?,
            [b't', b'r', b'u', b'e', behind @ ..]
            | [b'n', b'u', b'l', b'l', behind @ ..]
            | [b'f', b'a', b'l', b's', b'e', behind @ ..] => behind,
            _ => skip_number(rest)?,
        };
        // Containers end, or another member follows.
        loop {
            rest = skip_space(rest);
            let Some(in_object) = open.last() else {
                return rest.is_empty().then_some(());
            };
            match (rest, in_object) {
                ([b',', behind @ ..], true) => {
                    rest = skip_name(skip_space(behind))?;
                    break;
                }
                ([b',', behind @ ..], false) => {
                    rest = skip_space(behind);
                    break;
                }
                ([b'}', behind @ ..], true) | ([b']', behind @ ..], false) => {
                    open.pop();
                    rest = behind;
                }
                _ => return None,
            }
        }
    }
}

/// The containers that are open, a bit each: whether it is an object.
#[derive(Default)]
struct Open {
    innermost: u64,
    depth: usize,
    outer: Vec<u64>,
}

impl Open {
    fn push(&mut self, object: bool) -> Option<()> {
        if self.depth >= JSON_DEPTH_MAX {
            return None;
        }
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.outer.push(self.innermost);
        }
        self.innermost = self.innermost << 1 | u64::from(object);
        self.depth += 1;
        Some(())
    }

    fn pop(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.innermost >>= 1;
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.innermost = self.outer.pop().unwrap_or_default();
        }
    }

    fn last(&self) -> Option<bool> {
        (self.depth > 0).then_some(self.innermost & 1 == 1)
    }
}

/// A member's name, the colon behind it, and white space.
fn skip_name(text: &[u8]) -> Option<&[u8]> {
    let behind = skip_space(skip_string(text.strip_prefix(b"\"")?)?);
    Some(skip_space(behind.strip_prefix(b":")?))
}

/// A string from behind its opening quote on.
fn skip_string(text: &[u8]) -> Option<&[u8]> {
    let mut rest = text;
    loop {
        while let Some((piece, behind)) = rest.split_first_chunk() {
            let special = lanes::special(piece);
            if special != 0 {
                let plain = usize::try_from(special.trailing_zeros()).unwrap_or_default();
                rest = rest.get(plain..)?;
                break;
            }
            rest = behind;
        }
        // Characters beyond ASCII, and what is left at the end.
        let plain = rest
            .iter()
            .take_while(|byte| !matches!(byte, 0..0x20 | b'"' | b'\\'));
        let (_, special) = rest.split_at_checked(plain.count())?;
        rest = match special {
            [b'"', behind @ ..] => return Some(behind),
            [
                b'\\',
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't',
                behind @ ..,
            ] => behind,
            [b'\\', b'u', a, b, c, d, behind @ ..]
                if [a, b, c, d].iter().all(|digit| digit.is_ascii_hexdigit()) =>
            {
                behind
            }
            _ => return None,
        };
    }
}

fn skip_number(text: &[u8]) -> Option<&[u8]> {
    let rest = text.strip_prefix(b"-").unwrap_or(text);
    let mut rest = match rest {
        [b'0', behind @ ..] => behind,
        _ => skip_digits(rest)?,
    };
    if let Some(behind) = rest.strip_prefix(b".") {
        rest = skip_digits(behind)?;
    }
    if let [b'e' | b'E', behind @ ..] = rest {
        let digits = match behind {
            [b'+' | b'-', digits @ ..] => digits,
            _ => behind,
        };
        rest = skip_digits(digits)?;
    }
    Some(rest)
}

fn skip_digits(text: &[u8]) -> Option<&[u8]> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 {
        None
    } else {
        text.get(digits..)
    }
}

fn skip_space(text: &[u8]) -> &[u8] {
    let space = text
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
    text.get(space.count()..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_formed() {
        for text in [
            "null",
            "true",
            " false\n",
            "0",
            "-0.5e+10",
            "1e400",
            "\"\"",
            "\"s\\u0041\\n\\\"\\\\\"",
            "[]",
            "{}",
            "[ 1 , [ ] , { } ]",
            r#"{ "a" : 1 ,  "a":2, "b": [1, 2.0, 1e400] }"#,
            r#"{"z":1,"a":{"b":{"c":[[[[]]]]}}}"#,
            "\"üñîçødé 😀 long enough for several chunks of eight\"",
            "\"1234567\\\"",
        ] {
            let closed = !text.ends_with("\\\"") || text.len() > 12;
            assert_eq!(is_json(text.as_bytes()), closed, "{text}");
        }
    }

    #[test]
    fn malformed() {
        for text in [
            "",
            " ",
            "nul",
            "nulll",
            "01",
            "1.",
            ".1",
            "-",
            "1e",
            "+1",
            "[",
            "]",
            "[1",
            "[1,]",
            "[,]",
            "{",
            "}",
            "{1:2}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{\"a\":1]",
            "[1}",
            "\"",
            "\"\\\"",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"a\nb\"",
            "1 2",
            "[1] 2",
            "{} {}",
            "'a'",
            "NaN",
            "\u{feff}1",
        ] {
            assert!(!is_json(text.as_bytes()), "{text}");
        }
        assert!(!is_json(b"\"\xff\""));
    }

    #[test]
    fn any_depth_without_recursion() {
        for depth in [1, 63, 64, 65, 127, 128, 129, 1000, JSON_DEPTH_MAX] {
            let mut text = Vec::new();
            for level in 0..depth {
                text.extend_from_slice(if level % 3 == 0 { b"{\"a\":" } else { b"[" });
            }
            text.push(b'1');
            for level in (0..depth).rev() {
                text.push(if level % 3 == 0 { b'}' } else { b']' });
            }
            assert!(is_json(&text), "{depth}");
            text.pop();
            assert!(!is_json(&text), "{depth}");
            text.push(b'x');
            assert!(!is_json(&text), "{depth}");
        }
        assert!(!is_json(&alloc::vec![b'['; JSON_DEPTH_MAX + 1]));
    }

    #[test]
    fn verbatim_but_for_null() {
        for (text, expected) in [
            ("{\"a\":\r\n\"x\\ny\"} ", "{\"a\":\r\n\"x\\ny\"} "),
            ("null", " null"),
            (" null\n", "  null\n"),
            ("[null]", "[null]"),
        ] {
            let mut out = Vec::new();
            assert_eq!(write_embedded(text.as_bytes(), &mut out), Ok(()));
            assert_eq!(out, expected.as_bytes());
        }
        assert!(write_embedded(b"{", &mut Vec::new()).is_err());
    }
}
