//! Users' own code in the stream: components that keep, drop and change events, and make others of
//! them. The contract is `wit/plugin/plugin.wit`.
//!
//! Several are a chain: each sees what those before it made. An event that one of them fails at is
//! found, also where the plugin broke down over many events: they are passed to a new instance one
//! by one.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::capture::hex;
use crate::config::Notice;
use crate::error::Error;
use crate::records::{Batch, Position};
use crate::undecodable::OnUndecodable;

mod log;
mod member;
mod relation;
mod sandbox;
mod settings;
mod value;
mod version;
mod wasi;
mod world;

use self::log::Log;
pub use self::log::{PluginLevel, PluginLine};
use self::member::Member;
pub(crate) use self::version::Watch;
pub use self::world::PluginFile;

/// A plugin and how it is used.
#[derive(Clone, Debug)]
#[must_use = "nothing happens until a stream has it"]
pub struct Plugin {
    source: Source,
    config: String,
    on_error: OnUndecodable,
    limits: PluginLimits,
    sha256: Option<String>,
}

#[derive(Clone)]
enum Source {
    File(PathBuf),
    Bytes(Arc<[u8]>),
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.fmt(f),
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
        }
    }
}

/// What a plugin may use. Each call has all of it, but for memory, which is the instance's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PluginLimits {
    /// Linear memory, in bytes; default 32 MiB.
    pub memory_max_bytes: usize,
    /// CPU time, exact to 10 ms; default 10 ms. On systems that do not tell a thread's CPU time, it
    /// is time that passes.
    pub cpu_max: Duration,
    /// Time that passes, exact to 10 ms; default 1 s.
    pub wall_max: Duration,
    /// Instructions instead of time, so that a run can be repeated exactly; default none. What is
    /// compiled for it is slower.
    pub fuel: Option<u64>,
    /// What it may answer, in bytes; default 64 MiB.
    pub output_max_bytes: usize,
    /// Lines a second that are shown of its log; default 100. Those beyond are counted.
    pub log_lines_max: u32,
}

impl Default for PluginLimits {
    fn default() -> Self {
        Self {
            memory_max_bytes: 32 << 20,
            cpu_max: Duration::from_millis(10),
            wall_max: Duration::from_secs(1),
            fuel: None,
            output_max_bytes: 64 << 20,
            log_lines_max: 100,
        }
    }
}

/// What a plugin has done so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PluginStatus {
    /// As it says.
    pub name: String,
    /// Its own version, as it says.
    pub version: String,
    /// SHA-256 of its file, in hexadecimal digits.
    pub sha256: String,
    /// Events it was asked about.
    pub events: u64,
    /// Those it dropped.
    pub dropped: u64,
    /// Those it changed, or gave another payload.
    pub changed: u64,
    /// Events it made.
    pub emitted: u64,
    /// Events it failed at that were skipped, as its `on_error` said.
    pub skipped: u64,
    /// Events it failed at that were written to a file, as its `on_error` said.
    pub parked: u64,
    /// Calls that ran out of CPU time, of time, or of instructions.
    pub out_of_time: u64,
    /// Calls that wanted more memory than there may be.
    pub out_of_memory: u64,
    /// Calls that answered more than they may.
    pub out_of_output: u64,
    /// Calls that trapped.
    pub traps: u64,
    /// Answers that cannot be.
    pub wrong_answers: u64,
    /// Linear memory that its instance has, in bytes.
    pub memory_bytes: usize,
    /// Lines of its log that were too many.
    pub lines_unshown: u64,
    /// Times that its file had changed and the new one was used from then on.
    pub reloads: u64,
    /// Times that its file had changed and the new one could not be used.
    pub refused: u64,
}

/// Why a plugin cannot be used, or what it failed with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PluginError {
    /// It answered what cannot be.
    #[error("its answer cannot be: {reason}")]
    Answer {
        /// What is wrong with it: for people.
        reason: String,
    },
    /// It refuses its configuration.
    #[error("it refuses its configuration: {reason}")]
    Config {
        /// In the plugin's words.
        reason: String,
    },
    /// It took too much of the processor.
    #[error("it ran into its limit of {} ms of CPU time a call", limit.as_millis())]
    Cpu {
        /// [`PluginLimits::cpu_max`].
        limit: Duration,
    },
    /// It says that it cannot deal with this event.
    #[error("it says: {reason}")]
    Event {
        /// In the plugin's words.
        reason: String,
    },
    /// It took too many instructions.
    #[error("it ran into its limit of {limit} units of fuel a call")]
    Fuel {
        /// [`PluginLimits::fuel`].
        limit: u64,
    },
    /// It is not the file it is to be.
    #[error("its SHA-256 is {found}, and {expected} was asked for")]
    Hash {
        /// As it was given.
        expected: String,
        /// Of the file.
        found: String,
    },
    /// It wanted too much memory.
    #[error("it ran into its memory limit of {limit_bytes} bytes")]
    Memory {
        /// [`PluginLimits::memory_max_bytes`].
        limit_bytes: usize,
    },
    /// It is something else, or cannot be used on this machine.
    #[error("it is no plugin that can be used: {reason}")]
    NotAPlugin {
        /// What is wrong: for people.
        reason: String,
    },
    /// It was asked what it wants of a relation's events, and failed.
    #[error("asked what it wants of {topic}: {reason}")]
    Selection {
        /// Of the relation's events.
        topic: String,
        /// What happened: for people.
        reason: String,
    },
    /// It answered too much.
    #[error("it ran into its limit of {limit_bytes} bytes of answers a call")]
    Output {
        /// [`PluginLimits::output_max_bytes`].
        limit_bytes: usize,
    },
    /// Its file cannot be read.
    #[error("its file cannot be read: {reason}")]
    Read {
        /// What the operating system said.
        reason: String,
    },
    /// It trapped, which is a bug in it.
    #[error("it trapped: {reason}")]
    Trap {
        /// The trap, in wasmtime's words.
        reason: String,
    },
    /// It was made for another version of the interface.
    #[error("it was made for pgoutput:plugin {found}, and this program knows {newest} and older")]
    Version {
        /// That it exports.
        found: String,
        /// There is here.
        newest: String,
    },
    /// It took too long.
    #[error("it ran into its limit of {} ms a call", limit.as_millis())]
    Wall {
        /// [`PluginLimits::wall_max`].
        limit: Duration,
    },
}

impl Plugin {
    /// A plugin in a file: a component, or a core module with its world in it. When the file
    /// changes while a stream runs, the new plugin is used from a commit on; see
    /// [`Plugin::sha256`].
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::new(Source::File(path.into()))
    }

    /// A plugin by its file; or as a file that ends in `.json` says, an object with `file`, which
    /// is relative to it, and maybe `config`, `on_error`, `sha256`, `memory_max_bytes`,
    /// `cpu_max_ms`, `wall_max_ms`, `fuel`, `output_max_bytes` and `log_lines_max`.
    ///
    /// # Errors
    /// [`Error::Configuration`] for such a file that cannot be read or understood.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        settings::open(path.as_ref())
    }

    /// A plugin in memory.
    pub fn bytes(wasm: impl Into<Arc<[u8]>>) -> Self {
        Self::new(Source::Bytes(wasm.into()))
    }

    /// Looks at its file, without running anything of it.
    ///
    /// # Errors
    /// [`Error::Plugin`] where it cannot be read or is no plugin.
    pub fn inspect(&self) -> Result<PluginFile, Error> {
        let inspect = || {
            let (wasm, sha256) = self.read()?;
            let (interface, imports) = world::inspect(&wasm)?;
            Ok(PluginFile {
                bytes: wasm.len(),
                sha256,
                interface,
                imports,
            })
        };
        inspect().map_err(|error| {
            let plugin = self.label();
            Failed {
                plugin,
                at: None,
                error,
            }
            .into()
        })
    }

    /// What it may use.
    #[must_use]
    pub fn may_use(&self) -> PluginLimits {
        self.limits
    }

    fn new(source: Source) -> Self {
        Self {
            source,
            config: String::new(),
            on_error: OnUndecodable::Stop,
            limits: PluginLimits::default(),
            sha256: None,
        }
    }

    /// Its configuration, as it understands it; default an empty string.
    pub fn config(mut self, config: &str) -> Self {
        config.clone_into(&mut self.config);
        self
    }

    /// What is done with an event it fails at; default [`OnUndecodable::Stop`].
    pub fn on_error(mut self, policy: OnUndecodable) -> Self {
        self.on_error = policy;
        self
    }

    /// What it may use.
    pub fn limits(mut self, limits: PluginLimits) -> Self {
        self.limits = limits;
        self
    }

    /// The SHA-256 that the file must have, in hexadecimal digits; default any. Such a file is not
    /// looked at again when it changes.
    pub fn sha256(mut self, hash: &str) -> Self {
        self.sha256 = Some(hash.to_ascii_lowercase());
        self
    }

    /// What is known of it from outside: its file's name.
    fn label(&self) -> String {
        match &self.source {
            Source::File(path) => path.display().to_string(),
            Source::Bytes(_) => "a plugin".to_owned(),
        }
    }

    pub(crate) fn policy(&self) -> &OnUndecodable {
        &self.on_error
    }

    /// Its bytes and their hash, which is the one asked for.
    fn read(&self) -> Result<(Arc<[u8]>, String), PluginError> {
        let bytes = match &self.source {
            Source::File(path) => std::fs::read(path)
                .map_err(|error| PluginError::Read {
                    reason: error.to_string(),
                })?
                .into(),
            Source::Bytes(bytes) => Arc::clone(bytes),
        };
        let found = sha256(&bytes);
        match &self.sha256 {
            Some(expected) if *expected != found => Err(PluginError::Hash {
                expected: expected.clone(),
                found,
            }),
            _ => Ok((bytes, found)),
        }
    }
}

/// Tells what a plugin has done, from anywhere.
#[derive(Clone)]
pub(crate) struct PluginCounters {
    status: Arc<Mutex<PluginStatus>>,
    log: Log,
}

impl PluginCounters {
    pub(crate) fn status(&self) -> PluginStatus {
        let status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        PluginStatus {
            lines_unshown: self.log.unshown(),
            ..status.clone()
        }
    }
}

impl fmt::Debug for PluginCounters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.status().fmt(f)
    }
}

/// A plugin that failed.
#[derive(Clone, Debug)]
pub(crate) struct Failed {
    /// Its name.
    pub(crate) plugin: String,
    /// The event it failed at, and of which table it is, if it was one.
    pub(crate) at: Option<(Position, String)>,
    pub(crate) error: PluginError,
}

/// An event that is to be parked or skipped: what failed at it, and by which of the plugins.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) failed: Failed,
    /// Its policy is at [`Plugins::policy`].
    pub(crate) member: usize,
    pub(crate) is_message: bool,
}

/// Plugins in their order, each of which gets what those before it made. A stream has its own: this
/// is for events that come from elsewhere, as from a [`Replay`](crate::capture::Replay).
pub struct Plugins {
    members: Vec<Member>,
}

impl Plugins {
    /// Loads plugins, which takes as long as compiling does, unless that was done before. `native`
    /// says which format the events have; `on_line` gets the lines that plugins log.
    ///
    /// # Errors
    /// [`Error::Plugin`] for one that is none or does not want to be used like this.
    pub fn load(
        plugins: &[Plugin],
        native: bool,
        on_line: impl Fn(&PluginLine) + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        Ok(Self::load_all(plugins, native, &Notice::to(on_line))?)
    }

    /// Has the plugins decide about a batch. Returns the errors of events that are to be parked or
    /// skipped, and are not in the batch any more.
    ///
    /// # Errors
    /// [`Error::Plugin`] where a plugin stops the stream: the batch has what comes before that.
    pub fn apply(&mut self, batch: &mut Batch) -> Result<Vec<Error>, Error> {
        let (faults, result) = self.run(batch);
        result?;
        Ok(faults
            .into_iter()
            .map(|fault| fault.failed.into())
            .collect())
    }

    /// Loads again those whose files have changed. They are used from the next commit on; one that
    /// cannot be used twice in a row is refused, and what it was goes on. A stream does so by
    /// itself.
    pub fn reload(&mut self) {
        let watches = self
            .members
            .iter_mut()
            .filter_map(|member| member.watch.as_mut());
        watches.for_each(Watch::look);
    }

    /// What each of them has done so far.
    pub fn status(&self) -> Vec<PluginStatus> {
        self.counters().iter().map(PluginCounters::status).collect()
    }

    pub(crate) fn load_all(
        plugins: &[Plugin],
        native: bool,
        log: &Notice<PluginLine>,
    ) -> Result<Self, Failed> {
        let load = |plugin: &Plugin| {
            Member::load(plugin, native, log).map_err(|error| Failed {
                plugin: plugin.label(),
                at: None,
                error,
            })
        };
        Ok(Self {
            members: plugins.iter().map(load).collect::<Result<_, _>>()?,
        })
    }

    /// The stream goes on at another place: nothing is remembered of what came before.
    pub(crate) fn reset(&mut self) {
        for member in &mut self.members {
            member.reset();
        }
    }

    /// What looks for changes of their files, from elsewhere.
    pub(crate) fn watches(&mut self) -> Vec<Watch> {
        let members = self.members.iter_mut();
        members.filter_map(|member| member.watch.take()).collect()
    }

    pub(crate) fn policy(&self, member: usize) -> Option<&OnUndecodable> {
        self.members
            .get(member)
            .map(|member| member.plugin.policy())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether one of them may take long.
    pub(crate) fn is_slow(&self) -> bool {
        let slow = |member: &Member| member.plugin.limits.cpu_max > LEAN_MAX;
        self.members.iter().any(slow)
    }

    pub(crate) fn counters(&self) -> Vec<PluginCounters> {
        self.members.iter().map(Member::counters).collect()
    }

    /// The event of a fault was parked or skipped.
    pub(crate) fn passed_over(&self, fault: &Fault, parked: bool) {
        if let Some(member) = self.members.get(fault.member) {
            member.passed_over(parked);
        }
    }

    /// Has the plugins decide about a batch. What they fail at is not in it any more; with an
    /// error, nor is anything behind that.
    pub(crate) fn run(&mut self, batch: &mut Batch) -> (Vec<Fault>, Result<(), Failed>) {
        let mut faults = Vec::new();
        let mut result = Ok(());
        for (index, member) in self.members.iter_mut().enumerate() {
            let ran = member.run(batch);
            faults.extend(ran.faults.into_iter().map(|(failed, is_message)| Fault {
                failed,
                member: index,
                is_message,
            }));
            if let Err(failed) = ran.result {
                result = Err(failed);
            }
        }
        (faults, result)
    }
}

impl From<Failed> for Error {
    fn from(failed: Failed) -> Self {
        let Failed { plugin, at, error } = failed;
        Self::Plugin { plugin, at, error }
    }
}

/// An answer that cannot be.
fn answer(reason: impl Into<String>) -> PluginError {
    PluginError::Answer {
        reason: reason.into(),
    }
}

/// CPU time a call may take of a task that others wait beside.
/// In hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

const LEAN_MAX: Duration = Duration::from_millis(20);
