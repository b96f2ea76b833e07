//! What the sandbox costs: CPU time a change, native and component side by side.
//!
//! `cargo run --release -p pgoutput-decoder-host --example boundary`; with the folders of compiled
//! plugins behind `--`, those in Rust first, what those cost.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement may fail by panicking and prints its table"
)]

use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use cpu_time::ThreadTime;
use pgoutput_decoder_host::engine::{ColumnFacts, Engine, EngineKind, Facts, RelationFacts};
use pgoutput_decoder_host::records::TopicTable;
use pgoutput_decoder_host::{Plugin, PluginLimits, Plugins};

/// The largest call the host makes.
const BATCH_BYTES: usize = 64 << 10;
const CHANGES: u32 = 30_000;
const CHANGES_PER_TRANSACTION: u32 = 100;
const ROUNDS: usize = 11;
const RELOADS: u32 = 1_000;
/// 2026-11-21, in µs since 1970-01-01.
const NOW_US: i64 = 1_795_219_200_000_000;

fn main() {
    let mut folders = std::env::args().skip(1);
    if let Some((rust, others)) = folders.next().zip(folders.next()) {
        return measure_plugins(Path::new(&rust), Path::new(&others));
    }
    println!("ns of CPU time a change, one thread, median of {ROUNDS} rounds\n");
    println!(
        "format    workload                          calls  native  component  ratio  reading"
    );
    for format in ["debezium", "native"] {
        for workload in [Workload::narrow(), Workload::mixed(), Workload::wide()] {
            measure(&workload, format, BATCH_BYTES, "64 KiB");
        }
    }
    println!();
    let sizes = [
        (1, "1 msg"),
        (4 << 10, "4 KiB"),
        (16 << 10, "16 KiB"),
        (1 << 20, "1 MiB"),
    ];
    for (batch_bytes, name) in sizes {
        measure(&Workload::narrow(), "debezium", batch_bytes, name);
    }
}

/// Prints one row of the table. `reading` is the host's own part: records to events.
fn measure(workload: &Workload, format: &str, batch_bytes: usize, calls: &str) {
    let frames = workload.frames();
    let batches = batches(&frames, batch_bytes);
    let mut native = Bench::open(EngineKind::Native, workload, format);
    let mut component = Bench::open(EngineKind::Component, workload, format);
    let mut rounds = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        rounds[0].push(native.decode(&batches));
        rounds[1].push(component.decode(&batches));
        rounds[2].push(component.read(&batches));
    }
    let [native, component, reading] = rounds.map(ns_per_change);
    println!(
        "{format:<9} {:<32} {calls:>6} {native:>7.0} {component:>10.0} {:>6.2} {:>8.0}",
        workload.name,
        native / component,
        reading
    );
}

/// Prints what plugins cost beside none: decoding and reading are not counted.
fn measure_plugins(folder: &Path, others: &Path) {
    println!("ns of CPU time an event beside no plugin, median of {ROUNDS} rounds\n");
    println!("workload                          plugin                                 ns");
    let plugin = |name: &str, config: &str| {
        let plugin = Plugin::file(folder.join(format!("{name}.wasm"))).config(config);
        Plugins::load(&[plugin], true, |_| {}).unwrap()
    };
    // The same filter in each language. How long a call takes is measured here, not limited.
    let limits = PluginLimits {
        cpu_max: Duration::from_secs(1),
        ..PluginLimits::default()
    };
    let filter = |language: &str| {
        let name = format!("filter-{language}");
        let file = others.join(&name).join(format!("{name}.wasm"));
        let plugin = Plugin::file(file).config("paid").limits(limits);
        Plugins::load(&[plugin], true, |_| {}).unwrap()
    };
    let workload = Workload::narrow();
    let mut bench = Bench::open(EngineKind::Component, &workload, "native");
    let batches = batches(&workload.frames(), BATCH_BYTES);
    let mut measured = [
        ("none", Plugins::load(&[], true, |_| {}).unwrap()),
        (
            "soft-deletes: of other tables",
            plugin("soft_deletes", "deleted_at"),
        ),
        (
            "soft-deletes: filters by a column",
            plugin("soft_deletes", "paid"),
        ),
        (
            "mask: two columns, with a text",
            plugin("mask", "public.orders.note=***\npublic.orders.name=***"),
        ),
        (
            "mask: two columns, HMAC-SHA-256",
            plugin("mask", "key=k\npublic.orders.note\npublic.orders.name"),
        ),
        ("the filter's template in Rust", filter("rust")),
        ("the same in C", filter("c")),
        ("the same in Go", filter("go")),
        ("the same in JavaScript", filter("javascript")),
        ("the same in Python", filter("python")),
    ]
    .map(|(name, plugins)| (name, plugins, Vec::new()));
    for _ in 0..ROUNDS {
        for (_, plugins, rounds) in &mut measured {
            rounds.push(bench.plug_in(&batches, plugins));
        }
    }
    let [none, ..] = &measured;
    let base = ns_per_change(none.2.clone());
    for (name, _, rounds) in measured {
        let ns = ns_per_change(rounds) - base;
        println!("{:<33} {name:<36} {ns:>6.1}", workload.name);
    }
    println!("\na plugin whose file has changed");
    measure_reloads(folder, &mut bench, &batches);
}

/// Prints how long a stream stands still when a plugin's file has changed: what the batch takes in
/// which the new one takes over, and what the batch before it took.
fn measure_reloads(folder: &Path, bench: &mut Bench, batches: &[Vec<u8>]) {
    let place = std::env::temp_dir().join(format!("boundary-{}.wasm", std::process::id()));
    let [one, other] = ["soft_deletes", "route"].map(|name| folder.join(format!("{name}.wasm")));
    std::fs::copy(&other, &place).unwrap();
    let plugin = Plugin::file(&place).config("paid");
    let mut plugins = Plugins::load(&[plugin], true, |_| {}).unwrap();
    let (mut usual, mut reloads) = (Vec::new(), Vec::new());
    let mut batches = batches.chunks(1).cycle();
    for number in 0..RELOADS {
        usual.push(bench.plug_in(batches.next().unwrap(), &mut plugins));
        std::fs::copy(if number % 2 == 0 { &one } else { &other }, &place).unwrap();
        plugins.reload();
        reloads.push(bench.plug_in(batches.next().unwrap(), &mut plugins));
    }
    assert_eq!(plugins.status()[0].reloads, u64::from(RELOADS));
    std::fs::remove_file(place).unwrap();
    for (name, mut times) in [("usual", usual), ("reload", reloads)] {
        times.sort_unstable();
        let at = |part: usize| times[part].as_secs_f64() * 1e3;
        let (median, longest) = (at(times.len() / 2), at(times.len() - 1));
        println!(
            "{name:<6} batch: median {median:.3} ms, longest {longest:.3} ms, {RELOADS} times"
        );
    }
}

/// A decoder that has seen the Relation.
struct Bench {
    engine: Engine,
    topics: TopicTable,
}

impl Bench {
    fn open(kind: EngineKind, workload: &Workload, format: &str) -> Self {
        let options = [("format".to_owned(), format.to_owned())];
        let mut engine = Engine::open(kind, &options).unwrap();
        engine.learn(&workload.facts()).unwrap();
        let mut topics = TopicTable::default();
        let frames = [
            begin(0),
            frame(&workload.relation()),
            frame(&workload.change(0)),
            commit(0),
        ];
        let decoded = engine.decode(&frames.concat(), NOW_US).unwrap();
        assert_eq!(decoded.stop, None);
        topics.read(decoded.records).unwrap();
        Self { engine, topics }
    }

    fn decode(&mut self, batches: &[Vec<u8>]) -> Duration {
        let begun = ThreadTime::now();
        for batch in batches {
            let decoded = self.engine.decode(batch, NOW_US).unwrap();
            assert_eq!((decoded.consumed, &decoded.stop), (batch.len(), &None));
            black_box(decoded);
        }
        begun.elapsed()
    }

    /// Time that plugins spend.
    fn plug_in(&mut self, batches: &[Vec<u8>], plugins: &mut Plugins) -> Duration {
        let mut spent = Duration::ZERO;
        for batch in batches {
            let decoded = self.engine.decode(batch, NOW_US).unwrap();
            let mut batch = self.topics.read(decoded.records).unwrap();
            let begun = ThreadTime::now();
            plugins.apply(&mut batch).unwrap();
            spent += begun.elapsed();
            black_box(batch);
        }
        spent
    }

    /// Time spent reading the records, without decoding.
    fn read(&mut self, batches: &[Vec<u8>]) -> Duration {
        let mut spent = Duration::ZERO;
        let mut changes = 0;
        // Small calls together, so that the clock's own cost does not count.
        let group = (BATCH_BYTES / batches[0].len()).max(1);
        for batches in batches.chunks(group) {
            let decode = |batch: &Vec<u8>| self.engine.decode(batch, NOW_US).unwrap().records;
            let records: Vec<_> = batches.iter().map(decode).collect();
            let begun = ThreadTime::now();
            for records in records {
                for event in self.topics.read(records).unwrap().events() {
                    changes += u32::from(black_box(event.value()).is_some());
                }
            }
            spent += begun.elapsed();
        }
        assert_eq!(changes, CHANGES, "every change is an event");
        spent
    }
}

fn ns_per_change(mut rounds: Vec<Duration>) -> f64 {
    rounds.sort_unstable();
    let median = rounds.get(rounds.len() / 2).unwrap();
    median.as_secs_f64() * 1e9 / f64::from(CHANGES)
}

/// Whole frames, as many as fit and at least one.
fn batches(frames: &[Vec<u8>], batch_bytes: usize) -> Vec<Vec<u8>> {
    let mut batches: Vec<Vec<u8>> = Vec::new();
    for frame in frames {
        match batches.last_mut() {
            Some(batch) if batch.len() + frame.len() <= batch_bytes => batch.extend(frame),
            _ => batches.push(frame.clone()),
        }
    }
    batches
}

/// A table and how it changes.
struct Workload {
    name: &'static str,
    /// Name, type OID and type modifier.
    columns: Vec<(String, u32, i32)>,
    full: bool,
    row: fn(u32) -> Vec<String>,
    operation: fn(u32) -> Operation,
}

#[derive(Clone, Copy)]
enum Operation {
    Insert,
    Update,
    Delete,
}

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
/// numeric(10,2) as a type modifier.
const PRECISION_10_SCALE_2: i32 = ((10 << 16) | 2) + 4;

impl Workload {
    /// W1: six columns, inserts.
    fn narrow() -> Self {
        Self {
            name: "W1 6 columns, inserts",
            columns: columns(&[
                ("id", INT8, -1),
                ("note", TEXT, -1),
                ("name", VARCHAR, 104),
                ("total", NUMERIC, PRECISION_10_SCALE_2),
                ("paid", BOOL, -1),
                ("created_at", TIMESTAMPTZ, -1),
            ]),
            full: false,
            row: |n| {
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
            },
            operation: |_| Operation::Insert,
        }
    }

    /// W2: inserts, updates and deletes under REPLICA IDENTITY FULL, with jsonb and text[].
    fn mixed() -> Self {
        Self {
            name: "W2 I/U/D, FULL, jsonb, text[]",
            columns: columns(&[
                ("id", INT8, -1),
                ("name", TEXT, -1),
                ("attrs", JSONB, -1),
                ("tags", TEXT_ARRAY, -1),
                ("credit", NUMERIC, PRECISION_10_SCALE_2),
                ("updated_at", TIMESTAMPTZ, -1),
            ]),
            full: true,
            row: |n| {
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
            },
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
        let named = |(index, (name, type_oid, typmod)): (usize, &(&str, u32, i32))| {
            (format!("{name}_{index}"), *type_oid, *typmod)
        };
        Self {
            name: "W3 40 columns, inserts",
            columns: types
                .iter()
                .cycle()
                .take(40)
                .enumerate()
                .map(named)
                .collect(),
            full: false,
            row: |n| {
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
            },
            operation: |_| Operation::Insert,
        }
    }

    fn facts(&self) -> Facts {
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
            types: Vec::new(),
            relations: vec![relation],
        }
    }

    /// The stream: transactions of [`CHANGES_PER_TRANSACTION`], the Relation known.
    fn frames(&self) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        for n in 0..CHANGES {
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

    fn relation(&self) -> Vec<u8> {
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

    fn change(&self, n: u32) -> Vec<u8> {
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

fn columns(columns: &[(&str, u32, i32)]) -> Vec<(String, u32, i32)> {
    columns
        .iter()
        .map(|(name, oid, typmod)| ((*name).to_owned(), *oid, *typmod))
        .collect()
}

fn tuple(row: &[String]) -> Vec<u8> {
    let mut tuple = u16::try_from(row.len()).unwrap().to_be_bytes().to_vec();
    for value in row {
        tuple.push(b't');
        tuple.extend(u32::try_from(value.len()).unwrap().to_be_bytes());
        tuple.extend(value.bytes());
    }
    tuple
}

fn begin(n: u32) -> Vec<u8> {
    frame(&[b"B", &commit_lsn(n)[..], &[0; 8], &(742 + n).to_be_bytes()].concat())
}

fn commit(n: u32) -> Vec<u8> {
    frame(&[b"C\0", &commit_lsn(n)[..], &commit_lsn(n), &[0; 8]].concat())
}

fn commit_lsn(n: u32) -> [u8; 8] {
    (0x0150_0000 + u64::from(n / CHANGES_PER_TRANSACTION)).to_be_bytes()
}

/// One pgoutput message as the server sends it: `XLogData` in `CopyData`.
fn frame(message: &[u8]) -> Vec<u8> {
    let copy_data = u32::try_from(29 + message.len()).unwrap().to_be_bytes();
    let lsn = 0x0150_0000_u64.to_be_bytes();
    [b"d", &copy_data[..], b"w", &lsn, &lsn, &[0; 8], message].concat()
}
