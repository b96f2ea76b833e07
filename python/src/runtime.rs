//! The two kinds of threads behind every reader of the process: tokio's workers, which never touch
//! Python, and one that tells event loops what to do, which does nothing else.
//!
//! A worker that had to wait for the GIL could not confirm anything meanwhile: Python code that
//! keeps the GIL for a minute must not make the server drop the connection.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::IntoPyDict;
use tokio::runtime::{Builder, Handle, Runtime};

/// Enough: one receives and decodes while the other confirms.
const WORKERS: usize = 2;

/// An asyncio future to complete, and its loop.
pub(crate) struct Waiter {
    pub(crate) event_loop: Py<PyAny>,
    pub(crate) future: Py<PyAny>,
}

/// A way to the threads that needs no lock: one held by a thread at the moment of a fork would be
/// held in the child for ever.
#[derive(Clone)]
pub(crate) struct Link {
    pub(crate) runtime: Handle,
    wake: Sender<Job>,
}

/// What the thread that tells event loops does.
enum Job {
    Wake(Vec<Waiter>),
    /// A short call.
    Call(Call),
    End,
}

type Call = Box<dyn FnOnce(Python<'_>) + Send>;

struct Threads {
    /// The process they are in: a fork copies this, and not the threads.
    process: Process,
    runtime: Runtime,
    wake: Sender<Job>,
    waker: JoinHandle<()>,
}

static THREADS: Mutex<Option<Threads>> = Mutex::new(None);

/// How many forks lie between this process and the one that first started the threads.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// A process among its ancestors. Cheaper than asking the system for a number, message by message.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Process(u32);

impl Process {
    pub(crate) fn this() -> Self {
        Self(FORKS.load(Ordering::Relaxed))
    }

    /// Whether this process comes from it by a fork.
    pub(crate) fn is_ancestor(self) -> bool {
        self != Self::this()
    }
}

/// The process's threads; started at the first call.
pub(crate) fn link(py: Python<'_>) -> PyResult<Link> {
    let (link, new) = running_or_new()?;
    if new {
        // Calls into Python, and so not under the lock.
        py.import("atexit")?
            .call_method1("register", (wrap_pyfunction!(end, py)?,))?;
        let os = py.import("os")?;
        // A child has it from its parent. Windows has no fork.
        if Process::this() == Process(0) && os.hasattr("register_at_fork")? {
            let hook = [("after_in_child", wrap_pyfunction!(forked, py)?)].into_py_dict(py)?;
            os.call_method("register_at_fork", (), Some(&hook))?;
        }
    }
    Ok(link)
}

/// In the child of a fork, before anything else runs there.
#[pyfunction]
fn forked() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

fn running_or_new() -> io::Result<(Link, bool)> {
    let mut slot = threads();
    if let Some(threads) = slot
        .as_ref()
        .filter(|threads| !threads.process.is_ancestor())
    {
        return Ok((threads.link(), false));
    }
    // After a fork the parent's threads do not exist here; waiting for them would hang.
    std::mem::forget(slot.take());
    Ok((slot.insert(start()?).link(), true))
}

impl Link {
    /// Completes the waiters' futures, each in its own loop. Returns at once and needs no GIL.
    pub(crate) fn wake(&self, waiters: Vec<Waiter>) {
        if !waiters.is_empty() {
            // The receiver lives until the interpreter ends, and then nobody waits any more.
            let _ = self.wake.send(Job::Wake(waiters));
        }
    }

    /// Makes a short call into Python. Returns at once and needs no GIL.
    pub(crate) fn call(&self, call: impl FnOnce(Python<'_>) + Send + 'static) {
        // As above.
        let _ = self.wake.send(Job::Call(Box::new(call)));
    }
}

impl Threads {
    fn link(&self) -> Link {
        Link {
            runtime: self.runtime.handle().clone(),
            wake: self.wake.clone(),
        }
    }
}

fn threads() -> MutexGuard<'static, Option<Threads>> {
    THREADS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn start() -> io::Result<Threads> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .thread_name("pgoutput-decoder")
        .enable_all()
        .build()?;
    let (wake, woken) = mpsc::channel::<Job>();
    let waker = thread::Builder::new()
        .name("pgoutput-wake".to_owned())
        .spawn(move || {
            // Attached once, and away while there is nothing to do: attaching is dear.
            Python::attach(|py| {
                let mut woken = woken;
                loop {
                    let job;
                    (job, woken) = py.detach(move || (woken.recv(), woken));
                    match job {
                        Ok(Job::Wake(waiters)) => complete(py, waiters),
                        Ok(Job::Call(call)) => call(py),
                        Ok(Job::End) | Err(_) => return,
                    }
                }
            });
        })?;
    Ok(Threads {
        process: Process::this(),
        runtime,
        wake,
        waker,
    })
}

/// Before the interpreter ends: a thread that is in the middle of it then is unwound by force,
/// which Rust does not survive.
#[pyfunction]
fn end(py: Python<'_>) {
    let ended = threads().take();
    if let Some(Threads {
        process,
        runtime,
        wake,
        waker,
    }) = ended
    {
        if process.is_ancestor() {
            std::mem::forget((runtime, wake, waker));
        } else {
            let _ = wake.send(Job::End);
            // Were it to have panicked, nobody is left to be told.
            let _ = py.detach(|| waker.join());
            runtime.shutdown_background();
        }
    }
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

pub(crate) fn set_done_function(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static FUNCTION: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let function = FUNCTION.get_or_try_init(py, || {
        wrap_pyfunction!(set_done, py).map(|f| f.into_any().unbind())
    })?;
    Ok(function.bind(py))
}
