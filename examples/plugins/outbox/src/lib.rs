//! Makes events of what was written to an outbox table, as Debezium's outbox router does: each row
//! inserted becomes one event in the topic that it names, and what else happens to the table is
//! nobody's business. Rows of other tables pass by.
//!
//! The configuration is the table's name; `outbox` where there is none. Its columns:
//! `aggregatetype` names the topic, `aggregateid` is the key, `payload` the event, `type` and `id`
//! are headers.

use std::cell::RefCell;

use exports::pgoutput::plugin::transform::{
    Commit, Description, Emission, Guest, Operation, Operations, Relation, Rows, Value, Verdict,
    Wanted,
};

wit_bindgen::generate!({ path: "../../../wit/plugin", world: "plugin" });
export!(Outbox);

struct Outbox;

const COLUMNS: [&str; 5] = ["aggregatetype", "aggregateid", "payload", "type", "id"];

thread_local! {
    static TABLE: RefCell<String> = RefCell::default();
}

impl Guest for Outbox {
    fn describe() -> Description {
        Description {
            name: "outbox".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commits: false,
        }
    }

    fn init(config: String) -> Result<(), String> {
        TABLE.set(if config.is_empty() {
            "outbox".to_owned()
        } else {
            config
        });
        Ok(())
    }

    fn select(relation: Relation) -> Option<Wanted> {
        if TABLE.with_borrow(|table| *table != relation.table) {
            return None;
        }
        let index = |name: &str| {
            let mut columns = relation.columns.iter().zip(0..);
            columns
                .find(|(column, _)| column.name == name)
                .map(|(_, index)| index)
        };
        // Without one of them it is another table with this name.
        let columns = COLUMNS
            .iter()
            .map(|name| index(name))
            .collect::<Option<Vec<u32>>>()?;
        Some(Wanted {
            operations: Operations::all(),
            columns,
            old: false,
            payload: false,
        })
    }

    fn process(rows: Rows) -> Vec<Verdict> {
        let mut values = rows.values.into_iter().map(text);
        let mut next = || values.next().flatten();
        let mut verdicts = Vec::new();
        for event in rows.events {
            let [topic, key, payload, kind, id] = COLUMNS.map(|_| next());
            verdicts.push(match (event.operation, topic) {
                (Operation::Create, Some(topic)) => {
                    let headers = [("type", kind), ("id", id)].into_iter();
                    let headers = headers.filter_map(|(name, text)| Some((name.to_owned(), text?)));
                    Verdict::Emit(vec![Emission {
                        topic: format!("outbox.event.{topic}"),
                        key: key.map(|key| quoted(&key)),
                        payload,
                        headers: headers.collect(),
                    }])
                }
                (Operation::Create, None) => Verdict::Fail("aggregatetype is null".to_owned()),
                _ => Verdict::Drop,
            });
        }
        verdicts
    }

    fn flush(_commit: Commit) -> Vec<Emission> {
        Vec::new()
    }
}

/// A value as text; of json its text.
fn text(value: Value) -> Option<String> {
    match value {
        Value::Text(text) | Value::Json(text) | Value::Decimal(text) => Some(text),
        Value::Integer(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A JSON string.
fn quoted(text: &str) -> String {
    let mut json = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => json.extend(['\\', character]),
            '\0'..='\x1f' => json += &format!("\\u{:04x}", u32::from(character)),
            _ => json.push(character),
        }
    }
    json + "\""
}
