//! Streams to and from other machines. This module owns sockets, and knows no protocol. TLS can be added behind this
//! trait.

use std::io;
use std::net::SocketAddr;
#[cfg(target_os = "linux")]
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

use super::files::OpenFiles;

/// A byte stream both ways.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Duplex for T {}

/// A stream of the network on which this node runs.
pub type BoxStream = Box<dyn Duplex>;

/// Opens and accepts streams. The callers set the deadlines, and the network itself may wait for ever.
pub trait Net: Send + Sync + 'static {
    /// Connects to `addr`, `host:port`.
    fn connect(&self, addr: String) -> BoxFuture<'static, io::Result<BoxStream>>;

    /// Listens on `addr`, `host:port`; port 0 takes a free one.
    fn listen(&self, addr: String) -> BoxFuture<'static, io::Result<Box<dyn Listener>>>;

    /// The open files of this process, if each stream is one. For people: no decision depends on it.
    fn open_files(&self) -> Option<OpenFiles> {
        None
    }
}

/// Accepts streams.
pub trait Listener: Send {
    /// The next stream, with the remote's address for people. An error concerns only that one stream, or is a
    /// temporary lack of file descriptors. The caller continues after a pause.
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxStream, String)>>;

    /// The address at which it listens.
    fn local_addr(&self) -> io::Result<SocketAddr>;
}

/// The operating system's TCP, without Nagle's delay.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealNet;

impl Net for RealNet {
    fn connect(&self, addr: String) -> BoxFuture<'static, io::Result<BoxStream>> {
        Box::pin(async move {
            let stream = TcpStream::connect(addr).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as BoxStream)
        })
    }

    fn listen(&self, addr: String) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let listener = TcpListener::bind(addr).await?;
            Ok(Box::new(RealListener(listener)) as Box<dyn Listener>)
        })
    }

    fn open_files(&self) -> Option<OpenFiles> {
        OpenFiles::now()
    }
}

/// How long a remote may acknowledge or take nothing of what was sent to it before it counts as vanished, for example
/// because its machine has lost power. The system then breaks the connection, which would otherwise take a quarter of
/// an hour. It is longer than any `deadlines.http_write_ms`, which is for remotes that are there and do not read.
#[cfg(target_os = "linux")]
const VANISHED_AFTER: Duration = Duration::from_secs(120);

/// Sets the options of an accepted socket that its connection needs.
fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    #[cfg(target_os = "linux")]
    socket2::SockRef::from(stream).set_tcp_user_timeout(Some(VANISHED_AFTER))?;
    Ok(())
}

/// A bound TCP socket.
struct RealListener(TcpListener);

impl Listener for RealListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxStream, String)>> {
        Box::pin(async move {
            let (stream, remote) = self.0.accept().await?;
            tune(&stream)?;
            Ok((Box::new(stream) as BoxStream, remote.to_string()))
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_remote_that_vanishes_while_something_is_sent_to_it_is_given_up_after_two_minutes() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _out = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        tune(&accepted).unwrap();
        let given_up = socket2::SockRef::from(&accepted).tcp_user_timeout().unwrap();
        assert_eq!(given_up, Some(Duration::from_secs(120)));
        assert!(accepted.nodelay().unwrap());
    }

    #[tokio::test]
    async fn bytes_cross_a_loopback_stream() {
        let mut listener = RealNet.listen("127.0.0.1:0".into()).await.unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let mut out = RealNet.connect(addr).await.unwrap();
        let (mut inward, _) = listener.accept().await.unwrap();
        out.write_all(b"abc").await.unwrap();
        let mut got = [0u8; 3];
        inward.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"abc");
    }
}
