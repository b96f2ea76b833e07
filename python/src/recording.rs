//! A recorded stream in a server's place.

use pgoutput_decoder_host::Plugin;
use pgoutput_decoder_host::engine::EngineKind;
use pgoutput_decoder_host::recording::{self, RecordingError, Replay};

/// What a recording is replayed with.
pub(crate) struct Recording {
    pub(crate) file: recording::Recording,
    /// Instead of those that were recorded.
    pub(crate) options: Vec<(String, String)>,
    pub(crate) plugins: Vec<Plugin>,
    /// The format of its events, not Debezium's.
    pub(crate) native: bool,
}

impl Recording {
    pub(crate) fn replay(&self) -> Result<Replay<'_>, RecordingError> {
        self.file.replay(EngineKind::Component, &self.options)
    }
}
