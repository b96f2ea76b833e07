//! Replaces personal data by a keyed hash (HMAC-SHA-256): who has no key learns nothing of it, and
//! equal values stay equal, so that tables can still be joined.
//!
//! The configuration: a line `key=…` and a line for each column, `schema.table.column`. Columns of
//! text get the hash in hexadecimal digits; all others become null.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::Write;

use exports::pgoutput::plugin::transform::{
    Change, Commit, Description, Emission, Guest, Operations, Relation, Row, Value, Verdict,
    Wanted,
};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

wit_bindgen::generate!({ path: "../../../wit/plugin", world: "plugin" });
export!(Mask);

struct Mask;

#[derive(Default)]
struct State {
    hmac: Option<Hmac<Sha256>>,
    /// `schema.table.column`
    columns: Vec<String>,
    /// By relation: the indexes of its columns, in the order of the rows' values.
    relations: HashMap<u32, Vec<u32>>,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

impl Guest for Mask {
    fn describe() -> Description {
        Description {
            name: "mask".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commits: false,
        }
    }

    fn init(config: String) -> Result<(), String> {
        let lines = config.lines().map(str::trim).filter(|line| !line.is_empty());
        let mut state = State::default();
        for line in lines {
            match line.strip_prefix("key=") {
                Some(key) => state.hmac = Hmac::new_from_slice(key.as_bytes()).ok(),
                None if line.split('.').count() == 3 => state.columns.push(line.to_owned()),
                None => return Err("expected key=… and lines with schema.table.column".to_owned()),
            }
        }
        if state.hmac.is_none() {
            return Err("a line key=… is missing".to_owned());
        }
        STATE.set(state);
        Ok(())
    }

    fn select(relation: Relation) -> Option<Wanted> {
        STATE.with_borrow_mut(|state| {
            let of = format!("{}.{}.", relation.schema, relation.table);
            let masked = |name: &str| {
                let names = state.columns.iter().filter_map(|column| column.strip_prefix(&of));
                names.into_iter().any(|column| column == name)
            };
            let columns = relation.columns.iter().zip(0..);
            let columns: Vec<u32> = columns
                .filter(|(column, _)| masked(&column.name))
                .map(|(_, index)| index)
                .collect();
            if columns.is_empty() {
                return None;
            }
            state.relations.insert(relation.id, columns.clone());
            Some(Wanted {
                operations: Operations::all(),
                columns,
                old: true,
                payload: false,
            })
        })
    }

    fn process(relation: u32, rows: Vec<Row>) -> Vec<Verdict> {
        STATE.with_borrow(|state| {
            let columns = state.relations.get(&relation).map_or(&[][..], Vec::as_slice);
            let verdict = |row: &Row| {
                Verdict::Change(Change {
                    values: state.masked(columns, &row.values),
                    old: state.masked(columns, &row.old),
                })
            };
            rows.iter().map(verdict).collect()
        })
    }

    fn flush(_commit: Commit) -> Vec<Emission> {
        Vec::new()
    }
}

impl State {
    fn masked(&self, columns: &[u32], values: &[Value]) -> Vec<(u32, Value)> {
        let masked = columns.iter().zip(values).filter_map(|(column, value)| match value {
            Value::Null | Value::Unchanged => None,
            Value::Text(text) => Some((*column, Value::Text(self.hash(text)))),
            _ => Some((*column, Value::Null)),
        });
        masked.collect()
    }

    fn hash(&self, text: &str) -> String {
        let mut hex = String::with_capacity(64);
        if let Some(hmac) = &self.hmac {
            for byte in hmac.clone().chain_update(text).finalize().into_bytes() {
                // Writing to a String does not fail.
                let _ = write!(hex, "{byte:02x}");
            }
        }
        hex
    }
}
