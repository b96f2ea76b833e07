//! Every stream of `tests/vectors` that was recorded as text and with `binary 'true'`: both forms
//! give the same records, and damaged ones no panic.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may fail by panicking"
)]

use std::fs;
use std::path::{Path, PathBuf};

use pgoutput_decoder::{
    Attribute, ColumnFacts, DecodeErrorKind, Decoder, Facts, Options, RelationFacts, Stop,
    TypeFacts, TypeKind,
};
use serde_json::Value;

/// One pair of recorded streams, as frames.
struct Pair {
    name: String,
    text: Vec<Vec<u8>>,
    binary: Vec<Vec<u8>>,
    catalog: Value,
}

fn pairs() -> Vec<Pair> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors");
    let mut cases: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|case| case.join("pgoutput.binary.jsonl").exists())
        .collect();
    cases.sort_unstable();
    let pair = |case: PathBuf| {
        let catalog = fs::read_to_string(case.join("catalog.json")).unwrap();
        Pair {
            name: case.file_name().unwrap().to_string_lossy().into_owned(),
            text: frames(&case.join("pgoutput.jsonl")),
            binary: frames(&case.join("pgoutput.binary.jsonl")),
            catalog: serde_json::from_str(&catalog).unwrap(),
        }
    };
    cases.into_iter().map(pair).collect()
}

fn frames(path: &Path) -> Vec<Vec<u8>> {
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            frame(line["lsn"].as_str().unwrap(), line["hex"].as_str().unwrap())
        })
        .collect()
}

/// A `CopyData` message with `XLogData` in it.
fn frame(lsn: &str, hex: &str) -> Vec<u8> {
    let (high, low) = lsn.split_once('/').unwrap();
    let half = |digits| u32::from_str_radix(digits, 16).unwrap().to_be_bytes();
    let mut frame = vec![b'd'];
    frame.extend(u32::try_from(hex.len() / 2 + 29).unwrap().to_be_bytes());
    frame.push(b'w');
    frame.extend([half(high), half(low)].concat());
    frame.extend([0; 16]);
    frame.extend(
        (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()),
    );
    frame
}

impl Pair {
    /// What the catalogs said in the end.
    fn facts(&self) -> Facts {
        let stage = self.catalog["stages"].as_array().unwrap().last().unwrap();
        let list = |name: &str| stage[name].as_array().into_iter().flatten();
        Facts {
            types: list("types").map(type_facts).collect(),
            relations: list("relations").map(relation_facts).collect(),
        }
    }

    fn decoder(&self, options: &[(&str, &str)]) -> Decoder {
        let mut decoder = Decoder::new(Options::parse(options.iter().copied()).unwrap());
        decoder.learn(self.facts());
        decoder
    }
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn oid(value: &Value) -> u32 {
    u32::try_from(value.as_u64().unwrap_or_default()).unwrap()
}

fn typmod(value: &Value) -> i32 {
    i32::try_from(value.as_i64().unwrap_or(-1)).unwrap()
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(string).collect()
}

fn type_facts(facts: &Value) -> TypeFacts {
    TypeFacts {
        oid: oid(&facts["oid"]),
        namespace: string(&facts["schema"]),
        name: string(&facts["typname"]),
        kind: match facts["typtype"].as_str().unwrap() {
            "c" => TypeKind::Composite,
            "d" => TypeKind::Domain,
            "e" => TypeKind::Enumeration,
            "m" => TypeKind::Multirange,
            "p" => TypeKind::Pseudo,
            "r" => TypeKind::Range,
            _ => TypeKind::Base,
        },
        element: match facts["is_array"] {
            Value::Bool(true) => oid(&facts["typelem"]),
            _ => 0,
        },
        delimiter: string(&facts["typdelim"]).chars().next().unwrap(),
        base: oid(&facts["typbasetype"]),
        base_typmod: typmod(&facts["typtypmod"]),
        subtype: oid(&facts["range_subtype"]),
        labels: strings(&facts["enum_labels"]),
        attributes: facts["attributes"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|attribute| Attribute {
                name: string(&attribute["name"]),
                type_oid: oid(&attribute["type_oid"]),
                typmod: typmod(&attribute["typmod"]),
            })
            .collect(),
    }
}

fn relation_facts(facts: &Value) -> RelationFacts {
    let columns = facts["columns"].as_array().into_iter().flatten();
    RelationFacts {
        oid: oid(&facts["oid"]),
        namespace: string(&facts["schema"]),
        name: string(&facts["name"]),
        columns: columns
            .map(|column| ColumnFacts {
                name: string(&column["name"]),
                type_oid: oid(&column["type_oid"]),
                typmod: typmod(&column["typmod"]),
                not_null: column["not_null"] == true,
                default: column["default"].as_str().map(str::to_owned),
            })
            .collect(),
        primary_key: strings(&facts["primary_key"]),
        unique_indexes: Vec::new(),
    }
}

/// Records of one frame.
fn decoded(decoder: &mut Decoder, frame: &[u8]) -> Result<Vec<u8>, DecodeErrorKind> {
    let mut records = Vec::new();
    loop {
        match decoder.decode(frame, 0, &mut records).stop {
            None => return Ok(records),
            Some(Stop::Unknown(_)) => decoder.learn(Facts::default()),
            Some(Stop::Replay(_)) => return Err(DecodeErrorKind::Sequence),
            Some(Stop::Failed(error)) => {
                decoder.skip();
                return Err(error.kind);
            }
        }
    }
}

/// Types whose send format is an OID, and whose text is a name.
fn is_registered(type_oid: u32) -> bool {
    matches!(
        type_oid,
        24 | 2202..=2206 | 3734 | 3769 | 4089 | 4096 | 4191
    )
}

/// The relation a Relation or a change is of, and whether it has a column whose text is a name.
fn registered(frame: &[u8], known: &mut Vec<u32>) -> bool {
    let message = &frame[30..];
    let relation = || u32::from_be_bytes(message[1..5].try_into().unwrap());
    match message[0] {
        b'R' => {
            let names: Vec<usize> = (5..message.len()).filter(|at| message[*at] == 0).collect();
            let mut at = names[1] + 4;
            while at < message.len() {
                at += 1;
                at += message[at..].iter().position(|byte| *byte == 0).unwrap() + 1;
                let type_oid = u32::from_be_bytes(message[at..at + 4].try_into().unwrap());
                if is_registered(type_oid) {
                    known.push(relation());
                }
                at += 8;
            }
            false
        }
        b'I' | b'U' | b'D' => known.contains(&relation()),
        _ => false,
    }
}

const OPTIONS: [&[(&str, &str)]; 3] = [
    &[("format", "native")],
    &[("format", "debezium")],
    &[
        ("format", "debezium"),
        ("include.unknown.datatypes", "true"),
        ("binary.handling.mode", "hex"),
        ("decimal.handling.mode", "string"),
        ("hstore.handling.mode", "map"),
        ("interval.handling.mode", "string"),
        ("time.precision.mode", "isostring"),
    ],
];

#[test]
fn both_forms_give_the_same_records() {
    let pairs = pairs();
    assert!(pairs.len() > 60, "{} pairs", pairs.len());
    for pair in pairs {
        for options in OPTIONS {
            let mut decoders = [pair.decoder(options), pair.decoder(options)];
            let mut known = Vec::new();
            assert_eq!(pair.text.len(), pair.binary.len(), "{}", pair.name);
            for (text, binary) in pair.text.iter().zip(&pair.binary) {
                let registered = registered(binary, &mut known);
                let [of_text, of_binary] = &mut decoders;
                let of_text = decoded(of_text, text);
                let of_binary = decoded(of_binary, binary);
                assert!(of_text.is_ok() || of_binary.is_ok(), "{}", pair.name);
                if !registered && of_text != of_binary {
                    let shown = |records: Result<Vec<u8>, _>| {
                        records.map(|records| String::from_utf8_lossy(&records).into_owned())
                    };
                    assert_eq!(shown(of_text), shown(of_binary), "{}", pair.name);
                }
            }
        }
    }
}

#[test]
fn damaged_values_are_errors_or_other_values() {
    for pair in pairs() {
        let mut decoder = pair.decoder(&[("format", "native")]);
        for frame in &pair.binary {
            if frame[30] == b'I' {
                for at in (35..frame.len()).take(600) {
                    let mut damaged = frame.clone();
                    damaged[at] ^= 1 << (at % 8);
                    // Any kind of error will do; a panic would not.
                    let _kind = decoded(&mut decoder, &damaged);
                    let mut cut = frame[..at].to_vec();
                    cut[1..5].copy_from_slice(&u32::try_from(at - 1).unwrap().to_be_bytes());
                    let kind = decoded(&mut decoder, &cut);
                    assert_eq!(kind, Err(DecodeErrorKind::Truncated), "{}", pair.name);
                }
            }
            decoded(&mut decoder, frame).unwrap();
        }
    }
}
