//! Kafka Connect's schemas around keys, values and headers, as its `JsonConverter` writes them with
//! `schemas.enable=true`: `{"schema":{…},"payload":…}`.
//!
//! A schema is put together once, for a relation's version or for a decoder, as the bytes that
//! stand before a payload: an [`Opening`]. Without schemas it is empty.

mod envelope;
mod parameters;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

pub(crate) use self::envelope::RecordSchemas;
use crate::mapping::Mapper;
use crate::names::NameAdjustment;
use crate::options::Options;
use crate::unwrap::{UnwrappedOpenings, Wrapped};
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
    /// With `ExtractNewRecordState`.
    pub(crate) unwrapped: UnwrappedOpenings,
}

/// What the schema of a row's or a key's column is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SchemaColumn<'a> {
    /// The name it has in events, as JSON.
    pub(crate) member: &'a [u8],
    /// The name it has in the table.
    pub(crate) name: &'a str,
    pub(crate) type_oid: u32,
    pub(crate) typmod: i32,
    pub(crate) optional: bool,
    /// The default's expression.
    pub(crate) default: Option<&'a str>,
    pub(crate) rendering: &'a Rendering,
    /// What is done to its values. Keys are left alone.
    pub(crate) mapper: Option<&'a Mapper>,
}

impl SchemaOptions {
    /// Whether any relation has a schema.
    pub(crate) fn any(&self) -> bool {
        self.keys || self.values || self.headers
    }
}

impl Opening {
    /// Nothing unless `enabled`.
    pub(crate) fn new(enabled: bool, schema: &[u8]) -> Self {
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

    /// How long it is.
    pub(crate) fn bytes(&self) -> usize {
        self.0.len()
    }

    /// A null with its schema; nothing where it has none.
    pub(crate) fn write_null(&self, out: &mut Vec<u8>) {
        if !self.0.is_empty() {
            out.extend_from_slice(&self.0);
            out.extend_from_slice(b"null}");
        }
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
        key: Option<&[SchemaColumn<'_>]>,
        row: &[SchemaColumn<'_>],
        types: &Types,
        options: &Options,
    ) -> Self {
        let schemas = &options.schemas;
        let name = |kind: &str| {
            let name = format!("{topic}.{kind}");
            schemas.name_adjustment.schema(&name).into_owned()
        };
        let mut key_schema = Vec::new();
        if let Some(key) = key {
            let fields = fields(key, types, options);
            write_struct(&fields, false, &name("Key"), None, &mut key_schema);
        }
        let mut value_schema = Vec::new();
        let mut unwrapped = UnwrappedOpenings::default();
        if schemas.values || options.unwrap.is_some() {
            let fields = fields(row, types, options);
            let mut row = Vec::new();
            write_struct(&fields, true, &name("Value"), None, &mut row);
            envelope::write_envelope(&row, &name("Envelope"), &mut value_schema);
            if let Some(unwrap) = &options.unwrap {
                let wrapped = Wrapped {
                    row: &row,
                    envelope: &value_schema,
                };
                unwrapped = unwrap.openings(wrapped, options);
                value_schema = unwrap.row_schema(wrapped);
            }
        }
        Self {
            key: Opening::new(schemas.keys && key.is_some(), &key_schema),
            value: Opening::new(schemas.values, &value_schema),
            key_header: Opening::new(schemas.headers, &key_schema),
            unwrapped,
        }
    }
}

/// The columns' schemas, separated by commas.
fn fields(columns: &[SchemaColumn<'_>], types: &Types, options: &Options) -> Vec<u8> {
    let mut out = Vec::new();
    for column in columns {
        if !out.is_empty() {
            out.push(b',');
        }
        let rendering = column.rendering;
        let default = column
            .default
            .and_then(|expression| rendering.default(expression));
        rendering
            .schema(column.type_oid, column.typmod, types, options)
            .write(
                column.optional,
                &parameters::of_column(column, types),
                default.as_deref(),
                &mut out,
            );
        out.extend_from_slice(b",\"field\":");
        out.extend_from_slice(column.member);
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
