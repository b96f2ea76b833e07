//! Sockets: the only file that opens one.

use std::io;
use std::net::SocketAddr;

use rand::seq::SliceRandom;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio_rustls::client::TlsStream;

use super::watched::{Stream, Watch, Watched};
use super::window;
use crate::config::{Host, Server};

pub(crate) type ReadHalf = Box<dyn AsyncRead + Send + Unpin>;
pub(crate) type WriteHalf = Box<dyn AsyncWrite + Send + Unpin>;

/// What the protocol runs over.
pub(super) trait Transport: AsyncRead + AsyncWrite + Send + Unpin {
    fn into_halves(self: Box<Self>) -> (ReadHalf, WriteHalf);

    /// To be called when it is about to stream; whether its socket is watched.
    fn prepare(&self) -> Watch;
}

impl<S: Stream> Transport for Watched<S> {
    fn into_halves(self: Box<Self>) -> (ReadHalf, WriteHalf) {
        let (read, write) = tokio::io::split(*self);
        (Box::new(read), Box::new(write))
    }

    fn prepare(&self) -> Watch {
        Self::prepare(self)
    }
}

impl Transport for TlsStream<Watched<TcpStream>> {
    fn into_halves(self: Box<Self>) -> (ReadHalf, WriteHalf) {
        let (read, write) = tokio::io::split(*self);
        (Box::new(read), Box::new(write))
    }

    fn prepare(&self) -> Watch {
        self.get_ref().0.prepare()
    }
}

/// Where a socket leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    Tcp(SocketAddr),
    /// A path, or with `@` a name without a file.
    Unix(String),
}

/// A socket that leads to the server.
pub(super) enum Socket {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Address {
    /// Where `host` is: as many places as its name has addresses.
    pub(super) async fn resolve(host: &Host, shuffle: bool) -> io::Result<Vec<Self>> {
        if host.is_socket() {
            return Ok(vec![Self::Unix(host.address())]);
        }
        let name = host.address.as_ref().unwrap_or(&host.name);
        let found = lookup_host((name.as_str(), host.port)).await?;
        let mut addresses: Vec<_> = found.map(Self::Tcp).collect();
        if addresses.is_empty() {
            let text = "the host's name has no address";
            return Err(io::Error::new(io::ErrorKind::NotFound, text));
        }
        if shuffle {
            addresses.shuffle(&mut rand::rng());
        }
        Ok(addresses)
    }

    pub(super) async fn connect(&self, server: &Server) -> io::Result<Socket> {
        match self {
            Self::Tcp(address) => {
                let socket = match address {
                    SocketAddr::V4(_) => TcpSocket::new_v4()?,
                    SocketAddr::V6(_) => TcpSocket::new_v6()?,
                };
                window::prepare(&socket, address);
                let socket = socket.connect(*address).await?;
                // A status must not wait for the acknowledgement of the one before.
                socket.set_nodelay(true)?;
                watch(&socket, server)?;
                Ok(Socket::Tcp(socket))
            }
            #[cfg(not(unix))]
            Self::Unix(_) => {
                let text = "there are no Unix sockets here: name a host";
                Err(io::Error::new(io::ErrorKind::Unsupported, text))
            }
            #[cfg(unix)]
            Self::Unix(path) => {
                let path = match path.strip_prefix('@') {
                    Some(name) => format!("\0{name}"),
                    None => path.clone(),
                };
                Ok(Socket::Unix(UnixStream::connect(path).await?))
            }
        }
    }
}

/// Has the system notice a peer that is silently gone.
fn watch(socket: &TcpStream, server: &Server) -> io::Result<()> {
    let socket = SockRef::from(socket);
    if let Some(keepalive) = server.keepalive {
        let mut watch = TcpKeepalive::new().with_time(keepalive.idle);
        if let Some(interval) = keepalive.interval {
            watch = watch.with_interval(interval);
        }
        if let Some(count) = keepalive.count {
            watch = watch.with_retries(count);
        }
        socket.set_tcp_keepalive(&watch)?;
    }
    #[cfg(target_os = "linux")]
    if server.tcp_user_timeout.is_some() {
        socket.set_tcp_user_timeout(server.tcp_user_timeout)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::Config;

    async fn socket(parameters: &str) -> TcpStream {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let text = format!("host=127.0.0.1 user=ann {parameters}");
        let server = Config::parse(&text).unwrap().server().unwrap();
        match Address::Tcp(address).connect(&server).await.unwrap() {
            Socket::Tcp(socket) => socket,
            #[cfg(unix)]
            Socket::Unix(_) => panic!("{address}"),
        }
    }

    #[tokio::test]
    async fn the_system_watches_a_connection_as_it_is_told() {
        let given = "keepalives_idle=7 keepalives_interval=3 keepalives_count=2";
        let given = socket(&format!("{given} tcp_user_timeout=4000")).await;
        let given = SockRef::from(&given);
        assert!(given.keepalive().unwrap());
        assert_eq!(given.tcp_keepalive_time().unwrap(), Duration::from_secs(7));
        assert_eq!(
            given.tcp_keepalive_interval().unwrap(),
            Duration::from_secs(3)
        );
        assert_eq!(given.tcp_keepalive_retries().unwrap(), 2);
        #[cfg(target_os = "linux")]
        assert_eq!(
            given.tcp_user_timeout().unwrap(),
            Some(Duration::from_secs(4))
        );
        let by_default = socket("").await;
        assert!(SockRef::from(&by_default).keepalive().unwrap());
        let off = socket("keepalives=0").await;
        assert!(!SockRef::from(&off).keepalive().unwrap());
    }
}
