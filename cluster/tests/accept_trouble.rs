//! A node that cannot accept connections, for example because it is out of file descriptors: it reports this once a
//! second, and accepts again as soon as it can.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests fail by panicking"
)]

mod cluster_support;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use assent_cluster::env::{BoxStream, Environment, Listener, Net, RealNet};
use assent_cluster::node::Node;
use cluster_support::http::is_200;
use cluster_support::*;
use futures_util::future::BoxFuture;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// What the system says of a process that may open no more files.
const TOO_MANY_FILES: i32 = 24;
/// So many failures of each listener take more than two seconds.
const FAILURES: u64 = 50;

/// Warnings and errors that nodes of this process log: what each says, and its field `more`.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<(String, u64)>>>);

impl Lines {
    /// The field `more` of each line that says this.
    fn of(&self, message: &str) -> Vec<u64> {
        let lines = self.0.lock().unwrap();
        lines.iter().filter(|(said, _)| said == message).map(|(_, more)| *more).collect()
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= Level::WARN
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        self.0.lock().unwrap().push((line.message, line.more));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Line {
    message: String,
    more: u64,
}

impl Visit for Line {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "more" {
            self.more = value;
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        }
    }
}

/// The real network, on which nothing can be accepted while files are short.
#[derive(Clone, Default)]
struct ShortOfFiles {
    peer_listen: String,
    is_short: Arc<AtomicBool>,
    /// How often accepting failed: a peer, and a client.
    peers: Arc<AtomicU64>,
    clients: Arc<AtomicU64>,
}

impl Net for ShortOfFiles {
    fn connect(&self, addr: String) -> BoxFuture<'static, io::Result<BoxStream>> {
        RealNet.connect(addr)
    }

    fn listen(&self, addr: String) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        let failed = if addr == self.peer_listen { self.peers.clone() } else { self.clients.clone() };
        let is_short = self.is_short.clone();
        Box::pin(async move {
            let inner = RealNet.listen(addr).await?;
            Ok(Box::new(Short { inner, is_short, failed }) as Box<dyn Listener>)
        })
    }
}

struct Short {
    inner: Box<dyn Listener>,
    is_short: Arc<AtomicBool>,
    failed: Arc<AtomicU64>,
}

impl Listener for Short {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxStream, String)>> {
        Box::pin(async move {
            if self.is_short.load(Ordering::SeqCst) {
                self.failed.fetch_add(1, Ordering::SeqCst);
                return Err(io::Error::from_raw_os_error(TOO_MANY_FILES));
            }
            self.inner.accept().await
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_cannot_accept_says_so_once_a_second_and_accepts_again_once_it_can() {
    let lines = Lines::default();
    tracing::subscriber::set_global_default(lines.clone()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut config = configs(folder.path()).swap_remove(0);
    // One node is a cluster, so that nobody else dials it.
    config.voters.truncate(1);
    let net = ShortOfFiles { peer_listen: config.peer_listen.clone(), ..ShortOfFiles::default() };
    let env = Environment { net: Arc::new(net.clone()), ..environment(&config).await };
    let node = Node::start(config, env).await.unwrap();
    ready(&node).await;
    assert!(is_200(node.client_addr(), "/livez").await);
    let began = Instant::now();
    net.is_short.store(true, Ordering::SeqCst);
    // What waited to accept takes one more; from then on it fails.
    for address in [node.peer_addr(), node.client_addr()] {
        drop(TcpStream::connect(address).await.unwrap());
    }
    for failed in [&net.peers, &net.clients] {
        eventually("accepting fails again and again", || failed.load(Ordering::SeqCst) >= FAILURES).await;
    }
    for (message, failed) in [
        ("cannot accept a peer's connection", &net.peers),
        ("cannot accept a client connection", &net.clients),
    ] {
        let told = lines.of(message);
        let (count, seconds) = (told.len() as u64, began.elapsed().as_secs());
        assert!(count >= 2 && count <= seconds + 1, "{count} lines `{message}` in {seconds} s");
        // Those between are counted.
        let (failures, between) = (failed.load(Ordering::SeqCst), told.iter().sum::<u64>());
        assert!(between > 0 && between + count <= failures, "{told:?} of {failures}");
    }
    net.is_short.store(false, Ordering::SeqCst);
    let until = Instant::now() + Duration::from_secs(10);
    while !is_200(node.client_addr(), "/livez").await {
        assert!(Instant::now() < until, "it never accepted again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    node.shutdown().await;
}
