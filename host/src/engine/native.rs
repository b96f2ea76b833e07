//! The decoder linked in, without the sandbox: for comparison and for tests.

use pgoutput_decoder as inner;

use super::{
    DecodeError, DecodeErrorKind, Decoded, EngineError, Facts, OptionError, Question,
    RelationFacts, RestoreError, Stop, TypeFacts, TypeKind,
};

pub(super) struct Native {
    decoder: inner::Decoder,
    /// Bytes the largest call so far returned: what the next call's records start with.
    records_bytes: usize,
}

impl Native {
    pub(super) fn open(options: &[(String, String)]) -> Result<Self, EngineError> {
        let pairs = options
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let options = inner::Options::parse(pairs).map_err(|error| {
            EngineError::Option(OptionError {
                name: error.name,
                reason: error.reason,
            })
        })?;
        Ok(Self {
            decoder: inner::Decoder::new(options),
            records_bytes: 0,
        })
    }

    pub(super) fn learn(&mut self, facts: &Facts) {
        self.decoder.learn(inner::Facts {
            types: facts.types.iter().map(type_facts).collect(),
            relations: facts.relations.iter().map(relation_facts).collect(),
        });
    }

    pub(super) fn decode(&mut self, frames: &[u8], now_us: i64) -> Decoded {
        let mut records = Vec::with_capacity(self.records_bytes);
        let decoded = self.decoder.decode(frames, now_us, &mut records);
        self.records_bytes = self.records_bytes.max(records.len());
        Decoded {
            records,
            consumed: decoded.consumed,
            stop: decoded.stop.map(stop),
        }
    }

    pub(super) fn skip(&mut self) {
        self.decoder.skip();
    }

    pub(super) fn restore(&mut self, saved: &[u8]) -> Result<(), EngineError> {
        self.decoder.restore(saved).map_err(|error| {
            EngineError::Restore(match error {
                inner::RestoreError::Version => RestoreError::Version,
                _ => RestoreError::Corrupt,
            })
        })
    }

    pub(super) fn save(&self) -> Vec<u8> {
        self.decoder.save()
    }

    pub(super) fn ignored_options(&self) -> Vec<String> {
        self.decoder.ignored_options().to_vec()
    }
}

fn stop(stop: inner::Stop) -> Stop {
    match stop {
        inner::Stop::Unknown(question) => Stop::Unknown(Question {
            relation: question.relation,
            types: question.types,
        }),
        inner::Stop::Failed(error) => Stop::Failed(DecodeError {
            kind: match error.kind {
                inner::DecodeErrorKind::Frame => DecodeErrorKind::Frame,
                inner::DecodeErrorKind::Limit => DecodeErrorKind::Limit,
                inner::DecodeErrorKind::Sequence => DecodeErrorKind::Sequence,
                inner::DecodeErrorKind::Trailing => DecodeErrorKind::Trailing,
                inner::DecodeErrorKind::Truncated => DecodeErrorKind::Truncated,
                inner::DecodeErrorKind::Unsupported => DecodeErrorKind::Unsupported,
                _ => DecodeErrorKind::Value,
            },
            message_type: error.message_type,
            offset: error.offset,
            lsn: error.lsn.0,
            detail: error.detail,
        }),
    }
}

fn type_facts(facts: &TypeFacts) -> inner::TypeFacts {
    inner::TypeFacts {
        oid: facts.oid,
        namespace: facts.namespace.clone(),
        name: facts.name.clone(),
        kind: match facts.kind {
            TypeKind::Base => inner::TypeKind::Base,
            TypeKind::Composite => inner::TypeKind::Composite,
            TypeKind::Domain => inner::TypeKind::Domain,
            TypeKind::Enumeration => inner::TypeKind::Enumeration,
            TypeKind::Multirange => inner::TypeKind::Multirange,
            TypeKind::Pseudo => inner::TypeKind::Pseudo,
            TypeKind::Range => inner::TypeKind::Range,
        },
        element: facts.element,
        delimiter: facts.delimiter,
        base: facts.base,
        base_typmod: facts.base_typmod,
        not_null: facts.not_null,
        subtype: facts.subtype,
        labels: facts.labels.clone(),
        attributes: facts
            .attributes
            .iter()
            .map(|attribute| inner::Attribute {
                name: attribute.name.clone(),
                type_oid: attribute.type_,
                typmod: attribute.typmod,
            })
            .collect(),
    }
}

fn relation_facts(facts: &RelationFacts) -> inner::RelationFacts {
    inner::RelationFacts {
        oid: facts.oid,
        namespace: facts.namespace.clone(),
        name: facts.name.clone(),
        columns: facts
            .columns
            .iter()
            .map(|column| inner::ColumnFacts {
                name: column.name.clone(),
                type_oid: column.type_,
                typmod: column.typmod,
                not_null: column.not_null,
                default: column.default.clone(),
            })
            .collect(),
        primary_key: facts.primary_key.clone(),
        unique_indexes: facts
            .unique_indexes
            .iter()
            .map(|index| inner::UniqueIndex {
                name: index.name.clone(),
                columns: index.columns.clone(),
                expression: index.expression,
            })
            .collect(),
    }
}
