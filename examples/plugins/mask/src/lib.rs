//! Replaces personal data: by a keyed hash (HMAC-SHA-256), of which nobody learns anything who has
//! no key, and which is equal where values are, so that tables can still be joined; or by a text.
//!
//! The configuration: lines `key=…`, `schema.table.column` for a hash in hexadecimal digits, and
//! `schema.table.column=***` for that text. Columns that are no text become null.

use std::cell::RefCell;
use std::collections::HashMap;

use exports::pgoutput::plugin::transform::{
    Column, Commit, Description, Emission, Guest, NewValue, Operations, Relation, Rows, Value,
    Verdict, Wanted,
};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

wit_bindgen::generate!({ path: "../../../wit/plugin", world: "plugin" });
export!(Mask);

struct Mask;

#[derive(Default)]
struct State {
    hmac: Option<Hmac<Sha256>>,
    /// By `schema.table.column`.
    masks: HashMap<String, With>,
    /// By relation: the indexes of its columns, in the order of the rows' values.
    relations: HashMap<u32, Vec<(u32, With)>>,
}

#[derive(Clone)]
enum With {
    Hash,
    Text(String),
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
        let lines = config
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty());
        let mut state = State::default();
        for line in lines {
            let (name, with) = match line.split_once('=') {
                Some(("key", key)) => {
                    state.hmac = Hmac::new_from_slice(key.as_bytes()).ok();
                    continue;
                }
                Some((name, text)) => (name, With::Text(text.to_owned())),
                None => (line, With::Hash),
            };
            if name.split('.').count() != 3 {
                return Err("expected key=… and lines with schema.table.column".to_owned());
            }
            state.masks.insert(name.to_owned(), with);
        }
        if state.masks.is_empty() {
            return Err("a line schema.table.column is missing".to_owned());
        }
        let hashes = state.masks.values().any(|with| matches!(with, With::Hash));
        if hashes && state.hmac.is_none() {
            return Err("a line key=… is missing".to_owned());
        }
        STATE.set(state);
        Ok(())
    }

    fn select(relation: Relation) -> Option<Wanted> {
        STATE.with_borrow_mut(|state| {
            let masked = |(column, index): (&Column, u32)| {
                let name = format!("{}.{}.{}", relation.schema, relation.table, column.name);
                Some((index, state.masks.get(&name)?.clone()))
            };
            let masks: Vec<_> = relation
                .columns
                .iter()
                .zip(0..)
                .filter_map(masked)
                .collect();
            if masks.is_empty() {
                return None;
            }
            let columns = masks.iter().map(|(index, _)| *index).collect();
            state.relations.insert(relation.id, masks);
            Some(Wanted {
                operations: Operations::all(),
                columns,
                old: true,
                payload: false,
            })
        })
    }

    fn process(rows: Rows) -> Vec<Verdict> {
        STATE.with_borrow(|state| {
            let Some(masks) = state.relations.get(&rows.relation) else {
                return Vec::new();
            };
            let values = rows.values.chunks_exact(masks.len());
            let old = rows.old.chunks_exact(masks.len());
            let verdict = |(values, old)| {
                let new = state.masked(masks, values, false);
                Verdict::Change(new.chain(state.masked(masks, old, true)).collect())
            };
            values.zip(old).map(verdict).collect()
        })
    }

    fn flush(_commit: Commit) -> Vec<Emission> {
        Vec::new()
    }
}

impl State {
    fn masked<'a>(
        &'a self,
        masks: &'a [(u32, With)],
        values: &'a [Value],
        old: bool,
    ) -> impl Iterator<Item = NewValue> + 'a {
        masks
            .iter()
            .zip(values)
            .filter_map(move |((column, with), value)| {
                let value = match (value, with) {
                    (Value::Null | Value::Unchanged, _) => return None,
                    (Value::Text(text), With::Hash) => Value::Text(self.hash(text)),
                    (Value::Text(_), With::Text(text)) => Value::Text(text.clone()),
                    _ => Value::Null,
                };
                Some(NewValue {
                    column: *column,
                    old,
                    value,
                })
            })
    }

    fn hash(&self, text: &str) -> String {
        const DIGITS: [char; 16] = [
            '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
        ];
        let Some(hmac) = &self.hmac else {
            return String::new();
        };
        let hash = hmac.clone().chain_update(text).finalize().into_bytes();
        let digits = hash.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        digits.map(|digit| DIGITS[usize::from(digit)]).collect()
    }
}
