//! Masks what differs from run to run in Debezium's output, and nothing else.
//!
//! 1. the envelope's `ts_ms`, `ts_us`, `ts_ns`: when the connector dealt with the event
//! 2. `ts_ms` of heartbeats
//! 3. the header `__debezium.context.runId`
//! 4. the source's clock readings: of incremental-snapshot rows, and of a non-transactional message
//!    before any transaction
//! 5. Java object identities: elements of multidimensional arrays, and message ids in a
//!    transaction's `data_collections`, whose place in the list they decide as well

use serde_json::{Map, Value};

/// What a masked value is replaced by; it equals anything.
pub(crate) const VOLATILE: &str = "<volatile>";

/// Topics of heartbeats start with this.
pub(crate) const HEARTBEAT_TOPIC: &str = "__debezium-heartbeat";

/// Masks the events of a stream, in its order.
#[derive(Default)]
pub(crate) struct Mask {
    seen_transaction: bool,
}

impl Mask {
    /// Masks the next event.
    pub(crate) fn apply(&mut self, event: &mut Value) {
        mask_identities(event);
        mask_run_id(event);
        let heartbeat = is_heartbeat(event);
        let Some(value) = event
            .get_mut("value")
            .map(payload_mut)
            .and_then(Value::as_object_mut)
        else {
            return;
        };
        if value.contains_key("op") && value.get("source").is_some_and(Value::is_object) {
            self.mask_change(value);
        } else if heartbeat {
            value.insert("ts_ms".to_owned(), VOLATILE.into());
        } else if value.contains_key("status") {
            self.seen_transaction = true;
            if let Some(Value::Array(collections)) = value.get_mut("data_collections") {
                collections.sort_by_key(|collection| {
                    let name = collection.get("data_collection").and_then(Value::as_str);
                    name.is_some_and(|name| name.ends_with(VOLATILE))
                });
            }
        }
    }

    fn mask_change(&mut self, value: &mut Map<String, Value>) {
        mask_clock(value);
        let is_message = value.get("op").and_then(Value::as_str) == Some("m");
        let Some(source) = value.get_mut("source").and_then(Value::as_object_mut) else {
            return;
        };
        let transactional = source.get("txId").is_some_and(|xid| !xid.is_null());
        let ts_ns = source.get("ts_ns").and_then(Value::as_i64).unwrap_or(0);
        // PostgreSQL's times are whole microseconds.
        let clock = is_message && !transactional && !self.seen_transaction && ts_ns % 1000 != 0;
        if clock || source.get("snapshot").and_then(Value::as_str) == Some("incremental") {
            mask_clock(source);
        }
        self.seen_transaction |= transactional;
    }
}

/// Whether the event is a heartbeat, by its topic.
pub(crate) fn is_heartbeat(event: &Value) -> bool {
    let topic = event.get("topic").and_then(Value::as_str);
    topic.is_some_and(|topic| topic.starts_with(HEARTBEAT_TOPIC))
}

fn mask_clock(object: &mut Map<String, Value>) {
    for name in ["ts_ms", "ts_us", "ts_ns"] {
        if let Some(time) = object.get_mut(name) {
            *time = VOLATILE.into();
        }
    }
}

fn mask_run_id(event: &mut Value) {
    let headers = event.get_mut("headers").and_then(Value::as_object_mut);
    if let Some(id) = headers.and_then(|headers| headers.get_mut("__debezium.context.runId")) {
        match id {
            Value::Object(with_schema) => {
                with_schema.insert("payload".to_owned(), VOLATILE.into());
            }
            plain => *plain = VOLATILE.into(),
        }
    }
}

fn mask_identities(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some(class) = java_class(text) {
                *text = format!("{class}{VOLATILE}");
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(mask_identities),
        Value::Object(members) => members.values_mut().for_each(mask_identities),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The class with its `@`, where `text` is what Java's `Object.toString` prints for an array or an
/// object of Debezium's: `[Ljava.lang.String;@1f2e`.
fn java_class(text: &str) -> Option<&str> {
    let (class, hash) = text.rsplit_once('@')?;
    let is_hash = !hash.is_empty() && hash.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
    let is_name = |name: &str, more: &[char]| {
        !name.is_empty()
            && name
                .chars()
                .all(|c| c.is_alphanumeric() || c == '_' || more.contains(&c))
    };
    let element = class.trim_start_matches('[');
    let is_array = element.len() < class.len()
        && element
            .strip_prefix('L')
            .and_then(|name| name.strip_suffix(';'))
            .is_some_and(|name| is_name(name, &['.']));
    let is_object = class
        .strip_prefix("io.debezium.")
        .is_some_and(|name| is_name(name, &['.', '$']));
    (is_hash && (is_array || is_object))
        .then(|| text.get(..=class.len()))
        .flatten()
}

/// The payload where `value` is a schema with its payload, else `value` itself.
fn payload_mut(value: &mut Value) -> &mut Value {
    let with_schema = value.as_object().is_some_and(|members| {
        members.len() == 2 && members.contains_key("schema") && members.contains_key("payload")
    });
    if with_schema {
        &mut value["payload"]
    } else {
        value
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn masked(event: &Value) -> Value {
        let mut event = event.clone();
        Mask::default().apply(&mut event);
        event
    }

    #[test]
    fn the_envelope_has_a_clock_and_the_source_has_none() {
        let source = json!({"txId": 7, "ts_ms": 1, "ts_us": 2, "ts_ns": 3});
        let value = json!({"op": "c", "ts_ms": 4, "ts_us": 5, "ts_ns": 6, "source": source});
        let event = json!({"topic": "t", "value": value});
        let expected = json!({
            "op": "c", "ts_ms": VOLATILE, "ts_us": VOLATILE, "ts_ns": VOLATILE, "source": source,
        });
        assert_eq!(masked(&event)["value"], expected);
        let with_schema = json!({"topic": "t", "value": {"schema": {}, "payload": value}});
        assert_eq!(masked(&with_schema)["value"]["payload"], expected);
    }

    #[test]
    fn a_message_before_any_transaction_has_read_the_clock() {
        let message = |ts_ns| {
            let source = json!({"txId": null, "ts_ms": 1, "ts_ns": ts_ns});
            json!({"topic": "t", "value": {"op": "m", "ts_ms": 9, "source": source}})
        };
        assert_eq!(masked(&message(1001))["value"]["source"]["ts_ms"], VOLATILE);
        assert_eq!(masked(&message(1000))["value"]["source"]["ts_ms"], 1);

        let mut mask = Mask::default();
        mask.apply(&mut json!({"topic": "t", "value": {"status": "BEGIN"}}));
        let mut later = message(1001);
        mask.apply(&mut later);
        assert_eq!(later["value"]["source"]["ts_ms"], 1);
    }

    #[test]
    fn identities_lose_their_hash_and_their_place() {
        let id = "io.debezium.a.B$C@1f2e";
        for (text, expected) in [
            (
                "[[Ljava.lang.String;@1f2e",
                "[[Ljava.lang.String;@<volatile>",
            ),
            (id, "io.debezium.a.B$C@<volatile>"),
            ("[Ljava.lang.String;@", "[Ljava.lang.String;@"),
            ("[Ljava.lang.String;@1F2E", "[Ljava.lang.String;@1F2E"),
            ("Ljava.lang.String;@1f2e", "Ljava.lang.String;@1f2e"),
            ("ada@example.com", "ada@example.com"),
        ] {
            assert_eq!(masked(&json!({"key": [text]}))["key"][0], expected);
        }
        let collections = json!([{"data_collection": id}, {"data_collection": "public.t"}]);
        let end =
            json!({"topic": "t", "value": {"status": "END", "data_collections": collections}});
        assert_eq!(
            masked(&end)["value"]["data_collections"][0]["data_collection"],
            "public.t"
        );
    }

    #[test]
    fn run_ids_and_heartbeats() {
        let headers = json!({"__debezium.context.runId": "x", "a": 1});
        let event = json!({
            "topic": "__debezium-heartbeat.app", "value": {"ts_ms": 1}, "headers": headers,
        });
        let masked = masked(&event);
        assert_eq!(masked["value"]["ts_ms"], VOLATILE);
        assert_eq!(
            masked["headers"],
            json!({"__debezium.context.runId": VOLATILE, "a": 1})
        );
        assert!(is_heartbeat(&masked));
    }
}
