//! `diff`: what two decoders, or one with other options, make of a recording.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use pgoutput_decoder_host::capture::CatalogAt;
use pgoutput_decoder_host::engine::{DecoderFile, Engine, EngineKind};
use pgoutput_decoder_host::recording::{Recording, Replay};
use pgoutput_decoder_host::records::{Event, Position};

use super::difference::{Tally, compare};
use super::failure::Failure;
use super::options;
use super::terminal::Style;

/// What `diff` is told.
#[derive(Args)]
#[command(
    about = "Compares the events of two decoders, or of other options, event by event",
    after_help = "Events are the same change's where their positions are the same. Ends with 1 if\n\
        some differ."
)]
pub(crate) struct Arguments {
    /// A recording
    #[arg(value_name = "FILE")]
    left: PathBuf,
    /// Another of the same changes [default: the same]
    #[arg(value_name = "FILE")]
    right: Option<PathBuf>,
    /// The first decoder, a decoder.wasm [default: this program's]
    #[arg(long, value_name = "FILE")]
    left_decoder: Option<PathBuf>,
    /// An option of it, instead of the one recorded; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = options::pair)]
    left_option: Vec<(String, String)>,
    /// The second decoder [default: this program's]
    #[arg(long, value_name = "FILE")]
    right_decoder: Option<PathBuf>,
    /// An option of it; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = options::pair)]
    right_option: Vec<(String, String)>,
    /// Every event that differs, and not the first 20 alone
    #[arg(long)]
    all: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let Arguments { left, right, .. } = arguments;
    let left = Recording::open(left, None, CatalogAt::Stream)?;
    let other = right
        .as_ref()
        .map(|right| Recording::open(right, None, CatalogAt::Stream))
        .transpose()?;
    let right = other.as_ref().unwrap_or(&left);
    let mut left = Side::open(
        &left,
        arguments.left_decoder.as_deref(),
        &arguments.left_option,
    )?;
    let mut right = Side::open(
        right,
        arguments.right_decoder.as_deref(),
        &arguments.right_option,
    )?;

    let style = Style::of(&io::stdout());
    let mut out = io::stdout().lock();
    let (mut tally, mut shown) = (Tally::new("not in the second"), 0);
    loop {
        let more = [left.more()?, right.more()?];
        // Of a change that both have got to, another event may follow.
        let until = match more {
            [false, false] => None,
            [true, false] => left.reached(),
            [false, true] => right.reached(),
            [true, true] => left.reached().min(right.reached()),
        };
        let (before, after) = (left.take(until), right.take(until));
        for entry in compare(&before, &after, style, &mut tally) {
            shown += 1;
            if shown <= SHOWN_MAX || arguments.all {
                writeln!(out, "{entry}")?;
            }
        }
        if until.is_none() {
            break;
        }
    }
    if shown > SHOWN_MAX && !arguments.all {
        writeln!(out, "… and {} more: --all shows them\n", shown - SHOWN_MAX)?;
    }
    writeln!(
        out,
        "{}: {} the same, {} differ, {} in the first alone, {} in the second alone",
        style.bold(&format!("{} events", tally.events + tally.made)),
        tally.same,
        tally.changed,
        tally.dropped,
        tally.made,
    )?;
    out.flush()?;
    let differ = tally.changed + tally.dropped + tally.made;
    Ok(ExitCode::from(u8::from(differ > 0)))
}

/// One of the two, and those of its events that are not compared yet.
struct Side<'a> {
    replay: Replay<'a>,
    events: Vec<Event>,
    ended: bool,
}

impl<'a> Side<'a> {
    fn open(
        recording: &'a Recording,
        decoder: Option<&Path>,
        given: &'a [(String, String)],
    ) -> Result<Self, Failure> {
        let decoder = decoder.map(DecoderFile::open).transpose()?;
        let replay = recording.replay_with(move |mut recorded| {
            for (name, value) in given {
                options::set(&mut recorded, name, value);
            }
            match &decoder {
                Some(decoder) => decoder.engine(&recorded),
                None => Engine::open(EngineKind::Component, &recorded),
            }
        })?;
        Ok(Self {
            replay,
            events: Vec::new(),
            ended: false,
        })
    }

    /// Has more events, unless there are some that wait; whether there may be more.
    fn more(&mut self) -> Result<bool, Failure> {
        while !self.ended && self.events.len() < WAITING_MIN {
            match self.replay.next_batch()? {
                Some(batch) => self.events.extend(batch.events()),
                None => self.ended = true,
            }
        }
        Ok(!self.ended)
    }

    /// The last event's position.
    fn reached(&self) -> Option<Position> {
        self.events.last().map(Event::position)
    }

    /// The events of changes before the one at `until`, or all.
    fn take(&mut self, until: Option<Position>) -> Vec<Event> {
        let Some(until) = until else {
            return std::mem::take(&mut self.events);
        };
        let place = |position: Position| (position.commit_lsn, position.index);
        let behind = |event: &Event| place(event.position()) < place(until);
        let count = self.events.partition_point(behind);
        self.events.drain(..count).collect()
    }
}

/// So many events are compared at a time: more than any change has.
const WAITING_MIN: usize = 4096;

const SHOWN_MAX: usize = 20;
