//! The decoder: a function from frames to records, with a memory.
//!
//! # Theory of operation
//! Between transactions the memory is the relations announced so far, the catalog's facts, and the
//! LSN of the last commit; within one, the transaction's facts and how many changes it has had.
//! A frame either leaves its records and its trace, or neither: whatever can fail comes before
//! the memory is touched, and records of a frame that failed are taken back.
//!
//! Invariants: `failed` is set from a frame that cannot be decoded until [`Decoder::skip`];
//! `asked` remembers a question until the facts for it were used.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::change::ChangeWriter;
use crate::envelope::{Endings, SourceFacts};
use crate::error::{DecodeError, DecodeErrorKind, RestoreError};
use crate::facts::{Facts, RelationFacts};
use crate::frame::Frame;
use crate::limits::{CALL_RECORDS_BYTES, RELATIONS_MAX};
use crate::lsn::Lsn;
use crate::message::{Change, Message, RelationBody, Tuples};
use crate::options::Options;
use crate::reader::Malformed;
use crate::record::{EventHead, OpenStash, RecordTooLong, write_begin, write_commit};
use crate::relation::{Relation, facts_of};
use crate::schema::RecordSchemas;
use crate::streaming::Streaming;
use crate::transaction::{
    EVENTS_OF_A_ROW, Metadata, TRANSACTION_TOPIC_ID, Transaction, write_transaction_topic,
};
use crate::value::Types;

/// One per replication stream. A clone goes on by itself.
#[derive(Clone, Debug)]
pub struct Decoder {
    pub(crate) options: Options,
    pub(crate) schemas: RecordSchemas,
    types: Types,
    /// Facts not used yet, by relation.
    facts: BTreeMap<u32, RelationFacts>,
    asked: Asked,
    relations: BTreeMap<u32, Relation>,
    /// The next relation's; the first ids are of messages and transactions.
    next_topic_id: u32,
    pub(crate) message_topic_written: bool,
    transaction_topic_written: bool,
    pub(crate) transaction: Option<Transaction>,
    pub(crate) source_facts: SourceFacts,
    endings: Endings,
    pub(crate) streaming: Streaming,
    failed: Option<Failed>,
}

/// What the catalogs were asked about last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Nothing,
    Relation(u32),
    /// The answer came and was not used yet.
    Answered(u32),
}

#[derive(Clone, Debug)]
struct Failed {
    error: DecodeError,
    /// The frame was a change, which has an index whether it can be decoded or not.
    change: bool,
}

/// What a call to [`Decoder::decode`] came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Bytes of the frames used up: whole frames only. Fewer than there are without a `stop`: so
    /// many records came of them that the call ended early; pass the rest in another.
    pub consumed: usize,
    /// Why the decoder stopped before a frame; that frame left no trace.
    pub stop: Option<Stop>,
}

/// Why the decoder stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The frame names a relation whose facts are wanted: answer with [`Decoder::learn`], pass it
    /// again.
    Unknown(Question),
    /// The frame cannot be decoded. The decoder repeats this until told to [`Decoder::skip`].
    Failed(DecodeError),
    /// The frame commits what was stashed under this transaction: pass all of that, oldest first,
    /// and then this frame again.
    Replay(u32),
}

/// What the catalogs are asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Question {
    /// `pg_class.oid`.
    pub relation: u32,
    /// `pg_namespace.nspname`; facts of the relation that has the name now are wanted as well.
    pub namespace: String,
    /// `pg_class.relname`.
    pub name: String,
    /// Its columns' types, where they are not built in and not known.
    pub types: Vec<u32>,
}

/// Why a frame left no trace. One word, since almost no frame has it, and every one returns it.
#[derive(Debug)]
pub(crate) struct Halt(Box<Reason>);

#[derive(Debug)]
enum Reason {
    Unknown(Question),
    Malformed(Malformed),
    Replay(u32),
}

/// What a call to [`Decoder::decode`] carries from frame to frame.
#[derive(Debug)]
pub(crate) struct Call<'r> {
    pub(crate) now_us: i64,
    pub(crate) unchanged: Vec<u32>,
    /// Of the tombstone behind a deletion that was unwrapped.
    pub(crate) tombstone_headers: Vec<u8>,
    pub(crate) stash: Option<OpenStash>,
    pub(crate) records: &'r mut Vec<u8>,
}

impl Decoder {
    /// A decoder at the beginning of a stream.
    pub fn new(options: Options) -> Self {
        Self {
            schemas: RecordSchemas::new(&options),
            options,
            types: Types::default(),
            facts: BTreeMap::new(),
            asked: Asked::Nothing,
            relations: BTreeMap::new(),
            next_topic_id: TRANSACTION_TOPIC_ID + 1,
            message_topic_written: false,
            transaction_topic_written: false,
            transaction: None,
            source_facts: SourceFacts::default(),
            endings: Endings::default(),
            streaming: Streaming::Idle,
            failed: None,
        }
    }

    /// Takes facts from the catalogs. After a [`Stop::Unknown`], what was asked for and is not
    /// among them is taken as gone: decoding goes on with what the stream itself says.
    pub fn learn(&mut self, facts: Facts) {
        for fact in facts.types {
            self.types.learn(fact);
        }
        for fact in facts.relations {
            self.facts.insert(fact.oid, fact);
        }
        if let Asked::Relation(oid) = self.asked {
            self.asked = Asked::Answered(oid);
        }
    }

    /// Decodes whole frames, laid out as `wit/decoding.wit` says, and appends records. `now_us` is
    /// the time given to the events, in µs since 1970-01-01.
    pub fn decode(&mut self, frames: &[u8], now_us: i64, records: &mut Vec<u8>) -> Decoded {
        let mut tuples = Tuples::default();
        let mut call = Call {
            now_us,
            unchanged: Vec::new(),
            tombstone_headers: Vec::new(),
            stash: None,
            records,
        };
        let mut rest = frames;
        let records_end = call.records.len().saturating_add(CALL_RECORDS_BYTES);
        let mut stop = self
            .failed
            .as_ref()
            .map(|failed| Stop::Failed(failed.error.clone()));
        while stop.is_none() && !rest.is_empty() {
            let mark = call.records.len();
            let halt = match Frame::parse(rest, frames.len() - rest.len()) {
                Ok(frame) => match self.frame(&frame, &mut tuples, &mut call) {
                    Ok(()) => {
                        rest = rest.get(frame.bytes..).unwrap_or_default();
                        if call.records.len() > records_end {
                            break;
                        }
                        continue;
                    }
                    Err(Halt(reason)) => match *reason {
                        Reason::Unknown(question) => {
                            self.asked = Asked::Relation(question.relation);
                            Stop::Unknown(question)
                        }
                        Reason::Replay(xid) => Stop::Replay(xid),
                        Reason::Malformed(malformed) => {
                            Stop::Failed(self.fail(malformed, frame.lsn, frame.message))
                        }
                    },
                },
                Err(malformed) => Stop::Failed(self.fail(malformed, Lsn(0), &[])),
            };
            call.records.truncate(mark);
            stop = Some(halt);
        }
        Decoded {
            consumed: frames.len() - rest.len(),
            stop,
        }
    }

    /// Gives up the frame of the last [`Stop::Failed`]: what follows it can be decoded again.
    pub fn skip(&mut self) {
        if let (Some(Failed { change: true, .. }), Some(transaction)) =
            (self.failed.take(), &mut self.transaction)
        {
            transaction.advance(1, 0);
        }
    }

    /// What a successor needs to go on where this one stands, between transactions.
    pub fn save(&self) -> Vec<u8> {
        let mut saved = alloc::vec![
            SAVED_VERSION,
            u8::from(self.source_facts.last_commit.is_some())
        ];
        let last_commit = self.source_facts.last_commit.unwrap_or_default();
        saved.extend_from_slice(&last_commit.0.to_le_bytes());
        saved.extend_from_slice(&self.source_facts.commit_ts_us.to_le_bytes());
        if let Some((name, lsn)) = &self.source_facts.origin {
            saved.extend_from_slice(&lsn.0.to_le_bytes());
            saved.extend_from_slice(name.as_bytes());
        }
        saved
    }

    /// The inverse of [`Decoder::save`], on a new decoder with the same options.
    pub fn restore(&mut self, saved: &[u8]) -> Result<(), RestoreError> {
        let (version, rest) = saved.split_first().ok_or(RestoreError::Corrupt)?;
        if *version != SAVED_VERSION {
            return Err(RestoreError::Version);
        }
        let &[seen, ref rest @ ..] = rest else {
            return Err(RestoreError::Corrupt);
        };
        let (last_commit, rest) = rest.split_first_chunk().ok_or(RestoreError::Corrupt)?;
        let (commit_ts, rest) = rest.split_first_chunk().ok_or(RestoreError::Corrupt)?;
        let last_commit = match (seen, Lsn(u64::from_le_bytes(*last_commit))) {
            (0, Lsn(0)) => None,
            (1, lsn) => Some(lsn),
            _ => return Err(RestoreError::Corrupt),
        };
        let origin = if rest.is_empty() {
            None
        } else {
            let (lsn, name) = rest.split_first_chunk().ok_or(RestoreError::Corrupt)?;
            let name = str::from_utf8(name).map_err(|_| RestoreError::Corrupt)?;
            Some((name.into(), Lsn(u64::from_le_bytes(*lsn))))
        };
        self.source_facts = SourceFacts {
            last_commit,
            commit_ts_us: i64::from_le_bytes(*commit_ts),
            origin,
            xid: None,
        };
        Ok(())
    }

    /// Options that were given, are Debezium's, and have no meaning to a decoder.
    pub fn ignored_options(&self) -> &[String] {
        self.options.ignored()
    }

    fn fail(&mut self, malformed: Malformed, lsn: Lsn, message: &[u8]) -> DecodeError {
        let open = self
            .transaction
            .as_ref()
            .map_or(lsn, |transaction| transaction.commit_lsn);
        let message_type = message.first().copied();
        let error = DecodeError {
            kind: malformed.kind,
            message_type,
            offset: u32::try_from(malformed.offset).unwrap_or(u32::MAX),
            lsn: if lsn == Lsn(0) { open } else { lsn },
            detail: malformed.detail,
        };
        let change = matches!(message_type, Some(b'I' | b'U' | b'D' | b'T'));
        self.failed = Some(Failed {
            error: error.clone(),
            change,
        });
        error
    }

    fn frame<'a>(
        &mut self,
        frame: &Frame<'a>,
        tuples: &mut Tuples<'a>,
        call: &mut Call<'_>,
    ) -> Result<(), Halt> {
        let is_change = matches!(frame.message.first(), Some(b'I' | b'U' | b'D'));
        let is_plain = is_change && self.streaming == Streaming::Idle;
        if !is_plain && self.streamed(frame, call)? {
            return Ok(());
        }
        let with_xid =
            matches!(self.streaming, Streaming::Replaying(replay) if replay.with_subtransactions);
        match Message::parse(frame.message, with_xid, tuples)? {
            Message::Row { relation, change } => self.change(frame, relation, change, tuples, call),
            other => self.no_change(frame, other, call),
        }
    }

    /// Any message but a row's.
    fn no_change(
        &mut self,
        frame: &Frame<'_>,
        message: Message<'_>,
        call: &mut Call<'_>,
    ) -> Result<(), Halt> {
        match message {
            Message::Truncate { relations } => self.truncate(frame, &relations, call)?,
            Message::Begin {
                final_lsn,
                commit_ts_us,
                xid,
            } => {
                self.begin(final_lsn, commit_ts_us, xid, frame.lsn, call)?;
            }
            Message::Commit {
                commit_lsn,
                end_lsn,
            } => {
                self.commit(commit_lsn, end_lsn, frame.lsn, call)?;
            }
            Message::Origin { commit_lsn, name } => {
                self.transaction()?;
                self.source_facts.origin = Some((name.into(), commit_lsn));
            }
            Message::Relation(body) => self.relation(&body, call)?,
            // What a Type names, the catalog's facts say better.
            Message::Type | Message::Row { .. } => {}
            Message::Logical(logical) => self.logical(frame, &logical, call)?,
        }
        Ok(())
    }

    pub(crate) fn begin(
        &mut self,
        commit_lsn: Lsn,
        commit_ts_us: i64,
        xid: u32,
        lsn: Lsn,
        call: &mut Call<'_>,
    ) -> Result<(), Halt> {
        if self.transaction.is_some() {
            return Err(out_of_sequence("a transaction is open already"));
        }
        let mut transaction = Transaction {
            commit_lsn,
            commit_ts_us,
            xid,
            next_index: 0,
            next_message: EVENTS_OF_A_ROW,
            events: 0,
            metadata: self.options.transaction_metadata.then(Metadata::default),
        };
        write_begin(&transaction, call.records);
        self.write_metadata(&mut transaction, false, lsn, call)?;
        self.transaction = Some(transaction);
        self.source_facts.commit_ts_us = commit_ts_us;
        self.source_facts.xid = Some(xid);
        self.source_facts.origin = None;
        Ok(())
    }

    /// Ends the open transaction; `lsn` is that of the frame that commits it.
    pub(crate) fn commit(
        &mut self,
        commit_lsn: Lsn,
        end_lsn: Lsn,
        lsn: Lsn,
        call: &mut Call<'_>,
    ) -> Result<(), Halt> {
        if self.transaction()?.commit_lsn != commit_lsn {
            return Err(out_of_sequence(
                "the open transaction has another commit LSN",
            ));
        }
        // Nothing below fails but for lengths that were checked when it was begun.
        let Some(mut transaction) = self.transaction.take() else {
            return Ok(());
        };
        self.write_metadata(&mut transaction, true, lsn, call)?;
        write_commit(&transaction, end_lsn, call.records);
        self.source_facts.last_commit = Some(lsn);
        self.source_facts.xid = None;
        Ok(())
    }

    pub(crate) fn is_in_transaction(&self) -> bool {
        self.transaction.is_some()
    }

    pub(crate) fn relation(
        &mut self,
        body: &RelationBody<'_>,
        call: &mut Call<'_>,
    ) -> Result<(), Halt> {
        // A Relation says that something may have changed, NOT NULL and defaults among it, which
        // it does not say: so facts serve one Relation only.
        let selection = &self.options.selection;
        let included = selection.includes_table(body.namespace, body.name);
        if included && self.asked != Asked::Answered(body.oid) {
            let types: Vec<u32> = body
                .columns
                .iter()
                .map(|column| column.type_oid)
                .filter(|oid| !self.types.knows(*oid))
                .collect();
            let known = facts_of(&self.facts, body, self.options.format).is_some();
            if !types.is_empty() || !known {
                return Err(Halt(Box::new(Reason::Unknown(Question {
                    relation: body.oid,
                    namespace: body.namespace.into(),
                    name: body.name.into(),
                    types,
                }))));
            }
        }
        if self.relations.len() >= RELATIONS_MAX && !self.relations.contains_key(&body.oid) {
            return Err(Halt::from(Malformed {
                kind: DecodeErrorKind::Limit,
                offset: 1,
                detail: format!("more than {RELATIONS_MAX} relations"),
            }));
        }
        let facts = facts_of(&self.facts, body, self.options.format);
        let used = facts.map_or(body.oid, |facts| facts.oid);
        let mut relation =
            Relation::new(body, facts, &self.types, &self.options, self.next_topic_id)?;
        match self.relations.get(&body.oid) {
            Some(before) if before.same_topic(&relation) => relation.topic_id = before.topic_id,
            _ if !included => {}
            _ => {
                self.next_topic_id = self.next_topic_id.wrapping_add(1);
                relation.write_topic_record(call.records);
            }
        }
        self.facts.remove(&body.oid);
        self.facts.remove(&used);
        self.asked = Asked::Nothing;
        self.relations.insert(body.oid, relation);
        Ok(())
    }

    fn change<'a>(
        &mut self,
        frame: &Frame<'a>,
        relation: u32,
        change: Change,
        tuples: &Tuples<'a>,
        call: &mut Call<'_>,
    ) -> Result<(), Halt> {
        let transaction = self
            .transaction
            .as_mut()
            .ok_or_else(|| out_of_sequence("no transaction is open"))?;
        let relation = self
            .relations
            .get(&relation)
            .ok_or_else(|| unknown_relation(relation))?;
        check_tuples(relation, change, tuples)?;
        let mut event = ChangeWriter {
            frame,
            relation,
            options: &self.options,
            facts: &self.source_facts,
            ending: self.endings.of(relation.topic_id),
            metadata: transaction.metadata.as_ref(),
            counted: 0,
            head: event_head(transaction, frame, relation),
            call,
        };
        event.write(change, tuples)?;
        let (events, counted) = (event.head.position.sub, event.counted);
        if let Some(metadata) = &mut transaction.metadata {
            metadata.count(Some(&relation.qualified_name), counted);
        }
        transaction.advance(1, events);
        Ok(())
    }

    fn truncate(
        &mut self,
        frame: &Frame<'_>,
        relations: &[u32],
        call: &mut Call<'_>,
    ) -> Result<(), Halt> {
        let transaction = self
            .transaction
            .as_mut()
            .ok_or_else(|| out_of_sequence("no transaction is open"))?;
        // The server names each once; named again and again, one gives events without end.
        if relations.len() > self.relations.len() {
            return Err(out_of_sequence("more relations than were announced"));
        }
        let mut truncated = Vec::new();
        for oid in relations {
            truncated.push(
                self.relations
                    .get(oid)
                    .ok_or_else(|| unknown_relation(*oid))?,
            );
        }
        truncated.retain(|relation| relation.included);
        if self.options.skipped.contains(b't') {
            truncated.clear();
        }
        let mut head = None;
        for relation in truncated {
            let mut event = ChangeWriter {
                frame,
                relation,
                options: &self.options,
                facts: &self.source_facts,
                ending: self.endings.of(relation.topic_id),
                metadata: transaction.metadata.as_ref(),
                counted: 0,
                head: EventHead {
                    topic_id: relation.topic_id,
                    ..head.unwrap_or_else(|| event_head(transaction, frame, relation))
                },
                call: &mut *call,
            };
            event.write_truncated()?;
            head = Some(event.head);
            if let Some(metadata) = &mut transaction.metadata {
                metadata.count(Some(&relation.qualified_name), 1);
            }
        }
        transaction.advance(relations.len(), head.map_or(0, |head| head.position.sub));
        Ok(())
    }

    /// Writes the event that tells of a transaction's beginning or end, if that is wanted.
    fn write_metadata(
        &mut self,
        transaction: &mut Transaction,
        end: bool,
        lsn: Lsn,
        call: &mut Call<'_>,
    ) -> Result<(), Halt> {
        if transaction.metadata.is_some() {
            if !self.transaction_topic_written {
                write_transaction_topic(&self.options, call.records)?;
            }
            transaction.write_metadata(end, lsn, (&self.options, &self.schemas), call.records)?;
            self.transaction_topic_written = true;
            transaction.events = transaction.events.saturating_add(1);
        }
        transaction.next_index = transaction.next_index.saturating_add(1);
        Ok(())
    }

    pub(crate) fn transaction(&mut self) -> Result<&mut Transaction, Halt> {
        self.transaction
            .as_mut()
            .ok_or_else(|| out_of_sequence("no transaction is open"))
    }
}

impl Halt {
    /// The frame commits what was stashed under this transaction.
    pub(crate) fn replay(xid: u32) -> Self {
        Self(Box::new(Reason::Replay(xid)))
    }
}

impl From<Malformed> for Halt {
    #[cold]
    fn from(malformed: Malformed) -> Self {
        Self(Box::new(Reason::Malformed(malformed)))
    }
}

impl From<RecordTooLong> for Halt {
    #[cold]
    fn from(_: RecordTooLong) -> Self {
        Self::from(Malformed {
            kind: DecodeErrorKind::Limit,
            offset: 0,
            detail: "an event of more than 4 GiB".into(),
        })
    }
}

fn check_tuples(relation: &Relation, change: Change, tuples: &Tuples<'_>) -> Result<(), Halt> {
    let columns = relation.tuple_columns;
    let fits = match change {
        Change::Insert | Change::Update(None) => tuples.new.len() == columns,
        Change::Update(Some(_)) => tuples.new.len() == columns && tuples.old.len() == columns,
        Change::Delete(_) => tuples.old.len() == columns,
    };
    if fits {
        return Ok(());
    }
    Err(out_of_sequence(&format!(
        "tuple of {}: its relation has {columns} columns",
        relation.qualified_name
    )))
}

fn event_head(transaction: &Transaction, frame: &Frame<'_>, relation: &Relation) -> EventHead {
    EventHead {
        op: 0,
        transactional: true,
        position: transaction.position(),
        lsn: frame.lsn,
        commit_ts_us: transaction.commit_ts_us,
        xid: transaction.xid,
        topic_id: relation.topic_id,
    }
}

fn unknown_relation(oid: u32) -> Halt {
    out_of_sequence(&format!("relation {oid} was not announced"))
}

pub(crate) fn out_of_sequence(detail: &str) -> Halt {
    Halt::from(Malformed {
        kind: DecodeErrorKind::Sequence,
        offset: 0,
        detail: detail.into(),
    })
}

const SAVED_VERSION: u8 = 1;
