//! The host's status as Python's dataclass.

use pgoutput_decoder_host::{PluginStatus, Position, Status};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple};

/// `status` in the state of this name.
pub(crate) fn to_python<'py>(
    py: Python<'py>,
    state: &str,
    acknowledged: Option<Position>,
    status: Status,
) -> PyResult<Bound<'py, PyAny>> {
    static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let fields = PyDict::new(py);
    fields.set_item("state", state)?;
    fields.set_item("last_error", status.last_error)?;
    fields.set_item("reconnects", status.reconnects)?;
    fields.set_item("received_lsn", status.received_lsn.to_string())?;
    fields.set_item("delivered", status.delivered.map(|at| at.to_string()))?;
    fields.set_item("acknowledged", acknowledged.map(|at| at.to_string()))?;
    fields.set_item("confirmed_lsn", status.confirmed_lsn.to_string())?;
    fields.set_item("server_lsn", status.server_lsn.to_string())?;
    fields.set_item("lag_bytes", status.lag_bytes)?;
    fields.set_item("lag_s", status.lag_s)?;
    fields.set_item("outstanding_events", status.outstanding_events)?;
    fields.set_item("outstanding_transactions", status.outstanding_transactions)?;
    fields.set_item("queued_bytes", status.queued_bytes)?;
    fields.set_item("skipped", status.skipped)?;
    fields.set_item("parked", status.parked)?;
    let plugins: PyResult<Vec<_>> = status.plugins.iter().map(|one| plugin(py, one)).collect();
    fields.set_item("plugins", PyTuple::new(py, plugins?)?)?;
    fields.set_item("publishes_tables", status.publishes_tables)?;
    fields.set_item("wal_status", status.wal_status)?;
    fields.set_item("safe_wal_size", status.safe_wal_size)?;
    fields.set_item("invalidation_in_s", status.invalidation_in_s)?;
    let class = CLASS.import(py, "pgoutput_decoder.status", "Status")?;
    class.call((), Some(&fields))
}

fn plugin<'py>(py: Python<'py>, status: &PluginStatus) -> PyResult<Bound<'py, PyAny>> {
    static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let fields = PyDict::new(py);
    fields.set_item("name", &status.name)?;
    fields.set_item("version", &status.version)?;
    fields.set_item("sha256", &status.sha256)?;
    fields.set_item("events", status.events)?;
    fields.set_item("dropped", status.dropped)?;
    fields.set_item("changed", status.changed)?;
    fields.set_item("emitted", status.emitted)?;
    fields.set_item("skipped", status.skipped)?;
    fields.set_item("parked", status.parked)?;
    fields.set_item("out_of_time", status.out_of_time)?;
    fields.set_item("out_of_memory", status.out_of_memory)?;
    fields.set_item("out_of_output", status.out_of_output)?;
    fields.set_item("traps", status.traps)?;
    fields.set_item("wrong_answers", status.wrong_answers)?;
    fields.set_item("memory_bytes", status.memory_bytes)?;
    fields.set_item("lines_unshown", status.lines_unshown)?;
    fields.set_item("reloads", status.reloads)?;
    fields.set_item("refused", status.refused)?;
    let class = CLASS.import(py, "pgoutput_decoder.plugins", "PluginStatus")?;
    class.call((), Some(&fields))
}
