//! The simulated network, as nodes see it: TCP by turmoil.

use std::io;
use std::net::SocketAddr;

use assent_cluster::env::{BoxStream, Listener, Net};
use futures_util::future::BoxFuture;
use turmoil::net::{TcpListener, TcpStream};

/// TCP between simulated hosts. It loses nothing by itself; what is cut, held or delayed is decided outside.
#[derive(Debug, Clone, Copy, Default)]
pub struct SimNet;

impl Net for SimNet {
    fn connect(&self, addr: String) -> BoxFuture<'static, io::Result<BoxStream>> {
        Box::pin(async move { Ok(Box::new(TcpStream::connect(addr).await?) as BoxStream) })
    }

    fn listen(&self, addr: String) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        Box::pin(
            async move { Ok(Box::new(SimListener(TcpListener::bind(addr).await?)) as Box<dyn Listener>) },
        )
    }
}

struct SimListener(TcpListener);

impl Listener for SimListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxStream, String)>> {
        Box::pin(async move {
            let (stream, remote) = self.0.accept().await?;
            Ok((Box::new(stream) as BoxStream, remote.to_string()))
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}
