//! What a change becomes: one event, several, or none.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::Range;

use crate::decoder::{Call, Halt};
use crate::envelope::{Ended, Ending, SourceFacts, write_close, write_source};
use crate::frame::Frame;
use crate::json::append;
use crate::message::{Cell, Change, OldTuple, Tuples};
use crate::options::{Format, Options};
use crate::reader::Malformed;
use crate::record::{EventHead, EventWriter, Parts};
use crate::relation::{InvalidCell, Relation, Row, constant_headers, write_constant_headers};
use crate::transaction::Metadata;
use crate::unwrap::{Envelope, Unwrapped};

/// What an event shows.
#[derive(Clone, Copy, Debug)]
struct Shown<'t, 'a> {
    op: u8,
    before: Option<Row<'t, 'a>>,
    after: Option<Row<'t, 'a>>,
    /// Of its own, as a JSON object; empty if it has none.
    headers: &'t [u8],
}

/// Writes the events one change becomes.
#[derive(Debug)]
pub(crate) struct ChangeWriter<'d, 'c, 'r, 'a> {
    pub(crate) frame: &'d Frame<'a>,
    pub(crate) relation: &'d Relation,
    pub(crate) options: &'d Options,
    /// Of the transaction.
    pub(crate) facts: &'d SourceFacts,
    pub(crate) ending: &'c mut Ending,
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
        if self.relation.tuple_columns == 0 || !self.relation.included {
            return Ok(());
        }
        match change {
            Change::Insert if !skipped.contains(b'c') => {
                let after = self.new_row(None, tuples);
                self.event(&Shown::new(b'c', None, Some(after)))?;
            }
            Change::Update(old) => {
                if self.options.skip_unchanged && self.is_unchanged(old, tuples)? {
                    return Ok(());
                }
                if let Some(old) = old
                    && self.options.format == Format::Debezium
                    && self.key_changed(old, tuples)?
                {
                    return self.write_key_change(old, tuples);
                }
                if !skipped.contains(b'u') {
                    let before = old.map(|old| self.old_row(old, tuples));
                    let after = self.new_row(old, tuples);
                    self.event(&Shown::new(b'u', before, Some(after)))?;
                }
            }
            Change::Delete(old) if !skipped.contains(b'd') => {
                let before = self.old_row(old, tuples);
                self.event(&Shown::new(b'd', Some(before), None))?;
                self.tombstone(&before, &[])?;
            }
            Change::Insert | Change::Delete(_) => {}
        }
        Ok(())
    }

    /// Debezium keeps events of one key in one partition, so a row under a new key is another row.
    fn write_key_change(&mut self, old: OldTuple, tuples: &Tuples<'a>) -> Result<(), Halt> {
        let before = self.old_row(old, tuples);
        let after = self.new_row(Some(old), tuples);
        if !self.options.skipped.contains(b'd') {
            let mut new_key = Vec::new();
            self.write_key(&after, &mut new_key)?;
            let headers = self.key_headers(b"newkey", &new_key);
            self.event(&Shown {
                headers: &headers,
                ..Shown::new(b'd', Some(before), None)
            })?;
            self.tombstone(&before, &headers)?;
        }
        if !self.options.skipped.contains(b'c') {
            let mut old_key = Vec::new();
            self.write_key(&before, &mut old_key)?;
            let headers = self.key_headers(b"oldkey", &old_key);
            self.event(&Shown {
                headers: &headers,
                ..Shown::new(b'c', None, Some(after))
            })?;
        }
        Ok(())
    }

    /// The new row; what was not sent of it is in the old one, where that is whole.
    #[inline]
    fn new_row<'t>(&self, old: Option<OldTuple>, tuples: &'t Tuples<'a>) -> Row<'t, 'a> {
        Row {
            cells: &tuples.new,
            filled: old.and_then(|old| filled_from(old, tuples)),
            incomplete: tuples.new_incomplete,
            identity_only: false,
            around: self.frame.around,
        }
    }

    /// The old row. Debezium shows columns that it does not hold; plainly they are not there.
    #[inline]
    fn old_row<'t>(&self, old: OldTuple, tuples: &'t Tuples<'a>) -> Row<'t, 'a> {
        Row {
            cells: &tuples.old,
            filled: None,
            // An old tuple was read from disk: it has no unchanged columns.
            incomplete: false,
            identity_only: old == OldTuple::Key && self.options.format == Format::Native,
            around: self.frame.around,
        }
    }

    fn event(&mut self, shown: &Shown<'_, 'a>) -> Result<(), Halt> {
        let mut event = EventWriter::begin(self.call.records);
        if let Some(row) = shown.after.as_ref().or(shown.before.as_ref()) {
            self.write_event_key(row)?;
        }
        event.end_key(self.call.records);
        self.call.unchanged.clear();
        self.relation.schemas.value.open(self.call.records);
        event.parts.before = match &shown.before {
            Some(before) => {
                self.call.records.extend_from_slice(b"{\"before\":");
                self.row(before)?
            }
            None => self.null(b"{\"before\":null"),
        };
        event.parts.after = match &shown.after {
            Some(after) => {
                self.call.records.extend_from_slice(b",\"after\":");
                self.row(after)?
            }
            None => self.null(b",\"after\":null"),
        };
        self.finish(event, shown)
    }

    pub(crate) fn write_truncated(&mut self) -> Result<(), Halt> {
        self.event(&Shown::new(b't', None, None))
    }

    fn tombstone(&mut self, before: &Row<'_, 'a>, headers: &[u8]) -> Result<(), Halt> {
        let unwrap = self.options.unwrap.as_ref();
        if !self.options.tombstones || unwrap.is_some_and(|unwrap| !unwrap.keeps_tombstones()) {
            return Ok(());
        }
        let unwrapped = core::mem::take(&mut self.call.tombstone_headers);
        let headers = if unwrap.is_some() {
            &unwrapped
        } else {
            headers
        };
        let mut event = EventWriter::begin(self.call.records);
        self.write_event_key(before)?;
        event.end_key(self.call.records);
        event.end_value(self.call.records);
        self.call.records.extend_from_slice(headers);
        self.call.unchanged.clear();
        self.close(event, 0)
    }

    fn row(&mut self, row: &Row<'_, 'a>) -> Result<Range<usize>, Halt> {
        let start = self.call.records.len();
        self.relation
            .write_row(row, &mut self.call.unchanged, self.call.records)
            .map_err(|invalid| self.invalid(invalid))?;
        Ok(start..self.call.records.len())
    }

    /// Writes a member that ends in `null`; returns where that is.
    #[inline]
    fn null<const N: usize>(&mut self, member: &[u8; N]) -> Range<usize> {
        self.call.records.extend_from_slice(member);
        let end = self.call.records.len();
        end - b"null".len()..end
    }

    fn finish(&mut self, mut event: EventWriter, shown: &Shown<'_, 'a>) -> Result<(), Halt> {
        let op = shown.op;
        let records = &mut *self.call.records;
        let (lsn, format) = (self.frame.lsn, self.options.format);
        self.counted += 1;
        event.parts.source = if let Some(metadata) = self.metadata {
            let mut block = Vec::new();
            let collection = Some(self.relation.qualified_name.as_str());
            metadata.write_block(self.head.xid, lsn, collection, self.counted, &mut block);
            records.extend_from_slice(b",\"source\":");
            let start = records.len();
            write_source(
                self.facts,
                &self.relation.source,
                lsn,
                self.options,
                records,
            );
            let source = start..records.len();
            write_close(op, self.call.now_us, Some(&block), format, records);
            source
        } else {
            let event = Ended {
                topic_id: self.relation.topic_id,
                op,
                facts: self.facts,
                relation: &self.relation.source,
                lsn,
                now_us: self.call.now_us,
            };
            self.ending.write(&event, self.options, records)
        };
        if self.options.unwrap.is_some() {
            return self.finish_unwrapped(event, op, shown.headers);
        }
        self.relation.schemas.value.close(records);
        event.end_value(records);
        if !shown.headers.is_empty() {
            append(shown.headers, records);
        }
        self.close(event, op)
    }

    /// Puts the row in its envelope's place, or takes the event back.
    #[cold]
    fn finish_unwrapped(
        &mut self,
        mut event: EventWriter,
        op: u8,
        headers: &[u8],
    ) -> Result<(), Halt> {
        let Some(unwrap) = &self.options.unwrap else {
            return Ok(());
        };
        let schemas = &self.relation.schemas;
        let start = event.value_start().saturating_add(schemas.value.bytes());
        let value = self.call.records.split_off(start);
        let part = |part: &Range<usize>| {
            let part = part.start.saturating_sub(start)..part.end.saturating_sub(start);
            value.get(part).unwrap_or_default()
        };
        let envelope = Envelope {
            value: &value,
            before: part(&event.parts.before),
            after: part(&event.parts.after),
        };
        if op == b'd' && unwrap.keeps_tombstones() {
            self.call.tombstone_headers = self.unwrapped_headers(headers, &envelope, true).into();
        }
        let headers = self.unwrapped_headers(headers, &envelope, false);
        let records = &mut *self.call.records;
        let parts = match unwrap.write(op, &envelope, records) {
            Unwrapped::Row(parts) => {
                schemas.value.close(records);
                parts
            }
            Unwrapped::Null => {
                records.truncate(event.value_start());
                schemas.unwrapped.deleted.write_null(records);
                Parts::default()
            }
            Unwrapped::Dropped => {
                records.truncate(event.start());
                return Ok(());
            }
        };
        event.parts = parts;
        event.end_value(records);
        append(&headers, records);
        self.close(event, op)
    }

    /// An event's own headers, with those that are added to every event.
    #[cold]
    fn unwrapped_headers<'h>(
        &self,
        headers: &'h [u8],
        envelope: &Envelope<'_>,
        tombstone: bool,
    ) -> Cow<'h, [u8]> {
        let unwrap = self.options.unwrap.as_ref();
        let Some(unwrap) = unwrap.filter(|unwrap| unwrap.has_headers()) else {
            return Cow::Borrowed(headers);
        };
        let mut all = if headers.is_empty() {
            constant_headers(self.options)
        } else {
            headers.to_vec()
        };
        let openings = &self.relation.schemas.unwrapped;
        unwrap.add_headers(envelope, tombstone, openings, &mut all);
        Cow::Owned(all)
    }

    /// The row's columns are what they were, as far as the old tuple tells.
    #[cold]
    fn is_unchanged(&self, old: Option<OldTuple>, tuples: &Tuples<'a>) -> Result<bool, Halt> {
        let Some(old) = old else {
            return Ok(false);
        };
        Ok(self
            .relation
            .same_row(&tuples.old, &tuples.new, filled_from(old, tuples))
            .map_err(|invalid| self.invalid(invalid))?)
    }

    #[inline]
    fn close(&mut self, mut event: EventWriter, op: u8) -> Result<(), Halt> {
        event.end_headers(self.call.records);
        for column in &self.call.unchanged {
            self.call.records.extend_from_slice(&column.to_le_bytes());
        }
        self.head.op = op;
        event.finish(&self.head, self.call.records)?;
        self.head.position.sub += 1;
        Ok(())
    }

    fn key_changed(&self, old: OldTuple, tuples: &Tuples<'a>) -> Result<bool, Halt> {
        let same = self
            .relation
            .same_key(&tuples.old, &tuples.new, filled_from(old, tuples))
            .map_err(|invalid| self.invalid(invalid))?;
        Ok(!same)
    }

    /// Writes the key with its schema, or nothing where there is none.
    #[inline]
    fn write_event_key(&mut self, row: &Row<'_, 'a>) -> Result<(), Halt> {
        let opening = &self.relation.schemas.key;
        opening.open(self.call.records);
        self.relation
            .write_key(row, self.call.records)
            .map_err(|invalid| self.invalid(invalid))?;
        opening.close(self.call.records);
        Ok(())
    }

    fn write_key(&self, row: &Row<'_, 'a>, out: &mut Vec<u8>) -> Result<(), Halt> {
        Ok(self
            .relation
            .write_key(row, out)
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
        // Nothing came behind the comma.
        if headers.last() == Some(&b',') {
            headers.pop();
        }
        headers.push(b'}');
        headers
    }

    #[cold]
    fn invalid(&self, invalid: impl Into<Box<InvalidCell<'a>>>) -> Malformed {
        let InvalidCell {
            column,
            value,
            invalid,
        } = *invalid.into();
        let relation = &self.relation.qualified_name;
        Malformed::value(self.frame.message, value, invalid, &column, relation)
    }
}

impl<'t, 'a> Shown<'t, 'a> {
    #[inline]
    fn new(op: u8, before: Option<Row<'t, 'a>>, after: Option<Row<'t, 'a>>) -> Self {
        Self {
            op,
            before,
            after,
            headers: &[],
        }
    }
}

fn filled_from<'t, 'a>(old: OldTuple, tuples: &'t Tuples<'a>) -> Option<&'t [Cell<'a>]> {
    (old == OldTuple::Full).then_some(tuples.old.as_slice())
}
