//! `inspect`: what is in a recording, down to each byte.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use pgoutput_decoder_host::Lsn;
use pgoutput_decoder_host::inspection::{Inspector, Message};
use pgoutput_decoder_host::recording::{Content, Head, Reader, RecordingError};

use super::failure::Failure;
use super::terminal::{Style, bytes_text, columns, printable};

/// What `inspect` is told.
#[derive(Args)]
#[command(
    about = "Shows what is in a recording: its streams, transactions, relations and messages",
    after_help = "Of a recording that is damaged, what is sound is shown; the exit code is 1."
)]
pub(crate) struct Arguments {
    /// What `record` made
    #[arg(value_name = "FILE")]
    recording: PathBuf,
    /// Each message, in a line
    #[arg(long, conflicts_with = "message")]
    messages: bool,
    /// Every byte of one message, by its number, and what it is
    #[arg(long, value_name = "NUMBER")]
    message: Option<u64>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut reader = Reader::open(&arguments.recording)?;
    let mut inspector = Inspector::open()?;
    let style = Style::of(&io::stdout());
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut totals = Totals::default();
    let ended = loop {
        let block = match reader.next_block() {
            Ok(Some(block)) => block,
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        };
        totals.stored_bytes += block.stored_bytes;
        totals.blocks = block.number;
        match block.content {
            Content::Head(head) => {
                inspector = Inspector::open()?;
                totals.heads.push(*head);
            }
            Content::Facts { .. } => totals.facts += 1,
            Content::Frames(frames) => {
                totals.first_us.get_or_insert(block.received_us);
                totals.last_us = block.received_us;
                totals.frame_bytes += length(frames.len());
                let first = totals.messages + 1;
                let wanted = arguments
                    .message
                    .and_then(|number| number.checked_sub(first));
                // The message itself must not have been looked at before its fields are.
                let mut before = Vec::new();
                if let Some(wanted) = wanted {
                    before = frame_ends(&frames, wanted);
                }
                if let [.., start, end] = before.as_slice() {
                    inspector.messages(frames.get(..*start).unwrap_or_default())?;
                    let frame = frames.get(*start..*end).unwrap_or_default();
                    write_fields(&mut out, style, &mut inspector, frame)?;
                    out.flush()?;
                    return Ok(());
                }
                for message in inspector.messages(&frames)? {
                    totals.add(&message);
                    if arguments.messages {
                        write_message(&mut out, style, totals.messages, &message)?;
                    }
                }
            }
            Content::End | Content::Other(_) => {}
        }
    };
    if let Some(number) = arguments.message {
        ended?;
        return Err(Failure::NoMessage {
            number,
            messages: totals.messages,
        });
    }
    if !arguments.messages {
        totals.write(&mut out, style, &arguments.recording.display().to_string())?;
    }
    out.flush()?;
    ended.map_err(|error: RecordingError| error.into())
}

/// What there is, counted.
#[derive(Default)]
struct Totals {
    heads: Vec<Head>,
    blocks: u64,
    facts: u64,
    stored_bytes: u64,
    frame_bytes: u64,
    messages: u64,
    problems: u64,
    first_us: Option<i64>,
    last_us: i64,
    types: BTreeMap<u8, Sum>,
    relations: BTreeMap<String, Sum>,
    transactions: u64,
    largest: Sum,
    open: Sum,
}

#[derive(Clone, Copy, Default)]
struct Sum {
    messages: u64,
    bytes: u64,
}

impl Sum {
    fn add(&mut self, bytes: u32) {
        self.messages += 1;
        self.bytes += u64::from(bytes);
    }
}

impl Totals {
    fn add(&mut self, message: &Message) {
        self.messages += 1;
        self.problems += u64::from(message.problem.is_some());
        let kind = message.message_type.unwrap_or_default();
        self.types.entry(kind).or_default().add(message.bytes);
        if let (Some(name), [_, ..]) = (&message.name, message.relations.as_slice()) {
            self.relations
                .entry(name.clone())
                .or_default()
                .add(message.bytes);
        }
        match kind {
            b'B' | b'b' => self.open = Sum::default(),
            // What is prepared is counted when it is committed.
            b'C' | b'c' | b'K' => {
                self.transactions += 1;
                if self.open.messages > self.largest.messages {
                    self.largest = self.open;
                }
                self.open = Sum::default();
            }
            b'I' | b'U' | b'D' | b'T' => self.open.add(message.bytes),
            _ => {}
        }
    }

    fn write(&self, out: &mut impl Write, style: Style, name: &str) -> io::Result<()> {
        let seconds = self
            .last_us
            .saturating_sub(self.first_us.unwrap_or(self.last_us));
        let seconds = std::time::Duration::from_micros(u64::try_from(seconds).unwrap_or(0));
        writeln!(
            out,
            "{}  {} in {} blocks, over {:.1} s",
            style.bold(name),
            size(self.stored_bytes),
            self.blocks,
            seconds.as_secs_f64(),
        )?;
        for head in &self.heads {
            write_head(out, style, head)?;
        }
        let largest = match self.largest.messages {
            0 => String::new(),
            changes => format!(
                ", the largest of {changes} changes, {}",
                size(self.largest.bytes)
            ),
        };
        writeln!(out, "\n{} transactions{largest}", self.transactions)?;
        writeln!(
            out,
            "{} messages, {}; {} answers of the catalogs",
            self.messages,
            size(self.frame_bytes),
            self.facts
        )?;
        if self.problems > 0 {
            let problems = format!("{} of them cannot be understood", self.problems);
            writeln!(out, "{}", style.red(&problems))?;
        }
        let types = self.types.iter();
        let types = types.map(|(kind, sum)| (type_name(*kind).to_owned(), *sum));
        write_table(out, style, "message", types.collect())?;
        let relations = self.relations.iter();
        let relations = relations.map(|(name, sum)| (printable(name).into_owned(), *sum));
        write_table(out, style, "relation", relations.collect())
    }
}

fn write_head(out: &mut impl Write, style: Style, head: &Head) -> io::Result<()> {
    let mut parts = Vec::new();
    if let Some(server) = &head.server {
        parts.push(format!("PostgreSQL {server}"));
    }
    if let Some(database) = &head.database {
        parts.push(format!("database {database}"));
    }
    if let Some(slot) = &head.slot {
        parts.push(format!("slot {slot}"));
    }
    if !head.publications.is_empty() {
        parts.push(format!("publication {}", head.publications.join(", ")));
    }
    if head.redacted {
        parts.push("values redacted".to_owned());
    }
    parts.push(format!("by {}", head.recorder));
    writeln!(
        out,
        "  {} {}",
        style.dim("stream "),
        printable(&parts.join(", "))
    )?;
    let options = head.options();
    let options: Vec<_> = options
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    writeln!(
        out,
        "  {} {}",
        style.dim("options"),
        printable(&options.join(" "))
    )?;
    writeln!(
        out,
        "  {} {}",
        style.dim("decoder"),
        printable(&head.decoder)
    )
}

fn write_table(
    out: &mut impl Write,
    style: Style,
    what: &str,
    mut rows: Vec<(String, Sum)>,
) -> io::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    rows.sort_by_key(|(_, sum)| std::cmp::Reverse(sum.bytes));
    let width = rows
        .iter()
        .map(|(name, _)| columns(name))
        .max()
        .unwrap_or(0);
    let width = width.max(columns(what));
    let head = format!("{what:<width$}  {:>10}  {:>10}", "count", "bytes");
    writeln!(out, "\n{}", style.bold(&head))?;
    for (name, sum) in rows {
        let padding = " ".repeat(width.saturating_sub(columns(&name)));
        writeln!(
            out,
            "{name}{padding}  {:>10}  {:>10}",
            sum.messages,
            size(sum.bytes)
        )?;
    }
    Ok(())
}

fn write_message(
    out: &mut impl Write,
    style: Style,
    number: u64,
    message: &Message,
) -> io::Result<()> {
    let kind = message.message_type.map_or("?", type_name);
    let xid = message
        .xid
        .map_or_else(String::new, |xid| format!("xid {xid}  "));
    let name = message.name.as_deref().unwrap_or_default();
    let name = printable(name);
    let (lsn, bytes) = (Lsn(message.lsn).to_string(), message.bytes);
    write!(out, "{number:>8}  {lsn:<18}  {kind:<17}  {xid}{name}  ")?;
    writeln!(out, "{}", style.dim(&format!("{bytes} bytes")))?;
    if let Some(problem) = &message.problem {
        writeln!(out, "          {}", style.red(&printable(problem)))?;
    }
    Ok(())
}

fn write_fields(
    out: &mut impl Write,
    style: Style,
    inspector: &mut Inspector,
    frame: &[u8],
) -> Result<(), Failure> {
    let fields = inspector.fields(frame)?;
    let width = fields
        .iter()
        .map(|field| columns(&field.name))
        .max()
        .unwrap_or(0);
    for field in fields {
        let start = usize::try_from(field.offset).unwrap_or(usize::MAX);
        let bytes = usize::try_from(field.bytes).unwrap_or(0);
        let bytes = frame
            .get(start..start.saturating_add(bytes))
            .unwrap_or_default();
        let mut lines = bytes.chunks(ROW_BYTES).take(ROWS_MAX + 1);
        let name = printable(&field.name);
        let padding = " ".repeat(width.saturating_sub(columns(&name)));
        let first = hex(lines.next().unwrap_or_default());
        writeln!(
            out,
            "{start:>6}  {first:<48}  {}{padding}  {}",
            style.cyan(&name),
            printable(&field.value)
        )?;
        for (index, row) in lines.enumerate() {
            let at = start + (index + 1) * ROW_BYTES;
            if index + 1 == ROWS_MAX {
                writeln!(out, "{at:>6}  {}", style.dim("…"))?;
            } else {
                writeln!(out, "{at:>6}  {}", hex(row))?;
            }
        }
    }
    Ok(())
}

fn hex(row: &[u8]) -> String {
    let digits: Vec<_> = row.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.join(" ")
}

/// Where frames begin and end, up to the one with this index from 0; nothing where there is none.
fn frame_ends(frames: &[u8], index: u64) -> Vec<usize> {
    let mut ends = vec![0];
    let mut at = 0;
    while let Some(bytes) = frames.get(at + 1..).and_then(<[u8]>::first_chunk::<4>) {
        at += 1 + usize::try_from(u32::from_be_bytes(*bytes)).unwrap_or(usize::MAX);
        ends.push(at);
        if length(ends.len()) > index.saturating_add(1) {
            return ends;
        }
    }
    Vec::new()
}

/// PostgreSQL's name of a message with this first byte.
fn type_name(kind: u8) -> &'static str {
    let found = TYPES.iter().find(|(known, _)| *known == kind);
    found.map_or("?", |(_, name)| name)
}

fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

fn size(bytes: u64) -> String {
    bytes_text(i64::try_from(bytes).unwrap_or(i64::MAX))
}

/// PostgreSQL's page "Logical Replication Message Formats".
const TYPES: [(u8, &str); 19] = [
    (b'B', "Begin"),
    (b'M', "Message"),
    (b'C', "Commit"),
    (b'O', "Origin"),
    (b'R', "Relation"),
    (b'Y', "Type"),
    (b'I', "Insert"),
    (b'U', "Update"),
    (b'D', "Delete"),
    (b'T', "Truncate"),
    (b'S', "Stream Start"),
    (b'E', "Stream Stop"),
    (b'c', "Stream Commit"),
    (b'A', "Stream Abort"),
    (b'b', "Begin Prepare"),
    (b'P', "Prepare"),
    (b'K', "Commit Prepared"),
    (b'r', "Rollback Prepared"),
    (b'p', "Stream Prepare"),
];

const ROW_BYTES: usize = 16;

/// Rows of a field that are shown: a value may have a gigabyte.
const ROWS_MAX: usize = 32;
