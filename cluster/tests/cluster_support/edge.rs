//! A node of another build, as its peers see it: the same node, whose frames are rewritten as they leave it.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use assent_cluster::config::Config;
use assent_cluster::env::{BoxStream, Environment, Listener, Net, RealNet};
use assent_cluster::node::Node;
use assent_cluster::peer::{Append, PROTOCOL_VERSION, SnapshotBegin, read_request, request_frame};
use assent_cluster::raft::types::Proposal;
use futures_util::future::BoxFuture;
use openraft::EntryPayload;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use super::environment;

/// Bytes of a frame's length, behind which its kind stands, the request id, and the body.
const PREFIX: usize = 4;
const KIND_AT: usize = PREFIX;
const ID_AT: usize = KIND_AT + 1;
const BODY_AT: usize = ID_AT + 8;
const HELLO: u8 = 0x01;
const FAILURE: u8 = 0xff;
/// The kind of a request that no build knows.
const UNKNOWN: u8 = 0x6f;
/// Set in the id of a request that only the edge has made.
const EDGES_OWN: u8 = 0x80;
/// A failure's body begins so if the request is not known.
const UNSUPPORTED: [u8; 2] = [0x92, 3];
/// A version so many later is one that this build does not read, whichever it reads beside the one that it writes.
pub const AHEAD: u8 = 100;
/// So many frames are kept.
const KEPT_MAX: usize = 10_000;

/// What goes out in place of a frame to the peer at that address, which is empty if the peer has dialed; nothing if the frame goes
/// as it is.
type Rewrite = Box<dyn Fn(&str, &[u8]) -> Option<Vec<u8>> + Send>;

/// A frame that was rewritten.
#[derive(Debug, Clone)]
pub struct Sent {
    /// The peer's address.
    pub to: String,
    /// When all of it was handed to the network.
    pub at: Instant,
}

/// All that one node says to its peers runs through here. Clones are the same edge.
#[derive(Clone, Default)]
pub struct Edge {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    rewrite: Option<Rewrite>,
    sent: Vec<Sent>,
    unsupported: usize,
}

impl Edge {
    /// From now on frames are rewritten.
    pub fn write_ahead(&self, rewrite: impl Fn(&str, &[u8]) -> Option<Vec<u8>> + Send + 'static) {
        self.state.lock().unwrap().rewrite = Some(Box::new(rewrite));
    }

    /// From now on frames go as they are.
    pub fn stop_rewriting(&self) {
        self.state.lock().unwrap().rewrite = None;
    }

    /// What was rewritten and sent.
    pub fn sent(&self) -> Vec<Sent> {
        self.state.lock().unwrap().sent.clone()
    }

    /// How many of the edge's own requests were answered as unsupported.
    pub fn unsupported(&self) -> usize {
        self.state.lock().unwrap().unsupported
    }

    /// What goes out in place of a frame, and whether it was rewritten.
    fn pass(&self, to: &str, frame: Vec<u8>) -> (Vec<u8>, bool) {
        let state = self.state.lock().unwrap();
        match state.rewrite.as_ref().and_then(|rewrite| rewrite(to, &frame)) {
            Some(rewritten) => (rewritten, true),
            None => (frame, false),
        }
    }

    fn was_sent(&self, to: &str) {
        let mut state = self.state.lock().unwrap();
        if state.sent.len() < KEPT_MAX {
            state.sent.push(Sent { to: to.to_owned(), at: Instant::now() });
        }
    }

    fn heard(&self, frame: &[u8]) {
        let of_ours = frame[KIND_AT] == FAILURE && frame[ID_AT] & EDGES_OWN != 0;
        if of_ours && frame[BODY_AT..].starts_with(&UNSUPPORTED) {
            self.state.lock().unwrap().unsupported += 1;
        }
    }

    /// The node's end of a stream to a peer.
    fn wrapped(&self, to: String, stream: BoxStream) -> BoxStream {
        let (near, far) = tokio::io::duplex(1 << 20);
        let (mut from_node, mut to_node) = tokio::io::split(far);
        let (mut from_peer, mut to_peer) = tokio::io::split(stream);
        let edge = self.clone();
        tokio::spawn(async move {
            while let Some(frame) = next_frame(&mut from_node).await {
                let (bytes, rewritten) = edge.pass(&to, frame);
                if to_peer.write_all(&bytes).await.is_err() || to_peer.flush().await.is_err() {
                    break;
                }
                if rewritten {
                    edge.was_sent(&to);
                }
            }
            // The peer may have gone.
            let _ = to_peer.shutdown().await;
        });
        let edge = self.clone();
        tokio::spawn(async move {
            while let Some(frame) = next_frame(&mut from_peer).await {
                edge.heard(&frame);
                if to_node.write_all(&frame).await.is_err() {
                    break;
                }
            }
            // The node may have gone.
            let _ = to_node.shutdown().await;
        });
        Box::new(near)
    }
}

/// The next whole frame, from its length on; none at the stream's end.
async fn next_frame(stream: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let length = stream.read_u32().await.ok()?;
    let mut frame = length.to_be_bytes().to_vec();
    frame.resize((PREFIX + length as usize).max(BODY_AT), 0);
    stream.read_exact(&mut frame[PREFIX..]).await.ok()?;
    Some(frame)
}

/// The real network, with an edge towards the peers.
struct EdgeNet {
    edge: Edge,
    /// Where the node listens for peers; where else it listens, clients come.
    peer_listen: String,
}

impl Net for EdgeNet {
    fn connect(&self, addr: String) -> BoxFuture<'static, io::Result<BoxStream>> {
        let edge = self.edge.clone();
        Box::pin(async move {
            let stream = RealNet.connect(addr.clone()).await?;
            Ok(edge.wrapped(addr, stream))
        })
    }

    fn listen(&self, addr: String) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        let edge = (addr == self.peer_listen).then(|| self.edge.clone());
        Box::pin(async move {
            let inner = RealNet.listen(addr).await?;
            Ok(match edge {
                Some(edge) => Box::new(EdgeListener { inner, edge }) as Box<dyn Listener>,
                None => inner,
            })
        })
    }
}

struct EdgeListener {
    inner: Box<dyn Listener>,
    edge: Edge,
}

impl Listener for EdgeListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxStream, String)>> {
        Box::pin(async move {
            let (stream, remote) = self.inner.accept().await?;
            Ok((self.edge.wrapped(String::new(), stream), remote))
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}

/// Starts a node behind this edge.
pub async fn start_behind(config: &Config, edge: &Edge) -> Node {
    let env = environment(config).await;
    let net = Arc::new(EdgeNet { edge: edge.clone(), peer_listen: config.peer_listen.clone() });
    Node::start(config.clone(), Environment { net, ..env }).await.unwrap()
}

/// An append whose commands are of a later version.
pub fn commands_ahead(frame: &[u8]) -> Option<Vec<u8>> {
    let (id, mut append) = read_request::<Append>(frame).ok()?;
    let mut ahead = false;
    for entry in &mut append.rpc.entries {
        if let EntryPayload::Normal(Proposal(command)) = &mut entry.payload {
            let mut bytes = command.to_vec();
            bytes[0] += AHEAD;
            *command = bytes.into();
            ahead = true;
        }
    }
    ahead.then(|| request_frame(id, &append).unwrap().to_vec())
}

/// A snapshot's beginning whose header is of a later version.
pub fn header_ahead(frame: &[u8]) -> Option<Vec<u8>> {
    let (id, mut begin) = read_request::<SnapshotBegin>(frame).ok()?;
    let mut header = begin.header.to_vec();
    header[0] += AHEAD;
    begin.header = header.into();
    Some(request_frame(id, &begin).unwrap().to_vec())
}

/// A hello with two versions of the messages, of which this build speaks neither.
pub fn hello_ahead(frame: &[u8]) -> Option<Vec<u8>> {
    if frame[KIND_AT] != HELLO {
        return None;
    }
    let mut hello = frame.to_vec();
    hello[BODY_AT + 8..BODY_AT + 10].copy_from_slice(&(PROTOCOL_VERSION + 1).to_be_bytes());
    hello[BODY_AT + 10..BODY_AT + 12].copy_from_slice(&(PROTOCOL_VERSION + 2).to_be_bytes());
    Some(hello)
}

/// A request, and behind it one of a kind that no build knows.
pub fn with_an_unknown_request(frame: &[u8]) -> Option<Vec<u8>> {
    if !(0x10..0x80).contains(&frame[KIND_AT]) {
        return None;
    }
    let mut both = frame.to_vec();
    both.extend(9u32.to_be_bytes());
    both.extend([UNKNOWN, EDGES_OWN, 0, 0, 0, 0, 0, 0, 0]);
    Some(both)
}
