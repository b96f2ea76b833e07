//! One stream's life between tokio and Python: what is ready, what was handed out, who waits.
//!
//! A task on tokio, the pump, connects and fetches some batches ahead. Consumers take events out
//! of them without touching tokio. Both meet under one lock that is never held across
//! an await or a call into Python.
//!
//! An event counts as handed out in the very step that gives it to its awaiter, so there is no
//! moment at which a cancelled task could have taken one and lost it.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use pgoutput_decoder_host::{
    Acknowledger, Config, Error, Event, Lsn, Monitor, PluginLine, PluginStatus, Position,
    State as StreamState, Status, Stopper,
};
use pyo3::prelude::*;
use tokio::sync::{Notify, watch};

use crate::error::{Failure, Refused};
use crate::password::Callback;
use crate::recording::Recording;
use crate::runtime::{self, Link, Process, Waiter};
use crate::supply::{Bounds, OfTransaction, Part, Supply};

mod pump;

/// How long a consumer may take events without giving its event loop a turn.
const TURN: Duration = Duration::from_millis(1);
/// How long a consumer may keep the interpreter to itself. Other threads are meant to get it in a
/// turn of the event loop, too, but a turn with nothing to do is over before they are awake.
const KEEP: Duration = Duration::from_millis(3);

/// Changes whose LSNs are kept for `acknowledge_lsn`; of those before, positions alone are known.
const CHANGES_MAX: usize = 65_536;

pub(crate) struct Session {
    auto_acknowledge: bool,
    /// Who is asked for the password, if it is asked for.
    password: Option<Arc<Callback>>,
    /// Where it was started. A child of that process has a copy of all this, and nobody who would
    /// ever unlock what another thread had locked at the fork.
    started: OnceLock<Process>,
    state: Mutex<State>,
    /// Told when a batch was taken up.
    space: Notify,
    /// Told at each new version, for consumers that are threads.
    changed: Condvar,
    stop: watch::Sender<bool>,
}

struct State {
    phase: Phase,
    /// The consumer knows that this is the end: it said so, or was told.
    dismissed: bool,
    /// There once there is anybody to wait for.
    link: Option<Link>,
    supply: Supply,
    /// Somebody waits for the end of a transaction.
    end_awaited: bool,
    /// Commit LSN of the transaction that was given in part last: its rest is not the next one.
    parted: Option<Lsn>,
    failure: Option<Failure>,
    acknowledger: Option<Acknowledger>,
    stopper: Option<Stopper>,
    monitor: Option<Monitor>,
    handed: Option<Handed>,
    acknowledged: Option<Position>,
    /// The commit LSN of the last transaction before that of `handed`.
    finished: Option<Lsn>,
    /// The changes handed out last and not acknowledged, oldest first.
    changes: VecDeque<(Lsn, Position)>,
    /// When the event loop last had a turn, as far as this reader saw to it.
    turned: Option<Instant>,
    /// Since when the consumer has kept the interpreter to itself, if it has.
    kept: Option<Instant>,
    /// Counts changes worth waking for, so that none is missed between looking and waiting.
    version: u64,
    waiters: Vec<(u64, Waiter)>,
    waiter_id: u64,
    /// For the log, which only a thread that holds the GIL may write.
    notices: Vec<Notice>,
    /// A recording's.
    plugins: Vec<PluginStatus>,
}

/// A line for the log.
pub(crate) struct Notice {
    /// `warning` and so on.
    pub(crate) level: &'static str,
    /// The plugin that says so, if one does.
    pub(crate) plugin: Option<String>,
    pub(crate) text: String,
}

impl Notice {
    fn warning(text: String) -> Self {
        Self {
            level: "warning",
            plugin: None,
            text,
        }
    }

    fn of_plugin(line: &PluginLine) -> Self {
        Self {
            level: line.level.name(),
            plugin: Some(line.plugin.clone()),
            text: line.text.clone(),
        }
    }
}

/// Where events come from.
pub(crate) enum Source {
    Server(Box<Config>),
    Recording(Box<Recording>),
}

enum Phase {
    New(Source),
    Connecting,
    Connected,
    /// There will be nothing more: a recording has an end.
    Exhausted,
    Closed,
}

/// The last event handed out.
#[derive(Clone, Copy)]
struct Handed {
    position: Position,
    lsn: Lsn,
    acknowledged: bool,
}

/// What a consumer asks for.
#[derive(Clone, Copy)]
pub(crate) enum Want {
    Event,
    Batch(Bounds),
    /// As many of a transaction's events as may be held.
    Transaction {
        events_max: usize,
    },
    /// The next event of the transaction with this commit LSN.
    Rest(Lsn),
}

/// What a consumer gets when it asks.
pub(crate) enum Next {
    Event(Event),
    Batch(Vec<Event>),
    Transaction {
        events: Vec<Event>,
        whole: bool,
    },
    /// There is more, but the event loop shall have a turn first.
    Turn,
    /// The same for other threads, and then for the event loop.
    Pause,
    /// Nothing yet: register with this version and wait.
    Wait(u64),
    Failed(Failure),
    /// There will be nothing more of it.
    Stopped,
}

/// How far connecting is.
pub(crate) enum Connected {
    Yes,
    Wait(u64),
    Failed(Failure),
    Stopped,
}

impl Session {
    pub(crate) fn new(
        source: Source,
        auto_acknowledge: bool,
        password: Option<Arc<Callback>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            auto_acknowledge,
            password,
            started: OnceLock::new(),
            state: Mutex::new(State {
                phase: Phase::New(source),
                dismissed: false,
                link: None,
                supply: Supply::default(),
                end_awaited: false,
                parted: None,
                failure: None,
                acknowledged: None,
                acknowledger: None,
                stopper: None,
                monitor: None,
                handed: None,
                finished: None,
                changes: VecDeque::new(),
                turned: None,
                kept: None,
                version: 0,
                waiters: Vec::new(),
                waiter_id: 0,
                notices: Vec::new(),
                plugins: Vec::new(),
            }),
            space: Notify::new(),
            changed: Condvar::new(),
            stop: watch::Sender::new(false),
        })
    }

    /// Starts connecting, unless that has been done or the session was stopped before.
    pub(crate) fn start(self: &Arc<Self>, py: Python<'_>) -> PyResult<()> {
        if self.is_started() {
            return Ok(());
        }
        // Calls into Python, and so not under the lock.
        let link = runtime::link(py)?;
        if let Some(password) = &self.password {
            password.run_here(py, &link)?;
        }
        let mut state = self.lock();
        match mem::replace(&mut state.phase, Phase::Connecting) {
            Phase::New(source) => {
                link.runtime.spawn(Arc::clone(self).pump(source));
                state.link = Some(link);
            }
            phase => state.phase = phase,
        }
        let _ = self.started.set(Process::this());
        Ok(())
    }

    pub(crate) fn is_started(&self) -> bool {
        self.started.get().is_some()
    }

    /// Whether it was started before the fork that this process comes from. It is the parent's, and
    /// may not be touched.
    pub(crate) fn is_inherited(&self) -> bool {
        self.started
            .get()
            .copied()
            .is_some_and(Process::is_ancestor)
    }

    /// Whether it was started, and its consumer does not know of an end.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.is_started() && !self.lock().dismissed
    }

    /// The consumer gave up before there was anything to stop: `async with` is not entered.
    pub(crate) fn dismiss(&self) {
        if !self.is_inherited() {
            self.lock().dismissed = true;
        }
    }

    /// Whether asking for an event acknowledges the one before.
    pub(crate) fn is_automatic(&self) -> bool {
        self.auto_acknowledge && !self.is_stopping()
    }

    /// The consumer is done with everything handed out so far, if acknowledging is automatic.
    pub(crate) fn ask(&self) -> Result<(), Refused> {
        if self.is_automatic() {
            self.lock().acknowledge_handed().map_err(Refused::failed)?;
        }
        Ok(())
    }

    /// What is wanted, or what to do until it is there. `first` says that the consumer has only now
    /// asked for it, otherwise it has just come back from a turn or a wait. `deadline` is when a
    /// batch is given as it is; set once there is something of it.
    pub(crate) fn next(&self, want: Want, first: bool, deadline: &mut Option<Instant>) -> Next {
        let now = now();
        let mut state = self.lock();
        if self.is_stopping() {
            return Next::Stopped;
        }
        if first {
            let turned = state.turned.map(|turned| now.duration_since(turned));
            if turned.is_some_and(|since| since >= TURN)
                || matches!(want, Want::Event) && state.supply.is_at_boundary()
            {
                let kept = state.kept.map(|kept| now.duration_since(kept));
                if kept.is_some_and(|since| since >= KEEP) {
                    state.kept = None;
                    return Next::Pause;
                }
                return Next::Turn;
            }
        } else {
            state.turned = Some(now);
            state.kept.get_or_insert(now);
        }
        let was_low = state.supply.is_low();
        let next = state.take(want, now, deadline);
        if !was_low && state.supply.is_low() {
            self.space.notify_one();
        }
        if matches!(next, Next::Wait(_)) {
            state.kept = None;
        }
        next
    }

    /// Whether the connection stands.
    pub(crate) fn connected(&self) -> Connected {
        let mut state = self.lock();
        if self.is_stopping() {
            return Connected::Stopped;
        }
        // What came before an error is given before it.
        let none = if state.supply.has_none_ready() {
            state.none()
        } else {
            Next::Wait(0)
        };
        match none {
            Next::Failed(failure) => Connected::Failed(failure),
            _ if matches!(state.phase, Phase::Connected | Phase::Exhausted) => {
                state.dismissed = false;
                Connected::Yes
            }
            _ => Connected::Wait(state.version),
        }
    }

    /// Begins to stop: from now on there are no more events. With `finished` the event handed out
    /// last is acknowledged, if that is automatic.
    pub(crate) fn stop(&self, finished: bool) {
        if self.is_inherited() {
            return;
        }
        let mut state = self.lock();
        state.dismissed = true;
        if finished && self.auto_acknowledge && !self.is_stopping() {
            // The stream is about to end: an error here has nobody left who could act on it.
            let _ = state.acknowledge_handed();
        }
        self.stop.send_replace(true);
        self.space.notify_one();
        if let Some(stopper) = &state.stopper {
            stopper.stop();
        }
        if matches!(state.phase, Phase::New(_)) {
            state.phase = Phase::Closed;
        }
        state.supply.clear();
        self.announce(state);
    }

    /// `None` once the connection is closed, else the version to wait with.
    pub(crate) fn closing(&self) -> Option<u64> {
        if self.is_inherited() {
            return None;
        }
        let state = self.lock();
        (!matches!(state.phase, Phase::Closed)).then_some(state.version)
    }

    /// Has `waiter` woken at the next change; refuses if there was one since `version`.
    pub(crate) fn register(&self, version: u64, waiter: Waiter) -> Option<u64> {
        let mut state = self.lock();
        if state.version != version {
            return None;
        }
        state.waiter_id += 1;
        let id = state.waiter_id;
        state.waiters.push((id, waiter));
        Some(id)
    }

    /// Blocks until the next change, or for `time` at most; not if there was one since `version`.
    pub(crate) fn wait(&self, version: u64, time: Duration) {
        let state = self.lock();
        let waited = self
            .changed
            .wait_timeout_while(state, time, |state| state.version == version);
        drop(waited);
    }

    pub(crate) fn forget(&self, waiter_id: u64) {
        if !self.is_inherited() {
            self.lock().waiters.retain(|(id, _)| *id != waiter_id);
        }
    }

    /// What has happened that is worth a line in the log.
    pub(crate) fn take_notices(&self) -> Vec<Notice> {
        if self.is_inherited() {
            return Vec::new();
        }
        std::mem::take(&mut self.lock().notices)
    }

    /// Acknowledges everything up to the event handed out last.
    pub(crate) fn acknowledge_last(&self) -> Result<(), Refused> {
        let mut state = self.acknowledgeable()?;
        if self.auto_acknowledge || state.handed.is_none_or(|handed| handed.acknowledged) {
            return Err(Refused::NothingPending);
        }
        state.acknowledge_handed().map_err(Refused::failed)
    }

    /// Acknowledges everything up to `position`.
    pub(crate) fn acknowledge_position(&self, position: Position) -> Result<(), Refused> {
        let mut state = self.acknowledgeable()?;
        match state.handed {
            Some(handed) if position == handed.position => {
                state.acknowledge_handed().map_err(Refused::failed)
            }
            Some(handed) if position < handed.position => {
                state.acknowledge(position).map_err(Refused::failed)
            }
            handed => Err(Refused::beyond(&position, handed.map(|last| last.position))),
        }
    }

    /// Acknowledges everything up to `lsn`: a change's own, or a transaction's commit LSN. The host
    /// also knows what was fetched ahead, so it is asked by position alone.
    pub(crate) fn acknowledge_lsn(&self, lsn: Lsn) -> Result<(), Refused> {
        let mut state = self.acknowledgeable()?;
        let handed = match state.handed {
            // Several events can share an LSN, and the transaction's other events may not have been
            // handed out yet: exactly what was handed out is what can be meant.
            Some(handed) if lsn == handed.lsn || lsn == handed.position.commit_lsn => {
                return state.acknowledge_handed().map_err(Refused::failed);
            }
            handed => handed,
        };
        let change = state.changes.iter().find(|(change, _)| *change == lsn);
        if let Some(&(_, position)) = change {
            return state.acknowledge(position).map_err(Refused::failed);
        }
        if handed.is_none_or(|handed| lsn > handed.lsn) && Some(lsn) > state.finished {
            return Err(Refused::beyond(&lsn, handed.map(|last| last.position)));
        }
        // Transactions come in the order of their commits: those before are all handed out.
        state.acknowledge(end_of(lsn)).map_err(Refused::failed)
    }

    /// Refuses in a child of the process it was started in.
    pub(crate) fn here(&self) -> Result<(), Refused> {
        if self.is_inherited() {
            Err(Refused::Inherited)
        } else {
            Ok(())
        }
    }

    fn acknowledgeable(&self) -> Result<MutexGuard<'_, State>, Refused> {
        self.here()?;
        let state = self.lock();
        if self.is_stopping() {
            Err(Refused::Stopped)
        } else {
            Ok(state)
        }
    }

    fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes everybody who waits.
    fn announce(&self, mut state: MutexGuard<'_, State>) {
        state.version += 1;
        let waiters = std::mem::take(&mut state.waiters);
        let link = state.link.clone();
        drop(state);
        self.changed.notify_all();
        if let Some(link) = link {
            link.wake(waiters.into_iter().map(|(_, waiter)| waiter).collect());
        }
    }

    /// The word for how the stream is, what was acknowledged last, and all else.
    pub(crate) fn status(&self) -> Result<(&'static str, Option<Position>, Status), Refused> {
        self.here()?;
        let state = self.lock();
        let mut status = state
            .monitor
            .as_ref()
            .map(Monitor::status)
            .unwrap_or_default();
        status.delivered = state.handed.map(|handed| handed.position);
        if state.monitor.is_none() {
            status.plugins.clone_from(&state.plugins);
        }
        match &state.failure {
            Some(Failure::Host(error)) => status.last_error = Some(error.to_string()),
            Some(Failure::Recording(error)) => status.last_error = Some(error.to_string()),
            Some(Failure::Panicked) | None => {}
        }
        let name = if state.failure.is_some() {
            StreamState::Failed.name()
        } else if self.is_stopping() || matches!(state.phase, Phase::Exhausted) {
            StreamState::Stopped.name()
        } else if matches!(state.phase, Phase::New(_)) {
            "new"
        } else if matches!(state.phase, Phase::Connected) && state.monitor.is_none() {
            // A recording's.
            StreamState::Streaming.name()
        } else {
            status.state.name()
        };
        Ok((name, state.acknowledged, status))
    }

    /// Something for the log, which whoever waits for a message writes.
    fn notice(&self, text: &str) {
        self.note(Notice::warning(text.to_owned()));
    }

    fn note(&self, notice: Notice) {
        let mut state = self.lock();
        state.notices.push(notice);
        self.announce(state);
    }
}

impl State {
    fn take(&mut self, want: Want, now: Instant, deadline: &mut Option<Instant>) -> Next {
        match want {
            Want::Event => {
                if let Some(event) = self.supply.pop() {
                    self.hand_out(&event);
                    return Next::Event(event);
                }
            }
            Want::Batch(bounds) => {
                let hurry = self.failure.is_some() || matches!(self.phase, Phase::Exhausted);
                let events = self.supply.batch(bounds, now, deadline, hurry);
                if !events.is_empty() {
                    self.hand_out_all(&events);
                    return Next::Batch(events);
                }
            }
            Want::Transaction { events_max } => return self.take_transaction(events_max),
            Want::Rest(commit_lsn) => match self.supply.of_transaction(commit_lsn) {
                OfTransaction::Event(event) => {
                    self.hand_out(&event);
                    return Next::Event(event);
                }
                OfTransaction::End => {
                    // It may be a former one whose rest is asked for.
                    self.parted = self.parted.filter(|parted| *parted != commit_lsn);
                    return Next::Stopped;
                }
                OfTransaction::Unknown => self.end_awaited = true,
            },
        }
        self.none()
    }

    fn take_transaction(&mut self, events_max: usize) -> Next {
        while let Some(commit_lsn) = self.parted {
            match self.supply.of_transaction(commit_lsn) {
                // Passed over, like the rest of a loop that was left.
                OfTransaction::Event(event) => self.hand_out(&event),
                OfTransaction::End => self.parted = None,
                OfTransaction::Unknown => {
                    self.end_awaited = true;
                    return self.none();
                }
            }
        }
        let (events, whole) = match self.supply.transaction(events_max) {
            Part::Whole(events) => (events, true),
            Part::Beginning(events) => (events, false),
            Part::Unknown => {
                self.end_awaited = true;
                return self.none();
            }
        };
        self.hand_out_all(&events);
        if !whole {
            self.parted = events.last().map(|event| event.position().commit_lsn);
        }
        Next::Transaction { events, whole }
    }

    /// There is nothing now.
    fn none(&mut self) -> Next {
        match self.failure.clone() {
            Some(failure) => {
                self.dismissed = true;
                Next::Failed(failure)
            }
            None if matches!(self.phase, Phase::Exhausted) => Next::Stopped,
            None => Next::Wait(self.version),
        }
    }

    fn hand_out_all(&mut self, events: &[Event]) {
        for event in events {
            self.hand_out(event);
        }
    }

    fn hand_out(&mut self, event: &Event) {
        let (lsn, position) = (event.lsn(), event.position());
        if let Some(last) = self.handed
            && last.position.commit_lsn != position.commit_lsn
        {
            self.finished = Some(last.position.commit_lsn);
        }
        self.handed = Some(Handed {
            position,
            lsn,
            acknowledged: false,
        });
        if self.changes.len() == CHANGES_MAX {
            self.changes.pop_front();
        }
        self.changes.push_back((lsn, position));
    }

    fn acknowledge_handed(&mut self) -> Result<(), Error> {
        if let Some(handed) = self.handed
            && !handed.acknowledged
        {
            self.acknowledge(handed.position)?;
            self.handed = Some(Handed {
                acknowledged: true,
                ..handed
            });
        }
        Ok(())
    }

    /// Everything up to `position`, which is not beyond what was handed out.
    fn acknowledge(&mut self, position: Position) -> Result<(), Error> {
        if let Some(acknowledger) = &self.acknowledger {
            acknowledger.acknowledge(position)?;
        }
        self.acknowledged = self.acknowledged.max(Some(position));
        while self
            .changes
            .pop_front_if(|(_, change)| *change <= position)
            .is_some()
        {}
        Ok(())
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the event loop's turns are a matter of real time"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Behind everything of the transactions committed at or before `lsn`.
fn end_of(lsn: Lsn) -> Position {
    Position {
        commit_lsn: lsn,
        index: u32::MAX,
        sub: u32::MAX,
    }
}
