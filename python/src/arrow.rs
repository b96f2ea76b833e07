//! Events as Arrow record batches: one for each table and version of its columns.
//!
//! Values go from the events' JSON into Arrow's buffers without Python, so that other threads run
//! meanwhile; what is made is handed over through Arrow's C data interface.

mod column;
mod table;
mod temporal;

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::ffi::{FFI_ArrowArray, FFI_ArrowSchema};
use arrow_array::{Array, RecordBatch, StructArray};
use pgoutput_decoder_host::{Event, Topic};
use pyo3::exceptions::{PyImportError, PyModuleNotFoundError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyList};

use self::table::{Failure, Table, unreadable};
use crate::error;
use crate::message::{Rendering, ReplicationMessage};
use crate::value::DecimalAs;

/// The messages as `pyarrow.RecordBatch`es: one for each table and version of its columns, in the
/// order in which these appear.
#[pyfunction]
#[pyo3(signature = (messages, *, text_columns=None))]
pub(crate) fn arrow_batches<'py>(
    messages: &Bound<'py, PyAny>,
    text_columns: Option<Vec<String>>,
) -> PyResult<Bound<'py, PyList>> {
    let py = messages.py();
    let mut events = Vec::new();
    let mut rendering: Option<Arc<Rendering>> = None;
    for message in messages.try_iter()? {
        let message = message?.cast_into::<ReplicationMessage>()?;
        let message = message.get();
        let first = rendering.get_or_insert_with(|| Arc::clone(message.rendering()));
        if first.decimal() != message.rendering().decimal() {
            return Err(PyValueError::new_err(
                "messages of readers with other settings: format, decimal",
            ));
        }
        events.push(message.event().clone());
    }
    let text_columns = text_columns.unwrap_or_default();
    match rendering {
        Some(rendering) => record_batches(py, &events, &rendering, &text_columns),
        None => Ok(PyList::empty(py)),
    }
}

/// The same for events that `rendering` would make messages of.
pub(crate) fn record_batches<'py>(
    py: Python<'py>,
    events: &[Event],
    rendering: &Rendering,
    text_columns: &[String],
) -> PyResult<Bound<'py, PyList>> {
    let pyarrow = py.import("pyarrow").map_err(|error| explained(py, error))?;
    let decimal = rendering.decimal().ok_or_else(|| {
        error::configuration("format", "Arrow is made of \"native\" events alone")
    })?;
    let made = py.detach(|| {
        let mut conversion = Conversion::new(decimal, text_columns);
        for event in events {
            conversion.push(event)?;
        }
        conversion.finish()
    });
    let batches = PyList::empty(py);
    for batch in made.map_err(|failure| failure.raise(py))? {
        batches.append(pyarrow.call_method1("record_batch", (Exported(batch),))?)?;
    }
    Ok(batches)
}

/// Where there is no pyarrow, how to get it.
fn explained(py: Python<'_>, error: PyErr) -> PyErr {
    if !error.is_instance_of::<PyModuleNotFoundError>(py) {
        return error;
    }
    let explained = PyImportError::new_err("Arrow needs pyarrow: pip install pyarrow");
    explained.set_cause(py, Some(error));
    explained
}

struct Conversion<'a> {
    decimal: DecimalAs,
    text_columns: &'a [String],
    tables: Vec<Table>,
    /// Which table a topic's events belong to, by the topic's address.
    known: HashMap<usize, usize>,
}

impl<'a> Conversion<'a> {
    fn new(decimal: DecimalAs, text_columns: &'a [String]) -> Self {
        Self {
            decimal,
            text_columns,
            tables: Vec::new(),
            known: HashMap::new(),
        }
    }

    fn push(&mut self, event: &Event) -> Result<(), Failure> {
        let topic = event.topic();
        let known = self.known.get(&Arc::as_ptr(topic).addr()).copied();
        let index = known.unwrap_or_else(|| self.index(topic));
        let table = self.tables.get_mut(index);
        table
            .ok_or_else(|| unreadable("an event of no table"))?
            .push(event)
    }

    /// A decoder that began anew, after a reconnect, has topics of its own: the same may be there.
    fn index(&mut self, topic: &Arc<Topic>) -> usize {
        let same = |table: &Table| table.is_of(topic);
        let index = self.tables.iter().position(same).unwrap_or_else(|| {
            let table = Table::new(Arc::clone(topic), self.decimal, self.text_columns);
            self.tables.push(table);
            self.tables.len() - 1
        });
        self.known.insert(Arc::as_ptr(topic).addr(), index);
        index
    }

    fn finish(self) -> Result<Vec<RecordBatch>, Failure> {
        let mut batches = Vec::with_capacity(self.tables.len());
        for table in self.tables {
            batches.extend(table.finish()?);
        }
        Ok(batches)
    }
}

/// A record batch on its way to pyarrow.
#[pyclass(frozen)]
struct Exported(RecordBatch);

#[pymethods]
impl Exported {
    /// Arrow's `PyCapsule` interface.
    #[pyo3(signature = (_requested_schema=None))]
    fn __arrow_c_array__<'py>(
        &self,
        py: Python<'py>,
        _requested_schema: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<(Bound<'py, PyCapsule>, Bound<'py, PyCapsule>)> {
        let schema = FFI_ArrowSchema::try_from(self.0.schema_ref().as_ref())
            .map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
        let array = FFI_ArrowArray::new(&StructArray::from(self.0.clone()).to_data());
        Ok((
            PyCapsule::new_with_value(py, schema, c"arrow_schema")?,
            PyCapsule::new_with_value(py, array, c"arrow_array")?,
        ))
    }
}
