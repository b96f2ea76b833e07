//! What a stream goes through into a recording: shared by the stream, which tells it what comes,
//! and by who acknowledges, which must not happen before it is on the disk.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Head, RecordingError, Writer};
use crate::engine::Facts;
use crate::inspection::Inspector;

/// What a recording is written to.
pub trait Sink: Write + Send {
    /// Has what was written kept, whatever happens.
    ///
    /// # Errors
    /// It cannot be kept.
    fn sync(&mut self) -> io::Result<()>;
}

impl Sink for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

/// Records a stream: see [`Config::recorder`](crate::Config::recorder). Cheap to clone.
#[derive(Clone)]
pub struct Recorder {
    /// What it is called in errors.
    path: PathBuf,
    cut_bytes: u64,
    state: Arc<Mutex<State>>,
}

struct State {
    /// None once it has ended, or failed.
    writer: Option<Writer<Box<dyn Sink>>>,
    failed: Option<(io::ErrorKind, String)>,
    redacts: bool,
    /// Of the stream that is recorded, where values are redacted.
    inspector: Option<Inspector>,
    /// When the last thing came.
    received_us: i64,
}

impl Recorder {
    /// Records to a file, or on where one ends. What a recorder that was killed left of a block is
    /// cut off. A new file has mode 0600.
    ///
    /// # Errors
    /// A file that cannot be written, or that is there and no recording.
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        let (writer, cut_bytes) = Writer::open(path)?;
        Ok(Self::of(path, cut_bytes, writer.boxed()))
    }

    /// Records to something else, which has this name in errors.
    ///
    /// # Errors
    /// Those of `sink`.
    pub fn to(name: &str, sink: impl Sink + 'static) -> io::Result<Self> {
        let sink: Box<dyn Sink> = Box::new(sink);
        Ok(Self::of(Path::new(name), 0, Writer::new(sink)?))
    }

    fn of(path: &Path, cut_bytes: u64, writer: Writer<Box<dyn Sink>>) -> Self {
        Self {
            path: path.to_owned(),
            cut_bytes,
            state: Arc::new(Mutex::new(State {
                writer: Some(writer),
                failed: None,
                redacts: false,
                inspector: None,
                received_us: 0,
            })),
        }
    }

    /// Replaces the rows' values, keeping their kinds and lengths: see `redact` in
    /// `wit/inspection.wit`.
    #[must_use]
    pub fn redacting(self, redacts: bool) -> Self {
        self.state().redacts = redacts;
        self
    }

    /// Bytes of a block that was not whole, and was cut off.
    pub fn cut_bytes(&self) -> u64 {
        self.cut_bytes
    }

    /// Has everything kept that came so far: what is in it may be acknowledged.
    ///
    /// # Errors
    /// Why something could not be written; the recording ends before it.
    pub fn sync(&self) -> Result<(), RecordingError> {
        let mut state = self.state();
        state.write(|writer| {
            writer.flush()?;
            writer.get_mut().sync()
        });
        self.outcome(&state)
    }

    /// Ends the recording; what comes later is not recorded.
    ///
    /// # Errors
    /// As [`Recorder::sync`].
    pub fn end(&self) -> Result<(), RecordingError> {
        let mut state = self.state();
        let received_us = state.received_us;
        if let Some(writer) = state.writer.take() {
            let ended = writer.end(received_us).and_then(|mut sink| sink.sync());
            state.failed = ended.err().map(|error| (error.kind(), error.to_string()));
        }
        self.outcome(&state)
    }

    pub(crate) fn head(&self, head: &Head, received_us: i64) {
        let mut state = self.state();
        let mut head = head.clone();
        if state.redacts {
            head.redacted = true;
            match Inspector::open() {
                Ok(inspector) => state.inspector = Some(inspector),
                Err(error) => state.fail(&io::Error::other(error)),
            }
        }
        drop(state);
        self.tell(received_us, |writer| writer.head(&head, received_us));
    }

    pub(crate) fn facts(&self, relation: u32, facts: &Facts, received_us: i64) {
        self.tell(received_us, |writer| {
            writer.facts(relation, facts, received_us)
        });
    }

    pub(crate) fn frames(&self, frames: &[u8], received_us: i64) {
        let mut state = self.state();
        let redacted = state
            .inspector
            .as_mut()
            .map(|inspector| inspector.redact(frames));
        match redacted.transpose() {
            // What cannot be redacted is not written.
            Err(error) => state.fail(&io::Error::other(error)),
            Ok(redacted) => {
                drop(state);
                let frames = redacted.as_deref().unwrap_or(frames);
                self.tell(received_us, |writer| writer.frames(frames, received_us));
            }
        }
    }

    fn tell(
        &self,
        received_us: i64,
        write: impl FnOnce(&mut Writer<Box<dyn Sink>>) -> io::Result<()>,
    ) {
        let mut state = self.state();
        state.received_us = received_us;
        state.write(write);
    }

    fn outcome(&self, state: &State) -> Result<(), RecordingError> {
        match &state.failed {
            None => Ok(()),
            Some((kind, text)) => Err(RecordingError::Write {
                path: self.path.clone(),
                source: io::Error::new(*kind, text.clone()),
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Recorder").field(&self.path).finish()
    }
}

impl State {
    /// Writes, unless something could not be written before: behind a hole nothing is of use.
    fn write(&mut self, write: impl FnOnce(&mut Writer<Box<dyn Sink>>) -> io::Result<()>) {
        let Some(writer) = &mut self.writer else {
            return;
        };
        if let Err(error) = write(writer) {
            self.fail(&error);
        }
    }

    fn fail(&mut self, error: &io::Error) {
        self.failed = Some((error.kind(), error.to_string()));
        self.writer = None;
    }
}
