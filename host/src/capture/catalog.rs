//! `catalog.json`: what the server's catalogs held, stage by stage, as engine facts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;

use super::{CaptureError, read};
use crate::engine::{Facts, Question, RelationFacts, TypeFacts};
use crate::facts::{self, RelationText, TypeText};
use crate::lsn::Lsn;

/// The stages of a `catalog.json`: `{"stages": [{"lsn", "types", "relations"}, …]}`, each holding
/// what `pg_type`, `pg_class`, `pg_attribute`, `pg_attrdef` and `pg_index` held at its LSN.
pub struct Catalog {
    /// By LSN; never empty.
    stages: Vec<Stage>,
}

/// Which stage answers the decoder's questions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CatalogAt {
    /// The last one: for a reader that came when everything had happened.
    End,
    /// The first one taken after the change: what a reader that keeps up with the stream finds,
    /// since it asks when the change has reached it. The last one for changes behind all of them.
    #[default]
    Stream,
}

struct Stage {
    lsn: Lsn,
    types: BTreeMap<u32, TypeFacts>,
    relations: BTreeMap<u32, RelationFacts>,
}

impl Catalog {
    /// Reads the whole file.
    pub fn open(path: &Path) -> Result<Self, CaptureError> {
        Self::parse(path, &read(path)?)
    }

    /// Parses `text`; `path` is named in errors.
    pub fn parse(path: &Path, text: &str) -> Result<Self, CaptureError> {
        let catalog: CatalogText =
            serde_json::from_str(text).map_err(|source| CaptureError::Catalog {
                path: path.to_owned(),
                source,
            })?;
        Self::of(path, catalog.stages)
    }

    /// The stages that a capture has in lines of its own, as one of parked changes does.
    pub fn of_capture(path: &Path) -> Result<Self, CaptureError> {
        let mut stages = Vec::new();
        for line in read(path)?.lines().filter(|line| is_stage(line)) {
            stages.push(
                serde_json::from_str(line).map_err(|source| CaptureError::Catalog {
                    path: path.to_owned(),
                    source,
                })?,
            );
        }
        Self::of(path, stages)
    }

    fn of(path: &Path, stages: Vec<StageText>) -> Result<Self, CaptureError> {
        let mut stages: Vec<_> = stages.into_iter().map(Stage::from).collect();
        if stages.is_empty() {
            return Err(CaptureError::Stages {
                path: path.to_owned(),
            });
        }
        stages.sort_by_key(|stage| stage.lsn);
        Ok(Self { stages })
    }

    /// Answers `question` for a message at `lsn`: the relation, the one that has its name where
    /// that is another, their columns' types and all they are made of. What the stage does not
    /// have is left out, which the decoder takes as gone.
    pub fn answer(&self, question: &Question, lsn: Lsn, at: CatalogAt) -> Facts {
        let after = match at {
            CatalogAt::End => None,
            CatalogAt::Stream => self.stages.iter().find(|stage| stage.lsn > lsn),
        };
        let Some(stage) = after.or(self.stages.last()) else {
            return Facts {
                types: Vec::new(),
                relations: Vec::new(),
            };
        };
        let own = stage.relations.get(&question.relation);
        let named = |facts: &&RelationFacts| {
            facts.namespace == question.namespace && facts.name == question.name
        };
        let other = match own {
            Some(own) if named(&own) => None,
            _ => stage.relations.values().find(named),
        };
        let relations: Vec<_> = own.into_iter().chain(other).cloned().collect();
        let columns = relations.iter().flat_map(|relation| &relation.columns);
        let wanted = question
            .types
            .iter()
            .copied()
            .chain(columns.map(|column| column.type_));
        Facts {
            types: stage.closure(wanted),
            relations,
        }
    }
}

impl Stage {
    /// The types named and those they are made of, each once.
    fn closure(&self, wanted: impl Iterator<Item = u32>) -> Vec<TypeFacts> {
        let mut wanted: Vec<u32> = wanted.collect();
        let mut found = BTreeSet::new();
        let mut types = Vec::new();
        while let Some(oid) = wanted.pop() {
            let Some(facts) = self.types.get(&oid) else {
                continue;
            };
            if found.insert(oid) {
                wanted.extend([facts.element, facts.base, facts.subtype]);
                wanted.extend(facts.attributes.iter().map(|attribute| attribute.type_));
                types.push(facts.clone());
            }
        }
        types
    }
}

/// Whether a line of a capture is a stage and no message. Within a string the quotes would be
/// escaped.
pub(super) fn is_stage(line: &str) -> bool {
    line.contains("\"relations\":")
}

#[derive(Deserialize)]
struct CatalogText {
    stages: Vec<StageText>,
}

#[derive(Deserialize)]
struct StageText {
    #[serde(deserialize_with = "lsn")]
    lsn: Lsn,
    types: Vec<TypeText>,
    relations: Vec<RelationText>,
}

impl From<StageText> for Stage {
    fn from(text: StageText) -> Self {
        let facts = facts::of(text.types, text.relations);
        let types = facts.types.into_iter().map(|facts| (facts.oid, facts));
        let relations = facts.relations.into_iter().map(|facts| (facts.oid, facts));
        Self {
            lsn: text.lsn,
            types: types.collect(),
            relations: relations.collect(),
        }
    }
}

fn lsn<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Lsn, D::Error> {
    let text = std::borrow::Cow::<'_, str>::deserialize(deserializer)?;
    text.parse()
        .map_err(|_| serde::de::Error::custom("an LSN such as 0/28E1250 was expected"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(lsn: &str, types: &str, relations: &str) -> String {
        format!(r#"{{"lsn":"{lsn}","types":[{types}],"relations":[{relations}]}}"#)
    }

    fn type_(oid: u32, rest: &str) -> String {
        let defaults = format!(
            r#"{{"oid":{oid},"schema":"s","typname":"t{oid}","typtype":"b","typelem":0,
                "typdelim":",","typbasetype":0,"typtypmod":-1,"is_array":false,
                "range_subtype":null,"enum_labels":null,"attributes":null}}"#
        );
        let mut object: serde_json::Value = serde_json::from_str(&defaults).unwrap();
        let rest: serde_json::Value = serde_json::from_str(rest).unwrap();
        for (name, value) in rest.as_object().unwrap() {
            object[name] = value.clone();
        }
        object.to_string()
    }

    fn relation(type_oid: u32) -> String {
        format!(
            r#"{{"oid":7,"schema":"s","name":"r","primary_key":["a"],"unique_indexes":null,
                "columns":[{{"name":"a","type_oid":{type_oid},"typmod":-1,"not_null":true,
                "default":"1","generated":"s"}}]}}"#
        )
    }

    fn catalog(stages: &[String]) -> Catalog {
        let text = format!("{{\"stages\":[{}]}}", stages.join(","));
        Catalog::parse(Path::new("catalog.json"), &text).unwrap_or_else(|e| panic!("{e}"))
    }

    fn oids(facts: &Facts) -> Vec<u32> {
        let mut oids: Vec<_> = facts.types.iter().map(|facts| facts.oid).collect();
        oids.sort_unstable();
        oids
    }

    #[test]
    fn answers_with_all_a_type_is_made_of() {
        let types = [
            type_(20, r#"{"is_array":true,"typelem":21}"#),
            type_(21, r#"{"typtype":"d","typbasetype":22}"#),
            type_(
                22,
                r#"{"typtype":"c","attributes":[{"name":"x","type_oid":23,"typmod":-1}]}"#,
            ),
            type_(23, r#"{"typtype":"r","range_subtype":24}"#),
            type_(24, r#"{"typtype":"e","enum_labels":["a","b"]}"#),
            type_(25, r#"{"typelem":24}"#),
            type_(26, "{}"),
        ];
        let catalog = catalog(&[stage("0/1", &types.join(","), &relation(25))]);
        let question = Question {
            relation: 7,
            namespace: "s".to_owned(),
            name: "r".to_owned(),
            types: vec![20, 99],
        };
        let facts = catalog.answer(&question, Lsn(5), CatalogAt::Stream);
        assert_eq!(oids(&facts), [20, 21, 22, 23, 24, 25]);
        assert_eq!(facts.relations.len(), 1);
        assert_eq!(
            facts.relations[0].columns[0].default.as_deref(),
            Some("1"),
            "Debezium takes what a column is generated by for its default"
        );
        let unknown = Question {
            relation: 8,
            namespace: "s".to_owned(),
            name: "q".to_owned(),
            types: vec![],
        };
        assert!(
            catalog
                .answer(&unknown, Lsn(5), CatalogAt::Stream)
                .relations
                .is_empty()
        );
        let renamed = Question {
            name: "r".to_owned(),
            ..unknown
        };
        let facts = catalog.answer(&renamed, Lsn(5), CatalogAt::Stream);
        assert_eq!(facts.relations[0].oid, 7, "it has the name now");
    }

    #[test]
    fn a_column_is_not_null_where_its_domain_is() {
        let nullable = relation(20).replace("\"not_null\":true", "\"not_null\":false");
        for (typnotnull, expected) in [("true", true), ("false", false)] {
            let domain = format!(r#"{{"typtype":"d","typnotnull":{typnotnull}}}"#);
            let catalog = catalog(&[stage("0/1", &type_(20, &domain), &nullable)]);
            let question = Question {
                relation: 7,
                namespace: "s".to_owned(),
                name: "r".to_owned(),
                types: vec![],
            };
            let facts = catalog.answer(&question, Lsn(5), CatalogAt::Stream);
            assert_eq!(facts.relations[0].columns[0].not_null, expected);
        }
    }

    #[test]
    fn the_stage_is_that_of_a_reader_who_has_just_got_the_message() {
        let at = |oid, lsn| stage(lsn, &type_(oid, "{}"), &relation(oid));
        let catalog = catalog(&[at(1, "0/10"), at(2, "0/20"), at(3, "0/30")]);
        let question = Question {
            relation: 7,
            namespace: "s".to_owned(),
            name: "r".to_owned(),
            types: vec![],
        };
        let seen = |lsn, at| oids(&catalog.answer(&question, Lsn(lsn), at))[0];
        let stream: Vec<_> = [0, 0x10, 0x11, 0x20, 0x2F, 0x31]
            .into_iter()
            .map(|lsn| seen(lsn, CatalogAt::Stream))
            .collect();
        assert_eq!(stream, [1, 2, 2, 3, 3, 3]);
        assert_eq!(seen(0x10, CatalogAt::End), 3);
    }

    #[test]
    fn refuses_what_is_no_catalog() {
        let parse = |text| {
            Catalog::parse(Path::new("catalog.json"), text)
                .err()
                .unwrap()
        };
        let error = parse("{\"stages\":[]}");
        assert_eq!(
            error.to_string(),
            "catalog.json: a catalog with at least one stage was expected"
        );
        let error = parse("{\"stages\":[{\"lsn\":\"x\"}]}");
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(
            source.starts_with("an LSN such as 0/28E1250 was expected"),
            "{source}"
        );
        let error = parse("{\"stages\":[{\"lsn\":\"0/1\",\"types\":[]}]}");
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.starts_with("missing field `relations`"), "{source}");
    }
}
