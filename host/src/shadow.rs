//! A second decoder beside the first on the live stream: what it would give is compared, counted,
//! and forgotten.
//!
//! It is given what a recording of the stream would hold, by a thread of its own. The stream goes
//! on as before whatever it does, but waits for it where it is slower.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use crate::config::Notice;
use crate::engine::DecoderFile;
use crate::recording::{Reader, Recorder, Replay, ReplayError, Sink};
use crate::records::{Batch, Event};
use crate::stash::blocking;

/// A decoder to be compared with the stream's own: see [`Config::shadow`](crate::Config::shadow).
/// Cheap to clone.
#[derive(Clone)]
pub struct Shadow(Arc<Inner>);

struct Inner {
    decoder: DecoderFile,
    status: Mutex<ShadowStatus>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the comparison came to so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShadowStatus {
    /// Events compared: those of either decoder, each once.
    pub events: u64,
    /// Of them, those that are not the same, or that only one of the two gave.
    pub differences: u64,
    /// Why the comparison ended before the stream, if it did.
    pub failed: Option<String>,
}

impl Shadow {
    /// Nothing is compared before a stream has it.
    pub fn new(decoder: DecoderFile) -> Self {
        Self(Arc::new(Inner {
            decoder,
            status: Mutex::default(),
            thread: Mutex::default(),
        }))
    }

    /// What the comparison came to so far.
    pub fn status(&self) -> ShadowStatus {
        self.0.status().clone()
    }

    /// Waits until all that the stream gave is compared, once it has ended.
    pub fn wait(&self) {
        let mut thread = self.0.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = thread.take() {
            // One that panicked has nothing to say.
            let _ = thread.join();
        }
    }

    /// Begins, for a stream that warns so of differences.
    pub(crate) fn begin(&self, warn: Notice<str>) -> io::Result<Comparing> {
        let (bytes, incoming) = sync_channel(BLOCKS_MAX);
        let (batches, expected) = channel();
        let recorder = Recorder::to("the shadow", Pipe::new(bytes))?;
        let inner = Arc::clone(&self.0);
        let thread = thread::Builder::new().name("decoder-shadow".to_owned());
        let thread = thread.spawn(move || inner.run(incoming, &expected, &warn))?;
        *self.0.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(Comparing { recorder, batches })
    }
}

impl std::fmt::Debug for Shadow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Shadow({:?})", self.status())
    }
}

/// The stream's side.
pub(crate) struct Comparing {
    recorder: Recorder,
    batches: Sender<Batch>,
}

impl Comparing {
    /// What the stream's own decoder gave; before the frames that it gave it for.
    pub(crate) fn expect(&self, batch: Batch) {
        // Where the comparison has ended, nobody is there.
        let _ = self.batches.send(batch);
    }

    pub(crate) fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// Has what was recorded compared; waits where too much is not compared yet.
    pub(crate) fn go_on(&self) {
        // Where the comparison has ended, nothing is kept.
        let _ = blocking(|| self.recorder.sync());
    }
}

impl Inner {
    fn run(&self, incoming: Receiver<Vec<u8>>, expected: &Receiver<Batch>, warn: &Notice<str>) {
        let result = self.compare(incoming, expected, warn);
        if let Err(error) = result {
            warn.tell(&format!("the shadow decoder is out: {error}"));
            self.status().failed = Some(error.to_string());
        }
    }

    fn compare(
        &self,
        incoming: Receiver<Vec<u8>>,
        expected: &Receiver<Batch>,
        warn: &Notice<str>,
    ) -> Result<(), ReplayError> {
        let input: Box<dyn Read + Send> = Box::new(Unpiped {
            incoming,
            bytes: Vec::new(),
            taken: 0,
        });
        let decoder = self.decoder.clone();
        let reader = Reader::new(Path::new("the stream"), input)?;
        let mut replay = Replay::of(reader, move |options| decoder.engine(&options));
        let (mut left, mut right) = (VecDeque::new(), VecDeque::new());
        loop {
            match replay.next_batch() {
                Ok(Some(batch)) => right.extend(batch.events()),
                // The stream has ended.
                Ok(None) => break,
                Err(ReplayError::Recording(error)) if error.is_end() => break,
                // What both pass over is the same.
                Err(ReplayError::Decode { .. }) => replay.skip()?,
                Err(error) => return Err(error),
            }
            // They were there before the frames.
            left.extend(
                expected
                    .try_iter()
                    .flat_map(|batch: Batch| batch.events().collect::<Vec<_>>()),
            );
            self.count(&mut left, &mut right, false, warn);
        }
        left.extend(
            expected
                .try_iter()
                .flat_map(|batch: Batch| batch.events().collect::<Vec<_>>()),
        );
        self.count(&mut left, &mut right, true, warn);
        Ok(())
    }

    /// Compares what both have got to, or everything.
    fn count(
        &self,
        left: &mut VecDeque<Event>,
        right: &mut VecDeque<Event>,
        all: bool,
        warn: &Notice<str>,
    ) {
        loop {
            let [first, second] =
                [left.front(), right.front()].map(|event| event.map(Event::position));
            let (same, event) = match (first, second) {
                (Some(first), Some(second)) if first == second => {
                    let (Some(first), Some(second)) = (left.pop_front(), right.pop_front()) else {
                        return;
                    };
                    (is_same(&first, &second), first)
                }
                (Some(first), Some(second)) => {
                    let behind = if first < second {
                        left.pop_front()
                    } else {
                        right.pop_front()
                    };
                    let Some(event) = behind else { return };
                    (false, event)
                }
                (None, None) => return,
                _ if !all && left.len() + right.len() <= WAITING_MAX => return,
                _ => {
                    let Some(event) = left.pop_front().or_else(|| right.pop_front()) else {
                        return;
                    };
                    (false, event)
                }
            };
            let mut status = self.status();
            status.events += 1;
            if same {
                continue;
            }
            status.differences += 1;
            if status.differences <= TOLD_MAX {
                drop(status);
                let (position, topic) = (event.position(), &event.topic().name);
                warn.tell(&format!(
                    "the shadow decoder gives another event at {position} of {topic}"
                ));
            }
        }
    }

    fn status(&self) -> MutexGuard<'_, ShadowStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether two events are the same, but for when they were made.
fn is_same(left: &Event, right: &Event) -> bool {
    left.op() == right.op()
        && left.topic().name == right.topic().name
        && left.key() == right.key()
        && left.headers() == right.headers()
        && left.before() == right.before()
        && left.after() == right.after()
        && without_times(left.value()) == without_times(right.value())
}

/// A value without the digits of `ts_ms` and the like behind its row.
fn without_times(value: Option<&str>) -> Option<String> {
    let value = value?;
    let mut rest = value;
    let mut text = String::with_capacity(value.len());
    while let Some(at) = rest.find("\"ts_") {
        let (before, behind) = rest.split_at(at);
        text.push_str(before);
        let name = behind.find(':').unwrap_or(behind.len());
        let (name, behind) = behind.split_at(name);
        text.push_str(name);
        rest = behind.trim_start_matches(|byte: char| byte == ':' || byte.is_ascii_digit());
    }
    text.push_str(rest);
    Some(text)
}

/// Takes a recording's bytes to another thread, as many as were kept at a time.
struct Pipe {
    bytes: Vec<u8>,
    to: SyncSender<Vec<u8>>,
}

impl Pipe {
    fn new(to: SyncSender<Vec<u8>>) -> Self {
        Self {
            bytes: Vec::new(),
            to,
        }
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for Pipe {
    fn sync(&mut self) -> io::Result<()> {
        let bytes = std::mem::take(&mut self.bytes);
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        self.to.send(bytes).map_err(gone)
    }
}

struct Unpiped {
    incoming: Receiver<Vec<u8>>,
    bytes: Vec<u8>,
    taken: usize,
}

impl Read for Unpiped {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.bytes.len() {
            let Ok(bytes) = self.incoming.recv() else {
                return Ok(0);
            };
            self.bytes = bytes;
            self.taken = 0;
        }
        let mut rest = self.bytes.get(self.taken..).unwrap_or_default();
        let read = rest.read(buffer)?;
        self.taken += read;
        Ok(read)
    }
}

/// Calls of the decoder that may wait to be compared.
const BLOCKS_MAX: usize = 64;

/// Events that one of the two has and the other may still give.
const WAITING_MAX: usize = 100_000;

/// Differences that are told of; the others are counted.
const TOLD_MAX: u64 = 10;
