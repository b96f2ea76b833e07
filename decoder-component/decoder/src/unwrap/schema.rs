//! Kafka Connect's schemas of what the transform makes, taken from the schemas of what it is given.

use alloc::vec::Vec;

use super::json::{Elements, Members, member, quoted};
use super::{Deletes, Field, Unwrap, UnwrappedOpenings};
use crate::options::Options;
use crate::schema::Opening;

/// The schemas that a relation's events had, as JSON.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wrapped<'a> {
    /// Of `before` and `after`.
    pub(crate) row: &'a [u8],
    pub(crate) envelope: &'a [u8],
}

impl Unwrap {
    /// The schema of a row with the fields that are added to it.
    pub(crate) fn row_schema(&self, wrapped: Wrapped<'_>) -> Vec<u8> {
        let fields = member(wrapped.row, "fields").unwrap_or(b"[]");
        let mut schema = b"{\"type\":\"struct\",\"fields\":".to_vec();
        schema.extend_from_slice(fields.strip_suffix(b"]").unwrap_or(fields));
        let mut added = Vec::new();
        if self.rewrites() {
            let deleted = b"{\"type\":\"string\",\"optional\":true,\"field\":\"__deleted\"}";
            added.push(deleted.to_vec());
        }
        added.extend(self.fields.iter().filter_map(|field| {
            let mut schema = field.schema(wrapped.envelope)?;
            schema.pop();
            schema.extend_from_slice(b",\"field\":");
            schema.extend_from_slice(&quoted(&field.output));
            schema.push(b'}');
            Some(schema)
        }));
        for field in added {
            if schema.last() != Some(&b'[') {
                schema.push(b',');
            }
            schema.extend_from_slice(&field);
        }
        schema.extend_from_slice(b"],\"optional\":false,\"name\":");
        schema.extend_from_slice(member(wrapped.row, "name").unwrap_or(b"\"\""));
        schema.push(b'}');
        schema
    }

    /// What stands before the rest of what has schemas.
    pub(crate) fn openings(&self, wrapped: Wrapped<'_>, options: &Options) -> UnwrappedOpenings {
        let schemas = &options.schemas;
        let header = |field: &Field| {
            let schema = field.schema(wrapped.envelope).unwrap_or_default();
            Opening::new(schemas.headers, &schema)
        };
        UnwrappedOpenings {
            // `delete-to-tombstone` is this without a schema.
            deleted: Opening::new(
                schemas.values && self.deletes == Deletes::Tombstone,
                wrapped.row,
            ),
            headers: self.headers.iter().map(header).collect(),
            tombstone_op: Opening::of_string_header(options),
        }
    }
}

impl Field {
    /// The field's schema made optional, without its default and its name.
    fn schema(&self, envelope: &[u8]) -> Option<Vec<u8>> {
        let block = self
            .block
            .map_or(Some(envelope), |block| field(envelope, block));
        let found = block
            .and_then(|block| field(block, &self.name))
            .or_else(|| field(envelope, &self.name))?;
        let mut schema = Vec::new();
        for (name, value) in Members::of(found) {
            let value = match name {
                b"\"default\"" | b"\"field\"" => continue,
                b"\"optional\"" => b"true",
                _ => value,
            };
            schema.push(if schema.is_empty() { b'{' } else { b',' });
            schema.extend_from_slice(name);
            schema.push(b':');
            schema.extend_from_slice(value);
        }
        schema.push(b'}');
        Some(schema)
    }
}

/// The schema of a struct's field.
fn field<'a>(schema: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let wanted = quoted(name);
    let fields = member(schema, "fields")?;
    Elements::of(fields).find(|field| member(field, "field") == Some(wanted.as_slice()))
}
