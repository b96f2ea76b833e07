//! `Decoder`: bytes in, messages out, for who has a connection of their own.

use std::mem;
use std::sync::{Arc, Mutex, TryLockError};
use std::time::{SystemTime, UNIX_EPOCH};

use pgoutput_decoder_host::engine::Facts;
use pgoutput_decoder_host::frames::{FrameDecoder, FrameError, Passed, Stopped, push_frame};
use pgoutput_decoder_host::{Batch, Event, Lsn, facts};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::arguments::{Decoding, decoding, parse_lsn};
use crate::error;
use crate::message::{Rendering, ReplicationMessage};

/// Decodes pgoutput's messages.
#[pyclass(frozen, module = "pgoutput_decoder")]
pub(crate) struct Decoder {
    state: Mutex<State>,
    rendering: Arc<Rendering>,
    /// Asks the catalogs.
    query: Option<Py<PyAny>>,
}

struct State {
    frames: FrameDecoder,
    /// Decoded before an error, and not returned yet.
    ready: Vec<Event>,
}

#[pymethods]
impl Decoder {
    #[new]
    #[pyo3(signature = (
        *, query=None, format="native", decimal="Decimal", temporal="str", uuid="str",
        options=None, database=""
    ))]
    fn new(
        query: Option<Py<PyAny>>,
        format: &str,
        decimal: &str,
        temporal: &str,
        uuid: &str,
        options: Option<&Bound<'_, PyDict>>,
        database: &str,
    ) -> PyResult<Self> {
        let wishes = [format, decimal, temporal, uuid];
        let Decoding {
            engine, rendering, ..
        } = decoding(wishes, options, database)?;
        Ok(Self {
            state: Mutex::new(State {
                frames: FrameDecoder::new(engine),
                ready: Vec::new(),
            }),
            rendering,
            query,
        })
    }

    /// The messages that one pgoutput message completes.
    #[pyo3(signature = (payload, lsn=None, end_lsn=None, sent_at_us=None))]
    fn decode<'py>(
        &self,
        py: Python<'py>,
        payload: &[u8],
        lsn: Option<&Bound<'py, PyAny>>,
        end_lsn: Option<&Bound<'py, PyAny>>,
        sent_at_us: Option<i64>,
    ) -> PyResult<Bound<'py, PyList>> {
        let named = |name: &str, lsn: Option<&Bound<'py, PyAny>>| match lsn {
            None => Ok(Lsn(0)),
            Some(lsn) => {
                parse_lsn(lsn).map_err(|reason| PyValueError::new_err(format!("{name}: {reason}")))
            }
        };
        let lsn = named("lsn", lsn)?;
        let end_lsn = named("end_lsn", end_lsn)?;
        let now_us = now_us();
        let mut frames = Vec::with_capacity(payload.len() + 30);
        push_frame(
            &mut frames,
            lsn,
            end_lsn.max(lsn),
            sent_at_us.unwrap_or(now_us),
            payload,
        )
        .ok_or_else(|| PyValueError::new_err("payload: longer than any of PostgreSQL's"))?;
        // Whoever waited for it with the GIL would keep its user from giving it back.
        let mut state = match self.state.try_lock() {
            Ok(state) => state,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                return Err(error::replication(
                    "the decoder is in use, by another thread or around its own query: messages \
                     are decoded one after the other",
                ));
            }
        };
        let State {
            frames: decoder,
            ready,
        } = &mut *state;
        let mut rest = frames.as_slice();
        let mut questions = 0;
        let mut failure = None;
        while !rest.is_empty() || decoder.is_replaying() {
            let passed = py.detach(|| decoder.pass(rest, now_us));
            let Passed {
                batch,
                consumed,
                stop,
            } = passed.map_err(|failed| broken(&failed))?;
            rest = rest.get(consumed..).unwrap_or_default();
            ready.extend(batch.iter().flat_map(Batch::events));
            let is_asked = matches!(stop, Some(Stopped::Unknown { .. }));
            questions = if is_asked { questions + 1 } else { 0 };
            match stop {
                None => {}
                Some(Stopped::Unknown { question, .. }) if questions < QUESTIONS_MAX => {
                    let facts = self.ask(py, &facts::sql(&question))?;
                    decoder.learn(&facts).map_err(|failed| broken(&failed))?;
                }
                Some(Stopped::Failed(failed)) => {
                    // One that was stashed stands before the one that commits it.
                    if decoder.skip().map_err(|failed| broken(&failed))? {
                        rest = &[];
                    }
                    failure.get_or_insert(failed);
                }
                Some(Stopped::NotStashed { xid }) => {
                    return Err(error::replication(&format!(
                        "nothing has come of transaction {xid}, which is committed at LSN {lsn}: \
                         pass every message of the stream, from the slot's beginning on"
                    )));
                }
                Some(Stopped::Unknown { .. } | Stopped::Stalled) => {
                    return Err(error::unreadable("the decoder does not go on"));
                }
            }
        }
        if let Some(failed) = failure {
            return Err(error::undecodable(py, &failed));
        }
        let events = mem::take(ready).into_iter();
        PyList::new(
            py,
            events
                .map(|event| {
                    Py::new(
                        py,
                        ReplicationMessage::new(event, Arc::clone(&self.rendering)),
                    )
                })
                .collect::<PyResult<Vec<_>>>()?,
        )
    }
}

impl Decoder {
    fn ask(&self, py: Python<'_>, sql: &str) -> PyResult<Facts> {
        let Some(query) = &self.query else {
            // What is not there is gone, for the decoder: values of its types come as text.
            return Ok(Facts {
                types: Vec::new(),
                relations: Vec::new(),
            });
        };
        let answer: String = query.call1(py, (sql,))?.extract(py).map_err(|_| {
            PyValueError::new_err("query: expected the one text that the statement gives, a str")
        })?;
        facts::parse(&answer).map_err(|reason| {
            PyValueError::new_err(format!("query: not what the statement gives: {reason}"))
        })
    }
}

fn broken(failed: &FrameError) -> PyErr {
    error::replication(&failed.to_string())
}

#[expect(clippy::disallowed_methods, reason = "events are made now")]
fn now_us() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// More of one frame is a bug in the decoder.
const QUESTIONS_MAX: u32 = 8;
