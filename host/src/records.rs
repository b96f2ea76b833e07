//! Reads the packed records that `wit/decoding.wit` describes.
//!
//! A batch is read once: what is binary is taken out of the decoder's bytes and blanked, so that
//! what remains is one checked UTF-8 text, which events share and slice.

use std::collections::HashMap;
use std::fmt;
use std::iter;
use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;

use crate::lsn::Lsn;

mod edit;
mod members;
mod read;
mod shape;
mod write;

pub(crate) use self::edit::{Edit, Edits, Emitted, Image, NewValue, headers_json, quote, quoted};
pub(crate) use self::members::{Members, unescaped};
pub use self::shape::{Attribute, Shape};

/// Event flag: headers of its own.
const OWN_HEADERS: u8 = 1;
/// Event flag: of no transaction.
const NO_TRANSACTION: u8 = 2;
/// Event flag, of ours: a plugin made it.
const EMITTED: u8 = 128;

/// The topics a decoder has named so far. One per decoder: a new decoder starts a new table.
#[derive(Debug, Default)]
pub struct TopicTable {
    topics: HashMap<u32, Arc<Topic>>,
}

/// What is constant for the events that name it: where they belong and what their columns are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Unique within a decoder.
    pub id: u32,
    /// The topic's name, for example `shop.public.orders`.
    pub name: String,
    /// `pg_class.oid`; 0 for logical messages and transaction metadata.
    pub relation_oid: u32,
    /// `pg_namespace.nspname`.
    pub schema: String,
    /// `pg_class.relname`.
    pub table: String,
    /// Headers of every event without its own: a JSON object.
    pub headers: String,
    /// Columns of the events, in their order.
    pub columns: Vec<Column>,
}

/// A column of a topic's events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// `pg_attribute.attname`.
    pub name: String,
    /// `pg_attribute.atttypid`; of a domain, its base type.
    pub type_oid: u32,
    /// `pg_attribute.atttypmod`; -1 for none.
    pub typmod: i32,
    /// What the column's JSON stands for, by the table in `wit/decoding.wit`.
    pub shape: Shape,
    /// Whether the column is part of the key.
    pub in_key: bool,
    /// Whether the column may be null.
    pub nullable: bool,
}

/// The records of one call to the decoder. Cheap to clone.
#[derive(Clone)]
pub struct Batch(Arc<Records>);

#[derive(Clone)]
struct Records {
    /// The decoder's bytes, blank where they are not text.
    text: String,
    topics: Vec<Arc<Topic>>,
    events: Vec<EventHeader>,
    /// Begins and commits, each with the number of events before it.
    marks: Vec<(usize, Mark)>,
    unchanged: Vec<u32>,
}

#[derive(Clone, Default)]
struct EventHeader {
    op: u8,
    flags: u8,
    position: Position,
    lsn: Lsn,
    commit_ts_us: i64,
    xid: u32,
    /// Index among the batch's topics.
    topic: usize,
    key: Range<usize>,
    value: Range<usize>,
    headers: Range<usize>,
    before: Range<usize>,
    after: Range<usize>,
    source: Range<usize>,
    /// Range of the batch's unchanged columns.
    unchanged: Range<usize>,
}

#[derive(Clone)]
enum Mark {
    Begin(Begin),
    Commit(Commit),
    Discard(Discard),
    Prepared(Prepared),
    Stash(Stash),
}

/// One of a batch's records, besides topics.
#[derive(Clone, Debug)]
pub enum Item {
    /// A transaction's events follow.
    Begin(Begin),
    /// All of a transaction's events have come.
    Commit(Commit),
    /// Frames that were stashed are to be forgotten.
    Discard(Discard),
    /// A change, or what stands for one.
    Event(Event),
    /// A transaction is prepared and undecided.
    Prepared(Prepared),
    /// Frames are to be kept until they are discarded or replayed.
    Stash(Stash),
}

/// A transaction begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begin {
    /// LSN of the commit, known from the start.
    pub commit_lsn: Lsn,
    /// Commit time, µs since 1970-01-01.
    pub commit_ts_us: i64,
    /// Transaction id.
    pub xid: u32,
}

/// A transaction is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// LSN of the commit, as in [`Begin`].
    pub commit_lsn: Lsn,
    /// What may be confirmed once all of its events are dealt with.
    pub end_lsn: Lsn,
    /// Commit time, µs since 1970-01-01.
    pub commit_ts_us: i64,
    /// Transaction id.
    pub xid: u32,
    /// How many events it had.
    pub events: u32,
}

/// Frames of the call to keep, in the order they come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stash {
    /// Of the transaction.
    pub xid: u32,
    /// Of the subtransaction, or the transaction itself.
    pub subxid: u32,
    /// Which bytes of the frames passed to the decoder: whole frames.
    pub frames: Range<usize>,
}

/// Frames to forget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Discard {
    /// Of the transaction.
    pub xid: u32,
    /// Of the subtransaction; the transaction's own: all of it.
    pub subxid: u32,
}

/// A transaction that is prepared: what lies behind its PREPARE is not to be confirmed until it is
/// discarded and its events, if it had any before that, are dealt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// Of the transaction.
    pub xid: u32,
    /// Of its PREPARE.
    pub prepare_lsn: Lsn,
}

/// One event of a batch, which it keeps alive. Cheap to clone.
#[derive(Clone)]
pub struct Event {
    records: Arc<Records>,
    index: usize,
}

/// Where an event's parts are in a text.
#[derive(Clone, Copy)]
pub(crate) struct Places<'a> {
    pub(crate) text: &'a str,
    pub(crate) key: &'a Range<usize>,
    pub(crate) before: &'a Range<usize>,
    pub(crate) after: &'a Range<usize>,
}

/// Where an event stands in the stream: total, and independent of options.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Commit LSN of the transaction, or the message's LSN where there is none.
    pub commit_lsn: Lsn,
    /// Index of the server's change in its transaction, from 1; 0 is its beginning. A logical
    /// message has that of the change before it.
    pub index: u32,
    /// Index of the event among those of one change, from 0.
    pub sub: u32,
}

/// The text is not of the form `X/X:n` or `X/X:n.n`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a position: an LSN and an index are expected, as in 0/16B3748:7 or 0/16B3748:7.1")]
pub struct PositionParseError;

/// Bytes that are no records: a bug in the decoder or in whoever stored them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a decoder's records: {what} at byte {offset}")]
pub struct RecordError {
    /// What is wrong.
    pub what: &'static str,
    /// Where, in bytes from the start of the batch.
    pub offset: usize,
}

impl Batch {
    /// How many events there are.
    pub fn len(&self) -> usize {
        self.0.events.len()
    }

    /// Whether there are no events; there may be begins and commits.
    pub fn is_empty(&self) -> bool {
        self.0.events.is_empty()
    }

    /// Commit LSN of the last transaction that ends in it.
    pub fn last_commit(&self) -> Option<Lsn> {
        let mut marks = self.0.marks.iter().rev();
        marks.find_map(|(_, mark)| match mark {
            Mark::Commit(commit) => Some(commit.commit_lsn),
            _ => None,
        })
    }

    /// The memory its events take, about.
    pub fn bytes(&self) -> usize {
        if self.is_empty() {
            return 0;
        }
        self.0.text.len() + self.len() * size_of::<EventHeader>()
    }

    /// The events in order.
    pub fn events(&self) -> impl ExactSizeIterator<Item = Event> + use<> {
        let records = Arc::clone(&self.0);
        (0..self.len()).map(move |index| Event {
            records: Arc::clone(&records),
            index,
        })
    }

    /// The event with this index.
    pub fn event(&self, index: usize) -> Option<Event> {
        (index < self.len()).then(|| Event {
            records: Arc::clone(&self.0),
            index,
        })
    }

    /// A copy that shares nothing with it.
    #[must_use]
    pub fn copied(&self) -> Self {
        Self(Arc::new(Records::clone(&self.0)))
    }

    /// Drops the events up to `position`, which came before the connection was lost.
    pub(crate) fn drop_until(&mut self, position: Position) {
        let records = Arc::make_mut(&mut self.0);
        let known = records
            .events
            .partition_point(|event| event.position <= position);
        records.events.drain(..known);
        for (before, _) in &mut records.marks {
            *before = before.saturating_sub(known);
        }
    }

    /// Events, and what stands between them, in order.
    pub fn items(&self) -> impl Iterator<Item = Item> + use<> {
        let batch = self.clone();
        let (mut mark, mut index) = (0, 0);
        iter::from_fn(move || {
            if let Some((before, next)) = batch.0.marks.get(mark)
                && *before <= index
            {
                mark += 1;
                return Some(match next {
                    Mark::Begin(begin) => Item::Begin(*begin),
                    Mark::Commit(commit) => Item::Commit(*commit),
                    Mark::Discard(discard) => Item::Discard(*discard),
                    Mark::Prepared(prepared) => Item::Prepared(*prepared),
                    Mark::Stash(stash) => Item::Stash(stash.clone()),
                });
            }
            let event = batch.event(index)?;
            index += 1;
            Some(Item::Event(event))
        })
    }
}

impl Event {
    /// `c` `u` `d` `r` `t` `m`; none for tombstones and transaction metadata.
    pub fn op(&self) -> Option<char> {
        Some(char::from(self.header().op)).filter(|op| *op != '\0')
    }

    /// The key as JSON; none where it is null.
    pub fn key(&self) -> Option<&str> {
        self.text(&self.header().key)
    }

    /// The value as JSON; none for a tombstone.
    pub fn value(&self) -> Option<&str> {
        self.text(&self.header().value)
    }

    /// `before` in the value; none where the value has no such field.
    pub fn before(&self) -> Option<&str> {
        self.text(&self.header().before)
    }

    /// `after` in the value; none where the value has no such field.
    pub fn after(&self) -> Option<&str> {
        self.text(&self.header().after)
    }

    /// `source` in the value; none where the value has no such field.
    pub fn source(&self) -> Option<&str> {
        self.text(&self.header().source)
    }

    /// The headers: a JSON object.
    pub fn headers(&self) -> &str {
        if self.header().flags & OWN_HEADERS == 0 {
            return &self.topic().headers;
        }
        self.text(&self.header().headers).unwrap_or("{}")
    }

    /// Where it belongs and what its columns are.
    #[expect(
        clippy::indexing_slicing,
        reason = "the reader counted the batch's topics"
    )]
    pub fn topic(&self) -> &Arc<Topic> {
        &self.records.topics[self.header().topic]
    }

    /// Where it stands in the stream.
    pub fn position(&self) -> Position {
        self.header().position
    }

    /// The change's own LSN. Several events may share one.
    pub fn lsn(&self) -> Lsn {
        self.header().lsn
    }

    /// Commit time, µs since 1970-01-01.
    pub fn commit_ts_us(&self) -> i64 {
        self.header().commit_ts_us
    }

    /// Transaction id.
    pub fn xid(&self) -> Option<u32> {
        Some(self.header().xid).filter(|xid| *xid != 0)
    }

    /// Indexes of the columns of `after` whose `TOASTed` value did not change and was not sent.
    pub fn unchanged(&self) -> impl Iterator<Item = u32> + '_ {
        self.records
            .unchanged
            .get(self.header().unchanged.clone())
            .unwrap_or_default()
            .iter()
            .copied()
    }

    /// Whether it belongs to a transaction. Logical messages need not.
    pub fn transactional(&self) -> bool {
        self.header().flags & NO_TRANSACTION == 0
    }

    /// Which of its batch's events it is.
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// Where its parts are in its batch's text.
    pub(crate) fn places(&self) -> Places<'_> {
        let header = self.header();
        Places {
            text: &self.records.text,
            key: &header.key,
            before: &header.before,
            after: &header.after,
        }
    }

    /// Whether a plugin made it: it is no change of its own.
    pub(crate) fn is_emitted(&self) -> bool {
        self.header().flags & EMITTED != 0
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "events are made for indexes below the length"
    )]
    fn header(&self) -> &EventHeader {
        &self.records.events[self.index]
    }

    fn text(&self, range: &Range<usize>) -> Option<&str> {
        self.records
            .text
            .get(range.clone())
            .filter(|text| !text.is_empty())
    }
}

impl fmt::Debug for Batch {
    /// Leaves the rows' values out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("events", &self.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Event {
    /// Leaves the row's values out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("op", &self.op())
            .field("topic", &self.topic().name)
            .field("position", &self.position())
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.commit_lsn, self.index)?;
        if self.sub > 0 {
            write!(f, ".{}", self.sub)?;
        }
        Ok(())
    }
}

impl FromStr for Position {
    type Err = PositionParseError;

    fn from_str(text: &str) -> Result<Self, PositionParseError> {
        let number = |digits: &str| {
            // str::parse takes a sign.
            if digits.starts_with('+') {
                None
            } else {
                digits.parse().ok()
            }
        };
        let position = || {
            let (lsn, rest) = text.split_once(':')?;
            let (index, sub) = rest.split_once('.').unwrap_or((rest, "0"));
            let commit_lsn = lsn.parse().ok()?;
            Some(Self {
                commit_lsn,
                index: number(index)?,
                sub: number(sub)?,
            })
        };
        position().ok_or(PositionParseError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_are_read() {
        let record = |kind: u8, xids: [u32; 2], rest: &[u64]| {
            let xids = xids.iter().flat_map(|xid| xid.to_le_bytes());
            let rest = rest.iter().flat_map(|number| number.to_le_bytes());
            let body: Vec<u8> = xids.chain(rest).collect();
            let length = u32::try_from(body.len() + 8).unwrap();
            [length.to_le_bytes().as_slice(), &[kind, 0, 0, 0], &body].concat()
        };
        let records = [
            record(7, [7, 0], &[0x16_B374_8000]),
            record(5, [7, 8], &[100, 23]),
            record(6, [7, 7], &[]),
        ];
        let batch = TopicTable::default().read(records.concat()).unwrap();
        let items: Vec<Item> = batch.items().collect();
        let [
            Item::Prepared(prepared),
            Item::Stash(stash),
            Item::Discard(discard),
        ] = &items[..]
        else {
            panic!("{items:?}");
        };
        let prepare_lsn = Lsn(0x16_B374_8000);
        assert_eq!(
            *prepared,
            Prepared {
                xid: 7,
                prepare_lsn
            }
        );
        assert_eq!((stash.xid, stash.subxid), (7, 8));
        assert_eq!(stash.frames, 100..123);
        assert_eq!((discard.xid, discard.subxid), (7, 7));
    }

    #[test]
    fn positions_print_parse_and_sort() {
        for text in [
            "0/0:0",
            "0/16B3748:7",
            "FFFFFFFF/FFFFFFFF:4294967295.4294967295",
        ] {
            assert_eq!(text.parse::<Position>().unwrap().to_string(), text);
        }
        assert_eq!("0/1:2.0".parse::<Position>().unwrap().to_string(), "0/1:2");
        for text in [
            "", "0/1", "0/1:", "0/1:x", "0/1:1.", "0/1:+1", "0/1:1.+1", "1:1", "0/1:-1",
        ] {
            assert_eq!(text.parse::<Position>(), Err(PositionParseError), "{text}");
        }
        let sorted = ["0/9:0", "0/A:0", "0/A:2", "0/A:10", "0/A:10.1", "1/0:0"];
        let positions: Vec<Position> = sorted.iter().map(|text| text.parse().unwrap()).collect();
        assert!(positions.is_sorted());
    }
}
