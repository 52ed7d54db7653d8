//! A node that lives does everything that a node does: if a task that must run as long as the node ends, the node ends
//! too, and `/livez` claims no more than is true.
//!
//! The nodes' networks panic where a test tells them to, as a defect in the node would.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use crate::cluster_support::http::{get, is_200};
use crate::cluster_support::*;
use assent_cluster::config::Config;
use assent_cluster::env::{BoxStream, Environment, Listener, Net, RealNet};
use assent_cluster::node::Node;
use assent_cluster::usecase::{Caller, Submitted};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// Longest wait for anything.
const SURELY: Duration = Duration::from_secs(30);

/// Panics once if it is told to.
#[derive(Clone, Default)]
struct Mine(Arc<AtomicBool>);

impl Mine {
    fn lay(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn step(&self) {
        if self.0.swap(false, Ordering::SeqCst) {
            panic!("a defect, as the test wants it");
        }
    }

    fn has_gone_off(&self) -> bool {
        !self.0.load(Ordering::SeqCst)
    }
}

/// The real network, with mines in it.
#[derive(Clone, Default)]
struct MinedNet {
    peer_listen: String,
    /// Goes off when a client's connection is accepted.
    accept_client: Mine,
    /// Goes off when a peer's connection is accepted.
    accept_peer: Mine,
    /// Goes off when something is read from a client.
    read_client: Mine,
    /// Goes off when something is written on a connection that this node dialed.
    write_peer: Mine,
}

impl Net for MinedNet {
    fn connect(&self, addr: String) -> BoxFuture<'static, io::Result<BoxStream>> {
        let write = self.write_peer.clone();
        Box::pin(async move {
            let inner = RealNet.connect(addr).await?;
            Ok(Box::new(MinedStream { inner, read: Mine::default(), write }) as BoxStream)
        })
    }

    fn listen(&self, addr: String) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        let of_peers = addr == self.peer_listen;
        let accept = if of_peers { self.accept_peer.clone() } else { self.accept_client.clone() };
        let read = if of_peers { Mine::default() } else { self.read_client.clone() };
        Box::pin(async move {
            let inner = RealNet.listen(addr).await?;
            Ok(Box::new(MinedListener { inner, accept, read }) as Box<dyn Listener>)
        })
    }
}

struct MinedListener {
    inner: Box<dyn Listener>,
    accept: Mine,
    read: Mine,
}

impl Listener for MinedListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxStream, String)>> {
        Box::pin(async move {
            let (inner, remote) = self.inner.accept().await?;
            self.accept.step();
            let stream = MinedStream { inner, read: self.read.clone(), write: Mine::default() };
            Ok((Box::new(stream) as BoxStream, remote))
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}

struct MinedStream {
    inner: BoxStream,
    read: Mine,
    write: Mine,
}

impl AsyncRead for MinedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.read.step();
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for MinedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.write.step();
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// Three nodes that allow what is asked, with the networks that they run on.
async fn cluster(folder: &std::path::Path) -> (Vec<Config>, Vec<Node>, Vec<MinedNet>) {
    let configs = configs(folder);
    let (mut nodes, mut nets) = (Vec::new(), Vec::new());
    for config in &configs {
        let net = MinedNet { peer_listen: config.peer_listen.clone(), ..MinedNet::default() };
        let env = Environment { net: Arc::new(net.clone()), ..environment(config).await };
        nodes.push(Node::start(config.clone(), env).await.unwrap());
        nets.push(net);
    }
    for node in &nodes {
        ready(node).await;
    }
    let accepted = nodes[0].service().submit(Caller::local(), Bytes::from(authorization())).await;
    assert!(matches!(accepted, Submitted::Accepted { .. }), "{accepted:?}");
    for node in &nodes {
        assert_eq!(status_of_authorize(node).await, 200);
    }
    (configs, nodes, nets)
}

async fn status_of_authorize(node: &Node) -> u16 {
    node.service().authorize(Caller::local(), vec![request()]).await[0].status
}

/// The node ends for this cause, allows nothing any more, and the others go on.
async fn ends(nodes: &[Node], place: usize, task: &str) {
    let cause = timeout(SURELY, nodes[place].failed()).await.unwrap();
    assert_eq!(cause, format!("the task `{task}` panicked: a defect, as the test wants it"));
    let service = nodes[place].service();
    for _ in 0..20 {
        assert_eq!(status_of_authorize(&nodes[place]).await, 503);
        assert_eq!(service.alive().unwrap_err().detail, cause);
        assert!(service.ready().await.is_err());
    }
    for (other, node) in nodes.iter().enumerate().filter(|(other, _)| *other != place) {
        ready(node).await;
        assert_eq!(status_of_authorize(node).await, 200, "node {other}");
    }
}

/// Rule R52.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_accepts_no_clients_any_more_ends_and_allows_nothing_from_then_on() {
    let folder = tempfile::tempdir().unwrap();
    let (_, nodes, nets) = cluster(folder.path()).await;
    nets[0].accept_client.lay();
    assert!(!is_200(nodes[0].client_addr(), "/livez").await);
    ends(&nodes, 0, "accept clients").await;
}

/// Rule R52.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_accepts_no_peers_any_more_ends_and_allows_nothing_from_then_on() {
    let folder = tempfile::tempdir().unwrap();
    let (_, nodes, nets) = cluster(folder.path()).await;
    nets[1].accept_peer.lay();
    // Whoever knocks is taken for a peer until it says nothing.
    drop(TcpStream::connect(nodes[1].peer_addr()).await.unwrap());
    ends(&nodes, 1, "accept peers").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_on_one_connection_is_counted_and_the_peer_is_dialed_again() {
    let folder = tempfile::tempdir().unwrap();
    let (_, mut nodes, nets) = cluster(folder.path()).await;
    nets[0].write_peer.lay();
    eventually("the connection is written to", || nets[0].write_peer.has_gone_off()).await;
    let connected = |node: &Node| {
        let status = node.service().status(Caller::local());
        status.peers.iter().filter(|peer| peer.connected).count()
    };
    eventually("both peers are connected again", || connected(&nodes[0]) == 2).await;
    // So it is with a client's.
    let address = nodes[0].client_addr();
    nets[0].read_client.lay();
    assert!(!is_200(address, "/livez").await);
    assert!(nets[0].read_client.has_gone_off());
    let until = Instant::now() + SURELY;
    loop {
        // The one that asks is the only one left: none that is gone is counted.
        let metrics = get(address, "/metrics").await.unwrap_or_default();
        if ["assent_task_panics_total 2\n", "assent_connections 1\n"]
            .iter()
            .all(|line| metrics.contains(line))
        {
            break;
        }
        assert!(Instant::now() < until, "{metrics}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(is_200(address, "/livez").await);
    ready(&nodes[0]).await;
    assert_eq!(status_of_authorize(&nodes[0]).await, 200);
    // It is a quorum with each of the two: it has dialed both.
    nodes.remove(2).shutdown().await;
    ready(&nodes[0]).await;
    for node in nodes {
        node.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_a_leader_and_without_a_sure_clock_is_live_and_not_ready() {
    let folder = tempfile::tempdir().unwrap();
    let configs = configs(folder.path());
    let node = start(&configs[0]).await;
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        assert!(is_200(node.client_addr(), "/livez").await);
        assert!(!is_200(node.client_addr(), "/readyz").await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let metrics = get(node.client_addr(), "/metrics").await.unwrap();
    for line in ["assent_tasks_late 0\n", "assent_healthy 1\n", "assent_task_panics_total 0\n"] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
    node.shutdown().await;
}
