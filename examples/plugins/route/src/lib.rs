//! Sends each row's events to the topic of its tenant: `<topic>.<tenant>`. The configuration is the
//! column that says whose a row is; `tenant_id` where there is none. A row of nobody stays where it
//! is.

use std::cell::RefCell;
use std::collections::HashMap;

use exports::pgoutput::plugin::transform::{
    Commit, Description, Emission, Guest, Operations, Relation, Rows, Value, Verdict, Wanted,
};

wit_bindgen::generate!({ path: "../../../wit/plugin", world: "plugin" });
export!(Route);

struct Route;

thread_local! {
    static COLUMN: RefCell<String> = RefCell::default();
    /// By relation.
    static TOPICS: RefCell<HashMap<u32, String>> = RefCell::default();
}

impl Guest for Route {
    fn describe() -> Description {
        Description {
            name: "route".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commits: false,
        }
    }

    fn init(config: String) -> Result<(), String> {
        COLUMN.set(if config.is_empty() {
            "tenant_id".to_owned()
        } else {
            config
        });
        Ok(())
    }

    fn select(relation: Relation) -> Option<Wanted> {
        let name = COLUMN.with_borrow(Clone::clone);
        let mut columns = relation.columns.iter().zip(0..);
        let (_, index) = columns.find(|(column, _)| column.name == name)?;
        TOPICS.with_borrow_mut(|topics| topics.insert(relation.id, relation.topic));
        Some(Wanted {
            operations: Operations::all(),
            columns: vec![index],
            old: false,
            payload: false,
        })
    }

    fn process(rows: Rows) -> Vec<Verdict> {
        TOPICS.with_borrow(|topics| {
            let topic = topics.get(&rows.relation).map_or("", String::as_str);
            let verdict = |value: &Value| match value {
                Value::Integer(tenant) => Verdict::Route(format!("{topic}.{tenant}")),
                Value::Text(tenant) if !tenant.is_empty() => {
                    Verdict::Route(format!("{topic}.{tenant}"))
                }
                _ => Verdict::Keep,
            };
            rows.values.iter().map(verdict).collect()
        })
    }

    fn flush(_commit: Commit) -> Vec<Emission> {
        Vec::new()
    }
}
