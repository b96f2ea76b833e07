//! PostgreSQL's own types by OID, from `catalog/pg_type.dat`: these OIDs never change.

/// The first OID that is not assigned by hand: `FirstGenbkiObjectId`, access/transam.h.
pub(crate) const HAND_ASSIGNED_END: u32 = 10_000;

pub(super) const BOOL: u32 = 16;
pub(super) const BYTEA: u32 = 17;
pub(super) const CHAR: u32 = 18;
pub(super) const NAME: u32 = 19;
pub(super) const INT8: u32 = 20;
pub(super) const INT2: u32 = 21;
pub(super) const INT2VECTOR: u32 = 22;
pub(super) const INT4: u32 = 23;
pub(super) const TEXT: u32 = 25;
pub(super) const OID: u32 = 26;
pub(super) const OIDVECTOR: u32 = 30;
pub(crate) const JSON: u32 = 114;
pub(super) const XML: u32 = 142;
pub(super) const POINT: u32 = 600;
pub(super) const LSEG: u32 = 601;
pub(super) const PATH: u32 = 602;
pub(super) const BOX: u32 = 603;
pub(super) const POLYGON: u32 = 604;
pub(super) const LINE: u32 = 628;
pub(super) const CIDR: u32 = 650;
pub(super) const FLOAT4: u32 = 700;
pub(super) const FLOAT8: u32 = 701;
pub(super) const CIRCLE: u32 = 718;
pub(super) const MACADDR8: u32 = 774;
pub(super) const MONEY: u32 = 790;
pub(super) const MACADDR: u32 = 829;
pub(super) const INET: u32 = 869;
pub(super) const BPCHAR: u32 = 1042;
pub(super) const VARCHAR: u32 = 1043;
pub(super) const DATE: u32 = 1082;
pub(super) const TIME: u32 = 1083;
pub(super) const TIMESTAMP: u32 = 1114;
pub(super) const TIMESTAMPTZ: u32 = 1184;
pub(super) const INTERVAL: u32 = 1186;
pub(super) const TIMETZ: u32 = 1266;
pub(super) const BIT: u32 = 1560;
pub(super) const VARBIT: u32 = 1562;
pub(super) const NUMERIC: u32 = 1700;
pub(super) const REFCURSOR: u32 = 1790;
pub(super) const UUID: u32 = 2950;
pub(super) const TSVECTOR: u32 = 3614;
pub(crate) const JSONB: u32 = 3802;
pub(super) const INT4RANGE: u32 = 3904;
pub(super) const NUMRANGE: u32 = 3906;
pub(super) const TSRANGE: u32 = 3908;
pub(super) const TSTZRANGE: u32 = 3910;
pub(super) const DATERANGE: u32 = 3912;
pub(super) const INT8RANGE: u32 = 3926;
/// `oid8`, new in 19, is a number as `xid8` is.
pub(super) const XID8: u32 = 5069;
pub(super) const XID: u32 = 28;
pub(super) const CID: u32 = 29;

/// The element type of a true array type.
pub(crate) fn element_of(array: u32) -> Option<u32> {
    PAIRS
        .iter()
        .find(|(of, _)| *of == array)
        .map(|(_, element)| *element)
}

/// What separates elements of a type: `typdelim`.
pub(crate) fn delimiter_of(element: u32) -> u8 {
    if element == BOX { b';' } else { b',' }
}

/// The name of a type that is no array: `typname`.
pub(crate) fn name_of(type_oid: u32) -> Option<&'static str> {
    NAMES
        .iter()
        .find(|(oid, _)| *oid == type_oid)
        .map(|(_, name)| *name)
}

/// The type with this `typname`, an array's too.
pub(crate) fn oid_of(name: &str) -> Option<u32> {
    let of_scalar = |name: &str| {
        NAMES
            .iter()
            .find(|(_, of)| *of == name)
            .map(|(oid, _)| *oid)
    };
    match name.strip_prefix('_') {
        Some(element) => {
            let element = of_scalar(element)?;
            PAIRS
                .iter()
                .find(|(_, of)| *of == element)
                .map(|(array, _)| *array)
        }
        None => of_scalar(name),
    }
}

/// Types that a column may have, by OID; of an array's name an underscore is the beginning.
const NAMES: &[(u32, &str)] = &[
    (BOOL, "bool"),
    (BYTEA, "bytea"),
    (CHAR, "char"),
    (NAME, "name"),
    (INT8, "int8"),
    (INT2, "int2"),
    (INT2VECTOR, "int2vector"),
    (INT4, "int4"),
    (24, "regproc"),
    (TEXT, "text"),
    (OID, "oid"),
    (27, "tid"),
    (XID, "xid"),
    (CID, "cid"),
    (OIDVECTOR, "oidvector"),
    (JSON, "json"),
    (XML, "xml"),
    (194, "pg_node_tree"),
    (POINT, "point"),
    (LSEG, "lseg"),
    (PATH, "path"),
    (BOX, "box"),
    (POLYGON, "polygon"),
    (LINE, "line"),
    (CIDR, "cidr"),
    (FLOAT4, "float4"),
    (FLOAT8, "float8"),
    (CIRCLE, "circle"),
    (MACADDR8, "macaddr8"),
    (MONEY, "money"),
    (MACADDR, "macaddr"),
    (INET, "inet"),
    (1033, "aclitem"),
    (BPCHAR, "bpchar"),
    (VARCHAR, "varchar"),
    (DATE, "date"),
    (TIME, "time"),
    (TIMESTAMP, "timestamp"),
    (TIMESTAMPTZ, "timestamptz"),
    (INTERVAL, "interval"),
    (TIMETZ, "timetz"),
    (BIT, "bit"),
    (VARBIT, "varbit"),
    (NUMERIC, "numeric"),
    (REFCURSOR, "refcursor"),
    (2202, "regprocedure"),
    (2203, "regoper"),
    (2204, "regoperator"),
    (2205, "regclass"),
    (2206, "regtype"),
    (2275, "cstring"),
    (UUID, "uuid"),
    (2970, "txid_snapshot"),
    (3220, "pg_lsn"),
    (3361, "pg_ndistinct"),
    (3402, "pg_dependencies"),
    (TSVECTOR, "tsvector"),
    (3615, "tsquery"),
    (3642, "gtsvector"),
    (3734, "regconfig"),
    (3769, "regdictionary"),
    (JSONB, "jsonb"),
    (INT4RANGE, "int4range"),
    (NUMRANGE, "numrange"),
    (TSRANGE, "tsrange"),
    (TSTZRANGE, "tstzrange"),
    (DATERANGE, "daterange"),
    (INT8RANGE, "int8range"),
    (4072, "jsonpath"),
    (4089, "regnamespace"),
    (4096, "regrole"),
    (4191, "regcollation"),
    (4451, "int4multirange"),
    (4532, "nummultirange"),
    (4533, "tsmultirange"),
    (4534, "tstzmultirange"),
    (4535, "datemultirange"),
    (4536, "int8multirange"),
    (4600, "pg_brin_bloom_summary"),
    (4601, "pg_brin_minmax_multi_summary"),
    (5017, "pg_mcv_list"),
    (5038, "pg_snapshot"),
    (XID8, "xid8"),
];

/// Array types and their elements, by the array's OID.
const PAIRS: &[(u32, u32)] = &[
    (143, XML),
    (199, JSON),
    (271, XID8),
    (629, LINE),
    (651, CIDR),
    (719, CIRCLE),
    (775, MACADDR8),
    (791, MONEY),
    (1000, BOOL),
    (1001, BYTEA),
    (1002, CHAR),
    (1003, NAME),
    (1005, INT2),
    (1006, INT2VECTOR),
    (1007, INT4),
    (1008, 24), // regproc
    (1009, TEXT),
    (1010, 27), // tid
    (1011, XID),
    (1012, CID),
    (1013, OIDVECTOR),
    (1014, BPCHAR),
    (1015, VARCHAR),
    (1016, INT8),
    (1017, POINT),
    (1018, LSEG),
    (1019, PATH),
    (1020, BOX),
    (1021, FLOAT4),
    (1022, FLOAT8),
    (1027, POLYGON),
    (1028, OID),
    (1034, 1033), // aclitem
    (1040, MACADDR),
    (1041, INET),
    (1115, TIMESTAMP),
    (1182, DATE),
    (1183, TIME),
    (1185, TIMESTAMPTZ),
    (1187, INTERVAL),
    (1231, NUMERIC),
    (1263, 2275), // cstring
    (1270, TIMETZ),
    (1561, BIT),
    (1563, VARBIT),
    (2201, REFCURSOR),
    (2207, 2202), // regprocedure
    (2208, 2203), // regoper
    (2209, 2204), // regoperator
    (2210, 2205), // regclass
    (2211, 2206), // regtype
    (2949, 2970), // txid_snapshot
    (2951, UUID),
    (3221, 3220), // pg_lsn
    (3643, TSVECTOR),
    (3644, 3642), // gtsvector
    (3645, 3615), // tsquery
    (3735, 3734), // regconfig
    (3770, 3769), // regdictionary
    (3807, JSONB),
    (3905, INT4RANGE),
    (3907, NUMRANGE),
    (3909, TSRANGE),
    (3911, TSTZRANGE),
    (3913, DATERANGE),
    (3927, INT8RANGE),
    (4073, 4072), // jsonpath
    (4090, 4089), // regnamespace
    (4097, 4096), // regrole
    (4192, 4191), // regcollation
    (5039, 5038), // pg_snapshot
    (6150, 4451), // int4multirange
    (6151, 4532), // nummultirange
    (6152, 4533), // tsmultirange
    (6153, 4534), // tstzmultirange
    (6155, 4535), // datemultirange
    (6157, 4536), // int8multirange
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn array_types_are_sorted_and_named_once() {
        assert!(PAIRS.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert_eq!(element_of(1231), Some(NUMERIC));
        assert_eq!(element_of(NUMERIC), None);
    }

    #[test]
    fn types_are_sorted_and_have_one_name() {
        assert!(NAMES.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(PAIRS.iter().all(|(_, of)| name_of(*of).is_some()));
        assert_eq!(name_of(NUMERIC), Some("numeric"));
        assert_eq!(name_of(1231), None);
        assert_eq!(oid_of("numeric"), Some(NUMERIC));
        assert_eq!(oid_of("_numeric"), Some(1231));
        assert_eq!(oid_of("mood"), None);
    }
}
