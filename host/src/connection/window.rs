//! How much the socket of a server on this machine takes while nobody reads.
//!
//! What the other socket takes at once costs a walsender, message by message, the way through the
//! network stack; what it has to keep is added to what it keeps already, and follows in one piece.
//! So a fast stream is cheap if its window is soon full. Over a network so small a window would be
//! slow.

use std::net::SocketAddr;

use socket2::SockRef;
use tokio::net::{TcpSocket, TcpStream};

/// Gives a socket that is about to connect segments that a small window has room for: a server on
/// this machine has some of 64 KiB otherwise, and sends none until a timer says so.
pub(super) fn prepare(socket: &TcpSocket, address: &SocketAddr) {
    if address.ip().is_loopback() {
        make_small_segments(socket);
    }
}

/// Gives a socket that is about to stream a small window, if [`prepare`] has made room for it.
pub(super) fn narrow(stream: &TcpStream) {
    let is_local = stream.peer_addr().is_ok_and(|peer| peer.ip().is_loopback());
    let socket = SockRef::from(stream);
    if is_local && has_small_segments(&socket) {
        // Else it stays as it was.
        let _ = socket.set_recv_buffer_size(LOCAL_WINDOW_BYTES);
    }
}

#[cfg(target_os = "linux")]
fn make_small_segments(socket: &TcpSocket) {
    // `narrow` looks whether it worked.
    let _ = SockRef::from(socket).set_tcp_mss(LOCAL_SEGMENT_BYTES);
}

#[cfg(target_os = "linux")]
fn has_small_segments(socket: &SockRef<'_>) -> bool {
    socket.tcp_mss().is_ok_and(|mss| mss <= LOCAL_SEGMENT_BYTES)
}

#[cfg(not(target_os = "linux"))]
fn make_small_segments(_: &TcpSocket) {}

#[cfg(not(target_os = "linux"))]
fn has_small_segments(_: &SockRef<'_>) -> bool {
    false
}

/// What such a socket takes while nobody reads.
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

    #[tokio::test]
    async fn a_window_on_this_machine_is_small_and_has_room_for_segments() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        prepare(&socket, &address);
        let (ours, theirs) = tokio::join!(socket.connect(address), listener.accept());
        let (mut ours, mut server) = (ours.unwrap(), theirs.unwrap().0);
        narrow(&ours);
        // Linux counts its own overhead, too.
        let size = SockRef::from(&ours).recv_buffer_size().unwrap();
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
