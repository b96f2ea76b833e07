//! The host's errors as Python's exceptions: one `match`.

use std::sync::Arc;

use pgoutput_decoder_host::capture::CaptureError;
use pgoutput_decoder_host::recording::ReplayError;
use pgoutput_decoder_host::{DecodeError, EngineError, Error, Lsn, Position, SlotProblem};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyDict};
use pyo3::{PyTypeInfo, import_exception};

import_exception!(pgoutput_decoder.exceptions, ChangesLostError);
import_exception!(pgoutput_decoder.exceptions, ConfigurationError);
import_exception!(pgoutput_decoder.exceptions, ConnectionError);
import_exception!(pgoutput_decoder.exceptions, DecodingError);
import_exception!(pgoutput_decoder.exceptions, PluginError);
import_exception!(pgoutput_decoder.exceptions, PublicationNotFoundError);
import_exception!(pgoutput_decoder.exceptions, ReplicationError);
import_exception!(pgoutput_decoder.exceptions, SlotNotFoundError);
import_exception!(pgoutput_decoder.exceptions, UnrepresentableError);

/// Why there will be no more events.
#[derive(Clone)]
pub(crate) enum Failure {
    Host(Arc<Error>),
    /// The pump's task panicked.
    Panicked,
    Recording(Arc<ReplayError>),
}

/// Why an acknowledgement was not made.
pub(crate) enum Refused {
    Beyond {
        asked: String,
        handed: Option<Position>,
    },
    Failed(Arc<Error>),
    /// The process it was started in has forked, and this is the child.
    Inherited,
    NothingPending,
    /// Another task consumes, and acknowledging is automatic.
    SecondTask,
    Stopped,
}

impl Refused {
    pub(crate) fn failed(error: Error) -> Self {
        Self::Failed(Arc::new(error))
    }

    pub(crate) fn beyond(asked: &impl ToString, handed: Option<Position>) -> Self {
        let asked = asked.to_string();
        Self::Beyond { asked, handed }
    }
}

/// The exception for `error`; a new one each time, for each has its own traceback.
pub(crate) fn raise(py: Python<'_>, error: &Error) -> PyErr {
    let made = attributes(py, error).and_then(|attributes| match error {
        Error::Acknowledge { .. } => Ok(PyValueError::new_err(error.to_string())),
        Error::Configuration { .. } | Error::Engine(EngineError::Option(_)) => {
            new::<ConfigurationError>(py, error, &attributes)
        }
        Error::Authentication { .. }
        | Error::Connection { .. }
        | Error::Hosts { .. }
        | Error::Protocol { .. }
        | Error::Server { .. }
        | Error::SessionAttributes { .. }
        | Error::Tls { .. }
        | Error::WalLevel { .. } => new::<ConnectionError>(py, error, &attributes),
        Error::Password { error: cause, .. } => {
            let raised = new::<ConnectionError>(py, error, &attributes)?;
            let cause = match cause.downcast_ref::<PyErr>() {
                Some(cause) => cause.clone_ref(py),
                None => PyRuntimeError::new_err(cause.to_string()),
            };
            raised.set_cause(py, Some(cause));
            Ok(raised)
        }
        Error::Decoding(decoding) => {
            describe(&attributes, decoding)?;
            new::<DecodingError>(py, error, &attributes)
        }
        Error::Plugin { plugin, at, .. } => {
            attributes.set_item("plugin", plugin)?;
            if let Some((position, topic)) = at {
                attributes.set_item("position", position.to_string())?;
                attributes.set_item("topic", topic)?;
            }
            new::<PluginError>(py, error, &attributes)
        }
        Error::PublicationNotFound { publication, .. } => {
            attributes.set_item("publication", publication)?;
            new::<PublicationNotFoundError>(py, error, &attributes)
        }
        // Trying again is of no use: there would be a hole.
        Error::ServerChanged { .. }
        | Error::ServerRewound { .. }
        | Error::SlotGone { .. }
        | Error::SlotUnusable {
            problem:
                SlotProblem::Lost { .. }
                | SlotProblem::Moved { .. }
                | SlotProblem::PrepareConfirmed { .. }
                | SlotProblem::Temporary { .. },
            ..
        }
        | Error::TimelineChanged { .. } => new::<ChangesLostError>(py, error, &attributes),
        Error::SlotNotFound { slot } => {
            attributes.set_item("slot", slot)?;
            new::<SlotNotFoundError>(py, error, &attributes)
        }
        _ => new::<ReplicationError>(py, error, &attributes),
    });
    made.unwrap_or_else(|failed| failed)
}

/// Why a stream gives nothing more.
pub(crate) fn failed(py: Python<'_>, failure: &Failure) -> PyErr {
    match failure {
        Failure::Host(error) => raise(py, error),
        Failure::Recording(error) => match &**error {
            ReplayError::Decode {
                error: decoding, ..
            } => decoding_error(py, &error.to_string(), decoding),
            _ => replication(&error.to_string()),
        },
        Failure::Panicked => ReplicationError::new_err(
            "the stream ended by a bug in pgoutput_decoder, which the process's standard error \
             tells of; what was not acknowledged comes again",
        ),
    }
}

/// A refused acknowledgement, or a refused request for a message.
pub(crate) fn refused(py: Python<'_>, refused: Refused) -> PyErr {
    match refused {
        Refused::Beyond {
            asked,
            handed: Some(position),
        } => PyValueError::new_err(format!(
            "cannot acknowledge {asked}: the last message received is at {position}"
        )),
        Refused::Beyond {
            asked,
            handed: None,
        } => PyValueError::new_err(format!(
            "cannot acknowledge {asked}: no message has been received yet"
        )),
        Refused::Failed(error) => raise(py, &error),
        Refused::Inherited => ReplicationError::new_err(
            "a reader does not survive a fork: its connection is the parent process's; make a new \
             reader in this one, with another slot while the parent reads from this",
        ),
        Refused::NothingPending => ReplicationError::new_err(
            "No pending LSN to acknowledge: every message received is acknowledged already, or \
             auto_acknowledge=True does it",
        ),
        Refused::SecondTask => ReplicationError::new_err(
            "another task takes messages from this reader: with auto_acknowledge=True its work in \
             progress would count as done; for several tasks use auto_acknowledge=False",
        ),
        Refused::Stopped => ReplicationError::new_err("the reader has been stopped"),
    }
}

/// For who awaits a reader outside of asyncio.
pub(crate) fn no_event_loop() -> PyErr {
    ReplicationError::new_err(
        "no event loop of asyncio's is running here, which a reader needs: call it from \
         asyncio.run(...), with anyio from its backend \"asyncio\" and not from trio; without an \
         event loop use SyncReader",
    )
}

/// A setting that cannot be what it was given as.
pub(crate) fn configuration(setting: &str, reason: &str) -> PyErr {
    ConfigurationError::new_err(format!("{setting}: {reason}"))
}

/// A message that cannot be decoded, outside of a stream.
pub(crate) fn undecodable(py: Python<'_>, decoding: &DecodeError) -> PyErr {
    decoding_error(py, &decoding.to_string(), decoding)
}

fn decoding_error(py: Python<'_>, text: &str, decoding: &DecodeError) -> PyErr {
    let attributes = PyDict::new(py);
    let made = describe(&attributes, decoding).and_then(|()| {
        let class = py.get_type::<DecodingError>();
        Ok(PyErr::from_value(class.call((text,), Some(&attributes))?))
    });
    made.unwrap_or_else(|failed| failed)
}

fn describe(attributes: &Bound<'_, PyDict>, decoding: &DecodeError) -> PyResult<()> {
    attributes.set_item("lsn", Lsn(decoding.lsn).to_string())?;
    attributes.set_item("offset", decoding.offset)?;
    attributes.set_item("message_type", decoding.message_type.map(char::from))
}

/// A decoder that cannot be made.
pub(crate) fn engine(refused: &EngineError) -> PyErr {
    match refused {
        EngineError::Option(_) => ConfigurationError::new_err(refused.to_string()),
        _ => replication(&refused.to_string()),
    }
}

/// A recording that cannot be read.
pub(crate) fn recording(refused: CaptureError) -> PyErr {
    match refused {
        CaptureError::Read { path, source } => {
            let error = PyErr::from(source);
            let text = format!("{}: {error}", path.display());
            Python::attach(|py| match error.get_type(py).call1((text,)) {
                Ok(named) => PyErr::from_value(named),
                Err(failed) => failed,
            })
        }
        _ => PyValueError::new_err(refused.to_string()),
    }
}

/// What has no class of its own.
pub(crate) fn replication(text: &str) -> PyErr {
    ReplicationError::new_err(text.to_owned())
}

/// An event's JSON that cannot be read: a bug, never the caller's or the server's doing.
pub(crate) fn unreadable(reason: &str) -> PyErr {
    DecodingError::new_err(format!("cannot read the decoder's JSON: {reason}"))
}

/// A value that its column's Arrow type cannot hold: where it is, never what it is.
pub(crate) fn unrepresentable(py: Python<'_>, place: [(&str, &str); 4], arrow_type: &str) -> PyErr {
    let [(_, schema), (_, table), (_, column), (_, position)] = place;
    let name = format!("{schema}.{table}.{column}");
    let message = format!(
        "{name}: Arrow's {arrow_type} cannot hold the value at {position}; to have the column's \
         values as text, name it in text_columns"
    );
    let raised = || {
        let attributes = place.into_py_dict(py)?;
        attributes.set_item("hint", format!("text_columns=[{name:?}]"))?;
        let exception = py
            .get_type::<UnrepresentableError>()
            .call((message,), Some(&attributes))?;
        Ok(PyErr::from_value(exception))
    };
    raised().unwrap_or_else(|failed| failed)
}

fn attributes<'py>(py: Python<'py>, error: &Error) -> PyResult<Bound<'py, PyDict>> {
    [
        ("sqlstate", error.sqlstate().map(str::to_owned)),
        ("hint", error.hint()),
    ]
    .into_py_dict(py)
}

fn new<T: PyTypeInfo>(
    py: Python<'_>,
    error: &Error,
    attributes: &Bound<'_, PyDict>,
) -> PyResult<PyErr> {
    let exception = py
        .get_type::<T>()
        .call((error.to_string(),), Some(attributes))?;
    Ok(PyErr::from_value(exception))
}
