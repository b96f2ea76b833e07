//! Names of schemas, made to fit Avro (`schema.name.adjustment.mode`).

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;

/// `schema.name.adjustment.mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum NameAdjustment {
    #[default]
    None,
    /// What Avro does not allow becomes an underscore.
    Avro,
    /// It becomes `_u` and the number of the character; so does the underscore itself.
    AvroUnicode,
}

impl NameAdjustment {
    /// The name, adjusted: of letters, digits behind the first character, dots likewise.
    pub(crate) fn adjust(self, name: &str) -> String {
        if self == Self::None {
            return name.to_owned();
        }
        let mut adjusted = String::with_capacity(name.len());
        for (index, unit) in name.encode_utf16().enumerate() {
            let ascii = u8::try_from(unit).ok().map(char::from);
            match ascii.filter(|character| self.allows(*character, index == 0)) {
                Some(character) => adjusted.push(character),
                None if self == Self::Avro => adjusted.push('_'),
                // Java pads the number if it has no more than two digits.
                None if unit <= 0xFF => adjusted.extend(["_u00", &format!("{unit:x}")]),
                None => adjusted.extend(["_u", &format!("{unit:x}")]),
            }
        }
        adjusted
    }

    fn allows(self, character: char, first: bool) -> bool {
        match character {
            'a'..='z' | 'A'..='Z' => true,
            '_' => self == Self::Avro,
            '0'..='9' | '.' => !first,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_avros() {
        for (name, avro, unicode) in [
            (
                "My-Srv.public.m.Key",
                "My_Srv.public.m.Key",
                "My_u002dSrv.public.m.Key",
            ),
            ("1a_b.x1", "_a_b.x1", "_u0031a_u005fb.x1"),
            (".é✓", "___", "_u002e_u00e9_u2713"),
        ] {
            assert_eq!(NameAdjustment::None.adjust(name), name);
            assert_eq!(NameAdjustment::Avro.adjust(name), avro);
            assert_eq!(NameAdjustment::AvroUnicode.adjust(name), unicode);
        }
    }
}
