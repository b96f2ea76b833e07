//! `hstore`: `"a"=>"1", "b"=>NULL`.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use crate::error::InvalidValue;
use crate::json::{Escape, write_string};

/// How an `hstore` is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HstoreStyle {
    /// A JSON object, the keys in the server's order.
    Object,
    /// A JSON object in a string, the keys in the order of Java's `HashMap`.
    JavaJson,
    /// A JSON object, the keys in the order of Java's `HashMap`.
    JavaObject,
}

pub(super) fn write_hstore(
    text: &[u8],
    style: HstoreStyle,
    escape: Escape,
    out: &mut Vec<u8>,
) -> Result<(), InvalidValue> {
    let pairs = parse(text).ok_or(INVALID)?;
    match style {
        HstoreStyle::Object => write_object(&pairs, escape, out),
        HstoreStyle::JavaObject => write_object(&in_java_order(pairs)?, escape, out),
        HstoreStyle::JavaJson => {
            let mut object = Vec::with_capacity(text.len());
            // Inside of the string characters stand for themselves; around it they are escaped.
            write_object(&in_java_order(pairs)?, Escape::Minimal, &mut object)?;
            write_string(&object, escape, out)
        }
    }
}

/// A key and its value, unescaped.
type Pair<'a> = (Cow<'a, [u8]>, Option<Cow<'a, [u8]>>);

fn write_object(pairs: &[Pair<'_>], escape: Escape, out: &mut Vec<u8>) -> Result<(), InvalidValue> {
    let mut before = b'{';
    for (key, value) in pairs {
        out.push(before);
        before = b',';
        write_string(key, escape, out)?;
        out.push(b':');
        match value {
            Some(value) => write_string(value, escape, out)?,
            None => out.extend_from_slice(b"null"),
        }
    }
    if pairs.is_empty() {
        out.push(b'{');
    }
    out.push(b'}');
    Ok(())
}

fn parse(text: &[u8]) -> Option<Vec<Pair<'_>>> {
    let mut pairs = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        if !pairs.is_empty() {
            rest = rest.strip_prefix(b", ")?;
        }
        let key;
        (key, rest) = split_quoted(rest)?;
        rest = rest.strip_prefix(b"=>")?;
        let value;
        (value, rest) = match rest.strip_prefix(b"NULL") {
            Some(rest) => (None, rest),
            None => split_quoted(rest).map(|(value, rest)| (Some(value), rest))?,
        };
        pairs.push((key, value));
    }
    Some(pairs)
}

/// What is between quotes, unescaped, and what follows.
pub(super) fn split_quoted(text: &[u8]) -> Option<(Cow<'_, [u8]>, &[u8])> {
    let inside = text.strip_prefix(b"\"")?;
    let end = memchr::memchr2(b'"', b'\\', inside)?;
    let (plain, rest) = inside.split_at_checked(end)?;
    if let [b'"', rest @ ..] = rest {
        return Some((Cow::Borrowed(plain), rest));
    }
    let mut unescaped = plain.to_vec();
    let mut rest = rest;
    loop {
        rest = match rest {
            [b'"', rest @ ..] => return Some((Cow::Owned(unescaped), rest)),
            [b'\\', byte, rest @ ..] | [byte, rest @ ..] => {
                unescaped.push(*byte);
                rest
            }
            [] => return None,
        };
    }
}

/// Pairs in the order in which Java's map of them gives its entries.
fn in_java_order(pairs: Vec<Pair<'_>>) -> Result<Vec<Pair<'_>>, InvalidValue> {
    let mut hashed = Vec::with_capacity(pairs.len());
    for (key, value) in pairs {
        let hash = java_hash(core::str::from_utf8(&key).map_err(|_| INVALID)?);
        hashed.push((hash, (key, value)));
    }
    sort_as_java(&mut hashed, JAVA_BUCKETS_MIN);
    Ok(hashed.into_iter().map(|(_, pair)| pair).collect())
}

/// The order in which a `java.util.HashMap` of at first so many buckets, a power of two, that was
/// filled with entries of these hashes in the present order, gives them.
pub(super) fn sort_as_java<T>(entries: &mut [(u32, T)], mut buckets: usize) {
    while entries.len() > buckets / 2 + buckets / 4 {
        buckets = buckets.saturating_mul(2);
    }
    let mask = u32::try_from(buckets - 1).unwrap_or(u32::MAX);
    entries.sort_by_key(|(hash, _)| (hash ^ hash >> 16) & mask);
}

/// `String.hashCode`.
fn java_hash(text: &str) -> u32 {
    text.encode_utf16().fold(0, |hash: u32, unit| {
        hash.wrapping_mul(31).wrapping_add(u32::from(unit))
    })
}

/// `HashMap.DEFAULT_INITIAL_CAPACITY`.
const JAVA_BUCKETS_MIN: usize = 16;

const INVALID: InvalidValue = InvalidValue {
    expected: "an hstore",
};

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use super::*;

    fn hstore(text: &str, style: HstoreStyle) -> Result<String, InvalidValue> {
        let mut out = Vec::new();
        write_hstore(text.as_bytes(), style, Escape::Surrogates, &mut out)
            .map(|()| String::from_utf8(out).unwrap())
    }

    #[test]
    fn in_every_style() {
        const SAMPLE: &str = r#""a"=>"1", "n"=>NULL, "ü"=>"😀", "b c"=>"d\"e\\""#;
        for (text, style, expected) in [
            (
                SAMPLE,
                HstoreStyle::JavaObject,
                r#"{"a":"1","b c":"d\"e\\","ü":"\uD83D\uDE00","n":null}"#,
            ),
            (
                SAMPLE,
                HstoreStyle::JavaJson,
                r#""{\"a\":\"1\",\"b c\":\"d\\\"e\\\\\",\"ü\":\"\uD83D\uDE00\",\"n\":null}""#,
            ),
            (
                SAMPLE,
                HstoreStyle::Object,
                r#"{"a":"1","n":null,"ü":"\uD83D\uDE00","b c":"d\"e\\"}"#,
            ),
            ("", HstoreStyle::JavaJson, r#""{}""#),
            ("", HstoreStyle::Object, "{}"),
        ] {
            assert_eq!(hstore(text, style).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn more_keys_than_twelve_make_java_double_its_buckets() {
        let pairs: Vec<String> = (0..13).map(|n| alloc::format!("\"k{n}\"=>\"\"")).collect();
        let object = hstore(&pairs.join(", "), HstoreStyle::JavaObject).unwrap();
        let keys: Vec<&str> = object.split('"').skip(1).step_by(4).collect();
        assert_eq!(
            keys,
            [
                "k0", "k1", "k2", "k3", "k4", "k5", "k11", "k6", "k10", "k7", "k8", "k12", "k9"
            ]
        );
    }

    #[test]
    fn what_is_no_hstore_is_refused() {
        for text in [
            "x",
            "\"a\"",
            "\"a\"=>",
            "\"a\"=>1",
            "\"a\"=>\"b",
            "\"a\"=>\"b\",",
            "\"a\\",
        ] {
            assert!(hstore(text, HstoreStyle::Object).is_err(), "{text}");
        }
    }
}
