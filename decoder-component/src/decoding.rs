//! The interface `decoding`.

use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use pgoutput_decoder as inner;

use crate::exports::{catalog, decoding};

/// The exported resource.
pub(crate) struct Decoder {
    decoder: RefCell<inner::Decoder>,
    /// Bytes the largest call so far returned: what the next call's records start with.
    records_bytes: Cell<usize>,
}

impl decoding::GuestDecoder for Decoder {
    fn open(options: Vec<(String, String)>) -> Result<decoding::Decoder, decoding::OptionError> {
        let pairs = options
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let options = inner::Options::parse(pairs).map_err(|error| decoding::OptionError {
            name: error.name,
            reason: error.reason,
        })?;
        Ok(decoding::Decoder::new(Self {
            decoder: RefCell::new(inner::Decoder::new(options)),
            records_bytes: Cell::new(0),
        }))
    }

    fn ignored_options(&self) -> Vec<String> {
        self.decoder.borrow().ignored_options().to_vec()
    }

    fn learn(&self, facts: catalog::Facts) {
        self.decoder.borrow_mut().learn(inner::Facts {
            types: facts.types.into_iter().map(type_facts).collect(),
            relations: facts.relations.into_iter().map(relation_facts).collect(),
        });
    }

    fn decode(&self, frames: Vec<u8>, now_us: i64) -> decoding::Decoded {
        let mut records = Vec::with_capacity(self.records_bytes.get());
        let decoded = self
            .decoder
            .borrow_mut()
            .decode(&frames, now_us, &mut records);
        self.records_bytes
            .set(self.records_bytes.get().max(records.len()));
        decoding::Decoded {
            records,
            consumed: u32::try_from(decoded.consumed).unwrap_or(u32::MAX),
            stop: decoded.stop.map(stop),
        }
    }

    fn skip(&self) {
        self.decoder.borrow_mut().skip();
    }

    fn save(&self) -> Vec<u8> {
        self.decoder.borrow().save()
    }

    fn restore(&self, saved: Vec<u8>) -> Result<(), decoding::RestoreError> {
        self.decoder
            .borrow_mut()
            .restore(&saved)
            .map_err(|error| match error {
                inner::RestoreError::Version => decoding::RestoreError::Version,
                _ => decoding::RestoreError::Corrupt,
            })
    }
}

fn stop(stop: inner::Stop) -> decoding::Stop {
    match stop {
        inner::Stop::Unknown(question) => decoding::Stop::Unknown(decoding::Question {
            relation: question.relation,
            namespace: question.namespace,
            name: question.name,
            types: question.types,
        }),
        inner::Stop::Replay(xid) => decoding::Stop::Replay(xid),
        inner::Stop::Failed(error) => decoding::Stop::Failed(decoding::DecodeError {
            kind: decode_error_kind(error.kind),
            message_type: error.message_type,
            offset: error.offset,
            lsn: error.lsn.0,
            detail: error.detail,
        }),
    }
}

fn decode_error_kind(kind: inner::DecodeErrorKind) -> decoding::DecodeErrorKind {
    match kind {
        inner::DecodeErrorKind::Frame => decoding::DecodeErrorKind::Frame,
        inner::DecodeErrorKind::Limit => decoding::DecodeErrorKind::Limit,
        inner::DecodeErrorKind::Sequence => decoding::DecodeErrorKind::Sequence,
        inner::DecodeErrorKind::Trailing => decoding::DecodeErrorKind::Trailing,
        inner::DecodeErrorKind::Truncated => decoding::DecodeErrorKind::Truncated,
        inner::DecodeErrorKind::Unsupported => decoding::DecodeErrorKind::Unsupported,
        _ => decoding::DecodeErrorKind::Value,
    }
}

fn type_facts(facts: catalog::TypeFacts) -> inner::TypeFacts {
    inner::TypeFacts {
        oid: facts.oid,
        namespace: facts.namespace,
        name: facts.name,
        kind: match facts.kind {
            catalog::TypeKind::Base => inner::TypeKind::Base,
            catalog::TypeKind::Composite => inner::TypeKind::Composite,
            catalog::TypeKind::Domain => inner::TypeKind::Domain,
            catalog::TypeKind::Enumeration => inner::TypeKind::Enumeration,
            catalog::TypeKind::Multirange => inner::TypeKind::Multirange,
            catalog::TypeKind::Pseudo => inner::TypeKind::Pseudo,
            catalog::TypeKind::Range => inner::TypeKind::Range,
        },
        element: facts.element,
        delimiter: facts.delimiter,
        base: facts.base,
        base_typmod: facts.base_typmod,
        subtype: facts.subtype,
        labels: facts.labels,
        attributes: facts
            .attributes
            .into_iter()
            .map(|attribute| inner::Attribute {
                name: attribute.name,
                type_oid: attribute.type_,
                typmod: attribute.typmod,
            })
            .collect(),
    }
}

fn relation_facts(facts: catalog::RelationFacts) -> inner::RelationFacts {
    inner::RelationFacts {
        oid: facts.oid,
        namespace: facts.namespace,
        name: facts.name,
        columns: facts
            .columns
            .into_iter()
            .map(|column| inner::ColumnFacts {
                name: column.name,
                type_oid: column.type_,
                typmod: column.typmod,
                not_null: column.not_null,
                default: column.default,
            })
            .collect(),
        primary_key: facts.primary_key,
        unique_indexes: facts
            .unique_indexes
            .into_iter()
            .map(|index| inner::UniqueIndex {
                name: index.name,
                columns: index.columns,
                expression: index.expression,
            })
            .collect(),
    }
}
