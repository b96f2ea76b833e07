//! What a plugin wants of a relation, and its events as rows of that.

use std::ops::Range;
use std::sync::Arc;

use crate::records::{Event, Members, Topic, unescaped};

use super::sandbox::bindings::exports::pgoutput::plugin::transform::{
    Operation, Operations, Row as RowParam, ValueParam, ValueResult, Wanted,
};
use super::value::{Kind, Value};
use super::{PluginError, answer};

/// What it wants of a relation.
pub(super) struct Selected {
    pub(super) topic: Arc<Topic>,
    pub(super) id: u32,
    operations: Operations,
    /// For each of the relation's columns its place among the wanted ones.
    places: Vec<Option<usize>>,
    count: usize,
    old: bool,
    payload: bool,
    kinds: Vec<Kind>,
}

/// The rows of a call, before they have their form.
pub(super) struct Rows<'a> {
    pub(super) values: Vec<Value<'a>>,
    rows: Vec<Row<'a>>,
}

struct Row<'a> {
    operation: Operation,
    lsn: u64,
    commit_us: i64,
    /// Which of the values are its.
    values: Range<usize>,
    old: Range<usize>,
    key: Option<&'a str>,
    payload: Option<&'a str>,
}

impl Rows<'_> {
    /// In their form; `values` are theirs in that form.
    pub(super) fn params<'b>(&'b self, values: &'b [ValueParam<'b>]) -> Vec<RowParam<'b>> {
        let part = |range: &Range<usize>| values.get(range.clone()).unwrap_or_default();
        let row = |row: &'b Row<'b>| RowParam {
            operation: row.operation,
            lsn: row.lsn,
            commit_us: row.commit_us,
            values: part(&row.values),
            old: part(&row.old),
            key: row.key,
            payload: row.payload,
        };
        self.rows.iter().map(row).collect()
    }

    /// Commit time of the first, µs since 1970-01-01.
    pub(super) fn commit_us(&self) -> i64 {
        self.rows.first().map_or(0, |row| row.commit_us)
    }
}

impl Selected {
    pub(super) fn new(
        topic: &Arc<Topic>,
        id: u32,
        wanted: Option<Wanted>,
        native: bool,
    ) -> Result<Self, PluginError> {
        let wanted = wanted.unwrap_or(Wanted {
            operations: Operations::empty(),
            columns: Vec::new(),
            old: false,
            payload: false,
        });
        let mut places = vec![None; topic.columns.len()];
        for (place, column) in wanted.columns.iter().enumerate() {
            let index = usize::try_from(*column).unwrap_or(usize::MAX);
            match places.get_mut(index) {
                Some(free @ None) => *free = Some(place),
                Some(_) => return Err(answer(format!("column {index} is wanted twice"))),
                None => return Err(answer(format!("there is no column {index}"))),
            }
        }
        let kinds = topic.columns.iter().map(|column| Kind::of(column, native));
        Ok(Self {
            id,
            operations: wanted.operations,
            places,
            count: wanted.columns.len(),
            old: wanted.old,
            payload: wanted.payload,
            kinds: kinds.collect(),
            topic: Arc::clone(topic),
        })
    }

    /// Whether some of its events are wanted.
    pub(super) fn wants_some(&self) -> bool {
        self.operations != Operations::empty()
    }

    /// Whether this one is.
    pub(super) fn wants(&self, event: &Event) -> bool {
        let operation = operation(event);
        operation.is_some_and(|operation| self.operations.contains(flag(operation)))
    }

    pub(super) fn rows<'a>(&self, events: &'a [Event]) -> Rows<'a> {
        let mut values = Vec::new();
        let row = |event: &'a Event| {
            let operation = operation(event).unwrap_or(Operation::Emitted);
            let (of_new, of_old) = self.read_images(event, operation, &mut values);
            Row {
                operation,
                lsn: event.lsn().0,
                commit_us: event.commit_ts_us(),
                values: of_new,
                old: of_old,
                key: event.key().filter(|_| self.payload),
                payload: event.value().filter(|_| self.payload),
            }
        };
        let rows = events.iter().map(row).collect();
        Rows { values, rows }
    }

    /// Reads what is wanted of the row at hand and of the one before it; where among `values` that
    /// is.
    fn read_images<'a>(
        &self,
        event: &'a Event,
        operation: Operation,
        values: &mut Vec<Value<'a>>,
    ) -> (Range<usize>, Range<usize>) {
        let is_deleted = operation == Operation::Delete;
        let (new, before) = if is_deleted {
            (event.before(), None)
        } else {
            (event.after(), event.before().filter(|_| self.old))
        };
        let mut read = |object: Option<&'a str>| {
            let start = values.len();
            if let Some(object) = object.filter(|object| object.starts_with('{')) {
                self.read(object, values);
            }
            start..values.len()
        };
        let (of_new, of_old) = (read(new), read(before));
        if !is_deleted {
            let of_new = values.get_mut(of_new.clone()).unwrap_or_default();
            hide_unchanged(event, &self.places, of_new);
        }
        (of_new, of_old)
    }

    /// Reads the wanted members of an object; those that are not there are unchanged.
    fn read<'a>(&self, object: &'a str, values: &mut Vec<Value<'a>>) {
        let start = values.len();
        values.resize(start + self.count, Value::Unchanged);
        let mut left = self.count;
        let mut next = 0;
        for (name, range) in Members::of(object) {
            if left == 0 {
                return;
            }
            // They are in the columns' order, and some may be missing.
            let Some(index) = self.column(name, next) else {
                continue;
            };
            next = index + 1;
            let Some(Some(place)) = self.places.get(index) else {
                continue;
            };
            let kind = self.kinds.get(index).copied().unwrap_or(Kind::Other);
            let slot = values.get_mut(start + place);
            if let Some((slot, text)) = slot.zip(object.get(range)) {
                *slot = kind.read(text);
                left -= 1;
            }
        }
    }

    fn column(&self, name: &str, from: usize) -> Option<usize> {
        let columns = &self.topic.columns;
        if columns.get(from).is_some_and(|column| column.name == name) {
            return Some(from);
        }
        let name = unescaped(name);
        columns.iter().position(|column| column.name == *name)
    }

    /// The JSON of values that are to take others' places.
    pub(super) fn written(
        &self,
        values: &[(u32, ValueResult)],
    ) -> Result<Vec<(usize, String)>, PluginError> {
        let written = values.iter().map(|(column, value)| {
            let index = usize::try_from(*column).unwrap_or(usize::MAX);
            let known = self.kinds.get(index).zip(self.topic.columns.get(index));
            let Some((kind, column)) = known else {
                return Err(answer(format!("there is no column {index}")));
            };
            let json = kind.write(value).map_err(|takes| {
                answer(format!(
                    "column {:?} takes {takes}, and was given another value",
                    column.name
                ))
            })?;
            Ok((index, json))
        });
        written.collect()
    }
}

fn hide_unchanged(event: &Event, places: &[Option<usize>], values: &mut [Value<'_>]) {
    for index in event.unchanged() {
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        let place = places.get(index).copied().flatten();
        if let Some(value) = place.and_then(|place| values.get_mut(place)) {
            *value = Value::Unchanged;
        }
    }
}

/// What a plugin calls it; none for tombstones and transaction metadata.
fn operation(event: &Event) -> Option<Operation> {
    Some(match event.op() {
        Some('c') => Operation::Create,
        Some('r') => Operation::Read,
        Some('u') => Operation::Update,
        Some('d') => Operation::Delete,
        Some('t') => Operation::Truncate,
        Some('m') => Operation::Message,
        _ if event.is_emitted() => Operation::Emitted,
        _ => return None,
    })
}

fn flag(operation: Operation) -> Operations {
    match operation {
        Operation::Create => Operations::CREATE,
        Operation::Read => Operations::READ,
        Operation::Update => Operations::UPDATE,
        Operation::Delete => Operations::DELETE,
        Operation::Truncate => Operations::TRUNCATE,
        Operation::Message => Operations::MESSAGE,
        Operation::Emitted => Operations::EMITTED,
    }
}
