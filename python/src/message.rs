//! `ReplicationMessage`: one event, read from its JSON when it is asked for.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use jiter::{Jiter, JiterError};
use pgoutput_decoder_host::records::TopicTable;
use pgoutput_decoder_host::{Column, Event, Topic};
use pyo3::exceptions::{PyKeyError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyString, PyTuple, PyType};

use crate::error;
use crate::pretty::{indented, on_one_line};
use crate::raw;
use crate::value::{self, ColumnNames, DecimalAs, Wishes};

/// How a reader's messages are turned into Python objects.
pub(crate) struct Rendering {
    /// Whether columns' shapes say what values stand for; else the JSON is taken as it is.
    typed: bool,
    wishes: Wishes,
    /// The tables seen last; as many as are likely to alternate.
    names: Mutex<Vec<(Arc<Topic>, Arc<ColumnNames>)>>,
}

const NAMES_MAX: usize = 64;

impl Rendering {
    pub(crate) fn new(typed: bool, wishes: Wishes) -> Self {
        Self {
            typed,
            wishes,
            names: Mutex::new(Vec::new()),
        }
    }

    /// As a reader's arguments of these names have it.
    pub(crate) fn parse(format: &str, decimal: &str, temporal: &str, uuid: &str) -> PyResult<Self> {
        let typed = match format {
            "native" => true,
            "debezium" => false,
            _ => {
                let reason = "expected \"native\" or \"debezium\"";
                return Err(error::configuration("format", reason));
            }
        };
        let wishes = Wishes::parse(decimal, temporal, uuid)?;
        if !typed && (wishes.datetime || wishes.uuid) {
            let name = if wishes.datetime { "temporal" } else { "uuid" };
            return Err(error::configuration(name, "for format=\"native\" alone"));
        }
        Ok(Self::new(typed, wishes))
    }

    /// What numerics become; none where nothing is known of the columns.
    pub(crate) fn decimal(&self) -> Option<DecimalAs> {
        self.typed.then_some(self.wishes.decimal)
    }

    fn names(&self, py: Python<'_>, topic: &Arc<Topic>) -> Arc<ColumnNames> {
        let mut cache = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, names)) = cache
            .iter()
            .rev()
            .find(|(known, _)| Arc::ptr_eq(known, topic))
        {
            return Arc::clone(names);
        }
        let names = Arc::new(ColumnNames::new(py, topic));
        if cache.len() == NAMES_MAX {
            cache.remove(0);
        }
        cache.push((Arc::clone(topic), Arc::clone(&names)));
        names
    }
}

/// One change event.
#[pyclass(frozen, weakref, module = "pgoutput_decoder")]
pub(crate) struct ReplicationMessage {
    event: Event,
    rendering: Arc<Rendering>,
    before: PyOnceLock<Py<PyAny>>,
    after: PyOnceLock<Py<PyAny>>,
    source: PyOnceLock<Py<PyAny>>,
    key: PyOnceLock<Py<PyAny>>,
    times: OnceLock<Times>,
}

/// The envelope's own times: when the event was made.
#[derive(Clone, Copy, Default)]
struct Times {
    ms: Option<i64>,
    us: Option<i64>,
    ns: Option<i64>,
}

impl ReplicationMessage {
    pub(crate) fn new(event: Event, rendering: Arc<Rendering>) -> Self {
        Self {
            event,
            rendering,
            before: PyOnceLock::new(),
            after: PyOnceLock::new(),
            source: PyOnceLock::new(),
            key: PyOnceLock::new(),
            times: OnceLock::new(),
        }
    }

    pub(crate) fn event(&self) -> &Event {
        &self.event
    }

    pub(crate) fn rendering(&self) -> &Arc<Rendering> {
        &self.rendering
    }

    fn row(&self, py: Python<'_>, json: Option<&str>, unchanged: &[u32]) -> PyResult<Py<PyAny>> {
        match json {
            None => Ok(py.None()),
            Some(json) if self.rendering.typed => {
                let topic = self.event.topic();
                let names = self.rendering.names(py, topic);
                value::row(py, json, topic, &names, unchanged, self.rendering.wishes)
            }
            Some(json) => value::plain(py, json, self.rendering.wishes.decimal),
        }
    }

    fn plain(&self, py: Python<'_>, json: Option<&str>) -> PyResult<Py<PyAny>> {
        json.map_or_else(
            || Ok(py.None()),
            |json| value::plain(py, json, self.rendering.wishes.decimal),
        )
    }

    fn times(&self) -> PyResult<Times> {
        if let Some(times) = self.times.get() {
            return Ok(*times);
        }
        let times = Times::read(&self.event)?;
        Ok(*self.times.get_or_init(|| times))
    }

    fn layout(&self, indent: Option<usize>) -> String {
        let json = self.event.value().unwrap_or("null");
        match indent {
            Some(indent) => indented(json, indent),
            None => on_one_line(json).into_owned(),
        }
    }
}

impl Times {
    /// Reads what stands behind `before`, `after` and `source`, whose size has no bounds.
    fn read(event: &Event) -> PyResult<Self> {
        let Some(value) = event.value() else {
            return Ok(Self::default());
        };
        let base = value.as_ptr().addr();
        let ends = [event.before(), event.after(), event.source()]
            .map(|part| part.map_or(0, |part| part.as_ptr().addr() + part.len() - base));
        let behind = ends.iter().max().and_then(|&end| value.get(end..));
        let json = match behind.and_then(|rest| rest.strip_prefix(',')) {
            Some(fields) => Cow::Owned(format!("{{{fields}")),
            None => Cow::Borrowed(value),
        };
        Self::parse(&json).map_err(|error| error::unreadable(&error.to_string()))
    }

    fn parse(json: &str) -> Result<Self, JiterError> {
        let mut times = Self::default();
        let mut jiter = Jiter::new(json.as_bytes());
        let mut more = jiter.next_object()?;
        while let Some(name) = more {
            let time = match name {
                "ts_ms" => Some(&mut times.ms),
                "ts_us" => Some(&mut times.us),
                "ts_ns" => Some(&mut times.ns),
                _ => None,
            };
            match (time, jiter.peek()?) {
                (Some(time), peek) if peek.is_num() => {
                    let digits = std::str::from_utf8(jiter.known_number_bytes(peek)?);
                    *time = digits.ok().and_then(|digits| digits.parse().ok());
                }
                (_, peek) => jiter.known_skip(peek)?,
            }
            more = jiter.next_key()?;
        }
        Ok(times)
    }
}

#[pymethods]
impl ReplicationMessage {
    /// "c", "u", "d", "t" or "m"; None for a tombstone and for transaction metadata.
    #[getter]
    fn op(&self) -> Option<char> {
        self.event.op()
    }

    /// The old row as a dict, or None.
    #[getter]
    fn before(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let before = self
            .before
            .get_or_try_init(py, || self.row(py, self.event.before(), &[]))?;
        Ok(before.clone_ref(py))
    }

    /// The new row as a dict, or None.
    #[getter]
    fn after(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let after = self.after.get_or_try_init(py, || {
            let unchanged: Vec<u32> = self.event.unchanged().collect();
            self.row(py, self.event.after(), &unchanged)
        })?;
        Ok(after.clone_ref(py))
    }

    /// Where the change comes from; None for what has no source, like a tombstone.
    #[getter]
    fn source(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let source = self
            .source
            .get_or_try_init(py, || self.plain(py, self.event.source()))?;
        Ok(source.clone_ref(py))
    }

    /// The columns of the key as a dict, or None.
    #[getter]
    fn key(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let key = self
            .key
            .get_or_try_init(py, || self.row(py, self.event.key(), &[]))?;
        Ok(key.clone_ref(py))
    }

    /// Debezium's message headers.
    #[getter]
    fn headers(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.plain(py, Some(self.event.headers()))
    }

    /// When the event was made, ms since 1970; None for a tombstone.
    #[getter]
    fn ts_ms(&self) -> PyResult<Option<i64>> {
        Ok(self.times()?.ms)
    }

    /// When the event was made, µs since 1970; None for a tombstone.
    #[getter]
    fn ts_us(&self) -> PyResult<Option<i64>> {
        Ok(self.times()?.us)
    }

    /// When the event was made, ns since 1970; None for a tombstone.
    #[getter]
    fn ts_ns(&self) -> PyResult<Option<i64>> {
        Ok(self.times()?.ns)
    }

    /// The event's JSON in UTF-8, as the decoder wrote it; None for a tombstone.
    #[getter]
    fn json<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        let json = self.event.value();
        json.map(|json| PyBytes::new(py, json.as_bytes()))
    }

    /// The key's JSON in UTF-8, as the decoder wrote it; None for a table without a key.
    #[getter]
    fn key_json<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        let json = self.event.key();
        json.map(|json| PyBytes::new(py, json.as_bytes()))
    }

    /// Debezium's block about the transaction, where it was asked for.
    #[getter]
    fn transaction(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        // Without an envelope, a column may have that name.
        let envelope = self.event.source().and(self.event.value());
        let found = envelope.map_or(Ok(None), |json| raw::column(json, "transaction"));
        self.plain(
            py,
            found.map_err(|error| error::unreadable(&error.to_string()))?,
        )
    }

    /// The transaction's commit time, µs since 1970.
    #[getter]
    fn commit_ts_us(&self) -> i64 {
        self.event.commit_ts_us()
    }

    /// What the rows' columns are.
    #[getter]
    fn columns<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let class = CLASS.import(py, "pgoutput_decoder.messages", "Column")?;
        let columns = self.event.topic().columns.iter().map(|column| {
            let Column {
                name,
                type_oid,
                typmod,
                in_key,
                nullable,
                ..
            } = column;
            class.call1((name, type_oid, typmod, in_key, nullable))
        });
        PyTuple::new(py, columns.collect::<PyResult<Vec<_>>>()?)
    }

    /// Debezium's topic.
    #[getter]
    fn topic(&self) -> &str {
        &self.event.topic().name
    }

    /// The table's schema; empty for what is about no table.
    #[getter]
    fn schema(&self) -> &str {
        &self.event.topic().schema
    }

    /// The table's name; empty for what is about no table.
    #[getter]
    fn table(&self) -> &str {
        &self.event.topic().table
    }

    /// Commit LSN and number in the transaction, like "0/16B3748:7".
    #[getter]
    fn position(&self) -> String {
        self.event.position().to_string()
    }

    /// The change's own LSN, like "0/16B3748".
    #[getter]
    fn lsn(&self) -> String {
        self.event.lsn().to_string()
    }

    /// The transaction's id; None for a non-transactional message.
    #[getter]
    fn xid(&self) -> Option<u32> {
        self.event.xid()
    }

    /// The columns of `after` whose TOASTed values were not sent.
    #[getter]
    fn unchanged<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let columns = &self.event.topic().columns;
        let unchanged = self
            .event
            .unchanged()
            .filter_map(|index| usize::try_from(index).ok());
        let names: Vec<&str> = unchanged
            .filter_map(|index| columns.get(index).map(|column| &*column.name))
            .collect();
        PyTuple::new(py, names)
    }

    /// A column's JSON as the event has it; of json and jsonb, that is the server's own text.
    #[pyo3(signature = (column, row="after"))]
    fn raw(&self, py: Python<'_>, column: &str, row: &str) -> PyResult<Py<PyAny>> {
        let json = match row {
            "after" => self.event.after(),
            "before" => self.event.before(),
            "key" => self.event.key(),
            _ => {
                return Err(PyValueError::new_err(
                    "row must be \"after\", \"before\" or \"key\"",
                ));
            }
        };
        let found = json.map_or(Ok(None), |json| raw::column(json, column));
        let text = found
            .map_err(|error| error::unreadable(&error.to_string()))?
            .ok_or_else(|| PyKeyError::new_err(column.to_owned()))?;
        let columns = &self.event.topic().columns;
        let is_named = |index: u32| {
            let column_at = usize::try_from(index).ok().and_then(|at| columns.get(at));
            column_at.is_some_and(|found| found.name == column)
        };
        if row == "after" && self.event.unchanged().any(is_named) {
            return value::unchanged_sentinel(py);
        }
        if text == "null" {
            return Ok(py.None());
        }
        // The decoder tells a json null from SQL's by a space of its own.
        let own = usize::from(text.trim_ascii() == "null");
        let text = text.get(own..).unwrap_or_default();
        Ok(PyString::new(py, text).into_any().unbind())
    }

    /// The event as JSON, on one line or indented by `indent` spaces; "null" for a tombstone.
    #[pyo3(signature = (indent=None))]
    fn to_debezium_json(&self, indent: Option<usize>) -> String {
        self.layout(indent)
    }

    #[classattr]
    fn __match_args__() -> (&'static str, &'static str) {
        ("op", "table")
    }

    fn __eq__(&self, other: &Self) -> bool {
        let parts = |message: &Self| {
            let event = &message.event;
            let topic = Arc::clone(event.topic());
            (event.position(), event.lsn(), topic.name.clone())
        };
        parts(self) == parts(other)
            && self.event.key() == other.event.key()
            && self.event.value() == other.event.value()
            && self.event.headers() == other.event.headers()
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.event.position().hash(&mut hasher);
        hasher.finish()
    }

    fn __copy__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __deepcopy__(slf: Py<Self>, _memo: &Bound<'_, PyAny>) -> Py<Self> {
        slf
    }

    /// What [`Self::__reduce__`] has taken apart.
    #[classmethod]
    fn _restore(
        _class: &Bound<'_, PyType>,
        records: Vec<u8>,
        typed: bool,
        decimal: &str,
        temporal: &str,
        uuid: &str,
    ) -> PyResult<Self> {
        let rendering = Rendering::new(typed, Wishes::parse(decimal, temporal, uuid)?);
        let batch = TopicTable::default()
            .read(records)
            .map_err(|error| error::unreadable(&error.to_string()))?;
        let event = batch.event(0);
        let event = event.ok_or_else(|| error::unreadable("no event"))?;
        Ok(Self::new(event, Arc::new(rendering)))
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let restore = py.get_type::<Self>().getattr("_restore")?;
        let records = PyBytes::new(py, &self.event.to_records());
        let [decimal, temporal, uuid] = self.rendering.wishes.names();
        (
            restore,
            (records, self.rendering.typed, decimal, temporal, uuid),
        )
            .into_pyobject(py)
    }

    fn __repr__(&self) -> String {
        let topic = self.event.topic();
        let op = self
            .event
            .op()
            .map_or_else(|| "None".to_owned(), |op| format!("{op:?}"));
        let mut text = format!("<ReplicationMessage {op}");
        if !topic.table.is_empty() {
            text = format!("{text} {}.{}", topic.schema, topic.table);
        }
        if let Some(key) = self.event.key() {
            let shown: String = key.chars().take(KEY_SHOWN_MAX).collect();
            let more = if shown.len() < key.len() { "…" } else { "" };
            text = format!("{text} {shown}{more}");
        }
        text + ">"
    }
}

/// Of a key, in a message's `repr`.
const KEY_SHOWN_MAX: usize = 80;

/// The message as JSON: what `message.to_debezium_json(indent)` gives, with other defaults.
#[pyfunction]
#[pyo3(signature = (message, indent=2))]
pub(crate) fn message_to_debezium_json(
    message: &Bound<'_, ReplicationMessage>,
    indent: Option<usize>,
) -> String {
    message.get().layout(indent)
}
