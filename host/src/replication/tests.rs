use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, DuplexStream, ReadBuf};

use super::*;

fn xlog_data(start: u64, payload_bytes: usize) -> Vec<u8> {
    let mut message = vec![b'd'];
    let length = u32::try_from(29 + payload_bytes).unwrap();
    message.extend(length.to_be_bytes());
    message.push(b'w');
    for field in [start, start + 1, 0] {
        message.extend(field.to_be_bytes());
    }
    message.resize(message.len() + payload_bytes, b'I');
    message
}

fn keepalive(wal_end: u64, reply: u8) -> Vec<u8> {
    let mut message = b"d\0\0\0\x16k".to_vec();
    message.extend(wal_end.to_be_bytes());
    message.extend(7_i64.to_be_bytes());
    message.push(reply);
    message
}

fn receiver(bytes_max: usize) -> (Receiver, DuplexStream) {
    let (ours, theirs) = tokio::io::duplex(1 << 20);
    (receiver_of(Box::new(ours), bytes_max), theirs)
}

fn receiver_of(half: ReadHalf, bytes_max: usize) -> Receiver {
    let buffer = BytesMut::new();
    Receiver::new(
        half,
        Watch::default(),
        buffer,
        bytes_max,
        "server".to_owned(),
        Login {
            user: "ann".to_owned(),
            database: "shop".to_owned(),
        },
        Clock::start(),
    )
}

/// Counts what is read.
struct Counted {
    half: DuplexStream,
    reads: Arc<AtomicU32>,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.half).poll_read(context, buffer);
        if read.is_ready() {
            self.reads.fetch_add(1, Ordering::Relaxed);
        }
        read
    }
}

/// Takes so many messages of one size.
async fn take(receiver: &mut Receiver, message_bytes: usize, messages: u32) {
    let mut left = usize::try_from(messages).unwrap() * message_bytes;
    while left > 0 {
        if let Received::Frames(bytes) = receiver.receive().await.unwrap() {
            receiver.consume(bytes);
            left -= bytes;
        }
    }
}

/// Everything `bytes` brings: runs of frames, and keepalives as empty ones.
async fn everything(bytes: &[u8], chunk_bytes: usize) -> Vec<Vec<u8>> {
    let (mut receiver, mut server) = receiver(1 << 20);
    let chunks: Vec<_> = bytes.chunks(chunk_bytes).map(<[u8]>::to_vec).collect();
    tokio::spawn(async move {
        for chunk in chunks {
            server.write_all(&chunk).await.unwrap();
            tokio::task::yield_now().await;
        }
    });
    let mut runs = Vec::new();
    loop {
        match receiver.receive().await {
            Ok(Received::Frames(bytes)) => {
                runs.push(receiver.frames(bytes).to_vec());
                receiver.consume(bytes);
            }
            Ok(Received::Keepalive(_) | Received::Notice) => runs.push(Vec::new()),
            Err(Error::Connection { io, .. }) => {
                assert_eq!(io.kind(), io::ErrorKind::UnexpectedEof);
                return runs;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn what_is_ready_is_handed_over_in_one_piece_as_it_was_on_the_wire() {
    let (mut receiver, mut server) = receiver(1 << 20);
    let frames = [xlog_data(10, 3), xlog_data(0, 0), xlog_data(30, 100)].concat();
    let sent = [&frames[..], &keepalive(40, 1), &xlog_data(50, 1)].concat();
    server.write_all(&sent).await.unwrap();
    assert_eq!(
        receiver.receive().await.unwrap(),
        Received::Frames(frames.len())
    );
    assert_eq!(receiver.frames(frames.len()), frames);
    assert_eq!(receiver.received(), Lsn(30));
    receiver.consume(frames.len());
    let expected = Keepalive {
        wal_end: Lsn(40),
        sent_at_us: 7,
        reply_requested: true,
    };
    assert_eq!(
        receiver.receive().await.unwrap(),
        Received::Keepalive(expected)
    );
    assert_eq!(receiver.receive().await.unwrap(), Received::Frames(31));
    assert_eq!(receiver.received(), Lsn(50));
}

#[tokio::test]
async fn wherever_the_bytes_are_cut_the_frames_are_the_same() {
    let mut sent = Vec::new();
    for start in 1..40 {
        sent.extend(xlog_data(start, usize::try_from(start).unwrap() * 7 % 50));
        if start % 9 == 0 {
            sent.extend(keepalive(start, 0));
        }
    }
    let whole = everything(&sent, sent.len()).await;
    assert_eq!(whole.iter().filter(|run| run.is_empty()).count(), 4);
    for chunk_bytes in [1, 2, 3, 5, 7, 29, 30, 64, 1000] {
        let cut = everything(&sent, chunk_bytes).await;
        assert_eq!(cut.concat(), whole.concat(), "in pieces of {chunk_bytes}");
        assert_eq!(cut.iter().filter(|run| run.is_empty()).count(), 4);
    }
}

#[tokio::test]
async fn a_call_gets_no_more_than_64_kib_but_a_larger_message_whole() {
    let small = xlog_data(1, 970);
    let large = xlog_data(2, 300_000);
    let sent = [small.repeat(130), large.clone(), small.clone()].concat();
    let runs = everything(&sent, sent.len()).await;
    assert_eq!(runs.concat(), sent);
    assert!(
        runs.iter()
            .all(|run| run.len() <= FRAMES_MAX || *run == large)
    );
    assert!(
        runs.iter()
            .any(|run| run.len() > FRAMES_MAX - 1000 && run.len() <= FRAMES_MAX)
    );
    assert!(runs.contains(&large));
}

#[tokio::test]
async fn a_message_beyond_the_bound_is_an_error_before_it_is_read() {
    let (mut receiver, mut server) = receiver(1000);
    server.write_all(&xlog_data(1, 1000)[..6]).await.unwrap();
    let error = receiver.receive().await.unwrap_err();
    assert!(matches!(&error, Error::Protocol { .. }), "{error}");
    assert!(error.to_string().contains("message_max_bytes"), "{error}");
}

#[tokio::test]
async fn a_length_that_is_a_lie_reserves_nothing() {
    let (mut receiver, mut server) = receiver(1 << 30);
    let mut header = b"d\x3f\xff\xff\xffw".to_vec();
    header.extend([0; 24]);
    server.write_all(&header).await.unwrap();
    drop(server);
    assert!(matches!(
        receiver.receive().await,
        Err(Error::Connection { .. })
    ));
    assert!(receiver.buffer.capacity() <= 4 * READ_BYTES);
}

#[tokio::test]
async fn errors_and_the_end_of_the_stream_have_their_class() {
    let (mut receiver, mut server) = self::receiver(1000);
    let fields = b"SFATAL\0VFATAL\0C57P01\0Mterminating connection\0\0";
    let length = u32::try_from(fields.len() + 4).unwrap();
    let error = [&b"E"[..], &length.to_be_bytes(), fields].concat();
    server.write_all(&error).await.unwrap();
    let error = receiver.receive().await.unwrap_err();
    assert_eq!(error.sqlstate(), Some("57P01"));
    assert!(error.is_transient());

    let (mut receiver, mut server) = self::receiver(1000);
    server.write_all(b"c\0\0\0\x04").await.unwrap();
    assert!(receiver.receive().await.unwrap_err().is_transient());

    for garbage in [
        &b"d\0\0\0\x05x"[..],
        b"d\0\0\0\x06k\0",
        b"d\0\0\0\x03",
        b"?\0\0\0\x04",
    ] {
        let (mut receiver, mut server) = self::receiver(1000);
        server.write_all(garbage).await.unwrap();
        let error = receiver.receive().await.unwrap_err();
        assert!(matches!(error, Error::Protocol { .. }), "{error}");
    }
}

#[tokio::test]
async fn the_last_words_are_status_copy_done_and_terminate() {
    let (ours, mut server) = tokio::io::duplex(1000);
    let mut sender = Sender::new(Box::new(ours), "server".to_owned());
    let farewell = StandbyStatusUpdate {
        received: Lsn(0x20),
        confirmed: Lsn(0x10),
        reply: false,
    };
    sender.close(farewell, POSTGRES_EPOCH_US + 5).await.unwrap();
    let mut heard = Vec::new();
    server.read_to_end(&mut heard).await.unwrap();
    let mut expected = b"d\0\0\0\x26r".to_vec();
    for field in [0x20_u64, 0x10, 0x10, 5] {
        expected.extend(field.to_be_bytes());
    }
    expected.push(0);
    expected.extend(b"c\0\0\0\x04X\0\0\0\x04");
    assert_eq!(heard, expected);
}

#[tokio::test]
async fn many_messages_are_read_together_and_a_lone_one_at_once() {
    let (half, mut server) = tokio::io::duplex(1 << 20);
    let reads = Arc::new(AtomicU32::new(0));
    let counted = Counted {
        half,
        reads: Arc::clone(&reads),
    };
    let mut receiver = receiver_of(Box::new(counted), 1 << 20);
    let message = xlog_data(1, 170);
    let (size, sent) = (message.len(), 50_000);
    let writing = async {
        for _ in 0..sent {
            server.write_all(&message).await.unwrap();
            // As a walsender does, which writes each message by itself.
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(writing, take(&mut receiver, size, sent));
    let reads = reads.load(Ordering::Relaxed);
    assert!(reads < sent / 20, "{reads} reads of {sent} messages");

    let clock = Clock::start();
    let mut late = Vec::new();
    for _ in 0..51 {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let written = async {
            let now = clock.now();
            server.write_all(&message).await.unwrap();
            now
        };
        // It waits already when the message comes.
        let ((), written) = tokio::join!(take(&mut receiver, size, 1), written);
        late.push(clock.now().saturating_sub(written));
    }
    late.sort_unstable();
    // The shortest wait of a timer is twice that.
    assert!(late[25] < Duration::from_micros(500), "{late:?}");
}
