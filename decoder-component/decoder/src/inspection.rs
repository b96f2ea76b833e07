//! What is in a stream, for people and tools that look at one; and the same stream without its
//! values. `wit/inspection.wit` says what is promised.
//!
//! # Theory of operation
//! One walker ([`walk`]) goes through a frame and names each field to a visitor. There are three:
//! one puts the message in a line ([`Summary`]), one shows every field ([`Listing`]), one collects
//! the values that are to be replaced. What a walker has to know of the frames before is in
//! [`Memory`], which is changed when it has come to a frame's end, and only if all of it was
//! understood.
//!
//! The decoder's parser (`message.rs`) is not used: it is made to skip what nobody needs, and must
//! stay fast. What is allowed in a message is the same, by the same `Reader` and limits;
//! `tests/fuzz` compares the two.

mod memory;
mod redaction;
mod walk;
mod words;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use self::memory::{Memory, Oid, Trace};
use self::redaction::Redaction;
use self::walk::{Field as Walked, Meaning, Visitor, walk};
use crate::limits::INSPECTED_RELATIONS_MAX;
use crate::message::POSTGRES_EPOCH_US;

/// Looks at the frames of one stream, in their order.
#[derive(Clone, Debug, Default)]
pub struct Inspector {
    memory: Memory,
}

/// One frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Where it begins in what was passed.
    pub offset: usize,
    /// How long it is. Where no whole frame follows: all that is left.
    pub bytes: usize,
    /// Start of the WAL data: the change's LSN (0 for Relation and Type).
    pub lsn: u64,
    /// End of WAL on the server.
    pub wal_end: u64,
    /// Server clock, µs since 1970-01-01.
    pub clock_us: i64,
    /// The pgoutput message's first byte, where there is one.
    pub message_type: Option<u8>,
    /// Of the transaction, where the message says it, or the chunk it came in.
    pub xid: Option<u32>,
    /// Of the subtransaction, in a chunk and of Stream Abort.
    pub subxid: Option<u32>,
    /// Whether it came in a chunk of a streamed transaction: from Stream Start to Stream Stop.
    pub in_chunk: bool,
    /// Of Begin, Commit, Stream Commit and Commit Prepared.
    pub commit_lsn: Option<u64>,
    /// OIDs of the relations it is of: at most [`INSPECTED_RELATIONS_MAX`].
    pub relations: Vec<u32>,
    /// The (first) relation's or the type's name with its schema, an origin, a prefix, or a gid.
    pub name: Option<String>,
    /// Of the tuple or the relation: how many columns.
    pub columns: u32,
    /// Why it cannot be understood. Names the field and its offset in the frame, never a value.
    pub problem: Option<String>,
}

/// Bytes of a frame that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Where it begins in the frame.
    pub offset: usize,
    /// How long it is.
    pub bytes: usize,
    /// By PostgreSQL's documentation, or by the column's name.
    pub name: String,
    /// For people.
    pub value: String,
}

impl Inspector {
    /// An inspector that knows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What each frame is, in order.
    pub fn messages(&mut self, frames: &[u8]) -> Vec<Message> {
        let mut messages = Vec::new();
        let mut offset = 0;
        while let Some(frame) = first_frame(frames, offset) {
            let mut summary = Summary {
                memory: &self.memory,
                message: Message {
                    offset,
                    bytes: frame.len(),
                    in_chunk: self.memory.chunk.is_some(),
                    xid: self.memory.chunk,
                    ..Message::default()
                },
            };
            let mut walked = walk(frame, &self.memory, &mut summary);
            let mut message = summary.message;
            match &walked.trace {
                Trace::Announced(_, announced) => message.name = Some(announced.name.clone()),
                Trace::Chunk(Some(_)) => message.in_chunk = true,
                Trace::Chunk(None) | Trace::None => {}
            }
            self.memory.remember(&mut walked);
            message.problem = walked.problem.map(|problem| problem.text);
            messages.push(message);
            offset += frame.len();
        }
        messages
    }

    /// What each byte of a frame is.
    pub fn fields(&mut self, frame: &[u8]) -> Vec<Field> {
        let whole = first_frame(frame, 0).unwrap_or_default();
        let mut listing = Listing {
            memory: &self.memory,
            fields: Vec::new(),
        };
        let mut walked = walk(whole, &self.memory, &mut listing);
        let mut fields = listing.fields;
        self.memory.remember(&mut walked);
        let mut rest = walked.problem.map(|problem| (problem.at, problem.text));
        if rest.is_none() && whole.len() < frame.len() {
            rest = Some((whole.len(), "bytes behind the frame".into()));
        }
        if let Some((offset, value)) = rest {
            fields.push(Field {
                offset,
                bytes: frame.len().saturating_sub(offset),
                name: "not understood".into(),
                value,
            });
        }
        fields
    }

    /// Replaces the values in the frames.
    pub fn redact(&mut self, frames: &mut [u8]) {
        let mut redaction = Redaction::default();
        let mut offset = 0;
        while let Some(frame) = first_frame(frames, offset) {
            let bytes = frame.len();
            let mut walked = walk(frame, &self.memory, redaction.collector());
            let frame = frames.get_mut(offset..offset + bytes).unwrap_or_default();
            redaction.apply(frame, &self.memory, walked.problem.as_ref());
            self.memory.remember(&mut walked);
            offset += bytes;
        }
    }
}

/// The frame that begins at this offset; all that is left where that is no whole one.
fn first_frame(frames: &[u8], offset: usize) -> Option<&[u8]> {
    let rest = frames.get(offset..).filter(|rest| !rest.is_empty())?;
    let [b'd', l1, l2, l3, l4, ..] = *rest else {
        return Some(rest);
    };
    let length = u32::from_be_bytes([l1, l2, l3, l4]);
    let bytes = usize::try_from(length).unwrap_or(usize::MAX);
    let end = bytes.saturating_add(1);
    // The length counts itself.
    Some(rest.get(..end).filter(|_| bytes >= 4).unwrap_or(rest))
}

/// Puts a message in a line.
struct Summary<'m> {
    memory: &'m Memory,
    message: Message,
}

impl<'a> Visitor<'a> for Summary<'_> {
    fn field(&mut self, field: &Walked<'a, '_>) {
        let message = &mut self.message;
        match (&field.meaning, field.name) {
            (Meaning::MessageType(kind), _) => message.message_type = Some(*kind),
            (Meaning::Lsn(lsn), "start lsn") => message.lsn = *lsn,
            // So is the end of a transaction named.
            (Meaning::Lsn(lsn), "end lsn") if message.message_type.is_none() => {
                message.wal_end = *lsn;
            }
            (Meaning::Time(us), "server clock") => {
                message.clock_us = us.saturating_add(POSTGRES_EPOCH_US);
            }
            (Meaning::Lsn(lsn), "final lsn" | "commit lsn") => message.commit_lsn = Some(*lsn),
            (Meaning::Number(xid), "xid") => message.xid = u32::try_from(*xid).ok(),
            (Meaning::Number(xid), "subtransaction xid") => {
                message.subxid = u32::try_from(*xid).ok();
            }
            (Meaning::Number(columns), "number of columns") => {
                message.columns = u32::try_from(*columns).unwrap_or_default();
            }
            (Meaning::Relation(oid), _) if message.relations.len() < INSPECTED_RELATIONS_MAX => {
                message.relations.push(*oid);
                if message.name.is_none() {
                    message.name = self.memory.name(Oid::Relation(*oid)).map(Into::into);
                }
            }
            (Meaning::Text(text), "gid" | "origin name" | "prefix") => {
                message.name = Some(words::shown(text));
            }
            _ => {}
        }
    }
}

/// Shows every field.
struct Listing<'m> {
    memory: &'m Memory,
    fields: Vec<Field>,
}

impl<'a> Visitor<'a> for Listing<'_> {
    fn field(&mut self, field: &Walked<'a, '_>) {
        let name = match (&field.column, field.name) {
            (Some(column), "value") => format!("{column}"),
            (Some(column), part) => format!("{column}: {part}"),
            (None, name) => name.into(),
        };
        self.fields.push(Field {
            offset: field.offset,
            bytes: field.bytes,
            name,
            value: words::value(&field.meaning, self.memory),
        });
    }
}
