//! PostgreSQL's pgoutput stream decoded into Debezium change events: a function of bytes.
//!
//! [`Decoder::decode`] takes whole `XLogData` frames and appends packed records, as
//! `wit/decoding.wit` lays both out. It has no socket, no clock and no global state: the compiler
//! keeps it so (`no_std`), and the component around it imports nothing.
//!
//! The decoder asks and the caller answers: where a frame names a relation, [`Decoded::stop`] is
//! [`Stop::Unknown`] and the catalog's facts are given by [`Decoder::learn`].
//!
//! [`inspection`] says what a stream is made of instead, and takes the values out of it.
#![no_std]
#![deny(unsafe_code)]

extern crate alloc;

mod change;
mod decoder;
mod envelope;
mod error;
mod facts;
mod frame;
mod hash;
pub mod inspection;
mod json;
mod lanes;
pub mod limits;
mod logical;
mod lsn;
mod mapping;
mod message;
mod names;
mod options;
mod patterns;
mod reader;
mod record;
mod regex;
mod relation;
mod room;
mod schema;
mod selection;
mod streaming;
mod transaction;
mod unwrap;
mod value;

pub use decoder::{Decoded, Decoder, Question, Stop};
pub use error::{DecodeError, DecodeErrorKind, OptionError, RestoreError};
pub use facts::{Attribute, ColumnFacts, Facts, RelationFacts, TypeFacts, TypeKind, UniqueIndex};
pub use lsn::{Lsn, LsnParseError};
pub use options::Options;
