//! The events of one table, and of one version of its columns, as rows.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::mem;
use std::sync::Arc;

use arrow_array::builder::{
    ListBuilder, StringBuilder, TimestampMicrosecondBuilder, UInt32Builder, UInt64Builder,
};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{Field, Schema};
use pgoutput_decoder_host::{Event, Topic};
use pyo3::prelude::*;

use super::column::{Unfit, Values};
use crate::error;
use crate::raw::{is_named, members};
use crate::value::DecimalAs;

/// Why there are no record batches.
pub(super) enum Failure {
    /// A value has no place in its column's Arrow type.
    Unfit(Box<UnfitValue>),
    /// What the decoder or Arrow did is not what was expected: a bug.
    Unreadable(String),
}

pub(super) struct UnfitValue {
    topic: Arc<Topic>,
    column: String,
    arrow_type: String,
    position: String,
}

/// The rows so far.
pub(super) struct Table {
    topic: Arc<Topic>,
    columns: Vec<Values>,
    own: Own,
    /// Indexes of the columns of a row that were not sent.
    unchanged: Vec<u32>,
    /// No more than this can be in any column of text: it bounds their offsets.
    bytes: usize,
    finished: Vec<RecordBatch>,
}

/// What is told of each event besides the table's columns.
struct Own {
    op: StringBuilder,
    before: StringBuilder,
    unchanged: ListBuilder<StringBuilder>,
    position: StringBuilder,
    lsn: UInt64Builder,
    xid: UInt32Builder,
    commit_ts: TimestampMicrosecondBuilder,
}

/// More than a position's text has.
const POSITION_BYTES: usize = 64;
/// What Arrow's offsets of 32 bits can tell.
const BYTES_MAX: usize = 0x7FFF_FFFF;

impl Table {
    pub(super) fn new(topic: Arc<Topic>, decimal: DecimalAs, text_columns: &[String]) -> Self {
        let columns = topic.columns.iter().map(|column| {
            let values = Values::of(column, decimal);
            let name = qualified(&topic, &column.name);
            if text_columns.contains(&name) && !matches!(values, Values::Json(_)) {
                Values::text()
            } else {
                values
            }
        });
        let mut columns: Vec<Values> = columns.collect();
        if topic.relation_oid == 0 {
            columns = vec![Values::text()];
        }
        Self {
            columns,
            topic,
            own: Own::new(),
            unchanged: Vec::new(),
            bytes: 0,
            finished: Vec::new(),
        }
    }

    /// Whether the topic's events belong here.
    pub(super) fn is_of(&self, topic: &Topic) -> bool {
        *self.topic == *topic
    }

    pub(super) fn push(&mut self, event: &Event) -> Result<(), Failure> {
        let (row, before) = match event.op() {
            _ if self.topic.relation_oid == 0 => (event.value(), None),
            Some('d') => (event.before(), None),
            _ => (event.after(), event.before()),
        };
        let mut unchanged = mem::take(&mut self.unchanged);
        unchanged.clear();
        unchanged.extend(event.unchanged());
        let topic = Arc::clone(&self.topic);
        let names = unchanged.iter().filter_map(|index| {
            let column = topic.columns.get(usize::try_from(*index).ok()?)?;
            Some(column.name.as_str())
        });
        let bytes = POSITION_BYTES
            + row.map_or(0, str::len)
            + before.map_or(0, str::len)
            + names.clone().map(str::len).sum::<usize>();
        if bytes > BYTES_MAX {
            return Err(unreadable("an event of 2 GiB"));
        }
        if self.bytes + bytes > BYTES_MAX {
            self.finish_batch()?;
        }
        self.bytes += bytes;
        self.own.push(event, before, names);
        self.unchanged = unchanged;
        match row.filter(|row| *row != "null") {
            // What is about no table has one column, the event.
            Some(value) if self.topic.relation_oid == 0 => {
                let appended = self
                    .columns
                    .iter_mut()
                    .try_for_each(|values| values.append(value));
                appended.map_err(|Unfit| unreadable("an event"))
            }
            Some(row) => self.row(row, event),
            None => {
                self.columns.iter_mut().for_each(Values::append_null);
                Ok(())
            }
        }
    }

    /// Columns come in the topic's order; an old row may leave some out.
    fn row(&mut self, row: &str, event: &Event) -> Result<(), Failure> {
        let mut next = 0;
        for (literal, json) in members(row) {
            loop {
                let (Some(column), Some(values)) =
                    (self.topic.columns.get(next), self.columns.get_mut(next))
                else {
                    return Err(unreadable("a column that is not the table's"));
                };
                next += 1;
                if !is_named(literal, &column.name).map_err(unreadable)? {
                    values.append_null();
                    continue;
                }
                if self
                    .unchanged
                    .contains(&u32::try_from(next - 1).unwrap_or(u32::MAX))
                {
                    values.append_null();
                } else if let Err(Unfit) = values.append(json) {
                    return Err(self.unfit(next - 1, event));
                }
                break;
            }
        }
        self.columns
            .iter_mut()
            .skip(next)
            .for_each(Values::append_null);
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Vec<RecordBatch>, Failure> {
        self.finish_batch()?;
        Ok(self.finished)
    }

    fn finish_batch(&mut self) -> Result<(), Failure> {
        self.bytes = 0;
        let mut fields = Vec::new();
        let mut arrays = Vec::new();
        let mut add = |name: String, key: bool, array: ArrayRef| {
            let field = Field::new(name, array.data_type().clone(), true);
            fields.push(if key {
                field.with_metadata(HashMap::from([("key".to_owned(), "true".to_owned())]))
            } else {
                field
            });
            arrays.push(array);
        };
        if self.topic.relation_oid == 0 {
            for values in &mut self.columns {
                add("value".to_owned(), false, values.finish());
            }
        } else {
            for (column, values) in self.topic.columns.iter().zip(&mut self.columns) {
                add(column.name.clone(), column.in_key, values.finish());
            }
        }
        for (name, array) in self.own.finish() {
            add(free(name, &self.topic), false, array);
        }
        let metadata = HashMap::from([
            ("schema".to_owned(), self.topic.schema.clone()),
            ("table".to_owned(), self.topic.table.clone()),
            ("topic".to_owned(), self.topic.name.clone()),
            (
                "relation_oid".to_owned(),
                self.topic.relation_oid.to_string(),
            ),
        ]);
        let schema = Arc::new(Schema::new_with_metadata(fields, metadata));
        let batch = RecordBatch::try_new(schema, arrays).map_err(unreadable)?;
        self.finished.push(batch);
        Ok(())
    }

    #[cold]
    fn unfit(&mut self, index: usize, event: &Event) -> Failure {
        let column = self.topic.columns.get(index);
        let values = self.columns.get_mut(index);
        Failure::Unfit(Box::new(UnfitValue {
            topic: Arc::clone(&self.topic),
            column: column.map_or_else(String::new, |column| column.name.clone()),
            arrow_type: values.map_or_else(String::new, |values| {
                values.finish().data_type().to_string()
            }),
            position: event.position().to_string(),
        }))
    }
}

impl Own {
    fn new() -> Self {
        Self {
            op: StringBuilder::new(),
            before: StringBuilder::new(),
            unchanged: ListBuilder::new(StringBuilder::new()),
            position: StringBuilder::new(),
            lsn: UInt64Builder::new(),
            xid: UInt32Builder::new(),
            commit_ts: TimestampMicrosecondBuilder::new().with_timezone("UTC"),
        }
    }

    fn push<'a>(
        &mut self,
        event: &Event,
        before: Option<&str>,
        unchanged: impl Iterator<Item = &'a str>,
    ) {
        match event.op() {
            Some(op) => self.op.append_value(op.encode_utf8(&mut [0; 4])),
            None => self.op.append_null(),
        }
        self.before
            .append_option(before.filter(|before| *before != "null"));
        for name in unchanged {
            self.unchanged.values().append_value(name);
        }
        self.unchanged.append(true);
        // It writes to memory, which does not fail.
        let _ = write!(self.position, "{}", event.position());
        self.position.append_value("");
        self.lsn.append_value(event.lsn().0);
        self.xid.append_option(event.xid());
        let commit_ts = Some(event.commit_ts_us()).filter(|_| event.transactional());
        self.commit_ts.append_option(commit_ts);
    }

    fn finish(&mut self) -> [(&'static str, ArrayRef); 7] {
        [
            ("__op", Arc::new(self.op.finish())),
            ("__before", Arc::new(self.before.finish())),
            ("__unchanged", Arc::new(self.unchanged.finish())),
            ("__position", Arc::new(self.position.finish())),
            ("__lsn", Arc::new(self.lsn.finish())),
            ("__xid", Arc::new(self.xid.finish())),
            ("__commit_ts", Arc::new(self.commit_ts.finish())),
        ]
    }
}

impl Failure {
    pub(super) fn raise(self, py: Python<'_>) -> PyErr {
        match self {
            Self::Unfit(unfit) => {
                let place = [
                    ("schema", &*unfit.topic.schema),
                    ("table", &*unfit.topic.table),
                    ("column", &*unfit.column),
                    ("position", &*unfit.position),
                ];
                error::unrepresentable(py, place, &unfit.arrow_type)
            }
            Self::Unreadable(reason) => error::unreadable(&reason),
        }
    }
}

/// A name for a column of ours: with another underscore while the table has one of that name. Case
/// does not tell columns apart everywhere.
fn free(name: &str, topic: &Topic) -> String {
    let mut name = name.to_owned();
    while topic
        .columns
        .iter()
        .any(|column| column.name.eq_ignore_ascii_case(&name))
    {
        name.insert(0, '_');
    }
    name
}

fn qualified(topic: &Topic, column: &str) -> String {
    format!("{}.{}.{column}", topic.schema, topic.table)
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub(super) fn unreadable(reason: impl ToString) -> Failure {
    Failure::Unreadable(reason.to_string())
}
