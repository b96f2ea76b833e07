//! The reader: every field bounds-checked, whatever the bytes.

use std::sync::Arc;

use super::{
    Batch, Begin, Column, Commit, Discard, EMITTED, EventHeader, Mark, Position, Prepared,
    RecordError, Records, Shape, Stash, Topic, TopicTable,
};
use crate::lsn::Lsn;

pub(super) const TOPIC: u8 = 1;
const BEGIN: u8 = 2;
const COMMIT: u8 = 3;
pub(super) const EVENT: u8 = 4;
const STASH: u8 = 5;
const DISCARD: u8 = 6;
const PREPARED: u8 = 7;

pub(super) const EVENT_HEADER_BYTES: usize = 88;
const COLUMN_BYTES_MIN: usize = 12;

pub(super) const COLUMN_IN_KEY: u8 = 1;
pub(super) const COLUMN_NULLABLE: u8 = 2;

const CUT: &str = "a record cut short";
const PART: &str = "a part that lies outside the value";

impl TopicTable {
    /// Reads the records of one call to the decoder, in the order of the calls.
    pub fn read(&mut self, mut records: Vec<u8>) -> Result<Batch, RecordError> {
        let mut batch = Records {
            text: String::new(),
            topics: Vec::new(),
            events: Vec::new(),
            marks: Vec::new(),
            unchanged: Vec::new(),
        };
        let mut start = 0;
        while start < records.len() {
            let at = |what| RecordError {
                what,
                offset: start,
            };
            let rest = records.get_mut(start..).unwrap_or_default();
            let length = Fields(rest).count().map_err(at)?;
            let record = rest
                .get_mut(..length)
                .ok_or_else(|| at("a record cut short"))?;
            let kind = Fields(record).fixed::<5>().map_err(at)?[4];
            let blank = match kind {
                TOPIC => self.topic(record).map(|()| length),
                BEGIN | COMMIT | STASH | DISCARD | PREPARED => mark(kind, record).map(|mark| {
                    batch.marks.push((batch.events.len(), mark));
                    length
                }),
                EVENT => self
                    .event(start, record, &mut batch)
                    .map(|()| EVENT_HEADER_BYTES),
                _ => Ok(length),
            };
            let blank = blank.map_err(at)?;
            record.get_mut(..blank).unwrap_or_default().fill(0);
            start += length;
        }
        batch.text = String::from_utf8(records).map_err(|error| RecordError {
            what: "text that is not UTF-8",
            offset: error.utf8_error().valid_up_to(),
        })?;
        for event in &batch.events {
            event.check(&batch.text)?;
        }
        Ok(Batch(Arc::new(batch)))
    }

    fn topic(&mut self, record: &[u8]) -> Result<(), &'static str> {
        let mut fields = Fields(record.get(8..).ok_or(CUT)?);
        let id = fields.number()?;
        let relation_oid = fields.number()?;
        let [name, schema, table, headers, columns] = [
            fields.count()?,
            fields.count()?,
            fields.count()?,
            fields.count()?,
            fields.count()?,
        ];
        let name = fields.string(name)?;
        let schema = fields.string(schema)?;
        let table = fields.string(table)?;
        let headers = fields.string(headers)?;
        let mut topic = Topic {
            id,
            name,
            relation_oid,
            schema,
            table,
            headers,
            columns: Vec::with_capacity(columns.min(fields.0.len() / COLUMN_BYTES_MIN)),
        };
        for _ in 0..columns {
            let type_oid = fields.number()?;
            let typmod = i32::from_le_bytes(fields.fixed()?);
            let (name, shape, flags) = Shape::read(&mut fields)?;
            topic.columns.push(Column {
                name,
                type_oid,
                typmod,
                shape,
                in_key: flags & COLUMN_IN_KEY != 0,
                nullable: flags & COLUMN_NULLABLE != 0,
            });
        }
        self.topics.insert(id, Arc::new(topic));
        Ok(())
    }

    fn event(
        &self,
        start: usize,
        record: &mut [u8],
        batch: &mut Records,
    ) -> Result<(), &'static str> {
        let (header, rest) = record
            .split_first_chunk_mut::<EVENT_HEADER_BYTES>()
            .ok_or(CUT)?;
        let [_, _, _, _, _, op, flags, _, ..] = *header;
        let flags = flags & !EMITTED;
        let mut fields = Fields(header.get(8..).ok_or(CUT)?);
        let position = Position {
            commit_lsn: Lsn(fields.u64()?),
            index: fields.number()?,
            sub: fields.number()?,
        };
        let lsn = Lsn(fields.u64()?);
        let commit_ts_us = i64::from_le_bytes(fields.fixed()?);
        let xid = fields.number()?;
        let topic = self.topic_index(fields.number()?, batch)?;
        let mut end = start + EVENT_HEADER_BYTES;
        let mut next = |bytes: usize| {
            let begin = end;
            end += bytes;
            begin..end
        };
        let [key, value, headers] = [
            next(fields.count()?),
            next(fields.count()?),
            next(fields.count()?),
        ];
        let unchanged_columns = fields.count()?;
        let within = |offset: usize, bytes: usize| {
            let begin = value.start + offset;
            if bytes <= value.len().saturating_sub(offset) {
                Ok(begin..begin + bytes)
            } else {
                Err(PART)
            }
        };
        let before = within(fields.count()?, fields.count()?)?;
        let after = within(fields.count()?, fields.count()?)?;
        let source = within(fields.count()?, fields.count()?)?;

        let texts = headers.end - start - EVENT_HEADER_BYTES;
        let indexes = rest.get_mut(texts..).ok_or(CUT)?;
        let unchanged_start = batch.unchanged.len();
        if unchanged_columns > indexes.len() / 4 {
            return Err(CUT);
        }
        let (chunks, _) = indexes.as_chunks::<4>();
        batch.unchanged.extend(
            chunks
                .iter()
                .take(unchanged_columns)
                .map(|bytes| u32::from_le_bytes(*bytes)),
        );
        indexes.fill(0);

        batch.events.push(EventHeader {
            op,
            flags,
            position,
            lsn,
            commit_ts_us,
            xid,
            topic,
            key,
            value,
            headers,
            before,
            after,
            source,
            unchanged: unchanged_start..batch.unchanged.len(),
        });
        Ok(())
    }

    /// The topic's place in the batch. Events of one topic tend to follow each other.
    fn topic_index(&self, id: u32, batch: &mut Records) -> Result<usize, &'static str> {
        if let Some(last) = batch.events.last()
            && batch
                .topics
                .get(last.topic)
                .is_some_and(|topic| topic.id == id)
        {
            return Ok(last.topic);
        }
        let topic = self.topics.get(&id).ok_or("an event of an unknown topic")?;
        if let Some(index) = batch
            .topics
            .iter()
            .position(|known| Arc::ptr_eq(known, topic))
        {
            return Ok(index);
        }
        batch.topics.push(Arc::clone(topic));
        Ok(batch.topics.len() - 1)
    }
}

fn mark(kind: u8, record: &[u8]) -> Result<Mark, &'static str> {
    let mut fields = Fields(record.get(8..).ok_or(CUT)?);
    if matches!(kind, STASH | DISCARD | PREPARED) {
        let (xid, subxid) = (fields.number()?, fields.number()?);
        if kind == DISCARD {
            return Ok(Mark::Discard(Discard { xid, subxid }));
        }
        if kind == PREPARED {
            let prepare_lsn = Lsn(fields.u64()?);
            return Ok(Mark::Prepared(Prepared { xid, prepare_lsn }));
        }
        let place = |field: u64| usize::try_from(field).map_err(|_| "a stash beyond memory");
        let (start, bytes) = (place(fields.u64()?)?, place(fields.u64()?)?);
        let end = start.checked_add(bytes).ok_or("a stash beyond memory")?;
        let frames = start..end;
        return Ok(Mark::Stash(Stash {
            xid,
            subxid,
            frames,
        }));
    }
    let commit_lsn = Lsn(fields.u64()?);
    let commit_ts_us = i64::from_le_bytes(fields.fixed()?);
    let xid = fields.number()?;
    if kind == BEGIN {
        return Ok(Mark::Begin(Begin {
            commit_lsn,
            commit_ts_us,
            xid,
        }));
    }
    let events = fields.number()?;
    let end_lsn = Lsn(fields.u64()?);
    Ok(Mark::Commit(Commit {
        commit_lsn,
        end_lsn,
        commit_ts_us,
        xid,
        events,
    }))
}

impl EventHeader {
    /// Parts start and end between characters, and none reaches into the next record.
    fn check(&self, text: &str) -> Result<(), RecordError> {
        let Self {
            key,
            value,
            headers,
            before,
            after,
            source,
            ..
        } = self;
        if [key, value, headers, before, after, source]
            .iter()
            .any(|part| !text.is_char_boundary(part.start) || !text.is_char_boundary(part.end))
        {
            return Err(RecordError {
                what: "a part that splits a character",
                offset: key.start,
            });
        }
        Ok(())
    }
}

/// What is left of a record.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl Fields<'_> {
    pub(super) fn fixed<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        let (field, rest) = self.0.split_first_chunk().ok_or(CUT)?;
        self.0 = rest;
        Ok(*field)
    }

    fn number(&mut self) -> Result<u32, &'static str> {
        self.fixed().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, &'static str> {
        self.fixed().map(u64::from_le_bytes)
    }

    /// A number of bytes or of items.
    fn count(&mut self) -> Result<usize, &'static str> {
        usize::try_from(self.number()?).map_err(|_| CUT)
    }

    pub(super) fn string(&mut self, bytes: usize) -> Result<String, &'static str> {
        let (text, rest) = self.0.split_at_checked(bytes).ok_or(CUT)?;
        self.0 = rest;
        str::from_utf8(text)
            .map(str::to_owned)
            .map_err(|_| "text that is not UTF-8")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::{Event, Item};

    const VALUE: &str = r#"{"before":null,"after":{"id":1,"name":"é"},"source":{"db":"shop"}}"#;

    #[test]
    fn reads_every_field() {
        let records = [
            topic(7, "shop.public.orders"),
            begin(),
            event(&Fixed::default(), r#"{"id":1}"#, VALUE, "", &[3, 9]),
            event(
                &Fixed {
                    op: 0,
                    flags: OWN | FREE,
                    sub: 1,
                    xid: 0,
                    parts: [(0, 0); 3],
                    ..Fixed::default()
                },
                "",
                "",
                r#"{"h":1}"#,
                &[],
            ),
            commit(),
        ];
        let mut topics = TopicTable::default();
        let batch = topics.read(records.concat()).unwrap();

        let items: Vec<Item> = batch.items().collect();
        let [
            Item::Begin(begin),
            Item::Event(first),
            Item::Event(second),
            Item::Commit(commit),
        ] = items.as_slice()
        else {
            panic!("{items:?}");
        };
        assert_eq!(
            *begin,
            Begin {
                commit_lsn: Lsn(0x16_B374_8000),
                commit_ts_us: -5,
                xid: 742
            }
        );
        assert_eq!(
            *commit,
            Commit {
                commit_lsn: Lsn(0x16_B374_8000),
                end_lsn: Lsn(0x16_B374_8030),
                commit_ts_us: -5,
                xid: 742,
                events: 2
            }
        );

        assert_eq!(first.op(), Some('u'));
        assert_eq!(first.key(), Some(r#"{"id":1}"#));
        assert_eq!(first.value(), Some(VALUE));
        assert_eq!(first.before(), Some("null"));
        assert_eq!(first.after(), Some(r#"{"id":1,"name":"é"}"#));
        assert_eq!(first.source(), Some(r#"{"db":"shop"}"#));
        assert_eq!(first.headers(), r#"{"constant":true}"#);
        assert_eq!(first.unchanged().collect::<Vec<_>>(), [3, 9]);
        assert_eq!(first.position().to_string(), "16/B3748000:4");
        assert_eq!(first.lsn(), Lsn(0x16_B374_7FF0));
        assert_eq!(first.commit_ts_us(), -5);
        assert_eq!(first.xid(), Some(742));
        assert!(first.transactional());
        assert_eq!(
            **first.topic(),
            Topic {
                id: 7,
                name: "shop.public.orders".to_owned(),
                relation_oid: 16_384,
                schema: "public".to_owned(),
                table: "orders".to_owned(),
                headers: r#"{"constant":true}"#.to_owned(),
                columns: vec![
                    column("id", 20, -1, 0, true, false),
                    column("name", 1043, 44, 17, false, true),
                ],
            }
        );

        assert_eq!(second.op(), None);
        assert_eq!((second.key(), second.value()), (None, None));
        assert_eq!(
            (second.before(), second.after(), second.source()),
            (None, None, None)
        );
        assert_eq!(second.headers(), r#"{"h":1}"#);
        assert_eq!(second.unchanged().count(), 0);
        assert_eq!(second.position().to_string(), "16/B3748000:4.1");
        assert_eq!(second.xid(), None);
        assert!(!second.transactional());

        assert_eq!((batch.len(), batch.events().len()), (2, 2));
        assert!(batch.event(2).is_none());
        let debug = format!("{batch:?} {first:?}");
        assert!(!debug.contains('é'), "{debug}");
    }

    #[test]
    fn topics_hold_across_batches_and_unknown_kinds_are_skipped() {
        let mut topics = TopicTable::default();
        let first = topics
            .read([topic(1, "a"), topic(2, "b")].concat())
            .unwrap();
        assert!(first.is_empty());
        let of = |topic| {
            event(
                &Fixed {
                    topic,
                    ..Fixed::default()
                },
                "",
                VALUE,
                "",
                &[],
            )
        };
        let unknown = record(200, &[0xFF; 40]);
        let batch = topics
            .read([of(2), unknown, topic(3, "c"), of(1), of(2), of(3)].concat())
            .unwrap();
        let names: Vec<String> = batch
            .events()
            .map(|event| event.topic().name.clone())
            .collect();
        assert_eq!(names, ["b", "a", "b", "c"]);
        let event = batch.event(3);
        drop(batch);
        assert_eq!(
            event.as_ref().and_then(Event::value),
            Some(VALUE),
            "an event outlives its batch"
        );
    }

    #[test]
    fn what_was_read_can_be_written_and_read_again() {
        let records = [
            topic(7, "shop.public.orders"),
            event(&Fixed::default(), r#"{"id":1}"#, VALUE, "", &[3, 9]),
            event(
                &Fixed {
                    op: 0,
                    flags: OWN | FREE,
                    parts: [(0, 0); 3],
                    ..Fixed::default()
                },
                "",
                "",
                r#"{"h":1}"#,
                &[],
            ),
        ];
        let batch = TopicTable::default().read(records.concat()).unwrap();
        for (event, record) in batch.events().zip(&records[1..]) {
            let written = event.to_records();
            assert_eq!(written, [records[0].as_slice(), record].concat());
            let again = TopicTable::default().read(written.clone()).unwrap();
            assert_eq!(again.event(0).unwrap().to_records(), written);
        }
    }

    #[test]
    fn refuses_what_the_layout_does_not_allow() {
        let read = |records: Vec<u8>| {
            let mut topics = TopicTable::default();
            topics.read(topic(7, "t")).unwrap();
            topics
                .read(records)
                .map(|_| ())
                .map_err(|error| error.to_string())
        };
        let good = event(&Fixed::default(), "", VALUE, "", &[]);
        assert_eq!(read(good.clone()), Ok(()));

        for length in [0, 4, 5, 87, 89] {
            let mut records = good.clone();
            records[..4].copy_from_slice(&u32::to_le_bytes(length));
            let error = read(records).unwrap_err();
            assert!(error.contains("cut short"), "length {length}: {error}");
        }
        let mut unknown_topic = good.clone();
        unknown_topic[44] = 8;
        assert_eq!(
            read(unknown_topic).unwrap_err(),
            "not a decoder's records: an event of an unknown topic at byte 0"
        );
        let mut not_utf8 = begin();
        not_utf8.extend(&good);
        let last = not_utf8.len() - 1;
        not_utf8[last] = 0xFF;
        assert_eq!(
            read(not_utf8).unwrap_err(),
            format!("not a decoder's records: text that is not UTF-8 at byte {last}")
        );
        let outside = Fixed {
            parts: [(60, 8), (0, 0), (0, 0)],
            ..Fixed::default()
        };
        assert!(
            read(event(&outside, "", VALUE, "", &[]))
                .unwrap_err()
                .contains("outside the value")
        );
        let split = Fixed {
            parts: [
                (0, u32::try_from(VALUE.find('é').unwrap()).unwrap() + 1),
                (0, 0),
                (0, 0),
            ],
            ..Fixed::default()
        };
        assert!(
            read(event(&split, "", VALUE, "", &[]))
                .unwrap_err()
                .contains("splits a character")
        );
    }

    #[test]
    fn any_damage_ends_in_a_batch_or_an_error() {
        let key = r#"{"id":1}"#;
        let whole = [
            topic(7, "t"),
            begin(),
            event(&Fixed::default(), key, VALUE, "", &[1]),
            commit(),
        ]
        .concat();
        for length in 0..whole.len() {
            let _ = TopicTable::default().read(whole[..length].to_vec());
        }
        for at in 0..whole.len() {
            for damage in [0x00, 0x01, 0x7F, 0x80, 0xFF] {
                let mut records = whole.clone();
                records[at] = damage;
                let Ok(batch) = TopicTable::default().read(records) else {
                    continue;
                };
                for event in batch.events() {
                    let parts = [event.key(), event.value(), event.before(), event.after()];
                    assert!(parts.iter().flatten().all(|part| part.len() <= whole.len()));
                    assert!(event.unchanged().count() <= whole.len());
                }
            }
        }
    }

    const OWN: u8 = 1;
    const FREE: u8 = 2;

    /// The fixed part of an event, apart from lengths.
    struct Fixed {
        op: u8,
        flags: u8,
        sub: u32,
        xid: u32,
        topic: u32,
        parts: [(u32, u32); 3],
    }

    impl Default for Fixed {
        fn default() -> Self {
            let part = |text: &str| {
                let offset = u32::try_from(VALUE.find(text).unwrap()).unwrap();
                (offset, u32::try_from(text.len()).unwrap())
            };
            Self {
                op: b'u',
                flags: 0,
                sub: 0,
                xid: 742,
                topic: 7,
                parts: [
                    part("null"),
                    part(r#"{"id":1,"name":"é"}"#),
                    part(r#"{"db":"shop"}"#),
                ],
            }
        }
    }

    fn record(kind: u8, rest: &[u8]) -> Vec<u8> {
        let length = u32::try_from(rest.len() + 5).unwrap();
        [&length.to_le_bytes(), [kind].as_slice(), rest].concat()
    }

    fn lengths(texts: &[&str]) -> Vec<u8> {
        let bytes = |text: &&str| u32::try_from(text.len()).unwrap().to_le_bytes();
        texts.iter().flat_map(bytes).collect()
    }

    fn topic(id: u32, name: &str) -> Vec<u8> {
        let texts = [name, "public", "orders", r#"{"constant":true}"#];
        let mut rest = vec![0; 3];
        rest.extend(id.to_le_bytes());
        rest.extend(16_384_u32.to_le_bytes());
        rest.extend(lengths(&texts));
        rest.extend(2_u32.to_le_bytes());
        rest.extend(texts.concat().bytes());
        for (name, type_oid, typmod, shape, flags) in [
            ("id", 20_u32, -1_i32, 0_u8, 1_u8),
            ("name", 1043, 44, 17, 2),
        ] {
            rest.extend(type_oid.to_le_bytes());
            rest.extend(typmod.to_le_bytes());
            rest.extend([shape, flags]);
            rest.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
            rest.extend(name.bytes());
        }
        record(TOPIC, &rest)
    }

    fn column(
        name: &str,
        type_oid: u32,
        typmod: i32,
        shape: u8,
        in_key: bool,
        nullable: bool,
    ) -> Column {
        Column {
            name: name.to_owned(),
            type_oid,
            typmod,
            shape: Shape {
                code: shape,
                ..Shape::default()
            },
            in_key,
            nullable,
        }
    }

    fn transaction() -> Vec<u8> {
        let mut rest = vec![0; 3];
        rest.extend(0x16_B374_8000_u64.to_le_bytes());
        rest.extend((-5_i64).to_le_bytes());
        rest.extend(742_u32.to_le_bytes());
        rest
    }

    fn begin() -> Vec<u8> {
        record(BEGIN, &transaction())
    }

    fn commit() -> Vec<u8> {
        let mut rest = transaction();
        rest.extend(2_u32.to_le_bytes());
        rest.extend(0x16_B374_8030_u64.to_le_bytes());
        record(COMMIT, &rest)
    }

    fn event(fields: &Fixed, key: &str, value: &str, headers: &str, unchanged: &[u32]) -> Vec<u8> {
        let mut rest = vec![fields.op, fields.flags, 0];
        rest.extend(0x16_B374_8000_u64.to_le_bytes());
        rest.extend(4_u32.to_le_bytes());
        rest.extend(fields.sub.to_le_bytes());
        rest.extend(0x16_B374_7FF0_u64.to_le_bytes());
        rest.extend((-5_i64).to_le_bytes());
        rest.extend(fields.xid.to_le_bytes());
        rest.extend(fields.topic.to_le_bytes());
        rest.extend(lengths(&[key, value, headers]));
        rest.extend(u32::try_from(unchanged.len()).unwrap().to_le_bytes());
        for (offset, bytes) in fields.parts {
            rest.extend(offset.to_le_bytes());
            rest.extend(bytes.to_le_bytes());
        }
        rest.extend([key, value, headers].concat().bytes());
        rest.extend(unchanged.iter().flat_map(|column| column.to_le_bytes()));
        record(EVENT, &rest)
    }
}
