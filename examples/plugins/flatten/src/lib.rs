//! Leaves of each event its row alone: the new one, or of a DELETE the old one with a member
//! `__deleted`. What has no row passes by.

use std::collections::BTreeMap;

use exports::pgoutput::plugin::transform::{
    Commit, Description, Document, Emission, Event, Guest, Operation, Operations, Relation, Rows,
    Verdict, Wanted,
};
use serde_json::value::RawValue;

wit_bindgen::generate!({ path: "../../../wit/plugin", world: "plugin" });
export!(Flatten);

struct Flatten;

impl Guest for Flatten {
    fn describe() -> Description {
        Description {
            name: "flatten".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commits: false,
        }
    }

    fn init(config: String) -> Result<(), String> {
        if config.is_empty() {
            Ok(())
        } else {
            Err("there is nothing to configure".to_owned())
        }
    }

    fn select(_relation: Relation) -> Option<Wanted> {
        Some(Wanted {
            operations: Operations::CREATE
                | Operations::READ
                | Operations::UPDATE
                | Operations::DELETE,
            columns: Vec::new(),
            old: false,
            payload: true,
        })
    }

    fn process(rows: Rows) -> Vec<Verdict> {
        let verdict = |(event, document): (&Event, &Document)| {
            let payload = document.payload.as_deref()?;
            flat(payload, event.operation == Operation::Delete).map(Verdict::Replace)
        };
        let events = rows.events.iter().zip(&rows.documents);
        events
            .map(|event| verdict(event).unwrap_or(Verdict::Keep))
            .collect()
    }

    fn flush(_commit: Commit) -> Vec<Emission> {
        Vec::new()
    }
}

/// The row as it stands in the event: its text is not touched.
fn flat(payload: &str, is_deleted: bool) -> Option<String> {
    let event: BTreeMap<&str, &RawValue> = serde_json::from_str(payload).ok()?;
    let object = event
        .get(if is_deleted { "before" } else { "after" })?
        .get();
    let members = object.strip_prefix('{')?.strip_suffix('}')?;
    Some(match (is_deleted, members.is_empty()) {
        (false, _) => object.to_owned(),
        (true, true) => "{\"__deleted\":true}".to_owned(),
        (true, false) => format!("{{{members},\"__deleted\":true}}"),
    })
}
