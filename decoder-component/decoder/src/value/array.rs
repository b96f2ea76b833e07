//! Arrays: `{a,"b c",NULL}`, `[0:1]={1,2}`, `{{1,2},{3,4}}`.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use super::hstore::split_quoted;
use super::writer::Writer;
use crate::error::InvalidValue;
use crate::json::{Escape, write_string};
use crate::limits::DIMENSIONS_MAX;

/// How an array is shown.
#[derive(Clone, Debug)]
pub(super) struct Array {
    pub(super) element: Writer,
    pub(super) delimiter: u8,
    pub(super) style: ArrayStyle,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ArrayStyle {
    /// Arrays within arrays, to any depth. What they cannot show is a string, the server's text: a
    /// lower bound other than 1, and dimensions of elements that may be arrays themselves.
    Nested(Escape),
    /// One dimension, as Debezium.
    Flat {
        /// What an element that is an array itself becomes: its text, or null.
        inner: Option<Escape>,
        /// Whether the schema lets elements be null.
        optional: bool,
        /// The whole value is null if an element is.
        without_null: bool,
        /// The whole value is null if an element is a number that is not finite.
        finite: bool,
    },
}

impl Array {
    pub(super) fn write(&self, text: &[u8], out: &mut Vec<u8>) -> Result<(), InvalidValue> {
        let start = out.len();
        if let (ArrayStyle::Nested(escape), [b'[', ..]) = (self.style, text) {
            return write_string(text, escape, out);
        }
        let mut rest = skip_bounds(text).ok_or(INVALID)?;
        let mut depth = 0_usize;
        loop {
            // An array, or an element, is due.
            match (self.style, rest) {
                (
                    ArrayStyle::Flat {
                        inner,
                        without_null,
                        ..
                    },
                    [b'{', ..],
                ) if depth == 1 => {
                    let length = array_length(rest).ok_or(INVALID)?;
                    let (array, behind) = rest.split_at_checked(length).ok_or(INVALID)?;
                    match inner {
                        Some(escape) => write_string(array, escape, out)?,
                        None if without_null => return write_lost(start, out),
                        None => out.extend_from_slice(b"null"),
                    }
                    rest = behind;
                }
                (ArrayStyle::Nested(escape), [b'{', ..])
                    if depth == 1
                        && matches!(self.element, Writer::Array(_) | Writer::Embedded) =>
                {
                    out.truncate(start);
                    return write_string(text, escape, out);
                }
                (_, [b'{', behind @ ..]) => {
                    depth += 1;
                    if depth > DIMENSIONS_MAX {
                        return Err(INVALID);
                    }
                    out.push(b'[');
                    rest = behind;
                    if rest.first() != Some(&b'}') {
                        continue;
                    }
                }
                _ if depth == 0 => return Err(INVALID),
                _ => {
                    let (element, behind) = self.split_element(rest).ok_or(INVALID)?;
                    if self.loses(element.as_deref()) {
                        return write_lost(start, out);
                    }
                    match element {
                        Some(element) => self.element.write(&element, out)?,
                        None => out.extend_from_slice(b"null"),
                    }
                    rest = behind;
                }
            }
            // Arrays end, or another element follows.
            loop {
                match rest {
                    [b'}', behind @ ..] => {
                        depth = depth.checked_sub(1).ok_or(INVALID)?;
                        out.push(b']');
                        rest = behind;
                        if depth == 0 {
                            return if rest.is_empty() {
                                Ok(())
                            } else {
                                Err(INVALID)
                            };
                        }
                    }
                    [byte, behind @ ..] if *byte == self.delimiter => {
                        out.push(b',');
                        rest = behind;
                        break;
                    }
                    _ => return Err(INVALID),
                }
            }
        }
    }

    /// Whether such an element makes the whole value null.
    fn loses(&self, element: Option<&[u8]>) -> bool {
        let ArrayStyle::Flat {
            without_null,
            finite,
            ..
        } = self.style
        else {
            return false;
        };
        match element {
            None => without_null,
            Some(_) if matches!(self.element, Writer::SparseVector) => true,
            Some(text) => finite && matches!(text, b"NaN" | b"Infinity" | b"-Infinity"),
        }
    }

    /// An element, unescaped (none: NULL), and what follows.
    fn split_element<'a>(&self, text: &'a [u8]) -> Option<(Element<'a>, &'a [u8])> {
        if text.first() == Some(&b'"') {
            return split_quoted(text).map(|(element, rest)| (Some(element), rest));
        }
        let length = text
            .iter()
            .position(|&byte| byte == self.delimiter || byte == b'}')?;
        let (element, rest) = text.split_at_checked(length)?;
        match element {
            [] => None,
            b"NULL" => Some((None, rest)),
            _ if memchr::memchr3(b'"', b'\\', b'{', element).is_some() => None,
            _ => Some((Some(Cow::Borrowed(element)), rest)),
        }
    }
}

/// Writes null instead of what was written from `start` on. Of the rest nobody asks.
#[expect(clippy::unnecessary_wraps, reason = "its caller's return value")]
fn write_lost(start: usize, out: &mut Vec<u8>) -> Result<(), InvalidValue> {
    out.truncate(start);
    out.extend_from_slice(b"null");
    Ok(())
}

/// None is NULL.
type Element<'a> = Option<Cow<'a, [u8]>>;

/// Skips `[0:1][2:3]=`.
fn skip_bounds(text: &[u8]) -> Option<&[u8]> {
    if text.first() != Some(&b'[') {
        return Some(text);
    }
    let end = memchr::memchr(b'=', text)?;
    let (bounds, rest) = text.split_at_checked(end)?;
    let plain = bounds
        .iter()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'-' | b':' | b'[' | b']'));
    if plain { rest.get(1..) } else { None }
}

/// Bytes of the array a text starts with.
fn array_length(text: &[u8]) -> Option<usize> {
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for (at, &byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            b'{' if !quoted => depth += 1,
            b'}' if !quoted => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return at.checked_add(1);
                }
            }
            _ => {}
        }
    }
    None
}

const INVALID: InvalidValue = InvalidValue {
    expected: "an array",
};

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use super::*;

    fn array(text: &str, element: Writer, style: ArrayStyle) -> Result<String, InvalidValue> {
        let mut out = Vec::new();
        Array {
            element,
            delimiter: b',',
            style,
        }
        .write(text.as_bytes(), &mut out)
        .map(|()| String::from_utf8(out).unwrap())
    }

    const TEXT: Writer = Writer::Text(Escape::Minimal);
    const NESTED: ArrayStyle = ArrayStyle::Nested(Escape::Minimal);
    const FLAT: ArrayStyle = ArrayStyle::Flat {
        inner: None,
        optional: true,
        without_null: false,
        finite: false,
    };

    #[test]
    fn nested() {
        for (text, expected) in [
            ("{}", "[]"),
            ("{1,NULL,-3}", "[1,null,-3]"),
            ("[0:2]={1,2,3}", "\"[0:2]={1,2,3}\""),
            (
                "[-1:0][2:3]={{1,2},{3,NULL}}",
                "\"[-1:0][2:3]={{1,2},{3,NULL}}\"",
            ),
            ("{{{1}}}", "[[[1]]]"),
        ] {
            let written = array(text, Writer::Integer, NESTED);
            assert_eq!(written.as_deref(), Ok(expected), "{text}");
        }
        for (text, expected) in [
            ("{{1,2},{3,4}}", "\"{{1,2},{3,4}}\""),
            ("{\"[1,2]\",NULL}", "[[1,2],null]"),
        ] {
            let written = array(text, Writer::Embedded, NESTED);
            assert_eq!(written.as_deref(), Ok(expected), "{text}");
        }
        for (text, expected) in [
            (
                r#"{"a b","c,d","e\"f","g\\h",NULL,"NULL","","{x}",null}"#,
                r#"["a b","c,d","e\"f","g\\h",null,"NULL","","{x}","null"]"#,
            ),
            ("{{a,b},{\"c,d\",NULL}}", r#"[["a","b"],["c,d",null]]"#),
        ] {
            let written = array(text, TEXT, NESTED);
            assert_eq!(written.as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn flat() {
        let inner = ArrayStyle::Flat {
            inner: Some(Escape::Minimal),
            optional: true,
            without_null: false,
            finite: false,
        };
        let no_null = ArrayStyle::Flat {
            inner: None,
            optional: false,
            without_null: true,
            finite: false,
        };
        let finite = ArrayStyle::Flat {
            inner: None,
            optional: true,
            without_null: false,
            finite: true,
        };
        for (text, element, style, expected) in [
            ("{{1,2},{3,4}}", Writer::Integer, FLAT, "[null,null]"),
            ("[0:2]={1,2,3}", Writer::Integer, FLAT, "[1,2,3]"),
            (
                "{{\"}\",b},{c,NULL}}",
                TEXT,
                inner,
                r#"["{\"}\",b}","{c,NULL}"]"#,
            ),
            ("{a,NULL}", TEXT, no_null, "null"),
            ("{{a},{b}}", TEXT, no_null, "null"),
            ("{1,NaN}", Writer::VariableDecimal, finite, "null"),
            ("{-Infinity}", Writer::DecimalDouble(None), finite, "null"),
            ("{\"{1:1}/2\"}", Writer::SparseVector, no_null, "null"),
            ("{}", Writer::SparseVector, no_null, "[]"),
            (
                "{1,NULL}",
                Writer::VariableDecimal,
                finite,
                r#"[{"scale":0,"value":"AQ=="},null]"#,
            ),
        ] {
            assert_eq!(
                array(text, element, style).as_deref(),
                Ok(expected),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_array_is_refused() {
        for text in [
            "",
            "1",
            "{",
            "}",
            "{1",
            "{1,",
            "{1,}",
            "{,1}",
            "{1}}",
            "{{1}",
            "{1}{2}",
            "{1},",
            "[0:1]",
            "[0:1]=",
            "[a]={1}",
            "{1 2}",
            "{\"1}",
            "{{{{{{{1}}}}}}}",
            "{1{2}}",
            "{1\"2\"}",
        ] {
            for style in [NESTED, FLAT] {
                let written = array(text, Writer::Integer, style);
                let is_text = style == NESTED && text.starts_with('[');
                assert!(
                    written.is_err() || text.starts_with("{{{") || is_text,
                    "{text}"
                );
            }
        }
    }
}
