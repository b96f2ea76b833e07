//! Recordings: a replication stream in a file, as `docs/recordings.md` has it. Frames as the
//! server sent them, and what its catalogs said when the decoder asked.

mod block;
mod facts;
mod reader;
mod recorder;
mod replay;
mod writer;

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use self::block::{Block, Content};
pub use self::reader::Reader;
pub use self::recorder::{Recorder, Sink};
pub use self::replay::{Place, Recording, Replay, ReplayError};
pub use self::writer::Writer;

/// The beginning of a stream: where it comes from, and what its decoder was told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Head {
    /// Who wrote it: a name and a version.
    pub recorder: String,
    /// SHA-256 of the decoder that asked the questions, in hexadecimal.
    pub decoder: String,
    /// The decoder's options.
    pub options: serde_json::Map<String, serde_json::Value>,
    /// Whether values are not the rows' own.
    pub redacted: bool,
    /// The server's version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// The database's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// The slot's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slot: Option<String>,
    /// Names of publications.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub publications: Vec<String>,
}

/// A recording that cannot be read, or not to its end: what came before is sound.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordingError {
    /// A block that is not whole, or not as it was written.
    #[error("{}, block {number} at byte {offset}: {problem}", path.display())]
    Block {
        /// The recording.
        path: PathBuf,
        /// Counted from 1.
        number: u64,
        /// Where the block begins in the file.
        offset: u64,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// No recording: it does not begin as one.
    #[error("{}: not a recording", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// All of its blocks are sound, and more may have followed.
    #[error(
        "{}: ends behind block {number} without its end: it was cut there, or its recorder was \
         killed",
        path.display()
    )]
    Unended {
        /// The recording.
        path: PathBuf,
        /// The last block, counted from 1.
        number: u64,
    },
    /// It cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Of a later version of the format.
    #[error(
        "{}: format {found} of recordings, and this is a reader of format {VERSION}: take a later \
         pgoutput-decoder",
        path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u16,
    },
}

impl RecordingError {
    /// Whether all that is there is sound.
    pub(crate) fn is_end(&self) -> bool {
        matches!(self, Self::Unended { .. })
    }
}

impl Head {
    /// Of a stream recorded by this library, decoded by the component that is embedded in it.
    pub fn new(options: &[(String, String)]) -> Self {
        let options = options.iter().cloned();
        Self {
            recorder: concat!("pgoutput-decoder ", env!("CARGO_PKG_VERSION")).to_owned(),
            decoder: crate::plugin::sha256(crate::COMPONENT),
            options: options
                .map(|(name, value)| (name, serde_json::Value::String(value)))
                .collect(),
            ..Self::default()
        }
    }

    /// The decoder's options; a number or a truth value as its text.
    pub fn options(&self) -> Vec<(String, String)> {
        let text = |value: &serde_json::Value| match value {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let options = self.options.iter();
        options
            .map(|(name, value)| (name.clone(), text(value)))
            .collect()
    }
}

/// The format's version.
const VERSION: u16 = 1;

/// What a file begins with, before the version.
const MAGIC: [u8; 8] = *b"PGREC\x1A\r\n";
