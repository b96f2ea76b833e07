//! What the measurements decode: tables that change, and a decoder that has seen them.

pub(crate) mod family;

use std::hint::black_box;

use pgoutput_decoder_host::engine::{
    Attribute, ColumnFacts, Decoded, Engine, EngineKind, Facts, RelationFacts, TypeFacts, TypeKind,
};
use pgoutput_decoder_host::records::TopicTable;

use self::family::Family;

/// The largest call the host makes.
pub(crate) const BATCH_BYTES: usize = 64 << 10;
/// 2026-11-21, in µs since 1970-01-01.
pub(crate) const NOW_US: i64 = 1_795_219_200_000_000;
/// Values of a row, besides its key, of a table made of types.
pub(crate) const VALUES: usize = 20;

const CHANGES_PER_TRANSACTION: u32 = 100;
const RELATION_OID: u32 = 16_384;
const BOOL: u32 = 16;
const INT8: u32 = 20;
const INT4: u32 = 23;
const TEXT: u32 = 25;
const TEXT_ARRAY: u32 = 1009;
const VARCHAR: u32 = 1043;
const TIMESTAMP: u32 = 1114;
const TIMESTAMPTZ: u32 = 1184;
const NUMERIC: u32 = 1700;
const JSONB: u32 = 3802;
/// A type of the user's own: (int4, text).
const COMPOSITE: u32 = 20_003;
/// numeric(10,2) as a type modifier.
const PRECISION_10_SCALE_2: i32 = ((10 << 16) | 2) + 4;

/// A table and how it changes.
pub(crate) struct Workload {
    pub(crate) name: String,
    /// Name, type OID and type modifier.
    columns: Vec<(String, u32, i32)>,
    full: bool,
    row: Box<dyn Fn(u32) -> Vec<Value>>,
    operation: fn(u32) -> Operation,
}

/// As the server sends it, `proto_version` 1 and up.
#[derive(Clone)]
pub(crate) enum Value {
    Text(String),
    Binary(Vec<u8>),
}

#[derive(Clone, Copy)]
pub(crate) enum Operation {
    Insert,
    Update,
    Delete,
}

/// In which of the two forms values are sent, where they differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Text,
    Binary,
}

impl Workload {
    /// W1, W2 and W3.
    pub(crate) fn all() -> [Self; 3] {
        [Self::narrow(), Self::mixed(), Self::wide()]
    }

    /// W1: six columns, inserts.
    pub(crate) fn narrow() -> Self {
        Self {
            name: "W1 6 columns, inserts".to_owned(),
            columns: columns(&[
                ("id", INT8, -1),
                ("note", TEXT, -1),
                ("name", VARCHAR, 104),
                ("total", NUMERIC, PRECISION_10_SCALE_2),
                ("paid", BOOL, -1),
                ("created_at", TIMESTAMPTZ, -1),
            ]),
            full: false,
            row: texts(|n| {
                vec![
                    (100_000 + n).to_string(),
                    format!("note {n}: leave it at the door"),
                    format!("customer-{}", n % 1000),
                    format!("{}.{:02}", n % 10_000, n % 100),
                    if n % 2 == 0 { "t" } else { "f" }.to_owned(),
                    format!(
                        "2026-11-21 06:{:02}:{:02}.{:06}+00",
                        n / 60 % 60,
                        n % 60,
                        n % 999_983
                    ),
                ]
            }),
            operation: |_| Operation::Insert,
        }
    }

    /// W2: inserts, updates and deletes under REPLICA IDENTITY FULL, with jsonb and text[].
    fn mixed() -> Self {
        Self {
            name: "W2 I/U/D, FULL, jsonb, text[]".to_owned(),
            columns: columns(&[
                ("id", INT8, -1),
                ("name", TEXT, -1),
                ("attrs", JSONB, -1),
                ("tags", TEXT_ARRAY, -1),
                ("credit", NUMERIC, PRECISION_10_SCALE_2),
                ("updated_at", TIMESTAMPTZ, -1),
            ]),
            full: true,
            row: texts(|n| {
                vec![
                    n.to_string(),
                    format!("product {n}"),
                    format!(
                        "{{\"size\": {}, \"colour\": \"blue\", \"sold\": false}}",
                        n % 50
                    ),
                    format!("{{new,sale,\"batch {}\"}}", n % 7),
                    format!("{}.50", n % 1000),
                    format!("2026-11-21 06:{:02}:{:02}.5+00", n / 60 % 60, n % 60),
                ]
            }),
            operation: |n| match n % 10 {
                0..5 => Operation::Insert,
                5..9 => Operation::Update,
                _ => Operation::Delete,
            },
        }
    }

    /// W3: forty columns, inserts.
    fn wide() -> Self {
        let types = [
            ("count", INT4, -1),
            ("text", TEXT, -1),
            ("amount", NUMERIC, PRECISION_10_SCALE_2),
            ("at", TIMESTAMP, -1),
        ];
        let types = types.iter().cycle().take(40).enumerate();
        Self {
            name: "W3 40 columns, inserts".to_owned(),
            columns: types
                .map(|(index, (name, oid, typmod))| (format!("{name}_{index}"), *oid, *typmod))
                .collect(),
            full: false,
            row: texts(|n| {
                (0..10)
                    .flat_map(|i| {
                        [
                            (n + i).to_string(),
                            format!("value {i} of {n}"),
                            format!("{}.{i}5", n % 10_000),
                            format!("2026-11-21 06:{:02}:{i:02}.{:06}", n % 60, n % 999_983),
                        ]
                    })
                    .collect()
            }),
            operation: |_| Operation::Insert,
        }
    }

    /// A key and [`VALUES`] columns, whose types are these by turns; inserts.
    pub(crate) fn of_types(name: &str, families: &'static [Family], form: Form) -> Self {
        let by_turns = || families.iter().cycle().take(VALUES);
        let types = by_turns().enumerate();
        let types =
            types.map(|(index, family)| (format!("c{index}"), family.type_oid, family.typmod));
        Self {
            name: name.to_owned(),
            columns: [("id".to_owned(), INT4, -1)]
                .into_iter()
                .chain(types)
                .collect(),
            full: false,
            row: Box::new(move |n| {
                let values = (0..)
                    .zip(by_turns())
                    .map(|(i, family)| family.value(n + i, form));
                [Value::Text(n.to_string())]
                    .into_iter()
                    .chain(values)
                    .collect()
            }),
            operation: |_| Operation::Insert,
        }
    }

    /// A key and one text, the same in every row.
    pub(crate) fn of_text(text: String) -> Self {
        Self {
            name: String::new(),
            columns: columns(&[("id", INT4, -1), ("text", TEXT, -1)]),
            full: false,
            row: Box::new(move |n| vec![Value::Text(n.to_string()), Value::Text(text.clone())]),
            operation: |_| Operation::Insert,
        }
    }

    /// A key alone, and one operation.
    pub(crate) fn of_operation(operation: fn(u32) -> Operation) -> Self {
        Self {
            name: String::new(),
            columns: columns(&[("id", INT4, -1)]),
            full: true,
            row: texts(|n| vec![n.to_string()]),
            operation,
        }
    }

    pub(crate) fn facts(&self) -> Facts {
        let columns = self
            .columns
            .iter()
            .enumerate()
            .map(|(index, (name, type_, typmod))| ColumnFacts {
                name: name.clone(),
                type_: *type_,
                typmod: *typmod,
                not_null: index == 0,
                default: None,
            });
        let relation = RelationFacts {
            oid: RELATION_OID,
            namespace: "public".to_owned(),
            name: "orders".to_owned(),
            columns: columns.collect(),
            primary_key: self
                .columns
                .iter()
                .take(1)
                .map(|(name, ..)| name.clone())
                .collect(),
            unique_indexes: Vec::new(),
        };
        Facts {
            types: vec![composite()],
            relations: vec![relation],
        }
    }

    /// The stream: transactions of [`CHANGES_PER_TRANSACTION`], the Relation known.
    pub(crate) fn frames(&self, changes: u32) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        for n in 0..changes {
            if n % CHANGES_PER_TRANSACTION == 0 {
                frames.push(begin(n));
            }
            frames.push(frame(&self.change(n)));
            if (n + 1) % CHANGES_PER_TRANSACTION == 0 {
                frames.push(commit(n));
            }
        }
        frames
    }

    pub(crate) fn relation(&self) -> Vec<u8> {
        let identity = if self.full { b"f" } else { b"d" };
        let mut message = [
            b"R",
            &RELATION_OID.to_be_bytes()[..],
            b"public\0orders\0",
            identity,
        ]
        .concat();
        message.extend(u16::try_from(self.columns.len()).unwrap().to_be_bytes());
        for (index, (name, type_oid, typmod)) in self.columns.iter().enumerate() {
            message.push(u8::from(self.full || index == 0));
            message.extend(name.bytes());
            message.push(0);
            message.extend(type_oid.to_be_bytes());
            message.extend(typmod.to_be_bytes());
        }
        message
    }

    pub(crate) fn change(&self, n: u32) -> Vec<u8> {
        let oid = RELATION_OID.to_be_bytes();
        let row = (self.row)(n);
        let new = tuple(&row);
        let old = || {
            let mut old = (self.row)(n + 1);
            old[0].clone_from(&row[0]);
            tuple(&old)
        };
        match (self.operation)(n) {
            Operation::Insert => [b"I", &oid[..], b"N", &new].concat(),
            Operation::Update => [b"U", &oid[..], b"O", &old(), b"N", &new].concat(),
            Operation::Delete => [b"D", &oid[..], b"O", &old()].concat(),
        }
    }
}

/// A decoder that has seen a workload's Relation, and who reads its records.
pub(crate) struct Bench {
    pub(crate) engine: Engine,
    pub(crate) topics: TopicTable,
}

impl Bench {
    pub(crate) fn open(kind: EngineKind, workload: &Workload, format: &str) -> Self {
        let options = [("format".to_owned(), format.to_owned())];
        let mut engine = Engine::open(kind, &options).unwrap();
        engine.learn(&workload.facts()).unwrap();
        let frames = [
            begin(0),
            frame(&workload.relation()),
            frame(&workload.change(0)),
            commit(0),
        ];
        let mut bench = Self {
            engine,
            topics: TopicTable::default(),
        };
        let decoded = bench.decode(&frames.concat());
        bench.topics.read(decoded.records).unwrap();
        bench
    }

    pub(crate) fn decode(&mut self, batch: &[u8]) -> Decoded {
        let decoded = self.engine.decode(batch, NOW_US).unwrap();
        assert_eq!((decoded.consumed, &decoded.stop), (batch.len(), &None));
        decoded
    }

    /// The host's own part, records to events: how many changes they have.
    pub(crate) fn read(&mut self, records: Vec<u8>) -> u32 {
        let events = self.topics.read(records).unwrap().events();
        events
            .map(|event| u32::from(black_box(event.value()).is_some()))
            .sum()
    }
}

/// Whole frames, as many as fit and at least one.
pub(crate) fn batches(frames: &[Vec<u8>], batch_bytes: usize) -> Vec<Vec<u8>> {
    let mut batches: Vec<Vec<u8>> = Vec::new();
    for frame in frames {
        match batches.last_mut() {
            Some(batch) if batch.len() + frame.len() <= batch_bytes => batch.extend(frame),
            _ => batches.push(frame.clone()),
        }
    }
    batches
}

pub(crate) fn begin(n: u32) -> Vec<u8> {
    frame(&[b"B", &commit_lsn(n)[..], &[0; 8], &(742 + n).to_be_bytes()].concat())
}

pub(crate) fn commit(n: u32) -> Vec<u8> {
    frame(&[b"C\0", &commit_lsn(n)[..], &commit_lsn(n), &[0; 8]].concat())
}

fn commit_lsn(n: u32) -> [u8; 8] {
    (0x0150_0000 + u64::from(n / CHANGES_PER_TRANSACTION)).to_be_bytes()
}

/// One pgoutput message as the server sends it: `XLogData` in `CopyData`.
pub(crate) fn frame(message: &[u8]) -> Vec<u8> {
    let copy_data = u32::try_from(29 + message.len()).unwrap().to_be_bytes();
    let lsn = 0x0150_0000_u64.to_be_bytes();
    [b"d", &copy_data[..], b"w", &lsn, &lsn, &[0; 8], message].concat()
}

fn columns(columns: &[(&str, u32, i32)]) -> Vec<(String, u32, i32)> {
    columns
        .iter()
        .map(|(name, oid, typmod)| ((*name).to_owned(), *oid, *typmod))
        .collect()
}

fn texts(row: fn(u32) -> Vec<String>) -> Box<dyn Fn(u32) -> Vec<Value>> {
    Box::new(move |n| row(n).into_iter().map(Value::Text).collect())
}

fn tuple(row: &[Value]) -> Vec<u8> {
    let mut tuple = u16::try_from(row.len()).unwrap().to_be_bytes().to_vec();
    for value in row {
        let (form, bytes) = match value {
            Value::Text(text) => (b't', text.as_bytes()),
            Value::Binary(bytes) => (b'b', &bytes[..]),
        };
        tuple.push(form);
        tuple.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
        tuple.extend(bytes);
    }
    tuple
}

fn composite() -> TypeFacts {
    let attribute = |(name, type_): (&str, u32)| Attribute {
        name: name.to_owned(),
        type_,
        typmod: -1,
    };
    TypeFacts {
        oid: COMPOSITE,
        namespace: "public".to_owned(),
        name: "item".to_owned(),
        kind: TypeKind::Composite,
        element: 0,
        delimiter: ',',
        base: 0,
        base_typmod: -1,
        subtype: 0,
        labels: Vec::new(),
        attributes: [("count", INT4), ("what", TEXT)].map(attribute).to_vec(),
    }
}
