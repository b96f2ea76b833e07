//! What an inspector says of messages of every kind, word by word.

use pgoutput_decoder::inspection::Inspector;
use pgoutput_decoder_fuzz::{Cell, Column, FRAME_HEAD_BYTES, Message};

const RELATION: u32 = 16_400;
/// 2024-02-29 12:34:56.5, since 2000-01-01.
const TIME: i64 = 762_525_296_500_000;

fn columns() -> [Column; 3] {
    [("id", 23), ("name", 25), ("mood", 20_001)].map(|(name, type_oid)| Column {
        in_identity: name == "id",
        name: name.to_owned(),
        type_oid,
        typmod: -1,
    })
}

fn type_of_mood() -> Message {
    Message::new(b'Y').u32(20_001).cstr("public").cstr("mood")
}

fn relation() -> Message {
    Message::new(b'R').u32(RELATION).columns("t", &columns())
}

/// Fields of the message as `name=value`, without those in front of it.
fn fields(inspector: &mut Inspector, message: &Message) -> Vec<String> {
    let fields = inspector.fields(&message.frame(0x16_B374_D848)).into_iter();
    let message = fields.filter(|field| field.offset >= FRAME_HEAD_BYTES);
    message
        .map(|field| format!("{}={}", field.name, field.value))
        .collect()
}

#[test]
fn what_is_around_a_message() {
    let fields = Inspector::new().fields(&Message::new(b'E').frame(0x16_B374_D848));
    let fields: Vec<String> = fields
        .iter()
        .map(|field| {
            format!(
                "{}+{} {}={}",
                field.offset, field.bytes, field.name, field.value
            )
        })
        .collect();
    assert_eq!(
        fields,
        [
            "0+1 copy-data tag=CopyData",
            "1+4 length=30",
            "5+1 xlog-data tag=XLogData",
            "6+8 start lsn=16/B374D848",
            "14+8 end lsn=16/B374D848",
            "22+8 server clock=2000-01-01T00:00:00Z",
            "30+1 message type=Stream Stop",
        ]
    );
}

/// Flags, two LSNs, and a time.
fn commit(message: Message) -> Message {
    message.u8(0).u64(0x200).u64(0x208).i64(TIME)
}

#[test]
fn messages_of_protocol_1() {
    let mut inspector = Inspector::new();
    let row = [
        Cell::Binary(vec![0, 0, 0, 42]),
        Cell::Text("Grüße".into()),
        Cell::Unchanged,
    ];
    let key = [Cell::Text("1".into()), Cell::Null, Cell::Null];
    let mut update = Message::new(b'U').u32(RELATION).tuple(b'K', &key);
    update = update.tuple(b'N', &row);
    for (message, expected) in [
        (
            Message::new(b'B').u64(0x200).i64(TIME).u32(7),
            "Begin, final lsn=0/200, commit timestamp=2024-02-29T12:34:56.5Z, xid=7",
        ),
        (
            type_of_mood(),
            "Type, type oid=20001, namespace=public, type name=mood",
        ),
        (
            relation(),
            "Relation, relation oid=16400, namespace=public, relation name=t, replica \
             identity=default, number of columns=3, column flags=key, column name=id, type oid=23 \
             int4, type modifier=-1, column flags=none, column name=name, type oid=25 text, type \
             modifier=-1, column flags=none, column name=mood, type oid=20001 public.mood, type \
             modifier=-1",
        ),
        (
            update,
            "Update, relation oid=16400 public.t, tuple kind=key, number of columns=3, id: \
             kind=text, id: length=1, id=1, name: kind=null, mood: kind=null, tuple kind=new, \
             number of columns=3, id: kind=binary, id: length=4, id=0000002a, name: kind=text, \
             name: length=7, name=Grüße, mood: kind=unchanged",
        ),
        (
            Message::new(b'D').u32(9).tuple(b'O', &key[..1]),
            "Delete, relation oid=9, tuple kind=old, number of columns=1, column 1: kind=text, \
             column 1: length=1, column 1=1",
        ),
        (
            Message::new(b'T').u32(2).u8(7).u32(RELATION).u32(9),
            "Truncate, number of relations=2, options=cascade, restart identity, 0x04, relation \
             oid=16400 public.t, relation oid=9",
        ),
        (
            Message::new(b'M')
                .u8(1)
                .u64(0x1F0)
                .cstr("audit")
                .sized(b"by me"),
            "Message, flags=transactional, lsn=0/1F0, prefix=audit, length=5, content=by me",
        ),
        (
            Message::new(b'O').u64(0x300).cstr("elsewhere"),
            "Origin, origin commit lsn=0/300, origin name=elsewhere",
        ),
        (
            commit(Message::new(b'C')),
            "Commit, flags=none, commit lsn=0/200, end lsn=0/208, commit \
             timestamp=2024-02-29T12:34:56.5Z",
        ),
    ] {
        let fields = fields(&mut inspector, &message).join(", ");
        assert_eq!(fields, format!("message type={expected}"));
    }
}

#[test]
fn messages_of_later_protocols() {
    let mut inspector = Inspector::new();
    inspector.messages(&relation().frame(0));
    let key = Cell::Text("1".into());
    for (message, expected) in [
        (
            Message::new(b'S').u32(7).u8(1),
            "Stream Start, xid=7, first segment=yes",
        ),
        (
            Message::new(b'I').u32(8).u32(RELATION).tuple(b'N', &[key]),
            "Insert, subtransaction xid=8, relation oid=16400 public.t, tuple kind=new, number of \
             columns=1, id: kind=text, id: length=1, id=1",
        ),
        (Message::new(b'E'), "Stream Stop"),
        (
            Message::new(b'A').u32(7).u32(8).u64(0x210).i64(TIME),
            "Stream Abort, xid=7, subtransaction xid=8, abort lsn=0/210, abort \
             timestamp=2024-02-29T12:34:56.5Z",
        ),
        (
            Message::new(b'A').u32(7).u32(8),
            "Stream Abort, xid=7, subtransaction xid=8",
        ),
        (
            commit(Message::new(b'c').u32(7)),
            "Stream Commit, xid=7, flags=none, commit lsn=0/200, end lsn=0/208, commit \
             timestamp=2024-02-29T12:34:56.5Z",
        ),
        (
            Message::new(b'b')
                .u64(0x200)
                .u64(0x208)
                .i64(TIME)
                .u32(7)
                .cstr("g"),
            "Begin Prepare, prepare lsn=0/200, end lsn=0/208, prepare \
             timestamp=2024-02-29T12:34:56.5Z, xid=7, gid=g",
        ),
        (
            commit(Message::new(b'P')).u32(7).cstr("g"),
            "Prepare, flags=none, prepare lsn=0/200, end lsn=0/208, prepare \
             timestamp=2024-02-29T12:34:56.5Z, xid=7, gid=g",
        ),
        (
            commit(Message::new(b'p')).u32(7).cstr("g"),
            "Stream Prepare, flags=none, prepare lsn=0/200, end lsn=0/208, prepare \
             timestamp=2024-02-29T12:34:56.5Z, xid=7, gid=g",
        ),
        (
            commit(Message::new(b'K')).u32(7).cstr("g"),
            "Commit Prepared, flags=none, commit lsn=0/200, end lsn=0/208, commit \
             timestamp=2024-02-29T12:34:56.5Z, xid=7, gid=g",
        ),
        (
            commit(Message::new(b'r')).i64(i64::MAX).u32(7).cstr("g"),
            "Rollback Prepared, flags=none, prepare end lsn=0/200, rollback end lsn=0/208, prepare \
             timestamp=2024-02-29T12:34:56.5Z, rollback timestamp=infinity, xid=7, gid=g",
        ),
    ] {
        let fields = fields(&mut inspector, &message).join(", ");
        assert_eq!(fields, format!("message type={expected}"));
    }
}

#[test]
fn messages_in_a_line() {
    let streamed = [
        relation().frame(0),
        Message::new(b'S').u32(7).u8(1).frame(0x100),
        Message::new(b'D')
            .u32(8)
            .u32(RELATION)
            .tuple(b'K', &[Cell::Null])
            .frame(0x108),
        Message::new(b'E').frame(0x110),
        Message::new(b'K')
            .u8(0)
            .u64(0x200)
            .u64(0x208)
            .i64(0)
            .u32(7)
            .cstr("g")
            .frame(0x120),
    ];
    let messages = Inspector::new().messages(&streamed.concat());
    let mut offset = 0;
    for (message, frame) in messages.iter().zip(&streamed) {
        assert_eq!((message.offset, message.bytes), (offset, frame.len()));
        assert_eq!(message.problem, None);
        offset += frame.len();
    }
    let [relation, start, delete, stop, commit] = messages.as_slice() else {
        panic!("{messages:?}");
    };
    assert_eq!(relation.columns, 3);
    assert_eq!(relation.name.as_deref(), Some("public.t"));
    assert_eq!(relation.clock_us, 946_684_800_000_000);
    assert_eq!(
        (start.xid, start.subxid, start.in_chunk),
        (Some(7), None, true)
    );
    assert_eq!(
        (delete.xid, delete.subxid, delete.in_chunk),
        (Some(7), Some(8), true)
    );
    assert_eq!((delete.lsn, delete.wal_end), (0x108, 0x108));
    assert_eq!(delete.relations, [RELATION]);
    assert_eq!(delete.name.as_deref(), Some("public.t"));
    assert_eq!((stop.xid, stop.in_chunk), (Some(7), true));
    assert_eq!((commit.xid, commit.in_chunk), (Some(7), false));
    assert_eq!((commit.commit_lsn, commit.wal_end), (Some(0x200), 0x120));
    assert_eq!(commit.name.as_deref(), Some("g"));
    assert_eq!(commit.message_type, Some(b'K'));
}

#[test]
fn what_is_not_understood() {
    let secret = Cell::Text(b"secret".to_vec());
    let mut cut = Message::new(b'I')
        .u32(RELATION)
        .tuple(b'N', &[secret.clone(), secret]);
    cut.0.truncate(cut.0.len() - 2);
    let mut kind = Message::new(b'I').u32(RELATION).tuple(b'N', &[Cell::Null]);
    *kind.0.last_mut().unwrap() = b'z';
    for (message, expected) in [
        (cut, "truncated message: value of column name, byte 54"),
        (kind, "unsupported message: kind of column id, byte 38"),
        (
            Message::new(b'E').u8(0),
            "trailing bytes: end of message, byte 31",
        ),
        (
            Message::new(b'Z'),
            "unsupported message: message type, byte 30",
        ),
        (
            Message::new(b'B').u64(1),
            "truncated message: commit timestamp, byte 39",
        ),
        (
            Message::new(b'R').u32(1).cstr(&"n".repeat(300)),
            "limit exceeded: namespace, byte 35",
        ),
    ] {
        let mut inspector = Inspector::new();
        inspector.messages(&relation().frame(0));
        let frame = message.frame(1);
        let found = inspector.messages(&[frame.clone(), relation().frame(0)].concat());
        assert_eq!(found[0].problem.as_deref(), Some(expected));
        assert_eq!(found[1].problem, None, "what comes next is understood");
        let last = inspector.fields(&frame).pop().unwrap();
        assert_eq!(
            (last.name.as_str(), last.value.as_str()),
            ("not understood", expected)
        );
        let mut redacted = frame.clone();
        inspector.redact(&mut redacted);
        assert!(!redacted.windows(4).any(|part| part == b"secr"));
    }
    for (frames, expected) in [
        (&b"x"[..], "not an XLogData frame: copy-data tag, byte 0"),
        (b"d\0\0", "truncated message: length, byte 1"),
        (b"d\0\0\0\xFFw", "not an XLogData frame: length, byte 1"),
        (
            b"d\0\0\0\x05k",
            "not an XLogData frame: xlog-data tag, byte 5",
        ),
        (b"d\0\0\0\x05w", "truncated message: start lsn, byte 6"),
    ] {
        let found = Inspector::new().messages(frames);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].problem.as_deref(), Some(expected));
    }
}

#[test]
fn long_values_are_cut_and_long_lists_too() {
    let mut inspector = Inspector::new();
    let long = Message::new(b'M')
        .u8(0)
        .u64(0)
        .cstr(&"ü".repeat(257))
        .sized(b"\xFF");
    let shown = fields(&mut inspector, &long);
    assert_eq!(shown[3], format!("prefix={}…", "ü".repeat(255)));
    assert_eq!(shown[5], "content=\u{FFFD}");
    let mut truncate = Message::new(b'T').u32(5000).u8(0);
    for oid in 0..5000 {
        truncate = truncate.u32(oid);
    }
    let shown = fields(&mut inspector, &truncate);
    assert_eq!(shown.len(), 3 + 4096 + 1);
    assert_eq!(shown.last().unwrap(), "relation oids=5000");
    let message = &inspector.messages(&truncate.frame(1))[0];
    assert_eq!(
        (message.relations.len(), message.problem.as_ref()),
        (4096, None)
    );
}

#[test]
fn an_update_of_a_key_stays_one() {
    let update = |old: &str, new: &str| {
        let [old, new] = [old, new].map(|text| Cell::Text(text.into()));
        let message = Message::new(b'U').u32(RELATION);
        message.tuple(b'K', &[old]).tuple(b'N', &[new]).frame(1)
    };
    let mut inspector = Inspector::new();
    inspector.messages(&relation().frame(0));
    for (old, new, redacted_old, redacted_new) in [
        ("42", "43", "21", "11"),
        ("42", "42", "11", "11"),
        ("4", "43", "2", "11"),
    ] {
        let mut frame = update(old, new);
        inspector.redact(&mut frame);
        assert_eq!(frame, update(redacted_old, redacted_new));
    }
}
