//! Plugins over a recorded stream: what becomes of its events, and of plugins that misbehave.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::iter;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pgoutput_decoder_host::capture::CatalogAt;
use pgoutput_decoder_host::engine::EngineKind;
use pgoutput_decoder_host::recording::Recording;
use pgoutput_decoder_host::records::{Batch, Event, Position};
use pgoutput_decoder_host::{
    Error, OnUndecodable, Plugin, PluginError, PluginLimits, PluginStatus, Plugins,
};
use pgoutput_decoder_tests::{folder, guest};
use serde_json::Value;

mod plugin_files;

const NATIVE: &str = "native";
const DEBEZIUM: &str = "debezium";

/// What plugins made of the events of a case.
#[derive(Debug)]
struct Made {
    events: Vec<Event>,
    passed_over: Vec<Error>,
    error: Option<Error>,
    status: Vec<PluginStatus>,
    lines: Vec<String>,
}

impl Made {
    fn of(topic: &str, events: &[Event]) -> Vec<Event> {
        let of = |event: &&Event| event.topic().name.ends_with(topic);
        events.iter().filter(of).cloned().collect()
    }

    fn error(&self) -> &PluginError {
        match &self.error {
            Some(Error::Plugin { error, .. }) => error,
            other => panic!("{other:?}"),
        }
    }
}

fn batches(format: &str) -> Vec<Batch> {
    decoded(&folder().join("ecommerce"), format)
}

/// What the decoder makes of a case.
fn decoded(case: &Path, format: &str) -> Vec<Batch> {
    let options = [("format".to_owned(), format.to_owned())];
    let capture = case.join("pgoutput.jsonl");
    let recording = Recording::open(&capture, None, CatalogAt::End).unwrap();
    let mut replay = recording.replay(EngineKind::Component, &options).unwrap();
    iter::from_fn(|| replay.next_batch().unwrap()).collect()
}

fn made(format: &str, plugins: &[Plugin]) -> Made {
    let lines: Arc<Mutex<Vec<String>>> = Arc::default();
    let shown = Arc::clone(&lines);
    let mut chain = Plugins::load(plugins, format == NATIVE, move |line| {
        let line = format!("{} {}: {}", line.plugin, line.level.name(), line.text);
        shown.lock().unwrap().push(line);
    })
    .unwrap();
    let (mut events, mut passed_over, mut error) = (Vec::new(), Vec::new(), None);
    for mut batch in batches(format) {
        match chain.apply(&mut batch) {
            Ok(errors) => passed_over.extend(errors),
            Err(failed) => error = Some(failed),
        }
        events.extend(batch.events());
        if error.is_some() {
            break;
        }
    }
    let lines = lines.lock().unwrap().clone();
    Made {
        events,
        passed_over,
        error,
        status: chain.status(),
        lines,
    }
}

fn hostile(word: &str) -> Plugin {
    Plugin::file(guest("hostile")).config(word)
}

fn positions(events: &[Event]) -> Vec<Position> {
    events.iter().map(Event::position).collect()
}

fn json(text: Option<&str>) -> Value {
    text.map_or(Value::Null, |text| serde_json::from_str(text).unwrap())
}

fn same(one: &[Event], other: &[Event]) {
    let texts = |events: &[Event]| -> Vec<String> {
        let text = |event: &Event| format!("{event:?} {:?} {:?}", event.key(), event.value());
        events.iter().map(text).collect()
    };
    assert_eq!(texts(one), texts(other));
}

#[test]
fn what_nobody_wants_stays_as_it_is() {
    for format in [NATIVE, DEBEZIUM] {
        let plain = made(format, &[]);
        assert!(plain.events.len() > 20, "{plain:?}");
        let column = Plugin::file(guest("soft-deletes")).config("no_such_column");
        let through = made(format, &[column, hostile("keep")]);
        same(&plain.events, &through.events);
        assert_eq!(positions(&plain.events), positions(&through.events));
        assert_eq!(through.status[0].events, 0);
        assert!(through.status[1].events > 20);
    }
}

/// `tests/plugins/first.wasm` is `hostile` as it was when the interface was 0.1.0. It is never made
/// again: whoever has a plugin of that age goes on using it.
#[test]
fn a_plugin_of_the_first_version_does_what_it_did() {
    let first = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins/first.wasm");
    for word in ["keep", "drop", "route", "emit", "echo", "flood", "fail 2"] {
        let [old, new] = [first.clone(), guest("hostile")]
            .map(|file| made(NATIVE, &[Plugin::file(file).config(word)]));
        same(&old.events, &new.events);
        let told = |made: &Made| made.error.as_ref().map(ToString::to_string);
        assert_eq!(told(&old), told(&new));
        let did = |made: &Made| {
            let status = &made.status[0];
            (
                status.events,
                status.dropped,
                status.changed,
                status.emitted,
            )
        };
        assert_eq!(did(&old), did(&new));
    }
}

/// Values of every type there is, to a plugin and back. In the native format they are written as
/// they were, but for white space in json; in Debezium's they are the same to who reads JSON.
#[test]
fn a_value_that_is_given_back_is_the_same() {
    for format in [NATIVE, DEBEZIUM] {
        let mut chain = Plugins::load(&[hostile("echo")], format == NATIVE, |_| {}).unwrap();
        for case in folder().read_dir().unwrap() {
            let case = case.unwrap().path();
            if !case.join("pgoutput.jsonl").exists() {
                continue;
            }
            for mut batch in decoded(&case, format) {
                let before: Vec<Event> = batch.events().collect();
                chain.apply(&mut batch).unwrap();
                let after: Vec<Event> = batch.events().collect();
                for (before, after) in iter::zip(&before, &after) {
                    assert_eq!(before.key(), after.key(), "{}", case.display());
                    let texts = [before, after].map(|event| event.value().map(alike));
                    if format == NATIVE {
                        assert_eq!(texts[0], texts[1], "{}", case.display());
                    } else {
                        let [one, other] = texts.map(|text| json(text.as_deref()));
                        assert_eq!(one, other, "{}", case.display());
                    }
                }
                assert_eq!(before.len(), after.len());
            }
        }
        assert!(chain.status()[0].changed > 1_000, "{:?}", chain.status());
    }
}

/// There are two shortest ways to write this float, and the server takes the other one.
fn alike(json: &str) -> String {
    json.replace("9.999999999999999e+22", "1e+23")
        .replace("9.999999999999999E22", "1.0E23")
        .replace(' ', "")
}

#[test]
fn a_filter_drops_events_and_nothing_else() {
    let plain = made(NATIVE, &[]);
    let filter = Plugin::file(guest("soft-deletes")).config("discontinued_on");
    let filtered = made(NATIVE, &[filter]);
    let is_gone = |event: &&Event| {
        let gone = json(event.after())
            .get("discontinued_on")
            .is_some_and(|at| !at.is_null());
        matches!(event.op(), Some('c' | 'u')) && gone
    };
    let left: Vec<_> = plain
        .events
        .iter()
        .filter(|event| !is_gone(event))
        .cloned()
        .collect();
    assert!(left.len() + 3 <= plain.events.len());
    same(&left, &filtered.events);
    let dropped = u64::try_from(plain.events.len() - left.len()).unwrap();
    assert_eq!(filtered.status[0].dropped, dropped);
    assert_eq!(filtered.status[0].name, "soft-deletes");
}

#[test]
fn a_mask_covers_a_column_in_every_image_and_nothing_else() {
    let config = "key=secret\npublic.customers.email\npublic.customers.credit\n";
    for format in [NATIVE, DEBEZIUM] {
        let plain = Made::of("customers", &made(format, &[]).events);
        let mask = Plugin::file(guest("mask")).config(config);
        let masked = made(format, &[mask]);
        let masked = Made::of("customers", &masked.events);
        assert_eq!(positions(&plain), positions(&masked));
        for (plain, masked) in plain.iter().zip(&masked) {
            for text in [masked.value(), masked.key()].into_iter().flatten() {
                assert!(!text.contains("example.com"), "{text}");
            }
            assert_eq!(json(plain.key()), json(masked.key()));
            let (mut before, after) = (json(plain.value()), json(masked.value()));
            for image in ["before", "after"] {
                let Some(row) = before.get_mut(image).and_then(Value::as_object_mut) else {
                    continue;
                };
                let made = &after[image];
                if row.get("email").is_some_and(Value::is_string) {
                    assert_eq!(made["email"].as_str().unwrap().len(), 64);
                    row["email"] = made["email"].clone();
                }
                if row.contains_key("credit") {
                    // Debezium's is a text.
                    row["credit"] = made["credit"].clone();
                    let hidden = if format == NATIVE {
                        made["credit"].is_null()
                    } else {
                        made["credit"].as_str().is_none_or(|text| text.len() == 64)
                    };
                    assert!(hidden, "{made}");
                }
            }
            let is_source = |value: &Value| value.get("source").is_some();
            assert_eq!(is_source(&before), is_source(&after));
            assert_eq!(before, after);
            // The parts of the value moved along.
            let part = |text: Option<&str>| json(text);
            assert_eq!(part(masked.after()), after["after"]);
            assert_eq!(part(masked.source()), after["source"]);
        }
    }
}

/// Who has an event already keeps it as it was, and nobody else gets it unmasked for that.
#[test]
fn a_batch_that_is_in_use_is_edited_all_the_same() {
    let mask = Plugin::file(guest("mask")).config("key=k\npublic.customers.email");
    let mut plugins = Plugins::load(&[mask], true, |_| {}).unwrap();
    let mut masked = 0;
    for mut batch in batches(NATIVE) {
        let held: Vec<_> = batch.events().collect();
        let text = |event: &Event| event.value().map(str::to_owned);
        let before: Vec<_> = held.iter().map(text).collect();
        plugins.apply(&mut batch).unwrap();
        assert_eq!(held.iter().map(text).collect::<Vec<_>>(), before);
        for (event, held) in batch.events().zip(&held) {
            let is_masked = text(&event) != text(held);
            assert!(!is_masked || event.topic().name.ends_with("customers"));
            assert!(!text(&event).unwrap().contains("@example.com"));
            masked += usize::from(is_masked);
        }
    }
    assert!(masked > 3);
}

#[test]
fn a_masked_key_is_masked_in_the_key_too() {
    let config = "key=secret\npublic.products.sku\n";
    for format in [NATIVE, DEBEZIUM] {
        let plain = Made::of("products", &made(format, &[]).events);
        let mask = Plugin::file(guest("mask")).config(config);
        let masked = Made::of("products", &made(format, &[mask]).events);
        assert_eq!(plain.len(), masked.len());
        for event in &masked {
            let whole = format!("{:?} {:?}", event.key(), event.value());
            if event.value().is_some() {
                assert!(
                    !whole.contains("SKU-0") && !whole.contains("\"S3"),
                    "{whole}"
                );
            }
        }
    }
}

#[test]
fn events_that_take_anothers_place_have_places_of_their_own() {
    for format in [NATIVE, DEBEZIUM] {
        let plain = made(format, &[]);
        let emitted = made(format, &[hostile("emit")]);
        assert!(emitted.error.is_none(), "{emitted:?}");
        let changes = plain
            .events
            .iter()
            .filter(|event| event.op().is_some())
            .count();
        assert_eq!(emitted.events.len(), 3 * changes);
        let places = positions(&emitted.events);
        assert!(places.is_sorted_by(|one, other| one < other), "{places:?}");
        for (index, event) in emitted.events.iter().enumerate() {
            let topic = ["a", "b", "a"][index % 3];
            assert_eq!(event.topic().name, topic);
            assert_eq!(event.value(), Some(r#"{"n":1}"#));
            assert_eq!((event.key(), event.headers()), (Some("1"), r#"{"h":"v"}"#));
            assert_eq!((event.op(), event.after()), (None, None));
        }
        // Another plugin sees them, and may put others in their place.
        let twice = made(format, &[hostile("emit"), hostile("emit")]);
        assert_eq!(twice.events.len(), 9 * changes);
        let places = positions(&twice.events);
        assert!(places.is_sorted_by(|one, other| one < other), "{places:?}");
    }
}

#[test]
fn a_commit_may_have_events_of_its_own() {
    let of = |event: &Event| event.position().commit_lsn;
    for format in [NATIVE, DEBEZIUM] {
        let plain = made(format, &[]);
        let made = made(format, &[hostile("drop-emit-at-commit")]);
        let mut last: Vec<&Event> = plain.events.iter().collect();
        last.reverse();
        last.dedup_by_key(|event| of(event));
        last.reverse();
        // Two for each transaction, also for one that has no events: those have index 0.
        let (with, without): (Vec<&Event>, Vec<&Event>) = made
            .events
            .iter()
            .partition(|event| event.position().index > 0);
        assert_eq!(with.len(), 2 * last.len());
        assert!(
            without
                .iter()
                .all(|event| !last.iter().any(|last| of(last) == of(event)))
        );
        for (pair, last) in with.chunks(2).zip(last) {
            let at = last.position();
            let places = pair.iter().map(|event| event.position());
            let expected = [0, 1].map(|sub| Position { sub, ..at });
            assert!(places.eq(expected), "{pair:?} behind {at}");
        }
        let places = positions(&made.events);
        assert!(places.is_sorted_by(|one, other| one < other), "{places:?}");
    }
}

#[test]
fn an_event_in_another_topic_is_the_same_but_for_that() {
    for format in [NATIVE, DEBEZIUM] {
        let plain = made(format, &[]);
        let routed = made(format, &[hostile("route"), hostile("keep")]);
        assert_eq!(plain.events.len(), routed.events.len());
        for (one, other) in plain.events.iter().zip(&routed.events) {
            let changed = one.op().is_some();
            assert_eq!(other.topic().name == "elsewhere", changed);
            let of = |event: &Event| {
                let topic = event.topic();
                let about = (topic.table.clone(), topic.columns.clone(), event.op());
                let texts = [event.key(), event.value(), event.after(), event.before()];
                (
                    about,
                    texts.map(|text| text.map(str::to_owned)),
                    event.position(),
                )
            };
            assert_eq!(of(one), of(other));
        }
    }
}

#[test]
fn tombstones_go_where_their_events_go() {
    let is_tombstone = |event: &&Event| event.value().is_none();
    let plain = made(DEBEZIUM, &[]);
    assert!(plain.events.iter().filter(is_tombstone).count() > 2);
    let dropped = made(DEBEZIUM, &[hostile("drop")]);
    same(&dropped.events, &[]);
}

/// Words at which the hostile plugin fails, and what is said of it.
const FAILURES: &[(&str, &str)] = &[
    ("spin", "its limit of 10 ms of CPU time"),
    ("hog", "its memory limit of 8388608 bytes"),
    (
        "trap",
        "it trapped: wasm trap: wasm `unreachable` instruction executed",
    ),
    ("flood", "its limit of 262144 bytes of answers"),
    ("flood-json", "it ran into its"),
    ("utf8", "it trapped: "),
    (
        "deep-recursion",
        "it trapped: wasm trap: call stack exhausted",
    ),
    ("host-call-storm", "its limit of 10 ms of CPU time"),
    ("liar", "2 answers to 1 events"),
    (
        "liar-type",
        "column \"id\" takes an integer or null, and was given another value",
    ),
    ("liar-index", "there is no column 9999"),
    ("liar-json", "a payload that is no JSON"),
    ("liar-topic", "an event without a topic"),
    ("route-nowhere", "an event without a topic"),
    ("fail", "it says: this one will not do"),
];

fn limits() -> PluginLimits {
    PluginLimits {
        memory_max_bytes: 8 << 20,
        output_max_bytes: 256 << 10,
        ..PluginLimits::default()
    }
}

#[test]
fn a_plugin_that_fails_at_an_event_stops_before_it_by_default() {
    let plain = made(NATIVE, &[]);
    for (word, reason) in FAILURES {
        // Rows whose first column is the number 2.
        let stopped = made(NATIVE, &[hostile(&format!("{word} 2")).limits(limits())]);
        let error = stopped.error.as_ref().unwrap().to_string();
        assert!(error.contains(reason), "{word}: {error}");
        assert!(error.starts_with("plugin hostile, at event "), "{error}");
        let count = stopped.events.len();
        assert!(count > 0 && count < plain.events.len(), "{word}: {count}");
        same(&plain.events[..count], &stopped.events);
        let next = plain.events[count].position().to_string();
        assert!(
            error.contains(&format!("at event {next} of ")),
            "{word}: {error}"
        );
    }
}

#[test]
fn a_plugin_that_may_be_skipped_loses_that_event_alone() {
    let plain = made(NATIVE, &[]);
    for (word, reason) in FAILURES {
        let plugin = hostile(&format!("{word} 2")).limits(limits());
        let skipped = made(NATIVE, &[plugin.on_error(OnUndecodable::Skip)]);
        assert!(skipped.error.is_none(), "{word}: {:?}", skipped.error);
        let count = skipped.passed_over.len();
        assert_eq!(skipped.events.len() + count, plain.events.len(), "{word}");
        assert!(count >= 2, "{word}: {count}");
        let left: Vec<_> = plain
            .events
            .iter()
            .filter(|event| {
                skipped
                    .events
                    .iter()
                    .any(|kept| kept.position() == event.position())
            })
            .cloned()
            .collect();
        same(&left, &skipped.events);
        for error in &skipped.passed_over {
            assert!(error.to_string().contains(reason), "{word}: {error}");
        }
        let status = &skipped.status[0];
        let counted = [
            status.out_of_time,
            status.out_of_memory,
            status.out_of_output,
            status.traps,
            status.wrong_answers,
        ];
        assert!(
            *word == "fail" || counted.iter().sum::<u64>() > 0,
            "{word}: {status:?}"
        );
    }
}

#[test]
fn too_many_lines_are_counted_and_not_shown() {
    let storm = made(NATIVE, &[hostile("host-call-storm 2")]);
    assert!(
        !storm.lines.is_empty() && storm.lines.len() <= 300,
        "{}",
        storm.lines.len()
    );
    assert_eq!(storm.lines[0], "hostile warning: a line");
    assert!(storm.status[0].lines_unshown > 100, "{:?}", storm.status);
}

#[test]
fn what_is_not_about_one_event_stops_the_stream_whatever_is_said() {
    for (word, reason) in [
        ("liar-column", "there is no column 7000"),
        ("liar-twice", "column 0 is wanted twice"),
        ("trap-select", "asked what it wants of "),
    ] {
        let stopped = made(NATIVE, &[hostile(word).on_error(OnUndecodable::Skip)]);
        let error = stopped.error.unwrap().to_string();
        assert!(error.contains(reason), "{word}: {error}");
        same(&stopped.events, &[]);
    }
    let stopped = made(NATIVE, &[hostile("trap-flush")]);
    assert!(
        matches!(stopped.error(), PluginError::Trap { .. }),
        "{stopped:?}"
    );
    let skipped = made(
        NATIVE,
        &[hostile("trap-flush").on_error(OnUndecodable::Skip)],
    );
    assert!(skipped.error.is_none() && !skipped.passed_over.is_empty());
}

#[test]
fn fuel_is_the_same_each_time() {
    let fuel = |fuel| PluginLimits {
        fuel: Some(fuel),
        ..PluginLimits::default()
    };
    let spin = made(NATIVE, &[hostile("spin 2").limits(fuel(5_000_000))]);
    assert!(
        matches!(spin.error(), PluginError::Fuel { limit: 5_000_000 }),
        "{spin:?}"
    );
    let outcome = |units| {
        made(NATIVE, &[hostile("keep").limits(fuel(units))])
            .error
            .is_none()
    };
    let (mut enough, mut few) = (5_000_000, 0);
    while enough - few > 1 {
        let middle = u64::midpoint(enough, few);
        if outcome_of_load(middle) && outcome(middle) {
            enough = middle;
        } else {
            few = middle;
        }
    }
    for _ in 0..3 {
        assert!(outcome(enough) && !(outcome_of_load(few) && outcome(few)));
    }
}

/// Whether so much fuel is enough to load the plugin at all.
fn outcome_of_load(units: u64) -> bool {
    let limits = PluginLimits {
        fuel: Some(units),
        ..PluginLimits::default()
    };
    Plugins::load(&[hostile("keep").limits(limits)], true, |_| {}).is_ok()
}

#[test]
fn wall_time_has_a_limit_of_its_own() {
    let limits = PluginLimits {
        cpu_max: Duration::from_mins(1),
        wall_max: Duration::from_millis(50),
        ..PluginLimits::default()
    };
    let spin = made(NATIVE, &[hostile("spin 2").limits(limits)]);
    assert!(matches!(spin.error(), PluginError::Wall { .. }), "{spin:?}");
}

#[test]
fn rows_alone() {
    let plain = made(NATIVE, &[]);
    let flat = made(NATIVE, &[Plugin::file(guest("flatten"))]);
    assert_eq!(plain.events.len(), flat.events.len());
    for (event, flat) in plain.events.iter().zip(&flat.events) {
        let mut row = json(event.after());
        if event.op() == Some('d') {
            row = json(event.before());
            row["__deleted"] = Value::Bool(true);
        }
        if event.op() == Some('t') {
            row = json(event.value());
        }
        assert_eq!(json(flat.value()), row);
        assert_eq!(
            (event.key(), event.position()),
            (flat.key(), flat.position())
        );
    }
}

#[test]
fn a_topic_for_each_tenant() {
    let plain = made(NATIVE, &[]);
    let routed = made(NATIVE, &[Plugin::file(guest("route")).config("status")]);
    for (event, routed) in plain.events.iter().zip(&routed.events) {
        let row = json(event.after());
        let topic = &event.topic().name;
        match row.get("status").and_then(Value::as_str) {
            Some(status) => assert_eq!(routed.topic().name, format!("{topic}.{status}")),
            None => assert_eq!(routed.topic().name, *topic),
        }
        assert_eq!(json(routed.after()), row);
    }
    let orders = |event: &&Event| event.topic().name.ends_with(".orders.paid");
    assert_eq!(routed.events.iter().filter(orders).count(), 1);
}
