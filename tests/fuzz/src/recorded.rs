//! Streams recorded of real servers: those of `tests/vectors`.

use std::fs;
use std::path::{Path, PathBuf};

use pgoutput_decoder::{
    Attribute, ColumnFacts, Decoder, Facts, Options, RelationFacts, TypeFacts, TypeKind,
    UniqueIndex,
};
use serde_json::Value;

use crate::wire::FRAME_HEAD_BYTES;

/// One recorded stream.
#[derive(Clone, Debug)]
pub struct Recording {
    /// Of its case and its file.
    pub name: String,
    /// In the order they came.
    pub frames: Vec<Vec<u8>>,
    /// What the catalogs said in the end.
    pub facts: Facts,
}

impl Recording {
    /// All of them whose file has one of these names; all of them if none is named.
    pub fn all(files: &[&str]) -> impl Iterator<Item = Self> {
        let mut paths: Vec<PathBuf> = folders(&vectors())
            .iter()
            .flat_map(|case| folders(case))
            .collect();
        paths.retain(|path| {
            let name = path.file_name().unwrap().to_string_lossy();
            let is_stream = name.starts_with("pgoutput") && name.ends_with(".jsonl");
            is_stream && (files.is_empty() || files.iter().any(|file| *file == name))
        });
        paths.into_iter().map(|path| Self::open(&path))
    }

    /// The recording of the same case with another file's name, if there is one.
    pub fn other(&self, file: &str) -> Option<Self> {
        let (case, _) = self.name.split_once('/').unwrap();
        let path = vectors().join(case).join(file);
        path.exists().then(|| Self::open(&path))
    }

    fn open(path: &Path) -> Self {
        let case = path.parent().unwrap();
        let catalog = fs::read_to_string(case.join("catalog.json")).unwrap();
        let catalog: Value = serde_json::from_str(&catalog).unwrap();
        let stage = catalog["stages"].as_array().unwrap().last().unwrap();
        let list = |name: &str| stage[name].as_array().into_iter().flatten();
        let name = path.strip_prefix(vectors()).unwrap();
        Self {
            name: name.to_string_lossy().into_owned(),
            frames: fs::read_to_string(path)
                .unwrap()
                .lines()
                .map(frame)
                .collect(),
            facts: Facts {
                types: list("types").map(type_facts).collect(),
                relations: list("relations").map(relation_facts).collect(),
            },
        }
    }

    /// The messages in the frames.
    pub fn messages(&self) -> impl Iterator<Item = &[u8]> {
        self.frames.iter().map(|frame| &frame[FRAME_HEAD_BYTES..])
    }

    /// A decoder that knows the facts.
    pub fn decoder(&self, options: &[(&str, &str)]) -> Decoder {
        let mut decoder = Decoder::new(Options::parse(options.iter().copied()).unwrap());
        decoder.learn(self.facts.clone());
        decoder
    }
}

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../vectors")
}

/// What is in a folder, by name.
fn folders(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort_unstable();
    paths
}

fn frame(line: &str) -> Vec<u8> {
    let line: Value = serde_json::from_str(line).unwrap();
    let (lsn, hex) = (line["lsn"].as_str().unwrap(), line["hex"].as_str().unwrap());
    let (high, low) = lsn.split_once('/').unwrap();
    let half = |digits| u64::from_str_radix(digits, 16).unwrap();
    let message: Vec<u8> = (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect();
    crate::wire::frame(half(high) << 32 | half(low), &message)
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

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn strings(value: &Value) -> Vec<String> {
    list(value).map(string).collect()
}

fn type_facts(facts: &Value) -> TypeFacts {
    let attribute = |attribute: &Value| Attribute {
        name: string(&attribute["name"]),
        type_oid: oid(&attribute["type_oid"]),
        typmod: typmod(&attribute["typmod"]),
    };
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
        attributes: list(&facts["attributes"]).map(attribute).collect(),
    }
}

fn relation_facts(facts: &Value) -> RelationFacts {
    let column = |column: &Value| ColumnFacts {
        name: string(&column["name"]),
        type_oid: oid(&column["type_oid"]),
        typmod: typmod(&column["typmod"]),
        not_null: column["not_null"] == true,
        default: column["default"].as_str().map(str::to_owned),
    };
    let index = |index: &Value| UniqueIndex {
        name: string(&index["name"]),
        columns: strings(&index["columns"]),
        expression: index["expression"] == true,
    };
    RelationFacts {
        oid: oid(&facts["oid"]),
        namespace: string(&facts["schema"]),
        name: string(&facts["name"]),
        columns: list(&facts["columns"]).map(column).collect(),
        primary_key: strings(&facts["primary_key"]),
        unique_indexes: list(&facts["unique_indexes"]).map(index).collect(),
    }
}
