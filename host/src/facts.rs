//! What the decoder asks of the server's catalogs: the question as SQL, the answer as JSON, which
//! is that of a recording's `catalog.json`, too.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::engine::{
    Attribute, ColumnFacts, Facts, Question, RelationFacts, TypeFacts, TypeKind, UniqueIndex,
};
use crate::error::quote_literal;

/// The question as a statement without parameters, for who asks it by other means; [`parse`] reads
/// the one text it gives.
pub fn sql(question: &Question) -> String {
    let types: Vec<String> = question.types.iter().map(u32::to_string).collect();
    let types = format!("'{{{}}}'::oid[]", types.join(","));
    let (namespace, name) = (
        quote_literal(&question.namespace),
        quote_literal(&question.name),
    );
    SQL.replace("$1", &question.relation.to_string())
        .replace("$4", &types)
        .replace("$5", "true")
        // Last: names may hold anything.
        .replace(
            "$2::name AND c.relname = $3",
            &format!("{namespace}::name AND c.relname = {name}"),
        )
}

/// Reads an answer.
///
/// # Errors
/// Text that is no answer to [`sql`].
pub fn parse(answer: &str) -> Result<Facts, serde_json::Error> {
    let FactsText { types, relations } = serde_json::from_str(answer)?;
    Ok(of(types, relations))
}

/// As the decoder takes it.
pub(crate) fn of(types: Vec<TypeText>, relations: Vec<RelationText>) -> Facts {
    let not_null = types.iter().filter(|text| {
        let domain = matches!(text.typtype, TypeKindText::Domain);
        domain && text.typnotnull
    });
    let not_null: BTreeSet<u32> = not_null.map(|text| text.oid).collect();
    let relations = relations.into_iter();
    Facts {
        types: types.into_iter().map(type_facts).collect(),
        relations: relations
            .map(|text| relation_facts(text, &not_null))
            .collect(),
    }
}

#[derive(Deserialize)]
struct FactsText {
    types: Vec<TypeText>,
    relations: Vec<RelationText>,
}

#[derive(Deserialize)]
pub(crate) struct TypeText {
    oid: u32,
    schema: String,
    typname: String,
    typtype: TypeKindText,
    typelem: u32,
    typdelim: char,
    typbasetype: u32,
    typtypmod: i32,
    #[serde(default)]
    typnotnull: bool,
    is_array: bool,
    range_subtype: Option<u32>,
    enum_labels: Option<Vec<String>>,
    attributes: Option<Vec<AttributeText>>,
}

#[derive(Clone, Copy, Deserialize)]
enum TypeKindText {
    #[serde(rename = "b")]
    Base,
    #[serde(rename = "c")]
    Composite,
    #[serde(rename = "d")]
    Domain,
    #[serde(rename = "e")]
    Enumeration,
    #[serde(rename = "m")]
    Multirange,
    #[serde(rename = "p")]
    Pseudo,
    #[serde(rename = "r")]
    Range,
}

#[derive(Deserialize)]
struct AttributeText {
    name: String,
    type_oid: u32,
    typmod: i32,
}

#[derive(Deserialize)]
pub(crate) struct RelationText {
    oid: u32,
    schema: String,
    name: String,
    primary_key: Option<Vec<String>>,
    unique_indexes: Option<Vec<UniqueIndexText>>,
    /// null for a table without columns.
    columns: Option<Vec<ColumnText>>,
}

#[derive(Deserialize)]
struct UniqueIndexText {
    name: String,
    expression: bool,
    /// null where every item is an expression.
    columns: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct ColumnText {
    name: String,
    type_oid: u32,
    typmod: i32,
    not_null: bool,
    default: Option<String>,
}

fn type_facts(text: TypeText) -> TypeFacts {
    TypeFacts {
        oid: text.oid,
        namespace: text.schema,
        name: text.typname,
        kind: match text.typtype {
            TypeKindText::Base => TypeKind::Base,
            TypeKindText::Composite => TypeKind::Composite,
            TypeKindText::Domain => TypeKind::Domain,
            TypeKindText::Enumeration => TypeKind::Enumeration,
            TypeKindText::Multirange => TypeKind::Multirange,
            TypeKindText::Pseudo => TypeKind::Pseudo,
            TypeKindText::Range => TypeKind::Range,
        },
        // point and other fixed-length types have a typelem too, and are no arrays.
        element: if text.is_array { text.typelem } else { 0 },
        delimiter: text.typdelim,
        base: text.typbasetype,
        base_typmod: text.typtypmod,
        subtype: text.range_subtype.unwrap_or(0),
        labels: text.enum_labels.unwrap_or_default(),
        attributes: text
            .attributes
            .unwrap_or_default()
            .into_iter()
            .map(|text| Attribute {
                name: text.name,
                type_: text.type_oid,
                typmod: text.typmod,
            })
            .collect(),
    }
}

/// Columns of the types in `not_null` are so too.
fn relation_facts(text: RelationText, not_null: &BTreeSet<u32>) -> RelationFacts {
    let column = |text: ColumnText| ColumnFacts {
        name: text.name,
        type_: text.type_oid,
        typmod: text.typmod,
        not_null: text.not_null || not_null.contains(&text.type_oid),
        default: text.default,
    };
    let index = |text: UniqueIndexText| UniqueIndex {
        name: text.name,
        columns: text.columns.unwrap_or_default(),
        expression: text.expression,
    };
    RelationFacts {
        oid: text.oid,
        namespace: text.schema,
        name: text.name,
        columns: text
            .columns
            .unwrap_or_default()
            .into_iter()
            .map(column)
            .collect(),
        primary_key: text.primary_key.unwrap_or_default(),
        unique_indexes: text
            .unique_indexes
            .unwrap_or_default()
            .into_iter()
            .map(index)
            .collect(),
    }
}

/// Everything about a relation, the one that has its name where that is another, the types of their
/// columns and others, and all that these are made of, as the JSON that [`parse`] takes. $1 is the
/// relation's OID, $2 and $3 are schema and name, $4 the OIDs of types, and $5 whether columns'
/// defaults are wanted.
///
/// Of an index, with the columns it only includes: Debezium takes those for its key, too.
/// Multiranges and `typsubscript` came with 14: `to_jsonb` reads a column that may not be there.
pub(crate) const SQL: &str = "
WITH RECURSIVE relation AS (
  SELECT c.oid FROM pg_catalog.pg_class c WHERE c.oid = $1
  UNION
  SELECT c.oid
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = $2::name AND c.relname = $3::name
), columns AS (
  SELECT a.attrelid, a.attnum, a.attname, a.atttypid, a.atttypmod,
         a.attnotnull OR (t.typtype = 'd' AND t.typnotnull) AS not_null,
         CASE WHEN $5 THEN pg_catalog.pg_get_expr(d.adbin, d.adrelid) END AS default
  FROM relation
  JOIN pg_catalog.pg_attribute a ON a.attrelid = relation.oid
  JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
  LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
  WHERE a.attnum > 0 AND NOT a.attisdropped
), indexes AS (
  SELECT i.indrelid, i.indisprimary, c.relname, i.indexprs IS NOT NULL AS expression,
         ARRAY(SELECT a.attname::text
               FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place)
               JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
               WHERE NOT i.indisprimary OR k.place <= i.indnkeyatts
               ORDER BY k.place) AS columns
  FROM relation
  JOIN pg_catalog.pg_index i ON i.indrelid = relation.oid AND i.indisunique
  JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
), ranges AS (
  SELECT r.rngtypid AS oid, r.rngsubtype AS subtype FROM pg_catalog.pg_range r
  UNION ALL
  SELECT (pg_catalog.to_jsonb(r) ->> 'rngmultitypid')::oid, r.rngsubtype FROM pg_catalog.pg_range r
), needed AS (
  SELECT wanted.oid
  FROM (SELECT unnest($4) UNION SELECT columns.atttypid FROM columns) AS wanted(oid)
  UNION
  SELECT part.oid
  FROM needed
  JOIN pg_catalog.pg_type t ON t.oid = needed.oid
  CROSS JOIN LATERAL (
    SELECT t.typelem
    UNION ALL
    SELECT t.typbasetype
    UNION ALL
    SELECT ranges.subtype FROM ranges WHERE ranges.oid = t.oid
    UNION ALL
    SELECT a.atttypid
    FROM pg_catalog.pg_attribute a
    WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
  ) AS part(oid)
  WHERE part.oid <> 0
), types AS (
  SELECT pg_catalog.jsonb_build_object(
    'oid', t.oid::int8, 'schema', n.nspname, 'typname', t.typname, 'typtype', t.typtype,
    'typelem', t.typelem::int8, 'typdelim', t.typdelim,
    'is_array', t.typlen = -1 AND t.typelem <> 0
      AND coalesce(pg_catalog.to_jsonb(t) ->> 'typsubscript', 'array_subscript_handler')
          LIKE '%array\\_subscript\\_handler',
    'typbasetype', t.typbasetype::int8, 'typtypmod', t.typtypmod, 'typnotnull', t.typnotnull,
    'range_subtype', (SELECT ranges.subtype::int8 FROM ranges WHERE ranges.oid = t.oid),
    'enum_labels', (SELECT pg_catalog.jsonb_agg(e.enumlabel ORDER BY e.enumsortorder)
                    FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid),
    'attributes', (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
                            'name', a.attname, 'type_oid', a.atttypid::int8, 'typmod', a.atttypmod)
                          ORDER BY a.attnum)
                   FROM pg_catalog.pg_attribute a
                   WHERE t.typtype = 'c' AND a.attrelid = t.typrelid
                     AND a.attnum > 0 AND NOT a.attisdropped)) AS type
  FROM needed
  JOIN pg_catalog.pg_type t ON t.oid = needed.oid
  JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
), relations AS (
  SELECT pg_catalog.jsonb_build_object(
    'oid', c.oid::int8, 'schema', n.nspname, 'name', c.relname,
    'primary_key', (SELECT pg_catalog.to_jsonb(i.columns) FROM indexes i
                    WHERE i.indrelid = c.oid AND i.indisprimary),
    'unique_indexes', (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
                                'name', i.relname, 'expression', i.expression,
                                'columns', i.columns)
                              ORDER BY i.relname)
                       FROM indexes i WHERE i.indrelid = c.oid AND NOT i.indisprimary),
    'columns', (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
                         'name', a.attname, 'type_oid', a.atttypid::int8, 'typmod', a.atttypmod,
                         'not_null', a.not_null, 'default', a.default)
                       ORDER BY a.attnum)
                FROM columns a WHERE a.attrelid = c.oid)) AS relation,
         c.oid = $1 AS own
  FROM relation
  JOIN pg_catalog.pg_class c ON c.oid = relation.oid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
)
SELECT pg_catalog.jsonb_build_object(
  'types', (SELECT coalesce(pg_catalog.jsonb_agg(t.type), '[]') FROM types t),
  'relations', (SELECT coalesce(pg_catalog.jsonb_agg(r.relation ORDER BY r.own DESC), '[]')
                FROM relations r))::text";
