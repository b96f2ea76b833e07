//! Where the time goes, part by part: `make bench-micro`.
//!
//! An item is an event, a value or a message. A type's values are measured in a table that has
//! little else, messages in one of a key alone; without the sandbox, except where it is named.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::wildcard_imports,
    reason = "a measurement may fail by panicking; modules are headings of its table"
)]

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use pgoutput_decoder_host::engine::{EngineKind, Stop};

#[path = "../examples/workload/mod.rs"]
#[expect(dead_code, reason = "other measurements use the rest")]
mod workload;

use self::workload::family::{Family, GROUPS};
use self::workload::{
    BATCH_BYTES, Bench, Form, NOW_US, Operation, VALUES, Workload, batches, begin, commit, frame,
};

const ENGINES: [EngineKind; 2] = [EngineKind::Native, EngineKind::Component];
/// Changes of a call: one transaction.
const CHANGES: u32 = 100;
/// Changes of some calls: some transactions.
const EVENTS: u32 = 1_000;

fn main() {
    divan::main();
}

/// Times calls with the same frames.
fn decode(bencher: Bencher<'_, '_>, bench: &mut Bench, frames: &[u8], items: u32) {
    bencher
        .counter(ItemsCount::new(items))
        .bench_local(|| bench.decode(black_box(frames)));
}

/// W1, W2 and W3, in calls of 64 KiB.
#[divan::bench_group]
mod workloads {
    use super::*;

    #[divan::bench(args = ENGINES, consts = [1, 2, 3])]
    fn debezium<const W: usize>(bencher: Bencher<'_, '_>, kind: EngineKind) {
        decode_workload::<W>(bencher, kind, "debezium");
    }

    #[divan::bench(args = ENGINES, consts = [1, 2, 3])]
    fn native<const W: usize>(bencher: Bencher<'_, '_>, kind: EngineKind) {
        decode_workload::<W>(bencher, kind, "native");
    }

    fn decode_workload<const W: usize>(bencher: Bencher<'_, '_>, kind: EngineKind, format: &str) {
        let (mut bench, batches) = open::<W>(kind, format);
        bencher.counter(ItemsCount::new(EVENTS)).bench_local(|| {
            for batch in &batches {
                black_box(bench.decode(black_box(batch)));
            }
        });
    }

    /// Records to events: the host's own part.
    #[divan::bench(consts = [1, 2, 3])]
    fn reading<const W: usize>(bencher: Bencher<'_, '_>) {
        let (mut bench, batches) = open::<W>(EngineKind::Native, "debezium");
        let records = batches.iter().map(|batch| bench.decode(batch).records);
        let records: Vec<_> = records.collect();
        bencher
            .counter(ItemsCount::new(EVENTS))
            .with_inputs(|| records.clone())
            .bench_local_values(|records| {
                let events: u32 = records.into_iter().map(|records| bench.read(records)).sum();
                assert_eq!(events, EVENTS, "every change is an event");
            });
    }

    fn open<const W: usize>(kind: EngineKind, format: &str) -> (Bench, Vec<Vec<u8>>) {
        let workload = &Workload::all()[W - 1];
        let bench = Bench::open(kind, workload, format);
        (bench, batches(&workload.frames(EVENTS), BATCH_BYTES))
    }
}

/// What a call costs, whatever is in it.
#[divan::bench_group]
mod boundary {
    use super::*;

    #[divan::bench(args = ENGINES)]
    fn empty(bencher: Bencher<'_, '_>, kind: EngineKind) {
        let mut bench = Bench::open(kind, &Workload::narrow(), "debezium");
        decode(bencher, &mut bench, &[], 1);
    }

    #[divan::bench(args = ENGINES)]
    fn one_message(bencher: Bencher<'_, '_>, kind: EngineKind) {
        let workload = Workload::narrow();
        let mut bench = Bench::open(kind, &workload, "debezium");
        bench.decode(&begin(0));
        decode(bencher, &mut bench, &frame(&workload.change(0)), 1);
    }
}

/// Tables of a key alone.
#[divan::bench_group]
mod messages {
    use super::*;

    #[divan::bench]
    fn begin_and_commit(bencher: Bencher<'_, '_>) {
        let mut bench = Bench::open(EngineKind::Native, &Workload::narrow(), "debezium");
        let frames = [begin(0), commit(0)].concat().repeat(100);
        decode(bencher, &mut bench, &frames, 200);
    }

    #[divan::bench]
    fn insert(bencher: Bencher<'_, '_>) {
        decode_operation(bencher, |_| Operation::Insert);
    }

    #[divan::bench]
    fn update(bencher: Bencher<'_, '_>) {
        decode_operation(bencher, |_| Operation::Update);
    }

    #[divan::bench]
    fn delete(bencher: Bencher<'_, '_>) {
        decode_operation(bencher, |_| Operation::Delete);
    }

    fn decode_operation(bencher: Bencher<'_, '_>, operation: fn(u32) -> Operation) {
        let workload = Workload::of_operation(operation);
        let mut bench = Bench::open(EngineKind::Native, &workload, "debezium");
        decode(
            bencher,
            &mut bench,
            &workload.frames(CHANGES).concat(),
            CHANGES,
        );
    }

    /// The question and the catalog's answer included.
    #[divan::bench(consts = [1, 2, 3])]
    fn relation<const W: usize>(bencher: Bencher<'_, '_>) {
        let workload = &Workload::all()[W - 1];
        let mut bench = Bench::open(EngineKind::Native, workload, "debezium");
        bench.decode(&begin(0));
        let (relation, facts) = (frame(&workload.relation()), workload.facts());
        bencher.counter(ItemsCount::new(1_u32)).bench_local(|| {
            let asked = bench.engine.decode(&relation, NOW_US).unwrap();
            assert!(matches!(asked.stop, Some(Stop::Unknown(_))));
            bench.engine.learn(&facts).unwrap();
            bench.decode(&relation)
        });
    }
}

/// Text as a string of JSON, by its length.
#[divan::bench_group]
mod strings {
    use super::*;

    const LENGTHS: [usize; 4] = [16, 256, 4 << 10, 64 << 10];

    #[divan::bench(args = LENGTHS)]
    fn plain(bencher: Bencher<'_, '_>, length: usize) {
        write("plain words in between ", bencher, length);
    }

    #[divan::bench(args = LENGTHS)]
    fn escaped(bencher: Bencher<'_, '_>, length: usize) {
        write("a \"word\" in between\n", bencher, length);
    }

    fn write(words: &str, bencher: Bencher<'_, '_>, length: usize) {
        let text: String = words.chars().cycle().take(length).collect();
        let workload = Workload::of_text(text);
        let mut bench = Bench::open(EngineKind::Native, &workload, "debezium");
        let rows = (BATCH_BYTES / length).clamp(1, 100);
        let frames = workload.frames(CHANGES);
        // A Begin, so many rows, a Commit.
        let frames = [&frames[..=rows], &[commit(0)]].concat().concat();
        bencher
            .counter(BytesCount::new(rows * length))
            .bench_local(|| bench.decode(black_box(&frames)));
    }
}

/// Types, in the forms that the server sends them in. Debezium's events have no composites: what is
/// measured there is to leave one out.
#[divan::bench_group]
mod values {
    use super::*;

    #[divan::bench(args = text_forms())]
    fn debezium(bencher: Bencher<'_, '_>, family: &'static Family) {
        write(bencher, family, Form::Text, "debezium");
    }

    #[divan::bench(args = text_forms())]
    fn native(bencher: Bencher<'_, '_>, family: &'static Family) {
        write(bencher, family, Form::Text, "native");
    }

    #[divan::bench(args = binary_forms())]
    fn debezium_binary(bencher: Bencher<'_, '_>, family: &'static Family) {
        write(bencher, family, Form::Binary, "debezium");
    }

    #[divan::bench(args = binary_forms())]
    fn native_binary(bencher: Bencher<'_, '_>, family: &'static Family) {
        write(bencher, family, Form::Binary, "native");
    }

    fn text_forms() -> impl Iterator<Item = &'static Family> {
        GROUPS.iter().flat_map(|(_, families)| *families)
    }

    /// Others are sent as their text.
    fn binary_forms() -> impl Iterator<Item = &'static Family> {
        text_forms().filter(|family| family.has_binary())
    }

    fn write(bencher: Bencher<'_, '_>, family: &'static Family, form: Form, format: &str) {
        let workload = Workload::of_types(family.name, std::slice::from_ref(family), form);
        let mut bench = Bench::open(EngineKind::Native, &workload, format);
        let values = CHANGES * u32::try_from(VALUES).unwrap();
        decode(
            bencher,
            &mut bench,
            &workload.frames(CHANGES).concat(),
            values,
        );
    }
}
