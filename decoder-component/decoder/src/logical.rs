//! Logical messages: what `pg_logical_emit_message` wrote, as an event.

use crate::decoder::{Call, Decoder, Halt};
use crate::envelope::{SourceFacts, write_source};
use crate::frame::Frame;
use crate::json;
use crate::lsn::Lsn;
use crate::message::Logical;
use crate::options::Format;
use crate::record::{EventHead, EventWriter, Position};
use crate::relation::{MESSAGE_TOPIC_ID, write_message_topic, write_name};

impl Decoder {
    pub(crate) fn logical(
        &mut self,
        frame: &Frame<'_>,
        logical: &Logical<'_>,
        call: &mut Call<'_>,
    ) -> Result<(), Halt> {
        let (position, source) = if logical.transactional {
            (
                self.transaction()?.message_position(),
                self.source_facts.clone(),
            )
        } else {
            // It is of no transaction, shows the time and the origin of the one before, and counts
            // as a commit.
            let mut source = SourceFacts {
                xid: None,
                last_commit: Some(frame.lsn),
                ..self.source_facts.clone()
            };
            if self.source_facts.last_commit.is_none() && self.transaction.is_none() {
                source.commit_ts_us = call.now_us;
            }
            (
                Position {
                    commit_lsn: frame.lsn,
                    index: 0,
                    sub: 0,
                },
                source,
            )
        };
        if !self.options.selection.includes_message(logical.prefix) {
            return self.end_message(frame.lsn, logical.transactional, 0);
        }
        if !self.message_topic_written {
            write_message_topic(&self.options, call.records)?;
        }
        let mut event = EventWriter::begin(call.records);
        let format = self.options.format;
        self.schemas.message_key.open(call.records);
        call.records.extend_from_slice(b"{\"prefix\":");
        write_name(logical.prefix, format, call.records);
        call.records.push(b'}');
        self.schemas.message_key.close(call.records);
        event.end_key(call.records);
        self.schemas.message_value.open(call.records);
        call.records.extend_from_slice(b"{\"op\":\"m\",\"ts_ms\":");
        crate::envelope::write_i64(call.now_us.div_euclid(1000), call.records);
        call.records.extend_from_slice(b",\"source\":");
        let source_start = call.records.len();
        write_source(
            &source,
            b"\"schema\":\"\",\"table\":\"\"",
            frame.lsn,
            &self.options,
            call.records,
        );
        event.parts.source = source_start..call.records.len();
        let metadata = self
            .transaction
            .as_ref()
            .and_then(|open| open.metadata.as_ref());
        match metadata.filter(|_| logical.transactional) {
            Some(metadata) => {
                call.records.extend_from_slice(b",\"transaction\":");
                let xid = source.xid.unwrap_or(0);
                metadata.write_block(xid, frame.lsn, None, 1, call.records);
            }
            None if format == Format::Debezium => {
                call.records.extend_from_slice(b",\"transaction\":null");
            }
            None => {}
        }
        call.records.extend_from_slice(b",\"message\":{\"prefix\":");
        write_name(logical.prefix, format, call.records);
        call.records.extend_from_slice(b",\"content\":");
        json::write_binary(logical.content, self.options.binary, call.records);
        call.records.extend_from_slice(b"}}");
        self.schemas.message_value.close(call.records);
        event.end_value(call.records);
        event.end_headers(call.records);
        let head = EventHead {
            op: b'm',
            transactional: logical.transactional,
            position,
            lsn: frame.lsn,
            commit_ts_us: source.commit_ts_us,
            xid: source.xid.unwrap_or(0),
            topic_id: MESSAGE_TOPIC_ID,
        };
        event.finish(&head, call.records)?;
        self.message_topic_written = true;
        self.end_message(frame.lsn, logical.transactional, 1)
    }

    /// A message has become `events` events. One of no transaction counts as a commit.
    fn end_message(&mut self, lsn: Lsn, transactional: bool, events: u32) -> Result<(), Halt> {
        if transactional {
            let transaction = self.transaction()?;
            if let (Some(metadata), 1..) = (&mut transaction.metadata, events) {
                metadata.count(None, events);
            }
            transaction.advance_message(events);
        } else {
            self.source_facts.last_commit = Some(lsn);
        }
        Ok(())
    }
}
