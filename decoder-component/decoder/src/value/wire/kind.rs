//! Which send format a type has: built-in ones by OID, those of extensions by name.

use crate::facts::{TypeFacts, TypeKind};
use crate::value::Types;
use crate::value::builtin as oid;
use crate::value::resolve::base;

/// One for each send format, not for each type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Array,
    Bits,
    Bool,
    Bytea,
    Char,
    Composite,
    Cube,
    Date,
    Float4,
    Float8,
    Geometric(Shape),
    /// Of `PostGIS`: its text is the binary form in hexadecimal digits.
    Geometry,
    HalfVector,
    Hstore,
    Inet,
    Int2,
    Int4,
    Int8,
    Interval,
    Lsn,
    /// Of so many bytes.
    MacAddress(u8),
    Money,
    /// Of ranges over the subtype.
    Multirange(u32),
    Numeric,
    /// Over the subtype.
    Range(u32),
    /// An OID with a name that the decoder does not know; `none` stands for 0.
    Registered {
        none: u8,
    },
    Snapshot,
    SparseVector,
    /// The text itself.
    Text,
    Tid,
    Time,
    TimeTz,
    Timestamp,
    TimestampTz,
    TsQuery,
    TsVector,
    Unknown,
    Unsigned4,
    Unsigned8,
    Uuid,
    Vector,
    /// The text behind a version.
    Versioned,
    /// An array whose text has spaces only: `int2vector`, `oidvector`.
    Words,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Box,
    Circle,
    Line,
    Path,
    Point,
    Polygon,
    Segment,
}

impl Kind {
    /// Of any type, seen through domains.
    pub(super) fn of(type_oid: u32, types: &Types) -> Self {
        let (type_oid, _) = base(type_oid, -1, types);
        match types.learnt(type_oid) {
            Some(facts) => Self::learnt(facts),
            None => Self::built_in(type_oid),
        }
    }

    fn learnt(facts: &TypeFacts) -> Self {
        match (facts.kind, facts.name.as_str()) {
            (TypeKind::Composite, _) => Self::Composite,
            (TypeKind::Enumeration, _) => Self::Text,
            (TypeKind::Multirange, _) => Self::Multirange(facts.subtype),
            (TypeKind::Range, _) => Self::Range(facts.subtype),
            (TypeKind::Base, _) if facts.element != 0 => Self::Array,
            (TypeKind::Base, name) => Self::of_extension(name).unwrap_or(Self::Unknown),
            (TypeKind::Domain | TypeKind::Pseudo, _) => Self::Unknown,
        }
    }

    /// Of extensions' types.
    pub(crate) fn of_extension(name: &str) -> Option<Self> {
        Some(match name {
            "citext" => Self::Text,
            "cube" => Self::Cube,
            "geography" | "geometry" => Self::Geometry,
            "halfvec" => Self::HalfVector,
            "hstore" => Self::Hstore,
            "lquery" | "ltree" | "ltxtquery" => Self::Versioned,
            "sparsevec" => Self::SparseVector,
            "vector" => Self::Vector,
            // Not so types without a send function, isn's among them: the server sends their text
            // as text.
            _ => return None,
        })
    }

    /// Of the types whose OIDs never change.
    pub(crate) fn built_in(type_oid: u32) -> Self {
        match type_oid {
            oid::BOOL => Self::Bool,
            oid::BYTEA => Self::Bytea,
            oid::CHAR => Self::Char,
            oid::NAME
            | oid::TEXT
            | oid::JSON
            | oid::XML
            | oid::BPCHAR
            | oid::VARCHAR
            | oid::REFCURSOR
            | PG_NODE_TREE
            | UNKNOWN
            | CSTRING => Self::Text,
            oid::INT8 => Self::Int8,
            oid::INT2 => Self::Int2,
            oid::INT4 => Self::Int4,
            oid::INT2VECTOR | oid::OIDVECTOR => Self::Words,
            oid::OID | oid::XID | oid::CID => Self::Unsigned4,
            oid::XID8 => Self::Unsigned8,
            REGOPER | REGOPERATOR => Self::Registered { none: b'0' },
            REGPROC | REGPROCEDURE | REGCLASS | REGTYPE | REGCONFIG | REGDICTIONARY
            | REGNAMESPACE | REGROLE | REGCOLLATION => Self::Registered { none: b'-' },
            TID => Self::Tid,
            oid::POINT => Self::Geometric(Shape::Point),
            oid::LSEG => Self::Geometric(Shape::Segment),
            oid::PATH => Self::Geometric(Shape::Path),
            oid::BOX => Self::Geometric(Shape::Box),
            oid::POLYGON => Self::Geometric(Shape::Polygon),
            oid::LINE => Self::Geometric(Shape::Line),
            oid::CIRCLE => Self::Geometric(Shape::Circle),
            oid::CIDR | oid::INET => Self::Inet,
            oid::MACADDR => Self::MacAddress(6),
            oid::MACADDR8 => Self::MacAddress(8),
            oid::FLOAT4 => Self::Float4,
            oid::FLOAT8 => Self::Float8,
            oid::MONEY => Self::Money,
            oid::DATE => Self::Date,
            oid::TIME => Self::Time,
            oid::TIMETZ => Self::TimeTz,
            oid::TIMESTAMP => Self::Timestamp,
            oid::TIMESTAMPTZ => Self::TimestampTz,
            oid::INTERVAL => Self::Interval,
            oid::BIT | oid::VARBIT => Self::Bits,
            oid::NUMERIC => Self::Numeric,
            oid::UUID => Self::Uuid,
            TXID_SNAPSHOT | PG_SNAPSHOT => Self::Snapshot,
            PG_LSN => Self::Lsn,
            oid::TSVECTOR => Self::TsVector,
            TSQUERY => Self::TsQuery,
            oid::JSONB | JSONPATH => Self::Versioned,
            oid::INT4RANGE => Self::Range(oid::INT4),
            oid::INT8RANGE => Self::Range(oid::INT8),
            oid::NUMRANGE => Self::Range(oid::NUMERIC),
            oid::TSRANGE => Self::Range(oid::TIMESTAMP),
            oid::TSTZRANGE => Self::Range(oid::TIMESTAMPTZ),
            oid::DATERANGE => Self::Range(oid::DATE),
            INT4MULTIRANGE => Self::Multirange(oid::INT4),
            INT8MULTIRANGE => Self::Multirange(oid::INT8),
            NUMMULTIRANGE => Self::Multirange(oid::NUMERIC),
            TSMULTIRANGE => Self::Multirange(oid::TIMESTAMP),
            TSTZMULTIRANGE => Self::Multirange(oid::TIMESTAMPTZ),
            DATEMULTIRANGE => Self::Multirange(oid::DATE),
            _ if oid::element_of(type_oid).is_some() => Self::Array,
            _ => Self::Unknown,
        }
    }
}

const REGPROC: u32 = 24;
const TID: u32 = 27;
const PG_NODE_TREE: u32 = 194;
const UNKNOWN: u32 = 705;
const REGPROCEDURE: u32 = 2202;
const REGOPER: u32 = 2203;
const REGOPERATOR: u32 = 2204;
const REGCLASS: u32 = 2205;
const REGTYPE: u32 = 2206;
const CSTRING: u32 = 2275;
const TXID_SNAPSHOT: u32 = 2970;
const PG_LSN: u32 = 3220;
const TSQUERY: u32 = 3615;
const REGCONFIG: u32 = 3734;
const REGDICTIONARY: u32 = 3769;
const JSONPATH: u32 = 4072;
const REGNAMESPACE: u32 = 4089;
const REGROLE: u32 = 4096;
const REGCOLLATION: u32 = 4191;
const INT4MULTIRANGE: u32 = 4451;
const NUMMULTIRANGE: u32 = 4532;
const TSMULTIRANGE: u32 = 4533;
const TSTZMULTIRANGE: u32 = 4534;
const DATEMULTIRANGE: u32 = 4535;
const INT8MULTIRANGE: u32 = 4536;
const PG_SNAPSHOT: u32 = 5038;
