//! What stands for a TOASTed value that did not change and was not sent.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use super::Types;
use super::array::ArrayStyle;
use super::builtin as oid;
use super::hstore::HstoreStyle;
use super::temporal::DateStyle;
use super::writer::Writer;
use crate::json::{Escape, write_binary, write_string};
use crate::options::{BinaryMode, Format, Options, TimeMode};

/// JSON for such a value of a column of this type. Debezium has a rule for each of a few types,
/// none for domains over them, and null for what it forgot.
pub(super) fn unavailable(
    writer: &Writer,
    sent_oid: u32,
    types: &Types,
    options: &Options,
) -> Vec<u8> {
    let bytes = options.unavailable.as_slice();
    let mut out = Vec::new();
    if options.format == Format::Native {
        string(bytes, Escape::Minimal, &mut out);
        return out;
    }
    let escape = Escape::Surrogates;
    match writer {
        Writer::Text(_)
        | Writer::Enumeration(_)
        | Writer::Json(_)
        | Writer::Uuid(_)
        | Writer::DecimalString(_)
        | Writer::Money(super::numeric::MoneyStyle::String(_)) => string(bytes, escape, &mut out),
        Writer::Bytea(mode) | Writer::UnknownBytes { mode, .. } => match mode {
            BinaryMode::Bytes => write_binary(bytes, *mode, &mut out),
            BinaryMode::Hex => string(bytes, escape, &mut out),
            BinaryMode::Base64 | BinaryMode::Base64UrlSafe => out.extend_from_slice(b"null"),
        },
        Writer::Hstore(HstoreStyle::JavaJson, _) if types.is_domain(sent_oid) => {
            string(bytes, escape, &mut out);
        }
        Writer::Hstore(HstoreStyle::JavaJson, _) => {
            let mut object = Vec::new();
            pair(bytes, Escape::Minimal, &mut object);
            string(&object, escape, &mut out);
        }
        Writer::Hstore(..) if !types.is_domain(sent_oid) => pair(bytes, escape, &mut out),
        Writer::Array(array) if !matches!(array.style, ArrayStyle::Nested(_)) => {
            let element = types.element(sent_oid).unwrap_or(0);
            elements(element, &array.element, options, &mut out);
        }
        _ => out.extend_from_slice(b"null"),
    }
    out
}

fn elements(type_oid: u32, element: &Writer, options: &Options, out: &mut Vec<u8>) {
    let (bytes, time) = (options.unavailable.as_slice(), options.time);
    match (type_oid, element) {
        (oid::BPCHAR | oid::JSON | oid::JSONB | oid::TEXT | oid::VARCHAR, _) => {
            out.push(b'[');
            string(bytes, Escape::Surrogates, out);
            out.push(b']');
        }
        (oid::UUID, _) => {
            out.push(b'[');
            string(&name_uuid(bytes), Escape::Surrogates, out);
            out.push(b']');
        }
        (oid::BYTEA, Writer::Bytea(BinaryMode::Bytes)) => {
            out.push(b'[');
            write_binary(bytes, BinaryMode::Bytes, out);
            out.push(b']');
        }
        // A date of Kafka Connect's is none of Debezium's numbers.
        (oid::DATE, _) if time == TimeMode::Connect => out.extend_from_slice(b"null"),
        (oid::INT4 | oid::INT8, _) | (oid::DATE, Writer::Date(DateStyle::Days { .. })) => {
            out.push(b'[');
            for (index, byte) in bytes.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                // Java's bytes have a sign.
                let number = i8::from_ne_bytes([*byte]);
                out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
            }
            out.push(b']');
        }
        _ => out.extend_from_slice(b"null"),
    }
}

/// Writes bytes that need not be UTF-8 as Java's `new String(bytes)` shows them.
fn string(bytes: &[u8], escape: Escape, out: &mut Vec<u8>) {
    let text: Cow<'_, str> = String::from_utf8_lossy(bytes);
    let written = write_string(text.as_bytes(), escape, out);
    debug_assert!(written.is_ok(), "a str is UTF-8");
}

fn pair(bytes: &[u8], escape: Escape, out: &mut Vec<u8>) {
    out.push(b'{');
    string(bytes, escape, out);
    out.push(b':');
    string(bytes, escape, out);
    out.push(b'}');
}

/// `java.util.UUID.nameUUIDFromBytes`: version 3.
fn name_uuid(name: &[u8]) -> Vec<u8> {
    let mut digest = md5(name);
    let [_, _, _, _, _, _, version, _, variant, ..] = &mut digest;
    *version = *version & 0x0F | 0x30;
    *variant = *variant & 0x3F | 0x80;
    let mut text = Vec::with_capacity(38);
    write_binary(&digest, BinaryMode::Hex, &mut text);
    text.retain(|&byte| byte != b'"');
    for hyphen in [8, 13, 18, 23] {
        text.insert(hyphen, b'-');
    }
    text
}

/// RFC 1321.
#[expect(clippy::many_single_char_names, reason = "the RFC's own names")]
fn md5(message: &[u8]) -> [u8; 16] {
    let mut padded = message.to_vec();
    padded.push(0x80);
    while padded.len() % 64 != 56 {
        padded.push(0);
    }
    let bits = u64::try_from(message.len())
        .unwrap_or_default()
        .wrapping_mul(8);
    padded.extend_from_slice(&bits.to_le_bytes());
    let mut state = [0x6745_2301_u32, 0xEFCD_AB89, 0x98BA_DCFE, 0x1032_5476];
    let (blocks, _) = padded.as_chunks::<64>();
    for block in blocks {
        let (words, _) = block.as_chunks::<4>();
        let [mut a, mut b, mut c, mut d] = state;
        for (round, (constant, shift)) in MD5_CONSTANTS.iter().zip(md5_shifts()).enumerate() {
            let (mixed, word) = match round / 16 {
                0 => (b & c | !b & d, round),
                1 => (d & b | !d & c, 5 * round + 1),
                2 => (b ^ c ^ d, 3 * round + 5),
                _ => (c ^ (b | !d), 7 * round),
            };
            let word = words.get(word % 16).copied().map_or(0, u32::from_le_bytes);
            let sum = a
                .wrapping_add(mixed)
                .wrapping_add(*constant)
                .wrapping_add(word);
            (a, d, c, b) = (d, c, b, b.wrapping_add(sum.rotate_left(shift)));
        }
        let [w, x, y, z] = &mut state;
        for (total, part) in [(w, a), (x, b), (y, c), (z, d)] {
            *total = total.wrapping_add(part);
        }
    }
    let mut digest = [0; 16];
    let (places, _) = digest.as_chunks_mut::<4>();
    for (place, word) in places.iter_mut().zip(state) {
        *place = word.to_le_bytes();
    }
    digest
}

fn md5_shifts() -> impl Iterator<Item = u32> {
    [
        [7, 12, 17, 22],
        [5, 9, 14, 20],
        [4, 11, 16, 23],
        [6, 10, 15, 21],
    ]
    .into_iter()
    .flat_map(|shifts| shifts.into_iter().cycle().take(16))
}

#[rustfmt::skip]
const MD5_CONSTANTS: [u32; 64] = [
    0xD76A_A478, 0xE8C7_B756, 0x2420_70DB, 0xC1BD_CEEE,
    0xF57C_0FAF, 0x4787_C62A, 0xA830_4613, 0xFD46_9501,
    0x6980_98D8, 0x8B44_F7AF, 0xFFFF_5BB1, 0x895C_D7BE,
    0x6B90_1122, 0xFD98_7193, 0xA679_438E, 0x49B4_0821,
    0xF61E_2562, 0xC040_B340, 0x265E_5A51, 0xE9B6_C7AA,
    0xD62F_105D, 0x0244_1453, 0xD8A1_E681, 0xE7D3_FBC8,
    0x21E1_CDE6, 0xC337_07D6, 0xF4D5_0D87, 0x455A_14ED,
    0xA9E3_E905, 0xFCEF_A3F8, 0x676F_02D9, 0x8D2A_4C8A,
    0xFFFA_3942, 0x8771_F681, 0x6D9D_6122, 0xFDE5_380C,
    0xA4BE_EA44, 0x4BDE_CFA9, 0xF6BB_4B60, 0xBEBF_BC70,
    0x289B_7EC6, 0xEAA1_27FA, 0xD4EF_3085, 0x0488_1D05,
    0xD9D4_D039, 0xE6DB_99E5, 0x1FA2_7CF8, 0xC4AC_5665,
    0xF429_2244, 0x432A_FF97, 0xAB94_23A7, 0xFC93_A039,
    0x655B_59C3, 0x8F0C_CC92, 0xFFEF_F47D, 0x8584_5DD1,
    0x6FA8_7E4F, 0xFE2C_E6E0, 0xA301_4314, 0x4E08_11A1,
    0xF753_7E82, 0xBD3A_F235, 0x2AD7_D2BB, 0xEB86_D391,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn md5_of_rfc_1321() {
        for (message, expected) in [
            ("", "\"d41d8cd98f00b204e9800998ecf8427e\""),
            ("abc", "\"900150983cd24fb0d6963f7d28e17f72\""),
            (
                "12345678901234567890123456789012345678901234567890123456789012345678901234567890",
                "\"57edf4a22be3c955ac49da2e2107b67a\"",
            ),
        ] {
            let mut out = Vec::new();
            write_binary(&md5(message.as_bytes()), BinaryMode::Hex, &mut out);
            assert_eq!(out, expected.as_bytes());
        }
    }

    #[test]
    fn uuids_of_names_as_java_makes_them() {
        for (name, expected) in [
            (
                &b"__debezium_unavailable_value"[..],
                "b68a35a7-17ad-35b3-af2a-ae46edb4545a",
            ),
            (b"__gone__", "2c66fe9d-a9ee-36b9-b83a-5e4a8d39e7b2"),
            (b"\xDE\xAD\xBE\xEF", "2f249230-a8e7-32bf-a005-ccd2679259ec"),
        ] {
            assert_eq!(name_uuid(name), expected.as_bytes());
        }
    }
}
