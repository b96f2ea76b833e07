//! pgvector's `vector`, `halfvec` and `sparsevec`.

use alloc::vec::Vec;

use super::number::{FloatStyle, write_float, write_integer};
use crate::error::InvalidValue;

/// Writes `[1,2.5,-3]` as an array of numbers.
pub(super) fn write_vector(
    text: &[u8],
    style: FloatStyle,
    out: &mut Vec<u8>,
) -> Result<(), InvalidValue> {
    let inside = text
        .strip_prefix(b"[")
        .and_then(|text| text.strip_suffix(b"]"));
    out.push(b'[');
    for (index, number) in inside
        .ok_or(INVALID)?
        .split(|&byte| byte == b',')
        .enumerate()
    {
        if index > 0 {
            out.push(b',');
        }
        write_float(number, style, out)?;
    }
    out.push(b']');
    Ok(())
}

/// Writes `{1:1,3:2.5}/5` as Debezium's `SparseDoubleVector`.
pub(super) fn write_sparse_vector(text: &[u8], out: &mut Vec<u8>) -> Result<(), InvalidValue> {
    let mut halves = text.split(|&byte| byte == b'/');
    let (Some(elements), Some(dimensions), None) = (halves.next(), halves.next(), halves.next())
    else {
        return Err(INVALID);
    };
    let elements = elements
        .strip_prefix(b"{")
        .and_then(|text| text.strip_suffix(b"}"));
    out.extend_from_slice(b"{\"dimensions\":");
    write_integer(dimensions, out)?;
    out.extend_from_slice(b",\"vector\":[");
    let elements = elements.ok_or(INVALID)?;
    let elements = elements
        .split(|&byte| byte == b',')
        .filter(|_| !elements.is_empty());
    for (position, element) in elements.enumerate() {
        let mut parts = element.split(|&byte| byte == b':');
        let (Some(index), Some(number), None) = (parts.next(), parts.next(), parts.next()) else {
            return Err(INVALID);
        };
        out.extend_from_slice(if position > 0 { b",[" } else { b"[" });
        write_integer(index, out)?;
        out.push(b',');
        write_float(number, FloatStyle::Java, out)?;
        out.push(b']');
    }
    out.extend_from_slice(b"]}");
    Ok(())
}

const INVALID: InvalidValue = InvalidValue {
    expected: "a vector",
};

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use super::*;

    #[test]
    fn vectors() {
        for (style, expected) in [
            (FloatStyle::Java, "[1.0,2.5,-3.0]"),
            (FloatStyle::Server, "[1,2.5,-3]"),
        ] {
            let mut out = Vec::new();
            assert_eq!(write_vector(b"[1,2.5,-3]", style, &mut out), Ok(()));
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
        for (text, expected) in [
            (
                "{1:1,3:2.5}/5",
                r#"{"dimensions":5,"vector":[[1,1.0],[3,2.5]]}"#,
            ),
            ("{}/5", r#"{"dimensions":5,"vector":[]}"#),
        ] {
            let mut out = Vec::new();
            assert_eq!(write_sparse_vector(text.as_bytes(), &mut out), Ok(()));
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
        for text in [
            "",
            "[",
            "[]",
            "[1,]",
            "[a]",
            "{1:1}",
            "{1}/5",
            "{1:1}/x",
            "{1:1}/5/5",
        ] {
            assert!(write_vector(text.as_bytes(), FloatStyle::Java, &mut Vec::new()).is_err());
            assert!(
                write_sparse_vector(text.as_bytes(), &mut Vec::new()).is_err(),
                "{text}"
            );
        }
    }
}
