//! `LogicalReplicationReader`: arguments in, awaitables out.

use std::ffi::CString;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pgoutput_decoder_host::capture::CatalogAt;
use pgoutput_decoder_host::{Error, recording};
use pyo3::exceptions::{PyResourceWarning, PyRuntimeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{IntoPyDict, PyDict, PyWeakrefReference};

use crate::arguments::{
    Acknowledged, Decoding, Named, count, decoder_options, decoding, parse_create_slot, parse_lsn,
    plugin, position_of, seconds, strings, with_password,
};
use crate::awaitable::{Awaitable, Purpose};
use crate::error::{self, Refused};
use crate::message::Rendering;
use crate::recording::Recording;
use crate::session::{Session, Source};
use crate::supply::Bounds;

/// Streams the changes of a publication from a replication slot.
#[pyclass(frozen, weakref, module = "pgoutput_decoder")]
pub(crate) struct LogicalReplicationReader {
    session: Arc<Session>,
    rendering: Arc<Rendering>,
    /// None of a recording.
    slot: Option<String>,
    description: String,
    /// The task that consumes, with automatic acknowledgement: a weak reference.
    task: Mutex<Option<Py<PyWeakrefReference>>>,
    /// A loop was left without an exception, and nothing was asked for since: the message it was at
    /// is done.
    left: AtomicBool,
}

/// What `async for` iterates over.
#[pyclass(frozen, module = "pgoutput_decoder._native")]
pub(crate) struct Iteration {
    reader: Py<LogicalReplicationReader>,
    /// What is asked for each time.
    each: Purpose,
    /// What is made of it: a function's result.
    made_by: Option<Py<PyAny>>,
}

impl Iteration {
    pub(crate) fn new(reader: Py<LogicalReplicationReader>, each: Purpose) -> Self {
        Self {
            reader,
            each,
            made_by: None,
        }
    }

    fn next(&self, py: Python<'_>) -> Awaitable {
        let made_by = self.made_by.as_ref();
        let made_by = made_by.map(|function| function.clone_ref(py));
        Awaitable::new(self.reader.clone_ref(py), self.each).made_by(made_by)
    }
}

#[pymethods]
impl Iteration {
    fn __aiter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __anext__(&self, py: Python<'_>) -> PyResult<Awaitable> {
        self.reader.get().ask(py)?;
        Ok(self.next(py))
    }

    /// The same for `SyncReader`, whose thread may be in any task, as a notebook's cells are.
    fn wait_next(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let reader = self.reader.get();
        let asked = reader.session.here().and_then(|()| {
            reader.left.store(false, Ordering::Relaxed);
            reader.session.ask()
        });
        asked.map_err(|refused| error::refused(py, refused))?;
        self.next(py).block(py)
    }
}

impl Drop for Iteration {
    /// A loop lets go of this when it is left. Where an exception leaves it, that is on its way
    /// just now, whoever catches it later.
    fn drop(&mut self) {
        // That of a transaction's rest lives as long as the transaction does.
        if !matches!(self.each, Purpose::Rest(_)) {
            let left = Python::attach(|py| !PyErr::occurred(py));
            self.reader.get().left.store(left, Ordering::Relaxed);
        }
    }
}

impl LogicalReplicationReader {
    pub(crate) fn session(&self) -> &Arc<Session> {
        &self.session
    }

    pub(crate) fn rendering(&self) -> Arc<Rendering> {
        Arc::clone(&self.rendering)
    }

    /// The running task asks for a message. With automatic acknowledgement that says that the one
    /// before is done, which only the task that got it can say.
    fn ask(&self, py: Python<'_>) -> PyResult<()> {
        let refused = |refused| error::refused(py, refused);
        self.session.here().map_err(refused)?;
        self.left.store(false, Ordering::Relaxed);
        if !self.session.is_automatic() {
            return Ok(());
        }
        let task = current_task(py)?;
        let consumer = self.consumer(py);
        if !consumer.as_ref().is_some_and(|consumer| consumer.is(&task)) {
            if let Some(consumer) = consumer
                && !is_done(&consumer)?
            {
                return Err(error::refused(py, Refused::SecondTask));
            }
            let reference = if task.is_none() {
                None
            } else {
                Some(PyWeakrefReference::new(&task)?.unbind())
            };
            *self.lock_task() = reference;
        }
        self.session.ask().map_err(refused)
    }

    /// Whether at the end of `async with`, left without an exception, the message handed out last
    /// is done: not where another task still works on it, or failed.
    fn is_finished(&self, py: Python<'_>) -> PyResult<bool> {
        if self.lock_task().is_none() {
            return Ok(true);
        }
        // One that is gone cannot say any more how it ended.
        let Some(consumer) = self.consumer(py) else {
            return Ok(false);
        };
        if consumer.is(&current_task(py)?) {
            return Ok(true);
        }
        Ok(is_done(&consumer)?
            && !consumer
                .call_method0(intern!(py, "cancelled"))?
                .is_truthy()?
            && consumer.call_method0(intern!(py, "exception"))?.is_none())
    }

    /// As Python does of files and sockets that nobody has closed.
    fn warn(&self, py: Python<'_>) {
        let Some(slot) = self.slot.as_ref().filter(|_| !PyErr::occurred(py)) else {
            return;
        };
        let text = format!(
            "LogicalReplicationReader of slot {slot:?} was not stopped: use \"async with\" or \
             \"await reader.stop()\""
        );
        let warned = CString::new(text)
            .map_err(PyErr::from)
            .and_then(|text| PyErr::warn(py, &py.get_type::<PyResourceWarning>(), &text, 1));
        if let Err(error) = warned {
            // Warnings may be errors; nobody could catch one here.
            error.write_unraisable(py, None);
        }
    }

    fn consumer<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.lock_task().as_ref()?.bind(py).upgrade()
    }

    fn lock_task(&self) -> MutexGuard<'_, Option<Py<PyWeakrefReference>>> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl LogicalReplicationReader {
    #[new]
    #[pyo3(signature = (
        publication_name, slot_name, host=None, database=None, port=None, user=None, password=None,
        start_lsn=None, auto_acknowledge=true, *, dsn=None, format="native", decimal="Decimal",
        temporal="str", uuid="str", options=None, streaming=None, binary=false, two_phase=false,
        origin="any", stash_directory=None, stash_max_bytes=None, create_slot=None,
        start_position=None, reconnect_delay_max=None, reconnect_attempts_max=None,
        reconnect_time_max=None, on_undecodable="stop", memory_max_bytes=None,
        plugins=None, **parameters
    ))]
    #[expect(clippy::too_many_arguments, reason = "Python's keyword arguments")]
    #[expect(clippy::needless_pass_by_value, reason = "pyo3 extracts by value")]
    fn new(
        publication_name: &Bound<'_, PyAny>,
        slot_name: &str,
        host: Option<&str>,
        database: Option<&str>,
        port: Option<i128>,
        user: Option<&str>,
        password: Option<Bound<'_, PyAny>>,
        start_lsn: Option<Bound<'_, PyAny>>,
        auto_acknowledge: bool,
        dsn: Option<&str>,
        format: &str,
        decimal: &str,
        temporal: &str,
        uuid: &str,
        options: Option<Bound<'_, PyDict>>,
        streaming: Option<&str>,
        binary: bool,
        two_phase: bool,
        origin: &str,
        stash_directory: Option<PathBuf>,
        stash_max_bytes: Option<i128>,
        create_slot: Option<&Bound<'_, PyAny>>,
        start_position: Option<&Bound<'_, PyAny>>,
        reconnect_delay_max: Option<f64>,
        reconnect_attempts_max: Option<i128>,
        reconnect_time_max: Option<f64>,
        on_undecodable: &str,
        memory_max_bytes: Option<i128>,
        plugins: Option<Vec<Bound<'_, PyAny>>>,
        parameters: Option<Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let py = publication_name.py();
        let named = Named {
            host,
            database,
            port,
            user,
            others: parameters,
        };
        let description = named.description();
        let config = named.config(py, dsn)?;
        let (config, callback) = with_password(config, password)?;
        let mut config = config.slot(slot_name);
        let publications = strings(publication_name)?;
        for publication in &publications {
            config = config.publication(publication);
        }
        if let Some(start_lsn) = start_lsn.filter(|lsn| !lsn.is_none()) {
            let lsn = parse_lsn(&start_lsn)
                .map_err(|reason| error::configuration("start_lsn", &reason))?;
            config = config.start_lsn(lsn);
            if start_position.is_some() {
                return Err(error::configuration(
                    "start_position",
                    "not together with start_lsn",
                ));
            }
        }
        if let Some(position) = start_position {
            config = config.start_position(position_of(position)?);
        }
        if let Some(delay) = reconnect_delay_max {
            config = config.reconnect_delay_max(seconds("reconnect_delay_max", delay)?);
        }
        if let Some(attempts) = reconnect_attempts_max {
            let attempts = u32::try_from(attempts).map_err(|_| {
                error::configuration("reconnect_attempts_max", "expected a number from 0 on")
            })?;
            config = config.reconnect_attempts_max(attempts);
        }
        if let Some(time) = reconnect_time_max {
            config = config.reconnect_time_max(seconds("reconnect_time_max", time)?);
        }
        let rendering = Rendering::parse(format, decimal, temporal, uuid)?;
        config = config.option("format", format);
        let refused = |refused: Error| error::raise(py, &refused);
        if let Some(streaming) = streaming {
            config = config.streaming(streaming.parse().map_err(refused)?);
        }
        config = config.binary(binary).two_phase(two_phase);
        config = config.origin(origin.parse().map_err(refused)?);
        if let Some(directory) = stash_directory {
            config = config.stash_directory(directory);
        }
        if let Some(bytes) = stash_max_bytes {
            let bytes = u64::try_from(bytes).map_err(|_| {
                error::configuration("stash_max_bytes", "expected a number from 0 to 2**64 - 1")
            })?;
            config = config.stash_max_bytes(bytes);
        }
        config = config.on_undecodable(on_undecodable.parse().map_err(refused)?);
        if let Some(bytes) = memory_max_bytes {
            let bytes = usize::try_from(bytes).map_err(|_| {
                error::configuration("memory_max_bytes", "expected a number of bytes")
            })?;
            config = config.memory_max_bytes(bytes);
        }
        for value in plugins.into_iter().flatten() {
            config = config.plugin(plugin(&value)?);
        }
        if let Some(create) = create_slot {
            config = config.create_slot(parse_create_slot(create)?);
        }
        for (name, value) in decoder_options(options.as_ref())? {
            config = config.option(&name, &value);
        }
        Ok(Self {
            session: Session::new(Source::Server(Box::new(config)), auto_acknowledge, callback),
            rendering: Arc::new(rendering),
            slot: Some(slot_name.to_owned()),
            description: format!(
                "publication_name={:?}, slot_name={slot_name:?}{description}",
                publications.join(",")
            ),
            task: Mutex::new(None),
            left: AtomicBool::new(false),
        })
    }

    /// One that replays a recording.
    #[staticmethod]
    #[pyo3(signature = (
        path, catalog=None, *, auto_acknowledge=true, format="native", decimal="Decimal",
        temporal="str", uuid="str", options=None, database="", plugins=None
    ))]
    #[expect(clippy::too_many_arguments, reason = "Python's keyword arguments")]
    #[expect(clippy::needless_pass_by_value, reason = "pyo3 extracts by value")]
    fn from_recording(
        path: PathBuf,
        catalog: Option<PathBuf>,
        auto_acknowledge: bool,
        format: &str,
        decimal: &str,
        temporal: &str,
        uuid: &str,
        options: Option<&Bound<'_, PyDict>>,
        database: &str,
        plugins: Option<Vec<Bound<'_, PyAny>>>,
    ) -> PyResult<Self> {
        let wishes = [format, decimal, temporal, uuid];
        let Decoding {
            options, rendering, ..
        } = decoding(wishes, options, database)?;
        let file = recording::Recording::open(&path, catalog.as_deref(), CatalogAt::Stream);
        let plugins = plugins.iter().flatten().map(plugin);
        let source = Source::Recording(Box::new(Recording {
            file: file.map_err(error::recording)?,
            options,
            plugins: plugins.collect::<PyResult<_>>()?,
            native: format == "native",
        }));
        Ok(Self {
            session: Session::new(source, auto_acknowledge, None),
            rendering,
            slot: None,
            description: format!("recording={:?}", path.display().to_string()),
            task: Mutex::new(None),
            left: AtomicBool::new(false),
        })
    }

    /// What a loop iterates over: an object of its own, whose end tells how the loop was left.
    fn __aiter__(slf: Py<Self>) -> Iteration {
        Iteration::new(slf, Purpose::Message)
    }

    /// The messages in lists.
    #[pyo3(signature = (max_events=1000, max_bytes=None, max_wait=0.0))]
    fn batches(
        slf: Py<Self>,
        max_events: i128,
        max_bytes: Option<i128>,
        max_wait: f64,
    ) -> PyResult<Iteration> {
        let bounds = Bounds {
            events_max: count("max_events", max_events)?,
            bytes_max: max_bytes.map_or(Ok(usize::MAX), |bytes| count("max_bytes", bytes))?,
            wait: Duration::try_from_secs_f64(max_wait)
                .map_err(|_| PyValueError::new_err("max_wait: expected seconds, 0 or more"))?,
        };
        Ok(Iteration::new(slf, Purpose::Batch(bounds)))
    }

    /// The messages in lists, as Arrow record batches.
    #[pyo3(signature = (max_events=1000, max_bytes=None, max_wait=0.0, *, text_columns=None))]
    fn arrow_batches(
        slf: Py<Self>,
        py: Python<'_>,
        max_events: i128,
        max_bytes: Option<i128>,
        max_wait: f64,
        text_columns: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Iteration> {
        let function = py
            .import("pgoutput_decoder._native")?
            .getattr("arrow_batches")?;
        let settings = [("text_columns", text_columns)].into_py_dict(py)?;
        let partial = py.import("functools")?.getattr("partial")?;
        let mut iteration = Self::batches(slf, max_events, max_bytes, max_wait)?;
        iteration.made_by = Some(partial.call((function,), Some(&settings))?.unbind());
        Ok(iteration)
    }

    /// The messages by transaction.
    #[pyo3(signature = (max_events=10_000))]
    fn transactions(slf: Py<Self>, max_events: i128) -> PyResult<Iteration> {
        let events_max = count("max_events", max_events)?;
        Ok(Iteration::new(slf, Purpose::Transaction { events_max }))
    }

    fn __anext__(slf: Py<Self>, py: Python<'_>) -> PyResult<Awaitable> {
        slf.get().ask(py)?;
        Ok(Awaitable::new(slf, Purpose::Message))
    }

    /// Connects; gives the reader.
    fn __aenter__(slf: Py<Self>) -> Awaitable {
        Awaitable::new(slf, Purpose::Connected)
    }

    /// Stops. Left without an exception, the message received last is done, if that is automatic.
    fn __aexit__(
        slf: Py<Self>,
        kind: &Bound<'_, PyAny>,
        _value: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> PyResult<Awaitable> {
        let reader = slf.get();
        if !reader.session.is_inherited() {
            let finished = kind.is_none() && reader.is_finished(kind.py())?;
            reader.session.stop(finished);
        }
        Ok(Awaitable::new(slf, Purpose::Stopped { exit: true }))
    }

    /// Says that everything up to a message, an LSN or a position is dealt with; None: up to the
    /// message received last.
    #[pyo3(signature = (lsn=None))]
    fn acknowledge(
        slf: Py<Self>,
        py: Python<'_>,
        lsn: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Awaitable> {
        let session = &slf.get().session;
        let acknowledged = match lsn {
            None => session.acknowledge_last(),
            Some(lsn) => match Acknowledged::extract(lsn)? {
                Acknowledged::Lsn(lsn) => session.acknowledge_lsn(lsn),
                Acknowledged::Position(position) => session.acknowledge_position(position),
            },
        };
        acknowledged.map_err(|refused| error::refused(py, refused))?;
        Ok(Awaitable::new(slf, Purpose::Done))
    }

    /// Ends the stream: sends the acknowledgements made so far and closes the connection.
    fn stop(slf: Py<Self>) -> Awaitable {
        let reader = slf.get();
        reader.session.stop(reader.left.load(Ordering::Relaxed));
        Awaitable::new(slf, Purpose::Stopped { exit: false })
    }

    /// How the stream is. Asks nobody but this process.
    fn status<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let status = self.session.status();
        let (state, acknowledged, status) =
            status.map_err(|refused| error::refused(py, refused))?;
        crate::status::to_python(py, state, acknowledged, status)
    }

    fn __repr__(&self) -> String {
        format!("LogicalReplicationReader({})", self.description)
    }
}

impl Drop for LogicalReplicationReader {
    fn drop(&mut self) {
        if self.session.is_inherited() {
            // What is in it belongs to threads that are not here: nobody may end it.
            std::mem::forget(Arc::clone(&self.session));
            return;
        }
        if self.session.is_abandoned() {
            Python::try_attach(|py| self.warn(py));
        }
        // Nobody can ask any more. What was not acknowledged comes again.
        self.session.stop(false);
    }
}

fn is_done(task: &Bound<'_, PyAny>) -> PyResult<bool> {
    task.call_method0(intern!(task.py(), "done"))?.is_truthy()
}

/// The running task; None outside of one, and where no event loop runs at all.
fn current_task(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    static FUNCTION: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    match FUNCTION.import(py, "asyncio", "current_task")?.call0() {
        Err(error) if error.is_instance_of::<PyRuntimeError>(py) => Ok(py.None().into_bound(py)),
        task => task,
    }
}
