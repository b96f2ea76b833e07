//! The members of an event's JSON objects, found without parsing what is in them.

use std::borrow::Cow;
use std::ops::Range;

use memchr::memchr2;

/// The members of an object as the decoder wrote it, in order: names as they are written, without
/// their quotes, and where the values are. Ends early where the text is no object.
pub(crate) struct Members<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Members<'a> {
    /// Those of the object that stands there in a text.
    pub(crate) fn of(text: &'a str, object: &Range<usize>) -> Self {
        let text = text.get(..object.end).unwrap_or_default();
        let is_object = text.as_bytes().get(object.start) == Some(&b'{');
        let at = if is_object {
            object.start + 1
        } else {
            text.len()
        };
        Self { text, at }
    }

    /// Where the value of the next member is, if its name is this one: as it is written, with its
    /// quotes and the colon.
    pub(crate) fn next_if(&mut self, name: &str) -> Option<Range<usize>> {
        let rest = self.text.as_bytes().get(self.at..)?;
        rest.starts_with(name.as_bytes())
            .then(|| self.value(self.at + name.len()))?
    }

    fn value(&mut self, start: usize) -> Option<Range<usize>> {
        let end = value_end(self.text.as_bytes(), start)?;
        // A comma, or the end of the object.
        self.at = end + 1;
        Some(start..end)
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = (&'a str, Range<usize>);

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = self.text.as_bytes();
        if *bytes.get(self.at)? != b'"' {
            return None;
        }
        let name_end = string_end(bytes, self.at)?;
        let name = self.text.get(self.at + 1..name_end - 1)?;
        // A colon, and then the value.
        Some((name, self.value(name_end + 1)?))
    }
}

/// What stands between the quotes of a JSON string, as it is meant.
pub(crate) fn unescaped(inner: &str) -> Cow<'_, str> {
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    let whole = format!("\"{inner}\"");
    serde_json::from_str(&whole).map_or(Cow::Borrowed(inner), Cow::Owned)
}

/// Behind the closing quote of the string that begins at `start`.
fn string_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        at += memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if *bytes.get(at)? == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// Behind the value that begins at `start`, and may have white space in front of it or in it.
fn value_end(bytes: &[u8], start: usize) -> Option<usize> {
    if bytes.get(start) == Some(&b'"') {
        return string_end(bytes, start);
    }
    let mut depth = 0_usize;
    let mut at = start;
    loop {
        match bytes.get(at)? {
            b'"' => {
                at = string_end(bytes, at)?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth > 0 => depth -= 1,
            b'}' | b']' | b',' if depth == 0 => return Some(at),
            _ => {}
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(text: &str) -> Vec<(&str, &str)> {
        Members::of(text, &(0..text.len()))
            .map(|(name, range)| (name, &text[range]))
            .collect()
    }

    #[test]
    fn members_are_found_in_order() {
        let text = concat!(
            r#"{"a":1,"b":"x,\"}","c\"":{"d":[1,{"e":"]"}],"f":2},"#,
            r#""doc": null,"s":[ 1 , 2 ],"z":""}"#
        );
        assert_eq!(
            members(text),
            [
                ("a", "1"),
                ("b", r#""x,\"}""#),
                (r#"c\""#, r#"{"d":[1,{"e":"]"}],"f":2}"#),
                ("doc", " null"),
                ("s", "[ 1 , 2 ]"),
                ("z", r#""""#),
            ]
        );
        let mut some = Members::of(text, &(0..text.len()));
        assert_eq!(some.next_if("\"b\":"), None);
        assert_eq!(some.next_if("\"a\":"), Some(5..6));
        assert_eq!(some.next().map(|(name, _)| name), Some("b"));
        assert_eq!(unescaped(r#"c\"é\u00e9"#), "c\"éé");
        for end in 0..text.len() {
            assert!(members(&text[..end]).len() <= 6, "{end}");
        }
        for text in ["", "null", "[1]", "{}", "{\"a\"", "{\"a\":"] {
            assert!(members(text).is_empty(), "{text}");
        }
    }
}
