//! The two kinds of threads behind every reader of the process: tokio's workers, which never touch
//! Python, and one that wakes event loops, which does nothing else.
//!
//! A worker that had to wait for the GIL could not confirm anything meanwhile: Python code that
//! keeps the GIL for a minute must not make the server drop the connection.

use std::sync::mpsc::{self, Sender};
use std::sync::{Mutex, PoisonError};
use std::{io, process, thread};

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use tokio::runtime::{Builder, Handle, Runtime};

/// Enough: one receives and decodes while the other confirms.
const WORKERS: usize = 2;

/// An asyncio future to complete, and its loop.
pub(crate) struct Waiter {
    pub(crate) event_loop: Py<PyAny>,
    pub(crate) future: Py<PyAny>,
}

struct Threads {
    process: u32,
    runtime: Runtime,
    wake: Sender<Vec<Waiter>>,
}

static THREADS: Mutex<Option<Threads>> = Mutex::new(None);

/// tokio's workers; started at the first call.
pub(crate) fn handle() -> io::Result<Handle> {
    with_threads(|threads| threads.runtime.handle().clone())
}

/// Completes the waiters' futures, each in its own loop. Returns at once and needs no GIL.
pub(crate) fn wake(waiters: Vec<Waiter>) {
    if !waiters.is_empty() {
        // Without threads there is nobody who could have registered a waiter.
        let _ = with_threads(|threads| threads.wake.send(waiters));
    }
}

fn with_threads<T>(use_them: impl FnOnce(&Threads) -> T) -> io::Result<T> {
    let mut slot = THREADS.lock().unwrap_or_else(PoisonError::into_inner);
    match slot.take() {
        Some(threads) if threads.process == process::id() => Ok(use_them(slot.insert(threads))),
        stale => {
            // After a fork the parent's threads do not exist here; waiting for them would hang.
            std::mem::forget(stale);
            Ok(use_them(slot.insert(start()?)))
        }
    }
}

fn start() -> io::Result<Threads> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .thread_name("pgoutput-decoder")
        .enable_all()
        .build()?;
    let (wake, woken) = mpsc::channel::<Vec<Waiter>>();
    thread::Builder::new()
        .name("pgoutput-wake".to_owned())
        .spawn(move || {
            for waiters in woken {
                // None: the interpreter is shutting down, and nobody waits any more.
                if Python::try_attach(|py| complete(py, waiters)).is_none() {
                    return;
                }
            }
        })?;
    Ok(Threads {
        process: process::id(),
        runtime,
        wake,
    })
}

fn complete(py: Python<'_>, waiters: Vec<Waiter>) {
    for waiter in waiters {
        // A loop that is closed has nobody left to wake.
        let _ = set_done_function(py).and_then(|set_done| {
            let event_loop = waiter.event_loop.bind(py);
            event_loop.call_method1("call_soon_threadsafe", (set_done, &waiter.future))
        });
    }
}

/// Runs in the future's own loop, where it may have been cancelled meanwhile.
#[pyfunction]
fn set_done(future: &Bound<'_, PyAny>) -> PyResult<()> {
    if !future.call_method0("done")?.is_truthy()? {
        future.call_method1("set_result", (future.py().None(),))?;
    }
    Ok(())
}

fn set_done_function(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static FUNCTION: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let function = FUNCTION.get_or_try_init(py, || {
        wrap_pyfunction!(set_done, py).map(|f| f.into_any().unbind())
    })?;
    Ok(function.bind(py))
}
