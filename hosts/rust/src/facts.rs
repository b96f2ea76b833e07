//! Facts as JSON, as they are in recordings: members are named as in `wit/catalog.wit`.

use serde::Deserialize;
use serde_json::{Error, Value};

use crate::catalog::{
    Attribute, ColumnFacts, Facts, RelationFacts, TypeFacts, TypeKind, UniqueIndex,
};

/// The relation that was asked for, and the answer.
pub(crate) fn read(text: &[u8]) -> Result<(u32, Facts), Error> {
    let text: Value = serde_json::from_slice(text)?;
    let facts = Facts {
        types: list(&text, "types", type_facts)?,
        relations: list(&text, "relations", relation_facts)?,
    };
    Ok((member(&text, "relation")?, facts))
}

fn type_facts(text: &Value) -> Result<TypeFacts, Error> {
    Ok(TypeFacts {
        oid: member(text, "oid")?,
        namespace: member(text, "namespace")?,
        name: member(text, "name")?,
        kind: Kind::deserialize(text.get("kind").unwrap_or(&Value::Null))?,
        element: member(text, "element")?,
        delimiter: member(text, "delimiter")?,
        base: member(text, "base")?,
        base_typmod: member(text, "base_typmod")?,
        subtype: member(text, "subtype")?,
        labels: member(text, "labels")?,
        attributes: list(text, "attributes", |text| {
            Ok(Attribute {
                name: member(text, "name")?,
                type_: member(text, "type")?,
                typmod: member(text, "typmod")?,
            })
        })?,
    })
}

fn relation_facts(text: &Value) -> Result<RelationFacts, Error> {
    Ok(RelationFacts {
        oid: member(text, "oid")?,
        namespace: member(text, "namespace")?,
        name: member(text, "name")?,
        columns: list(text, "columns", |text| {
            Ok(ColumnFacts {
                name: member(text, "name")?,
                type_: member(text, "type")?,
                typmod: member(text, "typmod")?,
                not_null: member(text, "not_null")?,
                default: member(text, "default")?,
            })
        })?,
        primary_key: member(text, "primary_key")?,
        unique_indexes: list(text, "unique_indexes", |text| {
            Ok(UniqueIndex {
                name: member(text, "name")?,
                columns: member(text, "columns")?,
                expression: member(text, "expression")?,
            })
        })?,
    })
}

fn member<T: for<'a> Deserialize<'a>>(text: &Value, name: &str) -> Result<T, Error> {
    T::deserialize(text.get(name).unwrap_or(&Value::Null))
}

fn list<T>(
    text: &Value,
    name: &str,
    read: impl Fn(&Value) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    let items = text.get(name).and_then(Value::as_array);
    let items = items.ok_or_else(|| serde::de::Error::custom("a list was expected"))?;
    items.iter().map(read).collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase", remote = "TypeKind")]
enum Kind {
    Base,
    Composite,
    Domain,
    Enumeration,
    Multirange,
    Pseudo,
    Range,
}
