//! `plugin check`: what a plugin is, and what it makes of a recorded stream.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use clap::Args;
use pgoutput_decoder_host::records::Event;
use pgoutput_decoder_host::{PluginFile, PluginStatus, Plugins};

use super::Trial;
use crate::command::difference::{Tally, compare};
use crate::command::failure::Failure;
use crate::command::plugins::{show_line, warn};
use crate::command::terminal::{Style, bytes_text, printable};

/// What `plugin check` is told.
#[derive(Args)]
#[command(
    about = "Says what a plugin is, runs it over a recorded stream, and shows what it changed",
    after_help = "Ends with 1 if the plugin cannot be used, or stops the stream."
)]
pub(super) struct Arguments {
    #[command(flatten)]
    trial: Trial,
    /// Every event that is not as it was, and not the first 20 alone
    #[arg(long)]
    all: bool,
}

#[expect(clippy::disallowed_methods, reason = "it measures")]
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let trial = &arguments.trial;
    let style = Style::of(&io::stdout());
    let mut out = io::stdout().lock();
    let plugin = trial.plugin()?;
    let file = plugin.inspect()?;
    let begun = Instant::now();
    let mut chain = Plugins::load(std::slice::from_ref(&plugin), trial.is_native(), show_line)?;
    let loaded = begun.elapsed();
    let status = chain.status();
    if let Some(status) = status.first() {
        introduce(&mut out, style, status, &file, loaded)?;
    }

    let (mut tally, mut shown, mut longest) = (Tally::new("dropped"), 0, Duration::ZERO);
    let mut result = Ok(());
    trial.each(|mut batch| {
        let before: Vec<Event> = batch.events().collect();
        let begun = Instant::now();
        let applied = chain.apply(&mut batch);
        longest = longest.max(begun.elapsed());
        let after: Vec<Event> = batch.events().collect();
        match applied {
            Ok(passed_over) => warn(&passed_over),
            // What it stops before is not dropped.
            Err(error) if result.is_ok() => result = Err(error.into()),
            Err(_) => {}
        }
        if result.is_ok() {
            for entry in compare(&before, &after, style, &mut tally) {
                shown += 1;
                if shown <= SHOWN_MAX || arguments.all {
                    write!(out, "\n{entry}")?;
                }
            }
        }
        Ok(())
    })?;
    if shown > SHOWN_MAX && !arguments.all {
        writeln!(out, "\n… and {} more: --all shows them", shown - SHOWN_MAX)?;
    }
    let limits = plugin.may_use();
    let status = chain.status();
    let (memory, asked) = status
        .first()
        .map_or((0, 0), |status| (status.memory_bytes, status.events));
    writeln!(
        out,
        "\n{}: {} as they were, {} changed, {} dropped, {} made",
        style.bold(&format!("{} events", tally.events)),
        tally.same,
        tally.changed,
        tally.dropped,
        tally.made,
    )?;
    if asked == 0 {
        writeln!(
            out,
            "it wants none of them: what it answers to `select` says so"
        )?;
    }
    writeln!(
        out,
        "memory {} of {}; longest batch {:.2} ms, where a call may take {} ms of CPU time",
        size(memory),
        size(limits.memory_max_bytes),
        longest.as_secs_f64() * 1e3,
        limits.cpu_max.as_millis(),
    )?;
    out.flush()?;
    result
}

fn introduce(
    out: &mut impl Write,
    style: Style,
    status: &PluginStatus,
    file: &PluginFile,
    loaded: Duration,
) -> io::Result<()> {
    let name = format!("{} {}", status.name, status.version);
    writeln!(out, "{}", style.bold(&printable(&name)))?;
    let (wasi, mut imports): (Vec<_>, Vec<_>) = file
        .imports
        .iter()
        .map(String::as_str)
        .partition(|name| name.starts_with("wasi:"));
    let wasi_text = format!("{} interfaces of WASI, which grant nothing", wasi.len());
    if !wasi.is_empty() {
        imports.push(&wasi_text);
    }
    let imports = match imports.as_slice() {
        [] => "nothing".to_owned(),
        imports => imports.join(", "),
    };
    for (what, is) in [
        ("interface", format!("pgoutput:plugin {}", file.interface)),
        ("imports", imports),
        ("size", size(file.bytes)),
        ("sha256", file.sha256.clone()),
        ("loaded in", format!("{:.0} ms", loaded.as_secs_f64() * 1e3)),
    ] {
        writeln!(out, "  {what:<10} {}", printable(&is))?;
    }
    Ok(())
}

fn size(bytes: usize) -> String {
    bytes_text(i64::try_from(bytes).unwrap_or(i64::MAX))
}

const SHOWN_MAX: usize = 20;
