//! Batches as plugins make them of others: events that are dropped, that have other values, and new
//! ones.

use std::fmt::Write;
use std::ops::Range;
use std::sync::Arc;

use super::members::{Members, unescaped};
use super::{Batch, EventHeader, Mark, OWN_HEADERS, Position, Records, Topic};

/// What becomes of an event.
#[derive(Clone, Debug, Default)]
pub(crate) enum Edit {
    #[default]
    Keep,
    Drop,
    /// Other values, as JSON, of columns by their index.
    Change {
        /// Of the new row, or the one that was deleted, and of the key.
        values: Vec<(usize, String)>,
        /// Of the row before an update.
        old: Vec<(usize, String)>,
    },
    /// Another value, as JSON.
    Replace(String),
    /// Another topic.
    Route(Arc<Topic>),
    /// These in its place.
    Emit(Vec<Emitted>),
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
    /// Does with each event what is said of it, in their order. `ends` has events behind the last
    /// one of a transaction, by the index of its commit among the marks, in order. `last` is the
    /// last event of the batch before, which this one goes on behind. Who has the batch already
    /// keeps what it was.
    pub(crate) fn edit(
        &mut self,
        edits: Vec<Edit>,
        ends: Vec<(usize, Vec<Emitted>)>,
        last: &mut Option<Position>,
    ) {
        Arc::make_mut(&mut self.0).edit(edits, ends, last);
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

    /// The commits: each with its index among the marks and the number of events before it.
    pub(crate) fn commits(&self) -> impl Iterator<Item = (usize, usize, &super::Commit)> {
        let marks = self.0.marks.iter().enumerate();
        marks.filter_map(|(index, (before, mark))| match mark {
            Mark::Commit(commit) => Some((index, *before, commit)),
            _ => None,
        })
    }
}

impl Records {
    fn edit(
        &mut self,
        edits: Vec<Edit>,
        ends: Vec<(usize, Vec<Emitted>)>,
        last: &mut Option<Position>,
    ) {
        let mut events = std::mem::take(&mut self.events).into_iter();
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
                self.put(event, edits.next().unwrap_or_default(), last);
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
            self.put(event, edits.next().unwrap_or_default(), last);
        }
        self.marks = marks;
    }

    fn put(&mut self, mut event: EventHeader, edit: Edit, last: &mut Option<Position>) {
        match edit {
            Edit::Keep => {}
            Edit::Drop => return,
            Edit::Change { values, old } => self.change(&mut event, &values, &old),
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

    fn change(
        &mut self,
        event: &mut EventHeader,
        values: &[(usize, String)],
        old: &[(usize, String)],
    ) {
        let Some(topic) = self.topics.get(event.topic).cloned() else {
            return;
        };
        let topic = &*topic;
        // The row at hand: of a DELETE there is no other.
        let is_deleted = event.op == b'd';
        let (row, before) = if is_deleted {
            (&event.before, None)
        } else {
            (&event.after, Some(&event.before))
        };
        let mut replaced = self.places(row, topic, values);
        if let Some(before) = before {
            replaced.extend(self.places(before, topic, old));
        }
        let parts = [&mut event.before, &mut event.after, &mut event.source];
        event.value = self.spliced(&event.value.clone(), replaced, parts);

        let in_key = |index: &usize| {
            topic
                .columns
                .get(*index)
                .is_some_and(|column| column.in_key)
        };
        if values.iter().any(|(index, _)| in_key(index)) {
            let key = event.key.clone();
            let payload = self.payload_of(&key);
            let replaced = self.places(&payload, topic, values);
            event.key = self.spliced(&key, replaced, []);
        }
        if !event.unchanged.is_empty() && !is_deleted {
            let known = self
                .unchanged
                .get(event.unchanged.clone())
                .unwrap_or_default();
            let left: Vec<u32> = known
                .iter()
                .copied()
                .filter(|of| {
                    !values
                        .iter()
                        .any(|(index, _)| u32::try_from(*index) == Ok(*of))
                })
                .collect();
            let start = self.unchanged.len();
            self.unchanged.extend(left);
            event.unchanged = start..self.unchanged.len();
        }
    }

    /// Where in the text the columns' values are that are to be others.
    fn places<'a>(
        &self,
        object: &Range<usize>,
        topic: &Topic,
        values: &'a [(usize, String)],
    ) -> Vec<(Range<usize>, &'a str)> {
        let text = self.text.get(object.clone()).unwrap_or_default();
        let mut places = Vec::new();
        for (name, range) in Members::of(text) {
            let name = unescaped(name);
            let value = values.iter().find(|(index, _)| {
                let column = topic.columns.get(*index);
                column.is_some_and(|column| column.name == *name)
            });
            if let Some((_, value)) = value {
                let place = object.start + range.start..object.start + range.end;
                places.push((place, value.as_str()));
            }
        }
        places
    }

    /// The object of a key's columns: where schemas are enabled, it is the payload.
    fn payload_of(&self, key: &Range<usize>) -> Range<usize> {
        let text = self.text.get(key.clone()).unwrap_or_default();
        let mut members = Members::of(text);
        match [members.next(), members.next(), members.next()] {
            [Some(("schema", schema)), Some(("payload", payload)), None]
                if text
                    .get(schema.clone())
                    .is_some_and(|text| text.starts_with('{')) =>
            {
                key.start + payload.start..key.start + payload.end
            }
            _ => key.clone(),
        }
    }

    /// A copy of `whole` with other texts in some places; `parts` of it move along.
    fn spliced<const N: usize>(
        &mut self,
        whole: &Range<usize>,
        mut replaced: Vec<(Range<usize>, &str)>,
        parts: [&mut Range<usize>; N],
    ) -> Range<usize> {
        replaced.sort_by_key(|(place, _)| place.start);
        let old = self.text.get(whole.clone()).unwrap_or_default();
        let mut new = String::with_capacity(old.len() + 64);
        let mut copied = whole.start;
        for (place, text) in &replaced {
            new.push_str(self.text.get(copied..place.start).unwrap_or_default());
            new.push_str(text);
            copied = place.end;
        }
        new.push_str(self.text.get(copied..whole.end).unwrap_or_default());
        let new = self.append(&new);
        let moved = |at: usize| {
            let mut to = new.start + at.saturating_sub(whole.start);
            for (place, text) in replaced.iter().filter(|(place, _)| place.end <= at) {
                to = to - place.len() + text.len();
            }
            to
        };
        for part in parts {
            if !Range::is_empty(part) {
                *part = moved(part.start)..moved(part.end);
            }
        }
        new
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

/// A JSON string.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
