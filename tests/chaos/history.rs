//! The history of one run, as plain text files in one folder: what was committed, what readers
//! were given and acknowledged, what the server was told, what was done to them.
//!
//! A line is one record, its fields separated by a space; times are µs since 1970-01-01 on one
//! clock. Whoever writes a record does so before it acts on it: a reader its `acknowledge` before
//! it calls that, the proxy a confirmation before it passes it on.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;
use std::str::FromStr;

use pgoutput_decoder_host::{Lsn, Position};

/// Everything known of one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// What was committed, in the order of its LSNs.
    pub truth: Vec<Unit>,
    /// The readers, one after the other.
    pub readers: Vec<Reader>,
    /// Every confirmation that travelled to the server.
    pub confirms: Vec<Confirm>,
    /// Transactions that were prepared on a slot that sends them then.
    pub prepared: Vec<Prepared>,
    /// What was done to reader, link and server.
    pub faults: Vec<Fault>,
    /// Transactions the server streamed while they were open.
    pub streamed: BTreeSet<u32>,
    /// Where the slot stood when the last reader had gone.
    pub confirmed_at_end: Lsn,
}

/// A committed transaction with its changes, or a logical message of none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Its commit's LSN, or the message's.
    pub lsn: Lsn,
    /// Transaction id; 0 for a message of none.
    pub xid: u32,
    /// What each event says: `c account 12.3`.
    pub labels: Vec<String>,
}

/// One process that read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reader {
    /// Where the slot stood before it connected.
    pub slot: Lsn,
    /// What it noted, in order.
    pub notes: Vec<Note>,
}

/// One line of a reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// When it was written.
    pub at_us: u64,
    /// What it says.
    pub what: What,
}

/// What a reader notes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// It calls `acknowledge` next.
    Acknowledge(Position),
    /// That call has returned.
    Acknowledged(Position),
    /// It was given this.
    Event(Position, String),
    /// The stream ended with an error.
    Failed {
        /// `ErrorClass`, in lower case.
        class: String,
        /// For people.
        text: String,
    },
    /// It does nothing for longer than the server is patient, from now on.
    Stalls,
    /// It begins.
    Start {
        /// What it was told: the arguments.
        arguments: String,
    },
    /// It stopped, and the last acknowledgement has reached the server.
    Stopped,
    /// It stopped, and was told that the last acknowledgement was not sent.
    Unsent,
}

/// A Standby Status Update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confirm {
    /// When the proxy had it.
    pub at_us: u64,
    /// Its flush position.
    pub lsn: Lsn,
}

/// A prepared transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// Transaction id.
    pub xid: u32,
    /// The end of WAL before it was prepared.
    pub from: Lsn,
    /// That after it was; none where the answer was lost.
    pub to: Option<Lsn>,
    /// That after it was decided; none where the answer was lost.
    pub until: Option<Lsn>,
}

/// Something that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// When.
    pub at_us: u64,
    /// Its name.
    pub kind: String,
    /// What the link had carried to the reader last.
    pub wire: Wire,
}

/// Where in the stream a link stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wire {
    /// Behind a commit, or before everything.
    #[default]
    Between,
    /// Between Stream Start and Stream Stop.
    Streamed,
    /// Between Begin and Commit.
    Transaction,
}

/// Where a fault hit, reader and link taken together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Behind a transaction.
    Between,
    /// In a replay of what had been streamed.
    Replay,
    /// In a block of a streamed transaction.
    Streamed,
    /// Inside a transaction.
    Transaction,
}

impl Place {
    /// All, in the order they are listed in.
    pub const ALL: [Self; 4] = [
        Self::Transaction,
        Self::Streamed,
        Self::Replay,
        Self::Between,
    ];

    /// For people and for the summary.
    pub fn name(self) -> &'static str {
        match self {
            Self::Between => "between",
            Self::Replay => "replay",
            Self::Streamed => "streamed block",
            Self::Transaction => "transaction",
        }
    }
}

/// Server-side resets that forget how far a slot was confirmed since the last checkpoint.
pub const CRASHES: [&str; 4] = [BACKEND_KILLED, FAST_BEFORE_17, PROMOTION, SERVER_IMMEDIATE];

/// The server is stopped and started again as it should be. Before `PostgreSQL` 17 it does not keep
/// where a slot is of which nothing but `confirmed_flush` moved (`CheckPointReplicationSlots`).
pub const FAST_BEFORE_17: &str = "server fast before 17";

/// One of the server's processes is killed: it makes the others start afresh.
pub const BACKEND_KILLED: &str = "backend killed";

/// The server is lost, and a standby takes its place.
pub const PROMOTION: &str = "promotion";

/// The server ends without a checkpoint, and is started again.
pub const SERVER_IMMEDIATE: &str = "server immediate";

impl History {
    /// Reads the folder of a run.
    ///
    /// # Errors
    /// A file that cannot be read, or a line nobody writes.
    pub fn read(folder: &Path) -> io::Result<Self> {
        let mut history = Self::default();
        for line in lines(folder, "truth.log")? {
            if let Some(label) = line.strip_prefix('\t') {
                let unit = history.truth.last_mut().ok_or_else(|| bad(&line))?;
                unit.labels.push(label.to_owned());
                continue;
            }
            let mut fields = Fields::of(&line);
            history.truth.push(Unit {
                lsn: fields.next()?,
                xid: fields.next()?,
                labels: Vec::new(),
            });
        }
        for line in lines(folder, "slot.log")? {
            let mut fields = Fields::of(&line);
            let (name, slot): (String, Lsn) = (fields.next()?, fields.next()?);
            if name == "end" {
                history.confirmed_at_end = slot;
                continue;
            }
            let notes = lines(folder, &format!("{name}.log"))?;
            let notes = notes.iter().map(|line| line.parse());
            let notes = notes.collect::<io::Result<_>>()?;
            history.readers.push(Reader { slot, notes });
        }
        for line in lines(folder, "confirm.log")? {
            let mut fields = Fields::of(&line);
            history.confirms.push(Confirm {
                at_us: fields.next()?,
                lsn: fields.next()?,
            });
        }
        for line in lines(folder, "prepared.log")? {
            let mut fields = Fields::of(&line);
            history.prepared.push(Prepared {
                xid: fields.next()?,
                from: fields.next()?,
                to: fields.known()?,
                until: fields.known()?,
            });
        }
        for line in lines(folder, "fault.log")? {
            let mut fields = Fields::of(&line);
            history.faults.push(Fault {
                at_us: fields.next()?,
                wire: fields.next()?,
                kind: fields.rest(),
            });
        }
        for line in lines(folder, "streamed.log")? {
            history.streamed.insert(Fields::of(&line).next()?);
        }
        Ok(history)
    }
}

impl Unit {
    /// Whether a server that starts at `lsn` does not send it any more: it looks at where a record
    /// begins. Of a commit that is its LSN; a message's is where it ends.
    pub fn is_before(&self, lsn: Lsn) -> bool {
        self.lsn < lsn || (self.xid == 0 && self.lsn == lsn)
    }

    /// As `truth.log` has it.
    pub fn write(&self, out: &mut String) {
        let _ = writeln!(out, "{} {}", self.lsn, self.xid);
        for label in &self.labels {
            let _ = writeln!(out, "\t{label}");
        }
    }
}

impl Confirm {
    /// As `confirm.log` has it.
    pub fn line(&self) -> String {
        format!("{} {}\n", self.at_us, self.lsn)
    }
}

impl Prepared {
    /// As `prepared.log` has it.
    pub fn line(&self) -> String {
        let known = |lsn: Option<Lsn>| lsn.map_or_else(|| "?".to_owned(), |lsn| lsn.to_string());
        let (to, until) = (known(self.to), known(self.until));
        format!("{} {} {to} {until}\n", self.xid, self.from)
    }
}

impl Fault {
    /// As `fault.log` has it.
    pub fn line(&self) -> String {
        let wire = match self.wire {
            Wire::Between => "between",
            Wire::Streamed => "streamed",
            Wire::Transaction => "transaction",
        };
        format!("{} {wire} {}\n", self.at_us, self.kind)
    }
}

impl Note {
    /// Appends the line to `out`.
    pub fn write(&self, out: &mut String) {
        let at = self.at_us;
        let _ = match &self.what {
            What::Acknowledge(position) => writeln!(out, "{at} acknowledge {position}"),
            What::Acknowledged(position) => writeln!(out, "{at} acknowledged {position}"),
            What::Event(position, label) => writeln!(out, "{at} event {position} {label}"),
            What::Failed { class, text } => {
                writeln!(out, "{at} failed {class} {}", text.replace('\n', " "))
            }
            What::Start { arguments } => writeln!(out, "{at} start {arguments}"),
            What::Stalls => writeln!(out, "{at} stalls"),
            What::Stopped => writeln!(out, "{at} stopped"),
            What::Unsent => writeln!(out, "{at} unsent"),
        };
    }
}

impl FromStr for Note {
    type Err = io::Error;

    fn from_str(line: &str) -> io::Result<Self> {
        let mut fields = Fields::of(line);
        let at_us = fields.next()?;
        let word: String = fields.next()?;
        let what = match word.as_str() {
            "acknowledge" => What::Acknowledge(fields.next()?),
            "acknowledged" => What::Acknowledged(fields.next()?),
            "event" => What::Event(fields.next()?, fields.rest()),
            "failed" => What::Failed {
                class: fields.next()?,
                text: fields.rest(),
            },
            "start" => What::Start {
                arguments: fields.rest(),
            },
            "stalls" => What::Stalls,
            "stopped" => What::Stopped,
            "unsent" => What::Unsent,
            _ => return Err(bad(line)),
        };
        Ok(Self { at_us, what })
    }
}

impl FromStr for Wire {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "between" => Ok(Self::Between),
            "streamed" => Ok(Self::Streamed),
            "transaction" => Ok(Self::Transaction),
            _ => Err(()),
        }
    }
}

struct Fields<'line> {
    line: &'line str,
    rest: &'line str,
}

impl<'line> Fields<'line> {
    fn of(line: &'line str) -> Self {
        Self { line, rest: line }
    }

    fn next<T: FromStr>(&mut self) -> io::Result<T> {
        let (field, rest) = self.rest.split_once(' ').unwrap_or((self.rest, ""));
        self.rest = rest;
        field.parse().map_err(|_| bad(self.line))
    }

    /// A field that may be `?`.
    fn known<T: FromStr>(&mut self) -> io::Result<Option<T>> {
        if self.rest == "?" || self.rest.starts_with("? ") {
            self.rest = self.rest.get(2..).unwrap_or_default();
            return Ok(None);
        }
        self.next().map(Some)
    }

    fn rest(&self) -> String {
        self.rest.to_owned()
    }
}

/// The whole lines of a file, which need not be there; the last may have been cut by a `kill -9`.
fn lines(folder: &Path, name: &str) -> io::Result<Vec<String>> {
    let text = match fs::read_to_string(folder.join(name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        text => text?,
    };
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    Ok(whole.lines().map(str::to_owned).collect())
}

fn bad(line: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("no line of a history: {line}"),
    )
}
