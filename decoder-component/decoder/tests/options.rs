//! What Debezium's options do to whole events, beyond what the golden vectors show.
#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test may fail by panicking")]

use pgoutput_decoder::{
    ColumnFacts, Decoder, Facts, Options, RelationFacts, Stop, TypeFacts, TypeKind,
};

const INT4: u32 = 23;
const TEXT: u32 = 25;
const NUMERIC: u32 = 1700;
/// A domain over text that is NOT NULL.
const LABEL: u32 = 30_000;

/// A cell of a tuple, as the protocol has it.
#[derive(Clone, Copy)]
enum Cell {
    Null,
    Unchanged,
    Text(&'static str),
    Binary(&'static [u8]),
}

use Cell::{Binary, Null, Text, Unchanged};

/// A stream about the table `public.t (id int primary key, v text, n numeric default 0, l label)`.
struct Stream {
    decoder: Decoder,
    records: Vec<u8>,
    asked: usize,
}

/// An event: its op, key, value and headers as text.
#[derive(Debug, PartialEq)]
struct Event {
    op: char,
    key: String,
    value: String,
    headers: String,
}

impl Stream {
    fn new(options: &[(&str, &str)]) -> Self {
        let mut stream = Self {
            decoder: Decoder::new(Options::parse(options.iter().copied()).unwrap()),
            records: Vec::new(),
            asked: 0,
        };
        let mut begin = vec![b'B'];
        begin.extend(1000_u64.to_be_bytes());
        begin.extend([0; 8]);
        begin.extend(7_u32.to_be_bytes());
        stream.send(&begin);
        stream.announce(1, "t", COLUMNS);
        stream
    }

    fn announce(&mut self, oid: u32, table: &str, columns: &[(&str, u32)]) {
        let mut relation = vec![b'R'];
        relation.extend(oid.to_be_bytes());
        relation.extend(b"public\0");
        relation.extend(table.as_bytes());
        relation.extend(b"\0d\0");
        relation.push(u8::try_from(columns.len()).unwrap());
        for (name, type_oid) in columns {
            relation.push(u8::from(*name == "id"));
            relation.extend(name.as_bytes());
            relation.push(0);
            relation.extend(type_oid.to_be_bytes());
            relation.extend((-1_i32).to_be_bytes());
        }
        self.send(&relation);
    }

    fn insert(&mut self, new: [Cell; 4]) {
        self.send(&[b"I\0\0\0\x01".as_slice(), &tuple(b'N', new)].concat());
    }

    /// With the whole old row.
    fn update(&mut self, old: [Cell; 4], new: [Cell; 4]) {
        self.send(
            &[
                b"U\0\0\0\x01".as_slice(),
                &tuple(b'O', old),
                &tuple(b'N', new),
            ]
            .concat(),
        );
    }

    /// With the key alone.
    fn delete(&mut self, id: &'static str) {
        let old = tuple(b'K', [Text(id), Null, Null, Null]);
        self.send(&[b"D\0\0\0\x01".as_slice(), &old].concat());
    }

    fn message(&mut self, transactional: bool, prefix: &str) {
        let mut message = vec![b'M', u8::from(transactional)];
        message.extend(500_u64.to_be_bytes());
        message.extend(prefix.as_bytes());
        message.extend([0, 0, 0, 0, 0]);
        self.send(&message);
    }

    fn commit(&mut self) {
        let mut commit = vec![b'C', 0];
        commit.extend(1000_u64.to_be_bytes());
        commit.extend(1008_u64.to_be_bytes());
        commit.extend([0; 8]);
        self.send(&commit);
    }

    fn send(&mut self, message: &[u8]) {
        let mut frame = vec![b'd'];
        frame.extend(u32::try_from(message.len() + 29).unwrap().to_be_bytes());
        frame.push(b'w');
        frame.extend(500_u64.to_be_bytes());
        frame.extend([0; 16]);
        frame.extend(message);
        let mut decoded = self.decoder.decode(&frame, 0, &mut self.records);
        if let Some(Stop::Unknown(_)) = decoded.stop {
            self.asked += 1;
            self.decoder.learn(facts());
            decoded = self.decoder.decode(&frame, 0, &mut self.records);
        }
        assert_eq!(decoded.stop, None);
    }

    /// The events since the last call.
    fn events(&mut self) -> Vec<Event> {
        let records = std::mem::take(&mut self.records);
        let mut rest = records.as_slice();
        let mut events = Vec::new();
        while !rest.is_empty() {
            let field = |at: usize| {
                let field = u32::from_le_bytes(rest[at..at + 4].try_into().unwrap());
                usize::try_from(field).unwrap()
            };
            let (record, behind) = rest.split_at(field(0));
            if record[4] == 4 {
                let mut parts = &record[88..];
                let mut part = |at| {
                    let (part, behind) = parts.split_at(field(at));
                    parts = behind;
                    String::from_utf8(part.to_vec()).unwrap()
                };
                events.push(Event {
                    op: char::from(record[5]),
                    key: part(48),
                    value: part(52),
                    headers: part(56),
                });
            }
            rest = behind;
        }
        events
    }

    /// The only event's value.
    fn value(&mut self) -> String {
        let events = self.events();
        assert_eq!(events.len(), 1, "{events:?}");
        events[0].value.clone()
    }
}

const COLUMNS: &[(&str, u32)] = &[("id", INT4), ("v", TEXT), ("n", NUMERIC), ("l", LABEL)];

const ODD_COLUMNS: &[(&str, u32)] = &[("'q'", INT4), ("a-b", INT4)];

fn tuple(kind: u8, cells: [Cell; 4]) -> Vec<u8> {
    let mut tuple = vec![kind, 0, 4];
    for cell in cells {
        match cell {
            Null => tuple.push(b'n'),
            Unchanged => tuple.push(b'u'),
            Text(_) | Binary(_) => {
                let (kind, value) = match cell {
                    Binary(value) => (b'b', value),
                    Text(text) => (b't', text.as_bytes()),
                    Null | Unchanged => unreachable!(),
                };
                tuple.push(kind);
                tuple.extend(u32::try_from(value.len()).unwrap().to_be_bytes());
                tuple.extend(value);
            }
        }
    }
    tuple
}

fn facts() -> Facts {
    let column = |(name, type_oid): &(&str, u32)| ColumnFacts {
        name: (*name).into(),
        type_oid: *type_oid,
        typmod: -1,
        not_null: matches!(*name, "id" | "l"),
        default: (*name == "n").then(|| "0".into()),
    };
    let label = TypeFacts {
        oid: LABEL,
        namespace: "public".into(),
        name: "label".into(),
        kind: TypeKind::Domain,
        element: 0,
        delimiter: ',',
        base: TEXT,
        base_typmod: -1,

        subtype: 0,
        labels: vec![],
        attributes: vec![],
    };
    let relation = |(oid, name, columns, key): (u32, &str, &[(&str, u32)], &str)| RelationFacts {
        oid,
        namespace: "public".into(),
        name: name.into(),
        columns: columns.iter().map(column).collect(),
        primary_key: vec![key.into()],
        unique_indexes: vec![],
    };
    Facts {
        types: vec![label],
        relations: [
            (1, "t", COLUMNS, "id"),
            (2, "u", COLUMNS, "id"),
            (3, "odd", ODD_COLUMNS, "'q'"),
        ]
        .map(relation)
        .into(),
    }
}

/// What stands between the first `start` and the next `end`.
fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    text.split_once(start).unwrap().1.split_once(end).unwrap().0
}

fn after(value: &str) -> &str {
    between(value, "\"after\":", ",\"source\"")
}

const ROW: [Cell; 4] = [Text("1"), Text("secret"), Text("1.5"), Text("x")];

#[test]
fn tables_left_out_are_not_asked_about_and_have_no_events() {
    let mut stream = Stream::new(&[
        ("table.exclude.list", "PUBLIC\\.t"),
        ("provide.transaction.metadata", "true"),
        ("skipped.operations", "none"),
    ]);
    stream.insert(ROW);
    stream.delete("1");
    stream.send(b"T\0\0\0\x01\0\0\0\0\x01");
    stream.commit();
    assert_eq!(stream.asked, 0);
    let events = stream.events();
    assert_eq!(events.len(), 2);
    let end = "\"event_count\":0,\"data_collections\":[]";
    assert!(events[1].value.contains(end), "{}", events[1].value);
}

#[test]
fn a_truncate_of_several_tables_has_events_for_those_chosen() {
    let mut stream = Stream::new(&[
        ("table.include.list", "public\\.u"),
        ("skipped.operations", "none"),
    ]);
    stream.announce(2, "u", COLUMNS);
    stream.send(b"T\0\0\0\x02\0\0\0\0\x01\0\0\0\x02");
    assert!(stream.value().contains("\"table\":\"u\""));
}

#[test]
fn columns_left_out_stay_in_the_key() {
    let mut stream = Stream::new(&[("column.include.list", "public\\.t\\.(v|l)")]);
    stream.insert(ROW);
    let events = stream.events();
    assert_eq!(events[0].key, "{\"id\":1}");
    assert_eq!(after(&events[0].value), r#"{"v":"secret","l":"x"}"#);
}

#[test]
fn masked_values_stay_in_the_key() {
    let mut stream = Stream::new(&[
        ("column.mask.with.2.chars", "public.t.*"),
        ("message.key.columns", "public.t:v,id"),
    ]);
    stream.insert(ROW);
    stream.insert([Text("2"), Null, Null, Text("y")]);
    let events = stream.events();
    assert_eq!(events[0].key, r#"{"v":"secret","id":1}"#);
    assert_eq!(
        after(&events[0].value),
        r#"{"id":1,"v":"**","n":{"scale":1,"value":"Dw=="},"l":"**"}"#
    );
    assert!(after(&events[1].value).contains("\"v\":\"**\""));
}

#[test]
fn what_is_not_sent_is_mapped_too() {
    let mut stream = Stream::new(&[
        ("column.truncate.to.3.chars", "public.t.v"),
        ("column.mask.hash.v2.MD5.with.salt.x", "public.t.l"),
    ]);
    stream.insert([Text("1"), Unchanged, Null, Text("a")]);
    assert_eq!(between(&stream.value(), "\"v\":\"", "\""), "__d");
    stream.delete("1");
    let value = stream.events().remove(0).value;
    // The MD5 of "x": the domain is NOT NULL, so its text is empty where it is not sent.
    let hash = "9dd4e461268c8034f5c8564e155c67a6";
    let before = between(&value, "\"before\":", ",\"after\"");
    assert!(before.contains("\"v\":null"), "{before}");
    assert!(before.contains(&format!("\"l\":\"{hash}\"")), "{before}");
}

#[test]
fn rules_by_type_come_before_hashes() {
    let hash = ("column.mask.hash.MD5.with.salt.x", "public.t.(v|l)");
    let mut stream = Stream::new(&[hash, ("datatype.propagate.source.type", ".*\\.label")]);
    stream.insert(ROW);
    let value = stream.value();
    assert!(value.contains("\"l\":\"x\"") && !value.contains("secret"));
}

#[test]
fn a_toasted_part_of_the_key_is_taken_from_the_old_row() {
    let mut stream = Stream::new(&[("message.key.columns", "public.t:v")]);
    let mut new = ROW;
    new[1] = Unchanged;
    new[2] = Text("2");
    stream.update(ROW, new);
    let events = stream.events();
    assert_eq!(events.len(), 1);
    assert_eq!(
        (events[0].op, events[0].key.as_str()),
        ('u', "{\"v\":\"secret\"}")
    );
}

#[test]
fn updates_without_a_change_are_left_out() {
    let options = [
        ("skip.messages.without.change", "true"),
        ("column.exclude.list", "public.t.v"),
    ];
    let mut stream = Stream::new(&options);
    let with = |at: usize, cell| {
        let mut row = ROW;
        row[at] = cell;
        row
    };
    stream.update(ROW, ROW);
    stream.update(ROW, with(1, Text("another")));
    stream.update(ROW, with(2, Text("1.50")));
    stream.update(ROW, with(3, Unchanged));
    assert_eq!(stream.events(), []);
    stream.update(ROW, with(3, Text("y")));
    assert_eq!(stream.events().len(), 1);
    // NULL is shown as the default, and yet another value.
    stream.update(with(2, Null), with(2, Text("0")));
    assert_eq!(stream.events().len(), 1);
    stream.update(with(2, Null), with(2, Text("NaN")));
    assert_eq!(stream.events(), []);
}

#[test]
fn messages_left_out_still_count_as_commits() {
    let mut stream = Stream::new(&[("message.prefix.include.list", "a.*")]);
    stream.message(true, "b");
    stream.message(false, "b");
    assert_eq!(stream.events(), []);
    stream.message(true, "abc");
    let value = stream.value();
    assert_eq!(between(&value, "\"sequence\":\"", ","), "[\\\"500\\\"");
}

/// What an insert into a table with odd names becomes.
fn odd_names(options: &[(&str, &str)]) -> Event {
    let mut stream = Stream::new(options);
    stream.announce(3, "odd", ODD_COLUMNS);
    stream.send(b"I\0\0\0\x03N\0\x02t\0\0\0\x011t\0\0\0\x012");
    stream.events().remove(0)
}

#[test]
fn names_are_adjusted_in_rows_and_keys() {
    let event = odd_names(&[("field.name.adjustment.mode", "avro")]);
    assert_eq!(event.key, r#"{"_q_":1}"#);
    assert_eq!(after(&event.value), r#"{"_q_":1,"a_b":2}"#);
}

#[test]
fn names_in_quotes_lose_them_under_strict_compatibility() {
    let event = odd_names(&[]);
    assert_eq!(event.key, r#"{"'q'":1}"#);
    let event = odd_names(&[("debezium.compatibility", "strict")]);
    assert_eq!(event.key, "");
    assert_eq!(after(&event.value), r#"{"q":1,"a-b":2}"#);
}

#[test]
fn decimals_as_numbers() {
    let mut stream = Stream::new(&[
        ("converter.decimal.format", "numeric"),
        ("column.include.list", "public.t.n"),
    ]);
    stream.insert(ROW);
    // Without a scale of its own the type stays a structure.
    assert_eq!(
        after(&stream.value()),
        r#"{"n":{"scale":1,"value":"Dw=="}}"#
    );
}

const UNWRAP: [(&str, &str); 2] = [
    ("transforms", "flat"),
    (
        "transforms.flat.type",
        "io.debezium.transforms.ExtractNewRecordState",
    ),
];

#[test]
fn unwrapped_deletes_are_tombstones_and_truncates_nothing() {
    let [name, class] = UNWRAP;
    let mut stream = Stream::new(&[name, class, ("skipped.operations", "none")]);
    stream.delete("1");
    stream.send(b"T\0\0\0\x01\0\0\0\0\x01");
    stream.message(true, "m");
    let events = stream.events();
    assert_eq!(events.len(), 2);
    assert_eq!((events[0].op, events[0].value.as_str()), ('d', ""));
    assert!(events[1].value.contains("\"op\":\"m\""));
}

#[test]
fn unwrapped_events_have_the_fields_and_headers_asked_for() {
    let [name, class] = UNWRAP;
    let mut stream = Stream::new(&[
        name,
        class,
        ("transforms.flat.add.fields", "op,source.lsn:at"),
        ("transforms.flat.add.headers", "op,table"),
        (
            "transforms.flat.delete.tombstone.handling.mode",
            "rewrite-with-tombstone",
        ),
        ("extended.headers.enabled", "false"),
        ("column.include.list", "public.t.(id|l)"),
    ]);
    stream.insert(ROW);
    stream.delete("1");
    let event = |op, value: &str, headers: &str| Event {
        op,
        key: "{\"id\":1}".into(),
        value: value.into(),
        headers: headers.into(),
    };
    assert_eq!(
        stream.events(),
        [
            event(
                'c',
                r#"{"id":1,"l":"x","__deleted":"false","__op":"c","__at":500}"#,
                r#"{"__op":"c","__table":"t"}"#
            ),
            event(
                'd',
                r#"{"id":1,"l":"","__deleted":"true","__op":"d","__at":500}"#,
                r#"{"__op":"d","__table":"t"}"#
            ),
            event('\0', "", r#"{"__op":"d","__table":"t"}"#),
        ]
    );
}

#[test]
fn key_changes_name_the_other_key_without_context_headers() {
    let mut stream = Stream::new(&[("extended.headers.enabled", "false")]);
    let mut new = ROW;
    new[0] = Text("2");
    stream.update(ROW, new);
    let events = stream.events();
    assert_eq!(events.len(), 3);
    assert_eq!(events[0].headers, r#"{"__debezium.newkey":{"id":2}}"#);
    assert_eq!(events[2].headers, r#"{"__debezium.oldkey":{"id":1}}"#);
}

#[test]
fn options_of_debeziums_without_a_meaning_here_are_noticed() {
    for name in [
        "connector.class",
        "driver.tcpKeepAlive",
        "errors.max.retries",
        "guardrail.collections.max",
        "offset.mismatch.strategy",
        "replica.identity.autoset.values",
        "slot.failover",
        "topic.heartbeat.prefix",
        "unknown.properties.ignored",
    ] {
        let options = Options::parse([(name, "x")]).unwrap();
        assert_eq!(options.ignored(), [name]);
    }
    for (name, value) in [
        ("converters", "isbn"),
        ("post.processors", "reselector"),
        ("topic.naming.strategy", "mine.Strategy"),
        ("debezium.compatibility", "loose"),
        ("field.name.adjustment.mode", "snake"),
        ("converter.decimal.format", "text"),
        ("table.include.lists", "x"),
    ] {
        assert_eq!(Options::parse([(name, value)]).unwrap_err().name, name);
    }
    assert!(Options::parse([("debezium.compatibility", "strict")]).is_ok());
}

/// `ROW` in its types' binary send formats.
const BINARY_ROW: [Cell; 4] = [
    Binary(&[0, 0, 0, 1]),
    Binary(b"secret"),
    // Two digits of base 10,000, the first before the point; one decimal place.
    Binary(&[0, 2, 0, 0, 0, 0, 0, 1, 0, 1, 0x13, 0x88]),
    Binary(b"x"),
];

#[test]
fn binary_values_are_mapped_and_compared_as_their_text_is() {
    for options in [
        &[
            ("column.mask.with.2.chars", "public.t.v"),
            ("schemas.enable", "true"),
        ][..],
        &[("column.mask.hash.SHA-512.with.salt.x", ".*\\.(v|l)")],
        &[("column.truncate.to.3.chars", ".*"), ("format", "native")],
        &[("column.mask.with.4.chars", ".*"), ("format", "native")],
        &[
            ("skip.messages.without.change", "true"),
            ("column.exclude.list", "public.t.v"),
        ],
    ] {
        let mut texts = Stream::new(options);
        let mut other = ROW;
        other[1] = Text("other");
        texts.insert(ROW);
        texts.update(other, ROW);
        let mut binary = Stream::new(options);
        let mut other = BINARY_ROW;
        other[1] = Binary(b"other");
        binary.insert(BINARY_ROW);
        binary.update(other, BINARY_ROW);
        let events = texts.events();
        assert_eq!(events, binary.events());
        let skips = options[0].0.starts_with("skip");
        assert_eq!(events.len(), if skips { 1 } else { 2 }, "{options:?}");
    }
}

#[test]
fn schemas_tell_of_mappings_but_in_keys() {
    let mut stream = Stream::new(&[
        ("schemas.enable", "true"),
        ("column.mask.with.2.chars", "public.t.(id|v)"),
        ("column.mask.hash.v2.MD5.with.salt.x", "public.t.v"),
        ("column.truncate.to.5.chars", "public.t.l"),
        ("datatype.propagate.source.type", "public.t.(numeric|label)"),
        ("message.key.columns", "public.t:v"),
    ]);
    stream.insert(ROW);
    let events = stream.events();
    let row = between(&events[0].value, "\"fields\":[", "\"field\":\"before\"");
    for field in [
        r#"{"type":"int32","optional":false,"parameters":{"masked":"true"},"field":"id"}"#,
        r#"{"type":"string","optional":true,"parameters":{"masked":"true"},"field":"v"}"#,
        r#"{"type":"string","optional":false,"parameters":{"truncateLength":"5"},"field":"l"}"#,
        r#""__debezium.source.column.type":"NUMERIC""#,
    ] {
        assert!(row.contains(field), "{row} has {field}");
    }
    assert!(
        events[0]
            .key
            .contains(r#"{"type":"string","optional":true,"field":"v"}"#)
    );
}

#[test]
fn names_are_adjusted_in_rows_keys_and_schemas() {
    let mut stream = Stream::new(&[
        ("schemas.enable", "true"),
        ("field.name.adjustment.mode", "avro_unicode"),
        ("schema.name.adjustment.mode", "avro"),
        ("topic.prefix", "1-x"),
    ]);
    stream.announce(3, "odd", ODD_COLUMNS);
    stream.events();
    let cells = [b't', 0, 0, 0, 1, b'7', b't', 0, 0, 0, 1, b'8'];
    stream.send(&[b"I\0\0\0\x03N\0\x02".as_slice(), &cells].concat());
    let events = stream.events();
    assert!(
        events[0]
            .key
            .contains(r#""name":"_1_x.public.odd.Key"},"payload":{"_u0027q_u0027":7}"#)
    );
    assert!(
        events[0]
            .value
            .contains(r#""name":"_1_x.public.odd.Envelope""#)
    );
    assert!(events[0].value.contains(r#""field":"a_u002db"}"#));
    assert!(
        events[0]
            .value
            .contains(r#""after":{"_u0027q_u0027":7,"a_u002db":8}"#)
    );
}

#[test]
fn a_null_in_the_key_is_not_its_default() {
    let mut stream = Stream::new(&[("message.key.columns", "public.t:n")]);
    let with = |n| [Text("1"), Text("v"), n, Text("x")];
    stream.update(with(Null), with(Text("0")));
    let ops: String = stream.events().iter().map(|event| event.op).collect();
    assert_eq!(ops, "d\0c");
    stream.update(with(Text("0")), with(Text("0.0")));
    stream.update(with(Null), with(Null));
    let ops: String = stream.events().iter().map(|event| event.op).collect();
    assert_eq!(ops, "uu", "what differs in words alone does not differ");
}

#[test]
fn unwrapped_events_have_schemas_of_their_own() {
    let delete = |mode: &'static str| {
        let [name, class] = UNWRAP;
        let mut stream = Stream::new(&[
            name,
            class,
            ("schemas.enable", "true"),
            ("column.include.list", "public.t.(id|l)"),
            ("transforms.flat.add.fields", "op,source.snapshot,before.l"),
            ("transforms.flat.add.headers", "lsn"),
            ("transforms.flat.delete.tombstone.handling.mode", mode),
        ]);
        stream.delete("1");
        stream.events()
    };
    let columns = concat!(
        r#"{"schema":{"type":"struct","fields":["#,
        r#"{"type":"int32","optional":false,"field":"id"},"#,
        r#"{"type":"string","optional":false,"field":"l"}"#
    );
    let name = r#""name":"pgoutput-decoder.public.t.Value"},"payload":"#;
    let events = delete("tombstone");
    assert_eq!(events.len(), 1);
    assert_eq!(
        events[0].value,
        format!(r#"{columns}],"optional":true,{name}null}}"#)
    );
    let header = r#""__lsn":{"schema":{"type":"int64","optional":true},"payload":500}"#;
    assert!(events[0].headers.contains(header), "{}", events[0].headers);
    assert_eq!(delete("delete-to-tombstone")[0].value, "");
    assert!(delete("drop").is_empty());
    let added = concat!(
        r#",{"type":"string","optional":true,"field":"__deleted"},"#,
        r#"{"type":"string","optional":true,"field":"__op"},"#,
        r#"{"type":"string","optional":true,"name":"io.debezium.data.Enum","version":1,"#,
        r#""parameters":{"allowed":"true,first,first_in_data_collection,"#,
        r#"last_in_data_collection,last,false,incremental"},"field":"__source_snapshot"},"#,
        r#"{"type":"string","optional":true,"field":"__before_l"}"#
    );
    let row = concat!(
        r#"{"id":1,"l":"","__deleted":"true","__op":"d","#,
        r#""__source_snapshot":null,"__before_l":""}}"#
    );
    assert_eq!(
        delete("rewrite")[0].value,
        format!(r#"{columns}{added}],"optional":false,{name}{row}"#)
    );
}
