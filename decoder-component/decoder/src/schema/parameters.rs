//! Parameters that options add to the schema of a row's column. Keys have none of them.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::SchemaOptions;
use crate::message::{ColumnBody, RelationBody};
use crate::value::{SourceType, Types};

/// What the first option that names the column adds; of several Debezium heeds the first alone, in
/// the order truncate, mask, propagate by column, propagate by type, hash.
pub(super) fn of_column(
    relation: &RelationBody<'_>,
    column: &ColumnBody<'_>,
    types: &Types,
    options: &SchemaOptions,
) -> Vec<(&'static str, String)> {
    if options.propagate_columns.is_empty() && options.propagate_types.is_empty() {
        return Vec::new();
    }
    let SourceType {
        name,
        length,
        scale,
    } = types.source_type(column.type_oid, column.typmod);
    let within = |name: &str| format!("{}.{}.{name}", relation.namespace, relation.name);
    let propagated = options.propagate_columns.matches(&within(column.name))
        || options.propagate_types.matches(&within(&name));
    if !propagated {
        return Vec::new();
    }
    let length =
        (length != LENGTH_UNSET).then(|| ("__debezium.source.column.length", length.to_string()));
    [("__debezium.source.column.type", name.to_uppercase())]
        .into_iter()
        .chain(length)
        .chain([
            ("__debezium.source.column.scale", scale.to_string()),
            ("__debezium.source.column.name", column.name.into()),
        ])
        .collect()
}

/// `Column.UNSET_INT_VALUE`
const LENGTH_UNSET: i32 = -1;
