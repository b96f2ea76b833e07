//! Plugins that events of a recording go through, and what plugins log.

use std::io::{self, Write};
use std::path::PathBuf;

use pgoutput_decoder_host::{Error, Plugin, PluginLine, Plugins};

use super::terminal::{self, Style};

/// Loads those of the flags.
pub(crate) fn load(files: &[PathBuf], native: bool) -> Result<Plugins, Error> {
    let plugins: Result<Vec<_>, _> = files.iter().map(Plugin::open).collect();
    Plugins::load(&plugins?, native, show_line)
}

/// Says which events plugins failed at, and are left out.
pub(crate) fn warn(passed_over: &[Error]) {
    for error in passed_over {
        terminal::warn(&format!("left out: {error}"));
    }
}

/// Writes what a plugin logs to stderr.
pub(crate) fn show_line(line: &PluginLine) {
    let style = Style::of(&io::stderr());
    let (plugin, text) = (
        terminal::printable(&line.plugin),
        terminal::printable(&line.text),
    );
    let level = line.level.name();
    let _ = writeln!(
        io::stderr().lock(),
        "{}: {plugin}: {text}",
        style.yellow(level)
    );
}
