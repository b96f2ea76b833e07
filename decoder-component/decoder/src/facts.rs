//! Facts from the server's catalogs, as `wit/catalog.wit` describes them.

use alloc::string::String;
use alloc::vec::Vec;

/// An answer to [`Question`](crate::Question), or facts given ahead of any question.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Types, in any order.
    pub types: Vec<TypeFacts>,
    /// Relations, in any order.
    pub relations: Vec<RelationFacts>,
}

/// `pg_type.typtype`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "PostgreSQL's own words")]
pub enum TypeKind {
    Base,
    Composite,
    Domain,
    Enumeration,
    Multirange,
    Pseudo,
    Range,
}

/// One row of `pg_type`.
#[derive(Clone, Debug)]
pub struct TypeFacts {
    /// `pg_type.oid`.
    pub oid: u32,
    /// `pg_namespace.nspname`.
    pub namespace: String,
    /// `pg_type.typname`.
    pub name: String,
    /// `pg_type.typtype`.
    pub kind: TypeKind,
    /// Element type of a true array, else 0.
    pub element: u32,
    /// What separates elements in the text of an array of this type.
    pub delimiter: char,
    /// Base type of a domain, else 0.
    pub base: u32,
    /// Type modifier of a domain, else -1.
    pub base_typmod: i32,
    /// Whether a domain is NOT NULL, and so columns of it; else false.
    pub not_null: bool,
    /// Subtype of a range or multirange, else 0.
    pub subtype: u32,
    /// Labels of an enumeration in sort order.
    pub labels: Vec<String>,
    /// Attributes of a composite type.
    pub attributes: Vec<Attribute>,
}

/// One attribute of a composite type.
#[derive(Clone, Debug)]
pub struct Attribute {
    /// `pg_attribute.attname`.
    pub name: String,
    /// `pg_attribute.atttypid`.
    pub type_oid: u32,
    /// `pg_attribute.atttypmod`.
    pub typmod: i32,
}

/// One table.
#[derive(Clone, Debug)]
pub struct RelationFacts {
    /// `pg_class.oid`.
    pub oid: u32,
    /// `pg_namespace.nspname`.
    pub namespace: String,
    /// `pg_class.relname`.
    pub name: String,
    /// In table order.
    pub columns: Vec<ColumnFacts>,
    /// Columns of the primary key in index order.
    pub primary_key: Vec<String>,
    /// Unique indexes besides the primary key.
    pub unique_indexes: Vec<UniqueIndex>,
}

/// One column of a table.
#[derive(Clone, Debug)]
pub struct ColumnFacts {
    /// `pg_attribute.attname`.
    pub name: String,
    /// `pg_attribute.atttypid`.
    pub type_oid: u32,
    /// `pg_attribute.atttypmod`; -1 for none.
    pub typmod: i32,
    /// `pg_attribute.attnotnull`.
    pub not_null: bool,
    /// `pg_get_expr(adbin, adrelid)`, unless the column is generated.
    pub default: Option<String>,
}

/// One unique index.
#[derive(Clone, Debug)]
pub struct UniqueIndex {
    /// `pg_class.relname` of the index.
    pub name: String,
    /// Indexed columns in index order; an expression contributes none.
    pub columns: Vec<String>,
    /// Whether any indexed item is an expression.
    pub expression: bool,
}
