//! `LogicalReplicationReader`: arguments in, awaitables out.

use std::ffi::CString;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pgoutput_decoder_host::{Config, CreateSlot, Error, Lsn, Position};
use pyo3::exceptions::{PyResourceWarning, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{
    IntoPyDict, PyBool, PyDict, PyInt, PyList, PyString, PyTuple, PyWeakrefReference,
};

use crate::awaitable::{Awaitable, Purpose};
use crate::error::{self, Refused};
use crate::message::{Rendering, ReplicationMessage};
use crate::password::Callback;
use crate::session::Session;
use crate::supply::Bounds;

/// Streams the changes of a publication from a replication slot.
#[pyclass(frozen, weakref, module = "pgoutput_decoder")]
pub(crate) struct LogicalReplicationReader {
    session: Arc<Session>,
    rendering: Arc<Rendering>,
    slot: String,
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
}

#[pymethods]
impl Iteration {
    fn __aiter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __anext__(&self, py: Python<'_>) -> PyResult<Awaitable> {
        self.reader.get().ask(py)?;
        let made_by = self.made_by.as_ref().map(|function| function.clone_ref(py));
        Ok(Awaitable::new(self.reader.clone_ref(py), self.each).made_by(made_by))
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
        if PyErr::occurred(py) {
            return;
        }
        let text = format!(
            "LogicalReplicationReader of slot {:?} was not stopped: use \"async with\" or \"await \
             reader.stop()\"",
            self.slot
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
        reconnect_time_max=None, on_undecodable="stop", memory_max_bytes=None, **parameters
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
        if let Some(create) = create_slot {
            config = config.create_slot(parse_create_slot(create)?);
        }
        for (name, value) in options.iter().flat_map(PyDictMethods::iter) {
            let name = option_name(&name)?;
            if name == "format" {
                return Err(error::configuration(
                    "options",
                    "format is an argument of its own",
                ));
            }
            config = config.option(&name, &option_value(&value)?);
        }
        Ok(Self {
            session: Session::new(config, auto_acknowledge, callback),
            rendering: Arc::new(rendering),
            slot: slot_name.to_owned(),
            description: format!(
                "publication_name={:?}, slot_name={slot_name:?}{description}",
                publications.join(",")
            ),
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
        let (state, status) = status.map_err(|refused| error::refused(py, refused))?;
        crate::status::to_python(py, state, status)
    }

    fn __repr__(&self) -> String {
        format!("LogicalReplicationReader({})", self.description)
    }
}

/// The arguments about where to connect.
struct Named<'a, 'py> {
    host: Option<&'a str>,
    database: Option<&'a str>,
    port: Option<i128>,
    user: Option<&'a str>,
    others: Option<Bound<'py, PyDict>>,
}

impl Named<'_, '_> {
    /// They count before `dsn`, and that before the environment.
    fn config(&self, py: Python<'_>, dsn: Option<&str>) -> PyResult<Config> {
        let refused = |refused: Error| error::raise(py, &refused);
        let mut config = Config::parse(dsn.unwrap_or_default())
            .and_then(Config::environment)
            .map_err(refused)?;
        if let Some(host) = self.host {
            config = config.host(host);
        }
        if let Some(database) = self.database {
            config = config.database(database);
        }
        if let Some(port) = self.port {
            let port = u16::try_from(port)
                .map_err(|_| error::configuration("port", "expected a number from 1 to 65535"))?;
            config = config.port(port);
        }
        if let Some(user) = self.user {
            config = config.user(user);
        }
        for (name, value) in self.others.iter().flat_map(PyDictMethods::iter) {
            let name: String = name.extract()?;
            if !Config::is_parameter(&name) {
                return Err(PyTypeError::new_err(format!(
                    "LogicalReplicationReader: unexpected keyword argument {name:?}"
                )));
            }
            if let Ok(on) = value.cast::<PyBool>() {
                let value = if on.is_true() { "1" } else { "0" };
                config = config.parameter(&name, value).map_err(refused)?;
            } else if !value.is_none() {
                let value = value.str()?;
                config = config.parameter(&name, value.to_str()?).map_err(refused)?;
            }
        }
        Ok(config)
    }

    fn description(&self) -> String {
        let mut text = String::new();
        for (name, value) in [("host", self.host), ("database", self.database)] {
            if let Some(value) = value {
                text = format!("{text}, {name}={value:?}");
            }
        }
        if let Some(port) = self.port {
            text = format!("{text}, port={port}");
        }
        text
    }
}

/// A password, or whom to ask for it.
fn with_password(
    config: Config,
    password: Option<Bound<'_, PyAny>>,
) -> PyResult<(Config, Option<Arc<Callback>>)> {
    let Some(password) = password.filter(|password| !password.is_none()) else {
        return Ok((config, None));
    };
    if let Ok(text) = password.cast::<PyString>() {
        let text = text.to_str()?;
        // 0.1.0's way to say that there is none.
        if text.is_empty() {
            return Ok((config, None));
        }
        return Ok((config.password(text), None));
    }
    if !password.is_callable() {
        return Err(PyTypeError::new_err(
            "password: expected a str, or a callable that returns one",
        ));
    }
    let callback = Callback::new(password.unbind());
    Ok((config.password(callback.password()), Some(callback)))
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

/// A number from 1 on.
fn count(name: &str, value: i128) -> PyResult<usize> {
    let number = usize::try_from(value).ok().filter(|number| *number > 0);
    number.ok_or_else(|| PyValueError::new_err(format!("{name}: expected a number from 1 on")))
}

/// What `acknowledge` was given.
enum Acknowledged {
    Lsn(Lsn),
    Position(Position),
}

impl Acknowledged {
    fn extract(value: &Bound<'_, PyAny>) -> PyResult<Self> {
        if let Ok(message) = value.cast::<ReplicationMessage>() {
            return Ok(Self::Position(message.get().event().position()));
        }
        if let Ok(text) = value.cast::<PyString>()
            && let Ok(text) = text.to_str()
            && text.contains(':')
        {
            let position = text.parse();
            return position
                .map(Self::Position)
                .map_err(|_| PyValueError::new_err("lsn: not a position like \"0/16B3748:7\""));
        }
        match parse_lsn(value) {
            Ok(lsn) => Ok(Self::Lsn(lsn)),
            Err(reason) if is_text_or_int(value) => {
                Err(PyValueError::new_err(format!("lsn: {reason}")))
            }
            Err(_) => Err(PyTypeError::new_err(
                "lsn: expected a str like \"0/16B3748\", an int, a ReplicationMessage or None",
            )),
        }
    }
}

/// What `start_position` is given: a position, or the message that has it.
fn position_of(value: &Bound<'_, PyAny>) -> PyResult<Position> {
    if let Ok(message) = value.cast::<ReplicationMessage>() {
        return Ok(message.get().event().position());
    }
    let text = value.cast::<PyString>().ok();
    let position = text.and_then(|text| text.to_str().ok()?.parse().ok());
    position.ok_or_else(|| {
        error::configuration(
            "start_position",
            "expected a message, or its position, a text like \"0/16B3748:7\"",
        )
    })
}

fn seconds(setting: &str, seconds: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(seconds)
        .map_err(|_| error::configuration(setting, "expected a number of seconds from 0 on"))
}

/// The host's `X/X` form, or a number: 0.1.0 took the latter, as text.
fn parse_lsn(value: &Bound<'_, PyAny>) -> Result<Lsn, String> {
    const EXPECTED: &str = "expected a text like \"0/16B3748\", or a number from 0 to 2**64 - 1";
    if let Ok(text) = value.cast::<PyString>() {
        let text = text.to_str().map_err(|_| EXPECTED.to_owned())?;
        return match text.parse::<u64>() {
            Ok(number) => Ok(Lsn(number)),
            Err(_) => text
                .parse()
                .map_err(|_| format!("{EXPECTED}, not {text:?}")),
        };
    }
    if is_text_or_int(value) {
        return value.extract().map(Lsn).map_err(|_| EXPECTED.to_owned());
    }
    Err(EXPECTED.to_owned())
}

fn is_text_or_int(value: &Bound<'_, PyAny>) -> bool {
    value.is_instance_of::<PyString>()
        || (value.is_instance_of::<PyInt>() && !value.is_instance_of::<PyBool>())
}

/// One str, or several in a list or tuple.
fn strings(value: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    if let Ok(text) = value.cast::<PyString>() {
        return Ok(vec![text.to_str()?.to_owned()]);
    }
    value.extract().map_err(|_| {
        PyTypeError::new_err("publication_name: expected a str, or a list of str for several")
    })
}

/// Debezium's spelling, which has dots, or Python's, which has underscores in their place.
fn option_name(name: &Bound<'_, PyAny>) -> PyResult<String> {
    let name: String = name
        .extract()
        .map_err(|_| PyTypeError::new_err("options: names are expected to be str"))?;
    Ok(if name.contains('.') {
        name
    } else {
        name.replace('_', ".")
    })
}

/// Properties are text: `True` is `true`, and a list is its elements separated by commas.
fn option_value(value: &Bound<'_, PyAny>) -> PyResult<String> {
    if let Ok(boolean) = value.cast::<PyBool>() {
        return Ok(boolean.is_true().to_string());
    }
    if value.is_instance_of::<PyString>() || value.is_instance_of::<PyInt>() {
        return Ok(value.str()?.to_str()?.to_owned());
    }
    if value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() {
        let parts: Vec<String> = value
            .try_iter()?
            .map(|part| option_value(&part?))
            .collect::<PyResult<_>>()?;
        return Ok(parts.join(","));
    }
    Err(PyTypeError::new_err(
        "options: values are expected to be str, bool, int, or lists of these",
    ))
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

/// A bool, or "temporary".
fn parse_create_slot(create: &Bound<'_, PyAny>) -> PyResult<CreateSlot> {
    match create.extract::<bool>() {
        Ok(true) => Ok(CreateSlot::Yes),
        Ok(false) => Ok(CreateSlot::No),
        Err(_) if create.eq("temporary")? => Ok(CreateSlot::Temporary),
        Err(_) => Err(error::configuration(
            "create_slot",
            "expected True, \"temporary\" or False",
        )),
    }
}
