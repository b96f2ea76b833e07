//! The decoder's conversation: questions, errors, and what a frame leaves behind.
#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use pgoutput_decoder::{
    ColumnFacts, DecodeErrorKind, Decoded, Decoder, Facts, Lsn, Options, RelationFacts,
    RestoreError, Stop,
};

const RELATION: u32 = 16384;
const INT4: u32 = 23;
const TEXT: u32 = 25;
const NOW_US: i64 = 1_700_000_000_000_000;

fn decoder(options: &[(&str, &str)]) -> Decoder {
    Decoder::new(Options::parse(options.iter().copied()).unwrap())
}

/// A `CopyData` message with `XLogData` in it.
fn frame(lsn: u64, message: &[u8]) -> Vec<u8> {
    let mut frame = vec![b'd'];
    frame.extend(u32::try_from(message.len() + 29).unwrap().to_be_bytes());
    frame.push(b'w');
    frame.extend(lsn.to_be_bytes());
    frame.extend(lsn.to_be_bytes());
    frame.extend([0; 8]);
    frame.extend(message);
    frame
}

fn begin(commit_lsn: u64, xid: u32) -> Vec<u8> {
    let mut message = vec![b'B'];
    message.extend(commit_lsn.to_be_bytes());
    message.extend([0; 8]);
    message.extend(xid.to_be_bytes());
    frame(commit_lsn - 8, &message)
}

fn commit(commit_lsn: u64) -> Vec<u8> {
    let mut message = vec![b'C', 0];
    message.extend(commit_lsn.to_be_bytes());
    message.extend((commit_lsn + 8).to_be_bytes());
    message.extend([0; 8]);
    frame(commit_lsn + 8, &message)
}

fn relation(columns: &[(&str, u32, bool)]) -> Vec<u8> {
    let mut message = vec![b'R'];
    message.extend(RELATION.to_be_bytes());
    message.extend(b"public\0t\0d");
    message.extend(u16::try_from(columns.len()).unwrap().to_be_bytes());
    for (name, type_oid, in_key) in columns {
        message.push(u8::from(*in_key));
        message.extend(name.as_bytes());
        message.push(0);
        message.extend(type_oid.to_be_bytes());
        message.extend((-1_i32).to_be_bytes());
    }
    frame(0, &message)
}

fn insert(lsn: u64, cells: &[Option<&str>]) -> Vec<u8> {
    let mut message = vec![b'I'];
    message.extend(RELATION.to_be_bytes());
    message.push(b'N');
    message.extend(u16::try_from(cells.len()).unwrap().to_be_bytes());
    for cell in cells {
        match cell {
            Some(text) => {
                message.push(b't');
                message.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
                message.extend(text.as_bytes());
            }
            None => message.push(b'n'),
        }
    }
    frame(lsn, &message)
}

fn facts() -> Facts {
    let column = |name: &str, type_oid, not_null| ColumnFacts {
        name: name.into(),
        type_oid,
        typmod: -1,
        not_null,
        default: None,
    };
    Facts {
        types: vec![],
        relations: vec![RelationFacts {
            oid: RELATION,
            namespace: "public".into(),
            name: "t".into(),
            columns: vec![column("id", INT4, true), column("v", TEXT, false)],
            primary_key: vec!["id".into()],
            unique_indexes: vec![],
        }],
    }
}

const COLUMNS: &[(&str, u32, bool)] = &[("id", INT4, true), ("v", TEXT, false)];

fn contains(records: &[u8], text: &str) -> bool {
    records
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

/// What an event's parts are: key, value, headers, and `before`, `after` and `source` of the value.
fn parts(event: &[u8]) -> [String; 6] {
    let number = |at: usize| {
        let bytes = event.get(at..at + 4).unwrap().try_into().unwrap();
        usize::try_from(u32::from_le_bytes(bytes)).unwrap()
    };
    let (key, value, headers) = (number(48), number(52), number(56));
    let text = |at: usize, bytes: usize| {
        let text = event.get(at..at + bytes).unwrap().to_vec();
        String::from_utf8(text).unwrap()
    };
    let in_value = |at: usize| text(88 + key + number(at), number(at + 4));
    [
        text(88, key),
        text(88 + key, value),
        text(88 + key + value, headers),
        in_value(64),
        in_value(72),
        in_value(80),
    ]
}

/// The last event among records.
fn last_event(records: &[u8]) -> &[u8] {
    let (mut rest, mut event) = (records, None);
    while let Some(bytes) = rest.first_chunk() {
        let bytes = usize::try_from(u32::from_le_bytes(*bytes)).unwrap();
        let record;
        (record, rest) = rest.split_at(bytes);
        if record.get(4) == Some(&4) {
            event = Some(record);
        }
    }
    event.unwrap()
}

#[test]
fn asks_before_each_relation_and_leaves_no_trace() {
    let mut decoder = decoder(&[]);
    let frames = [
        begin(100, 7),
        relation(COLUMNS),
        insert(96, &[Some("1"), Some("a")]),
    ]
    .concat();
    let mut records = Vec::new();
    let first = decoder.decode(&frames, NOW_US, &mut records);
    assert_eq!(first.consumed, begin(100, 7).len());
    let Some(Stop::Unknown(question)) = first.stop else {
        panic!("{:?}", first.stop)
    };
    assert_eq!(
        (question.relation, question.types.as_slice()),
        (RELATION, [].as_slice())
    );

    decoder.learn(facts());
    let second = decoder.decode(&frames[first.consumed..], NOW_US, &mut records);
    assert_eq!(
        second,
        Decoded {
            consumed: frames.len() - first.consumed,
            stop: None
        }
    );
    assert!(contains(
        &records,
        r#"{"id":1}{"before":null,"after":{"id":1,"v":"a"},"source""#
    ));

    // The same relation announced again: facts may have changed unseen.
    let again = decoder.decode(&relation(COLUMNS), NOW_US, &mut records);
    assert!(matches!(again.stop, Some(Stop::Unknown(_))));
}

#[test]
fn a_relation_that_has_the_name_now_stands_in_for_another() {
    let frames = [
        begin(100, 7),
        relation(COLUMNS),
        insert(90, &[Some("1"), None]),
    ]
    .concat();
    let key = |format: &str| {
        let mut decoder = decoder(&[("format", format)]);
        let mut records = Vec::new();
        let asked = decoder.decode(&frames, NOW_US, &mut records);
        let Some(Stop::Unknown(question)) = asked.stop else {
            panic!("{:?}", asked.stop)
        };
        let names = (question.namespace.as_str(), question.name.as_str());
        assert_eq!(names, ("public", "t"));
        let mut facts = facts();
        facts.relations[0].oid = RELATION + 1;
        decoder.learn(facts);
        let rest = &frames[asked.consumed..];
        assert_eq!(decoder.decode(rest, NOW_US, &mut records).stop, None);
        let [key, ..] = parts(last_event(&records));
        key
    };
    assert_eq!(key("debezium"), r#"{"id":1}"#);
    assert_eq!(key("native"), "", "another table's key says nothing");
}

#[test]
fn takes_what_is_not_answered_as_gone() {
    let mut decoder = decoder(&[]);
    let user_type = 70_000;
    let mut records = Vec::new();
    let relation = relation(&[("id", INT4, true), ("v", user_type, false)]);
    let asked = decoder.decode(&relation, NOW_US, &mut records);
    let Some(Stop::Unknown(question)) = asked.stop else {
        panic!("{:?}", asked.stop)
    };
    assert_eq!(question.types, [user_type]);
    decoder.learn(Facts::default());
    assert_eq!(decoder.decode(&relation, NOW_US, &mut records).stop, None);
}

#[test]
fn repeats_an_error_until_told_to_skip() {
    let mut decoder = decoder(&[]);
    decoder.learn(facts());
    let mut records = Vec::new();
    let good = [
        begin(100, 7),
        relation(COLUMNS),
        insert(90, &[Some("1"), None]),
    ]
    .concat();
    let bad = insert(91, &[Some("not a number: secret"), None]);
    let frames = [
        good.clone(),
        bad.clone(),
        insert(92, &[Some("3"), None]),
        commit(100),
    ]
    .concat();
    let decoded = decoder.decode(&frames, NOW_US, &mut records);
    assert_eq!(
        decoded.consumed,
        good.len(),
        "what stood before the error is done"
    );
    let Some(Stop::Failed(error)) = decoded.stop else {
        panic!("{:?}", decoded.stop)
    };
    assert_eq!(
        (error.kind, error.message_type),
        (DecodeErrorKind::Value, Some(b'I'))
    );
    assert_eq!((error.lsn, error.offset), (Lsn(91), 13));
    assert!(
        error.to_string().contains(r#"column "id" of public.t"#),
        "{error}"
    );
    assert!(!error.to_string().contains("secret"), "{error}");

    let length = records.len();
    let repeated = decoder.decode(&frames[good.len()..], NOW_US, &mut records);
    assert_eq!(
        (repeated.consumed, repeated.stop),
        (0, Some(Stop::Failed(error)))
    );
    assert_eq!(records.len(), length);

    decoder.skip();
    let rest = &frames[good.len() + bad.len()..];
    let decoded = decoder.decode(rest, NOW_US, &mut records);
    assert_eq!((decoded.consumed, decoded.stop), (rest.len(), None));
    // The change that was given up keeps its index: positions are those of the server's changes.
    let event = &records[length..];
    assert_eq!(event[16..20], 3_u32.to_le_bytes());
}

#[test]
fn refuses_messages_out_of_sequence() {
    let fails = |frames: &[u8]| {
        let mut decoder = decoder(&[]);
        decoder.learn(facts());
        match decoder.decode(frames, NOW_US, &mut Vec::new()).stop {
            Some(Stop::Failed(error)) => (error.kind, error.lsn),
            other => panic!("{other:?}"),
        }
    };
    let sequence = DecodeErrorKind::Sequence;
    assert_eq!(fails(&insert(5, &[Some("1"), None])), (sequence, Lsn(5)));
    assert_eq!(fails(&commit(100)), (sequence, Lsn(108)));
    assert_eq!(
        fails(&[begin(100, 7), begin(200, 8)].concat()),
        (sequence, Lsn(192))
    );
    assert_eq!(
        fails(&[begin(100, 7), commit(200)].concat()),
        (sequence, Lsn(208))
    );
    assert_eq!(
        fails(&[begin(100, 7), insert(90, &[Some("1"), None])].concat()),
        (sequence, Lsn(90)),
        "no relation was announced"
    );
    assert_eq!(
        fails(&[begin(100, 7), relation(COLUMNS), insert(90, &[Some("1")])].concat()),
        (sequence, Lsn(90)),
        "a tuple of another width"
    );
    assert_eq!(fails(b"d\0\0\0"), (DecodeErrorKind::Frame, Lsn(0)));
    assert_eq!(
        fails(&frame(9, b"?")),
        (DecodeErrorKind::Unsupported, Lsn(9))
    );
    assert_eq!(fails(&frame(9, b"")), (DecodeErrorKind::Truncated, Lsn(9)));
}

#[test]
fn any_split_of_the_frames_gives_the_same_records() {
    let frames = [
        begin(100, 7),
        relation(COLUMNS),
        insert(90, &[Some("1"), Some("é😀\u{1}")]),
        insert(91, &[Some("2"), None]),
        commit(100),
        begin(200, 8),
        insert(190, &[Some("3"), Some("")]),
        commit(200),
    ];
    let mut whole = Vec::new();
    let mut one = decoder(&[("format", "native")]);
    one.learn(facts());
    assert_eq!(one.decode(&frames.concat(), NOW_US, &mut whole).stop, None);
    let mut parts = Vec::new();
    let mut other = decoder(&[("format", "native")]);
    other.learn(facts());
    for frame in &frames {
        assert_eq!(other.decode(frame, NOW_US, &mut parts).stop, None);
    }
    assert!(whole == parts);
}

#[test]
fn a_successor_goes_on_where_it_was_saved() {
    let mut first = decoder(&[]);
    first.learn(facts());
    let frames = [
        begin(100, 7),
        relation(COLUMNS),
        insert(90, &[Some("1"), None]),
        commit(100),
    ];
    first.decode(&frames.concat(), NOW_US, &mut Vec::new());
    let mut second = decoder(&[]);
    second.restore(&first.save()).unwrap();
    second.learn(facts());
    let frames = [
        begin(200, 8),
        relation(COLUMNS),
        insert(190, &[Some("2"), None]),
    ];
    let mut records = Vec::new();
    second.decode(&frames.concat(), NOW_US, &mut records);
    assert!(contains(&records, r#""sequence":"[\"108\",\"190\"]""#));

    assert_eq!(second.restore(&[]), Err(RestoreError::Corrupt));
    assert_eq!(second.restore(&[1, 0]), Err(RestoreError::Corrupt));
    assert_eq!(second.restore(&[99]), Err(RestoreError::Version));
    let mut neither = first.save();
    neither[1] = 2;
    assert_eq!(second.restore(&neither), Err(RestoreError::Corrupt));
}

/// Stream Commit of transaction 7, at the LSN.
fn stream_commit(commit_lsn: u64) -> Vec<u8> {
    let mut message = vec![b'c', 0, 0, 0, 7, 0];
    message.extend(commit_lsn.to_be_bytes());
    message.extend((commit_lsn + 8).to_be_bytes());
    message.extend([0; 8]);
    frame(commit_lsn + 8, &message)
}

#[test]
fn a_replay_that_is_of_another_transaction_leaves_no_trace() {
    let stream_start = |xid| frame(50, &[b'S', 0, 0, 0, xid, 1]);
    let mut decoder = decoder(&[]);
    let mut records = Vec::new();
    let commits = stream_commit(100);
    let decoded = decoder.decode(&commits, NOW_US, &mut records);
    assert_eq!(decoded.stop, Some(Stop::Replay(7)));
    for other in [
        relation(COLUMNS),
        insert(90, &[Some("1"), None]),
        begin(100, 7),
        commit(100),
        stream_start(8),
        stream_commit(200),
    ] {
        let decoded = decoder.decode(&other, NOW_US, &mut records);
        let Some(Stop::Failed(error)) = decoded.stop else {
            panic!("{:?}", decoded.stop)
        };
        assert_eq!(error.kind, DecodeErrorKind::Sequence);
        decoder.skip();
    }
    assert!(records.is_empty());
    let replay = [stream_start(7), frame(60, b"E"), commits].concat();
    let decoded = decoder.decode(&replay, NOW_US, &mut records);
    assert_eq!((decoded.consumed, decoded.stop), (replay.len(), None));
    // Begin, Commit, and that what was stashed may be forgotten.
    assert_eq!(records.len(), 28 + 40 + 16);
    let after = decoder.decode(&begin(200, 8), NOW_US, &mut records);
    assert_eq!(after.stop, None);
}

/// A transactional logical message.
fn message(lsn: u64) -> Vec<u8> {
    let mut message = vec![b'M', 1];
    message.extend(lsn.to_be_bytes());
    message.extend(b"m\0");
    message.extend([0; 4]);
    frame(lsn, &message)
}

#[test]
fn a_message_does_not_move_the_changes_behind_it() {
    let positions = |messages: bool| {
        let insert = |lsn| insert(lsn, &[Some("1"), None]);
        let message = |lsn| if messages { message(lsn) } else { Vec::new() };
        let frames = [
            begin(100, 7),
            relation(COLUMNS),
            message(50),
            insert(60),
            message(70),
            message(71),
            insert(80),
            commit(100),
        ];
        let mut decoder = decoder(&[]);
        decoder.learn(facts());
        let mut records = Vec::new();
        let decoded = decoder.decode(&frames.concat(), NOW_US, &mut records);
        assert_eq!(decoded.stop, None);
        let (mut rest, mut positions) = (records.as_slice(), Vec::new());
        while let Some(bytes) = rest.first_chunk() {
            let bytes = usize::try_from(u32::from_le_bytes(*bytes)).unwrap();
            let record;
            (record, rest) = rest.split_at(bytes);
            if record.get(4) == Some(&4) {
                let number = |at: usize| {
                    u32::from_le_bytes(record.get(at..at + 4).unwrap().try_into().unwrap())
                };
                let op = char::from(*record.get(5).unwrap());
                positions.push((op, number(16), number(20)));
            }
        }
        positions
    };
    assert_eq!(positions(false), [('c', 1, 0), ('c', 2, 0)]);
    let with = positions(true);
    assert!(with.is_sorted_by_key(|(_, index, sub)| (*index, *sub)));
    let ops: String = with.iter().map(|(op, ..)| op).collect();
    assert_eq!(ops, "mcmmc");
    let changes: Vec<_> = with.into_iter().filter(|(op, ..)| *op == 'c').collect();
    assert_eq!(changes, positions(false));
}

#[test]
fn what_is_prepared_does_not_commit() {
    let mut prepare = vec![b'b'];
    prepare.extend([0; 24]);
    prepare.extend([0, 0, 0, 7, b'g', 0]);
    let mut decoder = decoder(&[]);
    for within in [begin(100, 7), commit(100)] {
        let frames = [frame(50, &prepare), within].concat();
        let stop = decoder
            .clone()
            .decode(&frames, NOW_US, &mut Vec::new())
            .stop;
        let Some(Stop::Failed(error)) = stop else {
            panic!("{stop:?}")
        };
        assert_eq!(error.kind, DecodeErrorKind::Sequence);
    }
    let begun = decoder.decode(&begin(100, 7), NOW_US, &mut Vec::new());
    assert_eq!(begun.stop, None);
}

#[test]
fn schemas_stand_around_payloads() {
    let mut facts = facts();
    facts.relations[0].columns[1].default = Some("'none'::text".into());
    let frames = [
        begin(100, 7),
        relation(COLUMNS),
        insert(90, &[Some("1"), Some("a")]),
    ]
    .concat();
    let event = |options: &[(&str, &str)]| {
        let mut decoder = decoder(options);
        decoder.learn(facts.clone());
        let mut records = Vec::new();
        assert_eq!(decoder.decode(&frames, NOW_US, &mut records).stop, None);
        let headers = contains(
            &records,
            r#"taskId":{"schema":{"type":"string","optional":false},"payload":"0"}"#,
        );
        (parts(last_event(&records)), headers)
    };
    let (plain, plain_headers) = event(&[("topic.prefix", "p")]);
    let (with, with_headers) = event(&[("topic.prefix", "p"), ("schemas.enable", "true")]);
    let [key, value, .., before, after, source] = &with;
    assert_eq!(
        *key,
        format!(
            "{}{}{}",
            r#"{"schema":{"type":"struct","fields":[{"type":"int32","optional":false,"#,
            r#""field":"id"}],"optional":false,"name":"p.public.t.Key"},"payload":"#,
            r#"{"id":1}}"#
        )
    );
    let row = format!(
        "{}{}{}",
        r#"{"type":"struct","fields":[{"type":"int32","optional":false,"field":"id"},"#,
        r#"{"type":"string","optional":true,"default":"none","field":"v"}],"#,
        r#""optional":true,"name":"p.public.t.Value","field":"before"}"#
    );
    assert!(value.starts_with(&format!(r#"{{"schema":{{"type":"struct","fields":[{row},"#)));
    let envelope = r#""optional":false,"name":"p.public.t.Envelope","version":2},"payload":"#;
    let (_, payload) = value.split_once(envelope).unwrap();
    assert_eq!(payload.strip_suffix('}'), Some(plain[1].as_str()));
    assert_eq!([before, after, source], [&plain[3], &plain[4], &plain[5]]);
    assert_eq!((plain_headers, with_headers), (false, true));

    let (keys, _) = event(&[
        ("key.converter.schemas.enable", "true"),
        ("topic.prefix", "p"),
    ]);
    assert_eq!((&keys[0], &keys[1]), (key, &plain[1]));
}
