//! Every recorded stream, inspected: all of it is understood; and without its values it gives the
//! same events with other values of the same kinds.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may fail by panicking, and says where"
)]

use pgoutput_decoder::inspection::{Field, Inspector};
use pgoutput_decoder::{DecodeErrorKind, Facts, Options, Question};
use pgoutput_decoder_fuzz::{Caller, FRAME_HEAD_BYTES, Line, Recording, frame, inspect};
use serde_json::Value;

const OPTIONS: [&[(&str, &str)]; 5] = [
    &[("format", "native")],
    &[("format", "debezium")],
    &[
        ("format", "native"),
        ("decimal.handling.mode", "precise"),
        ("time.precision.mode", "microseconds"),
        ("skip.messages.without.change", "true"),
    ],
    &[
        ("format", "debezium"),
        ("include.unknown.datatypes", "true"),
        ("binary.handling.mode", "hex"),
        ("decimal.handling.mode", "double"),
        ("hstore.handling.mode", "map"),
        ("interval.handling.mode", "string"),
        ("time.precision.mode", "isostring"),
        ("skipped.operations", "none"),
    ],
    &[
        ("format", "debezium"),
        ("decimal.handling.mode", "string"),
        ("time.precision.mode", "connect"),
        ("provide.transaction.metadata", "true"),
        ("skip.messages.without.change", "true"),
    ],
];

#[test]
fn every_byte_of_every_recording_is_understood() {
    let (mut frames, mut named) = (0, 0);
    for recording in Recording::all(&[]) {
        println!("{}", recording.name);
        let mut inspector = Inspector::new();
        for frame in &recording.frames {
            let inspected = inspect(&mut inspector, frame);
            assert_eq!(inspected.message.problem, None);
            assert_eq!(inspected.redacted.len(), frame.len());
            for field in &inspected.fields {
                assert!(!field.name.starts_with("column 1"), "{field:?}");
                named += 1;
            }
            frames += 1;
        }
        let mut together = recording.frames.concat();
        let messages = Inspector::new().messages(&together);
        assert_eq!(messages.len(), recording.frames.len());
        Inspector::new().redact(&mut together);
        assert_eq!(together, redacted(&recording.frames).concat());
    }
    println!("{frames} frames, {named} fields");
    assert!(frames > 10_000 && named > 200_000, "{frames}, {named}");
}

#[test]
fn redacted_recordings_give_events_of_the_same_kinds() {
    let mut events = 0;
    for (number, recording) in Recording::all(&[]).enumerate() {
        let other = redacted(&recording.frames);
        // Of those beside the native format, one each.
        for options in [OPTIONS[0], OPTIONS[1 + number % 4]] {
            println!("{} {options:?}", recording.name);
            let answer = |question: &Question| facts(&recording, question);
            let decode = |frames: &[Vec<u8>]| {
                let options = Options::parse(options.iter().copied()).unwrap();
                let mut caller = Caller::new(options, &answer);
                caller.pass(&frames.concat());
                assert_eq!(caller.errors, []);
                caller.lines
            };
            let (before, after) = (decode(&recording.frames), decode(&other));
            assert_eq!(before.len(), after.len());
            for (before, after) in before.iter().zip(&after) {
                same_event(before, after);
                events += 1;
            }
        }
    }
    println!("{events} events");
    assert!(events > 50_000, "{events}");
}

#[test]
fn nothing_of_a_text_survives() {
    let mut values = 0;
    for recording in Recording::all(&[]) {
        println!("{}", recording.name);
        let mut inspector = Inspector::new();
        for frame in &recording.frames {
            let inspected = inspect(&mut inspector, frame);
            for value in texts(&inspected.fields) {
                let range = value.offset..value.offset + value.bytes;
                no_trace(&inspected.redacted[range]);
                values += 1;
            }
        }
    }
    println!("{values} values");
    assert!(values > 50_000, "{values}");
}

#[test]
fn damaged_frames_are_described() {
    let (mut understood, mut not) = (0_u64, 0_u64);
    let mut next = 0;
    for recording in Recording::all(&[]) {
        println!("{}", recording.name);
        let answer = |question: &Question| facts(&recording, question);
        let native = Options::parse([("format", "native")]).unwrap();
        let mut caller = Caller::new(native, &answer);
        let mut inspector = Inspector::new();
        for whole in &recording.frames {
            let (_, message) = whole.split_at(FRAME_HEAD_BYTES);
            let lsn = u64::from_be_bytes(whole[6..14].try_into().unwrap());
            while next < message.len() {
                let mask = [0x01, 0x80, 0xFF, 1 << (next % 8)][next % 4];
                let mut flipped = message.to_vec();
                flipped[next] ^= mask;
                for damaged in [&message[..next], &flipped] {
                    let damaged = frame(lsn, damaged);
                    let inspected = inspect(&mut inspector.clone(), &damaged);
                    let mut caller = caller.clone();
                    caller.pass(&damaged);
                    let problem = inspected.message.problem;
                    *if problem.is_none() {
                        &mut understood
                    } else {
                        &mut not
                    } += 1;
                    // The decoder does not look into what it has stashed.
                    if !inspected.message.in_chunk && caller.undecided().is_empty() {
                        same_verdict(&caller, problem.as_ref());
                    }
                }
                next += 307;
            }
            next -= message.len();
            // Damage to what is around the message.
            for at in 0..FRAME_HEAD_BYTES {
                let mut damaged = whole.clone();
                damaged[at] ^= 1 << (at % 8);
                if next % 7 == 0 {
                    Inspector::new().messages(&damaged);
                    inspector.clone().fields(&damaged);
                    inspector.clone().redact(&mut damaged);
                }
            }
            inspector.messages(whole);
            caller.pass(whole);
            caller.lines.clear();
        }
    }
    println!("{understood} damaged messages were understood, {not} not");
    assert!(understood > 3000 && not > 3000, "{understood}, {not}");
}

/// What the decoder cannot read, the inspector cannot, and the other way round; but it knows of no
/// order, and shows values that are none.
fn same_verdict(caller: &Caller<'_>, problem: Option<&String>) {
    use DecodeErrorKind::{Frame, Limit, Trailing, Truncated, Unsupported};
    match (caller.errors.as_slice(), problem) {
        ([], problem) => assert_eq!(problem, None),
        ([error], None) => {
            let of_layout = [Frame, Limit, Trailing, Truncated, Unsupported];
            assert!(!of_layout.contains(&error.kind), "{error}");
        }
        ([error], Some(problem)) => {
            // A message that comes out of order is refused before it is read.
            let words = error.kind.to_string();
            let ordered = error.kind != DecodeErrorKind::Sequence;
            assert!(
                !ordered || problem.starts_with(&words),
                "{error}: {problem}"
            );
        }
        (errors, _) => panic!("{errors:?}"),
    }
}

/// The frames one by one, as one inspector redacts them.
fn redacted(frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut inspector = Inspector::new();
    let mut redacted = frames.to_vec();
    for frame in &mut redacted {
        inspector.redact(frame);
    }
    redacted
}

fn facts(recording: &Recording, question: &Question) -> Facts {
    let relations = recording.facts.relations.iter();
    Facts {
        types: recording.facts.types.clone(),
        relations: relations
            .filter(|relation| relation.oid == question.relation)
            .cloned()
            .collect(),
    }
}

/// Values in text form.
fn texts(fields: &[Field]) -> impl Iterator<Item = &Field> {
    fields.windows(3).filter_map(|three| {
        let [kind, length, value] = three else {
            return None;
        };
        let of = |field: &Field, part: &str| field.name == format!("{}: {part}", value.name);
        (of(kind, "kind") && of(length, "length") && kind.value == "text").then_some(value)
    })
}

/// Every letter and digit stands for another, or is of a word that stays.
fn no_trace(redacted: &[u8]) {
    const WORDS: &str = "BC E Infinity NULL NaN day days e empty false infinity mon mons null true \
        year years t f";
    let text = String::from_utf8_lossy(redacted);
    // Lower bounds of an array are in front.
    let behind = match text.split_once("]={") {
        Some((_, behind)) if text.starts_with('[') => behind,
        _ => &text,
    };
    // The escapes of bytea, and of JSON: `\x11`, `\u1111`, `\n`.
    let mut plain = behind.replace("\\x", "").replace("\\u", "");
    for escape in ["\\b", "\\f", "\\n", "\\r", "\\t"] {
        plain = plain.replace(escape, " ");
    }
    for word in plain.split(|c: char| !c.is_ascii_alphabetic()) {
        let replaced = word.bytes().all(|byte| matches!(byte, b'x' | b'y'));
        assert!(
            replaced || WORDS.split(' ').any(|known| known == word),
            "{word} in {text}"
        );
    }
    let digit = |byte: u8| !byte.is_ascii_digit() || matches!(byte, b'0'..=b'2');
    assert!(behind.bytes().all(digit), "{text}");
    assert!(text.is_ascii(), "{text}");
}

fn same_event(before: &Line, after: &Line) {
    let (
        Line::Event {
            topic: topic_before,
            record: before,
        },
        Line::Event {
            topic: topic_after,
            record: after,
        },
    ) = (before, after)
    else {
        assert_eq!(before, after);
        return;
    };
    assert_eq!(topic_before, topic_after);
    // All but where things are, and how long.
    assert_eq!(before[4..48], after[4..48]);
    let unchanged = 60..64;
    assert_eq!(before[unchanged.clone()], after[unchanged]);
    for (before, after) in jsons(before).into_iter().zip(jsons(after)) {
        let value = |json: &str| match json {
            "" => Value::Null,
            json => serde_json::from_str(json).unwrap(),
        };
        same_kind(&value(before), &value(after), &|| {
            format!("{before}\n{after}")
        });
    }
}

/// Key, value and headers.
fn jsons(record: &[u8]) -> [&str; 3] {
    let mut at = 88;
    [48, 52, 56].map(|length| {
        let length = u32::from_le_bytes(record[length..length + 4].try_into().unwrap());
        let start = at;
        at += usize::try_from(length).unwrap();
        str::from_utf8(&record[start..at]).unwrap()
    })
}

fn same_kind(before: &Value, after: &Value, context: &dyn Fn() -> String) {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            if before.keys().eq(after.keys()) {
                for (name, value) in before {
                    if name == "source" {
                        assert_eq!(value, &after[name]);
                    }
                    same_kind(value, &after[name], context);
                }
            } else {
                // Names within a json or an hstore are values.
                let redacted =
                    |name: &String| name.bytes().all(|byte| !matches!(byte, b'a'..=b'w'));
                assert!(after.keys().all(redacted), "{}", context());
            }
        }
        (Value::Array(before), Value::Array(after)) => {
            assert_eq!(before.len(), after.len(), "{}", context());
            for (before, after) in before.iter().zip(after) {
                same_kind(before, after, context);
            }
        }
        (Value::Null, Value::Null)
        | (Value::Bool(_), Value::Bool(_))
        | (Value::Number(_), Value::Number(_))
        | (Value::String(_), Value::String(_)) => {}
        _ => panic!("{before} became {after} in {}", context()),
    }
}
