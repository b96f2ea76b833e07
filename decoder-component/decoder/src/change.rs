//! What a change becomes: one event, several, or none.

use alloc::vec::Vec;
use core::ops::Range;

use crate::decoder::{Call, Frame, Halt};
use crate::envelope::Source;
use crate::json::append;
use crate::message::{Cell, OldTuple, Tuples};
use crate::options::{Format, Options};
use crate::reader::Malformed;
use crate::record::{EventHead, EventWriter, Parts};
use crate::relation::{InvalidCell, Relation, Row, write_constant_headers};
use crate::transaction::Metadata;

/// What happened to a row.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    Insert,
    Update(Option<OldTuple>),
    Delete(OldTuple),
}

/// Writes the events one change becomes.
#[derive(Debug)]
pub(crate) struct ChangeWriter<'d, 'c, 'r, 'a> {
    pub(crate) frame: &'d Frame<'a>,
    pub(crate) relation: &'d Relation,
    pub(crate) options: &'d Options,
    pub(crate) source: &'d Source,
    /// The transaction's, before this change.
    pub(crate) metadata: Option<&'d Metadata>,
    /// Events that are data, so far: tombstones are not.
    pub(crate) counted: u32,
    /// Of the next event.
    pub(crate) head: EventHead,
    pub(crate) call: &'c mut Call<'r>,
}

impl<'a> ChangeWriter<'_, '_, '_, 'a> {
    pub(crate) fn write(&mut self, change: Change, tuples: &Tuples<'a>) -> Result<(), Halt> {
        let skipped = &self.options.skipped;
        // A table without columns has changes, but nothing to say of them.
        if self.relation.tuple_columns == 0 {
            return Ok(());
        }
        match change {
            Change::Insert if !skipped.contains(b'c') => {
                self.event(b'c', None, Some(Row::New { old: None }), tuples, &[])?;
            }
            Change::Update(old) => {
                if let Some(old) = old
                    && self.options.format == Format::Debezium
                    && self.key_changed(tuples)?
                {
                    return self.write_key_change(old, tuples);
                }
                if !skipped.contains(b'u') {
                    let before = old.map(before);
                    self.event(b'u', before, Some(filled(old, tuples)), tuples, &[])?;
                }
            }
            Change::Delete(old) if !skipped.contains(b'd') => {
                self.event(b'd', Some(before(old)), None, tuples, &[])?;
                self.tombstone(tuples, &[])?;
            }
            Change::Insert | Change::Delete(_) => {}
        }
        Ok(())
    }

    /// Debezium keeps events of one key in one partition, so a row under a new key is another row.
    fn write_key_change(&mut self, old: OldTuple, tuples: &Tuples<'a>) -> Result<(), Halt> {
        if !self.options.skipped.contains(b'd') {
            let mut new_key = Vec::new();
            self.write_key(tuples, Key::New, &mut new_key)?;
            let headers = self.key_headers(b"newkey", &new_key);
            self.event(b'd', Some(before(old)), None, tuples, &headers)?;
            self.tombstone(tuples, &headers)?;
        }
        if !self.options.skipped.contains(b'c') {
            let mut old_key = Vec::new();
            self.write_key(tuples, Key::Old, &mut old_key)?;
            let headers = self.key_headers(b"oldkey", &old_key);
            self.event(
                b'c',
                None,
                Some(filled(Some(old), tuples)),
                tuples,
                &headers,
            )?;
        }
        Ok(())
    }

    fn event(
        &mut self,
        op: u8,
        before: Option<Row<'_, 'a>>,
        after: Option<Row<'_, 'a>>,
        tuples: &Tuples<'a>,
        headers: &[u8],
    ) -> Result<(), Halt> {
        let mut event = EventWriter::begin(self.call.records);
        let key = if after.is_some() { Key::New } else { Key::Old };
        self.write_event_key(key, tuples)?;
        event.end_key(self.call.records);
        self.call.unchanged.clear();
        self.relation.schemas.value.open(self.call.records);
        append(b"{\"before\":", self.call.records);
        let before = self.row(before, &tuples.old)?;
        // Only `after` has unchanged columns: an old tuple was read from disk.
        self.call.unchanged.clear();
        append(b",\"after\":", self.call.records);
        let after = self.row(after, &tuples.new)?;
        self.finish(event, op, before, after, headers)
    }

    pub(crate) fn write_truncated(&mut self) -> Result<(), Halt> {
        let mut event = EventWriter::begin(self.call.records);
        event.end_key(self.call.records);
        self.call.unchanged.clear();
        self.relation.schemas.value.open(self.call.records);
        append(b"{\"before\":", self.call.records);
        let before = self.row(None, &[])?;
        append(b",\"after\":", self.call.records);
        let after = self.row(None, &[])?;
        self.finish(event, b't', before, after, &[])
    }

    fn tombstone(&mut self, tuples: &Tuples<'a>, headers: &[u8]) -> Result<(), Halt> {
        if !self.options.tombstones {
            return Ok(());
        }
        let mut event = EventWriter::begin(self.call.records);
        self.write_event_key(Key::Old, tuples)?;
        event.end_key(self.call.records);
        event.end_value(self.call.records, Parts::default());
        self.call.records.extend_from_slice(headers);
        self.call.unchanged.clear();
        self.close(event, 0)
    }

    fn row(&mut self, row: Option<Row<'_, 'a>>, cells: &[Cell<'a>]) -> Result<Range<usize>, Halt> {
        let start = self.call.records.len();
        match row {
            Some(row) => self
                .relation
                .write_row(
                    cells,
                    row,
                    self.options.format,
                    &mut self.call.unchanged,
                    self.call.records,
                )
                .map_err(|invalid| self.invalid(invalid))?,
            None => append(b"null", self.call.records),
        }
        Ok(start..self.call.records.len())
    }

    fn finish(
        &mut self,
        mut event: EventWriter,
        op: u8,
        before: Range<usize>,
        after: Range<usize>,
        headers: &[u8],
    ) -> Result<(), Halt> {
        let records = &mut *self.call.records;
        let (lsn, format) = (self.frame.lsn, self.options.format);
        self.counted += 1;
        let source = if let Some(metadata) = self.metadata {
            let mut block = Vec::new();
            let collection = Some(self.relation.qualified_name.as_str());
            metadata.write_block(self.head.xid, lsn, collection, self.counted, &mut block);
            records.extend_from_slice(b",\"source\":");
            let start = records.len();
            let digits = itoa::Buffer::new().format(lsn.0).as_bytes().to_vec();
            self.source
                .write(&self.relation.source, &digits, format, records);
            let source = start..records.len();
            self.call.close.write(op, Some(&block), records);
            source
        } else {
            let parts = (
                self.source,
                self.relation.source.as_slice(),
                &self.call.close,
            );
            let of = (self.relation.topic_id, op);
            self.call.ending.write(of, parts, lsn, format, records)
        };
        self.relation.schemas.value.close(records);
        event.end_value(
            records,
            Parts {
                before,
                after,
                source,
            },
        );
        append(headers, records);
        self.close(event, op)
    }

    fn close(&mut self, event: EventWriter, op: u8) -> Result<(), Halt> {
        event.finish(
            &EventHead { op, ..self.head },
            &self.call.unchanged,
            self.call.records,
        )?;
        self.head.position.sub += 1;
        Ok(())
    }

    fn key_changed(&self, tuples: &Tuples<'a>) -> Result<bool, Halt> {
        let (mut old, mut new) = (Vec::new(), Vec::new());
        self.write_key(tuples, Key::Old, &mut old)?;
        self.write_key(tuples, Key::New, &mut new)?;
        Ok(old != new)
    }

    /// Writes the key with its schema, or nothing where there is none.
    #[inline]
    fn write_event_key(&mut self, key: Key, tuples: &Tuples<'a>) -> Result<(), Halt> {
        let opening = &self.relation.schemas.key;
        opening.open(self.call.records);
        self.relation
            .write_key(key.cells(tuples), self.call.records)
            .map_err(|invalid| self.invalid(invalid))?;
        opening.close(self.call.records);
        Ok(())
    }

    fn write_key(&self, tuples: &Tuples<'a>, key: Key, out: &mut Vec<u8>) -> Result<(), Halt> {
        Ok(self
            .relation
            .write_key(key.cells(tuples), out)
            .map_err(|invalid| self.invalid(invalid))?)
    }

    fn key_headers(&self, name: &[u8], key: &[u8]) -> Vec<u8> {
        let mut headers = b"{\"__debezium.".to_vec();
        headers.extend_from_slice(name);
        headers.extend_from_slice(b"\":");
        let opening = &self.relation.schemas.key_header;
        opening.open(&mut headers);
        headers.extend_from_slice(key);
        opening.close(&mut headers);
        headers.push(b',');
        write_constant_headers(self.options, &mut headers);
        headers.push(b'}');
        headers
    }

    fn invalid(&self, invalid: InvalidCell<'_>) -> Malformed {
        let InvalidCell {
            column,
            value,
            invalid,
        } = invalid;
        let relation = &self.relation.qualified_name;
        Malformed::value(self.frame.message, value, invalid, &column, relation)
    }
}

/// Whose key.
#[derive(Clone, Copy, Debug)]
enum Key {
    New,
    Old,
}

impl Key {
    fn cells<'t, 'a>(self, tuples: &'t Tuples<'a>) -> &'t [Cell<'a>] {
        match self {
            Self::New => &tuples.new,
            Self::Old => &tuples.old,
        }
    }
}

/// The new row; what was not sent of it is in the old one, where that is whole.
fn filled<'t, 'a>(old: Option<OldTuple>, tuples: &'t Tuples<'a>) -> Row<'t, 'a> {
    Row::New {
        old: (old == Some(OldTuple::Full)).then_some(tuples.old.as_slice()),
    }
}

fn before(old: OldTuple) -> Row<'static, 'static> {
    match old {
        OldTuple::Key => Row::Identity,
        OldTuple::Full => Row::Old,
    }
}
