//! A session: logged in, and not yet used for anything.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use postgres_protocol::message::frontend;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::{Client, NoTls};

use super::connector::Endpoint;
use super::transport::Transport;
use super::wire::Wire;
use crate::error::Error;

/// Logged in to a server.
pub(crate) struct Session {
    pub(super) wire: Wire,
    /// Where it leads.
    pub(super) endpoint: Endpoint,
    /// What the server told of itself.
    pub(super) parameters: Vec<(String, String)>,
    /// Which process serves us, and the key that cancels its queries.
    pub(super) key: Option<(i32, i32)>,
}

impl Session {
    /// Where it leads.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// What the server told of itself by this name.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// 18 for 18.6; 0 where the server does not say.
    pub(super) fn server_major(&self) -> u32 {
        self.parameter("server_version").map_or(0, major)
    }

    /// Ends it, without waiting for an answer.
    pub(super) async fn end(mut self) {
        let mut out = BytesMut::new();
        frontend::terminate(&mut out);
        // Whoever does not read it sees the connection close.
        let _ = self.wire.write(&out, "leaving").await;
    }

    /// Hands it over to tokio-postgres. That has logged in nowhere and knows no password: what it
    /// says at its start is swallowed, and what the server said at ours is its answer.
    pub(crate) async fn into_client(
        self,
    ) -> Result<(Client, impl Future<Output = ()> + Send + 'static), Error> {
        let mut answer = BytesMut::new();
        put(&mut answer, b'R', &0_i32.to_be_bytes());
        for (name, value) in &self.parameters {
            put(&mut answer, b'S', format!("{name}\0{value}\0").as_bytes());
        }
        if let Some((process, key)) = self.key {
            let key = [process.to_be_bytes(), key.to_be_bytes()].concat();
            put(&mut answer, b'K', &key);
        }
        put(&mut answer, b'Z', b"I");
        answer.extend_from_slice(&self.wire.buffer);
        let entered = Entered {
            transport: self.wire.transport,
            answer: answer.freeze(),
            startup: Startup::Length(Vec::new()),
        };
        let mut config = tokio_postgres::Config::new();
        config
            .user(&self.wire.login.user)
            .ssl_mode(tokio_postgres::config::SslMode::Disable);
        let connected = config.connect_raw(entered, NoTls).await;
        let (client, connection) =
            connected.map_err(|error| Error::protocol(format!("handing over: {error}")))?;
        let ended = async {
            // What was wrong with it, the next query says.
            let _ = connection.await;
        };
        Ok((client, ended))
    }
}

fn put(out: &mut BytesMut, tag: u8, body: &[u8]) {
    out.put_u8(tag);
    out.put_u32(u32::try_from(body.len() + 4).unwrap_or(u32::MAX));
    out.extend_from_slice(body);
}

/// A session for whoever begins with a start-up message.
struct Entered {
    transport: Box<dyn Transport>,
    /// What is read before anything the server sends.
    answer: Bytes,
    startup: Startup,
}

/// How much of the start-up message has come.
enum Startup {
    /// Some of the four bytes that say how long it is.
    Length(Vec<u8>),
    /// So many bytes are to come.
    Rest(usize),
}

impl Startup {
    /// How many of `bytes` belong to it.
    fn take(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        for byte in bytes {
            match self {
                Self::Rest(0) => break,
                Self::Rest(rest) => *rest -= 1,
                Self::Length(known) => {
                    known.push(*byte);
                    if let Ok(length) = <[u8; 4]>::try_from(known.as_slice()) {
                        let length = u32::from_be_bytes(length);
                        *self = Self::Rest(usize::try_from(length).unwrap_or(0).saturating_sub(4));
                    }
                }
            }
            taken += 1;
        }
        taken
    }
}

impl AsyncRead for Entered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.answer.is_empty() {
            return Pin::new(&mut self.transport).poll_read(context, buffer);
        }
        let bytes = self.answer.len().min(buffer.remaining());
        buffer.put_slice(self.answer.get(..bytes).unwrap_or_default());
        self.answer.advance(bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Entered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let swallowed = self.startup.take(bytes);
        if swallowed > 0 {
            return Poll::Ready(Ok(swallowed));
        }
        Pin::new(&mut self.transport).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_shutdown(context)
    }
}

/// "18.6 (Debian …)" and "19beta1" begin with the major version.
fn major(version: &str) -> u32 {
    let digits = version
        .split(|c: char| !c.is_ascii_digit())
        .next()
        .unwrap_or_default();
    digits.parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn a_start_up_message_is_swallowed_in_whatever_pieces_it_comes() {
        let message = [0, 0, 0, 8, 1, 2, 3, 4, b'Q', b'x'];
        for cut in 0..=message.len() {
            let (first, second) = message.split_at(cut);
            let mut startup = Startup::Length(Vec::new());
            let taken = startup.take(first) + startup.take(second);
            assert_eq!(taken, 8, "cut at {cut}");
        }
    }
}
