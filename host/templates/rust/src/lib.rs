//! Drops the events of rows of which a boolean column is true. The configuration is its name.

use std::cell::RefCell;

use exports::pgoutput::plugin::transform::{
    Commit, Description, Emission, Guest, Operations, Relation, Rows, Value, Verdict, Wanted,
};

wit_bindgen::generate!({ path: "wit", world: "plugin" });
export!(Plugin);

struct Plugin;

thread_local! {
    static COLUMN: RefCell<String> = RefCell::default();
}

impl Guest for Plugin {
    fn describe() -> Description {
        Description {
            name: "NAME".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            // With true, `flush` is called at each commit.
            commits: false,
        }
    }

    fn init(config: String) -> Result<(), String> {
        if config.is_empty() {
            return Err("the name of a column is missing".to_owned());
        }
        COLUMN.set(config);
        Ok(())
    }

    /// What it wants of a table's events; `None`: they pass by.
    fn select(relation: Relation) -> Option<Wanted> {
        let wanted = COLUMN.with_borrow(Clone::clone);
        let mut columns = relation.columns.iter().zip(0..);
        let (_, index) = columns.find(|(column, _)| column.name == wanted)?;
        Some(Wanted {
            operations: Operations::CREATE | Operations::READ | Operations::UPDATE,
            columns: vec![index],
            // The row before an UPDATE, too: it is in `rows.old`.
            old: false,
            // Key and payload as JSON, too: they are in `rows.documents`.
            payload: false,
        })
    }

    /// A verdict for each of `rows.events`. With n columns wanted, `rows.values` has n values for
    /// each event, one event behind the other.
    fn process(rows: Rows) -> Vec<Verdict> {
        let verdict = |value: &Value| match value {
            Value::Boolean(true) => Verdict::Drop,
            // Others: Verdict::Change(vec![NewValue { column, old: false, value: Value::Null }]),
            // Verdict::Route("topic".to_owned()), Verdict::Replace("{}".to_owned()),
            // Verdict::Emit(vec![…]), Verdict::Fail("why".to_owned()).
            _ => Verdict::Keep,
        };
        rows.values.iter().map(verdict).collect()
    }

    fn flush(_commit: Commit) -> Vec<Emission> {
        Vec::new()
    }
}
