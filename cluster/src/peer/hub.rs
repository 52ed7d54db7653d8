//! All peers of this node.
//!
//! The hub owns the listener, one dialing task for each peer, and two slots for each peer: one for the connection
//! that this node dialed, and one for the connection that the peer dialed. This node sends its requests only on the
//! connection that it dialed itself. The node that answers there listens at the peer's address. A node that dials in
//! can only send requests. A new connection replaces the earlier one in its own slot, and never the other one. The
//! hub keeps no request: a call to a peer without a connection fails at once.
//!
//! - `table`, `entry`: which peers there are, and what is known of each.
//! - `accept`, `dial`: how connections begin, from the peer's side and from this one.
//! - `run`: the life of a connection until it ends.
//! - `certificates`: reads the files for TLS again, and ends the connections that rest on what was withdrawn.
//! - `look`: which node answers at an address, asked before a member moves there.

mod accept;
mod certificates;
mod dial;
mod entry;
mod look;
mod run;
mod table;

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::env::{Clock, Environment, Moment, Net};
use crate::locked::lock;
use crate::raft::types::NodeId;
use crate::tasks::Tasks;

use self::entry::{Peer, Problem};
use super::call::Call;
use super::clock::{ClockReadings, ReadingBook};
use super::connection::Connection;
use super::error::PeerError;
use super::handler::Handler;
use super::hello::{Hello, Identity, PROTOCOL_VERSION};
use super::limits::PeerLimits;
use super::message::Message;
use super::refusals::Refusals;
use super::tls::PeerTls;
use super::trusted::TrustedOffset;

/// A peer's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerAddress {
    /// The peer.
    pub id: NodeId,
    /// `host:port`.
    pub addr: String,
}

/// The state of a peer, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerStatus {
    /// The peer.
    pub id: NodeId,
    /// The address at which it is dialed; `None` if it has only ever dialed this node.
    pub addr: Option<String>,
    /// Whether there is a connection now.
    pub connected: bool,
    /// The random id of its store, by its hello on the live connection.
    pub store_id: Option<[u8; 16]>,
    /// The last round trip, in milliseconds.
    pub rtt_ms: Option<u64>,
    /// Why there was no connection the last time, or why it ended.
    pub problem: Option<String>,
    /// Whether it refused this node as one that was removed from the cluster, when this node dialed it last.
    pub says_removed: bool,
}

/// The node's side of every peer connection. Clones share one hub.
#[derive(Clone)]
pub struct PeerHub {
    inner: Arc<Inner>,
}

struct Inner {
    net: Arc<dyn Net>,
    clock: Arc<dyn Clock>,
    identity: Identity,
    handler: Arc<dyn Handler>,
    limits: PeerLimits,
    /// None on a network that is trusted.
    tls: Option<PeerTls>,
    local_addr: SocketAddr,
    peers: Mutex<BTreeMap<NodeId, Arc<Peer>>>,
    readings: Arc<Mutex<ReadingBook>>,
    trusted: Arc<TrustedOffset>,
    refusals: Arc<Refusals>,
    tasks: Tasks,
    stopping: CancellationToken,
    /// The last problem with connections that name no admissible peer.
    unknown_peers: Mutex<Problem>,
}

impl PeerHub {
    /// Listens on `listen_addr` (port 0 takes a free one), accepts peers and dials those of `peers`, except this node's
    /// own entry. Returns once the listener is bound. With `tls`, every connection is encrypted and both sides prove
    /// who they are. `tasks` is the hub's own part of its node's tasks.
    #[expect(clippy::too_many_arguments, reason = "a hub is put together from these, in one place")]
    pub async fn start(
        env: &Environment,
        identity: Identity,
        listen_addr: String,
        peers: Vec<PeerAddress>,
        handler: Arc<dyn Handler>,
        limits: PeerLimits,
        tls: Option<PeerTls>,
        tasks: Tasks,
    ) -> Result<Self, PeerError> {
        let failed = |error: std::io::Error| PeerError::Listen {
            addr: listen_addr.clone(),
            problem: error.to_string(),
        };
        let listener = env.net.listen(listen_addr.clone()).await.map_err(failed)?;
        let local_addr = listener.local_addr().map_err(failed)?;
        let inner = Arc::new(Inner {
            net: env.net.clone(),
            clock: env.clock.clone(),
            identity,
            handler,
            limits,
            tls,
            local_addr,
            peers: Mutex::default(),
            readings: Arc::default(),
            trusted: Arc::default(),
            refusals: Arc::default(),
            tasks,
            stopping: CancellationToken::new(),
            unknown_peers: Mutex::default(),
        });
        let hub = Self { inner };
        for peer in peers {
            hub.ensure_peer(peer.id, &peer.addr);
        }
        hub.inner.tasks.lasting("accept peers", hub.inner.clone().accept_all(listener));
        if let Some(tls) = hub.inner.tls.clone() {
            let keep = hub.inner.clone().keep_certificates(tls, env.blocking.clone());
            hub.inner.tasks.lasting("keep the peers' certificates", keep);
        }
        Ok(hub)
    }

    /// Sends `message` to node `to` and waits at most `deadline` for the answer. The request is queued when this is
    /// called, not when the future is first polled, so one caller's requests keep their order.
    pub fn call<M: Message>(
        &self,
        to: NodeId,
        message: &M,
        deadline: Duration,
    ) -> impl Future<Output = Result<M::Reply, PeerError>> + Send + 'static + use<M> {
        self.call_patient(to, message, deadline, deadline)
    }

    /// Like [`call`](Self::call), for work that may take long: after `patience` only the connection has to prove
    /// that it is alive, and the call goes on waiting until `deadline`.
    pub fn call_patient<M: Message>(
        &self,
        to: NodeId,
        message: &M,
        patience: Duration,
        deadline: Duration,
    ) -> impl Future<Output = Result<M::Reply, PeerError>> + Send + 'static + use<M> {
        let queued =
            self.connection(to).ok_or(PeerError::Unreachable(to)).and_then(|c| Call::queue(&c, message));
        async move { queued?.reply::<M>(patience, deadline).await }
    }

    /// Like [`call`](Self::call), but only if this node has dialed the peer at one of these addresses, and the peer's
    /// hello has the store `store_id`.
    pub fn call_dialed<M: Message>(
        &self,
        to: NodeId,
        addrs: &[String],
        store_id: [u8; 16],
        message: &M,
        deadline: Duration,
    ) -> impl Future<Output = Result<M::Reply, PeerError>> + Send + 'static + use<M> {
        let peer = lock(&self.inner.peers).get(&to).cloned();
        let dialed = peer.and_then(|peer| lock(&peer.slots).dialed.clone());
        let dialed = dialed.filter(|there| is_among(there, addrs) && there.hello().store_id == store_id);
        let queued = dialed.ok_or(PeerError::NotDialed(to)).and_then(|c| Call::queue(&c, message));
        async move { queued?.reply::<M>(deadline, deadline).await }
    }

    /// Makes sure that node `id` is known and dialed at `addr`. If it was dialed elsewhere, that connection ends.
    pub fn ensure_peer(&self, id: NodeId, addr: &str) {
        self.ensure_peer_at(id, vec![addr.to_owned()]);
    }

    /// Makes sure that node `id` is known and dialed at one of these addresses, which are tried in turn, the first
    /// one first. If it was dialed elsewhere, that connection ends. A node proves who it is by its hello, never by
    /// its address.
    pub fn ensure_peer_at(&self, id: NodeId, addrs: Vec<String>) {
        if id == self.inner.identity.node_id || addrs.is_empty() {
            return;
        }
        let peer = self.inner.peer(id);
        let elsewhere = lock(&peer.slots).dialed.clone().filter(|connection| !is_among(connection, &addrs));
        let first = lock(&peer.addresses).set(addrs);
        if let Some(connection) = elsewhere {
            connection.close("the peer is known at another address now");
        }
        if first && !self.inner.stopping.is_cancelled() {
            self.inner.tasks.finite("dial a peer", self.inner.clone().dial_forever(peer));
        }
    }

    /// Makes sure that node `id` is known. `addr` counts only if no address of it is known yet. The configuration's
    /// addresses come first, so a cluster may move.
    pub fn ensure_known(&self, id: NodeId, addr: &str) {
        let known =
            lock(&self.inner.peers).get(&id).is_some_and(|peer| lock(&peer.addresses).present().is_some());
        if !known {
            self.ensure_peer(id, addr);
        }
    }

    /// Ends the connections with node `id`, and does not dial it any more. It may still dial this node, which then
    /// decides anew.
    pub fn forget(&self, id: NodeId, reason: &str) {
        let Some(peer) = lock(&self.inner.peers).remove(&id) else { return };
        peer.gone.cancel();
        let connections = lock(&peer.slots).take();
        for connection in connections {
            connection.close(reason);
        }
    }

    /// Every node that this one knows of, by id.
    pub fn known(&self) -> Vec<NodeId> {
        lock(&self.inner.peers).keys().copied().collect()
    }

    /// Whether there is a connection to node `id` now, on which this node can ask.
    pub fn is_connected(&self, id: NodeId) -> bool {
        self.connection(id).is_some()
    }

    /// The version of the messages in which this node can ask node `id` now.
    pub fn version(&self, id: NodeId) -> Option<u16> {
        self.connection(id).map(|connection| connection.hello().versions.1.min(PROTOCOL_VERSION))
    }

    /// The hello of node `id` on the live connection: on the one that this node dialed, if there is one.
    pub fn hello(&self, id: NodeId) -> Option<Hello> {
        let peer = lock(&self.inner.peers).get(&id).cloned()?;
        let slots = lock(&peer.slots);
        let connection = slots.dialed.as_ref().or(slots.accepted.as_ref())?;
        Some(connection.hello().clone())
    }

    /// The readings of the peers' clocks, compared with this node's clocks now.
    pub fn clock(&self) -> ClockReadings {
        lock(&self.inner.readings).at(Instant::now(), Moment::of(&*self.inner.clock))
    }

    /// How far this node's wall clock is trusted to be ahead of its boot time. Each pong tells whether the clock is
    /// there.
    pub fn trusted(&self) -> &TrustedOffset {
        &self.inner.trusted
    }

    /// The state of every known peer, by node id.
    pub fn status(&self) -> Vec<PeerStatus> {
        let peers: Vec<Arc<Peer>> = lock(&self.inner.peers).values().cloned().collect();
        peers.iter().map(|peer| self.inner.status_of(peer)).collect()
    }

    /// How often each bound of the transport has refused something, by a word for the bound.
    pub fn refusals(&self) -> Vec<(&'static str, u64)> {
        self.inner.refusals.counts()
    }

    /// This node's own id.
    pub fn node_id(&self) -> NodeId {
        self.inner.identity.node_id
    }

    /// The address at which this node listens for peers.
    pub fn local_addr(&self) -> SocketAddr {
        self.inner.local_addr
    }

    /// TLS between the nodes, if there is any.
    pub fn tls(&self) -> Option<&PeerTls> {
        self.inner.tls.as_ref()
    }

    /// The bounds it was started with.
    pub fn limits(&self) -> &PeerLimits {
        &self.inner.limits
    }

    /// Ends every connection, and waits until all tasks of the hub have ended.
    pub async fn shutdown(&self) {
        self.inner.tasks.begin_stop();
        self.inner.stopping.cancel();
        let peers: Vec<Arc<Peer>> = lock(&self.inner.peers).values().cloned().collect();
        for peer in peers {
            let connections = lock(&peer.slots).take();
            for connection in connections {
                connection.close("this node is stopping");
            }
        }
        self.inner.tasks.all_ended().await;
    }

    fn connection(&self, to: NodeId) -> Option<Arc<Connection>> {
        let peer = lock(&self.inner.peers).get(&to).cloned()?;
        let slots = lock(&peer.slots);
        slots.dialed.clone()
    }
}

/// Whether this node has dialed the connection at one of these addresses.
fn is_among(connection: &Connection, addrs: &[String]) -> bool {
    connection.dialed_to().is_some_and(|dialed| addrs.iter().any(|addr| addr == dialed))
}
