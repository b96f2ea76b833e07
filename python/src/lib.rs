//! `pgoutput_decoder._native`: the host library as Python sees it.
//!
//! Conversion and scheduling only: what an event says is decided in the decoder, when and what is
//! received or confirmed in the host.

mod arguments;
mod arrow;
mod awaitable;
mod decoder;
mod error;
mod message;
mod number;
mod password;
mod pretty;
mod raw;
mod reader;
mod recording;
mod runtime;
mod session;
mod status;
mod supply;
mod value;

use pyo3::prelude::pymodule;

/// The extension module; its names are for import from `pgoutput_decoder`.
#[pymodule(gil_used = false)]
mod _native {
    #[pymodule_export]
    use crate::arrow::arrow_batches;
    #[pymodule_export]
    use crate::decoder::Decoder;
    #[pymodule_export]
    use crate::message::{ReplicationMessage, message_to_debezium_json};
    #[pymodule_export]
    use crate::reader::{Iteration, LogicalReplicationReader};
}
