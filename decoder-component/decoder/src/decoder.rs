//! The decoder: frames in, records out. (Being written.)

use alloc::vec::Vec;

use crate::error::{DecodeError, RestoreError};
use crate::facts::Facts;
use crate::options::Options;

/// One per replication stream.
#[derive(Debug)]
pub struct Decoder {
    options: Options,
}

/// What a call to [`Decoder::decode`] came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Bytes of the frames used up: whole frames only.
    pub consumed: usize,
    /// Why the decoder stopped before a frame; that frame left no trace.
    pub stop: Option<Stop>,
}

/// Why the decoder stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The frame names a relation whose facts are wanted: answer with [`Decoder::learn`].
    Unknown(Question),
    /// The frame cannot be decoded. The decoder repeats this until told to [`Decoder::skip`].
    Failed(DecodeError),
}

/// What the catalogs are asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Question {
    /// `pg_class.oid`.
    pub relation: u32,
    /// Its columns' types, where they are not built in and not known.
    pub types: Vec<u32>,
}

impl Decoder {
    /// A decoder at the beginning of a stream.
    pub fn new(options: Options) -> Self {
        Self { options }
    }

    /// Takes facts from the catalogs.
    pub fn learn(&mut self, _facts: Facts) {}

    /// Decodes whole frames and appends records.
    pub fn decode(&mut self, frames: &[u8], _now_us: i64, _records: &mut Vec<u8>) -> Decoded {
        let _ = &self.options;
        Decoded { consumed: frames.len(), stop: None }
    }

    /// Gives up the frame of the last [`Stop::Failed`].
    pub fn skip(&mut self) {}

    /// What a successor needs to go on where this one stands, between transactions.
    pub fn save(&self) -> Vec<u8> {
        Vec::new()
    }

    /// The inverse of [`Decoder::save`], on a new decoder with the same options.
    pub fn restore(&mut self, _saved: &[u8]) -> Result<(), RestoreError> {
        Ok(())
    }

    /// Options that were given, are Debezium's, and have no meaning to a decoder.
    pub fn ignored_options(&self) -> &[alloc::string::String] {
        self.options.ignored()
    }
}
