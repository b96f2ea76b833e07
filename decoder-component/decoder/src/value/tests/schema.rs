//! The schemas of columns, as Debezium 3.6.3 wrote them.

use super::*;

fn schema(type_oid: u32, typmod: i32, options: &Options) -> Option<String> {
    let mut types = types();
    types.learn(TypeFacts {
        labels: ["sad", "it's \"q\"", "a,b"].map(String::from).into(),
        ..facts(MOOD, "mood", TypeKind::Enumeration)
    });
    let rendering = Rendering::resolve(type_oid, typmod, &types, options)?;
    let mut out = Vec::new();
    rendering
        .schema(type_oid, typmod, &types, options)
        .write(true, &[], None, &mut out);
    out.push(b'}');
    assert!(is_json(&out), "{type_oid}");
    Some(String::from_utf8(out).unwrap())
}

/// What is between `"type":` and `"optional":true`, and what is behind that.
fn parts(type_oid: u32, typmod: i32, options: &Options) -> Option<(String, String)> {
    let schema = schema(type_oid, typmod, options)?;
    let (kind, rest) = schema.rsplit_once(",\"optional\":true").unwrap();
    let kind = kind.strip_prefix("{\"type\":").unwrap();
    let rest = rest.strip_suffix('}').unwrap();
    let rest = rest.strip_prefix(",\"name\":").unwrap_or(rest);
    Some((kind.to_string(), rest.to_string()))
}

const MOOD_LABELS: &str = concat!(
    "\"io.debezium.data.Enum\",\"version\":1,",
    r#""parameters":{"allowed":"sad,it's \"q\",a,b"}"#
);

#[rustfmt::skip]
const DEFAULTS: &[(u32, i32, &str, &str)] = &[
    (16, -1, "\"boolean\"", ""),
    (21, -1, "\"int16\"", ""),
    (23, -1, "\"int32\"", ""),
    (26, -1, "\"int64\"", ""),
    (700, -1, "\"float\"", ""),
    (701, -1, "\"double\"", ""),
    (1700, 655_366, "\"bytes\"", concat!(
        "\"org.apache.kafka.connect.data.Decimal\",\"version\":1,",
        r#""parameters":{"scale":"2","connect.decimal.precision":"10"}"#)),
    (1700, -1, concat!(
        r#""struct","fields":[{"type":"int32","optional":false,"field":"scale"},"#,
        r#"{"type":"bytes","optional":false,"field":"value"}]"#), concat!(
        "\"io.debezium.data.VariableScaleDecimal\",\"version\":1,",
        "\"doc\":\"Variable scaled decimal\"")),
    (790, -1, "\"bytes\"", concat!(
        "\"org.apache.kafka.connect.data.Decimal\",\"version\":1,",
        r#""parameters":{"scale":"2"}"#)),
    (19, -1, "\"string\"", ""),
    (25, -1, "\"string\"", ""),
    (142, -1, "\"string\"", "\"io.debezium.data.Xml\",\"version\":1"),
    (3614, -1, "\"string\"", "\"io.debezium.data.Tsvector\",\"version\":1"),
    (3904, -1, "\"string\"", ""),
    (17, -1, "\"bytes\"", ""),
    (3802, -1, "\"string\"", "\"io.debezium.data.Json\",\"version\":1"),
    (1083, 3, "\"int32\"", "\"io.debezium.time.Time\",\"version\":1"),
    (1083, -1, "\"int64\"", "\"io.debezium.time.MicroTime\",\"version\":1"),
    (1266, -1, "\"string\"", "\"io.debezium.time.ZonedTime\",\"version\":1"),
    (1114, 0, "\"int64\"", "\"io.debezium.time.Timestamp\",\"version\":1"),
    (1186, -1, "\"int64\"", "\"io.debezium.time.MicroDuration\",\"version\":1"),
    (1560, 1, "\"boolean\"", ""),
    (1562, -1, "\"bytes\"",
        "\"io.debezium.data.Bits\",\"version\":1,\"parameters\":{\"length\":\"2147483647\"}"),
    (1561, 3, "\"bytes\"",
        "\"io.debezium.data.Bits\",\"version\":1,\"parameters\":{\"length\":\"3\"}"),
    (22, -1, r#""array","items":{"type":"int16","optional":false}"#, ""),
    (1007, -1, r#""array","items":{"type":"int32","optional":true}"#, ""),
    (3643, -1, concat!(r#""array","items":{"type":"string","optional":false,"#,
        r#""name":"io.debezium.data.Tsvector","version":1}"#), ""),
    (1183, 3, concat!(r#""array","items":{"type":"int32","optional":true,"#,
        r#""name":"io.debezium.time.Time","version":1}"#), ""),
    (MOOD, -1, "\"string\"", MOOD_LABELS),
    (HSTORE, -1, "\"string\"", "\"io.debezium.data.Json\",\"version\":1"),
    (OUTER_PRICE, -1, "\"bytes\"", concat!(
        "\"org.apache.kafka.connect.data.Decimal\",\"version\":1,",
        r#""parameters":{"scale":"2","connect.decimal.precision":"10"}"#)),
    (VECTOR, -1, r#""array","items":{"type":"double","optional":false}"#,
        "\"io.debezium.data.DoubleVector\",\"version\":1"),
];

#[test]
fn schemas_of_types() {
    for (type_oid, typmod, kind, rest) in DEFAULTS {
        let expected = Some((kind.to_string(), rest.to_string()));
        let actual = parts(*type_oid, *typmod, &options(&[]));
        assert_eq!(actual, expected, "{type_oid}");
    }
    let moods = schema(MOODS, -1, &options(&[])).unwrap();
    let items =
        format!("\"items\":{{\"type\":\"string\",\"optional\":false,\"name\":{MOOD_LABELS}");
    assert!(moods.contains(&items), "{moods}");
}

#[test]
fn schemas_in_every_mode() {
    for (option, value, type_oid, kind, name) in [
        ("decimal.handling.mode", "double", 1700, "\"double\"", ""),
        ("decimal.handling.mode", "string", 1700, "\"string\"", ""),
        ("decimal.handling.mode", "string", 790, "\"string\"", ""),
        ("binary.handling.mode", "base64", 17, "\"string\"", ""),
        (
            "interval.handling.mode",
            "string",
            1186,
            "\"string\"",
            "io.debezium.time.Interval",
        ),
        (
            "time.precision.mode",
            "connect",
            1082,
            "\"int32\"",
            "org.apache.kafka.connect.data.Date",
        ),
        (
            "time.precision.mode",
            "connect",
            1114,
            "\"int64\"",
            "org.apache.kafka.connect.data.Timestamp",
        ),
        (
            "time.precision.mode",
            "isostring",
            1083,
            "\"string\"",
            "io.debezium.time.IsoTime",
        ),
        (
            "time.precision.mode",
            "nanoseconds",
            1114,
            "\"int64\"",
            "io.debezium.time.NanoTimestamp",
        ),
        ("include.unknown.datatypes", "true", 603, "\"bytes\"", ""),
        (
            "include.unknown.datatypes",
            "true",
            ADDRESSES,
            r#""array","items":{"type":"bytes","optional":false}"#,
            "",
        ),
        (
            "hstore.handling.mode",
            "map",
            HSTORE,
            "\"map\",\"keys\":{\"type\":\"string\",\"optional\":false},\
             \"values\":{\"type\":\"string\",\"optional\":true}",
            "",
        ),
    ] {
        let name = match name {
            "" => String::new(),
            _ => format!("\"{name}\",\"version\":1"),
        };
        let actual = parts(type_oid, -1, &options(&[(option, value)]));
        assert_eq!(actual, Some((kind.to_string(), name)), "{option} {value}");
    }
}

#[test]
fn there_is_a_schema_for_whatever_is_shown() {
    for (type_oid, typmod, ..) in SAMPLES {
        for options in [options(&[]), options(&[("format", "native")])] {
            let shown = Rendering::resolve(*type_oid, *typmod, &types(), &options).is_some();
            assert_eq!(schema(*type_oid, *typmod, &options).is_some(), shown);
        }
    }
}
