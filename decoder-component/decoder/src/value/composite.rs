//! Composite types: `("Main ""St""",5,"(1,2)")`.

use alloc::borrow::{Cow, ToOwned};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::writer::Writer;
use crate::error::InvalidValue;
use crate::json::{Escape, write_string};

/// How a composite type is shown: as an object.
#[derive(Clone, Debug)]
pub(super) struct Composite {
    pub(super) attributes: Box<[Attribute]>,
    pub(super) escape: Escape,
}

#[derive(Clone, Debug)]
pub(super) struct Attribute {
    pub(super) name: String,
    /// `"name":`
    literal: Vec<u8>,
    pub(super) writer: Writer,
}

impl Attribute {
    pub(super) fn new(name: &str, escape: Escape, writer: Writer) -> Self {
        let mut literal = Vec::new();
        let written = write_string(name.as_bytes(), escape, &mut literal);
        debug_assert!(written.is_ok(), "a str is UTF-8");
        literal.push(b':');
        Self {
            name: name.to_owned(),
            literal,
            writer,
        }
    }
}

impl Composite {
    /// Writes an object, or the text where the value is of another time than the attributes: what
    /// the catalogs say is of the present, not of the stream.
    pub(super) fn write(&self, text: &[u8], out: &mut Vec<u8>) -> Result<(), InvalidValue> {
        let start = out.len();
        if self.write_object(text, out).is_none() {
            out.truncate(start);
            write_string(text, self.escape, out)?;
        }
        Ok(())
    }

    fn write_object(&self, text: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let mut rest = text.strip_prefix(b"(")?;
        let mut before = b'{';
        for attribute in &self.attributes {
            if before == b',' {
                rest = rest.strip_prefix(b",")?;
            }
            let field;
            (field, rest) = split_field(rest)?;
            out.push(before);
            before = b',';
            out.extend_from_slice(&attribute.literal);
            match field {
                Some(field) => attribute.writer.write(&field, out).ok()?,
                None => out.extend_from_slice(b"null"),
            }
        }
        if self.attributes.is_empty() {
            out.push(b'{');
        }
        out.push(b'}');
        (rest == b")").then_some(())
    }
}

/// None is NULL.
type Field<'a> = Option<Cow<'a, [u8]>>;

/// A field, unescaped, and what follows.
fn split_field(text: &[u8]) -> Option<(Field<'_>, &[u8])> {
    if let Some(b',' | b')') = text.first() {
        return Some((None, text));
    }
    let plain = text
        .iter()
        .position(|byte| matches!(byte, b',' | b')' | b'"' | b'\\' | b'('))?;
    let (field, rest) = text.split_at_checked(plain)?;
    if let [b',' | b')', ..] = rest {
        return Some((Some(Cow::Borrowed(field)), rest));
    }
    let mut field = field.to_vec();
    let mut rest = rest;
    let mut quoted = false;
    loop {
        rest = match rest {
            [b'"', b'"', rest @ ..] if quoted => {
                field.push(b'"');
                rest
            }
            [b'"', rest @ ..] => {
                quoted = !quoted;
                rest
            }
            [b',' | b')', ..] if !quoted => return Some((Some(Cow::Owned(field)), rest)),
            [b'\\', byte, rest @ ..] | [byte, rest @ ..] => {
                field.push(*byte);
                rest
            }
            [] => return None,
        };
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn objects_or_else_text() {
        let text = || Writer::Text(Escape::Minimal);
        let inner = Composite {
            attributes: vec![
                Attribute::new("s", Escape::Minimal, text()),
                Attribute::new("n", Escape::Minimal, Writer::Integer),
            ]
            .into(),
            escape: Escape::Minimal,
        };
        let outer = Composite {
            attributes: vec![
                Attribute::new(
                    "a",
                    Escape::Minimal,
                    Writer::Composite(Box::new(inner.clone())),
                ),
                Attribute::new("t", Escape::Minimal, text()),
            ]
            .into(),
            escape: Escape::Minimal,
        };
        for (composite, text, expected) in [
            (
                &inner,
                r#"("Main ""St""",5)"#,
                r#"{"s":"Main \"St\"","n":5}"#,
            ),
            (&inner, r#"("a\\b",)"#, r#"{"s":"a\\b","n":null}"#),
            (&inner, r#"("",1)"#, r#"{"s":"","n":1}"#),
            (&inner, "(,)", r#"{"s":null,"n":null}"#),
            (
                &outer,
                r#"("(""x y"",1)",z)"#,
                r#"{"a":{"s":"x y","n":1},"t":"z"}"#,
            ),
            (&inner, "(x)", "\"(x)\""),
            (&inner, "(x,1,2)", "\"(x,1,2)\""),
            (&inner, "(x,y)", "\"(x,y)\""),
            (&inner, "(x,1", "\"(x,1\""),
            (&inner, "", "\"\""),
        ] {
            let mut out = Vec::new();
            assert_eq!(composite.write(text.as_bytes(), &mut out), Ok(()), "{text}");
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
