//! Transactions that arrive before they are decided: streamed ones (protocol 2 and up) and prepared
//! ones (protocol 3 and up).
//!
//! # Theory of operation
//! Their frames are not decoded when they come, and not kept here: the decoder says which frames
//! the caller is to stash, and under which transaction and subtransaction; which of them to
//! discard; and, at the commit, that they are to be replayed. It then stops before the frame that
//! commits. The caller passes what it stashed, in the order it came, and that frame again, which
//! ends the replay. In between the frames are decoded as if they had come in one piece: the order
//! and content of events are those of protocol 1.
//!
//! The frames that open and close a segment are stashed with it, so that a replay tells by itself
//! whether its changes name a subtransaction. Relation, Type and Origin are stashed for the whole
//! transaction: the server sends them once for it, though a subtransaction may be the first to need
//! them, and be rolled back.

use crate::decoder::{Call, Decoder, Halt, out_of_sequence};
use crate::error::DecodeErrorKind;
use crate::frame::Frame;
use crate::limits::GID_BYTES_MAX;
use crate::lsn::Lsn;
use crate::message::{self as protocol_1, Tuples, parse_timestamp};
use crate::reader::{Malformed, Reader};
use crate::record::{write_discard, write_prepared, write_stash};

/// What is open between a frame and the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Streaming {
    #[default]
    Idle,
    /// Between Stream Start and Stream Stop.
    Segment { xid: u32 },
    /// Between Begin Prepare and Prepare.
    Preparing { xid: u32 },
    /// Stashed frames are being passed again.
    Replaying(Replay),
}

/// A transaction that was decided, while its frames are passed again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Replay {
    pub(crate) xid: u32,
    commit_lsn: Lsn,
    commit_ts_us: i64,
    /// Its first frame has come.
    begun: bool,
    /// Its changes name a subtransaction.
    pub(crate) with_subtransactions: bool,
}

/// One of the messages of this module.
enum Message {
    StreamStart {
        xid: u32,
    },
    StreamStop,
    StreamAbort {
        xid: u32,
        subxid: u32,
    },
    BeginPrepare {
        xid: u32,
        prepare_lsn: Lsn,
    },
    Prepare {
        xid: u32,
    },
    StreamPrepare {
        xid: u32,
        prepare_lsn: Lsn,
    },
    /// Stream Commit or Commit Prepared.
    Commit {
        xid: u32,
        commit_lsn: Lsn,
        end_lsn: Lsn,
        commit_ts_us: i64,
    },
    RollbackPrepared {
        xid: u32,
    },
}

impl Decoder {
    /// Deals with a frame that is streaming's business; `false` leaves it to the decoder.
    pub(crate) fn streamed(
        &mut self,
        frame: &Frame<'_>,
        call: &mut Call<'_>,
    ) -> Result<bool, Halt> {
        let message = Message::parse(frame.message)?;
        match (self.streaming, message) {
            (Streaming::Idle, None) => return Ok(false),
            (Streaming::Idle, Some(message)) => self.between(frame, &message, call)?,
            (Streaming::Segment { xid }, None) => {
                let (kind, subxid) = kind_and_subxid(frame.message)?;
                let subxid = if matches!(kind, b'R' | b'Y' | b'O') {
                    xid
                } else {
                    subxid
                };
                stash(xid, subxid, frame, call);
            }
            (Streaming::Segment { xid }, Some(Message::StreamStop)) => {
                stash(xid, xid, frame, call);
                self.streaming = Streaming::Idle;
            }
            (Streaming::Preparing { xid }, None) => {
                kind(frame.message)?;
                // Sent once for all transactions, whatever becomes of this one.
                if frame.message.first() == Some(&b'R')
                    && let protocol_1::Message::Relation(body) =
                        protocol_1::Message::parse(frame.message, false, &mut Tuples::default())?
                {
                    self.relation(&body, call)?;
                }
                stash(xid, xid, frame, call);
            }
            (Streaming::Preparing { xid }, Some(Message::Prepare { xid: prepared })) => {
                if xid != prepared {
                    return Err(out_of_sequence("another transaction is being prepared"));
                }
                stash(xid, xid, frame, call);
                self.streaming = Streaming::Idle;
            }
            (Streaming::Replaying(replay), message) => {
                return self.replayed(frame, replay, message.as_ref(), call);
            }
            (_, Some(_)) => {
                return Err(out_of_sequence(
                    "a streamed or prepared transaction is open",
                ));
            }
        }
        Ok(true)
    }

    /// A message outside of segments.
    fn between(
        &mut self,
        frame: &Frame<'_>,
        message: &Message,
        call: &mut Call<'_>,
    ) -> Result<(), Halt> {
        if self.is_in_transaction() {
            return Err(out_of_sequence("a transaction is open"));
        }
        match *message {
            Message::StreamStart { xid } => {
                stash(xid, xid, frame, call);
                self.streaming = Streaming::Segment { xid };
            }
            // Said at its beginning: what is confirmed from here on must not lie behind it.
            Message::BeginPrepare { xid, prepare_lsn } => {
                write_prepared(xid, prepare_lsn, call.records);
                stash(xid, xid, frame, call);
                self.streaming = Streaming::Preparing { xid };
            }
            Message::StreamAbort { xid, subxid } => write_discard(xid, subxid, call.records),
            Message::RollbackPrepared { xid } => write_discard(xid, xid, call.records),
            // What was streamed stays where it is until it is decided.
            Message::StreamPrepare { xid, prepare_lsn } => {
                write_prepared(xid, prepare_lsn, call.records);
            }
            Message::Commit {
                xid,
                commit_lsn,
                commit_ts_us,
                ..
            } => {
                self.streaming = Streaming::Replaying(Replay {
                    xid,
                    commit_lsn,
                    commit_ts_us,
                    begun: false,
                    with_subtransactions: false,
                });
                return Err(Halt::replay(xid));
            }
            Message::StreamStop | Message::Prepare { .. } => {
                return Err(out_of_sequence("nothing was opened that this could close"));
            }
        }
        Ok(())
    }

    fn replayed(
        &mut self,
        frame: &Frame<'_>,
        mut replay: Replay,
        message: Option<&Message>,
        call: &mut Call<'_>,
    ) -> Result<bool, Halt> {
        let of_it = match message {
            // What begins a transaction cannot fail afterwards: it leaves a trace.
            None => replay.begun && kind(frame.message).is_ok(),
            Some(Message::StreamStop) => true,
            Some(
                Message::StreamStart { xid }
                | Message::BeginPrepare { xid, .. }
                | Message::Prepare { xid },
            ) => *xid == replay.xid,
            Some(Message::Commit {
                xid, commit_lsn, ..
            }) => (*xid, *commit_lsn) == (replay.xid, replay.commit_lsn),
            Some(_) => false,
        };
        if !of_it {
            return Err(out_of_sequence("another transaction is being replayed"));
        }
        if !replay.begun {
            self.begin(
                replay.commit_lsn,
                replay.commit_ts_us,
                replay.xid,
                frame.lsn,
                call,
            )?;
            replay.begun = true;
            self.streaming = Streaming::Replaying(replay);
        }
        match message {
            None => return Ok(false),
            Some(Message::StreamStart { .. }) => {
                replay.with_subtransactions = true;
                self.streaming = Streaming::Replaying(replay);
            }
            Some(&Message::Commit {
                xid,
                commit_lsn,
                end_lsn,
                ..
            }) => {
                self.commit(commit_lsn, end_lsn, frame.lsn, call)?;
                write_discard(xid, xid, call.records);
                self.streaming = Streaming::Idle;
            }
            Some(_) => {}
        }
        Ok(true)
    }
}

impl Message {
    /// `None`: a message of protocol 1.
    fn parse(bytes: &[u8]) -> Result<Option<Self>, Malformed> {
        let mut reader = Reader::new(bytes);
        let message = match reader.u8("message type")? {
            b'S' => {
                let xid = reader.u32("xid")?;
                reader.u8("first segment")?;
                Self::StreamStart { xid }
            }
            b'E' => Self::StreamStop,
            b'c' => {
                let xid = reader.u32("xid")?;
                parse_commit(&mut reader, xid)?
            }
            b'A' => {
                let message = Self::StreamAbort {
                    xid: reader.u32("xid")?,
                    subxid: reader.u32("subtransaction's xid")?,
                };
                // With `streaming = parallel` it says when and where, too.
                if reader.remaining() > 0 {
                    reader.u64("abort LSN")?;
                    parse_timestamp(&mut reader)?;
                }
                message
            }
            b'b' => {
                let prepare_lsn = Lsn(reader.u64("prepare LSN")?);
                reader.u64("end LSN")?;
                parse_timestamp(&mut reader)?;
                Self::BeginPrepare {
                    xid: parse_xid_and_gid(&mut reader)?,
                    prepare_lsn,
                }
            }
            kind @ (b'P' | b'p') => {
                reader.u8("flags")?;
                let prepare_lsn = Lsn(reader.u64("prepare LSN")?);
                reader.u64("end LSN")?;
                parse_timestamp(&mut reader)?;
                let xid = parse_xid_and_gid(&mut reader)?;
                if kind == b'P' {
                    Self::Prepare { xid }
                } else {
                    Self::StreamPrepare { xid, prepare_lsn }
                }
            }
            b'K' => {
                let message = parse_commit(&mut reader, 0)?;
                let xid = parse_xid_and_gid(&mut reader)?;
                match message {
                    Self::Commit {
                        commit_lsn,
                        end_lsn,
                        commit_ts_us,
                        ..
                    } => Self::Commit {
                        xid,
                        commit_lsn,
                        end_lsn,
                        commit_ts_us,
                    },
                    other => other,
                }
            }
            b'r' => {
                reader.u8("flags")?;
                reader.u64("prepare's end LSN")?;
                reader.u64("rollback's end LSN")?;
                parse_timestamp(&mut reader)?;
                parse_timestamp(&mut reader)?;
                Self::RollbackPrepared {
                    xid: parse_xid_and_gid(&mut reader)?,
                }
            }
            _ => return Ok(None),
        };
        reader.finish()?;
        Ok(Some(message))
    }
}

fn parse_commit(reader: &mut Reader<'_>, xid: u32) -> Result<Message, Malformed> {
    reader.u8("flags")?;
    Ok(Message::Commit {
        xid,
        commit_lsn: Lsn(reader.u64("commit LSN")?),
        end_lsn: Lsn(reader.u64("end LSN")?),
        commit_ts_us: parse_timestamp(reader)?,
    })
}

fn parse_xid_and_gid(reader: &mut Reader<'_>) -> Result<u32, Malformed> {
    let xid = reader.u32("xid")?;
    reader.cstr("global transaction identifier", GID_BYTES_MAX)?;
    Ok(xid)
}

/// The first byte of a change inside of a segment, and the subtransaction it belongs to.
fn kind_and_subxid(message: &[u8]) -> Result<(u8, u32), Malformed> {
    let kind = kind(message)?;
    let mut reader = Reader::new(message);
    reader.u8("message type")?;
    Ok((kind, reader.u32("xid")?))
}

/// The first byte of a message of protocol 1 that has its place within a transaction.
fn kind(message: &[u8]) -> Result<u8, Malformed> {
    match message.first() {
        Some(&kind @ (b'I' | b'U' | b'D' | b'T' | b'M' | b'R' | b'Y' | b'O')) => Ok(kind),
        _ => Err(Malformed {
            kind: DecodeErrorKind::Sequence,
            offset: 0,
            detail: "not a message of a streamed or prepared transaction".into(),
        }),
    }
}

fn stash(xid: u32, subxid: u32, frame: &Frame<'_>, call: &mut Call<'_>) {
    let frames = frame.at..frame.at + frame.bytes;
    call.stash = Some(write_stash(call.stash, (xid, subxid), frames, call.records));
}
