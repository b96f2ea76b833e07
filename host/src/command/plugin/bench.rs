//! `plugin bench`: what a plugin costs an event.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use clap::Args;
use pgoutput_decoder_host::Plugins;
use pgoutput_decoder_host::records::Batch;

use super::Trial;
use crate::command::failure::Failure;
use crate::command::plugins::show_line;

/// What `plugin bench` is told.
#[derive(Args)]
#[command(
    about = "Measures what a plugin costs an event, over a recorded stream",
    after_help = "Decoding is not counted. What a plugin costs an event depends on how many\n\
        come at once: give it a recording of your own with --capture."
)]
pub(super) struct Arguments {
    #[command(flatten)]
    trial: Trial,
    /// How long it is measured
    #[arg(long, value_name = "N", default_value_t = 2)]
    seconds: u64,
}

#[expect(clippy::disallowed_methods, reason = "it measures")]
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let trial = &arguments.trial;
    let plugin = trial.plugin()?;
    let mut chain = Plugins::load(&[plugin], trial.is_native(), show_line)?;
    let mut batches = Vec::new();
    trial.each(|batch| {
        batches.push(batch);
        Ok(())
    })?;
    let events: usize = batches.iter().map(Batch::len).sum();
    let enough = Duration::from_secs(arguments.seconds);
    let begun = Instant::now();
    let mut rounds = Vec::new();
    let mut asked = 0;
    while begun.elapsed() < enough || rounds.len() < ROUNDS_MIN {
        let before = chain.status().first().map_or(0, |status| status.events);
        let mut spent = Duration::ZERO;
        for batch in &batches {
            let mut batch = batch.copied();
            let begun = Instant::now();
            chain.apply(&mut batch)?;
            spent += begun.elapsed();
        }
        rounds.push(spent);
        asked = chain.status().first().map_or(0, |status| status.events) - before;
    }
    rounds.sort_unstable();
    let median = rounds.get(rounds.len() / 2).copied().unwrap_or_default();
    let each = |count: usize| match u32::try_from(count) {
        Ok(count) if count > 0 => (median / count).as_nanos(),
        _ => 0,
    };
    let (count, rounds) = (batches.len(), rounds.len());
    writeln!(
        io::stdout(),
        "{} ns an event beside no plugin, {} ns a batch\n\
         {events} events in {count} batches; it was asked about {asked}; median of {rounds} rounds",
        each(events),
        each(count),
    )?;
    Ok(())
}

const ROUNDS_MIN: usize = 11;
