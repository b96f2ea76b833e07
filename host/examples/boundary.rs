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
use pgoutput_decoder_host::engine::EngineKind;
use pgoutput_decoder_host::{Plugin, PluginLimits, Plugins};

#[expect(dead_code, reason = "other measurements use the rest")]
mod workload;

use self::workload::{BATCH_BYTES, Bench, Workload, batches};

const CHANGES: u32 = 30_000;
const ROUNDS: usize = 11;
const RELOADS: u32 = 1_000;

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
        for workload in Workload::all() {
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
    let frames = workload.frames(CHANGES);
    let batches = batches(&frames, batch_bytes);
    let mut native = Bench::open(EngineKind::Native, workload, format);
    let mut component = Bench::open(EngineKind::Component, workload, format);
    let mut rounds = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        rounds[0].push(native.time_decoding(&batches));
        rounds[1].push(component.time_decoding(&batches));
        rounds[2].push(component.time_reading(&batches));
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
    let batches = batches(&workload.frames(CHANGES), BATCH_BYTES);
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
            rounds.push(bench.time_plugins(&batches, plugins));
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
        usual.push(bench.time_plugins(batches.next().unwrap(), &mut plugins));
        std::fs::copy(if number % 2 == 0 { &one } else { &other }, &place).unwrap();
        plugins.reload();
        reloads.push(bench.time_plugins(batches.next().unwrap(), &mut plugins));
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

impl Bench {
    fn time_decoding(&mut self, batches: &[Vec<u8>]) -> Duration {
        let begun = ThreadTime::now();
        for batch in batches {
            black_box(self.decode(batch));
        }
        begun.elapsed()
    }

    /// Time that plugins spend.
    fn time_plugins(&mut self, batches: &[Vec<u8>], plugins: &mut Plugins) -> Duration {
        let mut spent = Duration::ZERO;
        for batch in batches {
            let records = self.decode(batch).records;
            let mut batch = self.topics.read(records).unwrap();
            let begun = ThreadTime::now();
            plugins.apply(&mut batch).unwrap();
            spent += begun.elapsed();
            black_box(batch);
        }
        spent
    }

    /// Time spent reading the records, without decoding.
    fn time_reading(&mut self, batches: &[Vec<u8>]) -> Duration {
        let mut spent = Duration::ZERO;
        let mut changes = 0;
        // Small calls together, so that the clock's own cost does not count.
        let group = (BATCH_BYTES / batches[0].len()).max(1);
        for batches in batches.chunks(group) {
            let records: Vec<_> = batches
                .iter()
                .map(|batch| self.decode(batch).records)
                .collect();
            let begun = ThreadTime::now();
            for records in records {
                changes += self.read(records);
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
