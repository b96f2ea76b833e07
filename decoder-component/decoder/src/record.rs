//! Packed records, as `wit/decoding.wit` lays them out: the only code that writes them.

use alloc::vec::Vec;
use core::ops::Range;

use crate::lsn::Lsn;
use crate::room::Room;
use crate::transaction::Transaction;
use crate::value::Shape;

/// Where an event stands in the stream; its records' position fields.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Position {
    pub(crate) commit_lsn: Lsn,
    pub(crate) index: u32,
    pub(crate) sub: u32,
}

/// The fixed part of an event, apart from lengths.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EventHead {
    /// The op's letter; 0 for a tombstone.
    pub(crate) op: u8,
    pub(crate) transactional: bool,
    pub(crate) position: Position,
    pub(crate) lsn: Lsn,
    pub(crate) commit_ts_us: i64,
    pub(crate) xid: u32,
    pub(crate) topic_id: u32,
}

/// Where the parts of a value begin and end in the records.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parts {
    pub(crate) before: Range<usize>,
    pub(crate) after: Range<usize>,
    pub(crate) source: Range<usize>,
}

/// A record, or a part of it, does not fit its length field.
#[derive(Debug)]
pub(crate) struct RecordTooLong;

/// An event being written: key, value and headers are appended to the records in that order.
#[derive(Debug)]
pub(crate) struct EventWriter {
    start: usize,
    key_end: usize,
    value_end: usize,
    headers_end: usize,
    /// Of the value, where it has them.
    pub(crate) parts: Parts,
}

const KIND_TOPIC: u8 = 1;
const KIND_BEGIN: u8 = 2;
const KIND_COMMIT: u8 = 3;
const KIND_EVENT: u8 = 4;
const KIND_STASH: u8 = 5;
const KIND_DISCARD: u8 = 6;
const KIND_PREPARED: u8 = 7;
const EVENT_HEAD_BYTES: usize = 88;
const FLAG_HEADERS: u8 = 1;
const FLAG_NO_TRANSACTION: u8 = 2;

impl EventWriter {
    /// Leaves room for the fixed part; the key follows.
    pub(crate) fn begin(records: &mut Vec<u8>) -> Self {
        let start = records.len();
        let mut room = Room::behind(records);
        room.put(&[0; EVENT_HEAD_BYTES], EVENT_HEAD_BYTES);
        drop(room);
        Self {
            start,
            key_end: 0,
            value_end: 0,
            headers_end: 0,
            parts: Parts::default(),
        }
    }

    /// Where the event begins in the records.
    pub(crate) fn start(&self) -> usize {
        self.start
    }

    /// Where its value does, once the key is written.
    pub(crate) fn value_start(&self) -> usize {
        self.key_end
    }

    /// The key is written (or is null); the value follows.
    pub(crate) fn end_key(&mut self, records: &[u8]) {
        self.key_end = records.len();
    }

    /// The value is written (or is null); headers follow, where the event has its own.
    pub(crate) fn end_value(&mut self, records: &[u8]) {
        self.value_end = records.len();
    }

    /// Headers, if any, are written; indexes of unchanged columns follow, if any.
    #[inline]
    pub(crate) fn end_headers(&mut self, records: &[u8]) {
        self.headers_end = records.len();
    }

    /// Fills in the fixed part.
    pub(crate) fn finish(&self, head: &EventHead, records: &mut [u8]) -> Result<(), RecordTooLong> {
        let whole = records.len().saturating_sub(self.start);
        // Everything below is a part of it.
        let whole = u32::try_from(whole).map_err(|_| RecordTooLong)?;
        let from = |start: usize, end: usize| low_word(end.wrapping_sub(start));
        let mut flags = 0;
        if self.headers_end > self.value_end {
            flags |= FLAG_HEADERS;
        }
        if !head.transactional {
            flags |= FLAG_NO_TRANSACTION;
        }
        let lengths = [
            from(self.start + EVENT_HEAD_BYTES, self.key_end),
            from(self.key_end, self.value_end),
            from(self.value_end, self.headers_end),
            from(self.headers_end, records.len()) / 4,
        ];
        let place = |part: &Range<usize>| {
            if part.is_empty() {
                [0, 0]
            } else {
                [from(self.key_end, part.start), from(part.start, part.end)]
            }
        };
        let Parts {
            before,
            after,
            source,
        } = &self.parts;
        let parts = [place(before), place(after), place(source)];
        // Field by field in its place: a copy of this size would be a call.
        let fixed = records
            .get_mut(self.start..)
            .and_then(<[u8]>::first_chunk_mut::<EVENT_HEAD_BYTES>)
            .ok_or(RecordTooLong)?;
        put(fixed, 0, whole.to_le_bytes());
        put(fixed, 4, [KIND_EVENT, head.op, flags, 0]);
        put(fixed, 8, head.position.commit_lsn.0.to_le_bytes());
        put(fixed, 16, head.position.index.to_le_bytes());
        put(fixed, 20, head.position.sub.to_le_bytes());
        put(fixed, 24, head.lsn.0.to_le_bytes());
        put(fixed, 32, head.commit_ts_us.to_le_bytes());
        put(fixed, 40, head.xid.to_le_bytes());
        put(fixed, 44, head.topic_id.to_le_bytes());
        for (length, at) in lengths.into_iter().zip([48, 52, 56, 60]) {
            put(fixed, at, length.to_le_bytes());
        }
        for (part, at) in parts.into_iter().flatten().zip([64, 68, 72, 76, 80, 84]) {
            put(fixed, at, part.to_le_bytes());
        }
        Ok(())
    }
}

/// A topic record.
#[derive(Debug)]
pub(crate) struct Topic<'a> {
    pub(crate) id: u32,
    pub(crate) relation: u32,
    pub(crate) name: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) table: &'a str,
    pub(crate) headers: &'a [u8],
    pub(crate) columns: Vec<TopicColumn<'a>>,
}

#[derive(Debug)]
pub(crate) struct TopicColumn<'a> {
    pub(crate) name: &'a str,
    pub(crate) type_oid: u32,
    pub(crate) typmod: i32,
    pub(crate) shape: Shape,
    pub(crate) in_key: bool,
    pub(crate) nullable: bool,
}

/// Where a topic record holds its id; the rest is what it says.
pub(crate) const TOPIC_ID_BYTES: Range<usize> = 8..12;

pub(crate) fn write_topic(topic: &Topic<'_>, out: &mut Vec<u8>) -> Result<(), RecordTooLong> {
    let start = out.len();
    let strings = [
        topic.name.as_bytes(),
        topic.namespace.as_bytes(),
        topic.table.as_bytes(),
        topic.headers,
    ];
    let mut fixed = fixed::<36>(KIND_TOPIC);
    put(&mut fixed, 8, topic.id.to_le_bytes());
    put(&mut fixed, 12, topic.relation.to_le_bytes());
    for (string, at) in strings.iter().zip([16, 20, 24, 28]) {
        put(&mut fixed, at, length(0..string.len())?.to_le_bytes());
    }
    put(
        &mut fixed,
        32,
        length(0..topic.columns.len())?.to_le_bytes(),
    );
    out.extend_from_slice(&fixed);
    for string in strings {
        out.extend_from_slice(string);
    }
    for column in &topic.columns {
        out.extend_from_slice(&column.type_oid.to_le_bytes());
        out.extend_from_slice(&column.typmod.to_le_bytes());
        let flags = u8::from(column.in_key) | u8::from(column.nullable) << 1;
        write_shaped(column.name, &column.shape, flags, out)?;
    }
    let bytes = length(start..out.len())?.to_le_bytes();
    if let Some(place) = out.get_mut(start..).and_then(<[u8]>::first_chunk_mut::<4>) {
        *place = bytes;
    }
    Ok(())
}

/// What columns and the attributes of their objects have in common.
fn write_shaped(
    name: &str,
    shape: &Shape,
    flags: u8,
    out: &mut Vec<u8>,
) -> Result<(), RecordTooLong> {
    out.extend_from_slice(&[shape.code, flags]);
    out.extend_from_slice(&short_length(name.len())?.to_le_bytes());
    out.extend_from_slice(name.as_bytes());
    if shape.is_object() {
        out.extend_from_slice(&short_length(shape.attributes.len())?.to_le_bytes());
        for (name, shape) in &shape.attributes {
            write_shaped(name, shape, 0, out)?;
        }
    }
    Ok(())
}

pub(crate) fn write_begin(transaction: &Transaction, out: &mut Vec<u8>) {
    let mut fixed = fixed::<28>(KIND_BEGIN);
    put(&mut fixed, 0, 28_u32.to_le_bytes());
    put(&mut fixed, 8, transaction.commit_lsn.0.to_le_bytes());
    put(&mut fixed, 16, transaction.commit_ts_us.to_le_bytes());
    put(&mut fixed, 24, transaction.xid.to_le_bytes());
    out.extend_from_slice(&fixed);
}

pub(crate) fn write_commit(transaction: &Transaction, end_lsn: Lsn, out: &mut Vec<u8>) {
    let mut fixed = fixed::<40>(KIND_COMMIT);
    put(&mut fixed, 0, 40_u32.to_le_bytes());
    put(&mut fixed, 8, transaction.commit_lsn.0.to_le_bytes());
    put(&mut fixed, 16, transaction.commit_ts_us.to_le_bytes());
    put(&mut fixed, 24, transaction.xid.to_le_bytes());
    put(&mut fixed, 28, transaction.events.to_le_bytes());
    put(&mut fixed, 32, end_lsn.0.to_le_bytes());
    out.extend_from_slice(&fixed);
}

/// A stash record that the next frame may become part of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenStash {
    xid: u32,
    subxid: u32,
    end: usize,
    bytes: u64,
    /// Where its length in bytes stands in the records, which end there.
    bytes_at: usize,
}

/// The caller is to keep these bytes of the frames it passed. Returns what the next call should be
/// given as `before`.
pub(crate) fn write_stash(
    before: Option<OpenStash>,
    (xid, subxid): (u32, u32),
    frames: Range<usize>,
    out: &mut Vec<u8>,
) -> OpenStash {
    let bytes = u64::try_from(frames.len()).unwrap_or(u64::MAX);
    if let Some(before) = before
        && (before.xid, before.subxid, before.end) == (xid, subxid, frames.start)
        && before.bytes_at + 8 == out.len()
        && let Some(place) = out.last_chunk_mut::<8>()
    {
        let bytes = before.bytes.saturating_add(bytes);
        *place = bytes.to_le_bytes();
        return OpenStash {
            end: frames.end,
            bytes,
            ..before
        };
    }
    let mut fixed = fixed::<32>(KIND_STASH);
    put(&mut fixed, 0, 32_u32.to_le_bytes());
    put(&mut fixed, 8, xid.to_le_bytes());
    put(&mut fixed, 12, subxid.to_le_bytes());
    let start = u64::try_from(frames.start).unwrap_or(u64::MAX);
    put(&mut fixed, 16, start.to_le_bytes());
    put(&mut fixed, 24, bytes.to_le_bytes());
    out.extend_from_slice(&fixed);
    OpenStash {
        xid,
        subxid,
        end: frames.end,
        bytes,
        bytes_at: out.len() - 8,
    }
}

/// The caller is to forget what it kept of a subtransaction; its own xid: of the transaction.
pub(crate) fn write_discard(xid: u32, subxid: u32, out: &mut Vec<u8>) {
    let mut fixed = fixed::<16>(KIND_DISCARD);
    put(&mut fixed, 0, 16_u32.to_le_bytes());
    put(&mut fixed, 8, xid.to_le_bytes());
    put(&mut fixed, 12, subxid.to_le_bytes());
    out.extend_from_slice(&fixed);
}

/// Nothing behind `prepare_lsn` is to be confirmed while the transaction is undecided.
pub(crate) fn write_prepared(xid: u32, prepare_lsn: Lsn, out: &mut Vec<u8>) {
    let mut fixed = fixed::<24>(KIND_PREPARED);
    put(&mut fixed, 0, 24_u32.to_le_bytes());
    put(&mut fixed, 8, xid.to_le_bytes());
    put(&mut fixed, 16, prepare_lsn.0.to_le_bytes());
    out.extend_from_slice(&fixed);
}

/// The fixed part of a record that has nothing in it but its kind.
fn fixed<const N: usize>(kind: u8) -> [u8; N] {
    let mut bytes = [0; N];
    put(&mut bytes, 4, [kind]);
    bytes
}

#[inline]
fn put<const N: usize, const M: usize>(bytes: &mut [u8; N], at: usize, field: [u8; M]) {
    if let Some(place) = bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<M>) {
        *place = field;
    }
}

fn short_length(length: usize) -> Result<u16, RecordTooLong> {
    u16::try_from(length).map_err(|_| RecordTooLong)
}

/// Of a length that is known to fit.
#[inline]
fn low_word(length: usize) -> u32 {
    let [a, b, c, d, ..] = length.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

fn length(range: Range<usize>) -> Result<u32, RecordTooLong> {
    u32::try_from(range.len()).map_err(|_| RecordTooLong)
}
