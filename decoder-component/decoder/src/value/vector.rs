//! pgvector's `vector`, `halfvec` and `sparsevec`.

use alloc::vec::Vec;

use super::hstore::sort_as_java;
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

/// Writes `{1:1,3:2.5}/5` as Debezium's `SparseDoubleVector`, which holds a `java.util.HashMap`.
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
    let mut hashed = Vec::new();
    for element in elements
        .split(|&byte| byte == b',')
        .filter(|_| !elements.is_empty())
    {
        let mut parts = element.split(|&byte| byte == b':');
        let (Some(index), Some(number), None) = (parts.next(), parts.next(), parts.next()) else {
            return Err(INVALID);
        };
        hashed.push((java_hash(index).ok_or(INVALID)?, (index, number)));
    }
    let buckets = hashed.len().next_power_of_two();
    sort_as_java(&mut hashed, buckets);
    for (position, (_, (index, number))) in hashed.into_iter().enumerate() {
        out.extend_from_slice(if position > 0 { b",[" } else { b"[" });
        write_integer(index, out)?;
        out.push(b',');
        write_float(number, FloatStyle::Java, out)?;
        out.push(b']');
    }
    out.extend_from_slice(b"]}");
    Ok(())
}

/// `Short.hashCode`: the number, though pgvector goes further.
fn java_hash(index: &[u8]) -> Option<u32> {
    core::str::from_utf8(index).ok()?.parse().ok()
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
            (
                "{1:1,2:2,4:4}/4",
                r#"{"dimensions":4,"vector":[[4,4.0],[1,1.0],[2,2.0]]}"#,
            ),
            (
                "{1:1,2:2,4:4,8:8}/9",
                r#"{"dimensions":9,"vector":[[8,8.0],[1,1.0],[2,2.0],[4,4.0]]}"#,
            ),
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
