//! The reader of packed records, and the bytes it may meet.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use pgoutput_decoder_example::{Event, Record, RecordError, Stash, Topics};

const VALUE: &str = r#"{"before":null,"after":{"id":1,"name":"é"},"source":{"db":"shop"}}"#;

#[test]
fn reads_every_field() {
    let records = [
        topic(7, "shop.public.orders"),
        begin(),
        event(7, r#"{"id":1}"#, VALUE, None),
        event(7, "", "", Some(r#"{"h":1}"#)),
        commit(),
        record(7, &numbers(&[5, 0, 9, 9])),
    ]
    .concat();
    let mut topics = Topics::default();
    topics.learn(&records, &[], &mut Stash::default()).unwrap();
    let read: Vec<Record<'_>> = topics.read(&records).map(Result::unwrap).collect();
    let [
        Record::Begin(begin),
        Record::Event(first),
        Record::Event(second),
        Record::Commit {
            transaction,
            events,
            end_lsn,
        },
        Record::Prepared { xid, prepare_lsn },
    ] = read.as_slice()
    else {
        panic!("{read:?}");
    };
    assert_eq!(begin, transaction);
    assert_eq!(
        (begin.commit_lsn.to_string().as_str(), begin.xid),
        ("FFFFFFFF/FFFFFFFF", 742)
    );
    assert_eq!((begin.commit_time_us, *events, end_lsn.0), (-5, 2, 9));
    assert_eq!((*xid, prepare_lsn.0), (5, 0x9_0000_0009));

    assert_eq!(
        (first.op, first.transactional, first.xid),
        (Some('u'), true, 742)
    );
    assert_eq!(
        (
            first.position.commit_lsn.0,
            first.position.index,
            first.position.sub
        ),
        (8, 4, 1)
    );
    assert_eq!((first.lsn.0, first.commit_time_us), (u64::MAX, -5));
    assert_eq!((first.key, first.value), (Some(r#"{"id":1}"#), Some(VALUE)));
    assert_eq!(first.before(), Some("null"));
    assert_eq!(first.after(), Some(r#"{"id":1,"name":"é"}"#));
    assert_eq!(first.source(), None);
    assert_eq!(first.headers(), r#"{"constant":true}"#);
    assert_eq!(first.unchanged().collect::<Vec<_>>(), [3, 9]);
    let topic = first.topic;
    assert_eq!(
        (topic.name.as_str(), topic.relation_oid),
        ("shop.public.orders", 16_384)
    );
    assert_eq!(
        (topic.schema.as_str(), topic.table.as_str()),
        ("public", "orders")
    );

    assert_eq!(
        (second.key, second.value, second.after()),
        (None, None, None)
    );
    assert_eq!(second.headers(), r#"{"h":1}"#);
    assert!(
        !format!("{first:?}").contains('é'),
        "values are not for logs"
    );
}

#[test]
fn topics_hold_from_call_to_call_and_later_kinds_are_passed_over() {
    let mut topics = Topics::default();
    let named = [topic(1, "a"), topic(2, "b")].concat();
    topics.learn(&named, &[], &mut Stash::default()).unwrap();
    let shortest = [5, 0, 0, 0, 201];
    let records = [
        event(2, "", VALUE, None),
        shortest.to_vec(),
        event(1, "", VALUE, None),
    ]
    .concat();
    let names: Vec<&str> = events(&topics, &records)
        .map(|event| event.topic.name.as_str())
        .collect();
    assert_eq!(names, ["b", "a"]);
}

#[test]
fn what_is_stashed_comes_back_without_what_was_discarded() {
    let stash_record = |xid: u32, subxid: u32, start: u64, bytes: u64| {
        let ids = [xid.to_le_bytes(), subxid.to_le_bytes()].concat();
        record(
            5,
            &[
                ids,
                start.to_le_bytes().to_vec(),
                bytes.to_le_bytes().to_vec(),
            ]
            .concat(),
        )
    };
    let discard =
        |xid: u32, subxid: u32| record(6, &[xid.to_le_bytes(), subxid.to_le_bytes()].concat());
    let records = [
        stash_record(1, 1, 0, 2),
        stash_record(1, 2, 2, 3),
        stash_record(1, 1, 5, 1),
        stash_record(9, 9, 0, 6),
        discard(1, 2),
        discard(9, 9),
    ]
    .concat();
    let mut stash = Stash::default();
    Topics::default()
        .learn(&records, b"abcdef", &mut stash)
        .unwrap();
    assert!(stash.take(9).is_none());
    let mut runs = stash.take(1).unwrap();
    assert_eq!(runs.first(), Some(&b"ab"[..]));
    runs.use_up(1);
    assert_eq!(runs.first(), Some(&b"b"[..]));
    runs.use_up(1);
    assert_eq!(runs.first(), Some(&b"f"[..]));
    runs.use_up(1);
    assert_eq!(runs.first(), None);
    assert!(stash.take(1).is_none());

    let outside = stash_record(1, 1, 5, 2);
    assert!(
        Topics::default()
            .learn(&outside, b"abcdef", &mut stash)
            .is_err()
    );
}

#[test]
fn refuses_what_the_layout_does_not_allow() {
    let mut topics = Topics::default();
    topics
        .learn(&topic(7, "t"), &[], &mut Stash::default())
        .unwrap();
    let read = |records: &[u8]| topics.read(records).find_map(Result::err);
    let good = event(7, "", VALUE, None);
    assert_eq!(read(&good), None);
    for length in [0, 4, 5, 87, 89, u32::MAX] {
        let mut records = good.clone();
        records[..4].copy_from_slice(&length.to_le_bytes());
        assert!(read(&records).is_some(), "length {length}");
    }
    assert_eq!(
        read(&event(8, "", VALUE, None)),
        Some(RecordError { kind: 4 }),
        "its topic"
    );
    let mut not_utf8 = good;
    not_utf8[88] = 0xFF;
    assert_eq!(read(&not_utf8), Some(RecordError { kind: 4 }));
}

#[test]
fn no_damage_does_more_than_an_error() {
    let whole = [
        topic(7, "t"),
        begin(),
        event(7, r#"{"id":1}"#, VALUE, None),
        commit(),
    ]
    .concat();
    let read = |records: &[u8]| {
        let mut topics = Topics::default();
        if topics.learn(records, &[], &mut Stash::default()).is_ok() {
            for record in topics.read(records) {
                if let Ok(Record::Event(event)) = record {
                    let parts = [event.before(), event.after(), event.source()];
                    assert!(parts.iter().flatten().all(|part| part.len() <= VALUE.len()));
                }
            }
        }
    };
    for length in 0..whole.len() {
        read(&whole[..length]);
    }
    for at in 0..whole.len() {
        for damage in [0x00, 0x01, 0x7F, 0x80, 0xFF] {
            let mut records = whole.clone();
            records[at] = damage;
            read(&records);
        }
    }
}

fn events<'a>(topics: &'a Topics, records: &'a [u8]) -> impl Iterator<Item = Event<'a>> {
    topics
        .read(records)
        .filter_map(|record| match record.unwrap() {
            Record::Event(event) => Some(event),
            _ => None,
        })
}

/// A record, with the three zeros that most have.
fn record(kind: u8, fields: &[u8]) -> Vec<u8> {
    packed(kind, [0; 3], fields)
}

fn packed(kind: u8, start: [u8; 3], fields: &[u8]) -> Vec<u8> {
    let length = u32::try_from(8 + fields.len()).unwrap();
    [&length.to_le_bytes(), &[kind][..], &start, fields].concat()
}

fn numbers(numbers: &[u32]) -> Vec<u8> {
    numbers
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect()
}

fn lengths<const N: usize>(texts: [&str; N]) -> Vec<u8> {
    numbers(&texts.map(|text| u32::try_from(text.len()).unwrap()))
}

fn topic(id: u32, name: &str) -> Vec<u8> {
    let texts = [name, "public", "orders", r#"{"constant":true}"#];
    let column = [numbers(&[20, u32::MAX]), vec![0, 1, 2, 0], b"id".to_vec()].concat();
    let parts = [
        numbers(&[id, 16_384]),
        lengths(texts),
        numbers(&[1]),
        texts.concat().into(),
        column,
    ];
    record(1, &parts.concat())
}

fn transaction() -> Vec<u8> {
    [
        &[0xFF; 8][..],
        &(-5_i64).to_le_bytes(),
        &742_u32.to_le_bytes(),
    ]
    .concat()
}

fn begin() -> Vec<u8> {
    record(2, &transaction())
}

fn commit() -> Vec<u8> {
    record(3, &[transaction(), numbers(&[2, 9, 0])].concat())
}

fn event(topic: u32, key: &str, value: &str, headers: Option<&str>) -> Vec<u8> {
    let part = |text: &str| {
        let offset = value
            .find(text)
            .map_or(0, |offset| u32::try_from(offset).unwrap());
        let bytes = if value.is_empty() {
            0
        } else {
            u32::try_from(text.len()).unwrap()
        };
        [offset, bytes]
    };
    let own = headers.unwrap_or_default();
    let fields = [
        numbers(&[8, 0, 4, 1]),
        [[0xFF; 8], (-5_i64).to_le_bytes()].concat(),
        numbers(&[742, topic]),
        lengths([key, value, own]),
        numbers(&[2]),
        numbers(&[part("null"), part(r#"{"id":1,"name":"é"}"#), [0, 0]].concat()),
        [key, value, own].concat().into(),
        numbers(&[3, 9]),
    ];
    packed(4, [b'u', u8::from(headers.is_some()), 0], &fields.concat())
}
