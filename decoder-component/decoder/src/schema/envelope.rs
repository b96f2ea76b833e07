//! Schemas that are the same for all relations: of the envelope's parts, of logical messages and of
//! transaction metadata.

use alloc::format;
use alloc::vec::Vec;

use super::{Opening, as_field, write_struct};
use crate::options::Options;
use crate::value::bytes_schema;

/// What stands before keys and values that are of no relation.
#[derive(Clone, Debug, Default)]
pub(crate) struct RecordSchemas {
    pub(crate) message_key: Opening,
    pub(crate) message_value: Opening,
    pub(crate) transaction_key: Opening,
    pub(crate) transaction_value: Opening,
}

impl RecordSchemas {
    pub(crate) fn new(options: &Options) -> Self {
        let schemas = &options.schemas;
        let message_key = record(
            &plain(&[("prefix", "string", true)]),
            "io.debezium.connector.postgresql.MessageKey",
        );
        let transaction_key = record(
            &plain(&[("id", "string", false)]),
            "io.debezium.connector.common.TransactionMetadataKey",
        );
        Self {
            message_key: Opening::new(schemas.keys, &message_key),
            message_value: Opening::new(schemas.values, &message_value(options)),
            transaction_key: Opening::new(schemas.keys, &transaction_key),
            transaction_value: Opening::new(schemas.values, &transaction_value()),
        }
    }
}

/// The schema of a relation's values; `row` is that of `before` and `after`.
pub(super) fn write_envelope(row: &[u8], name: &str, out: &mut Vec<u8>) {
    let times = plain(&[
        ("op", "string", false),
        ("ts_ms", "int64", true),
        ("ts_us", "int64", true),
        ("ts_ns", "int64", true),
    ]);
    let fields = [
        as_field(row, "before"),
        as_field(row, "after"),
        source(),
        transaction_block(),
        times,
    ];
    write_struct(&fields.join(&b','), false, name, Some(2), out);
}

fn message_value(options: &Options) -> Vec<u8> {
    let mut message = plain(&[("prefix", "string", true)]);
    let content = bytes_schema(options.binary);
    let content = format!(",{{{content},\"optional\":true,\"field\":\"content\"}}");
    message.extend_from_slice(content.as_bytes());
    let message = record(&message, "io.debezium.connector.postgresql.Message");
    let fields = [
        plain(&[("op", "string", false), ("ts_ms", "int64", true)]),
        source(),
        transaction_block(),
        as_field(&message, "message"),
    ];
    let name = "io.debezium.connector.postgresql.MessageValue";
    record(&fields.join(&b','), name)
}

fn transaction_value() -> Vec<u8> {
    let mut collection = Vec::new();
    write_struct(
        &plain(&[
            ("data_collection", "string", false),
            ("event_count", "int64", false),
        ]),
        true,
        "event.collection",
        Some(1),
        &mut collection,
    );
    let mut collections = b"{\"type\":\"array\",\"items\":".to_vec();
    collections.extend_from_slice(&collection);
    collections.extend_from_slice(b",\"optional\":true}");
    let fields = [
        plain(&[
            ("status", "string", false),
            ("id", "string", false),
            ("event_count", "int64", true),
        ]),
        as_field(&collections, "data_collections"),
        plain(&[("ts_ms", "int64", false)]),
    ];
    let name = "io.debezium.connector.common.TransactionMetadataValue";
    record(&fields.join(&b','), name)
}

/// The field `source`.
fn source() -> Vec<u8> {
    let snapshot = b"{\"type\":\"string\",\"optional\":true,\
        \"name\":\"io.debezium.data.Enum\",\"version\":1,\"parameters\":{\"allowed\":\
        \"true,first,first_in_data_collection,last_in_data_collection,last,false,incremental\"},\
        \"default\":\"false\",\"field\":\"snapshot\"}";
    let before = plain(&[
        ("version", "string", false),
        ("connector", "string", false),
        ("name", "string", false),
        ("ts_ms", "int64", false),
    ]);
    let behind = plain(&[
        ("db", "string", false),
        ("sequence", "string", true),
        ("ts_us", "int64", true),
        ("ts_ns", "int64", true),
        ("schema", "string", false),
        ("table", "string", false),
        ("txId", "int64", true),
        ("lsn", "int64", true),
        ("xmin", "int64", true),
        ("origin", "string", true),
        ("origin_lsn", "int64", true),
    ]);
    let fields = [before, snapshot.to_vec(), behind].join(&b',');
    let source = record(&fields, "io.debezium.connector.postgresql.Source");
    as_field(&source, "source")
}

/// The field `transaction`.
fn transaction_block() -> Vec<u8> {
    let fields = plain(&[
        ("id", "string", false),
        ("total_order", "int64", false),
        ("data_collection_order", "int64", false),
    ]);
    let mut block = Vec::new();
    write_struct(&fields, true, "event.block", Some(1), &mut block);
    as_field(&block, "transaction")
}

/// The schema of version 1 of a struct that is not optional.
fn record(fields: &[u8], name: &str) -> Vec<u8> {
    let mut schema = Vec::new();
    write_struct(fields, false, name, Some(1), &mut schema);
    schema
}

/// Fields by name, type and whether they are optional.
fn plain(fields: &[(&str, &str, bool)]) -> Vec<u8> {
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, kind, optional)| {
            format!("{{\"type\":\"{kind}\",\"optional\":{optional},\"field\":\"{name}\"}}")
        })
        .collect();
    fields.join(",").into_bytes()
}
