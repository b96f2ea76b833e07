//! What Debezium tells of a column's type in the parameters of its schema
//! (`column.propagate.source.type`): the name, and length and scale as the JDBC driver counts them.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;

use super::Types;
use super::builtin as oid;
use super::resolve::base;
use super::schema::precision;

/// A column's type, as the JDBC driver sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SourceType {
    /// `typname`, a domain's own.
    pub(crate) name: String,
    pub(crate) length: i32,
    pub(crate) scale: i32,
}

impl Types {
    /// What the driver says of a type; of a domain, but for its name, what it says of its base.
    pub(crate) fn source_type(&self, type_oid: u32, typmod: i32) -> SourceType {
        let name = self.name(type_oid);
        let (type_oid, typmod) = base(type_oid, typmod, self);
        let of = oid::element_of(type_oid).unwrap_or(type_oid);
        SourceType {
            name,
            length: length(of, typmod),
            scale: scale(of, typmod),
        }
    }

    /// `typname`.
    pub(crate) fn name(&self, type_oid: u32) -> String {
        if let Some(facts) = self.learnt(type_oid) {
            return facts.name.clone();
        }
        let element = oid::element_of(type_oid).and_then(oid::name_of);
        match (oid::name_of(type_oid), element) {
            (Some(name), _) => name.to_owned(),
            (None, Some(element)) => format!("_{element}"),
            (None, None) => "unknown".to_owned(),
        }
    }
}

/// `TypeInfoCache.getPrecision`; `getDisplaySize` where it is 0.
fn length(type_oid: u32, typmod: i32) -> i32 {
    match type_oid {
        oid::BOOL | oid::CHAR => 1,
        oid::INT2 => 5,
        oid::INT4 | oid::OID => 10,
        oid::INT8 => 19,
        oid::FLOAT4 => 8,
        oid::FLOAT8 => 17,
        oid::NUMERIC if typmod < 0 => 131_089,
        oid::NUMERIC => precision(typmod),
        oid::BPCHAR | oid::VARCHAR if typmod >= 0 => typmod.saturating_sub(4),
        oid::BIT => typmod,
        oid::VARBIT if typmod >= 0 => typmod,
        oid::DATE => 13,
        oid::TIME => 8 + fraction_length(typmod),
        oid::TIMETZ => 14 + fraction_length(typmod),
        oid::TIMESTAMP => 22 + fraction_length(typmod),
        oid::TIMESTAMPTZ => 28 + fraction_length(typmod),
        oid::INTERVAL => 49,
        _ => i32::MAX,
    }
}

/// With the point before it. One digit counts as two: so the driver.
fn fraction_length(typmod: i32) -> i32 {
    match typmod {
        ..0 => 7,
        0 => 0,
        1 => 3,
        _ => typmod.saturating_add(1).min(7),
    }
}

/// `TypeInfoCache.getScale`.
fn scale(type_oid: u32, typmod: i32) -> i32 {
    match type_oid {
        oid::FLOAT4 => 8,
        oid::FLOAT8 => 17,
        oid::NUMERIC if typmod >= 0 => typmod.wrapping_sub(4) & 0xFFFF,
        oid::TIME | oid::TIMETZ | oid::TIMESTAMP | oid::TIMESTAMPTZ if typmod >= 0 => typmod,
        oid::INTERVAL if typmod >= 0 => typmod & 0xFFFF,
        oid::TIME | oid::TIMETZ | oid::TIMESTAMP | oid::TIMESTAMPTZ | oid::INTERVAL => 6,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::facts::{TypeFacts, TypeKind};

    #[test]
    fn length_and_scale_as_the_driver_counts_them() {
        for (type_oid, typmod, name, length, scale) in [
            (oid::INT4, -1, "int4", 10, 0),
            (oid::VARCHAR, 24, "varchar", 20, 0),
            (oid::TEXT, -1, "text", i32::MAX, 0),
            (oid::NUMERIC, 655_367, "numeric", 10, 3),
            (oid::NUMERIC, -1, "numeric", 131_089, 0),
            (oid::NUMERIC, 329_730, "numeric", 5, 2046),
            (oid::FLOAT4, -1, "float4", 8, 8),
            (oid::DATE, -1, "date", 13, 0),
            (oid::TIME, 3, "time", 12, 3),
            (oid::TIMETZ, -1, "timetz", 21, 6),
            (oid::TIMESTAMP, 0, "timestamp", 22, 0),
            (oid::TIMESTAMPTZ, -1, "timestamptz", 35, 6),
            (oid::INTERVAL, -1, "interval", 49, 6),
            (oid::BIT, 10, "bit", 10, 0),
            (1231, 655_367, "_numeric", 10, 3),
            (1183, -1, "_time", 15, 6),
            (1001, -1, "_bytea", i32::MAX, 0),
        ] {
            let name = name.to_owned();
            let expected = SourceType {
                name,
                length,
                scale,
            };
            assert_eq!(Types::default().source_type(type_oid, typmod), expected);
        }
    }

    #[test]
    fn a_domain_has_its_name_and_the_length_of_its_base() {
        let mut types = Types::default();
        types.learn(TypeFacts {
            oid: 20_000,
            namespace: "public".to_owned(),
            name: "price".to_owned(),
            kind: TypeKind::Domain,
            element: 0,
            delimiter: ',',
            base: oid::NUMERIC,
            base_typmod: 655_367,
            subtype: 0,
            labels: Vec::new(),
            attributes: Vec::new(),
        });
        let expected = SourceType {
            name: "price".to_owned(),
            length: 10,
            scale: 3,
        };
        assert_eq!(types.source_type(20_000, -1), expected);
    }
}
