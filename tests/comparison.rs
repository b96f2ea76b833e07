//! Whether events are those that Debezium wrote.
//!
//! - Members of an object may come in any order; numbers are equal by value.
//! - What differs from run to run accepts anything (`mask.rs`); heartbeats are left out.
//! - The headers `__debezium.context.*` are the same for all events and may be absent.
//! - A transaction's `data_collections` are a set.
//! - Where Debezium's events are a sample, they name those they are to be compared with.

use serde_json::{Map, Value};

use crate::deviations::Allowed;
use crate::mask::{Mask, VOLATILE, is_heartbeat};
use crate::number;

/// The outcome of [`compare`].
#[derive(Debug, Default)]
pub struct Comparison {
    /// Events that Debezium wrote.
    pub expected: usize,
    /// Events that we wrote.
    pub actual: usize,
    /// Events that are equal.
    pub equal: usize,
    /// The first difference of each of the others.
    pub differences: Vec<String>,
    /// Indexes of what was allowed and whose example was met.
    pub met: Vec<usize>,
}

impl Comparison {
    /// Whether all events are equal, and none is missing or too many.
    pub fn is_equal(&self) -> bool {
        self.equal == self.expected && self.equal == self.actual
    }
}

/// Parses lines of JSON; empty ones are passed over.
pub fn parse_lines(text: &str) -> Result<Vec<Value>, String> {
    let lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(index, line)| {
            serde_json::from_str(line).map_err(|error| format!("line {}: {error}", index + 1))
        })
        .collect()
}

/// Compares `actual` events with Debezium's. In the columns allowed, rows and keys may differ.
pub fn compare(
    mut expected: Vec<Value>,
    mut actual: Vec<Value>,
    allowed: &[Allowed<'_>],
) -> Comparison {
    if let Some(sample) = sample(&expected, &actual) {
        actual = sample;
    }
    let mut mask = Mask::default();
    for event in &mut expected {
        mask.apply(event);
    }
    for events in [&mut expected, &mut actual] {
        events.retain(|event| !is_heartbeat(event));
    }
    let mut comparison = Comparison {
        expected: expected.len(),
        actual: actual.len(),
        ..Comparison::default()
    };
    let mut differ = Differ {
        allowed,
        table: "",
        met: Vec::new(),
    };
    for index in 0..expected.len().max(actual.len()) {
        let difference = match (expected.get(index), actual.get(index)) {
            (Some(expected), Some(actual)) => differ.event(expected, actual),
            (Some(expected), None) => Some(format!("missing, expected {}", short(expected))),
            (None, actual) => Some(format!(
                "unexpected, {}",
                actual.map(short).unwrap_or_default()
            )),
        };
        match difference {
            None => comparison.equal += 1,
            Some(text) => comparison
                .differences
                .push(format!("event {}: {text}", index + 1)),
        }
    }
    differ.met.sort_unstable();
    differ.met.dedup();
    comparison.met = differ.met;
    comparison
}

/// Those of the `actual` events that the `expected` ones name: by `event`, counted from 1.
fn sample(expected: &[Value], actual: &[Value]) -> Option<Vec<Value>> {
    let number = |event: &Value| event.get("event").and_then(Value::as_u64);
    let numbers: Vec<_> = expected.iter().map(number).collect();
    numbers.iter().any(Option::is_some).then(|| {
        let named = numbers.into_iter().map(|number| {
            let index = usize::try_from(number?.checked_sub(1)?).ok()?;
            actual.get(index).cloned()
        });
        named.map(Option::unwrap_or_default).collect()
    })
}

struct Differ<'a> {
    allowed: &'a [Allowed<'a>],
    /// Of the event that is looked at.
    table: &'a str,
    met: Vec<usize>,
}

impl<'a> Differ<'a> {
    fn event(&mut self, expected: &'a Value, actual: &Value) -> Option<String> {
        let table = expected.pointer("/value/source/table");
        self.table = table.and_then(Value::as_str).unwrap_or_default();
        let no_headers = Value::Object(Map::new());
        ["topic", "key", "value", "headers"]
            .into_iter()
            .find_map(|name| {
                let absent = (name == "headers").then_some(&no_headers);
                let Some(actual) = actual.get(name).or(absent) else {
                    return Some(format!("{name}: missing"));
                };
                self.value(name, expected.get(name).unwrap_or(&Value::Null), actual)
            })
    }

    /// The first difference below `path`.
    fn value(&mut self, path: &str, expected: &Value, actual: &Value) -> Option<String> {
        match (expected, actual) {
            (Value::String(text), _) if text == VOLATILE => None,
            (Value::String(text), Value::String(_)) if text.ends_with(VOLATILE) => None,
            (Value::Number(a), Value::Number(b)) if number::equal(a.as_str(), b.as_str()) => None,
            (Value::Object(expected), Value::Object(actual)) => self.object(path, expected, actual),
            (Value::Array(expected), Value::Array(actual)) => self.array(path, expected, actual),
            (expected, actual) if expected == actual => None,
            _ => Some(format!(
                "{path}: expected {}, got {}",
                short(expected),
                short(actual)
            )),
        }
    }

    fn object(
        &mut self,
        path: &str,
        expected: &Map<String, Value>,
        actual: &Map<String, Value>,
    ) -> Option<String> {
        let constant = |name: &str| path == "headers" && name.starts_with("__debezium.context.");
        for name in expected.keys() {
            if !actual.contains_key(name) && !constant(name) {
                return Some(format!("{path}.{name}: missing"));
            }
        }
        for (name, value) in actual {
            if !expected.contains_key(name) {
                return Some(format!("{path}.{name}: unexpected, {}", short(value)));
            }
        }
        expected.iter().find_map(|(name, expected)| {
            let actual = actual.get(name)?;
            let difference = self.value(&format!("{path}.{name}"), expected, actual)?;
            (!self.is_deviation(path, name, expected, actual)).then_some(difference)
        })
    }

    fn array(&mut self, path: &str, expected: &[Value], actual: &[Value]) -> Option<String> {
        if expected.len() != actual.len() {
            let (expected, actual) = (expected.len(), actual.len());
            return Some(format!(
                "{path}: expected {expected} elements, got {actual}"
            ));
        }
        // Debezium lists them in the order of a Java HashMap.
        let is_set = path.ends_with("data_collections");
        let order = |elements: &[Value]| {
            let mut elements = elements.to_vec();
            if is_set {
                elements.sort_by_key(|element| {
                    let name = element.get("data_collection").and_then(Value::as_str);
                    name.unwrap_or_default().to_owned()
                });
            }
            elements
        };
        let pairs = order(expected).into_iter().zip(order(actual)).enumerate();
        pairs.into_iter().find_map(|(index, (expected, actual))| {
            self.value(&format!("{path}[{index}]"), &expected, &actual)
        })
    }

    /// Whether a row's or key's column may differ; the example is noted. (A tombstone's key has no
    /// table beside it.)
    fn is_deviation(&mut self, path: &str, name: &str, expected: &Value, actual: &Value) -> bool {
        let row = path.replace(".payload", "");
        if !matches!(row.as_str(), "key" | "value.before" | "value.after") {
            return false;
        }
        let found = self.allowed.iter().position(|allowed| {
            allowed.column == name && (allowed.table == self.table || path == "key")
        });
        let Some(index) = found else {
            return false;
        };
        let example = self.allowed.get(index).and_then(|allowed| allowed.example);
        if example == Some((expected, actual)) {
            self.met.push(index);
        }
        true
    }
}

/// The value's JSON, at most 200 characters of it.
fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(200) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn differences(expected: &Value, actual: &Value) -> Vec<String> {
        compare(vec![expected.clone()], vec![actual.clone()], &[]).differences
    }

    fn event(value: &Value) -> Value {
        json!({"topic": "t", "key": null, "value": value, "headers": {}})
    }

    #[test]
    fn order_of_members_and_spelling_of_numbers_do_not_count() {
        let expected = event(&serde_json::from_str(r#"{"a":1.0E10,"b":[1,2]}"#).unwrap());
        let actual = event(&serde_json::from_str(r#"{"b":[1,2.0],"a":10000000000}"#).unwrap());
        assert_eq!(differences(&expected, &actual), [""; 0]);
        let actual = event(&serde_json::from_str(r#"{"b":[2,1],"a":10000000000}"#).unwrap());
        assert_eq!(
            differences(&expected, &actual),
            ["event 1: value.b[0]: expected 1, got 2"]
        );
    }

    #[test]
    fn what_is_missing_or_too_much_is_named() {
        let expected = event(&json!({"a": null, "b": 1}));
        for (actual, difference) in [
            (json!({"b": 1}), "event 1: value.a: missing"),
            (
                json!({"a": null, "b": 1, "c": []}),
                "event 1: value.c: unexpected, []",
            ),
            (
                json!({"a": "", "b": 1}),
                "event 1: value.a: expected null, got \"\"",
            ),
            (
                json!({"a": null, "b": "1"}),
                "event 1: value.b: expected 1, got \"1\"",
            ),
            (
                json!({"a": null, "b": true}),
                "event 1: value.b: expected 1, got true",
            ),
            (
                Value::Null,
                "event 1: value: expected {\"a\":null,\"b\":1}, got null",
            ),
        ] {
            assert_eq!(differences(&expected, &event(&actual)), [difference]);
        }
        let comparison = compare(vec![expected.clone(); 2], vec![expected.clone()], &[]);
        assert_eq!((comparison.equal, comparison.is_equal()), (1, false));
        assert!(comparison.differences[0].starts_with("event 2: missing"));
        let comparison = compare(vec![expected.clone()], vec![expected; 2], &[]);
        assert_eq!((comparison.equal, comparison.is_equal()), (1, false));
        assert!(comparison.differences[0].starts_with("event 2: unexpected"));
    }

    #[test]
    fn a_sample_names_its_events() {
        let numbered = |number: u64, value: &Value| {
            let mut event = event(value);
            event["event"] = json!(number);
            event
        };
        let actual = vec![event(&json!(1)), event(&json!(2)), event(&json!(3))];
        let expected = vec![numbered(1, &json!(1)), numbered(3, &json!(3))];
        let comparison = compare(expected, actual.clone(), &[]);
        assert!(comparison.is_equal(), "{:?}", comparison.differences);
        let expected = vec![numbered(2, &json!(3)), numbered(4, &json!(4))];
        let comparison = compare(expected, actual, &[]);
        assert_eq!(
            comparison.differences,
            [
                "event 1: value: expected 3, got 2",
                "event 2: topic: missing"
            ]
        );
    }

    #[test]
    fn constant_headers_may_be_absent_and_others_may_not() {
        let expected = json!({"topic": "t", "key": null, "value": null, "headers": {
            "__debezium.newkey": {"id": 1}, "__debezium.context.taskId": "0",
        }});
        let mut actual = event(&Value::Null);
        assert_eq!(
            differences(&expected, &actual),
            ["event 1: headers.__debezium.newkey: missing"]
        );
        actual["headers"]["__debezium.newkey"] = json!({"id": 1});
        assert_eq!(differences(&expected, &actual), [""; 0]);
        actual["headers"]["__debezium.context.taskId"] = json!("1");
        assert_eq!(differences(&expected, &actual).len(), 1);
    }

    #[test]
    fn heartbeats_do_not_count_and_collections_are_a_set() {
        let heartbeat = json!({"topic": "__debezium-heartbeat.app", "key": {}, "value": {}});
        let end = |names: [&str; 2]| {
            let named = names.map(|name| json!({"data_collection": name, "event_count": 1}));
            event(&json!({"status": "END", "data_collections": named}))
        };
        let comparison = compare(vec![heartbeat, end(["b", "a"])], vec![end(["a", "b"])], &[]);
        assert!(comparison.is_equal(), "{comparison:?}");
        assert_eq!(comparison.expected, 1);
        assert_eq!(differences(&end(["b", "a"]), &end(["a", "c"])).len(), 1);
    }

    #[test]
    fn a_deviation_is_of_its_column_and_met_by_its_example() {
        let row = |name: &str, value: &Value| {
            event(&json!({"op": "c", "after": {name: value}, "source": {"table": "t"}}))
        };
        let (null, text) = (Value::Null, json!("x"));
        let outcome = |name: &str, ours: &Value| {
            let allowed = Allowed {
                table: "t",
                column: "n",
                example: Some((&null, &text)),
            };
            compare(vec![row(name, &null)], vec![row(name, ours)], &[allowed])
        };
        let met = outcome("n", &text);
        assert!(met.is_equal());
        assert_eq!(met.met, [0]);
        let other = outcome("n", &json!("y"));
        assert!(other.is_equal() && other.met.is_empty());
        assert!(outcome("n", &null).met.is_empty());
        assert!(!outcome("m", &text).is_equal());
    }

    #[test]
    fn the_volatile_accepts_anything_but_absence() {
        let clock = |time: &Value| {
            event(&json!({"op": "c", "ts_ms": time, "source": {"txId": 1, "ts_ms": 5}}))
        };
        assert_eq!(differences(&clock(&json!(1)), &clock(&json!(2))), [""; 0]);
        let mut actual = clock(&json!(1));
        actual["value"].as_object_mut().unwrap().remove("ts_ms");
        assert_eq!(
            differences(&clock(&json!(1)), &actual),
            ["event 1: value.ts_ms: missing"]
        );
        actual = clock(&json!(1));
        actual["value"]["source"]["ts_ms"] = json!(6);
        assert_eq!(differences(&clock(&json!(1)), &actual).len(), 1);
    }
}
