//! What `scripts/budget` has valgrind count the instructions of: `counted (native|component)`.
//!
//! Each thing is done once before it is counted, so that buffers have their size. A line of JSON
//! says what was counted and how many events it had, in order.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement may fail by panicking and prints its list"
)]

use std::hint::black_box;

use pgoutput_decoder_host::engine::EngineKind;
use serde_json::json;

#[expect(dead_code, reason = "other measurements use the rest")]
mod workload;

use self::workload::family::GROUPS;
use self::workload::{BATCH_BYTES, Bench, Form, Workload, batches};

/// A multiple of a transaction's.
const CHANGES: u32 = 1_000;

fn main() {
    let engine = std::env::args().nth(1).unwrap_or_default();
    let kind = match engine.as_str() {
        "native" => EngineKind::Native,
        "component" => EngineKind::Component,
        _ => panic!("native or component is expected, not {engine:?}"),
    };
    for format in ["debezium", "native"] {
        let groups = [(Form::Text, "text"), (Form::Binary, "binary")];
        let groups = groups.iter().flat_map(|(form, form_name)| {
            GROUPS.iter().map(move |(name, families)| {
                Workload::of_types(&format!("{name}, {form_name}"), families, *form)
            })
        });
        for workload in Workload::all().into_iter().chain(groups) {
            decode(kind, &workload, format);
            tell(&engine, format, &workload.name);
        }
        if kind == EngineKind::Component {
            call(format);
            tell(&engine, format, "a call without frames");
        } else {
            // The records are the same, whoever wrote them.
            for workload in Workload::all() {
                read(&workload, format);
                tell("reading", format, &workload.name);
            }
        }
    }
}

/// What the budget calls that which has just been counted.
fn tell(what: &str, format: &str, thing: &str) {
    let line = json!({"table": [what, format], "thing": thing, "events": CHANGES});
    println!("{line}");
}

fn decode(kind: EngineKind, workload: &Workload, format: &str) {
    let mut bench = Bench::open(kind, workload, format);
    let batches = batches(&workload.frames(CHANGES), BATCH_BYTES);
    let mut decode = || {
        for batch in &batches {
            black_box(bench.decode(batch));
        }
    };
    decode();
    count_instructions(decode);
}

/// What crossing into the sandbox and back costs.
fn call(format: &str) {
    let mut bench = Bench::open(EngineKind::Component, &Workload::narrow(), format);
    let mut call = || {
        for _ in 0..CHANGES {
            black_box(bench.decode(&[]));
        }
    };
    call();
    count_instructions(call);
}

/// The host's own part: records to events.
fn read(workload: &Workload, format: &str) {
    let mut bench = Bench::open(EngineKind::Native, workload, format);
    let batches = batches(&workload.frames(CHANGES), BATCH_BYTES);
    let mut decode = || -> Vec<_> {
        let records = batches.iter().map(|batch| bench.decode(batch).records);
        records.collect()
    };
    let (first, second) = (decode(), decode());
    let mut read = |records: Vec<Vec<u8>>| {
        let changes: u32 = records.into_iter().map(|records| bench.read(records)).sum();
        assert_eq!(changes, CHANGES, "every change is an event");
    };
    read(first);
    count_instructions(|| read(second));
}

/// Valgrind puts down what it counted so far before each call of [`put_down`], which it knows by
/// its name: every second time, that is the work.
fn count_instructions(work: impl FnOnce()) {
    put_down();
    work();
    put_down();
}

#[inline(never)]
fn put_down() {
    black_box(());
}
