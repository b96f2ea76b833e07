//! What a plugin wants of a relation, and its events as rows of that.

use std::iter;
use std::ops::Range;
use std::sync::Arc;

use crate::records::{
    Edit, Edits, Event, Image, Members, NewValue, Places, Topic, quoted, unescaped,
};

use super::sandbox::bindings::exports::pgoutput::plugin::transform::{
    Document, Event as EventParam, NewValue as NewValueResult, Operation, Operations,
    Rows as RowsParam, ValueParam, Wanted,
};
use super::value::{Kind, Value};
use super::{PluginError, answer};

/// What it wants of a relation.
pub(super) struct Selected {
    pub(super) topic: Arc<Topic>,
    pub(super) id: u32,
    operations: Operations,
    /// As the topic has them.
    columns: Vec<Column>,
    /// How many of them are wanted.
    count: usize,
    old: bool,
    payload: bool,
}

struct Column {
    /// Among the wanted ones.
    place: Option<usize>,
    kind: Kind,
    /// Its name as an event has it, with the colon.
    written: String,
}

/// The events of a call, before they have the form it takes.
pub(super) struct Rows<'a> {
    relation: u32,
    events: Vec<EventParam>,
    values: Vec<Value<'a>>,
    old: Vec<Value<'a>>,
    documents: Vec<Document<'a>>,
}

/// In that form, but for the lists' ends.
pub(super) struct Lists<'a> {
    values: Vec<ValueParam<'a>>,
    old: Vec<ValueParam<'a>>,
}

impl Rows<'_> {
    pub(super) fn lists(&self) -> Lists<'_> {
        Lists {
            values: self.values.iter().map(ValueParam::from).collect(),
            old: self.old.iter().map(ValueParam::from).collect(),
        }
    }

    pub(super) fn params<'a>(&'a self, lists: &'a Lists<'a>) -> RowsParam<'a> {
        RowsParam {
            relation: self.relation,
            events: &self.events,
            values: &lists.values,
            old: &lists.old,
            documents: &self.documents,
        }
    }

    /// Commit time of the first, µs since 1970-01-01.
    pub(super) fn commit_us(&self) -> i64 {
        self.events.first().map_or(0, |event| event.commit_us)
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
        let column = |column| Column {
            place: None,
            kind: Kind::of(column, native),
            written: quoted(&column.name) + ":",
        };
        let mut columns: Vec<Column> = topic.columns.iter().map(column).collect();
        for (place, index) in wanted.columns.iter().enumerate() {
            let index = usize::try_from(*index).unwrap_or(usize::MAX);
            match columns.get_mut(index).map(|column| &mut column.place) {
                Some(free @ None) => *free = Some(place),
                Some(_) => return Err(answer(format!("column {index} is wanted twice"))),
                None => return Err(answer(format!("there is no column {index}"))),
            }
        }
        Ok(Self {
            id,
            operations: wanted.operations,
            columns,
            count: wanted.columns.len(),
            old: wanted.old,
            payload: wanted.payload,
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
        let mut rows = Rows {
            relation: self.id,
            events: Vec::with_capacity(events.len()),
            values: Vec::with_capacity(events.len() * self.count),
            old: Vec::new(),
            documents: Vec::new(),
        };
        for event in events {
            let operation = operation(event).unwrap_or(Operation::Emitted);
            rows.events.push(EventParam {
                operation,
                lsn: event.lsn().0,
                commit_us: event.commit_ts_us(),
            });
            let Images { new, old } = images(event);
            let row = self.read(event, new, &mut rows.values);
            if operation != Operation::Delete {
                for index in event.unchanged() {
                    let column = usize::try_from(index)
                        .ok()
                        .and_then(|index| self.columns.get(index));
                    let place = column.and_then(|column| column.place);
                    if let Some(value) = place.and_then(|place| row.get_mut(place)) {
                        *value = Value::Unchanged;
                    }
                }
            }
            if self.old {
                self.read(event, old, &mut rows.old);
            }
            if self.payload {
                rows.documents.push(Document {
                    key: event.key(),
                    payload: event.value(),
                });
            }
        }
        rows
    }

    /// Reads the wanted columns of a row of an event; those that are not there are unchanged.
    fn read<'a, 'v>(
        &self,
        event: &'a Event,
        row: &Range<usize>,
        values: &'v mut Vec<Value<'a>>,
    ) -> &'v mut [Value<'a>] {
        let start = values.len();
        values.resize(start + self.count, Value::Unchanged);
        let values = values.get_mut(start..).unwrap_or_default();
        let text = event.places().text;
        let mut left = self.count;
        let mut members = self.members(text, row);
        while left > 0
            && let Some((index, place)) = members.next()
        {
            let known = self.columns.get(index);
            let wanted =
                known.and_then(|column| Some((column.kind, values.get_mut(column.place?)?)));
            if let Some(((kind, value), text)) = wanted.zip(text.get(place)) {
                *value = kind.read(text);
                left -= 1;
            }
        }
        values
    }

    /// The columns of an object, and where their values are.
    fn members<'a>(
        &'a self,
        text: &'a str,
        object: &Range<usize>,
    ) -> impl Iterator<Item = (usize, Range<usize>)> + 'a {
        let mut members = Members::of(text, object);
        let mut next = 0;
        iter::from_fn(move || {
            let (index, place) = self.next_column(&mut members, next)?;
            next = index + 1;
            Some((index, place))
        })
    }

    /// The next member that is a column. They are in the columns' order, and some may be missing:
    /// this one is probably `expected`.
    fn next_column(
        &self,
        members: &mut Members<'_>,
        expected: usize,
    ) -> Option<(usize, Range<usize>)> {
        let column = self.columns.get(expected);
        if let Some(range) = column.and_then(|column| members.next_if(&column.written)) {
            return Some((expected, range));
        }
        members.find_map(|(name, range)| {
            let name = unescaped(name);
            let mut columns = self.topic.columns.iter();
            let index = columns.position(|column| column.name == *name)?;
            Some((index, range))
        })
    }

    /// Finds what is to be other in an event.
    pub(super) fn change(
        &self,
        event: &Event,
        values: &[NewValueResult],
        edits: &mut Edits,
    ) -> Result<Edit, PluginError> {
        let start = edits.values.len();
        let Images { new, old } = images(event);
        let Places { text, key, .. } = event.places();
        for value in values.iter().filter(|value| !value.old) {
            edits.values.push(self.new_value(value, &mut edits.text)?);
        }
        let in_key = |value: &&NewValue| {
            let column = usize::try_from(value.column).ok();
            let column = column.and_then(|index| self.topic.columns.get(index));
            column.is_some_and(|column| column.in_key)
        };
        let pushed = edits.values.get(start..).unwrap_or_default();
        let of_key: Vec<_> = pushed.iter().filter(in_key).cloned().collect();
        self.find(text, new, &mut edits.values, start);
        if !of_key.is_empty() {
            let start = edits.values.len();
            edits.values.extend(of_key);
            self.find(text, &payload_of(text, key), &mut edits.values, start);
        }
        let of_old = edits.values.len();
        for value in values.iter().filter(|value| value.old) {
            edits.values.push(self.new_value(value, &mut edits.text)?);
        }
        self.find(text, old, &mut edits.values, of_old);
        Ok(Edit::Change(start..edits.values.len()))
    }

    /// A value, written, and not yet with a place.
    fn new_value(&self, new: &NewValueResult, text: &mut String) -> Result<NewValue, PluginError> {
        let NewValueResult { column, old, value } = new;
        let index = usize::try_from(*column).unwrap_or(usize::MAX);
        let known = self.columns.get(index).zip(self.topic.columns.get(index));
        let Some((Column { kind, .. }, of)) = known else {
            return Err(answer(format!("there is no column {index}")));
        };
        let start = text.len();
        kind.write(value, text).map_err(|takes| {
            answer(format!(
                "column {:?} takes {takes}, and was given another value",
                of.name
            ))
        })?;
        Ok(NewValue {
            image: if *old { Image::Old } else { Image::New },
            column: *column,
            place: 0..0,
            json: start..text.len(),
        })
    }

    /// Finds the places of the values from `start` on in an object. Those it has no place for are
    /// left out.
    fn find(&self, text: &str, object: &Range<usize>, values: &mut Vec<NewValue>, start: usize) {
        let mut found = start;
        let mut members = self.members(text, object);
        while let Some(left) = values.get_mut(found..)
            && !left.is_empty()
            && let Some((index, place)) = members.next()
        {
            let of = |value: &NewValue| usize::try_from(value.column) == Ok(index);
            if let Some(at) = left.iter().position(of) {
                left.swap(0, at);
                if let Some(value) = left.first_mut() {
                    value.place = place;
                }
                found += 1;
            }
        }
        values.truncate(found);
    }
}

/// Where an event has its rows.
struct Images<'a> {
    /// The new one, or the one that was deleted.
    new: &'a Range<usize>,
    /// The one before an update.
    old: &'a Range<usize>,
}

fn images(event: &Event) -> Images<'_> {
    let Places { before, after, .. } = event.places();
    if event.op() == Some('d') {
        Images {
            new: before,
            old: &(0..0),
        }
    } else {
        Images {
            new: after,
            old: before,
        }
    }
}

/// The object of a key's columns: where schemas are enabled, it is the payload.
fn payload_of(text: &str, key: &Range<usize>) -> Range<usize> {
    let mut members = Members::of(text, key);
    match [members.next(), members.next(), members.next()] {
        [Some(("schema", schema)), Some(("payload", payload)), None]
            if text.as_bytes().get(schema.start) == Some(&b'{') =>
        {
            payload
        }
        _ => key.clone(),
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
