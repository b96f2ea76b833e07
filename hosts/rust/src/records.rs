//! Packed records, read in place: their layout is in `wit/decoding.wit`.

use std::collections::BTreeMap;

use crate::error::{RecordError, Result};
use crate::event::{Event, Position, Record, Topic, Transaction};
use crate::fields::Fields;
use crate::stash::Stash;

/// The topics that a decoder has named so far, by their ids.
#[derive(Debug, Default)]
pub struct Topics(BTreeMap<u32, Topic>);

impl Topics {
    /// Takes from the records of one call what is not for readers of events: the topics, and what
    /// is to be done with frames of the call. For every call, in their order.
    pub fn learn(&mut self, mut records: &[u8], frames: &[u8], stash: &mut Stash) -> Result<()> {
        while !records.is_empty() {
            let (kind, _, mut fields) = split_first(&mut records).ok_or(CUT)?;
            let failed = RecordError { kind };
            match kind {
                1 => self.0.extend([topic(&mut fields).ok_or(failed)?]),
                5 => {
                    let (xid, subxid, frames) = stashed(&mut fields, frames).ok_or(failed)?;
                    stash.keep(xid, subxid, frames)?;
                }
                6 => {
                    let (xid, subxid) = fields.u32().zip(fields.u32()).ok_or(failed)?;
                    stash.discard(xid, subxid);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Reads the rest of the records of one call, once [`Self::learn`] has seen them.
    pub fn read<'a>(&'a self, records: &'a [u8]) -> Records<'a> {
        Records(self, records)
    }
}

/// The records of one call, in their order.
pub struct Records<'a>(&'a Topics, &'a [u8]);

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        let Self(topics, rest) = self;
        while !rest.is_empty() {
            let Some((kind, start, mut fields)) = split_first(rest) else {
                return Some(Err(CUT));
            };
            let record = match kind {
                2 => transaction(&mut fields).map(Record::Begin),
                3 => commit(&mut fields),
                4 => event(start, &mut fields, topics).map(Record::Event),
                7 => prepared(&mut fields),
                // Seen by `learn`, or of a later version.
                _ => continue,
            };
            return Some(record.ok_or(RecordError { kind }));
        }
        None
    }
}

/// Takes a record off the front: its kind, the three bytes behind that, and its fields. Nothing is
/// left behind one that is cut short.
fn split_first<'a>(records: &mut &'a [u8]) -> Option<(u8, [u8; 3], Fields<'a>)> {
    let all = std::mem::take(records);
    let (record, rest) = all.split_at_checked(Fields(all).count()?)?;
    let ([.., kind], fields) = record.split_first_chunk::<5>()?;
    let mut fields = Fields(fields);
    *records = rest;
    Some((*kind, fields.array().unwrap_or_default(), fields))
}

fn topic(fields: &mut Fields<'_>) -> Option<(u32, Topic)> {
    let (id, relation_oid) = (fields.u32()?, fields.u32()?);
    let [name, schema, table, headers, _columns] = fields.counts()?;
    let topic = Topic {
        relation_oid,
        name: fields.text(name)?.to_owned(),
        schema: fields.text(schema)?.to_owned(),
        table: fields.text(table)?.to_owned(),
        headers: fields.text(headers)?.to_owned(),
    };
    Some((id, topic))
}

fn stashed<'f>(fields: &mut Fields<'_>, frames: &'f [u8]) -> Option<(u32, u32, &'f [u8])> {
    let (xid, subxid) = (fields.u32()?, fields.u32()?);
    let (start, bytes) = (fields.long_count()?, fields.long_count()?);
    Some((xid, subxid, frames.get(start..)?.get(..bytes)?))
}

fn transaction(fields: &mut Fields<'_>) -> Option<Transaction> {
    let (commit_lsn, commit_time_us, xid) = (fields.lsn()?, fields.i64()?, fields.u32()?);
    Some(Transaction {
        commit_lsn,
        commit_time_us,
        xid,
    })
}

fn commit<'a>(fields: &mut Fields<'_>) -> Option<Record<'a>> {
    let transaction = transaction(fields)?;
    Some(Record::Commit {
        transaction,
        events: fields.u32()?,
        end_lsn: fields.lsn()?,
    })
}

fn prepared<'a>(fields: &mut Fields<'_>) -> Option<Record<'a>> {
    let (xid, _zero, prepare_lsn) = (fields.u32()?, fields.u32()?, fields.lsn()?);
    Some(Record::Prepared { xid, prepare_lsn })
}

fn event<'a>(start: [u8; 3], fields: &mut Fields<'a>, topics: &'a Topics) -> Option<Event<'a>> {
    let [op, flags, _zero] = start;
    let position = Position {
        commit_lsn: fields.lsn()?,
        index: fields.u32()?,
        sub: fields.u32()?,
    };
    let (lsn, commit_time_us, xid) = (fields.lsn()?, fields.i64()?, fields.u32()?);
    let topic = topics.0.get(&fields.u32()?)?;
    let [key, value, headers, unchanged] = fields.counts()?;
    let parts = [fields.counts()?, fields.counts()?, fields.counts()?];
    let [key, value, headers] = [key, value, headers].map(|bytes| fields.text(bytes));
    Some(Event {
        topic,
        op: (op != 0).then_some(char::from(op)),
        transactional: flags & 2 == 0,
        position,
        lsn,
        commit_time_us,
        xid,
        key: Some(key?).filter(|key| !key.is_empty()),
        value: Some(value?).filter(|value| !value.is_empty()),
        own_headers: Some(headers?).filter(|_| flags & 1 != 0),
        parts,
        unchanged: fields.bytes(unchanged.checked_mul(4)?)?.as_chunks().0,
    })
}

const CUT: RecordError = RecordError { kind: 0 };
