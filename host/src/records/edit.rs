//! Batches as plugins make them of others: events that are dropped, that have other values, and new
//! ones.

use std::fmt::Write;
use std::ops::Range;
use std::sync::Arc;

use super::{Batch, EventHeader, Mark, OWN_HEADERS, Position, Records, Topic};

/// What becomes of an event.
#[derive(Clone, Debug, Default)]
pub(crate) enum Edit {
    #[default]
    Keep,
    Drop,
    /// Other values of some columns: which of [`Edits::values`].
    Change(Range<usize>),
    /// Another value, as JSON.
    Replace(String),
    /// Another topic.
    Route(Arc<Topic>),
    /// These in its place.
    Emit(Vec<Emitted>),
}

/// A value that takes another's place.
#[derive(Clone, Debug)]
pub(crate) struct NewValue {
    pub(crate) image: Image,
    /// Index among the topic's columns.
    pub(crate) column: u32,
    /// Where the other is, in the batch's text: in the event's key or in its value.
    pub(crate) place: Range<usize>,
    /// As JSON: which part of [`Edits::text`].
    pub(crate) json: Range<usize>,
}

/// A row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Image {
    /// The new one, or the one that was deleted; and the key.
    New,
    /// The one before an update.
    Old,
}

/// What becomes of the events of a batch.
#[derive(Debug, Default)]
pub(crate) struct Edits {
    /// By event; those that are missing are kept.
    pub(crate) events: Vec<Edit>,
    /// Events behind the last one of a transaction, by the index of its commit among the marks, in
    /// order.
    pub(crate) ends: Vec<(usize, Vec<Emitted>)>,
    pub(crate) values: Vec<NewValue>,
    pub(crate) text: String,
}

impl Edits {
    pub(crate) fn is_empty(&self) -> bool {
        self.events.is_empty() && self.ends.is_empty()
    }

    pub(crate) fn set(&mut self, event: usize, edit: Edit) {
        if self.events.len() <= event {
            self.events.resize_with(event + 1, Edit::default);
        }
        if let Some(place) = self.events.get_mut(event) {
            *place = edit;
        }
    }
}

/// An event that the decoder did not make.
#[derive(Clone, Debug)]
pub(crate) struct Emitted {
    pub(crate) topic: Arc<Topic>,
    pub(crate) key: Option<String>,
    pub(crate) value: Option<String>,
    /// A JSON object.
    pub(crate) headers: String,
}

impl Batch {
    /// Does with each event what is said of it, in their order. `last` is the last event of the
    /// batch before, which this one goes on behind. Who has the batch already keeps what it was.
    pub(crate) fn edit(&mut self, edits: Edits, last: &mut Option<Position>) {
        Arc::make_mut(&mut self.0).edit(edits, last);
    }

    /// Leaves the events before this index, and what stands between them.
    pub(crate) fn truncate(&mut self, events: usize) {
        let records = Arc::make_mut(&mut self.0);
        records.events.truncate(events);
        records.marks.retain(|(before, _)| *before <= events);
    }

    /// The topics of its events.
    pub(crate) fn topics(&self) -> &[Arc<Topic>] {
        &self.0.topics
    }

    /// Of the event with this index, among [`Batch::topics`].
    pub(crate) fn topic_index(&self, event: usize) -> Option<usize> {
        self.0.events.get(event).map(|event| event.topic)
    }

    /// Whether a transaction is open behind it, if one was, or was not, before it.
    pub(crate) fn is_open(&self, was_open: bool) -> bool {
        let mut marks = self.0.marks.iter().rev();
        let last = marks.find_map(|(_, mark)| match mark {
            Mark::Begin(_) => Some(true),
            Mark::Commit(_) => Some(false),
            _ => None,
        });
        last.unwrap_or(was_open)
    }

    /// The commits: each with its index among the marks and the number of events before it.
    pub(crate) fn commits(&self) -> impl Iterator<Item = (usize, usize, &super::Commit)> {
        let marks = self.0.marks.iter().enumerate();
        marks.filter_map(|(index, (before, mark))| match mark {
            Mark::Commit(commit) => Some((index, *before, commit)),
            _ => None,
        })
    }
}

struct NewValues<'a> {
    values: &'a mut [NewValue],
    text: &'a str,
}

impl Records {
    fn edit(&mut self, edits: Edits, last: &mut Option<Position>) {
        let Edits {
            events: edits,
            ends,
            mut values,
            text,
        } = edits;
        let new = &mut NewValues {
            values: &mut values,
            text: &text,
        };
        let room = Vec::with_capacity(self.events.len());
        let mut events = std::mem::replace(&mut self.events, room).into_iter();
        let mut marks = std::mem::take(&mut self.marks);
        let (mut edits, mut ends) = (edits.into_iter(), ends.into_iter().peekable());
        let mut taken = 0;
        // The last event there was, whatever became of it.
        let mut reached = *last;
        for (index, (count, mark)) in marks.iter_mut().enumerate() {
            while taken < *count {
                let Some(event) = events.next() else { break };
                taken += 1;
                reached = reached.max(Some(event.position));
                self.put(event, edits.next().unwrap_or_default(), new, last);
            }
            if let Some((_, emitted)) = ends.next_if(|(of, _)| *of == index)
                && let Mark::Commit(commit) = mark
            {
                let of = reached.filter(|reached| reached.commit_lsn == commit.commit_lsn);
                let event = EventHeader {
                    position: Position {
                        commit_lsn: commit.commit_lsn,
                        index: of.map_or(0, |of| of.index),
                        sub: 0,
                    },
                    lsn: commit.commit_lsn,
                    commit_ts_us: commit.commit_ts_us,
                    xid: commit.xid,
                    ..EventHeader::default()
                };
                for emitted in emitted {
                    self.emit(event.of_its_transaction(), emitted, last);
                }
            }
            *count = self.events.len();
        }
        for event in events {
            self.put(event, edits.next().unwrap_or_default(), new, last);
        }
        self.marks = marks;
    }

    fn put(
        &mut self,
        mut event: EventHeader,
        edit: Edit,
        new: &mut NewValues<'_>,
        last: &mut Option<Position>,
    ) {
        match edit {
            Edit::Keep => {}
            Edit::Drop => return,
            Edit::Change(values) => {
                let values = new.values.get_mut(values).unwrap_or_default();
                self.change(&mut event, values, new.text);
            }
            Edit::Replace(value) => {
                event.value = self.append(&value);
                let nothing = event.value.start..event.value.start;
                event.before = nothing.clone();
                event.after = nothing.clone();
                event.source = nothing;
                event.unchanged = 0..0;
            }
            Edit::Route(topic) => event.topic = self.topic_index(topic),
            Edit::Emit(emitted) => {
                for emitted in emitted {
                    self.emit(event.of_its_transaction(), emitted, last);
                }
                return;
            }
        }
        self.push(event, last);
    }

    fn emit(&mut self, mut event: EventHeader, emitted: Emitted, last: &mut Option<Position>) {
        event.topic = self.topic_index(emitted.topic);
        event.key = self.append(emitted.key.as_deref().unwrap_or_default());
        event.value = self.append(emitted.value.as_deref().unwrap_or_default());
        event.headers = self.append(&emitted.headers);
        event.flags |= OWN_HEADERS;
        self.push(event, last);
    }

    fn topic_index(&mut self, topic: Arc<Topic>) -> usize {
        let mut known = self.topics.iter();
        known
            .position(|known| Arc::ptr_eq(known, &topic))
            .unwrap_or_else(|| {
                self.topics.push(topic);
                self.topics.len() - 1
            })
    }

    /// Events of one change count up, whatever came of those before.
    fn push(&mut self, mut event: EventHeader, last: &mut Option<Position>) {
        let position = &mut event.position;
        if let Some(last) = last
            && (last.commit_lsn, last.index) == (position.commit_lsn, position.index)
        {
            position.sub = position.sub.max(last.sub.saturating_add(1));
        }
        *last = Some(*position);
        self.events.push(event);
    }

    fn append(&mut self, text: &str) -> Range<usize> {
        let start = self.text.len();
        self.text.push_str(text);
        start..self.text.len()
    }

    fn change(&mut self, event: &mut EventHeader, values: &mut [NewValue], text: &str) {
        values.sort_unstable_by_key(|value| value.place.start);
        // The key stands before the value.
        let in_key = values.partition_point(|value| value.place.start < event.value.start);
        let (of_key, of_value) = values.split_at(in_key);
        if !of_key.is_empty() {
            event.key = self.spliced(&event.key.clone(), of_key, text, []);
        }
        let parts = [&mut event.before, &mut event.after, &mut event.source];
        event.value = self.spliced(&event.value.clone(), of_value, text, parts);
        if !event.unchanged.is_empty() {
            let is_new = |column| {
                let mut values = of_value.iter();
                values.any(|value| value.image == Image::New && value.column == column)
            };
            let start = self.unchanged.len();
            for at in event.unchanged.clone() {
                let column = self.unchanged.get(at).copied();
                self.unchanged
                    .extend(column.filter(|column| !is_new(*column)));
            }
            event.unchanged = start..self.unchanged.len();
        }
    }

    /// A copy of `whole` with other texts in some places; `parts` of it move along.
    fn spliced<const N: usize>(
        &mut self,
        whole: &Range<usize>,
        values: &[NewValue],
        text: &str,
        parts: [&mut Range<usize>; N],
    ) -> Range<usize> {
        let start = self.text.len();
        let mut copied = whole.start;
        for NewValue { place, json, .. } in values {
            self.text.extend_from_within(copied..place.start);
            self.text
                .push_str(text.get(json.clone()).unwrap_or_default());
            copied = place.end;
        }
        self.text.extend_from_within(copied..whole.end);
        let moved = |at: usize| {
            let mut to = start + at.saturating_sub(whole.start);
            for NewValue { place, json, .. } in values.iter().filter(|value| value.place.end <= at)
            {
                to = to - place.len() + json.len();
            }
            to
        };
        for part in parts {
            if !Range::is_empty(part) {
                *part = moved(part.start)..moved(part.end);
            }
        }
        start..self.text.len()
    }
}

impl EventHeader {
    /// An event that is no change, with the same place in the stream.
    fn of_its_transaction(&self) -> Self {
        Self {
            op: 0,
            flags: (self.flags & super::NO_TRANSACTION) | super::EMITTED,
            position: self.position,
            lsn: self.lsn,
            commit_ts_us: self.commit_ts_us,
            xid: self.xid,
            ..Self::default()
        }
    }
}

/// Headers as an event has them.
pub(crate) fn headers_json(headers: &[(String, String)]) -> String {
    let mut json = String::from("{");
    for (name, value) in headers {
        if json.len() > 1 {
            json.push(',');
        }
        // Writing to a String does not fail.
        let _ = write!(json, "{}:{}", quoted(name), quoted(value));
    }
    json.push('}');
    json
}

/// Appends a JSON string, written as the decoder writes them: keys may be compared by their text.
pub(crate) fn quote(json: &mut String, text: &str) {
    let is_plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
    json.push('"');
    if text.bytes().all(is_plain) {
        json.push_str(text);
    } else {
        for character in text.chars() {
            match character {
                '"' | '\\' => json.extend(['\\', character]),
                '\u{8}' => json.push_str("\\b"),
                '\t' => json.push_str("\\t"),
                '\n' => json.push_str("\\n"),
                '\u{c}' => json.push_str("\\f"),
                '\r' => json.push_str("\\r"),
                '\0'..' ' => {
                    // Writing to a String does not fail.
                    let _ = write!(json, "\\u{:04X}", u32::from(character));
                }
                _ => json.push(character),
            }
        }
    }
    json.push('"');
}

/// A JSON string.
pub(crate) fn quoted(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    quote(&mut json, text);
    json
}
