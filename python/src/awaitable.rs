//! What the reader's methods return: awaitables that finish in their first step whenever they can.
//!
//! They speak asyncio's protocol directly. A step that yields None gives the loop a turn; one that
//! yields a future has the task wait for it; `StopIteration` carries the result.

use std::thread;
use std::time::{Duration, Instant};

use pgoutput_decoder_host::{Event, Lsn};
use pyo3::exceptions::{PyRuntimeError, PyStopAsyncIteration, PyStopIteration};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyList, PyTuple};

use crate::error::{self, Refused};
use crate::message::ReplicationMessage;
use crate::reader::{Iteration, LogicalReplicationReader};
use crate::runtime::{Waiter, set_done_function};
use crate::session::{Connected, Next, Notice, Want, now};
use crate::supply::Bounds;

/// Any sleep is long enough for a thread that waits for the interpreter to take it.
const PAUSE: Duration = Duration::from_micros(1);

/// A coroutine in all but name: `collections.abc.Coroutine` recognises it.
#[pyclass(module = "pgoutput_decoder._native")]
pub(crate) struct Awaitable {
    reader: Py<LogicalReplicationReader>,
    purpose: Option<Purpose>,
    /// Whether the event loop has had a turn since this was first stepped.
    suspended: bool,
    waiter_id: Option<u64>,
    /// When a batch is given as it is.
    deadline: Option<Instant>,
    /// Wakes us then.
    timer: Option<Py<PyAny>>,
    /// What is made of the messages: a function's result.
    made_by: Option<Py<PyAny>>,
}

/// What is awaited.
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    /// That the connection stands; gives the reader.
    Connected,
    /// Nothing: it is done already.
    Done,
    /// The next message.
    Message,
    /// The next messages.
    Batch(Bounds),
    /// The next transaction.
    Transaction { events_max: usize },
    /// The next message of the transaction with this commit LSN.
    Rest(Lsn),
    /// That the connection is closed; `async with` wants `False` for "raise what there is".
    Stopped { exit: bool },
}

enum Step {
    Finish(Py<PyAny>),
    Turn,
    Wait(u64),
}

impl Awaitable {
    pub(crate) fn new(reader: Py<LogicalReplicationReader>, purpose: Purpose) -> Self {
        Self {
            reader,
            purpose: Some(purpose),
            suspended: false,
            waiter_id: None,
            deadline: None,
            timer: None,
            made_by: None,
        }
    }

    /// Gives what `function` makes of the messages.
    pub(crate) fn made_by(mut self, function: Option<Py<PyAny>>) -> Self {
        self.made_by = function;
        self
    }

    fn step(&mut self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        // The waiter that brought us here, if any, has been woken and is gone; but where the timer
        // did.
        if let Some(id) = self.waiter_id.take() {
            if let Some(timer) = self.timer.take() {
                self.reader.get().session().forget(id);
                timer.call_method0(py, intern!(py, "cancel"))?;
            }
            log(py, self.reader.get().session().take_notices())?;
        }
        loop {
            let step = match self.begin(py).and_then(|()| self.poll(py)) {
                Ok(step) => step,
                Err(error) => {
                    self.purpose = None;
                    return Err(error);
                }
            };
            match step {
                Step::Finish(value) => {
                    self.purpose = None;
                    return Err(PyStopIteration::new_err((value,)));
                }
                Step::Turn => {
                    self.suspended = true;
                    return Ok(py.None());
                }
                Step::Wait(version) => {
                    let event_loop = running_loop(py)?;
                    let future = event_loop.call_method0(intern!(py, "create_future"))?;
                    future.setattr(intern!(py, "_asyncio_future_blocking"), true)?;
                    let waiter = Waiter {
                        event_loop: event_loop.unbind(),
                        future: future.clone().unbind(),
                    };
                    self.waiter_id = self.reader.get().session().register(version, waiter);
                    if self.waiter_id.is_some() {
                        self.suspended = true;
                        self.set_timer(py, &future)?;
                        return Ok(future.unbind());
                    }
                }
            }
        }
    }

    /// The same without an event loop: blocks, and is interrupted by signals.
    pub(crate) fn block(&mut self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        loop {
            match self.poll(py)? {
                Step::Finish(value) => {
                    self.purpose = None;
                    return Ok(value);
                }
                Step::Turn => {}
                Step::Wait(version) => {
                    let session = self.reader.get().session();
                    let due = self
                        .deadline
                        .map(|due| due.saturating_duration_since(now()));
                    let time = due.map_or(SIGNALS_EVERY, |due| due.min(SIGNALS_EVERY));
                    py.detach(|| session.wait(version, time));
                    py.check_signals()?;
                    log(py, session.take_notices())?;
                }
            }
            self.suspended = true;
        }
    }

    fn set_timer(&mut self, py: Python<'_>, future: &Bound<'_, PyAny>) -> PyResult<()> {
        if let Some(deadline) = self.deadline {
            let after_s = deadline.saturating_duration_since(now()).as_secs_f64();
            let set_done = set_done_function(py)?;
            let event_loop = future.call_method0(intern!(py, "get_loop"))?;
            let timer =
                event_loop.call_method1(intern!(py, "call_later"), (after_s, set_done, future))?;
            self.timer = Some(timer.unbind());
        }
        Ok(())
    }

    /// Refuses to begin what no event loop of asyncio's would ever wake.
    fn begin(&self, py: Python<'_>) -> PyResult<()> {
        if self.is_for_connection() && !self.reader.get().session().is_started() {
            running_loop(py)?;
        }
        Ok(())
    }

    fn is_for_connection(&self) -> bool {
        !matches!(
            self.purpose,
            None | Some(Purpose::Done | Purpose::Stopped { .. })
        )
    }

    fn poll(&mut self, py: Python<'_>) -> PyResult<Step> {
        let reader = self.reader.get();
        if self.is_for_connection() {
            let session = reader.session();
            session.here().map_err(|here| error::refused(py, here))?;
            session.start(py)?;
        }
        let want = match self.purpose {
            Some(Purpose::Message) => Want::Event,
            Some(Purpose::Batch(bounds)) => Want::Batch(bounds),
            Some(Purpose::Transaction { events_max }) => Want::Transaction { events_max },
            Some(Purpose::Rest(commit_lsn)) => Want::Rest(commit_lsn),
            _ => return self.poll_state(py),
        };
        let next = reader
            .session()
            .next(want, !self.suspended, &mut self.deadline);
        match next {
            Next::Event(event) => Ok(Step::Finish(self.message(py, event)?.into_any())),
            Next::Batch(events) => {
                let messages = PyList::new(py, self.messages(py, events)?)?;
                Ok(Step::Finish(match &self.made_by {
                    Some(function) => function.call1(py, (messages,))?,
                    None => messages.into_any().unbind(),
                }))
            }
            Next::Transaction { events, whole } => {
                Ok(Step::Finish(self.transaction(py, events, whole)?))
            }
            Next::Turn => Ok(Step::Turn),
            Next::Pause => {
                py.detach(|| thread::sleep(PAUSE));
                Ok(Step::Turn)
            }
            Next::Wait(version) => Ok(Step::Wait(version)),
            Next::Failed(failure) => Err(error::failed(py, &failure)),
            Next::Stopped => Err(PyStopAsyncIteration::new_err(())),
        }
    }

    fn message(&self, py: Python<'_>, event: Event) -> PyResult<Py<ReplicationMessage>> {
        Py::new(
            py,
            ReplicationMessage::new(event, self.reader.get().rendering()),
        )
    }

    fn messages(
        &self,
        py: Python<'_>,
        events: Vec<Event>,
    ) -> PyResult<Vec<Py<ReplicationMessage>>> {
        let messages = events.into_iter().map(|event| self.message(py, event));
        messages.collect()
    }

    fn transaction(&self, py: Python<'_>, events: Vec<Event>, whole: bool) -> PyResult<Py<PyAny>> {
        static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let class = CLASS.import(py, "pgoutput_decoder.transactions", "Transaction")?;
        let commit_lsn = events.first().map(|event| event.position().commit_lsn);
        let rest = commit_lsn
            .filter(|_| !whole)
            .map(|commit_lsn| Iteration::new(self.reader.clone_ref(py), Purpose::Rest(commit_lsn)));
        let messages = PyTuple::new(py, self.messages(py, events)?)?;
        Ok(class.call1((messages, rest))?.unbind())
    }

    /// How the connection is, which is waited for.
    fn poll_state(&self, py: Python<'_>) -> PyResult<Step> {
        let reader = self.reader.get();
        match self.purpose {
            None => Err(PyRuntimeError::new_err(
                "cannot reuse already awaited awaitable",
            )),
            Some(Purpose::Done) => Ok(Step::Finish(py.None())),
            Some(Purpose::Connected) => match reader.session().connected() {
                Connected::Yes => Ok(Step::Finish(self.reader.clone_ref(py).into_any())),
                Connected::Wait(version) => Ok(Step::Wait(version)),
                Connected::Failed(failure) => Err(error::failed(py, &failure)),
                Connected::Stopped => Err(error::refused(py, Refused::Stopped)),
            },
            Some(Purpose::Stopped { exit }) => Ok(match reader.session().closing() {
                Some(version) => Step::Wait(version),
                None if exit => {
                    Step::Finish(false.into_pyobject(py)?.to_owned().unbind().into_any())
                }
                None => Step::Finish(py.None()),
            }),
            Some(
                Purpose::Message
                | Purpose::Batch(_)
                | Purpose::Transaction { .. }
                | Purpose::Rest(_),
            ) => Ok(Step::Turn),
        }
    }

    fn give_up(&mut self) {
        self.purpose = None;
        self.timer = None;
        if let Some(id) = self.waiter_id.take() {
            self.reader.get().session().forget(id);
        }
    }
}

#[pymethods]
impl Awaitable {
    fn __await__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&mut self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.step(py)
    }

    fn send(&mut self, py: Python<'_>, _value: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        self.step(py)
    }

    #[pyo3(signature = (kind, value=None, traceback=None))]
    fn throw(
        &mut self,
        kind: &Bound<'_, PyAny>,
        value: Option<&Bound<'_, PyAny>>,
        traceback: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        if matches!(self.purpose, Some(Purpose::Connected)) {
            self.reader.get().session().dismiss();
        }
        self.give_up();
        let error = match value.filter(|value| !value.is_none()) {
            Some(value) if value.is_instance(kind)? => value.clone(),
            Some(value) => kind.call1((value,))?,
            None if kind.is_callable() => kind.call0()?,
            None => kind.clone(),
        };
        if let Some(traceback) = traceback.filter(|traceback| !traceback.is_none()) {
            error.setattr("__traceback__", traceback)?;
        }
        Err(PyErr::from_value(error))
    }

    fn close(&mut self) {
        self.give_up();
    }

    /// Waits without an event loop, for `SyncReader`.
    fn wait(&mut self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.block(py)
    }
}

impl Drop for Awaitable {
    fn drop(&mut self) {
        if let Some(id) = self.waiter_id.take() {
            self.reader.get().session().forget(id);
        }
    }
}

/// How often a thread that waits looks for signals, like Ctrl-C.
const SIGNALS_EVERY: Duration = Duration::from_millis(100);

fn log(py: Python<'_>, notices: Vec<Notice>) -> PyResult<()> {
    for Notice {
        level,
        plugin,
        text,
    } in notices
    {
        let (logger, text) = match plugin {
            None => ("pgoutput_decoder", text),
            Some(plugin) => ("pgoutput_decoder.plugin", format!("{plugin}: {text}")),
        };
        let logger = py.import("logging")?.call_method1("getLogger", (logger,))?;
        logger.call_method1(level, ("%s", text))?;
    }
    Ok(())
}

fn running_loop(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    static FUNCTION: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let found = FUNCTION.import(py, "asyncio", "get_running_loop")?.call0();
    found.map_err(|error| {
        if error.is_instance_of::<PyRuntimeError>(py) {
            return error::no_event_loop();
        }
        error
    })
}
