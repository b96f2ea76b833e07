//! `field.name.adjustment.mode` and `schema.name.adjustment.mode`: names that Avro takes.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;

/// How names are adjusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum NameAdjustment {
    #[default]
    None,
    /// What Avro does not take becomes an underscore.
    Avro,
    /// It becomes `_uXXXX`, and so does the underscore at the beginning.
    AvroUnicode,
}

impl NameAdjustment {
    /// The name of a field.
    pub(crate) fn field(self, name: &str) -> Cow<'_, str> {
        self.adjust(name, false)
    }

    /// The name of a schema.
    pub(crate) fn schema(self, name: &str) -> Cow<'_, str> {
        self.adjust(name, true)
    }

    fn adjust(self, name: &str, dots: bool) -> Cow<'_, str> {
        if self == Self::None {
            return Cow::Borrowed(name);
        }
        let mut adjusted = String::with_capacity(name.len());
        for (at, unit) in name.encode_utf16().enumerate() {
            let character = char::from_u32(u32::from(unit)).filter(char::is_ascii);
            match character {
                Some(letter) if letter.is_ascii_alphabetic() => adjusted.push(letter),
                // Java's own rule for underscores differs by mode.
                Some('_') if self == Self::Avro => adjusted.push('_'),
                Some(digit) if at > 0 && digit.is_ascii_digit() => adjusted.push(digit),
                Some('.') if at > 0 && dots => adjusted.push('.'),
                _ if self == Self::AvroUnicode => adjusted.push_str(&escape(unit)),
                // So that names that differ in the first digit alone still do.
                Some(digit) if digit.is_ascii_digit() => {
                    adjusted.push('_');
                    adjusted.push(digit);
                }
                _ => adjusted.push('_'),
            }
        }
        Cow::Owned(adjusted)
    }
}

fn escape(unit: u16) -> String {
    if unit <= 0xff {
        format!("_u00{unit:x}")
    } else {
        format!("_u{unit:x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_as_avro_takes_them() {
        let avro = |name| NameAdjustment::Avro.field(name).into_owned();
        assert_eq!(avro("a_1"), "a_1");
        assert_eq!(avro("Häus-nr.2"), "H_us_nr_2");
        assert_eq!(avro("1st"), "_1st");
        assert_eq!(avro("😀"), "__");
        let unicode = |name| NameAdjustment::AvroUnicode.field(name).into_owned();
        assert_eq!(unicode("a-b"), "a_u002db");
        assert_eq!(unicode("_a"), "_u005fa");
        assert_eq!(unicode("1схе"), "_u0031_u441_u445_u435");
        assert_eq!(NameAdjustment::None.field("Häus"), "Häus");
        assert_eq!(NameAdjustment::Avro.schema("My-Srv.t"), "My_Srv.t");
    }
}
