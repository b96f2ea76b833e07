//! Facts as JSON, in the words of `wit/catalog.wit`.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::engine::{
    Attribute, ColumnFacts, Facts, RelationFacts, TypeFacts, TypeKind, UniqueIndex,
};

/// The answer to a question about `relation`.
pub(super) fn write(relation: u32, facts: &Facts) -> String {
    json!({
        "relation": relation,
        "types": facts.types.iter().map(type_value).collect::<Vec<_>>(),
        "relations": facts.relations.iter().map(relation_value).collect::<Vec<_>>(),
    })
    .to_string()
}

/// The inverse of [`write`].
pub(super) fn read(text: &[u8]) -> Result<(u32, Facts), serde_json::Error> {
    let text: FactsText = serde_json::from_slice(text)?;
    let facts = Facts {
        types: text.types.into_iter().map(TypeFacts::from).collect(),
        relations: text
            .relations
            .into_iter()
            .map(RelationFacts::from)
            .collect(),
    };
    Ok((text.relation, facts))
}

fn type_value(facts: &TypeFacts) -> Value {
    let attribute = |attribute: &Attribute| {
        json!({
            "name": attribute.name,
            "type": attribute.type_,
            "typmod": attribute.typmod,
        })
    };
    let kind = KINDS.iter().find(|(_, kind)| *kind == facts.kind);
    json!({
        "oid": facts.oid,
        "namespace": facts.namespace,
        "name": facts.name,
        "kind": kind.map_or("base", |(name, _)| name),
        "element": facts.element,
        "delimiter": facts.delimiter,
        "base": facts.base,
        "base_typmod": facts.base_typmod,
        "subtype": facts.subtype,
        "labels": facts.labels,
        "attributes": facts.attributes.iter().map(attribute).collect::<Vec<_>>(),
    })
}

fn relation_value(facts: &RelationFacts) -> Value {
    let column = |column: &ColumnFacts| {
        json!({
            "name": column.name,
            "type": column.type_,
            "typmod": column.typmod,
            "not_null": column.not_null,
            "default": column.default,
        })
    };
    let index = |index: &UniqueIndex| {
        json!({
            "name": index.name,
            "columns": index.columns,
            "expression": index.expression,
        })
    };
    json!({
        "oid": facts.oid,
        "namespace": facts.namespace,
        "name": facts.name,
        "columns": facts.columns.iter().map(column).collect::<Vec<_>>(),
        "primary_key": facts.primary_key,
        "unique_indexes": facts.unique_indexes.iter().map(index).collect::<Vec<_>>(),
    })
}

#[derive(Deserialize)]
struct FactsText {
    relation: u32,
    types: Vec<TypeText>,
    relations: Vec<RelationText>,
}

#[derive(Deserialize)]
struct TypeText {
    oid: u32,
    namespace: String,
    name: String,
    #[serde(deserialize_with = "kind")]
    kind: TypeKind,
    element: u32,
    delimiter: char,
    base: u32,
    base_typmod: i32,
    subtype: u32,
    labels: Vec<String>,
    attributes: Vec<AttributeText>,
}

#[derive(Deserialize)]
struct AttributeText {
    name: String,
    #[serde(rename = "type")]
    type_: u32,
    typmod: i32,
}

#[derive(Deserialize)]
struct RelationText {
    oid: u32,
    namespace: String,
    name: String,
    columns: Vec<ColumnText>,
    primary_key: Vec<String>,
    unique_indexes: Vec<IndexText>,
}

#[derive(Deserialize)]
struct ColumnText {
    name: String,
    #[serde(rename = "type")]
    type_: u32,
    typmod: i32,
    not_null: bool,
    default: Option<String>,
}

#[derive(Deserialize)]
struct IndexText {
    name: String,
    columns: Vec<String>,
    expression: bool,
}

impl From<TypeText> for TypeFacts {
    fn from(text: TypeText) -> Self {
        let attribute = |text: AttributeText| Attribute {
            name: text.name,
            type_: text.type_,
            typmod: text.typmod,
        };
        Self {
            oid: text.oid,
            namespace: text.namespace,
            name: text.name,
            kind: text.kind,
            element: text.element,
            delimiter: text.delimiter,
            base: text.base,
            base_typmod: text.base_typmod,
            subtype: text.subtype,
            labels: text.labels,
            attributes: text.attributes.into_iter().map(attribute).collect(),
        }
    }
}

impl From<RelationText> for RelationFacts {
    fn from(text: RelationText) -> Self {
        let column = |text: ColumnText| ColumnFacts {
            name: text.name,
            type_: text.type_,
            typmod: text.typmod,
            not_null: text.not_null,
            default: text.default,
        };
        let index = |text: IndexText| UniqueIndex {
            name: text.name,
            columns: text.columns,
            expression: text.expression,
        };
        Self {
            oid: text.oid,
            namespace: text.namespace,
            name: text.name,
            columns: text.columns.into_iter().map(column).collect(),
            primary_key: text.primary_key,
            unique_indexes: text.unique_indexes.into_iter().map(index).collect(),
        }
    }
}

fn kind<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<TypeKind, D::Error> {
    let text = std::borrow::Cow::<'_, str>::deserialize(deserializer)?;
    let kind = KINDS.iter().find(|(name, _)| *name == text);
    kind.map(|(_, kind)| *kind)
        .ok_or_else(|| serde::de::Error::custom("a kind of type was expected"))
}

const KINDS: [(&str, TypeKind); 7] = [
    ("base", TypeKind::Base),
    ("composite", TypeKind::Composite),
    ("domain", TypeKind::Domain),
    ("enumeration", TypeKind::Enumeration),
    ("multirange", TypeKind::Multirange),
    ("pseudo", TypeKind::Pseudo),
    ("range", TypeKind::Range),
];
