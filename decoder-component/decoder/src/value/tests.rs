//! Every type in both formats, from the server's text to JSON. What the Debezium format expects
//! was printed by Debezium 3.6.3.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::embedded::is_json;
use super::*;
use crate::facts::{Attribute, TypeKind};

mod schema;

const MOOD: u32 = 20_001;
const MOODS: u32 = 20_002;
const HSTORE: u32 = 20_003;
const HSTORES: u32 = 20_004;
const PRICE: u32 = 20_005;
const PRICES: u32 = 20_006;
const ADDRESS: u32 = 20_007;
const ADDRESSES: u32 = 20_008;
const CITEXT: u32 = 20_009;
const VECTOR: u32 = 20_010;
const SPARSE_VECTOR: u32 = 20_011;
const FLOAT_RANGE: u32 = 20_012;
const EAN13: u32 = 20_013;
const OUTER_PRICE: u32 = 20_014;
const UNHEARD_OF: u32 = 29_999;

fn facts(oid: u32, name: &str, kind: TypeKind) -> TypeFacts {
    TypeFacts {
        oid,
        namespace: "public".to_string(),
        name: name.to_string(),
        kind,
        element: 0,
        delimiter: ',',
        base: 0,
        base_typmod: -1,
        subtype: 0,
        labels: Vec::new(),
        attributes: Vec::new(),
    }
}

fn types() -> Types {
    let array = |oid, name, element| TypeFacts {
        element,
        ..facts(oid, name, TypeKind::Base)
    };
    let domain = |oid, name, base, base_typmod| TypeFacts {
        base,
        base_typmod,
        ..facts(oid, name, TypeKind::Domain)
    };
    let attribute = |name: &str, type_oid| Attribute {
        name: name.to_string(),
        type_oid,
        typmod: -1,
    };
    let address = TypeFacts {
        attributes: [
            attribute("street", 25),
            attribute("no", 23),
            attribute("tags", 1009),
        ]
        .into(),
        ..facts(ADDRESS, "address", TypeKind::Composite)
    };
    let mut types = Types::default();
    for facts in [
        facts(MOOD, "mood", TypeKind::Enumeration),
        array(MOODS, "_mood", MOOD),
        facts(HSTORE, "hstore", TypeKind::Base),
        array(HSTORES, "_hstore", HSTORE),
        domain(PRICE, "price", 1700, 655_366),
        domain(OUTER_PRICE, "outer_price", PRICE, -1),
        array(PRICES, "_price", PRICE),
        address,
        array(ADDRESSES, "_address", ADDRESS),
        facts(CITEXT, "citext", TypeKind::Base),
        facts(VECTOR, "vector", TypeKind::Base),
        facts(SPARSE_VECTOR, "sparsevec", TypeKind::Base),
        facts(FLOAT_RANGE, "floatrange", TypeKind::Range),
        facts(EAN13, "ean13", TypeKind::Base),
    ] {
        types.learn(facts);
    }
    types
}

/// With Debezium's defects.
fn options(pairs: &[(&str, &str)]) -> Options {
    let strict = [("debezium.compatibility", "strict")];
    Options::parse(strict.iter().chain(pairs).copied()).unwrap()
}

fn written(type_oid: u32, typmod: i32, options: &Options, text: &str) -> Option<String> {
    let rendering = Rendering::resolve(type_oid, typmod, &types(), options)?;
    let mut out = Vec::new();
    Some(match rendering.write_text(text.as_bytes(), &mut out) {
        Ok(()) => String::from_utf8(out).unwrap(),
        Err(invalid) => format!("{invalid:?}"),
    })
}

/// Type, modifier, text, Debezium's JSON (none: the column is absent), the native format's JSON.
type Sample = (u32, i32, &'static str, Option<&'static str>, &'static str);

#[rustfmt::skip]
const SAMPLES: &[Sample] = &[
    (16, -1, "t", Some("true"), "true"),
    (21, -1, "-32768", Some("-32768"), "-32768"),
    (23, -1, "42", Some("42"), "42"),
    (20, -1, "9007199254740993", Some("9007199254740993"), "9007199254740993"),
    (26, -1, "4294967295", Some("4294967295"), "4294967295"),
    (700, -1, "1e+10", Some("1.0E10"), "1e+10"),
    (701, -1, "NaN", Some("\"NaN\""), "\"NaN\""),
    (1700, 655_366, "-1.50", Some("\"/2o=\""), "-1.50"),
    (1700, -1, "1.500", Some(r#"{"scale":1,"value":"Dw=="}"#), "1.500"),
    (1700, -1, "NaN", Some("null"), "\"NaN\""),
    (790, -1, "-$12.34", Some("\"+y4=\""), "\"-$12.34\""),
    (25, -1, "a\"b😀", Some(r#""a\"b\uD83D\uDE00""#), r#""a\"b😀""#),
    (1042, 9, "abc  ", Some("\"abc  \""), "\"abc  \""),
    (18, -1, "\\200", Some("\"\\\\200\""), "\"\\\\200\""),
    (19, -1, "nm", Some("null"), "\"nm\""),
    (17, -1, "\\xfbff00", Some("\"+/8A\""), "\"+/8A\""),
    (114, -1, "{ \"a\" : 1 }", Some(r#""{ \"a\" : 1 }""#), "{ \"a\" : 1 }"),
    (3802, -1, "[1, 2.0]", Some("\"[1, 2.0]\""), "[1, 2.0]"),
    (2950, -1, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        Some("\"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11\""),
        "\"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11\""),
    (869, -1, "10.0.0.1/8", Some("\"10.0.0.1/8\""), "\"10.0.0.1/8\""),
    (3904, -1, "[1,5)", Some("\"[1,5)\""), "\"[1,5)\""),
    (3614, -1, "'a' 'b'", Some("\"'a' 'b'\""), "\"'a' 'b'\""),
    (1082, -1, "2024-02-29", Some("19782"), "\"2024-02-29\""),
    (1083, -1, "12:34:56.789012", Some("45296789012"), "\"12:34:56.789012\""),
    (1083, 3, "12:34:56.789", Some("45296789"), "\"12:34:56.789\""),
    (1266, -1, "12:34:56.7+02", Some("\"10:34:56.7Z\""), "\"12:34:56.7+02:00\""),
    (1114, -1, "2024-02-29 12:34:56.789012", Some("1709210096789012"),
        "\"2024-02-29T12:34:56.789012\""),
    (1114, 3, "2024-02-29 12:34:56.789", Some("1709210096789"), "\"2024-02-29T12:34:56.789\""),
    (1184, 2, "2024-02-29 12:34:56.78+00", Some("\"2024-02-29T12:34:56.78Z\""),
        "\"2024-02-29T12:34:56.78Z\""),
    (1186, -1, "1 year 2 mons -3 days +04:05:06.7", Some("36572706700000"),
        "\"P1Y2M-3DT4H5M6.7S\""),
    (1560, 1, "1", Some("true"), "\"1\""),
    (1560, 5, "10101", Some("\"FQ==\""), "\"10101\""),
    (1562, -1, "101", Some("\"BQ==\""), "\"101\""),
    (600, -1, "(1,2)",
        Some(r#"{"x":1.0,"y":2.0,"wkb":"AQEAAAAAAAAAAADwPwAAAAAAAABA","srid":null}"#),
        "\"(1,2)\""),
    (603, -1, "(2,2),(0,0)", None, "\"(2,2),(0,0)\""),
    (28, -1, "7", None, "\"7\""),
    (3220, -1, "16/B374D848", None, "\"16/B374D848\""),
    (4451, -1, "{[1,3)}", None, "\"{[1,3)}\""),
    (22, -1, "1 2 3", Some("[]"), "\"1 2 3\""),
    (1000, -1, "{t,f,NULL}", Some("[true,false,null]"), "[true,false,null]"),
    (1007, -1, "{{1,2},{3,4}}", Some("[null,null]"), "[[1,2],[3,4]]"),
    (1009, -1, "{a,\"b c\",NULL}", Some(r#"["a","b c",null]"#), r#"["a","b c",null]"#),
    (1231, 655_366, "{1.00,NULL}", Some("[\"ZA==\",null]"), "[1.00,null]"),
    (1231, -1, "{1,NaN}", Some("null"), "[1,\"NaN\"]"),
    (1182, -1, "{2024-02-29,infinity}", Some("[19782,-622191234]"),
        r#"["2024-02-29","infinity"]"#),
    (1183, -1, "{12:34:56.789012}", Some("[45296789000]"), "[\"12:34:56.789012\"]"),
    (1270, -1, "{12:34:56.789012+02}", Some("[\"10:34:56Z\"]"),
        "[\"12:34:56.789012+02:00\"]"),
    (1185, 3, "{\"2024-02-29 12:34:56.789+00\"}", Some("[\"2024-02-29T12:34:56.789Z\"]"),
        "[\"2024-02-29T12:34:56.789Z\"]"),
    (1001, -1, "{\"\\\\x00ff\",NULL}", Some("[\"AP8=\",null]"), "[\"AP8=\",null]"),
    (3807, -1, "{\"{\\\"a\\\": 1}\",\"null\"}", Some(r#"["{\"a\": 1}","null"]"#),
        r#"[{"a": 1}, null]"#),
    (1561, 3, "{101,NULL}", Some("null"), r#"["101",null]"#),
    (1020, -1, "{(1,1),(0,0);(2,2),(1,1)}", None, r#"["(1,1),(0,0)","(2,2),(1,1)"]"#),
    (1003, -1, "{n1}", None, "[\"n1\"]"),
    (1187, -1, "{\"1 day\",NULL}", None, "[\"P1D\",null]"),
    (MOOD, -1, "it's", Some("\"it's\""), "\"it's\""),
    (MOODS, -1, "{ok,\"a,b\"}", Some(r#"["ok","a,b"]"#), r#"["ok","a,b"]"#),
    (MOODS, -1, "{ok,NULL}", Some("null"), r#"["ok",null]"#),
    (HSTORE, -1, "\"a\"=>\"1\", \"n\"=>NULL, \"b c\"=>\"d\"",
        Some(r#""{\"a\":\"1\",\"b c\":\"d\",\"n\":null}""#), r#"{"a":"1","n":null,"b c":"d"}"#),
    (HSTORES, -1, r#"{"\"x\"=>\"y\"",NULL}"#, Some(r#"["{\"x\":\"y\"}",null]"#),
        r#"[{"x":"y"},null]"#),
    (PRICE, -1, "1.50", Some("\"AJY=\""), "1.50"),
    (PRICES, -1, "{1.50,NULL}", None, "[1.50,null]"),
    (ADDRESS, -1, r#"("Main St",5,"{a,b}")"#, None,
        r#"{"street":"Main St","no":5,"tags":["a","b"]}"#),
    (ADDRESSES, -1, r#"{"(y,1,)",NULL}"#, None, r#"[{"street":"y","no":1,"tags":null},null]"#),
    (CITEXT, -1, "MiXed", Some("\"MiXed\""), "\"MiXed\""),
    (VECTOR, 3, "[1,2.5,-3]", Some("[1.0,2.5,-3.0]"), "[1,2.5,-3]"),
    (SPARSE_VECTOR, 5, "{1:1,3:2.5}/5",
        Some(r#"{"dimensions":5,"vector":[[1,1.0],[3,2.5]]}"#), "\"{1:1,3:2.5}/5\""),
    (FLOAT_RANGE, -1, "[1.5,2.5)", None, "\"[1.5,2.5)\""),
    (EAN13, -1, "978-0-393-04002-9", None, "\"978-0-393-04002-9\""),
    (UNHEARD_OF, -1, "x", None, "\"x\""),
];

#[test]
fn every_type_in_both_formats() {
    let (debezium, native) = (options(&[]), options(&[("format", "native")]));
    for &(type_oid, typmod, text, in_debezium, in_native) in SAMPLES {
        assert_eq!(
            written(type_oid, typmod, &debezium, text).as_deref(),
            in_debezium,
            "{type_oid} {text}"
        );
        assert_eq!(
            written(type_oid, typmod, &native, text).as_deref(),
            Some(in_native),
            "{type_oid} {text}"
        );
    }
}

#[test]
fn what_debezium_loses_is_kept_unless_it_is_to_be_lost() {
    let options = Options::parse(core::iter::empty()).unwrap();
    for (type_oid, text, expected) in [
        (19, "nm", "\"nm\""),
        (
            1182,
            "{\"0044-03-15 BC\",infinity}",
            "[-735160,-2147472692]",
        ),
        (1183, "{12:34:56.789012}", "[45296789012]"),
        (1185, "{-infinity}", "[\"-infinity\"]"),
        (1186, "00:00:01.235", "1235000"),
        (1231, "{1,NaN}", r#"[{"scale":0,"value":"AQ=="},null]"#),
        (1270, "{12:34:56.789012+02}", "[\"10:34:56.789012Z\"]"),
    ] {
        let ours = written(type_oid, -1, &options, text);
        assert_eq!(ours.as_deref(), Some(expected), "{type_oid} {text}");
    }
}

/// Option and its value, type, modifier, text, JSON.
type ModeSample = (
    &'static str,
    &'static str,
    u32,
    i32,
    &'static str,
    &'static str,
);

#[rustfmt::skip]
const MODES: &[ModeSample] = &[
    ("decimal.handling.mode", "double", 1700, 655_366, "99999999.99", "9.999999999E7"),
    ("decimal.handling.mode", "double", 790, -1, "-$4.00", "-4.0"),
    ("decimal.handling.mode", "string", 1700, -1, "1.500", "\"1.500\""),
    ("decimal.handling.mode", "string", 1700, -1, "Infinity", "\"POSITIVE_INFINITY\""),
    ("decimal.handling.mode", "string", 1231, -1, "{1.50,NULL}", "[\"1.50\",null]"),
    ("time.precision.mode", "adaptive_time_microseconds", 1083, 3, "00:00:01", "1000000"),
    ("time.precision.mode", "adaptive_time_microseconds", 1114, 3, "1970-01-01 00:00:01", "1000"),
    ("time.precision.mode", "microseconds", 1114, 3, "1970-01-01 00:00:01", "1000000"),
    ("time.precision.mode", "nanoseconds", 1114, -1, "1970-01-01 00:00:01", "1000000000"),
    ("time.precision.mode", "nanoseconds", 1082, -1, "1970-01-02", "1"),
    ("time.precision.mode", "connect", 1114, -1, "1969-12-31 23:59:59.999999", "-1"),
    ("time.precision.mode", "connect", 1183, -1, "{12:34:56.789012}", "[45296789]"),
    ("time.precision.mode", "isostring", 1082, -1, "2024-02-29", "\"2024-02-29Z\""),
    ("time.precision.mode", "isostring", 1083, -1, "12:34:56.7", "\"12:34:56.7Z\""),
    ("time.precision.mode", "isostring", 1114, 0, "2024-02-29 12:34:56",
        "\"2024-02-29T12:34:56Z\""),
    ("interval.handling.mode", "string", 1186, -1, "1 day", "\"P0Y0M1DT0H0M0S\""),
    ("hstore.handling.mode", "map", HSTORE, -1, "\"a\"=>NULL", "{\"a\":null}"),
    ("binary.handling.mode", "hex", 17, -1, "\\xfbff00", "\"fbff00\""),
    ("binary.handling.mode", "base64-url-safe", 1001, -1, "{\"\\\\xfbff\"}", "[\"-_8=\"]"),
    ("money.fraction.digits", "0", 790, -1, "$1,234.56", "\"BNM=\""),
    ("money.fraction.digits", "4", 790, -1, "$1,234.56", "\"ALxhAA==\""),
    ("include.unknown.datatypes", "true", 603, -1, "(1,1),(0,0)",
        "\"KDEuMCwxLjApLCgwLjAsMC4wKQ==\""),
    ("include.unknown.datatypes", "true", 3220, -1, "0/16", "\"MC8xNg==\""),
    ("include.unknown.datatypes", "true", ADDRESS, -1, "(x,1,)", "\"KHgsMSwp\""),
    ("include.unknown.datatypes", "true", ADDRESSES, -1, "{}", "[]"),
    ("include.unknown.datatypes", "true", ADDRESSES, -1, "{\"(x,1,)\"}", "[\"KHgsMSwp\"]"),
    ("include.unknown.datatypes", "true", ADDRESSES, -1, "{\"(x,1,)\",NULL}", "null"),
    ("include.unknown.datatypes", "true", 19, -1, "n", "\"n\""),
];

#[test]
fn every_mode() {
    for &(name, value, type_oid, typmod, text, expected) in MODES {
        assert_eq!(
            written(type_oid, typmod, &options(&[(name, value)]), text).as_deref(),
            Some(expected),
            "{name} {value} {text}"
        );
    }
}

#[test]
fn absent_even_with_unknown_types() {
    let unknown = options(&[("include.unknown.datatypes", "true")]);
    for array in [791, 1187, 1003] {
        assert_eq!(written(array, -1, &unknown, "{}"), None);
    }
}

#[test]
fn fallbacks_and_defaults() {
    let resolve = |type_oid, typmod, options: &Options| {
        Rendering::resolve(type_oid, typmod, &types(), options).unwrap()
    };
    let debezium = options(&[]);
    for (type_oid, typmod, fallback) in [
        (16, -1, "false"),
        (26, -1, "0"),
        (701, -1, "0.0"),
        (1700, -1, r#"{"scale":0,"value":"AA=="}"#),
        (1700, 655_366, "\"AA==\""),
        (790, -1, "\"AA==\""),
        (19, -1, "\"\""),
        (17, -1, "\"\""),
        (2950, -1, "\"\""),
        (1266, -1, "\"00:00:00Z\""),
        (1184, -1, "\"1970-01-01T00:00:00Z\""),
        (1231, -1, "[]"),
        (HSTORE, -1, "\"{}\""),
        (MOOD, -1, "\"\""),
        (OUTER_PRICE, -1, "\"AA==\""),
    ] {
        let rendering = resolve(type_oid, typmod, &debezium);
        assert_eq!(rendering.fallback(), fallback.as_bytes(), "{type_oid}");
    }
    for (type_oid, expression, default) in [
        (25, "'x'::text", Some("\"x\"")),
        (869, "'10.0.0.1'::inet", None),
        // By name of the type: so none of domains and of what has no reader.
        (CITEXT, "'x'::citext", None),
        (PRICE, "1.50", None),
        (26, "'5'::oid", None),
        (MOOD, "'ok'::mood", Some("\"ok\"")),
        (1007, "'{1,2}'::integer[]", None),
        (1266, "'01:02:03+01'::time with time zone", None),
        (HSTORE, "''::hstore", None),
    ] {
        let json = resolve(type_oid, -1, &debezium).default(expression);
        assert_eq!(json.as_deref(), default.map(str::as_bytes), "{expression}");
    }
}

#[test]
fn placeholders_as_debezium_shows_them() {
    let p = "__debezium_unavailable_value";
    let gone = [("unavailable.value.placeholder", "hex:DEADBEEF")];
    let hex = [
        ("binary.handling.mode", "hex"),
        ("hstore.handling.mode", "map"),
    ];
    let base64 = [
        ("binary.handling.mode", "base64"),
        ("decimal.handling.mode", "string"),
    ];
    for (pairs, type_oid, expected) in [
        (&[][..], 25, format!("\"{p}\"")),
        (&[], 114, format!("\"{p}\"")),
        (
            &[],
            17,
            "\"X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==\"".to_string(),
        ),
        (&[], 1009, format!("[\"{p}\"]")),
        (
            &[],
            2951,
            "[\"b68a35a7-17ad-35b3-af2a-ae46edb4545a\"]".to_string(),
        ),
        (
            &[],
            1001,
            "[\"X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==\"]".to_string(),
        ),
        (&[], 1700, "null".to_string()),
        (&[], 1231, "null".to_string()),
        (&[], HSTORE, format!(r#""{{\"{p}\":\"{p}\"}}""#)),
        (&gone, 1007, "[-34,-83,-66,-17]".to_string()),
        (&gone, 1182, "[-34,-83,-66,-17]".to_string()),
        (&gone, 1005, "null".to_string()),
        (&gone, 1115, "null".to_string()),
        (&[], 1041, "null".to_string()),
        (&gone, 17, "\"3q2+7w==\"".to_string()),
        (&hex, 17, format!("\"{p}\"")),
        (&hex, 1001, "null".to_string()),
        (&hex, HSTORE, format!("{{\"{p}\":\"{p}\"}}")),
        (&base64, 17, "null".to_string()),
        (&base64, 1700, format!("\"{p}\"")),
        (&base64, 1231, "null".to_string()),
        (&[("format", "native")], 1700, format!("\"{p}\"")),
    ] {
        let rendering = Rendering::resolve(type_oid, -1, &types(), &options(pairs)).unwrap();
        let placeholder = String::from_utf8(rendering.unavailable()).unwrap();
        assert_eq!(placeholder, expected, "{type_oid} {pairs:?}");
    }
}

#[test]
fn shapes_and_types_of_topic_records() {
    let native = options(&[("format", "native")]);
    for (type_oid, shape, base) in [
        (25, 0, 25),
        (1700, 1, 1700),
        (17, 2, 17),
        (701, 3, 701),
        (3802, 4, 3802),
        (1007, 16, 1007),
        (1231, 17, 1231),
        (1001, 18, 1001),
        (199, 20, 199),
        (OUTER_PRICE, 1, 1700),
    ] {
        let rendering = Rendering::resolve(type_oid, -1, &types(), &native).unwrap();
        let code = rendering.shape().code;
        assert_eq!((code, rendering.type_oid()), (shape, base));
    }
}

#[test]
fn shapes_of_composites() {
    let native = options(&[("format", "native")]);
    let rendering = Rendering::resolve(ADDRESSES, -1, &types(), &native).unwrap();
    let Shape { code, attributes } = rendering.shape();
    assert_eq!(code, 16 + 5);
    let attributes: Vec<_> = attributes
        .iter()
        .map(|(name, shape)| (name.as_str(), shape.code))
        .collect();
    assert_eq!(attributes, [("street", 0), ("no", 0), ("tags", 16)]);
}

#[test]
fn domains_in_a_circle_come_to_an_end() {
    let mut types = types();
    types.learn(TypeFacts {
        base: 30_001,
        ..facts(30_000, "a", TypeKind::Domain)
    });
    types.learn(TypeFacts {
        base: 30_000,
        ..facts(30_001, "b", TypeKind::Domain)
    });
    types.learn(TypeFacts {
        element: 30_002,
        ..facts(30_002, "c", TypeKind::Base)
    });
    let native = options(&[("format", "native")]);
    for type_oid in [30_000, 30_002] {
        assert!(Rendering::resolve(type_oid, -1, &types, &native).is_some());
        assert!(Rendering::resolve(type_oid, -1, &types, &options(&[])).is_none());
    }
}

/// Whatever the text, there is JSON or an error, and never a panic.
#[test]
fn damaged_text_becomes_json_or_an_error() {
    const BYTES: &[u8] = b"\0\t\"\\{}[](),:;.-+ 019aNtxTZ=\x7f\x80\xc3\xf0\xff";
    let all_options = [
        options(&[]),
        options(&[("format", "native")]),
        options(&[
            ("decimal.handling.mode", "double"),
            ("time.precision.mode", "isostring"),
        ]),
        options(&[
            ("decimal.handling.mode", "string"),
            ("time.precision.mode", "nanoseconds"),
        ]),
        options(&[
            ("include.unknown.datatypes", "true"),
            ("hstore.handling.mode", "map"),
            ("interval.handling.mode", "string"),
            ("binary.handling.mode", "hex"),
            ("time.precision.mode", "connect"),
        ]),
    ];
    let types = types();
    let mut out = Vec::new();
    for options in &all_options {
        for &(type_oid, typmod, text, ..) in SAMPLES {
            let Some(rendering) = Rendering::resolve(type_oid, typmod, &types, options) else {
                continue;
            };
            let mut check = |text: &[u8]| {
                out.clear();
                if rendering.write_text(text, &mut out).is_ok() {
                    assert!(
                        is_json(&out),
                        "{type_oid} {text:?} {:?}",
                        String::from_utf8_lossy(&out)
                    );
                }
            };
            let text = text.as_bytes();
            for at in 0..=text.len() {
                check(&text[..at]);
                check(&text[at..]);
                for &byte in BYTES {
                    let mut damaged = text.to_vec();
                    damaged.insert(at, byte);
                    check(&damaged);
                    damaged.remove(at);
                    if let Some(place) = damaged.get_mut(at) {
                        *place = byte;
                        check(&damaged);
                    }
                }
            }
            check(&text.repeat(40));
        }
    }
}
