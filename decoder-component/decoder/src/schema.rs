//! Kafka Connect's schemas around keys, values and headers, as its `JsonConverter` writes them with
//! `schemas.enable=true`: `{"schema":{…},"payload":…}`.
//!
//! A schema is put together once, for a relation's version or for a decoder, as the bytes that
//! stand before a payload: an [`Opening`]. Without schemas it is empty.

mod envelope;
mod name;
mod parameters;
mod pattern;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

pub(crate) use self::envelope::RecordSchemas;
pub(crate) use self::name::NameAdjustment;
pub(crate) use self::pattern::Patterns;
use crate::facts::ColumnFacts;
use crate::message::{ColumnBody, RelationBody};
use crate::options::Options;
use crate::value::{Rendering, Types};

/// Which schemas there are and what they say beyond the necessary.
#[derive(Clone, Debug, Default)]
pub(crate) struct SchemaOptions {
    /// `key.converter.schemas.enable`
    pub(crate) keys: bool,
    /// `value.converter.schemas.enable`
    pub(crate) values: bool,
    /// `header.converter.schemas.enable`
    pub(crate) headers: bool,
    /// `schema.name.adjustment.mode`
    pub(crate) name_adjustment: NameAdjustment,
    /// `column.propagate.source.type`: of `schema.table.column`.
    pub(crate) propagate_columns: Patterns,
    /// `datatype.propagate.source.type`: of `schema.table.type`.
    pub(crate) propagate_types: Patterns,
}

/// What stands before a payload that has a schema; a brace closes both. Nothing without schemas.
#[derive(Clone, Debug, Default)]
pub(crate) struct Opening(Vec<u8>);

/// What stands before the parts of a relation's events.
#[derive(Clone, Debug, Default)]
pub(crate) struct RelationSchemas {
    pub(crate) key: Opening,
    pub(crate) value: Opening,
    /// The key, as a header holds it.
    pub(crate) key_header: Opening,
}

/// What the schema of a row's or a key's column is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SchemaColumn<'a> {
    /// The name it has in events, as JSON.
    pub(crate) member: &'a [u8],
    pub(crate) sent: &'a ColumnBody<'a>,
    pub(crate) known: Option<&'a ColumnFacts>,
    pub(crate) rendering: &'a Rendering,
}

impl SchemaOptions {
    /// Whether any relation has a schema.
    pub(crate) fn any(&self) -> bool {
        self.keys || self.values || self.headers
    }
}

impl Opening {
    fn new(enabled: bool, schema: &[u8]) -> Self {
        if !enabled {
            return Self::default();
        }
        let mut bytes = b"{\"schema\":".to_vec();
        bytes.extend_from_slice(schema);
        bytes.extend_from_slice(b",\"payload\":");
        Self(bytes)
    }

    /// Before a header that is a string.
    pub(crate) fn of_string_header(options: &Options) -> Self {
        let schema = b"{\"type\":\"string\",\"optional\":false}";
        Self::new(options.schemas.headers, schema)
    }

    /// What stands before the payload.
    #[inline]
    pub(crate) fn open(&self, out: &mut Vec<u8>) {
        if !self.0.is_empty() {
            self.write(out);
        }
    }

    /// Out of line: most events have no schemas.
    #[cold]
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }

    /// What stands behind it.
    #[inline]
    pub(crate) fn close(&self, out: &mut Vec<u8>) {
        if !self.0.is_empty() {
            out.push(b'}');
        }
    }
}

impl RelationSchemas {
    /// The schemas of one version of a relation; `topic` names them. A relation without a key has
    /// none of keys.
    pub(crate) fn new(
        topic: &str,
        body: &RelationBody<'_>,
        key: Option<&[SchemaColumn<'_>]>,
        row: &[SchemaColumn<'_>],
        types: &Types,
        options: &Options,
    ) -> Self {
        let schemas = &options.schemas;
        let name = |kind: &str| schemas.name_adjustment.adjust(&format!("{topic}.{kind}"));
        let mut key_schema = Vec::new();
        if let Some(key) = key {
            let fields = fields(key, types, options, |_| Vec::new());
            write_struct(&fields, false, &name("Key"), None, &mut key_schema);
        }
        let mut value_schema = Vec::new();
        if schemas.values {
            let mapped = |column: &SchemaColumn<'_>| {
                parameters::of_column(body, column.sent, types, schemas)
            };
            let fields = fields(row, types, options, mapped);
            let mut row = Vec::new();
            write_struct(&fields, true, &name("Value"), None, &mut row);
            envelope::write_envelope(&row, &name("Envelope"), &mut value_schema);
        }
        Self {
            key: Opening::new(schemas.keys && key.is_some(), &key_schema),
            value: Opening::new(schemas.values, &value_schema),
            key_header: Opening::new(schemas.headers, &key_schema),
        }
    }
}

/// The columns' schemas, separated by commas.
fn fields<F>(
    columns: &[SchemaColumn<'_>],
    types: &Types,
    options: &Options,
    parameters: F,
) -> Vec<u8>
where
    F: Fn(&SchemaColumn<'_>) -> Vec<(&'static str, String)>,
{
    let mut out = Vec::new();
    for column in columns {
        if !out.is_empty() {
            out.push(b',');
        }
        let SchemaColumn {
            member,
            sent,
            known,
            rendering,
        } = *column;
        let default = known
            .and_then(|known| known.default.as_deref())
            .and_then(|expression| rendering.default(expression));
        rendering
            .schema(sent.type_oid, sent.typmod, types, options)
            .write(
                known.is_none_or(|known| !known.not_null),
                &parameters(column),
                default.as_deref(),
                &mut out,
            );
        out.extend_from_slice(b",\"field\":");
        out.extend_from_slice(member);
        out.push(b'}');
    }
    out
}

/// Writes the schema of a struct; the caller names the field it is, if any, by [`as_field`].
fn write_struct(fields: &[u8], optional: bool, name: &str, version: Option<u8>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"type\":\"struct\",\"fields\":[");
    out.extend_from_slice(fields);
    let version = version.map_or_else(String::new, |version| format!(",\"version\":{version}"));
    let tail = format!("],\"optional\":{optional},\"name\":\"{name}\"{version}}}");
    out.extend_from_slice(tail.as_bytes());
}

/// The schema as one of a struct's fields.
fn as_field(schema: &[u8], name: &str) -> Vec<u8> {
    let mut field = schema.to_vec();
    field.pop();
    field.extend_from_slice(format!(",\"field\":\"{name}\"}}").as_bytes());
    field
}
