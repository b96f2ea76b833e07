//! What the receive task notes of itself, and whom it tells.

use super::Driver;
use crate::config::Config;
use crate::error::Error;
use crate::status::{SAMPLE_EVERY, State};

impl Driver {
    /// Notes what went wrong, and what is done about it.
    pub(super) fn note(&self, state: State, error: &Error) {
        let mut health = self.shared.health();
        health.state = state;
        health.last_error = Some(error.to_string());
    }

    /// Asks the catalogs how slot and publications are, if it is time to. Of an error the stream
    /// will hear where it matters.
    pub(super) async fn look_after(&mut self) {
        let now = self.shared.clock.now();
        if now < self.sample_at {
            return;
        }
        self.sample_at = now.saturating_add(SAMPLE_EVERY);
        let Config {
            slot, publications, ..
        } = &self.config;
        let Ok(sample) = self.catalog.sample(slot, publications, now).await else {
            return;
        };
        let warnings = self.shared.health().learn(sample, slot);
        for warning in warnings {
            self.config.on_warning.tell(&warning);
        }
    }

    /// The server streams. What the catalogs said of slot and publications may not hold here.
    pub(super) fn note_streaming(&mut self) {
        self.shared.health().state = State::Streaming;
        self.sample_at = self.shared.clock.now();
    }

    /// There is no room for files. The server would send what needs it over and over, so every wait
    /// is the longest; `false` to give up.
    pub(super) async fn wait_for_space(&mut self, error: &Error) -> bool {
        if self.backoff.wait_max(self.shared.clock.now()).is_none() {
            return false;
        }
        let delay = self.config.reconnect.delay_max;
        let hint = error.hint().unwrap_or_default();
        let warning = format!("{error}; {hint}; trying again in {} s", delay.as_secs_f32());
        self.config.on_warning.tell(&warning);
        tokio::time::sleep(delay).await;
        true
    }
}
