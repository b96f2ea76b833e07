//! A socket that the system watches for whoever waits for it, or that is merely asked.
//!
//! A walsender writes message by message, and each that finds the socket watched wakes the thread
//! that watches. `SO_RCVLOWAT` prevents that for half of the socket's room only. So whoever reads
//! at times of their own choosing has the socket not watched in between.

use std::io::{self, ErrorKind, Read, Write};
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::task::coop;

use super::window;

/// A socket that is watched unless its [`Watch`] says otherwise.
pub(super) struct Watched<S: Stream> {
    state: State<S>,
    watch: Watch,
    /// Somebody waits for room to write, and must be told.
    writing: bool,
}

/// Whether a socket is to be watched, as its reader has it. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watch {
    off: Arc<AtomicBool>,
    holds_little: bool,
}

/// A kind of socket.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Sized + Unpin + 'static {
    /// The same, and nobody watches.
    type Bare: Read + Write + Send + Unpin;

    /// Whether it holds no more than some hundred messages, however small they are.
    const HOLDS_LITTLE: bool;

    /// It is about to stream.
    fn prepare(&self);
    fn leave(self) -> io::Result<Self::Bare>;
    fn watch(bare: Self::Bare) -> io::Result<Self>;
}

enum State<S: Stream> {
    Bare(S::Bare),
    /// It could not be had back.
    Lost,
    Watched(S),
}

impl Watch {
    /// Has the socket watched from the next read on, or not.
    pub(crate) fn set(&self, on: bool) {
        self.off.store(!on, Ordering::Relaxed);
    }

    pub(crate) fn holds_little(&self) -> bool {
        self.holds_little
    }

    fn is_off(&self) -> bool {
        self.off.load(Ordering::Relaxed)
    }
}

impl<S: Stream> Watched<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            state: State::Watched(stream),
            watch: Watch {
                off: Arc::default(),
                holds_little: S::HOLDS_LITTLE,
            },
            writing: false,
        }
    }

    /// To be called when it is about to stream.
    pub(super) fn prepare(&self) -> Watch {
        if let State::Watched(stream) = &self.state {
            stream.prepare();
        }
        self.watch.clone()
    }

    fn bare(&mut self) -> io::Result<&mut S::Bare> {
        self.state = match mem::replace(&mut self.state, State::Lost) {
            State::Watched(stream) => State::Bare(stream.leave()?),
            state => state,
        };
        match &mut self.state {
            State::Bare(bare) => Ok(bare),
            State::Lost | State::Watched(_) => Err(lost()),
        }
    }

    fn watched(&mut self) -> io::Result<Pin<&mut S>> {
        self.state = match mem::replace(&mut self.state, State::Lost) {
            State::Bare(bare) => State::Watched(S::watch(bare)?),
            state => state,
        };
        match &mut self.state {
            State::Watched(stream) => Ok(Pin::new(stream)),
            State::Bare(_) | State::Lost => Err(lost()),
        }
    }
}

impl<S: Stream> AsyncRead for Watched<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.watch.is_off() && !this.writing {
            let turn = ready!(coop::poll_proceed(context));
            let size = buffer.remaining().min(ASKED_BYTES_MAX);
            let asked = this.bare()?.read(buffer.initialize_unfilled_to(size));
            if !waits(&asked) {
                turn.made_progress();
                buffer.advance(asked?);
                return Poll::Ready(Ok(()));
            }
        }
        this.watched()?.poll_read(context, buffer)
    }
}

impl<S: Stream> AsyncWrite for Watched<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if let State::Bare(bare) = &mut this.state {
            let asked = bare.write(bytes);
            if !waits(&asked) {
                return Poll::Ready(asked);
            }
        }
        let written = this.watched()?.poll_write(context, bytes);
        this.writing = written.is_pending();
        written
    }

    /// A socket keeps nothing back.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().watched()?.poll_shutdown(context)
    }
}

impl Stream for TcpStream {
    type Bare = std::net::TcpStream;

    const HOLDS_LITTLE: bool = false;

    fn prepare(&self) {
        window::narrow(self);
    }

    fn leave(self) -> io::Result<Self::Bare> {
        self.into_std()
    }

    fn watch(bare: Self::Bare) -> io::Result<Self> {
        Self::from_std(bare)
    }
}

#[cfg(unix)]
impl Stream for UnixStream {
    type Bare = std::os::unix::net::UnixStream;

    const HOLDS_LITTLE: bool = true;

    fn prepare(&self) {}

    fn leave(self) -> io::Result<Self::Bare> {
        self.into_std()
    }

    fn watch(bare: Self::Bare) -> io::Result<Self> {
        Self::from_std(bare)
    }
}

/// Whether the socket has nothing now, or no room.
fn waits(asked: &io::Result<usize>) -> bool {
    let error = asked.as_ref().err().map(io::Error::kind);
    matches!(error, Some(ErrorKind::WouldBlock | ErrorKind::Interrupted))
}

fn lost() -> io::Error {
    io::Error::new(ErrorKind::NotConnected, "the socket is gone")
}

/// Blanked before each read, so not without bound.
const ASKED_BYTES_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::*;

    async fn connected() -> (Watched<TcpStream>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (ours, theirs) = tokio::join!(TcpStream::connect(address), listener.accept());
        (Watched::new(ours.unwrap()), theirs.unwrap().0)
    }

    #[tokio::test]
    async fn what_is_there_is_read_and_what_comes_is_waited_for() {
        let (mut ours, mut server) = connected().await;
        let watch = ours.prepare();
        let mut bytes = [0; 64];
        for on in [true, false, false, true] {
            watch.set(on);
            let early = timeout(Duration::from_millis(20), ours.read(&mut bytes));
            early.await.unwrap_err();
            let (read, written) = tokio::join!(ours.read(&mut bytes), server.write_all(b"event"));
            written.unwrap();
            assert_eq!(read.unwrap(), 5);
            server.write_all(b"more").await.unwrap();
            assert_eq!(ours.read(&mut bytes).await.unwrap(), 4);
        }
        // That was asked for: nobody waits for it.
        watch.set(false);
        server.write_all(b"last").await.unwrap();
        assert_eq!(ours.read(&mut bytes).await.unwrap(), 4);
        assert!(matches!(ours.state, State::Bare(_)));
        ours.write_all(b"status").await.unwrap();
        assert!(matches!(ours.state, State::Bare(_)));
        server.read_exact(&mut bytes[..6]).await.unwrap();
        drop(server);
        assert_eq!(ours.read(&mut bytes).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn who_waits_for_room_is_told_whatever_the_reader_does() {
        let (ours, mut server) = connected().await;
        let watch = ours.prepare();
        let (mut read, mut write) = tokio::io::split(ours);
        let sent = vec![7; 16 << 20];
        let writing = tokio::spawn(async move { write.write_all(&sent).await });
        tokio::time::sleep(Duration::from_millis(20)).await;
        watch.set(false);
        server.write_all(b"event").await.unwrap();
        let mut bytes = [0; 5];
        read.read_exact(&mut bytes).await.unwrap();
        let mut received = vec![0; 16 << 20];
        let taken = timeout(Duration::from_secs(10), server.read_exact(&mut received)).await;
        taken.unwrap().unwrap();
        writing.await.unwrap().unwrap();
    }

    #[tokio::test(flavor = "current_thread")]
    async fn others_have_their_turn_beside_a_socket_that_is_never_empty() {
        let (mut ours, mut server) = connected().await;
        ours.prepare().set(false);
        let turned = Arc::new(AtomicBool::new(false));
        let other = Arc::clone(&turned);
        tokio::spawn(async move { other.store(true, Ordering::Relaxed) });
        server.write_all(&[7; 10_000]).await.unwrap();
        let mut byte = [0];
        for _ in 0..10_000 {
            ours.read_exact(&mut byte).await.unwrap();
        }
        assert!(turned.load(Ordering::Relaxed));
    }
}
