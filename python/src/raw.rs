//! Finds values in a row's JSON without reading them: the text itself is what is wanted.

use jiter::{Jiter, JiterError};

/// The JSON of a column in a row, all that stands between its name and the next one's: the decoder
/// puts no space there, but the server's own json text may begin and end with some.
pub(crate) fn column<'j>(row: &'j str, name: &str) -> Result<Option<&'j str>, JiterError> {
    let mut rest = row.strip_prefix('{').unwrap_or_default();
    while rest.starts_with('"') {
        let (key, behind) = rest.split_at(string_length(rest));
        let (value, behind) = split_value(behind.strip_prefix(':').unwrap_or(behind));
        if Jiter::new(key.as_bytes()).next_str()? == name {
            return Ok(Some(value));
        }
        rest = behind.strip_prefix(',').unwrap_or_default();
    }
    Ok(None)
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
