//! Lines that plugins log, on their way to whoever runs them.

use std::sync::{Arc, Mutex, PoisonError};

use crate::config::Notice;
use crate::stream::Clock;

use super::sandbox::bindings::pgoutput::plugin::log::Level as GuestLevel;

/// A line that a plugin logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginLine {
    /// The plugin's name, as it says.
    pub plugin: String,
    /// How much it matters.
    pub level: PluginLevel,
    /// The text, cut to 4 KiB.
    pub text: String,
}

/// How much a line matters, as the plugin sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "words of every log")]
pub enum PluginLevel {
    Debug,
    Info,
    Warning,
    Error,
}

impl PluginLevel {
    /// One word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl From<GuestLevel> for PluginLevel {
    fn from(level: GuestLevel) -> Self {
        match level {
            GuestLevel::Debug => Self::Debug,
            GuestLevel::Info => Self::Info,
            GuestLevel::Warning => Self::Warning,
            GuestLevel::Error => Self::Error,
        }
    }
}

/// Where the lines of a plugin's instances go.
#[derive(Clone)]
pub(super) struct Log(Arc<Shared>);

struct Shared {
    to: Notice<PluginLine>,
    lines_max: u32,
    clock: Clock,
    state: Mutex<Lines>,
}

#[derive(Default)]
struct Lines {
    plugin: String,
    second: u64,
    /// In that second.
    count: u32,
    unshown: u64,
}

impl Log {
    pub(super) fn new(plugin: &str, lines_max: u32, to: Notice<PluginLine>) -> Self {
        let lines = Lines {
            plugin: plugin.to_owned(),
            ..Lines::default()
        };
        Self(Arc::new(Shared {
            to,
            lines_max,
            clock: Clock::start(),
            state: Mutex::new(lines),
        }))
    }

    /// What the plugin is called from now on.
    pub(super) fn rename(&self, plugin: &str) {
        plugin.clone_into(&mut self.lines().plugin);
    }

    /// Lines that were too many.
    pub(super) fn unshown(&self) -> u64 {
        self.lines().unshown
    }

    pub(super) fn line(&self, level: PluginLevel, text: &str) {
        let mut lines = self.lines();
        let second = self.0.clock.now().as_secs();
        if second != lines.second {
            lines.second = second;
            lines.count = 0;
        }
        if lines.count >= self.0.lines_max {
            lines.unshown += 1;
            return;
        }
        lines.count += 1;
        let line = PluginLine {
            plugin: lines.plugin.clone(),
            level,
            text: cut(text).to_owned(),
        };
        drop(lines);
        self.0.to.tell(&line);
    }

    /// A line about the plugin, which is shown whatever it logs itself.
    pub(super) fn note(&self, level: PluginLevel, text: &str) {
        let plugin = self.lines().plugin.clone();
        self.0.to.tell(&PluginLine {
            plugin,
            level,
            text: cut(text).to_owned(),
        });
    }

    fn lines(&self) -> std::sync::MutexGuard<'_, Lines> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(LINE_MAX_BYTES))
        .unwrap_or(text)
}

const LINE_MAX_BYTES: usize = 4096;
