//! Send formats next to what PostgreSQL 18 prints for the same values, and parts within parts.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::*;
use crate::facts::{Attribute, TypeFacts, TypeKind};
use crate::options::Options;
use crate::value::Rendering;

const MOOD: u32 = 20_001;
const PRICE: u32 = 20_002;
const ADDRESS: u32 = 20_003;
const ADDRESSES: u32 = 20_004;
const ADDRESS_RANGE: u32 = 20_005;
const HSTORE: u32 = 20_006;
const LTREE: u32 = 20_007;
const UNHEARD_OF: u32 = 29_999;

fn types() -> Types {
    let facts = |oid, name: &str, kind| TypeFacts {
        oid,
        namespace: "public".to_string(),
        name: name.to_string(),
        kind,
        element: 0,
        delimiter: ',',
        base: 0,
        base_typmod: -1,
        subtype: 0,
        labels: Vec::new(),
        attributes: Vec::new(),
    };
    let attribute = |type_oid| Attribute {
        name: "a".to_string(),
        type_oid,
        typmod: -1,
    };
    let mut types = Types::default();
    for facts in [
        facts(MOOD, "mood", TypeKind::Enumeration),
        TypeFacts {
            base: 1700,
            ..facts(PRICE, "price", TypeKind::Domain)
        },
        TypeFacts {
            attributes: [attribute(25), attribute(MOOD), attribute(PRICE)].into(),
            ..facts(ADDRESS, "address", TypeKind::Composite)
        },
        TypeFacts {
            element: ADDRESS,
            ..facts(ADDRESSES, "_address", TypeKind::Base)
        },
        TypeFacts {
            subtype: ADDRESS,
            ..facts(ADDRESS_RANGE, "address_range", TypeKind::Range)
        },
        facts(HSTORE, "hstore", TypeKind::Base),
        facts(LTREE, "ltree", TypeKind::Base),
    ] {
        types.learn(facts);
    }
    types
}

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |digit: u8| u8::try_from(char::from(digit).to_digit(16).unwrap()).unwrap();
    let (pairs, _) = hex.as_bytes().as_chunks::<2>();
    pairs
        .iter()
        .map(|[high, low]| digit(*high) << 4 | digit(*low))
        .collect()
}

fn text(type_oid: u32, value: &[u8]) -> Option<String> {
    let wire = Wire::resolve(type_oid, &types());
    let mut out = b"before".to_vec();
    wire.text(wire.kind, value, Place::root(&out, value), &mut out)?;
    Some(String::from_utf8(out[b"before".len()..].to_vec()).unwrap())
}

fn sized(value: &[u8]) -> Vec<u8> {
    let mut sized = u32::try_from(value.len()).unwrap().to_be_bytes().to_vec();
    sized.extend_from_slice(value);
    sized
}

fn composite(attributes: &[(u32, Option<&[u8]>)]) -> Vec<u8> {
    let mut value = u32::try_from(attributes.len())
        .unwrap()
        .to_be_bytes()
        .to_vec();
    for (type_oid, attribute) in attributes {
        value.extend_from_slice(&type_oid.to_be_bytes());
        match attribute {
            Some(attribute) => value.extend_from_slice(&sized(attribute)),
            None => value.extend_from_slice(&(-1_i32).to_be_bytes()),
        }
    }
    value
}

fn address() -> Vec<u8> {
    let price = bytes("000200000000000200011388");
    composite(&[
        (25, Some(b"a \"b\"\\,(c)")),
        (MOOD, Some(b"ok")),
        (PRICE, Some(&price)),
        (23, None),
    ])
}

#[test]
fn what_the_server_prints() {
    for (type_oid, hex, expected) in SAMPLES {
        let written = text(*type_oid, &bytes(hex));
        assert_eq!(written.as_deref(), Some(*expected), "{type_oid} {hex}");
    }
}

#[test]
fn parts_of_parts() {
    let address = address();
    let plain = r#"("a ""b""\\,(c)",ok,1.50,)"#;
    assert_eq!(text(ADDRESS, &address).as_deref(), Some(plain));
    let mut array = bytes("0000000100000001");
    array.extend_from_slice(&ADDRESS.to_be_bytes());
    array.extend_from_slice(&bytes("0000000200000001"));
    array.extend_from_slice(&sized(&address));
    array.extend_from_slice(&bytes("ffffffff"));
    let in_array = r#"{"(\"a \"\"b\"\"\\\\,(c)\",ok,1.50,)",NULL}"#;
    assert_eq!(text(ADDRESSES, &array).as_deref(), Some(in_array));
    let mut range = bytes("12");
    range.extend_from_slice(&sized(&address));
    let in_range = r#"["(""a """"b""""\\\\,(c)"",ok,1.50,)",)"#;
    assert_eq!(text(ADDRESS_RANGE, &range).as_deref(), Some(in_range));
    let hstore = bytes("00000002000000016100000001220000000162ffffffff");
    let pairs = r#""a"=>"\"", "b"=>NULL"#;
    assert_eq!(text(HSTORE, &hstore).as_deref(), Some(pairs));
    assert_eq!(text(LTREE, b"\x01a.b").as_deref(), Some("a.b"));
    assert_eq!(text(LTREE, b"\x02a.b"), None);
}

#[test]
fn values_of_types_that_are_gone() {
    assert_eq!(text(UNHEARD_OF, b"sad").as_deref(), Some("sad"));
    assert_eq!(text(UNHEARD_OF, b"\0\x01").as_deref(), Some("\\x0001"));
}

#[test]
fn damage_is_an_error_or_another_value() {
    let mut samples: Vec<(u32, Vec<u8>)> = SAMPLES
        .iter()
        .map(|(type_oid, hex, _)| (*type_oid, bytes(hex)))
        .collect();
    samples.push((ADDRESS, address()));
    for (type_oid, value) in samples {
        // Text may have any length.
        let any_length = matches!(type_oid, 17 | 19 | 25 | 114 | 3802 | 4072);
        for end in 0..value.len() {
            let cut = text_or_bytes(type_oid, &value[..end]);
            assert!(cut.is_none() || any_length, "{type_oid}, first {end} bytes");
        }
        let mut longer = value.clone();
        longer.push(0);
        assert!(
            text_or_bytes(type_oid, &longer).is_none() || any_length,
            "{type_oid}"
        );
        for at in 0..value.len() {
            for bit in 0..8 {
                let mut damaged = value.clone();
                damaged[at] ^= 1 << bit;
                text_or_bytes(type_oid, &damaged);
            }
        }
    }
}

fn text_or_bytes(type_oid: u32, value: &[u8]) -> Option<Vec<u8>> {
    let wire = Wire::resolve(type_oid, &types());
    let mut out = Vec::new();
    wire.text(wire.kind, value, Place::root(&out, value), &mut out)
        .map(|()| out)
}

#[test]
fn numbers_do_not_begin_with_zeros() {
    assert_eq!(text(1700, &bytes("00020001000000000000000c")), None);
    assert_eq!(text(1700, &bytes("0000000100000000")), None);
    assert_eq!(
        text(1700, &bytes("00010000000000000000")).as_deref(),
        Some("0")
    );
}

#[test]
fn depth_and_growth_have_bounds() {
    let nested = |depth| {
        let mut value = b"x".to_vec();
        let mut type_oid = 25;
        for _ in 0..depth {
            value = composite(&[(type_oid, Some(&value))]);
            type_oid = ADDRESS;
        }
        value
    };
    // Quotes are doubled at each level.
    assert!(text(ADDRESS, &nested(15)).is_some());
    for depth in [30, 60, 1000] {
        assert_eq!(text(ADDRESS, &nested(depth)), None);
    }
}

#[test]
fn both_forms_give_the_same_json() {
    for format in ["debezium", "native"] {
        let pairs = [("format", format), ("include.unknown.datatypes", "true")];
        let options = Options::parse(pairs).unwrap();
        for (type_oid, hex, text) in SAMPLES {
            let Some(rendering) = Rendering::resolve(*type_oid, -1, &types(), &options) else {
                continue;
            };
            let (mut from_text, mut from_binary) = (Vec::new(), Vec::new());
            let of_text = rendering.write_text(text.as_bytes(), &mut from_text);
            let of_binary = rendering.write_binary(&bytes(hex), &mut from_binary);
            assert_eq!(
                (of_text, from_text),
                (of_binary, from_binary),
                "{type_oid} {text}"
            );
        }
    }
}

/// Type, send format in hexadecimal digits, text.
#[rustfmt::skip]
const SAMPLES: &[(u32, &str, &str)] = &[
    (16, "01", "t"),
    (21, "8000", "-32768"),
    (23, "80000000", "-2147483648"),
    (20, "8000000000000000", "-9223372036854775808"),
    (26, "ffffffff", "4294967295"),
    (28, "ffffffff", "4294967295"),
    (5069, "ffffffffffffffff", "18446744073709551615"),
    (27, "ffffffffffff", "(4294967295,65535)"),
    (3220, "ffffffff00000000", "FFFFFFFF/0"),
    (3220, "00000000016b3748", "0/16B3748"),
    (18, "ff", r"\377"),
    (18, "00", ""),
    (19, "6e", "n"),
    (25, "6122c3bc", r#"a"ü"#),
    (17, "00ff", r"\x00ff"),
    (1562, "00000009aa80", "101010101"),
    (1562, "00000000", ""),
    (790, "8000000000000000", "-$92,233,720,368,547,758.08"),
    (790, "fffffffffffffffb", "-$0.05"),
    (790, "00000000075bcd15", "$1,234,567.89"),
    (1700, "0000000000000002", "0.00"),
    (1700, "0003000140000006000109291a85", "-12345.678900"),
    (1700, "00010001000000000001", "10000"),
    (1700, "0001fffe000000080001", "0.00000001"),
    (1700, "0003fffe0000000d0001000003e8", "0.0000000100001"),
    (1700, "00000000c0000000", "NaN"),
    (1700, "00000000f0000020", "-Infinity"),
    (1700, "000400020000000100010000000003e8", "100000000.1"),
    (2950, "123e4567e89b12d3a456426614174fff", "123e4567-e89b-12d3-a456-426614174fff"),
    (114, "7b226122203a20317d", r#"{"a" : 1}"#),
    (3802, "017b2261223a20317d", r#"{"a": 1}"#),
    (4072, "0173747269637420242e226122", r#"strict $."a""#),
    (701, "44b52d02c7e14af6", "9.999999999999999e+22"),
    (701, "8000000000000000", "-0"),
    (701, "7ff8000000000000", "NaN"),
    (700, "3727c5ac", "1e-05"),
    (1082, "fff49d7b", "0044-03-15 BC"),
    (1082, "7fffffff", "infinity"),
    (1082, "7fda970c", "5874897-12-31"),
    (1083, "000000141dd76000", "24:00:00"),
    (1083, "00000000dde916f4", "01:02:03.0405"),
    (1266, "00000000dde878c000004d59", "01:02:03-05:30:01"),
    (1114, "7fffff5bb3b29fff", "294276-12-31 23:59:59.999999"),
    (1114, "fd0f7fbdaf1f8120", "4713-01-01 00:00:00.5 BC"),
    (1184, "ff1af9e6778be400", "0044-03-15 09:00:00+00 BC"),
    (1184, "8000000000000000", "-infinity"),
    (1186, "00000000000000000000000000000000", "00:00:00"),
    (1186, "000000036c966ee0fffffffdfffffff6", "-10 mons -3 days +04:05:06.7"),
    (1186, "ffffffffffffffff0000000100000000", "1 day -00:00:00.000001"),
    (1186, "80000000000000010000000000000000", "-2562047788:00:54.775807"),
    (1186, "7fffffffffffffff7fffffff7fffffff", "infinity"),
    (869, "0218000401020304", "1.2.3.4/24"),
    (869, "0380001000000000000000000000ffff01020304", "::ffff:1.2.3.4"),
    (869, "0340001000010000000000000000000000000002", "1::2/64"),
    (869, "0380001000000000000000000000000000000000", "::"),
    (869, "0380001000010000000000020000000000000003", "1:0:0:2::3"),
    (650, "020801040a000000", "10.0.0.0/8"),
    (650, "0380011000000000000000000000000000000001", "::1/128"),
    (829, "08002b01020f", "08:00:2b:01:02:0f"),
    (774, "08002b0102030405", "08:00:2b:01:02:03:04:05"),
    (600, "3ff8000000000000fe37e43c8800759c", "(1.5,-1e+300)"),
    (601, "000000000000000000000000000000003ff00000000000004000000000000000", "[(0,0),(1,2)]"),
    (602, "0000000002000000000000000000000000000000003ff00000000000004000000000000000",
      "[(0,0),(1,2)]"),
    (602, "0100000002000000000000000000000000000000003ff00000000000004000000000000000",
      "((0,0),(1,2))"),
    (603, "3ff0000000000000400000000000000000000000000000000000000000000000", "(1,2),(0,0)"),
    (604, "00000002000000000000000000000000000000003ff00000000000004000000000000000",
      "((0,0),(1,2))"),
    (628, "3ff0000000000000bff00000000000003fe0000000000000", "{1,-1,0.5}"),
    (718, "3ff00000000000004000000000000000400c000000000000", "<(1,2),3.5>"),
    (3614, "00000002626300000069742773000004c001800240030004", "'bc' 'it''s':1A,2B,3C,4"),
    (3614, "00000000", ""),
    (3614, "00000001625c63000000", r"'b\\c'"),
    (3615, "0000000a020202010204000102040003010000697427730001000064000100006300020301090162\
      000100006100",
      "( 'a' | 'b':*AD ) & !( 'c' <-> ( 'd' <3> 'it''s' ) )"),
    (3615, "00000000", ""),
    (3615, "0000000502030203010000630001000062000100006100", "'a' | 'b' | 'c'"),
    (5038, "00000003000000000000000a0000000000000014000000000000000a000000000000000e00000000\
      0000000f",
      "10:20:10,14,15"),
    (22, "000000010000000000000015000000030000000000000002000100000002000200000002fffd", "1 2 -3"),
    (30, "00000001000000000000001a0000000000000000", ""),
    (3904, "0200000004000000010000000400000005", "[1,5)"),
    (3906, "0c0000000c000200000000000200011388", "(,1.50]"),
    (3908, "120000000800023e0786c26000", r#"["2020-01-01 00:00:00",)"#),
    (3912, "01", "empty"),
    (4451, "00000002000000110200000004000000010000000400000002000000110200000004000000050000\
      000400000007",
      "{[1,2),[5,7)}"),
    (4535, "00000000", "{}"),
    (1007, "000000000000000000000017", "{}"),
    (1007, "00000002000000010000001700000002ffffffff0000000200000005000000040000000100000004\
      000000020000000400000003ffffffff",
      "[-1:0][5:6]={{1,2},{3,NULL}}"),
    (1009, "000000010000000100000019000000080000000100000001610000000362206300000003632c6400\
      00000365226600000003675c68ffffffff000000044e554c4c00000000",
      r#"{a,"b c","c,d","e\"f","g\\h",NULL,"NULL",""}"#),
    (1020, "00000001000000000000025b00000002000000010000002040080000000000004010000000000000\
      3ff0000000000000400000000000000000000020401c000000000000402000000000000040140000\
      000000004018000000000000",
      "{(3,4),(1,2);(7,8),(5,6)}"),
    (3905, "000000010000000000000f4000000002000000010000001102000000040000000100000004000000\
      020000000101",
      r#"{"[1,2)",empty}"#),
];
