//! The lines of a capture, written.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::engine::{RelationFacts, TypeFacts, TypeKind};
use crate::lsn::Lsn;

pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut hex = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a String does not fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

/// A message, and what else is to be known of it: a line.
pub(crate) fn frame_line(
    lsn: Lsn,
    sent_at_us: i64,
    message: &[u8],
    parked: Option<Value>,
) -> String {
    let mut line = json!({
        "lsn": lsn.to_string(),
        "end_lsn": lsn.to_string(),
        "server_ts_us": sent_at_us,
        "hex": hex(message),
    });
    if let (Some(parked), Some(members)) = (parked, line.as_object_mut()) {
        members.insert("parked".to_owned(), parked);
    }
    format!("{line}\n")
}

/// A stage of a catalog: a line.
pub(crate) fn stage_line<'a>(
    lsn: Lsn,
    types: impl Iterator<Item = &'a TypeFacts>,
    relations: impl Iterator<Item = &'a RelationFacts>,
) -> String {
    let stage = json!({
        "lsn": lsn.to_string(),
        "types": types.map(type_text).collect::<Vec<_>>(),
        "relations": relations.map(relation_text).collect::<Vec<_>>(),
    });
    format!("{stage}\n")
}

fn type_text(facts: &TypeFacts) -> Value {
    let kind = match facts.kind {
        TypeKind::Base => "b",
        TypeKind::Composite => "c",
        TypeKind::Domain => "d",
        TypeKind::Enumeration => "e",
        TypeKind::Multirange => "m",
        TypeKind::Pseudo => "p",
        TypeKind::Range => "r",
    };
    let attribute = |attribute: &crate::engine::Attribute| {
        json!({
            "name": attribute.name,
            "type_oid": attribute.type_,
            "typmod": attribute.typmod,
        })
    };
    json!({
        "oid": facts.oid,
        "schema": facts.namespace,
        "typname": facts.name,
        "typtype": kind,
        "typelem": facts.element,
        "is_array": facts.element != 0,
        "typdelim": facts.delimiter,
        "typbasetype": facts.base,
        "typtypmod": facts.base_typmod,
        "range_subtype": (facts.subtype != 0).then_some(facts.subtype),
        "enum_labels": facts.labels,
        "attributes": facts.attributes.iter().map(attribute).collect::<Vec<_>>(),
    })
}

fn relation_text(facts: &RelationFacts) -> Value {
    let column = |column: &crate::engine::ColumnFacts| {
        json!({
            "name": column.name,
            "type_oid": column.type_,
            "typmod": column.typmod,
            "not_null": column.not_null,
            "default": column.default,
        })
    };
    let index = |index: &crate::engine::UniqueIndex| {
        json!({
            "name": index.name,
            "columns": index.columns,
            "expression": index.expression,
        })
    };
    json!({
        "oid": facts.oid,
        "schema": facts.namespace,
        "name": facts.name,
        "primary_key": facts.primary_key,
        "unique_indexes": facts.unique_indexes.iter().map(index).collect::<Vec<_>>(),
        "columns": facts.columns.iter().map(column).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::capture::{Catalog, CatalogAt};
    use crate::engine::{Attribute, ColumnFacts, Facts, Question, UniqueIndex};

    #[test]
    fn a_stage_that_is_written_reads_as_it_was() {
        let attribute = Attribute {
            name: "at".to_owned(),
            type_: 23,
            typmod: -1,
        };
        let type_ = |oid, kind, element| TypeFacts {
            oid,
            namespace: "s".to_owned(),
            name: format!("t{oid}"),
            kind,
            element,
            delimiter: ';',
            base: 0,
            base_typmod: -1,
            subtype: 0,
            labels: vec!["a".to_owned()],
            attributes: vec![attribute.clone()],
        };
        let facts = Facts {
            types: vec![
                type_(70_000, TypeKind::Composite, 0),
                type_(70_001, TypeKind::Base, 70_000),
            ],
            relations: vec![RelationFacts {
                oid: 7,
                namespace: "s".to_owned(),
                name: "r\"elations\":".to_owned(),
                columns: vec![ColumnFacts {
                    name: "c".to_owned(),
                    type_: 70_001,
                    typmod: -1,
                    not_null: true,
                    default: Some("1".to_owned()),
                }],
                primary_key: vec!["c".to_owned()],
                unique_indexes: vec![UniqueIndex {
                    name: "u".to_owned(),
                    columns: vec!["c".to_owned()],
                    expression: false,
                }],
            }],
        };
        let line = stage_line(Lsn(8), facts.types.iter(), facts.relations.iter());
        let catalog = format!("{{\"stages\":[{line}]}}");
        let catalog = Catalog::parse(Path::new("c"), &catalog).unwrap();
        let question = Question {
            relation: 7,
            namespace: "s".to_owned(),
            name: "r\"elations\":".to_owned(),
            types: Vec::new(),
        };
        let mut read = catalog.answer(&question, Lsn(7), CatalogAt::Stream);
        read.types.sort_by_key(|facts| facts.oid);
        assert!(read == facts);
    }
}
