//! Finds values in a row's JSON without reading them: the text itself is what is wanted.

use std::iter;

use jiter::{Jiter, JiterError};

/// The JSON of a column in a row, all that stands between its name and the next one's: the decoder
/// puts no space there, but the server's own json text may begin and end with some.
pub(crate) fn column<'j>(row: &'j str, name: &str) -> Result<Option<&'j str>, JiterError> {
    for (literal, value) in members(row) {
        if is_named(literal, name)? {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

/// The names of an object's members, as they are written, and their values.
pub(crate) fn members(object: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = object.strip_prefix('{').unwrap_or_default();
    iter::from_fn(move || {
        rest.starts_with('"').then(|| {
            let (name, behind) = rest.split_at(string_length(rest));
            let (value, behind) = split_value(behind.strip_prefix(':').unwrap_or(behind));
            rest = behind.strip_prefix(',').unwrap_or_default();
            (name, value)
        })
    })
}

/// An array's elements.
pub(crate) fn elements(array: &str) -> impl Iterator<Item = &str> {
    let rest = array.strip_prefix('[').unwrap_or_default();
    let mut rest = Some(rest).filter(|rest| !rest.starts_with(']'));
    iter::from_fn(move || {
        let (element, behind) = split_value(rest?);
        rest = behind.strip_prefix(',');
        Some(element)
    })
}

/// Whether a string literal says `name`.
pub(crate) fn is_named(literal: &str, name: &str) -> Result<bool, JiterError> {
    let inner = literal.get(1..literal.len().saturating_sub(1));
    Ok(inner == Some(name)
        || literal.contains('\\') && Jiter::new(literal.as_bytes()).next_str()? == name)
}

/// A value with the space around it, and what ends it with all that follows. To any depth.
pub(crate) fn split_value(json: &str) -> (&str, &str) {
    let mut depth = 0_usize;
    let mut at = 0;
    let bytes = json.as_bytes();
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at += string_length(json.get(at..).unwrap_or_default());
                continue;
            }
            b'{' | b'[' => depth += 1,
            b',' | b'}' | b']' if depth == 0 => break,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    json.split_at(at)
}

/// Bytes of the string literal at the start of `json`, its quotes included.
pub(crate) fn string_length(json: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in json.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    json.len()
}
