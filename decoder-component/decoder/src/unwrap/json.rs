//! JSON that this crate wrote, taken apart: it has no white space between its parts.

use alloc::vec::Vec;

use crate::options::Format;
use crate::relation::write_name;

/// An object's members: name, with its quotes, and value.
pub(super) struct Members<'a>(&'a [u8]);

/// An array's elements.
pub(super) struct Elements<'a>(&'a [u8]);

/// The value of an object's member.
pub(super) fn member<'a>(object: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let wanted = quoted(name);
    let mut members = Members::of(object);
    let (_, value) = members.find(|(name, _)| *name == wanted)?;
    Some(value)
}

pub(super) fn quoted(name: &str) -> Vec<u8> {
    let mut quoted = Vec::new();
    write_name(name, Format::Debezium, &mut quoted);
    quoted
}

impl<'a> Members<'a> {
    /// Of anything but an object: none.
    pub(super) fn of(object: &'a [u8]) -> Self {
        Self(object.strip_prefix(b"{").unwrap_or_default())
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, behind) = self.0.split_at_checked(value_end(self.0))?;
        let behind = behind.strip_prefix(b":")?;
        let (value, behind) = behind.split_at_checked(value_end(behind))?;
        self.0 = behind.strip_prefix(b",").unwrap_or_default();
        Some((name, value))
    }
}

impl<'a> Elements<'a> {
    /// Of anything but an array: none.
    pub(super) fn of(array: &'a [u8]) -> Self {
        Self(array.strip_prefix(b"[").unwrap_or_default())
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<Self::Item> {
        let (value, behind) = self.0.split_at_checked(value_end(self.0))?;
        self.0 = behind.strip_prefix(b",").unwrap_or_default();
        (!value.is_empty()).then_some(value)
    }
}

/// Where the value ends that stands at the beginning.
fn value_end(json: &[u8]) -> usize {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for (at, byte) in json.iter().enumerate() {
        if in_string {
            in_string = escaped || *byte != b'"';
            escaped = !escaped && *byte == b'\\';
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => depth += 1,
            b',' | b':' | b'}' | b']' if depth == 0 => return at,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
    }
    json.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_and_arrays_come_apart() {
        let object = br#"{"a":{"b":[1,{"c":"}\""}]},"\"":"x,y","n":null}"#;
        assert_eq!(member(object, "\""), Some(br#""x,y""#.as_slice()));
        assert_eq!(member(object, "n"), Some(b"null".as_slice()));
        assert_eq!(member(object, "b"), None);
        let a = member(object, "a").unwrap();
        let elements: Vec<_> = Elements::of(member(a, "b").unwrap()).collect();
        assert_eq!(elements, [b"1".as_slice(), br#"{"c":"}\""}"#]);
        assert_eq!(Members::of(b"{}").count(), 0);
        assert_eq!(Elements::of(b"[]").count(), 0);
        assert_eq!(Members::of(b"[1]").count(), 0);
    }
}
