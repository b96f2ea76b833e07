//! The decoder behind one interface, sandboxed or linked in.

use std::fmt;
use std::path::PathBuf;

use crate::lsn::Lsn;
pub use crate::sandbox::DecoderFile;
use crate::sandbox::Sandbox;
pub use crate::sandbox::bindings::exports::pgoutput::decoder::catalog::{
    Attribute, ColumnFacts, Facts, RelationFacts, TypeFacts, TypeKind, UniqueIndex,
};
pub use crate::sandbox::bindings::exports::pgoutput::decoder::decoding::{
    DecodeError, DecodeErrorKind, OptionError, Question, RestoreError, Stop,
};

#[cfg(feature = "native")]
mod native;

/// Where the decoder runs. Both give the same records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EngineKind {
    /// In a sandbox, as a WebAssembly component.
    #[default]
    Component,
    /// In this process, without a sandbox: no limits hold.
    #[cfg(feature = "native")]
    Native,
}

/// What a sandboxed decoder may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Linear memory, in bytes. The frames of a call, their records and the relation cache.
    pub memory_max_bytes: usize,
    /// Time a call may take, in milliseconds; exact to 10 ms.
    pub deadline_ms: u64,
}

impl Default for Limits {
    /// 2 GiB, which is only reserved, and 10 s: a decoder needs microseconds for a usual frame.
    fn default() -> Self {
        Self {
            memory_max_bytes: 2 << 30,
            deadline_ms: 10_000,
        }
    }
}

/// One decoder: one per replication stream.
pub struct Engine(Inner);

enum Inner {
    Component(Sandbox),
    #[cfg(feature = "native")]
    Native(Box<native::Native>),
}

/// What a call to [`Engine::decode`] came to.
#[derive(Clone, PartialEq)]
pub struct Decoded {
    /// Packed records, as `wit/decoding.wit` lays them out; `TopicTable` reads them.
    pub records: Vec<u8>,
    /// Bytes of the frames used up: whole frames only.
    pub consumed: usize,
    /// Why the decoder stopped before a frame; that frame left no trace.
    pub stop: Option<Stop>,
}

/// Why a decoder cannot be made or cannot go on.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// A call took too long. A new decoder is needed.
    #[error("the decoder ran into its deadline of {limit_ms} ms a call")]
    Deadline {
        /// [`Limits::deadline_ms`].
        limit_ms: u64,
    },
    /// Another decoder cannot be had.
    #[error("{}: {reason}", path.display())]
    File {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The decoder wanted more memory than it may have. A new decoder is needed.
    #[error("the decoder ran into its memory limit of {limit_bytes} bytes")]
    Memory {
        /// [`Limits::memory_max_bytes`].
        limit_bytes: usize,
    },
    /// An option is unknown or has a value it cannot have.
    #[error("option {}: {}", .0.name, .0.reason)]
    Option(OptionError),
    /// Saved state cannot be restored.
    #[error("{}", restore_error(*.0))]
    Restore(RestoreError),
    /// The sandbox itself cannot be set up on this machine.
    #[error("the sandbox cannot be set up: {reason}")]
    Sandbox {
        /// What failed.
        reason: String,
    },
    /// The component trapped, which is a bug in it. A new decoder is needed.
    #[error("the decoder trapped: {reason}")]
    Trap {
        /// The trap, in wasmtime's words.
        reason: String,
    },
}

impl Engine {
    /// A decoder at the beginning of a stream, within the default limits.
    ///
    /// `options` are named as in Debezium, besides `format`, `debezium` or `native`.
    pub fn open(kind: EngineKind, options: &[(String, String)]) -> Result<Self, EngineError> {
        Self::open_within(Limits::default(), kind, options)
    }

    /// A decoder at the beginning of a stream, within limits of one's own.
    pub fn open_within(
        limits: Limits,
        kind: EngineKind,
        options: &[(String, String)],
    ) -> Result<Self, EngineError> {
        Ok(Self(match kind {
            EngineKind::Component => Inner::Component(Sandbox::open(options, limits)?),
            #[cfg(feature = "native")]
            EngineKind::Native => Inner::Native(Box::new(native::Native::open(options)?)),
        }))
    }

    pub(crate) fn of(sandbox: Sandbox) -> Self {
        Self(Inner::Component(sandbox))
    }

    /// Takes facts from the server's catalogs.
    pub fn learn(&mut self, facts: &Facts) -> Result<(), EngineError> {
        match &mut self.0 {
            Inner::Component(sandbox) => {
                sandbox.call(|guest, store, decoder| guest.call_learn(store, decoder, facts))
            }
            #[cfg(feature = "native")]
            Inner::Native(native) => {
                native.learn(facts);
                Ok(())
            }
        }
    }

    /// Decodes whole `XLogData` frames. `now_us` is the time given to the events, µs since
    /// 1970-01-01.
    pub fn decode(&mut self, frames: &[u8], now_us: i64) -> Result<Decoded, EngineError> {
        match &mut self.0 {
            Inner::Component(sandbox) => {
                let decoded = sandbox.call(|guest, store, decoder| {
                    guest.call_decode(store, decoder, frames, now_us)
                })?;
                Ok(Decoded {
                    records: decoded.records,
                    consumed: usize::try_from(decoded.consumed).unwrap_or(usize::MAX),
                    stop: decoded.stop,
                })
            }
            #[cfg(feature = "native")]
            Inner::Native(native) => Ok(native.decode(frames, now_us)),
        }
    }

    /// Gives up the frame of the last [`Stop::Failed`]: what follows it can be decoded again.
    pub fn skip(&mut self) -> Result<(), EngineError> {
        match &mut self.0 {
            Inner::Component(sandbox) => {
                sandbox.call(|guest, store, decoder| guest.call_skip(store, decoder))
            }
            #[cfg(feature = "native")]
            Inner::Native(native) => {
                native.skip();
                Ok(())
            }
        }
    }

    /// What a successor needs to go on where this one stands, between transactions.
    pub fn save(&mut self) -> Result<Vec<u8>, EngineError> {
        match &mut self.0 {
            Inner::Component(sandbox) => {
                sandbox.call(|guest, store, decoder| guest.call_save(store, decoder))
            }
            #[cfg(feature = "native")]
            Inner::Native(native) => Ok(native.save()),
        }
    }

    /// The inverse of [`Engine::save`], on a new decoder with the same options.
    pub fn restore(&mut self, saved: &[u8]) -> Result<(), EngineError> {
        match &mut self.0 {
            Inner::Component(sandbox) => sandbox
                .call(|guest, store, decoder| guest.call_restore(store, decoder, saved))?
                .map_err(EngineError::Restore),
            #[cfg(feature = "native")]
            Inner::Native(native) => native.restore(saved),
        }
    }

    /// Options that were given, are Debezium's, and have no meaning to a decoder.
    pub fn ignored_options(&mut self) -> Result<Vec<String>, EngineError> {
        match &mut self.0 {
            Inner::Component(sandbox) => {
                sandbox.call(|guest, store, decoder| guest.call_ignored_options(store, decoder))
            }
            #[cfg(feature = "native")]
            Inner::Native(native) => Ok(native.ignored_options()),
        }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Inner::Component(_) => "Engine(Component)",
            #[cfg(feature = "native")]
            Inner::Native(_) => "Engine(Native)",
        })
    }
}

impl fmt::Debug for Decoded {
    /// Leaves the records out: they hold the rows' values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoded")
            .field("records_bytes", &self.records.len())
            .field("consumed", &self.consumed)
            .field("stop", &self.stop)
            .finish()
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            DecodeErrorKind::Frame => "not an XLogData frame",
            DecodeErrorKind::Limit => "limit exceeded",
            DecodeErrorKind::Sequence => "message out of sequence",
            DecodeErrorKind::Trailing => "trailing bytes",
            DecodeErrorKind::Truncated => "truncated message",
            DecodeErrorKind::Unsupported => "unsupported message",
            DecodeErrorKind::Value => "invalid value",
        };
        write!(f, "{what} at LSN {}", Lsn(self.lsn))?;
        if let Some(byte) = self.message_type {
            write!(f, ", message '{}'", byte.escape_ascii())?;
        }
        write!(f, ", byte {}: {}", self.offset, self.detail)
    }
}

impl std::error::Error for DecodeError {}

fn restore_error(error: RestoreError) -> &'static str {
    match error {
        RestoreError::Corrupt => "not a saved decoder",
        RestoreError::Version => "saved by a decoder of another version",
    }
}
