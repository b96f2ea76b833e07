//! The tasks behind a stream: one receives, decodes and reconnects, the other confirms.
//!
//! The receive task may wait for the consumer, the decoder or the catalogs for as long as they
//! take. The feedback task has the writing side of the connection to itself and waits for none of
//! them: the server hears from it in time whatever happens.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::{JoinError, JoinHandle, JoinSet};

use crate::backoff::Backoff;
use crate::catalog::Catalog;
use crate::config::Config;
use crate::connection::Connector;
use crate::engine::{Engine, EngineError};
use crate::error::Error;
use crate::identity::Identity;
use crate::lsn::Lsn;
use crate::plugin::Plugins;
use crate::queue::Producer;
use crate::records::{Position, TopicTable};
use crate::replication::{Received, Receiver, Sender};
use crate::stash::{Replay, Stash};
use crate::status::State;
use crate::stream::{Clock, Shared};

use self::recording::Tap;
use self::undecodable::Caution;

mod decoding;
mod health;
mod link;
mod plugins;
mod recording;
mod slot;
mod undecodable;

/// The receive task.
pub(crate) struct Driver {
    config: Config,
    connector: Arc<Connector>,
    shared: Arc<Shared>,
    batches: Producer,
    catalog: Catalog,
    engine: Engine,
    topics: TopicTable,
    /// Gets what a recording of the stream has.
    tap: Tap,
    plugins: Plugins,
    /// Looks after their files, until it is dropped.
    _watching: JoinSet<()>,
    /// Frames of transactions that are not decided.
    stash: Stash,
    /// Those of the one that was just committed.
    replay: Option<Replay>,
    /// The server that we stream from.
    identity: Option<Identity>,
    /// The slot was last used on a standby.
    slot_on_standby: bool,
    /// When to see whether it still is a standby, if it was one.
    look_at: Option<Duration>,
    /// The last event put into the channel: none up to it is put there again.
    handed: Option<Position>,
    /// All of those lie in the WAL before it.
    handed_end: Lsn,
    /// Commit LSN of the transaction that the last one is of, if its end was not put there yet.
    handed_open: Option<Lsn>,
    /// Frames that cannot be decoded, and those that break the decoder.
    caution: Caution,
    backoff: Backoff,
    /// When to ask the catalogs again how slot and publications are.
    sample_at: Duration,
}

/// A connection that streams.
pub(crate) struct Link {
    receiver: Receiver,
    sender: Sender,
}

/// Why the receive task left a link.
enum End {
    Failed(Error),
    /// After an error of which the consumer knows, and that stays.
    Lasting,
    Stopped,
}

impl Driver {
    /// Checks everything that can be checked, and starts streaming.
    pub(crate) async fn connect(
        config: Config,
        connector: Arc<Connector>,
        shared: Arc<Shared>,
        batches: Producer,
    ) -> Result<(Self, Link), Error> {
        let engine = open_engine(&config, &connector)?;
        let mut plugins = plugins::load(&config)?;
        shared.health().plugins = plugins.counters();
        let tap = Tap::open(&config)?;
        let mut driver = Self {
            catalog: Catalog::new(&config, Arc::clone(&connector)),
            connector,
            stash: Stash::new(config.stash.clone()),
            replay: None,
            backoff: Backoff::new(config.reconnect),
            config,
            shared,
            batches,
            engine,
            topics: TopicTable::default(),
            tap,
            _watching: plugins::watch(&mut plugins),
            plugins,
            identity: None,
            slot_on_standby: false,
            look_at: None,
            handed: None,
            handed_end: Lsn(0),
            handed_open: None,
            caution: Caution::default(),
            sample_at: Duration::ZERO,
        };
        let link = driver.first_link().await?;
        Ok((driver, link))
    }

    pub(crate) fn ignored_options(&mut self) -> Result<Vec<String>, Error> {
        Ok(self.engine.ignored_options()?)
    }

    /// Streams until stopped or until something happens that trying again cannot mend. The result
    /// is whether the last acknowledgement reached the server.
    pub(crate) async fn run(mut self, first: Link) -> Result<(), Error> {
        let mut link = first;
        loop {
            let began = self.shared.clock.now();
            let error = match self.stream(link).await {
                (End::Stopped | End::Lasting, last_word) => return last_word,
                (End::Failed(error), _) => error,
            };
            if self.shared.clock.now() > began.saturating_add(STABLE) {
                self.backoff.end();
            }
            self.note(State::Reconnecting, &error);
            let shared = Arc::clone(&self.shared);
            link = tokio::select! {
                biased;
                () = shared.stopped() => return self.unsent(),
                again = self.link_again(error) => match again {
                    Ok(link) => {
                        self.shared.health().reconnects += 1;
                        link
                    }
                    Err(error) => {
                        self.tell(error);
                        shared.stopped().await;
                        return self.unsent();
                    }
                },
            };
        }
    }

    /// Streams over one connection and ends it.
    async fn stream(&mut self, link: Link) -> (End, Result<(), Error>) {
        let Link {
            mut receiver,
            sender,
        } = link;
        let (leave, left) = oneshot::channel();
        let mut confirming = tokio::spawn(confirm(Arc::clone(&self.shared), sender, left));
        let shared = Arc::clone(&self.shared);
        let mut confirms = true;
        let end = tokio::select! {
            biased;
            () = shared.stopped() => End::Stopped,
            end = self.receive(&mut receiver) => end,
            // Nothing may have been read for long: in a replay, or while the consumer does not.
            ended = &mut confirming => {
                confirms = false;
                End::Failed(self.unconfirmed(ended))
            }
        };
        let end = match end {
            End::Failed(error) => End::Failed(self.why_no_link(error).await),
            end => end,
        };
        let end = match end {
            // Lasting, and not the connection's fault: the consumer gets the error behind the
            // events before it, and time to acknowledge them.
            End::Failed(error) if !self.may_pass(&error) => {
                self.forget_undecided();
                self.tell(error);
                self.shared.feedback().halt();
                tokio::select! {
                    biased;
                    () = shared.stopped() => {}
                    () = self.pass_over(&mut receiver) => {}
                }
                End::Lasting
            }
            End::Stopped => {
                // The consumer may have been quicker than the commit of what it acknowledged.
                let committed = self.finish_transaction(&mut receiver);
                let _ = tokio::time::timeout(COMMIT_WAIT_MAX, committed).await;
                End::Stopped
            }
            end @ (End::Failed(_) | End::Lasting) => end,
        };
        // Nobody to say good-bye to on a connection that is gone, but a server that is stopping
        // waits for exactly this.
        let _ = leave.send(());
        let last_word = if confirms {
            self.say_good_bye(confirming, &mut receiver).await
        } else {
            self.shared.feedback().gone(shared.clock.now());
            self.unsent()
        };
        if !matches!(end, End::Lasting) {
            return (end, last_word);
        }
        // What is acknowledged after the server has gone, it will never hear of.
        shared.stopped().await;
        (End::Stopped, self.unsent())
    }

    /// Gives memory and files back: what is not decided is never decoded on this connection.
    fn forget_undecided(&mut self) {
        self.stash.clear();
        self.replay = None;
    }

    /// Hands an error that stays over to the consumer.
    fn tell(&self, error: Error) {
        self.note(State::Failed, &error);
        self.batches.end(error);
    }

    /// Whether connecting again may help: of a decoder that broke down, a new one is tried once.
    fn may_pass(&mut self, error: &Error) -> bool {
        match error {
            Error::EngineAt { error, .. } => {
                let behind = self.handed.unwrap_or(BEFORE_ALL);
                let policy = &self.config.on_undecodable;
                self.caution.broke(error, behind, policy)
            }
            error => error.is_transient(),
        }
    }

    /// Reads on without looking at it, until the server is stopping or gone: it would wait for us.
    async fn pass_over(&mut self, receiver: &mut Receiver) {
        let shared = Arc::clone(&self.shared);
        let reading = async {
            loop {
                match receiver.receive().await {
                    Ok(Received::Frames(bytes)) => receiver.consume(bytes),
                    Ok(Received::Keepalive(keepalive)) => {
                        let mut feedback = shared.feedback();
                        feedback.keepalive(shared.clock.now(), keepalive);
                        if feedback.is_server_stopping() {
                            return;
                        }
                        drop(feedback);
                        shared.wake.notify_one();
                    }
                    Ok(Received::Notice) => {}
                    // Where it is not the connection that failed, it can still be read to its end.
                    Err(error) if !error.is_transient() => {
                        receiver.drain().await;
                        return;
                    }
                    Err(_) => return,
                }
            }
        };
        tokio::select! {
            biased;
            () = self.catalog.server_stopping() => {}
            () = reading => {}
        }
    }

    async fn say_good_bye(
        &self,
        mut confirming: JoinHandle<Result<Sender, Error>>,
        receiver: &mut Receiver,
    ) -> Result<(), Error> {
        let good_bye = async {
            let mut sender = (&mut confirming).await.ok()?.ok()?;
            let farewell = self.shared.feedback().farewell();
            sender.close(farewell, Clock::unix_us()).await.ok()?;
            let now = self.shared.clock.now();
            self.shared.feedback().told(now, farewell);
            Some(())
        };
        // Reading on makes the server come to our last words, and its closing says it has. One
        // that does not close in time has them on the wire, or takes nothing any more.
        let both = async { tokio::join!(good_bye, receiver.drain()) };
        let taken = tokio::time::timeout(GOOD_BYE_MAX, both).await;
        confirming.abort();
        if let Ok((_, false)) = taken {
            self.shared.feedback().gone(self.shared.clock.now());
        }
        self.unsent()
    }

    /// An error if the server may not know everything that was acknowledged.
    fn unsent(&self) -> Result<(), Error> {
        if self.shared.feedback().is_told() {
            return Ok(());
        }
        let text =
            "the server may not have read the last acknowledgement: its events may come again";
        let io = io::Error::new(io::ErrorKind::NotConnected, text);
        Err(Error::Connection {
            address: self.connector.address(),
            doing: "confirming",
            io,
        })
    }

    /// Receives, decodes, hands over. Returns only when something is wrong or nobody listens.
    async fn receive(&mut self, receiver: &mut Receiver) -> End {
        loop {
            self.look_after().await;
            let silence = self.config.receive_timeout;
            let received = match tokio::time::timeout(silence, receiver.receive()).await {
                Ok(Ok(received)) => received,
                // Before PostgreSQL 18, a publication that is gone ends the connection.
                Ok(Err(error)) if error.sqlstate() == Some("42704") => {
                    let missing = self.check().await.err();
                    return End::Failed(missing.unwrap_or_else(|| error.with_hint(MADE_LATER)));
                }
                Ok(Err(error)) => return End::Failed(error),
                Err(_) => return End::Failed(self.silent()),
            };
            let now = self.shared.clock.now();
            if let Err(error) = self.look_for_promotion(now).await {
                return End::Failed(error);
            }
            match received {
                Received::Keepalive(keepalive) => {
                    let mut feedback = self.shared.feedback();
                    feedback.keepalive(now, keepalive);
                    let due = feedback.deadline() <= now;
                    let stopping = feedback.is_server_stopping();
                    drop(feedback);
                    if due {
                        self.shared.wake.notify_one();
                    }
                    if stopping {
                        return End::Failed(self.stopping());
                    }
                }
                Received::Notice => {
                    // The server passes over a publication that is gone, with a warning.
                    if let Err(error) = self.check().await {
                        return End::Failed(error);
                    }
                }
                Received::Frames(bytes) => {
                    self.backoff.end();
                    self.shared.feedback().received(now, receiver.received());
                    match self.decode(receiver, bytes).await {
                        Ok(true) => {}
                        Ok(false) => return End::Stopped,
                        Err(error) => return End::Failed(error),
                    }
                }
            }
        }
    }

    /// Reads until the commit of a transaction all of whose events are acknowledged, if it is one.
    async fn finish_transaction(&mut self, receiver: &mut Receiver) {
        while self.shared.feedback().is_commit_missing() {
            let decoded = match receiver.receive().await {
                Ok(Received::Frames(bytes)) => self.decode(receiver, bytes).await.map(|_| ()),
                Ok(Received::Keepalive(_) | Received::Notice) => Ok(()),
                Err(error) => Err(error),
            };
            if decoded.is_err() {
                return;
            }
        }
    }

    /// Why the feedback task ended by itself.
    fn unconfirmed(&self, ended: Result<Result<Sender, Error>, JoinError>) -> Error {
        match ended {
            Ok(Err(error)) => error,
            Ok(Ok(_)) | Err(_) => self.lost(
                io::ErrorKind::BrokenPipe,
                "the task that confirms has ended",
            ),
        }
    }

    fn silent(&self) -> Error {
        self.lost(
            io::ErrorKind::TimedOut,
            "the server has been silent for too long",
        )
    }

    fn stopping(&self) -> Error {
        self.lost(
            io::ErrorKind::ConnectionAborted,
            "the server is shutting down",
        )
    }

    fn lost(&self, kind: io::ErrorKind, text: &'static str) -> Error {
        let io = io::Error::new(kind, text);
        Error::Connection {
            address: self.connector.address(),
            doing: "streaming",
            io,
        }
    }
}

/// The feedback task: sends what the state machine says when it says so, until told to leave.
async fn confirm(
    shared: Arc<Shared>,
    mut sender: Sender,
    mut left: oneshot::Receiver<()>,
) -> Result<Sender, Error> {
    loop {
        let (update, deadline) = {
            let mut feedback = shared.feedback();
            (feedback.poll(shared.clock.now()), feedback.deadline())
        };
        if let Some(update) = update {
            sender.send(update, Clock::unix_us()).await?;
            shared.feedback().told(shared.clock.now(), update);
            continue;
        }
        tokio::select! {
            biased;
            _ = &mut left => return Ok(sender),
            () = shared.wake.notified() => {}
            () = tokio::time::sleep_until(shared.clock.instant(deadline)) => {}
        }
    }
}

fn open_engine(config: &Config, connector: &Connector) -> Result<Engine, EngineError> {
    let options = config.decoder_options(connector.database());
    Engine::open_within(config.limits(), config.engine, &options)
}

/// Before the first event of any stream.
const BEFORE_ALL: Position = Position {
    commit_lsn: Lsn(0),
    index: 0,
    sub: 0,
};

/// Of a publication that is there by now.
const MADE_LATER: &str = "a publication is looked for as it was where the slot stands: one that \
    was made later needs a slot made after it, or start_lsn behind it, and a snapshot of what \
    happened before";

/// A connection that lasted so long ends an outage, though nothing came.
const STABLE: Duration = Duration::from_secs(10);

/// How long a commit may come behind the last event of its transaction when we leave.
const COMMIT_WAIT_MAX: Duration = Duration::from_millis(500);

/// How long the server may take to see that we leave.
const GOOD_BYE_MAX: Duration = Duration::from_secs(5);
