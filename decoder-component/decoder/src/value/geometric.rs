//! `point`, and the spelling of the other geometric types in Java.

use alloc::vec::Vec;

use super::number::{FloatStyle, write_float};
use crate::error::InvalidValue;
use crate::json::{BASE64, write_base64};

/// Writes a `point` as Debezium's `io.debezium.data.geometry.Point`.
pub(super) fn write_point(text: &[u8], out: &mut Vec<u8>) -> Result<(), InvalidValue> {
    let invalid = InvalidValue {
        expected: "a point",
    };
    let inside = text
        .strip_prefix(b"(")
        .and_then(|text| text.strip_suffix(b")"));
    let mut coordinates = inside.ok_or(invalid)?.split(|&byte| byte == b',');
    let (Some(x), Some(y), None) = (coordinates.next(), coordinates.next(), coordinates.next())
    else {
        return Err(invalid);
    };
    out.extend_from_slice(b"{\"x\":");
    write_float(x, FloatStyle::Java, out)?;
    out.extend_from_slice(b",\"y\":");
    write_float(y, FloatStyle::Java, out)?;
    out.extend_from_slice(b",\"wkb\":\"");
    // OGC 06-103r4: byte order (1: the lowest first), geometry type (1: a point), coordinates.
    let mut wkb = [0_u8; 21];
    let [head @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = &mut wkb;
    head.copy_from_slice(&[1, 1, 0, 0, 0]);
    for (place, coordinate) in wkb.rchunks_exact_mut(8).rev().zip([x, y]) {
        place.copy_from_slice(&parse_double(coordinate).ok_or(invalid)?.to_le_bytes());
    }
    write_base64(&wkb, BASE64, out);
    out.extend_from_slice(b"\",\"srid\":null}");
    Ok(())
}

/// The text of a `box`, `circle`, `line`, `lseg`, `path` or `polygon` with its numbers as Java
/// spells them: what the JDBC driver's own types print.
pub(super) fn java_text(text: &[u8]) -> Result<Vec<u8>, InvalidValue> {
    let is_structure = |byte: &u8| b"()[]{}<>,".contains(byte);
    let mut spelled = Vec::with_capacity(text.len().saturating_mul(2));
    for word in text.chunk_by(|one, next| !is_structure(one) && !is_structure(next)) {
        if word.first().is_some_and(is_structure) {
            spelled.extend_from_slice(word);
        } else {
            let start = spelled.len();
            write_float(word, FloatStyle::Java, &mut spelled)?;
            if spelled.get(start) == Some(&b'"') {
                spelled.truncate(start);
                spelled.extend_from_slice(word);
            }
        }
    }
    Ok(spelled)
}

fn parse_double(text: &[u8]) -> Option<f64> {
    // Java's NaN has no sign.
    match text {
        b"NaN" => Some(f64::NAN.abs()),
        _ => core::str::from_utf8(text).ok()?.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use super::*;

    #[test]
    fn points() {
        for (text, expected) in [
            (
                "(1.5,-2.25)",
                r#"{"x":1.5,"y":-2.25,"wkb":"AQEAAAAAAAAAAAD4PwAAAAAAAALA","srid":null}"#,
            ),
            (
                "(NaN,Infinity)",
                r#"{"x":"NaN","y":"Infinity","wkb":"AQEAAAAAAAAAAAD4fwAAAAAAAPB/","srid":null}"#,
            ),
            (
                "(-Infinity,0)",
                r#"{"x":"-Infinity","y":0.0,"wkb":"AQEAAAAAAAAAAADw/wAAAAAAAAAA","srid":null}"#,
            ),
        ] {
            let mut out = Vec::new();
            assert_eq!(write_point(text.as_bytes(), &mut out), Ok(()), "{text}");
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
        for text in [
            "", "()", "(1)", "(1,2", "(1,2,3)", "(1,x)", "(1,2))", "(nan,1)", "(inf,1)",
        ] {
            let written = write_point(text.as_bytes(), &mut Vec::new());
            assert!(written.is_err() || text == "(inf,1)", "{text}");
        }
    }

    #[test]
    fn other_types_as_java_spells_them() {
        for (text, expected) in [
            ("(2,2),(0,0)", "(2.0,2.0),(0.0,0.0)"),
            ("<(0,0),1.5>", "<(0.0,0.0),1.5>"),
            (
                "[(0,0),(1e+20,-Infinity)]",
                "[(0.0,0.0),(1.0E20,-Infinity)]",
            ),
        ] {
            let spelled = java_text(text.as_bytes()).unwrap();
            assert_eq!(String::from_utf8(spelled).unwrap(), expected);
        }
        assert!(java_text(b"(a,b)").is_err());
    }
}
