//! What of the stream a recording and a shadow are given.

use crate::config::Config;
use crate::engine::Facts;
use crate::error::Error;
use crate::recording::{Head, Recorder};
use crate::records::{Batch, Position};
use crate::replication::Receiver;
use crate::shadow::Comparing;
use crate::stream::Clock;

use super::Driver;

/// Whoever is given it.
#[derive(Default)]
pub(super) struct Tap {
    recorder: Option<Recorder>,
    comparing: Option<Comparing>,
}

impl Tap {
    pub(super) fn open(config: &Config) -> Result<Self, Error> {
        let begin = |shadow: &crate::Shadow| shadow.begin(config.on_warning.clone());
        let comparing = config.shadow.as_ref().map(begin).transpose();
        Ok(Self {
            recorder: config.recorder.clone(),
            comparing: comparing
                .map_err(|error| Error::configuration("shadow", error.to_string()))?,
        })
    }

    /// Whether somebody has a decoder of their own, which knows nothing of former connections.
    pub(super) fn is_used(&self) -> bool {
        self.recorder.is_some() || self.comparing.is_some()
    }

    pub(super) fn facts(&self, relation: u32, facts: &Facts) {
        for recorder in self.recorders() {
            recorder.facts(relation, facts, Clock::unix_us());
        }
    }

    /// What the decoder made of frames, before those frames.
    pub(super) fn decoded(&self, batch: &Batch, handed: Option<Position>) {
        if let Some(comparing) = &self.comparing {
            let mut batch = batch.clone();
            if let Some(handed) = handed {
                batch.drop_until(handed);
            }
            comparing.expect(batch);
        }
    }

    fn recorders(&self) -> impl Iterator<Item = &Recorder> {
        let comparing = self.comparing.as_ref().map(Comparing::recorder);
        self.recorder.iter().chain(comparing)
    }
}

impl Driver {
    /// A connection streams.
    pub(super) fn begin_recording(&self, server: Option<String>) {
        if !self.tap.is_used() {
            return;
        }
        let (config, database) = (&self.config, self.connector.database());
        let head = Head {
            server,
            database: Some(database.to_owned()),
            slot: Some(config.slot.clone()),
            publications: config.publications.clone(),
            ..Head::new(&config.decoder_options(database))
        };
        for recorder in self.tap.recorders() {
            recorder.head(&head, Clock::unix_us());
        }
    }

    /// Done with so many bytes of the frames received. They are recorded once they are decoded:
    /// what the decoder asked about them comes before them.
    pub(super) fn used_up(&self, receiver: &mut Receiver, bytes: &mut usize, consumed: usize) {
        for recorder in self.tap.recorders() {
            recorder.frames(receiver.frames(consumed), Clock::unix_us());
        }
        if let Some(comparing) = &self.tap.comparing
            && consumed > 0
        {
            comparing.go_on();
        }
        receiver.consume(consumed);
        *bytes -= consumed;
    }
}
