//! What is in records: views of the decoder's bytes.

use std::fmt;

/// A position in the write-ahead log. Prints as `PostgreSQL`'s `pg_lsn` does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

/// A record that is for readers of events. Topics are with their events.
#[derive(Clone, Copy, Debug)]
pub enum Record<'a> {
    /// A transaction's events follow.
    Begin(Transaction),
    /// All of its events have come.
    Commit {
        /// Whose.
        transaction: Transaction,
        /// How many there were.
        events: u32,
        /// What may be confirmed once all of them are dealt with.
        end_lsn: Lsn,
    },
    /// A change.
    Event(Event<'a>),
    /// A transaction is prepared: nothing behind this may be confirmed until it is decided.
    Prepared {
        /// The transaction.
        xid: u32,
        /// The last that may be confirmed.
        prepare_lsn: Lsn,
    },
}

/// A change event. Its texts are the decoder's own JSON.
#[derive(Clone, Copy)]
pub struct Event<'a> {
    /// Where it belongs.
    pub topic: &'a Topic,
    /// `c` `u` `d` `r` `t` `m`; none of tombstones and transaction metadata.
    pub op: Option<char>,
    /// Whether it is of a transaction: a message may be of none.
    pub transactional: bool,
    /// Where it stands among all events.
    pub position: Position,
    /// The change's.
    pub lsn: Lsn,
    /// µs since 1970-01-01.
    pub commit_time_us: i64,
    /// The transaction; 0 for none.
    pub xid: u32,
    /// None: null.
    pub key: Option<&'a str>,
    /// None: null, a tombstone.
    pub value: Option<&'a str>,
    pub(crate) own_headers: Option<&'a str>,
    /// `before`, `after` and `source` in the value: offset and bytes.
    pub(crate) parts: [[usize; 2]; 3],
    pub(crate) unchanged: &'a [[u8; 4]],
}

impl<'a> Event<'a> {
    /// A JSON object.
    pub fn headers(&self) -> &'a str {
        self.own_headers.unwrap_or(&self.topic.headers)
    }

    /// The row before the change, as it is in the value.
    pub fn before(&self) -> Option<&'a str> {
        let [before, _, _] = self.parts;
        self.part(before)
    }

    /// The row after the change, as it is in the value.
    pub fn after(&self) -> Option<&'a str> {
        let [_, after, _] = self.parts;
        self.part(after)
    }

    /// Where the change comes from, as it is in the value.
    pub fn source(&self) -> Option<&'a str> {
        let [_, _, source] = self.parts;
        self.part(source)
    }

    fn part(&self, [offset, bytes]: [usize; 2]) -> Option<&'a str> {
        let part = self.value?.get(offset..)?.get(..bytes)?;
        (bytes > 0).then_some(part)
    }

    /// Columns of `after` that were not sent, for their TOASTed values did not change.
    pub fn unchanged(&self) -> impl Iterator<Item = u32> + use<'a> {
        self.unchanged
            .iter()
            .map(|bytes| u32::from_le_bytes(*bytes))
    }
}

impl fmt::Debug for Event<'_> {
    /// Leaves the rows' values out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("topic", &self.topic.name)
            .field("op", &self.op)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

/// Events are in the order of their positions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Commit LSN of the transaction, or LSN of a message of none.
    pub commit_lsn: Lsn,
    /// The server's change in its transaction, from 1; 0: its beginning, or a message of none.
    pub index: u32,
    /// Among the events of one change, from 0.
    pub sub: u32,
}

/// What is constant for the events that name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// 0 for logical messages and transaction metadata.
    pub relation_oid: u32,
    /// Its name.
    pub name: String,
    /// Of the table.
    pub schema: String,
    /// The table's name.
    pub table: String,
    /// A JSON object: those of every event without its own.
    pub headers: String,
}

/// A transaction that was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Of its commit.
    pub commit_lsn: Lsn,
    /// µs since 1970-01-01.
    pub commit_time_us: i64,
    /// Its number.
    pub xid: u32,
}
