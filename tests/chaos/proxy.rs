//! The link between reader and server: passes everything on, watches what it carries, and breaks
//! where it is told to.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pgoutput_decoder_host::Lsn;
use pgoutput_decoder_tests::chaos::history::{Confirm, Fault, Wire};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::clock;

/// A proxy on a port of its own, for as long as the runtime runs.
#[derive(Clone)]
pub(crate) struct Proxy {
    pub(crate) port: u16,
    shared: Arc<Shared>,
}

/// What was seen on the way.
#[derive(Default)]
pub(crate) struct Seen {
    /// Standby Status Updates.
    pub(crate) confirms: Vec<Confirm>,
    /// Transactions streamed while they were open.
    pub(crate) streamed: BTreeSet<u32>,
    /// Cuts, and what had been carried before.
    pub(crate) cuts: Vec<Fault>,
    /// For people: what began and ended transactions, and on which connection.
    pub(crate) wire: String,
}

#[derive(Default)]
struct Shared {
    upstream: AtomicU16,
    seen: Mutex<Seen>,
    links: Mutex<Vec<Arc<Link>>>,
}

/// One connection of the reader.
#[derive(Default)]
struct Link {
    opened_us: u64,
    replication: AtomicBool,
    wire: AtomicUsize,
    cut: AtomicBool,
    broken: Notify,
    orders: Mutex<Orders>,
    /// Bytes carried to the reader.
    carried: AtomicU64,
}

/// What a link is to do besides passing on.
#[derive(Clone, Copy, Default)]
struct Orders {
    /// Breaks when it has carried so many bytes to the reader.
    cut_at: Option<u64>,
    /// Passes nothing on until then.
    frozen_until: u64,
    /// Passes a few bytes a millisecond on until then.
    slow_until: u64,
    half_closed: Option<Side>,
}

/// Who is told that the other side has ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Reader,
    Server,
}

impl Proxy {
    /// Listens, and passes on to the server on `upstream`.
    pub(crate) async fn start(upstream: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared::default());
        shared.upstream.store(upstream, Ordering::Relaxed);
        let proxy = Self { port, shared };
        let accepting = proxy.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(accepting.clone().serve(client));
            }
        });
        proxy
    }

    /// Leads new connections to another server, and breaks all that are there.
    pub(crate) fn lead_to(&self, upstream: u16) {
        self.shared.upstream.store(upstream, Ordering::Relaxed);
        for link in self.links().iter() {
            link.broken.notify_one();
        }
    }

    /// Where the stream stands; none where nothing streams.
    pub(crate) fn wire(&self) -> Option<Wire> {
        Some(self.streaming()?.wire())
    }

    fn note_cut(&self, link: &Link, within: bool) {
        if link.cut.swap(true, Ordering::Relaxed) {
            return;
        }
        let kind = if within {
            "cut within a message"
        } else {
            "cut"
        };
        self.seen().cuts.push(Fault {
            at_us: clock::unix_us(),
            kind: kind.to_owned(),
            wire: link.wire(),
        });
    }

    /// Breaks it when it has carried `bytes` more, or after a while.
    pub(crate) async fn cut_behind(&self, bytes: u64) {
        let Some(link) = self.streaming() else {
            return;
        };
        let carried = link.carried.load(Ordering::Relaxed);
        link.orders().cut_at = Some(carried + bytes);
        for _ in 0..CUT_WITHIN_MS {
            if link.cut.load(Ordering::Relaxed) {
                return;
            }
            sleep(Duration::from_millis(1)).await;
        }
        self.note_cut(&link, false);
        link.broken.notify_one();
    }

    /// Passes nothing on for so long, in any connection.
    pub(crate) fn freeze(&self, pause: Duration) {
        let until = clock::unix_us() + u64::try_from(pause.as_micros()).unwrap();
        for link in self.links().iter() {
            link.orders().frozen_until = until;
        }
    }

    /// Passes little on for so long.
    pub(crate) fn slow_down(&self, pause: Duration) {
        let until = clock::unix_us() + u64::try_from(pause.as_micros()).unwrap();
        for link in self.links().iter() {
            link.orders().slow_until = until;
        }
    }

    /// Ends one direction of the stream and leaves the other open.
    pub(crate) fn half_close(&self, side: Side) {
        if let Some(link) = self.streaming() {
            link.orders().half_closed = Some(side);
        }
    }

    /// What was seen so far.
    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        lock(&self.shared.seen)
    }

    fn links(&self) -> MutexGuard<'_, Vec<Arc<Link>>> {
        lock(&self.shared.links)
    }

    fn streaming(&self) -> Option<Arc<Link>> {
        let streams = |link: &&Arc<Link>| link.replication.load(Ordering::Relaxed);
        self.links().iter().rev().find(streams).cloned()
    }

    async fn serve(self, client: TcpStream) {
        let upstream = self.shared.upstream.load(Ordering::Relaxed);
        let Ok(server) = TcpStream::connect(("127.0.0.1", upstream)).await else {
            return;
        };
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let link = Arc::new(Link {
            opened_us: clock::unix_us(),
            ..Link::default()
        });
        self.links().push(Arc::clone(&link));
        let (mut client_reads, mut client_writes) = client.into_split();
        let (mut server_reads, mut server_writes) = server.into_split();
        let down = self.carry_down(&link, &mut server_reads, &mut client_writes);
        let up = self.carry_up(&link, &mut client_reads, &mut server_writes);
        tokio::select! {
            () = link.broken.notified() => {}
            _ = async { tokio::join!(down, up) } => {}
        }
        self.links().retain(|known| !Arc::ptr_eq(known, &link));
    }

    async fn carry_down(
        &self,
        link: &Link,
        from: &mut (impl AsyncReadExt + Unpin),
        to: &mut (impl AsyncWriteExt + Unpin),
    ) {
        let mut framing = Framing::default();
        let mut buffer = vec![0; PIECE_BYTES];
        loop {
            let limit = link.limit();
            let Ok(bytes @ 1..) = from.read(&mut buffer[..limit]).await else {
                break;
            };
            link.wait().await;
            let carried = link.carried.load(Ordering::Relaxed);
            let orders = *link.orders();
            if orders.half_closed == Some(Side::Reader) {
                break;
            }
            let mut piece = &buffer[..bytes];
            let mut cut = false;
            if let Some(at) = orders.cut_at {
                let left = usize::try_from(at.saturating_sub(carried)).unwrap();
                cut = left <= bytes;
                piece = &piece[..left.min(bytes)];
            }
            if to.write_all(piece).await.is_err() {
                break;
            }
            let passed = u64::try_from(piece.len()).unwrap();
            link.carried.store(carried + passed, Ordering::Relaxed);
            framing.feed(piece, |head| self.went_down(link, head));
            if cut {
                self.note_cut(link, framing.is_within());
                link.broken.notify_one();
                return;
            }
        }
        let _ = to.shutdown().await;
    }

    async fn carry_up(
        &self,
        link: &Link,
        from: &mut (impl AsyncReadExt + Unpin),
        to: &mut (impl AsyncWriteExt + Unpin),
    ) {
        let mut framing = Framing {
            untagged: true,
            ..Framing::default()
        };
        let mut buffer = vec![0; PIECE_BYTES];
        while let Ok(bytes @ 1..) = from.read(&mut buffer).await {
            // Before it can reach the server.
            framing.feed(&buffer[..bytes], |head| self.went_up(link, head));
            link.wait().await;
            if link.orders().half_closed == Some(Side::Server) {
                break;
            }
            if to.write_all(&buffer[..bytes]).await.is_err() {
                break;
            }
        }
        let _ = to.shutdown().await;
    }

    /// A message has gone to the reader, whole; `head` is how it begins.
    fn went_down(&self, link: &Link, head: &[u8]) {
        let [b'd', _, _, _, _, b'w', rest @ ..] = head else {
            return;
        };
        // Behind WAL start, WAL end and clock.
        let message = rest.get(24..).unwrap_or_default();
        self.note_message(link, message);
        let wire = match message.first() {
            Some(b'B' | b'b') => 2,
            Some(b'S') => {
                if let Some(xid) = message.get(1..5) {
                    let xid = u32::from_be_bytes(xid.try_into().unwrap());
                    self.seen().streamed.insert(xid);
                }
                1
            }
            Some(b'C' | b'E' | b'P' | b'c' | b'A' | b'p' | b'K' | b'r') => 0,
            _ => return,
        };
        link.wire.store(wire, Ordering::Relaxed);
    }

    fn note_message(&self, link: &Link, message: &[u8]) {
        let number = |at: usize| {
            let bytes = message.get(at..at + 4).unwrap_or_default();
            u32::from_be_bytes(bytes.try_into().unwrap_or_default())
        };
        let what = match message.first() {
            Some(b'B') => format!("Begin {}", number(17)),
            Some(b'C') => "Commit".to_owned(),
            Some(b'S') => format!("Stream Start {}", number(1)),
            Some(b'E') => "Stream Stop".to_owned(),
            Some(b'c') => format!("Stream Commit {}", number(1)),
            Some(b'A') => format!("Stream Abort {} {}", number(1), number(5)),
            Some(b'b') => format!("Begin Prepare {}", number(25)),
            Some(b'P') => format!("Prepare {}", number(26)),
            Some(b'p') => format!("Stream Prepare {}", number(26)),
            Some(b'K') => format!("Commit Prepared {}", number(26)),
            Some(b'r') => format!("Rollback Prepared {}", number(34)),
            _ => return,
        };
        let (at_us, opened_us) = (clock::unix_us(), link.opened_us);
        let _ = writeln!(self.seen().wire, "{at_us} {opened_us} {what}");
    }

    fn went_up(&self, link: &Link, head: &[u8]) {
        if head.windows(11).any(|text| text == b"replication") {
            link.replication.store(true, Ordering::Relaxed);
        }
        if let [b'd', _, _, _, _, b'r', rest @ ..] = head
            && let Some(flush) = rest.get(8..16)
        {
            let lsn = Lsn(u64::from_be_bytes(flush.try_into().unwrap()));
            let at_us = clock::unix_us();
            self.seen().confirms.push(Confirm { at_us, lsn });
        }
    }
}

impl Link {
    fn wire(&self) -> Wire {
        match self.wire.load(Ordering::Relaxed) {
            0 => Wire::Between,
            1 => Wire::Streamed,
            _ => Wire::Transaction,
        }
    }

    fn orders(&self) -> MutexGuard<'_, Orders> {
        lock(&self.orders)
    }

    /// How much to read at once.
    fn limit(&self) -> usize {
        let slow = self.orders().slow_until > clock::unix_us();
        if slow { SLOW_BYTES } else { PIECE_BYTES }
    }

    /// Waits as long as it is told to.
    async fn wait(&self) {
        loop {
            let (orders, now) = (*self.orders(), clock::unix_us());
            if orders.frozen_until > now {
                sleep(Duration::from_millis(5)).await;
            } else {
                if orders.slow_until > now {
                    sleep(Duration::from_millis(1)).await;
                }
                return;
            }
        }
    }
}

/// Cuts a stream of bytes into the protocol's messages, of which it keeps the beginnings.
#[derive(Default)]
struct Framing {
    /// The first message has no tag: it is the startup message.
    untagged: bool,
    head: Vec<u8>,
    /// Bytes of the current message seen so far.
    seen: usize,
}

impl Framing {
    fn is_within(&self) -> bool {
        self.seen > 0
    }

    fn feed(&mut self, mut bytes: &[u8], mut message: impl FnMut(&[u8])) {
        while !bytes.is_empty() {
            let header = if self.untagged { 4 } else { 5 };
            if self.seen < header {
                self.head.push(bytes[0]);
                self.seen += 1;
                bytes = &bytes[1..];
                if self.seen < header {
                    continue;
                }
            }
            let length: [u8; 4] = self.head[header - 4..header].try_into().unwrap();
            let length = usize::try_from(u32::from_be_bytes(length)).unwrap();
            let whole = header - 4 + length;
            let step = (whole - self.seen).min(bytes.len());
            let kept = step.min(HEAD_BYTES.saturating_sub(self.head.len()));
            self.head.extend_from_slice(&bytes[..kept]);
            self.seen += step;
            bytes = &bytes[step..];
            if self.seen == whole {
                message(&self.head);
                self.head.clear();
                self.seen = 0;
                self.untagged = false;
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const PIECE_BYTES: usize = 16 * 1024;

/// A link that carries nothing is cut all the same.
const CUT_WITHIN_MS: u32 = 300;

const SLOW_BYTES: usize = 200;

/// Of a message, enough for what is looked at; of a startup message, all its parameters.
const HEAD_BYTES: usize = 512;
