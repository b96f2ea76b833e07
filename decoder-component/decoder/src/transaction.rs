//! The open transaction: where its next change stands, and what Debezium tells of it
//! (`provide.transaction.metadata`).

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use crate::envelope::{write_i64, write_u64};
use crate::lsn::Lsn;
use crate::options::{Format, Options};
use crate::record::{EventHead, EventWriter, Position, RecordTooLong, Topic, write_topic};
use crate::relation::{sanitized, write_name};
use crate::schema::RecordSchemas;

/// A transaction between its Begin and its Commit.
#[derive(Clone, Debug)]
pub(crate) struct Transaction {
    pub(crate) commit_lsn: Lsn,
    pub(crate) commit_ts_us: i64,
    pub(crate) xid: u32,
    /// Index of the next change. Changes count from 1; 0 is the transaction's beginning.
    pub(crate) next_index: u32,
    /// Sub-index of the next logical message behind the last change.
    pub(crate) next_message: u32,
    /// Events so far, of any kind.
    pub(crate) events: u32,
    pub(crate) metadata: Option<Metadata>,
}

/// How many events a transaction has had, and of which tables.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metadata {
    total: u32,
    /// By `schema.table`.
    collections: BTreeMap<String, u32>,
    /// Logical messages, each of which Debezium counts as a collection of its own.
    messages: u32,
}

/// A change of a row becomes fewer events than this, whatever the options: the sub-index of the
/// first logical message behind it.
pub(crate) const EVENTS_OF_A_ROW: u32 = 4;

/// The topic id of transaction metadata.
pub(crate) const TRANSACTION_TOPIC_ID: u32 = 1;

impl Transaction {
    pub(crate) fn position(&self) -> Position {
        Position {
            commit_lsn: self.commit_lsn,
            index: self.next_index,
            sub: 0,
        }
    }

    /// A change, of so many relations at most, has become `events` events.
    pub(crate) fn advance(&mut self, relations: usize, events: u32) {
        self.next_index = self.next_index.saturating_add(1);
        let relations = u32::try_from(relations).unwrap_or(u32::MAX);
        self.next_message = relations.max(EVENTS_OF_A_ROW);
        self.events = self.events.saturating_add(events);
    }

    /// Of a logical message. It has the index of the change before it, and is not counted: one
    /// whose savepoint was rolled back comes where it was streamed before that, and else does not,
    /// but the changes behind it have the same positions either way.
    pub(crate) fn message_position(&self) -> Position {
        Position {
            index: self.next_index.saturating_sub(1),
            sub: self.next_message,
            ..self.position()
        }
    }

    /// A logical message has become `events` events.
    pub(crate) fn advance_message(&mut self, events: u32) {
        self.next_message = self.next_message.saturating_add(1);
        self.events = self.events.saturating_add(events);
    }

    /// Writes the event that tells of the beginning (`end` false) or the end.
    pub(crate) fn write_metadata(
        &self,
        end: bool,
        lsn: Lsn,
        (options, schemas): (&Options, &RecordSchemas),
        records: &mut Vec<u8>,
    ) -> Result<(), RecordTooLong> {
        let Some(metadata) = &self.metadata else {
            return Ok(());
        };
        let mut event = EventWriter::begin(records);
        schemas.transaction_key.open(records);
        records.extend_from_slice(b"{\"id\":");
        write_id(self.xid, lsn, records);
        records.push(b'}');
        schemas.transaction_key.close(records);
        event.end_key(records);
        schemas.transaction_value.open(records);
        records.extend_from_slice(if end {
            b"{\"status\":\"END\",\"id\":".as_slice()
        } else {
            b"{\"status\":\"BEGIN\",\"id\":".as_slice()
        });
        write_id(self.xid, lsn, records);
        if end {
            records.extend_from_slice(b",\"event_count\":");
            write_u64(u64::from(metadata.total), records);
            records.extend_from_slice(b",\"data_collections\":[");
            metadata.write_collections(options.format, records);
            records.push(b']');
        } else {
            records.extend_from_slice(b",\"event_count\":null,\"data_collections\":null");
        }
        records.extend_from_slice(b",\"ts_ms\":");
        write_i64(self.commit_ts_us.div_euclid(1000), records);
        records.push(b'}');
        schemas.transaction_value.close(records);
        event.end_value(records);
        event.end_headers(records);
        let head = EventHead {
            op: 0,
            transactional: true,
            position: self.position(),
            lsn,
            commit_ts_us: self.commit_ts_us,
            xid: self.xid,
            topic_id: TRANSACTION_TOPIC_ID,
        };
        event.finish(&head, records)
    }
}

impl Metadata {
    /// The `transaction` block of the `nth` event (from 1) of a change of `collection`.
    pub(crate) fn write_block(
        &self,
        xid: u32,
        lsn: Lsn,
        collection: Option<&str>,
        nth: u32,
        out: &mut Vec<u8>,
    ) {
        out.extend_from_slice(b"{\"id\":");
        write_id(xid, lsn, out);
        out.extend_from_slice(b",\"total_order\":");
        write_u64(u64::from(self.total.saturating_add(nth)), out);
        out.extend_from_slice(b",\"data_collection_order\":");
        let before = collection
            .and_then(|name| self.collections.get(name))
            .copied()
            .unwrap_or(0);
        write_u64(u64::from(before.saturating_add(nth)), out);
        out.push(b'}');
    }

    /// `events` events of one change were written; no collection: a logical message.
    pub(crate) fn count(&mut self, collection: Option<&str>, events: u32) {
        self.total = self.total.saturating_add(events);
        match collection {
            Some(_) if events == 0 => {}
            Some(name) => match self.collections.get_mut(name) {
                Some(count) => *count = count.saturating_add(events),
                None => {
                    self.collections.insert(name.to_owned(), events);
                }
            },
            None => self.messages = self.messages.saturating_add(1),
        }
    }

    fn write_collections(&self, format: Format, out: &mut Vec<u8>) {
        // Debezium names a message by its class and Java identity; the latter has no meaning.
        const MESSAGE: &str = "io.debezium.connector.postgresql.LogicalDecodingMessageMonitor\
            $LogicalDecodingMessageId@0";
        let messages = (0..self.messages).map(|_| (MESSAGE, 1));
        let tables = self
            .collections
            .iter()
            .map(|(name, count)| (name.as_str(), *count));
        for (nth, (name, count)) in tables.chain(messages).enumerate() {
            out.extend_from_slice(if nth == 0 {
                b"{\"data_collection\":".as_slice()
            } else {
                b",{\"data_collection\":".as_slice()
            });
            write_name(name, format, out);
            out.extend_from_slice(b",\"event_count\":");
            write_u64(u64::from(count), out);
            out.push(b'}');
        }
    }
}

/// The topic record of `<prefix>.transaction`. `topic.delimiter` is for this topic, too.
pub(crate) fn write_transaction_topic(
    options: &Options,
    records: &mut Vec<u8>,
) -> Result<(), RecordTooLong> {
    let topic = Topic {
        id: TRANSACTION_TOPIC_ID,
        relation: 0,
        name: &sanitized(&alloc::format!(
            "{}{}{}",
            options.topic_prefix,
            options.topic_delimiter,
            options.transaction_topic
        )),
        namespace: "",
        table: "",
        headers: b"{}",
        columns: Vec::new(),
    };
    write_topic(&topic, records)
}

/// `"<xid>:<lsn>"`, where the LSN is that of the message at hand and so differs between events.
fn write_id(xid: u32, lsn: Lsn, out: &mut Vec<u8>) {
    out.push(b'"');
    write_u64(u64::from(xid), out);
    out.push(b':');
    write_u64(lsn.0, out);
    out.push(b'"');
}
