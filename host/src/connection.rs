//! The replication connection up to the stream: the only file that opens a socket. Knows the
//! frontend/backend protocol; what streams is `replication.rs`.

use std::io;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use fallible_iterator::FallibleIterator;
use postgres_protocol::authentication::{md5_hash, sasl};
use postgres_protocol::message::backend::{DataRowBody, ErrorResponseBody, Message};
use postgres_protocol::message::frontend;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use crate::config::Config;
use crate::error::{CONNECTING, Error, Login, hint_for, quote_identifier, quote_literal};
use crate::lsn::Lsn;
use crate::replication::{Receiver, Sender};

pub(crate) type ReadHalf = Box<dyn AsyncRead + Send + Unpin>;
pub(crate) type WriteHalf = Box<dyn AsyncWrite + Send + Unpin>;

/// What the protocol runs over. TLS is one more implementation.
trait Transport: AsyncRead + AsyncWrite + Send + Unpin {
    fn into_halves(self: Box<Self>) -> (ReadHalf, WriteHalf);
}

impl Transport for TcpStream {
    fn into_halves(self: Box<Self>) -> (ReadHalf, WriteHalf) {
        let (read, write) = (*self).into_split();
        (Box::new(read), Box::new(write))
    }
}

impl Transport for UnixStream {
    fn into_halves(self: Box<Self>) -> (ReadHalf, WriteHalf) {
        let (read, write) = (*self).into_split();
        (Box::new(read), Box::new(write))
    }
}

/// A connection in replication mode, before it streams.
pub(crate) struct Connection {
    transport: Box<dyn Transport>,
    buffer: BytesMut,
    address: String,
    login: Login,
    /// 0 where the server does not say.
    server_major: u32,
    /// The process that serves us, as whom we connected to has it.
    process_id: Option<i32>,
    message_max_bytes: usize,
}

/// The answer to `IDENTIFY_SYSTEM`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) system_identifier: String,
    pub(crate) timeline: u32,
    /// Where its WAL ends.
    pub(crate) xlogpos: Lsn,
}

impl Connection {
    /// Connects and logs in.
    pub(crate) async fn open(config: &Config) -> Result<Self, Error> {
        let mut connection = Self {
            transport: connect(config).await?,
            buffer: BytesMut::with_capacity(READ_BYTES),
            address: config.address(),
            login: config.login(),
            server_major: 0,
            process_id: None,
            message_max_bytes: config.message_max_bytes,
        };
        connection.log_in(config).await?;
        Ok(connection)
    }

    /// The process that serves us, as the greeting had it.
    pub(crate) fn process_id(&self) -> Option<i32> {
        self.process_id
    }

    /// Asks who the server is.
    pub(crate) async fn identify_system(&mut self) -> Result<Identity, Error> {
        let row = self
            .row("IDENTIFY_SYSTEM", "identifying the server")
            .await?;
        let mut row = row.into_iter();
        let (Some(system_identifier), Some(timeline), Some(xlogpos)) = (
            row.next().flatten(),
            row.next().flatten().and_then(|text| text.parse().ok()),
            row.next().flatten().and_then(|text| text.parse().ok()),
        ) else {
            return Err(Error::protocol(
                "IDENTIFY_SYSTEM answered without identifier, timeline or end of WAL",
            ));
        };
        Ok(Identity {
            system_identifier,
            timeline,
            xlogpos,
        })
    }

    /// The server's patience with this session; `None` where it has no end.
    pub(crate) async fn wal_sender_timeout(&mut self) -> Result<Option<Duration>, Error> {
        // pg_settings has it in milliseconds, SHOW in whatever unit reads best.
        let sql = "SELECT setting FROM pg_catalog.pg_settings WHERE name = 'wal_sender_timeout'";
        let row = self.row(sql, "reading wal_sender_timeout").await?;
        let milliseconds = row
            .into_iter()
            .next()
            .flatten()
            .and_then(|text| text.parse().ok());
        Ok(milliseconds
            .filter(|&milliseconds| milliseconds > 0)
            .map(Duration::from_millis))
    }

    /// Starts streaming at `start`, or where the slot stands if that is later.
    pub(crate) async fn start_replication(
        mut self,
        config: &Config,
        start: Lsn,
    ) -> Result<(Receiver, Sender), Error> {
        let slot = config.slot.as_str();
        let options = config.wishes.options(self.server_major)?;
        let command = start_replication(slot, &config.publications, start, &options);
        let doing = "starting replication";
        self.send_query(&command, doing).await?;
        loop {
            match self.read_message(doing).await? {
                Reply::CopyBoth => break,
                Reply::Message(Message::ErrorResponse(body)) => {
                    let error = server_error(&body, doing, &self.login);
                    return Err(match error {
                        // undefined_object: publications are looked up later, by the plugin
                        Error::Server { sqlstate, .. } if sqlstate == "42704" => {
                            Error::SlotNotFound {
                                slot: slot.to_owned(),
                            }
                        }
                        error => error,
                    });
                }
                Reply::Message(_) => {}
            }
        }
        let (read, write) = self.transport.into_halves();
        let sender = Sender::new(write, self.address.clone());
        let receiver = Receiver::new(
            read,
            self.buffer,
            self.message_max_bytes,
            self.address,
            self.login,
        );
        Ok((receiver, sender))
    }

    async fn log_in(&mut self, config: &Config) -> Result<(), Error> {
        let doing = "logging in";
        let mut out = BytesMut::new();
        let parameters = [
            ("user", config.user.as_str()),
            ("database", config.database.as_str()),
            ("replication", "database"),
            ("application_name", config.application_name.as_str()),
            // A warning while streaming is how we hear of a publication that was dropped.
            ("client_min_messages", "warning"),
            // A role's or database's own are for other sessions.
            ("lock_timeout", "0"),
            ("statement_timeout", "0"),
        ];
        let parameters = parameters.into_iter().chain(PINNED);
        frontend::startup_message(parameters, &mut out).map_err(|io| self.io(doing, io))?;
        self.write(&out, doing).await?;
        self.authenticate(config).await?;
        loop {
            match self.read_message(doing).await? {
                Reply::Message(Message::ReadyForQuery(_)) => return Ok(()),
                Reply::Message(Message::ErrorResponse(body)) => {
                    return Err(server_error(&body, doing, &self.login));
                }
                Reply::Message(Message::BackendKeyData(body)) => {
                    self.process_id = Some(body.process_id());
                }
                Reply::Message(Message::ParameterStatus(body))
                    if body.name().is_ok_and(|name| name == "server_version") =>
                {
                    self.server_major = body.value().map_or(0, major);
                }
                _ => {}
            }
        }
    }

    async fn authenticate(&mut self, config: &Config) -> Result<(), Error> {
        let doing = "logging in";
        let password = config
            .password
            .as_ref()
            .map(|password| password.0.as_bytes());
        let password = || password.ok_or_else(|| no_password(config.address()));
        loop {
            let Reply::Message(message) = self.read_message(doing).await? else {
                return Err(Error::protocol("streaming began before the login ended"));
            };
            match message {
                Message::AuthenticationOk => return Ok(()),
                Message::AuthenticationCleartextPassword => self.answer(password()?).await?,
                Message::AuthenticationMd5Password(body) => {
                    let hash = md5_hash(config.user.as_bytes(), password()?, body.salt());
                    self.answer(hash.as_bytes()).await?;
                }
                Message::AuthenticationSasl(body) => {
                    let mut mechanisms = body.mechanisms();
                    let mut offered = Vec::new();
                    while let Some(mechanism) =
                        mechanisms.next().map_err(|io| self.io(doing, io))?
                    {
                        offered.push(mechanism.to_owned());
                    }
                    if !offered
                        .iter()
                        .any(|mechanism| mechanism == sasl::SCRAM_SHA_256)
                    {
                        return Err(Error::protocol(format!(
                            "the server offers {}, not SCRAM-SHA-256",
                            offered.join(", ")
                        )));
                    }
                    self.scram(password()?).await?;
                }
                Message::ErrorResponse(body) => {
                    return Err(server_error(&body, doing, &self.login));
                }
                Message::NoticeResponse(_) => {}
                _ => {
                    return Err(Error::protocol(
                        "the server asks for an authentication method other than password, md5 \
                         and SCRAM-SHA-256",
                    ));
                }
            }
        }
    }

    async fn scram(&mut self, password: &[u8]) -> Result<(), Error> {
        let doing = "logging in";
        let mut scram = sasl::ScramSha256::new(password, sasl::ChannelBinding::unsupported());
        let mut out = BytesMut::new();
        frontend::sasl_initial_response(sasl::SCRAM_SHA_256, scram.message(), &mut out)
            .map_err(|io| self.io(doing, io))?;
        self.write(&out, doing).await?;
        loop {
            match self.read_message(doing).await? {
                Reply::Message(Message::AuthenticationSaslContinue(body)) => {
                    scram.update(body.data()).map_err(|io| self.io(doing, io))?;
                    out.clear();
                    frontend::sasl_response(scram.message(), &mut out)
                        .map_err(|io| self.io(doing, io))?;
                    self.write(&out, doing).await?;
                }
                Reply::Message(Message::AuthenticationSaslFinal(body)) => {
                    return scram.finish(body.data()).map_err(|io| self.io(doing, io));
                }
                Reply::Message(Message::ErrorResponse(body)) => {
                    return Err(server_error(&body, doing, &self.login));
                }
                Reply::Message(Message::NoticeResponse(_)) => {}
                _ => return Err(Error::protocol("the server broke off the SCRAM exchange")),
            }
        }
    }

    async fn answer(&mut self, password: &[u8]) -> Result<(), Error> {
        let mut out = BytesMut::new();
        frontend::password_message(password, &mut out).map_err(|io| self.io("logging in", io))?;
        self.write(&out, "logging in").await
    }

    /// Runs a simple query and returns the columns of its only row.
    pub(crate) async fn row(
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

    async fn send_query(&mut self, sql: &str, doing: &'static str) -> Result<(), Error> {
        let mut out = BytesMut::new();
        frontend::query(sql, &mut out).map_err(|io| self.io(doing, io))?;
        self.write(&out, doing).await
    }

    async fn write(&mut self, bytes: &[u8], doing: &'static str) -> Result<(), Error> {
        self.transport
            .write_all(bytes)
            .await
            .map_err(|io| self.io(doing, io))
    }

    async fn read_message(&mut self, doing: &'static str) -> Result<Reply, Error> {
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

    fn io(&self, doing: &'static str, io: io::Error) -> Error {
        Error::Connection {
            address: self.address.clone(),
            doing,
            io,
        }
    }
}

enum Reply {
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

async fn connect(config: &Config) -> Result<Box<dyn Transport>, Error> {
    let connected = if config.host.starts_with('/') {
        connect_unix(config).await
    } else {
        connect_tcp(config).await
    };
    connected.map_err(|io| Error::Connection {
        address: config.address(),
        doing: CONNECTING,
        io,
    })
}

async fn connect_tcp(config: &Config) -> io::Result<Box<dyn Transport>> {
    let socket = TcpStream::connect((config.host.as_str(), config.port)).await?;
    // A status must not wait for the acknowledgement of the one before.
    socket.set_nodelay(true)?;
    Ok(Box::new(socket))
}

async fn connect_unix(config: &Config) -> io::Result<Box<dyn Transport>> {
    Ok(Box::new(UnixStream::connect(config.address()).await?))
}

fn start_replication(
    slot: &str,
    publications: &[String],
    start: Lsn,
    options: &[(&str, &str)],
) -> String {
    let names: Vec<_> = publications
        .iter()
        .map(|name| quote_identifier(name))
        .collect();
    let mut command = format!(
        "START_REPLICATION SLOT {} LOGICAL {start} (publication_names {}",
        quote_identifier(slot),
        quote_literal(&names.join(","))
    );
    for (name, value) in options {
        command.push_str(", ");
        command.push_str(name);
        command.push(' ');
        command.push_str(&quote_literal(value));
    }
    command.push(')');
    command
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

/// "18.6 (Debian …)" and "19beta1" begin with the major version.
fn major(version: &str) -> u32 {
    let digits = version
        .split(|c: char| !c.is_ascii_digit())
        .next()
        .unwrap_or_default();
    digits.parse().unwrap_or(0)
}

/// The server wants a password and there is none: asking again would not change that.
pub(crate) fn no_password(address: String) -> Error {
    let text = "the server asks for a password and none was given";
    Error::Connection {
        address,
        doing: "logging in",
        io: io::Error::new(io::ErrorKind::PermissionDenied, text),
    }
}

pub(crate) fn closed() -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        "the server closed the connection",
    )
}

/// Settings that change the text of values: a database's own must not change an event.
pub(crate) const PINNED: [(&str, &str); 6] = [
    ("bytea_output", "hex"),
    ("client_encoding", "UTF8"),
    ("datestyle", "ISO"),
    ("extra_float_digits", "3"),
    ("intervalstyle", "postgres"),
    ("timezone", "UTC"),
];

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_the_replication_grammar() {
        let names = ["shop".to_owned(), "My\"Pub".to_owned(), "a,b'c".to_owned()];
        assert_eq!(
            start_replication("s", &names, Lsn(0x16_B374_D848), &[("binary", "true")]),
            "START_REPLICATION SLOT \"s\" LOGICAL 16/B374D848 (publication_names \
             '\"shop\",\"My\"\"Pub\",\"a,b''c\"', binary 'true')"
        );
    }

    #[test]
    fn major_versions_are_what_the_text_begins_with() {
        for (text, expected) in [
            ("18.6", 18),
            ("19beta1", 19),
            ("12.22 (Debian)", 12),
            ("x", 0),
        ] {
            assert_eq!(major(text), expected);
        }
    }
}
