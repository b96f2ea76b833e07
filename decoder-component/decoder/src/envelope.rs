//! Debezium's envelope around a row: the source block and what follows it.

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

/// All that stands behind `after`, kept for the next event of its topic: little of it differs from
/// event to event, so that is put in its places and the rest copied.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ending {
    /// What it was written for.
    of: Option<Of>,
    origin: Option<(String, Lsn)>,
    /// With zeros behind them, up to a multiple of [`PIECE`].
    bytes: Vec<u8>,
    len: usize,
    source: Range<usize>,
    source_places: SourcePlaces,
    close_places: ClosePlaces,
}

/// So many endings that a few tables which change by turns do not get in each other's way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Endings([Ending; 8]);

impl Endings {
    /// A topic's, or that of another one in its place.
    #[inline]
    pub(crate) fn of(&mut self, topic_id: u32) -> &mut Ending {
        let Self([first, others @ ..]) = self;
        let place = usize::try_from(topic_id % 8).unwrap_or_default();
        others.get_mut(place.wrapping_sub(1)).unwrap_or(first)
    }
}

/// What differs between the events of a topic, but for the LSN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Of {
    topic_id: u32,
    op: u8,
    commit_ts_us: i64,
    xid: Option<u32>,
    last_commit: Option<Lsn>,
    now_us: i64,
    lsn_digits: usize,
}

/// An event, as far as its ending tells of it.
#[derive(Debug)]
pub(crate) struct Ended<'e> {
    pub(crate) topic_id: u32,
    pub(crate) op: u8,
    pub(crate) facts: &'e SourceFacts,
    /// `"schema":…,"table":…`
    pub(crate) relation: &'e [u8],
    pub(crate) lsn: Lsn,
    pub(crate) now_us: i64,
}

/// Where a time stands, in ms, µs and ns.
type Times = [usize; 3];

/// Where in the output the source block's numbers stand.
#[derive(Clone, Debug, Default)]
pub(crate) struct SourcePlaces {
    commit: Times,
    xid: usize,
    last_commit: usize,
    lsn: [usize; 2],
}

#[derive(Clone, Debug, Default)]
pub(crate) struct ClosePlaces {
    op: usize,
    now: Times,
}

impl Ending {
    /// Writes the ending and returns where in `out` the source block is.
    #[inline]
    pub(crate) fn write(
        &mut self,
        event: &Ended<'_>,
        options: &Options,
        out: &mut Vec<u8>,
    ) -> Range<usize> {
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(event.lsn.0).as_bytes();
        let of = Of {
            topic_id: event.topic_id,
            op: event.op,
            commit_ts_us: event.facts.commit_ts_us,
            xid: event.facts.xid,
            last_commit: event.facts.last_commit,
            now_us: event.now_us,
            lsn_digits: digits.len(),
        };
        let start = out.len();
        if self.of != Some(of) || self.origin != event.facts.origin {
            self.turn_into(of, event, options);
        }
        Room::behind(out).put_all(&self.bytes, self.len);
        for at in self.source_places.lsn {
            let place = start + at..start + at + digits.len();
            overwrite(out.get_mut(place).unwrap_or_default(), digits);
        }
        start + self.source.start..start + self.source.end
    }

    /// Puts in place what differs, if it fits, and else writes all anew.
    #[inline(never)]
    fn turn_into(&mut self, of: Of, event: &Ended<'_>, options: &Options) {
        let same_origin = self.origin == event.facts.origin;
        let fits = same_origin && self.of.is_some_and(|before| self.alter(before, of));
        if !fits {
            self.bytes.clear();
            append(b",\"source\":", &mut self.bytes);
            let start = self.bytes.len();
            let Ended {
                facts,
                relation,
                lsn,
                ..
            } = *event;
            self.source_places = write_source(facts, relation, lsn, options, &mut self.bytes);
            self.source = start..self.bytes.len();
            let (op, now_us) = (event.op, event.now_us);
            self.close_places = write_close(op, now_us, None, options.format, &mut self.bytes);
            self.len = self.bytes.len();
            self.bytes.resize(self.len.next_multiple_of(PIECE), 0);
        }
        self.of = Some(of);
        if !same_origin {
            self.origin.clone_from(&event.facts.origin);
        }
    }

    /// Whether all that differs has as many digits as before, and now stands there.
    fn alter(&mut self, before: Of, of: Of) -> bool {
        let same_width = before.topic_id == of.topic_id
            && before.lsn_digits == of.lsn_digits
            && width(before.xid.map(u64::from)) == width(of.xid.map(u64::from))
            && width(before.last_commit.map(|lsn| lsn.0)) == width(of.last_commit.map(|lsn| lsn.0))
            && [
                (before.commit_ts_us, of.commit_ts_us),
                (before.now_us, of.now_us),
            ]
            .into_iter()
            .all(|(before, us)| width_in_all_units(before) == width_in_all_units(us));
        if !same_width {
            return false;
        }
        let (source, close) = (&self.source_places, &self.close_places);
        let bytes = &mut self.bytes;
        if let Some(place) = bytes.get_mut(close.op) {
            *place = of.op;
        }
        let mut digits = itoa::Buffer::new();
        let mut put = |at: usize, digits: &[u8]| {
            let place = bytes
                .get_mut(at..)
                .and_then(|rest| rest.get_mut(..digits.len()));
            overwrite(place.unwrap_or_default(), digits);
        };
        for (times, before, us) in [
            (source.commit, before.commit_ts_us, of.commit_ts_us),
            (close.now, before.now_us, of.now_us),
        ] {
            if before != us {
                let digits = digits.format(us).as_bytes();
                let [ms_at, us_at, ns_at] = times;
                put(ms_at, digits.get(..digits.len() - 3).unwrap_or_default());
                put(us_at, digits);
                // Three zeros follow.
                put(ns_at, digits);
            }
        }
        if let (Some(xid), true) = (of.xid, before.xid != of.xid) {
            put(source.xid, digits.format(xid).as_bytes());
        }
        if let (Some(lsn), true) = (of.last_commit, before.last_commit != of.last_commit) {
            put(source.last_commit, digits.format(lsn.0).as_bytes());
        }
        true
    }
}

/// How many digits a number has; 0 for none.
fn width(number: Option<u64>) -> u32 {
    number.map_or(0, |number| number.checked_ilog10().unwrap_or_default() + 1)
}

/// How many digits a time in µs has, if in ms it has three less and in ns three more.
fn width_in_all_units(us: i64) -> Result<u32, i64> {
    let usual = (1000..i64::MAX / 1000).contains(&us);
    if usual {
        us.checked_ilog10().ok_or(us)
    } else {
        Err(us)
    }
}

/// Writes the source block; `relation` is `"schema":…,"table":…`.
pub(crate) fn write_source(
    facts: &SourceFacts,
    relation: &[u8],
    lsn: Lsn,
    options: &Options,
    out: &mut Vec<u8>,
) -> SourcePlaces {
    let mut places = SourcePlaces::default();
    let [ms_at, us_at, ns_at] = &mut places.commit;
    let [first_lsn, second_lsn] = &mut places.lsn;
    out.extend_from_slice(match options.format {
        Format::Debezium => b"{\"version\":\"3.6.3.Final\",\"connector\":\"postgresql\",\"name\":",
        Format::Native => concat!(
            "{\"version\":\"",
            env!("CARGO_PKG_VERSION"),
            "\",\"connector\":\"pgoutput-decoder\",\"name\":"
        )
        .as_bytes(),
    });
    write_name(&options.topic_prefix, options.format, out);
    out.extend_from_slice(b",\"ts_ms\":");
    *ms_at = out.len();
    write_i64(facts.commit_ts_us.div_euclid(1000), out);
    // Its schema has "false" as the default, and the connector leaves it out while streaming.
    out.extend_from_slice(if options.replace_null_with_default {
        b",\"snapshot\":\"false\",\"db\":"
    } else {
        b",\"snapshot\":null,\"db\":"
    });
    write_name(&options.database, options.format, out);
    match options.format {
        Format::Debezium => {
            out.extend_from_slice(b",\"sequence\":");
            places.last_commit = write_sequence(facts.last_commit, out);
            *first_lsn = out.len();
            write_u64(lsn.0, out);
            out.extend_from_slice(b"\\\"]\",");
            [*us_at, *ns_at] = write_finer_times(facts.commit_ts_us, out);
            out.push(b',');
            append(relation, out);
            out.extend_from_slice(b",\"txId\":");
            places.xid = out.len();
            write_xid(facts.xid, out);
            out.extend_from_slice(b",\"lsn\":");
            *second_lsn = out.len();
            write_u64(lsn.0, out);
            out.extend_from_slice(b",\"xmin\":null,\"origin\":");
            match &facts.origin {
                Some((name, lsn)) => {
                    write_name(name, options.format, out);
                    out.extend_from_slice(b",\"origin_lsn\":");
                    write_u64(lsn.0, out);
                }
                None => out.extend_from_slice(b"null,\"origin_lsn\":null"),
            }
            out.push(b'}');
        }
        Format::Native => {
            out.push(b',');
            append(relation, out);
            out.extend_from_slice(b",\"lsn\":");
            *first_lsn = out.len();
            write_u64(lsn.0, out);
            out.push(b',');
            [*us_at, *ns_at] = write_finer_times(facts.commit_ts_us, out);
            out.extend_from_slice(b",\"txId\":");
            places.xid = out.len();
            write_xid(facts.xid, out);
            out.extend_from_slice(b",\"sequence\":");
            places.last_commit = write_sequence(facts.last_commit, out);
            *second_lsn = out.len();
            write_u64(lsn.0, out);
            out.extend_from_slice(b"\\\"]\"}");
        }
    }
    places
}

/// Writes what stands behind the source block: the transaction block, if there is any, op and the
/// time of decoding, µs since 1970-01-01.
pub(crate) fn write_close(
    op: u8,
    now_us: i64,
    transaction: Option<&[u8]>,
    format: Format,
    out: &mut Vec<u8>,
) -> ClosePlaces {
    match (transaction, format) {
        (Some(block), _) => {
            out.extend_from_slice(b",\"transaction\":");
            out.extend_from_slice(block);
        }
        (None, Format::Debezium) => out.extend_from_slice(b",\"transaction\":null"),
        (None, Format::Native) => {}
    }
    out.extend_from_slice(b",\"op\":\"");
    let op_at = out.len();
    out.push(op);
    out.extend_from_slice(b"\",\"ts_ms\":");
    let ms_at = out.len();
    write_i64(now_us.div_euclid(1000), out);
    out.push(b',');
    let [us_at, ns_at] = write_finer_times(now_us, out);
    out.push(b'}');
    ClosePlaces {
        op: op_at,
        now: [ms_at, us_at, ns_at],
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

/// JSON in a string, up to the change's own LSN; where the other one stands.
fn write_sequence(last_commit: Option<Lsn>, out: &mut Vec<u8>) -> usize {
    let Some(lsn) = last_commit else {
        out.extend_from_slice(b"\"[null,\\\"");
        return 0;
    };
    out.extend_from_slice(b"\"[\\\"");
    let at = out.len();
    write_u64(lsn.0, out);
    out.extend_from_slice(b"\\\",\\\"");
    at
}

fn write_finer_times(us: i64, out: &mut Vec<u8>) -> [usize; 2] {
    out.extend_from_slice(b"\"ts_us\":");
    let us_at = out.len();
    write_i64(us, out);
    out.extend_from_slice(b",\"ts_ns\":");
    let ns_at = out.len();
    write_i64(us.saturating_mul(1000), out);
    [us_at, ns_at]
}

#[cfg(test)]
mod tests {
    use alloc::borrow::ToOwned;

    use super::*;

    /// Whatever an ending was written for before, it is as if it had been written for nothing.
    #[test]
    fn an_ending_used_again_is_as_a_new_one() {
        const NOW_US: i64 = 1_795_219_200_000_000;
        let odd = [999_999, 999, i64::MAX];
        for format in ["debezium", "native"] {
            let options = Options::parse([("format", format)]).unwrap();
            let mut used = Ending::default();
            let mut facts = SourceFacts {
                commit_ts_us: NOW_US,
                xid: Some(700),
                last_commit: None,
                origin: None,
            };
            let (mut topic_id, mut now_us, mut relation) = (2, NOW_US, "\"table\":\"a\"");
            for step in 0..64_u64 {
                match step % 13 {
                    1 => facts.xid = Some(701),
                    2 => facts.commit_ts_us += 987_654_321,
                    3 => facts.last_commit = Some(Lsn(26_543_216 + step)),
                    4 => facts.last_commit = Some(Lsn(9_999_999)),
                    5 => now_us += 1_000_001,
                    6 => facts.xid = Some(7_000_000),
                    7 => facts.commit_ts_us = odd[usize::try_from(step % 3).unwrap()],
                    8 => facts.commit_ts_us = -1,
                    9 => facts.commit_ts_us = NOW_US + 5,
                    10 => facts.origin = Some(("o".to_owned(), Lsn(step))),
                    11 => facts.origin = None,
                    12 => (topic_id, relation) = (topic_id + 1, "\"table\":\"bc\""),
                    _ => facts.last_commit = None,
                }
                for lsn in [
                    8,
                    100_000_000 + step,
                    1 << 63,
                    26_543_300 + step,
                    26_543_400,
                ] {
                    for op in [b'c', b'u'] {
                        let event = Ended {
                            topic_id,
                            op,
                            facts: &facts,
                            relation: relation.as_bytes(),
                            lsn: Lsn(lsn),
                            now_us,
                        };
                        let (mut new, mut again) = (b"x".to_vec(), b"x".to_vec());
                        let source = Ending::default().write(&event, &options, &mut new);
                        assert_eq!(used.write(&event, &options, &mut again), source);
                        let [new, again] = [new, again].map(String::from_utf8);
                        assert_eq!(again, new, "{event:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn topics_have_endings() {
        let mut endings = Endings::default();
        for topic_id in 0..20 {
            endings.of(topic_id).len = usize::try_from(topic_id).unwrap();
        }
        assert_eq!(
            endings.0.map(|ending| ending.len),
            [16, 17, 18, 19, 12, 13, 14, 15]
        );
    }
}
