//! A way to a server on which what passes can be seen, changed and held up.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// A port that leads to `target`. For each connection, `ways` gives what looks at requests and at
/// answers: it is shown what has come and not gone on yet, and says how many of it may.
pub(super) async fn relay<Requests, Answers>(
    target: u16,
    mut ways: impl FnMut() -> (Requests, Answers) + Send + 'static,
) -> u16
where
    Requests: FnMut(&mut [u8]) -> usize + Send + 'static,
    Answers: FnMut(&mut [u8]) -> usize + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(("127.0.0.1", target)).await.unwrap();
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            let (requests, answers) = ways();
            tokio::spawn(pass(from_client, to_server, requests));
            tokio::spawn(pass(from_server, to_client, answers));
        }
    });
    port
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut way: impl FnMut(&mut [u8]) -> usize,
) {
    let mut held = Vec::new();
    while let Ok(1..) = from.read_buf(&mut held).await {
        let ready = way(&mut held);
        if to.write_all(&held[..ready]).await.is_err() {
            return;
        }
        held.drain(..ready);
    }
}

/// Everything goes on as it is.
pub(super) fn untouched(held: &mut [u8]) -> usize {
    held.len()
}

/// `sound` goes on as `spoiled`, which is as long. What may be its beginning waits for the rest.
pub(super) fn spoiling(
    sound: &'static [u8],
    spoiled: &'static [u8],
) -> impl FnMut(&mut [u8]) -> usize {
    move |held| {
        while let Some(at) = held.windows(sound.len()).position(|found| found == sound) {
            held[at..at + sound.len()].copy_from_slice(spoiled);
        }
        let begun = |bytes: &usize| held.ends_with(&sound[..*bytes]);
        held.len() - (1..sound.len()).rev().find(begun).unwrap_or(0)
    }
}
