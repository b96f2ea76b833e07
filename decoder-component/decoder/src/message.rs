//! pgoutput's messages, in the order of PostgreSQL's page "Logical Replication Message Formats".
//! Parsing only: what they mean together is the decoder's business.

use alloc::vec::Vec;

use crate::error::DecodeErrorKind;
use crate::limits::{COLUMNS_MAX, MESSAGE_BYTES_MAX, NAME_BYTES_MAX, ORIGIN_BYTES_MAX};
use crate::lsn::Lsn;
use crate::reader::{Malformed, Reader};

/// Unix time of PostgreSQL's epoch, 2000-01-01, in µs.
pub(crate) const POSTGRES_EPOCH_US: i64 = 946_684_800_000_000;

/// One message of protocol version 1; those of later ones are in `streaming.rs`. Tuples are in the
/// [`Tuples`] given to [`Message::parse`].
#[derive(Debug)]
pub(crate) enum Message<'a> {
    Begin {
        final_lsn: Lsn,
        commit_ts_us: i64,
        xid: u32,
    },
    Logical(Logical<'a>),
    Commit {
        commit_lsn: Lsn,
        end_lsn: Lsn,
    },
    Origin {
        commit_lsn: Lsn,
        name: &'a str,
    },
    Relation(RelationBody<'a>),
    Type,
    /// Insert, Update or Delete.
    Row {
        relation: u32,
        change: Change,
    },
    Truncate {
        relations: Vec<u32>,
    },
}

/// What happened to a row.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    Insert,
    Update(Option<OldTuple>),
    Delete(OldTuple),
}

/// What `pg_logical_emit_message` wrote.
#[derive(Debug)]
pub(crate) struct Logical<'a> {
    pub(crate) transactional: bool,
    pub(crate) prefix: &'a str,
    pub(crate) content: &'a [u8],
}

/// What a relation looks like from here on.
#[derive(Debug)]
pub(crate) struct RelationBody<'a> {
    pub(crate) oid: u32,
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    pub(crate) columns: Vec<ColumnBody<'a>>,
}

#[derive(Debug)]
pub(crate) struct ColumnBody<'a> {
    /// Part of the replica identity.
    pub(crate) in_identity: bool,
    pub(crate) name: &'a str,
    pub(crate) type_oid: u32,
    pub(crate) typmod: i32,
}

/// Which columns of the old row the server sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OldTuple {
    /// Those of the replica identity; the others stand there as NULL and are not.
    Key,
    /// All of them: replica identity FULL.
    Full,
}

/// One column of a tuple.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cell<'a> {
    Null,
    /// A TOASTed value that did not change and was not sent.
    Unchanged,
    Text(&'a [u8]),
    /// The value in its type's binary send format.
    Binary(&'a [u8]),
}

/// The tuples of the message parsed last. Kept across messages for their memory.
#[derive(Debug, Default)]
pub(crate) struct Tuples<'a> {
    pub(crate) old: Vec<Cell<'a>>,
    pub(crate) new: Vec<Cell<'a>>,
    /// Some of the new one's values were not sent.
    pub(crate) new_incomplete: bool,
}

impl<'a> Message<'a> {
    /// `with_xid`: the message is of a streamed transaction and names its subtransaction.
    pub(crate) fn parse(
        bytes: &'a [u8],
        with_xid: bool,
        tuples: &mut Tuples<'a>,
    ) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let kind = reader.u8("message type")?;
        if with_xid && kind != b'O' {
            reader.u32("xid")?;
        }
        let message = match kind {
            b'I' => {
                let relation = reader.u32("relation oid")?;
                match reader.u8("tuple kind")? {
                    b'N' => parse_new_tuple(&mut reader, tuples)?,
                    _ => return Err(unsupported(&reader, "tuple kind of an Insert")),
                }
                Self::Row {
                    relation,
                    change: Change::Insert,
                }
            }
            b'U' => parse_update(&mut reader, tuples)?,
            b'D' => {
                let relation = reader.u32("relation oid")?;
                let old = match reader.u8("tuple kind")? {
                    b'K' => OldTuple::Key,
                    b'O' => OldTuple::Full,
                    _ => return Err(unsupported(&reader, "tuple kind of a Delete")),
                };
                parse_tuple(&mut reader, &mut tuples.old)?;
                Self::Row {
                    relation,
                    change: Change::Delete(old),
                }
            }
            b'B' => Self::Begin {
                final_lsn: Lsn(reader.u64("final LSN")?),
                commit_ts_us: parse_timestamp(&mut reader)?,
                xid: reader.u32("xid")?,
            },
            b'C' => {
                reader.u8("flags")?;
                let commit_lsn = Lsn(reader.u64("commit LSN")?);
                let end_lsn = Lsn(reader.u64("end LSN")?);
                // Begin said the time already.
                parse_timestamp(&mut reader)?;
                Self::Commit {
                    commit_lsn,
                    end_lsn,
                }
            }
            b'M' => Self::Logical(Logical {
                transactional: {
                    let flags = reader.u8("flags")?;
                    // The frame says the same LSN.
                    reader.u64("LSN")?;
                    flags & 1 != 0
                },
                prefix: reader.cstr("prefix", MESSAGE_BYTES_MAX)?,
                content: {
                    let length = reader.u32("content length")?;
                    reader.bytes(usize::try_from(length).unwrap_or(usize::MAX), "content")?
                },
            }),
            b'O' => Self::Origin {
                commit_lsn: Lsn(reader.u64("commit LSN on the origin")?),
                name: reader.cstr("origin name", ORIGIN_BYTES_MAX)?,
            },
            b'R' => Self::Relation(parse_relation(&mut reader)?),
            b'Y' => {
                reader.u32("type oid")?;
                reader.cstr("namespace", NAME_BYTES_MAX)?;
                reader.cstr("type name", NAME_BYTES_MAX)?;
                Self::Type
            }
            b'T' => parse_truncate(&mut reader)?,
            _ => {
                return Err(Malformed {
                    kind: DecodeErrorKind::Unsupported,
                    offset: 0,
                    detail: "message type".into(),
                });
            }
        };
        reader.finish()?;
        Ok(message)
    }
}

fn parse_update<'a>(
    reader: &mut Reader<'a>,
    tuples: &mut Tuples<'a>,
) -> Result<Message<'a>, Malformed> {
    let relation = reader.u32("relation oid")?;
    let mut kind = reader.u8("tuple kind")?;
    let old = match kind {
        b'K' => Some(OldTuple::Key),
        b'O' => Some(OldTuple::Full),
        _ => None,
    };
    if old.is_some() {
        parse_tuple(reader, &mut tuples.old)?;
        kind = reader.u8("tuple kind")?;
    }
    if kind != b'N' {
        return Err(unsupported(reader, "tuple kind of an Update"));
    }
    parse_new_tuple(reader, tuples)?;
    Ok(Message::Row {
        relation,
        change: Change::Update(old),
    })
}

fn parse_relation<'a>(reader: &mut Reader<'a>) -> Result<RelationBody<'a>, Malformed> {
    let oid = reader.u32("relation oid")?;
    let namespace = reader.cstr("namespace", NAME_BYTES_MAX)?;
    let name = reader.cstr("relation name", NAME_BYTES_MAX)?;
    reader.u8("replica identity")?;
    let count = parse_column_count(reader)?;
    let mut columns = Vec::with_capacity(count);
    for _ in 0..count {
        columns.push(ColumnBody {
            in_identity: reader.u8("column flags")? & 1 != 0,
            name: reader.cstr("column name", NAME_BYTES_MAX)?,
            type_oid: reader.u32("column type oid")?,
            typmod: reader.i32("column type modifier")?,
        });
    }
    // pg_namespace is sent as an empty string for relations of pg_catalog.
    let namespace = if namespace.is_empty() {
        "pg_catalog"
    } else {
        namespace
    };
    Ok(RelationBody {
        oid,
        namespace,
        name,
        columns,
    })
}

fn parse_truncate<'a>(reader: &mut Reader<'a>) -> Result<Message<'a>, Malformed> {
    let count = usize::try_from(reader.u32("number of relations")?).unwrap_or(usize::MAX);
    reader.u8("truncate options")?;
    // Never by the peer's count alone: four bytes follow for each.
    let mut relations = Vec::with_capacity(count.min(reader.remaining() / 4));
    for _ in 0..count {
        relations.push(reader.u32("relation oid")?);
    }
    Ok(Message::Truncate { relations })
}

fn parse_new_tuple<'a>(reader: &mut Reader<'a>, tuples: &mut Tuples<'a>) -> Result<(), Malformed> {
    tuples.new_incomplete = parse_tuple(reader, &mut tuples.new)?;
    Ok(())
}

/// Says whether some values were not sent.
fn parse_tuple<'a>(reader: &mut Reader<'a>, cells: &mut Vec<Cell<'a>>) -> Result<bool, Malformed> {
    let count = parse_column_count(reader)?;
    cells.resize(count, Cell::Null);
    let mut rest = reader.rest();
    let mut incomplete = false;
    for cell in cells {
        let Some(parsed) = parse_cell(rest) else {
            reader.go_on(rest);
            return Err(malformed_cell(reader));
        };
        (*cell, rest) = parsed;
        incomplete |= matches!(cell, Cell::Unchanged);
    }
    reader.go_on(rest);
    Ok(incomplete)
}

/// A cell and what follows it; none where [`malformed_cell`] says why.
#[inline]
fn parse_cell(bytes: &[u8]) -> Option<(Cell<'_>, &[u8])> {
    let (kind, rest) = bytes.split_first()?;
    match kind {
        b't' | b'b' => {
            let (length, rest) = rest.split_first_chunk()?;
            let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
            let (value, rest) = rest.split_at_checked(length)?;
            if *kind == b't' {
                Some((Cell::Text(value), rest))
            } else {
                Some((Cell::Binary(value), rest))
            }
        }
        b'n' => Some((Cell::Null, rest)),
        b'u' => Some((Cell::Unchanged, rest)),
        _ => None,
    }
}

/// What is wrong with the cell that comes next.
#[cold]
fn malformed_cell(reader: &mut Reader<'_>) -> Malformed {
    match reader.u8("column kind") {
        Ok(b't' | b'b') => match parse_value(reader) {
            Ok(_) => reader.malformed(DecodeErrorKind::Limit, "column value"),
            Err(malformed) => malformed,
        },
        Ok(_) => unsupported(reader, "column kind"),
        Err(malformed) => malformed,
    }
}

fn parse_value<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    let length = reader.u32("column length")?;
    reader.bytes(
        usize::try_from(length).unwrap_or(usize::MAX),
        "column value",
    )
}

fn parse_column_count(reader: &mut Reader<'_>) -> Result<usize, Malformed> {
    let count = reader.u16("number of columns")?;
    if count > COLUMNS_MAX {
        return Err(reader.malformed(DecodeErrorKind::Limit, "number of columns"));
    }
    Ok(usize::from(count))
}

/// µs since 1970-01-01.
pub(crate) fn parse_timestamp(reader: &mut Reader<'_>) -> Result<i64, Malformed> {
    Ok(reader.i64("commit time")?.saturating_add(POSTGRES_EPOCH_US))
}

/// The byte just read is none the protocol has.
fn unsupported(reader: &Reader<'_>, what: &str) -> Malformed {
    let mut malformed = reader.malformed(DecodeErrorKind::Unsupported, what);
    malformed.offset = malformed.offset.saturating_sub(1);
    malformed
}
