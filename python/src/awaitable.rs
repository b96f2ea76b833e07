//! What the reader's methods return: awaitables that finish in their first step whenever they can.
//!
//! They speak asyncio's protocol directly. A step that yields None gives the loop a turn; one that
//! yields a future has the task wait for it; `StopIteration` carries the result.

use pyo3::exceptions::{PyRuntimeError, PyStopAsyncIteration, PyStopIteration};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::error;
use crate::message::ReplicationMessage;
use crate::reader::LogicalReplicationReader;
use crate::runtime::Waiter;
use crate::session::{Connected, Next, Refused};

/// A coroutine in all but name: `collections.abc.Coroutine` recognises it.
#[pyclass(module = "pgoutput_decoder._native")]
pub(crate) struct Awaitable {
    reader: Py<LogicalReplicationReader>,
    purpose: Option<Purpose>,
    /// Whether the event loop has had a turn since this was first stepped.
    suspended: bool,
    waiter_id: Option<u64>,
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
        }
    }

    fn step(&mut self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        // The waiter that brought us here, if any, has been woken and is gone.
        if self.waiter_id.take().is_some() {
            log(py, self.reader.get().session().take_notices())?;
        }
        loop {
            let step = match self.poll(py) {
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
                        return Ok(future.unbind());
                    }
                }
            }
        }
    }

    fn poll(&self, py: Python<'_>) -> PyResult<Step> {
        let reader = self.reader.get();
        if let Some(Purpose::Connected | Purpose::Message) = self.purpose {
            reader.session().start(py)?;
        }
        match self.purpose {
            None => Err(PyRuntimeError::new_err(
                "cannot reuse already awaited awaitable",
            )),
            Some(Purpose::Done) => Ok(Step::Finish(py.None())),
            Some(Purpose::Message) => match reader.session().next(!self.suspended) {
                Next::Event(event) => {
                    let message = ReplicationMessage::new(event, reader.rendering());
                    Ok(Step::Finish(Py::new(py, message)?.into_any()))
                }
                Next::Turn => Ok(Step::Turn),
                Next::Wait(version) => Ok(Step::Wait(version)),
                Next::Failed(failure) => Err(error::failed(py, &failure)),
                Next::Stopped => Err(PyStopAsyncIteration::new_err(())),
            },
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
        }
    }

    fn give_up(&mut self) {
        self.purpose = None;
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
}

impl Drop for Awaitable {
    fn drop(&mut self) {
        if let Some(id) = self.waiter_id.take() {
            self.reader.get().session().forget(id);
        }
    }
}

fn log(py: Python<'_>, notices: Vec<String>) -> PyResult<()> {
    for notice in notices {
        let logger = py
            .import("logging")?
            .call_method1("getLogger", ("pgoutput_decoder",))?;
        logger.call_method1("warning", ("%s", notice))?;
    }
    Ok(())
}

fn running_loop(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    static FUNCTION: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    FUNCTION.import(py, "asyncio", "get_running_loop")?.call0()
}
