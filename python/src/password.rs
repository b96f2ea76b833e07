//! A password that Python code is asked for. The code runs where it may: a coroutine in the event
//! loop the reader was started in, any other function in a thread of asyncio's.

use std::error::Error;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use pgoutput_decoder_host::Password;
use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use tokio::sync::oneshot;

use crate::runtime::Link;

/// Whom to ask.
pub(crate) struct Callback {
    callable: Py<PyAny>,
    /// Known once the reader is started.
    place: OnceLock<Place>,
}

struct Place {
    event_loop: Py<PyAny>,
    link: Link,
}

type Answer = Result<String, PyErr>;

impl Callback {
    pub(crate) fn new(callable: Py<PyAny>) -> Arc<Self> {
        Arc::new(Self {
            callable,
            place: OnceLock::new(),
        })
    }

    /// For the host, which asks at every login.
    pub(crate) fn password(self: &Arc<Self>) -> Password {
        let callback = Arc::clone(self);
        Password::ask(move || Arc::clone(&callback).ask())
    }

    /// From now on the running event loop does it.
    pub(crate) fn run_here(&self, py: Python<'_>, link: &Link) -> PyResult<()> {
        if self.place.get().is_none() {
            let running = py.import("asyncio")?.call_method0("get_running_loop")?;
            let _ = self.place.set(Place {
                event_loop: running.unbind(),
                link: link.clone(),
            });
        }
        Ok(())
    }

    async fn ask(self: Arc<Self>) -> Result<String, Box<dyn Error + Send + Sync>> {
        let (sender, answered) = oneshot::channel();
        let asked = Arc::new(Asked {
            answer: Mutex::new(Some(sender)),
            task: Mutex::new(None),
        });
        let Some(place) = self.place.get() else {
            return Err("the reader has not been started in an event loop".into());
        };
        let _asking = Asking {
            link: place.link.clone(),
            callback: Arc::clone(&self),
            asked: Arc::clone(&asked),
        };
        let callback = Arc::clone(&self);
        place.link.call(move |py| {
            let begin = Begin {
                callable: callback.callable.clone_ref(py),
                asked: Arc::clone(&asked),
            };
            if let Err(error) = callback.soon(py, begin) {
                asked.answer(Err(error));
            }
        });
        Ok(answered.await??)
    }

    fn soon<'py>(&self, py: Python<'py>, call: impl IntoPyObject<'py>) -> PyResult<()> {
        if let Some(place) = self.place.get() {
            let event_loop = place.event_loop.bind(py);
            event_loop.call_method1(intern!(py, "call_soon_threadsafe"), (call,))?;
        }
        Ok(())
    }
}

/// Somebody waits for an answer; when nobody does any more, the task is cancelled.
struct Asking {
    link: Link,
    callback: Arc<Callback>,
    asked: Arc<Asked>,
}

impl Drop for Asking {
    fn drop(&mut self) {
        let (callback, asked) = (Arc::clone(&self.callback), Arc::clone(&self.asked));
        let waiting = asked.lock_answer().take().is_some();
        if waiting {
            self.link.call(move |py| {
                let task = asked
                    .task
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .take();
                let cancel = task.map(|task| task.getattr(py, intern!(py, "cancel")));
                if let Some(Ok(cancel)) = cancel {
                    // A loop that is closed runs no task either.
                    let _ = callback.soon(py, cancel);
                }
            });
        }
    }
}

/// A question under way.
struct Asked {
    /// Taken by whoever answers, or by who does not wait any longer.
    answer: Mutex<Option<oneshot::Sender<Answer>>>,
    task: Mutex<Option<Py<PyAny>>>,
}

impl Asked {
    fn lock_answer(&self) -> std::sync::MutexGuard<'_, Option<oneshot::Sender<Answer>>> {
        self.answer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, answer: Answer) {
        if let Some(sender) = self.lock_answer().take() {
            // Nobody waits any longer.
            let _ = sender.send(answer);
        }
    }
}

/// Runs in the event loop: starts the task that asks.
#[pyclass(frozen)]
struct Begin {
    callable: Py<PyAny>,
    asked: Arc<Asked>,
}

#[pymethods]
impl Begin {
    fn __call__(&self, py: Python<'_>) {
        if self.asked.lock_answer().is_none() {
            return;
        }
        let started = (|| {
            let coroutine = py
                .import("pgoutput_decoder._password")?
                .call_method1("ask", (&self.callable,))?;
            let task = py
                .import("asyncio")?
                .call_method1("ensure_future", (coroutine,))?;
            let end = End {
                asked: Arc::clone(&self.asked),
            };
            task.call_method1("add_done_callback", (end,))?;
            Ok(task.unbind())
        })();
        match started {
            Ok(task) => {
                let mut slot = self
                    .asked
                    .task
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                *slot = Some(task);
            }
            Err(error) => self.asked.answer(Err(error)),
        }
    }
}

/// Runs in the event loop when the task is done.
#[pyclass(frozen)]
struct End {
    asked: Arc<Asked>,
}

#[pymethods]
impl End {
    fn __call__(&self, task: &Bound<'_, PyAny>) {
        let answer = (|| {
            if task.call_method0("cancelled")?.is_truthy()? {
                return Err(PyRuntimeError::new_err("the task that asks was cancelled"));
            }
            task.call_method0("result")?.extract()
        })();
        self.asked.answer(answer);
    }
}
