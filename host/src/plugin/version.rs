//! One version of a plugin, and the next one when its file changes: that is made beside the one in
//! use, which goes on meanwhile.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::log::{Log, PluginLevel};
use super::relation::Selected;
use super::sandbox::{Instance, Program};
use super::{Plugin, PluginError, PluginStatus, Source, answer};

/// A plugin that is compiled and configured.
pub(super) struct Version {
    pub(super) program: Program,
    pub(super) name: String,
    /// As it says.
    number: String,
    sha256: String,
    /// Whether it is told of commits.
    pub(super) commits: bool,
    /// None after it failed.
    pub(super) instance: Option<Instance>,
    /// Relations that this instance was asked about.
    pub(super) asked: HashSet<u32>,
    /// By the topic's address, which the selection keeps from being used again.
    pub(super) relations: HashMap<usize, Arc<Selected>>,
}

impl Version {
    pub(super) fn load(plugin: &Plugin, log: &Log) -> Result<Self, PluginError> {
        let (wasm, sha256) = plugin.read()?;
        let program = Program::compile(&wasm, plugin.limits, log.clone())?;
        let mut instance = program.instance()?;
        let description = instance.describe()?;
        if description.name.is_empty() {
            return Err(answer("it has no name"));
        }
        instance.init(&plugin.config)?;
        Ok(Self {
            program,
            name: description.name,
            number: description.version,
            sha256,
            commits: description.commits,
            instance: Some(instance),
            asked: HashSet::new(),
            relations: HashMap::new(),
        })
    }

    /// Says of itself what it is.
    pub(super) fn introduce(&self, status: &mut PluginStatus) {
        status.name.clone_from(&self.name);
        status.version.clone_from(&self.number);
        status.sha256.clone_from(&self.sha256);
        status.memory_bytes = self.memory_bytes();
    }

    /// Linear memory of its instance.
    pub(super) fn memory_bytes(&self) -> usize {
        self.instance.as_ref().map_or(0, Instance::memory_bytes)
    }

    /// The instance is not called again.
    pub(super) fn give_up(&mut self) {
        self.instance = None;
        self.asked.clear();
    }
}

/// The version that is to follow, once it is there.
#[derive(Clone, Default)]
pub(super) struct Next(Arc<Mutex<Option<Version>>>);

impl Next {
    pub(super) fn take(&self) -> Option<Version> {
        self.lock().take()
    }

    pub(super) fn is_there(&self) -> bool {
        self.lock().is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Version>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks whether a plugin's file has changed.
pub(crate) struct Watch {
    plugin: Plugin,
    path: PathBuf,
    log: Log,
    next: Next,
    status: Arc<Mutex<PluginStatus>>,
    /// The file that was loaded, or refused, last.
    known: Option<Stamp>,
    /// One that could not be loaded, and may be in the middle of being written.
    doubtful: Option<Stamp>,
    /// The hash of the one that was loaded last.
    sha256: String,
}

/// What tells a file from another one with its name.
#[derive(Clone, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    bytes: u64,
}

impl Watch {
    /// The watch over a plugin, if it has a file that may change. To be made before it is loaded.
    pub(super) fn new(
        plugin: &Plugin,
        log: &Log,
        next: &Next,
        status: &Arc<Mutex<PluginStatus>>,
    ) -> Option<Self> {
        let Source::File(path) = &plugin.source else {
            return None;
        };
        // One that is pinned cannot change.
        plugin.sha256.is_none().then(|| Self {
            plugin: plugin.clone(),
            path: path.clone(),
            log: log.clone(),
            next: next.clone(),
            status: Arc::clone(status),
            known: stamp(path),
            doubtful: None,
            sha256: String::new(),
        })
    }

    /// What was loaded of the file.
    pub(super) fn is_of(&mut self, version: &Version) {
        self.sha256.clone_from(&version.sha256);
    }

    pub(crate) fn has_changed(&self) -> bool {
        // While a file takes another's place, there may be none.
        let stamp = stamp(&self.path);
        stamp.is_some() && stamp != self.known
    }

    /// Loads the file if it has changed, which takes as long as compiling does. One that cannot be
    /// used is told of when it is still so at the next look.
    pub(crate) fn look(&mut self) {
        if !self.has_changed() {
            return;
        }
        let stamp = stamp(&self.path);
        match Version::load(&self.plugin, &self.log) {
            Ok(version) => {
                self.known = stamp;
                if version.sha256 != self.sha256 {
                    self.is_of(&version);
                    *self.next.lock() = Some(version);
                }
            }
            Err(error) if self.doubtful == stamp => {
                self.known = stamp;
                refused(&self.log, &self.status, &error.to_string());
            }
            Err(_) => self.doubtful = stamp,
        }
    }
}

/// Tells that a new version is not used.
pub(super) fn refused(log: &Log, status: &Mutex<PluginStatus>, reason: &str) {
    let mut status = status.lock().unwrap_or_else(PoisonError::into_inner);
    status.refused += 1;
    drop(status);
    let text = format!("its file has changed and is not used: {reason}; what it was goes on");
    log.note(PluginLevel::Warning, &text);
}

fn stamp(path: &std::path::Path) -> Option<Stamp> {
    let facts = std::fs::metadata(path).ok()?;
    Some(Stamp {
        modified: facts.modified().ok(),
        bytes: facts.len(),
    })
}
