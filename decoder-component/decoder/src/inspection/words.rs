//! Fields in words for people.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::memory::{Memory, Oid};
use super::walk::{Meaning, Value, message_name};
use crate::limits::INSPECTED_CHARS_MAX;
use crate::lsn::Lsn;
use crate::value::builtin;
use crate::value::wire::bytes::Bytes;
use crate::value::wire::temporal::write_timestamp;

pub(super) fn value(meaning: &Meaning<'_>, memory: &Memory) -> String {
    match *meaning {
        Meaning::Content(bytes) | Meaning::Text(bytes) => shown(bytes),
        Meaning::Flags(flags, known) => in_words(flags, known),
        Meaning::Lsn(lsn) => Lsn(lsn).to_string(),
        Meaning::MessageType(kind) => message_name(kind).unwrap_or_default().into(),
        Meaning::Number(number) => number.to_string(),
        Meaning::Relation(oid) => named(oid, memory.name(Oid::Relation(oid))),
        Meaning::Time(us) => time(us),
        Meaning::Type(oid) => type_name(oid, memory),
        Meaning::Value(Value { bytes, binary, .. }) => {
            if binary {
                hexadecimal(bytes)
            } else {
                shown(bytes)
            }
        }
        Meaning::Word(word) => word.into(),
    }
}

/// Text, of which too much is left out. What is no UTF-8 is shown as �.
pub(super) fn shown(text: &[u8]) -> String {
    // More characters than are shown: it does not matter if the last one is cut.
    let head = text.get(..4 * (INSPECTED_CHARS_MAX + 1)).unwrap_or(text);
    cut(&String::from_utf8_lossy(head))
}

fn hexadecimal(bytes: &[u8]) -> String {
    let digit = |nibble| char::from_digit(u32::from(nibble), 16).unwrap_or_default();
    let digits: String = bytes
        .iter()
        .take(INSPECTED_CHARS_MAX)
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect();
    cut(&digits)
}

fn cut(text: &str) -> String {
    if text.chars().nth(INSPECTED_CHARS_MAX).is_none() {
        return text.into();
    }
    let mut short: String = text.chars().take(INSPECTED_CHARS_MAX - 1).collect();
    short.push('…');
    short
}

fn in_words(flags: u8, known: &[(u8, &str)]) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut left = flags;
    for (flag, word) in known {
        if left & flag != 0 {
            left &= !flag;
            words.push((*word).into());
        }
    }
    if left != 0 {
        words.push(format!("0x{left:02x}"));
    }
    if words.is_empty() {
        return "none".into();
    }
    words.join(", ")
}

/// In ISO 8601; before Christ as PostgreSQL has it.
fn time(us: i64) -> String {
    let mut text = Vec::new();
    let written = write_timestamp(&mut Bytes::new(&us.to_be_bytes()), false, &mut text);
    debug_assert!(written.is_some(), "every number is a time");
    let mut text = String::from_utf8(text).unwrap_or_default();
    if !text.ends_with("infinity") {
        text = text.replacen(' ', "T", 1);
        text.push('Z');
    }
    text
}

fn type_name(oid: u32, memory: &Memory) -> String {
    if let Some(element) = builtin::element_of(oid).and_then(builtin::name_of) {
        return format!("{oid} {element}[]");
    }
    let built_in = builtin::name_of(oid);
    named(oid, built_in.or_else(|| memory.name(Oid::Type(oid))))
}

fn named(oid: u32, name: Option<&str>) -> String {
    match name {
        Some(name) => format!("{oid} {name}"),
        None => oid.to_string(),
    }
}
