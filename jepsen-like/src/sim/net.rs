//! The simulated network, as nodes see it: TCP by turmoil.

use std::io;
use std::net::SocketAddr;

use assent_cluster::env::{BoxStream, Listener, Net};
use futures_util::future::BoxFuture;
use turmoil::net::{TcpListener, TcpStream};

use super::setup::{PEER_PORT, PEER_PORT_MOVED};
use super::wire::Wires;

/// TCP between simulated hosts. It loses nothing by itself: the simulated cluster decides what is cut or delayed, and
/// the wires change messages to peers.
#[derive(Debug, Clone, Default)]
pub struct SimNet {
    wires: Wires,
}

impl SimNet {
    /// A machine's network.
    pub fn new(wires: Wires) -> Self {
        Self { wires }
    }
}

/// Whether the address is one at which peers are reached.
fn is_of_peers(addr: &str) -> bool {
    let port = addr.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
    port.is_some_and(|port: u16| [PEER_PORT, PEER_PORT_MOVED].contains(&port))
}

impl Net for SimNet {
    fn connect(&self, addr: String) -> BoxFuture<'static, io::Result<BoxStream>> {
        let wires = is_of_peers(&addr).then(|| self.wires.clone());
        Box::pin(async move { Ok(wired(wires.as_ref(), TcpStream::connect(addr).await?)) })
    }

    fn listen(&self, addr: String) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        let wires = is_of_peers(&addr).then(|| self.wires.clone());
        Box::pin(async move {
            let listener = TcpListener::bind(addr).await?;
            Ok(Box::new(SimListener { listener, wires }) as Box<dyn Listener>)
        })
    }
}

fn wired(wires: Option<&Wires>, stream: TcpStream) -> BoxStream {
    match wires {
        Some(wires) => Box::new(wires.connection(Box::new(stream))),
        None => Box::new(stream),
    }
}

struct SimListener {
    listener: TcpListener,
    /// `Some` for a listener for peers.
    wires: Option<Wires>,
}

impl Listener for SimListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxStream, String)>> {
        Box::pin(async move {
            let (stream, remote) = self.listener.accept().await?;
            Ok((wired(self.wires.as_ref(), stream), remote.to_string()))
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}
