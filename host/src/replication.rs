//! The stream of a replication connection, both ways: CopyData messages with XLogData and
//! keepalives in, Standby Status Updates out. Never looks into a pgoutput message.

use std::io;

use bytes::{Buf, BytesMut};
use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::connection::{
    Bound, HEADER_BYTES, READ_BYTES, ReadHalf, Watch, Whole, WriteHalf, closed, server_error,
    whole_message,
};
use crate::error::{Error, Login};
use crate::feedback::{Keepalive, StandbyStatusUpdate};
use crate::frames::POSTGRES_EPOCH_US;
use crate::lsn::Lsn;
use crate::pace::{self, Pace};
use crate::stream::Clock;

/// What came from the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// So many bytes of whole XLogData messages: see [`Receiver::frames`].
    Frames(usize),
    /// The server's sign of life.
    Keepalive(Keepalive),
    /// A warning. The server has one for a publication that is gone.
    Notice,
}

/// The reading side of a stream.
pub(crate) struct Receiver {
    half: ReadHalf,
    watch: Watch,
    /// The server ended the stream by saying so.
    left: bool,
    pace: Pace,
    clock: Clock,
    buffer: BytesMut,
    /// The highest WAL start of the messages seen.
    received: Lsn,
    address: String,
    login: Login,
    bound: Bound,
}

/// The writing side of a stream.
pub(crate) struct Sender {
    half: WriteHalf,
    buffer: BytesMut,
    address: String,
}

impl Receiver {
    /// `buffer` is what came behind the server's `CopyBothResponse`.
    pub(crate) fn new(
        half: ReadHalf,
        watch: Watch,
        buffer: BytesMut,
        message_max_bytes: usize,
        address: String,
        login: Login,
        clock: Clock,
    ) -> Self {
        Self {
            half,
            watch,
            left: false,
            pace: Pace::default(),
            clock,
            buffer,
            received: Lsn(0),
            address,
            login,
            bound: Bound {
                bytes_max: message_max_bytes,
                name: "message_max_bytes",
            },
        }
    }

    /// Waits for what comes next. Cancelling it loses nothing.
    pub(crate) async fn receive(&mut self) -> Result<Received, Error> {
        loop {
            if let Some(received) = self.next_received()? {
                return Ok(received);
            }
            self.fill().await?;
        }
    }

    /// The bytes [`Received::Frames`] spoke of.
    pub(crate) fn frames(&self, bytes: usize) -> &[u8] {
        self.buffer.get(..bytes).unwrap_or_default()
    }

    /// Done with so many bytes of them.
    pub(crate) fn consume(&mut self, bytes: usize) {
        self.buffer.advance(bytes.min(self.buffer.len()));
        if self.buffer.is_empty() && self.buffer.capacity() > KEPT_BYTES {
            self.buffer = BytesMut::with_capacity(READ_BYTES);
        }
    }

    /// The highest WAL start seen so far.
    pub(crate) fn received(&self) -> Lsn {
        self.received
    }

    /// Reads until the server closes the connection and forgets what comes. Whether the server took
    /// leave, as far as can be told: then it has read everything.
    pub(crate) async fn drain(&mut self) -> bool {
        let left = loop {
            match self.receive().await {
                Ok(Received::Frames(bytes)) => self.consume(bytes),
                Ok(Received::Keepalive(_) | Received::Notice) => {}
                Err(error) => break self.left || !error.is_transient(),
            }
        };
        self.watch.set(true);
        loop {
            self.buffer.clear();
            self.buffer.reserve(READ_BYTES);
            if self
                .half
                .read_buf(&mut self.buffer)
                .await
                .is_ok_and(|bytes| bytes > 0)
            {
                continue;
            }
            return left;
        }
    }

    /// What the buffer holds: a run of whole XLogData messages, or one other message.
    fn next_received(&mut self) -> Result<Option<Received>, Error> {
        let mut run = 0;
        loop {
            let rest = self.buffer.get(run..).unwrap_or_default();
            let Whole::Yes { tag, bytes } = whole_message(rest, self.bound)? else {
                break;
            };
            let Some(lsn) = xlog_data_start(rest) else {
                if run > 0 {
                    break;
                }
                let message = self.buffer.split_to(bytes);
                match self.other(tag, &message)? {
                    Some(received) => return Ok(Some(received)),
                    None => continue,
                }
            };
            if run > 0 && run + bytes > FRAMES_MAX {
                break;
            }
            run += bytes;
            self.received = self.received.max(lsn);
        }
        Ok((run > 0).then_some(Received::Frames(run)))
    }

    /// Everything but XLogData.
    fn other(&mut self, tag: u8, message: &[u8]) -> Result<Option<Received>, Error> {
        match tag {
            b'd' => Ok(Some(Received::Keepalive(keepalive(message)?))),
            b'N' => Ok(Some(Received::Notice)),
            b'E' => {
                let parsed = Message::parse(&mut BytesMut::from(message));
                match parsed {
                    Ok(Some(Message::ErrorResponse(body))) => {
                        Err(server_error(&body, "streaming", &self.login))
                    }
                    _ => Err(Error::protocol("an error response that cannot be read")),
                }
            }
            // CopyDone, CommandComplete: the server is done, as when it shuts down.
            b'c' | b'C' | b'Z' => {
                self.left = true;
                Err(self.io(io::Error::new(
                    io::ErrorKind::ConnectionAborted,
                    "the server ended the stream",
                )))
            }
            b'S' | b'A' => Ok(None),
            tag => Err(Error::protocol(format!(
                "message '{}' in a replication stream",
                tag.escape_ascii()
            ))),
        }
    }

    async fn fill(&mut self) -> Result<(), Error> {
        let needed = match whole_message(&self.buffer, self.bound)? {
            Whole::No { needed } => needed,
            Whole::Yes { .. } => 0,
        };
        // As much as it takes, but no more at once than doubles what has come: the length is the
        // peer's word.
        let buffered = self.buffer.len();
        let missing = needed
            .saturating_sub(buffered)
            .min(buffered.max(READ_BYTES));
        if self.buffer.capacity() - buffered < missing.max(READ_BYTES / 2) {
            self.buffer.reserve(missing.max(READ_BYTES));
        }
        match self.read().await {
            Ok(0) => Err(self.io(closed())),
            Ok(_) => Ok(()),
            Err(io) => Err(self.io(io)),
        }
    }

    /// Reads what there is, or waits for it; of a fast stream, once more has come.
    async fn read(&mut self) -> io::Result<usize> {
        let wait = self.pace.wait();
        if !wait.is_zero() {
            let wait = if self.watch.holds_little() {
                wait.min(pace::WAIT)
            } else {
                wait
            };
            tokio::time::sleep(wait).await;
        }
        let bytes = self.half.read_buf(&mut self.buffer).await?;
        self.pace.came(self.clock.now(), bytes);
        // The server wakes whom it finds waiting, message by message.
        self.watch.set(!self.pace.is_fast());
        Ok(bytes)
    }

    fn io(&self, io: io::Error) -> Error {
        Error::Connection {
            address: self.address.clone(),
            doing: "streaming",
            io,
        }
    }
}

impl Sender {
    pub(crate) fn new(half: WriteHalf, address: String) -> Self {
        Self {
            half,
            buffer: BytesMut::new(),
            address,
        }
    }

    /// Sends a Standby Status Update; `clock_us` is µs since 1970-01-01.
    pub(crate) async fn send(
        &mut self,
        update: StandbyStatusUpdate,
        clock_us: i64,
    ) -> Result<(), Error> {
        self.buffer.clear();
        put_status(&mut self.buffer, update, clock_us);
        self.flush().await
    }

    /// Sends the last status, ends the stream and the session.
    pub(crate) async fn close(
        &mut self,
        farewell: StandbyStatusUpdate,
        clock_us: i64,
    ) -> Result<(), Error> {
        self.buffer.clear();
        put_status(&mut self.buffer, farewell, clock_us);
        frontend::copy_done(&mut self.buffer);
        frontend::terminate(&mut self.buffer);
        self.flush().await?;
        // The words are out. A server that has read them may have closed already.
        let _ = self.half.shutdown().await;
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Error> {
        let written = self.half.write_all(&self.buffer).await;
        written.map_err(|io| self.io(io))?;
        self.half.flush().await.map_err(|io| self.io(io))
    }

    fn io(&self, io: io::Error) -> Error {
        Error::Connection {
            address: self.address.clone(),
            doing: "confirming",
            io,
        }
    }
}

/// The WAL start of the XLogData message `buffer` begins with; `None` for any other message.
fn xlog_data_start(buffer: &[u8]) -> Option<Lsn> {
    let (header, rest) = buffer.split_first_chunk::<6>()?;
    let [b'd', _, _, _, _, b'w'] = header else {
        return None;
    };
    rest.first_chunk::<8>()
        .map(|start| Lsn(u64::from_be_bytes(*start)))
}

/// A Primary keepalive message, in a whole CopyData message.
fn keepalive(message: &[u8]) -> Result<Keepalive, Error> {
    let parse = || {
        let (kind, rest) = message.get(HEADER_BYTES..)?.split_first()?;
        let (wal_end, rest) = rest.split_first_chunk::<8>()?;
        let (clock, rest) = rest.split_first_chunk::<8>()?;
        let [reply] = rest else { return None };
        (*kind == b'k').then(|| Keepalive {
            wal_end: Lsn(u64::from_be_bytes(*wal_end)),
            sent_at_us: i64::from_be_bytes(*clock),
            reply_requested: *reply != 0,
        })
    };
    parse().ok_or_else(|| {
        Error::protocol("a CopyData message that is neither XLogData nor a keepalive")
    })
}

fn put_status(out: &mut BytesMut, update: StandbyStatusUpdate, clock_us: i64) {
    out.extend_from_slice(b"d\0\0\0\x26r");
    for lsn in [update.received, update.confirmed, update.confirmed] {
        out.extend_from_slice(&lsn.0.to_be_bytes());
    }
    out.extend_from_slice(&clock_us.saturating_sub(POSTGRES_EPOCH_US).to_be_bytes());
    out.extend_from_slice(&[u8::from(update.reply)]);
}

/// More messages than fit are handed over in several calls: a larger call is not faster.
const FRAMES_MAX: usize = 64 * 1024;

/// What the buffer may keep after a message larger than it.
const KEPT_BYTES: usize = 1024 * 1024;

#[cfg(test)]
mod tests;
