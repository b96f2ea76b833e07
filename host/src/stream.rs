//! The consumer's side of a stream: batches out, acknowledgements in. The tasks behind it are in
//! `driver.rs`; this file holds what both sides share, and the only clock.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::config::Config;
use crate::connection::Connector;
use crate::driver::Driver;
use crate::error::Error;
use crate::feedback::Feedback;
use crate::lsn::Lsn;
use crate::queue::{Consumer, Gauge, queue};
use crate::records::{Batch, Position};
use crate::start::Start;
use crate::status::{Health, State, Status};

/// A running replication stream. Events come in batches, in commit order, each at least once;
/// within one `Stream` exactly once, over reconnections too.
///
/// Nothing is confirmed to the server before it is acknowledged. Dropping the stream ends it in
/// the background; [`Stream::stop`] ends it and waits until the server has the last word.
#[derive(Debug)]
pub struct Stream {
    batches: Consumer,
    shared: Arc<Shared>,
    driver: Option<JoinHandle<Result<(), Error>>>,
    ignored_options: Vec<String>,
    ended: bool,
}

/// Tells the stream what is dealt with. Cheap to clone, to send and to call for every event.
#[derive(Clone, Debug)]
pub struct Acknowledger {
    shared: Arc<Shared>,
}

/// Ends the stream from anywhere.
#[derive(Clone, Debug)]
pub struct Stopper {
    shared: Arc<Shared>,
}

/// Tells how the stream is, from anywhere, also when it has ended. Cheap to clone and to ask.
#[derive(Clone, Debug)]
pub struct Monitor {
    shared: Arc<Shared>,
}

/// What the consumer and the tasks share.
#[derive(Debug)]
pub(crate) struct Shared {
    feedback: Mutex<Feedback>,
    health: Mutex<Health>,
    queue: Gauge,
    /// The feedback task has something to do before its deadline.
    pub(crate) wake: Notify,
    stopping: watch::Sender<Stopping>,
    pub(crate) clock: Clock,
}

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stopping {
    No,
    /// The consumer gets nothing more, and may still acknowledge what it has.
    Ending,
    /// The tasks say good-bye to the server.
    Leaving,
}

/// The only clock of the library.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Stream {
    /// For [`Config::connect`], which has checked the configuration.
    pub(crate) async fn connect(config: Config, connector: Arc<Connector>) -> Result<Self, Error> {
        let from = config.start.map_or(Lsn(0), Start::lsn);
        let (producer, batches, queue) = queue();
        let shared = Arc::new(Shared {
            feedback: Mutex::new(Feedback::new(from, config.status_interval)),
            health: Mutex::new(Health::default()),
            queue,
            wake: Notify::new(),
            stopping: watch::Sender::new(Stopping::No),
            clock: Clock::start(),
        });
        let (mut driver, link) =
            Driver::connect(config, connector, Arc::clone(&shared), producer).await?;
        let ignored_options = driver.ignored_options()?;
        let driver = Some(tokio::spawn(driver.run(link)));
        Ok(Self {
            batches,
            shared,
            driver,
            ignored_options,
            ended: false,
        })
    }

    /// Waits for the next batch, which has at least one event, unless
    /// [`Config::transaction_ends`](crate::Config::transaction_ends) is asked for. `None` once the
    /// stream is stopped, or has reported its error. May be cancelled: no event is lost.
    ///
    /// # Errors
    /// Why the stream ended. All events before it have been returned; a frame that cannot be
    /// decoded and everything behind it stays unconfirmed. The session with the server goes on
    /// until the stream is stopped or dropped, or the server shuts down, so that those events can
    /// still be acknowledged.
    pub async fn next_batch(&mut self) -> Result<Option<Batch>, Error> {
        if self.ended {
            return Ok(None);
        }
        let next = tokio::select! {
            biased;
            () = self.shared.reached(Stopping::Ending) => None,
            next = self.batches.next() => next,
        };
        self.hand_over(next)
    }

    /// The next batch if it is there already.
    ///
    /// # Errors
    /// As [`Stream::next_batch`].
    pub fn try_next_batch(&mut self) -> Result<Option<Batch>, Error> {
        if self.is_ended() {
            return Ok(None);
        }
        match self.batches.try_next() {
            Ok(next) => self.hand_over(Some(next)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => self.hand_over(None),
        }
    }

    /// Whether the stream has ended: `next_batch` returns nothing but `None` from now on.
    pub fn is_ended(&self) -> bool {
        self.ended || self.shared.is_ending()
    }

    /// A handle that acknowledges.
    pub fn acknowledger(&self) -> Acknowledger {
        Acknowledger {
            shared: Arc::clone(&self.shared),
        }
    }

    /// A handle that stops.
    pub fn stopper(&self) -> Stopper {
        Stopper {
            shared: Arc::clone(&self.shared),
        }
    }

    /// A handle that tells how the stream is.
    pub fn monitor(&self) -> Monitor {
        Monitor {
            shared: Arc::clone(&self.shared),
        }
    }

    /// How the stream is: see [`Monitor::status`].
    pub fn status(&self) -> Status {
        self.shared.status()
    }

    /// Options that were given, are Debezium's, and have no meaning here.
    pub fn ignored_options(&self) -> &[String] {
        &self.ignored_options
    }

    /// The LSN up to which the server has been, or is just being, told to forget.
    pub fn confirmed_lsn(&self) -> Lsn {
        self.shared.feedback().confirmed()
    }

    /// Stops, sends the last acknowledgement, ends the session and waits until the server has
    /// taken note, a few seconds at most. May be called again.
    ///
    /// # Errors
    /// The server was gone when it was told last, and may not have read it: events that were
    /// acknowledged may come again.
    pub async fn stop(&mut self) -> Result<(), Error> {
        self.shared.advance(Stopping::Leaving);
        self.ended = true;
        self.batches.close();
        let Some(driver) = self.driver.as_mut() else {
            return Ok(());
        };
        let result = driver.await;
        self.driver = None;
        match result {
            Ok(result) => result,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is shutting down.
                Err(_) => Ok(()),
            },
        }
    }

    fn hand_over(&mut self, next: Option<Result<Batch, Error>>) -> Result<Option<Batch>, Error> {
        match next {
            Some(Ok(batch)) => {
                let changes = batch.events().map(|event| (event.lsn(), event.position()));
                self.shared.feedback().delivered(changes);
                Ok(Some(batch))
            }
            Some(Err(error)) => {
                self.ended = true;
                Err(error)
            }
            None => {
                self.ended = true;
                if self.shared.is_ending() {
                    return Ok(None);
                }
                Err(Error::Ended)
            }
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.shared.advance(Stopping::Leaving);
    }
}

impl Monitor {
    /// How the stream is at this moment. Asks nobody but this process: cheap, and of any thread.
    pub fn status(&self) -> Status {
        self.shared.status()
    }
}

impl Acknowledger {
    /// The event at `position` and all before it are dealt with. What the server may forget is
    /// rounded down to a whole transaction.
    ///
    /// # Errors
    /// [`Error::Acknowledge`] for a position behind the last batch returned.
    pub fn acknowledge(&self, position: Position) -> Result<(), Error> {
        let sooner = self.shared.feedback().acknowledge(position)?;
        self.wake(sooner);
        Ok(())
    }

    /// Everything of transactions that were committed at or before `lsn` is dealt with, or, where
    /// an event delivered and not yet acknowledged has this LSN, everything up to it. Several
    /// events may share an LSN: then up to the first of them. Positions are exact.
    ///
    /// # Errors
    /// [`Error::Acknowledge`] for an LSN behind what was delivered.
    pub fn acknowledge_lsn(&self, lsn: Lsn) -> Result<(), Error> {
        let sooner = self.shared.feedback().acknowledge_lsn(lsn)?;
        self.wake(sooner);
        Ok(())
    }

    fn wake(&self, sooner: bool) {
        if sooner {
            self.shared.wake.notify_one();
        }
    }
}

impl Stopper {
    /// Makes [`Stream::next_batch`] return `None`, now and from now on. What the consumer is at
    /// can still be acknowledged: the session ends with [`Stream::stop`], or when the stream is
    /// dropped.
    pub fn stop(&self) {
        self.shared.advance(Stopping::Ending);
    }

    /// Whether the stream has been stopped.
    pub fn is_stopped(&self) -> bool {
        self.shared.is_ending()
    }
}

impl Shared {
    pub(crate) fn feedback(&self) -> MutexGuard<'_, Feedback> {
        // Nothing panics while it is held; if something did, its state would still be whole.
        self.feedback.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the tasks are to say good-bye.
    pub(crate) async fn stopped(&self) {
        self.reached(Stopping::Leaving).await;
    }

    async fn reached(&self, stage: Stopping) {
        // The sender lives in `self`: the only error there is cannot occur.
        let mut stopping = self.stopping.subscribe();
        let _ = stopping.wait_for(|stopping| *stopping >= stage).await;
    }

    fn advance(&self, stage: Stopping) {
        self.stopping.send_if_modified(|stopping| {
            let before = *stopping;
            *stopping = before.max(stage);
            *stopping != before
        });
    }

    fn is_ending(&self) -> bool {
        *self.stopping.borrow() >= Stopping::Ending
    }

    fn status(&self) -> Status {
        let outstanding = self.feedback().outstanding();
        let queued = self.queue.queued_bytes();
        let health = self.health();
        let mut status = health.status(&outstanding, queued, self.clock.now(), Clock::unix_us());
        drop(health);
        if self.is_ending() && status.state != State::Failed {
            status.state = State::Stopped;
        }
        status
    }
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub(crate) fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    /// Time since the stream was made.
    pub(crate) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// The moment `at`, as tokio's timers take it.
    pub(crate) fn instant(&self, at: Duration) -> tokio::time::Instant {
        let at = at.min(FAR);
        (self.start + at).into()
    }

    /// Microseconds since 1970-01-01.
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub(crate) fn unix_us() -> i64 {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    }
}

/// Later than anything that matters, and no more than any clock can add.
const FAR: Duration = Duration::from_hours(24 * 365);
