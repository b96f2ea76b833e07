//! The reverse of `read.rs`, for one event: what it takes to keep an event elsewhere.

use std::ops::Range;

use super::read::{COLUMN_IN_KEY, COLUMN_NULLABLE, EVENT, EVENT_HEADER_BYTES, TOPIC};
use super::{Event, Shape, Topic};

impl Event {
    /// The event and its topic as packed records: a new [`TopicTable`](super::TopicTable) reads
    /// them.
    pub fn to_records(&self) -> Vec<u8> {
        let mut records = topic(self.topic());
        let header = self.header();
        let mut record = vec![0; 5];
        record.extend([header.op, header.flags, 0]);
        record.extend(header.position.commit_lsn.0.to_le_bytes());
        record.extend(header.position.index.to_le_bytes());
        record.extend(header.position.sub.to_le_bytes());
        record.extend(header.lsn.0.to_le_bytes());
        record.extend(header.commit_ts_us.to_le_bytes());
        record.extend(header.xid.to_le_bytes());
        record.extend(self.topic().id.to_le_bytes());
        let unchanged: Vec<u32> = self.unchanged().collect();
        for count in [
            header.key.len(),
            header.value.len(),
            header.headers.len(),
            unchanged.len(),
        ] {
            record.extend(number(count));
        }
        for part in [&header.before, &header.after, &header.source] {
            record.extend(number(offset(part, &header.value)));
            record.extend(number(part.len()));
        }
        debug_assert_eq!(record.len(), EVENT_HEADER_BYTES);
        for text in [&header.key, &header.value, &header.headers] {
            record.extend(self.text(text).unwrap_or_default().as_bytes());
        }
        for index in unchanged {
            record.extend(index.to_le_bytes());
        }
        records.extend(finished(record, EVENT));
        records
    }
}

fn topic(topic: &Topic) -> Vec<u8> {
    let mut record = vec![0; 8];
    record.extend(topic.id.to_le_bytes());
    record.extend(topic.relation_oid.to_le_bytes());
    let texts = [&topic.name, &topic.schema, &topic.table, &topic.headers];
    for text in texts {
        record.extend(number(text.len()));
    }
    record.extend(number(topic.columns.len()));
    for text in texts {
        record.extend(text.as_bytes());
    }
    for column in &topic.columns {
        record.extend(column.type_oid.to_le_bytes());
        record.extend(column.typmod.to_le_bytes());
        let key = if column.in_key { COLUMN_IN_KEY } else { 0 };
        let null = if column.nullable { COLUMN_NULLABLE } else { 0 };
        field(&mut record, &column.name, &column.shape, key | null);
    }
    finished(record, TOPIC)
}

/// What columns and attributes have in common.
fn field(record: &mut Vec<u8>, name: &str, shape: &Shape, flags: u8) {
    record.extend([shape.code, flags]);
    record.extend(short(name.len()));
    record.extend(name.as_bytes());
    if shape.has_attributes() {
        record.extend(short(shape.attributes.len()));
        for attribute in &shape.attributes {
            field(record, &attribute.name, &attribute.shape, 0);
        }
    }
}

fn finished(mut record: Vec<u8>, kind: u8) -> Vec<u8> {
    let length = number(record.len());
    if let Some(head) = record.first_chunk_mut::<5>() {
        let [a, b, c, d] = length;
        *head = [a, b, c, d, kind];
    }
    record
}

/// Of a part of the value; 0 for one that is not there.
fn offset(part: &Range<usize>, value: &Range<usize>) -> usize {
    if part.is_empty() {
        0
    } else {
        part.start - value.start
    }
}

/// As it was read from so many bytes.
fn number(count: usize) -> [u8; 4] {
    u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes()
}

fn short(count: usize) -> [u8; 2] {
    u16::try_from(count).unwrap_or(u16::MAX).to_le_bytes()
}
