//! How much a socket shall hold before whoever waits for it is woken, and how much it takes
//! meanwhile.
//!
//! A walsender writes message by message. Each that the other socket takes at once costs it the way
//! through the network stack and whoever it finds waiting there the waking; what it has to keep is
//! added to what it keeps already, and follows in one piece. So a fast stream is cheap for both if
//! the reader sleeps now and then and its window is soon full: measured on one machine, twice the
//! events a second with half of the CPU of either.

use std::net::SocketAddr;

use socket2::{SockRef, Socket};
use tokio::net::{TcpSocket, TcpStream};

/// A socket's low water mark, where the system has one that a wait goes by.
#[derive(Debug)]
pub(crate) struct LowWater {
    /// The same socket once more: TLS keeps the other to itself.
    socket: Socket,
    bytes: usize,
}

/// Gives a socket that is about to connect segments that a small window has room for: a server on
/// this machine has some of 64 KiB otherwise, and sends none until a timer says so.
pub(super) fn prepare(socket: &TcpSocket, address: &SocketAddr) {
    if address.ip().is_loopback() {
        make_small_segments(socket);
    }
}

impl LowWater {
    /// Of a socket that is about to stream.
    pub(super) fn of(stream: &TcpStream) -> Option<Self> {
        let socket = SockRef::from(stream).try_clone().ok()?;
        let mut mark = Self { socket, bytes: 0 };
        if !mark.set(1) {
            return None;
        }
        let is_local = stream.peer_addr().is_ok_and(|peer| peer.ip().is_loopback());
        if is_local && has_small_segments(&mark.socket) {
            // Else it stays as it was. Over a network so small a window would be slow.
            let _ = mark.socket.set_recv_buffer_size(LOCAL_WINDOW_BYTES);
        }
        Some(mark)
    }

    /// Whether the system agrees. Who waits is also woken when the mark sinks to what is there.
    pub(crate) fn set(&mut self, bytes: usize) -> bool {
        if self.bytes == bytes || set(&self.socket, bytes) {
            self.bytes = bytes;
            return true;
        }
        false
    }
}

#[cfg(target_os = "linux")]
fn make_small_segments(socket: &TcpSocket) {
    // `LowWater::of` looks whether it worked.
    let _ = SockRef::from(socket).set_tcp_mss(LOCAL_SEGMENT_BYTES);
}

#[cfg(target_os = "linux")]
fn has_small_segments(socket: &Socket) -> bool {
    socket.tcp_mss().is_ok_and(|mss| mss <= LOCAL_SEGMENT_BYTES)
}

#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "socket2 and rustix do not have this option")]
fn set(socket: &Socket, bytes: usize) -> bool {
    use std::os::fd::AsRawFd;

    let Ok(bytes) = libc::c_int::try_from(bytes) else {
        return false;
    };
    let length = libc::socklen_t::try_from(size_of_val(&bytes)).unwrap_or_default();
    let value = (&raw const bytes).cast();
    let descriptor = socket.as_raw_fd();
    // SAFETY: the descriptor is open as long as `socket`, and the option's value is an int.
    let result = unsafe {
        libc::setsockopt(
            descriptor,
            libc::SOL_SOCKET,
            libc::SO_RCVLOWAT,
            value,
            length,
        )
    };
    result == 0
}

#[cfg(not(target_os = "linux"))]
fn make_small_segments(_: &TcpSocket) {}

#[cfg(not(target_os = "linux"))]
fn has_small_segments(_: &Socket) -> bool {
    false
}

/// Elsewhere nobody promises that a mark that sinks wakes.
#[cfg(not(target_os = "linux"))]
fn set(_: &Socket, _: usize) -> bool {
    false
}

/// Of a server on this machine: what its socket takes while nobody reads.
const LOCAL_WINDOW_BYTES: usize = 24 * 1024;

/// A part of it that is small enough.
#[cfg(target_os = "linux")]
const LOCAL_SEGMENT_BYTES: u32 = 8 * 1024;

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::timeout;

    use super::*;

    const A_WHILE: Duration = Duration::from_millis(50);

    async fn connected() -> (TcpStream, TcpStream) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        prepare(&socket, &address);
        let (ours, theirs) = tokio::join!(socket.connect(address), listener.accept());
        (ours.unwrap(), theirs.unwrap().0)
    }

    #[tokio::test]
    async fn nobody_is_woken_below_the_mark_but_when_it_sinks_or_the_server_leaves() {
        let (mut ours, mut server) = connected().await;
        let mut mark = LowWater::of(&ours).unwrap();
        let mut bytes = [0; 64];
        assert!(mark.set(1 << 30));
        server.write_all(b"event").await.unwrap();
        timeout(A_WHILE, ours.read(&mut bytes)).await.unwrap_err();
        assert!(mark.set(1));
        let read = timeout(A_WHILE, ours.read(&mut bytes)).await;
        assert_eq!(read.unwrap().unwrap(), 5);

        assert!(mark.set(1 << 30));
        server.write_all(b"last").await.unwrap();
        drop(server);
        let read = timeout(A_WHILE, ours.read(&mut bytes)).await;
        assert_eq!(read.unwrap().unwrap(), 4);
        assert_eq!(ours.read(&mut bytes).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_window_on_this_machine_is_small_and_has_room_for_segments() {
        let (mut ours, mut server) = connected().await;
        let mark = LowWater::of(&ours).unwrap();
        // Linux counts its own overhead, too.
        let size = mark.socket.recv_buffer_size().unwrap();
        assert!(size <= 2 * LOCAL_WINDOW_BYTES, "{size}");
        let sent = vec![7; 8 << 20];
        let (written, received) = tokio::join!(server.write_all(&sent), async {
            let mut received = vec![0; sent.len()];
            timeout(Duration::from_secs(5), ours.read_exact(&mut received)).await
        });
        written.unwrap();
        assert_eq!(received.unwrap().unwrap(), sent.len());
    }
}
