//! The task that fetches events, from a server or a recording.

use std::sync::Arc;
use std::thread;

use pgoutput_decoder_host::{Batch, Config, Plugins, Stream};

use super::{Notice, Phase, Session, Source};
use crate::error::Failure;
use crate::recording::Recording;

impl Session {
    pub(super) async fn pump(self: Arc<Self>, source: Source) {
        // Also if something here panics: else who waits would wait for ever.
        let _closing = Closing(&self);
        match source {
            Source::Server(config) => self.receive(*config).await,
            Source::Recording(recording) => {
                if let Err(failure) = self.replay(&recording).await {
                    self.failed(failure);
                }
                self.stopped().await;
            }
        }
    }

    async fn replay(self: &Arc<Self>, recording: &Recording) -> Result<(), Failure> {
        self.lock().phase = Phase::Connected;
        let logging = Arc::downgrade(self);
        let load = || {
            Plugins::load(&recording.plugins, recording.native, move |line| {
                if let Some(session) = logging.upgrade() {
                    session.note(Notice::of_plugin(line));
                }
            })
        };
        let host = |error| Failure::Host(Arc::new(error));
        let mut plugins = tokio::task::block_in_place(load).map_err(host)?;
        let failed = |error| Failure::Recording(Arc::new(error));
        let mut replay = recording.replay().map_err(|error| failed(error.into()))?;
        loop {
            let next = tokio::task::block_in_place(|| replay.next_batch());
            let Some(mut batch) = next.map_err(failed)? else {
                self.exhausted();
                return Ok(());
            };
            let applied = tokio::task::block_in_place(|| plugins.apply(&mut batch));
            self.lock().plugins = plugins.status();
            if !self.offer(batch).await {
                return Ok(());
            }
            for error in applied.map_err(host)? {
                self.notice(&format!("left out: {error}"));
            }
        }
    }

    async fn receive(self: &Arc<Self>, config: Config) {
        let session = Arc::downgrade(self);
        let waiting = session.clone();
        let logging = session.clone();
        let config = config
            .transaction_ends(true)
            .on_slot_wait(move |wait| {
                if let Some(session) = waiting.upgrade() {
                    session.notice(&wait.to_string());
                }
            })
            .on_plugin_line(move |line| {
                if let Some(session) = logging.upgrade() {
                    session.note(Notice::of_plugin(line));
                }
            })
            .on_warning(move |text| {
                if let Some(session) = session.upgrade() {
                    session.notice(text);
                }
            });
        let connected = tokio::select! {
            connected = config.connect() => connected,
            () = self.stopped() => return,
        };
        match connected {
            Ok(mut stream) => {
                self.opened(&stream);
                self.stream(&mut stream).await;
                if let Err(error) = stream.stop().await {
                    let notice = format!("what was acknowledged last will come again: {error}");
                    self.lock().notices.push(Notice::warning(notice));
                }
            }
            Err(error) => self.failed(Failure::Host(Arc::new(error))),
        }
    }

    async fn stream(&self, stream: &mut Stream) {
        loop {
            match stream.next_batch().await {
                Ok(Some(batch)) => {
                    if !self.offer(batch).await {
                        return;
                    }
                }
                Ok(None) => return,
                Err(error) => {
                    self.failed(Failure::Host(Arc::new(error)));
                    // The events before it may still be acknowledged.
                    return self.stopped().await;
                }
            }
        }
    }

    /// Parks a batch; false if nobody wants it any more.
    async fn offer(&self, batch: Batch) -> bool {
        loop {
            {
                let mut state = self.lock();
                if self.is_stopping() {
                    return false;
                }
                if state.supply.has_room() {
                    let has_events = state.supply.offer(batch);
                    if has_events || state.end_awaited {
                        state.end_awaited = false;
                        self.announce(state);
                    }
                    return true;
                }
            }
            self.space.notified().await;
        }
    }

    async fn stopped(&self) {
        // The sender lives as long as `self`.
        let _ = self.stop.subscribe().wait_for(|stopping| *stopping).await;
    }

    fn opened(&self, stream: &Stream) {
        let mut state = self.lock();
        state.phase = Phase::Connected;
        state.acknowledger = Some(stream.acknowledger());
        state.monitor = Some(stream.monitor());
        let ignored = stream.ignored_options().iter();
        state.notices.extend(
            ignored.map(|name| Notice::warning(format!("option {name} has no meaning here"))),
        );
        let stopper = stream.stopper();
        if self.is_stopping() {
            stopper.stop();
        }
        state.stopper = Some(stopper);
        self.announce(state);
    }

    fn exhausted(&self) {
        let mut state = self.lock();
        state.phase = Phase::Exhausted;
        self.announce(state);
    }

    fn failed(&self, failure: Failure) {
        let mut state = self.lock();
        state.failure = Some(failure);
        self.announce(state);
    }

    fn closed(&self) {
        let mut state = self.lock();
        state.phase = Phase::Closed;
        if thread::panicking() && state.failure.is_none() {
            state.failure = Some(Failure::Panicked);
        }
        if state.failure.is_none() {
            self.stop.send_replace(true);
        }
        self.announce(state);
    }
}

/// Closes the session when the pump ends, however it ends.
struct Closing<'a>(&'a Session);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.closed();
    }
}
