//! What a peer, or who may create types, could make a decoder do: each of it ends at a bound.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may fail by panicking"
)]

use pgoutput_decoder::{
    Attribute, DecodeErrorKind, Decoder, Facts, Options, Stop, TypeFacts, TypeKind, limits,
};
use pgoutput_decoder_fuzz::{Cell, Column, Message};

const RELATION: u32 = 16_400;

fn begin() -> Vec<u8> {
    Message::new(b'B').u64(0x200).i64(0).u32(7).frame(0x100)
}

fn relation(type_oid: u32) -> Vec<u8> {
    let column = Column {
        in_identity: true,
        name: "c".to_owned(),
        type_oid,
        typmod: -1,
    };
    let message = Message::new(b'R').u32(RELATION);
    message.columns("t", &[column]).frame(0)
}

fn insert(cell: Cell) -> Vec<u8> {
    let message = Message::new(b'I').u32(RELATION);
    message.tuple(b'N', &[cell]).frame(0x101)
}

fn type_facts(oid: u32, kind: TypeKind) -> TypeFacts {
    TypeFacts {
        oid,
        namespace: "public".to_owned(),
        name: "t".to_owned(),
        kind,
        element: 0,
        delimiter: ',',
        base: 0,
        base_typmod: -1,
        subtype: 0,
        labels: Vec::new(),
        attributes: Vec::new(),
    }
}

/// Records, how many calls they took, and what was refused.
fn decoded(
    format: &str,
    types: &[TypeFacts],
    frames: &[u8],
) -> (Vec<u8>, u32, Option<DecodeErrorKind>) {
    let mut decoder = Decoder::new(Options::parse([("format", format)]).unwrap());
    let (mut records, mut calls) = (Vec::new(), 0);
    let mut rest = frames;
    while !rest.is_empty() {
        calls += 1;
        let before = records.len();
        let decoded = decoder.decode(rest, 0, &mut records);
        assert!(records.len() - before < limits::CALL_RECORDS_BYTES + (1 << 20));
        rest = &rest[decoded.consumed..];
        match decoded.stop {
            None => assert!(decoded.consumed > 0),
            Some(Stop::Unknown(_)) => decoder.learn(Facts {
                types: types.to_vec(),
                relations: Vec::new(),
            }),
            Some(Stop::Failed(error)) => return (records, calls, Some(error.kind)),
            Some(Stop::Replay(_)) => panic!("nothing was streamed"),
        }
    }
    (records, calls, None)
}

/// `1e131071`, as the server sends it.
const LARGEST_POWER: &[u8] = &[0, 1, 0x7F, 0xFF, 0, 0, 0, 0, 0x03, 0xE8];

#[test]
fn a_few_bytes_that_stand_for_many_end_the_call_and_not_the_stream() {
    const ROWS: usize = 150;
    let rows = insert(Cell::Binary(LARGEST_POWER.to_vec())).repeat(ROWS);
    let frames = [begin(), relation(1700), rows].concat();
    assert!(frames.len() < 64 << 10);
    let (records, calls, refused) = decoded("native", &[], &frames);
    assert_eq!(refused, None);
    // One call ended with a question.
    assert!(
        records.len() > ROWS * 131_072 && calls == 4,
        "{calls} calls"
    );
}

#[test]
fn numbers_have_as_many_digits_as_the_server_gives_them() {
    let number = |integer: usize, fraction: usize| {
        let text = format!("{}.{}", "9".repeat(integer), "9".repeat(fraction));
        let frames = [begin(), relation(1700), insert(Cell::Text(text.into()))].concat();
        decoded("debezium", &[], &frames).2
    };
    let (integer, fraction) = (
        limits::NUMERIC_INTEGER_DIGITS_MAX,
        limits::NUMERIC_FRACTION_DIGITS_MAX,
    );
    assert_eq!(number(integer, fraction), None);
    assert_eq!(number(integer + 1, 1), Some(DecodeErrorKind::Value));
    assert_eq!(number(1, fraction + 1), Some(DecodeErrorKind::Value));
}

#[test]
fn a_type_made_of_too_many_parts_is_shown_as_its_text_where_it_is_deep() {
    let attribute = |type_oid| Attribute {
        name: "a".to_owned(),
        type_oid,
        typmod: -1,
    };
    // Each holds the next one twice.
    let types: Vec<TypeFacts> = (30_000..30_030)
        .map(|oid| TypeFacts {
            attributes: vec![attribute(oid + 1), attribute(oid + 1)],
            ..type_facts(oid, TypeKind::Composite)
        })
        .collect();
    let value = Cell::Text(b"(,\"(,)\")".to_vec());
    let frames = [begin(), relation(30_000), insert(value)].concat();
    let (records, _, refused) = decoded("native", &types, &frames);
    assert_eq!(refused, None);
    let row = br#"{"c":{"a":null,"a":"#;
    assert!(records.windows(row.len()).any(|window| window == row));
}

#[test]
fn arrays_of_domains_over_arrays_are_so_at_any_depth() {
    // Each is an array of a domain over the one before.
    let mut types = Vec::new();
    for level in 0..40 {
        types.push(TypeFacts {
            base: if level == 0 { 1007 } else { 30_000 + level - 1 },
            ..type_facts(31_000 + level, TypeKind::Domain)
        });
        types.push(TypeFacts {
            element: 31_000 + level,
            ..type_facts(30_000 + level, TypeKind::Base)
        });
    }
    for level in [0, 10, 14, 15, 20, 39] {
        let frames = [
            begin(),
            relation(30_000 + level),
            insert(Cell::Text(b"{}".to_vec())),
        ];
        let (records, _, refused) = decoded("native", &types, &frames.concat());
        assert_eq!(refused, None);
        assert!(
            records.windows(8).any(|window| window == br#"{"c":[]}"#),
            "{level}"
        );
    }
}

#[test]
fn a_truncate_names_each_relation_once() {
    let truncate = |times: u32| {
        let mut message = Message::new(b'T').u32(times).u8(0);
        for _ in 0..times {
            message = message.u32(RELATION);
        }
        let frames = [begin(), relation(23), message.frame(0x101)].concat();
        decoded("native", &[], &frames).2
    };
    assert_eq!(truncate(1), None);
    assert_eq!(truncate(2), Some(DecodeErrorKind::Sequence));
}

#[test]
fn nothing_is_allocated_by_a_count() {
    let announced = [begin(), relation(23)].concat();
    for message in [
        Message::new(b'T').u32(u32::MAX).u8(0).u32(RELATION),
        Message::new(b'I')
            .u32(RELATION)
            .u8(b'N')
            .u8(0)
            .u8(1)
            .u8(b't')
            .u32(u32::MAX),
        Message::new(b'M').u8(1).u64(0).cstr("p").u32(u32::MAX),
    ] {
        let frames = [announced.clone(), message.frame(0x101)].concat();
        let (.., refused) = decoded("native", &[], &frames);
        assert_eq!(refused, Some(DecodeErrorKind::Truncated), "{message:?}");
    }
    let mut columns = Message::new(b'I').u32(RELATION).u8(b'N');
    columns.0.extend((limits::COLUMNS_MAX + 1).to_be_bytes());
    let (.., refused) = decoded("native", &[], &[announced, columns.frame(0x101)].concat());
    assert_eq!(refused, Some(DecodeErrorKind::Limit));
}
