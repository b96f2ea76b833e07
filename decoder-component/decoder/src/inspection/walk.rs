//! Goes through a frame, from its first byte to its last, and names each field.
//!
//! Invariant: each field begins where the one before it ended. Where a frame cannot be understood,
//! the fields so far and the rest behind them are all of it.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::memory::{Announced, Column, Form, Memory, Oid, Trace};
use crate::error::DecodeErrorKind;
use crate::limits::{
    COLUMNS_MAX, GID_BYTES_MAX, INSPECTED_RELATIONS_MAX, MESSAGE_BYTES_MAX, NAME_BYTES_MAX,
    ORIGIN_BYTES_MAX,
};
use crate::reader::{Malformed, Reader};

/// What is done with fields.
pub(super) trait Visitor<'a> {
    fn field(&mut self, field: &Field<'a, '_>);
}

#[derive(Debug)]
pub(super) struct Field<'a, 'n> {
    /// Of a tuple's fields, the part of the column's: "kind", "length" or "value".
    pub(super) name: &'static str,
    pub(super) column: Option<ColumnName<'n>>,
    pub(super) offset: usize,
    pub(super) bytes: usize,
    pub(super) meaning: Meaning<'a>,
}

/// A column's name; none where its relation is not known.
#[derive(Clone, Copy, Debug)]
pub(super) struct ColumnName<'n> {
    name: Option<&'n str>,
    /// From 1.
    number: u16,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Meaning<'a> {
    /// What `pg_logical_emit_message` wrote.
    Content(&'a [u8]),
    Flags(u8, &'static [(u8, &'static str)]),
    Lsn(u64),
    MessageType(u8),
    Number(i64),
    Relation(u32),
    Text(&'a [u8]),
    /// µs since 2000-01-01.
    Time(i64),
    Type(u32),
    Value(Value<'a>),
    /// A byte that stands for a word.
    Word(&'static str),
}

/// A column's value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) binary: bool,
    /// Of the old tuple.
    pub(super) old: bool,
    /// From 1.
    pub(super) column: u16,
    pub(super) form: Form,
}

/// How far a walk came.
pub(super) struct Walked {
    pub(super) trace: Trace,
    pub(super) problem: Option<Problem>,
    /// Where the last field ends.
    pub(super) end: usize,
}

/// What cannot be understood.
pub(super) struct Problem {
    /// Where the last field before it ends.
    pub(super) at: usize,
    pub(super) text: String,
}

/// Goes through a frame.
pub(super) fn walk<'a>(frame: &'a [u8], memory: &Memory, visitor: &mut dyn Visitor<'a>) -> Walked {
    let mut walker = Walker {
        reader: Reader::new(frame),
        end: 0,
        memory,
        visitor,
    };
    let walked = walker
        .head(frame.len())
        .and_then(|()| walker.message())
        .and_then(|trace| walker.reader.finish().map(|()| trace));
    let end = walker.end;
    match walked {
        Ok(trace) => Walked {
            trace,
            problem: None,
            end,
        },
        Err(malformed) => Walked {
            trace: Trace::None,
            problem: Some(Problem {
                at: end,
                text: format!(
                    "{}: {}, byte {}",
                    malformed.kind, malformed.detail, malformed.offset
                ),
            }),
            end,
        },
    }
}

struct Walker<'a, 'm, 'v> {
    reader: Reader<'a>,
    /// Where the last field ends.
    end: usize,
    memory: &'m Memory,
    visitor: &'v mut dyn Visitor<'a>,
}

impl<'a> Walker<'a, '_, '_> {
    /// `CopyData` and `XLogData`.
    fn head(&mut self, frame_bytes: usize) -> Result<(), Malformed> {
        self.tag(b'd', "copy-data tag", "CopyData")?;
        let length = self.reader.u32("length")?;
        if usize::try_from(length).ok() != frame_bytes.checked_sub(1) {
            return Err(self.wrong(DecodeErrorKind::Frame, "length", 4));
        }
        self.field("length", Meaning::Number(length.into()));
        self.tag(b'w', "xlog-data tag", "XLogData")?;
        self.lsn("start lsn")?;
        self.lsn("end lsn")?;
        self.time("server clock")
    }

    fn message(&mut self) -> Result<Trace, Malformed> {
        let kind = self.reader.u8("message type")?;
        if message_name(kind).is_none() {
            return Err(self.wrong(DecodeErrorKind::Unsupported, "message type", 1));
        }
        self.field("message type", Meaning::MessageType(kind));
        let in_transaction = matches!(kind, b'D' | b'I' | b'M' | b'R' | b'T' | b'U' | b'Y');
        if in_transaction && self.memory.chunk.is_some() {
            self.number("subtransaction xid")?;
        }
        match kind {
            b'B' => {
                self.lsn("final lsn")?;
                self.time("commit timestamp")?;
                self.number("xid")?;
            }
            b'C' => self.commit()?,
            b'D' => self.delete()?,
            b'E' => return Ok(Trace::Chunk(None)),
            b'I' => {
                let relation = self.relation_oid()?;
                self.tuple_kind(b"N", "tuple kind of an Insert")?;
                self.tuple(relation, false)?;
            }
            b'M' => self.logical()?,
            b'O' => {
                self.lsn("origin commit lsn")?;
                self.text("origin name", ORIGIN_BYTES_MAX)?;
            }
            b'R' => return self.relation(),
            b'S' => {
                let xid = self.number("xid")?;
                let first = self.reader.u8("first segment")?;
                let word = if first == 1 { "yes" } else { "no" };
                self.field("first segment", Meaning::Word(word));
                return Ok(Trace::Chunk(Some(xid)));
            }
            b'T' => self.truncate()?,
            b'U' => self.update()?,
            b'Y' => {
                let oid = self.reader.u32("type oid")?;
                self.field("type oid", Meaning::Number(oid.into()));
                let namespace = self.text("namespace", NAME_BYTES_MAX)?;
                let name = self.text("type name", NAME_BYTES_MAX)?;
                let announced = Announced::of_type(namespace, name);
                return Ok(Trace::Announced(Oid::Type(oid), announced));
            }
            b'c' => {
                self.number("xid")?;
                self.commit()?;
            }
            b'A' => {
                self.number("xid")?;
                self.number("subtransaction xid")?;
                // With `streaming = parallel` it says when and where, too.
                if self.reader.remaining() > 0 {
                    self.lsn("abort lsn")?;
                    self.time("abort timestamp")?;
                }
            }
            _ => self.prepared(kind)?,
        }
        Ok(Trace::None)
    }

    #[inline(never)]
    fn commit(&mut self) -> Result<(), Malformed> {
        self.flags("flags", &[])?;
        self.lsn("commit lsn")?;
        self.lsn("end lsn")?;
        self.time("commit timestamp")
    }

    /// The messages of two-phase commits.
    fn prepared(&mut self, kind: u8) -> Result<(), Malformed> {
        match kind {
            b'K' => self.commit()?,
            b'r' => {
                self.flags("flags", &[])?;
                self.lsn("prepare end lsn")?;
                self.lsn("rollback end lsn")?;
                self.time("prepare timestamp")?;
                self.time("rollback timestamp")?;
            }
            _ => {
                if kind != b'b' {
                    self.flags("flags", &[])?;
                }
                self.lsn("prepare lsn")?;
                self.lsn("end lsn")?;
                self.time("prepare timestamp")?;
            }
        }
        self.number("xid")?;
        self.text("gid", GID_BYTES_MAX)?;
        Ok(())
    }

    fn logical(&mut self) -> Result<(), Malformed> {
        self.flags("flags", &[(1, "transactional")])?;
        self.lsn("lsn")?;
        self.text("prefix", MESSAGE_BYTES_MAX)?;
        let length = self.number("length")?;
        let content = self.reader.bytes(size(length), "content")?;
        self.field("content", Meaning::Content(content));
        Ok(())
    }

    fn relation(&mut self) -> Result<Trace, Malformed> {
        let oid = self.reader.u32("relation oid")?;
        self.field("relation oid", Meaning::Relation(oid));
        let namespace = self.text("namespace", NAME_BYTES_MAX)?;
        let name = self.text("relation name", NAME_BYTES_MAX)?;
        let identity = self.reader.u8("replica identity")?;
        let identity = match identity {
            b'd' => "default",
            b'f' => "full",
            b'i' => "index",
            b'n' => "nothing",
            _ => "unknown",
        };
        self.field("replica identity", Meaning::Word(identity));
        let count = self.column_count()?;
        let mut columns = Vec::with_capacity(usize::from(count));
        for _ in 0..count {
            self.flags("column flags", &[(1, "key")])?;
            let name = self.text("column name", NAME_BYTES_MAX)?;
            let type_oid = self.reader.u32("type oid")?;
            self.field("type oid", Meaning::Type(type_oid));
            let typmod = self.reader.i32("type modifier")?;
            self.field("type modifier", Meaning::Number(typmod.into()));
            columns.push(Column {
                name: name.into(),
                form: self.memory.form(type_oid),
            });
        }
        let announced = Announced::relation(namespace, name, columns);
        Ok(Trace::Announced(Oid::Relation(oid), announced))
    }

    fn truncate(&mut self) -> Result<(), Malformed> {
        let count = self.number("number of relations")?;
        self.flags("options", &[(1, "cascade"), (2, "restart identity")])?;
        let mut left = size(count);
        for _ in 0..left.min(INSPECTED_RELATIONS_MAX) {
            self.relation_oid()?;
            left = left.saturating_sub(1);
        }
        if left > 0 {
            self.reader.bytes(left.saturating_mul(4), "relation oid")?;
            self.field("relation oids", Meaning::Number(count.into()));
        }
        Ok(())
    }

    fn update(&mut self) -> Result<(), Malformed> {
        let relation = self.relation_oid()?;
        let kind = self.tuple_kind(b"KON", "tuple kind of an Update")?;
        if kind != b'N' {
            self.tuple(relation, true)?;
            self.tuple_kind(b"N", "tuple kind of an Update")?;
        }
        self.tuple(relation, false)
    }

    fn delete(&mut self) -> Result<(), Malformed> {
        let relation = self.relation_oid()?;
        self.tuple_kind(b"KO", "tuple kind of a Delete")?;
        self.tuple(relation, true)
    }

    fn tuple_kind(&mut self, allowed: &[u8], what: &'static str) -> Result<u8, Malformed> {
        let kind = self.reader.u8("tuple kind")?;
        if !allowed.contains(&kind) {
            return Err(self.wrong(DecodeErrorKind::Unsupported, what, 1));
        }
        let word = match kind {
            b'K' => "key",
            b'O' => "old",
            _ => "new",
        };
        self.field("tuple kind", Meaning::Word(word));
        Ok(kind)
    }

    fn tuple(&mut self, relation: u32, old: bool) -> Result<(), Malformed> {
        let count = self.column_count()?;
        let columns = self.memory.columns(relation);
        for index in 0..count {
            let column = columns.get(usize::from(index));
            let name = ColumnName {
                name: column.map(|column| column.name.as_str()),
                number: index + 1,
            };
            let form = column.map_or(Form::UNKNOWN, |column| column.form);
            self.column(name, form, old).map_err(|mut malformed| {
                malformed.detail = format!("{} of column {name}", malformed.detail);
                malformed
            })?;
        }
        Ok(())
    }

    fn column(&mut self, name: ColumnName<'_>, form: Form, old: bool) -> Result<(), Malformed> {
        let kind = self.reader.u8("kind")?;
        let word = match kind {
            b't' => "text",
            b'b' => "binary",
            b'n' => "null",
            b'u' => "unchanged",
            _ => return Err(self.wrong(DecodeErrorKind::Unsupported, "kind", 1)),
        };
        self.field_of(Some(name), "kind", Meaning::Word(word));
        if let b't' | b'b' = kind {
            let length = self.reader.u32("length")?;
            self.field_of(Some(name), "length", Meaning::Number(length.into()));
            let value = Value {
                bytes: self.reader.bytes(size(length), "value")?,
                binary: kind == b'b',
                old,
                column: name.number,
                form,
            };
            self.field_of(Some(name), "value", Meaning::Value(value));
        }
        Ok(())
    }

    fn column_count(&mut self) -> Result<u16, Malformed> {
        let count = self.reader.u16("number of columns")?;
        if count > COLUMNS_MAX {
            return Err(self.wrong(DecodeErrorKind::Limit, "number of columns", 2));
        }
        self.field("number of columns", Meaning::Number(count.into()));
        Ok(count)
    }

    #[inline(never)]
    fn relation_oid(&mut self) -> Result<u32, Malformed> {
        let oid = self.reader.u32("relation oid")?;
        self.field("relation oid", Meaning::Relation(oid));
        Ok(oid)
    }

    fn tag(&mut self, tag: u8, name: &'static str, word: &'static str) -> Result<(), Malformed> {
        if self.reader.u8(name)? != tag {
            return Err(self.wrong(DecodeErrorKind::Frame, name, 1));
        }
        self.field(name, Meaning::Word(word));
        Ok(())
    }

    // A name each, and never in a hurry: one copy of each of these.

    #[inline(never)]
    fn lsn(&mut self, name: &'static str) -> Result<(), Malformed> {
        let lsn = self.reader.u64(name)?;
        self.field(name, Meaning::Lsn(lsn));
        Ok(())
    }

    #[inline(never)]
    fn time(&mut self, name: &'static str) -> Result<(), Malformed> {
        let us = self.reader.i64(name)?;
        self.field(name, Meaning::Time(us));
        Ok(())
    }

    #[inline(never)]
    fn number(&mut self, name: &'static str) -> Result<u32, Malformed> {
        let number = self.reader.u32(name)?;
        self.field(name, Meaning::Number(number.into()));
        Ok(number)
    }

    #[inline(never)]
    fn flags(
        &mut self,
        name: &'static str,
        known: &'static [(u8, &'static str)],
    ) -> Result<(), Malformed> {
        let flags = self.reader.u8(name)?;
        self.field(name, Meaning::Flags(flags, known));
        Ok(())
    }

    #[inline(never)]
    fn text(&mut self, name: &'static str, max: usize) -> Result<&'a str, Malformed> {
        let text = self.reader.cstr(name, max)?;
        self.field(name, Meaning::Text(text.as_bytes()));
        Ok(text)
    }

    fn field(&mut self, name: &'static str, meaning: Meaning<'a>) {
        self.field_of(None, name, meaning);
    }

    /// Everything read since the last one.
    #[inline(never)]
    fn field_of(
        &mut self,
        column: Option<ColumnName<'_>>,
        name: &'static str,
        meaning: Meaning<'a>,
    ) {
        let offset = self.end;
        self.end = self.reader.offset();
        self.visitor.field(&Field {
            name,
            column,
            offset,
            bytes: self.end.saturating_sub(offset),
            meaning,
        });
    }

    /// The bytes read last, so many of them, are wrong.
    #[cold]
    fn wrong(&self, kind: DecodeErrorKind, what: &str, bytes: usize) -> Malformed {
        let mut malformed = self.reader.malformed(kind, what);
        malformed.offset = malformed.offset.saturating_sub(bytes);
        malformed
    }
}

impl fmt::Display for ColumnName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name {
            Some(name) => f.write_str(name),
            None => write!(f, "column {}", self.number),
        }
    }
}

/// The message's name by its first byte.
pub(super) fn message_name(kind: u8) -> Option<&'static str> {
    Some(match kind {
        b'B' => "Begin",
        b'M' => "Message",
        b'C' => "Commit",
        b'O' => "Origin",
        b'R' => "Relation",
        b'Y' => "Type",
        b'I' => "Insert",
        b'U' => "Update",
        b'D' => "Delete",
        b'T' => "Truncate",
        b'S' => "Stream Start",
        b'E' => "Stream Stop",
        b'c' => "Stream Commit",
        b'A' => "Stream Abort",
        b'b' => "Begin Prepare",
        b'P' => "Prepare",
        b'K' => "Commit Prepared",
        b'r' => "Rollback Prepared",
        b'p' => "Stream Prepare",
        _ => return None,
    })
}

fn size(length: u32) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}
