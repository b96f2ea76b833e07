//! Messages of the frontend/backend protocol over whatever carries them, before the stream.

use std::io;

use bytes::{Buf, BytesMut};
use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::{DataRowBody, ErrorResponseBody, Message};
use postgres_protocol::message::frontend;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::transport::Transport;
use crate::error::{Error, Login, hint_for};

/// A connection to a server, of which nothing is known but where it leads.
pub(super) struct Wire {
    pub(super) transport: Box<dyn Transport>,
    pub(super) buffer: BytesMut,
    /// For messages.
    pub(super) address: String,
    pub(super) login: Login,
}

impl Wire {
    pub(super) fn new(transport: Box<dyn Transport>, address: String, login: Login) -> Self {
        Self {
            transport,
            buffer: BytesMut::with_capacity(READ_BYTES),
            address,
            login,
        }
    }

    /// Runs a simple query and returns the columns of its only row.
    pub(super) async fn row(
        &mut self,
        sql: &str,
        doing: &'static str,
    ) -> Result<Vec<Option<String>>, Error> {
        self.send_query(sql, doing).await?;
        let mut row = Vec::new();
        let mut error = None;
        loop {
            match self.read_message(doing).await? {
                Reply::Message(Message::DataRow(body)) => {
                    row = columns(&body).map_err(|io| self.io(doing, io))?;
                }
                Reply::Message(Message::ErrorResponse(body)) => {
                    let failed = server_error(&body, doing, &self.login);
                    // After a FATAL one there is no ReadyForQuery to wait for.
                    if failed.is_transient() {
                        return Err(failed);
                    }
                    error = Some(failed);
                }
                Reply::Message(Message::ReadyForQuery(_)) => {
                    return error.map_or(Ok(row), Err);
                }
                Reply::Message(_) => {}
                Reply::CopyBoth => return Err(Error::protocol("a query began to stream")),
            }
        }
    }

    pub(super) async fn send_query(&mut self, sql: &str, doing: &'static str) -> Result<(), Error> {
        let mut out = BytesMut::new();
        frontend::query(sql, &mut out).map_err(|io| self.io(doing, io))?;
        self.write(&out, doing).await
    }

    pub(super) async fn write(&mut self, bytes: &[u8], doing: &'static str) -> Result<(), Error> {
        self.transport
            .write_all(bytes)
            .await
            .map_err(|io| self.io(doing, io))
    }

    pub(super) async fn read_message(&mut self, doing: &'static str) -> Result<Reply, Error> {
        loop {
            let needed = match whole_message(&self.buffer, BEFORE_STREAM)? {
                Whole::Yes {
                    tag: COPY_BOTH_RESPONSE_TAG,
                    bytes,
                } => {
                    self.buffer.advance(bytes);
                    return Ok(Reply::CopyBoth);
                }
                Whole::Yes { .. } => {
                    let message = Message::parse(&mut self.buffer);
                    match message.map_err(|error| Error::protocol(error.to_string()))? {
                        Some(message) => return Ok(Reply::Message(message)),
                        None => self.buffer.len() + 1,
                    }
                }
                Whole::No { needed } => needed,
            };
            self.buffer
                .reserve(needed.saturating_sub(self.buffer.len()));
            let read = self.transport.read_buf(&mut self.buffer).await;
            let read = read.and_then(|bytes| match bytes {
                0 => Err(closed()),
                bytes => Ok(bytes),
            });
            read.map_err(|io| self.io(doing, io))?;
        }
    }

    pub(super) fn io(&self, doing: &'static str, io: io::Error) -> Error {
        Error::Connection {
            address: self.address.clone(),
            doing,
            io,
        }
    }
}

pub(super) enum Reply {
    CopyBoth,
    Message(Message),
}

/// Whether a message is whole: its tag and length, or how many bytes are needed to know more.
pub(crate) enum Whole {
    No { needed: usize },
    Yes { tag: u8, bytes: usize },
}

/// The largest message taken, and what an error calls this bound.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    pub(crate) bytes_max: usize,
    pub(crate) name: &'static str,
}

/// Whether `buffer` begins with a whole message.
pub(crate) fn whole_message(buffer: &[u8], bound: Bound) -> Result<Whole, Error> {
    let Some((tag, rest)) = buffer.split_first() else {
        return Ok(Whole::No {
            needed: HEADER_BYTES,
        });
    };
    let Some((length, _)) = rest.split_first_chunk::<4>() else {
        return Ok(Whole::No {
            needed: HEADER_BYTES,
        });
    };
    let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    if length < 4 {
        return Err(Error::protocol(format!(
            "message length {length}, at least 4 is needed"
        )));
    }
    if length > bound.bytes_max {
        let Bound { bytes_max, name } = bound;
        return Err(Error::protocol(format!(
            "a message of {length} bytes exceeds {name}, which is {bytes_max}"
        )));
    }
    let bytes = length + 1;
    if buffer.len() < bytes {
        return Ok(Whole::No { needed: bytes });
    }
    Ok(Whole::Yes { tag: *tag, bytes })
}

pub(crate) fn server_error(body: &ErrorResponseBody, doing: &'static str, login: &Login) -> Error {
    let (mut sqlstate, mut message, mut detail, mut hint) = (None, None, None, None);
    let mut fields = body.fields();
    while let Ok(Some(field)) = fields.next() {
        let text = String::from_utf8_lossy(field.value_bytes()).into_owned();
        match field.type_() {
            b'C' => sqlstate = Some(text),
            b'M' => message = Some(text),
            b'D' => detail = Some(text),
            b'H' => hint = Some(text),
            _ => {}
        }
    }
    let sqlstate = sqlstate.unwrap_or_else(|| "XX000".to_owned());
    Error::Server {
        hint: hint.or_else(|| hint_for(&sqlstate, login, doing)),
        message: message.unwrap_or_default(),
        sqlstate,
        detail,
        doing,
    }
}

fn columns(body: &DataRowBody) -> io::Result<Vec<Option<String>>> {
    let bytes = body.buffer();
    let mut ranges = body.ranges();
    let mut columns = Vec::new();
    while let Some(range) = ranges.next()? {
        let text = range.map(|range| bytes.get(range).unwrap_or_default());
        columns.push(text.map(|text| String::from_utf8_lossy(text).into_owned()));
    }
    Ok(columns)
}

pub(crate) fn closed() -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        "the server closed the connection",
    )
}

const COPY_BOTH_RESPONSE_TAG: u8 = b'W';

/// Tag and length.
pub(crate) const HEADER_BYTES: usize = 5;

/// Read at once, if the socket has so much.
pub(crate) const READ_BYTES: usize = 128 * 1024;

/// No message before the stream is anywhere near it.
const BEFORE_STREAM: Bound = Bound {
    bytes_max: 1024 * 1024,
    name: "what any may have before the stream",
};
