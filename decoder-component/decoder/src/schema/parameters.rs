//! Parameters that options add to the schema of a row's column. Keys have none of them.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::SchemaColumn;
use crate::mapping::Mapper;
use crate::value::{SourceType, Types};

/// What the column's mapper adds, whether it has anything to do with the column's type or not.
pub(super) fn of_column(column: &SchemaColumn<'_>, types: &Types) -> Vec<(&'static str, String)> {
    let Some(mapper) = column.mapper else {
        return Vec::new();
    };
    let source = types.source_type(column.type_oid, column.typmod);
    match mapper {
        Mapper::Hash(_) | Mapper::Mask(_) => [("masked", "true".into())].into(),
        Mapper::Propagate => propagated(column.name, source),
        Mapper::Truncate(chars) if mapper.truncates(source.length) => {
            [("truncateLength", chars.to_string())].into()
        }
        Mapper::Truncate(_) => Vec::new(),
    }
}

fn propagated(column: &str, source: SourceType) -> Vec<(&'static str, String)> {
    let SourceType {
        name,
        length,
        scale,
    } = source;
    let length =
        (length != LENGTH_UNSET).then(|| ("__debezium.source.column.length", length.to_string()));
    [("__debezium.source.column.type", name.to_uppercase())]
        .into_iter()
        .chain(length)
        .chain([
            ("__debezium.source.column.scale", scale.to_string()),
            ("__debezium.source.column.name", column.into()),
        ])
        .collect()
}

/// `Column.UNSET_INT_VALUE`
const LENGTH_UNSET: i32 = -1;
