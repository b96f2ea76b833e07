//! Types by what becomes of their values: one of each kind that the decoder writes in its own way.

use std::fmt;

use super::{
    BOOL, COMPOSITE, Form, INT4, INT8, JSONB, NUMERIC, PRECISION_10_SCALE_2, TEXT, TEXT_ARRAY,
    TIMESTAMP, TIMESTAMPTZ, Value,
};

const BYTEA: u32 = 17;
const FLOAT8: u32 = 701;
const INT4_ARRAY: u32 = 1007;
const DATE: u32 = 1082;
const TIME: u32 = 1083;
const INTERVAL: u32 = 1186;
const UUID: u32 = 2950;
/// 2026-11-01, in days since 2000-01-01.
const NOVEMBER: u32 = 9_801;
const DAY_US: u64 = 86_400_000_000;

/// A type, and values of it.
pub(crate) struct Family {
    pub(crate) name: &'static str,
    pub(super) type_oid: u32,
    pub(super) typmod: i32,
    text: fn(u32) -> String,
    /// None: its binary form is its text.
    binary: Option<fn(u32) -> Vec<u8>>,
}

impl Family {
    const fn new(
        name: &'static str,
        type_oid: u32,
        text: fn(u32) -> String,
        binary: Option<fn(u32) -> Vec<u8>>,
    ) -> Self {
        Self {
            name,
            type_oid,
            typmod: if type_oid == NUMERIC {
                PRECISION_10_SCALE_2
            } else {
                -1
            },
            text,
            binary,
        }
    }

    /// Whether its two forms differ.
    pub(crate) fn has_binary(&self) -> bool {
        self.binary.is_some()
    }

    pub(super) fn value(&self, n: u32, form: Form) -> Value {
        match (form, self.binary) {
            (Form::Text, _) => Value::Text((self.text)(n)),
            (Form::Binary, Some(binary)) => Value::Binary(binary(n)),
            (Form::Binary, None) => Value::Binary((self.text)(n).into_bytes()),
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// All of them; a group's are measured together where each for itself would be too much.
pub(crate) static GROUPS: &[(&str, &[Family])] = &[
    (
        "numbers",
        &[
            Family::new(
                "int4",
                INT4,
                |n| int4(n).to_string(),
                Some(|n| int4(n).to_be_bytes().into()),
            ),
            Family::new(
                "int8",
                INT8,
                |n| int8(n).to_string(),
                Some(|n| int8(n).to_be_bytes().into()),
            ),
            Family::new(
                "bool",
                BOOL,
                |n| if n % 2 == 0 { "t" } else { "f" }.to_owned(),
                Some(|n| vec![u8::from(n % 2 == 0)]),
            ),
            Family::new("numeric", NUMERIC, numeric, Some(numeric_binary)),
            Family::new(
                "float8",
                FLOAT8,
                |n| float8(n).to_string(),
                Some(|n| float8(n).to_be_bytes().into()),
            ),
        ],
    ),
    (
        "strings",
        &[
            Family::new("text, plain", TEXT, plain, None),
            Family::new(
                "text, escaped",
                TEXT,
                |n| format!("note {n}:\t\"leave it\"\nat the \\door\\ \u{1}"),
                None,
            ),
            Family::new("uuid", UUID, uuid, Some(|n| uuid_bytes(n).to_vec())),
            Family::new(
                "jsonb",
                JSONB,
                jsonb,
                Some(|n| [b"\x01", jsonb(n).as_bytes()].concat()),
            ),
            Family::new(
                "bytea",
                BYTEA,
                |n| format!("\\x{}", hex(&bytea(n))),
                Some(|n| bytea(n).to_vec()),
            ),
        ],
    ),
    (
        "times",
        &[
            Family::new("date", DATE, date, Some(|n| days(n).to_be_bytes().into())),
            Family::new(
                "time",
                TIME,
                time,
                Some(|n| of_day_us(n).to_be_bytes().into()),
            ),
            Family::new(
                "timestamp",
                TIMESTAMP,
                |n| format!("{} {}", date(n), time(n)),
                Some(timestamp_binary),
            ),
            Family::new(
                "timestamptz",
                TIMESTAMPTZ,
                |n| format!("{} {}+00", date(n), time(n)),
                Some(timestamp_binary),
            ),
            Family::new(
                "interval",
                INTERVAL,
                |n| format!("1 year 2 mons {} days {}", n % 28, time(n)),
                Some(|n| {
                    let months = 14_u32.to_be_bytes();
                    [
                        &of_day_us(n).to_be_bytes()[..],
                        &(n % 28).to_be_bytes(),
                        &months,
                    ]
                    .concat()
                }),
            ),
        ],
    ),
    (
        "nested",
        &[
            Family::new(
                "int4[]",
                INT4_ARRAY,
                |n| format!("{{{},{},{}}}", int4(n), n, n + 1),
                Some(|n| {
                    let elements = [int4(n), n, n + 1].map(|element| element.to_be_bytes().into());
                    array(INT4, &elements)
                }),
            ),
            Family::new(
                "text[]",
                TEXT_ARRAY,
                |n| format!("{{new,sale,\"batch {n}\"}}"),
                Some(|n| {
                    let batch = format!("batch {n}").into_bytes();
                    array(TEXT, &[b"new".to_vec(), b"sale".to_vec(), batch])
                }),
            ),
            Family::new(
                "composite",
                COMPOSITE,
                |n| format!("({n},\"{}\")", plain(n)),
                Some(|n| {
                    let parts = [
                        (INT4, n.to_be_bytes().into()),
                        (TEXT, plain(n).into_bytes()),
                    ];
                    let mut bytes = 2_u32.to_be_bytes().to_vec();
                    for (type_oid, part) in parts {
                        bytes.extend(type_oid.to_be_bytes());
                        bytes.extend(sized(&part));
                    }
                    bytes
                }),
            ),
        ],
    ),
];

fn int4(n: u32) -> u32 {
    n.wrapping_mul(7_919_993) % 2_000_000_000
}

fn int8(n: u32) -> u64 {
    u64::from(n) * 10_000_000_033
}

fn float8(n: u32) -> f64 {
    f64::from(n + 1) / 3.0
}

/// Both parts from 1 on: neither of the binary form's two digits is zero, which would be left out.
fn numeric_parts(n: u32) -> (u16, u16) {
    let part = |of: u32| u16::try_from(n % of + 1).unwrap();
    (part(9_999), part(99))
}

fn numeric(n: u32) -> String {
    let (whole, hundredths) = numeric_parts(n);
    format!("{whole}.{hundredths:02}")
}

/// Two digits to base 10,000, the first of weight 0; positive, of scale 2.
fn numeric_binary(n: u32) -> Vec<u8> {
    let (whole, hundredths) = numeric_parts(n);
    let words = [2, 0, 0, 2, whole, hundredths * 100];
    words.map(u16::to_be_bytes).concat()
}

fn plain(n: u32) -> String {
    format!("note {n}: leave it at the door")
}

fn jsonb(n: u32) -> String {
    format!(
        "{{\"size\": {}, \"colour\": \"blue\", \"sold\": false}}",
        n % 50
    )
}

fn bytea(n: u32) -> [u8; 16] {
    u128::from(n)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
        .to_be_bytes()
}

fn uuid_bytes(n: u32) -> [u8; 16] {
    bytea(n)
}

fn uuid(n: u32) -> String {
    let digits = hex(&uuid_bytes(n));
    let (first, rest) = digits.split_at(8);
    let parts = [0, 4, 8].map(|start| &rest[start..start + 4]);
    format!("{first}-{}-{}", parts.join("-"), &rest[12..])
}

fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap();
    let digits = bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]);
    digits.collect()
}

fn date(n: u32) -> String {
    format!("2026-11-{:02}", n % 30 + 1)
}

fn days(n: u32) -> u32 {
    NOVEMBER + n % 30
}

fn of_day_us(n: u32) -> u64 {
    u64::from(n).wrapping_mul(12_345_678_901) % DAY_US
}

/// Without zeros at the end, as the server writes it.
fn time(n: u32) -> String {
    let us = of_day_us(n);
    let seconds = us / 1_000_000;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let whole = format!("{hours:02}:{minutes:02}:{:02}", seconds % 60);
    let fraction = format!(".{:06}", us % 1_000_000);
    whole + fraction.trim_end_matches('0').trim_end_matches('.')
}

fn timestamp_binary(n: u32) -> Vec<u8> {
    (u64::from(days(n)) * DAY_US + of_day_us(n))
        .to_be_bytes()
        .into()
}

/// Of one dimension, from 1 on, without NULLs.
fn array(type_oid: u32, elements: &[Vec<u8>]) -> Vec<u8> {
    let length = u32::try_from(elements.len()).unwrap();
    let head = [1, 0, type_oid, length, 1].map(u32::to_be_bytes).concat();
    let elements = elements.iter().map(|element| sized(element));
    [head]
        .into_iter()
        .chain(elements)
        .collect::<Vec<_>>()
        .concat()
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}
