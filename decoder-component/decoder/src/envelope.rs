//! Debezium's envelope around a row: the source block and what follows it. What is constant for a
//! transaction or a call is put together once and copied.

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use crate::json::append;
use crate::lsn::Lsn;
use crate::options::{Format, Options};
use crate::relation::write_name;
use crate::room::{PIECE, Room};

/// What the source block says of a transaction.
#[derive(Clone, Debug, Default)]
pub(crate) struct SourceFacts {
    pub(crate) commit_ts_us: i64,
    /// Nothing outside of transactions.
    pub(crate) xid: Option<u32>,
    /// LSN of the commit before; nothing at the beginning of the stream.
    pub(crate) last_commit: Option<Lsn>,
    pub(crate) origin: Option<(String, Lsn)>,
}

/// The source block of a transaction's events, in the pieces between what differs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Source {
    /// Up to the LSN, in the native format up to the relation.
    head: Vec<u8>,
    /// Between the first LSN and the relation.
    times: Vec<u8>,
    /// Between the relation and the LSN.
    xid: Vec<u8>,
    /// Behind the LSN, with the closing brace.
    tail: Vec<u8>,
}

/// What stands behind the source block: transaction, op and the time of decoding.
#[derive(Debug)]
pub(crate) struct Close {
    bytes: Vec<u8>,
    /// Where what follows the transaction begins.
    rest_at: usize,
}

/// All that stands behind `after`, kept for the next event: between events of one transaction,
/// relation and op nothing differs but the LSN.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    /// Topic id and op of the event it was written for.
    of: Option<(u32, u8)>,
    /// With zeros behind them, up to a multiple of [`PIECE`].
    bytes: Vec<u8>,
    len: usize,
    source: Range<usize>,
    lsn_at: [usize; 2],
    lsn_digits: usize,
}

impl Ending {
    /// Another transaction begins.
    pub(crate) fn forget(&mut self) {
        self.of = None;
    }

    /// Writes the ending and returns where in `out` the source block is.
    pub(crate) fn write(
        &mut self,
        of: (u32, u8),
        parts: (&Source, &[u8], &Close),
        lsn: Lsn,
        format: Format,
        out: &mut Vec<u8>,
    ) -> Range<usize> {
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(lsn.0).as_bytes();
        let start = out.len();
        if self.of == Some(of) && self.lsn_digits == digits.len() {
            Room::behind(out).put_all(&self.bytes, self.len);
            for at in self.lsn_at {
                let place = start + at..start + at + digits.len();
                overwrite(out.get_mut(place).unwrap_or_default(), digits);
            }
        } else {
            let (source, relation, close) = parts;
            self.bytes.clear();
            append(b",\"source\":", &mut self.bytes);
            let source_start = self.bytes.len();
            self.lsn_at = source.write(relation, digits, format, &mut self.bytes);
            self.source = source_start..self.bytes.len();
            close.write(of.1, None, &mut self.bytes);
            self.lsn_digits = digits.len();
            self.of = Some(of);
            out.extend_from_slice(&self.bytes);
            self.len = self.bytes.len();
            self.bytes.resize(self.len.next_multiple_of(PIECE), 0);
        }
        start + self.source.start..start + self.source.end
    }
}

impl Source {
    /// Puts the pieces together anew, for another transaction.
    pub(crate) fn prepare(&mut self, facts: &SourceFacts, options: &Options) {
        let Self {
            head,
            times,
            xid,
            tail,
        } = self;
        for piece in [&mut *head, times, xid, tail] {
            piece.clear();
        }
        head.extend_from_slice(match options.format {
            Format::Debezium => {
                b"{\"version\":\"3.6.3.Final\",\"connector\":\"postgresql\",\"name\":"
            }
            Format::Native => concat!(
                "{\"version\":\"",
                env!("CARGO_PKG_VERSION"),
                "\",\"connector\":\"pgoutput-decoder\",\"name\":"
            )
            .as_bytes(),
        });
        write_name(&options.topic_prefix, options.format, head);
        head.extend_from_slice(b",\"ts_ms\":");
        write_i64(facts.commit_ts_us.div_euclid(1000), head);
        // Its schema has "false" as the default, and the connector leaves it out while streaming.
        head.extend_from_slice(if options.replace_null_with_default {
            b",\"snapshot\":\"false\",\"db\":"
        } else {
            b",\"snapshot\":null,\"db\":"
        });
        write_name(&options.database, options.format, head);
        match options.format {
            Format::Debezium => {
                head.extend_from_slice(b",\"sequence\":");
                write_sequence(facts.last_commit, head);
                times.extend_from_slice(b"\\\"]\",");
                write_finer_times(facts.commit_ts_us, times);
                times.push(b',');
                xid.extend_from_slice(b",\"txId\":");
                write_xid(facts.xid, xid);
                xid.extend_from_slice(b",\"lsn\":");
                tail.extend_from_slice(b",\"xmin\":null,\"origin\":");
                match &facts.origin {
                    Some((name, lsn)) => {
                        write_name(name, options.format, tail);
                        tail.extend_from_slice(b",\"origin_lsn\":");
                        write_u64(lsn.0, tail);
                    }
                    None => tail.extend_from_slice(b"null,\"origin_lsn\":null"),
                }
                tail.push(b'}');
            }
            Format::Native => {
                head.push(b',');
                xid.extend_from_slice(b",\"lsn\":");
                times.push(b',');
                write_finer_times(facts.commit_ts_us, times);
                times.extend_from_slice(b",\"txId\":");
                write_xid(facts.xid, times);
                times.extend_from_slice(b",\"sequence\":");
                write_sequence(facts.last_commit, times);
                tail.extend_from_slice(b"\\\"]\"}");
            }
        }
    }

    /// Writes the block and returns where in `out` the LSN stands; `relation` is
    /// `"schema":…,"table":…`, `lsn` its digits.
    pub(crate) fn write(
        &self,
        relation: &[u8],
        lsn: &[u8],
        format: Format,
        out: &mut Vec<u8>,
    ) -> [usize; 2] {
        append(&self.head, out);
        match format {
            Format::Debezium => {
                let first = out.len();
                append(lsn, out);
                append(&self.times, out);
                append(relation, out);
                append(&self.xid, out);
                let second = out.len();
                append(lsn, out);
                append(&self.tail, out);
                [first, second]
            }
            Format::Native => {
                append(relation, out);
                append(&self.xid, out);
                let first = out.len();
                append(lsn, out);
                append(&self.times, out);
                let second = out.len();
                append(lsn, out);
                append(&self.tail, out);
                [first, second]
            }
        }
    }
}

impl Close {
    /// For every event of a call: `now_us` is µs since 1970-01-01.
    pub(crate) fn new(now_us: i64, format: Format) -> Self {
        let mut bytes = match format {
            Format::Debezium => b",\"transaction\":null".to_vec(),
            Format::Native => Vec::new(),
        };
        let rest_at = bytes.len();
        bytes.extend_from_slice(b",\"op\":\"?\",\"ts_ms\":");
        write_i64(now_us.div_euclid(1000), &mut bytes);
        bytes.push(b',');
        write_finer_times(now_us, &mut bytes);
        bytes.push(b'}');
        Self { bytes, rest_at }
    }

    /// `transaction` is the transaction block, if there is any.
    pub(crate) fn write(&self, op: u8, transaction: Option<&[u8]>, out: &mut Vec<u8>) {
        let op_at = self.rest_at + b",\"op\":\"".len();
        match transaction {
            None => {
                let start = out.len();
                out.extend_from_slice(&self.bytes);
                if let Some(place) = out.get_mut(start + op_at) {
                    *place = op;
                }
            }
            Some(block) => {
                out.extend_from_slice(b",\"transaction\":");
                out.extend_from_slice(block);
                let start = out.len();
                out.extend_from_slice(self.bytes.get(self.rest_at..).unwrap_or_default());
                if let Some(place) = out.get_mut(start + op_at - self.rest_at) {
                    *place = op;
                }
            }
        }
    }
}

/// Replaces digits by as many others. Pieces of a constant size, the last of which overlaps the one
/// before, are cheaper than a copy of the exact length, which is a call.
#[inline]
fn overwrite(place: &mut [u8], digits: &[u8]) {
    if let (Some(first), Some(last)) = (digits.first_chunk::<8>(), digits.last_chunk::<8>())
        && digits.len() <= 16
    {
        if let Some(place) = place.first_chunk_mut() {
            *place = *first;
        }
        if let Some(place) = place.last_chunk_mut() {
            *place = *last;
        }
    } else if place.len() == digits.len() {
        place.copy_from_slice(digits);
    }
}

pub(crate) fn write_i64(number: i64, out: &mut Vec<u8>) {
    append(itoa::Buffer::new().format(number).as_bytes(), out);
}

pub(crate) fn write_u64(number: u64, out: &mut Vec<u8>) {
    append(itoa::Buffer::new().format(number).as_bytes(), out);
}

fn write_xid(xid: Option<u32>, out: &mut Vec<u8>) {
    match xid {
        Some(xid) => write_u64(u64::from(xid), out),
        None => out.extend_from_slice(b"null"),
    }
}

/// JSON in a string, up to the change's own LSN.
fn write_sequence(last_commit: Option<Lsn>, out: &mut Vec<u8>) {
    match last_commit {
        Some(lsn) => {
            out.extend_from_slice(b"\"[\\\"");
            write_u64(lsn.0, out);
            out.extend_from_slice(b"\\\",\\\"");
        }
        None => out.extend_from_slice(b"\"[null,\\\""),
    }
}

fn write_finer_times(us: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"ts_us\":");
    write_i64(us, out);
    out.extend_from_slice(b",\"ts_ns\":");
    write_i64(us.saturating_mul(1000), out);
}
