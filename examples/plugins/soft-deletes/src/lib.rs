//! Drops the events of rows that are marked as deleted, by a column that is true, or is not null
//! where it is no boolean. The configuration is its name; `deleted_at` where there is none.

use std::cell::RefCell;

use exports::pgoutput::plugin::transform::{
    Commit, Description, Emission, Guest, Operations, Relation, Rows, Value, Verdict, Wanted,
};

wit_bindgen::generate!({ path: "../../../wit/plugin", world: "plugin" });
export!(SoftDeletes);

struct SoftDeletes;

thread_local! {
    static COLUMN: RefCell<String> = RefCell::default();
}

impl Guest for SoftDeletes {
    fn describe() -> Description {
        Description {
            name: "soft-deletes".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commits: false,
        }
    }

    fn init(config: String) -> Result<(), String> {
        let column = if config.is_empty() {
            "deleted_at".to_owned()
        } else {
            config
        };
        COLUMN.set(column);
        Ok(())
    }

    fn select(relation: Relation) -> Option<Wanted> {
        let name = COLUMN.with_borrow(Clone::clone);
        let mut columns = relation.columns.iter().zip(0..);
        let (_, index) = columns.find(|(column, _)| column.name == name)?;
        Some(Wanted {
            operations: Operations::CREATE | Operations::READ | Operations::UPDATE,
            columns: vec![index],
            old: false,
            payload: false,
        })
    }

    fn process(rows: Rows) -> Vec<Verdict> {
        let verdict = |value: &Value| match value {
            Value::Null | Value::Unchanged | Value::Boolean(false) => Verdict::Keep,
            _ => Verdict::Drop,
        };
        rows.values.iter().map(verdict).collect()
    }

    fn flush(_commit: Commit) -> Vec<Emission> {
        Vec::new()
    }
}
