//! Columns whose values are masked, hashed or cut: `column.mask.…`, `column.truncate.…`.
//!
//! A mapping takes the JSON of a value and leaves another in its place. Keys are never mapped.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use crate::error::OptionError;
use crate::hash::{ALGORITHMS, Hash, HashVersion};
use crate::json::{BASE64, write_base64};
use crate::limits::MASK_CHARS_MAX;
use crate::options::{error, not_one_of};
use crate::patterns::Patterns;
use crate::value::{MappedAs, Rendering};

/// The rules for columns, the first of which that matches a column is its only one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mappings(Vec<Rule>);

#[derive(Clone, Debug)]
struct Rule {
    rank: Rank,
    patterns: Patterns,
    mapper: Mapper,
}

/// Debezium's order of rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Truncate,
    Mask,
    Propagate,
    /// Its patterns are of `schema.table.type`.
    PropagateType,
    Hash,
    HashV2,
}

/// What a rule does to its columns.
#[derive(Clone, Debug)]
pub(crate) enum Mapper {
    Hash(Hash),
    Mask(usize),
    /// Tells of the column's type in the schema, and leaves the value alone.
    Propagate,
    Truncate(usize),
}

impl Mappings {
    /// Takes an option, if it is one of these.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> Result<bool, OptionError> {
        let Some((rank, mapper)) = mapper(name)? else {
            return Ok(false);
        };
        let rule = Rule {
            rank,
            patterns: Patterns::parse(name, value)?,
            mapper,
        };
        let behind = self.0.partition_point(|other| other.rank <= rank);
        self.0.insert(behind, rule);
        Ok(true)
    }

    /// The mapper of a column; `table` is `schema.table`.
    pub(crate) fn of(
        &self,
        table: &str,
        column: &str,
        type_name: impl Fn() -> String,
    ) -> Option<&Mapper> {
        let matches = |rule: &&Rule| {
            let name = match rule.rank {
                Rank::PropagateType => format!("{table}.{}", type_name()),
                _ => format!("{table}.{column}"),
            };
            rule.patterns.matches(&name)
        };
        self.0.iter().find(matches).map(|rule| &rule.mapper)
    }
}

impl Mapper {
    /// Whether a column of this length is cut: what its type keeps short enough is not looked at.
    /// Without a length, -1, it is.
    pub(crate) fn truncates(&self, length: i32) -> bool {
        match self {
            Self::Truncate(chars) => usize::try_from(length).map_or(true, |length| length > *chars),
            _ => false,
        }
    }
}

fn mapper(name: &str) -> Result<Option<(Rank, Mapper)>, OptionError> {
    let between = |start, end| {
        name.strip_prefix(start)
            .and_then(|rest: &str| rest.strip_suffix(end))
    };
    if let Some(chars) = between("column.truncate.to.", ".chars") {
        let chars = number(name, chars)?;
        return Ok(Some((Rank::Truncate, Mapper::Truncate(chars))));
    }
    if let Some(chars) = between("column.mask.with.", ".chars") {
        let chars = number(name, chars)?;
        if chars > MASK_CHARS_MAX {
            let reason = format!("expected at most {MASK_CHARS_MAX} characters");
            return Err(error(name, &reason));
        }
        return Ok(Some((Rank::Mask, Mapper::Mask(chars))));
    }
    match name {
        "column.propagate.source.type" => return Ok(Some((Rank::Propagate, Mapper::Propagate))),
        "datatype.propagate.source.type" => {
            return Ok(Some((Rank::PropagateType, Mapper::Propagate)));
        }
        _ => {}
    }
    let Some(hashed) = name.strip_prefix("column.mask.hash.") else {
        return Ok(None);
    };
    let (rank, version, (algorithm, salt)) = if let Some(parts) = algorithm_and_salt(hashed) {
        (Rank::Hash, HashVersion::V1, parts)
    } else if let Some(parts) = hashed.strip_prefix("v2.").and_then(algorithm_and_salt) {
        (Rank::HashV2, HashVersion::V2, parts)
    } else {
        return Ok(None);
    };
    let hash = Hash::new(algorithm, salt, version).ok_or_else(|| not_one_of(name, ALGORITHMS))?;
    Ok(Some((rank, Mapper::Hash(hash))))
}

/// `<algorithm>.with.salt.<salt>`, where the salt may hold anything and is not empty.
fn algorithm_and_salt(text: &str) -> Option<(&str, &str)> {
    let (algorithm, rest) = text.split_once('.')?;
    let salt = rest.strip_prefix("with.salt.")?;
    (!algorithm.is_empty() && !salt.is_empty()).then_some((algorithm, salt))
}

fn number(name: &str, digits: &str) -> Result<usize, OptionError> {
    let number = digits
        .parse::<i32>()
        .ok()
        .filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()));
    number
        .and_then(|number| usize::try_from(number).ok())
        .ok_or_else(|| error(name, "expected a whole number between the last two dots"))
}

/// What is done to the values of one column.
#[derive(Clone, Debug)]
pub(crate) enum Mapping {
    /// Hashes strings, and cuts what comes out to the column's length.
    Hash(Hash, usize),
    /// Puts this JSON in place of any value, NULL included.
    Mask(Vec<u8>),
    TruncateBytes(usize),
    TruncateText(usize),
}

impl Mapping {
    /// None: values of the column, of the length that the JDBC driver gives it, stay as they are.
    pub(crate) fn new(mapper: &Mapper, rendering: &Rendering, length: i32) -> Option<Self> {
        match mapper {
            Mapper::Hash(hash) if rendering.is_character() => {
                let length = usize::try_from(length).ok().filter(|length| *length > 0);
                Some(Self::Hash(hash.clone(), length.unwrap_or(usize::MAX)))
            }
            Mapper::Mask(chars) if rendering.is_character() => {
                let mut mask = vec![b'*'; chars.saturating_add(2)];
                if let [first, .., last] = mask.as_mut_slice() {
                    (*first, *last) = (b'"', b'"');
                }
                Some(Self::Mask(mask))
            }
            Mapper::Truncate(chars) if mapper.truncates(length) => match rendering.mapped_as() {
                MappedAs::Text => Some(Self::TruncateText(*chars)),
                MappedAs::Bytes => Some(Self::TruncateBytes(*chars)),
                MappedAs::Other => None,
            },
            Mapper::Hash(_) | Mapper::Mask(_) | Mapper::Truncate(_) | Mapper::Propagate => None,
        }
    }

    /// Replaces the JSON of a value from `start` on.
    #[cold]
    pub(crate) fn apply(&self, start: usize, out: &mut Vec<u8>) {
        let value = out.get(start..).unwrap_or_default();
        match self {
            Self::Mask(mask) => {
                out.truncate(start);
                out.extend_from_slice(mask);
            }
            _ if value.first() != Some(&b'"') => {}
            Self::Hash(hash, length) => {
                let digest = hash.of(&unescaped(value));
                out.truncate(start);
                out.push(b'"');
                out.extend(digest.iter().take(*length));
                out.push(b'"');
            }
            Self::TruncateBytes(bytes) => {
                let mut value = decoded(value);
                value.truncate(*bytes);
                out.truncate(start);
                out.push(b'"');
                write_base64(&value, BASE64, out);
                out.push(b'"');
            }
            Self::TruncateText(chars) => {
                if let Some(end) = end_of(value, *chars) {
                    out.truncate(start.saturating_add(end));
                    out.push(b'"');
                }
            }
        }
    }
}

/// Where to cut a JSON string so that so many UTF-16 units of it are left. None: it is no longer.
fn end_of(string: &[u8], units: usize) -> Option<usize> {
    let end = string.len().checked_sub(1)?;
    let mut at = 1;
    let mut left = units;
    while at < end {
        let (bytes, weight) = match *string.get(at..)? {
            [b'\\', b'u', ..] => (6, 1),
            [0xf0..=0xff, ..] => (4, 2),
            [0xe0..=0xef, ..] => (3, 1),
            [b'\\' | 0xc0..=0xdf, ..] => (2, 1),
            _ => (1, 1),
        };
        let Some(rest) = left.checked_sub(weight) else {
            return Some(at);
        };
        left = rest;
        at += bytes;
    }
    None
}

/// The text of a JSON string that this crate wrote.
fn unescaped(string: &[u8]) -> String {
    let inside = string
        .strip_prefix(b"\"")
        .and_then(|rest| rest.strip_suffix(b"\""));
    let inside = String::from_utf8_lossy(inside.unwrap_or_default());
    let mut units: Vec<u16> = Vec::with_capacity(inside.len());
    let mut characters = inside.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            units.extend_from_slice(character.encode_utf16(&mut [0; 2]));
            continue;
        }
        let unit = match characters.next() {
            Some('u') => {
                let digits: String = characters.by_ref().take(4).collect();
                u16::from_str_radix(&digits, 16).unwrap_or(0xfffd)
            }
            Some('b') => 8,
            Some('f') => 12,
            Some('n') => 10,
            Some('r') => 13,
            Some('t') => 9,
            // Itself: a quotation mark, a backslash or a slash, all of them ASCII.
            Some(other) => u16::try_from(u32::from(other)).unwrap_or(0xfffd),
            None => break,
        };
        units.push(unit);
    }
    String::from_utf16_lossy(&units)
}

/// The bytes of a JSON string that this crate wrote, in base64 with padding.
fn decoded(string: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(string.len());
    let (mut bits, mut count) = (0_u32, 0);
    for byte in string {
        let sextet = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            // Quotation marks and padding.
            _ => continue,
        };
        bits = bits << 6 | u32::from(sextet);
        count += 6;
        if count >= 8 {
            count -= 8;
            let [.., low] = (bits >> count).to_be_bytes();
            bytes.push(low);
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    fn mappings(options: &[(&str, &str)]) -> Mappings {
        let mut mappings = Mappings::default();
        for (name, value) in options {
            assert!(mappings.set(name, value).unwrap(), "{name}");
        }
        mappings
    }

    fn apply(mapping: &Mapping, value: &str) -> String {
        let mut out = b"before".to_vec();
        out.extend_from_slice(value.as_bytes());
        mapping.apply(6, &mut out);
        String::from_utf8(out).unwrap().split_off(6)
    }

    #[test]
    fn the_first_rule_in_debeziums_order_counts() {
        let rules = mappings(&[
            ("column.mask.hash.v2.MD5.with.salt.a.b", "s.t.*"),
            ("datatype.propagate.source.type", "s.t.text"),
            ("column.mask.with.3.chars", "s.t.(a|b)"),
            ("column.truncate.to.2.chars", "s.t.a"),
        ]);
        let of = |column, type_name: &str| rules.of("s.t", column, || type_name.to_string());
        assert!(matches!(of("a", "int4"), Some(Mapper::Truncate(2))));
        assert!(matches!(of("b", "text"), Some(Mapper::Mask(3))));
        assert!(matches!(of("c", "text"), Some(Mapper::Propagate)));
        assert!(matches!(of("c", "varchar"), Some(Mapper::Hash(_))));
        assert!(rules.of("s.u", "a", String::new).is_none());
    }

    #[test]
    fn refused_by_name() {
        let set = |name: &str| Mappings::default().set(name, "s.t.a");
        for name in [
            "column.truncate.to.x.chars",
            "column.truncate.to.-1.chars",
            "column.truncate.to.+1.chars",
            "column.mask.with.99999999999.chars",
            "column.mask.with.2000000000.chars",
            "column.mask.hash.SHA3-256.with.salt.",
            "column.mask.hash.v2.with.salt.",
        ] {
            let salt = if name.ends_with("salt.") { "x" } else { "" };
            assert_eq!(set(&format!("{name}{salt}")).unwrap_err().name, name);
        }
        let unknown = set("column.mask.hash.CRC.with.salt.x").unwrap_err();
        assert!(unknown.to_string().contains("SHA-512/256"));
        for name in ["column.mask.hash.MD5", "column.mask.hash.MD5.with.salt."] {
            assert!(!set(name).unwrap(), "{name} is no option");
        }
    }

    #[test]
    fn text_is_cut_in_utf_16_units() {
        let cut = |units, value| apply(&Mapping::TruncateText(units), value);
        assert_eq!(cut(2, r#""abc""#), r#""ab""#);
        assert_eq!(cut(3, r#""abc""#), r#""abc""#);
        assert_eq!(cut(0, r#""abc""#), r#""""#);
        assert_eq!(cut(2, r#""\"\n\\""#), r#""\"\n""#);
        assert_eq!(cut(2, r#""\uD83D\uDE00\uD83D\uDE00""#), r#""\uD83D\uDE00""#);
        assert_eq!(cut(1, "\"日本\""), "\"日\"");
        // Where pairs are not escaped they stay whole.
        assert_eq!(cut(3, "\"😀😀\""), "\"😀\"");
        assert_eq!(cut(1, "null"), "null");
        assert_eq!(cut(1, "[\"abc\"]"), "[\"abc\"]");
    }

    #[test]
    fn bytes_are_cut_behind_base64() {
        let cut = |bytes, value| apply(&Mapping::TruncateBytes(bytes), value);
        assert_eq!(cut(2, "\"+/8A\""), "\"+/8=\"");
        assert_eq!(cut(3, "\"+/8A\""), "\"+/8A\"");
        assert_eq!(cut(9, "\"+/8AAQ==\""), "\"+/8AAQ==\"");
        assert_eq!(cut(0, "\"+/8A\""), "\"\"");
    }

    #[test]
    fn hashes_are_of_the_text_and_cut_to_the_column() {
        let hash = |salt| Hash::new("MD5", salt, HashVersion::V2).unwrap();
        let of = |length, value| apply(&Mapping::Hash(hash(""), length), value);
        assert_eq!(
            of(usize::MAX, r#""a""#),
            "\"0cc175b9c0f1b6a831c399e269772661\""
        );
        assert_eq!(of(5, r#""a""#), "\"0cc17\"");
        assert_eq!(of(5, "null"), "null");
        assert_eq!(
            of(40, r#""\"\\\t\u0001é\uD83D\uDE00""#),
            of(40, "\"\\\"\\\\\\t\\u0001é😀\"")
        );
        assert_eq!(
            unescaped(br#""\"\\\t\u0001\uD83D\uDE00\b\f\n\r""#),
            "\"\\\t\u{1}😀\u{8}\u{c}\n\r"
        );
        let salted = apply(&Mapping::Hash(hash("a"), 40), r#""""#);
        assert_eq!(salted, of(40, r#""a""#));
    }

    #[test]
    fn masks_cover_null_too() {
        let mask = Mapping::Mask(b"\"***\"".to_vec());
        assert_eq!(apply(&mask, "null"), "\"***\"");
        assert_eq!(apply(&mask, "\"x\""), "\"***\"");
    }
}
